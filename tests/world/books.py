"""The auditor's half that reads what the dispatcher tells: rows of events, charges and rejects, and the balances beside them.

It keeps the money by itself: every fact moves it by rules written here, and it must equal what the store shows after every
single effect of every step (I7, P5). It refuses to know engines and carriers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from dispatcher.store.memory import MemoryStore

FINAL = frozenset({"delivered", "unknown", "cancelled", "expired", "undelivered", "failed", "rejected"})
Complain = Callable[[str, str, str], None]
"""(invariant, what, message id)."""
_rows = msgspec.msgpack.Decoder(list[list[Any]])


class Told:
    """What the rows said of one message. `at` ms: when it was accepted, by its door's clock. `finals`: its final states in
    order, `final_at` seconds; `posts`, `costs`, `voids` and `refunds` by segment (costs by segment and attempt)."""

    __slots__ = ("account", "at", "costs", "final_at", "finals", "id", "posts", "ref", "refunds", "segments", "states", "voids")

    def __init__(self, message_id: str, ref: str, account: str, segments: int, at: int) -> None:
        self.id = message_id
        self.ref = ref
        self.account = account
        self.segments = segments
        self.at = at
        self.states: list[str] = []
        self.finals: list[str] = []
        self.final_at = -1.0
        self.posts: dict[int, dict[str, Any]] = {}
        self.voids: dict[int, dict[str, Any]] = {}
        self.refunds: dict[int, dict[str, Any]] = {}
        self.costs: dict[tuple[int, int], dict[str, Any]] = {}

    @property
    def final(self) -> str:
        """Its final state, "" while it has none."""
        return self.finals[-1] if self.finals else ""


class Books:
    """`read(now)` takes in what is new in the streams and compares the money. `hear` is told of each event row."""

    def __init__(self, store: MemoryStore, complain: Complain, hear: Callable[[Told, dict[str, Any]], None]) -> None:
        self._store, self._complain, self._hear = store, complain, hear
        self._seen = {"events": 0, "charges": 0, "rejects": 0}
        self._columns: dict[bytes, list[str]] = {}
        self.told: dict[str, Told] = {}
        self.by_ref: dict[str, list[Told]] = {}
        self.rejects: dict[tuple[str, int], str] = {}
        self.facts: set[str] = set()
        self.money: dict[str, list[int]] = {}
        self.sums: Counter[tuple[str, str]] = Counter()
        self.open = 0

    def read(self, now: float) -> None:
        """Takes in new rows, then compares every balance."""
        streams, seen = self._store.streams, self._seen
        for name, take in (("charges", self._charge), ("events", self._event), ("rejects", self._reject)):
            entries = streams[name]
            if len(entries) > seen[name]:
                for _, fields in entries[seen[name] :]:
                    columns = self._columns.get(fields["cols"])
                    if columns is None:
                        columns = self._columns[fields["cols"]] = fields["cols"].decode().split(",")
                    for row in _rows.decode(fields["rows"]):
                        take(dict(zip(columns, row, strict=True)), now)
                seen[name] = len(entries)
        for account, row in self._store.money.items():
            mine = self.money.setdefault(account, [0, 0])
            if mine[0] != row[0] or mine[1] != row[1]:
                self._complain("I7", f"{account} has {row[0]} and {row[1]} reserved; its facts say {mine[0]} and {mine[1]}", "")
                mine[:] = row[:2]
            if row[1] < 0:
                self._complain("I7", f"{account} has {row[1]} reserved", "")

    def _charge(self, row: dict[str, Any], now: float) -> None:
        fact, kind, amount, account = row["fact"], row["kind"], row["amount"], row["account"]
        if fact in self.facts:
            self._complain("I7", f"fact {fact} twice", row["id"])
        self.facts.add(fact)
        self.sums[account, kind] += amount
        mine = self.money.setdefault(account, [0, 0])
        told, part = self.told.get(row["id"]), row["segment"]
        if kind in {"credit", "adjust"}:
            mine[0] += amount
            return
        if kind == "reserve":
            mine[0] -= amount
            mine[1] += amount
            return
        if told is None:
            self._complain("I7", f"fact {fact} of a message that nobody was told of", row["id"])
            return
        if kind == "post":
            mine[1] -= amount
            if part in told.posts or part in told.voids:
                self._complain("I6", f"segment {part} posted twice, or after its void: {fact}", told.id)
            told.posts[part] = row
        elif kind == "void":
            mine[0] += amount
            mine[1] -= amount
            if part in told.posts or part in told.voids:
                self._complain("I6", f"segment {part} voided twice, or after its post: {fact}", told.id)
            told.voids[part] = row
        elif kind == "refund":
            mine[0] += amount
            if part not in told.posts or part in told.refunds:
                self._complain("I6", f"segment {part} refunded twice, or without its post: {fact}", told.id)
            told.refunds[part] = row
        elif kind == "cost":
            if (part, row["attempt"]) in told.costs:
                self._complain("I6", f"segment {part} cost us twice for attempt {row['attempt']}", told.id)
            told.costs[part, row["attempt"]] = row

    def _event(self, row: dict[str, Any], now: float) -> None:
        message_id, state = row["id"], row["state"]
        told = self.told.get(message_id)
        if told is None:
            told = self.told[message_id] = Told(message_id, row["ref"], row["account"], row["segments"], row["at"])
            self.by_ref.setdefault(row["ref"], []).append(told)
            self.open += 1
            if state != "queued":
                self._complain("I1", f"its first event is {state}", message_id)
        elif state == "queued":
            self._complain("I1", "accepted twice under one id", message_id)
        elif told.finals:
            refined = told.final == "unknown" and state in {"delivered", "undelivered"} and row["refined"]
            if not refined or len(told.finals) > 1:
                self._complain("I2", f"{state} after {'/'.join(told.finals)}", message_id)
        told.states.append(state)
        if state in FINAL:
            if not told.finals:
                self.open -= 1
                told.final_at = now
            told.finals.append(state)
        self._hear(told, row)

    def _reject(self, row: dict[str, Any], now: float) -> None:
        place = (row["entry"], row["index"])
        if place in self.rejects:
            self._complain("I1", f"entry {place} rejected twice", "")
        self.rejects[place] = row["reason"]
