"""A handset, written from 3GPP TS 23.038 and 23.040 alone: it shares no code and no table with smpp/.

Its alphabet is a list of code points by septet, not a string of characters, and it reads user data headers element by
element, so that a mistake in smpp/ is not repeated here.
"""

from __future__ import annotations

# Where the default alphabet differs from ASCII: septet -> code point (23.038, 6.2.1).
_DEFAULT: dict[int, int] = {
    0x00: 0x0040,
    0x01: 0x00A3,
    0x02: 0x0024,
    0x03: 0x00A5,
    0x04: 0x00E8,
    0x05: 0x00E9,
    0x06: 0x00F9,
    0x07: 0x00EC,
    0x08: 0x00F2,
    0x09: 0x00C7,
    0x0B: 0x00D8,
    0x0C: 0x00F8,
    0x0E: 0x00C5,
    0x0F: 0x00E5,
    0x10: 0x0394,
    0x11: 0x005F,
    0x12: 0x03A6,
    0x13: 0x0393,
    0x14: 0x039B,
    0x15: 0x03A9,
    0x16: 0x03A0,
    0x17: 0x03A8,
    0x18: 0x03A3,
    0x19: 0x0398,
    0x1A: 0x039E,
    0x1C: 0x00C6,
    0x1D: 0x00E6,
    0x1E: 0x00DF,
    0x1F: 0x00C9,
    0x24: 0x00A4,
    0x40: 0x00A1,
    0x5B: 0x00C4,
    0x5C: 0x00D6,
    0x5D: 0x00D1,
    0x5E: 0x00DC,
    0x5F: 0x00A7,
    0x60: 0x00BF,
    0x7B: 0x00E4,
    0x7C: 0x00F6,
    0x7D: 0x00F1,
    0x7E: 0x00FC,
    0x7F: 0x00E0,
}
# 23.038, 6.2.1.1
_EXTENSION: dict[int, int] = {
    0x0A: 0x000C,
    0x14: 0x005E,
    0x28: 0x007B,
    0x29: 0x007D,
    0x2F: 0x005C,
    0x3C: 0x005B,
    0x3D: 0x007E,
    0x3E: 0x005D,
    0x40: 0x007C,
    0x65: 0x20AC,
}

GSM_CHARACTERS = "".join(chr(_DEFAULT.get(septet, septet)) for septet in range(128) if septet != 0x1B)
EXTENSION_CHARACTERS = "".join(map(chr, _EXTENSION.values()))


class Torn(AssertionError):
    """A segment that a handset could not show."""


def septets_to_text(septets: bytes) -> str:
    """One segment's septets as text; Torn when an escape has no partner in the same segment."""
    shown: list[str] = []
    rest = iter(septets)
    for septet in rest:
        assert septet < 0x80, "eight bits in a septet"
        if septet == 0x1B:
            partner = next(rest, None)
            if partner is None or partner not in _EXTENSION:
                raise Torn("escape without its character")
            shown.append(chr(_EXTENSION[partner]))
        else:
            shown.append(chr(_DEFAULT.get(septet, septet)))
    return "".join(shown)


def units_to_text(octets: bytes) -> str:
    """One segment's UTF-16 units as text; Torn when a surrogate stands alone."""
    if len(octets) % 2:
        raise Torn("half a unit")
    units = [octets[i] * 256 + octets[i + 1] for i in range(0, len(octets), 2)]
    shown: list[str] = []
    i = 0
    while i < len(units):
        unit = units[i]
        if 0xD800 <= unit < 0xDC00 and i + 1 < len(units) and 0xDC00 <= units[i + 1] < 0xE000:
            shown.append(chr(0x10000 + (unit - 0xD800) * 0x400 + units[i + 1] - 0xDC00))
            i += 2
        elif 0xD800 <= unit < 0xE000:
            raise Torn("a lone surrogate")
        else:
            shown.append(chr(unit))
            i += 1
    return "".join(shown)


def concatenation(user_data: bytes) -> tuple[tuple[int, int, int], bytes]:
    """((reference, total, index), what follows the header) of one segment's user data."""
    header, rest = user_data[1 : 1 + user_data[0]], user_data[1 + user_data[0] :]
    while header:
        kind, size = header[0], header[1]
        value, header = header[2 : 2 + size], header[2 + size :]
        if kind == 0x00:
            reference, total, index = value
            return (reference, total, index), rest
        if kind == 0x08:
            high, low, total, index = value
            return (high << 8 | low, total, index), rest
    raise AssertionError("no concatenation element")


def octets_on_air(payload: bytes, gsm7: bool, header_octets: int) -> int:
    """What a segment takes of the 140 octets: septets are packed eight to seven, after the header padded to a septet."""
    if not gsm7:
        return header_octets + len(payload)
    header_septets = -(-header_octets * 8 // 7)
    return -(-(header_septets + len(payload)) * 7 // 8)


def reassemble(user_data: list[bytes], data_coding: int) -> str:
    """The text a handset shows for a message of these segments, arriving in any order; each must fit on the air."""
    decode = {0: septets_to_text, 8: units_to_text, 3: lambda octets: octets.decode("latin-1")}[data_coding]
    if len(user_data) == 1:
        assert octets_on_air(user_data[0], data_coding == 0, 0) <= 140
        return decode(user_data[0])
    shown: dict[int, str] = {}
    identities: set[tuple[int, int]] = set()
    for segment in user_data:
        (reference, total, index), payload = concatenation(segment)
        assert octets_on_air(payload, data_coding == 0, len(segment) - len(payload)) <= 140
        assert index not in shown
        identities.add((reference, total))
        shown[index] = decode(payload)
    assert len(identities) == 1
    assert sorted(shown) == list(range(1, identities.pop()[1] + 1))
    return "".join(shown[index] for index in sorted(shown))
