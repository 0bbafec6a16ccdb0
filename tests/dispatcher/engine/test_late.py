"""An answer that comes when its message is already on its way again."""

from __future__ import annotations

import trio

from dispatcher.core.model import Outcome
from dispatcher.engine.engine import Engine
from dispatcher.engine.works import Flight
from dispatcher.store.memory import MemoryStore
from smpp.simulator.scenario import Fate, Rule
from smpp.simulator.scenario import Outcome as Fates
from tests.dispatcher.engine.world import NUMBER, World, carrier, eventually, route, settings_of, world


def test_a_late_answer_while_the_message_goes_again() -> None:
    """The first attempt's answer comes after its time-out, when the second is under way over another carrier. It waits until
    that round is over, and is the first attempt's then, with its charge and its own carrier's correlation."""
    slow = {"response_timeout_s": 0.4, "reconnect_s": 5.0, "reconnect_max_s": 5.0}
    carriers = [carrier("alpha", bind=slow), carrier("beta", bind=slow)]
    settings = settings_of(carriers, [route({"alpha": 1}, {"beta": 1})], receipts={"grace_s": 0.05}, retry={"attempts_max": 2})
    silent = {name: {"rules": (Rule(Fate(Fates.NO_ANSWER), number=str(NUMBER)),)} for name in ("alpha", "beta")}

    async def main() -> None:
        first: list[Flight] = []
        engines: list[Engine] = []
        told: list[str] = []

        async def hook(when: str, name: str) -> None:
            if (name, when) == ("settle", "before") and engines and not first:
                first.extend(engines[0].works.flights.values())
            elif (name, when) == ("write_ahead", "after") and first and not told:
                told.append(first[0].message.id)
                engines[0].committer.late(first[0].slot, [((first[0], 1), 0, "77")])

        async with world(settings, scenarios=silent, store=MemoryStore(hook=hook)) as here:
            engines.append(here.engines["e1"][0])
            here.send()
            await eventually(lambda: _posted(here))
            (message,) = await here.messages()
            assert message.head is not None
            attempts = message.head.segments[0].attempts
            assert [(a.carrier, a.outcome, a.carrier_id) for a in attempts] == [
                ("alpha", Outcome.ACCEPTED, "77"),
                ("beta", Outcome.UNKNOWN, ""),
            ]
            assert list(here.store.corr["alpha"]) == ["77"]
            assert not here.store.corr.get("beta")
            assert await here.counts() == {"submitted": 1}

    trio.run(main)


def test_its_id_is_known_while_the_message_goes_again() -> None:
    """The round is in another's hands and does not end: a receipt finds the first attempt all the same, from now on."""
    slow = {"response_timeout_s": 0.3, "reconnect_s": 5.0, "reconnect_max_s": 5.0}
    carriers = [carrier("alpha", bind=slow), carrier("beta", bind={**slow, "response_timeout_s": 1.5})]
    settings = settings_of(carriers, [route({"alpha": 1}, {"beta": 1})], receipts={"grace_s": 0.05}, retry={"attempts_max": 2})
    silent = {name: {"rules": (Rule(Fate(Fates.NO_ANSWER), number=str(NUMBER)),)} for name in ("alpha", "beta")}

    async def main() -> None:
        async with world(settings, scenarios=silent) as here:
            engine = here.engines["e1"][0]
            here.send()
            await eventually(lambda: _flying(engine, "alpha"))
            (first,) = engine.works.flights.values()
            await eventually(lambda: _flying(engine, "beta"))
            engine.committer.late(first.slot, [((first, 1), 0, "77")])
            await eventually(lambda: _is(list(here.store.corr.get("alpha", ())), ["77"]))
            (row,) = await here.store.correlate("alpha", ["77"])
            assert row is not None
            assert (row.id, row.segment, row.attempt) == (first.message.id, 1, 1)
            (message,) = await here.messages()
            assert message.head is not None
            assert [a.outcome for a in message.head.segments[0].attempts] == [Outcome.UNKNOWN, Outcome.PENDING]
            assert await here.facts("post") == []

    trio.run(main)


async def _flying(engine: Engine, carrier_name: str) -> bool:
    return [f.slot.carrier for f in engine.works.flights.values()] == [carrier_name]


async def _is(value: object, wanted: object) -> bool:
    return value == wanted


async def _posted(here: World) -> bool:
    return len(await here.facts("post")) == 1


def test_what_another_engine_has_begun_is_left_to_it() -> None:
    """A message with two queue elements was claimed twice, and the other engine was faster: no byte leaves here, and this claim
    is given back."""
    settings = settings_of([carrier()], [route({"alpha": 1})], retry={"temporary_s": 0.2})
    rules = {"rules": (Rule(Fate(Fates.TEMPORARY, times=1), number=str(NUMBER)),)}

    async def main() -> None:
        faster: list[int] = []

        async def hook(when: str, name: str) -> None:
            if (when, name) != ("before", "write_ahead") or faster:
                return
            for message_id, (version, raw) in store.heads_kept.items():
                faster.append(version)
                store.heads_kept[message_id] = (version + 1, raw)

        store = MemoryStore(hook=hook)
        async with world(settings, scenarios={"alpha": rules}, store=store) as here:
            here.send()
            await eventually(lambda: _is("claimed_twice" in here.log.names(), True), 10.0)
            assert len(faster) == 1
            assert here.smscs["alpha"].stats.submits == 1
            engine = here.engines["e1"][0]
            await eventually(lambda: _is(any(store.inflight.values()), False))
            assert not engine.works.flights
            assert [seat.used for seat in engine.works.seats] == [0] * len(engine.works.seats)

    trio.run(main)
