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

    UDH, 8-bit:  05 00 03 reference total index          index counts from 1
    UDH, 16-bit: 06 08 04 reference(2) total index

Two things must never be torn apart: an ESC from its extension character (the handset would show half a €), and a high
surrogate from its low one (it would show two boxes for an emoji). A segment ends one unit earlier instead. So the
number of segments cannot be had by dividing; `count` divides only where there is nothing to tear. Joined emoji and
letters with combining marks may be cut: every handset joins the text before it draws it.
"""

from __future__ import annotations

from smpp.errors import LocalProtocolError
from smpp.text import ESC, Encoding, encode

SEGMENTS_MAX = 255
"""A concatenation header counts in one byte."""
USER_DATA_OCTETS = 140

_SINGLE_BYTES = {Encoding.GSM7: 160, Encoding.UCS2: 140, Encoding.LATIN1: 140, Encoding.BINARY: 140}
_PART_BYTES = {Encoding.GSM7: 153, Encoding.UCS2: 134, Encoding.LATIN1: 134, Encoding.BINARY: 134}
_PART_BYTES_WIDE = {Encoding.GSM7: 152, Encoding.UCS2: 132, Encoding.LATIN1: 133, Encoding.BINARY: 133}


def cut(text: str, encoding: Encoding, wide: bool = False) -> list[bytes]:
    """The user data of each segment, without UDH; one element when the text fits a single message ("" does).

    `wide` is for a 16-bit reference. Raises LocalProtocolError when `text` is not of `encoding`. There may be more
    parts than SEGMENTS_MAX: only a header for them is refused.
    """
    data = encode(text, encoding)
    size = len(data)
    if size <= _SINGLE_BYTES[encoding]:
        return [data]
    part_bytes = (_PART_BYTES_WIDE if wide else _PART_BYTES)[encoding]
    if encoding == Encoding.GSM7:
        if ESC in data:
            return _cut_before(data, part_bytes, 1, ESC, ESC)
    elif encoding == Encoding.UCS2:
        return _cut_before(data, part_bytes, 2, 0xD8, 0xDB)
    return [data[start : start + part_bytes] for start in range(0, size, part_bytes)]


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


def count(text: str, encoding: Encoding, wide: bool = False) -> int:
    """How many segments `cut` gives, without building them where that is known sooner. Raises as `cut` does."""
    data = encode(text, encoding)
    size = len(data)
    if size <= _SINGLE_BYTES[encoding]:
        return 1
    if (encoding == Encoding.GSM7 and ESC in data) or encoding == Encoding.UCS2:
        return len(cut(text, encoding, wide))
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
