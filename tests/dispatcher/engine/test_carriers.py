"""Which carrier carries, how fast, and what a bad one costs the others."""

from __future__ import annotations

import itertools

import trio

from smpp.simulator import scenario as sim
from smpp.simulator.scenario import Fate, Outcome, Weighted
from tests.dispatcher.engine.world import carrier, eventually, route, settings_of, world


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
        settings = settings_of(carriers, [route({"alpha": 3, "beta": 1})])
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


def test_an_otp_does_not_wait_for_a_bulk_batch() -> None:
    """While a bulk batch drains at the carrier's rate, at most one window of it goes before an OTP."""

    async def main() -> None:
        settings = settings_of([carrier(window=20, rate=400.0)], [route({"alpha": 1})])
        async with world(settings, scenarios={"alpha": {"answer_ms": (10.0, 10.0)}}) as here:
            here.send_many(600, **{"class": "bulk"})
            await eventually(lambda: _taken(here, 50))
            before = len(here.smscs["alpha"].received)
            here.send(491719999999, text="Your code is 1234", **{"class": "otp"})
            await here.until({"delivered": 601}, 8)
            numbers = [r.submit.destination_addr for r in here.smscs["alpha"].received]
            assert numbers.index("491719999999") - before <= 20 + 20  # one window, and what left while it was admitted

    trio.run(main)


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
