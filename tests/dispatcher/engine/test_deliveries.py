"""Receipts recognised at once: which are, which are left alone, and in which order."""

from __future__ import annotations

import random
from math import inf
from typing import Any

import pytest

from dispatcher.core.counters import Counters
from dispatcher.core.happy import start
from dispatcher.core.ids import RandomIds
from dispatcher.core.lifecycle import Answer, Answers, decide
from dispatcher.core.model import Correlation, Message, Outcome, State
from dispatcher.core.pool import Pool
from dispatcher.engine import deliveries
from dispatcher.engine.deliveries import AGAIN_S, YOUNG_S, Item, Read, by_age, delivered, settled
from dispatcher.engine.works import Works
from dispatcher.store.memory import MemoryStore
from smpp.receipts import Receipt
from tests.dispatcher.core.lives import SETTINGS, T0, Life, rules


class Clock:
    """A time that stands still."""

    def now_ms(self) -> int:
        return T0 + 10

    def monotonic(self) -> float:
        return 100.0


def works() -> Works:
    """An engine's shared state that remembers three submitted messages, carrier ids c0 to c2."""
    chance = random.Random(1)
    made = Works(
        SETTINGS, MemoryStore(), rules(), Pool(SETTINGS.route), clock=Clock(), chance=chance, ids=RandomIds(chance.randbytes),
        counters=Counters("e1"), log=None, name="e1",
    )  # fmt: skip
    for n in range(3):
        message = Message(f"{n:026}", 1, start(Life().body, "alpha", "b0", 0, T0, ""), None)
        answers = Answers([Answer(1, Outcome.ACCEPTED, 0, f"c{n}", T0)])
        message.head, message.version = decide(message, answers, made.rules, T0).head, 2
        row = Correlation("p0", message.id, 1, 1, T0 + 9)
        made.recent.keep([message], {"alpha": [(f"c{n}", row)]})
    return made


def item(carrier_id: str, state: str = "DELIVRD", *, arrived: float = 100.0, field: str = "", keys: Any = None) -> Item:
    """A receipt as it came."""
    read = Read("alpha", SETTINGS.carrier[0].quirks, None, T0 + 9, arrived)
    return Item(read, Receipt(carrier_id, state, "000", None), keys or (carrier_id,), 7, field)


def test_a_remembered_message_is_delivered_and_forgotten() -> None:
    """DELIVRD of what is remembered is decided at once; an unknown id and another state are left, and nothing of theirs."""
    w = works()
    items = [item("c0"), item("never"), item("c1", "UNDELIV"), item("c2")]
    effects, done, rest, strangers, _, _ = delivered(w, items)
    assert (done, rest, strangers) == ([items[0], items[3]], [items[2]], [items[1]])
    assert [(h.id[-1], h.version, h.head.state) for h in effects.heads] == [
        ("0", 3, State.DELIVERED),
        ("2", 3, State.DELIVERED),
    ]
    assert list(w.recent.correlations["alpha"]) == ["c1"]
    assert [i[-1] for i in w.recent.messages] == ["1"]
    assert [(i.key, i.correlation.id[-1]) for i in done] == [("c0", "0"), ("c2", "2")]


@pytest.mark.parametrize("first", ["ENROUTE", "UNDELIV"])
def test_receipts_of_one_message_keep_their_order(first: str) -> None:
    """A DELIVRD that stands behind another receipt of its message goes the slow way with it; a repeated one too."""
    w = works()
    items = [item("c0", first), item("c0"), item("c1"), item("c1")]
    _, done, rest, strangers, _, _ = delivered(w, items)
    assert (done, rest) == ([items[2]], items[:2])
    assert strangers == [items[3]]  # the store still knows the way; its version check finds it done
    again = item("c2")
    again.correlation = w.recent.correlations["alpha"]["c2"]
    later = item("c2")
    assert delivered(w, [item("c2", keys=("x", "c2")), later])[2][1:] == [later]
    assert delivered(w, [again])[1] == [again]


def remember_long(w: Works, segments: int = 3) -> Message:
    """A submitted message of several segments, carrier ids s1, s2, ..."""
    body = Life(segments=segments).body
    message = Message(f"{99:026}", 1, start(body, "alpha", "b0", 0, T0, "", 5), None)
    answers = Answers([Answer(n, Outcome.ACCEPTED, 0, f"s{n}", T0) for n in range(1, segments + 1)])
    message.head, message.version = decide(message, answers, w.rules, T0).head, 2
    rows = [(f"s{n}", Correlation("p0", message.id, n, 1, T0 + 9)) for n in range(1, segments + 1)]
    w.recent.keep([message], {"alpha": rows})
    return message


def test_all_parts_of_a_long_message_are_one_change() -> None:
    """Its receipts of one batch, in any order and among others', make one head, one event, and it is forgotten."""
    w = works()
    long = remember_long(w)
    items = [item("s2"), item("c0"), item("s3"), item("s1")]
    effects, done, rest, strangers, partly, _ = delivered(w, items)
    assert (set(done), rest, strangers, partly) == (set(items), [], [], {})
    assert [(h.id, h.version, h.head.state) for h in effects.heads][1:] == [(long.id, 3, State.DELIVERED)]
    assert [row.state for row in effects.events if row.id == long.id] == ["delivered"]
    assert effects.erase == [f"{0:026}", long.id]
    assert long.id not in w.recent.messages
    assert list(w.recent.correlations["alpha"]) == ["c1", "c2"]
    assert [i.correlation.segment for i in items] == [2, 1, 3, 1]


def test_some_parts_of_a_long_message_leave_it_awaited() -> None:
    """Two of three: a head, no event, nothing erased; and it stands by for the third, to be remembered when that is durable."""
    w = works()
    long = remember_long(w)
    items = [item("s3"), item("s1")]
    effects, done, rest, _, partly, _ = delivered(w, items)
    assert (done, rest, partly) == (items, [], {long.id: long})
    (written,) = effects.heads
    assert (written.version, written.head.state, written.head) == (3, State.SUBMITTED, long.head)
    assert [segment.state for segment in written.head.segments] == [State.DELIVERED, State.SUBMITTED, State.DELIVERED]
    assert (effects.events, effects.erase) == ([], [])
    assert long.id not in w.recent.messages
    w.recent.moved_on(effects.heads, partly)
    effects, done, rest, _, partly, _ = delivered(w, [item("s2")])
    assert [(h.version, h.head.state) for h in effects.heads] == [(4, State.DELIVERED)]
    assert (len(done), rest, partly, [row.state for row in effects.events]) == (1, [], {}, ["delivered"])


@pytest.mark.parametrize("second", ["UNDELIV", "DELIVRD"])
def test_parts_before_a_slow_one_go_first(second: str) -> None:
    """What stands behind a failure, or repeats a part's receipt, goes the slow way, in order; what stood before does not."""
    w = works()
    remember_long(w)
    items = [item("s1"), item("s1" if second == "DELIVRD" else "s2", second), item("s3"), item("c1")]
    _, done, rest, _, partly, _ = delivered(w, items)
    assert (set(done), rest, len(partly)) == ({items[0], items[3]}, items[1:3], 1)


def test_a_long_message_that_is_not_recognised_is_left_whole() -> None:
    """A part without an id of its answer: all receipts of the message go the slow way, each in its place, and it is kept."""
    w = works()
    long = remember_long(w)
    assert long.head is not None
    long.head.segments[1].attempts[0].carrier_id = ""
    items = [item("s1"), item("c1", "UNDELIV"), item("s3"), item("c0")]
    effects, done, rest, _, partly, _ = delivered(w, items)
    assert (done, rest, partly, len(effects.heads)) == ([items[3]], items[:3], {}, 1)
    assert long.id in w.recent.messages
    assert {"s1", "s3"} <= set(w.recent.correlations["alpha"])
    assert [i.key for i in rest] == ["", "", ""]


def test_strangers_wait_while_messages_are_under_way() -> None:
    """A receipt that nobody knows waits a moment for its answer, unless it is old, parked, without id, or all is settled."""
    w = works()
    young, old, parked, nameless = item("x"), item("x", arrived=100.0 - YOUNG_S), item("x", field="f"), item("", keys=None)
    nameless.keys = ()
    strangers = [young, old, parked, nameless]
    assert by_age(w, strangers) == ([], strangers)
    w.flights["m"] = object()  # type: ignore[assignment]
    assert by_age(w, strangers) == ([young], [old, parked, nameless])
    assert [each.again_at for each in strangers] == [100.0 + AGAIN_S, 0.0, 0.0, 0.0]
    w.stopping = True
    assert by_age(w, strangers) == ([], strangers)


def test_what_came_before_the_unsettled_answers_is_taken() -> None:
    """In its order; what came with them or after them stays, in its order."""
    w = works()
    new = [item(f"x{n}", arrived=99.96 + n / 100) for n in range(4)]
    arrived = [each.read.arrived for each in new]
    w.unsettled_since = arrived[2]
    first, last = new[:2], new[2:]
    assert settled(w, new) == first
    assert new == last
    assert settled(w, new) == []
    assert new == last
    w.unsettled_since = inf
    assert settled(w, new) == last
    assert new == []


@pytest.mark.parametrize("since", [0.0, 99.0, 100.0 - YOUNG_S])
def test_what_is_old_is_taken_however_long_its_answers_take(since: float) -> None:
    """Older than YOUNG_S: the store may know it. What is as old as that, or younger, still waits."""
    w = works()
    w.unsettled_since = since
    new = [item("old", arrived=98.0), item("older", arrived=99.94), item("just", arrived=100.0 - YOUNG_S), item("young")]
    old, young = new[:2], new[2:]
    assert settled(w, new) == old
    assert new == young


def test_all_is_taken_when_the_engine_stops() -> None:
    """Nothing is waited for any more."""
    w = works()
    w.unsettled_since, w.stopping = 0.0, True
    new = [item("a", arrived=99.0), item("b"), item("c")]
    expected = list(new)
    assert settled(w, new) == expected
    assert new == []
    assert settled(w, new) == []


def test_what_no_commit_has_room_for_is_left_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit takes so many messages; receipts behind them are not looked at, and stay in front of whatever comes next."""
    monkeypatch.setattr(deliveries, "BATCH_MAX", 1)
    w = works()
    items = [item("never"), item("c0"), item("c2"), item("c1")]
    effects, done, rest, strangers, _, later = delivered(w, items)
    assert ([h.id[-1] for h in effects.heads], done, rest, strangers) == (["0"], [items[1]], [], [items[0]])
    assert later == items[2:]
    assert list(w.recent.correlations["alpha"]) == ["c1", "c2"]
