"""The working processes, engine, http and notices: their parts put together, started, measured, stopped.

This is one of the few modules that wire rooms together; it holds no policy. A role ends when it gets SIGTERM (it drains
first) or when its stdin reaches the end: the supervisor holds the other end of that pipe, so a killed supervisor leaves
no orphans behind that would fight with its successor's processes.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from dispatcher import __version__
from dispatcher.core.counters import Counters
from dispatcher.core.ids import RandomIds
from dispatcher.core.ports import Store, StoreError
from dispatcher.core.settings import Bind, Settings
from dispatcher.ops import clocks, config, logs, metrics, preflight
from dispatcher.ops.asyncio_life import SNAPSHOT_S, measure, stop_event
from dispatcher.ops.connection import store_url
from dispatcher.ops.errors import OpsError
from dispatcher.ops.instance import engine_name
from dispatcher.ops.secret_key import server_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trio

    from dispatcher.core.admission import Book
    from dispatcher.core.retry import Rules

RED_POLL_S = 1.0
GC_THRESHOLDS = (50_000, 20, 20)
"""Records and requests form no cycles, and there are many of them at once: they are looked for rarely."""
HANGING_S = 15.0
"""Beyond engine.drain_s: an engine that has not ended by then waits for something that does not come."""


class Role(msgspec.Struct, frozen=True):
    """What a process is told on its command line. `listen_fd` is the supervisor's listening socket, -1 without one;
    `wish_file` only under test control (ops/clocks.py)."""

    kind: str
    number: int
    config: str
    run_dir: str
    url: str = ""
    listen_fd: int = -1
    supervised: bool = True
    wish_file: str = ""

    @property
    def process(self) -> str:
        """Name in pid files, metrics and logs."""
        return f"{self.kind}-{self.number}"


class Parts(NamedTuple):
    """What both roles need besides a store."""

    settings: Settings
    book: Book
    rules: Rules
    counters: Counters
    ids: RandomIds
    log: Any
    directory: Path


class Promise:
    """Whether P1 is kept now, as preflight last saw it; not before it has looked."""

    kept = False


def build_book(settings: Settings) -> Book:
    """Everything admission asks. Raises TariffError, OSError for price files, OpsError for the server's key."""
    from accounting.tariff import TariffBook
    from dispatcher.core.admission import Book
    from dispatcher.core.hashing import NumberHash
    from dispatcher.core.numbers import NumberBook
    from dispatcher.core.routing import Routes

    return Book(
        settings, TariffBook(config.load_tariffs(settings)), Routes(settings), NumberBook(), NumberHash(server_key(settings))
    )


def build_rules(settings: Settings) -> Rules:
    """Everything the lifecycle asks; accounts are filled in by the process that runs it."""
    from dispatcher.core.retry import Rules

    currencies = {tariff.name: tariff.currency for tariff in settings.tariff}
    costs = {c.name: (currencies[c.cost], c.cost) for c in settings.carrier if c.cost}
    return Rules(settings, costs, {}, random.random)


def judge(settings: Settings, server: Mapping[str, str]) -> Sequence[str]:
    """Why P1 is not kept, in words."""
    objections = preflight.judge(server, settings.server.durability, settings.retention.store_bytes_max)
    return [str(objection) for objection in objections]


def _store_options(settings: Settings) -> dict[str, Any]:
    return {
        "reservations": settings.charges.reservations,
        "timeout_s": settings.server.timeout_s,
        "keys_s": settings.retention.keys_s,
    }


async def connect(bind: Bind) -> trio.abc.Stream:
    """A connection to a bind's address, TLS with verification where it asks for it. Raises OSError, trio.TooSlowError,
    trio.BrokenResourceError (TLS refused); nothing stays open then."""
    import trio

    from smpp.tls import client_context, dial

    context = client_context(bind.tls_ca_file, bind.tls_cert_file, bind.tls_key_file) if bind.tls else None
    with trio.fail_after(bind.connect_timeout_s):
        return await dial(bind.host, bind.port, context, bind.tls_server_name)


def prepare(role: Role) -> Parts:
    """Loads the configuration and builds the parts. Raises OpsError, TariffError."""
    log = logs.configure(role.process)
    settings = config.load(role.config)
    counters = Counters(role.process)
    counters.put("dispatcher_build_info", (__version__, ".".join(map(str, sys.version_info[:3]))), 1)
    directory = Path(role.run_dir) / "metrics"
    directory.mkdir(parents=True, exist_ok=True)
    return Parts(settings, build_book(settings), build_rules(settings), counters, RandomIds(os.urandom), log, directory)


# -- engine ------------------------------------------------------------------------------------------------------------


def engine_main(role: Role) -> int:
    """Runs an engine until it is told to stop; returns the exit code."""
    import trio

    parts = prepare(role)
    gc.freeze()  # collecting as often as the default costs a sixth of the engine
    gc.set_threshold(*GC_THRESHOLDS)
    trio.run(_engine, role, parts)
    return 0


async def _engine(role: Role, parts: Parts) -> None:
    import trio

    from dispatcher.engine import engine
    from dispatcher.store.redis import open_trio_store

    stop = trio.Event()
    settings = parts.settings
    store = await open_trio_store(role.url or store_url(settings), settings.server.prefix, **_store_options(settings))
    promise = Promise()
    async with trio.open_nursery() as nursery:
        await nursery.start(_stop_on_signal, stop)
        if role.supervised:
            nursery.start_soon(_stop_on_eof, stop)
        nursery.start_soon(_measure, parts)
        nursery.start_soon(_cancel_when_hanging, stop, nursery.cancel_scope, settings.engine.drain_s + HANGING_S)
        nursery.start_soon(_preflight, parts, store, promise)
        await engine.run(
            settings,
            store,
            parts.book,
            parts.rules,
            clock=clocks.trio_clock(role.wish_file),
            chance=random.Random(),
            ids=parts.ids,
            connect=connect,
            counters=parts.counters,
            log=parts.log,
            name=engine_name(role.run_dir, role.process),
            stop=stop,
            is_open=lambda: promise.kept,
        )
        nursery.cancel_scope.cancel()
    with trio.move_on_after(1.0):
        await store.close()
    metrics.write(parts.directory, parts.counters.snapshot())


async def _stop_on_signal(stop: trio.Event, task_status: trio.TaskStatus[None]) -> None:
    import trio

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stop.set()


async def _stop_on_eof(stop: trio.Event) -> None:
    import trio

    while True:
        await trio.lowlevel.wait_readable(0)
        if not os.read(0, 64):
            stop.set()
            return


async def _cancel_when_hanging(stop: trio.Event, scope: trio.CancelScope, patience_s: float) -> None:
    """The engine drains by itself; this is for one that hangs (a store that is away, for instance)."""
    import trio

    await stop.wait()
    await trio.sleep(patience_s)
    scope.cancel()


async def _measure(parts: Parts) -> None:
    import trio

    while True:
        wanted = trio.current_time() + SNAPSHOT_S
        await trio.sleep_until(wanted)
        parts.counters.put("dispatcher_loop_lag_seconds", (parts.counters.process,), max(0.0, trio.current_time() - wanted))
        metrics.write(parts.directory, parts.counters.snapshot())


async def _preflight(parts: Parts, store: Store, promise: Promise) -> None:
    """Judges the server at start and again and again; quickly while something is wrong, so that it ends soon."""
    import trio

    server_settings = parts.settings.server
    known: Sequence[str] = ()
    while True:
        try:
            with trio.fail_after(server_settings.timeout_s):
                server = await store.server_settings()
        except (StoreError, trio.TooSlowError):
            reasons: Sequence[str] = ("the store does not answer",)
        else:
            reasons = judge(parts.settings, server)
            used = server.get("used_memory", "")
            if used.isdigit():
                parts.counters.put("dispatcher_store_bytes", (), int(used))
        promise.kept = not reasons
        parts.counters.put("dispatcher_promise_kept", ("P1",), 0 if reasons else 1)
        if reasons != known:
            say = parts.log.warning if reasons else parts.log.info
            say("promise", promise="P1", reasons=list(reasons), state="broken" if reasons else "kept")
        known = reasons
        await trio.sleep(min(RED_POLL_S, server_settings.preflight_s) if reasons else server_settings.preflight_s)


# -- http --------------------------------------------------------------------------------------------------------------


def http_main(role: Role) -> int:
    """Runs an HTTP process until it is told to stop; returns the exit code."""
    import uvloop

    parts = prepare(role)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_http(role, parts))
    return 0


async def _http(role: Role, parts: Parts) -> None:
    import uvicorn

    from dispatcher.core.hashing import NumberHash
    from dispatcher.ingest import app, server
    from dispatcher.store.redis import open_asyncio_store

    stop = stop_event(supervised=role.supervised)
    settings = parts.settings
    store = await open_asyncio_store(role.url or store_url(settings), settings.server.prefix, **_store_options(settings))
    application = app.build(
        settings,
        store,
        parts.book,
        parts.rules,
        parts.counters,
        clocks.wall_clock(role.wish_file),
        parts.ids,
        partial(judge, settings),
        parts.log,
        keyed=NumberHash(server_key(settings)).digest,
        entropy=clocks.entropy(role.wish_file),
    )

    class Quiet(uvicorn.Server):
        """Leaves signals to us: uvicorn raises them again after its end, and our last words would be lost."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    gc.freeze()  # collecting as often as the default holds the loop for 0.2 s in the middle of a batch
    gc.set_threshold(*GC_THRESHOLDS)
    served = Quiet(server.config(application, settings.http))
    sockets = [socket.socket(fileno=role.listen_fd)] if role.listen_fd >= 0 else None
    tasks = [asyncio.create_task(measure(parts.counters, parts.directory)), asyncio.create_task(_end(served, stop))]
    await served.serve(sockets)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.close()
    metrics.write(parts.directory, parts.counters.snapshot())


async def _end(served: Any, stop: asyncio.Event) -> None:
    await stop.wait()
    served.should_exit = True


# -- notices -----------------------------------------------------------------------------------------------------------


def notices_main(role: Role) -> int:
    """Sends webhooks until it is told to stop; returns the exit code."""
    import uvloop

    parts = prepare(role)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_notices(role, parts))
    return 0


async def _notices(role: Role, parts: Parts) -> None:
    from dispatcher.notices.addresses import Names
    from dispatcher.notices.client import Client
    from dispatcher.notices.webhooks import Webhooks
    from dispatcher.store.redis import open_asyncio_store

    stop = stop_event(supervised=role.supervised)
    settings, clock = parts.settings, clocks.wall_clock(role.wish_file)
    store = await open_asyncio_store(role.url or store_url(settings), settings.server.prefix, **_store_options(settings))
    names = Names()
    client = Client(settings.notices, names.resolve, now_ms=clock.now_ms)
    measuring = asyncio.create_task(measure(parts.counters, parts.directory))
    await Webhooks(settings, store, client, clock, parts.counters, parts.log).run(stop)
    measuring.cancel()
    names.close()
    await store.close()
    metrics.write(parts.directory, parts.counters.snapshot())


MAINS = {"engine": engine_main, "http": http_main, "notices": notices_main}


def main(arguments: Sequence[str]) -> int:
    """Entry of a supervised process: one argument, the Role as JSON. What nobody foresaw is logged by class and place,
    never with its words, and the supervisor starts another."""
    role = msgspec.json.decode(arguments[0], type=Role)
    log = logs.configure(role.process)
    try:
        return MAINS[role.kind](role)
    except OpsError as error:
        log.error("not_started", error=type(error).__name__, remedy=error.remedy)
    except Exception as error:
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        log.error("process_failed", error=type(first).__name__, place=logs.place(first))
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
