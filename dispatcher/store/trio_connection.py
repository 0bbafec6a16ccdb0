"""The engine's own connection: Trio's socket, hiredis' parser, nothing between them (performance.md rule 5).

Knows no command but AUTH and SELECT. One write per exchange, however many commands it carries.
"""

from __future__ import annotations

import ssl
from typing import Any

import hiredis
import trio

from dispatcher.store.resp import of
from dispatcher.store.transport import REPLY_BYTES_READ, Address, ConnectionLost, parse_url


class TrioTransport:
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

    async def connect(self) -> TrioTransport:
        """See Driver."""
        address = self._address
        try:
            with trio.fail_after(self._timeout_s):
                transport = TrioTransport(await self._open())
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

    async def _open(self) -> trio.abc.Stream:
        address = self._address
        if address.path:
            return await trio.open_unix_socket(address.path)
        if address.tls:
            tls = await trio.open_ssl_over_tcp_stream(address.host, address.port, ssl_context=ssl.create_default_context())
            await tls.do_handshake()
            return tls
        return await trio.open_tcp_stream(address.host, address.port)

    async def sleep(self, seconds: float) -> None:
        """See Driver."""
        await trio.sleep(seconds)

    def lock(self) -> trio.Lock:
        """See Driver."""
        return trio.Lock()
