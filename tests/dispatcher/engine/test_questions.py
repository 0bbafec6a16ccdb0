"""query_sm for receipts that do not come: asked late and seldom, by one engine, and its answer is evidence like a receipt."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from dispatcher.core.model import Correlation
from dispatcher.store.memory import MemoryStore
from smpp.constants import Command
from smpp.receipts import Receipt
from smpp.simulator.scenario import Fate, Outcome, Rule
from tests.dispatcher.engine.world import MONEY, NUMBER, PRICE, World, carrier, eventually, route, settings_of, world

SOON: dict[str, Any] = {"query_after_s": 0.1, "rate": 100.0}
ASKING = settings_of([carrier(questions=SOON)], [route({"alpha": 1})])


def silent(truth: str, **more: Any) -> dict[str, dict[str, Any]]:
    """A scenario of alpha that sends no receipt for the usual number, and knows what became of it."""
    fate = Fate(Outcome.NO_RECEIPT, truth=truth)
    return {"alpha": {"query": "answer", "rules": (Rule(fate, number=str(NUMBER)),)} | more}


def asked(here: World, command: Command = Command.QUERY_SM) -> list[dict[str, Any]]:
    """Fields of the questions that alpha got."""
    return [dict(each.question.fields) for each in here.smscs["alpha"].questions if each.question.command is command]


def count(here: World, result: str, kind: str = "query") -> float:
    """A cell of dispatcher_questions_total."""
    return here.counters.values["dispatcher_questions_total"].get(("alpha", kind, result), 0)


@pytest.mark.parametrize(
    ("truth", "state"),
    [("DELIVRD", "delivered"), ("UNDELIV", "undelivered"), ("REJECTD", "rejected"), ("DELETED", "undelivered")],
)
def test_a_missing_receipt_is_asked_for(truth: str, state: str) -> None:
    """The carrier's word ends the message as its receipt would have, with the submit's id and sender, and one cost only."""

    async def main() -> None:
        settings = settings_of([carrier(questions=SOON)], [route({"alpha": 1})], retry={"attempts_max": 1})
        async with world(settings, scenarios=silent(truth)) as here:
            here.send()
            await here.until({state: 1})
            submit = here.smscs["alpha"].received[0]
            assert asked(here)[0] == {
                "message_id": submit.message_id,
                "source_addr_ton": 5,
                "source_addr_npi": 0,
                "source_addr": "Shop",
            }
            assert count(here, "found") == 1
            assert len(await here.facts("post")) == 1

    trio.run(main)


def test_what_the_carrier_does_not_know_is_unknown_at_the_deadline_only() -> None:
    """UNKNOWN in an answer is no evidence: asked again, ever later, and once before the deadline that then decides."""

    async def main() -> None:
        receipts = {"deadline_s": 1.5, "sweep_s": 0.1}
        settings = settings_of([carrier(questions=SOON)], [route({"alpha": 1})], receipts=receipts)
        async with world(settings, scenarios=silent("UNKNOWN")) as here:
            here.send()
            began = trio.current_time()
            await here.until({"unknown": 1})
            assert trio.current_time() - began > 1.4
            times = [each.at for each in here.smscs["alpha"].questions]
            assert 3 <= len(times) <= 6
            assert times[1] - times[0] < times[2] - times[1]
            assert 1.1 < times[-1] - began < 1.5
            assert count(here, "nothing") == len(times)

    trio.run(main)


def test_nobody_is_asked_where_receipts_come_or_the_carrier_takes_no_questions() -> None:
    """Off by default; and a receipt in time leaves nothing to ask."""

    async def main() -> None:
        plain = carrier("beta")
        settings = settings_of(
            [carrier(questions={"query_after_s": 0.3}), plain],
            [route({"alpha": 1}, name="a", prefix=["49"]), route({"beta": 1})],
        )
        fates = {"rules": (Rule(Fate(Outcome.NO_RECEIPT), prefix="33"),), "query": "answer"}
        async with world(settings, scenarios={"alpha": {"query": "answer"}, "beta": fates}) as here:
            here.send()
            here.send(33612345678)
            await here.until({"delivered": 1, "submitted": 1})
            await trio.sleep(0.8)
            assert (here.smscs["alpha"].stats.queries, here.smscs["beta"].stats.queries) == (0, 0)

    trio.run(main)


def test_a_final_state_is_never_overtaken() -> None:
    """ENROUTE by question, DELIVRD by receipt, then late answers: whatever they say changes nothing."""

    async def main() -> None:
        async with world(ASKING, scenarios={"alpha": {"query": "answer", "receipt_ms": (900, 900)}}) as here:
            here.send()
            await here.until({"delivered": 1})
            assert here.smscs["alpha"].stats.queries > 0
            before = [row["state"] for row in await here.rows("events")]
            assert before[-1] == "delivered"
            (message,) = await here.messages()
            row = Correlation(here.store.partition, message.id, 1, 1, here.clock.now_ms() + 60_000)
            for state in ("ENROUTE", "UNDELIV", "DELETED"):
                here.engines["e1"][0].receipts.found("alpha", "none", row, Receipt("", state, "001"))
            await trio.sleep(0.3)
            assert [row["state"] for row in await here.rows("events")] == before
            assert await here.money() == (MONEY - PRICE, 0)

    trio.run(main)


def test_the_rate_of_questions_is_bounded() -> None:
    """Forty late segments at 20 questions a second: no more than 2 + 20 in any second, and submits go on."""

    async def main() -> None:
        questions = {"query_after_s": 0.2, "rate": 20.0}
        settings = settings_of([carrier(questions=questions)], [route({"alpha": 1})], receipts={"sweep_s": 0.1})
        rules = (Rule(Fate(Outcome.NO_RECEIPT), prefix="49"),)
        async with world(settings, scenarios={"alpha": {"query": "answer", "rules": rules}}) as here:
            here.send_many(40)
            await here.until({"submitted": 40})
            await here.until({"delivered": 40}, 6)
            times = [each.at for each in here.smscs["alpha"].questions]
            assert len(times) == 40
            assert max(sum(at <= other < at + 1 for other in times) for at in times) <= 23

    trio.run(main)


def test_of_several_engines_one_asks_and_another_goes_on() -> None:
    """Two engines with a session each: every segment is asked about once; when the asking engine stops, the other asks."""

    async def main() -> None:
        questions = {"query_after_s": 0.3, "rate": 100.0}
        settings = settings_of([carrier(sessions=2, questions=questions)], [route({"alpha": 1})], receipts={"sweep_s": 0.1})
        rules = (Rule(Fate(Outcome.NO_RECEIPT), prefix="49"),)
        async with world(settings, scenarios={"alpha": {"query": "answer", "rules": rules}}) as here:
            await here.start("e2")
            here.send_many(30)
            await here.until({"delivered": 30}, 8)
            ids = [fields["message_id"] for fields in asked(here)]
            assert sorted(ids) == sorted(set(ids))
            assert {each.session for each in here.smscs["alpha"].questions} != set()
            asker = next(n for n, (e, _, _) in here.engines.items() if "session.alpha.main.questions" in e.leases.held)
            here.engines.pop(asker)[1].set()
            here.send_many(10, first=NUMBER + 100)
            await here.until({"delivered": 40}, 8)

    trio.run(main)


def test_what_was_missed_while_nobody_ran_is_asked_for() -> None:
    """The deadline passed while no engine lived: the next one asks before it calls the message unknown."""

    async def main() -> None:
        receipts = {"deadline_s": 0.5, "sweep_s": 0.2}
        settings = settings_of(
            [carrier(questions={"query_after_s": 0.45, "rate": 50.0})], [route({"alpha": 1})], receipts=receipts
        )
        store = MemoryStore()
        async with world(settings, store=store, scenarios=silent("DELIVRD")) as here:
            here.send()
            await here.until({"submitted": 1})
            here.engines.pop("e1")[1].set()
            await eventually(here.ended)
            assert here.smscs["alpha"].stats.queries == 0
            await trio.sleep(0.7)
            await here.start("e2")
            await here.until({"delivered": 1})

    trio.run(main)


@pytest.mark.parametrize(("way", "result"), [("no", "unsupported"), ("refuse", "refused"), ("silent", "silent")])
def test_a_carrier_that_will_not_say_costs_nothing(way: str, result: str) -> None:
    """Counted by kind; the session stays, others are delivered; one that knows no query_sm is left alone from then on."""

    async def main() -> None:
        settings = settings_of([carrier(questions=SOON, bind={"response_timeout_s": 0.3})], [route({"alpha": 1})])
        async with world(settings, scenarios=silent("DELIVRD", query=way)) as here:
            here.send()

            async def counted() -> bool:
                return count(here, result) >= 1

            await eventually(counted)
            here.send(NUMBER + 1)
            await here.until({"submitted": 1, "delivered": 1})
            await trio.sleep(0.5)
            assert here.smscs["alpha"].stats.binds == 1
            if way == "no":
                assert here.smscs["alpha"].stats.queries == 1
                assert here.log.names().count("carrier_takes_no_questions") == 1

    trio.run(main)


def test_a_carrier_is_asked_by_the_id_that_it_told() -> None:
    """Its answers are hexadecimal with leading zeros, its receipts decimal: the question has the answer's own characters."""

    async def main() -> None:
        settings = settings_of([carrier(quirks={"ids": "hex"}, questions=SOON)], [route({"alpha": 1})])
        async with world(settings, scenarios=silent("DELIVRD", answer_ids="HEX")) as here:
            here.send()
            await here.until({"delivered": 1})
            told = here.smscs["alpha"].received[0].message_id
            assert told != told.lower()
            assert asked(here)[0]["message_id"] == told

    trio.run(main)
