"""What was claimed in time and waits in its link past its validity is not submitted any more (P2)."""

from __future__ import annotations

import trio

from dispatcher.store.memory import MemoryStore
from tests.dispatcher.engine.world import NUMBER, World, carrier, eventually, route, settings_of, world

SHORT = {"validity_s": 1}


def test_what_waits_for_room_past_its_validity_is_not_sent() -> None:
    """The carrier answers after 2 s, and its window is one: the second, valid for a second, expires in its link; the first
    and the third, which had more time, are delivered, and nothing is paid for the second."""

    async def main() -> None:
        settings = settings_of([carrier(window=1)], [route({"alpha": 1})])
        async with world(settings, scenarios={"alpha": {"answer_ms": (2_000.0, 2_000.0)}}) as here:
            here.send()
            await eventually(lambda: _received(here, 1))
            here.send(NUMBER + 1, **SHORT)
            here.send(NUMBER + 2)
            await here.until({"delivered": 2, "expired": 1}, 8)
            numbers = [r.submit.destination_addr for r in here.smscs["alpha"].received]
            assert numbers == [str(NUMBER), str(NUMBER + 2)]
            assert len(await here.facts("post")) == 2
            assert (await here.money())[1] == 0

    trio.run(main)


async def _received(here: World, count: int) -> bool:
    return len(here.smscs["alpha"].received) == count


def test_a_write_ahead_that_took_longer_than_the_validity() -> None:
    """The store keeps the engine waiting with its write-ahead: nothing is submitted when the reply comes after the validity."""

    async def main() -> None:
        async def hook(when: str, name: str) -> None:
            if (when, name) == ("after", "write_ahead"):
                await trio.sleep(1.2)

        settings = settings_of([carrier()], [route({"alpha": 1})])
        async with world(settings, store=MemoryStore(hook=hook)) as here:
            here.send(**SHORT)
            await here.until({"expired": 1}, 6)
            assert not here.smscs["alpha"].received

    trio.run(main)
