"""What the Laravel dialect answers: the shapes of its bodies, and its words for whatever is refused (dialects 4).

This module refuses to decide anything. Two shapes of error exist: the service's `{"error"}`, with `help` where it is about
keys, and its framework's `{"message"}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from dispatcher.core.model import Refusal
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects.frame import Request
from dispatcher.ingest.dialects.laravel_rules import BAD_NUMBER
from dispatcher.ingest.problems import Problem

FORM_SEND: Final = "/v1/sms/send"
PAGE: Final = "/api/v2"
CALLBACK: Final = "/api/oauth2-callback"
SEND: Final = "/api/v2/sms/send"
BALANCE: Final = "/api/v2/account/balance"
GENERATE: Final = "/api/generate-key"
REVOKE: Final = "/api/revoke-key"
REGENERATE: Final = "/api/regenerate-key"
_BY_API_KEY: Final = frozenset({SEND, BALANCE})

encode: Final = msgspec.json.Encoder().encode


class QueuedMessage(msgspec.Struct):
    """One number's message: the number as sent and in E.164 with `+`."""

    number: str
    to: str
    message_id: str
    status: Literal["queued"] = "queued"


class SendAnswer(msgspec.Struct, kw_only=True):
    """The messages are durable and charged. `cost` and `balance` are in the account's currency."""

    status: Literal["success"] = "success"
    message: Literal["Messages queued for sending."] = "Messages queued for sending."
    batch_id: str
    messages: Sequence[QueuedMessage]
    cost: int | float
    balance: int | float


class BalanceAnswer(msgspec.Struct):
    """What can be spent now."""

    balance: int | float
    currency: str


class KeyAnswer(msgspec.Struct):
    """A new API key, shown once. `expires_at` is null when it does not expire."""

    message: str
    api_key: str
    expires_at: str | None


class Said(msgspec.Struct):
    """A message, also that of the framework's own errors."""

    message: str


class Refused(msgspec.Struct, omit_defaults=True):
    """Why not; `help` where it is about keys."""

    error: str
    help: str = ""


class Invalid(msgspec.Struct):
    """A field that is not what it should be."""

    message: str
    errors: dict[str, Sequence[str]]


def answer(status: int, body: msgspec.Struct) -> Answer:
    """A body with its status."""
    return Answer(status, encode(body))


KEY_REQUIRED: Final = Refused("API key is required", "Provide X-API-Key header or api_key parameter")
KEY_INVALID: Final = Refused("Invalid API key", "Generate a key with POST /api/generate-key")
KEY_EXPIRED: Final = Refused("API key has expired", "Replace it with POST /api/regenerate-key")
KEY_EXISTS: Final = Refused("An active API key already exists", "Use POST /api/regenerate-key to replace it")
KEY_NONE: Final = Refused("No active API key found")
_API_KEY: Final[Mapping[str, Refused]] = {
    "unauthorized_missing": KEY_REQUIRED,
    "unauthorized": KEY_INVALID,
    "expired_key": KEY_EXPIRED,
    Refusal.SUSPENDED: KEY_INVALID,
    Refusal.UNKNOWN_ACCOUNT: KEY_INVALID,
}
_BUSY: Final = (503, Said("Service Unavailable"))
_ELSEWHERE: Final = (400, Refused("Destination not supported."))
_SENDER: Final = (400, Refused("Sender ID not allowed."))
_UNSENDABLE: Final = (400, Refused("The message_body field holds characters that cannot be sent."))
_WORDS: Final[Mapping[str, tuple[int, msgspec.Struct]]] = {
    Refusal.NUMBER_INVALID: (400, Refused(BAD_NUMBER)),
    Refusal.NO_ROUTE: _ELSEWHERE,
    Refusal.NO_PRICE: _ELSEWHERE,
    Refusal.DESTINATION: _ELSEWHERE,
    Refusal.OPTED_OUT: (400, Refused("A recipient has opted out.")),
    Refusal.SENDER_NOT_ALLOWED: _SENDER,
    Refusal.SENDER_INVALID: _SENDER,
    Refusal.SENDER_REQUIRED: (400, Refused("The account has no sender ID.")),
    Refusal.TEXT_EMPTY: (400, Refused("The message_body field is required.")),
    Refusal.TEXT_TOO_LONG: (400, Refused("The message_body field must not be longer than 10 message parts.")),
    Refusal.TEXT_INVALID: _UNSENDABLE,
    Refusal.ENCODING: _UNSENDABLE,
    Refusal.OPTION: (400, Refused("The Idempotency-Key header must have 1 to 128 printable characters.")),
    Refusal.MALFORMED: (400, Said("The request cannot be read: send UTF-8 form fields or a JSON object.")),
    Refusal.BALANCE: (402, Refused("Insufficient balance.")),
    Refusal.PRICE_TOO_HIGH: (402, Refused("Insufficient balance.")),
    "forbidden": (403, Refused("Forbidden.")),
    "method_not_allowed": (405, Said("Method not allowed")),
    "body_too_slow": (408, Said("Request timeout")),
    Refusal.KEY_CONFLICT: (409, Refused("Idempotency key reused with a different request")),
    Refusal.KEY_PENDING: (409, Refused("A request with this idempotency key is in progress")),
    "body_too_large": (413, Said("Request body too large")),
    "rate_limited": (429, Said("Too Many Attempts.")),
    Refusal.LIMIT: (429, Said("Too Many Attempts.")),
    Refusal.VELOCITY: (429, Refused("Too many messages to this range of numbers.")),
    Refusal.SPEND_CAP: (429, Refused("The account's spending limit of a day is reached.")),
    Refusal.CONVERSION: (429, Refused("Messages to this destination are paused.")),
    "store_unavailable": _BUSY,
    "promise_not_kept": _BUSY,
    "overloaded": _BUSY,
}


def word(problem: Problem, request: Request) -> Answer:
    """Any problem in this dialect's shape."""
    kind = problem.kind
    if kind in _API_KEY:
        return answer(401, _API_KEY[kind] if request.path in _BY_API_KEY else Refused("Unauthorized."))
    if kind == "not_found":
        return answer(404, Said(f"The route {request.path.lstrip('/')} could not be found."))
    if kind == "method_not_allowed" and request.path == FORM_SEND:
        words = f"The {request.method} method is not supported for route v1/sms/send. Supported methods: POST."
        return answer(405, Said(words))
    status, body = _WORDS.get(kind, (500, Said("Server Error")))
    return answer(status, body)


def misread(words: str, field: str = "") -> Answer:
    """A parameter that is not what it should be; with a field, in the framework's form."""
    return answer(422, Invalid(words, {field: [words]})) if field else answer(400, Refused(words))
