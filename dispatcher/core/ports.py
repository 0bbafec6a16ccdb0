"""The ports: what the engine and the doors need from the world, each method with its promise.

Nothing here does anything. Two implementations of Store exist (store/redis.py, store/memory.py) and pass one
conformance suite (tests/conformance). A writing method is atomic as store.md section 3 words its step. One that
returns has taken effect, durably; one that raises Deposed has had none; one that raises StoreUnavailable has left
something that the store's own markers and sweepers settle, as its docstring says.

The Redis store awaits only the transport it was given, so that it runs under Trio (engine) and asyncio (HTTP) alike.
Times are arguments, ms since 1970 UTC. Money is integer micro-units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from accounting.ledger import Fact
from dispatcher.core.customer import CustomerStore
from dispatcher.core.front import Extras, FrontStore, Ticket
from dispatcher.core.inbox import InboxStore
from dispatcher.core.model import Body, Correlation, EventRow, Head, Lane, Message


class StoreError(Exception):
    """Base of what a store raises; never raised itself."""


class StoreUnavailable(StoreError):
    """The server is away, slow or refusing writes."""


class Deposed(StoreError):
    """Our fence moved: another engine took over our work. Nothing of this call was applied."""


class CorruptRecord(StoreError):
    """A value in the store does not decode; it is left as it was. `where` names key and field, `entry` a stream's entry."""

    def __init__(self, where: str, why: str, entry: str = "") -> None:
        super().__init__(f"{where}: {why}")
        self.where, self.entry = where, entry


class Admission(NamedTuple):
    """One send that admission has passed: everything the store needs to reserve, record and enqueue it.

    `price` is the total, micro-units; `digest` identifies the request body under `body.key` ("" key: no idempotency).
    `due_at` > 0 puts it into the due set instead of its queue (ms). `extras`: what a door keeps with it, mostly nothing.
    """

    id: str
    body: Body
    price: int
    digest: bytes = b""
    due_at: int = 0
    extras: Extras | None = None


class Verdict(NamedTuple):
    """What became of one Admission. `id` is the accepted message's, or the earlier one's for "duplicate".

    duplicate: same key and digest; conflict: other digest; pending: in flight elsewhere; poor: the balance would pass its
    floor; unknown: no such account in the store; limited: a take was refused, for `reason`; opted_out: the number said STOP.
    """

    verdict: Literal["accepted", "duplicate", "conflict", "pending", "poor", "unknown", "limited", "opted_out"]
    id: str
    available: int = 0
    reason: str = ""
    retry_after_ms: int = 0


class Cursor(NamedTuple):
    """How far a sends stream has been admitted: all entries <= `entry`, and `done` sends of the entry after it."""

    entry: str
    done: int


class GroupPlan(NamedTuple):
    """A batch to be accepted all or nothing; `price` is the total, micro-units, `digest` the request's."""

    id: str
    account: str
    lane: Lane
    members: int
    price: int
    currency: str
    at: int
    key: str = ""
    digest: bytes = b""
    ticket: Ticket | None = None


class GroupView(NamedTuple):
    """A group of `members` messages; `expanded` of them exist as records, `finals` counts the final ones by state."""

    id: str
    account: str
    state: Literal["staging", "live", "void"]
    members: int
    expanded: int
    price: int
    currency: str
    at: int
    finals: Mapping[str, int]


class Owner(NamedTuple):
    """An engine's right to write: its name and the fence value under which it holds its lease."""

    name: str
    fence: int


class Queue(NamedTuple):
    """One queue family: the accounts of a route's lane share its turns."""

    route: str
    lane: Lane


class VersionedHead(msgspec.Struct, frozen=True, gc=False):
    """A head to be written: `version` is the one it gets. At rest the store must find `version - 1` (0: no head). `text`: the
    head's bytes as core/moulds writes them; then `head` is that of all messages alike, with gaps."""

    id: str
    version: int
    head: Head
    text: str = ""


class Due(NamedTuple):
    """Put `id` into the due set at `at` ms; when due it joins the queue of route, lane and account."""

    route: str
    lane: int
    account: str
    id: str
    at: int


class Effects:
    """What one commit changes, over many messages. Built by the engine from decisions; applied all or nothing.

    heads          heads to write, at most one per message
    erase          ids whose body goes (final state)
    facts          money facts for the charges stream
    events         rows for the events stream
    money          account -> [available delta, reserved delta], micro-units
    due            entries for the due set; `undue` members to remove first
    correlations   carrier -> [(carrier message id, Correlation)] of these heads' messages, written before them
    dropped        carrier -> carrier message ids that lead nowhere any more: their receipts are durable by an earlier commit
    settled        ids of this owner's in-flight messages that are now done with (popped batches shrink by them)
    group_finals   group id -> state name -> count, added to the group's counters
    fact_lines     further money facts and event rows, as bytes already (core/moulds); `event_lines` likewise
    accepted       stage (core/alike) -> how many of its messages have left their lines here
    """

    __slots__ = (
        "accepted", "correlations", "dropped", "due", "erase", "event_lines", "events", "fact_lines", "facts", "group_finals",
        "heads", "money", "settled", "undue",
    )  # fmt: skip

    def __init__(self) -> None:
        self.heads: list[VersionedHead] = []
        self.erase: list[str] = []
        self.facts: list[Fact] = []
        self.events: list[EventRow] = []
        self.money: dict[str, list[int]] = {}
        self.due: list[Due] = []
        self.undue: list[Due] = []
        self.correlations: dict[str, list[tuple[str, Correlation]]] = {}
        self.dropped: dict[str, list[str]] = {}
        self.settled: list[str] = []
        self.group_finals: dict[str, dict[str, int]] = {}
        self.fact_lines: list[str] = []
        self.event_lines: list[str] = []
        self.accepted: dict[Any, int] = {}


DEAD_POPS_MAX: Final = 100
"""So many pops in a row may bring nothing but messages that were final already; then the caller has its turn."""


class EngineView(NamedTuple):
    """An engine as the store knows it: does its lease live, and how many messages does it hold in flight?"""

    name: str
    alive: bool
    in_flight: int


class SendEntry(msgspec.Struct, frozen=True, gc=False):
    """One raw entry of the sends stream: its id and the field that was there (json, msgpack, or "" for neither)."""

    entry: str
    kind: str
    payload: bytes


class RejectRow(NamedTuple):
    """One refused send for `rejects`; `position` is 0-based within the stream entry. `at` ms."""

    entry: str
    position: int
    reason: str
    detail: str
    send: bytes
    at: int


class Store(CustomerStore, FrontStore, InboxStore, Protocol):
    """One partition's records, queues, money and streams, plus the untagged streams `sends` and `rejects`."""

    partition: str

    async def close(self) -> None:
        """Drops connections; nothing else."""

    async def server_settings(self) -> Mapping[str, str]:
        """What preflight judges: appendonly, appendfsync, maxmemory, maxmemory-policy, used_memory, version, ... as text.
        Raises StoreUnavailable."""

    async def admit(
        self,
        batch: Sequence[Admission],
        at: int,
        cursor: tuple[Owner, Cursor] | None = None,
        refused: Callable[[Mapping[int, Verdict]], Sequence[RejectRow]] | None = None,
    ) -> list[Verdict]:
        """S1: reserves, records and enqueues, in order, every send of the batch (at most 500) that money and keys allow, and
        writes one `queued` event row each. With `cursor`, which only the intake's owner gives, the stream cursor moves in the
        same transaction, also for an empty batch, and with it go the rows that `refused` makes of what is not accepted (index
        -> verdict): they wait for `publish_rejects`; then an accepted send's verdict has no id. Raises StoreUnavailable:
        nothing was accepted, or it was and the same keys / the same cursor will find it so; Deposed: intake was taken over."""

    async def accept_group(self, plan: GroupPlan, messages: Sequence[Admission]) -> Verdict:
        """S2: all of the messages (at most 50,000) or none, one debit; visible to engines only when complete. Repeating
        a plan with the same id answers the stored state. verdict accepted, duplicate, conflict, pending, poor or unknown;
        `id` is the group's."""

    async def expand_groups(self, owner: Owner, limit: int = 500) -> int:
        """S2 (d): expands at most `limit` messages of live groups ahead of the pop; returns how many."""

    async def messages(self, ids: Sequence[str]) -> list[Message | None]:
        """Heads and bodies as they are now; None where neither exists."""

    async def heads(self, ids: Sequence[str]) -> list[Message | None]:
        """As `messages`, without bodies: what a receipt's decision needs, at half the price. None where no head exists."""

    async def find_key(self, account: str, key: str, at: int) -> str | None:
        """The message id under an idempotency key or caller's id."""

    async def group(self, group_id: str) -> GroupView | None:
        """A group's counts."""

    async def take_lease(self, name: str, nonce: str, ttl_ms: int) -> Owner | None:
        """Takes the lease `name` if free (or already ours by nonce) and raises its fence. None: somebody lives."""

    async def renew_lease(self, owner: Owner, nonce: str, ttl_ms: int) -> bool:
        """Keeps the lease; False when it is no longer ours."""

    async def drop_lease(self, owner: Owner, nonce: str) -> None:
        """Gives it up on a clean stop."""

    async def engines(self) -> Sequence[EngineView]:
        """Every engine that has in-flight batches or a lease."""

    async def queues(self) -> Sequence[Queue]:
        """Queues that hold something now, otp lanes first."""

    async def depths(self) -> Mapping[Queue, int]:
        """Entries per queue (approximate while groups expand)."""

    async def oldest_turns(self) -> Mapping[Queue, int]:
        """Per queue the ms since which its longest waiting account has had no turn."""

    async def sends_waiting(self) -> int:
        """Entries of the sends stream that intake has not admitted yet (up to what was trimmed last)."""

    async def pop(self, owner: Owner, queues: Sequence[Queue], limit: int, at: int) -> list[Message]:
        """S3: up to `limit` (<= 500) messages from the queues in the given order, accounts in turns of at most 50, now in
        flight under `owner`, with bodies and, for retries, heads. A message without body (final meanwhile) is settled by
        the store and passed over: an empty answer means that nobody waits (but for more than DEAD_POPS_MAX such rounds)."""

    async def write_ahead(self, owner: Owner, heads: Sequence[VersionedHead]) -> list[str]:
        """S4: the submitting heads are durable; only after this may bytes leave. Where a message's head is not the one it was
        claimed with (it had two queue elements, and another engine was faster), nothing is written and its id returned."""

    async def settle(self, owner: Owner, effects: Effects) -> None:
        """S5: applies effects of owned messages."""

    async def correlate(self, carrier: str, carrier_ids: Sequence[str]) -> list[Correlation | None]:
        """Where these carrier message ids lead, newest windows first."""

    async def commit_receipts(self, effects: Effects) -> list[str]:
        """S6: applies effects of messages at rest if every head still has the version it was decided on; else applies
        nothing and returns the ids that moved. [] means applied."""

    async def commit(self, effects: Effects) -> list[str]:
        """S7: as S6, and refuses ids that any engine holds in flight."""

    async def keep_correlations(self, carrier: str, rows: Sequence[tuple[str, Correlation]], at: int) -> None:
        """Correlations of messages whose heads are not ours to write; kept until their deadlines, as a commit's."""

    async def drop_correlations(self, carrier: str, carrier_ids: Sequence[str]) -> None:
        """After the receipt is durable; a left-over expires by itself."""

    async def overdue_correlations(self, carrier: str, at: int, limit: int, reader: str = "") -> list[tuple[str, Correlation]]:
        """Correlations whose deadline has passed at `at`, found in small steps; remembers where each reader was."""

    async def park_early(self, carrier: str, receipts: Sequence[tuple[str, bytes]]) -> None:
        """Keeps receipts whose carrier id nobody knows yet: (unique field, opaque bytes)."""

    async def early(self, carrier: str, limit: int) -> list[tuple[str, bytes]]:
        """Up to `limit` parked receipts."""

    async def early_count(self, carrier: str) -> int:
        """How many are parked."""

    async def drop_early(self, carrier: str, fields: Sequence[str]) -> None:
        """Forgets parked receipts."""

    async def move_due(self, at: int, limit: int) -> int:
        """S8: members of the due set with time <= `at` join their queues; returns how many."""

    async def orphans(self, dead: str) -> tuple[list[Message], set[str]]:
        """In-flight messages of an engine whose lease is gone, with heads and bodies; which of them a living one holds, too."""

    async def take_over(self, owner: Owner, dead: str, requeue: Sequence[Message], effects: Effects) -> None:
        """Puts `requeue` back at the front of their queues, applies effects (doubts), clears the dead engine's in-flight
        batches: one fenced step per batch of 500. Raises Deposed."""

    async def read_sends(self, after: str, limit: int, block_ms: int) -> list[SendEntry]:
        """Entries after id `after` ("" from the start)."""

    async def cursor(self) -> Cursor:
        """The intake cursor."""

    async def trim_sends(self, through: str) -> None:
        """Cuts admitted entries, never a later one."""

    async def publish_rejects(self) -> int:
        """Moves refused sends from where `admit` left them to `rejects`, each once whatever happens; returns how many."""

    async def sweep_holds(self, at: int, older_ms: int, *, intake: bool = False) -> int:
        """Gives back money and keys of admissions that never enqueued; `intake`: those of intakes, whatever their age."""

    async def sweep_groups(self, at: int, older_ms: int) -> int:
        """Voids stale staging groups."""

    async def sweep_buckets(self, at: int, retention_ms: int) -> int:
        """Unlinks buckets whose bodies are gone and whose retention has passed."""

    async def sweep_queues(self, at: int, limit: int) -> tuple[list[str], bool]:
        """Looks at the next `limit` queued messages: ids of those whose deadline has passed, and whether there are more."""

    async def repair_rings(self) -> int:
        """Makes every non-empty queue visible again; returns how many were not."""

    async def trim_streams(self, at: int, keep_ms: int) -> bool:
        """Cuts out streams by age (to within seconds), never past the slowest reader group. True: there is more to cut."""

    async def read_stream(
        self, stream: Literal["events", "charges", "inbound", "rejects", "sends"], after: str, limit: int
    ) -> list[tuple[str, dict[str, Any]]]:
        """Rows as maps with the entry id they came in (many rows may share one). Raises CorruptRecord with its `entry`."""

    async def control(self, carrier: str, bind: str, command: str) -> None:
        """Records an operator's wish (pause, resume) for a bind, durable until changed."""

    async def controls(self) -> Mapping[tuple[str, str], str]:
        """All recorded wishes."""


class Clock(Protocol):
    """Time as an argument's source: the shell reads it, the core never does."""

    def now_ms(self) -> int:
        """Wall time, ms since 1970 UTC: for records, validity and rows."""

    def monotonic(self) -> float:
        """Seconds that never go back: for timers, windows and rates."""


class Chance(Protocol):
    """Randomness for jitter and starting references."""

    def random(self) -> float:
        """Uniform in [0, 1)."""


class Ids(Protocol):
    """Makes message ids (core/ids.py says how they look)."""

    def make(self, at: int, count: int) -> list[str]:
        """`count` fresh ids for time `at` ms, sortable by time."""
