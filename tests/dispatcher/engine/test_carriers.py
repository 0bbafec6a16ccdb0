"""Which carrier carries, how fast, and what a bad one costs the others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from dispatcher.core.model import Lane, Message
from dispatcher.core.ports import Admission, Owner, Verdict, VersionedHead
from dispatcher.engine.engine import Engine
from dispatcher.store.memory import MemoryStore
from smpp.simulator import scenario as sim
from smpp.simulator.scenario import Fate, Outcome, Weighted
from tests.dispatcher.engine.world import World, carrier, eventually, route, settings_of, world


def test_a_dead_first_group_leaves_all_to_the_second() -> None:
    """The first group's carrier refuses connections: everything is delivered by the second group."""

    async def main() -> None:
        settings = settings_of([carrier("alpha"), carrier("beta")], [route({"alpha": 1}, {"beta": 1})])
        async with world(settings, start=False) as here:
            await here.smscs["alpha"].down()
            await here.start()
            here.send_many(100)
            await here.until({"delivered": 100})
            assert here.smscs["beta"].stats.accepted == 100

    trio.run(main)


def test_weights_share_the_load() -> None:
    """Weights 3:1 in one group whose windows have room: 3:1 of the messages, within one percent."""

    async def main() -> None:
        carriers = [carrier("alpha", window=1000), carrier("beta", window=1000)]
        # A machine that stands still for a lease's time costs a session, and then the other takes all.
        settings = settings_of(carriers, [route({"alpha": 3, "beta": 1})], engine={"lease_s": 10.0})
        async with world(settings, start=False) as here:
            built = await here.start()
            await eventually(lambda: _up(built, 2))
            here.send_many(1000)
            await here.until({"delivered": 1000})
            assert abs(here.smscs["alpha"].stats.accepted - 750) <= 10

    trio.run(main)


async def _up(built: object, count: int) -> bool:
    return sum(s.up for s in built.carriers.seats) == count  # type: ignore[attr-defined]


def test_rate_and_window_hold() -> None:
    """P6: with rate 200 and window 7 no sliding second sees more than 200, no session more than 7 unanswered."""

    async def main() -> None:
        settings = settings_of([carrier(window=7, rate=200.0, sessions=2)], [route({"alpha": 1})])
        async with world(settings, scenarios={"alpha": {"answer_ms": (5.0, 5.0), "window": 7, "rate": 200}}) as here:
            here.send_many(300)
            await here.until({"delivered": 300}, 8)
            stats = here.smscs["alpha"].stats
            assert stats.window_peak <= 7
            assert stats.throttled == stats.window_exceeded == 0
            times = [r.at for r in here.smscs["alpha"].received]
            # arrival times are read in batches of the event loop, so a batch may land a few ms late
            assert all(
                later - earlier > 0.97 for earlier, later in zip(times, itertools.islice(times, 201, None), strict=False)
            )

    trio.run(main)


def test_a_wrong_password_backs_off_and_harms_nobody() -> None:
    """A refused login pauses for the longest pause at once; the other carrier delivers meanwhile."""

    async def main() -> None:
        settings = settings_of([carrier("alpha"), carrier("beta")], [route({"alpha": 1}, {"beta": 1})])
        wrong = {"accounts": (sim.Account("demo", "other"),)}
        async with world(settings, scenarios={"alpha": wrong}) as here:
            here.send_many(50)
            await here.until({"delivered": 50})
            await trio.sleep(0.5)
            assert 1 <= here.smscs["alpha"].stats.binds_refused <= 4

    trio.run(main)


def test_garbage_costs_its_own_session_only() -> None:
    """A carrier that talks nonsense loses its link, comes back, and everything ends somewhere."""

    async def main() -> None:
        settings = settings_of([carrier("alpha"), carrier("beta")], [route({"alpha": 1, "beta": 1})])
        mix = (Weighted(Fate(), 30), Weighted(Fate(Outcome.GARBAGE), 1))
        async with world(settings, scenarios={"alpha": {"mix": mix}}) as here:
            here.send_many(200)
            await here.until({"delivered": 200}, 8)
            assert here.errors == []

    trio.run(main)


def test_an_operator_pauses_and_resumes_a_bind() -> None:
    """A paused bind is unbound and carries nothing; resumed it carries what waited."""

    async def main() -> None:
        async with world(settings_of([carrier()], [route({"alpha": 1})])) as here:
            await here.store.control("alpha", "main", "pause")
            await trio.sleep(1.3)
            here.send_many(5)
            await trio.sleep(0.2)
            assert here.smscs["alpha"].stats.accepted == 0
            await here.store.control("alpha", "main", "resume")
            await here.until({"delivered": 5})

    trio.run(main)


class _Watched(MemoryStore):
    """A store whose steps take 2 ms, as on a disk, and which notes for each code how many segments had left when it stood in
    its queue."""

    def __init__(self) -> None:
        super().__init__()
        self.engine: Engine | None = None
        self.handed = 0
        self.left: dict[str, int] = {}
        self.most_queued = 0

    async def pop(self, *args: Any, **more: Any) -> list[Message]:
        popped = await super().pop(*args, **more)
        await trio.sleep(0.002)
        return popped

    async def write_ahead(self, owner: Owner, heads: Sequence[VersionedHead]) -> None:
        await trio.sleep(0.002)
        await super().write_ahead(owner, heads)
        self.handed += len(heads)

    async def admit(self, batch: Sequence[Admission], *args: Any, **more: Any) -> list[Verdict]:
        verdicts = await super().admit(batch, *args, **more)
        assert self.engine is not None
        (link,) = (seat.link for seat in self.engine.works.seats)
        for admission in batch:
            if admission.body.lane == Lane.OTP:
                assert link is not None
                self.left[admission.body.to] = self.handed - link.queued
                self.most_queued = max(self.most_queued, link.queued)
        await trio.sleep(0.002)
        return verdicts


@pytest.mark.parametrize(
    ("limit", "answer_ms"), [({"rate": 400.0}, 10.0), ({}, 10.0), ({}, 0.0)], ids=["rate", "answers", "at_once"]
)
def test_an_otp_does_not_wait_for_a_bulk_batch(limit: dict[str, float], answer_ms: float) -> None:
    """While a bulk batch drains at the carrier's rate, or as fast as its answers let it, at most one window of what has not
    left yet goes before an OTP, at whatever moment it comes to stand in its queue; also where the carrier answers at once, so
    that the window is never full."""

    async def main() -> None:
        settings = settings_of([carrier(window=20, **limit)], [route({"alpha": 1})])
        store = _Watched()
        async with world(
            settings, store=store, scenarios={"alpha": {"answer_ms": (answer_ms, answer_ms)}}, start=False
        ) as here:
            store.engine = await here.start()
            here.send_many(4000, **{"class": "bulk"})
            await eventually(lambda: _taken(here, 50))
            for number in range(20):
                here.send(491719999900 + number, text="Your code is 1234", **{"class": "otp"})
                await trio.sleep(0.023)
            await eventually(lambda: _came(here, store))
            order = [r.submit.destination_addr for r in here.smscs["alpha"].received]
            assert len(order) < 4000
            before = [
                sum(other not in store.left for other in order[left : order.index(to)]) for to, left in store.left.items()
            ]
            assert len(before) == 20
            assert max(before) <= 20
            if limit:  # without a rate all may have had room at that moment: a busy machine reads answers in heaps
                assert store.most_queued >= 1

    trio.run(main)


async def _came(here: World, store: _Watched) -> bool:
    arrived = {r.submit.destination_addr for r in here.smscs["alpha"].received}
    return len(store.left) == 20 and store.left.keys() <= arrived


async def _taken(here: object, count: int) -> bool:
    return len(here.smscs["alpha"].received) >= count  # type: ignore[attr-defined]


def test_accounts_take_turns() -> None:
    """One account's 1,000 in front do not starve another's 50: both are served in turns of 50."""

    async def main() -> None:
        settings = settings_of([carrier(rate=500.0)], [route({"alpha": 1})])
        async with world(settings, start=False) as here:
            from dispatcher.core.customer import Account

            await here.store.put_account(Account(name="small", currency="EUR", tariff="retail"))
            await here.store.credit("small", "first-small", 10**9, 1)
            here.send_many(1000)
            here.send_many(50, first=491719000000, account="small")
            await here.start()
            await eventually(lambda: _taken(here, 400), 8)
            numbers = [r.submit.destination_addr for r in here.smscs["alpha"].received][:400]
            assert sum(n.startswith("491719") for n in numbers) == 50

    trio.run(main)
