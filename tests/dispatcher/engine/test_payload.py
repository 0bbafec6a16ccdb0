"""concat = "payload": a long message is one submit_sm; priced, known and paid by segment, and its segments share one fate."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from dispatcher.core.model import State
from smpp.constants import Command
from smpp.simulator.scenario import Fate, Outcome, Rule
from smpp.text import Encoding, gsm7, ucs2
from tests.dispatcher.engine.world import MONEY, NUMBER, PRICE, World, carrier, route, settings_of, world

LONG = "Your parcel {arrives} today. " * 12
SEGMENTS = 3
WHOLE = carrier(quirks={"concat": "payload", "causes": {"001": "absent"}})
ONE = settings_of([WHOLE], [route({"alpha": 1})])


def rules(**fate: Any) -> dict[str, dict[str, Any]]:
    """A scenario of alpha with one fate for the usual number."""
    return {"alpha": {"rules": (Rule(Fate(**fate), number=str(NUMBER)),)}}


async def states(here: World) -> tuple[list[str], list[list[str]]]:
    """States of the only message's segments, and for each the ids of its attempts."""
    (message,) = await here.messages()
    assert message.head is not None
    segments = message.head.segments
    return [State(s.state).wire for s in segments], [[a.carrier_id for a in s.attempts] for s in segments]


@pytest.mark.parametrize(("text", "segments"), [(LONG, SEGMENTS), ("Привет, ваш заказ в пути. " * 6, 3), ("Hello", 1)])
def test_one_submit_and_the_price_of_its_segments(text: str, segments: int) -> None:
    """The whole text is in one submit_sm without header; each segment is posted; one receipt delivers all."""

    async def main() -> None:
        async with world(ONE) as here:
            here.send(text=text)
            await here.until({"delivered": 1})
            (received,) = here.smscs["alpha"].received
            basic = gsm7(text)
            coding = Encoding.GSM7 if basic is not None else Encoding.UCS2
            assert received.submit.short_message == (ucs2(text) if basic is None else basic)
            assert (received.submit.esm_class, received.submit.data_coding) == (0, coding)
            assert await here.money() == (MONEY - segments * PRICE, 0)
            assert len(await here.facts("post")) == segments
            found, ids = await states(here)
            assert (found, ids) == (["delivered"] * segments, [[received.message_id]] * segments)

    trio.run(main)


def test_a_window_of_one_takes_a_long_message() -> None:
    """It is one request, whatever its segments: windows of the session are counted in submits, and free again afterwards."""

    async def main() -> None:
        settings = settings_of([WHOLE | {"bind": [WHOLE["bind"][0] | {"window": 4}]}], [route({"alpha": 1})])
        async with world(settings, scenarios={"alpha": {"window": 4}}) as here:
            for number in range(20):
                here.send(NUMBER + number, text=LONG)
            await here.until({"delivered": 20})
            assert here.smscs["alpha"].stats.submits == 20
            assert all(seat.used == 0 for seat in here.engines["e1"][0].works.seats)

    trio.run(main)


@pytest.mark.parametrize(
    ("fate", "submits"),
    [
        ({"outcome": Outcome.TEMPORARY, "times": 2}, 3),
        ({"outcome": Outcome.THROTTLED, "times": 2}, 3),
        ({"outcome": Outcome.UNDELIVERED, "code": "001", "times": 2}, 3),
        ({"outcome": Outcome.DROP, "times": 2}, 2),
    ],
)
def test_what_fails_goes_again_whole(fate: dict[str, Any], submits: int) -> None:
    """Refused, throttled, undelivered, in doubt: the next attempt is one submit again, and each segment is paid once."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(**fate)) as here:
            here.smscs["alpha"]._temper._drops = 1
            here.send(text=LONG, on_unknown="resend")
            await here.until({"delivered": 1}, 8)
            received = here.smscs["alpha"].received
            assert len(received) == submits
            assert {each.submit.short_message for each in received} == {gsm7(LONG)}
            assert len(await here.facts("post")) == SEGMENTS
            assert await here.money() == (MONEY - SEGMENTS * PRICE, 0)

    trio.run(main)


def test_silence_ends_all_of_it_at_once() -> None:
    """No receipt by the deadline: one event, unknown, not one a segment."""

    async def main() -> None:
        settings = settings_of([WHOLE], [route({"alpha": 1})], receipts={"deadline_s": 0.4, "sweep_s": 0.1})
        async with world(settings, scenarios=rules(outcome=Outcome.NO_RECEIPT)) as here:
            here.send(text=LONG)
            await here.until({"unknown": 1})
            assert (await states(here))[0] == ["unknown"] * SEGMENTS
            assert [row["state"] for row in await here.rows("events")].count("unknown") == 1

    trio.run(main)


def test_one_question_for_one_submit() -> None:
    """query_sm once; what it finds is true of every segment."""

    async def main() -> None:
        asking = WHOLE | {"questions": {"query_after_s": 0.1, "rate": 100.0}}
        scenario = {"alpha": rules(outcome=Outcome.NO_RECEIPT, truth="UNDELIV")["alpha"] | {"query": "answer"}}
        settings = settings_of([asking], [route({"alpha": 1})], retry={"attempts_max": 1})
        async with world(settings, scenarios=scenario) as here:
            here.send(text=LONG)
            await here.until({"undelivered": 1})
            assert [each.question.command for each in here.smscs["alpha"].questions] == [Command.QUERY_SM]
            assert (await states(here))[0] == ["undelivered"] * SEGMENTS

    trio.run(main)


def test_beside_a_carrier_with_wide_headers() -> None:
    """Cut and priced once for the narrowest of the route; whichever carries it, that is what it costs."""

    async def main() -> None:
        text = "x" * 153 * 2
        wide = carrier("beta", quirks={"concat": "udh16"})
        settings = settings_of([WHOLE, wide], [route({"alpha": 1, "beta": 1})])
        async with world(settings) as here:
            for number in range(20):
                here.send(NUMBER + number, text=text)
            await here.until({"delivered": 20})
            assert await here.money() == (MONEY - 20 * 3 * PRICE, 0)
            whole, parts = (here.smscs[name].received for name in ("alpha", "beta"))
            assert whole
            assert parts
            assert (len(whole), len(parts)) == (20 - len(parts) // 3, len(parts) // 3 * 3)

    trio.run(main)
