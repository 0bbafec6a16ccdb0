"""The engine from the stream to the charge, against a real simulator over real sockets."""

from __future__ import annotations

import trio

from dispatcher.core.model import Message
from dispatcher.engine.works import Flight
from smpp.link import Link
from smpp.session import Session
from tests.cycles import none_of_ours
from tests.dispatcher.engine.world import MONEY, PRICE, World, carrier, eventually, route, settings_of, world


def test_a_send_is_delivered_and_charged_once() -> None:
    """Stream in, submitted, receipt, delivered, one post per segment, nothing left reserved, in flight or correlated."""

    async def main() -> None:
        async with world(settings_of([carrier()], [route({"alpha": 1})])) as here:
            here.send_many(300)
            await here.until({"delivered": 300})
            assert await here.money() == (MONEY - 300 * PRICE, 0)
            posts = await here.facts("post")
            assert len(posts) == len({p["fact"] for p in posts}) == 300
            assert here.smscs["alpha"].stats.accepted == 300
            assert here.store.inflight == {}
            await eventually(lambda: _uncorrelated(here), 1.0)  # the last batch's go when nothing follows

    trio.run(main)


def test_a_link_that_dies_holds_no_message() -> None:
    """I15: what was in flight on it is told, settled and let go, it and its session too, although all knew each other."""

    async def main() -> None:
        slow = {"alpha": {"answer_ms": (20.0, 40.0)}}
        async with world(settings_of([carrier()], [route({"alpha": 1})]), scenarios=slow) as here:
            with none_of_ours(Message, Flight, Link, Session):
                here.send_many(200, on_unknown="resend")
                for taken in (20, 100):
                    await eventually(lambda taken=taken: _taken(here, taken))
                    assert await here.smscs["alpha"].drop() == 1
                await here.until({"delivered": 200})
            assert "submits_unknown" in here.log.names()

    trio.run(main)


async def _taken(here: World, count: int) -> bool:
    return len(here.smscs["alpha"].received) >= count


async def _uncorrelated(here: World) -> bool:
    return not any(here.store.corr.values())


def test_what_is_done_with_goes_at_once() -> None:
    """I15: records form no cycles, so a message's memory is free when it is delivered or refused, and not at a collection."""

    async def main() -> None:
        async with world(settings_of([carrier()], [route({"alpha": 1})])) as here:
            with none_of_ours():
                here.send_many(2000)
                here.send(text="x" * 400)
                here.send(account="nobody")
                here.store.add_send("json", b'{"sends":[{"to":"?"}, 7]}')
                await here.until({"delivered": 2001})
                await eventually(lambda: _uncorrelated(here), 1.0)

    trio.run(main)
