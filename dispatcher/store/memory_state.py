"""What the in-memory store holds, and the small moves that all of its steps are made of.

Knows no steps. Values are kept as the bytes the Redis store would write, so that nobody shares a mutable object and a
record that does not survive encoding fails here too.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

from dispatcher.core.front import Counted
from dispatcher.core.model import Correlation, Lane, Message
from dispatcher.core.ports import Admission, Cursor, Deposed, Due, Effects, GroupPlan, Owner, Queue, RejectRow, StoreUnavailable
from dispatcher.store import records
from dispatcher.store.keys import KEYS_S

Hook = Callable[[str, str], Awaitable[None]]
"""Called with "before" or "after" and the method's name; what it raises, the method raises (a fault injected there)."""

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="MemoryState")


Method = Callable[Concatenate[S, P], Coroutine[Any, Any, R]]


def step(function: Method[S, P, R]) -> Method[S, P, R]:
    """A public method: the hook sees it coming and going."""

    @functools.wraps(function)
    async def wrapped(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.hook is None:
            return await function(self, *args, **kwargs)
        await self.hook("before", function.__name__)
        result = await function(self, *args, **kwargs)
        await self.hook("after", function.__name__)
        return result

    return cast(Method[S, P, R], wrapped)


class Group:
    """A group as the memory store keeps it."""

    def __init__(self, plan: GroupPlan) -> None:
        self.plan = plan
        self.state = "staging"
        self.blobs: deque[bytes] = deque()
        self.members: dict[Queue, deque[str]] = {}
        self.expanded = 0
        self.finals: dict[str, int] = {}
        self.at = plan.at


class CancelWish(NamedTuple):
    """A wish to cancel, open or ended; `at`: when it became so."""

    account: str
    at: int
    ended: bool


class MemoryState:
    """All the data, and moves on it that never await."""

    def __init__(
        self, *, partition: str = "p0", reservations: bool = False, hook: Hook | None = None, keys_s: int = KEYS_S
    ) -> None:
        self.partition = partition
        self.keys_ms = keys_s * 1000
        self.reservations = reservations
        self.hook = hook
        self.available = True
        self.on_available: Callable[[bool], None] | None = None
        self.bodies: dict[str, bytes] = {}
        self.heads_kept: dict[str, tuple[int, bytes]] = {}
        self.account_rows: dict[str, bytes] = {}
        self.money: dict[str, list[Any]] = {}
        self.api_keys: dict[str, bytes] = {}
        self.key_versions: dict[str, int] = {}
        self.calls: dict[str, Counted] = {}
        self.credit_ids: set[str] = set()
        self.idem: dict[tuple[str, str], tuple[str, bytes, int]] = {}
        self.groups: dict[str, Group] = {}
        self.lists: dict[Queue, dict[str, deque[str]]] = {}
        self.rings: dict[Queue, dict[str, float]] = {}
        self.spent: dict[Queue, dict[str, int]] = {}  # of turns that a limit cut short
        self.due: dict[tuple[str, int, str, str], int] = {}
        self.fences: dict[str, int] = {}
        self.leases: dict[str, str] = {}
        self.takers: dict[str, str] = {}
        self.lease_ends: dict[str, int] = {}
        self.inflight: dict[str, dict[str, None]] = {}
        self.corr: dict[str, dict[str, bytes]] = {}
        self.early_rows: dict[str, dict[str, bytes]] = {}
        self.streams: dict[str, list[tuple[tuple[int, int], dict[str, bytes]]]] = {
            name: [] for name in ("events", "charges", "inbound", "rejects", "sends")
        }
        self.readers: dict[str, dict[str, tuple[int, int]]] = {}
        self.intake = Cursor("", 0)
        self.refused: list[RejectRow] = []
        self.wishes: dict[tuple[str, str], str] = {}
        self.cancels: dict[str, CancelWish] = {}
        self.empty_since: dict[str, int] = {}
        self.corrupt: list[str] = []
        self.now = 0
        self._serial = 0

    # -- streams
    def append(self, stream: str, fields: dict[str, bytes], entry: tuple[int, int] | None = None) -> str:
        """Adds an entry and returns its id; an explicit id that is not beyond the last one adds nothing."""
        entries = self.streams[stream]
        last = entries[-1][0] if entries else (0, 0)
        if entry is None:
            self._serial += 1
            entry = max((self.now, self._serial), (last[0], last[1] + 1))
        elif entry <= last:
            return ""
        entries.append((entry, fields))
        return f"{entry[0]}-{entry[1]}"

    def write_rows(self, stream: str, rows: Iterable[Any]) -> None:
        """One entry with all the rows; none without rows."""
        rows = list(rows)
        if rows:
            self.append(stream, {"v": b"1", "cols": records.COLUMNS[stream].encode(), "rows": records.pack(rows)})

    # -- fences
    def check(self, owner: Owner) -> None:
        """Raises Deposed unless the owner's fence stands."""
        if self.fences.get(owner.name) != owner.fence:
            raise Deposed(f"fence of {owner.name} moved past {owner.fence}")

    def alive(self, name: str) -> bool:
        """Whether somebody holds the lease. Memory leases end only by `expire` or `drop_lease`: there is no clock here."""
        return name in self.leases

    def expire(self, name: str) -> None:
        """What the server's clock would do to a lease that nobody renews."""
        self.leases.pop(name, None)

    # -- queues
    def enqueue(self, queue: Queue, account: str, element: str, at: float, *, front: bool = False) -> None:
        """Puts an element into an account's list and the account into the ring."""
        elements = self.lists.setdefault(queue, {}).setdefault(account, deque())
        if front:
            elements.appendleft(element)
        else:
            elements.append(element)
        self.rings.setdefault(queue, {}).setdefault(account, at)

    def record(self, admission: Admission, at: int) -> None:
        """The body, and its place in a queue or in the due set."""
        body = admission.body
        self.bodies[admission.id] = records.pack(body)
        if admission.due_at:
            self.due[body.route, body.lane, body.account, admission.id] = admission.due_at
        else:
            self.enqueue(Queue(body.route, Lane(body.lane)), body.account, admission.id, at)

    def message(self, message_id: str) -> Message | None:
        """The message as it is now. Raises CorruptRecord."""
        head = self.heads_kept.get(message_id)
        raw = records.version_bytes(head[0]) + head[1] if head is not None else None
        return records.message(message_id, raw, self.bodies.get(message_id), message_id)

    # -- effects
    def moved(self, effects: Effects) -> list[str]:
        """Ids whose head is not at the version before the one to be written."""
        return [h.id for h in effects.heads if self.heads_kept.get(h.id, (0, b""))[0] != h.version - 1]

    def apply(self, effects: Effects) -> None:
        """All effects but `settled`."""
        for carrier, rows in effects.correlations.items():
            self.correlated(carrier, rows)
        for carrier, ids in effects.dropped.items():
            self.forget(carrier, ids)
        for h in effects.heads:
            self.heads_kept[h.id] = (h.version, records.head_bytes(h))
            self.now = max(self.now, h.head.at)
        for message_id in effects.erase:
            self.bodies.pop(message_id, None)
        for due in effects.undue:
            self.due.pop(_member(due), None)
        for due in effects.due:
            self.due[_member(due)] = due.at
        for account, (available, reserved) in effects.money.items():
            row = self.money.setdefault(account, [0, 0, 0, ""])
            row[0] += available
            row[1] += reserved
        for group_id, finals in effects.group_finals.items():
            if group_id in self.groups:
                counts = self.groups[group_id].finals
                for state, count in finals.items():
                    counts[state] = counts.get(state, 0) + count
        self.write_rows("charges", [*effects.facts, *map(records.row_of, effects.fact_lines)])
        self.write_rows("events", [*effects.events, *map(records.row_of, effects.event_lines)])

    def settle_ids(self, ids: Iterable[str], name: str, *, every: bool = False) -> None:
        """Takes messages out of the in-flight batches of one owner, each out of the oldest that has it, or out of all."""
        gone = set(ids)
        for field in [f for f in self.inflight if f.rsplit(".", 2)[0] == name]:
            batch = self.inflight[field]
            for message_id in gone & batch.keys():
                del batch[message_id]
                if not every:
                    gone.remove(message_id)
            if not batch:
                del self.inflight[field]

    def correlation(self, carrier: str, carrier_id: str) -> Correlation | None:
        """Where a carrier's id leads."""
        raw = self.corr.get(carrier, {}).get(carrier_id)
        return records.decode_correlation(raw, f"corr {carrier}") if raw is not None else None

    def correlated(self, carrier: str, rows: Iterable[tuple[str, Correlation]]) -> None:
        """Adds correlations."""
        self.corr.setdefault(carrier, {}).update((cid, records.pack(c)) for cid, c in rows)

    def forget(self, carrier: str, carrier_ids: Iterable[str]) -> None:
        """Drops correlations."""
        rows = self.corr.get(carrier, {})
        for carrier_id in carrier_ids:
            rows.pop(carrier_id, None)

    def fail_group(self, group: Group) -> None:
        """Raises StoreUnavailable for a group that a sweeper has voided."""
        raise StoreUnavailable(f"group {group.plan.id} was given up after its time; its money is back")


def _member(due: Due) -> tuple[str, int, str, str]:
    return (due.route, due.lane, due.account, due.id)
