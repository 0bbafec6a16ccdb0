"""Webhooks over a real server: a dead receiver with very many events waiting costs neither calls nor memory nor others."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.core import notices as rules
from dispatcher.core.customer import Account
from dispatcher.core.model import EVENT_COLUMNS
from dispatcher.core.notices import STEP_NOTICES_MAX, Notice
from dispatcher.core.ports import CorruptRecord, Cursor
from dispatcher.notices.client import Client
from dispatcher.notices.reader import Accounts, Reader
from dispatcher.notices.webhooks import Webhooks
from dispatcher.store.records import pack
from dispatcher.store.redis import open_asyncio_store
from tests.conftest import RealServer
from tests.dispatcher.notices.world import (
    DOWN,
    OPEN,
    T0,
    Log,
    MovedClock,
    Receiver,
    World,
    event,
    names_as_they_are,
    says,
    until,
)

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


def test_an_entry_that_does_not_decode_is_passed_over(server: RealServer) -> None:
    """Reading it names its id; the reader goes on behind it, also in another life, and it stays where it is."""

    async def case() -> None:
        store = await open_asyncio_store(server.url)
        owner = await store.take_lease(rules.LEASE, "n", 60_000)
        assert owner is not None
        with server.client() as client:
            bad = client.xadd(store.k.stream("events"), {"v": 1, "cols": EVENT_COLUMNS, "rows": b"\xc1secret"}).decode()
            good = client.xadd(
                store.k.stream("events"), {"v": 1, "cols": EVENT_COLUMNS, "rows": pack([event("m", "sent")])}
            ).decode()
        with pytest.raises(CorruptRecord, match=bad) as caught:
            await store.read_stream("events", "", 10)
        assert caught.value.entry == bad
        assert "secret" not in str(caught.value)
        clock, log = MovedClock(), Log()
        first, second = (Reader(store, Accounts(store, clock), clock, log) for _ in range(2))
        assert await first.step(owner, await store.notice_cursor(), {}) == Cursor(bad, 0)
        assert await second.step(owner, await store.notice_cursor(), {}) == Cursor(good, 0)
        assert log.lines == [("corrupt_record", {"place": f"events {bad}"})]
        with server.client() as client:
            assert client.xlen(store.k.stream("events")) == 2
        await store.close()

    asyncio.run(case())
