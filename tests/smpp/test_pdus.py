"""Every PDU by the table: octets as specified, paths in errors, habits that are forgiven."""

from __future__ import annotations

from typing import Any

import pytest

from smpp import constants as c
from smpp import tlvs
from smpp.codec import pdu as wire_of
from smpp.constants import Command
from smpp.errors import BadPdu, LocalProtocolError
from smpp.pdus import Pdu, decode, encode
from smpp.tlvs import Kind, TlvType


def test_cancel_sm_octets() -> None:
    """4.9.1, field by field."""
    pdu = Pdu(Command.CANCEL_SM, {"message_id": "4f", "source_addr_ton": 5, "source_addr": "Bank", "destination_addr": "49"})
    body = b"\0" + b"4f\0" + b"\5\0Bank\0" + b"\0\0" + b"49\0"
    assert encode(pdu) == b"\0\0\0" + bytes([16 + len(body)]) + b"\0\0\0\x08" + b"\0\0\0\0" + b"\0\0\0\1" + body


def test_query_sm_resp_octets() -> None:
    """4.8.2, with the TLV that newer carriers add."""
    fields = {"message_id": "4f", "final_date": "261123120000000+", "message_state": 2, "error_code": 0}
    wire = encode(Pdu(Command.QUERY_SM_RESP, fields, tlvs.pairs({"network_error_code": b"\3\0\0"}), sequence=9))
    assert wire[16:] == b"4f\0" + b"261123120000000+\0" + b"\2\0" + b"\x04\x23\0\3\3\0\0"
    answer = decode(wire)
    assert (answer["message_state"], answer.tlv("network_error_code"), answer.tlv("message_state")) == (2, b"\3\0\0", None)


def test_submit_multi_octets() -> None:
    """4.5.1: addresses and lists behind their flags, and the answer's list of those that failed."""
    to = ({"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": "49"}, {"dl_name": "all"})
    wire = encode(Pdu(Command.SUBMIT_MULTI, {"dest_address": to, "short_message": b"hi"}))
    assert wire[16:] == b"\0" + b"\0\0\0" + b"\2" + b"\1\1\1" + b"49\0" + b"\2all\0" + b"\0\0\0\0\0\0\0\0\0" + b"\2hi"
    assert decode(wire)["dest_address"] == to
    failed = ({"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": "49", "error_status_code": 0x0B},)
    answer = encode(Pdu(Command.SUBMIT_MULTI_RESP, {"message_id": "7", "unsuccess_sme": failed}))
    assert answer[16:] == b"7\0" + b"\1" + b"\1\1" + b"49\0" + b"\0\0\0\x0b"
    assert decode(answer)["unsuccess_sme"] == failed


LIST = {"dl_name": "x"}


@pytest.mark.parametrize(
    ("command", "fields", "path"),
    [
        (Command.QUERY_SM, {"message_id": "1" * 65}, "message_id"),
        (Command.QUERY_SM, {"source_addr_ton": 256}, "source_addr_ton"),
        (Command.QUERY_SM, {"source_addr": b"49"}, "source_addr"),
        (Command.QUERY_SM, {"source_addr": "\u0142"}, "source_addr"),
        (Command.QUERY_SM, {"text": "x"}, "text"),
        (Command.SUBMIT_SM, {"short_message": b"x" * 256}, "short_message"),
        (Command.SUBMIT_MULTI, {"dest_address": (LIST, {"destination_addr": "a\0"})}, "dest_address[1].destination_addr"),
        (Command.SUBMIT_MULTI, {"dest_address": ({"dl_name": "x", "dest_addr_ton": 1},)}, "dest_address[0].dest_addr_ton"),
        (Command.SUBMIT_MULTI, {"dest_address": (LIST,) * 256}, "dest_address"),
    ],
)  # fmt: skip
def test_encoding_names_the_path(command: Command, fields: dict[str, Any], path: str) -> None:
    """What does not fit is refused with the path of its field; its content is not in the words."""
    with pytest.raises(LocalProtocolError) as refused:
        encode(Pdu(command, fields))
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("command", "body", "path", "status"),
    [
        (Command.QUERY_SM, b"1" * 65 + b"\0", "message_id", c.ESME_RINVMSGID),
        (Command.QUERY_SM, b"1\0\1", "source_addr_npi", c.ESME_RINVCMDLEN),
        (Command.QUERY_SM, b"1\0\1\1" + b"4" * 21 + b"\0", "source_addr", c.ESME_RINVSRCADR),
        (Command.CANCEL_SM, b"WAPPUSH\0", "service_type", c.ESME_RINVSERTYP),
        (Command.REPLACE_SM, b"1\0\0\0\0\0\0\0\0\5ab", "short_message", c.ESME_RINVMSGLEN),
        (Command.SUBMIT_MULTI, b"\0\0\0\0\2\1" + b"\1\1" + b"49\0" + b"\3", "dest_address[1].dest_flag", 0x40),
        (Command.SUBMIT_MULTI, b"\0\0\0\0\1\1\1\1" + b"4" * 30, "dest_address[0].destination_addr", c.ESME_RINVDSTADR),
        (Command.BIND_TRANSCEIVER, b"demo\0demo\0\0\x34\0", "addr_npi", c.ESME_RINVCMDLEN),
        (Command.ENQUIRE_LINK, b"\4\x27\0\1\2\4\x24\0\1", "tlvs[1]", c.ESME_RINVOPTPARSTREAM),
        (Command.ENQUIRE_LINK, b"\4\x27\0", "tlvs[0]", c.ESME_RINVOPTPARSTREAM),
    ],
)
def test_decoding_names_the_path(command: Command, body: bytes, path: str, status: int) -> None:
    """A field that cannot be read is named by its path, with the status to answer with."""
    with pytest.raises(BadPdu) as bad:
        decode(wire_of(command, 0, 77, body))
    assert (bad.value.field, bad.value.status, bad.value.sequence) == (path, status, 77)


@pytest.mark.parametrize(
    "wire", [b"", b"\0\0\0\x10", wire_of(Command.UNBIND, 0, 1)[:-1], wire_of(Command.UNBIND, 0, 1) + b"\0"]
)
def test_a_length_that_is_not_so(wire: bytes) -> None:
    """command_length must be that of the bytes given: cutting them is the framer's."""
    with pytest.raises(BadPdu, match="command_length"):
        decode(wire)


@pytest.mark.parametrize("command", [0, 0x0A, 0x22, 0x110, 0x010203, 0x80000022])
def test_an_unknown_command_is_a_bad_pdu(command: int) -> None:
    """Such a PDU costs itself: it is answered with ESME_RINVCMDID and the link goes on (quirk 35)."""
    with pytest.raises(BadPdu, match="command_id") as bad:
        decode(wire_of(command, 0, 5))
    assert (bad.value.status, bad.value.sequence) == (c.ESME_RINVCMDID, 5)


@pytest.mark.parametrize("body", [b"", b"\0", b"no NUL", b"x" * 80 + b"\0", b"\0\4", b"id\0\4\x27\0\1\2"])
def test_an_error_answer_with_or_without_a_body(body: bytes) -> None:
    """Its status is what counts (quirk 26); what can be read of it is read."""
    answer = decode(wire_of(Command.SUBMIT_SM_RESP, 0x58, 3, body))
    assert (answer.status, answer.sequence) == (0x58, 3)
    assert answer.fields.get("message_id", "") in ("", "id")


def test_tlvs_by_name_and_number() -> None:
    """Unknown tags are bytes, until a type of the operator's gives them a name."""
    own = [TlvType(0x1401, "partner", Kind.TEXT, 1, 17)]
    pairs = tlvs.pairs({"partner": "acme", 0x1402: b"\1\2", "alert_on_message_delivery": True, "ms_validity": 3}, own)
    assert pairs == ((0x1401, b"acme\0"), (0x1402, b"\1\2"), (0x130C, b""), (0x1204, b"\3"))
    assert tlvs.named(pairs, own) == {"partner": "acme", "0x1402": b"\1\2", "alert_on_message_delivery": True, "ms_validity": 3}
    pdu = Pdu(Command.SUBMIT_SM_RESP, {"message_id": "1"}, (*pairs, (0x1401, b"again")))
    assert (pdu.tlv("partner", own), pdu.tlv(0x1401), pdu.tlv("nothing"), pdu.tlv("message_state")) == (
        "again", b"again", None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nonsense", 1),
        (0x10000, b""),
        (-1, b""),
        (0x1400, "text"),
        ("message_state", 256),
        ("message_state", -1),
        ("message_state", "2"),
        ("receipted_message_id", "a\0b"),
        ("receipted_message_id", "\u0142"),
        ("receipted_message_id", 7),
        (0x1400, b"x" * 65_536),
    ],
)
def test_tlvs_that_do_not_fit(key: str | int, value: Any) -> None:
    """Refused with the TLV's path."""
    with pytest.raises(LocalProtocolError, match=r"^tlvs\."):
        tlvs.pairs({key: value})


def test_a_stray_nul_before_the_tlvs() -> None:
    """Quirk 13: it is dropped; two are not."""
    body = b"1\0" + b"\0" + b"\4\x27\0\1\2"
    assert decode(wire_of(Command.DATA_SM_RESP, 0, 1, body)).tlv("message_state") == 2
    with pytest.raises(BadPdu, match=r"tlvs\[0\]"):
        decode(wire_of(Command.DATA_SM_RESP, 0, 1, b"1\0\0\0\4"))


def test_secrets_are_not_in_the_repr() -> None:
    """Neither password nor text, nor the octets of a TLV (promise P7)."""
    shown = repr(Pdu(Command.BIND_TRANSCEIVER, {"system_id": "demo", "password": "geheim"}))
    assert "demo" in shown
    assert "geheim" not in shown
    shown = repr(Pdu(Command.SUBMIT_SM, {"short_message": b"1234"}, tlvs.pairs({"message_payload": b"5678"})))
    assert "1234" not in shown
    assert "5678" not in shown
    assert "message_payload" in shown


def test_words_beyond_32_bits() -> None:
    """Status and sequence are words; a command outside the table is no command."""
    with pytest.raises(LocalProtocolError, match="sequence_number"):
        encode(Pdu(Command.UNBIND, {}, sequence=1 << 32))
    with pytest.raises(LocalProtocolError, match="command_id"):
        encode(Pdu(0x22, {}))  # type: ignore[arg-type]  # what untyped callers may do
