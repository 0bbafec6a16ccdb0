"""Septets packed as the air interface has them, eight in seven octets, and unpacked again (3GPP TS 23.038, 6.1.2.1).

This module refuses to know alphabets and headers. Most carriers take one septet an octet and pack themselves; the few that
want packed ones get them from here (quirk 38). Behind a header the first septet begins at the next septet's boundary, so up to
six fill bits stand between (`fill_bits`).
"""

from __future__ import annotations

CR = 0x0D
_SHIFTS = range(0, 56, 7)
"""Of the eight septets in seven octets. Block by block, since one number for the whole text takes quadratic time, and a
message_payload has 64 KB."""


def fill_bits(header_octets: int) -> int:
    """Bits between a header of so many octets, its length octet included, and the first septet."""
    return -header_octets * 8 % 7


def pack(septets: bytes, fill: int = 0) -> bytes:
    """Octets for unpacked `septets`, `fill` zero bits first. Where seven bits are left over they hold CR, so that nobody reads
    an @ there."""
    blocks = bytearray()
    for start in range(0, len(septets), 8):
        block = sum([code << (7 * place) for place, code in enumerate(septets[start : start + 8])])
        blocks += block.to_bytes(7, "little")
    value = int.from_bytes(blocks, "little") << fill
    bits = fill + 7 * len(septets)
    if septets and bits % 8 == 1:
        value |= CR << bits
    return value.to_bytes((bits + 7) // 8, "little")


def unpack(octets: bytes, fill: int = 0) -> bytes:
    """The septets in `octets` behind `fill` bits. Seven bits left over at the end that are zero or CR are no septet."""
    aligned = (int.from_bytes(octets, "little") >> fill).to_bytes(len(octets), "little")
    count = max(0, (8 * len(octets) - fill) // 7)
    blocks = [int.from_bytes(aligned[start : start + 7], "little") for start in range(0, len(aligned), 7)]
    found = bytes([block >> shift & 0x7F for block in blocks for shift in _SHIFTS][:count])
    if count and (8 * len(octets) - fill) % 7 == 0 and found[-1] in {0, CR}:
        return found[:-1]
    return found
