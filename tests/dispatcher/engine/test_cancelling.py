"""cancel_sm behind a cancel: what carriers take back is cancelled and stays paid; what they do not goes on as before."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest
import trio

from dispatcher.core.model import Message
from dispatcher.core.ports import StoreUnavailable
from dispatcher.core.retry import Rules
from dispatcher.ingest import cancelling
from dispatcher.ingest.cancelling import Cancelled
from dispatcher.store.memory import MemoryStore
from smpp.constants import Command
from smpp.simulator.scenario import Fate, Outcome, Rule
from tests.dispatcher.engine.world import MONEY, NUMBER, PRICE, World, carrier, route, settings_of, world

T = TypeVar("T")

TAKES = settings_of([carrier(questions={"cancel": True, "rate": 100.0})], [route({"alpha": 1})])
SLOW: dict[str, dict[str, Any]] = {"alpha": {"cancel": "answer", "receipt_ms": (600, 600)}}
LONG = "Your parcel arrives today. " * 12


async def _now(step: Awaitable[T]) -> T:
    return await step


async def cancel(here: World) -> Cancelled:
    """The only message's, as a door does it."""

    async def read() -> Message:
        (message,) = await here.messages()
        return message

    rules = Rules(here.settings, {}, {}, lambda: 0.5)
    carriers = cancelling.takers(here.settings)
    return await cancelling.cancel(cancelling.Desk(here.store, rules, carriers, read, here.clock.now_ms, trio.sleep, _now))


@pytest.mark.parametrize("text", ["Hello", LONG])
def test_what_the_carrier_takes_back_is_cancelled_and_stays_paid(text: str) -> None:
    """Each segment is asked for by its id, sender and number; cancelled, not refunded; its receipts DELETED change nothing."""

    async def main() -> None:
        async with world(TAKES, scenarios=SLOW) as here:
            here.send(text=text)
            await here.until({"submitted": 1})
            assert await cancel(here) is Cancelled.DONE
            submits = here.smscs["alpha"].received
            for submit, question in zip(submits, here.smscs["alpha"].questions, strict=True):
                fields = dict(question.question.fields)
                assert question.question.command is Command.CANCEL_SM
                assert (fields["message_id"], fields["source_addr"], fields["destination_addr"]) == (
                    submit.message_id,
                    "Shop",
                    str(NUMBER),
                )
            await trio.sleep(0.8)
            assert await here.counts() == {"cancelled": 1}
            assert await here.money() == (MONEY - len(submits) * PRICE, 0)
            assert (len(await here.facts("post")), await here.facts("refund")) == (len(submits), [])
            assert here.smscs["alpha"].stats.cancelled == len(submits)
            assert here.counters.values["dispatcher_questions_total"]["alpha", "cancel", "done"] == len(submits)

    trio.run(main)


@pytest.mark.parametrize(
    ("way", "outcome"), [("refuse", Cancelled.REFUSED), ("no", Cancelled.REFUSED), ("silent", Cancelled.NO_WORD)]
)
def test_what_the_carrier_keeps_goes_on(way: str, outcome: Cancelled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, not understood, no word: the door says so, and the message is delivered."""
    monkeypatch.setattr(cancelling, "WORD_S", 1.0)

    async def main() -> None:
        async with world(TAKES, scenarios={"alpha": {"cancel": way, "receipt_ms": (1500, 1500)}}) as here:
            here.send()
            await here.until({"submitted": 1})
            assert await cancel(here) is outcome
            await here.until({"delivered": 1})

    trio.run(main)


def test_where_no_carrier_takes_it_nobody_is_asked() -> None:
    """Off by default: too late at once, without a wish."""

    async def main() -> None:
        settings = settings_of([carrier()], [route({"alpha": 1})])
        async with world(settings, scenarios=SLOW) as here:
            here.send()
            await here.until({"submitted": 1})
            assert await cancel(here) is Cancelled.TOO_LATE
            assert here.smscs["alpha"].stats.cancels == 0
            assert await here.store.cancel_wishes(here.clock.now_ms()) == []

    trio.run(main)


def test_a_delivered_message_is_not_cancelled() -> None:
    """Final: too late."""

    async def main() -> None:
        async with world(TAKES, scenarios={"alpha": {"cancel": "answer"}}) as here:
            here.send()
            await here.until({"delivered": 1})
            assert await cancel(here) is Cancelled.TOO_LATE

    trio.run(main)


def test_a_receipt_that_says_deleted_confirms_the_wish() -> None:
    """The carrier is silent to cancel_sm and sends the receipt: cancelled all the same; without a wish it is undelivered."""

    async def main() -> None:
        fates = (Rule(Fate(Outcome.UNDELIVERED, state="DELETED"), prefix="49"),)
        async with world(TAKES, scenarios={"alpha": {"cancel": "silent", "receipt_ms": (600, 600), "rules": fates}}) as here:
            here.send()
            await here.until({"submitted": 1})
            assert await cancel(here) is Cancelled.DONE
            here.send(NUMBER + 1)
            await here.until({"cancelled": 1, "undelivered": 1})

    trio.run(main)


def test_of_a_partly_submitted_message_all_is_cancelled() -> None:
    """One segment accepted, its sibling waiting for its retry: the one is taken back, the other never leaves."""

    async def main() -> None:
        settings = settings_of(
            [carrier(questions={"cancel": True, "rate": 100.0}, quirks={"concat": "sar"})],
            [route({"alpha": 1})],
            retry={"temporary_s": 5.0, "temporary_max_s": 5.0},
        )
        async with world(settings, scenarios={"alpha": {"cancel": "answer", "receipt_ms": (3000, 3000), "window": 1}}) as here:
            smsc = here.smscs["alpha"]
            smsc.stall(True)  # both are sent, the second is beyond the window: refused
            here.send(text=LONG)
            await trio.sleep(0.3)
            smsc.stall(False)
            await here.until({"waiting": 1})
            assert await cancel(here) is Cancelled.DONE
            await here.until({"cancelled": 1})

    trio.run(main)


def test_the_carriers_word_is_told_when_the_store_is_back() -> None:
    """The store is away just when a wish is to be ended: the door hears "refused" all the same; the carrier is asked once."""

    async def main() -> None:
        failures = iter(range(3))

        async def hook(when: str, name: str) -> None:
            if (when, name) == ("before", "end_cancel_wish") and next(failures, None) is not None:
                raise StoreUnavailable("away")

        scenario = {"alpha": {"cancel": "refuse", "receipt_ms": (2500, 2500)}}
        async with world(TAKES, scenarios=scenario, store=MemoryStore(hook=hook)) as here:
            here.send()
            await here.until({"submitted": 1})
            assert await cancel(here) is Cancelled.REFUSED
            assert next(failures, None) is None
            assert here.smscs["alpha"].stats.cancels == 1

    trio.run(main)
