"""A small world for the HTTP tests: one account, one carrier, a real uvicorn on a free port, a real HTTP client."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import uvicorn

from accounting.tariff import parse_csv
from dispatcher.core.admission import Book
from dispatcher.core.counters import Counters
from dispatcher.core.customer import Account
from dispatcher.core.hashing import NumberHash
from dispatcher.core.ids import RandomIds
from dispatcher.core.numbers import NumberBook
from dispatcher.core.ports import Store
from dispatcher.core.retry import Rules
from dispatcher.core.routing import Routes
from dispatcher.core.settings import Settings
from dispatcher.ingest import server
from dispatcher.ingest.app import App, build
from dispatcher.ingest.keys import issue
from dispatcher.store.memory import MemoryStore

PRICE = 35_000
"""Micro-units a segment."""
NUMBER = "+491711234567"
TEXT = "Your parcel arrives today"
_SETTINGS: dict[str, Any] = {
    "carrier": [{"name": "alpha", "bind": [{"host": "127.0.0.1", "system_id": "a"}]}],
    "route": [{"name": "main", "match": {"prefix": ["49", "44"]}, "group": [{"carriers": [{"name": "alpha"}]}]}],
    "tariff": [{"name": "retail", "currency": "EUR", "prices": {"49": "0.035", "44": "0.035"}}],
}


class Clock:
    """Real time, which a test may push forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_ms(self) -> int:
        return round((time.time() + self.ahead_s) * 1000)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


class Log:
    """Keeps what is logged, so that tests can read every byte of it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append(repr((event, fields)))

    info = error = warning


def settings_of(**http: Any) -> Settings:
    """The settings, with other values in [http]; `server` is a table of its own, `carrier` what else the carrier has."""
    alpha = _SETTINGS["carrier"][0] | http.pop("carrier", {})
    table = {"server": http.pop("server", {"timeout_s": 2.0, "preflight_s": 30.0}), "http": http}
    return msgspec.convert(_SETTINGS | table | {"carrier": [alpha]}, Settings)


class World:
    """What a test holds: the client (with a full key), the store, the app, and keys."""

    def __init__(self, app: App, store: Store, clock: Clock, log: Log, counters: Counters) -> None:
        self.app = app
        self.store = store
        self.clock = clock
        self.log = log
        self.counters = counters
        self.http: httpx.AsyncClient
        self.port = 0

    async def key(self, account: str = "shop", scopes: tuple[str, ...] = ("send", "read"), expires_at: int = 0) -> str:
        """A new key's text."""
        text, record = issue(account, self.clock.now_ms(), scopes, expires_at)
        await self.store.put_key(record)
        return text

    async def account(self, name: str, money: int, **more: Any) -> Account:
        """A new account with micro-units on it."""
        account = Account(name=name, currency="EUR", tariff="retail", sender="Shop", **more)
        await self.store.put_account(account)
        if money:
            await self.store.credit(name, f"first-{name}", money, self.clock.now_ms())
        return account

    async def send(self, *, headers: Mapping[str, str] | None = None, **send: Any) -> httpx.Response:
        """POST /v1/messages of a send with the usual number and text."""
        body = {"to": NUMBER, "text": TEXT} | send
        return await self.http.post("/v1/messages", json=body, headers=dict(headers or {}))

    def count(self, name: str) -> dict[tuple[str, ...], float]:
        """A counter's values."""
        return self.counters.values[name]


def book_of(settings: Settings) -> Book:
    """Tariff and routes of the settings."""
    csv = "prefix,price\n" + "".join(f"{k},{v}\n" for k, v in settings.tariff[0].prices.items())
    tariffs = [parse_csv(csv, name="retail", currency="EUR", source="test")]
    return Book(settings, tariffs, Routes(settings), NumberBook(), NumberHash(b"k" * 32))


@asynccontextmanager
async def world(
    store: Store | None = None,
    *,
    judge: Callable[[Mapping[str, str]], Sequence[str]] = lambda _: [],
    money: int = 1_000_000_000,
    waiting_max: int = 2000,
    **http: Any,
) -> AsyncIterator[World]:
    """The application behind a real server, with account "shop" and a client that holds its key."""
    store = store if store is not None else MemoryStore()
    settings, clock, log, counters = settings_of(**http), Clock(), Log(), Counters("http-test")
    rules = Rules(settings, {}, {}, lambda: 0.5)
    ids = RandomIds(os.urandom)
    keyed = NumberHash(b"k" * 32).digest
    app = build(
        settings, store, book_of(settings), rules, counters, clock, ids, judge, log, waiting_max=waiting_max, keyed=keyed
    )
    made = World(app, store, clock, log, counters)
    await made.account("shop", money)
    listener = socket.create_server(("127.0.0.1", 0))
    made.port = listener.getsockname()[1]
    running = uvicorn.Server(server.config(app, settings.http))
    serving = asyncio.create_task(running.serve(sockets=[listener]))
    while not running.started:
        await asyncio.sleep(0.005)
        assert not serving.done()
    headers = {"authorization": f"Bearer {await made.key()}"}
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{made.port}", headers=headers, timeout=20) as made.http:
            yield made
    finally:
        running.should_exit = True
        await serving
        listener.close()


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and the last word of the type; checks that the answer is a whole problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["title"]
    return answer.status_code, document["type"].removeprefix("urn:dispatcher:problem:")
