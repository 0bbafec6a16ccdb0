"""What a handset writes, as the deliver_sm of an SMSC: whole or in parts, numbered in any of the three ways.

It refuses to know over which session they leave, and in which order; whoever asks chooses. Numbers that cannot be (part 4 of 3)
are written as told: they are what tests are for.
"""

from __future__ import annotations

from smpp import constants as c
from smpp.codec import deliver_sm_body
from smpp.segments import concat_header, cut
from smpp.text import Encoding, gsm7

WAYS = ("udh8", "udh16", "sar")


def message(source: str, dest: str, text: str, way: str = "udh8", reference: int = 1) -> list[bytes]:
    """deliver_sm bodies of a text in the order of its parts; one when it fits into one. Raises LocalProtocolError."""
    encoding = Encoding.UCS2 if gsm7(text) is None else Encoding.GSM7
    parts = cut(text, encoding, wide=way == "udh16")
    if len(parts) == 1:
        return [deliver_sm_body(source, dest, parts[0], data_coding=encoding)]
    return [part(source, dest, data, encoding, way, reference, len(parts), place) for place, data in enumerate(parts, 1)]


def part(source: str, dest: str, data: bytes, coding: int, way: str, reference: int, total: int, place: int) -> bytes:
    """One part's deliver_sm body, whatever its numbers (one octet each; the reference two, of which udh8 takes the lower)."""
    if way == "sar":
        tlvs = {
            int(c.Tlv.SAR_MSG_REF_NUM): (reference & 0xFFFF).to_bytes(2, "big"),
            int(c.Tlv.SAR_TOTAL_SEGMENTS): bytes([total]),
            int(c.Tlv.SAR_SEGMENT_SEQNUM): bytes([place]),
        }
        return deliver_sm_body(source, dest, data, data_coding=coding, tlvs=tlvs)
    wide = way == "udh16"
    if 1 <= place <= total:
        header = concat_header(reference & (0xFFFF if wide else 0xFF), total, place, wide)
    else:
        header = bytes(
            [6, 8, 4, reference >> 8 & 255, reference & 255, total, place] if wide else [5, 0, 3, reference & 255, total, place]
        )
    return deliver_sm_body(source, dest, header + data, esm_class=c.ESM_UDHI, data_coding=coding)
