"""How one carrier wants messages written where it differs: data_coding values, packed septets, concatenation, addresses.

Refuses to know templates, validity and which message goes where (encode.py). `odd` says whether a carrier differs at all;
nearly none does, and the hot path never comes here for those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dispatcher.core.model import Body, Head
from dispatcher.core.routing import ENCODING_BY_NAME
from dispatcher.core.senders import SenderRules, octets_of
from dispatcher.core.settings import Carrier
from smpp.constants import Tlv
from smpp.septets import fill_bits, pack
from smpp.text import Encoding, from_gsm7

SHORT_CODE_DIGITS_MAX: Final = 8
_FLASH_BIT: Final = 0x10


class Form:
    """One carrier's ways."""

    __slots__ = ("_coding", "_quirks", "ascii", "odd", "packed", "payload", "sar", "senders", "wide")

    def __init__(self, carrier: Carrier) -> None:
        quirks = carrier.quirks
        self._quirks = quirks
        self._coding = _codings(quirks.dcs)
        self.senders = SenderRules(carrier)
        self.ascii = "ascii" in quirks.encodings
        self.packed = quirks.packed
        self.sar = quirks.concat == "sar"
        self.payload = quirks.concat == "payload"
        self.wide = quirks.concat == "udh16"
        self.odd = bool(
            quirks.packed
            or self.sar
            or self.payload
            or quirks.plus
            or quirks.to_strip
            or quirks.to_add
            or not self.senders.plain
        )

    def coding(self, encoding: int, flash: bool) -> int:
        """data_coding of a message; ASCII goes as GSM 7-bit to a carrier that only takes that."""
        if encoding == Encoding.ASCII and not self.ascii:
            encoding = Encoding.GSM7
        return self._coding[encoding, flash]

    def sender(self, body: Body | Head) -> tuple[str, bool]:
        """What is written as sender, and whether it is letters in GSM 7-bit. A rule that came after admission and refuses it
        is too late: it is written as it is."""
        found = self.senders.written(body.sender, body.country)
        return (body.sender or "") if found is None else found, self.senders.gsm7

    def source_addr(self, sender: str) -> str:
        """The field source_addr."""
        digits = sender.removeprefix("+")
        if digits.isascii() and digits.isdigit():
            international = sender.startswith("+") or len(digits) > SHORT_CODE_DIGITS_MAX
            return f"+{digits}" if self._quirks.plus and international else digits
        return octets_of(sender, self.senders.gsm7)

    def dest_addr(self, to: str) -> str:
        """The field destination_addr for E.164 digits."""
        quirks = self._quirks
        found = quirks.to_add + to.removeprefix(quirks.to_strip)
        return f"+{found}" if quirks.plus and found[:1].isdigit() else found

    def user_data(self, body: Body, header: bytes, data: bytes) -> bytes:
        """`data` behind `header` as this carrier takes it; `data` is octets, or unpacked septets, or ASCII."""
        if self.packed and body.encoding in {Encoding.GSM7, Encoding.ASCII}:
            return header + pack(data, fill_bits(len(header)))
        if body.encoding == Encoding.ASCII and self.ascii:
            return header + from_gsm7(data).encode("ascii")
        return header + data


def sar_tlvs(reference: int, total: int, number: int) -> dict[int, bytes]:
    """Part `number` of `total` without a header of our own."""
    return {
        Tlv.SAR_MSG_REF_NUM: reference.to_bytes(2, "big"),
        Tlv.SAR_TOTAL_SEGMENTS: bytes((total,)),
        Tlv.SAR_SEGMENT_SEQNUM: bytes((number,)),
    }


def _codings(own: Mapping[Any, int]) -> dict[tuple[int, bool], int]:
    """data_coding by encoding and flash; class 0 in the general group of 23.038 where the carrier has no value of its own."""
    found: dict[tuple[int, bool], int] = {}
    for name, encoding in ENCODING_BY_NAME.items():
        plain = own.get(name, int(encoding))
        base = Encoding.GSM7 if encoding == Encoding.ASCII else encoding
        found[int(encoding), False] = plain
        found[int(encoding), True] = own.get(f"{name}_flash", int(base) | _FLASH_BIT)
    return found
