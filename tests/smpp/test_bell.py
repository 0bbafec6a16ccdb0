"""The bell: what a ring does before, during and after its waiter waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf

import pytest
import trio
import trio.testing

from smpp.bell import Bell


def under_a_clock_that_jumps(main: Callable[[], Awaitable[None]]) -> None:
    """Runs `main`; waiting takes no time, and what waits for ever fails."""

    async def bounded() -> None:
        with trio.fail_after(100.0):
            await main()

    trio.run(bounded, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("seconds", [inf, 5.0])
def test_what_rang_before_is_not_waited_for(seconds: float) -> None:
    """The wait returns at once, without giving way to anybody."""

    async def main() -> None:
        bell = Bell()
        bell.ring()
        with trio.testing.assert_no_checkpoints():
            assert await bell.wait(seconds)

    under_a_clock_that_jumps(main)


def test_several_rings_before_a_wait_are_one() -> None:
    """The next wait has them all, the one after it nothing."""

    async def main() -> None:
        bell = Bell()
        for _ in range(3):
            bell.ring()
        assert await bell.wait(1.0)
        assert not await bell.wait(1.0)
        assert trio.current_time() == 1.0

    under_a_clock_that_jumps(main)


@pytest.mark.parametrize("seconds", [inf, 5.0])
def test_several_rings_during_a_wait_are_one(seconds: float) -> None:
    """They wake the waiter at once, and once."""

    async def main() -> None:
        bell, woken = Bell(), list[tuple[bool, float]]()

        async def waiter() -> None:
            woken.append((await bell.wait(seconds), trio.current_time()))
            woken.append((await bell.wait(2.0), trio.current_time()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter)
            await trio.sleep(1.0)
            bell.ring()
            bell.ring()
        assert woken == [(True, 1.0), (False, 3.0)]

    under_a_clock_that_jumps(main)


def test_nobody_rings() -> None:
    """False, when the time is over; a ring after that is the next wait's."""

    async def main() -> None:
        bell = Bell()
        assert await bell.wait(0.25) is False
        assert trio.current_time() == 0.25
        bell.ring()
        assert await bell.wait(0.25) is True
        assert trio.current_time() == 0.25

    under_a_clock_that_jumps(main)


def test_silence_forgets() -> None:
    """A ring before it is gone, one after it counts."""

    async def main() -> None:
        bell = Bell()
        bell.ring()
        bell.silence()
        assert not await bell.wait(1.0)
        bell.silence()
        bell.ring()
        assert await bell.wait(1.0)

    under_a_clock_that_jumps(main)


@pytest.mark.parametrize("seconds", [inf, 50.0])
def test_a_cancelled_wait_leaves_the_bell_as_it_was(seconds: float) -> None:
    """A ring disturbs nobody who has given up, be he asleep elsewhere or gone, and is there for the next one who waits."""

    async def main() -> None:
        bell, woken = Bell(), list[float]()

        async def impatient(then: float) -> None:
            with trio.move_on_after(1.0) as scope:
                await bell.wait(seconds)
            assert scope.cancelled_caught
            await trio.sleep(then)
            woken.append(trio.current_time())

        for then, others in ((0.0, []), (5.0, [8.0])):
            woken.clear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(impatient, then)
                await trio.sleep(2.0)
                bell.ring()
                assert await bell.wait(seconds)
            assert woken == (others or [1.0])
        assert not await bell.wait(1.0)

    under_a_clock_that_jumps(main)


def test_a_ring_and_a_cancellation_at_once() -> None:
    """Rung first, the wait is over; the cancellation is the next checkpoint's, and the bell is silent again."""

    async def main() -> None:
        bell, rang = Bell(), list[bool]()

        async def waiter() -> None:
            rang.append(await bell.wait())
            await trio.lowlevel.checkpoint()
            rang.append(False)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter)
            await trio.testing.wait_all_tasks_blocked()
            bell.ring()
            nursery.cancel_scope.cancel()
        assert rang == [True]
        assert not await bell.wait(0.1)

    under_a_clock_that_jumps(main)
