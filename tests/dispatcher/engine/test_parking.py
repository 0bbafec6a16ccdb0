"""Receipts that are late are taken over by the store, not refused: nothing is delivered again because there is much."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import trio

from dispatcher.core.matching import park
from dispatcher.core.settings import Quirks
from dispatcher.engine import parking, receipts
from dispatcher.engine.deliveries import Item, Read
from smpp.receipts import Receipt
from smpp.simulator.scenario import Fate, Outcome, Rule
from tests.dispatcher.engine.world import NUMBER, World, carrier, eventually, route, settings_of, world

TIGHT = settings_of([carrier()], [route({"alpha": 1})], receipts={"early_s": 20.0, "deliver_answer_s": 0.4})
SOON = {"alpha": {"receipt_ms": (5.0, 5.0), "receipt_retry_ms": 100.0}}


class _Slow:
    """The store's step `name` waits while it is held."""

    def __init__(self, here: World, name: str) -> None:
        self._step = getattr(here.store, name)
        self._held = trio.Event()
        self._held.set()
        self.waiting = 0
        setattr(here.store, name, self._call)

    def hold(self) -> None:
        self._held = trio.Event()

    def go_on(self) -> None:
        self._held.set()

    async def _call(self, *arguments: Any) -> Any:
        self.waiting += 1
        await self._held.wait()
        return await self._step(*arguments)


def _lag(store: Any, seconds: float) -> None:
    """Each step of the store takes so long, and is done at the end of it."""

    def late(step: Any) -> Any:
        async def call(*arguments: Any, **more: Any) -> Any:
            await trio.sleep(seconds)
            return await step(*arguments, **more)

        return call

    for name in dir(store):
        if not name.startswith("_") and inspect.iscoroutinefunction(getattr(store, name)):
            setattr(store, name, late(getattr(store, name)))


def test_two_engines_of_one_login_hardly_refuse_although_the_store_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of all receipts come to the engine that did not submit and go the slow way: a third of a second a batch here."""
    monkeypatch.setattr(receipts, "BATCH_MAX", 50)

    async def main() -> None:
        settings = settings_of([carrier(sessions=2, window=300)], [route({"alpha": 1})], receipts={"early_s": 20.0})
        async with world(settings, scenarios={"alpha": {"receipt_ms": (1.0, 300.0)}}) as here:
            await here.start("e2")
            await eventually(lambda: _is({sum(seat.up for seat in e.works.seats) for e, _, _ in here.engines.values()}, {1}))
            stats = here.smscs["alpha"].stats
            _lag(here.store, 0.05)
            here.send_many(800)
            await here.until({"delivered": 800}, 20.0)
            assert stats.receipts_refused <= 100  # 500 without parking, 20 without regard to how long batches take
            assert len(await here.facts("post")) == 800

    trio.run(main)


def test_what_waits_for_its_turn_is_parked_and_not_refused() -> None:
    """One commit takes long; the receipts behind it are answered in time, and all are applied afterwards, each once."""

    async def main() -> None:
        async with world(TIGHT, scenarios=SOON) as here:
            stats, commits = here.smscs["alpha"].stats, _Slow(here, "commit_receipts")
            commits.hold()
            here.send()
            await eventually(lambda: _is(commits.waiting, 1))
            here.send_many(30)
            await eventually(lambda: _is(stats.receipts_answered, 30))
            assert len(here.store.early_rows["alpha"]) == 30
            await eventually(lambda: _is(stats.receipts_refused >= 1, True))
            commits.go_on()
            await here.until({"delivered": 31})
            await eventually(lambda: _is(any(here.store.early_rows.values()), False))
            assert stats.receipts_refused <= 4  # the one under way, again and again while it was
            assert len(await here.facts("post")) == 31

    trio.run(main)


def test_what_was_refused_and_applied_is_known_when_it_comes_again() -> None:
    """It is answered at once; nothing is parked, and nothing becomes an orphan."""

    async def main() -> None:
        async with world(TIGHT, scenarios={"alpha": SOON["alpha"] | {"receipt_retry_ms": 600.0}}) as here:
            stats, commits = here.smscs["alpha"].stats, _Slow(here, "commit_receipts")
            commits.hold()
            here.send()
            await eventually(lambda: _is(stats.receipts_refused, 1))
            commits.go_on()
            await here.until({"delivered": 1})
            await eventually(lambda: _is(stats.receipts_answered, 1))
            await trio.sleep(0.5)
            assert not any(here.store.early_rows.values())
            assert stats.receipts_refused == 1

    trio.run(main)


def test_what_is_parked_is_no_repetition() -> None:
    """It was answered "taken", so the repetition that is waited for is another one."""

    async def main() -> None:
        async with world(TIGHT) as here:
            found = here.engines["e1"][0].receipts.parking
            read = Read("alpha", Quirks(), None, here.clock.now_ms(), 0.0)
            first, parked, again = (Item(read, Receipt("7", "DELIVRD", "000", None), ("7",), n) for n in range(3))
            first.key, parked.field = "7", "7.DELIVRD.0.0"
            found.told(first)
            assert found.known([parked]) == []
            assert found.known([again]) == [again]
            assert found.known([again]) == []

    trio.run(main)


def test_a_receipt_of_an_unknown_id_asks_the_store_a_few_times() -> None:
    """While it waits for its answer to be settled, not with each round."""

    async def main() -> None:
        scenario = {"alpha": {"rules": (Rule(Fate(Outcome.NO_ID), number=str(NUMBER)),)}}
        async with world(
            settings_of([carrier()], [route({"alpha": 1})], receipts={"early_s": 20.0}), scenarios=scenario
        ) as here:
            asked = _Slow(here, "correlate")
            here.send()
            await eventually(lambda: _is(len(here.store.early_rows.get("alpha", ())), 1))
            assert 1 <= asked.waiting <= 8

    trio.run(main)


def test_a_carrier_has_a_bound_and_keeps_what_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two may be parked here: the third is refused, and comes again until there is room."""
    monkeypatch.setattr(parking, "PARKED_MAX", 2)

    async def main() -> None:
        rules = tuple(Rule(Fate(Outcome.NO_ID), number=str(NUMBER + n)) for n in range(3))
        settings = settings_of([carrier()], [route({"alpha": 1})], receipts={"early_s": 1.5, "deliver_answer_s": 0.4})
        async with world(settings, scenarios={"alpha": {"rules": rules, "receipt_retry_ms": 100.0}}) as here:
            stats = here.smscs["alpha"].stats
            for number in range(3):
                here.send(to=str(NUMBER + number))
            await eventually(lambda: _is(stats.receipts_answered == 2 and stats.receipts_refused >= 1, True))
            assert len(here.store.early_rows["alpha"]) == 2
            assert "receipts_parked_full" in here.log.names()
            await eventually(lambda: _is(stats.receipts_answered, 3))

    trio.run(main)


def test_the_gauge_says_how_many_wait_and_a_broken_row_costs_itself_only() -> None:
    """Over all engines, as the store counts them. What does not decode is shown and dropped."""

    async def main() -> None:
        async with world(TIGHT, scenarios=SOON) as here:
            row = park(Receipt("7", "DELIVRD", "000", None), ("7",), here.clock.now_ms())
            await here.store.park_early("alpha", [("whole", row), ("broken", b"\xc1"), ("text", b"\xa2\xff\xff")])
            await here.engines["e1"][0].receipts.parking.measure("alpha")
            assert here.counters.values["dispatcher_receipts_parked"]["alpha",] == 3
            await eventually(lambda: _is(list(here.store.early_rows["alpha"]), ["whole"]))
            assert "corrupt_record" in here.log.names()
            here.send()
            await here.until({"delivered": 1})

    trio.run(main)


def test_the_time_of_a_parked_receipt_is_counted_by_who_looks() -> None:
    """Another machine's clock is an hour behind, or a day ahead: neither is an orphan at once, or kept for a day."""

    async def main() -> None:
        settings = settings_of([carrier()], [route({"alpha": 1})], receipts={"early_s": 0.6})
        async with world(settings) as here:
            found = here.engines["e1"][0].receipts.parking
            for field, ahead_ms in (("behind", -3_600_000), ("ahead", 86_400_000)):
                row = park(Receipt("7", "DELIVRD", "000", None), ("7",), here.clock.now_ms() + ahead_ms)
                await here.store.park_early("alpha", [(field, row)])
            await trio.sleep(0.45)
            assert sorted(here.store.early_rows["alpha"]) == ["ahead", "behind"]
            assert here.counters.values["dispatcher_receipts_orphaned_total"].get(("alpha",), 0) == 0
            await eventually(lambda: _is(here.store.early_rows["alpha"], {}), 2.0)
            assert here.counters.values["dispatcher_receipts_orphaned_total"]["alpha",] == 2
            assert found._since["alpha"] == {}

    trio.run(main)


def test_what_another_engine_has_dropped_is_forgotten() -> None:
    """Nobody tells us: what has not been seen for so long is not there any more."""

    async def main() -> None:
        settings = settings_of([carrier()], [route({"alpha": 1})], receipts={"early_s": 30.0})
        async with world(settings) as here:
            found, now = here.engines["e1"][0].receipts.parking, here.clock.monotonic()
            found._since["alpha"] = {"gone": now - 61.0, "there": now - 59.0, "new": now}
            await found.measure("alpha")
            assert list(found._since["alpha"]) == ["there", "new"]

    trio.run(main)


async def _is(value: Any, wanted: Any) -> bool:
    return bool(value == wanted)
