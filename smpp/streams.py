"""Bytes over a stream under Trio: how they come, how they leave, and how many of them have left.

It refuses to know what they say. Trio puts off a task that has read from or written to a socket, which costs as much as the
reading itself. Of a plain socket these wait only where the system has nothing or takes nothing; other streams are taken as they
are.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, runtime_checkable

import trio

READ_BYTES: Final = 131_072


@runtime_checkable
class CountingStream(Protocol):
    """A stream that can say how many bytes of a write left. Simulated streams offer it; sockets are adapted."""

    async def send_some(self, data: memoryview) -> int:
        """Writes a part of `data`, at least one byte, and returns how many; raises BrokenResourceError."""


def receiver(stream: trio.abc.Stream) -> Callable[[], Awaitable[bytes]]:
    """How bytes come over this stream; none are its end. Trio puts off a task that has read from a socket, which costs as much
    as reading; this one waits for the next bytes at once."""
    if not isinstance(stream, trio.SocketStream):

        async def receive() -> bytes:
            return bytes(await stream.receive_some(READ_BYTES))

        return receive
    sock, room = stream.socket, bytearray(READ_BYTES)
    rooms, view = [room], memoryview(room)

    async def read() -> bytes:
        while True:
            await trio.lowlevel.wait_readable(sock)
            try:
                return bytes(view[: os.readv(sock.fileno(), rooms)])
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error

    return read


def sender(stream: trio.abc.Stream, wrote: Callable[[int], None]) -> Callable[[bytes], Awaitable[None]]:
    """How bytes leave this stream, and are counted."""
    if isinstance(stream, trio.SocketStream):
        return _counting(_writer(stream.socket), wrote)
    if isinstance(stream, CountingStream):
        return _counting(stream.send_some, wrote)

    async def hand_over(data: bytes) -> None:
        wrote(len(data))  # before: when send_all fails, nobody knows how much of it has left
        await stream.send_all(data)

    return hand_over


def _writer(sock: trio.socket.SocketType) -> Callable[[memoryview], Awaitable[int]]:
    """A socket's `send` that waits only where the system takes nothing."""

    async def send_some(data: memoryview) -> int:
        while True:
            try:
                return os.write(sock.fileno(), data)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)

    return send_some


def _counting(
    send_some: Callable[[memoryview], Awaitable[int]], wrote: Callable[[int], None]
) -> Callable[[bytes], Awaitable[None]]:
    async def send(data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                sent = await send_some(rest)
                wrote(sent)
                rest = rest[sent:]
        except (OSError, ssl.SSLError) as error:
            raise trio.BrokenResourceError from error

    return send
