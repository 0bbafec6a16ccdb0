"""The OpenAPI 3.1 document: Litestar's, completed by the sending routes that do not run through Litestar; and a readable
page made from it (swagger_page.py).

This module refuses to know what the routes do. The schemas are those of the very Structs that are decoded and encoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from litestar import Litestar, get
from litestar.enums import MediaType, OpenAPIMediaType
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme

from dispatcher.core.model import Send
from dispatcher.ingest.bodies import NDJSON_TYPES
from dispatcher.ingest.preview import Preview
from dispatcher.ingest.problems import KINDS, MEDIA_TYPE, TYPE_PREFIX, ProblemDocument
from dispatcher.ingest.swagger_page import page
from dispatcher.ingest.views import Accepted, BatchAccepted

TITLE = "SMS dispatcher"
VERSION = "1"
_REF = "#/components/schemas/{name}"
_KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repeat harmless for 24 h: same body, same answer (with Idempotent-Replay: true); another body 422."
    " Without it a retry may send twice.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"},
}
_OPEN = frozenset({"/healthz", "/readyz"})
"""Asked without a key."""
_READ_ERRORS = (401, 403, 404, 429, 503)
_SEND_ERRORS = (401, 402, 403, 408, 409, 413, 415, 422, 429, 503)
_PREVIEW_ERRORS = (401, 403, 408, 413, 415, 422, 429, 503)


def routes(described: Sequence[HTTPRouteHandler], others: Sequence[Mapping[str, Any]] = ()) -> list[HTTPRouteHandler]:
    """The document at /openapi.json and the page at /docs, of `described`, the sending routes and `others` (further APIs:
    paths, schemas, schemes)."""

    @cache
    def made() -> dict[str, Any]:
        return _with_others(complete(_litestars(described)), others)

    @get("/openapi.json", media_type=OpenAPIMediaType.OPENAPI_JSON, sync_to_thread=False)
    def openapi() -> bytes:
        return msgspec.json.encode(made())

    @get("/docs", media_type=MediaType.HTML, sync_to_thread=False)
    def docs() -> bytes:
        return page(made()).encode()

    return [openapi, docs]


def _litestars(described: Sequence[HTTPRouteHandler]) -> dict[str, Any]:
    """Litestar's own document. Made by an application that only exists for it: where a document is configured, Litestar
    also serves it, with pages that load scripts from elsewhere and with 404s that are HTML."""
    config = OpenAPIConfig(
        title=TITLE,
        version=VERSION,
        description="Hand in messages, follow them, see what they cost. Money is decimal strings, time RFC 3339 with Z.",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        security=[{"bearer": []}, {"key": []}],
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer", description="id.secret"),
                "key": SecurityScheme(type="apiKey", security_scheme_in="header", name="X-API-Key", description="id.secret"),
            }
        ),
        use_handler_docstrings=True,
        render_plugins=[JsonRenderPlugin()],
    )
    return Litestar(described, openapi_config=config, logging_config=None).openapi_schema.to_schema()


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of Litestar's document with the sending routes and the one form of every error."""
    paths = {path: {method: dict(op) for method, op in item.items()} for path, item in document["paths"].items()}
    for path, item in paths.items():
        for operation in item.values():
            answers = {s: a for s, a in operation["responses"].items() if s != "400"}
            operation["responses"] = answers | ({} if path in _OPEN else _errors(_READ_ERRORS))
            if path in _OPEN:
                operation["security"] = []  # Litestar leaves an empty list out, and then the document's default holds
    paths["/readyz"]["get"]["responses"]["503"] = {**paths["/readyz"]["get"]["responses"]["200"], "description": "the reasons"}
    paths["/v1/messages/{message_id}"]["delete"]["responses"] |= _errors((409,))
    paths["/v1/messages/{message_id}/feedback"]["post"]["responses"] |= _errors((422,))
    paths["/v1/messages"]["get"]["responses"] |= _errors((422,))
    for path, operation in _sending().items():
        paths.setdefault(path, {})["post"] = operation
    _, schemas = msgspec.json.schema_components((Send, Accepted, BatchAccepted, Preview, ProblemDocument), ref_template=_REF)
    components = dict(document["components"])
    components["schemas"] = dict(sorted((components.get("schemas", {}) | schemas).items()))
    return document | {"paths": dict(sorted(paths.items())), "components": components}


def _with_others(document: dict[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    components = dict(document["components"])
    for other in others:
        document["paths"] |= other["paths"]
        components["schemas"] |= other["schemas"]
        components["securitySchemes"] = components["securitySchemes"] | other["schemes"]
    return document | {"components": components}


def _sending() -> dict[str, dict[str, Any]]:
    many = {"type": "array", "items": _ref("Send"), "minItems": 1, "maxItems": 50_000}
    one_body = {"required": True, "content": {"application/json": {"schema": _ref("Send")}}}
    many_body = {
        "required": True,
        "content": {"application/json": {"schema": many}, NDJSON_TYPES[0]: {"schema": _ref("Send")}},
    }
    return {
        "/v1/messages": _operation(
            "SendMessage",
            "Send a message",
            "202 means durable: it will end in exactly one final state.",
            one_body,
            _SEND_ERRORS,
            ("202", "Accepted"),
        ),
        "/v1/messages/batch": _operation(
            "SendBatch",
            "Send up to 50,000 messages",
            "A JSON array, or NDJSON. What is not rejected is accepted as one group, all of it or nothing. All have one"
            " class; none has a key or a group of its own.",
            many_body,
            _SEND_ERRORS,
            ("202", "BatchAccepted"),
        ),
        "/v1/messages/preview": _operation(
            "PreviewMessage",
            "What would happen to a message",
            "Encoding, segments, route, carriers and price; nothing is sent, reserved or kept.",
            one_body,
            _PREVIEW_ERRORS,
            ("200", "Preview"),
        ),
    }


def _operation(
    name: str, summary: str, description: str, body: dict[str, Any], errors: tuple[int, ...], success: tuple[str, str]
) -> dict[str, Any]:
    status, answer = success
    success_answer: dict[str, Any] = {"description": answer, "content": {"application/json": {"schema": _ref(answer)}}}
    if status == "202":
        success_answer["headers"] = {
            "Idempotent-Replay": {"description": "true: accepted before under the same key", "schema": {"const": "true"}}
        }
    return {
        "operationId": name,
        "tags": ["messages"],
        "summary": summary,
        "description": description,
        "parameters": [_KEY_HEADER],
        "requestBody": body,
        "responses": {status: success_answer} | _errors(errors),
    }


def _errors(statuses: tuple[int, ...]) -> dict[str, Any]:
    """Answers by status, each naming the problem types that have it."""
    answers = {}
    for status in statuses:
        types = ", ".join(TYPE_PREFIX + str(kind) for kind, (own, _) in KINDS.items() if own == status)
        answers[str(status)] = {"description": types, "content": {MEDIA_TYPE: {"schema": _ref("ProblemDocument")}}}
        if status in {429, 503}:
            answers[str(status)]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return answers


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(name=name)}
