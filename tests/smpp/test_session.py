"""The session automaton: rules of states, window, timers, doubt. No sockets, no sleeping: time is an argument."""

from __future__ import annotations

import pytest

from smpp import codec, control
from smpp import constants as c
from smpp.errors import LocalProtocolError
from smpp.receipts import glance
from smpp.session import PEER_SENDS, Events, Login, Role, Session, SessionSettings, State
from tests.smpp.pair import BODY, LOGIN, ConnectionPair, feed, submits

PDU_BYTES = 16 + len(BODY)


def pdus(session: Session[str]) -> list[tuple[int, int, int]]:
    """(command, status, sequence) of what the session says now; it counts as written."""
    data = session.outgoing()
    session.wrote(len(data))
    found = []
    while data:
        length, command, status, sequence = codec.decode_header(data[:16])
        found.append((command, status, sequence))
        data = data[length:]
    return found


def test_bind_submit_answer() -> None:
    """A submit comes back with its token, status and carrier id, whatever the order of answers."""
    pair = ConnectionPair().bind()
    pair.esme.submit(submits("a", "b"), 1.0)
    got = pair.to_smsc().submits
    assert [each.short_message for each in got] == [b"hello", b"hello"]
    pair.smsc.answer_submits([(got[1].sequence, 0, "id-b"), (got[0].sequence, 0x58, "")])
    assert pair.to_esme().answers == [("b", 0, "id-b"), ("a", 0x58, "")]
    assert (pair.esme.in_flight, pair.smsc.owed) == (0, 0)


def test_mirror() -> None:
    """deliver_sm in the other direction uses the same window: sent by the SMSC, answered by the ESME."""
    pair = ConnectionPair().bind()
    pair.smsc.submit([(codec.deliver_sm_body("447700900001", "Sender", b"id:1"), "r")], 1.0)
    (deliver,) = pair.to_esme().delivers
    assert (deliver.short_message, pair.esme.owed) == (b"id:1", 1)
    pair.esme.answer_delivers([deliver.sequence], c.ESME_RX_T_APPN)
    assert pair.to_smsc().answers == [("r", c.ESME_RX_T_APPN, "")]


def test_a_receipt_read_in_the_pdu_is_a_request_like_any_other() -> None:
    """What `read_receipt` recognises is owed an answer, refused beyond the limit, and everything else is decoded as ever."""
    pair = ConnectionPair(SessionSettings(read_receipt=glance, unanswered_max=2, window=3)).bind()
    text = b"id:75a sub:001 dlvrd:001 submit date:2211221200 done date:2211221201 stat:DELIVRD err:000 text:"
    receipt = codec.deliver_sm_body("447700900001", "Sender", text, esm_class=4)
    handset = codec.deliver_sm_body("447700900001", "Sender", text)
    pair.smsc.submit([(receipt, "r"), (handset, "h"), (receipt, "s")], 1.0)
    events = pair.esme.receive(pair.smsc.outgoing(), 1.0)
    assert ([r.id for r in events.receipts], [d.short_message for d in events.delivers]) == (["75a"], [text])
    assert (pair.esme.owed, bool(events)) == (2, True)
    pair.esme.answer_delivers([events.receipts[0].sequence, events.delivers[0].sequence])
    pair.smsc.wrote(3 * 16 + 2 * len(receipt) + len(handset))
    assert pair.to_smsc().answers == [("s", c.ESME_RSYSERR, ""), ("r", 0, ""), ("h", 0, "")]


def test_data_sm_is_answered_as_data_sm() -> None:
    """A receipt that comes as data_sm surfaces as a deliver and gets a data_sm_resp."""
    pair = ConnectionPair().bind()
    body = b"\0\1\x01447\0\1\x01123\0\x04\0\0" + codec.pdu(0, 0, 0)[:0] + b"\x04\x24\x00\x02hi"
    (deliver,) = pair.esme.receive(codec.pdu(c.DATA_SM, 0, 9, body), 1.0).delivers
    assert deliver.short_message == b"hi"
    pair.esme.answer_delivers([9])
    assert pdus(pair.esme) == [(c.DATA_SM_RESP, 0, 9)]


@pytest.mark.parametrize("excess", [0, 1])
def test_window_limit(excess: int) -> None:
    """Exactly `window` submits fit; one more raises and sends none of the batch."""
    pair = ConnectionPair(SessionSettings(window=3)).bind()
    if excess:
        with pytest.raises(LocalProtocolError):
            pair.esme.submit(submits("a", "b", "c", "d"), 1.0)
        assert not pair.esme.has_outgoing
    else:
        pair.esme.submit(submits("a", "b", "c"), 1.0)
        assert pair.esme.room == 0


def test_sequences_wrap_and_skip_what_is_in_flight() -> None:
    """After 0x7fffffff comes 1, and a number in flight is never given again."""
    pair = ConnectionPair(SessionSettings(window=10)).bind()
    pair.esme.submit(submits("old"), 0.0)
    ((_, _, old),) = pdus(pair.esme)
    pair.esme._window._last_sequence = 0x7FFFFFFE
    pair.esme.submit(submits(*"abcd"), 0.0)
    numbers = [sequence for _, _, sequence in pdus(pair.esme)]
    assert numbers[0] == 0x7FFFFFFF
    assert old not in numbers
    assert 0 not in numbers
    assert len(set(numbers)) == 4
    assert max(numbers) <= 0x7FFFFFFF


def test_sequences_skip_what_is_in_flight_without_a_wrap() -> None:
    """Once around, the numbers of a slow request lie ahead: they are stepped over."""
    pair = ConnectionPair(SessionSettings(window=10)).bind()
    pair.esme.submit(submits("old"), 0.0)
    ((_, _, old),) = pdus(pair.esme)
    pair.esme._window._last_sequence = old - 1
    pair.esme.submit(submits("new"), 0.0)
    assert [number for _, _, number in pdus(pair.esme)] == [old + 1]
    assert pair.esme.in_flight == 2


def test_timers_of_answered_batches_are_forgotten() -> None:
    """I15: what is answered leaves nothing behind, long before its time would be up."""
    pair = ConnectionPair(SessionSettings(enquire_link_s=0)).bind()
    for _ in range(100):
        pair.esme.submit(submits("a"), 0.0)
        ((_, _, sequence),) = pdus(pair.esme)
        pair.esme.receive(codec.submit_sm_resp(sequence, 0, "x"), 0.0)
    pair.esme.tick(1.0)
    assert len(pair.esme._window._timers) == 0


@pytest.mark.parametrize("left", [0, PDU_BYTES - 1, PDU_BYTES, PDU_BYTES + 1, 2 * PDU_BYTES])
def test_unknown_is_what_left_whole(left: int) -> None:
    """Only a submit whose last byte left is unknown; any other is not sent."""
    pair = ConnectionPair().bind()
    pair.esme.submit(submits("a", "b"), 1.0)
    pair.esme.outgoing()
    pair.esme.wrote(left)
    whole = left // PDU_BYTES
    assert (["a", "b"][:whole], ["a", "b"][whole:]) == tuple(pair.esme.lost())
    assert tuple(pair.esme.lost()) == ([], [])


def test_bytes_of_other_pdus_count() -> None:
    """Answers and enquire_links between submits move the offset at which a submit ends."""
    pair = ConnectionPair().bind()
    pair.esme.receive(codec.enquire_link(5), 1.0)
    pair.esme.submit(submits("a"), 1.0)
    pair.esme.outgoing()
    pair.esme.wrote(16 + PDU_BYTES - 1)
    assert pair.esme.lost().not_sent == ["a"]


def test_wrote_more_than_there_was_is_our_fault() -> None:
    """wrote() refuses a count that cannot be."""
    with pytest.raises(LocalProtocolError):
        ConnectionPair().bind().esme.wrote(1)


def test_response_timeout_then_late_answer() -> None:
    """An unanswered submit times out once, the session drains and unbinds, and a late answer still names its token."""
    pair = ConnectionPair(SessionSettings(response_timeout_s=60, drain_s=5, enquire_link_s=0)).bind()
    pair.esme.submit(submits("a"), 0.0)
    pair.esme.submit(submits("b"), 30.0)
    sequence = next(sequence for _, _, sequence in pdus(pair.esme))
    assert not pair.esme.tick(59.9)
    assert pair.esme.tick(60.0).timed_out == ["a"]
    assert (pair.esme.state, pair.esme.room) == (State.DRAINING, 0)
    assert not pair.esme.tick(61.0).timed_out
    assert pair.esme.receive(codec.submit_sm_resp(sequence, 0, "x"), 62.0).late == [("a", 0, "x")]
    pair.esme.tick(65.0)
    assert State.UNBINDING is pair.esme.state
    assert pair.esme.tick(67.0).close == "response_timeout"
    assert tuple(pair.esme.lost()) == (["b"], [])


def test_unsent_never_times_out_into_doubt() -> None:
    """A submit that still waits in our buffer when its time is up is not unknown: the link closes and it is not sent."""
    pair = ConnectionPair(SessionSettings(response_timeout_s=60, enquire_link_s=0)).bind()
    pair.esme.submit(submits("a"), 0.0)
    events = pair.esme.tick(60.0)
    assert (events.timed_out, events.close) == ([], "peer_does_not_read")
    assert pair.esme.lost().not_sent == ["a"]


def test_out_of_order_answers_do_not_stop_the_timer_of_the_first() -> None:
    """The FIFO of timers skips batches that are answered and still finds the one that is not."""
    pair = ConnectionPair(SessionSettings(window=100, response_timeout_s=10, enquire_link_s=0)).bind()
    for at in range(5):
        pair.esme.submit(submits(f"{at}"), float(at))
    for _, _, sequence in pdus(pair.esme)[:3]:
        pair.esme.receive(codec.submit_sm_resp(sequence, 0, "x"), 5.0)
    assert pair.esme.tick(12.9).timed_out == []
    assert pair.esme.tick(13.0).timed_out == ["3"]


def test_strays_are_counted() -> None:
    """An answer to nothing we asked changes nothing but a count; so does the second answer to one submit."""
    pair = ConnectionPair().bind()
    pair.esme.submit(submits("a"), 0.0)
    ((_, _, sequence),) = pdus(pair.esme)
    answer = codec.submit_sm_resp(sequence, 0, "x")
    events = pair.esme.receive(answer + answer + codec.submit_sm_resp(77, 0, "y"), 1.0)
    assert (events.answers, pair.esme.strays) == ([("a", 0, "x")], 2)


def test_enquire_link_into_silence_only() -> None:
    """Silence of enquire_link_s asks; anything heard is life; asked and nothing heard is death."""
    pair = ConnectionPair(SessionSettings(enquire_link_s=30, enquire_answer_s=10)).bind()
    pair.esme.tick(29.9)
    assert pdus(pair.esme) == []
    pair.esme.tick(30.0)
    assert [command for command, _, _ in pdus(pair.esme)] == [c.ENQUIRE_LINK]
    pair.esme.receive(codec.pdu(c.DELIVER_SM, 0, 1, codec.deliver_sm_body("1", "2", b"")), 39.0)
    assert pair.esme.tick(40.0).close is None
    pair.esme.tick(69.0)
    pair.esme.receive(b"\0\0\0", 78.0)
    assert pair.esme.tick(79.0).close == "peer_dead"


def test_enquire_link_is_answered_in_every_living_state() -> None:
    """Even before the bind and while unbinding."""
    session: Session[str] = Session(SessionSettings(), LOGIN)
    session.receive(codec.enquire_link(3), 0.0)
    assert pdus(session) == [(c.ENQUIRE_LINK_RESP, 0, 3)]
    pair = ConnectionPair().bind()
    pair.esme.start_unbind(0.0)
    pdus(pair.esme)
    pair.esme.receive(codec.enquire_link(4), 0.0)
    assert pdus(pair.esme) == [(c.ENQUIRE_LINK_RESP, 0, 4)]


def test_drain_waits_for_answers_then_unbinds() -> None:
    """A polite end leaves nothing in doubt that the peer still answers."""
    pair = ConnectionPair().bind()
    pair.esme.submit(submits("a"), 0.0)
    (submit,) = pair.to_smsc().submits
    pair.esme.start_unbind(1.0)
    assert (pair.esme.state, pair.esme.outgoing()) == (State.DRAINING, b"")
    pair.smsc.answer_submits([(submit.sequence, 0, "x")])
    assert pair.to_esme().answers == [("a", 0, "x")]
    assert pair.to_smsc().close == "peer_unbound"
    assert pair.to_esme().close == "unbound"
    assert tuple(pair.esme.lost()) == ([], [])


def test_peer_unbinds_with_answers_behind_it() -> None:
    """The peer's unbind is answered and closes; answers in the same read still settle their submits."""
    pair = ConnectionPair().bind()
    pair.esme.submit(submits("a", "b"), 0.0)
    (_, _, first), _ = pdus(pair.esme)
    events = pair.esme.receive(control.unbind(8) + codec.submit_sm_resp(first, 0, "x"), 1.0)
    assert (events.answers, events.close) == ([("a", 0, "x")], "peer_unbound")
    assert pdus(pair.esme) == [(c.UNBIND_RESP, 0, 8)]
    assert pair.esme.lost().unknown == ["b"]


def test_bind_refused_and_timeouts() -> None:
    """A refused bind gives its status and closes; so does silence, on either side."""
    pair = ConnectionPair()
    pair.esme.start_bind(0.0)
    pair.to_smsc()
    pair.smsc.refuse_bind(c.ESME_RALYBND)
    events = pair.to_esme()
    assert (events.refused, events.close, events.bound) == (c.ESME_RALYBND, "bind_refused", False)
    silent = ConnectionPair(SessionSettings(bind_timeout_s=10))
    silent.esme.start_bind(0.0)
    assert (silent.esme.tick(9.9).close, silent.esme.tick(10.0).close) == (None, "bind_timeout")
    assert silent.smsc.tick(10.0).close == "bind_timeout"
    nacked = ConnectionPair()
    nacked.esme.start_bind(0.0)
    ((_, _, sequence),) = pdus(nacked.esme)
    assert nacked.esme.receive(control.generic_nack(sequence, c.ESME_RINVCMDID), 0.0).refused == c.ESME_RINVCMDID


def test_nack_settles_its_submit() -> None:
    """generic_nack answers the submit it names, and never as a success."""
    pair = ConnectionPair().bind()
    pair.esme.submit(submits("a"), 0.0)
    ((_, _, sequence),) = pdus(pair.esme)
    assert pair.esme.receive(control.generic_nack(sequence, 0), 1.0).answers == [("a", c.ESME_RUNKNOWNERR, "")]


def test_bad_pdu_costs_itself() -> None:
    """An undecodable deliver_sm is nacked with its sequence and the next PDU is taken."""
    pair = ConnectionPair(SessionSettings(bad_pdus_max=1)).bind()
    bad = codec.pdu(c.DELIVER_SM, 0, 6, b"\xff" * 40)
    events = pair.esme.receive(bad + codec.enquire_link(7), 1.0)
    assert ([each.sequence for each in events.bad], events.close) == ([6], None)
    assert [(command, number) for command, _, number in pdus(pair.esme)] == [(c.GENERIC_NACK, 6), (c.ENQUIRE_LINK_RESP, 7)]
    assert pair.esme.receive(bad, 1.0).close == "too_many_bad_pdus"


@pytest.mark.parametrize(("command", "said"), [(0x0F0F, [(c.GENERIC_NACK, c.ESME_RINVCMDID, 4)]), (0x80000F0F, [])])
def test_unknown_commands(command: int, said: list[tuple[int, int, int]]) -> None:
    """An unknown request is nacked; an unknown answer is only counted, or two sessions could nack each other for ever."""
    pair = ConnectionPair().bind()
    assert pair.esme.receive(codec.pdu(command, 0, 4, b"xyz"), 1.0).close is None
    assert said == pdus(pair.esme)


def test_framing_lost_costs_the_link() -> None:
    """Good PDUs before the break are taken, then the link closes."""
    pair = ConnectionPair().bind()
    pair.esme.submit(submits("a", "b"), 0.0)
    (_, _, first), _ = pdus(pair.esme)
    events = pair.esme.receive(codec.submit_sm_resp(first, 0, "x") + b"HTTP/1.1 400", 1.0)
    assert events.answers == [("a", 0, "x")]
    assert events.close is not None
    assert events.close.startswith("framing_lost")
    assert pair.esme.lost().unknown == ["b"]


def test_requests_at_the_wrong_time() -> None:
    """Submits before the bind and on a receiver's link, and a second bind, are refused with their own answers."""
    smsc: Session[str] = Session(SessionSettings())
    smsc.receive(codec.pdu(c.SUBMIT_SM, 0, 1, BODY), 0.0)
    assert pdus(smsc) == [(c.SUBMIT_SM_RESP, c.ESME_RINVBNDSTS, 1)]
    pair = ConnectionPair(login=Login("shop", "secret", "rx")).bind()
    assert pair.esme.room == 0
    pair.smsc.receive(codec.pdu(c.SUBMIT_SM, 0, 2, BODY), 0.0)
    pair.smsc.receive(control.bind(control.BindMode.TRANSCEIVER, "shop", "secret", sequence=3), 0.0)
    assert pdus(pair.smsc) == [
        (c.SUBMIT_SM_RESP, c.ESME_RINVBNDSTS, 2),
        (c.BIND_TRANSCEIVER_RESP, c.ESME_RALYBND, 3),
    ]


def test_unanswered_requests_are_bounded() -> None:
    """Beyond unanswered_max the peer is told that we are busy; below it nothing is refused."""
    pair = ConnectionPair(SessionSettings(unanswered_max=2)).bind()
    deliver = [codec.pdu(c.DELIVER_SM, 0, n, codec.deliver_sm_body("1", "2", b"x")) for n in (1, 2, 3)]
    assert [each.sequence for each in pair.esme.receive(b"".join(deliver), 0.0).delivers] == [1, 2]
    assert pdus(pair.esme) == [(c.DELIVER_SM_RESP, c.ESME_RSYSERR, 3)]


def test_peer_that_does_not_read_is_dropped() -> None:
    """What waits to leave is bounded."""
    pair = ConnectionPair(SessionSettings(out_bytes_max=160)).bind()
    assert pair.esme.receive(codec.enquire_link(1) * 10, 0.0).close is None
    assert pair.esme.receive(codec.enquire_link(1), 0.0).close == "peer_does_not_read"


def test_inactivity() -> None:
    """enquire_link is no message: after inactivity_s without one the session unbinds."""
    pair = ConnectionPair(SessionSettings(inactivity_s=100, enquire_link_s=0)).bind()
    pair.esme.receive(codec.enquire_link(1), 99.0)
    pair.esme.tick(99.9)
    assert State.BOUND is pair.esme.state
    pair.esme.tick(100.0)
    assert State.UNBINDING is pair.esme.state


def test_wrong_calls_change_nothing() -> None:
    """A call that the state does not allow raises LocalProtocolError."""
    pair = ConnectionPair()
    for call in (
        lambda: pair.esme.submit(submits("a"), 0.0),
        lambda: pair.smsc.start_bind(0.0),
        lambda: pair.smsc.accept_bind("x", 0.0),
    ):
        with pytest.raises(LocalProtocolError):
            call()
    assert not pair.esme.has_outgoing
    too_long: Session[str] = Session(SessionSettings(), Login("x" * 16, ""))
    with pytest.raises(LocalProtocolError):
        too_long.start_bind(0.0)
    assert State.OPEN is too_long.state


def test_byte_by_byte_is_as_good_as_whole() -> None:
    """However the wire cuts, the same events come out."""
    seen: list[dict[str, object]] = []
    for chunk in (0, 1, 7):
        pair = ConnectionPair(chunk=chunk).bind()
        pair.esme.submit(submits("a", "b"), 0.0)
        pair.smsc.answer_submits([(each.sequence, 0, f"id{each.sequence}") for each in pair.to_smsc().submits])
        pair.smsc.submit([(codec.deliver_sm_body("1", "2", b"x"), "r")], 0.0)
        data = pair.smsc.outgoing() + codec.pdu(0x77, 0, 5) + control.unbind(6) + b"\0\0\0\0\0"
        seen.append(feed(pair.esme, data, 0.0, chunk).as_dict())
    assert seen[0] == seen[1] == seen[2]
    assert seen[0]["close"] == "peer_unbound"


def test_table_is_complete() -> None:
    """Every row of the table has an entry for every state."""
    assert {len(State)} == {len(row) for rows in PEER_SENDS.values() for row in rows.values()}
    assert set(Role) == set(PEER_SENDS)


def test_empty_events_are_false() -> None:
    """The link may skip the owner when nothing happened."""
    assert not Events[str]()


def test_password_is_not_in_the_repr() -> None:
    """P7: logins may be logged."""
    assert "secret" not in repr(LOGIN)
