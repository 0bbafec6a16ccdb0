"""The lifecycle: each promise of the evidence table, and the money that follows it."""

from __future__ import annotations

import pytest

from dispatcher.core import lifecycle as life
from dispatcher.core import moves, rounds
from dispatcher.core.evidence import Signal
from dispatcher.core.model import Attempt, Message, OnUnknown, Outcome, Segment, State
from dispatcher.core.ports import Effects
from tests.dispatcher.core.lives import PRICE, T0, Life, rules

A, T, P, U = Outcome.ACCEPTED, Outcome.TEMPORARY, Outcome.PERMANENT, Outcome.UNKNOWN
THROTTLED, NOT_SENT = Outcome.THROTTLED, Outcome.NOT_SENT

# promises.md, "Evidence, class, state", transcribed: signal -> (retry wanted, state when none is left) for a segment
# whose attempt is in flight or accepted.
PROMISED = {
    Signal.ACCEPTED: (False, "submitted"),
    Signal.BLIND: (False, "unknown"),
    Signal.TEMPORARY: (True, "failed"),
    Signal.PERMANENT: (False, "rejected"),
    Signal.UNDONE: (False, "waiting"),
    Signal.SILENCE: (True, "doubt"),
    Signal.R_DELIVERED: (False, "delivered"),
    Signal.R_INTERIM: (False, "submitted"),
    Signal.R_TEMPORARY: (True, "undelivered"),
    Signal.R_UNMAPPED: (True, "undelivered"),
    Signal.R_PERMANENT: (False, "undelivered"),
    Signal.R_EXPIRED: (True, "expired"),
    Signal.R_REJECTED: (False, "rejected"),
    Signal.R_UNKNOWN: (False, "unknown"),
}


def test_the_table_is_the_promised_one() -> None:
    """Every row of promises.md is a cell of the code's table, for an attempt in flight and (receipts) an accepted one."""
    for signal, (again, state) in PROMISED.items():
        move = life.TABLE[State.SUBMITTING][signal]
        assert (move.again is not None, move.then.wire) == (again, state), signal
        if signal.name.startswith("R_"):
            assert life.TABLE[State.SUBMITTED][signal] == move
    assert life.TABLE[State.QUEUED][Signal.VALIDITY].then is State.EXPIRED
    assert life.TABLE[State.DOUBT][Signal.DEADLINE].then is State.UNKNOWN
    assert set(life.TABLE[State.SUBMITTING]) == set(PROMISED)
    finals = {state for state in life.TABLE if state.final}
    assert finals == {State.UNKNOWN}
    assert {m.then for m in life.TABLE[State.UNKNOWN].values()} == {State.DELIVERED, State.UNDELIVERED}
    assert len(moves.rows()) == sum(len(cells) for cells in life.TABLE.values())


def test_the_happy_path_is_two_rows_and_one_charge() -> None:
    """Accepted, then DELIVRD: events submitted and delivered, one post, one cost; nothing stays reserved."""
    m = Life()
    m.accept()
    assert (m.state, m.history(), m.kinds(), m.reserved) == ("submitted", ["submitted"], ["post", "cost"], 0)
    decision = m.receipt("DELIVRD")
    assert decision.final
    assert m.history() == ["submitted", "delivered"]
    assert m.kinds() == ["post", "cost"]
    assert (m.available, m.reserved) == (-PRICE, 0)
    assert [f.fact for f in m.facts] == ["0" * 26 + ".1.1.post", "0" * 26 + ".1.1.cost"]
    assert m.events[1].error is None


def test_a_temporary_refusal_that_heals_on_the_third_retry() -> None:
    """5, 10, 20 s of waiting, four attempts, delivered, charged once."""
    m = Life()
    waits = []
    for _ in range(3):
        m.begin()
        m.answer(T, code=0x08)
        waits.append(m.wait_due())
    m.accept()
    m.receipt("DELIVRD")
    assert waits == [5, 10, 20]
    assert m.history() == ["waiting", "waiting", "waiting", "submitted", "delivered"]
    assert m.events[0].error == ("submit", "0x08", "ESME_RSYSERR", "temporary")
    assert m.kinds() == ["post", "cost"]
    assert len(m.segments[0].attempts) == 4


def test_a_temporary_refusal_that_never_heals() -> None:
    """Exactly five attempts, failed, the reservation voided."""
    m = Life()
    for _ in range(5):
        m.begin()
        m.answer(T, code=0x08)
        if m.due:
            m.wait_due()
    assert (m.state, len(m.segments[0].attempts)) == ("failed", 5)
    assert m.kinds() == ["void"]
    assert (m.available, m.reserved) == (0, 0)
    assert m.message.head is not None
    assert m.message.head.stopped == "attempts"
    with pytest.raises(life.Breach):
        m.begin()


def test_a_permanent_refusal() -> None:
    """One attempt, rejected, voided."""
    m = Life()
    m.begin()
    m.answer(P, code=0x0B)
    assert (m.state, m.kinds(), m.available) == ("rejected", ["void"], 0)
    assert m.events[-1].error == ("submit", "0x0B", "ESME_RINVDSTADR", "permanent")


def test_absent_twice_then_delivered() -> None:
    """Three attempts after 60 and 300 s, one customer post, three cost facts."""
    m = Life()
    waits = []
    for _ in range(2):
        m.accept()
        m.receipt("UNDELIV", "absent")
        assert m.state == "waiting"
        waits.append(m.wait_due())
    m.accept()
    m.receipt("DELIVRD")
    assert waits == [60, 300]
    assert m.kinds() == ["post", "cost", "cost", "cost"]
    assert m.events[1].error == ("receipt", "001", "absent", "temporary")
    assert m.state == "delivered"


def test_retry_economics_stop_a_retry_and_say_so() -> None:
    """Two attempts at 0.6 of the price would cost 1.2 of it: no retry, undelivered, reason "cost" in the history."""
    m = Life(cost=21_000)
    m.accept()
    m.receipt("UNDELIV", "absent")
    assert m.state == "undelivered"
    assert m.message.head is not None
    assert m.message.head.stopped == "cost"
    otp = Life(cost=21_000, lane=0, validity_s=600)
    otp.accept()
    otp.receipt("UNDELIV", "absent")
    assert (otp.state, otp.wait_due()) == ("waiting", 2)


def test_receipt_retries_of_bulk_are_the_accounts_wish() -> None:
    """bulk: none by default, with bulk_receipt_retries as usual; refusals at the door are retried always."""
    m = Life(lane=2)
    m.begin()
    m.answer(T, code=0x08)
    assert m.state == "waiting"
    m.wait_due()
    m.accept()
    m.receipt("UNDELIV", "absent")
    assert m.state == "undelivered"
    assert m.message.head is not None
    assert m.message.head.stopped == "bulk"
    asked = Life(lane=2, with_rules=rules(bulk_receipt_retries=True))
    asked.accept()
    asked.receipt("UNDELIV", "absent")
    assert asked.state == "waiting"


def test_rejected_by_receipt_is_refunded() -> None:
    """REJECTD: one attempt, rejected; the post is given back because refund_on has `rejected`."""
    m = Life()
    m.accept()
    m.receipt("REJECTD")
    assert (m.state, m.kinds()) == ("rejected", ["post", "cost", "refund"])
    assert (m.available, m.reserved) == (0, 0)


def test_undelivered_is_refunded_only_where_the_account_says_so() -> None:
    """refund_on default leaves undelivered charged; an account with it gets it back."""
    for refund_on, left in ((("failed", "rejected"), -PRICE), (("undelivered",), 0)):
        m = Life(with_rules=rules(refund_on=refund_on))
        m.accept()
        m.receipt("UNDELIV", "blocked")
        assert (m.state, m.available, m.reserved) == ("undelivered", left, 0)


def test_expired_by_the_carrier_goes_elsewhere_or_ends() -> None:
    """Never the same carrier; another one with >= 60 s of validity left; else expired."""
    m = Life()
    m.accept()
    m.receipt("EXPIRED")
    assert m.state == "waiting"
    assert m.message.head is not None
    assert m.message.head.avoid == ["alpha"]
    m.wait_due()
    m.accept("beta")
    m.receipt("EXPIRED")
    assert (m.state, m.message.head.stopped) == ("expired", "no_other_carrier")
    single = Life(route="single")
    single.accept()
    single.receipt("EXPIRED")
    assert single.state == "expired"
    for left_s, state in ((64, "expired"), (65, "waiting")):  # the retry itself waits 5 s
        late = Life(validity_s=100)
        late.accept()
        late.now = late.body.deadline_at - left_s * 1000
        late.receipt("EXPIRED")
        assert late.state == state, left_s


def test_an_unmapped_code_gets_one_retry_elsewhere() -> None:
    """One retry on another carrier if the route has one, on the same if not; a second unmapped code ends it."""
    for route, avoid in (("main", ["alpha"]), ("single", [])):
        m = Life(route=route)
        m.accept()
        m.receipt("UNDELIV", code="666")
        assert m.message.head is not None
        assert (m.state, m.message.head.avoid) == ("waiting", avoid)
        m.wait_due()
        m.accept("beta" if avoid else "alpha")
        m.receipt("UNDELIV", code="667")
        assert (m.state, m.message.head.stopped) == ("undelivered", "once")
        assert len(m.segments[0].attempts) == 2


def test_throttled_and_not_sent_are_no_attempts() -> None:
    """Ten throttles and a dead link later the first attempt is still number one, nothing is charged; it waits 1 s for the
    carrier, and a moment for another link."""
    m = Life()
    for _ in range(10):
        m.begin()
        m.answer(THROTTLED, code=0x58)
        assert m.state == "waiting"
        assert m.wait_due() == 1
    m.begin()
    m.answer(NOT_SENT)
    assert m.segments[0].attempts == []
    assert m.events[0].error == ("submit", "0x58", "ESME_RTHROTTLED", "throttled")
    assert len(m.events) == 10
    assert m.wait_due() == 0.1
    m.accept()
    assert m.segments[0].attempts[0].number == 1
    assert m.kinds() == ["post", "cost"]


def test_throttled_until_validity_ends_it() -> None:
    """Throttles are bounded by validity: then expired, voided, nothing more may be submitted."""
    m = Life(validity_s=3)
    while life.ready(m.message, m.now):
        m.begin()
        m.answer(THROTTLED, code=0x14)
        m.wait_due()
    assert m.now - T0 == 3000
    m.decide(life.DueReached())
    assert (m.state, m.kinds(), m.available) == ("expired", ["void"], 0)


def test_throttled_with_an_id_is_a_doubt_with_an_id() -> None:
    """Some carriers take what they call throttled: the id is kept, a receipt settles it, the grace comes first."""
    m = Life()
    m.begin()
    m.answer(THROTTLED, code=0x58, carrier_id="77")
    assert (m.state, m.segments[0].attempts[0].carrier_id) == ("doubt", "77")
    assert m.due - m.now == 60_000
    m.receipt("DELIVRD")
    assert (m.state, m.kinds(), m.due) == ("delivered", ["post", "cost"], 0)


def test_accepted_without_id_is_unknown_and_charged() -> None:
    """No receipt can ever match it: final unknown at once, posted."""
    m = Life()
    m.begin()
    m.answer(A, carrier_id="")
    assert (m.state, m.kinds(), m.reserved) == ("unknown", ["post", "cost"], 0)
    assert m.events[-1].error == ("submit", "0x00", "no_message_id", "doubt")


def test_hold_never_submits_again() -> None:
    """hold: in doubt until the receipt deadline, then unknown and posted (or void, as the account says)."""
    for unknown, kinds, left in (("post", ["post"], -PRICE), ("void", ["void"], 0)):
        m = Life(on_unknown=OnUnknown.HOLD, with_rules=rules(unknown=unknown))
        m.begin()
        m.answer(U)
        assert m.state == "doubt"
        assert m.due == T0 + 259_200_000
        m.now = T0 + 3_600_000
        assert life.ready(m.message, m.now) == []
        assert not m.decide(life.DueReached()).changed
        with pytest.raises(life.Breach):
            m.begin()
        m.wait_due()
        m.decide(life.DueReached())
        assert (m.state, m.kinds(), m.available, m.reserved) == ("unknown", kinds, left, 0)
        assert m.events[-1].error == ("timeout", "", "no_answer", "doubt")


def test_resend_sends_again_after_the_grace() -> None:
    """resend: after 60 s attempt 2 with the same reference; five unknowns end as unknown at the deadline, never failed."""
    m = Life()
    for n in range(1, 6):
        m.begin(reference=n)
        m.answer(U)
        assert m.state == "doubt"
        if n < 5:
            assert m.wait_due() == 60
    assert [s[3] for s in m.submitted] == [1, 1, 1, 1, 1]
    assert m.wait_due() == 259_200
    m.decide(life.DueReached())
    assert (m.state, m.kinds()) == ("unknown", ["post"])


def test_a_late_answer_settles_a_doubt() -> None:
    """Accepted late: submitted, no resend. Refused late: an ordinary refusal, also under hold."""
    m = Life(on_unknown=OnUnknown.HOLD)
    m.begin()
    m.answer(U)
    m.answer(A, carrier_id="x", attempt=1)
    assert (m.state, m.due, m.kinds()) == ("submitted", 0, ["post", "cost"])
    refused = Life(on_unknown=OnUnknown.HOLD)
    refused.begin()
    refused.answer(U)
    refused.answer(T, code=0x08, attempt=1)
    assert refused.state == "waiting"
    refused.wait_due()
    assert refused.begin() == [1]


def test_a_receipt_for_an_earlier_unknown_attempt_settles_the_segment() -> None:
    """Attempt 1 unknown, attempt 2 accepted; DELIVRD for attempt 1 delivers; one post, a cost for each accepted one."""
    m = Life()
    m.begin()
    m.answer(U)
    m.wait_due()
    m.accept()
    m.receipt("DELIVRD", attempt=1)
    assert (m.state, m.kinds()) == ("delivered", ["post", "cost", "cost"])


def test_an_earlier_attempt_accepted_late_holds_back_the_next() -> None:
    """While an attempt is accepted and undecided nothing is submitted: the planned resend is called off."""
    m = Life()
    m.begin()
    m.answer(U)
    m.wait_due()
    m.begin()
    m.answer(T, code=0x08)
    assert m.state == "waiting"
    m.answer(A, carrier_id="late", attempt=1)
    assert (m.state, m.due) == ("submitted", 0)
    assert life.ready(m.message, m.now + 10**7) == []
    m.receipt("UNDELIV", "absent", attempt=1)
    assert m.state == "waiting"
    assert m.kinds() == ["post", "cost"]


def test_a_refusal_after_an_unknown_attempt_does_not_end_as_failed() -> None:
    """Attempt 1 unknown, the others refused: it may have been delivered, so it waits and ends as unknown."""
    m = Life()
    m.begin()
    m.answer(U)
    m.wait_due()
    for _ in range(4):
        m.begin()
        m.answer(T, code=0x08)
        m.wait_due()
    assert m.state == "doubt"
    m.decide(life.DueReached())
    assert m.state == "unknown"


def test_stale_evidence_changes_nothing() -> None:
    """Repeated answers, repeated receipts, interim after final, unknown segments and attempts: changed is False."""
    m = Life()
    m.accept()
    assert not m.answer(A, carrier_id="other").changed
    assert not m.answer(T, code=8).changed
    assert m.receipt("ENROUTE").changed
    assert not m.receipt("ENROUTE").changed
    assert not m.receipt("DELIVRD", segment=1, attempt=2).changed
    m.receipt("DELIVRD")
    for state in ("DELIVRD", "UNDELIV", "ENROUTE", "REJECTD", "UNKNOWN"):
        assert not m.receipt(state).changed
    for evidence in (life.Cancel(), life.DueReached(), life.ValidityOver(), life.TakenOver(), life.NoReceipt(1, 1)):
        m.now += 10**9
        assert not m.decide(evidence).changed
    assert m.history() == ["submitted", "submitted", "delivered"]


def test_what_a_carrier_takes_back_is_cancelled_and_stays_charged() -> None:
    """cancel_sm accepted: cancelled, the post stays; only an account's rule refunds it; receipts come too late."""
    for refunds, given_back in (((), 0), (("cancelled",), 1)):
        m = Life(with_rules=rules(refund_on=refunds))
        m.accept()
        assert m.decide(life.Withdrawn(1, 1)).final
        assert (m.state, m.events[-1].error) == ("cancelled", ("operator", "", "cancelled", "permanent"))
        assert [fact.kind for fact in m.facts].count("refund") == given_back
        assert m.reserved == 0
        for state in ("DELETED", "DELIVRD", "UNDELIV"):
            assert not m.receipt(state).changed
        assert not m.decide(life.Withdrawn(1, 1)).changed


def test_nothing_but_an_open_attempt_is_taken_back() -> None:
    """Before the answer, after a final state, and of an attempt that is not there, it changes nothing."""
    m = Life()
    m.begin()
    assert not m.decide(life.Withdrawn(1, 1)).changed
    m.answer(A, carrier_id="c1")
    assert not m.decide(life.Withdrawn(1, 2)).changed
    assert not m.decide(life.Withdrawn(2, 1)).changed
    m.receipt("DELIVRD")
    assert not m.decide(life.Withdrawn(1, 1)).changed


def test_unknown_is_refined_without_money() -> None:
    """No receipt by the deadline: unknown. A late DELIVRD refines it: new event with refined, no fact, no second erase."""
    for state, then in (("DELIVRD", "delivered"), ("UNDELIV", "undelivered"), ("REJECTD", "undelivered")):
        m = Life(group="g", with_rules=rules(refund_on=("undelivered",)))
        m.accept()
        m.now += 259_200_000
        m.decide(life.NoReceipt(1, 1))
        assert (m.state, m.events[-1].error) == ("unknown", ("timeout", "", "no_receipt", "doubt"))
        money = (m.available, m.reserved, len(m.facts))
        before = m.message
        decision = life.decide(before, life.ReceiptSeen(1, 1, state, "", "", m.now), m.rules, m.now)
        effects = Effects()
        life.collect(effects, before, decision)
        assert effects.erase == []
        assert effects.group_finals == {"g": {then: 1, "unknown": -1}}
        m.receipt(state)
        assert m.state == then
        assert m.events[-1].refined
        assert (m.available, m.reserved, len(m.facts)) == money
        assert not m.receipt("DELIVRD" if then == "delivered" else "UNDELIV").changed


def test_validity_before_the_first_submission() -> None:
    """A queued message whose deadline passes is expired and voided; not a moment earlier."""
    m = Life(validity_s=10)
    m.now = T0 + 9_999
    assert life.ready(m.message, m.now) == [1]
    assert not m.decide(life.ValidityOver()).changed
    m.now = T0 + 10_000
    assert life.ready(m.message, m.now) == []
    m.decide(life.ValidityOver())
    assert (m.state, m.kinds(), m.message.version) == ("expired", ["void"], 1)
    assert m.events[-1].error == ("timeout", "", "validity", "expired")


def test_a_retry_past_validity_is_not_waited_for() -> None:
    """Refused: expired at once; failed by a receipt: undelivered at once; the history says validity."""
    m = Life(validity_s=5)
    m.begin()
    m.answer(T, code=0x08)
    assert m.state == "expired"
    assert m.message.head is not None
    assert m.message.head.stopped == "validity"
    r = Life(validity_s=60)
    r.accept()
    r.receipt("UNDELIV", "absent")
    assert r.state == "undelivered"


def test_cancel_takes_only_what_was_not_submitted() -> None:
    """Queued and waiting: cancelled and voided. Submitting, submitted and doubtful: unchanged."""
    m = Life()
    m.decide(life.Cancel())
    assert (m.state, m.kinds(), m.available) == ("cancelled", ["void"], 0)
    waiting = Life()
    waiting.begin()
    assert not waiting.decide(life.Cancel()).changed
    waiting.answer(T, code=8)
    waiting.decide(life.Cancel())
    assert (waiting.state, waiting.due) == ("cancelled", 0)
    sent = Life()
    sent.accept()
    assert not sent.decide(life.Cancel()).changed
    doubtful = Life()
    doubtful.begin()
    doubtful.answer(U)
    assert not doubtful.decide(life.Cancel()).changed


def test_a_takeover_makes_doubts_of_what_was_in_flight() -> None:
    """Submitting segments become Unknown; answered siblings keep their answers."""
    m = Life(segments=2)
    m.begin()
    m.answer(A, segment=1)
    assert (m.state, m.events) == ("submitting", [])
    m.decide(life.TakenOver())
    assert [State(s.state).wire for s in m.segments] == ["submitted", "doubt"]
    assert m.state == "doubt"
    assert m.kinds() == ["post", "cost"]
    m.wait_due()
    assert m.begin() == [2]


def test_collect_words_the_effects() -> None:
    """Version up by one, money per account, due and undue members, erase and group count at the final state."""
    m = Life(group="g")
    m.begin()
    before = m.message
    decision = life.decide(before, life.Answers([life.Answer(1, T, 8, "", m.now)]), m.rules, m.now)
    effects = Effects()
    life.collect(effects, before, decision)
    assert [(d.route, d.lane, d.account, d.id, d.at) for d in effects.due] == [("main", 1, "acme", "0" * 26, T0 + 5000)]
    waiting = Message(before.id, before.version + 1, decision.head, None)
    cancelled = life.decide(waiting, life.Cancel(), m.rules, m.now)
    effects = Effects()
    life.collect(effects, waiting, cancelled)
    assert [d.at for d in effects.undue] == [T0 + 5000]
    assert effects.money == {"acme": [PRICE, -PRICE]}
    assert (effects.erase, effects.group_finals) == (["0" * 26], {"g": {"cancelled": 1}})
    assert effects.heads[0].version == 3


def test_begin_refuses_what_would_break_a_promise() -> None:
    """Nothing to submit, too early, another carrier than the pinned one: Breach."""
    m = Life()
    m.begin()
    m.answer(T, code=8)
    with pytest.raises(life.Breach):
        m.begin()
    assert life.ready(m.message, m.due - 1) == []
    two = Life(segments=2)
    two.begin()
    two.answer(A, segment=1)
    two.answer(T, code=8, segment=2)
    two.wait_due()
    with pytest.raises(life.Breach):
        two.begin("beta")


def test_what_only_a_receipt_has_proven_ends_at_its_deadline() -> None:
    """An interim receipt for an unanswered attempt posts it, but no correlation can time it out: the due set does. The
    late answer brings the id, and then the correlation takes over."""
    m = Life()
    m.begin()
    m.answer(U)
    m.receipt("ENROUTE")
    assert (m.state, m.kinds(), m.due) == ("submitted", ["post", "cost"], T0 + 259_200_000)
    late = Life()
    late.begin()
    late.answer(U)
    late.receipt("ENROUTE")
    late.answer(A, carrier_id="9", attempt=1)
    assert (late.due, late.segments[0].attempts[0].carrier_id, late.kinds()) == (0, "9", ["post", "cost"])
    m.wait_due()
    assert life.ready(m.message, m.now) == []
    m.decide(life.DueReached())
    assert (m.state, m.kinds()) == ("unknown", ["post", "cost"])


def test_a_message_that_ends_because_a_part_was_not_sent_is_told() -> None:
    """Part 1 deleted, part 2 not sent: final, with its event, although "not sent" alone is no news."""
    m = Life(segments=2)
    m.begin()
    m.receipt("DELETED", segment=1)
    m.answer(NOT_SENT, segment=2)
    assert (m.state, m.history()) == ("undelivered", ["undelivered"])


def doubt_twice() -> Life:
    """Attempts 1 and 2 unknown, under resend."""
    m = Life()
    for _ in range(2):
        m.begin()
        m.answer(U)
        if len(m.segments[0].attempts) == 1:
            m.wait_due()
    return m


def test_a_late_refusal_of_an_earlier_attempt_moves_nothing() -> None:
    """Attempt 2 is the doubt that is planned; that attempt 1 was refused is only recorded."""
    m = doubt_twice()
    due = m.due
    assert m.answer(T, code=8, attempt=1).changed
    assert (m.state, m.due) == ("doubt", due)


def test_when_the_awaited_attempt_fails_the_doubt_is_back() -> None:
    """Attempt 1 accepted late and undelivered, attempt 2 still unknown: the doubt policy plans again, with its grace."""
    m = doubt_twice()
    m.answer(A, carrier_id="1", attempt=1)
    assert (m.state, m.due) == ("submitted", 0)
    m.receipt("UNDELIV", "network", attempt=1)
    assert (m.state, m.due - m.now) == ("doubt", 60_000)


def test_two_accepted_attempts_are_both_awaited() -> None:
    """A failure of one while the other is undecided submits nothing."""
    m = Life()
    m.begin()
    m.answer(U)
    m.wait_due()
    m.accept()
    m.answer(A, carrier_id="1", attempt=1)
    m.receipt("UNDELIV", "absent", attempt=2)
    assert (m.state, m.due) == ("submitted", 0)
    m.receipt("UNDELIV", "absent", attempt=1)
    assert m.state == "waiting"
    assert m.kinds() == ["post", "cost", "cost"]


def test_unknown_is_not_refined_by_one_failure_of_two() -> None:
    """Two unknown attempts; one turns out undelivered: the other may still have arrived."""
    m = doubt_twice()
    m.now += 259_200_000
    m.decide(life.DueReached())
    assert m.state == "unknown"
    assert not m.receipt("UNDELIV", "blocked", attempt=1).changed
    m.receipt("DELIVRD", attempt=2)
    assert m.state == "delivered"


def ended_beside() -> Life:
    """Segment 1 is delivered by attempt 1, its attempt 2 still unknown; segment 2 is accepted and undecided."""
    m = Life(segments=2)
    m.begin()
    m.decide(life.Answers([life.Answer(1, U, 0, "", m.now), life.Answer(2, A, 0, "second", m.now)]))
    m.wait_due()
    assert m.begin() == [1]
    m.answer(U)
    m.answer(A, carrier_id="first", attempt=1)
    m.receipt("DELIVRD", attempt=1)
    assert ([s.state for s in m.segments], m.state) == ([State.DELIVERED, State.SUBMITTED], "submitted")
    return m


@pytest.mark.parametrize("carrier_id", ["late", ""])
def test_a_late_acceptance_beside_what_has_ended_is_our_cost(carrier_id: str) -> None:
    """It is told of its attempt, with its id; nothing moves, nobody pays twice and no customer hears of it."""
    m = ended_beside()
    costs, told = m.kinds().count("cost"), m.history()
    assert m.answer(A, carrier_id=carrier_id, attempt=2).changed
    assert [(a.outcome, a.carrier_id) for a in m.segments[0].attempts] == [(A, "first"), (A, carrier_id)]
    assert (m.segments[0].state, m.state, m.history()) == (State.DELIVERED, "submitted", told)
    assert (m.kinds().count("cost"), m.kinds().count("post")) == (costs + 1, 2)
    assert not m.answer(A, carrier_id=carrier_id, attempt=2).changed


def test_nothing_but_an_acceptance_is_told_of_what_has_ended() -> None:
    """A late refusal beside it, or an acceptance when all is over, changes nothing."""
    m = ended_beside()
    assert not m.answer(T, code=8, attempt=2).changed
    m.receipt("DELIVRD", segment=2)
    assert m.state == "delivered"
    assert not m.answer(A, carrier_id="late", attempt=2).changed


def test_a_receipt_beside_what_has_ended_is_told_once() -> None:
    """The other attempt's end stands in the history; a repeat, an interim one and one when all is over change nothing."""
    m = ended_beside()
    assert not m.receipt("UNDELIV", "network", attempt=2).changed  # nobody has accepted it
    m.answer(A, carrier_id="late", attempt=2)
    assert not m.receipt("ENROUTE", attempt=2).changed
    assert m.receipt("UNDELIV", "network", attempt=2).changed
    assert [a.receipt for a in m.segments[0].attempts] == ["DELIVRD", "UNDELIV"]
    assert (m.segments[0].state, m.state) == (State.DELIVERED, "submitted")
    assert not m.receipt("UNDELIV", "network", attempt=2).changed
    m.receipt("DELIVRD", segment=2)
    assert not m.receipt("FAILED", "network", attempt=1).changed


def test_an_open_attempt_beside_what_has_ended_is_closed_with_the_message() -> None:
    """When all is over its receipt changes nothing: neither record nor money."""
    m = ended_beside()
    m.answer(A, carrier_id="late", attempt=2)
    m.receipt("DELIVRD", segment=2)
    assert m.state == "delivered"
    assert not m.receipt("UNDELIV", "network", attempt=2).changed


def test_a_failure_beside_a_doubt_is_told_and_refines_nothing() -> None:
    """Segment 1 ended as unknown, of two attempts: only when both are known to have failed it is undelivered."""
    m = Life(segments=2)
    m.begin()
    m.decide(life.Answers([life.Answer(1, U, 0, "", m.now), life.Answer(2, A, 0, "second", m.now)]))
    m.wait_due()
    m.begin()
    m.answer(U)
    m.now += 259_200_000
    m.decide(life.DueReached())
    assert ([s.state for s in m.segments], m.state) == ([State.UNKNOWN, State.SUBMITTED], "submitted")
    m.answer(A, carrier_id="first", attempt=1)
    assert m.receipt("UNDELIV", "network", attempt=1).changed
    assert (m.segments[0].attempts[0].receipt, m.segments[0].state, m.state) == ("UNDELIV", State.UNKNOWN, "submitted")
    m.receipt("UNDELIV", "network", attempt=2)
    assert m.segments[0].state == State.UNDELIVERED


def test_the_answer_behind_its_receipt_brings_the_id() -> None:
    """Its receipt has proven and closed the attempt: only the id was missing, and nothing else changes."""
    m = Life()
    m.begin()
    m.answer(U)
    m.receipt("UNDELIV", "absent")
    kinds, due = m.kinds(), m.due
    assert m.answer(A, carrier_id="late", attempt=1).changed
    attempt = m.segments[0].attempts[0]
    assert (attempt.carrier_id, attempt.receipt, m.state, m.due, m.kinds()) == ("late", "UNDELIV", "waiting", due, kinds)
    assert not m.answer(A, carrier_id="other", attempt=1).changed


def test_cancel_leaves_what_may_have_been_delivered() -> None:
    """Waiting, but an earlier attempt is unknown: not cancelled."""
    m = Life()
    m.begin()
    m.answer(U)
    m.wait_due()
    m.begin()
    m.answer(T, code=8)
    assert m.state == "waiting"
    assert not m.decide(life.Cancel()).changed


def test_a_throttled_resend_is_the_doubt_it_was() -> None:
    """Attempt 2 taken back: attempt 1 is still unknown; at the validity it waits for evidence and is not called expired."""
    m = Life(validity_s=100)
    m.begin()
    m.answer(U)
    m.wait_due()
    m.begin()
    m.answer(THROTTLED, code=0x58)
    assert (m.state, m.due - m.now) == ("doubt", 1000)
    m.now = T0 + 100_000
    m.decide(life.DueReached())
    assert (m.state, m.due) == ("doubt", T0 + 259_200_000)


def test_unknown_is_never_refunded() -> None:
    """Even when an account's refund_on says so."""
    m = Life(with_rules=rules(refund_on=("unknown",)))
    m.begin()
    m.answer(A, carrier_id="")
    assert (m.state, m.kinds()) == ("unknown", ["post", "cost"])


@pytest.mark.parametrize(
    ("attempts", "on_unknown"),
    [
        ([Attempt(n, "a", "b", 1, T) for n in range(1, 6)], OnUnknown.RESEND),
        ([Attempt(1, "a", "b", 1, U)], OnUnknown.HOLD),
        ([Attempt(1, "a", "b", 1, A, carrier_id="x")], OnUnknown.RESEND),
        ([Attempt(1, "a", "b", 1)], OnUnknown.RESEND),
    ],
)
def test_the_assertions_that_stay_on(attempts: list[Attempt], on_unknown: int) -> None:
    """A sixth attempt, one after an Unknown under hold, one beside an undecided one: Breach, whatever the head says."""
    m = Life(on_unknown=on_unknown)
    head = rounds.head_of(m.body)
    with pytest.raises(life.Breach):
        rounds.check_closed("id", head, Segment(State.WAITING, attempts, due_at=1))
    rounds.check_closed("id", head, Segment(State.WAITING, [Attempt(n, "a", "b", 1, T) for n in range(1, 5)], due_at=1))
