"""What the Redis store asks of a connection, and what a connection may say went wrong.

Knows no command. A driver hides the event loop: the same store runs under Trio and under asyncio.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

REPLY_BYTES_READ = 262_144


class ConnectionLost(Exception):
    """The connection died, was never made, or kept silent too long. What was written may or may not have been executed."""


class Transport(Protocol):
    """One open connection."""

    async def exchange(self, wire: bytes, replies: int, timeout_s: float) -> list[Any]:
        """Writes `wire` at once and reads so many replies; errors of the server are values (hiredis.ReplyError).
        Raises ConnectionLost, after which, as after a cancellation, the connection is of no use."""

    async def close(self) -> None:
        """Drops it, without waiting for anything."""


class Driver(Protocol):
    """An event loop's ways."""

    async def connect(self) -> Transport:
        """A new connection, authenticated, on its database. Raises ConnectionLost."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""

    def lock(self) -> AbstractAsyncContextManager[Any]:
        """A new lock of this loop's kind."""


class Address(NamedTuple):
    """Where a server is and how to log in. `path`: a unix socket, else host and port."""

    host: str
    port: int
    path: str
    db: int
    username: str
    password: str
    tls: bool


def parse_url(url: str) -> Address:
    """redis://[user:password@]host[:port][/db], rediss:// the same over TLS, unix:///path[?db=n&password=...].

    Raises ValueError, which never shows a password."""
    parts = urlsplit(url)
    query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
    user = unquote(parts.username or query.get("username", ""))
    password = unquote(parts.password or "") or query.get("password", "")
    try:
        if parts.scheme == "unix" and parts.path:
            return Address("", 0, unquote(parts.path), int(query.get("db", "0")), user, password, tls=False)
        if parts.scheme in {"redis", "rediss"} and parts.hostname:
            db = int(parts.path.strip("/") or query.get("db", "0"))
            return Address(parts.hostname, parts.port or 6379, "", db, user, password, tls=parts.scheme == "rediss")
    except ValueError:
        raise ValueError("server url: port and database must be numbers") from None
    raise ValueError(f"server url with scheme {parts.scheme!r}: redis://host:port/db, rediss:// or unix:///path expected")
