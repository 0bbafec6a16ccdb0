"""What a request to the Laravel dialect means: its numbers, its text, its days of expiry; and its dates (dialects 4).

This module refuses to know HTTP, keys and the store. Parameters come in as strings by name, as every framework of that
kind reads them from query, form or JSON; what is wrong comes out as a Misread, which holds the words of the answer and
never a value of the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

NUMBERS_MAX = 1000
"""Different numbers in one request."""
EXPIRY_DAYS_MAX = 365
DAY_MS = 86_400_000
COUNTRY_CODE = "254"
"""Of local numbers, where the account has none of its own."""
BAD_NUMBER = "Invalid phone number format."
TOO_MANY = f"The numbers field must not have more than {NUMBERS_MAX} numbers."
_E164 = re.compile(r"\+[1-9][0-9]{7,14}", re.ASCII)
_LOCAL = re.compile(r"0[0-9]{9}", re.ASCII)
_INTERNATIONAL = re.compile(r"[1-9][0-9]{10,14}", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


class Misread(Exception):
    """A parameter that is not what it should be; `words` are the answer's."""

    def __init__(self, words: str, field: str = "") -> None:
        super().__init__(words)
        self.words = words
        self.field = field


class Recipient(NamedTuple):
    """One number: as it was sent, and E.164 digits."""

    shown: str
    to: str


class Asked(NamedTuple):
    """A send: different numbers in their order, the text, and the sender if one was named."""

    recipients: list[Recipient]
    text: str
    sender: str | None


def asked(parameters: Mapping[str, str], country_code: str, *, v2: bool) -> Asked:
    """What a send asks for; `v2` also reads `to`, `message` and `sender`. Raises Misread."""
    numbers = _first(parameters, ("numbers", "to") if v2 else ("numbers",))
    text = _first(parameters, ("message_body", "message") if v2 else ("message_body",))
    for name, value in (("numbers", numbers), ("message_body", text)):
        if not value.strip():
            raise Misread(f"The {name} field is required.")
    sender = parameters.get("sender", "").strip() if v2 else ""
    return Asked(recipients(numbers, country_code), text, sender or None)


def _first(parameters: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The first of these names that has something to say."""
    return next((value for name in names if (value := parameters.get(name, "")).strip()), "")


def recipients(numbers: str, country_code: str) -> list[Recipient]:
    """The different numbers of a comma-separated list. Raises Misread: one bad number refuses all of them."""
    found: dict[str, Recipient] = {}
    for item in numbers.split(","):
        shown = item.strip()
        if not shown:
            continue
        to = digits(shown, country_code)
        if to is None:
            raise Misread(BAD_NUMBER)
        found.setdefault(to, Recipient(shown, to))
        if len(found) > NUMBERS_MAX:
            raise Misread(TOO_MANY)
    if not found:
        raise Misread(BAD_NUMBER)
    return list(found.values())


def digits(shown: str, country_code: str) -> str | None:
    """E.164 digits of `+` and 8 to 15 digits, of ten digits with a national 0, or of 11 to 15 digits; None otherwise."""
    if _E164.fullmatch(shown):
        return shown[1:]
    if _LOCAL.fullmatch(shown):
        return (country_code or COUNTRY_CODE) + shown[1:]
    return shown if _INTERNATIONAL.fullmatch(shown) else None


def expiry_days(parameters: Mapping[str, str]) -> int | None:
    """Days until a new key expires; None: never. Raises Misread with field `expiry_days`."""
    value = parameters.get("expiry_days", "").strip()
    if not value:
        return None
    rule = ""
    if not _INTEGER.fullmatch(value):
        rule = "be an integer"
    elif int(value) < 1:
        rule = "be at least 1"
    elif int(value) > EXPIRY_DAYS_MAX:
        rule = f"not be greater than {EXPIRY_DAYS_MAX}"
    if rule:
        raise Misread(f"The expiry days field must {rule}.", "expiry_days")
    return int(value)


def moment(at: int) -> str:
    """ISO 8601, UTC, six decimals, Z, of ms since 1970."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at % 1000:03d}000Z"
