"""Fraud guards at the stream door: each refusal is a reject with its reason, counted, and the rest of the chunk goes on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
import trio

from dispatcher.engine.intake import PAUSES_TTL_S
from tests.dispatcher.engine.world import PRICE, World, carrier, eventually, route, settings_of, world

CODES = {"class": "otp"}


def guarded(**settings: Any) -> Any:
    """A world whose account has these settings, its engine not yet started."""

    async def change(here: World) -> None:
        account = await here.store.account("shop")
        await here.store.put_account(msgspec.structs.replace(account, **settings))
        await here.start()

    return change


def play(change: Any, scenario: Any) -> None:
    """Runs the scenario after the change."""

    async def main() -> None:
        async with world(settings_of([carrier(window=200)], [route({"alpha": 1})]), start=False) as here:
            await change(here)
            await scenario(here)

    trio.run(main)


async def decided(here: World, count: int) -> tuple[int, Counter[str], list[int]]:
    """How many were accepted, the reasons of the others and their places, once so many are decided."""

    async def done() -> bool:
        return len(await here.states()) + len(await here.rows("rejects")) == count

    await eventually(done)
    rows = await here.rows("rejects")
    return len(await here.states()), Counter(row["reason"] for row in rows), [row["index"] for row in rows]


@pytest.mark.parametrize(
    ("settings", "fields", "passed", "reason"),
    [
        ({}, CODES, 30, "velocity"),
        ({"velocity": ((60, 7),)}, {}, 7, "velocity"),
        ({"velocity_country": ((60, 8),)}, {}, 8, "velocity"),
        ({"velocity_account": ((60, 9),)}, {"class": "bulk"}, 9, "velocity"),
        ({"spend_cap": 5 * PRICE}, {}, 5, "spend_cap"),
        ({"countries": ("MR",)}, {}, 0, "destination_not_allowed"),
        ({"senders": ("Other",)}, {}, 0, "sender_not_allowed"),
    ],
)
def test_a_chunk_is_admitted_up_to_the_limit(settings: dict[str, Any], fields: Any, passed: int, reason: str) -> None:
    """Fifty to one range: so many leave, the others are rejects in their order, nothing is charged for them."""

    async def scenario(here: World) -> None:
        here.send_many(50, **fields)
        accepted, reasons, places = await decided(here, 50)
        assert (accepted, reasons) == (passed, {reason: 50 - passed})
        assert places == list(range(passed, 50))
        lane = fields.get("class", "transactional")
        assert here.counters.values["dispatcher_sends_total"][lane, reason] == 50 - passed
        if passed:
            await here.until({"delivered": passed})
            assert len(await here.facts("post")) == passed

    play(guarded(**settings), scenario)


def test_a_limit_tells_when() -> None:
    """The reject says in how many seconds."""

    async def scenario(here: World) -> None:
        here.send_many(2, **CODES)
        await decided(here, 2)
        row = (await here.rows("rejects"))[0]
        assert row["detail"].startswith("limited; again in ")
        assert 0 < int(row["detail"].split()[-2]) <= 60

    play(guarded(velocity=((60, 1),)), scenario)


def test_paused_codes_are_rejected_within_a_second() -> None:
    """Paused while the engine runs; resumed, they go again. Other classes never stop."""

    async def scenario(here: World) -> None:
        here.send(**CODES)
        assert (await decided(here, 1))[0] == 1
        await here.store.pause_conversion("shop:DE", here.clock.now_ms() + 60_000)
        await trio.sleep(PAUSES_TTL_S)
        here.send(**CODES)
        here.send()
        assert await decided(here, 3) == (2, Counter({"conversion_paused": 1}), [0])
        await here.store.pause_conversion("shop:DE", 0)
        await trio.sleep(PAUSES_TTL_S)
        here.send(**CODES)
        assert (await decided(here, 4))[0] == 3

    play(guarded(), scenario)
