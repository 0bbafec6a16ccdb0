"""What a dialect is shown of messages and groups: the ten states of dialects.md 1.2, money back, causes.

This module refuses to know any dialect's words for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from dispatcher.core.front import Ticket

if TYPE_CHECKING:
    from dispatcher.ingest.dialects.desk import Desk
    from dispatcher.ingest.door import Caller

ShownState = Literal[
    "accepted", "queued", "submitted", "delivered", "undelivered", "failed", "expired", "rejected", "unknown", "cancelled"
]
FINAL = frozenset({"delivered", "undelivered", "failed", "expired", "rejected", "unknown", "cancelled"})


class Shown(NamedTuple):
    """A message. `was_submitted`: a carrier has taken all of it before, even if it is queued again now. `price` total,
    `refunded` what of it was given back, micro-units. `at` acceptance, `changed_at` last change, ms. `cause`: why it failed
    (SMPP status name or receipt cause, "" unknown). `to` E.164 digits from the ticket ("" without one)."""

    id: str
    state: ShownState
    to: str
    at: int
    changed_at: int
    was_submitted: bool = False
    cause: str = ""
    price: int = 0
    refunded: int = 0
    segments: int = 0
    ticket: Ticket | None = None


class ShownGroup(NamedTuple):
    """A group. `counts` over all members by state; `resubmitting` how many of the queued were submitted before; `messages`
    those asked for, in order. `price` is the one debit, `refunded` what of it was given back."""

    id: str
    members: int
    price: int
    refunded: int
    at: int
    changed_at: int
    counts: dict[str, int]
    resubmitting: int
    messages: Sequence[Shown]
    ticket: Ticket


async def read_message(desk: Desk, caller: Caller, message_id: str) -> Shown | None:
    """See Desk.message."""
    raise NotImplementedError


async def read_group(desk: Desk, caller: Caller, group_id: str, offset: int, limit: int | None) -> ShownGroup | None:
    """See Desk.group."""
    raise NotImplementedError
