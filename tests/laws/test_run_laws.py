"""Law of a read that begins with many ordinary answers: taken in one go it is what the same PDUs are one by one."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smpp import codec
from smpp import constants as c
from smpp.receipts import glance
from smpp.session import Session, SessionSettings, State
from tests.smpp.pair import BODY, LOGIN, ConnectionPair, feed_pieces, submits

SUBMITTED = 40
LATE = range(2, 6)
"""Sequences whose timer has run out, in a session that is UNBINDING; 1 was the bind."""
RECEIPT = codec.deliver_sm_body(
    "1", "2", b"id:5 sub:001 dlvrd:001 submit date:2611221200 done date:2611221201 stat:DELIVRD err:000 text:", esm_class=4
)
ID, TLV = b"12345678", b"\x14\x01\0\x02ab"
STATES = [State.BOUND, State.UNBINDING]


def answering(state: State, tlvs: bool) -> Session[str]:
    """An ESME with requests in flight, and in UNBINDING some whose answers would be late."""
    made = SessionSettings(
        window=50, answer_tlvs=tlvs, read_receipt=glance, enquire_link_s=0, response_timeout_s=60, drain_s=5, bad_pdus_max=5
    )
    pair = ConnectionPair(made).bind()
    esme = pair.esme
    for first, last, at in ((0, len(LATE), 0.0), (len(LATE), SUBMITTED, 50.0)):
        esme.submit(submits(*map(str, range(first, last))), at)
    esme.wrote(len(esme.outgoing()))
    if state is State.UNBINDING:
        assert len(esme.tick(60.0).timed_out) == len(LATE)
        esme.tick(65.0)
        esme.wrote(len(esme.outgoing()))
    assert esme.state is state
    return esme


def answer(sequence: int, status: int, body: bytes) -> bytes:
    """A submit_sm_resp with any body."""
    return codec.pdu(c.SUBMIT_SM | c.RESPONSE, status, sequence, body)


sequences = st.integers(1, SUBMITTED + 3)
statuses = st.sampled_from([0, 0, 0, 8, 0x58])
ids = st.one_of(
    st.from_regex(rb"[0-9]{8}", fullmatch=True),
    st.from_regex(rb"[0-9A-Za-z]{1,64}", fullmatch=True),
    st.sampled_from(
        [b"", b"12-45678", b"1234\x005678", b"\xe9\xe9345678", b" 2345678", b"1234567\xe9", b"7" * 64, b"7" * 65, b"7" * 200]
    ),
)
answers = st.builds(answer, sequences, statuses, ids.map(lambda each: each + b"\0"))
odd_answers = st.one_of(
    st.builds(answer, sequences, statuses, ids),  # without its end
    st.builds(answer, sequences, statuses, st.one_of(ids, st.just(ID)).map(lambda each: each + b"\0" + TLV)),
    st.builds(answer, sequences, statuses, st.binary(max_size=80)),
)
runs = st.builds(
    lambda first, count, digit, status: [answer(first + i, status, b"%07d%d\0" % (i, digit)) for i in range(count)],
    sequences,
    st.integers(6, 20),
    st.integers(0, 9),
    statuses,
)
"""Ordinary answers in their order, as carriers give them, enough for a read to be looked at as a run."""
others = st.one_of(
    st.builds(codec.pdu, st.just(c.DELIVER_SM), st.just(0), sequences, st.sampled_from([BODY, RECEIPT, b"\xff"])),
    st.builds(codec.enquire_link, sequences),
    st.builds(codec.pdu, st.sampled_from(list(map(int, c.Command))), statuses, sequences, st.binary(max_size=9)),
    st.builds(
        codec.pdu, st.sampled_from(list(map(int, c.Command))), statuses, sequences, st.just(ID + b"\0")
    ),  # of a run's length
    st.builds(lambda run: codec.pdu(c.DELIVER_SM, 0, 1, b"".join(run)), runs),  # whose second half looks like one
    st.binary(max_size=30),
)
pieces = st.lists(
    st.one_of(runs, runs, st.lists(answers, max_size=6), odd_answers.map(lambda one: [one]), others.map(lambda one: [one])),
    max_size=8,
).map(lambda lists: [pdu for some in lists for pdu in some])


def outcome(esme: Session[str], reads: list[bytes]) -> dict[str, Any]:
    """All that can be told of a session after these reads."""
    events = feed_pieces(esme, reads, 70.0).as_dict()
    events["bad"] = [str(bad) for bad in events["bad"]]
    own = {"strays": esme.strays, "owed": esme.owed, "state": esme.state, "says": esme.outgoing()}
    return events | own | {"in_flight": list(esme._window.in_flight.items()), "late": dict(esme._window.late)}


def ordinary(*numbers: int) -> list[bytes]:
    """Answers to these, alike."""
    return [answer(number, 0, ID + b"\0") for number in numbers]


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(STATES), st.booleans(), pieces, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), max_size=3))
@example(State.BOUND, False, ordinary(7, 8, 9, 9, 77, 10, 7, 11), [])
@example(State.UNBINDING, False, ordinary(7, 8, 9, 3, 2, 3, 10, 11), [])
@example(State.BOUND, True, [*ordinary(7, 8), answer(9, 0, ID + b"\0" + TLV), *ordinary(10, 11, 12, 13)], [])
@example(State.BOUND, True, [*ordinary(7, 8), codec.pdu(c.DATA_SM, 0, 9, ID + b"\0"), *ordinary(10, 11, 12, 13)], [])
@example(State.BOUND, False, [answer(number, 0, b"7" * 65 + b"\0") for number in (7, 8, 9)], [])
@example(State.BOUND, False, ordinary(*range(7, 30)), [(1, 5), (8, 0), (14, 17)])
@example(State.BOUND, False, [codec.pdu(c.DELIVER_SM, 0, 1, b"".join(ordinary(*range(7, 30))))], [(0, 16)])
def test_a_run_is_its_answers_one_by_one(state: State, tlvs: bool, pdus: list[bytes], cuts: list[tuple[int, int]]) -> None:
    """However few reads bring it, each answer settles its own request: the same events in their order, the same strays,
    the same in flight, the same words back. A cut is so many bytes behind the beginning of a PDU."""
    data = b"".join(pdus)
    starts = [0, *accumulate(map(len, pdus))]
    at = [0, *sorted(min(starts[n % len(starts)] + offset, len(data)) for n, offset in cuts), len(data)]
    reads = [data[a:b] for a, b in pairwise(at)]
    whole, one_by_one = answering(state, tlvs), answering(state, tlvs)
    assert outcome(whole, reads) == outcome(one_by_one, pdus)


@pytest.mark.parametrize("count", [1, 5, 6, 30])
def test_the_run_is_reached(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long enough read of ordinary answers is a run to its end: else the law above would prove nothing."""
    taken: list[int] = []
    read_run = Session._read_run

    def counted(self: Session[str], data: bytes, events: Any) -> int:
        taken.append(read_run(self, data, events))
        return taken[-1]

    monkeypatch.setattr(Session, "_read_run", counted)
    data = b"".join(answer(2 + i, 0, b"12345678\0") for i in range(count))
    assert len(answering(State.BOUND, False).receive(data, 51.0).answers) == count
    assert taken == ([len(data)] if count > 5 else [])


def test_a_run_is_heard() -> None:
    """Answers taken as a run prove the peer alive as others do: it is not given up, nor asked again at once."""
    pair = ConnectionPair(SessionSettings(window=50, enquire_link_s=10, enquire_answer_s=5, inactivity_s=20)).bind()
    esme = pair.esme
    esme.submit(submits(*map(str, range(20))), 0.0)
    esme.tick(12.0)
    esme.wrote(len(esme.outgoing()))
    assert len(esme.receive(b"".join(answer(2 + i, 0, b"12345678\0") for i in range(20)), 16.0).answers) == 20
    esme.tick(25.0)
    assert (esme.state, esme.outgoing()) == (State.BOUND, b"")
    esme.tick(35.0)
    assert esme.state is State.BOUND


def test_who_awaits_no_answers_takes_no_run() -> None:
    """What a session does not ask for is a stray, however much of it comes at once."""
    data = b"".join(answer(2 + i, 0, b"12345678\0") for i in range(20))
    smsc = ConnectionPair().bind().smsc
    smsc.submit(submits("a", "b"), 0.0)
    assert not smsc.receive(data, 1.0).answers
    assert (smsc.in_flight, smsc.state) == (2, State.BOUND)
    opening: Session[str] = Session(SessionSettings(), LOGIN)
    assert not opening.receive(data, 1.0)
    assert opening.strays == 20
