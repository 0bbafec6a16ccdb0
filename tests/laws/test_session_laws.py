"""Laws of the session: no bytes of a peer make it raise, and cutting the wire elsewhere changes nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smpp import codec, control
from smpp import constants as c
from smpp.session import Session, SessionSettings, State
from tests.smpp.pair import BODY, LOGIN, ConnectionPair, feed, submits

COMMANDS = [*map(int, c.Command), 0x0F0F, 0x80000F0F, 0]
BODIES = st.one_of(st.binary(max_size=60), st.just(BODY), st.just(codec.deliver_sm_body("1", "2", b"x")))
PDUS = st.builds(codec.pdu, st.sampled_from(COMMANDS), st.sampled_from([0, 8, 0x58]), st.integers(0, 12), BODIES)
BYTES = st.lists(st.one_of(PDUS, PDUS, PDUS, st.binary(max_size=30))).map(b"".join)


def sessions(state: State) -> list[Session[str]]:
    """One session of each role in (about) this state, with two requests in flight where there can be."""
    if state in (State.OPEN, State.CLOSED):
        both: list[Session[str]] = [Session(SessionSettings(), LOGIN), Session(SessionSettings())]
        if state is State.CLOSED:
            for each in both:
                each.start_unbind(0.0)
        return both
    pair = ConnectionPair()
    if state is State.BINDING:
        pair.esme.start_bind(0.0)
        pair.to_smsc()
        return [pair.esme, pair.smsc]
    pair.bind()
    for each in (pair.esme, pair.smsc):
        if state is not State.UNBINDING:
            each.submit(submits("a", "b"), 0.0)
        if state is not State.BOUND:
            each.start_unbind(0.0)
        data = each.outgoing()
        each.wrote(len(data))
    return [pair.esme, pair.smsc]


@given(st.sampled_from(State), BYTES)
def test_any_bytes_in_any_state_give_events(state: State, data: bytes) -> None:
    """receive() never raises, every token comes back exactly once, and states only go forward."""
    for session in sessions(state):
        before = {token for token, _ in session._window.in_flight.values()}
        events = session.receive(data, 1.0)
        assert session.state.value >= state.value
        lost = session.lost()
        back = [token for token, _, _ in events.answers] + lost.unknown + lost.not_sent
        assert sorted(before) == sorted(back)


@given(st.sampled_from([State.OPEN, State.BINDING, State.BOUND, State.UNBINDING]), BYTES, st.integers(1, 40))
def test_cuts_do_not_matter(state: State, data: bytes, chunk: int) -> None:
    """Byte by byte or all at once: the same events and the same words back, until the session closes."""
    for whole, cut in zip(sessions(state), sessions(state), strict=True):
        expected, got = feed(whole, data, 1.0).as_dict(), feed(cut, data, 1.0, chunk).as_dict()
        for each in (expected, got):
            each["bad"] = [str(bad) for bad in each["bad"]]
        assert expected == got
        assert whole.outgoing() == cut.outgoing()
        assert (whole.state, whole.strays, whole.owed) == (cut.state, cut.strays, cut.owed)


@given(st.lists(st.integers(0, 400), max_size=12))
def test_doubt_follows_the_bytes(writes: list[int]) -> None:
    """However the operating system cuts our writes, exactly the submits whose last byte left are unknown."""
    pair = ConnectionPair().bind()
    pair.esme.submit(submits(*"abcde"), 0.0)
    total = len(pair.esme.outgoing())
    left = 0
    for count in writes:
        part = min(count, total - left)
        pair.esme.wrote(part)
        left += part
    unknown, not_sent = pair.esme.lost()
    assert list("abcde")[: left // (total // 5)] == unknown
    assert list("abcde") == unknown + not_sent


def test_nack_of_nothing_is_no_loop() -> None:
    """Two sessions that nack each other's nonsense fall silent."""
    pair = ConnectionPair().bind()
    pair.esme.say(codec.pdu(0x0F0F, 0, 1) + control.generic_nack(2, 1))
    for _ in range(3):
        pair.to_smsc()
        pair.to_esme()
    assert not pair.esme.has_outgoing
    assert not pair.smsc.has_outgoing
