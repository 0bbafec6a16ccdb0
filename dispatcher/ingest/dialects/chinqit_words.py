"""What Chinqit's two APIs say and accept alike: bodies of errors, validation in the words of the Zod library, phone numbers,
and what a message's state is called.

This module refuses to decide anything but shapes. Zod is what Chinqit validates with; its sentences are in the documents
("String must contain at least 1 character(s)"), so clients may match them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from accounting.money import to_micro
from dispatcher.core.model import Refusal
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects.amounts import number
from dispatcher.ingest.dialects.shown import IN_THREE_WORDS, Shown, ShownState
from dispatcher.ingest.problems import Problem
from smpp.segments import count
from smpp.text import Encoding, narrowest

SEGMENTS_MAX: Final = 10
"""Parts of one message."""
ISSUES_MAX: Final = 100
"""Problems of a body that are told at most."""
PHONE_FORMAT: Final = "Invalid phone number format"
TOO_FAST: Final = "Rate limit exceeded. Please try again later."
REQUIRED: Final = "Required"
EMPTY: Final = "String must contain at least 1 character(s)"
_MALFORMED: Final = "Invalid"
_MAURITANIA: Final = re.compile(r"(?:\+?222)?([234][0-9]{7})", re.ASCII)
_INTERNATIONAL: Final = re.compile(r"\+(?!222)([1-9][0-9]{7,14})", re.ASCII)
_HASH: Final = re.compile(r"[A-Za-z0-9+/]+", re.ASCII)
_OTP: Final = re.compile(r"[0-9]+", re.ASCII)
_ENCODINGS: Final = (Encoding.GSM7, Encoding.UCS2)

encode: Final = msgspec.json.Encoder().encode
_JSON_TYPES: Final[dict[type, str]] = {
    str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object", type(None): "null",
}  # fmt: skip


TEXT_WORDS: Final[Mapping[str, str]] = {
    Refusal.TEXT_EMPTY: EMPTY,
    Refusal.TEXT_TOO_LONG: "String is too long",
    Refusal.TEXT_INVALID: _MALFORMED,
    Refusal.ENCODING: _MALFORMED,
}
"""Why a text cannot be sent."""


class Issue(msgspec.Struct, frozen=True):
    """One thing wrong with a body, as Zod says it: keys and array indexes that lead to it, and the sentence."""

    path: Sequence[str | int]
    message: str


def phone_digits(phone: str, *, mauritania_only: bool = False) -> str | None:
    """E.164 digits of a number as Chinqit takes it, None for what it does not: `+` and any country's, or a Mauritanian one as
    +222XXXXXXXX, 222XXXXXXXX or XXXXXXXX where the first X is 2, 3 or 4."""
    if not mauritania_only and (foreign := _INTERNATIONAL.fullmatch(phone)) is not None:
        return foreign[1]
    local = _MAURITANIA.fullmatch(phone)
    return None if local is None else "222" + local[1]


def wrong_type(value: object, expected: str = "string") -> str:
    """Zod's sentence for a value of another JSON type."""
    return f"Expected {expected}, received {_JSON_TYPES[type(value)]}"


class Fields:
    """A body's fields, read in the order in which their problems are to be told. A field that is wrong reads as ""."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self.issues: list[Issue] = []

    def text(self, name: str) -> str:
        """A required text of at least one character."""
        value = self._string(name, required=True)
        if value == "":
            self._wrong(name, EMPTY)
        return value or ""

    def phone(self, name: str, *, mauritania_only: bool) -> str:
        """A required number, as E.164 digits."""
        value = self._string(name, required=True)
        if value is None:
            return ""
        digits = phone_digits(value, mauritania_only=mauritania_only)
        if digits is None:
            self._wrong(name, PHONE_FORMAT)
        return digits or ""

    def hash(self, name: str = "hash") -> str:
        """An optional hash of Android's SMS Retriever."""
        return self._exactly(name, 11, _HASH, required=False)

    def otp(self, name: str = "otp") -> str:
        """The required six digits of a guess."""
        return self._exactly(name, 6, _OTP, required=True)

    def choice(self, name: str, values: Sequence[str]) -> str:
        """An optional one of `values`; the first when absent."""
        value = self._string(name, required=False)
        if value is None:
            return values[0]
        if value not in values:
            expected = " | ".join(f"'{each}'" for each in values)
            self._wrong(name, f"Invalid enum value. Expected {expected}, received '{value[:64]}'")
            return ""
        return value

    def _exactly(self, name: str, chars: int, form: re.Pattern[str], *, required: bool) -> str:
        value = self._string(name, required=required)
        if value is None:
            return ""
        if len(value) != chars:
            self._wrong(name, f"String must contain exactly {chars} character(s)")
            return ""
        if not form.fullmatch(value):
            self._wrong(name, _MALFORMED)
            return ""
        return value

    def _string(self, name: str, *, required: bool) -> str | None:
        if name not in self._body:
            if required:
                self._wrong(name, REQUIRED)
            return None
        value = self._body[name]
        if isinstance(value, str):
            return value
        self._wrong(name, wrong_type(value))
        return None

    def _wrong(self, name: str, message: str) -> None:
        self.issues.append(Issue((name,), message))


def too_long(text: str, tail: str) -> str:
    """Zod's sentence for a text that does not go into SEGMENTS_MAX parts with `tail` behind it, with the most that would."""
    least, most = 0, min(len(text), SEGMENTS_MAX * 160)
    while least < most:
        middle = (least + most + 1) // 2
        whole = text[:middle] + tail
        encoding = narrowest(whole, _ENCODINGS)
        if encoding is not None and count(whole, encoding) <= SEGMENTS_MAX:
            least = middle
        else:
            most = middle - 1
    return f"String must contain at most {least} character(s)"


def text_sentence(reason: str, text: str, tail: str) -> str:
    """Zod's sentence for a text that admission refused for `reason`."""
    if reason == Refusal.TEXT_TOO_LONG:
        return too_long(text, tail)
    return TEXT_WORDS.get(reason, _MALFORMED)


# -- answers


def failure(status: int, message: str, **more: Any) -> Answer:
    """The shape of every error."""
    return Answer(status, encode({"success": False, "message": message} | more))


def invalid(issues: Sequence[Issue]) -> Answer:
    """400 with what is wrong, at most the first hundred."""
    return failure(400, "Validation failed", errors=issues[:ISSUES_MAX])


def no_credit(required: int, valid: int, invalid_count: int) -> Answer:
    """402: what it would have cost, micro-units, and for how many."""
    details = {"requiredAmount": number(required), "validRecipients": valid, "invalidRecipients": invalid_count}
    return failure(402, "Insufficient balance", details=details, code="NO_CREDIT")


_NOT_QUEUED: Final = (503, "Failed to queue message", {"code": "QUEUE_ERROR"})
_TOO_FAST: Final[tuple[int, str, dict[str, str]]] = (429, TOO_FAST, {})
_WRONG_KEY: Final[tuple[int, str, dict[str, str]]] = (403, "Invalid API key", {})
_BILLING: Final = (500, "Billing transaction failed", {"code": "BILLING_FAILED"})
_WORDS: Final[Mapping[str, tuple[int, str, dict[str, str]]]] = {
    "unauthorized_missing": (401, "API key is required", {}),
    "unauthorized": _WRONG_KEY,
    "expired_key": _WRONG_KEY,
    "forbidden": _WRONG_KEY,
    Refusal.SUSPENDED: _WRONG_KEY,
    Refusal.UNKNOWN_ACCOUNT: _WRONG_KEY,
    "not_found": (404, "Resource not found", {}),
    "method_not_allowed": (405, "Method not allowed", {}),
    "body_too_slow": (408, "Request timeout", {}),
    Refusal.KEY_PENDING: (409, "A request with this idempotency key is in progress", {}),
    Refusal.KEY_CONFLICT: (409, "Idempotency key reused with a different request", {}),
    "body_too_large": (413, "Request body too large", {}),
    "rate_limited": _TOO_FAST,
    Refusal.LIMIT: _TOO_FAST,
    Refusal.VELOCITY: _TOO_FAST,
    Refusal.SPEND_CAP: _TOO_FAST,
    Refusal.CONVERSION: _TOO_FAST,
    "store_unavailable": _NOT_QUEUED,
    "promise_not_kept": _NOT_QUEUED,
    "overloaded": _NOT_QUEUED,
}
DESTINATION_WORDS: Final[Mapping[str, str]] = {
    Refusal.NUMBER_INVALID: PHONE_FORMAT,
    Refusal.NO_PRICE: "Destination is not supported",
    Refusal.NO_ROUTE: "Destination is not supported",
    Refusal.DESTINATION: "Destination is not supported",
    Refusal.OPTED_OUT: "Recipient has opted out",
}
"""Why a number that has the right shape gets nothing."""
DESTINATION_SENTENCES: Final = tuple(dict.fromkeys(DESTINATION_WORDS.values()))
"""Each once; their places are kept in tickets, so new ones go to the end."""


def word(problem: Problem, phone_field: str, text_field: str, *, sends: bool) -> Answer:
    """Any problem in Chinqit's shape. `sends`: the request would have sent something."""
    kind = problem.kind
    if kind == Refusal.MALFORMED:
        return invalid([Issue((), "Invalid JSON")])
    if kind == Refusal.BALANCE:
        return no_credit(to_micro(problem.document.price or "0"), 1, 0)
    if kind == Refusal.NO_PRICE and _about_account(problem):
        status, message, more = _BILLING
        return failure(status, message, **more)
    if kind in DESTINATION_WORDS:
        return invalid([Issue((phone_field,), DESTINATION_WORDS[kind])])
    if kind in TEXT_WORDS:
        return invalid([Issue((text_field,), TEXT_WORDS[kind])])
    if kind == Refusal.OPTION:
        return failure(400, "Invalid Idempotency-Key header")
    found = _WORDS.get(kind)
    if found is None:
        return failure(max(problem.status, 500), "Internal server error")
    if found is _NOT_QUEUED and not sends:
        return failure(503, "Service temporarily unavailable")
    status, message, more = found
    return failure(status, message, **more)


def _about_account(problem: Problem) -> bool:
    return any(error.path == "$.account" for error in problem.document.errors)


# -- states

PENDING: Final = "pending"
QUEUED: Final = "queued"
SENT: Final = "sent"
FAILED: Final = "failed"
STATUS: Final[Mapping[ShownState, str]] = {**IN_THREE_WORDS, "accepted": PENDING}
"""Our states in Chinqit's words (1.2)."""
_BAD_ADDRESS: Final = frozenset({"ESME_RINVDSTADR", "ESME_RINVDSTTON", "ESME_RINVDSTNPI", "invalid_number"})
_WHY: Final[Mapping[ShownState, tuple[str, str]]] = {
    "undelivered": ("Message was not delivered", "UNDELIVERED"),
    "failed": ("Message could not be sent", "CARRIER_REJECTED"),
    "expired": ("Message expired before it could be delivered", "EXPIRED"),
    "rejected": ("Message was rejected by the carrier", "CARRIER_REJECTED"),
    "cancelled": ("Message was cancelled", "QUEUE_ERROR"),
}


def why(shown: Shown) -> tuple[str, str]:
    """Of a failed message: `error` in words, and the code that goes with it in a batch."""
    if shown.cause in _BAD_ADDRESS:
        return "Invalid destination address", "INVALID_DESTINATION"
    return _WHY[shown.state]
