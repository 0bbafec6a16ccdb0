"""Receipts recognised at once: which are, which are left alone, and in which order."""

from __future__ import annotations

import random
from typing import Any

import pytest

from dispatcher.core.counters import Counters
from dispatcher.core.happy import start
from dispatcher.core.ids import RandomIds
from dispatcher.core.lifecycle import Answer, Answers, decide
from dispatcher.core.model import Correlation, Message, Outcome, State
from dispatcher.core.pool import Pool
from dispatcher.engine.deliveries import YOUNG_S, Item, Read, by_age, delivered
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
    effects, done, rest, strangers = delivered(w, items)
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
    _, done, rest, strangers = delivered(w, items)
    assert (done, rest) == ([items[2]], items[:2])
    assert strangers == [items[3]]  # the store still knows the way; its version check finds it done
    again = item("c2")
    again.correlation = w.recent.correlations["alpha"]["c2"]
    later = item("c2")
    assert delivered(w, [item("c2", keys=("x", "c2")), later])[2][1:] == [later]
    assert delivered(w, [again])[1] == [again]


def test_strangers_wait_while_messages_are_under_way() -> None:
    """A receipt that nobody knows waits a moment for its answer, unless it is old, parked, without id, or all is settled."""
    w = works()
    young, old, parked, nameless = item("x"), item("x", arrived=100.0 - YOUNG_S), item("x", field="f"), item("", keys=None)
    nameless.keys = ()
    strangers = [young, old, parked, nameless]
    assert by_age(w, strangers) == ([], strangers)
    w.flights["m"] = object()  # type: ignore[assignment]
    assert by_age(w, strangers) == ([young], [old, parked, nameless])
    w.stopping = True
    assert by_age(w, strangers) == ([], strangers)
