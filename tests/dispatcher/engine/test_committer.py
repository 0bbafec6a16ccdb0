"""What the committer tells of its flushes: since when answers may not be settled, and the bell for who waits for that."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

import pytest
import trio
import trio.testing

from dispatcher.core.counters import Counters
from dispatcher.core.happy import start
from dispatcher.core.ids import RandomIds
from dispatcher.core.model import Message, Outcome
from dispatcher.core.pool import Pool
from dispatcher.core.ports import Effects, Owner
from dispatcher.engine.committer import Committer
from dispatcher.engine.works import BATCH_MAX, Flight, Seat, Works, seats_of
from tests.dispatcher.core.lives import SETTINGS, T0, Life, rules


class Clock:
    """The time of the run."""

    def now_ms(self) -> int:
        return T0 + round(trio.current_time() * 1000)

    def monotonic(self) -> float:
        return trio.current_time()


class Slow:
    """A store that needs a second to settle; `meanwhile` happens in its middle. `settled`: messages of each step."""

    partition = "p0"

    def __init__(self) -> None:
        self.settled: list[int] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def settle(self, owner: Owner, effects: Effects) -> None:
        self.settled.append(len(effects.settled))
        await trio.sleep(0.5)
        self.meanwhile()
        await trio.sleep(0.5)


class Scene:
    """A committer, its store, and as many messages in flight as were asked for."""

    def __init__(self) -> None:
        chance = random.Random(1)
        self.store = Slow()
        self.works = Works(
            SETTINGS, self.store, rules(), Pool(SETTINGS.route), clock=Clock(), chance=chance,  # type: ignore[arg-type]
            ids=RandomIds(chance.randbytes), counters=Counters("e1"), log=None, name="e1",
        )  # fmt: skip
        self.committer = Committer(self.works)
        self.seat: Seat = seats_of(SETTINGS)[0]

    def flights(self, count: int) -> list[Flight]:
        """New messages, handed to the link."""
        made = []
        for _ in range(count):
            body = Life().body
            message = Message(f"{len(self.works.flights):026}", 1, start(body, "alpha", "b0", 0, T0, ""), body)
            made.append(Flight(message, self.seat, 1))
            self.works.flights[message.id] = made[-1]
        self.seat.used += count
        return made

    def answered(self, count: int = 1) -> None:
        """So many new messages are accepted, as one read says."""
        flights = self.flights(count)
        self.committer.answered(self.seat, [((flight, 1), 0, f"c{flight.message.id}") for flight in flights])

    async def rang(self) -> bool:
        return await self.works.settled_bell.wait(0.0)


def on_a_scene(test: Callable[[Scene], Awaitable[None]]) -> None:
    """Runs `test` by a clock that jumps."""

    async def main() -> None:
        await test(Scene())

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_the_first_answer_is_the_one_that_counts() -> None:
    """An answer is unsettled since it came; later ones do not change since when."""

    async def test(scene: Scene) -> None:
        assert scene.works.unsettled_since == inf
        await trio.sleep(3.0)
        scene.answered()
        await trio.sleep(1.0)
        scene.answered(2)
        assert scene.works.unsettled_since == 3.0
        assert not await scene.rang()

    on_a_scene(test)


def test_a_flush_settles_all_that_is_known() -> None:
    """Nothing came meanwhile: nothing is unsettled, the bell rings, and not before the store has said so."""

    async def test(scene: Scene) -> None:
        seen: list[Any] = []
        scene.answered(3)
        scene.store.meanwhile = lambda: seen.append((scene.works.unsettled_since, scene.works.settled_bell._rang))
        await trio.sleep(2.0)
        await scene.committer.flush()
        assert seen == [(0.0, False)]
        assert (scene.store.settled, scene.works.flights) == ([3], {})
        assert scene.works.unsettled_since == inf
        assert await scene.rang()
        await trio.sleep(1.0)
        scene.answered()
        assert scene.works.unsettled_since == 4.0

    on_a_scene(test)


def test_what_comes_during_a_flush_is_unsettled_since_its_beginning() -> None:
    """It is not settled by this flush, but the bell rings for what was; the next flush settles it."""

    async def test(scene: Scene) -> None:
        scene.answered(3)
        scene.store.meanwhile = lambda: scene.answered(2)
        await trio.sleep(2.0)
        await scene.committer.flush()
        assert (scene.store.settled, len(scene.works.flights)) == ([3], 2)
        assert scene.works.unsettled_since == 2.0
        assert await scene.rang()
        scene.store.meanwhile = lambda: None
        await scene.committer.flush()
        assert (scene.store.settled, scene.works.flights) == ([3, 2], {})
        assert scene.works.unsettled_since == inf
        assert await scene.rang()

    on_a_scene(test)


@pytest.mark.parametrize("over", [0, 1])
def test_a_flush_of_many_steps_ends_once(over: int) -> None:
    """Until its last step is done its first answers' instant stays, and the bell is silent."""

    async def test(scene: Scene) -> None:
        seen: list[Any] = []
        await trio.sleep(1.0)
        scene.answered(BATCH_MAX + over)
        scene.store.meanwhile = lambda: seen.append((scene.works.unsettled_since, scene.works.settled_bell._rang))
        await scene.committer.flush()
        assert seen == [(1.0, False)] * (1 + over)
        assert scene.store.settled == [BATCH_MAX, over][: 1 + over]
        assert scene.works.unsettled_since == inf
        assert await scene.rang()

    on_a_scene(test)


def test_a_flush_of_nothing_is_silent() -> None:
    """It settles nothing and says nothing."""

    async def test(scene: Scene) -> None:
        await scene.committer.flush()
        assert (scene.store.settled, scene.works.unsettled_since) == ([], inf)
        assert not await scene.rang()

    on_a_scene(test)


def test_what_is_given_up_is_no_answer() -> None:
    """No receipt came together with it: nothing waits; its flush rings as any other."""

    async def test(scene: Scene) -> None:
        (flight,) = scene.flights(1)
        scene.committer.closed(scene.seat, [(flight, 1)], Outcome.NOT_SENT)
        assert scene.works.unsettled_since == inf
        await scene.committer.flush()
        assert (scene.store.settled, scene.works.unsettled_since) == ([1], inf)
        assert await scene.rang()

    on_a_scene(test)
