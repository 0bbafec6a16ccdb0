"""Carriers that differ: how their submits look, and that the others' do not change."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dispatcher.core.model import Body, Options
from dispatcher.core.settings import Senders
from dispatcher.engine.encode import Encoder
from smpp import SUBMIT_SM, pdu
from smpp.codec import SubmitSm
from smpp.constants import Tlv
from smpp.pdus import decode
from smpp.septets import fill_bits, pack, unpack
from smpp.text import Encoding, from_gsm7
from tests.dispatcher.engine.test_encode import NOW, body, read
from tests.dispatcher.engine.world import carrier, route, settings_of


def sent(message: Body, reference: int = 7, *, more: dict[str, Any] | None = None, **quirks: Any) -> list[SubmitSm]:
    """What the carrier reads; nothing goes by the fast way that should not."""
    encoder = Encoder(settings_of([carrier(quirks=quirks, **(more or {}))], [route({"alpha": 1})]), random.Random(7))
    bodies = encoder.bodies(message, "alpha", list(range(1, message.segments + 1)), reference, NOW)
    plain = encoder.plain(message, "alpha", NOW)
    assert plain is None or [plain] == bodies
    return read(bodies)


def test_own_data_coding() -> None:
    """Named by encoding, and apart for flash messages."""
    dcs = {"gsm7": 1, "ucs2": 24, "ucs2_flash": 25}
    assert sent(body("x"), dcs=dcs)[0].data_coding == 1
    assert sent(body("Ж", encoding=Encoding.UCS2), dcs=dcs)[0].data_coding == 24
    assert sent(body("Ж", encoding=Encoding.UCS2, options=Options(flash=True)), dcs=dcs)[0].data_coding == 25
    assert sent(body("x", options=Options(flash=True)), dcs=dcs)[0].data_coding == 0x10


@pytest.mark.parametrize("text", ["Hello @", "1234567", "€" * 80, "x" * 160])
def test_packed(text: str) -> None:
    """Eight septets in seven octets."""
    (submit,) = sent(body(text), packed=True)
    assert from_gsm7(unpack(submit.short_message)) == text
    assert len(submit.short_message) <= 140


def test_packed_parts_begin_at_a_septet() -> None:
    """One fill bit behind the header, 140 octets in all."""
    parts = sent(body("x" * 300, segments=2), packed=True)
    assert [len(part.short_message) for part in parts] == [140, 6 + 129]
    assert [from_gsm7(unpack(part.short_message[6:], fill_bits(6))) for part in parts] == ["x" * 153, "x" * 147]


def test_sar() -> None:
    """No header: TLVs, one reference, numbers from 1."""
    parts = sent(body("x" * 300, segments=2), concat="sar")
    assert [part.esm_class for part in parts] == [0, 0]
    assert [part.short_message for part in parts] == [b"x" * 153, b"x" * 147]
    tags = (Tlv.SAR_MSG_REF_NUM, Tlv.SAR_TOTAL_SEGMENTS, Tlv.SAR_SEGMENT_SEQNUM)
    assert [[part.tlvs[tag] for tag in tags] for part in parts] == [[b"\0\7", b"\2", b"\1"], [b"\0\7", b"\2", b"\2"]]


@pytest.mark.parametrize(
    ("message", "more", "whole"),
    [
        (body("x" * 300, segments=2), {}, b"x" * 300),
        (body("ж" * 100, segments=2, encoding=Encoding.UCS2), {}, ("ж" * 100).encode("utf-16-be")),
        (body("x" * 304, segments=2), {"packed": True}, pack(b"x" * 304)),
        (body("x[" * 110, segments=3, encoding=Encoding.ASCII), {"encodings": ("ascii",)}, b"x[" * 110),
        (body("", segments=2, encoding=Encoding.BINARY, options=Options(binary=b"\0" * 200)), {}, b"\0" * 200),
    ],
)
def test_payload(message: Body, more: dict[str, Any], whole: bytes) -> None:
    """One PDU without header, sm_length 0 and all of it in message_payload, in each way of writing; its TLVs beside it."""
    encoder = Encoder(
        settings_of([carrier(quirks={"concat": "payload"} | more, tlvs={"0x1400": "E"})], [route({"alpha": 1})]),
        random.Random(7),
    )
    (written,) = encoder.bodies(message, "alpha", list(range(1, message.segments + 1)), 7, NOW)
    raw = decode(pdu(SUBMIT_SM, 0, 1, written))
    assert (raw["short_message"], raw["esm_class"]) == (b"", 0)
    assert dict(raw.tlvs) == {Tlv.MESSAGE_PAYLOAD: whole, 0x1400: b"E"}


def test_payload_only_for_a_whole_message_without_a_header_of_its_own() -> None:
    """One segment stays in short_message; one of several alone, national tables and a header of the sender's go in parts."""
    assert [part.short_message for part in sent(body("x"), concat="payload")] == [b"x"]
    encoder = Encoder(settings_of([carrier(quirks={"concat": "payload"})], [route({"alpha": 1})]), random.Random(7))
    (alone,) = read(encoder.bodies(body("x" * 300, segments=2), "alpha", [2], 7, NOW))
    assert (alone.esm_class, alone.short_message) == (0x40, bytes((5, 0, 3, 7, 2, 2)) + b"x" * 147)
    parts = sent(body("ğ" * 160, segments=2, options=Options(shift=0x0100)), concat="payload")
    assert [part.short_message[:9].hex() for part in parts] == ["080003070201250101", "080003070202250101"]


def test_national_tables_stand_in_every_header() -> None:
    """Alone behind four octets; in parts behind the concatenation."""
    (submit,) = sent(body("ğ", options=Options(shift=0x0100)))
    assert (submit.esm_class, submit.data_coding, submit.short_message) == (0x40, 0, b"\x03\x25\x01\x01\x0c")
    parts = sent(body("ğ" * 160, segments=2, options=Options(shift=0x0100)))
    assert [part.short_message[:9].hex() for part in parts] == ["080003070201250101", "080003070202250101"]
    assert [len(part.short_message) - 9 for part in parts] == [149, 11]


@pytest.mark.parametrize(("encodings", "octets"), [(("ascii",), b"a[b"), (("gsm7",), b"a\x1b\x3cb")])
def test_ascii_as_the_carrier_has_it(encodings: tuple[str, ...], octets: bytes) -> None:
    """One octet a character; a carrier of the same route that takes GSM 7-bit gets that."""
    (submit,) = sent(body("a[b", encoding=Encoding.ASCII), encodings=encodings)
    assert (submit.short_message, submit.data_coding) == (octets, 1 if encodings == ("ascii",) else 0)


def test_numbers_as_the_carrier_wants_them() -> None:
    """Prefixes first, then the plus sign; short codes and names keep their form."""
    assert sent(body("x"), to_strip="49", to_add="0049")[0].destination_addr == "00491711234567"
    (submit,) = sent(body("x", sender="491700000000"), plus=True)
    assert (submit.destination_addr, submit.source_addr, submit.source_addr_ton) == ("+491711234567", "+491700000000", 1)
    assert [sent(body("x", sender=s), plus=True)[0].source_addr for s in ("12345", "Shop")] == ["12345", "Shop"]


def test_senders_by_country() -> None:
    """The first rule for the country; what is not allowed becomes what is written otherwise."""
    rules = (Senders(country=("DE",), otherwise="INFO", allow=("Bank",)), Senders(replace={"Shop": "12345"}))
    more = {"senders": rules}
    said = [(s.source_addr, s.source_addr_ton) for c in ("DE", "FR") for s in sent(body("x", country=c), more=more)]
    assert said == [("INFO", 5), ("12345", 3)]


def test_letters_in_gsm() -> None:
    """Septets instead of Latin-1."""
    assert sent(body("x", sender="A§_"), sender_alphabet="gsm7")[0].source_addr == "A\x5f\x11"
    assert sent(body("x", sender="A§_"))[0].source_addr == "A§_"
