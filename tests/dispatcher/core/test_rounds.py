"""Messages of several segments: retries of one part, new rounds, worst-segment rule, receipts per message."""

from __future__ import annotations

from dispatcher.core import lifecycle as life
from dispatcher.core.model import OnUnknown, Outcome, State
from dispatcher.core.ports import Effects
from tests.dispatcher.core.lives import PRICE, Life

A, T, P, U = Outcome.ACCEPTED, Outcome.TEMPORARY, Outcome.PERMANENT, Outcome.UNKNOWN


def wires(m: Life) -> list[str]:
    """The segments' states, in order."""
    return [State(s.state).wire for s in m.segments]


def test_each_segment_is_charged_once_and_told_once() -> None:
    """Three parts: three posts, three costs, one submitted row, one delivered row after the last receipt."""
    m = Life(segments=3)
    m.begin()
    for n in (1, 2, 3):
        m.answer(A, segment=n)
    for n in (3, 1, 2):
        m.receipt("DELIVRD", segment=n)
    assert m.history() == ["submitted", "delivered"]
    assert sorted(m.kinds()) == ["cost"] * 3 + ["post"] * 3
    assert (m.available, m.reserved) == (-3 * PRICE, 0)


def test_one_part_goes_again_alone_on_the_same_carrier() -> None:
    """Within 300 s: pinned, same reference, only that part."""
    m = Life(segments=3)
    m.begin(reference=7)
    m.answer(A, segment=1)
    m.answer(T, code=8, segment=2)
    m.answer(A, segment=3)
    assert m.message.head is not None
    assert (m.state, m.message.head.pin) == ("waiting", "alpha")
    m.wait_due()
    assert m.begin(reference=99) == [2]
    assert m.submitted[-1] == (2, 2, "alpha", 7)
    m.answer(A, segment=2)
    assert m.state == "submitted"


def test_a_part_too_late_for_its_siblings_ends_by_the_worst_rule_when_one_was_delivered() -> None:
    """Absent after 300 s: it may not go alone; with a sibling delivered the message ends undelivered."""
    m = Life(segments=2)
    m.accept()
    m.now += 241_000
    m.receipt("UNDELIV", "absent", segment=2)
    assert (m.state, m.due) == ("submitted", 0)
    m.receipt("DELIVRD", segment=1)
    assert (m.state, wires(m)) == ("undelivered", ["delivered", "undelivered"])
    assert m.message.head is not None
    assert m.message.head.stopped == "window"


def test_the_limit_of_alone_is_multipart_retry_s() -> None:
    """A due instant 300 s after the round began is still alone, a millisecond later is not."""
    for wait_ms, due in ((240_000, True), (240_001, False)):
        m = Life(segments=2)
        m.accept()
        m.now += wait_ms
        m.receipt("UNDELIV", "absent", segment=2)
        assert bool(m.due) is due


def test_the_whole_message_goes_again_when_every_part_closed() -> None:
    """No part delivered, all closed: a new round of all parts, new reference, any carrier."""
    m = Life(segments=2)
    m.accept(reference=7)
    m.now += 400_000
    m.receipt("UNDELIV", "absent", segment=1)
    assert m.due == 0
    m.receipt("UNDELIV", "absent", segment=2)
    assert m.message.head is not None
    assert (m.state, m.message.head.pin) == ("waiting", "")
    assert m.wait_due() == 60
    assert m.begin("beta", reference=8) == [1, 2]
    assert m.submitted[-2:] == [(1, 2, "beta", 8), (2, 2, "beta", 8)]
    m.answer(A, segment=1)
    m.answer(A, segment=2)
    assert m.kinds().count("post") == 2


def test_nothing_is_submitted_for_a_part_that_is_undecided() -> None:
    """Part 1 waits for its receipt while part 2 goes again: only part 2 is ready."""
    m = Life(segments=2)
    m.begin()
    m.answer(A, segment=1)
    m.answer(T, code=8, segment=2)
    assert life.ready(m.message, m.due) == [2]


def test_a_part_that_ends_badly_ends_the_retries_of_the_others() -> None:
    """Part 2 rejected: part 3's retry is called off, part 1 is awaited, the message is rejected, posts are refunded."""
    m = Life(segments=3)
    m.begin()
    m.answer(A, segment=1)
    m.answer(T, code=8, segment=3)
    m.answer(P, code=0x0B, segment=2)
    assert (m.state, m.due, wires(m)) == ("submitted", 0, ["submitted", "rejected", "failed"])
    m.receipt("DELIVRD", segment=1)
    assert m.state == "rejected"
    assert sorted(m.kinds()) == ["cost", "post", "refund", "void", "void"]
    assert (m.available, m.reserved) == (0, 0)


def test_one_receipt_per_message_decides_all() -> None:
    """receipt_per = message: one failure fails all accepted parts; one DELIVRD delivers them."""
    m = Life(segments=3)
    m.accept("whole")
    m.receipt("DELIVRD", segment=3)
    assert (m.state, m.history()) == ("delivered", ["submitted", "delivered"])
    failed = Life(segments=3)
    failed.accept("whole")
    failed.receipt("UNDELIV", "blocked", segment=1)
    assert (failed.state, wires(failed)) == ("undelivered", ["undelivered"] * 3)


def test_doubts_of_parts_are_resent_with_the_same_reference() -> None:
    """All parts unknown: resent after the grace on the same carrier under the same reference."""
    m = Life(segments=2)
    m.begin(reference=5)
    m.decide(life.TakenOver())
    assert m.message.head is not None
    assert (m.state, m.message.head.pin) == ("doubt", "alpha")
    assert m.wait_due() == 60
    assert m.begin(reference=6) == [1, 2]
    assert m.submitted[-1][3] == 5


def test_doubts_found_long_after_go_as_a_new_round() -> None:
    """The engine was away for an hour: the parts can no longer meet the old ones, so all go under a new reference."""
    m = Life(segments=2)
    m.begin(reference=5)
    m.now += 3_600_000
    m.decide(life.TakenOver())
    m.wait_due()
    assert m.begin("beta", reference=6) == [1, 2]
    assert m.submitted[-1][3] == 6


def test_a_held_doubt_ends_the_retries_it_would_need() -> None:
    """hold: one part unknown, the other failed too late to go alone: nothing more is sent; unknown is not worse."""
    m = Life(segments=2, on_unknown=OnUnknown.HOLD)
    m.begin()
    m.answer(U, segment=1)
    m.answer(A, segment=2)
    m.now += 400_000
    m.receipt("UNDELIV", "absent", segment=2)
    assert (m.state, wires(m)) == ("doubt", ["doubt", "undelivered"])
    m.wait_due()
    m.decide(life.DueReached())
    assert m.state == "undelivered"
    assert m.reserved == 0


def test_cancel_takes_the_rest_of_a_partly_submitted_message() -> None:
    """The part that waits is cancelled, the submitted one is awaited; then the message is cancelled, its rest voided."""
    m = Life(segments=2)
    m.begin()
    m.answer(A, segment=1)
    m.answer(T, code=8, segment=2)
    assert m.decide(life.Cancel()).changed
    assert (m.state, m.due) == ("submitted", 0)
    m.receipt("DELIVRD", segment=1)
    assert (m.state, m.available, m.reserved) == ("cancelled", -PRICE, 0)


def test_a_throttled_part_waits_alone_and_keeps_the_reference() -> None:
    """One part throttled: it alone goes again, pinned, uncounted, also after the window of counted retries."""
    m = Life(segments=2)
    m.begin(reference=3)
    m.answer(A, segment=1)
    m.answer(Outcome.THROTTLED, code=0x58, segment=2)
    m.now += 500_000
    assert m.begin(reference=4) == [2]
    assert m.submitted[-1] == (2, 1, "alpha", 3)


def test_a_new_round_has_its_own_window() -> None:
    """In the second round, begun long after the first, a part goes again alone within 300 s of that round."""
    m = Life(segments=2)
    m.accept(reference=7)
    m.now += 400_000
    m.receipt("UNDELIV", "absent", segment=1)
    m.receipt("UNDELIV", "absent", segment=2)
    m.wait_due()
    m.begin("beta", reference=8)
    m.answer(A, segment=1)
    m.answer(T, code=8, segment=2)
    assert m.wait_due() == 10
    assert m.begin("beta", reference=9) == [2]
    assert m.submitted[-1] == (2, 3, "beta", 8)


def test_a_new_round_past_validity_is_the_end() -> None:
    """All parts closed, but the next round would come after the deadline: by the last evidence, undelivered."""
    m = Life(segments=2, validity_s=460)
    m.accept()
    m.now += 400_000 - 1
    m.receipt("UNDELIV", "absent", segment=1)
    m.now += 1
    m.receipt("UNDELIV", "network", segment=2)
    assert m.message.head is not None
    assert (m.state, m.message.head.stopped) == ("undelivered", "validity")


def test_a_message_that_ended_by_a_worse_part_is_not_refined() -> None:
    """Part 1 untrackable, part 2 rejected: rejected stays rejected when part 1 turns out delivered."""
    m = Life(segments=2)
    m.begin()
    m.answer(A, segment=1, carrier_id="")
    m.answer(P, code=0x0B, segment=2)
    assert m.state == "rejected"
    assert not m.receipt("DELIVRD", segment=1).changed


def test_news_of_one_part_plans_the_other_no_second_time() -> None:
    """A retry is planned and may be in its queue by now: a receipt for the sibling adds nothing to the due set, because a
    second entry would become a second queue element, and the message would be popped twice."""
    story = Life(segments=2)
    story.begin()
    story.answer(Outcome.TEMPORARY, segment=1, code=8)
    story.answer(Outcome.ACCEPTED, segment=2)
    assert story.state == "waiting"
    decision = life.decide(story.message, life.ReceiptSeen(2, 1, "DELIVRD", "000", "", story.now), story.rules, story.now)
    effects = Effects()
    life.collect(effects, story.message, decision)
    assert decision.due_at == story.due
    assert (effects.due, effects.undue) == ([], [])
