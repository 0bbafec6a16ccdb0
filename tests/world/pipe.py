"""A connection between an engine and a carrier: bytes take time, come in pieces, meet a full buffer, and may stop anywhere.

It refuses to know what the bytes mean, but for where PDUs end, so that it can say which of them have left and which have
been read; a `Watcher` hears of it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import trio

from tests.world import pdu
from tests.world.clock import Time


class Watcher(Protocol):
    """Who is told what an engine does with a wire."""

    def offered(self, wire: Wire, header: pdu.Head, data: bytes) -> Any:
        """A PDU is about to be written; what is returned is the PDU's name in `left`."""

    def left(self, wire: Wire, what: Any) -> None:
        """Its last byte was taken."""

    def read(self, wire: Wire, what: Any) -> None:
        """The engine has read the last byte of what the carrier had marked."""


class Wire(trio.abc.Stream):
    """The engine's end, as Trio and smpp.link.CountingStream want it; the carrier's end are plain calls.

    `to_carrier(data)` and `on_end()` are the carrier's; `life` is the engine's. `budget`: bytes that still leave before the
    connection breaks (-1: no such plan). `silent`: half open, nothing arrives and nobody says so. `reading`: False while
    the carrier takes nothing out of the buffer.
    """

    def __init__(self, time: Time, rng: random.Random, watcher: Watcher, latency_s: tuple[float, float], life: Any) -> None:
        self.time, self.rng, self.watcher, self.latency_s, self.life = time, rng, watcher, latency_s, life
        self.to_carrier: Callable[[bytes], None] = lambda data: None
        self.on_end: Callable[[], None] = lambda: None
        self.name = ""
        self.window = 0
        self.outstanding: dict[int, Any] = {}
        self.answered_at = -1.0
        self.delivers: dict[int, Any] = {}
        self.capacity = rng.choice((300, 2_000, 65_536, 65_536))
        self.split = rng.choice((0, 0, 7, 100))
        self.budget = -1
        self.silent = False
        self.reading = True
        self.broken = False
        self.closed = False
        self._taken = self._offered = 0
        self._ends: deque[tuple[int, Any]] = deque()
        self._under_way: deque[bytes] = deque()
        self._held: list[bytes] = []
        self._buffered = 0
        self._arrives = 0.0
        self._room = trio.Event()
        self._inbox = bytearray()
        self._marks: deque[tuple[int, Any]] = deque()
        self._written = self._read_bytes = 0
        self._reaches = 0.0
        self._eof = False
        self._news = trio.Event()

    # -- the engine's end

    async def send_some(self, data: memoryview) -> int:
        """Takes some bytes, at least one."""
        self._check()  # a task of an engine that was killed this instant runs on until it waits for something
        self._offer(data)
        await trio.lowlevel.checkpoint()
        while True:
            self._check()
            free = self.capacity - self._buffered
            if free > 0:
                break
            self._room = trio.Event()
            await self._room.wait()
        size = min(len(data), free)
        if self.split and self.rng.random() < 0.5:
            size = min(size, self.rng.randint(1, self.split))
        if self.budget >= 0:
            size = min(size, self.budget)
            self.budget -= size
            if size == 0:
                self.reset()
                self._check()
        self._take(bytes(data[:size]))
        return size

    def _offer(self, data: memoryview) -> None:
        """Tells of PDUs that are about to be written for the first time. The link writes whole ones."""
        end = self._taken + len(data)
        if end <= self._offered:
            return
        fresh = bytes(data[self._offered - self._taken :])
        for header, start, stop in pdu.each(fresh):
            self._ends.append((self._offered + stop, self.watcher.offered(self, header, fresh[start:stop])))
        self._offered = end

    def _take(self, data: bytes) -> None:
        self._taken += len(data)
        while self._ends and self._ends[0][0] <= self._taken:
            self.watcher.left(self, self._ends.popleft()[1])
        if self.silent:
            return
        self._buffered += len(data)
        self._under_way.append(data)
        self._arrives = max(self._arrives, self.time.now + self._delay())
        self.time.at(self._arrives, self._arrive)

    def _arrive(self) -> None:
        if not self._under_way:
            return
        data = self._under_way.popleft()
        if self.silent:
            return
        if not self.reading:
            self._held.append(data)
            return
        self._buffered -= len(data)
        self._room.set()
        self.to_carrier(data)

    def read_again(self) -> None:
        """The carrier goes on reading."""
        self.reading = True
        held, self._held = b"".join(self._held), []
        if held and not self.broken and not self.silent:
            self._buffered -= len(held)
            self._room.set()
            self.to_carrier(held)

    async def send_all(self, data: Any) -> None:
        """Trio's; the link does not use it."""
        rest = memoryview(data)
        while rest:
            rest = rest[await self.send_some(rest) :]

    async def wait_send_all_might_not_block(self) -> None:
        """Trio's; nobody asks."""
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes of the carrier, b"" after its end."""
        await trio.lowlevel.checkpoint()
        while not self._inbox:
            self._check()
            if self._eof:
                return b""
            self._news = trio.Event()
            await self._news.wait()
        self._check()
        size = len(self._inbox) if max_bytes is None else min(max_bytes, len(self._inbox))
        if self.split and self.rng.random() < 0.5:
            size = min(size, self.rng.randint(1, self.split))
        data = bytes(self._inbox[:size])
        del self._inbox[:size]
        self._read_bytes += size
        while self._marks and self._marks[0][0] <= self._read_bytes:
            self.watcher.read(self, self._marks.popleft()[1])
        return data

    async def aclose(self) -> None:
        """The engine closes; what it has written still arrives, then the carrier sees the end."""
        self.leave()
        await trio.lowlevel.checkpoint()

    def leave(self) -> None:
        """The engine is gone from this end."""
        if not self.closed:
            self.closed = True
            self._wake()
            if not self.silent and not self.broken:
                self._arrives = max(self._arrives, self.time.now + self._delay())
                self.time.at(self._arrives, self._end)

    def _check(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError
        if self.broken:
            raise trio.BrokenResourceError

    # -- the carrier's end

    def write(self, data: bytes, mark: Any = None) -> None:
        """Bytes for the engine; it is told `mark` when the engine has read the last of them."""
        if self.broken or self.closed or self.silent:
            return
        self._written += len(data)
        self._reaches = max(self._reaches, self.time.now + self._delay())
        self.time.at(self._reaches, self._reach, data, self._written, mark)

    def _reach(self, data: bytes, end: int, mark: Any) -> None:
        if self.broken or self.closed or self.silent:
            return
        self._inbox += data
        if mark is not None:
            self._marks.append((end, mark))
        self._news.set()

    def hang_up(self) -> None:
        """The carrier closes politely, behind what it has written."""
        self._reaches = max(self._reaches, self.time.now + self._delay())
        self.time.at(self._reaches, self._hung_up)

    def _hung_up(self) -> None:
        self._eof = True
        self._news.set()
        self._end()

    # -- what befalls it

    def reset(self) -> None:
        """The connection breaks: bytes under way are lost, both ends learn it."""
        if not self.broken:
            self.broken = True
            self._under_way.clear()
            self._wake()
            self._end()

    def _end(self) -> None:
        call, self.on_end = self.on_end, lambda: None
        call()

    def _wake(self) -> None:
        self._room.set()
        self._news.set()

    def _delay(self) -> float:
        low, high = self.latency_s
        return low + (high - low) * self.rng.random()
