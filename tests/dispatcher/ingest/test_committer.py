"""Group commit: who shares a step, what is bounded, and what happens when the store is slow or gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from dispatcher.core.ports import Admission, StoreUnavailable, Verdict
from dispatcher.ingest.committer import BATCH_MESSAGES_MAX, Committer, Crowded


class Line:
    """The store's end of the line: notes each batch, and answers after `delay_s`."""

    def __init__(self, delay_s: float = 0.0, error: Exception | None = None) -> None:
        self.batches: list[list[str]] = []
        self.running = 0
        self.running_most = 0
        self.delay_s = delay_s
        self.error = error

    async def admit(self, batch: Sequence[Admission], at: int, cursor: Any = None) -> list[Verdict]:
        self.batches.append([a.id for a in batch])
        self.running += 1
        self.running_most = max(self.running_most, self.running)
        await asyncio.sleep(self.delay_s)
        self.running -= 1
        if self.error is not None:
            raise self.error
        return [Verdict("accepted", a.id) for a in batch]


class Clock:
    def now_ms(self) -> int:
        return round(time.time() * 1000)

    def monotonic(self) -> float:
        return time.monotonic()


def admission(number: int) -> Admission:
    """One that can be told from others by its id."""
    return Admission(str(number), None, 1)  # type: ignore[arg-type]  # the committer does not look at bodies


async def through(
    line: Line, count: int, *, waiting_max: int = 10_000, timeout_s: float = 5, linger_s: float = 0.002
) -> list[Any]:
    """`count` admissions at once through a committer: their verdicts or errors, in order."""
    committer = Committer(line, Clock(), linger_s=linger_s, timeout_s=timeout_s, waiting_max=waiting_max)  # type: ignore[arg-type]
    running = asyncio.create_task(committer.run())
    try:
        return await asyncio.gather(*(committer.admit(admission(i)) for i in range(count)), return_exceptions=True)
    finally:
        running.cancel()


def test_requests_of_one_moment_share_one_step_and_each_gets_its_own_verdict() -> None:
    """200 requests together are one call of the store, in order of arrival."""
    line = Line()
    verdicts = asyncio.run(through(line, 200))
    assert [v.id for v in verdicts] == [str(i) for i in range(200)]
    assert line.batches == [[str(i) for i in range(200)]]


@pytest.mark.parametrize("count", [BATCH_MESSAGES_MAX - 1, BATCH_MESSAGES_MAX, BATCH_MESSAGES_MAX + 1])
def test_a_step_holds_at_most_500_and_one_is_in_flight(count: int) -> None:
    """No step above 500 messages, no second step before the first has ended."""
    line = Line(delay_s=0.01)
    verdicts = asyncio.run(through(line, count))
    assert all(v.verdict == "accepted" for v in verdicts)
    assert [len(b) for b in line.batches] == [min(count, 500)] + ([1] if count > 500 else [])
    assert line.running_most == 1


def test_the_waiting_queue_is_bounded() -> None:
    """Beyond `waiting_max` a request is turned away at once, and nothing of it is written."""
    line = Line()
    verdicts = asyncio.run(through(line, 12, waiting_max=10))
    assert [isinstance(v, Crowded) for v in verdicts] == [False] * 10 + [True] * 2
    assert len(line.batches[0]) == 10


def test_an_error_reaches_everyone_of_the_batch_and_the_line_goes_on() -> None:
    """StoreUnavailable fails the batch's requests, not the committer."""

    async def scenario() -> None:
        line = Line(error=StoreUnavailable("away"))
        committer = Committer(line, Clock(), linger_s=0.001, timeout_s=1, waiting_max=100)  # type: ignore[arg-type]
        running = asyncio.create_task(committer.run())
        failed = await asyncio.gather(*(committer.admit(admission(i)) for i in range(3)), return_exceptions=True)
        assert [type(f) for f in failed] == [StoreUnavailable] * 3
        line.error = None
        assert (await committer.admit(admission(9))).verdict == "accepted"
        running.cancel()

    asyncio.run(scenario())


def test_a_slow_step_is_answered_in_time_never_cancelled_and_newcomers_are_refused_meanwhile() -> None:
    """After `timeout_s` callers learn that the outcome is open; the step itself runs to its end."""

    async def scenario() -> None:
        line = Line(delay_s=0.2)
        committer = Committer(line, Clock(), linger_s=0.001, timeout_s=0.05, waiting_max=100)  # type: ignore[arg-type]
        running = asyncio.create_task(committer.run())
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await committer.admit(admission(1))
        assert time.monotonic() - started < 0.15
        with pytest.raises(StoreUnavailable):
            await committer.admit(admission(2))
        assert line.batches == [["1"]]
        assert line.running == 1
        line.delay_s = 0
        await asyncio.sleep(0.25)
        assert line.running == 0
        assert (await committer.admit(admission(3))).id == "3"
        running.cancel()

    asyncio.run(scenario())


def test_closing_fails_who_waits() -> None:
    """Nobody hangs on a committer that has stopped."""

    async def scenario() -> None:
        line = Line(delay_s=10)
        committer = Committer(line, Clock(), linger_s=0.001, timeout_s=20, waiting_max=100)  # type: ignore[arg-type]
        running = asyncio.create_task(committer.run())
        first = asyncio.create_task(committer.admit(admission(1)))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(committer.admit(admission(2)))
        await asyncio.sleep(0.01)
        running.cancel()
        results = await asyncio.wait_for(asyncio.gather(first, second, return_exceptions=True), 1)
        assert [type(r) for r in results] == [StoreUnavailable] * 2

    asyncio.run(scenario())
