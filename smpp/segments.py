"""User data cut into segments, and the header that joins them again on the handset.

This module refuses to know how a segment travels (codec.py) and which reference number it has (the caller counts).

Why a long message is not 160 + 160
-----------------------------------
A short message carries 140 octets. A message of several segments spends six or seven of them on a user data header
(3GPP TS 23.040, 9.2.3.24.1), so the limits drop:

| Encoding | unit | single | 8-bit reference | 16-bit reference (`wide`) |
|---|---|---|---|---|
| GSM 7-bit | septet | 160 | 153 | 152 |
| UCS-2 | UTF-16 unit | 70 | 67 | 66 |
| Latin-1, binary | octet | 140 | 134 | 133 |
| ASCII | septet it becomes | 160 | 153 | 152 |

    UDH, 8-bit:  05 00 03 reference total index          index counts from 1
    UDH, 16-bit: 06 08 04 reference(2) total index

A header with national language tables (national.py) takes three octets more for each: 155 or 152 septets alone, 149 or 146 a
part (148 or 145 with a 16-bit reference).

Two things must never be torn apart: an ESC from its extension character (the handset would show half a €), and a high
surrogate from its low one (it would show two boxes for an emoji). A segment ends one unit earlier instead. So the
number of segments cannot be had by dividing; `count` divides only where there is nothing to tear.

A third thing is kept together where that costs nothing: what a reader sees as one character (graphemes.py), since some handsets
draw each part alone while they wait. A cut goes before it when the rest still fits into as many segments as before.
"""

from __future__ import annotations

from itertools import pairwise

from smpp.errors import LocalProtocolError
from smpp.graphemes import CLUSTER_CHARS_MAX, breaks
from smpp.national import elements, septets, tables_of, widths
from smpp.text import ESC, Encoding, checked_ascii, encode, from_gsm7

SEGMENTS_MAX = 255
"""A concatenation header counts in one byte."""
USER_DATA_OCTETS = 140

_SINGLE_BYTES = {Encoding.GSM7: 160, Encoding.UCS2: 140, Encoding.LATIN1: 140, Encoding.BINARY: 140}
_PART_BYTES = {Encoding.GSM7: 153, Encoding.UCS2: 134, Encoding.LATIN1: 134, Encoding.BINARY: 134}
_SEPTETS_SINGLE, _SEPTETS, _SEPTETS_WIDE = 160, 153, 152
_PART_BYTES_WIDE = {Encoding.GSM7: 152, Encoding.UCS2: 132, Encoding.LATIN1: 133, Encoding.BINARY: 133}


def room(encoding: Encoding, total: int, wide: bool = False, shift: int = 0) -> int:
    """Octets of user data that one of `total` segments holds beside its header; for GSM 7-bit and ASCII, septets."""
    if shift:
        header = len(elements(shift)) + (1 if total == 1 else 7 if wide else 6)
        return (USER_DATA_OCTETS - header) * 8 // 7
    encoding = Encoding.GSM7 if encoding == Encoding.ASCII else encoding
    return (_SINGLE_BYTES if total == 1 else _PART_BYTES_WIDE if wide else _PART_BYTES)[encoding]


def cut(text: str, encoding: Encoding, wide: bool = False, shift: int = 0) -> list[bytes]:
    """The user data of each segment, without UDH; one element when the text fits a single message ("" does).

    `wide` is for a 16-bit reference; `shift` the national tables of a GSM 7-bit text (national.shift_of). Raises
    LocalProtocolError when `text` is not of `encoding`. There may be more parts than SEGMENTS_MAX: only a header for
    them is refused.
    """
    if shift:
        return _cut_shifted(text, shift, wide)
    if encoding == Encoding.ASCII:
        return [from_gsm7(part).encode("ascii") for part in cut(checked_ascii(text), Encoding.GSM7, wide)]
    data = encode(text, encoding)
    if encoding == Encoding.GSM7:
        return cut_septets(data, wide)
    size = len(data)
    if size <= _SINGLE_BYTES[encoding]:
        return [data]
    part_bytes = (_PART_BYTES_WIDE if wide else _PART_BYTES)[encoding]
    if encoding == Encoding.UCS2:
        parts = _cut_before(data, part_bytes, 2, 0xD8, 0xDB)
        if _tears(parts):
            ends = _kind_ends(text, [2 if character < "\U00010000" else 4 for character in text], part_bytes)
            return [encode(piece, encoding) for piece in _pieces(text, ends)]
        return parts
    return [data[start : start + part_bytes] for start in range(0, size, part_bytes)]


def cut_septets(data: bytes, wide: bool = False) -> list[bytes]:
    """`cut` of a text that is unpacked septets already (text.gsm7)."""
    size, part_bytes = len(data), _SEPTETS_WIDE if wide else _SEPTETS
    if size <= _SEPTETS_SINGLE:
        return [data]
    if ESC in data:
        return _cut_before(data, part_bytes, 1, ESC, ESC)
    return [data[start : start + part_bytes] for start in range(0, size, part_bytes)]


def count_septets(data: bytes, wide: bool = False) -> int:
    """How many segments `cut_septets` gives."""
    if len(data) > _SEPTETS_SINGLE and ESC not in data:
        return -(-len(data) // (_SEPTETS_WIDE if wide else _SEPTETS))
    return len(cut_septets(data, wide))


def _cut_shifted(text: str, shift: int, wide: bool) -> list[bytes]:
    tables = tables_of(shift)
    data = septets(text, *tables)
    if data is None:
        raise LocalProtocolError("text: a character outside the national tables")
    if len(data) <= room(Encoding.GSM7, 1, wide, shift):
        return [data]
    ends = _kind_ends(text, widths(text, *tables), room(Encoding.GSM7, 2, wide, shift))
    return [septets(piece, *tables) or b"" for piece in _pieces(text, ends)]


def _pieces(text: str, ends: list[int]) -> list[str]:
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _tears(parts: list[bytes]) -> bool:
    """Does a cut between these UTF-16 parts go through what a reader sees as one character?"""
    for left, right in pairwise(parts):
        before = left[-4 * CLUSTER_CHARS_MAX :].decode("utf-16-be", "ignore")
        after = right[:4].decode("utf-16-be", "ignore")
        if before and after and not breaks(before, after):
            return True
    return False


def _kind_ends(text: str, widths: list[int], part_units: int) -> list[int]:
    """Where each part ends: as late as it can, or before what would be torn, if the rest needs no segment more for it."""
    size = len(text)
    furthest, needed = [size] * size, [0] * (size + 1)
    end, used = size, 0
    for start in range(size - 1, -1, -1):
        used += widths[start]
        while used > part_units:
            end -= 1
            used -= widths[end]
        furthest[start] = end
        needed[start] = 1 + needed[end]
    ends: list[int] = []
    start = 0
    while start < size:
        hard = end = furthest[start]
        while start < end < size and hard - end < CLUSTER_CHARS_MAX and not breaks(text[start:end], text[end]):
            end -= 1
        good = start < end and hard - end < CLUSTER_CHARS_MAX and needed[end] <= needed[hard]
        start = end if good else hard
        ends.append(start)
    return ends


def _cut_before(data: bytes, part_bytes: int, unit_bytes: int, first: int, last: int) -> list[bytes]:
    """Cut at `part_bytes`, or one unit earlier where the last unit's first byte (ESC or a high surrogate's, that is
    `first`..`last`) says that it belongs to the next one. Such a unit never ends the data."""
    parts: list[bytes] = []
    start, size = 0, len(data)
    while size - start > part_bytes:
        end = start + part_bytes
        if first <= data[end - unit_bytes] <= last:
            end -= unit_bytes
        parts.append(data[start:end])
        start = end
    parts.append(data[start:])
    return parts


def count(text: str, encoding: Encoding, wide: bool = False, shift: int = 0) -> int:
    """How many segments `cut` gives, without building them where that is known sooner. Raises as `cut` does."""
    if shift:
        return len(_cut_shifted(text, shift, wide))
    if encoding == Encoding.ASCII:
        return count(checked_ascii(text), Encoding.GSM7, wide)
    data = encode(text, encoding)
    if encoding == Encoding.GSM7:
        return count_septets(data, wide)
    size = len(data)
    if size <= _SINGLE_BYTES[encoding]:
        return 1
    if encoding == Encoding.UCS2:
        return len(_cut_before(data, room(encoding, 2, wide), 2, 0xD8, 0xDB))
    return -(-size // (_PART_BYTES_WIDE if wide else _PART_BYTES)[encoding])


def cut_bytes(data: bytes, udh_len: int = 0) -> list[bytes]:
    """Binary user data in parts of at most 140 - `udh_len` octets, where `udh_len` octets of header (6, or 7 for a 16-bit
    reference, plus the sender's own elements; 0 for a single message) will stand before each.

    Raises LocalProtocolError when the header leaves no room for data.
    """
    part_bytes = USER_DATA_OCTETS - udh_len
    if udh_len < 0 or part_bytes < 1:
        raise LocalProtocolError(f"udh: {udh_len} octets leave no room for data")
    return [data[start : start + part_bytes] for start in range(0, len(data), part_bytes)] or [b""]


def count_bytes(size_octets: int, udh_len: int = 0, wide: bool = False) -> int:
    """How many segments binary data of `size_octets` needs beside the sender's own header of `udh_len` octets (its length
    octet included, 0 for none), to which a concatenation element is added when one segment is not enough.

    Raises LocalProtocolError when the header leaves no room for data.
    """
    if size_octets <= USER_DATA_OCTETS - udh_len:
        return 1
    part_bytes = USER_DATA_OCTETS - max(udh_len, 1) - (6 if wide else 5)
    if udh_len < 0 or part_bytes < 1:
        raise LocalProtocolError(f"udh: {udh_len} octets leave no room for data")
    return -(-size_octets // part_bytes)


def header(elements: bytes) -> bytes:
    """A UDH of these elements; b"" for none."""
    return bytes((len(elements),)) + elements if elements else b""


def concat_header(reference: int, total: int, index: int, wide: bool = False, udh: bytes = b"") -> bytes:
    """The UDH of part `index` (from 1) of `total`, with the elements of the sender's own `udh` behind it.

    `reference` is taken modulo 256, or 65,536 when `wide`. Raises LocalProtocolError for a total above 255, an index
    outside 1..total, or a `udh` that is not what its length octet says.
    """
    if not 1 <= index <= total <= SEGMENTS_MAX:
        raise LocalProtocolError(f"segment {index} of {total}: at most {SEGMENTS_MAX}")
    if udh and udh[0] != len(udh) - 1:
        raise LocalProtocolError("udh: its length octet does not match")
    own = udh[1:]
    if wide:
        return bytes((6 + len(own), 8, 4, reference >> 8 & 0xFF, reference & 0xFF, total, index)) + own
    return bytes((5 + len(own), 0, 3, reference & 0xFF, total, index)) + own


def concat_stem(reference: int, total: int, wide: bool = False) -> bytes:
    """What the headers of all parts begin with: `concat_header` but for its last octet, the part's number. Raises for a total
    above 255."""
    if not 1 <= total <= SEGMENTS_MAX:
        raise LocalProtocolError(f"{total} segments: at most {SEGMENTS_MAX}")
    if wide:
        return bytes((6, 8, 4, reference >> 8 & 0xFF, reference & 0xFF, total))
    return bytes((5, 0, 3, reference & 0xFF, total))
