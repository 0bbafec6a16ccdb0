"""PDUs that others captured from carriers (captured.toml): each is read, its fields are those its source names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from smpp import codec, tlvs
from smpp.constants import Command
from smpp.framing import Framer
from smpp.pdus import decode, encode

PDUS = tomllib.loads((Path(__file__).parent / "captured.toml").read_text("utf-8"))["pdu"]


def shown(value: Any) -> Any:
    """Octets as the file has them."""
    return value.hex() if isinstance(value, bytes) else value


@pytest.mark.parametrize("case", PDUS, ids=[f"{place}-{case['command']}" for place, case in enumerate(PDUS, 1)])
def test_captured(case: dict[str, Any]) -> None:
    """By the table and, where it knows the command, by the hot codec; and written again it is what came."""
    wire = bytes.fromhex(case["hex"])
    (framed,) = Framer().feed(wire)
    pdu = decode(framed)
    assert (pdu.command.name, pdu.sequence) == (case["command"], case["sequence"])
    assert case["fields"].items() <= {name: shown(value) for name, value in pdu.fields.items()}.items()
    assert case["tlvs"] == {name: shown(value) for name, value in tlvs.named(pdu.tlvs).items()}
    assert encode(pdu) == wire
    hot = {Command.SUBMIT_SM: codec.decode_submit_sm, Command.DELIVER_SM: codec.decode_deliver_sm}.get(pdu.command)
    if hot is not None:
        read = hot(wire)
        assert read.short_message == pdu["short_message"] or read.short_message == pdu.tlv("message_payload")
        assert (read.source_addr, read.sequence) == (pdu["source_addr"], pdu.sequence)


def test_a_receipt_with_a_broken_tlv() -> None:
    """A carrier told 65 octets for an id of five (cloudhopper, PduDecoderTest: left out there): the rest is read all the same,
    since a receipt that is refused comes again and again."""
    wire = bytes.fromhex(
        "000000a40000000500000000000000050001013233343830333337363831353100050056414e534f000400000000040000006369643a30303030303033"
        "303035207375623a30303120646c7672643a303031207375626d697420646174653a3130303131383134333120646f6e6520646174653a313030313138"
        "3134333120737461743a44454c49565244206572723a3030302074650427000102001e00413330303500"
    )
    deliver = codec.decode_deliver_sm(wire)
    assert deliver.tlvs == {0x0427: b"\2"}
    assert deliver.short_message.startswith(b"id:0000003005 ")
