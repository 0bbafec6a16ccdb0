"""Reads the out streams row by row: events, charges, inbound, rejects.

This module refuses to know what rows mean and where a reader keeps its position. Theory: many rows share one entry of a
stream, so a position is the entry and the row within it, as text: "1700000000000-0:17". Who keeps the position together
with what he made of the row sees every row exactly once; who keeps it a little later sees some again (every charge has
its unique `fact`, every event its id, state and attempt).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, cast

import msgspec
import redis

StreamName = Literal["events", "charges", "inbound", "rejects"]
_PARTITIONED = frozenset({"events", "charges", "inbound"})
_ENTRIES_AT_ONCE = 100
_VERSION = b"1"
_rows = msgspec.msgpack.Decoder(list[list[Any]])


class Row(NamedTuple):
    """One row: where it stands, and its columns by name."""

    position: str
    map: dict[str, Any]


class UnknownVersion(Exception):
    """The stream's entries are of a form that this client does not know; update it."""


class Reader:
    """Rows of one stream after `after` ("" from the start). A context manager and an iterator that waits for more.

    With `follow=False` iteration ends where the stream ends now.
    """

    def __init__(
        self,
        url: str,
        prefix: str = "sms:",
        stream: StreamName = "events",
        *,
        after: str = "",
        partition: str = "p0",
        follow: bool = True,
        block_ms: int = 1000,
    ) -> None:
        self._redis = redis.Redis.from_url(url)
        self._key = f"{prefix}{{{partition}}}:{stream}" if stream in _PARTITIONED else f"{prefix}{stream}"
        self._follow = follow
        self._block_ms = block_ms
        self._ahead: deque[Row] = deque()
        entry, _, within = after.partition(":")
        self._half_read = (entry, int(within)) if within else ("", -1)
        self._fetched = "" if within else entry
        self.position = after
        """That of the row last given out."""

    def read(self, limit: int = 1000, block_ms: int = 0) -> list[Row]:
        """Up to `limit` rows after the position, which moves past them; [] when there are none within `block_ms` (0: does
        not wait). Raises redis.RedisError and UnknownVersion, and then the position stays."""
        rows: list[Row] = []
        while len(rows) < limit and (self._ahead or self._fill(0 if rows else block_ms)):
            rows.append(self._ahead.popleft())
        if rows:
            self.position = rows[-1].position
        return rows

    def __iter__(self) -> Iterator[Row]:
        while True:
            rows = self.read(1, self._block_ms if self._follow else 0)
            yield from rows
            if not rows and not self._follow:
                return

    def _fill(self, block_ms: int) -> bool:
        """Fetches the next entries that have rows; False when there are none within `block_ms`."""
        while not self._ahead:
            half_entry, half_index = self._half_read
            start = f"({self._fetched}" if self._fetched else half_entry or "-"
            found = cast(list[Any], self._redis.xrange(self._key, start, "+", _ENTRIES_AT_ONCE))
            if not found and block_ms:
                after = self._fetched or half_entry or "0-0"
                found = _first_stream(self._redis.xread({self._key: after}, _ENTRIES_AT_ONCE, block_ms))
            if not found:
                return False
            for name, fields in found:
                entry = name.decode()
                skip = half_index + 1 if entry == half_entry else 0
                rows = _decode(fields)
                self._ahead.extend(Row(f"{entry}:{index}", row) for index, row in enumerate(rows) if index >= skip)
                self._fetched = entry
        return True

    def close(self) -> None:
        """Closes the connection."""
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _first_stream(reply: Any) -> list[Any]:
    """Entries of an XREAD reply of one stream: a list of pairs in RESP2, a map in RESP3."""
    if not reply:
        return []
    if isinstance(reply, dict):
        found = next(iter(reply.values()))
        return list(found[0]) if found and isinstance(found[0], list) else list(found)
    return list(reply[0][1])


def _decode(fields: dict[bytes, bytes]) -> list[dict[str, Any]]:
    version = fields.get(b"v", b"")
    if version != _VERSION:
        raise UnknownVersion(f"entries of version {version.decode('latin-1')!r}, 1 expected")
    names = fields[b"cols"].decode().split(",")
    return [dict(zip(names, row, strict=True)) for row in _rows.decode(fields[b"rows"])]
