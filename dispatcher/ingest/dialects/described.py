"""How a dialect's part of the OpenAPI document is put together: operations and answers, from Structs that show their shape.

This module refuses to know any dialect. Names of schemas and of security schemes get the dialect's name in front when
several documents become one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

REF: Final = "#/components/schemas/{name}"
IDEMPOTENCY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repeat harmless for 24 h: the same request, the same answer, with Idempotent-Replayed: true.",
    "schema": {"type": "string", "pattern": "^[\\x21-\\x7E]{1,128}$"},
}


class Said(NamedTuple):
    """One answer: status, what it means, and its body's type."""

    status: int
    meaning: str
    body: Any


def operation(
    name: str,
    summary: str,
    answers: Sequence[Said],
    *,
    body: Any = None,
    parameters: Sequence[Mapping[str, Any]] = (),
    security: Sequence[Mapping[str, Sequence[str]]] = (),
    description: str = "",
) -> dict[str, Any]:
    """One operation; several answers of one status are alternatives. `body`: a JSON body's type, None for none."""
    responses: dict[str, Any] = {}
    for said in answers:
        schema = schema_of(said.body)
        known = responses.get(str(said.status))
        if known is None:
            responses[str(said.status)] = {"description": said.meaning, "content": {"application/json": {"schema": schema}}}
        else:
            known["description"] += f"; {said.meaning}"
            content = known["content"]["application/json"]
            before = content["schema"].get("anyOf", [content["schema"]])
            content["schema"] = {"anyOf": [*before, schema]}
    found: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "security": [dict(each) for each in security],
        "parameters": [dict(each) for each in parameters],
        "responses": responses,
    }
    if description:
        found["description"] = description
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema_of(body)}}}
    return found


def schema_of(kind: Any) -> dict[str, Any]:
    """A reference to a type's schema."""
    (found,), _ = msgspec.json.schema_components((kind,), ref_template=REF)
    return dict(found)


def document(
    title: str,
    description: str,
    paths: Mapping[str, Any],
    bodies: Sequence[Any],
    schemes: Mapping[str, Any],
) -> dict[str, Any]:
    """An OpenAPI 3.1 document. `bodies`: every type that occurs."""
    _, schemas = msgspec.json.schema_components(tuple(bodies), ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1", "description": description},
        "servers": [{"url": "/"}],
        "paths": dict(paths),
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": dict(schemes)},
    }


def joined(name: str, mount: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """A dialect's document as a part of a larger one: its paths behind `mount`, its names behind its own."""
    text = msgspec.json.encode({"paths": part["paths"], "schemas": part["components"]["schemas"]}).decode()
    text = text.replace(REF.format(name=""), REF.format(name=f"{name}."))
    renamed = msgspec.json.decode(text)
    paths: dict[str, Any] = {}
    for path, item in renamed["paths"].items():
        for method, found in item.items():
            found["operationId"] = f"{name}.{found['operationId']}"
            found["tags"] = [part["info"]["title"]]
            found["security"] = [{f"{name}.{key}": value for key, value in each.items()} for each in found.get("security", ())]
            paths.setdefault(mount + path, {})[method] = found
    return {
        "paths": paths,
        "schemas": {f"{name}.{key}": value for key, value in renamed["schemas"].items()},
        "schemes": {f"{name}.{key}": value for key, value in part["components"]["securitySchemes"].items()},
    }
