"""The Laravel dialect's pages (dialects 4.7): its OpenAPI 3.1 document, the Swagger page made from it, the OAuth2 callback.

This module refuses to know how requests are handled. The schemas are those of the Structs that are encoded (laravel_words);
the limits are those that are checked (laravel_rules).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from dispatcher.ingest.dialects import laravel_words as words
from dispatcher.ingest.dialects.laravel_rules import BAD_NUMBER, EXPIRY_DAYS_MAX, NUMBERS_MAX
from dispatcher.ingest.swagger_page import page as page_of

TITLE: Final = "SMS messaging API"
VERSION: Final = "2"
CALLBACK_PAGE: Final = b"""<!doctype html>
<html lang="en-US">
<body>
<script src="oauth2-redirect.js"></script>
</body>
</html>
"""
_REF: Final = "#/components/schemas/{name}"
_BODIES: Final = (
    words.SendAnswer, words.BalanceAnswer, words.KeyAnswer, words.Said, words.Refused, words.Invalid,
)  # fmt: skip
_NUMBERS: Final = (
    "Comma separated, blanks around commas are allowed. `+` and 8 to 15 digits, 10 digits beginning with 0, or 11 to 15"
    f" digits; at most {NUMBERS_MAX} different ones, each sent once. One bad number refuses the whole request."
)
_STRING: Final[dict[str, Any]] = {"type": "string", "minLength": 1}
_SECRET: Final[dict[str, Any]] = _STRING | {"format": "password"}
_DAYS: Final[dict[str, Any]] = {"type": "integer", "minimum": 1, "maximum": EXPIRY_DAYS_MAX}

Field = tuple[str, bool, dict[str, Any], str, object]
"""Name, required, schema, description, example."""
_MESSAGE: Final[tuple[Field, ...]] = (
    ("numbers", True, _STRING, _NUMBERS, "0701234567, 0712345678"),
    ("message_body", True, _STRING, "1 character to 10 message parts.", "Hello, this is a test message."),
)
_LOGIN: Final[tuple[Field, ...]] = (
    ("username", True, _STRING, "The account's user name.", "user123"),
    ("password", True, _SECRET, "The account's password.", "pass123"),
)
_SENDER: Final[Field] = ("sender", False, _STRING, "Sender ID; must be allowed for the account.", "MyShop")
_API_KEY: Final[Field] = ("api_key", False, _SECRET, "The API key, where it is not in the header X-API-Key.", None)
_EXPIRY: Final[Field] = ("expiry_days", False, _DAYS, "The key does not expire when this is absent.", 3)
_OPTIONAL_LOGIN: Final = tuple((name, False, schema, what, example) for name, _, schema, what, example in _LOGIN)

_SENT: Final = words.SendAnswer(
    batch_id="0b54f8a0-3c1e-4a52-9b1d-6f2c7c2f7b10",
    messages=[words.QueuedMessage("0701234567", "+254701234567", "0b54f8a0-3c1e-4a52-9b1d-6f2c7c2f7b10")],
    cost=1,
    balance=99,
)
_EXAMPLE_KEY: Final = "0123456789abcdef" * 4
_REFUSED_SEND: Final[dict[str, msgspec.Struct]] = {
    "400": words.Refused(BAD_NUMBER),
    "402": words.Refused("Insufficient balance."),
    "409": words.Refused("Idempotency key reused with a different request"),
    "413": words.Said("Request body too large"),
    "503": words.Said("Service Unavailable"),
}
_NO_LOGIN: Final[dict[str, msgspec.Struct]] = {"401": words.Refused("Unauthorized.")}
_NO_KEY: Final[dict[str, msgspec.Struct]] = {"401": words.KEY_REQUIRED}
_TOO_MANY: Final[dict[str, msgspec.Struct]] = {"429": words.Said("Too Many Attempts.")}
_DAYS_WORDS: Final = "The expiry days field must be at least 1."
_BAD_DAYS: Final[dict[str, msgspec.Struct]] = {"422": words.Invalid(_DAYS_WORDS, {"expiry_days": [_DAYS_WORDS]})}
_BY_KEY: Final[list[dict[str, list[str]]]] = [{"apiKey": []}, {"apiKeyParameter": []}]
_BY_LOGIN: Final[list[dict[str, list[str]]]] = [{"basic": []}, {}]


class Pages:
    """Made once, when first asked for. `mount` stands before every path."""

    def __init__(self, mount: str) -> None:
        self._mount = mount
        self._document = b""
        self._page = b""

    def document(self) -> bytes:
        """OpenAPI 3.1 as JSON."""
        self._document = self._document or msgspec.json.encode(document(self._mount))
        return self._document

    def page(self) -> bytes:
        """The Swagger page."""
        self._page = self._page or page_of(document(self._mount)).encode()
        return self._page


def document(mount: str = "") -> dict[str, Any]:
    """The OpenAPI document."""
    _, schemas = msgspec.json.schema_components(_BODIES, ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": VERSION,
            "description": "Send SMS by form or by API key, see the balance, replace the key. Parameters come in the query, as"
            " a form or as a JSON object; the body wins.",
        },
        "servers": [{"url": mount or "/"}],
        "paths": _paths(),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "apiKeyParameter": {"type": "apiKey", "in": "query", "name": "api_key"},
                "basic": {"type": "http", "scheme": "basic", "description": "or the parameters username and password"},
            },
        },
    }


def _paths() -> dict[str, Any]:
    send = (*_MESSAGE, _SENDER, _API_KEY)
    limited = _REFUSED_SEND | _NO_KEY | _TOO_MANY
    sent = ("The messages are queued.", _SENT)
    keys = _NO_LOGIN | _TOO_MANY
    made = ("The new key; it is shown once.", words.KeyAnswer("API key generated successfully", _EXAMPLE_KEY, None))
    again = ("The new key; the old one stops at once.", words.KeyAnswer("API key regenerated successfully", _EXAMPLE_KEY, None))
    gone = ("The key stops at once.", words.Said("API key revoked successfully"))
    balance = ("What can be spent now.", words.BalanceAnswer(100, "KES"))
    current = (*_BY_LOGIN, *_BY_KEY)
    return {
        words.FORM_SEND: {
            "post": _operation(
                "formSend", "Send SMS by user name and password", (*_MESSAGE, *_LOGIN), sent, _REFUSED_SEND | _NO_LOGIN, []
            ),
        },
        words.SEND: {
            "get": _operation("sendByQuery", "Send SMS, parameters in the query", send, sent, limited, _BY_KEY, body=False),
            "post": _operation("send", "Send SMS", send, sent, limited, _BY_KEY),
        },
        words.BALANCE: {
            "get": _operation("balance", "The balance", (_API_KEY,), balance, _NO_KEY | _TOO_MANY, _BY_KEY, body=False)
        },
        words.GENERATE: {
            "post": _operation(
                "generateKey", "Generate an API key", (*_OPTIONAL_LOGIN, _EXPIRY), made,
                keys | _BAD_DAYS | {"409": words.KEY_EXISTS}, _BY_LOGIN,
            )
        },
        words.REVOKE: {
            "post": _operation(
                "revokeKey", "Revoke the API key", (*_OPTIONAL_LOGIN, _API_KEY), gone, keys | {"404": words.KEY_NONE}, current
            )
        },
        words.REGENERATE: {
            "post": _operation(
                "regenerateKey", "Replace the API key", (*_OPTIONAL_LOGIN, _API_KEY, _EXPIRY), again, keys | _BAD_DAYS, current
            )
        },
    }  # fmt: skip


def _operation(
    name: str,
    summary: str,
    fields: Sequence[Field],
    success: tuple[str, msgspec.Struct],
    errors: Mapping[str, msgspec.Struct],
    security: Sequence[Mapping[str, Any]],
    *,
    body: bool = True,
) -> dict[str, Any]:
    what, example = success
    answers = {"200": _answer(what, example, limited="429" in errors)}
    answers |= {status: _answer("Why not.", body, limited="429" in errors) for status, body in sorted(errors.items())}
    operation: dict[str, Any] = {"operationId": name, "summary": summary, "security": list(security), "responses": answers}
    if not body:
        return operation | {"parameters": [_parameter(*field) for field in fields if field is not _API_KEY]}
    needed = [field[0] for field in fields if field[1]]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            name: schema | {"description": what} | ({"examples": [example]} if example is not None else {})
            for name, _, schema, what, example in fields
        },
    }
    if needed:
        schema["required"] = needed
    kinds = ("application/x-www-form-urlencoded", "multipart/form-data", "application/json")
    return operation | {"requestBody": {"required": bool(needed), "content": {kind: {"schema": schema} for kind in kinds}}}


def _parameter(name: str, required: bool, schema: dict[str, Any], what: str, example: object) -> dict[str, Any]:
    found = {"name": name, "in": "query", "required": required, "description": what, "schema": schema}
    return found if example is None else found | {"example": example}


def _answer(what: str, example: msgspec.Struct, *, limited: bool) -> dict[str, Any]:
    ref = _REF.format(name=type(example).__name__)
    answer: dict[str, Any] = {
        "description": what,
        "content": {"application/json": {"schema": {"$ref": ref}, "example": msgspec.to_builtins(example)}},
    }
    if limited:
        integer = {"schema": {"type": "integer"}}
        answer["headers"] = {"x-ratelimit-limit": integer, "x-ratelimit-remaining": integer}
    return answer
