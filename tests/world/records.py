"""Records as the auditor reads them: bytes of the store, by the order of their columns, with none of the dispatcher's code.

It refuses to know what any of it means.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

SUBMITTING, FINAL_FROM = 1, 10
STATES = {
    0: "queued", 1: "submitting", 2: "submitted", 3: "waiting", 4: "doubt", 10: "delivered", 11: "unknown", 12: "cancelled",
    13: "expired", 14: "undelivered", 15: "failed", 16: "rejected",
}  # fmt: skip
PENDING, ACCEPTED, TEMPORARY, PERMANENT, UNKNOWN = 0, 1, 2, 3, 4
CLOSING = frozenset({"DELIVRD", "UNDELIV", "FAILED", "EXPIRED", "DELETED", "REJECTD", "UNKNOWN"})
BAD = CLOSING - {"DELIVRD"}
_list = msgspec.msgpack.Decoder(list[Any])


class Tried(NamedTuple):
    """One attempt of the record."""

    number: int
    carrier: str
    bind: str
    at: int
    outcome: int
    code: int
    carrier_id: str
    answered_at: int
    cost: int
    receipt: str
    receipt_code: str
    cause: str
    receipt_at: int
    tlvs: dict[str, str] | None


class Part(NamedTuple):
    """One segment of the record."""

    state: int
    tries: list[Tried]
    posted: bool
    refunded: bool
    due_at: int


class Record(NamedTuple):
    """A message's head."""

    version: int
    state: int
    parts: list[Part]
    deadline_at: int
    resend: bool
    raw: list[Any]


def record(kept: tuple[int, bytes]) -> Record:
    """A head as the in-memory store keeps it: version and msgpack."""
    raw = _list.decode(kept[1])
    parts = [Part(p[0], [Tried(*a) for a in p[1]], p[2], p[3], p[4]) for p in raw[2]]
    return Record(kept[0], raw[0], parts, raw[11], bool(raw[12]), raw)


def parked(raw: bytes) -> list[str]:
    """The ids under which a parked receipt waits."""
    return list(_list.decode(raw)[0])


def parked_at(raw: bytes) -> int:
    """Since when it waits, ms, by the clock of the engine that parked it."""
    return int(_list.decode(raw)[4])
