"""What a handset's message holds: its user data header, its place among several parts, and its text.

This module refuses to know who the message is for and where parts wait for each other. It reads what anybody may have
written, so nothing in it raises: a header that is not one is user data, a part number that cannot be is no part.

Three ways to say "part 2 of 3"
-------------------------------
| Way | Where | reference |
|---|---|---|
| 8-bit | UDH element 00 03 | one octet |
| 16-bit | UDH element 08 04 | two octets |
| SAR | TLVs sar_msg_ref_num, sar_total_segments, sar_segment_seqnum | two octets |

A header and TLVs at once: the header counts, since it came from the handset and the TLVs from somebody on the way.

data_coding
-----------
| Value | Read as |
|---|---|
| 0, 0x10-0x13, 0xC0-0xDF, 0xF0-0xF3, 0xF8-0xFB | GSM 7-bit default alphabet, one septet an octet |
| 1 | ASCII (as Latin-1, of which it is a part) |
| 3 | Latin-1 |
| 6, 7 | ISO 8859-5 (Cyrillic), ISO 8859-8 (Hebrew) |
| 8, 0x18-0x1B, 0xE0-0xEF | UCS-2, which handsets fill with UTF-16 |
| everything else | binary |

The classes of 3GPP TS 23.038 (0x10 and up) are none of SMPP's own values; carriers hand them through all the same. A header
with ports makes any of them binary: it is not for reading. One with national tables (national.py) changes how septets are read,
in its own part only. Packed septets (quirk 38) are told by nothing in the PDU: who calls knows the carrier.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal, NamedTuple

import smpp.constants as c
from smpp.codec import ShortMessage
from smpp.national import ELEMENT_LOCKING, ELEMENT_SINGLE, LOCKING, SINGLE, from_septets
from smpp.septets import fill_bits, unpack
from smpp.text import from_gsm7

PART_BYTES_MAX = 512
"""User data of one part: SMS has 160 octets. Longer ones are messages of their own, whatever number they bear."""

_CONCAT_8, _CONCAT_16 = 0x00, 0x08
_PORTS = frozenset({0x04, 0x05})
"""Header elements whose user data is not ours to read: ports, 8 and 16 bits."""
_SHIFTED = "gsm7/"

Alphabet = str
"""gsm7, latin-1, iso8859-5, iso8859-8, utf-16-be, "" (binary), or gsm7/LOCKING/SINGLE with numbers of national languages."""


class Content(NamedTuple):
    """The user data of one short message. `header` is the UDH as it came ("" none), `data` what follows it; `alphabet` how
    to read it ("": binary). `place` of `total` under `reference`, by `way` (udh8, udh16, sar; "": not a part)."""

    data: bytes
    header: bytes
    alphabet: Alphabet
    way: Literal["", "udh8", "udh16", "sar"] = ""
    reference: int = 0
    total: int = 1
    place: int = 1


def content_of(deliver: ShortMessage, packed: bool = False) -> Content:
    """Takes a deliver_sm's user data apart; `packed`: its carrier packs septets. Never raises."""
    data = deliver.short_message
    alphabet = alphabet_of(deliver.data_coding)
    header, elements = b"", {}
    if deliver.esm_class & c.ESM_UDHI:
        found = _elements(data)
        if found is None:
            return Content(data, b"", "")
        elements = found
        header, data = data[: data[0] + 1], data[data[0] + 1 :]
        if not _PORTS.isdisjoint(elements):
            alphabet = ""
        elif alphabet == "gsm7":
            alphabet = _shifted(elements)
    if packed and alphabet.startswith("gsm7"):
        data = unpack(data, fill_bits(len(header)))
    content = Content(data, header, alphabet)
    if len(data) > PART_BYTES_MAX:
        return content
    narrow, wide = elements.get(_CONCAT_8, b""), elements.get(_CONCAT_16, b"")
    if len(narrow) == 3:
        return _placed(content, "udh8", narrow[0], narrow[1], narrow[2])
    if len(wide) == 4:
        return _placed(content, "udh16", (wide[0] << 8) | wide[1], wide[2], wide[3])
    tlvs = deliver.tlvs
    reference, total, index = (
        tlvs.get(tag, b"") for tag in (c.Tlv.SAR_MSG_REF_NUM, c.Tlv.SAR_TOTAL_SEGMENTS, c.Tlv.SAR_SEGMENT_SEQNUM)
    )
    if len(reference) == 2 and len(total) == len(index) == 1:
        return _placed(content, "sar", (reference[0] << 8) | reference[1], total[0], index[0])
    return content


def _shifted(elements: dict[int, bytes]) -> Alphabet:
    """The alphabet of septets under a header. A language that we have no table for counts as none (23.038, 6.2.1.2.4)."""
    locking, single = (elements.get(e, b"") for e in (ELEMENT_LOCKING, ELEMENT_SINGLE))
    tables = (
        locking[0] if len(locking) == 1 and locking[0] in LOCKING else 0,
        single[0] if len(single) == 1 and single[0] in SINGLE else 0,
    )
    return f"{_SHIFTED}{tables[0]}/{tables[1]}" if any(tables) else "gsm7"


def _placed(content: Content, way: Literal["udh8", "udh16", "sar"], reference: int, total: int, place: int) -> Content:
    if total > 1 and 1 <= place <= total:
        return content._replace(way=way, reference=reference, total=total, place=place)
    return content


def _elements(data: bytes) -> dict[int, bytes] | None:
    """The header's elements by number, the last of each; None when it does not fit into the data or into itself."""
    if not data or data[0] >= len(data):
        return None
    end, position = data[0] + 1, 1
    found: dict[int, bytes] = {}
    while position < end:
        if position + 2 > end or position + 2 + data[position + 1] > end:
            return None
        start = position + 2
        found[data[position]] = data[start : start + data[position + 1]]
        position = start + data[position + 1]
    return found


def alphabet_of(data_coding: int) -> Alphabet:
    """How user data of this data_coding is read; "" when it is not text or not ours to read."""
    plain: dict[int, Alphabet] = {
        0: "gsm7",
        1: "latin-1",
        3: "latin-1",
        6: "iso8859-5",
        7: "iso8859-8",
        8: "utf-16-be",
    }
    if data_coding < 0x10:
        return plain.get(data_coding, "")
    if data_coding < 0x20:
        return ("gsm7", "", "utf-16-be", "")[(data_coding >> 2) & 3]
    if data_coding < 0xC0:
        return ""
    if data_coding < 0xE0:
        return "gsm7"
    if data_coding < 0xF0:
        return "utf-16-be"
    return "" if data_coding & 4 else "gsm7"


def text_of(pieces: Sequence[tuple[str, bytes]]) -> str | None:
    """The text of (alphabet, data) in their order; None when one of them is binary or does not decode.

    Neighbours of one alphabet are read as one: a sender may tear an escape or a surrogate pair between two parts.
    """
    texts: list[str] = []
    for alphabet, run in groupby(pieces, key=lambda piece: piece[0]):
        data = b"".join(part for _, part in run)
        if not alphabet:
            return None
        try:
            texts.append(_read(alphabet, data))
        except UnicodeDecodeError:
            return None
    return "".join(texts)


def _read(alphabet: Alphabet, data: bytes) -> str:
    if alphabet == "gsm7":
        return from_gsm7(data)
    if alphabet.startswith(_SHIFTED):
        locking, single = alphabet.removeprefix(_SHIFTED).split("/")
        return from_septets(data, int(locking), int(single))
    return data.decode(alphabet)
