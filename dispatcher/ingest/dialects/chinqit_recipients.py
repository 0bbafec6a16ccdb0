"""A batch's recipients: read, judged by shape in Zod's words, and sorted by whether their numbers can be any.

This module refuses to know prices, routes and the store. Whatever grows with the batch is done in slices between which the
loop serves others. A body of the right form is decoded straight into its entries; only one of another form is looked
through entry by entry for the words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from dispatcher.ingest import bodies
from dispatcher.ingest.dialects import chinqit_words as words
from dispatcher.ingest.dialects.desk import Order
from dispatcher.ingest.dialects.frame import BOM, NotAnObject

RECIPIENTS_MAX: Final = 50_000
PHONE_CHARS_MAX: Final = 64
"""So much of what was sent as a number is told back and kept."""
SLICE: Final = 1_000
"""Recipients looked at between two turns of the loop: about 1 ms."""


class Recipient(msgspec.Struct, gc=False):
    """One entry of a batch as it is sent."""

    phone: str
    message: str


class _Batch(msgspec.Struct):
    recipients: list[Recipient]


class _Crowd(msgspec.Struct):
    recipients: list[bodies.Counted]


_new = tuple.__new__  # an Order without the detour through its named constructor, which takes thrice as long
_ALIKE: Final = Order("", "", None, "bulk", max_segments=words.SEGMENTS_MAX)[2:]
_decode = msgspec.json.Decoder(_Batch).decode
_decode_crowd = msgspec.json.Decoder(_Crowd).decode
_decode_any = msgspec.json.Decoder().decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Sorted(NamedTuple):
    """A batch's recipients: `orders` of those with a number of the right shape, `places` their indexes in the request, and
    (index, phone as sent) of the others."""

    orders: list[Order]
    places: list[int]
    invalid: list[tuple[int, str]]


async def read(body: bytes) -> tuple[list[Recipient], list[words.Issue]]:
    """A batch's recipients, or what is wrong with the body. Raises NotAnObject."""
    body = body.removeprefix(BOM)
    vast = bodies.is_vast(body, RECIPIENTS_MAX)
    try:
        if vast and bodies.holds_more(_decode_crowd, body, RECIPIENTS_MAX):
            return [], _of_length(range(RECIPIENTS_MAX + 1))
        recipients = _decode(body).recipients
    except msgspec.ValidationError:
        if vast:  # for the right words all of it would have to become objects
            raise NotAnObject from None
        return [], await _issues_of(body)
    except _BROKEN:
        raise NotAnObject from None
    issues = _of_length(recipients)
    for start in () if issues else range(0, len(recipients), SLICE):
        for index, recipient in enumerate(recipients[start : start + SLICE], start):
            if not recipient.message:
                issues.append(words.Issue(("recipients", index, "message"), words.EMPTY))
        await asyncio.sleep(0)
    return recipients, issues


async def _issues_of(body: bytes) -> list[words.Issue]:
    """What is wrong with a body that is not of the right form, in Zod's words."""
    try:
        found = _decode_any(body)
    except _BROKEN:  # behind the place where the form was found wrong
        raise NotAnObject from None
    if not isinstance(found, dict):
        raise NotAnObject
    if "recipients" not in found:
        return [words.Issue(("recipients",), words.REQUIRED)]
    recipients = found["recipients"]
    if not isinstance(recipients, list):
        return [words.Issue(("recipients",), words.wrong_type(recipients, "array"))]
    issues = _of_length(recipients)
    for start in () if issues else range(0, len(recipients), SLICE):
        for index, entry in enumerate(recipients[start : start + SLICE], start):
            issues += _of_entry(entry, index)
        if len(issues) >= words.ISSUES_MAX:
            break
        await asyncio.sleep(0)
    return issues


def _of_length(recipients: Sequence[object]) -> list[words.Issue]:
    if not recipients:
        return [words.Issue(("recipients",), "Array must contain at least 1 element(s)")]
    if len(recipients) > RECIPIENTS_MAX:
        return [words.Issue(("recipients",), f"Array must contain at most {RECIPIENTS_MAX} element(s)")]
    return []


def _of_entry(entry: Any, index: int) -> list[words.Issue]:
    if not isinstance(entry, dict):
        return [words.Issue(("recipients", index), words.wrong_type(entry, "object"))]
    issues = []
    for name in ("phone", "message"):
        if name not in entry:
            issues.append(words.Issue(("recipients", index, name), words.REQUIRED))
        elif not isinstance(entry[name], str):
            issues.append(words.Issue(("recipients", index, name), words.wrong_type(entry[name])))
        elif name == "message" and not entry[name]:
            issues.append(words.Issue(("recipients", index, name), words.EMPTY))
    return issues


async def sort(recipients: Sequence[Recipient], *, mauritania_only: bool) -> Sorted:
    """Those whose numbers have the right shape, and the others."""
    orders: list[Order] = []
    places: list[int] = []
    invalid: list[tuple[int, str]] = []
    for start in range(0, len(recipients), SLICE):
        if start:
            await asyncio.sleep(0)
        for index, recipient in enumerate(recipients[start : start + SLICE], start):
            to = words.phone_digits(recipient.phone, mauritania_only=mauritania_only)
            if to is None:
                invalid.append((index, recipient.phone[:PHONE_CHARS_MAX]))
            else:
                orders.append(_new(Order, (to, recipient.message, *_ALIKE)))
                places.append(index)
    return Sorted(orders, places, invalid)
