"""Segments: limits, cuts at the hard places, headers. The reader is a handset that shares no code with smpp/."""

from __future__ import annotations

import pytest

from smpp.errors import LocalProtocolError
from smpp.segments import concat_header, count, count_bytes, cut, cut_bytes
from smpp.text import Encoding
from tests.smpp.foreign_decoder import Torn, concatenation, reassemble, units_to_text

GSM7, UCS2, LATIN1 = Encoding.GSM7, Encoding.UCS2, Encoding.LATIN1


def sent(text: str, encoding: Encoding, wide: bool = False) -> list[bytes]:
    """User data as it would leave: parts with their headers, in reverse order of index."""
    parts = cut(text, encoding, wide)
    if len(parts) == 1:
        return parts
    return [concat_header(0x1234, len(parts), i, wide) + part for i, part in enumerate(parts, 1)][::-1]


@pytest.mark.parametrize(
    ("septets", "segments"), [(0, 1), (1, 1), (159, 1), (160, 1), (161, 2), (305, 2), (306, 2), (307, 3), (459, 3), (460, 4)]
)
def test_gsm7_lengths(septets: int, segments: int) -> None:
    """160 septets alone, 153 a segment: limit - 1, limit and limit + 1, and the text comes back."""
    text = ("0123456789" * 46)[:septets]
    parts = sent(text, GSM7)
    assert segments == len(parts) == count(text, GSM7)
    assert text == reassemble(parts, 0)


@pytest.mark.parametrize("special", list("€[]{}^\\~|\f"))
@pytest.mark.parametrize(
    ("before", "after", "segments"),
    [
        (0, 0, 1),
        (158, 0, 1),  # 160 septets: the pair is the last thing that fits
        (159, 0, 2),  # 161 septets
        (151, 20, 2),  # the pair ends exactly at the cut
        (152, 20, 2),  # the cut would fall inside the pair
        (153, 20, 2),  # the pair begins behind the cut
        (304, 0, 2),  # 306 septets, nothing torn
        (305, 0, 3),
        (152, 151, 2),  # 152 + pair + 151 = 305 septets: the early cut still fits into two
        (152, 152, 3),  # 306 septets, but the early cut costs a segment
    ],
)
def test_extension_characters_at_the_cuts(special: str, before: int, after: int, segments: int) -> None:
    """An escape and its character are never in two segments, even where that costs one segment more."""
    text = "a" * before + special + "b" * after
    parts = sent(text, GSM7)
    assert segments == len(parts) == count(text, GSM7)
    assert text == reassemble(parts, 0)


def test_only_extension_characters() -> None:
    """80 pairs fill a single message; 81 need two, of 76 and 5: 153 is odd, so each segment leaves a septet unused."""
    assert [len(part) for part in cut("€" * 80, GSM7)] == [160]
    assert [len(part) for part in cut("€" * 81, GSM7)] == [152, 10]
    assert reassemble(sent("€[]" * 70, GSM7), 0) == "€[]" * 70


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("ж" * 69, 1),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 134, 2),
        ("ж" * 135, 3),
        ("ж" * 68 + "🙂", 1),  # 70 units
        ("ж" * 69 + "🙂", 2),  # 71 units
        ("🙂" * 35, 1),
        ("🙂" * 36, 2),
        ("ж" * 65 + "🙂" + "ж" * 4, 2),  # the pair ends at the cut
        ("ж" * 66 + "🙂" + "ж" * 4, 2),  # the cut would fall inside the pair
        ("ж" * 67 + "🙂" + "ж" * 4, 2),  # the pair begins behind the cut
        ("ж" * 66 + "🙂" + "ж" * 66, 3),  # 134 units, but the early cut costs a segment
        ("ж" * 66 + "🙂" + "ж" * 65, 2),
        ("🙂" * 67, 3),  # 134 units: 33 + 33 + 1 pairs, since 67 is odd
        ("ж" * 66 + "\U0010ffff" + "ж" * 4, 2),  # the last of all surrogate pairs
        ("👩‍👩‍👧‍👦" * 20, 4),
    ],
)
def test_ucs2_lengths_and_emoji_at_the_cuts(text: str, segments: int) -> None:
    """70 UTF-16 units alone, 67 a segment, no surrogate pair in two segments; the text comes back."""
    parts = sent(text, UCS2)
    assert segments == len(parts) == count(text, UCS2)
    assert text == reassemble(parts, 8)


@pytest.mark.parametrize(
    ("encoding", "character", "single", "part"), [(GSM7, "a", 160, 152), (UCS2, "ж", 70, 66), (LATIN1, "ê", 140, 133)]
)
def test_wide_reference(encoding: Encoding, character: str, single: int, part: int) -> None:
    """A 16-bit reference costs one unit a segment, and nothing where one segment is enough."""
    assert count(character * single, encoding, wide=True) == 1
    assert count(character * 2 * part, encoding, wide=True) == 2
    assert count(character * (2 * part + 1), encoding, wide=True) == 3
    text = character * (2 * part + 1)
    assert text == reassemble(sent(text, encoding, wide=True), int(encoding))


def test_latin1_lengths() -> None:
    """140 octets alone, 134 a segment."""
    assert [count("ê" * n, LATIN1) for n in (140, 141, 268, 269)] == [1, 2, 2, 3]


def test_the_reader_can_fail() -> None:
    """The handset of these tests notices a torn pair, so the tests above prove something."""
    with pytest.raises(Torn):
        units_to_text("🙂".encode("utf-16-be")[:2])
    with pytest.raises(Torn):
        reassemble([b"\x05\x00\x03\x01\x02\x01a\x1b", b"\x05\x00\x03\x01\x02\x02e"], 0)


def test_headers() -> None:
    """Both references, counted from 1, taken modulo their width, with the sender's own elements behind."""
    assert concat_header(0x1234, 3, 1) == b"\x05\x00\x03\x34\x03\x01"
    assert concat_header(0x1234, 3, 3, wide=True) == b"\x06\x08\x04\x12\x34\x03\x03"
    ports = b"\x06\x05\x04\x0b\x84\x23\xf0"
    assert concatenation(concat_header(7, 2, 2, udh=ports) + b"data") == ((7, 2, 2), b"data")
    assert b"\x0b\x00\x03\x07\x02\x02" + ports[1:] == concat_header(7, 2, 2, udh=ports)


@pytest.mark.parametrize(("total", "index"), [(255, 256), (3, 0), (3, 4), (256, 1), (0, 0)])
def test_headers_refused(total: int, index: int) -> None:
    """A header counts to 255 and its index lies within its total."""
    with pytest.raises(LocalProtocolError):
        concat_header(1, total, index)


def test_own_header_must_be_whole() -> None:
    """A user data header whose length octet is wrong would swallow text on the handset."""
    with pytest.raises(LocalProtocolError):
        concat_header(1, 2, 1, udh=b"\x06\x05\x04")


@pytest.mark.parametrize(
    ("octets", "udh_len", "segments"),
    [(0, 0, 1), (140, 0, 1), (141, 0, 2), (268, 0, 2), (269, 0, 3), (133, 7, 1), (134, 7, 2), (256, 7, 2), (257, 7, 3)],
)
def test_binary(octets: int, udh_len: int, segments: int) -> None:
    """Binary segments hold 140 octets with every header counted, and the count is that of the cut."""
    data = bytes(n % 251 for n in range(octets))
    assert segments == count_bytes(octets, udh_len)
    parts = cut_bytes(data, udh_len if segments == 1 else max(udh_len, 1) + 5)
    assert segments == len(parts)
    assert data == b"".join(parts)


def test_binary_with_a_wide_reference() -> None:
    """A 16-bit reference leaves 133 octets a segment, 126 beside a port header of 7."""
    assert [count_bytes(n, 0, wide=True) for n in (140, 141, 266, 267)] == [1, 2, 2, 3]
    assert [count_bytes(n, 7, wide=True) for n in (133, 134, 254, 255)] == [1, 2, 2, 3]
    assert [len(part) for part in cut_bytes(bytes(267), 7)] == [133, 133, 1]


def test_no_room() -> None:
    """A header that leaves no room is refused, not looped over."""
    for udh_len in (140, 141, -1):
        with pytest.raises(LocalProtocolError):
            cut_bytes(b"x", udh_len)
    with pytest.raises(LocalProtocolError):
        count_bytes(10, 135)


def test_a_text_that_does_not_fit_its_encoding() -> None:
    """Cutting never drops or replaces characters."""
    for text, encoding in [("`", GSM7), ("ж", LATIN1), ("\ud83d", UCS2), ("x", Encoding.BINARY)]:
        with pytest.raises(LocalProtocolError):
            cut(text, encoding)
        with pytest.raises(LocalProtocolError):
            count(text, encoding)
