"""Rows that are alike, written once: the bytes of one of them with gaps for what differs.

It refuses to know what a row says. A mould is made by encoding a row in which every value that differs is a gap, a text of
as many characters as the values have; what stands between the gaps is kept. A row is then a handful of texts put together,
for a tenth of the price of an object and its encoding. Bytes are held as Latin-1 text, each octet a character, because a
formatted string is the cheapest way that Python has to put pieces together, and a batch is encoded once.

Values for gaps must be ASCII and as long as the gap: a text's length stands before it in msgpack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

ID_GAP: Final = "\x01" * 26
HASH_GAP: Final = "\x02" * 16
CARRIER_ID_GAP: Final = "\x7f"
CARRIER_ID_CHARS_MIN: Final = 4
"""A shorter gap might be taken for numbers around it."""
REFERENCE_GAP: Final = "\x04" * 8
"""Stands in a head for a concatenation reference; `REFERENCE_PACKED` is what becomes of it, and `integer_text` goes there."""
_pack: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
REFERENCE_PACKED: Final = _pack(REFERENCE_GAP).decode("latin-1")
_SMALL: Final = [_pack(number).decode("latin-1") for number in range(256)]


def carrier_id_gap(chars: int, number: int) -> str:
    """A gap for the id of segment `number` (1-based): each segment has another, as their ids are different."""
    return f"{CARRIER_ID_GAP * (chars - 2)}{chr(1 + (number >> 6))}{chr(1 + (number & 63))}"


def moulded(row: Any, *gaps: str) -> tuple[str, ...] | None:
    """What stands before, between and behind the `gaps` in the row's msgpack, in their order. None where that is not clear,
    because a gap is not there or something else in the row looks like one."""
    rest = _pack(row).decode("latin-1")
    parts: list[str] = []
    for gap in gaps:
        before, found, rest = rest.partition(gap)
        if not found:
            return None
        parts.append(before)
    parts.append(rest)
    if any(gap in part for gap in gaps for part in parts):
        return None
    return tuple(parts)


def integer_text(value: int) -> str:
    """An integer in msgpack: a reference, a time."""
    return _SMALL[value] if 0 <= value < 256 else _pack(value).decode("latin-1")


def list_of(rows: Sequence[str]) -> bytes:
    """A msgpack list of rows that are msgpack already, as Latin-1 text."""
    count = len(rows)
    head = bytes((0x90 | count,)) if count < 16 else b"\xdc%b" % count.to_bytes(2, "big")
    return head + "".join(rows).encode("latin-1")
