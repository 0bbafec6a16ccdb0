"""Rates over real links: a carrier's limit that falls and rises, and one that nobody told."""

from __future__ import annotations

import itertools

import trio

from dispatcher.core.ports import StoreUnavailable
from dispatcher.core.settings import Settings
from dispatcher.engine.works import Seat
from dispatcher.store.memory import MemoryStore
from smpp.simulator import scenario as sim
from smpp.simulator.smsc import Simulator
from tests.dispatcher.engine.world import World, carrier, eventually, route, settings_of, world


def _arrived(smsc: Simulator, *, accepted: bool) -> list[float]:
    return [each.at for each in smsc.received if not accepted or each.status == 0]


def most(times: list[float]) -> int:
    """In any sliding second."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def _settings(rate: object, **more: object) -> Settings:
    return settings_of([carrier(rate=rate, throttle_pause_s=1.0, **more)], [route({"alpha": 1})])  # type: ignore[arg-type]


async def _flows(here: World) -> float:
    """Starts the carrier's clock at the first submit; returns the instant."""
    await eventually(lambda: _submitted(here, 1))
    here.smscs["alpha"].reset()
    return trio.current_time()


async def _submitted(here: World, count: int) -> bool:
    return len(here.smscs["alpha"].received) >= count


def test_a_fallen_limit_is_kept_within_a_second_and_the_ceiling_comes_back() -> None:
    """100 a second are configured; the carrier takes 30 for a while and says queue full beyond."""

    async def main() -> None:
        scenario = {"rate_curve": ((0.0, 100), (2.0, 30), (6.0, 100)), "answer_ms": (10.0, 10.0), "over_rate": 0x14}
        async with world(_settings(100.0), scenarios={"alpha": scenario}) as here:
            here.send_many(3000)
            began, smsc = await _flows(here), here.smscs["alpha"]
            await trio.sleep(6.0)
            arrived = [at - began for at in _arrived(smsc, accepted=False)]
            assert most([at for at in arrived if at < 2.0]) > 80
            assert most([at for at in arrived if 3.0 <= at < 6.0]) <= 30 + 4
            assert smsc.stats.throttled <= 10

            async def back() -> bool:
                now = trio.current_time()
                return sum(at > now - 1.0 for at in _arrived(smsc, accepted=True)) >= 90

            await eventually(back, 30.0)
            assert most(arrived) <= 100
            assert here.counters.values["dispatcher_bind_rate_limit"]["alpha", "main"] > 0

    trio.run(main)


def test_auto_finds_a_limit_that_nobody_told() -> None:
    """50 a second: found within seconds, one refusal at a time."""

    async def main() -> None:
        scenario = {"rate_curve": ((0.0, 50),), "answer_ms": (5.0, 5.0)}
        async with world(_settings("auto"), scenarios={"alpha": scenario}) as here:
            here.send_many(1000)
            await _flows(here)
            smsc = here.smscs["alpha"]

            async def found() -> bool:
                now = trio.current_time()
                return sum(at > now - 1.0 for at in _arrived(smsc, accepted=True)) >= 45

            await eventually(found, 30.0)
            refused = [each.at for each in smsc.received if each.status]
            assert all(later - earlier > 0.9 for earlier, later in itertools.pairwise(refused))

    trio.run(main)


def test_a_carrier_that_refuses_one_in_fifty_at_random_costs_next_to_nothing() -> None:
    """Handsets' queues told as 0x14: the rate stays where it was, and what was refused is delivered in the end."""

    async def main() -> None:
        full = sim.Fate(sim.Outcome.THROTTLED, status=0x14)
        scenario = {"mix": (sim.Weighted(sim.Fate(), 98), sim.Weighted(full, 2)), "answer_ms": (5.0, 5.0)}
        async with world(_settings(100.0), scenarios={"alpha": scenario}) as here:
            here.send_many(1500)
            began, smsc = await _flows(here), here.smscs["alpha"]
            await trio.sleep(12.0)
            accepted = [at - began for at in _arrived(smsc, accepted=True)]
            assert len(accepted) >= 0.85 * 95 * 12
            assert 5 <= smsc.stats.refused[0x14] <= 60
            assert most([at - began for at in _arrived(smsc, accepted=False)]) <= 100
            await here.until({"delivered": 1500}, 20.0)
            assert 1500 - 20 <= smsc.stats.accepted <= 1500  # the first ones came before the reset

    trio.run(main)


def test_a_refusal_slows_the_bind_and_not_its_neighbour() -> None:
    """Two binds with rates of their own: what one carrier account refuses costs that bind only."""

    async def main() -> None:
        carriers = [carrier("alpha", bind={"rate": 100.0}, rate=1000.0), carrier("beta", bind={"rate": 100.0})]
        settings = settings_of(carriers, [route({"alpha": 1, "beta": 1})])
        async with world(settings, scenarios={"alpha": {"rate": 20}}, start=False) as here:
            built = await here.start()
            here.send_many(300)
            await eventually(lambda: _slowed(built))
            by_name = {seat.carrier: seat for seat in built.carriers.seats}
            whole, own = by_name["alpha"].throttles
            assert (whole.limit, by_name["beta"].throttles[-1].limit) == (1000.0, 100.0)
            assert own.limit < 100.0
            await here.until({"delivered": 300}, 20.0)

    async def _slowed(built: object) -> bool:
        return any(0 < seat.yielding.limit < 100.0 for seat in built.carriers.seats)  # type: ignore[attr-defined]

    trio.run(main)


def test_a_day_holds_over_two_engines_and_what_is_over_goes_to_the_next_group() -> None:
    """Of 300 sends alpha takes the 120 of its day, beta the rest; both engines count together."""

    async def main() -> None:
        carriers = [carrier("alpha", per_day=120, sessions=2), carrier("beta", sessions=2)]
        settings = settings_of(carriers, [route({"alpha": 1}, {"beta": 1})])
        async with world(settings, start=False) as here:
            await here.start("e1")
            await here.start("e2")
            here.send_many(300)
            await here.until({"delivered": 300}, 20.0)
            assert here.smscs["alpha"].stats.submits == 120
            assert here.smscs["beta"].stats.submits == 180
            assert "day_spent" in here.log.names()

    trio.run(main)


def test_what_is_left_of_a_day_is_there_for_the_next_engine() -> None:
    """An engine that stops gives back what it had taken ahead: the next ones use every permit of the day."""

    async def main() -> None:
        settings = settings_of([carrier("alpha", bind={"per_day": 700})], [route({"alpha": 1})])
        async with world(settings, start=False) as here:
            for life in range(7):
                await here.start(f"e{life}")
                here.send_many(100, first=491711000000 + 100 * life)
                await here.until({"delivered": 100 * (life + 1)}, 10.0)
                here.engines[f"e{life}"][1].set()
                await eventually(here.ended, 5.0)
            assert here.smscs["alpha"].stats.accepted == 700

    trio.run(main)


def test_binds_are_counted_in_any_hour_over_restarts() -> None:
    """Three attempts an hour, all refused; a new engine gets none more, and says so."""

    async def main() -> None:
        settings = settings_of([carrier("alpha", bind={"binds_per_hour": 3})], [route({"alpha": 1})])
        wrong = {"accounts": (sim.Account("demo", "other"),)}
        async with world(settings, scenarios={"alpha": wrong}) as here:
            await eventually(lambda: _logged(here, "binds_per_hour_reached"), 10.0)
            here.engines["e1"][1].set()
            await eventually(here.ended, 5.0)
            await here.start("e2")
            await trio.sleep(1.0)
            assert here.smscs["alpha"].stats.binds_refused == 3

    async def _logged(here: World, name: str) -> bool:
        return name in here.log.names()

    trio.run(main)


def test_a_session_that_had_its_submits_is_opened_anew() -> None:
    """Forty a session: 100 sends need three, politely ended, and none is lost or sent twice."""

    async def main() -> None:
        settings = settings_of([carrier("alpha", bind={"submits_per_session": 40})], [route({"alpha": 1})])
        async with world(settings) as here:
            here.send_many(100)
            await here.until({"delivered": 100}, 10.0)
            stats = here.smscs["alpha"].stats
            assert (stats.accepted, stats.binds) == (100, 3)
            by_session = [each.session for each in here.smscs["alpha"].received]
            assert max(map(by_session.count, set(by_session))) == 40

    trio.run(main)


def test_a_window_follows_response_times_and_never_passes_the_configured_one() -> None:
    """A carrier that answers at once gets the whole window of 60; a slow queue is kept short (core/test_breadth)."""

    async def main() -> None:
        settings = settings_of([carrier("alpha", window=60, bind={"window_min": 2})], [route({"alpha": 1})])
        async with world(settings, scenarios={"alpha": {"answer_ms": (100.0, 100.0)}}, start=False) as here:
            built = await here.start()
            here.send_many(1000)
            seat = built.carriers.seats[0]
            assert seat.window_max < 60
            await eventually(lambda: _grown(seat, 20), 10.0)
            await here.until({"delivered": 1000}, 20.0)
            assert 20 <= here.smscs["alpha"].stats.window_peak <= 60

    async def _grown(seat: Seat, most: int) -> bool:
        return seat.window_max >= most

    trio.run(main)


def test_what_a_claim_brings_after_the_day_was_spent_goes_on_to_the_next_group() -> None:
    """Five are claimed for alpha, and while they are written ahead its day is found spent: beta has them at once."""

    async def main() -> None:
        claimed, takes = trio.Event(), itertools.count(1)

        async def hook(when: str, name: str) -> None:
            if (when, name) == ("before", "take") and next(takes) > 10:
                await claimed.wait()
            if (when, name) == ("before", "write_ahead") and here.smscs["alpha"].stats.accepted == 10:
                claimed.set()
                await trio.sleep(0.5)

        settings = settings_of([carrier("alpha", per_day=10), carrier("beta")], [route({"alpha": 1}, {"beta": 1})])
        async with world(settings, store=MemoryStore(hook=hook), start=False) as here:
            await here.start()
            here.send_many(10)
            await here.until({"delivered": 10})
            here.send_many(5, first=491711000100)
            await here.until({"delivered": 15})
            assert claimed.is_set()
            assert here.smscs["beta"].stats.submits == 5

    trio.run(main)


def test_a_store_that_is_away_is_no_hour_that_is_full() -> None:
    """Nobody can say how many binds there were: none is tried, nothing is logged as reached, and then it binds."""

    async def main() -> None:
        away = True

        async def hook(when: str, name: str) -> None:
            if away and (when, name) == ("before", "take"):
                raise StoreUnavailable("away")

        settings = settings_of([carrier("alpha", bind={"binds_per_hour": 3})], [route({"alpha": 1})])
        async with world(settings, store=MemoryStore(hook=hook)) as here:
            await trio.sleep(0.5)
            assert here.smscs["alpha"].stats.binds == 0
            away = False
            here.send()
            await here.until({"delivered": 1})
            assert "binds_per_hour_reached" not in here.log.names()

    trio.run(main)
