"""What the simulated world found: sessions beside their leases, orphans between two clocks, receipts that change nothing."""

from __future__ import annotations

import pytest
import trio

from dispatcher.core.model import Correlation
from dispatcher.core.ports import Effects, StoreUnavailable
from dispatcher.core.settings import Bind, Quirks
from dispatcher.engine.deliveries import Item, Read
from dispatcher.engine.engine import Engine
from dispatcher.engine.leases import sort_orphans
from dispatcher.store.memory import MemoryStore
from smpp.receipts import Receipt
from smpp.simulator.scenario import Fate, Outcome, Rule
from tests.dispatcher.engine.world import NUMBER, World, carrier, eventually, route, settings_of, world

ONE = settings_of([carrier()], [route({"alpha": 1})])


def test_an_idle_session_ends_before_its_lease_does() -> None:
    """An engine that is cut off from the store closes its sessions in time, for their leases may be another's then; and opens
    them again when it is back."""

    async def main() -> None:
        away = False

        async def hook(when: str, _: str) -> None:
            if away and when == "before":
                raise StoreUnavailable("away")

        async with world(ONE, store=MemoryStore(hook=hook)) as here:
            (seat,) = here.engines["e1"][0].carriers.seats

            async def up() -> bool:
                return seat.state == "bound"

            async def down() -> bool:
                return not here.smscs["alpha"].server.peers

            await eventually(up)
            away = True
            await eventually(down, 1.0)  # lease_s is 1.0, and some of it had passed
            away = False
            await eventually(up)
            assert here.smscs["alpha"].stats.binds == 2

    trio.run(main)


def test_a_batch_whose_first_receipt_changes_nothing() -> None:
    """A repeated receipt of a long message, then a fresh one of a short message: the second is what the sample is about."""
    silent = {"alpha": {"rules": (Rule(Fate(Outcome.NO_RECEIPT), number=str(NUMBER + 1)),)}}

    async def main() -> None:
        async with world(ONE, scenarios=silent) as here:
            here.send(NUMBER, "long " * 50)
            here.send(NUMBER + 1)
            await here.until({"delivered": 1, "submitted": 1})
            receipts = here.engines["e1"][0].receipts
            messages = {m.id: m for m in await here.messages() if m.head is not None}
            long, short = sorted(messages.values(), key=lambda m: -len(m.head.segments) if m.head is not None else 0)
            read = Read("alpha", Quirks(), None, here.clock.now_ms(), trio.current_time())
            items = [Item(read, Receipt("1", "DELIVRD", "000"), ("1",), 1) for _ in range(2)]
            items[0].correlation = Correlation("p0", long.id, 2, 1, 0)
            items[1].correlation = Correlation("p0", short.id, 1, 1, 0)
            effects = Effects()
            assert receipts._build(effects, items, messages, ()) == [items[0]]
            assert [h.id for h in effects.heads] == [short.id]

    trio.run(main)


def test_an_orphan_whose_time_has_not_come_is_put_into_the_due_set_again() -> None:
    """Its engine may have popped it by a clock ahead of ours, and died before it could put it back: nobody else would."""
    settings = settings_of([carrier(bind={"response_timeout_s": 0.2})], [route({"alpha": 1})])
    silent = {"alpha": {"rules": (Rule(Fate(Outcome.NO_ANSWER), number=str(NUMBER)),)}}

    async def main() -> None:
        async with world(settings, scenarios=silent) as here:
            here.send(on_unknown="hold")
            await here.until({"doubt": 1})
            (message,) = await here.messages()
            assert message.head is not None
            assert message.head.due_at > here.clock.now_ms()
            requeue, effects = sort_orphans(here.engines["e1"][0].works, [message])
            assert requeue == []
            assert effects.settled == [message.id]
            assert [(due.id, due.at) for due in effects.due] == [(message.id, message.head.due_at)]

    trio.run(main)


def test_a_deadline_that_meets_a_message_in_flight_comes_again() -> None:
    """Nobody may change a message that an engine holds: its correlation stays, and the deadline ends it afterwards."""
    settings = settings_of([carrier()], [route({"alpha": 1})], receipts={"deadline_s": 0.5})
    silent = {"alpha": {"rules": (Rule(Fate(Outcome.NO_RECEIPT), number=str(NUMBER)),)}}

    async def main() -> None:
        async with world(settings, scenarios=silent) as here:
            here.send()
            await here.until({"submitted": 1})
            (message,) = await here.messages()
            here.store.inflight["e1.1.999"] = {message.id: None}
            await trio.sleep(1.0)
            assert len(here.store.corr["alpha"]) == 1
            assert await here.counts() == {"submitted": 1}
            del here.store.inflight["e1.1.999"]
            await here.until({"unknown": 1})

    trio.run(main)


def test_a_late_answer_while_its_doubt_is_being_written() -> None:
    """The answer comes between the decision and the store's reply: it is settled afterwards, as one to a message at rest."""
    settings = settings_of([carrier(bind={"response_timeout_s": 0.2})], [route({"alpha": 1})], receipts={"grace_s": 5.0})
    silent = {"alpha": {"rules": (Rule(Fate(Outcome.NO_ANSWER), number=str(NUMBER)),)}}

    async def main() -> None:
        told: list[str] = []
        engines: list[Engine] = []

        async def hook(when: str, name: str) -> None:
            if name == "settle" and when == "before" and engines and engines[0].works.flights and not told:
                (flight,) = engines[0].works.flights.values()
                told.append(flight.message.id)
                engines[0].committer.late(flight.slot, [((flight, 1), 0, "77")])

        async with world(settings, scenarios=silent, store=MemoryStore(hook=hook)) as here:
            engines.append(here.engines["e1"][0])
            here.send()
            await here.until({"submitted": 1})
            assert here.errors == []
            assert len(told) == 1
            assert len(await here.facts("post")) == 1

    trio.run(main)


def test_a_connection_that_outlasts_its_lease_is_not_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store was away while it was made: another engine may be there by now. It is closed, and a new one bound under a new
    lease."""
    connect = World.connect

    async def main() -> None:
        away, connects = False, 0

        async def hook(when: str, _: str) -> None:
            if away and when == "before":
                raise StoreUnavailable("away")

        async def slow(here: World, bind: Bind) -> trio.abc.Stream:
            nonlocal away, connects
            connects += 1
            stream = await connect(here, bind)
            if connects == 1:
                away = True
                await trio.sleep(1.2)  # lease_s is 1.0
                away = False
            return stream

        monkeypatch.setattr(World, "connect", slow)
        async with world(ONE, store=MemoryStore(hook=hook)) as here:
            await eventually(lambda: _is(here.smscs["alpha"].stats.binds, 1))
            assert connects == 2
            await eventually(lambda: _is(len(here.smscs["alpha"].server.peers), 1))

    trio.run(main)


def test_who_takes_over_leaves_what_a_living_engine_is_sending() -> None:
    """A message with two queue elements stands in flight under its sender and under one that died: it is no doubt."""
    settings = settings_of([carrier(bind={"response_timeout_s": 2.5})], [route({"alpha": 1})])
    silent = {"alpha": {"rules": (Rule(Fate(Outcome.NO_ANSWER), number=str(NUMBER)),)}}

    async def main() -> None:
        async with world(settings, scenarios=silent) as here:
            here.send()
            await eventually(lambda: _is(here.smscs["alpha"].stats.submits, 1))
            ((message_id, _),) = here.store.heads_kept.items()
            here.store.inflight["gone.1.1"] = {message_id: None}
            await eventually(lambda: _is("gone.1.1" in here.store.inflight, False), 2.0)
            assert "engine_taken_over" in here.log.names()
            assert list(here.engines["e1"][0].works.flights) == [message_id]
            assert here.store.heads_kept[message_id][0] == 1
            assert [list(batch) for batch in here.store.inflight.values()] == [[message_id]]

    trio.run(main)


async def _is(value: object, wanted: object) -> bool:
    return value == wanted
