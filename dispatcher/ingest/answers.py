"""Plain HTTP under both the native API and the dialects: answers, how they are written, and bodies read within limits.

This module refuses to know paths and what a body means. Bodies under way are counted over all doors of the process, so
that many large ones at once end in 503 and not in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from dispatcher.core.door_settings import Http
from dispatcher.ingest.problems import MEDIA_TYPE, Problem

HELD_BODIES_MAX = 4
"""Bodies under way may hold this many times http.body_bytes_max together; beyond it 503."""
WASTE_BYTES_MAX = 4_194_304
WASTE_S = 1.0
"""Of a body that is too large, so much is read, for so long, before the answer."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
SendEvent = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")


class Answer(NamedTuple):
    """Status, body and further headers of an answer."""

    status: int
    body: bytes
    headers: Headers = (JSON,)


class Disconnected(Exception):
    """The caller left before its body was complete; nobody waits for an answer."""


class Bodies:
    """Reads bodies within limits of size, time and memory; one per process, shared by its doors."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._held_bytes = 0

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive, bytes_max: int) -> bytes:
        """The whole body. Raises Problem body_too_large, body_too_slow, overloaded (each ends the connection), or
        Disconnected."""
        stated = headers.get(b"content-length", b"")
        if stated.isdigit() and int(stated) > bytes_max:
            await self._waste(receive)
            raise Problem("body_too_large", f"at most {bytes_max} bytes", close=True)
        held = 0
        try:
            async with asyncio.timeout(self._http.body_timeout_s):
                chunks: list[bytes] = []
                while True:
                    event = await receive()
                    if event["type"] != "http.request":
                        raise Disconnected
                    chunk = event.get("body", b"")
                    chunks.append(chunk)
                    if not event.get("more_body", False):
                        break
                    held += len(chunk)
                    self._hold(len(chunk))
                    if held > bytes_max:
                        break
        except TimeoutError:
            raise Problem("body_too_slow", f"{self._http.body_timeout_s:g} s", close=True) from None
        finally:
            self._held_bytes -= held
        body = b"".join(chunks) if len(chunks) > 1 else chunks[0]
        if len(body) > bytes_max:
            await self._waste(receive)
            raise Problem("body_too_large", f"at most {bytes_max} bytes", close=True)
        return body

    @staticmethod
    async def _waste(receive: Receive) -> None:
        """Reads on for a moment and throws away: a caller that is still sending when the connection is closed gets a reset,
        not the answer that tells why."""
        wasted = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(WASTE_S):
                while wasted < WASTE_BYTES_MAX:
                    event = await receive()
                    wasted += len(event.get("body", b""))
                    if event["type"] != "http.request" or not event.get("more_body", False):
                        return

    @contextmanager
    def holding(self, byte_count: int) -> Generator[None, None, None]:
        """Counts a body that was read, while it is worked on."""
        self._held_bytes += byte_count
        try:
            yield
        finally:
            self._held_bytes -= byte_count

    def _hold(self, byte_count: int) -> None:
        self._held_bytes += byte_count
        if self._held_bytes > HELD_BODIES_MAX * self._http.body_bytes_max:
            raise Problem("overloaded", "too many large bodies at once", retry_after_s=1, close=True)


def answer_of(problem: Problem) -> Answer:
    """A problem as an answer of the native API."""
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    headers.extend((name.encode(), value.encode()) for name, value in problem.headers())
    return Answer(problem.status, problem.body(), headers)


async def write(answer: Answer, send: SendEvent, *more: tuple[bytes, bytes]) -> None:
    """Writes the whole answer, with `more` headers."""
    headers = [*answer.headers, *more, (b"content-length", str(len(answer.body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
