"""One HTTP/1.1 connection that is kept: a request out, an answer in, within limits.

Refuses to know what is sent. Why an own client and not httpx or aiohttp: the connection must go to the address that was
judged, an answer is read to 64 KiB and no further, and a kept call has to cost well below 100 us; the parser is the one the
server uses (httptools).
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple, cast

import httptools

ANSWER_BYTES_MAX: Final = 65_536
"""Status line, headers and body together."""


class Answer(NamedTuple):
    """What is of interest in an answer. `retry_after`: the header as it came."""

    status: int
    retry_after: str


class Broken(Exception):
    """No complete answer. `unused`: the peer closed a kept connection before it sent anything, so asking anew is right."""

    def __init__(self, why: str, *, unused: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.unused = unused


class Wire(asyncio.Protocol):
    """A connection. One call at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.opened_at = 0.0
        self.used_at = 0.0
        self.calls = 0
        self._waiting: asyncio.Future[Answer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._received = 0
        self._retry_after = ""
        self._headers_done = False
        self._sized = False

    @property
    def usable(self) -> bool:
        """May it be asked?"""
        return self.transport is not None and not self.transport.is_closing() and self._waiting is None

    def close(self) -> None:
        """Drops the connection at once, whatever is under way."""
        if self.transport is not None:
            self.transport.abort()

    async def call(self, request: bytes) -> Answer:
        """Sends the request and waits for its whole answer. Raises Broken; a cancelled call closes the connection."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise Broken("closed", unused=self.calls > 0)
        self._waiting = asyncio.get_running_loop().create_future()  # nowhere else: its error's traceback holds this frame
        self._received, self._retry_after = 0, ""
        try:
            transport.write(request)
            return await self._waiting
        except asyncio.CancelledError:
            transport.abort()
            raise
        finally:
            self._waiting = None
            self.calls += 1

    # -- from the loop
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer. Those nobody asked for end the connection."""
        if self._waiting is None or self._waiting.done():
            self.close()
            return
        self._received += len(data)
        if self._received > ANSWER_BYTES_MAX:
            self._fail(Broken("too_large"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(Broken("no_http"))

    def eof_received(self) -> bool:
        """The peer is done; an answer without a length ends so, and then nothing can follow."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of it."""
        del exc
        if self._waiting is not None and not self._waiting.done():
            status = self._parser.get_status_code() if self._received else 0
            # No length and no chunks: the end of the connection is the end of the answer.
            if status >= 200 and self._headers_done and not self._sized:
                self._waiting.set_result(Answer(status, self._retry_after))
            else:
                self._waiting.set_exception(Broken("closed", unused=self.calls > 0 and not self._received))

    def _fail(self, error: Broken) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
        self.close()

    # -- from the parser
    def on_message_begin(self) -> None:
        """An answer begins."""
        self._headers_done = self._sized = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        lower = name.lower()
        if lower == b"retry-after":
            self._retry_after = value.decode("latin-1")
        elif lower in {b"content-length", b"transfer-encoding"}:
            self._sized = True

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._headers_done = True

    def on_message_complete(self) -> None:
        """The answer is whole; one of 1xx only announces another."""
        status = self._parser.get_status_code()
        if status < 200:
            return
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Answer(status, self._retry_after))
