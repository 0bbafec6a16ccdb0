"""Handsets' user data: headers, places among parts, alphabets. Whatever comes, nothing raises."""

from __future__ import annotations

import random

import pytest

from smpp import constants as c
from smpp.messages import DeliverSm
from smpp.parts import PART_BYTES_MAX, alphabet_of, content_of, text_of
from smpp.segments import concat_header, cut
from smpp.septets import fill_bits, pack
from smpp.text import Encoding, gsm7


def deliver(data: bytes, *, coding: int = 0, esm: int = 0, **tlvs: bytes) -> DeliverSm:
    """A handset's message."""
    tags = {int(c.Tlv[name.upper()]): value for name, value in tlvs.items()}
    return DeliverSm(short_message=data, data_coding=coding, esm_class=esm, tlvs=tags)


def test_the_three_ways_to_number_parts() -> None:
    """8-bit and 16-bit headers, and SAR TLVs; a header counts before TLVs."""
    narrow = content_of(deliver(concat_header(300, 3, 2) + b"abc", esm=c.ESM_UDHI))
    assert (narrow.way, narrow.reference, narrow.total, narrow.place, narrow.data) == ("udh8", 44, 3, 2, b"abc")
    wide = content_of(deliver(concat_header(300, 255, 255, True) + b"abc", esm=c.ESM_UDHI))
    assert (wide.way, wide.reference, wide.total, wide.place, wide.data) == ("udh16", 300, 255, 255, b"abc")
    sar = {"sar_msg_ref_num": b"\x01\x2c", "sar_total_segments": b"\x02", "sar_segment_seqnum": b"\x01"}
    found = content_of(deliver(b"abc", **sar))
    assert (found.way, found.reference, found.total, found.place, found.data) == ("sar", 300, 2, 1, b"abc")
    assert content_of(deliver(concat_header(9, 4, 4) + b"abc", esm=c.ESM_UDHI, **sar)).way == "udh8"


@pytest.mark.parametrize(("total", "place"), [(0, 0), (0, 1), (1, 1), (2, 0), (2, 3), (255, 0), (1, 2)])
def test_numbers_that_cannot_be_make_no_part(total: int, place: int) -> None:
    """Part 3 of 2, of 0, number 0, and the one part of one: a message of its own, its text readable."""
    for header in (bytes([5, 0, 3, 7, total, place]), bytes([6, 8, 4, 0, 7, total, place])):
        found = content_of(deliver(header + b"hello", esm=c.ESM_UDHI))
        assert (found.way, found.total, found.data, found.alphabet) == ("", 1, b"hello", "gsm7")
    sar = {"sar_msg_ref_num": b"\0\1", "sar_total_segments": bytes([total]), "sar_segment_seqnum": bytes([place])}
    assert content_of(deliver(b"hello", **sar)).way == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x05",
        b"\x06\x00\x03\x01\x02\x01",  # longer than what is there
        b"\x05\x00\x04\x01\x02\x01rest",  # an element that leaves the header
        b"\x01\x00rest",  # an element without its length
        b"\x04\x00\x03\x01\x02rest",
        b"\xff" * 140,
    ],
)
def test_a_header_that_is_none_is_user_data(data: bytes) -> None:
    """Nothing is cut off and nothing is guessed: all octets, as binary."""
    found = content_of(deliver(data, esm=c.ESM_UDHI))
    assert (found.data, found.header, found.alphabet, found.way) == (data, b"", "", "")


def test_elements_of_a_wrong_length_are_no_numbers() -> None:
    """A concatenation element of 2 or 4 octets."""
    for header in (b"\x04\x00\x02\x01\x02", b"\x06\x00\x04\x01\x02\x01\x00", b"\x05\x08\x03\x01\x02\x01"):
        assert content_of(deliver(header + b"x", esm=c.ESM_UDHI)).way == ""
    assert content_of(deliver(b"x", sar_msg_ref_num=b"\1", sar_total_segments=b"\2", sar_segment_seqnum=b"\1")).way == ""
    assert content_of(deliver(b"x", sar_msg_ref_num=b"\0\1", sar_total_segments=b"\2")).way == ""


def test_parts_are_as_long_as_parts_can_be() -> None:
    """A longer one is a message of its own: else 255 of 64 KB would wait."""
    for size, way in ((PART_BYTES_MAX, "udh8"), (PART_BYTES_MAX + 1, "")):
        assert content_of(deliver(concat_header(1, 2, 1) + b"x" * size, esm=c.ESM_UDHI)).way == way


def test_ports_make_it_binary_national_tables_do_not() -> None:
    """What is not for reading is not read."""
    assert content_of(deliver(b"\x06\x05\x04\x0b\x84\x23\xf0abc", esm=c.ESM_UDHI)).alphabet == ""
    assert content_of(deliver(b"\x03\x25\x01\x01abc", esm=c.ESM_UDHI)).alphabet == "gsm7/1/0"
    found = content_of(deliver(b"\x03\x24\x01\x01abc", esm=c.ESM_UDHI))
    assert (found.alphabet, found.header, found.data) == ("gsm7/0/1", b"\x03\x24\x01\x01", b"abc")
    assert content_of(deliver(b"\x00abc", esm=c.ESM_UDHI))[:3] == (b"abc", b"\x00", "gsm7")


@pytest.mark.parametrize(
    ("coding", "octets", "text"),
    [
        (0, b"caf\x05 \x1b\x65", "café €"),
        (1, b"plain", "plain"),
        (3, b"caf\xe9", "café"),
        (6, "Привет".encode("iso8859-5"), "Привет"),
        (7, "שלום".encode("iso8859-8"), "שלום"),
        (8, "قف 📦".encode("utf-16-be"), "قف 📦"),
        (0x11, b"STOP", "STOP"),
        (0x19, "قف".encode("utf-16-be"), "قف"),
        (0xF1, b"STOP", "STOP"),
        (0xC8, b"STOP", "STOP"),
        (0xE0, "قف".encode("utf-16-be"), "قف"),
        (2, b"STOP", None),
        (4, b"STOP", None),
        (0x15, b"STOP", None),
        (0xF5, b"STOP", None),
        (0x31, b"STOP", None),
        (8, b"odd", None),
        (8, b"\xd8\x3d", None),
    ],
)
def test_data_codings(coding: int, octets: bytes, text: str | None) -> None:
    """What carriers write there, and what does not decode."""
    assert text_of([(alphabet_of(coding), octets)]) == text


@pytest.mark.parametrize("text", ["€" * 200, "📦" * 150, "Grüße und ein langer Text. " * 20, "قف " * 100])
@pytest.mark.parametrize("torn", [False, True])
def test_joined_texts_are_as_they_were_written(text: str, torn: bool) -> None:
    """Also when a sender tore an escape or a surrogate pair between two parts."""
    encoding = Encoding.UCS2 if not text.isascii() and "ü" not in text and "€" not in text else Encoding.GSM7
    parts = cut(text, encoding)
    if torn:
        whole = b"".join(parts)
        parts = [whole[i : i + 133] for i in range(0, len(whole), 133)]
    assert text_of([(alphabet_of(encoding), part) for part in parts]) == text


def test_mixed_alphabets_are_read_each_as_its_own() -> None:
    """A binary part makes it binary."""
    assert text_of([("gsm7", b"one "), ("utf-16-be", "قف".encode("utf-16-be")), ("gsm7", b" two")]) == "one قف two"
    assert text_of([("gsm7", b"one"), ("", b"\0")]) is None


def test_nothing_raises_whatever_comes() -> None:
    """Random octets under every data_coding and esm_class."""
    chance = random.Random(5)
    for _ in range(5000):
        data = chance.randbytes(chance.randrange(40))
        found = content_of(deliver(data, coding=chance.randrange(256), esm=chance.randrange(256)))
        assert found.header + found.data == data
        assert found.way == "" or 1 <= found.place <= found.total <= 255
        text_of([(found.alphabet, found.data)])


def test_national_tables_are_read() -> None:
    """Locking, single, both; a language nobody knows is none; parts with different tables join."""
    turkish = content_of(deliver(b"\x03\x25\x01\x01\x0c\x1ba", esm=c.ESM_UDHI))
    hindi = content_of(deliver(b"\x06\x24\x01\x06\x25\x01\x06\x03\x1b\x1c", esm=c.ESM_UDHI))
    assert (turkish.alphabet, hindi.alphabet) == ("gsm7/1/0", "gsm7/6/6")
    assert text_of([(turkish.alphabet, turkish.data), (hindi.alphabet, hindi.data)]) == "ğaअ०"
    unknown = content_of(deliver(b"\x03\x25\x01\x63abc", esm=c.ESM_UDHI))
    assert (unknown.alphabet, unknown.data) == ("gsm7", b"abc")
    assert content_of(deliver(b"\x03\x25\x01\x01\x04\x16", esm=c.ESM_UDHI, coding=8)).alphabet == "utf-16-be"


@pytest.mark.parametrize("text", ["Hello @ you", "1234567", "12345678", ""])
def test_packed_septets_of_a_carrier_that_packs(text: str) -> None:
    """With and without a header, whose fill bits are skipped; other alphabets are left alone."""
    septets = gsm7(text) or b""
    alone = content_of(deliver(pack(septets)), packed=True)
    assert text_of([(alone.alphabet, alone.data)]) == text
    part = content_of(deliver(concat_header(1, 2, 1) + pack(septets, fill_bits(6)), esm=c.ESM_UDHI), packed=True)
    assert (text_of([(part.alphabet, part.data)]), part.way) == (text, "udh8")
    assert content_of(deliver("Ж".encode("utf-16-be"), coding=8), packed=True).data == b"\x04\x16"
