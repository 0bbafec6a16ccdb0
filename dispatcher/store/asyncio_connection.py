"""The HTTP processes' connection: redis-py's asyncio Connection makes it (addresses, TLS, login), hiredis reads it.

redis-py's `read_response` costs a timeout scope per reply, and an admission has about twenty replies; so this reads the
stream that the Connection opened with one scope per exchange. Knows no command.
"""

from __future__ import annotations

import asyncio
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from dispatcher.store.transport import REPLY_BYTES_READ, Address, ConnectionLost, parse_url


class AsyncioTransport:
    """A Transport over one connection of redis-py."""

    def __init__(self, connection: AbstractConnection, reader: asyncio.StreamReader) -> None:
        self._connection = connection
        self._stream = reader
        self._reader = hiredis.Reader()

    async def exchange(self, wire: bytes, replies: int, timeout_s: float) -> list[Any]:
        """See Transport."""
        found: list[Any] = []
        reader = self._reader
        try:
            async with asyncio.timeout(timeout_s):
                await self._connection.send_packed_command([wire], check_health=False)
                while len(found) < replies:
                    data = await self._stream.read(REPLY_BYTES_READ)
                    if not data:
                        raise ConnectionLost("closed by the server")
                    reader.feed(data)
                    while len(found) < replies and (reply := reader.gets()) is not False:
                        found.append(reply)
        except TimeoutError:
            raise ConnectionLost(f"no answer within {timeout_s} s") from None
        except (OSError, RedisError, hiredis.ProtocolError) as error:
            raise ConnectionLost(type(error).__name__) from error
        return found

    async def close(self) -> None:
        """See Transport."""
        try:
            await self._connection.disconnect(nowait=True)
        except (OSError, RedisError):
            return


class AsyncioDriver:
    """Driver for asyncio."""

    def __init__(self, url: str, *, connect_timeout_s: float = 2.0) -> None:
        self._address: Address = parse_url(url)
        self._timeout_s = connect_timeout_s

    def _connection(self) -> AbstractConnection:
        address = self._address
        options: dict[str, Any] = {
            "db": address.db,
            "username": address.username or None,
            "password": address.password or None,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": None,
        }
        if address.path:
            return UnixDomainSocketConnection(path=address.path, **options)
        kind = SSLConnection if address.tls else Connection
        return kind(host=address.host, port=address.port, socket_connect_timeout=self._timeout_s, **options)

    async def connect(self) -> AsyncioTransport:
        """See Driver."""
        connection = self._connection()
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call]
        except TimeoutError:
            raise ConnectionLost(f"no connection within {self._timeout_s} s") from None
        except (OSError, RedisError) as error:
            raise ConnectionLost(f"no connection: {type(error).__name__}") from error
        reader: asyncio.StreamReader | None = getattr(connection, "_reader", None)
        if reader is None:
            raise ConnectionLost("this release of redis-py keeps its stream elsewhere")
        return AsyncioTransport(connection, reader)

    async def sleep(self, seconds: float) -> None:
        """See Driver."""
        await asyncio.sleep(seconds)

    def lock(self) -> asyncio.Lock:
        """See Driver."""
        return asyncio.Lock()
