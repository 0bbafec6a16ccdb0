"""The sending half of the native API as a raw ASGI handler: the path that must be cheap (POST messages, batch, preview).

This module refuses to know what admission decides. It reads a body within limits of size, time and memory, turns it
into Sends, and writes the answer. Why not the framework: it triples the cost of a request (45 us raw, 135 us through
Litestar); its document still describes these routes (document.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from dispatcher.core.model import Send
from dispatcher.ingest import batch, bodies, views
from dispatcher.ingest.answers import JSON, Answer, Receive
from dispatcher.ingest.door import Door
from dispatcher.ingest.preview import preview
from dispatcher.ingest.problems import Problem

MESSAGE_BYTES_MAX = 65_536
"""Body of one message; the batch's limit is http.body_bytes_max."""

_REPLAY = (b"idempotent-replay", b"true")
_encode = msgspec.json.Encoder().encode


class Native:
    """The three sending routes. Call `handler(method, path)`; None means: not mine."""

    def __init__(self, door: Door) -> None:
        self._door = door
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
        return Answer(202, _encode(views.replayed(verdict.id, admission.body, before)), (JSON, _REPLAY))

    async def post_batch(self, headers: Mapping[bytes, bytes], receive: Receive) -> Answer:
        """202 BatchAccepted. Raises Problem."""
        door = self._door
        caller = await door.caller(headers, "send")
        door.check_promise()
        http = door.settings.http
        body = await self._body(headers, receive, bodies.JSON_TYPES + bodies.NDJSON_TYPES, http.body_bytes_max)
        with self._door.bodies.holding(len(body)):
            lines = _media_type(headers) in bodies.NDJSON_TYPES
            items = await bodies.batch(body, lines=lines, messages_max=http.batch_messages_max)
            key = headers.get(b"idempotency-key", b"").decode("latin-1")
            digest = hashlib.sha256(body).digest() if key else b""
            answer, again = await batch.accept(door, caller, items, key=key, digest=digest)
        return Answer(202, _encode(answer), (JSON, _REPLAY) if again else (JSON,))

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
        return await self._door.bodies.read(headers, receive, min(bytes_max, self._door.settings.http.body_bytes_max))


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
