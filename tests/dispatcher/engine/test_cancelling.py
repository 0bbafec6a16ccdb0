"""cancel_sm behind a cancel: what carriers take back is cancelled and stays paid; what they do not goes on as before."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest
import trio

from dispatcher.core.front import CANCEL_WISH_MS
from dispatcher.core.model import Message
from dispatcher.core.ports import StoreUnavailable
from dispatcher.core.retry import Rules
from dispatcher.core.settings import Bind
from dispatcher.engine.questions import Asker, Cancelling
from dispatcher.ingest import cancelling
from dispatcher.ingest.cancelling import Cancelled
from dispatcher.store.memory import MemoryStore
from smpp.constants import Command
from smpp.pdus import Pdu
from smpp.simulator.scenario import Fate, Outcome, Rule
from tests.dispatcher.engine.world import MONEY, NUMBER, PRICE, World, carrier, eventually, route, settings_of, world

T = TypeVar("T")

TAKES = settings_of([carrier(questions={"cancel": True, "rate": 100.0})], [route({"alpha": 1})])
SLOW: dict[str, dict[str, Any]] = {"alpha": {"cancel": "answer", "receipt_ms": (600, 600)}}
LONG = "Your parcel arrives today. " * 12


async def _now(step: Awaitable[T]) -> T:
    return await step


async def cancel(here: World) -> Cancelled:
    """The first message's, as a door does it."""
    first = next(iter(await here.states()))

    async def read() -> Message:
        (message,) = await here.store.messages([first])
        assert message is not None
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


class Fragile(trio.abc.Stream):
    """A connection that breaks with a cancel_sm before it leaves, while `cuts` says so."""

    def __init__(self, stream: trio.abc.Stream, cuts: list[int]) -> None:
        self.stream = stream
        self.cuts = cuts

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        rest = bytes(data)
        while rest and self.cuts:
            if int.from_bytes(rest[4:8]) == Command.CANCEL_SM:
                self.cuts.pop()
                await self.aclose()
                raise trio.BrokenResourceError
            rest = rest[int.from_bytes(rest[:4]) :]
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.stream.aclose()


@pytest.mark.parametrize(("breaks", "outcome", "asked"), [(1, Cancelled.DONE, 1), (9, Cancelled.NO_WORD, 2)])
def test_what_a_dead_link_took_along_is_asked_once_more(
    breaks: int, outcome: Cancelled, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the next session, within the door's time; but no link dies of one again and again."""
    monkeypatch.setattr(cancelling, "WORD_S", 2.0)
    cuts = list(range(breaks))

    async def main() -> None:
        async with world(TAKES, scenarios={"alpha": {"cancel": "answer", "receipt_ms": (6000, 6000)}}, start=False) as here:
            connect = here.connect

            async def fragile(bind: Bind) -> trio.abc.Stream:
                return Fragile(await connect(bind), cuts)

            monkeypatch.setattr(here, "connect", fragile)
            await here.start()
            here.send()
            await here.until({"submitted": 1})
            assert await cancel(here) is outcome
            assert breaks - len(cuts) == asked
            assert here.smscs["alpha"].stats.cancels == (outcome is Cancelled.DONE)
            await here.until({"cancelled" if outcome is Cancelled.DONE else "submitted": 1})

    trio.run(main)


def test_a_session_that_says_goodbye_is_not_asked() -> None:
    """Of a pair the receiver died, the transmitter waits for its last answers: the wish waits for the next pair."""

    async def main() -> None:
        settings = settings_of([carrier(questions={"cancel": True}, bind={"mode": "tx+rx"})], [route({"alpha": 1})])
        async with world(settings, scenarios={"alpha": {"cancel": "answer", "receipt_ms": (6000, 6000)}}) as here:
            smsc = here.smscs["alpha"]
            here.send()
            await here.until({"submitted": 1})
            smsc.stall(True)
            here.send(NUMBER + 1)

            async def received() -> bool:
                return len(smsc.received) == 2

            await eventually(received)
            (receiver,) = [peer for peer in smsc.server.peers.values() if peer.login is not None and peer.login.mode == "rx"]
            receiver.link.drop()
            await trio.sleep(0.05)
            assert len(smsc.server.peers) == 1
            outcome = await cancel(here)
            smsc.stall(False)
            assert here.errors == []
            assert outcome is Cancelled.DONE

    trio.run(main)


def test_a_wish_whose_time_is_over_is_not_carried_out() -> None:
    """What the login's rate does not allow in time is forgotten with its wish, so the queue is bounded, too."""

    async def main() -> None:
        settings = settings_of([carrier(questions={"cancel": True, "rate": 1.0})], [route({"alpha": 1})])
        async with world(settings, scenarios={"alpha": {"cancel": "refuse", "receipt_ms": (6000, 6000)}}) as here:
            here.send_many(3)
            await here.until({"submitted": 3})
            for message in await here.messages():
                assert await here.store.wish_cancel("shop", message.id, here.clock.now_ms() - CANCEL_WISH_MS + 700)
            await trio.sleep(2.5)
            assert here.smscs["alpha"].stats.cancels == 1

    trio.run(main)


def test_accounts_take_turns() -> None:
    """One with many wishes does not keep the other's single one waiting."""
    asker = Asker(TAKES.carrier[0], "main")
    for number, account in enumerate("aaab"):
        wish = Cancelling(f"m{number}", account, 1, 1, Pdu(Command.CANCEL_SM, {}))
        asker.wished.setdefault(account, deque()).append(wish)
    asker.forget({"m1"})
    taken = [question.id for question in iter(asker.next, None) if isinstance(question, Cancelling)]
    assert taken == ["m0", "m3", "m2"]
    assert asker.wished == {}
