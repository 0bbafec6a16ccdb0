"""Engines that die, stores that go away, streams that hold rubbish: nothing lost, nothing twice."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
import trio

from dispatcher.core.ports import Deposed, Owner, StoreUnavailable
from dispatcher.store.memory import MemoryStore
from smpp.simulator.scenario import Fate, Outcome, Rule, Weighted
from tests.dispatcher.engine.world import MONEY, NUMBER, PRICE, World, carrier, eventually, route, settings_of, world

ONE = settings_of([carrier()], [route({"alpha": 1})])
SLOW = {"alpha": {"answer_ms": (30.0, 60.0), "receipt_ms": (5.0, 5.0)}}


def kill(here: World, name: str) -> None:
    """What SIGKILL and the passing of time leave: no cleanup, leases that nobody renews."""
    here.engines[name][2].cancel()
    for lease in list(here.store.leases):
        here.store.expire(lease)


@pytest.mark.parametrize("policy", ["resend", "hold"])
def test_a_second_engine_takes_over_what_the_first_left(policy: str) -> None:
    """The first engine dies with submits in flight: everything accepted ends, charged at most once; under `hold` no
    number is submitted twice."""

    async def main() -> None:
        async with world(ONE, scenarios=SLOW) as here:
            here.send_many(400, on_unknown=policy)
            await eventually(lambda: _taken(here, 60))
            kill(here, "e1")
            await here.start("e2")
            if policy == "resend":
                await here.until({"delivered": 400}, 8)
            else:
                await eventually(lambda: _settled(here), 8, here.counts)
            numbers = [r.submit.destination_addr for r in here.smscs["alpha"].received]
            if policy == "hold":  # some were written ahead and never left: nobody can know, so they are doubts too
                assert len(numbers) == len(set(numbers)) <= 400
            else:
                assert len(set(numbers)) == 400
            posts = await here.facts("post")
            assert len(posts) == len({(p["id"], p["segment"]) for p in posts})
            available, reserved = await here.money()
            assert available + reserved + PRICE * len(posts) == MONEY
            assert here.store.inflight == {}

    trio.run(main)


async def _taken(here: World, count: int) -> bool:
    return len(here.smscs["alpha"].received) >= count


async def _settled(here: World) -> bool:
    counts = await here.counts()
    return counts.get("delivered", 0) + counts.get("doubt", 0) == 400 and not here.store.inflight


def test_an_engine_that_lost_its_lease_ends() -> None:
    """Another engine took the name's fence: the engine ends with Deposed and submits nothing more."""

    async def main() -> None:
        async with world(ONE) as here:
            here.store.expire("e1")
            assert await here.store.take_lease("e1", "somebody-else", 10_000) is not None
            here.send_many(10)
            await eventually(lambda: _failed(here))
            assert isinstance(here.errors.pop(), Deposed)
            assert here.smscs["alpha"].stats.submits <= 10

    trio.run(main)


async def _failed(here: World) -> bool:
    return bool(here.errors)


class Flaky:
    """A hook for the in-memory store: away while `away`; also loses every n-th reply of a step after its effect."""

    def __init__(self) -> None:
        self.away = False
        self.lose: dict[str, int] = {}

    async def __call__(self, when: str, name: str) -> None:
        if self.away and when == "before":
            raise StoreUnavailable("away")


def test_a_store_that_goes_away_and_comes_back() -> None:
    """Everything pauses while the store is away and goes on by itself: nothing lost, nothing doubled."""

    async def main() -> None:
        flaky = Flaky()
        async with world(ONE, scenarios=SLOW, store=MemoryStore(hook=flaky)) as here:
            here.send_many(500)
            await eventually(lambda: _taken(here, 60))
            flaky.away = True
            await trio.sleep(0.5)
            during = len(here.smscs["alpha"].received)
            await trio.sleep(0.3)
            assert len(here.smscs["alpha"].received) == during
            flaky.away = False
            await here.until({"delivered": 500}, 8)
            assert len(here.smscs["alpha"].received) == 500
            assert len(await here.facts("post")) == 500
            assert await here.money() == (MONEY - 500 * PRICE, 0)

    trio.run(main)


def test_receipts_are_never_met_with_silence() -> None:
    """While the store is away a deliver_sm is answered 0x08 in time; the repetition then counts once."""
    settings = settings_of([carrier()], [route({"alpha": 1})], receipts={"deliver_answer_s": 0.2})

    async def main() -> None:
        flaky = Flaky()
        scenario = {"alpha": {"receipt_ms": (100.0, 100.0), "receipt_retry_ms": 100.0}}
        async with world(settings, scenarios=scenario, store=MemoryStore(hook=flaky)) as here:
            here.send_many(5)
            await eventually(lambda: _taken(here, 5))
            await trio.sleep(0.05)
            flaky.away = True
            await trio.sleep(0.5)
            assert here.smscs["alpha"].stats.receipts_refused >= 5
            flaky.away = False
            await here.until({"delivered": 5})
            assert len(await here.facts("post")) == 5

    trio.run(main)


def test_no_receipt_of_many_is_met_with_silence() -> None:
    """More come at once than one commit takes, while the store is away: each is answered 0x08 before it is back."""
    more: dict[str, Any] = {"receipts": {"deliver_answer_s": 0.2}, "engine": {"lease_s": 10.0}}
    settings = settings_of([carrier(window=1300)], [route({"alpha": 1})], **more)

    async def main() -> None:
        flaky = Flaky()
        scenario = {"alpha": {"receipt_ms": (1500.0, 1500.0), "receipt_retry_ms": 60_000.0, "window": 1300}}
        async with world(settings, scenarios=scenario, store=MemoryStore(hook=flaky)) as here:
            smsc = here.smscs["alpha"]
            here.send_many(1200)
            await here.until({"submitted": 1200})
            smsc.stall(True)
            await trio.sleep(1.6)
            assert smsc.stats.receipts_sent == 0
            flaky.away = True
            smsc.stall(False)
            await eventually(lambda: _refused(here, 1200), 5.0, lambda: _shown(here))
            flaky.away = False
            await here.until({"delivered": 1200})

    async def _shown(here: World) -> object:
        return here.smscs["alpha"].snapshot(), here.log.lines[-5:]

    async def _refused(here: World, count: int) -> bool:
        return here.smscs["alpha"].stats.receipts_refused >= count

    trio.run(main)


def test_intake_restarts_at_its_cursor() -> None:
    """Engines killed again and again while they admit chunks: every send is admitted once."""

    async def main() -> None:
        settings = settings_of([carrier(window=500)], [route({"alpha": 1})], engine={"intake_entries_max": 3})
        async with world(settings, start=False) as here:
            for i in range(40):
                here.send_many(25, first=NUMBER + 25 * i)
            for life in range(4):
                await here.start(f"e{life}")
                await trio.sleep(0.015)
                kill(here, f"e{life}")
            await here.start("last")
            await eventually(lambda: _admitted(here, 1000), 8, here.counts)
            assert len(await here.states()) == 1000
            available, _ = await here.money()
            assert available == MONEY - 1000 * PRICE

    trio.run(main)


async def _admitted(here: World, count: int) -> bool:
    return len(await here.states()) >= count


def test_bad_entries_become_rejects_and_block_nothing() -> None:
    """I: rubbish, unknown fields, unknown accounts and bad numbers become one reject row each; good ones around them pass."""

    async def main() -> None:
        async with world(ONE) as here:
            here.send()
            here.store.add_send("json", b"\x00\xff rubbish")
            here.store.add_send("other", b"neither json nor msgpack")
            here.send(account="nobody")
            here.send(to="12")
            here.send(nonsense=1)
            good = {"account": "shop", "from": "Shop", "to": str(NUMBER + 1), "text": "Hello"}
            chunk: dict[str, Any] = {"sends": [good, good | {"to": "abc"}, good | {"to": str(NUMBER + 2)}]}
            here.store.add_send("msgpack", msgspec.msgpack.encode(chunk))
            here.send(NUMBER + 3)
            await here.until({"delivered": 4})
            rejects = await here.rows("rejects")
            assert len(rejects) == 6
            assert {"malformed", "unknown_account", "number_invalid", "unknown_field"} <= {r["reason"] for r in rejects}

    trio.run(main)


def test_no_money_is_a_reject() -> None:
    """A balance that would pass its floor: the send is rejected, and nothing is submitted for it."""

    async def main() -> None:
        async with world(ONE) as here:
            await here.store.credit("shop", "down", -MONEY + 2 * PRICE, here.clock.now_ms())
            here.send_many(5)
            await here.until({"delivered": 2})
            assert [r["reason"] for r in await here.rows("rejects")] == ["insufficient_balance"] * 3
            assert await here.money() == (0, 0)

    trio.run(main)


def test_admitted_entries_are_cut_although_none_follows() -> None:
    """The sends stream is empty soon after the last entry was admitted, so that its length is what intake is behind."""

    async def main() -> None:
        async with world(ONE) as here:
            here.send_many(40)
            await here.until({"delivered": 40})
            with trio.fail_after(5):
                while here.store.streams["sends"]:  # noqa: ASYNC110 - trimming has no event of ours
                    await trio.sleep(0.02)
            assert await here.store.sends_waiting() == 0

    trio.run(main)


def test_a_poor_send_before_a_bad_one_is_rejected_too() -> None:
    """Refusals that only the transaction knows and those known before it reach `rejects` together, in the stream's order."""

    async def main() -> None:
        async with world(ONE, start=False) as here:
            await here.store.credit("shop", "down", -MONEY, here.clock.now_ms())
            here.send_many(1)
            here.store.add_send("json", b"{")
            here.send_many(1)
            await here.start()
            with trio.fail_after(10):
                while len(await here.rows("rejects")) < 3:  # noqa: ASYNC110 - rows have no event of ours
                    await trio.sleep(0.01)
            assert [r["reason"] for r in await here.rows("rejects")] == [
                "insufficient_balance",
                "malformed",
                "insufficient_balance",
            ]

    trio.run(main)


def test_a_closed_door_admits_nothing() -> None:
    """While promises cannot be kept intake stays where it is; opened, it goes on."""

    async def main() -> None:
        door = [False]
        async with world(ONE, start=False) as here:
            await here.start(is_open=lambda: door[0])
            here.send_many(10)
            await trio.sleep(0.3)
            assert await here.states() == {}
            door[0] = True
            await here.until({"delivered": 10})

    trio.run(main)


def test_a_stop_drains() -> None:
    """Stopped under load: no doubt is left behind, sessions unbind, leases are free, and a successor ends the rest."""

    async def main() -> None:
        async with world(ONE, scenarios=SLOW) as here:
            here.send_many(400)
            await eventually(lambda: _taken(here, 60))
            here.engines["e1"][1].set()
            await eventually(lambda: _gone(here, "e1"))
            assert here.store.inflight == {}
            await here.start("e2")
            await here.until({"delivered": 400}, 8)
            assert len(here.smscs["alpha"].received) == 400

    trio.run(main)


async def _gone(here: World, name: str) -> bool:
    return name not in here.store.leases


def test_two_engines_share_sessions_and_work() -> None:
    """Two engines, two sessions: each holds one, both carry, nothing is doubled."""

    async def main() -> None:
        settings = settings_of([carrier(window=20, sessions=2)], [route({"alpha": 1})])
        async with world(settings, scenarios={"alpha": {"answer_ms": (5.0, 5.0)}}) as here:
            await here.start("e2")
            first, second = here.engines["e1"][0], here.engines["e2"][0]
            await eventually(lambda: _shared(first, second))
            here.send_many(600)
            await here.until({"delivered": 600}, 8)
            sessions = [r.session for r in here.smscs["alpha"].received]
            assert len(sessions) == 600
            assert len(set(sessions)) == 2
            assert here.smscs["alpha"].stats.sessions_peak["demo"] == 2

    trio.run(main)


async def _shared(*engines: Any) -> bool:
    return all(sum(s.up for s in e.carriers.seats) == 1 for e in engines)


def test_parked_receipts_are_matched_later_or_counted() -> None:
    """A receipt for an id nobody knows is answered, parked, and counted as an orphan after its time."""
    settings = settings_of([carrier()], [route({"alpha": 1})], receipts={"early_s": 0.4, "deliver_answer_s": 0.3})

    async def main() -> None:
        scenario = {"alpha": {"rules": (Rule(Fate(Outcome.NO_ID), number=str(NUMBER)),)}}
        async with world(settings, scenarios=scenario) as here:
            here.send()
            await here.until({"unknown": 1})
            await eventually(lambda: _orphaned(here))
            assert here.smscs["alpha"].stats.receipts_answered == 1
            assert not any(here.store.early_rows.values())
            assert await here.money() == (MONEY - PRICE, 0)

    trio.run(main)


async def _orphaned(here: World) -> bool:
    return here.counters.values["dispatcher_receipts_orphaned_total"].get(("alpha",), 0) == 1


def test_a_handsets_message_becomes_a_row() -> None:
    """deliver_sm that is no receipt: a row of `inbound`, answered."""

    async def main() -> None:
        async with world(ONE) as here:
            await eventually(lambda: _bound(here))
            here.smscs["alpha"].inbound("demo", "491711234567", "4321", b"STOP")
            await eventually(lambda: _inbound(here))
            (row,) = await here.rows("inbound")
            assert (row["from"], row["to"], row["text"], row["carrier"]) == ("491711234567", "4321", "STOP", "alpha")

    trio.run(main)


async def _bound(here: World) -> bool:
    return here.smscs["alpha"].stats.binds == 1


async def _inbound(here: World) -> bool:
    return bool(await here.rows("inbound"))


def test_logs_hold_no_texts_and_no_numbers() -> None:
    """P7: nothing logged while all of this happens contains a text, a number or a password."""

    async def main() -> None:
        scenario = {"alpha": {"rules": (Rule(Fate(Outcome.DROP, times=1), suffix="7"),)}}
        async with world(ONE, scenarios=scenario) as here:
            here.send_many(40, text="canary text", on_unknown="hold")
            await trio.sleep(0.5)
            assert "submits_unknown" in here.log.names()
            everything = repr(here.log.lines)
            assert "canary" not in everything
            assert str(NUMBER)[:9] not in everything
            assert "password" not in everything

    trio.run(main)


def test_owner_names_are_the_leases() -> None:
    """I14: what an engine writes, it writes under its own name's fence."""

    async def main() -> None:
        async with world(ONE) as here:
            built = here.engines["e1"][0]
            assert built.works.owner == Owner("e1", 1)

    trio.run(main)


@pytest.mark.parametrize("seed", range(4))
def test_engines_killed_at_any_moment(seed: int) -> None:
    """Killed again and again at drawn moments, messages long and short, receipts early and late: all ends, no segment is
    charged twice, the balance equals the facts, and what was submitted once too often was a resend."""
    chance = random.Random(seed)

    async def main() -> None:
        mix = (Weighted(Fate(), 8), Weighted(Fate(Outcome.RECEIPT_FIRST), 1), Weighted(Fate(Outcome.TEMPORARY, times=1), 1))
        scenario = {"alpha": {"answer_ms": (0.0, 30.0), "receipt_ms": (0.0, 60.0), "mix": mix}}
        settings = settings_of([carrier(sessions=2)], [route({"alpha": 1})], receipts={"early_s": 5.0, "deadline_s": 2.0})
        async with world(settings, scenarios=scenario, start=False) as here:
            here.send_many(200, on_unknown="resend")
            here.send_many(40, first=NUMBER + 1000, text="v" * 400, on_unknown="resend")
            for life in range(6):
                await here.start(f"e{life}")
                await trio.sleep(chance.uniform(0.01, 0.15))
                kill(here, f"e{life}")
            await here.start("last")
            await eventually(lambda: _ended(here, 240), 12, here.counts)
            posts = await here.facts("post")
            assert len(posts) == len({(p["id"], p["segment"]) for p in posts})
            available, reserved = await here.money()
            voids = {(v["id"], v["segment"]) for v in await here.facts("void")}
            assert reserved == 0
            assert available == MONEY - PRICE * len(posts)
            assert not voids & {(p["id"], p["segment"]) for p in posts}
            heads = [m.head for m in await here.messages()]
            assert all(len(s.attempts) <= 5 for h in heads if h is not None for s in h.segments)

    trio.run(main)


async def _ended(here: World, count: int) -> bool:
    states = await here.states()
    return len(states) == count and all(s in {"delivered", "unknown", "undelivered", "failed"} for s in states.values())


def test_two_engines_stay_within_one_rate() -> None:
    """P6: a carrier's rate is shared by the engines that hold its sessions."""

    async def main() -> None:
        settings = settings_of([carrier(sessions=2, rate=200.0)], [route({"alpha": 1})])
        async with world(settings, scenarios={"alpha": {"rate": 200}}) as here:
            await here.start("e2")
            first, second = here.engines["e1"][0], here.engines["e2"][0]
            await eventually(lambda: _shared(first, second))
            here.send_many(300)
            await here.until({"delivered": 300}, 8)
            stats = here.smscs["alpha"].stats
            assert stats.throttled == 0
            assert stats.submits_per_second_peak <= 200

    trio.run(main)


def test_a_corrupt_record_costs_only_itself() -> None:
    """A head that does not decode: its receipt changes nothing, all others in the batch do."""

    async def main() -> None:
        async with world(ONE, scenarios={"alpha": {"receipt_ms": (200.0, 200.0)}}) as here:
            here.send_many(10)
            await here.until({"submitted": 10})
            here.engines["e1"][0].works.recent.messages.clear()
            broken = next(iter(here.store.heads_kept))
            here.store.heads_kept[broken] = (here.store.heads_kept[broken][0], b"\xc1 rubbish")
            await here.until({"delivered": 9, "submitted": 1})
            assert "corrupt_record" in here.log.names()
            assert here.errors == []

    trio.run(main)
