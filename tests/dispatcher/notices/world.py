"""What the tests of webhooks are built from: receivers on real sockets, a clock that can be moved, events with tickets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import msgspec

from dispatcher.core.counters import Counters
from dispatcher.core.customer import Account
from dispatcher.core.door_settings import Notices
from dispatcher.core.front import Callback, Ticket
from dispatcher.core.ids import encode
from dispatcher.core.model import EventRow
from dispatcher.core.settings import Engine, Settings
from dispatcher.notices.client import Client
from dispatcher.notices.webhooks import Webhooks
from dispatcher.store.memory import MemoryStore

T0 = 1_790_000_000_000
OPEN = Notices(allow_insecure=True, allow_networks=("127.0.0.0/8",), timeout_s=1.0, connect_timeout_s=0.5)
ANSWER = b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\nok"
OK = ANSWER % b"200 OK"
DOWN = ANSWER % b"500 Internal Server Error"


class Request:
    """One request as a receiver got it."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes, connection: int) -> None:
        self.path = path
        self.headers = headers
        self.body = body
        self.connection = connection

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


Behave = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def says(answer: bytes) -> Behave:
    """A receiver that always answers so."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return behave


class Receiver:
    """A customer's receiver on a loopback port. `behave` may be changed while it runs."""

    def __init__(self, behave: Behave | None = None, **tls: Any) -> None:
        self.behave = behave or says(OK)
        self.requests: list[Request] = []
        self.connections = 0
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=hidden"

    async def __aenter__(self) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, **self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()

    def drop(self) -> None:
        """Closes all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Request(head[0].split(" ")[1], headers, body, number)
                self.requests.append(request)
                await self.behave(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class MovedClock:
    """A clock that a test moves; it also goes on by itself."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        self._started = time.monotonic()

    def now_ms(self) -> int:
        return T0 + self.ahead_ms + int((time.monotonic() - self._started) * 1000)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_ms / 1000


class Log:
    """Collects lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    warning = error = info


async def names_as_they_are(_: str, host: str, __: int) -> Sequence[str]:
    """A resolver that knows addresses only."""
    return [host]


class World:
    """A store with events and tickets, and the webhook process that reads them."""

    def __init__(self, store: MemoryStore, notices: Notices, resolve: Any = names_as_they_are) -> None:
        self.store = store
        self.clock = MovedClock()
        self.counters = Counters("notices-0")
        self.log = Log()
        self.settings = Settings(notices=notices, engine=Engine(lease_s=2.0))
        self.resolve = resolve
        self.stop = asyncio.Event()
        self._serial = 0

    def start(self) -> asyncio.Task[None]:
        """Begins a life of the process."""
        client = Client(self.settings.notices, self.resolve, now_ms=self.clock.now_ms)
        work = Webhooks(self.settings, self.store, client, self.clock, self.counters, self.log)
        return asyncio.create_task(work.run(self.stop))

    def new_id(self) -> str:
        self._serial += 1
        return encode(self.clock.now_ms(), self._serial << 20)

    async def message(self, url: str, *, account: str = "acme", door: str = "native", **callback: Any) -> str:
        """An accepted message with a callback; its id."""
        message_id = self.new_id()
        alias = f"sms-{self._serial:024x}" if callback.get("form") == "otpiq" else ""
        ticket = Ticket(door=door, account=account, alias=alias, callback=Callback(url=url, **callback))
        await self.store.put_ticket(message_id, ticket)
        return message_id

    def happens(self, message_id: str, *states: str, account: str = "acme", **fields: Any) -> None:
        """Rows of events, in one entry."""
        rows = [event(message_id, state, account, self.clock.now_ms(), **fields) for state in states]
        self.store.write_rows("events", rows)

    def told(self, result: str) -> float:
        """Of the metric of calls."""
        return self.counters.values["dispatcher_webhooks_total"].get((result,), 0)


def event(message_id: str, state: str, account: str = "acme", at: int = T0, **fields: Any) -> EventRow:
    """A row as the engine writes it."""
    row = EventRow(message_id, "", "r1", account, "0123456789abcdef", "otp", state, 1, "mattel", None, 1, False, None, at)
    return msgspec.structs.replace(row, **fields)


@contextlib.asynccontextmanager
async def world(notices: Notices = OPEN, resolve: Any = names_as_they_are, **account: Any) -> AsyncIterator[World]:
    """A world with one account whose process runs; it is stopped in the end."""
    store = MemoryStore()
    await store.put_account(Account(name="acme", currency="EUR", **account))
    made = World(store, notices, resolve)
    running = made.start()
    try:
        yield made
    finally:
        made.stop.set()
        await asyncio.wait_for(running, 10)


async def until(what: Callable[[], Any], seconds: float = 5.0) -> None:
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.01)
