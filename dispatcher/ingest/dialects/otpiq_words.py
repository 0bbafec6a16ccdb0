"""OTPIQ's words: 400 under `error`, everything else under `message`, and which refusal is which.

This module refuses to know how anything came about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from dispatcher.core.model import Refusal
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects.amounts import number
from dispatcher.ingest.problems import Problem

TRIAL: Final = (
    "Account is in trial mode, you can only send sms to your own phone number for verification, "
    "add credit to send to other numbers"
)
UNAUTHORIZED: Final = "Unauthorized, please use your project api key"
_ELSEWHERE: Final = "This destination is not available"
_NOT_SENDABLE: Final = "The text cannot be sent"
_BAD: Final[Mapping[str, str]] = {
    Refusal.NUMBER_INVALID: "Invalid phone number format",
    Refusal.NO_PRICE: _ELSEWHERE,
    Refusal.NO_ROUTE: _ELSEWHERE,
    Refusal.DESTINATION: _ELSEWHERE,
    Refusal.OPTED_OUT: "The recipient has opted out",
    Refusal.TEXT_TOO_LONG: "The text is too long",
    Refusal.TEXT_EMPTY: _NOT_SENDABLE,
    Refusal.TEXT_INVALID: _NOT_SENDABLE,
    Refusal.ENCODING: _NOT_SENDABLE,
    Refusal.SENDER_INVALID: "SenderID not found",
    Refusal.SENDER_NOT_ALLOWED: "SenderID not found",
    Refusal.SENDER_REQUIRED: "SenderID is required",
    Refusal.PRICE_TOO_HIGH: "The text is too long",
    Refusal.MALFORMED: "Request body must be a JSON object",
    Refusal.OPTION: "Idempotency-Key must be 1 to 128 printable characters",
}
_SAID: Final[Mapping[str, tuple[int, str]]] = {
    "unauthorized": (401, UNAUTHORIZED),
    "unauthorized_missing": (401, UNAUTHORIZED),
    "expired_key": (401, UNAUTHORIZED),
    "forbidden": (401, UNAUTHORIZED),
    Refusal.SUSPENDED: (401, UNAUTHORIZED),
    Refusal.UNKNOWN_ACCOUNT: (401, UNAUTHORIZED),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "Method not allowed"),
    "body_too_slow": (408, "Request body too slow"),
    Refusal.KEY_CONFLICT: (409, "Idempotency key reused with a different request"),
    Refusal.KEY_PENDING: (409, "A request with this idempotency key is in progress"),
    "body_too_large": (413, "Request body too large"),
    "promise_not_kept": (503, "Service unavailable, please try again"),
    "store_unavailable": (503, "Service unavailable, please try again"),
    "overloaded": (503, "Service unavailable, please try again"),
}
_encode = msgspec.json.Encoder().encode


def encoded(status: int, body: Mapping[str, object]) -> Answer:
    """An answer of this body."""
    return Answer(status, _encode(body))


def bad(words: str) -> Answer:
    """400."""
    return encoded(400, {"error": words})


def failure(status: int, words: str) -> Answer:
    """Everything else that is an error."""
    return encoded(status, {"message": words})


def poor(credit: int, price: int) -> Answer:
    """The credit does not suffice; micro-units. 400, because the vendor's client looks for it there."""
    words = "Insufficient credit, please add more credit"
    amounts = {"yourCredit": number(max(0, credit)), "requiredCredit": number(price)}
    return encoded(400, {"error": words, **amounts, "canCover": False})


def too_many(retry_after_s: int, sends_max: int, window_minutes: int) -> Answer:
    """429 of the limit per number."""
    minutes = _minutes(retry_after_s)
    body = {"message": _later(minutes), "waitMinutes": minutes, "maxRequests": sends_max, "timeWindowMinutes": window_minutes}
    return encoded(429, body)


def threshold(spent: int, cap: int, price: int) -> Answer:
    """The account may spend no more today; micro-units."""
    amounts = {"currentSpending": number(spent), "spendingThreshold": number(cap), "cost": number(price)}
    return encoded(400, {"error": "Spending threshold reached", **amounts})


def word(problem: Problem) -> Answer:
    """Any other problem."""
    said = _SAID.get(problem.kind)
    if said is not None:
        return failure(*said)
    if problem.status == 429:
        minutes = _minutes(problem.retry_after_s)
        return encoded(429, {"message": _later(minutes), "waitMinutes": minutes})
    if problem.status >= 500:
        return failure(500, "Internal server error")
    return bad(_BAD.get(problem.kind, "Invalid request"))


def _minutes(seconds: int) -> int:
    return max(1, -(-seconds // 60))


def _later(minutes: int) -> str:
    return f"Rate limit exceeded. Please try again in {minutes} minutes."
