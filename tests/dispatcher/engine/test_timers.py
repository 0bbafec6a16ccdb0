"""A duty that has more to do than one step of it takes goes on at once, not after its period."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from dispatcher.engine import timers
from smpp.simulator.scenario import Fate, Outcome, Rule
from tests.dispatcher.engine.world import carrier, eventually, route, settings_of, world

RARELY = settings_of([carrier()], [route({"alpha": 1})], receipts={"sweep_s": 300.0, "deadline_s": 0.2, "grace_s": 0.1})


def test_streams_are_trimmed_for_as_long_as_there_is_more() -> None:
    """Seven steps at once; the next one comes with the period."""
    left, steps = [7], [0]

    async def trim(*_: Any) -> bool:
        steps[0] += 1
        left[0] -= 1
        return left[0] > 0

    async def main() -> None:
        async with world(RARELY, start=False) as here:
            here.store.trim_streams = trim
            await here.start()
            await eventually(lambda: _is(steps[0], 7), 3)
            await trio.sleep(0.3)
            assert steps[0] == 7

    trio.run(main)


def test_more_overdue_receipts_than_one_sweep_takes_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of ten here: after the first sweeps there is more, after the last there is not, and all have ended."""
    monkeypatch.setattr(timers, "BATCH_MAX", 10)
    monkeypatch.setattr(timers, "_SWEEP_STEPS_MAX", 2)

    async def main() -> None:
        rules = (Rule(Fate(Outcome.NO_RECEIPT), prefix="4"),)
        async with world(RARELY, scenarios={"alpha": {"rules": rules}}) as here:
            here.send_many(50)
            await here.until({"submitted": 50})
            await trio.sleep(0.6)
            duties = here.engines["e1"][0].timers
            told = [await duties.overdue() for _ in range(4)]
            assert told[0] is True
            assert told[-1] is False
            await here.until({"unknown": 50})

    trio.run(main)


def test_a_stuck_queue_is_gone_through_while_something_is_found_and_rests_else() -> None:
    """Each turn takes all its steps while the store has more; what they find decides when the next one comes."""

    async def main() -> None:
        async with world(RARELY) as here:
            looks, overdue = [0], ["no such message"]

            async def look(*_: Any) -> tuple[list[str], bool]:
                looks[0] += 1
                return overdue, True

            here.store.sweep_queues = look
            duties = here.engines["e1"][0].timers
            assert await duties.queues() is True
            overdue.clear()
            assert await duties.queues() is False
            assert looks[0] == 2 * timers._SWEEP_STEPS_MAX

    trio.run(main)


async def _is(value: Any, wanted: Any) -> bool:
    return bool(value == wanted)
