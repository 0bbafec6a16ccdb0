"""What SMSKit answers: every value a string, the status 200 whatever happened, and its words for what is refused (dialects 5).

This module refuses to decide anything. Published clients throw on another status before they read the body; so only what
the frame and the limits answer keeps its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from dispatcher.core.model import Refusal
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects.smskit_rules import BAD_NUMBER
from dispatcher.ingest.problems import Problem

INVALID_REQUEST: Final = "Invalid request"
NO_GROUP: Final = "Group not found"
NO_CHANNELS: Final = "WhatsApp channels are not available"
_USER: Final = "Invalid user"
_SENDER: Final = "Sender ID not allowed"
_UNSENDABLE: Final = "Message text cannot be sent"
_BUSY: Final = "Service temporarily unavailable"
_KEEPS_STATUS: Final = frozenset({405, 408, 413, 429, 500, 503})
NUMBER_WORDS: Final[Mapping[str, str]] = {
    Refusal.NUMBER_INVALID: BAD_NUMBER,
    Refusal.NO_ROUTE: BAD_NUMBER,
    Refusal.NO_PRICE: BAD_NUMBER,
    Refusal.DESTINATION: BAD_NUMBER,
    Refusal.OPTED_OUT: "Destination number has opted out",
}
"""Refusals that are about one number: in a list, that one fails and the others are sent."""
_WORDS: Final[Mapping[str, str]] = {
    **NUMBER_WORDS,
    "unauthorized_missing": _USER,
    "unauthorized": _USER,
    "expired_key": _USER,
    "forbidden": _USER,
    Refusal.SUSPENDED: _USER,
    Refusal.UNKNOWN_ACCOUNT: _USER,
    Refusal.SENDER_NOT_ALLOWED: _SENDER,
    Refusal.SENDER_INVALID: _SENDER,
    Refusal.SENDER_REQUIRED: _SENDER,
    Refusal.TEXT_EMPTY: "Missing parameter: text",
    Refusal.TEXT_TOO_LONG: "Message too long",
    Refusal.TEXT_INVALID: _UNSENDABLE,
    Refusal.ENCODING: _UNSENDABLE,
    Refusal.NOT_BEFORE: "Invalid schedule date",
    Refusal.BALANCE: "Insufficient balance",
    Refusal.PRICE_TOO_HIGH: "Insufficient balance",
    Refusal.OPTION: "Invalid Idempotency-Key header",
    Refusal.KEY_CONFLICT: "Idempotency key reused with a different request",
    Refusal.KEY_PENDING: "A request with this idempotency key is in progress",
    Refusal.MALFORMED: INVALID_REQUEST,
    Refusal.LIMIT: "Too many requests",
    Refusal.VELOCITY: "Too many messages to this range of numbers",
    Refusal.SPEND_CAP: "Daily spending limit reached",
    Refusal.CONVERSION: "Messages to this destination are paused",
    "rate_limited": "Too many requests",
    "method_not_allowed": "Method not allowed",
    "body_too_large": "Request body too large",
    "body_too_slow": "Request timeout",
    "store_unavailable": _BUSY,
    "promise_not_kept": _BUSY,
    "overloaded": _BUSY,
}
encode: Final = msgspec.json.Encoder().encode


class Row(msgspec.Struct):
    """A recipient."""

    id: str
    to: str
    status: str


def success(action: str, status: str, **more: object) -> Answer:
    """200 with the action and its status first, as the document shows it."""
    return Answer(200, encode({"request": action, "status": status} | more))


def failure(action: str, message: str, status: int = 200) -> Answer:
    """The shape of every error."""
    return Answer(status, encode({"request": action, "status": "error", "message": message}))


def word(problem: Problem, action: str) -> Answer:
    """Any problem in this dialect's shape."""
    known = _WORDS.get(problem.kind)
    if known is None:
        return failure(action, "Internal error", 500)
    return failure(action, known, problem.status if problem.status in _KEEPS_STATUS else 200)
