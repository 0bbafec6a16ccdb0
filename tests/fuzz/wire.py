"""What must hold of everything that reads PDUs, for any bytes: framing, the hot codec, the table, binds, the session.

Each function takes one input and raises AssertionError, or whatever its decoder should not have raised. It refuses to know
where inputs come from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from smpp import codec, control, tlvs
from smpp import constants as c
from smpp.errors import BadPdu, FramingLost
from smpp.events import Login, SessionSettings
from smpp.framing import Framer
from smpp.messages import ShortMessage
from smpp.pdus import BODIES, Pdu, decode, encode
from smpp.receipts import glance
from smpp.session import Session, State
from tests.fuzz import seeds
from tests.smpp.pair import LOGIN, feed_pieces, submits

V = TypeVar("V")

PDU_BYTES_MAX = 100
"""For framing: short, so that a drawn length is now and then the longest allowed."""


def pieces(data: bytes, cut: int, most: int = 64) -> list[bytes]:
    """`data` in two, or in about `most` where the cut falls on its beginning: octet by octet, when it is not long."""
    at = cut % (len(data) + 1)
    if at or not data:
        return [data[:at], data[at:]]
    step = 1 + len(data) // most
    return [data[start : start + step] for start in range(0, len(data), step)]


def valued(read: Callable[[bytes], V], data: bytes) -> V | BadPdu:
    """What was read, or the error: it names a field, and a status to answer with."""
    try:
        return read(data)
    except BadPdu as raised:
        bad = raised
    assert bad.field not in {"", "body"}
    assert bad.status
    assert str(bad)
    return bad.with_traceback(None)


# --- framing: two octets of cut, then a stream ------------------------------------------------------------------------


def framing(data: bytes) -> None:
    """However it is cut the same PDUs and the same break, which are those of a walk over the whole; memory is bounded."""
    stream = data[2:]
    whole = _framed([stream])
    assert whole == _framed(pieces(stream, int.from_bytes(data[:2], "big")))
    assert whole == _walked(stream)


def _framed(parts: list[bytes]) -> tuple[list[bytes], bool]:
    framer, found, lost = Framer(PDU_BYTES_MAX), [], False
    for part in parts:
        try:
            found += framer.feed(part)
        except FramingLost as broken:
            found += broken.pdus  # none but the first time, or they would be more than those of the walk
            lost = True
        assert framer.pending_bytes <= PDU_BYTES_MAX + len(part)
    return found, lost


def _walked(stream: bytes) -> tuple[list[bytes], bool]:
    found: list[bytes] = []
    while len(stream) >= 4:
        length = int.from_bytes(stream[:4], "big")
        if not 16 <= length <= PDU_BYTES_MAX:
            return found, True
        if len(stream) < length:
            break
        found.append(stream[:length])
        stream = stream[length:]
    return found, False


def framing_seeds() -> list[bytes]:
    """One PDU, several, and broken ones."""
    short = [wire for wire in seeds.every_pdu() if len(wire) <= PDU_BYTES_MAX]
    streams = [*short, *seeds.captured(), b"".join(short[:3]), short[0] + b"\0\0\0\x0f" + short[1]]
    return [cut + stream for stream in streams for cut in (b"\0\0", b"\0\x13")]


# --- the hot codec: a PDU ---------------------------------------------------------------------------------------------


def messages(data: bytes) -> None:
    """submit_sm and deliver_sm share a body: one is read as the other, TLVs apart, and what is written of it is read alike."""
    submit, deliver = valued(codec.decode_submit_sm, data), valued(codec.decode_deliver_sm, data)
    if isinstance(deliver, BadPdu):
        assert isinstance(submit, BadPdu)
        assert submit.field == deliver.field
        return
    if isinstance(submit, BadPdu):
        assert submit.field == "tlvs"  # a deliver_sm with a broken TLV is taken without it
    else:
        assert submit == deliver
    if deliver.short_message and c.TLV_MESSAGE_PAYLOAD in deliver.tlvs:
        return  # both, which SMPP forbids: kept as they came
    wire = codec.pdu(c.DELIVER_SM, deliver.status, deliver.sequence, _body(deliver))
    assert codec.decode_deliver_sm(wire) == deliver
    assert repr(deliver)


def _body(of: ShortMessage) -> bytes:
    template = codec.SubmitTemplate(
        of.source_addr,
        source_ton=of.source_addr_ton,
        source_npi=of.source_addr_npi,
        dest_ton=of.dest_addr_ton,
        dest_npi=of.dest_addr_npi,
        service_type=of.service_type,
        esm_class=of.esm_class,
        data_coding=of.data_coding,
        schedule=of.schedule_delivery_time,
        validity=of.validity_period,
        registered_delivery=of.registered_delivery,
        replace_if_present=of.replace_if_present_flag,
        priority=of.priority_flag,
        protocol_id=of.protocol_id,
        default_message_id=of.sm_default_msg_id,
        tlvs=of.tlvs,
    )
    return template.body(of.destination_addr, of.short_message)


def messages_seeds() -> list[bytes]:
    """All that have this body."""
    return seeds.pdus_of(c.Command.SUBMIT_SM, c.Command.DELIVER_SM)


def data_sm(data: bytes) -> None:
    """Read by the hot codec as by the table, where the table's PDU is one; message_payload is its message."""
    wire = _with_length(data[:4] + b"\0\0\1\3" + data[8:])
    hot, plain = valued(codec.decode_data_sm, wire), valued(decode, wire)
    assert isinstance(hot, BadPdu) == isinstance(plain, BadPdu)
    if isinstance(hot, BadPdu) or isinstance(plain, BadPdu):
        return
    assert {name: getattr(hot, name) for name in plain.fields} == plain.fields
    folded = dict(plain.tlvs)
    assert hot.short_message == folded.pop(c.TLV_MESSAGE_PAYLOAD, b"")
    assert hot.tlvs == folded


def data_sm_seeds() -> list[bytes]:
    """data_sm only."""
    return seeds.pdus_of(c.Command.DATA_SM)


def answers(data: bytes) -> None:
    """submit_sm_resp: an answer settles whatever is wrong with it. Its id is bounded, and comes back when it is written."""
    read = valued(codec.decode_submit_sm_resp, data)
    more = codec.decode_submit_sm_resp_tlvs(data)
    assert more == {} or sum(4 + len(value) for value in more.values()) <= len(data)
    if isinstance(read, BadPdu):
        assert len(data) < 16
        return
    status, sequence, message_id = read
    assert len(message_id) <= codec.MESSAGE_ID_CHARS_MAX
    assert codec.decode_submit_sm_resp(codec.submit_sm_resp(sequence, status, message_id)) == read


def answers_seeds() -> list[bytes]:
    """Answers to submit_sm."""
    return seeds.pdus_of(c.Command.SUBMIT_SM_RESP)


# --- binds: a PDU -----------------------------------------------------------------------------------------------------

BINDS = (c.Command.BIND_RECEIVER, c.Command.BIND_TRANSMITTER, c.Command.BIND_TRANSCEIVER)


def binds(data: bytes) -> None:
    """A bind read by control.py is what the table reads; the answer to a bind is always one; no password in a repr."""
    answer = valued(control.decode_bind_resp, data)
    assert isinstance(answer, BadPdu) == (len(data) < 16)
    wire = _with_length(data)
    request, plain = valued(control.decode_bind, wire), valued(decode, wire)
    if isinstance(request, BadPdu):
        assert isinstance(plain, BadPdu) or plain.command not in BINDS
        return
    if isinstance(plain, BadPdu):
        assert plain.field.startswith("tlvs[")  # control.py does not look behind the body
        return
    fields = (request.system_id, request.password, request.system_type, request.version)
    assert (*fields, request.addr_ton, request.addr_npi, request.address_range) == tuple(plain.fields.values())
    assert request.sequence == plain.sequence
    assert "password" not in repr(request)


def binds_seeds() -> list[bytes]:
    """Binds and their answers."""
    return seeds.pdus_of(*BINDS, *(c.Command(each | c.RESPONSE) for each in BINDS))


# --- the table: a PDU whose length is set right unless its first octet is 0xFF ----------------------------------------


def _with_length(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data[4:] if len(data) >= 4 else data


def table(data: bytes) -> None:
    """A value or a BadPdu; a value is written and read again alike; its TLVs are typed or refused by name."""
    wire = data if data[:1] == b"\xff" else _with_length(data)
    pdu = valued(decode, wire)
    if isinstance(pdu, BadPdu):
        return
    again = encode(pdu)
    assert decode(again) == pdu
    assert len(wire) - 1 <= len(again) <= len(wire) or pdu.command & c.RESPONSE  # a stray NUL before the TLVs is dropped
    assert repr(pdu)
    _typed(pdu)
    hot = {c.SUBMIT_SM: codec.decode_submit_sm, c.DELIVER_SM: codec.decode_deliver_sm}.get(pdu.command)
    if hot is not None:
        read = hot(wire)
        assert (read.source_addr, read.destination_addr) == (pdu["source_addr"], pdu["destination_addr"])
        assert read.short_message == (pdu["short_message"] or dict(pdu.tlvs).get(c.TLV_MESSAGE_PAYLOAD, b""))


def _typed(pdu: Pdu) -> None:
    named = tlvs.named(pdu.tlvs)
    for tag, _ in pdu.tlvs[:40]:
        name = tlvs.name_of(tag)
        value = valued(lambda _, tag=tag: pdu.tlv(tag), b"")
        if isinstance(value, BadPdu):
            assert value.field == f"tlvs.{name}"
        else:
            assert named[name] == value


def table_seeds() -> list[bytes]:
    """All kinds."""
    return seeds.every_pdu()


# --- the session: kind, two octets of cut, then records of a count and octets ------------------------------------------

_SETTINGS = SessionSettings(window=4, pdu_bytes_max=300, unanswered_max=3, bad_pdus_max=3)
_GLANCES = SessionSettings(window=4, pdu_bytes_max=300, unanswered_max=3, bad_pdus_max=3, read_receipt=glance)
_PEER = Login("shop", "secret")
_UNBIND = c.UNBIND.to_bytes(4, "big")
NOW = 1.0


def _session(kind: int) -> Session[str]:
    """One of 24: either role, in every state, with requests in flight where there can be."""
    esme, state, glances = kind & 1, State(kind // 2 % 6), kind // 12 % 2
    session: Session[str] = Session(_GLANCES if glances else _SETTINGS, LOGIN if esme else None)
    if state is State.OPEN:
        return session
    session.login = session.login or _PEER
    if state is State.BINDING:
        session._control[1] = c.BIND_TRANSCEIVER
        session._enter(State.BINDING)
        return session
    session._enter(State.BOUND)
    session.submit(submits("a", "b"), 0.0)
    if esme:
        session.questions._open[9] = ("q", 10.0)  # asked, without encoding it each time
    session.wrote(len(session.outgoing()))
    if state is State.BOUND:
        return session
    session.start_unbind(0.0)
    if state is State.UNBINDING:
        session.tick(6.0)
    elif state is State.CLOSED:
        session._close("test")
    return session


def session(data: bytes) -> None:
    """Whole, in two or octet by octet: the same events, the same answers, the same state; each token comes back once. A session
    that drains says its unbind when the read that brought the last answer is over, so where and if depends on the cut."""
    kind, cut, stream = data[0] if data else 0, int.from_bytes(data[1:3], "big"), _stream(data[3:])
    found = [_lived(_session(kind), parts) for parts in ([stream], pieces(stream, cut, 16))]
    assert found[0] == found[1]


def _lived(session: Session[str], parts: list[bytes]) -> tuple[Any, ...]:
    tokens, before = sorted(token for token, _ in session._window.in_flight.values()), session.state.value
    events = feed_pieces(session, parts, NOW).as_dict()
    events["bad"] = [str(bad) for bad in events["bad"]]
    assert session.state.value >= before
    said, state = [pdu for pdu in _pdus(session.outgoing()) if pdu[4:8] != _UNBIND], session.state
    later = session.tick(NOW + 35.0)
    lost = session.lost()
    back = [token for token, _, _ in (*events["answers"], *later.late)] + later.timed_out + lost.unknown + lost.not_sent
    assert sorted(back) == tokens
    return events, said, state, session.strays, session.owed, session.outgoing(), session.close_reason, lost


def _pdus(said: bytes) -> list[bytes]:
    """The PDUs of a stream of whole ones."""
    found: list[bytes] = []
    while said:
        length = int.from_bytes(said[:4], "big")
        found.append(said[:length])
        said = said[length:]
    return found


def _stream(data: bytes) -> bytes:
    """Records as a stream: the octets of one, with the length that makes them a PDU where there are enough for a header."""
    parts: list[bytes] = []
    position = 0
    while position < len(data):
        record = data[position + 1 : position + 1 + data[position]]
        parts.append((4 + len(record)).to_bytes(4, "big") + record if len(record) >= 12 else record)
        position += 1 + data[position]
    return b"".join(parts)


_DRAINED = [
    bytes.fromhex(
        "730500000d800000000022000000000002000d80000004000000000000000129800c00020000000000"
        "07001e0005346600d0000074320000000000002d800000070c80"
    ),
    bytes.fromhex("070500000d800000000422000000000002000d800000000400000000000001740000002d880000f47f"),
]
"""Found: the last answers to a session that drains, and behind them a command that nobody knows, or what is no PDU."""


def session_seeds() -> list[bytes]:
    """Every PDU to each role bound, every kind of session once, and behind each PDU that may end a state a message."""
    wires = [wire for wire in seeds.every_pdu() if 16 <= len(wire) < 256]
    records = [bytes((len(wire) - 4,)) + wire[4:] for wire in wires]
    bound = [bytes((kind, 0, cut)) + record for kind in (4, 5, 17) for cut in (0, 7) for record in records]
    several = [bytes((kind, 0, 9)) + b"".join(records[kind : kind + 3]) for kind in range(24)]
    kinds = {each: bytes((12,)) + each.to_bytes(4, "big") + b"\0\0\0\0\0\0\0\1" for each in c.Command}
    turns = [kinds[each] for each in (c.Command.UNBIND, c.Command.UNBIND_RESP, c.Command.BIND_TRANSCEIVER_RESP)]
    message = next(record for record in records if record[4] == c.DELIVER_SM and len(record) < 60)
    return [*_DRAINED, *bound, *several, *(bytes((kind, 0, 0)) + turn + message * 2 for kind in range(24) for turn in turns)]


assert set(BODIES) == set(c.Command), "a command without a body is not fuzzed"
