"""The engine's own connection: a socket, hiredis' parser, nothing between them but Trio's waiting (performance.md rule 5).

Knows no command but AUTH and SELECT. One write per exchange, however many commands it carries.

Theory. Each time a task is put off and taken up again costs as much as a message. Trio's own streams and locks put their task
off after every call, also one that had nothing to wait for; here it waits only where the server has not answered yet. Only
TLS needs a stream.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import hiredis
import trio

from dispatcher.store.resp import of
from dispatcher.store.transport import REPLY_BYTES_READ, Address, ConnectionLost, parse_url


class SocketTransport:
    """A Transport over a plain socket, of which it takes possession."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._reader = hiredis.Reader()
        self._room = bytearray(REPLY_BYTES_READ)

    async def exchange(self, wire: bytes, replies: int, timeout_s: float) -> list[Any]:
        """See Transport."""
        found: list[Any] = []
        try:
            with trio.move_on_after(timeout_s) as patience:  # fail_after is a generator around it, and costs as much again
                await self._send(wire)
                while len(found) < replies:
                    await self._receive(found, replies)
        except (OSError, trio.ClosedResourceError, hiredis.ProtocolError) as error:
            raise ConnectionLost(type(error).__name__) from error
        if patience.cancelled_caught:
            raise ConnectionLost(f"no answer within {timeout_s} s")
        return found

    async def _send(self, wire: bytes) -> None:
        left = memoryview(wire)
        while left:
            try:
                left = left[self._sock.send(left) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._sock)

    async def _receive(self, found: list[Any], replies: int) -> None:
        """Waits for bytes and takes the replies that are whole with them."""
        reader, room = self._reader, self._room
        await trio.lowlevel.wait_readable(self._sock)
        try:
            size = self._sock.recv_into(room)
        except BlockingIOError:
            return
        if not size:
            raise ConnectionLost("closed by the server")
        reader.feed(room, 0, size)  # type: ignore[arg-type] # any buffer will do
        while len(found) < replies and (reply := reader.gets()) is not False:
            found.append(reply)

    async def close(self) -> None:
        """See Transport."""
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()


class StreamTransport:
    """A Transport over one Trio stream."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._reader = hiredis.Reader()

    async def exchange(self, wire: bytes, replies: int, timeout_s: float) -> list[Any]:
        """See Transport."""
        found: list[Any] = []
        reader = self._reader
        try:
            with trio.fail_after(timeout_s):
                await self._stream.send_all(wire)
                while len(found) < replies:
                    data = await self._stream.receive_some(REPLY_BYTES_READ)
                    if not data:
                        raise ConnectionLost("closed by the server")
                    reader.feed(bytes(data))
                    while len(found) < replies and (reply := reader.gets()) is not False:
                        found.append(reply)
        except trio.TooSlowError:
            raise ConnectionLost(f"no answer within {timeout_s} s") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError, hiredis.ProtocolError) as error:
            raise ConnectionLost(type(error).__name__) from error
        return found

    async def close(self) -> None:
        """See Transport."""
        await trio.aclose_forcefully(self._stream)


class TrioDriver:
    """Driver for Trio."""

    def __init__(self, url: str, *, connect_timeout_s: float = 2.0) -> None:
        self._address: Address = parse_url(url)
        self._timeout_s = connect_timeout_s

    async def connect(self) -> SocketTransport | StreamTransport:
        """See Driver."""
        address = self._address
        try:
            with trio.fail_after(self._timeout_s):
                transport = await self._open()
                hello = []
                if address.password:
                    user = (address.username,) if address.username else ()
                    hello.append(of("AUTH", *user, address.password))
                if address.db:
                    hello.append(of("SELECT", address.db))
                for reply in await transport.exchange(b"".join(hello), len(hello), self._timeout_s) if hello else ():
                    if isinstance(reply, hiredis.ReplyError):
                        await transport.close()
                        raise ConnectionLost(f"refused: {str(reply).split(' ', 1)[0]}")
        except trio.TooSlowError:
            raise ConnectionLost(f"no connection within {self._timeout_s} s") from None
        except OSError as error:
            raise ConnectionLost(f"no connection: {type(error).__name__}") from error
        return transport

    async def _open(self) -> SocketTransport | StreamTransport:
        address = self._address
        if address.path:
            return SocketTransport(_taken(await trio.open_unix_socket(address.path)))
        if address.tls:
            tls = await trio.open_ssl_over_tcp_stream(address.host, address.port, ssl_context=ssl.create_default_context())
            await tls.do_handshake()
            return StreamTransport(tls)
        return SocketTransport(_taken(await trio.open_tcp_stream(address.host, address.port)))

    async def sleep(self, seconds: float) -> None:
        """See Driver."""
        await trio.sleep(seconds)

    def lock(self) -> QuickLock:
        """See Driver."""
        return QuickLock()


class QuickLock:
    """trio.Lock, but who finds it free does not let others go first."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def __aenter__(self) -> None:
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


def _taken(stream: trio.SocketStream) -> socket.socket:
    """The socket of a stream that is used no more; options stay as they are set."""
    own = stream.socket
    return socket.socket(own.family, own.type, own.proto, own.detach())
