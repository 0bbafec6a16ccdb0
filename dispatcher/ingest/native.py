"""The sending half of the native API as a raw ASGI handler: the path that must be cheap (POST messages, batch, preview).

This module refuses to know what admission decides. It reads a body within limits of size, time and memory, turns it
into Sends, and writes the answer. Why not the framework: it triples the cost of a request (45 us raw, 135 us through
Litestar); its document still describes these routes (document.py).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import msgspec

from dispatcher.core.model import Send
from dispatcher.ingest import batch, bodies, views
from dispatcher.ingest.door import Door
from dispatcher.ingest.preview import preview
from dispatcher.ingest.problems import MEDIA_TYPE, Problem

MESSAGE_BYTES_MAX = 65_536
"""Body of one message; the batch's limit is http.body_bytes_max."""
HELD_BODIES_MAX = 4
"""Bodies under way may hold this many times http.body_bytes_max together; beyond it 503."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
SendEvent = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_REPLAY = (b"idempotent-replay", b"true")
_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """Status, body and further headers of an answer."""

    status: int
    body: bytes
    headers: Headers = (_JSON,)


class Disconnected(Exception):
    """The caller left before its body was complete; nobody waits for an answer."""


class Native:
    """The three sending routes. Call `handler(method, path)`; None means: not mine."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._held_bytes = 0
        self._routes: dict[str, Callable[[Mapping[bytes, bytes], Receive], Awaitable[Answer]]] = {
            "/v1/messages": self.post_message,
            "/v1/messages/batch": self.post_batch,
            "/v1/messages/preview": self.post_preview,
        }

    def handler(self, method: str, path: str) -> Callable[[Mapping[bytes, bytes], Receive], Awaitable[Answer]] | None:
        """The handler of a sending route."""
        return self._routes.get(path) if method == "POST" else None

    async def post_message(self, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        """202 Accepted. Raises Problem."""
        door = self._door
        caller = await door.caller(headers, "send")
        door.check_promise()
        send = bodies.message(await self._body(headers, receive, bodies.JSON_TYPES, MESSAGE_BYTES_MAX))
        send.key = _one_key(send, headers)
        admission, verdict = await door.accept(send, caller)
        if verdict.verdict != "duplicate":
            return Answer(202, _encode(views.accepted(verdict.id, admission.body)))
        before = (await door.within(door.store.messages([verdict.id])))[0]
        return Answer(202, _encode(views.replayed(verdict.id, admission.body, before)), (_JSON, _REPLAY))

    async def post_batch(self, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        """202 BatchAccepted. Raises Problem."""
        door = self._door
        caller = await door.caller(headers, "send")
        door.check_promise()
        http = door.settings.http
        body = await self._body(headers, receive, bodies.JSON_TYPES + bodies.NDJSON_TYPES, http.body_bytes_max)
        self._held_bytes += len(body)
        try:
            lines = _media_type(headers) in bodies.NDJSON_TYPES
            items = bodies.batch(body, lines=lines, messages_max=http.batch_messages_max)
            digest = hashlib.sha256(body).digest()
            key = headers.get(b"idempotency-key", b"").decode("latin-1")
            answer, again = await batch.accept(door, caller, items, key=key, digest=digest)
        finally:
            self._held_bytes -= len(body)
        return Answer(202, _encode(answer), (_JSON, _REPLAY) if again else (_JSON,))

    async def post_preview(self, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        """200 Preview: what would happen, with nothing written. Raises Problem as a send would."""
        caller = await self._door.caller(headers, "send")
        send = bodies.message(await self._body(headers, receive, bodies.JSON_TYPES, MESSAGE_BYTES_MAX))
        send.key = _one_key(send, headers)
        return Answer(200, _encode(preview(self._door, send, caller)))

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive, types: Sequence[str], bytes_max: int) -> bytes:
        """The whole body. Raises Problem 415, 413, 408, 503, or Disconnected."""
        if _media_type(headers) not in types:
            raise Problem("media_type", "send " + " or ".join(t for t in types if t), close=True)
        bytes_max = min(bytes_max, self._door.settings.http.body_bytes_max)
        stated = headers.get(b"content-length", b"")
        if stated.isdigit() and int(stated) > bytes_max:
            raise Problem("body_too_large", f"at most {bytes_max} bytes", close=True)
        held = 0
        try:
            async with asyncio.timeout(self._door.settings.http.body_timeout_s):
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
            raise Problem("body_too_slow", f"{self._door.settings.http.body_timeout_s:g} s", close=True) from None
        finally:
            self._held_bytes -= held
        body = b"".join(chunks) if len(chunks) > 1 else chunks[0]
        if len(body) > bytes_max:
            raise Problem("body_too_large", f"at most {bytes_max} bytes", close=True)
        return body

    def _hold(self, byte_count: int) -> None:
        self._held_bytes += byte_count
        if self._held_bytes > HELD_BODIES_MAX * self._door.settings.http.body_bytes_max:
            raise Problem("overloaded", "too many large bodies at once", retry_after_s=1, close=True)


def _media_type(headers: Mapping[bytes, bytes]) -> str:
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")


def _one_key(send: Send, headers: Mapping[bytes, bytes]) -> str | None:
    """The key of header or body. Raises Problem when they differ."""
    header = headers.get(b"idempotency-key")
    if header is None:
        return send.key
    key = header.decode("latin-1")
    if send.key is not None and send.key != key:
        raise Problem("idempotency_mismatch", "the header Idempotency-Key and the body's key are given and differ")
    return key


def answer_of(problem: Problem) -> Answer:
    """A problem as an answer."""
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    headers.extend((name.encode(), value.encode()) for name, value in problem.headers())
    return Answer(problem.status, problem.body(), headers)


async def write(answer: Answer, send: SendEvent) -> None:
    """Writes the whole answer."""
    headers = [*answer.headers, (b"content-length", str(len(answer.body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
