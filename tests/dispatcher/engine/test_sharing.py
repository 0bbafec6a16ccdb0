"""Sessions and rates among engines: who holds how many, what moves, and what an engine may do with a session it has lost."""

from __future__ import annotations

import trio

from dispatcher.core.ports import StoreUnavailable
from dispatcher.engine.engine import Engine
from dispatcher.store.memory import MemoryStore
from tests.dispatcher.engine.world import World, carrier, eventually, route, settings_of, world

FOUR = settings_of([carrier(sessions=4, window=20)], [route({"alpha": 1})])


def held(engine: Engine) -> list[int]:
    """Numbers of its bound sessions."""
    return [seat.number for seat in engine.carriers.seats if seat.state == "bound"]


def spread(here: World) -> list[int]:
    """Bound sessions per engine, sorted."""
    return sorted(len(held(engine)) for engine, _, _ in here.engines.values())


async def shared(here: World, wanted: list[int]) -> None:
    """Waits until the sessions are spread so."""

    async def so() -> bool:
        return spread(here) == wanted

    async def show() -> list[int]:
        return spread(here)

    await eventually(so, 10, show)


def test_a_newcomer_moves_no_more_than_its_share() -> None:
    """One engine, then two, then three, then one leaves: sessions stay where they are as far as they can."""

    async def main() -> None:
        async with world(FOUR) as here:
            await shared(here, [4])
            await here.start("e2")
            await shared(here, [2, 2])
            before = {name: set(held(engine)) for name, (engine, _, _) in here.engines.items()}
            await here.start("e0")
            await shared(here, [1, 1, 2])
            assert all(set(held(here.engines[name][0])) <= before[name] for name in before)
            here.engines.pop("e2")[1].set()
            await shared(here, [2, 2])
            assert here.smscs["alpha"].stats.sessions_peak["demo"] == 4

    trio.run(main)


def test_over_a_session_whose_lease_is_gone_no_byte_leaves() -> None:
    """Another engine took the session while ours still holds its own name: it must not send over it, not even once."""

    async def main() -> None:
        settings = settings_of([carrier()], [route({"alpha": 1})], engine={"lease_s": 2.0})
        async with world(settings) as here:
            built = here.engines["e1"][0]
            await shared(here, [1])
            lease = built.leases.held["session.alpha.main.0"]
            lease.until = here.clock.monotonic()  # as after a freeze
            built.leases.changed()
            here.store.expire("session.alpha.main.0")
            assert await here.store.take_lease("session.alpha.main.0", "somebody-else", 60_000) is not None
            here.send_many(20)
            await trio.sleep(1.5)
            assert lease.lost
            assert here.smscs["alpha"].stats.submits == 0
            here.store.expire("session.alpha.main.0")
            await here.until({"delivered": 20}, 8)

    trio.run(main)


def test_a_part_of_a_rate_that_was_anothers_waits_for_the_second_to_end() -> None:
    """Two engines, one stops: within any second around the hand-over no more than the rate leaves, and all of it after."""

    async def main() -> None:
        settings = settings_of([carrier(sessions=2, rate=100.0)], [route({"alpha": 1})])
        async with world(settings) as here:
            await here.start("e2")
            await shared(here, [1, 1])
            here.send_many(400)
            await trio.sleep(1.2)
            mine = here.engines["e1"][0].carriers.seats[0].throttles[0]
            assert mine.limit == 50
            here.engines.pop("e2")[1].set()
            await shared(here, [2])
            assert mine.limit == 50

            async def whole() -> bool:
                return mine.limit == 100

            await eventually(whole, 3)
            await here.until({"delivered": 400}, 20)
            assert here.smscs["alpha"].stats.submits_per_second_peak <= 100

    trio.run(main)


def test_a_rate_of_fewer_than_the_sessions_is_not_multiplied() -> None:
    """Two a second over three sessions of three engines: two a second, all in all."""

    async def main() -> None:
        settings = settings_of([carrier(sessions=3, rate=2.0)], [route({"alpha": 1})])
        async with world(settings) as here:
            await here.start("e2")
            await here.start("e3")
            await shared(here, [1, 1, 1])
            here.send_many(7)
            await here.until({"delivered": 7}, 10)
            assert here.smscs["alpha"].stats.submits_per_second_peak <= 2

    trio.run(main)


def test_nobody_is_taken_for_dead_because_the_store_was_away() -> None:
    """Away for longer than a lease: all leases have run out, and their holders get the time to renew them."""

    async def main() -> None:
        away = False

        async def hook(when: str, _: str) -> None:
            if away and when == "before":
                raise StoreUnavailable("away")

        settings = settings_of([carrier(sessions=2)], [route({"alpha": 1})])
        slow = {"alpha": {"answer_ms": (4000.0, 4000.0)}}
        async with world(settings, scenarios=slow, store=MemoryStore(hook=hook)) as here:
            await here.start("e2")
            await shared(here, [1, 1])
            here.send_many(20)

            async def all_sent() -> bool:
                return here.smscs["alpha"].stats.submits == 20

            await eventually(all_sent)
            away = True
            await trio.sleep(1.5)
            for lease in list(here.store.leases):
                here.store.expire(lease)
            away = False
            await here.until({"delivered": 20}, 10)
            assert here.errors == []
            assert "engine_taken_over" not in here.log.names()
            assert await all_sent()
            assert here.smscs["alpha"].stats.binds <= 4

    trio.run(main)
