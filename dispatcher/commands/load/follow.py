"""Follows a load's messages through the events stream, and counts: accepted, final states, what came twice, latencies.

It refuses to know how they were sent. It keeps nine bytes a message: which of its states were told, when it was accepted,
and a checksum of its id. The same event told twice is a repeat, which the contract allows after a crash; a second id for one
number, or a second end that is no refinement, is a message doubled.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter
from typing import Any, cast

import msgspec
import redis

from dispatcher.commands.load.histogram import Histogram
from dispatcher.core.model import State

ENTRIES = 200
_QUEUED, _SUBMITTED, _FINAL = 1, 2, 4
_ENDS = frozenset(state.wire for state in State if state.final)
_rows = msgspec.msgpack.Decoder(list[list[Any]])


class Follower:
    """Reads `events` and `rejects` from where they end now. `began_ms`: wall time that all moments are kept against."""

    def __init__(self, url: str, prefix: str, run: str, *, warm_up: int, began_ms: int, partition: str = "p0") -> None:
        self._redis = redis.Redis.from_url(url)
        self._streams = {f"{prefix}{{{partition}}}:events": "0-0", f"{prefix}rejects": "0-0"}
        for stream in self._streams:
            found: Any = self._redis.xrevrange(stream, count=1)
            if found:
                self._streams[stream] = found[0][0].decode()
        self._run, self._began_ms, self._warm_up = f"{run}.", began_ms, warm_up
        self._marks, self._accepted_at, self._ids = bytearray(), array("I"), array("I")
        self._columns: dict[bytes, tuple[int, ...]] = {}
        self.queued = self.submitted = self.finals = self.segments = 0
        self.doubled = self.repeated = self.refined = 0
        self.states: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.accept, self.submit, self.deliver = Histogram(), Histogram(), Histogram()
        """ms from handed in to accepted, from accepted to submitted, from accepted to delivered."""

    def read(self, block_ms: int) -> int:
        """Takes what is there, waiting up to `block_ms` for something; the number of rows. Raises redis.RedisError."""
        reply = cast(Any, self._redis.xread(dict(self._streams), ENTRIES, block_ms))  # type: ignore[arg-type]
        count = 0
        for name, entries in reply.items() if isinstance(reply, dict) else reply or []:
            stream = name.decode()
            found = entries[0] if isinstance(reply, dict) and entries and isinstance(entries[0], list) else entries
            for entry, fields in found:
                self._streams[stream] = entry.decode()
                rows = _rows.decode(fields[b"rows"])
                count += len(rows)
                if stream.endswith("}:events"):
                    self._events(fields[b"cols"], rows)
                else:
                    self._rejects(fields[b"cols"].decode().split(","), rows)
        return count

    def _events(self, names: bytes, rows: list[list[Any]]) -> None:
        places = self._columns.get(names)
        if places is None:
            columns = names.decode().split(",")
            places = tuple(map(columns.index, ("ref", "id", "state", "segments", "refined", "at")))
            self._columns[names] = places
        ref_at, id_at, state_at, segments_at, refined_at, at_at = places
        for row in rows:
            ref = row[ref_at]
            if ref.startswith(self._run):
                _, number, sent = ref.split(".")
                self.take(int(number), int(sent), row[id_at], row[state_at], row[segments_at], row[refined_at], row[at_at])

    def take(self, n: int, sent: int, message_id: str, state: str, segments: int, refined: bool, at: int) -> None:
        """One event of message number `n`, handed in at `sent`."""
        marks = self._marks
        if n >= len(marks):
            more = max(4096, n + 1 - len(marks), len(marks) // 2)
            marks.extend(bytes(more))
            self._accepted_at.frombytes(bytes(4 * more))
            self._ids.frombytes(bytes(4 * more))
        mark, check, measured = marks[n], zlib.crc32(message_id.encode()), n >= self._warm_up
        if not mark:
            self._ids[n] = check
            self.segments += segments
        elif self._ids[n] != check:
            self.doubled += 1
            return
        if state == "queued":
            if mark & _QUEUED:
                self.repeated += 1
                return
            marks[n] |= _QUEUED
            self.queued += 1
            self._accepted_at[n] = max(0, at - self._began_ms)
            if measured:
                self.accept.add(at - sent)
        elif state == "submitted":
            if not mark & _SUBMITTED:
                marks[n] |= _SUBMITTED
                self.submitted += 1
                if measured:
                    self.submit.add(at - self._began_ms - self._accepted_at[n])
        elif state in _ENDS:
            self._end(n, state, refined, at, measured=measured)

    def _end(self, n: int, state: str, refined: bool, at: int, *, measured: bool) -> None:
        if refined:
            self.refined += 1
            self.states[state] += 1
            self.states["unknown"] -= 1
            return
        if self._marks[n] & _FINAL:
            self.doubled += 1
            return
        self._marks[n] |= _FINAL
        self.finals += 1
        self.states[state] += 1
        if measured and state == "delivered":
            self.deliver.add(at - self._began_ms - self._accepted_at[n])

    def _rejects(self, columns: list[str], rows: list[list[Any]]) -> None:
        send_at, reason_at = columns.index("send"), columns.index("reason")
        for row in rows:
            if f'"ref":"{self._run}' in str(row[send_at]):
                self.refused[str(row[reason_at])] += 1

    def close(self) -> None:
        """Closes the connection."""
        self._redis.close()
