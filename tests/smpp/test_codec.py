"""The hot codec: bytes as specified, limits, and every habit of carriers in codec.py's table."""

from __future__ import annotations

import pytest

from smpp.codec import (
    SubmitTemplate,
    data_sm_resp,
    decode_data_sm,
    decode_deliver_sm,
    decode_header,
    decode_submit_sm,
    decode_submit_sm_resp,
    decode_submit_sm_resp_tlvs,
    deliver_sm_body,
    deliver_sm_resp,
    enquire_link,
    enquire_link_resp,
    pdu,
    submit_sm_resp,
)
from smpp.constants import DATA_SM, DELIVER_SM, SUBMIT_SM, SUBMIT_SM_RESP
from smpp.errors import BadPdu, LocalProtocolError
from smpp.fields import decode_tlvs

PLAN = {"source_ton": 5, "source_npi": 0, "dest_ton": 1, "dest_npi": 1}


def template(**more: object) -> SubmitTemplate:
    """A template as most of these tests use it."""
    return SubmitTemplate("Bank", **PLAN, **more)  # type: ignore[arg-type]


def test_submit_sm_bytes() -> None:
    """The layout of SMPP 3.4, 4.4.1, field by field."""
    made = template(
        service_type="WAP",
        esm_class=0x40,
        protocol_id=0x41,
        priority=3,
        schedule="s" * 16,
        validity="000001000000000R",
        registered_delivery=0x11,
        replace_if_present=1,
        data_coding=8,
        default_message_id=9,
        tlvs={0x0204: b"\x12\x34"},
    )
    expected = (
        b"WAP\0" + b"\x05\x00Bank\0" + b"\x01\x014915112345678\0" + b"\x40\x41\x03" + b"s" * 16 + b"\0"
        b"000001000000000R\0" + b"\x11\x01\x08\x09" + b"\x02hi" + b"\x02\x04\x00\x02\x12\x34"
    )
    assert expected == made.body("4915112345678", b"hi")


@pytest.mark.parametrize("size", [0, 1, 253, 254])
def test_short_message_up_to_254(size: int) -> None:
    """Up to 254 bytes stand in short_message itself."""
    head = template().body("49", b"")[:-1]
    assert template().body("49", b"x" * size) == head + bytes((size,)) + b"x" * size


@pytest.mark.parametrize("size", [255, 256, 65_535])
def test_longer_goes_into_message_payload(size: int) -> None:
    """Beyond 254 bytes sm_length is 0 and message_payload holds the data, before other TLVs; decoding folds it back."""
    wire = pdu(SUBMIT_SM, 0, 1, template(tlvs={0x0204: b"\0\1"}).body("49", b"x" * size))
    assert wire.endswith(b"\0" + b"\x04\x24" + size.to_bytes(2, "big") + b"x" * size + b"\x02\x04\0\2\0\1")
    decoded = decode_submit_sm(wire)
    assert b"x" * size == decoded.short_message
    assert decoded.tlvs == {0x0204: b"\0\1"}
    with pytest.raises(LocalProtocolError, match="short_message"):
        template().body("49", b"x" * 65_536)


@pytest.mark.parametrize("dest", ["49", "+49", "*100#", "4" * 20])
@pytest.mark.parametrize("size", [0, 1, 248, 249])
def test_parts_to_one_destination_are_as_alone(dest: str, size: int) -> None:
    """The parts of a long message, written together, also where one is so long that it goes into message_payload."""
    made, parts, stem = template(tlvs={0x0204: b"\0\1"}), [b"a", b"x" * size, b""], b"\5\0\3\7\3"
    alone = [made.body(dest, stem + bytes((number,)) + part) for number, part in enumerate(parts, 1)]
    assert made.parts(dest, stem, parts, [1, 2, 3]) == alone
    assert made.parts(dest, stem, parts, [3, 2]) == alone[:0:-1]
    for wrong in ("4" * 21, "4\0"):
        with pytest.raises(LocalProtocolError, match="destination_addr"):
            made.parts(wrong, stem, parts, [1])


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("source_addr", {"source": "1" * 21}),
        ("source_addr", {"source": "a\0b"}),
        ("source_addr", {"source": "Банк"}),
        ("service_type", {"service_type": "123456"}),
        ("validity_period", {"validity": "1" * 17}),
        ("schedule_delivery_time", {"schedule": "1" * 17}),
        ("one-byte", {"esm_class": 256}),
        ("one-byte", {"dest_ton": -1}),
        ("tlvs", {"tlvs": {0x10000: b""}}),
        ("tlvs", {"tlvs": {1: b"x" * 65_536}}),
    ],
)
def test_templates_refuse_what_does_not_fit(field: str, arguments: dict[str, object]) -> None:
    """Nothing is cut in silence: the field is named."""
    with pytest.raises(LocalProtocolError, match=field):
        SubmitTemplate(**{"source": "Bank"} | PLAN | arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("dest", ["1" * 21, "49\0", "\0", "ж", "٣"])
def test_destinations_that_would_break_the_pdu(dest: str) -> None:
    """A NUL in a number would shift every later field, so it never leaves."""
    with pytest.raises(LocalProtocolError, match="destination_addr"):
        template().body(dest, b"")


@pytest.mark.parametrize("dest", ["", "+4915112345678", "1" * 20, "*100#", "caf\u00e9"])
def test_rare_destinations_pass(dest: str) -> None:
    """Short codes, plus signs and the empty address are the carrier's business."""
    assert dest == decode_submit_sm(pdu(SUBMIT_SM, 0, 1, template().body(dest, b"x"))).destination_addr


def test_header_words_are_bounded() -> None:
    """A sequence beyond 32 bits is our mistake."""
    for sequence in (-1, 1 << 32):
        with pytest.raises(LocalProtocolError):
            pdu(SUBMIT_SM, 0, sequence)


def test_small_pdus() -> None:
    """The fixed PDUs, byte for byte."""
    assert enquire_link(7) == b"\0\0\0\x10\0\0\0\x15\0\0\0\0\0\0\0\x07"
    assert enquire_link_resp(7) == b"\0\0\0\x10\x80\0\0\x15\0\0\0\0\0\0\0\x07"
    assert deliver_sm_resp(7, 8) == b"\0\0\0\x11\x80\0\0\x05\0\0\0\x08\0\0\0\x07\0"
    assert data_sm_resp(7) == b"\0\0\0\x11\x80\0\x01\x03\0\0\0\0\0\0\0\x07\0"
    assert submit_sm_resp(7, 0, "ab") == b"\0\0\0\x13\x80\0\0\x04\0\0\0\0\0\0\0\x07ab\0"
    assert submit_sm_resp(7, 0x58, "") == b"\0\0\0\x10\x80\0\0\x04\0\0\0\x58\0\0\0\x07"
    assert decode_header(enquire_link(7)) == (16, 0x15, 0, 7)


@pytest.mark.parametrize(
    ("status", "body", "message_id"),
    [
        (0, b"0aF9\0", "0aF9"),
        (0, b"\0", ""),  # accepted, empty id
        (0, b"", ""),  # accepted, no body
        (0, b"0aF9", "0aF9"),  # no NUL
        (0, b"f3b2c5a0-9d1e-4c7b-8a56-0e1d2c3b4a59\0", "f3b2c5a0-9d1e-4c7b-8a56-0e1d2c3b4a59"),
        (0, b"x" * 64 + b"\0", "x" * 64),
        (0, b"x" * 65 + b"\0", ""),  # no receipt could give it back
        (0, b"caf\xe9\0", "caf\u00e9"),
        (0, b"7\0\x04\x25\0\x01\x01", "7"),  # TLVs behind
        (0, b"7\0rubbish", "7"),
        (0x58, b"", ""),  # throttled, no body
        (0x58, b"\0", ""),
        (0x58, b"17\0", "17"),  # throttled, yet accepted with an id
        (0x45, b"\0\0\0\0rubbish", ""),
    ],
)
def test_answers_always_settle(status: int, body: bytes, message_id: str) -> None:
    """Whatever is in the body of a submit_sm_resp, status and sequence come out, with the id if there is one."""
    assert (status, 9, message_id) == decode_submit_sm_resp(pdu(SUBMIT_SM_RESP, status, 9, body))


def test_answer_tlvs() -> None:
    """TLVs behind the id can be had; what cannot be read is nothing."""
    assert decode_submit_sm_resp_tlvs(pdu(SUBMIT_SM_RESP, 0, 9, b"7\0\x04\x25\0\x01\x01")) == {0x0425: b"\1"}
    for body in (b"", b"7", b"7\0", b"7\0rubbish"):
        assert decode_submit_sm_resp_tlvs(pdu(SUBMIT_SM_RESP, 0, 9, body)) == {}


MANDATORY = b"\0\1\1src\0\1\1dst\0\4\0\0\0\0\0\0\0\0"


def test_stray_nul_behind_short_message() -> None:
    """One NUL between short_message and the TLVs, or at the very end, is dropped."""
    for tail, tlvs in [(b"\0", {}), (b"\0\x04\x27\0\x01\x02", {0x0427: b"\2"}), (b"\0\0\x1e\0\x02a\0", {0x1E: b"a\0"})]:
        decoded = decode_deliver_sm(pdu(DELIVER_SM, 0, 1, MANDATORY + b"\2hi" + tail))
        assert (b"hi", tlvs) == (decoded.short_message, decoded.tlvs)


def test_unknown_tlvs_are_kept() -> None:
    """A tag nobody knows keeps its raw value; of a repeated one the last counts; an empty value is a value."""
    tail = b"\x14\x00\0\1a" + b"\x14\x01\0\0" + b"\x14\x00\0\1b"
    assert decode_deliver_sm(pdu(DELIVER_SM, 0, 1, MANDATORY + b"\0" + tail)).tlvs == {0x1400: b"b", 0x1401: b""}


def test_both_short_message_and_payload() -> None:
    """SMPP forbids both; then both are kept as they came."""
    decoded = decode_deliver_sm(pdu(DELIVER_SM, 0, 1, MANDATORY + b"\1x" + b"\x04\x24\0\1y"))
    assert (decoded.short_message, decoded.tlvs) == (b"x", {0x0424: b"y"})


@pytest.mark.parametrize(
    ("body", "field", "status"),
    [
        (b"", "service_type", 0x02),
        (b"123456\0", "service_type", 0x15),
        (b"\0\1", "source_addr_ton", 0x02),
        (b"\0\1\1src", "source_addr", 0x02),
        (b"\0\1\1" + b"1" * 21 + b"\0", "source_addr", 0x0A),
        (b"\0\1\1\0\1", "dest_addr_ton", 0x02),
        (b"\0\1\1\0\1\1" + b"1" * 21 + b"\0", "destination_addr", 0x0B),
        (b"\0\1\1\0\1\1\0\0\0", "esm_class", 0x02),
        (b"\0\1\1\0\1\1\0\0\0\0" + b"1" * 17 + b"\0", "schedule_delivery_time", 0x61),
        (b"\0\1\1\0\1\1\0\0\0\0\0" + b"1" * 17 + b"\0", "validity_period", 0x62),
        (b"\0\1\1\0\1\1\0\0\0\0\0\0\0\0\0\0", "registered_delivery", 0x02),
        (MANDATORY + b"\3hi", "short_message", 0x01),
        (MANDATORY + b"\2hi" + b"\x04", "tlvs", 0xC0),
        (MANDATORY + b"\2hi" + b"\x04\x27\0\x02\x01", "tlvs", 0xC0),
    ],
)
def test_bad_bodies_name_the_field(body: bytes, field: str, status: int) -> None:
    """The error says which field, of which PDU, and what to answer."""
    with pytest.raises(BadPdu) as caught:
        decode_submit_sm(pdu(SUBMIT_SM, 0, 77, body))
    error = caught.value
    assert (SUBMIT_SM, 77, field, status) == (error.command_id, error.sequence, error.field, error.status)
    if field == "tlvs":  # of a deliver_sm the rest is read: what is refused comes again and again
        assert decode_deliver_sm(pdu(DELIVER_SM, 0, 77, body)).short_message == b"hi"
    else:
        with pytest.raises(BadPdu, match=field):
            decode_deliver_sm(pdu(DELIVER_SM, 0, 77, body))


STRINGS = {"service_type": 5, "source_addr": 20, "destination_addr": 20, "schedule_delivery_time": 16, "validity_period": 16}


@pytest.mark.parametrize("field", STRINGS)
def test_string_limits(field: str) -> None:
    """Each string in an otherwise whole PDU: the longest the specification has is read, one more is refused by name."""

    def body(longer: int) -> bytes:
        value = {name: b"1" * (STRINGS[name] + longer) + b"\0" if name == field else b"\0" for name in STRINGS}
        return (
            value["service_type"]
            + (b"\1\1" + value["source_addr"])
            + (b"\1\1" + value["destination_addr"])
            + (b"\0\0\0" + value["schedule_delivery_time"] + value["validity_period"])
            + b"\0\0\0\0\2hi"
        )

    assert getattr(decode_deliver_sm(pdu(DELIVER_SM, 0, 1, body(0))), field) == "1" * STRINGS[field]
    with pytest.raises(BadPdu) as caught:
        decode_deliver_sm(pdu(DELIVER_SM, 0, 1, body(1)))
    assert caught.value.field == field


@pytest.mark.parametrize("decode", [decode_header, decode_submit_sm, decode_deliver_sm, decode_submit_sm_resp, decode_data_sm])
def test_no_header(decode: object) -> None:
    """Fewer than sixteen bytes are no PDU."""
    for size in (0, 15):
        with pytest.raises(BadPdu, match="command_length"):
            decode(bytes(size))  # type: ignore[operator]


def test_data_sm_in_the_shape_of_a_deliver_sm() -> None:
    """A receipt that comes as data_sm: addresses up to 64 characters, the text in message_payload."""
    body = b"\0\1\1" + b"1" * 64 + b"\0\5\0Bank\0\4\0\0" + b"\x04\x24\0\2hi" + b"\0\x1e\0\2a\0"
    decoded = decode_data_sm(pdu(DATA_SM, 0, 5, body))
    assert (
        decoded.source_addr,
        decoded.destination_addr,
        decoded.esm_class,
        decoded.short_message,
        decoded.tlvs,
    ) == ("1" * 64, "Bank", 4, b"hi", {0x1E: b"a\0"})
    for size in range(len(body) - 12):
        with pytest.raises(BadPdu):
            decode_data_sm(pdu(DATA_SM, 0, 5, body[:size]))


def test_deliver_sm_round_trip() -> None:
    """What an SMSC writes is what we read, the status word of a request included."""
    body = deliver_sm_body("4915", "Bank", b"hi", esm_class=0x44, data_coding=8, priority=1, protocol_id=2, tlvs={0x1E: b"7\0"})
    decoded = decode_deliver_sm(pdu(DELIVER_SM, 0, 5, body))
    assert (
        decoded.source_addr,
        decoded.destination_addr,
        decoded.short_message,
        decoded.esm_class,
        decoded.data_coding,
        decoded.priority_flag,
        decoded.protocol_id,
        decoded.tlvs,
        decoded.sequence,
    ) == ("4915", "Bank", b"hi", 0x44, 8, 1, 2, {0x1E: b"7\0"}, 5)
    assert "hi" not in repr(decoded)


def test_tlvs_alone() -> None:
    """decode_tlvs reads any TLV list; at the very end there is none."""
    assert decode_tlvs(b"") == {}
    with pytest.raises(BadPdu, match="tlvs"):
        decode_tlvs(b"\1")
