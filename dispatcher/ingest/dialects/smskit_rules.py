"""What a request to SMSKit means: which action, which numbers, when; and its dates (dialects 5).

This module refuses to know HTTP, keys and the store. An action is the name of a query key that mostly has no value. What
is wrong comes out as a Misread with the words of the answer and never a value of the caller's, but for a message type
that exists and cannot be served.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import NamedTuple
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

RECIPIENTS_MAX = 50_000
SCHEDULE_DAYS_MAX = 30
DAY_MS = 86_400_000
SHOWN_CHARS_MAX = 32
"""Of a bad number, as it is shown again."""
CAMPAIGN_RECIPIENTS_MIN = 1001
"""A list this long is of class bulk."""
CHANNEL_ACTIONS = ("createchannel", "listchannel", "scanqr", "viewchannel", "clearqueue", "resetchannel", "deletechannel")
ACTIONS = ("sendsms", "groupstatus", "getinbox", "balance", *CHANNEL_ACTIONS)
SMS_TYPES = ("sms", "unicode", "flash")
OTHER_TYPES = ("voice", "mms", "whatsapp")
BAD_NUMBER = "Invalid destination number"
_NUMBER = re.compile(r"\+?([1-9][0-9]{6,14})", re.ASCII)
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})", re.ASCII)


class Misread(Exception):
    """A request that cannot be served; `words` are the answer's message."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Asked(NamedTuple):
    """A sendsms, its numbers still as one text. `not_before` ms, 0: at once."""

    kind: str
    sender: str
    to: str
    text: str
    not_before: int
    route: str


def action_of(query: bytes, names: Iterable[str]) -> str:
    """The first known action in the query, else the first among `names` (those of the body); "" for none."""
    asked = (name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    return next((name for names_of in (asked, names) for name in names_of if name in ACTIONS), "")


def required(parameters: Mapping[str, str], *names: str) -> str:
    """The first of these parameters that is there. Raises Misread naming the first."""
    for name in names:
        if value := parameters.get(name, ""):
            return value
    raise Misread(f"Missing parameter: {names[0]}")


def asked(parameters: Mapping[str, str], now: int, zone: str = "") -> Asked:
    """What a sendsms asks for, dates in the zone of that name. Raises Misread."""
    kind = parameters.get("type", "").strip() or "sms"
    if kind not in SMS_TYPES + OTHER_TYPES:
        raise Misread("Invalid message type")
    sender = required(parameters, "from").strip()
    to = required(parameters, "to")
    text = required(parameters, "text") if kind in SMS_TYPES else ""
    not_before = schedule(parameters.get("scheduledate", "").strip(), now, zone)
    route = parameters.get("route", "").strip()
    return Asked(kind, sender, to, text, not_before, "" if route == "0" else route)


def schedule(text: str, now: int, zone: str = "") -> int:
    """ms since 1970 UTC of `YYYY-MM-DD HH:MM:SS` in a zone; 0 for none and for the past. Of an hour that comes twice, the
    first. Raises Misread."""
    if not text:
        return 0
    match = _DATE.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part) for part in match.groups())
        at = int(datetime(year, month, day, hour, minute, second, tzinfo=zone_of(zone)).timestamp()) * 1000
    except (ValueError, OverflowError):
        raise Misread("Invalid schedule date") from None
    if at > now + SCHEDULE_DAYS_MAX * DAY_MS:
        raise Misread("Invalid schedule date")
    return at if at > now else 0


def number(item: str) -> str | None:
    """Digits of an optional `+` and 7 to 15 digits that do not begin with 0; None otherwise."""
    match = _NUMBER.fullmatch(item)
    return match[1] if match else None


def shown(item: str) -> str:
    """A bad number as it is listed: what was sent, without `+`, cut."""
    return item.removeprefix("+")[:SHOWN_CHARS_MAX]


@cache
def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name; UTC for "" and for what this machine does not know."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def date(at: int, zone: str = "") -> str:
    """`YYYY-MM-DD HH:MM:SS` in a zone, of ms since 1970."""
    return datetime.fromtimestamp(at // 1000, zone_of(zone)).strftime("%Y-%m-%d %H:%M:%S")


def group_status(statuses: Iterable[str]) -> str:
    """sent as soon as one is sent, else queued while one is queued, else failed."""
    found = set(statuses)
    return next((status for status in ("sent", "queued") if status in found), "failed")
