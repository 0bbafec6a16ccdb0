"""The HTTP process' ASGI application: the raw sending routes in front, Litestar behind, one door shared by both.

This module refuses to know policies; it wires, measures, and turns whatever is raised into problem+json. Nothing here
logs a header, a body or an exception's words: only its class and place.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from litestar import Litestar, Response
from litestar.datastructures import State as AppState
from litestar.exceptions import HTTPException

from dispatcher.core.admission import Book
from dispatcher.core.counters import Counters
from dispatcher.core.model import Refusal
from dispatcher.core.ports import Clock, Ids, Store, StoreUnavailable
from dispatcher.core.retry import Rules
from dispatcher.core.settings import Settings
from dispatcher.ingest import conversions, document, reads
from dispatcher.ingest.answers import Disconnected, Receive, Scope, SendEvent, answer_of, write
from dispatcher.ingest.dialects import mounted
from dispatcher.ingest.dialects.desk import Desk
from dispatcher.ingest.door import Door, Log
from dispatcher.ingest.native import Native
from dispatcher.ingest.problems import MEDIA_TYPE, FieldError, Problem, invalid

DOOR = "native"
WAITING_MAX = 2000
"""Sends that wait for the store at once, in one process: four batches."""
RED_POLL_S = 1.0
"""How soon it is looked again when the promise is not kept."""
USES_S = 30.0
"""How often it is written down when keys were used last."""
USES_POLL_S = 0.25

Judge = Callable[[Mapping[str, str]], Sequence[str]]


def build(
    settings: Settings,
    store: Store,
    book: Book,
    rules: Rules,
    counters: Counters,
    clock: Clock,
    ids: Ids,
    judge: Judge,
    log: Log,
    *,
    waiting_max: int = WAITING_MAX,
    keyed: Callable[[str], bytes],
    entropy: Callable[[int], bytes] = os.urandom,
) -> App:
    """The application; serve it with lifespan on (server.config). `judge` says from the server's settings why P1 is not
    kept (nothing: it is); until its first word and whenever it objects, sends get 503. `rules` must be the process'
    own: the accounts of cancelled messages are put into it. `keyed`: 32 bytes of HMAC under the server's key;
    `entropy`: random bytes for what must not be guessed."""
    door = Door(
        settings,
        store,
        book,
        counters=counters,
        clock=clock,
        ids=ids,
        log=log,
        waiting_max=waiting_max,
        keyed=keyed,
        entropy=entropy,
    )

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None, None]:
        await look(door, judge)
        steps = (door.committer.run(), _keep_looking(door, judge), _keep_noting(door), conversions.keep_watching(door))
        tasks = [asyncio.create_task(step) for step in steps]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            await door.note_uses()

    handlers: dict[type[Exception] | int, Callable[..., Response[bytes]]] = {
        Problem: lambda _, error: _respond(error),
        HTTPException: lambda _, error: _respond(_foreign(error)),
        Exception: lambda _, error: _respond(door.unforeseen(error)),
    }
    litestar = Litestar(
        [*reads.ROUTES, *document.routes(reads.ROUTES, mounted.documents(settings.http))],
        lifespan=[lifespan],
        exception_handlers=handlers,
        openapi_config=None,
        state=AppState({"door": door, "rules": rules}),
        logging_config=None,
    )
    return App(door, litestar)


class App:
    """ASGI 3. `door` is open to tests and to further APIs (dialects)."""

    def __init__(self, door: Door, litestar: Litestar) -> None:
        self.door = door
        self.litestar = litestar
        self._native = Native(door)
        self._dialects = mounted.frame(Desk(door))
        self._stem = os.urandom(4).hex().encode()
        self._count = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> None:
        """Serves one request, or the lifespan."""
        if scope["type"] != "http":
            await self.litestar(scope, receive, send)  # type: ignore[arg-type]  # Litestar's own scope types
            return
        started = self.door.clock.monotonic()
        handler = self._native.handler(scope["method"], scope["path"])
        name = DOOR
        if handler is None and self._dialects.takes(scope["path"]):
            try:
                name, answer = await self._dialects.serve(scope, receive)
            except Disconnected:
                return
            status = answer.status
            await write(answer, send)
        elif handler is None:
            status = await self._framework(scope, receive, send)
        else:
            try:
                answer = await handler(dict(scope["headers"]), receive)
            except Disconnected:
                return
            except Problem as problem:
                answer = answer_of(problem)
            except Exception as error:  # the last line of defence: 500, naming class and place
                answer = answer_of(self.door.unforeseen(error))
            status = answer.status
            await write(answer, send, self._request_id())
        counters = self.door.counters
        counters.add("dispatcher_http_requests_total", (name, str(status)))
        counters.observe("dispatcher_http_seconds", (name,), self.door.clock.monotonic() - started)

    def _request_id(self) -> tuple[bytes, bytes]:
        """By which a caller can name an answer: this process, and the how-manyth. Counted, not drawn, as that costs nothing."""
        return (b"x-request-id", b"%b%08x" % (self._stem, next(self._count) & 0xFFFFFFFF))

    async def _framework(self, scope: Scope, receive: Receive, send: SendEvent) -> int:
        status = 500

        async def watch(event: Scope) -> None:
            nonlocal status
            if event["type"] == "http.response.start":
                status = event["status"]
                event["headers"] = [*event.get("headers", ()), self._request_id()]
            await send(event)

        await self.litestar(scope, receive, watch)  # type: ignore[arg-type]  # Litestar's own scope types
        return status


async def look(door: Door, judge: Judge) -> None:
    """Asks the server for its settings and judges whether they keep P1."""
    try:
        async with asyncio.timeout(door.settings.server.timeout_s):
            reasons = tuple(judge(await door.store.server_settings()))
    except (StoreUnavailable, TimeoutError):
        reasons = ("the store does not answer",)
    except Exception as error:  # what cannot be judged is not kept
        reasons = (f"the server's settings could not be judged ({type(error).__name__})",)
    if reasons != door.reasons:
        if reasons:
            door.log.error("promise_not_kept", promise="P1", reasons=list(reasons))
        else:
            door.log.info("promise_kept", promise="P1", durability=door.settings.server.durability)
    door.reasons = reasons
    door.counters.put("dispatcher_promise_kept", ("P1",), 0 if reasons else 1)


async def _keep_looking(door: Door, judge: Judge) -> None:
    preflight_s = door.settings.server.preflight_s
    while True:
        await asyncio.sleep(min(RED_POLL_S, preflight_s) if door.reasons else preflight_s)
        await look(door, judge)


async def _keep_noting(door: Door) -> None:
    due = door.clock.monotonic() + USES_S
    while True:
        await asyncio.sleep(USES_POLL_S)
        if door.clock.monotonic() >= due:
            due = door.clock.monotonic() + USES_S
            await door.note_uses()


def _respond(problem: Problem) -> Response[bytes]:
    return Response(problem.body(), status_code=problem.status, media_type=MEDIA_TYPE, headers=dict(problem.headers()))


def _foreign(error: HTTPException) -> Problem:
    """The framework's own errors in our form."""
    if error.status_code == 405:
        return Problem("method_not_allowed")
    if error.status_code == 404:
        return Problem("not_found", "no such path")
    if error.status_code < 500:
        extra = error.extra if isinstance(error.extra, list) else []
        names = [str(item.get("key", "")) for item in extra if isinstance(item, dict)]
        return invalid([FieldError(name, Refusal.MALFORMED, "is missing or not allowed") for name in names or ["?"]])
    return Problem("internal")
