"""The same engine on a real server: end to end, a takeover, and a server that is killed and comes back."""

from __future__ import annotations

import trio

from dispatcher.store.redis import RedisStore, open_trio_store
from tests.conftest import RealServer
from tests.cycles import none_of_ours
from tests.dispatcher.engine.world import MONEY, NUMBER, PRICE, World, carrier, eventually, route, settings_of, world

ONE = settings_of([carrier()], [route({"alpha": 1})])
SLOW = {"alpha": {"answer_ms": (20.0, 40.0), "receipt_ms": (5.0, 20.0)}}


class Produced:
    """A RedisStore with the producer's XADD, so that a World can be its own producer."""

    def __init__(self, store: RedisStore, server: RealServer) -> None:
        self._store = store
        self._client = server.client()

    def add_send(self, kind: str, payload: bytes) -> str:
        """What a producer does."""
        entry = self._client.xadd("sms:sends", {kind: payload})
        return str(entry)

    async def close(self) -> None:
        """Closes both."""
        self._client.close()
        await self._store.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


async def _produced(server: RealServer) -> Produced:
    return Produced(await open_trio_store(server.url), server)


async def _quiet(here: World) -> bool:
    views = await here.store.engines()
    return not any(v.in_flight for v in views)


async def _taken(here: World, count: int) -> bool:
    return len(here.smscs["alpha"].received) >= count


def test_end_to_end_on_a_real_server(server: RealServer) -> None:
    """Stream in, delivered, charged once; nothing in flight, nothing reserved, nothing left to a collection of cycles (I15)."""

    async def main() -> None:
        async with world(ONE, store=await _produced(server)) as here:
            with none_of_ours():
                here.send_many(1000)
                here.send(NUMBER, text="y" * 300)
                await here.until({"delivered": 1001}, 10)
            assert await here.money() == (MONEY - 1002 * PRICE, 0)
            assert len(here.smscs["alpha"].received) == 1002
            await eventually(lambda: _quiet(here))

    trio.run(main)


def test_a_takeover_on_a_real_server(server: RealServer) -> None:
    """The first engine is cancelled without cleanup; when its lease has run out the second one ends its work."""

    async def main() -> None:
        async with world(ONE, scenarios=SLOW, store=await _produced(server)) as here:
            here.send_many(300, on_unknown="resend")
            await eventually(lambda: _taken(here, 60))
            here.engines["e1"][2].cancel()
            first, here.store = here.store, await _produced(server)  # another process has connections of its own
            await first.close()
            await here.start("e2")
            await here.until({"delivered": 300}, 10)
            posts = await here.facts("post")
            assert len(posts) == len({p["id"] for p in posts}) == 300
            assert await here.money() == (MONEY - 300 * PRICE, 0)
            await eventually(lambda: _quiet(here))

    trio.run(main)


def test_keys_that_an_intake_left_pending_are_admitted(server: RealServer) -> None:
    """It died between taking the money and the rest of its write: its heir reads the entry again, and admits it."""

    async def main() -> None:
        store = await _produced(server)
        async with world(ONE, store=store) as here:
            here.send_many(1)
            await here.until({"delivered": 1}, 10)
            here.engines["e1"][2].cancel()
            line, process = store._store.line("intake"), f"{store._store.process}-intake"
            async with line.lock:
                opened = await store._store._arm_open(line, process, None)
                names = (process, "txn", opened)
                reserve = store._store._reserve({"shop": PRICE}, [b"shop:k"], here.clock.now_ms(), names, set())
                assert (await line.exchange(reserve, 1))[0][0] == 1
            here.send(NUMBER, key="k")
            first, here.store = here.store, await _produced(server)
            await first.close()
            await here.start("e2")
            await here.until({"delivered": 2}, 10)
            assert await here.money() == (MONEY - 2 * PRICE, 0)

    trio.run(main)


def test_a_server_that_is_killed_and_comes_back(durable_server: RealServer) -> None:
    """SIGKILL of a server that fsyncs, under load: the engine pauses, goes on, and every send ends charged once."""

    async def main() -> None:
        async with world(ONE, scenarios=SLOW, store=await _produced(durable_server)) as here:
            here.send_many(500)
            await eventually(lambda: _taken(here, 100))
            durable_server.kill()
            await trio.sleep(0.3)
            await trio.to_thread.run_sync(durable_server.start)
            await here.until({"delivered": 500}, 15)
            numbers = [r.submit.destination_addr for r in here.smscs["alpha"].received]
            assert len(numbers) == len(set(numbers)) == 500
            assert len(await here.facts("post")) == 500
            assert await here.money() == (MONEY - 500 * PRICE, 0)

    trio.run(main)
