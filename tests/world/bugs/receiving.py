"""Bugs with receipts and with money: matching, durability, repetition, refunds."""

from __future__ import annotations

from typing import Any

from dispatcher.core import conclusion, evidence, lifecycle, matching
from dispatcher.core.evidence import Signal
from dispatcher.engine import receipts as module
from dispatcher.engine.receipts import Receipts
from dispatcher.store.memory import MemoryStore
from tests.world.bugs import bug


@bug
def answered_before_durable(put: Any) -> None:
    """A deliver_sm is answered when it comes."""

    def arrived(self: Receipts, seat: Any, link: Any, delivers: Any, receipts: Any = ()) -> None:
        before = len(self._new)
        original(self, seat, link, delivers, receipts)
        for item in self._new[before:]:
            item.answered = True
            link.answer([item.sequence], 0)

    original = Receipts.arrived
    put(Receipts, "arrived", arrived)


@bug
def parked_receipts_dropped(put: Any) -> None:
    """A receipt whose id nobody knows is answered and forgotten."""

    async def park(self: MemoryStore, carrier: str, receipts: Any) -> None:
        return

    put(MemoryStore, "park_early", park)


@bug
def unparked_before_applied(put: Any) -> None:
    """A parked receipt is taken out of the store, then applied."""

    async def rematch(self: Receipts, carrier: str) -> int:
        store = self._works.store
        rows = await store.early(carrier, 500)
        if rows:
            await store.drop_early(carrier, [field for field, _ in rows])
            park = self._works.store.early

            async def early(name: str, limit: int) -> Any:
                return rows

            store.early = early  # type: ignore[method-assign]
            try:
                return await original(self, carrier)
            finally:
                store.early = park  # type: ignore[method-assign]
        return 0

    original = Receipts.rematch
    put(Receipts, "rematch", rematch)


@bug
def ids_by_case(put: Any) -> None:
    """Ids are compared as they are written."""
    put(matching, "_plain", lambda text: text)


@bug
def ids_of_any_carrier(put: Any) -> None:
    """A receipt's id is looked up without regard to whose it is."""

    async def correlate(self: MemoryStore, carrier: str, carrier_ids: Any) -> Any:
        found = []
        for each in carrier_ids:
            names = sorted(self.corr)
            hits = [self.correlation(name, each) for name in names]
            found.append(next((h for h in hits if h is not None), None))
        return found

    put(MemoryStore, "correlate", correlate)

    def delivered(works: Any, items: Any) -> Any:
        works.recent.correlations.clear()
        return original(works, items)

    original = module.delivered
    put(module, "delivered", delivered)


@bug
def delivered_again(put: Any) -> None:
    """A receipt that comes twice is told twice."""

    def receipt_of(case: Any, i: int, n: int, seen: Any, signal: Any) -> None:
        original(case, i, n, seen, signal)
        if case.segments[i].state >= 10 and not case.changed:
            case.changed = case.news = case.interim = True

    original = lifecycle._receipt_of
    put(lifecycle, "_receipt_of", receipt_of)


@bug
def no_version_guard(put: Any) -> None:
    """Changes at rest do not look whether the record has changed meanwhile."""
    put(MemoryStore, "moved", lambda self, effects: [])


@bug
def void_not_given_back(put: Any) -> None:
    """What was never accepted stays reserved."""

    def give_back(*args: Any) -> Any:
        return original(*args)

    def final_money(case: Any) -> None:
        available, reserved, facts = case.available, case.reserved, list(case.facts)
        money(case)
        if any(f.kind == "void" for f in case.facts[len(facts) :]):
            case.available, case.reserved, case.facts = available, reserved, facts

    original, money = conclusion.facts.give_back, conclusion._final_money
    put(conclusion, "_final_money", final_money)
    del give_back


@bug
def void_without_a_fact(put: Any) -> None:
    """The money goes back and nothing is written about it."""

    def final_money(case: Any) -> None:
        money(case)
        case.facts[:] = [f for f in case.facts if f.kind != "void"]

    money = conclusion._final_money
    put(conclusion, "_final_money", final_money)


@bug
def refunded_twice(put: Any) -> None:
    """A refund moves the money twice."""

    def final_money(case: Any) -> None:
        before = len(case.facts)
        money(case)
        case.available += sum(f.amount for f in case.facts[before:] if f.kind == "refund")

    money = conclusion._final_money
    put(conclusion, "_final_money", final_money)


@bug
def unknown_refunded(put: Any) -> None:
    """A message that ends as unknown gets its posts back."""

    def final_money(case: Any) -> None:
        state = case.head.state
        if state == 11:
            case.head.state = 15
        try:
            money(case)
        finally:
            case.head.state = state

    money = conclusion._final_money
    put(conclusion, "_final_money", final_money)


@bug
def undelivered_is_delivered(put: Any) -> None:
    """Any final receipt counts as delivered."""

    def of_receipt(state: str, cause: str) -> Signal:
        found = original(state, cause)
        return Signal.R_DELIVERED if found is Signal.R_PERMANENT else found

    original = evidence.of_receipt
    put(lifecycle, "of_receipt", of_receipt)


@bug
def final_is_not_final(put: Any) -> None:
    """A receipt after the end changes the state again."""

    def moved(self: Any, message: Any, evidence_: Any, rules: Any, now: int) -> Any:
        return original(message, evidence_, rules, now)

    original = lifecycle.decide
    table = dict(lifecycle._CELLS)
    for state in (13, 14, 15, 16):
        table[state, Signal.R_DELIVERED] = lifecycle.Move(lifecycle.TABLE[lifecycle.State.UNKNOWN][Signal.R_DELIVERED].then)

    def receipt_of(case: Any, i: int, n: int, seen: Any, signal: Any) -> None:
        if case.segments[i].state in (13, 14, 15, 16) and signal is Signal.R_DELIVERED:
            case.changed = case.news = True
            case.segments[i] = lifecycle.replace(case.segments[i], state=lifecycle.State.DELIVERED)
            return
        settle(case, i, n, seen, signal)

    settle = lifecycle._receipt_of
    put(lifecycle, "_receipt_of", receipt_of)
    del moved


@bug
def correlation_dropped_first(put: Any) -> None:
    """Where a carrier's id leads is forgotten as soon as an interim receipt has used it."""
    put(module, "INTERIM_STATES", frozenset())
