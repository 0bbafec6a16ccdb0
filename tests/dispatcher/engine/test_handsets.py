"""Handsets' messages through an engine: from the socket to rows, inboxes, opt-outs and answers."""

from __future__ import annotations

import random
from typing import Any

import trio

from dispatcher.core.ports import StoreUnavailable
from dispatcher.engine.handsets import PENDING_MAX
from dispatcher.store.memory import MemoryStore
from smpp.segments import cut
from smpp.simulator.handset import message, part
from smpp.text import Encoding
from tests.dispatcher.engine.world import World, carrier, eventually, route, settings_of, world

HANDSET = "491711234567"
CODE = "4321"
LONG = "When is my parcel coming? I waited the whole day. " * 12
TWO = settings_of([carrier(sessions=2)], [route({"alpha": 1})], inbound=[{"number": CODE, "account": "shop"}])


def settings(**inbox: Any) -> Any:
    """Two sessions, one number, and an inbox of its own rules."""
    return settings_of([carrier(sessions=2)], [route({"alpha": 1})], inbound=[{"number": CODE, "account": "shop"}], inbox=inbox)


async def rows(here: World, count: int, seconds: float = 5.0) -> list[dict[str, Any]]:
    """The inbound rows, once there are so many."""

    async def enough() -> bool:
        return len(await here.rows("inbound")) >= count

    await eventually(enough, seconds, lambda: here.rows("inbound"))
    return await here.rows("inbound")


async def bound(here: World, sessions: int = 2) -> None:
    """Waits for the binds."""

    async def all_bound() -> bool:
        return len(here.smscs["alpha"].server.bound_as("demo")) == sessions

    await eventually(all_bound)


async def answered(here: World, count: int, seconds: float = 5.0) -> None:
    """Waits until so many deliver_sm were answered ESME_ROK."""

    async def enough() -> bool:
        return here.smscs["alpha"].stats.receipts_answered >= count

    await eventually(enough, seconds)


def test_parts_out_of_order_over_two_sessions_are_one_row() -> None:
    """Each way of numbering them; every part is answered; repeats change nothing."""

    async def main() -> None:
        async with world(TWO) as here:
            await bound(here)
            smsc = here.smscs["alpha"]
            sent = 0
            for number, way in enumerate(("udh8", "udh16", "sar")):
                bodies = message(HANDSET, CODE, f"{way} {LONG}", way, 77)
                order = list(range(len(bodies)))
                random.Random(number).shuffle(order)
                for session, place in enumerate([*order, *order]):
                    smsc.inbound_over("demo", session, bodies[place])
                sent += 2 * len(bodies)
                await answered(here, sent)
            found = await rows(here, 3)
            assert [r["text"] for r in found] == [f"{way} {LONG}" for way in ("udh8", "udh16", "sar")]
            assert {(r["from"], r["to"], r["account"], r["reference"]) for r in found} == {(HANDSET, CODE, "shop", 77)}
            assert all(r["parts"] == r["total"] >= 4 for r in found)
            assert await here.store.parts_waiting() == 0
            assert [m.number for m in await here.store.inbox("shop", 0, 10)] == [1, 2, 3]

    trio.run(main)


def test_one_part_of_255_is_given_out_when_its_time_is_over() -> None:
    """As it is, and saying so."""

    async def main() -> None:
        async with world(settings(parts_s=1)) as here:
            await bound(here)
            here.smscs["alpha"].inbound_over("demo", 0, part(HANDSET, CODE, b"alone", 0, "udh8", 5, 255, 9))
            await answered(here, 1)
            assert await here.rows("inbound") == []
            (row,) = await rows(here, 1)
            assert (row["text"], row["parts"], row["total"]) == ("alone", 1, 255)

    trio.run(main)


def test_hostile_parts_do_not_stop_the_others() -> None:
    """Totals of 0, places beyond, torn headers: each is a message of its own; the long one beside them is joined."""

    async def main() -> None:
        async with world(TWO) as here:
            await bound(here)
            smsc = here.smscs["alpha"]
            bodies = message(HANDSET, CODE, LONG)
            bad = [
                part(HANDSET, CODE, b"bad", 0, way, 1, total, place)
                for way in ("udh8", "udh16", "sar")
                for total, place in ((0, 0), (2, 3))
            ]
            for number, body in enumerate([bodies[0], *bad, *bodies[:0:-1]]):
                smsc.inbound_over("demo", number, body)
            found = await rows(here, 7)
            assert sorted(r["text"] for r in found) == sorted([LONG] + ["bad"] * 6)
            assert not here.log.names().count("corrupt_record")

    trio.run(main)


def test_a_flood_of_first_parts_is_bounded() -> None:
    """They are all answered, never more than the limit and a step wait, and what goes out says how little came."""

    async def main() -> None:
        limit = 300
        async with world(settings(parts_max=limit, carrier_parts_max=limit)) as here:
            await bound(here)
            smsc, most = here.smscs["alpha"], 0
            for n in range(2000):
                smsc.inbound_over("demo", n, part(f"49171{n:07d}", CODE, b"flood", 0, "udh8", n, 255, 1))

            async def done() -> bool:
                nonlocal most
                most = max(most, sum(len(w.pieces) for w in here.store.waiting.values()))
                return smsc.stats.receipts_answered >= 2000

            await eventually(done, 10)
            assert most <= limit + 200
            found = await rows(here, 2000 - limit)
            assert {(r["parts"], r["total"]) for r in found} == {(1, 255)}

    trio.run(main)


class Away:
    """A store's hook: the steps named are refused while `on`."""

    def __init__(self, *steps: str) -> None:
        self.steps = steps
        self.on = False

    async def __call__(self, when: str, name: str) -> None:
        if self.on and when == "before" and name in self.steps:
            raise StoreUnavailable("away")


def test_what_is_not_durable_in_time_is_refused_and_counts_once_when_it_comes_again() -> None:
    """0x08 within deliver_answer_s while the store is away. Of messages that were not begun only the repetition counts."""

    async def main() -> None:
        hook = Away("receive", "keep_parts")
        scenario = {"alpha": {"receipt_retry_ms": 100.0}}
        async with world(TWO, store=MemoryStore(hook=hook), scenarios=scenario) as here:
            await bound(here)
            smsc = here.smscs["alpha"]
            hook.on = True
            smsc.inbound("demo", HANDSET, CODE, b"begun")
            await trio.sleep(0.2)
            smsc.inbound("demo", HANDSET, CODE, b"not begun")
            bodies = message(HANDSET, CODE, LONG)
            for body in bodies:
                smsc.inbound_over("demo", 1, body)

            async def refused() -> bool:
                return smsc.stats.receipts_refused >= 2 + len(bodies)

            await eventually(refused, 3)
            hook.on = False
            await answered(here, 2 + len(bodies), 10)
            found = [r["text"] for r in await rows(here, 3)]
            assert (found.count("not begun"), found.count(LONG)) == (1, 1)
            assert 1 <= found.count("begun") <= 2

    trio.run(main)


def test_more_than_can_be_held_are_refused_at_once() -> None:
    """Beyond PENDING_MAX nothing is met with silence, and nothing more is held."""

    async def main() -> None:
        hook = Away("receive")
        slow = settings_of([carrier(sessions=6)], [route({"alpha": 1})], receipts={"deliver_answer_s": 30.0})
        async with world(slow, store=MemoryStore(hook=hook), scenarios={"alpha": {"receipt_retry_ms": 60_000.0}}) as here:
            await bound(here, 6)  # an SMSC leaves at most 1,000 unanswered on each
            hook.on = True
            smsc, handsets = here.smscs["alpha"], here.engines["e1"][0].handsets
            for n in range(PENDING_MAX + 7):
                smsc.inbound_over("demo", n, message(HANDSET, CODE, f"{n}")[0])

            async def refused() -> bool:
                assert handsets.pending <= PENDING_MAX
                return smsc.stats.receipts_refused == 7

            await eventually(refused, 10, lambda: here.rows("inbound"))
            hook.on = False
            assert len(await rows(here, PENDING_MAX, 10)) == PENDING_MAX

    trio.run(main)


def test_an_engine_that_dies_between_the_last_part_and_the_row() -> None:
    """Another one finds the message complete and writes it, once, also when the carrier repeats the part."""

    async def main() -> None:
        hook = Away("receive")
        async with world(TWO, store=MemoryStore(hook=hook)) as here:
            await bound(here)
            hook.on = True
            bodies = message(HANDSET, CODE, LONG)
            for body in bodies:
                here.smscs["alpha"].inbound_over("demo", 0, body)

            async def kept() -> bool:
                return bool(await here.store.parts_waiting() == len(bodies))

            await eventually(kept)
            here.engines["e1"][2].cancel()
            for lease in list(here.store.leases):
                here.store.expire(lease)
            hook.on = False
            await here.start("e2")
            found = await rows(here, 1, 8)
            await bound(here)
            here.smscs["alpha"].inbound_over("demo", 0, bodies[-1])
            await trio.sleep(0.3)
            assert [r["text"] for r in await here.rows("inbound")] == [LONG] == [r["text"] for r in found]

    trio.run(main)


def test_stop_blocks_start_frees_and_answers_are_sends() -> None:
    """The answer to STOP leaves before it takes effect, those to START and HELP after; a second one of the day does not."""

    async def main() -> None:
        entry = {
            "number": CODE,
            "account": "shop",
            "stop_answer": "Bye.",
            "start_answer": "Hello again.",
            "help_answer": "Shop.",
        }
        here_settings = settings_of([carrier()], [route({"alpha": 1})], inbound=[entry])
        async with world(here_settings) as here:
            await bound(here, 1)
            to_hash = here.engines["e1"][0].handsets._hashes(HANDSET)[0]
            for word, texts, out in (
                (b"help", ["Shop."], False),
                (b"Stop!", ["Shop.", "Bye."], True),
                (b"STOP", ["Shop.", "Bye."], True),
                (b"HELP", ["Shop.", "Bye."], True),
                (b"start", ["Shop.", "Bye.", "Hello again."], False),
            ):
                count = len(await here.rows("inbound")) + 1
                here.smscs["alpha"].inbound("demo", HANDSET, CODE, word)
                await rows(here, count)
                assert await here.store.opted_out("shop", [("Shop", to_hash)]) == [out], word

                async def said(expected: list[str] = texts) -> bool:
                    return [r.submit.short_message.decode() for r in here.smscs["alpha"].received] == expected

                await eventually(said, 5)
            assert {(r.submit.source_addr, r.submit.destination_addr) for r in here.smscs["alpha"].received} == {
                (CODE, HANDSET)
            }
            await here.until({"delivered": 3})
            assert len(await here.facts("post")) == 3
            words = here.counters.values["dispatcher_inbound_words_total"]
            assert words == {("help",): 2, ("stop",): 2, ("start",): 1}

    trio.run(main)


def test_a_send_after_stop_is_refused_over_the_stream() -> None:
    """opted_out among the rejects; after START it is delivered."""

    async def main() -> None:
        async with world(TWO) as here:
            await bound(here)
            here.smscs["alpha"].inbound("demo", f"+{HANDSET}", CODE, "قف".encode("utf-16-be"), Encoding.UCS2)
            await rows(here, 1)
            here.send(HANDSET)
            here.send(int(HANDSET) + 1)
            await here.until({"delivered": 1})

            async def refused() -> bool:
                return [r["reason"] for r in await here.rows("rejects")] == ["opted_out"]

            await eventually(refused, 5, lambda: here.rows("rejects"))
            here.smscs["alpha"].inbound("demo", HANDSET, CODE, b"START")
            await rows(here, 2)
            here.send(HANDSET)
            await here.until({"delivered": 2})

    trio.run(main)


def test_neither_logs_nor_metrics_hold_texts_and_numbers() -> None:
    """P7, for what handsets write."""

    async def main() -> None:
        async with world(settings(parts_s=1, parts_max=1, carrier_parts_max=1)) as here:
            await bound(here)
            for body in [*message(HANDSET, CODE, "Geheimnis " * 40)[:-1], *message(HANDSET, CODE, "Geheimnis")]:
                here.smscs["alpha"].inbound_over("demo", 0, body)
            await rows(here, 2)
            told = repr((here.log.lines, here.counters.snapshot()))
            assert "Geheimnis" not in told
            assert HANDSET not in told

    trio.run(main)


def test_texts_that_were_cut_by_others_join_too() -> None:
    """Our own cut, read back: Arabic in parts over sar."""

    async def main() -> None:
        text = "متى تصل الشحنة؟ " * 20
        async with world(TWO) as here:
            await bound(here)
            assert len(cut(text, Encoding.UCS2)) > 4
            for number, body in enumerate(reversed(message(HANDSET, CODE, text, "sar", 9))):
                here.smscs["alpha"].inbound_over("demo", number, body)
            (row,) = await rows(here, 1)
            assert row["text"] == text

    trio.run(main)
