"""A small world for engine tests: real sockets, the real simulator, the in-memory store, short timings."""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from accounting.tariff import parse_csv
from dispatcher.core.admission import Book
from dispatcher.core.counters import Counters
from dispatcher.core.customer import Account
from dispatcher.core.hashing import NumberHash
from dispatcher.core.ids import RandomIds
from dispatcher.core.model import Message
from dispatcher.core.retry import Rules
from dispatcher.core.settings import Bind, Settings
from dispatcher.engine import engine
from dispatcher.store.memory import MemoryStore
from smpp.simulator import scenario as sim
from smpp.simulator.smsc import Simulator, serve

PRICE = 35_000
MONEY = 1_000_000_000
NUMBER = 491711000000
FAST: dict[str, Any] = {
    "engine": {"poll_ms": 2.0, "flush_ms": 2.0, "lease_s": 1.0, "drain_s": 2.0},
    "retry": {"temporary_s": 0.05, "temporary_max_s": 0.1, "absent_s": [0.05], "otp_s": [0.05]},
    "receipts": {"grace_s": 0.1, "sweep_s": 0.2},
    "tariff": [{"name": "retail", "currency": "EUR", "prices": {"": "0.035"}}],
}


class Clock:
    """Real time."""

    def now_ms(self) -> int:
        return round(time.time() * 1000)

    def monotonic(self) -> float:
        return trio.current_time()


class Log:
    """Keeps what is logged, so that tests can look for events and for what must not be there."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    info = error = exception = warning

    def names(self) -> list[str]:
        return [name for name, _ in self.lines]


def carrier(name: str = "alpha", *, window: int = 50, sessions: int = 1, **more: Any) -> dict[str, Any]:
    """A carrier with one bind; the host names the simulator that `World.connect` leads to."""
    bind = {
        "host": name,
        "name": "main",
        "system_id": "demo",
        "password": "demo",
        "password_plain": True,
        "window": window,
        "sessions": sessions,
        "reconnect_s": 0.02,
        "reconnect_max_s": 0.3,
    } | more.pop("bind", {})
    return {"name": name, "bind": [bind], "throttle_pause_s": 0.05} | more


def route(*groups: Mapping[str, int], name: str = "main", **match: Any) -> dict[str, Any]:
    """A route: groups in order, each carrier -> weight."""
    return {
        "name": name,
        "match": match,
        "group": [{"carriers": [{"name": n, "weight": w} for n, w in group.items()]} for group in groups],
    }


def settings_of(carriers: list[dict[str, Any]], routes: list[dict[str, Any]], **tables: Any) -> Settings:
    """Settings with short timings; `tables` are merged over them."""
    table = {name: tables[name] if isinstance(tables.get(name), list) else FAST.get(name) for name in {*FAST, *tables}}
    table |= {name: FAST.get(name, {}) | more for name, more in tables.items() if isinstance(more, dict)}
    return msgspec.convert(table | {"carrier": carriers, "route": routes}, Settings)


class World:
    """What a test holds. `smscs` are simulators by carrier name; `unreachable` carriers refuse connections."""

    def __init__(self, settings: Settings, store: Any, nursery: trio.Nursery) -> None:
        self.settings = settings
        self.store = store
        self.nursery = nursery
        self.clock = Clock()
        self.log = Log()
        self.smscs: dict[str, Simulator] = {}
        self.ids = RandomIds(os.urandom)
        self.counters = Counters("test")
        self.engines: dict[str, tuple[engine.Engine, trio.Event, trio.CancelScope]] = {}
        self.errors: list[BaseException] = []
        self.running = 0

    async def connect(self, bind: Bind) -> trio.abc.Stream:
        return await trio.open_tcp_stream("127.0.0.1", self.smscs[bind.host].port)

    async def start(self, name: str = "e1", **more: Any) -> engine.Engine:
        """Starts an engine of that name."""
        stop, scope = trio.Event(), trio.CancelScope()
        settings = self.settings

        async def life(task_status: trio.TaskStatus[engine.Engine]) -> None:
            csv = "prefix,price\n" + "".join(f"{k},{v}\n" for k, v in settings.tariff[0].prices.items())
            tariffs = [parse_csv(csv, name="retail", currency="EUR", source="test")]
            rules = Rules(settings, {}, {}, random.Random(1).random)
            self.running += 1
            with scope:
                try:
                    await engine.run(
                        settings,
                        self.store,
                        Book(settings, tariffs, None, None, NumberHash(b"k" * 32)),
                        rules,
                        clock=self.clock,
                        chance=random.Random(1),
                        ids=self.ids,
                        connect=self.connect,
                        counters=self.counters,
                        log=self.log,
                        name=name,
                        stop=stop,
                        task_status=task_status,
                        **more,
                    )
                except Exception as error:
                    self.errors.append(error)
            self.running -= 1

        built: engine.Engine = await self.nursery.start(life)
        self.engines[name] = (built, stop, scope)
        return built

    def send(self, to: int | str = NUMBER, text: str = "Your parcel arrives today", **fields: Any) -> str:
        """One send, as a producer's XADD."""
        send = {"account": "shop", "from": "Shop", "to": str(to), "text": text} | fields
        return str(self.store.add_send("json", msgspec.json.encode(send)))

    def send_many(self, count: int, first: int = NUMBER, **fields: Any) -> None:
        """`count` sends to consecutive numbers, in chunks of 1,000."""
        sends = [
            {"account": "shop", "from": "Shop", "text": "Hello there", "to": str(first + i)} | fields for i in range(count)
        ]
        for start in range(0, count, 1000):
            self.store.add_send("json", msgspec.json.encode({"sends": sends[start : start + 1000]}))

    async def rows(self, stream: str) -> list[dict[str, Any]]:
        """All rows of an out stream."""
        return [row for _, row in await self.store.read_stream(stream, "", 1_000_000)]

    async def states(self) -> dict[str, str]:
        """The last state told of each message, by its id."""
        return {row["id"]: row["state"] for row in await self.rows("events")}

    async def counts(self) -> dict[str, int]:
        """Messages by the last state told."""
        found: dict[str, int] = {}
        for state in (await self.states()).values():
            found[state] = found.get(state, 0) + 1
        return found

    async def until(self, wanted: Mapping[str, int], seconds: float = 5.0) -> None:
        """Waits until the messages' last states are these."""

        async def as_wanted() -> bool:
            return await self.counts() == wanted

        await eventually(as_wanted, seconds, self.counts)

    async def ended(self) -> bool:
        """Has every engine ended?"""
        return self.running == 0

    async def money(self, account: str = "shop") -> tuple[int, int]:
        """(available, reserved)."""
        balance = await self.store.balance(account)
        return balance.available, balance.reserved

    async def facts(self, kind: str) -> list[dict[str, Any]]:
        """Money facts of a kind."""
        return [row for row in await self.rows("charges") if row["kind"] == kind]

    async def messages(self) -> list[Message]:
        """All messages that events tell of."""
        return [m for m in await self.store.messages(list(await self.states())) if m is not None]


async def eventually(check: Callable[[], Any], seconds: float = 5.0, show: Callable[[], Any] | None = None) -> None:
    """Waits until `await check()` is true; fails with what `await show()` says."""
    until = trio.current_time() + seconds
    while trio.current_time() < until:
        if await check():
            return
        await trio.sleep(0.01)
    raise AssertionError(f"not within {seconds} s; now: {await show() if show is not None else 'false'}")


@asynccontextmanager
async def world(
    settings: Settings, *, scenarios: Mapping[str, dict[str, Any]] | None = None, store: Any = None, start: bool = True
) -> AsyncIterator[World]:
    """A store with the account `shop` and money on it, a simulator for each carrier, one engine."""
    async with trio.open_nursery() as nursery:
        store = store or MemoryStore()
        here = World(settings, store, nursery)
        await store.put_account(Account(name="shop", currency="EUR", tariff="retail"))
        await store.credit("shop", "first", MONEY, here.clock.now_ms())
        for each in settings.carrier:
            values = {"accounts": (sim.Account("demo", "demo"),), "listen": "127.0.0.1:0"} | dict(
                (scenarios or {}).get(each.name, {})
            )
            here.smscs[each.name] = await nursery.start(lambda v=values, **kw: serve(sim.Scenario(**v), record=True, **kw))
        if start:
            await here.start()
        yield here
        for _, stop, _ in here.engines.values():
            stop.set()
        await eventually(here.ended, 4)
        await here.store.close()
        nursery.cancel_scope.cancel()
    for error in here.errors:
        raise error
