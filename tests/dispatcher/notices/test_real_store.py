"""Webhooks over a real server: a dead receiver with very many events waiting costs neither calls nor memory nor others."""

from __future__ import annotations

import asyncio

from dispatcher.core import notices as rules
from dispatcher.core.customer import Account
from dispatcher.core.notices import STEP_NOTICES_MAX, Notice
from dispatcher.core.ports import Cursor
from dispatcher.notices.client import Client
from dispatcher.notices.webhooks import Webhooks
from dispatcher.store.redis import open_asyncio_store
from tests.conftest import RealServer
from tests.dispatcher.notices.world import DOWN, OPEN, T0, Receiver, World, names_as_they_are, says, until

WAITING = 20_000


def test_a_dead_receiver_with_thousands_waiting_is_not_hammered(server: RealServer) -> None:
    """Few calls, little in memory; who comes last is heard at once; when it works again all of it goes out, once."""

    async def case() -> None:
        store = await open_asyncio_store(server.url)
        await store.put_account(Account(name="acme", currency="EUR"))
        owner = await store.take_lease(rules.LEASE, "fill", 60_000)
        assert owner is not None
        async with Receiver(says(DOWN)) as dead, Receiver() as well:

            def notice(number: int, url: str) -> Notice:
                return Notice(f"evt_{number}", f"m{number}", "acme", url, "", "standard", True, b"{}", T0)

            cursor = Cursor("", 0)
            for start in range(0, WAITING, STEP_NOTICES_MAX):
                some = [notice(n, dead.url) for n in range(start, start + STEP_NOTICES_MAX)]
                after = Cursor("", start + STEP_NOTICES_MAX)
                await store.queue_notices(owner, cursor, after, some, [T0] * len(some))
                cursor = after
            await store.queue_notices(owner, cursor, Cursor("", WAITING + 1), [notice(WAITING, well.url)], [T0])
            await store.drop_lease(owner, "fill")
            world = World(store, OPEN)  # type: ignore[arg-type]
            client = Client(OPEN, names_as_they_are, now_ms=world.clock.now_ms)
            work = Webhooks(world.settings, store, client, world.clock, world.counters, world.log)
            running = asyncio.create_task(work.run(world.stop))
            try:
                await until(lambda: len(well.requests) == 1, 3)
                for _ in range(30):
                    world.clock.ahead_ms += 60_000
                    await asyncio.sleep(0.05)
                assert len(dead.requests) <= 40
                assert work.loaded <= 4
                assert (await store.notice_counts())[0] == WAITING
                dead.requests.clear()
                dead.behave = says(b"HTTP/1.1 204 No Content\r\n\r\n")
                world.clock.ahead_ms += 61_000
                await until(lambda: len(dead.requests) >= WAITING // 4, 30)
                ids = [r.headers["webhook-id"] for r in dead.requests]
                assert len(set(ids)) == len(ids)
                assert dead.connections <= 60
            finally:
                world.stop.set()
                await running
                await store.close()

    asyncio.run(case())
