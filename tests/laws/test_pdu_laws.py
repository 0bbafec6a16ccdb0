"""Laws of the whole protocol's codec: round trips of every PDU, equal to smpplib and to the hot codec, total on any bytes."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from smpplib import smpp as smpplib_smpp

from smpp import codec, control, tlvs
from smpp import constants as c
from smpp.constants import Command
from smpp.errors import BadPdu, FramingLost, LocalProtocolError
from smpp.framing import Framer
from smpp.pdus import BODIES, Counted, Field, Int, Pdu, Text, decode, encode
from smpp.tlvs import TLVS, Kind, TlvType

word = st.integers(0, 0xFFFFFFFF)
octet = st.integers(0, 255)
latin1 = st.characters(min_codepoint=1, max_codepoint=255)


def value_of(field: Field) -> st.SearchStrategy[Any]:
    """Any value that a field may have."""
    match field:
        case Int(_, octets):
            return st.integers(0, (1 << 8 * octets) - 1)
        case Text(_, chars_max):
            return st.text(latin1, max_size=chars_max)
        case Counted():
            return st.binary(max_size=255)
    rows = [st.fixed_dictionaries({each.name: value_of(each) for each in row}) for row in field.rows.values()]
    return st.lists(st.one_of(rows), max_size=5).map(tuple)


def tlv_of(row: TlvType) -> st.SearchStrategy[Any]:
    """Any value that a TLV may have, typed."""
    match row.kind:
        case Kind.INT:
            return st.integers(0, (1 << 8 * row.octets_max) - 1)
        case Kind.TEXT:
            return st.text(latin1, min_size=row.octets_min - 1, max_size=min(row.octets_max - 1, 64))
        case Kind.FLAG:
            return st.just(True)
    return st.binary(min_size=row.octets_min, max_size=min(row.octets_max, 64))


known_tlv = st.sampled_from(TLVS).flatmap(lambda row: st.tuples(st.just(row.name), tlv_of(row)))
vendor_tlv = st.tuples(st.integers(0x1400, 0x3FFF), st.binary(max_size=40))
some_tlvs = st.lists(known_tlv | vendor_tlv, max_size=6)


@st.composite
def pdus(draw: st.DrawFn, commands: Any = tuple(BODIES)) -> Pdu:
    """Any PDU of the specification."""
    command = draw(st.sampled_from(commands))
    fields = {field.name: draw(value_of(field)) for field in BODIES[command]}
    bare = not fields  # behind an empty body an answer's TLVs cannot be told from a body that is missing
    own = () if bare else tlvs.pairs(draw(some_tlvs))
    return Pdu(command, fields, own, draw(word), draw(st.sampled_from([0, 0, 8, 0x58, 0xFFFFFFFF])))


def test_every_command_has_a_body() -> None:
    """The table is whole: each command of the enumeration, and an answer for each request that has one."""
    assert set(BODIES) == set(Command)
    unanswered = {Command.GENERIC_NACK, Command.OUTBIND, Command.ALERT_NOTIFICATION}
    for command in set(Command) - unanswered:
        assert command ^ c.RESPONSE in set(Command)


@given(pdus())
def test_every_pdu_comes_back(pdu: Pdu) -> None:
    """decode(encode(x)) is x, field by field, TLVs in their order, and encode is its inverse on what came."""
    wire = encode(pdu)
    assert decode(wire) == pdu
    assert encode(decode(wire)) == wire


@given(st.lists(some_tlvs.map(tlvs.pairs), max_size=3).map(lambda lists: sum(lists, ())))
def test_tlvs_come_back(pairs: tlvs.Pairs) -> None:
    """Repeated ones, vendors' and all named ones, in their order."""
    assert tlvs.read(tlvs.write(pairs)) == pairs


@given(st.one_of(known_tlv, vendor_tlv))
def test_typed_values_come_back(item: tuple[str | int, Any]) -> None:
    """What a name or tag was given is what it says."""
    tag, data = tlvs.raw(*item)
    assert tlvs.typed(tag, data) == item[1]
    assert tlvs.named([(tag, data)]) == {tlvs.name_of(tag): item[1]}


# --- smpplib, where it is right -----------------------------------------------------------------------------------

SMPPLIB = [
    *(Command.BIND_RECEIVER, Command.BIND_TRANSMITTER, Command.BIND_TRANSCEIVER),
    *(Command.BIND_RECEIVER_RESP, Command.BIND_TRANSMITTER_RESP, Command.BIND_TRANSCEIVER_RESP),
    *(Command.SUBMIT_SM, Command.SUBMIT_SM_RESP, Command.DELIVER_SM, Command.DELIVER_SM_RESP, Command.DATA_SM),
    *(Command.QUERY_SM, Command.QUERY_SM_RESP, Command.ALERT_NOTIFICATION),
    *(Command.UNBIND, Command.UNBIND_RESP, Command.ENQUIRE_LINK, Command.ENQUIRE_LINK_RESP, Command.GENERIC_NACK),
]
SHORTER = {"password": 8, "source_addr": 20, "destination_addr": 20, "esme_addr": 20}  # where smpplib cuts without a word


@given(pdus(SMPPLIB))
def test_equal_to_smpplib(pdu: Pdu) -> None:
    """For all of the commands that smpplib knows: the same octets from the same fields, the same fields from those octets.

    Left out, each for what smpplib does wrong: fields it cuts short without a word (bounded here), TLVs (test_codec_laws.py
    has those that it can write), interface_version and sequence, which it overwrites (set afterwards, as control.py does),
    short_message of 255 octets, and replace_sm, cancel_sm, outbind, submit_multi and data_sm_resp, which it cannot make.
    """
    fields = {
        name: value[: SHORTER.get(name, 64)] if isinstance(value, str) else value[:254] if isinstance(value, bytes) else value
        for name, value in pdu.fields.items()
    }
    if pdu.command is Command.QUERY_SM:
        fields["message_id"] = fields["message_id"] or "7"  # smpplib refuses to ask without one
    wire = encode(Pdu(pdu.command, fields, (), pdu.sequence, 0))
    made = smpplib_smpp.make_pdu(pdu.command.name.lower(), sequence=pdu.sequence, **fields)
    made.sequence = pdu.sequence
    for name, value in fields.items():
        setattr(made, name, value)
    assert bytes(made.generate()) == wire
    theirs = smpplib_smpp.parse_pdu(wire, sequence=pdu.sequence)
    assert (theirs.command, theirs.sequence, theirs.status) == (pdu.command.name.lower(), pdu.sequence, 0)
    for name, value in fields.items():
        read = getattr(theirs, name)
        expected = value.encode("latin-1") if isinstance(value, str) else value
        assert (read if isinstance(value, int) else read or b"") == expected


# --- the hot codec and control.py -----------------------------------------------------------------------------------


@given(pdus([Command.SUBMIT_SM, Command.DELIVER_SM]))
def test_the_hot_codec_is_the_same(pdu: Pdu) -> None:
    """What codec.py reads in a tuple is what the table reads, message_payload apart, which codec.py folds in."""
    wire = encode(pdu)
    hot = (codec.decode_submit_sm if pdu.command is Command.SUBMIT_SM else codec.decode_deliver_sm)(wire)
    folded = dict(pdu.tlvs)
    message = pdu["short_message"] or folded.pop(int(c.Tlv.MESSAGE_PAYLOAD), b"")
    assert (hot.short_message, dict(hot.tlvs), hot.sequence, hot.status) == (message, folded, pdu.sequence, pdu.status)
    for name, value in pdu.fields.items():
        if name != "short_message":
            assert getattr(hot, name) == value


@given(pdus([Command.SUBMIT_SM_RESP, Command.DATA_SM]))
def test_the_other_hot_ones_too(pdu: Pdu) -> None:
    """An answer's id and a data_sm's fields."""
    wire = encode(pdu)
    if pdu.command is Command.SUBMIT_SM_RESP:
        assert codec.decode_submit_sm_resp(wire) == (pdu.status, pdu.sequence, pdu["message_id"])
        assert codec.decode_submit_sm_resp_tlvs(wire) == dict(pdu.tlvs)
        return
    hot = codec.decode_data_sm(wire)
    assert {name: getattr(hot, name) for name in pdu.fields} == pdu.fields


@given(pdus([Command.BIND_RECEIVER, Command.BIND_TRANSMITTER, Command.BIND_TRANSCEIVER]))
def test_control_is_the_same(pdu: Pdu) -> None:
    """A bind read by control.py, and written by smpplib through it."""
    fields: dict[str, Any] = dict(pdu.fields)
    mode = control.BindMode(pdu.command)
    read = control.decode_bind(encode(pdu))
    assert (read.system_id, read.password, read.version) == (
        fields["system_id"],
        fields["password"],
        fields["interface_version"],
    )
    version = fields.pop("interface_version")
    wire = control.bind(mode, fields.pop("system_id"), fields.pop("password"), version=version, sequence=pdu.sequence, **fields)
    assert wire == encode(Pdu(pdu.command, pdu.fields, (), pdu.sequence, 0))


# --- any bytes --------------------------------------------------------------------------------------------------------


def read(data: bytes) -> Pdu | BadPdu:
    """The value, or the typed error; anything else fails the test."""
    try:
        return decode(data)
    except BadPdu as raised:
        bad = raised
    assert bad.field
    assert bad.status
    return bad


def complaint(pdu: Pdu, key: str | int) -> str:
    """The path of a TLV that cannot be read as what it should be; "" when it can."""
    try:
        pdu.tlv(key)
    except BadPdu as bad:
        return bad.field
    return ""


@given(st.sampled_from(list(Command)), word, word, st.binary(max_size=300))
@example(Command.SUBMIT_MULTI, 0, 1, b"\0" * 4 + b"\xff" * 40)
@example(Command.SUBMIT_SM, 0, 1, b"")
def test_any_body_is_a_value_or_a_bad_pdu(command: Command, status: int, sequence: int, body: bytes) -> None:
    """Only typed errors, with a path and a status to answer with; and what was read can be written again."""
    pdu = read(codec.pdu(command, status, sequence, body))
    if isinstance(pdu, Pdu):
        assert decode(encode(pdu)) == pdu
        for tag, _ in pdu.tlvs:
            assert complaint(pdu, tag) in {"", f"tlvs.{tlvs.name_of(tag)}"}
    else:
        assert (pdu.command_id, pdu.sequence) == (command, sequence)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_bad_pdu(data: bytes) -> None:
    """Also what is no PDU at all."""
    read(data)


@given(pdus(), st.lists(st.tuples(st.integers(16, 600), octet), max_size=3), st.integers(0, 600))
def test_damaged_pdus(pdu: Pdu, damage: list[tuple[int, int]], cut: int) -> None:
    """A real PDU with octets changed and its end cut off, its length corrected so that framing does not notice."""
    wire = bytearray(encode(pdu))
    for position, value in damage:
        if position < len(wire):
            wire[position] = value
    wire = wire[: max(16, cut)]
    wire[:4] = len(wire).to_bytes(4, "big")
    read(bytes(wire))


@given(st.lists(pdus(), max_size=4), st.data())
def test_whole_or_split_at_any_byte(sent: list[Pdu], data: st.DataObject) -> None:
    """However a stream is cut into reads, the same PDUs are decoded."""
    wire = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    framer = Framer(1 << 20)
    got = [decode(each) for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True) for each in framer.feed(wire[a:b])]
    assert got == sent


def test_one_pdu_at_every_byte() -> None:
    """The same without chance: a receipt cut in two at each of its bytes, and one byte at a time."""
    pdu = Pdu(
        *(Command.DELIVER_SM, {"short_message": b"id:1 stat:DELIVRD"}),
        tlvs.pairs({"receipted_message_id": "1", "message_state": 2, 0x1400: b"x"}),
    )
    wire = encode(pdu)
    whole = decode(wire)
    for cut in range(len(wire) + 1):
        framer = Framer()
        assert [decode(each) for part in (wire[:cut], wire[cut:]) for each in framer.feed(part)] == [whole]
    framer = Framer()
    assert [decode(each) for at in range(len(wire)) for each in framer.feed(wire[at : at + 1])] == [whole]


@given(st.lists(st.binary(max_size=80), max_size=12))
def test_a_stream_of_anything(reads: list[bytes]) -> None:
    """Garbage in any pieces: PDUs, bad PDUs, or framing lost for good; nothing else, and never more kept than one PDU."""
    framer = Framer(256)
    for data in reads:
        try:
            whole = framer.feed(data)
        except FramingLost as lost:
            whole = lost.pdus
        for each in whole:
            read(each)
        assert framer.pending_bytes <= 256 + len(data)


def test_memory_is_flat() -> None:
    """The worst bodies that fit into a PDU, again and again: what decoding takes is bounded by what it is given."""
    worst = [
        codec.pdu(Command.SUBMIT_MULTI, 0, 1, b"\0\0\0\0\xff" + b"\1\0\0\0" * 255 + b"\0" * 10),
        codec.pdu(Command.ENQUIRE_LINK, 0, 1, b"\x14\x00\0\0" * 16_000),
        codec.pdu(Command.SUBMIT_SM, 0, 1, b"\0" * 65_000),
    ]
    for wire in worst:
        read(wire)
    tracemalloc.start()
    for wire in worst * 3:
        read(wire)
    gc.collect()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 65_536
    assert peak < 100 * 65_536


@pytest.mark.parametrize("row", TLVS, ids=lambda row: row.name)
def test_every_tlv_keeps_its_bounds(row: TlvType) -> None:
    """At the limits and one beyond, with the path in the error."""
    for size in {row.octets_min, row.octets_max}:
        assert tlvs.raw(row.name, b"1" * size)[0] == row.tag
    for size in {row.octets_min - 1, row.octets_max + 1} - {-1}:
        with pytest.raises(LocalProtocolError, match=f"tlvs.{row.name}"):
            tlvs.raw(row.name, b"1" * size)
        pdu = Pdu(Command.SUBMIT_SM_RESP, {"message_id": "1"}, ((row.tag, b"1" * size),))
        forgiven = row.kind is Kind.FLAG or (row.kind is Kind.TEXT and size < row.octets_max)
        assert complaint(pdu, row.name) == ("" if forgiven else f"tlvs.{row.name}")
