"""What the tasks of one engine share: the ports it was given, the messages in its hands, the bells that wake its tasks.

It refuses to know what any task does with them, and decides nothing. All of it belongs to one Trio loop; nothing here
is thread-safe, and nothing needs a lock, because no method that changes two things awaits between them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from typing import Any, Final, TypeVar

import msgspec
import trio

from dispatcher.core.allotment import Allotment
from dispatcher.core.breadth import Breadth
from dispatcher.core.counters import Counters
from dispatcher.core.customer import Account
from dispatcher.core.lifecycle import Answer
from dispatcher.core.model import Correlation, Message, State
from dispatcher.core.pool import Pool, Slot
from dispatcher.core.ports import Chance, Clock, CorruptRecord, Ids, Owner, Store, StoreUnavailable, VersionedHead
from dispatcher.core.retry import Rules
from dispatcher.core.settings import Bind, Carrier, Settings
from dispatcher.core.throttle import Throttle
from dispatcher.engine.limits import Limits
from smpp.bell import Bell
from smpp.link import Link

R = TypeVar("R")

RECENT_MAX: Final = 20_000
"""Settled heads, and for each carrier as many correlations, kept for their receipts."""
BATCH_MAX: Final = 500
"""Messages in one step of the store (store.md 8: a longer one holds the server longer than the limit)."""
_BUSY_PART: Final = 2
"""A claim waits until this part (a half) of what may be claimed is free, or for poll_ms."""
_SUBMITTED: Final = int(State.SUBMITTED)
_PAUSE_FIRST_S: Final = 0.02
_PAUSE_MAX_S: Final = 1.0


Token = tuple["Flight", int]
"""What a link carries for us: the flight and the 1-based number of the segment, or WHOLE."""
WHOLE: Final = 0
"""In the place of a segment's number: one submit for all segments of the flight's round."""


def same_message(token: Token, other: Token) -> bool:
    """Are these two of one message?"""
    return token[0] is other[0]


class Seat(Slot):
    """One carrier session as this engine runs it: the pool's slot, its link while there is one, its throttles.

    `number` counts all sessions of the configuration, so that engines can share them out. `throttles`: the carrier's,
    shared by all its sessions here, then the bind's; `yielding` is the one of them that refusals slow down. `days`: what
    is left of the carrier's day and the bind's; `breadth`: the window, where it follows response times; `submitted`: over
    this link. `held`: the pause asked for by an operator. `leased`: the session is ours, as far as can be known without asking.
    """

    __slots__ = (
        "bind_settings",
        "breadth",
        "carrier_settings",
        "days",
        "held",
        "leased",
        "link",
        "number",
        "reach",
        "state",
        "submitted",
        "throttles",
        "window_max",
        "yielding",
    )

    def __init__(self, carrier: Carrier, bind: Bind, label: str, session: int, number: int, *, window: int) -> None:
        super().__init__(carrier.name, label, session, window)
        self.carrier_settings = carrier
        self.bind_settings = bind
        self.number = number
        self.link: Link[Token] | None = None
        self.breadth = None if bind.window_min is None else Breadth(bind.window_min, window)
        self.window_max = window if self.breadth is None else self.breadth.window
        self.reach = window
        self.days: tuple[Allotment, ...] = ()
        self.throttles: tuple[Throttle, ...] = ()
        self.yielding: Throttle | None = None
        self.submitted = 0
        self.state = "down"
        self.held = False
        self.leased = False

    def refused(self, now: float, left_at: float) -> None:
        """The carrier said "too fast" to what left at `left_at` (0: nobody knows): pause and slow down, if it is about pace."""
        yielding = self.yielding
        if yielding is None or yielding.refused(now, left_at):
            self.paused_until = max(self.paused_until, now + self.carrier_settings.throttle_pause_s)

    @property
    def watched(self) -> bool:
        """Does anything here depend on how long answers take?"""
        yielding = self.yielding
        return (yielding is not None and yielding.rate is not None) or self.breadth is not None

    def responded(self, seconds: float, now: float) -> None:
        """The carrier took so long for an answer."""
        if self.yielding is not None:
            self.yielding.responded(seconds)
        if self.breadth is not None:
            self.breadth.responded(seconds, now)
            self.window_max = self.breadth.window

    def look_ahead(self, segments_max: int) -> None:
        """How much may be claimed for it now: its window, and beyond it what hides the next claim's round trip.

        An OTP passes what waits in the link, but not what leaves while it is being claimed; so it is at most one more window,
        with a rate no more than a tenth of a second of it, and never does more than one window wait there, the claim under way
        included. `reach` is what that would be with its window full.
        """
        link, session_window = self.link, self.window_max
        ahead = min(session_window, segments_max)
        if any(t.closed for t in self.throttles):
            self.window = 0  # other engines have the whole rate: what we claimed would only lie here
            return
        limits = [t.limit for t in self.throttles if t.limit]
        waiting = link.queued - link.held if link is not None else 0
        if limits:
            ahead = min(ahead, max(1, int(min(limits) * 0.1)))
            self.window = self.reach = min(session_window, self.used - waiting + ahead)
        else:
            self.reach = session_window + ahead
            self.window = min(self.reach, self.used - waiting + session_window)


def seats_of(settings: Settings) -> list[Seat]:
    """A seat per session of the configuration, numbered in the file's order."""
    seats: list[Seat] = []
    for carrier in settings.carrier:
        for position, bind in enumerate(carrier.bind, 1):
            label = bind.name or f"{bind.host}-{position}"
            for session in range(bind.sessions):
                seats.append(Seat(carrier, bind, label, session, len(seats), window=bind.window))
    return seats


class Flight(msgspec.Struct, eq=False, gc=False):
    """A message in this engine's hands, from its write-ahead to the settling of the last answer of this round.

    `answers` are known but not yet decided on; `open` counts segments handed to the link without an answer;
    `left_at` is when its first bytes left (monotonic seconds, 0: not yet). `whole`: the segments of a submit for all of them.
    """

    message: Message
    slot: Seat
    open: int
    left_at: float = 0.0
    answers: list[Answer] = []
    whole: Sequence[int] = ()
    tlvs: dict[int, dict[str, str]] | None = None

    def each(self, answers: Sequence[Answer]) -> list[Answer]:
        """Answers segment by segment: one to a submit for all is one to each."""
        found: list[Answer] = []
        for answer in answers:
            numbers = self.whole if answer.segment == WHOLE else (answer.segment,)
            found += [answer._replace(segment=number) for number in numbers]
        return found


class Recent:
    """What this engine settled last, so that receipts need not read it back: correlations and heads, oldest out first.

    `correlations` is by carrier, then by its message id. Only ever a short cut: a head that somebody changed meanwhile
    fails its version check and is read again.
    """

    __slots__ = ("correlations", "messages", "messages_max")

    def __init__(self, messages_max: int = RECENT_MAX) -> None:
        self.messages_max = messages_max
        self.messages: dict[str, Message] = {}
        self.correlations: dict[str, dict[str, Correlation]] = {}

    def keep(self, messages: Sequence[Message], rows: Mapping[str, Sequence[tuple[str, Correlation]]]) -> None:
        """Adds a settled batch."""
        if not self.messages_max:
            return
        kept = self.messages
        for message in messages:
            head = message.stage.head if message.stage is not None else message.head
            if head is not None and head.state == _SUBMITTED:  # others may be claimed again any moment
                kept[message.id] = message
        for carrier, pairs in rows.items():
            own = self.correlations.setdefault(carrier, {})
            own.update(pairs)
            while len(own) > self.messages_max:
                del own[next(iter(own))]
        while len(kept) > self.messages_max:
            del kept[next(iter(kept))]

    def moved_on(self, heads: Sequence[VersionedHead], messages: Mapping[str, Message]) -> None:
        """Puts back messages whose new heads were written and that more receipts are awaited for."""
        for versioned in heads if messages else ():
            if versioned.head.state == _SUBMITTED:
                message = messages[versioned.id]
                message.version = versioned.version
                self.messages[versioned.id] = message


class Works:
    """One engine's shared state. `flights` is bounded by the windows plus what is claimed ahead of them."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        rules: Rules,
        pool: Pool,
        *,
        clock: Clock,
        chance: Chance,
        ids: Ids,
        counters: Counters,
        log: Any,
        name: str,
    ) -> None:
        self.settings = settings
        self.store = store
        self.rules = rules
        self.pool = pool
        self.clock = clock
        self.chance = chance
        self.ids = ids
        self.counters = counters
        self.log = log
        self.name = name
        self.owner = Owner(name, 0)
        self.flights: dict[str, Flight] = {}
        self.seats: list[Seat] = []
        self.recent = Recent()
        self.accounts: dict[str, Account] = rules.accounts
        self.stopping = False
        self.sending_until = 0.0  # monotonic: beyond it our lease may be somebody else's, and no byte may leave
        self.store_away = False
        self.room_bell = Bell()
        self.queue_bell = Bell()
        self.settled_bell = Bell()
        self.unsettled_since = inf  # monotonic: answers that came since then may not be settled yet
        self.limits = Limits(settings.limit, counters) if settings.limit else None

    def may_send(self, now: float) -> bool:
        """False once our lease may have run out: another engine may hold our messages by now."""
        return now < self.sending_until

    def crowded(self) -> bool:
        """Is there too little room for a batch worth its round trips?"""
        free = window = 0
        for seat in self.seats:
            if seat.up:
                free += seat.free
                window += seat.reach
        return _BUSY_PART * free < window

    def half_full(self) -> bool:
        """Is half of some session's window in use? Below that there is time to wait for company."""
        return any(2 * seat.used >= seat.window_max for seat in self.seats if seat.up)

    async def persist(self, step: str, call: Callable[[], Awaitable[R]]) -> R:
        """Repeats one step of the store until it has taken effect. Raises Deposed. Pauses everything by not returning."""
        pause = _PAUSE_FIRST_S
        while True:
            started = self.clock.monotonic()
            try:
                result = await call()
            except StoreUnavailable as error:
                self.lost_store(step, error)
                await trio.sleep(pause)
                pause = min(2 * pause, _PAUSE_MAX_S)
            else:
                self.found_store()
                self.counters.observe("dispatcher_store_seconds", (step,), self.clock.monotonic() - started)
                return result

    async def read(self, ids: Sequence[str], *, bodies: bool) -> list[Message]:
        """The messages that exist; without `bodies` those that have a head, at half the price. A record that does not
        decode costs itself only: it is shown and left out."""
        try:
            found = await self.persist("messages", lambda: self.store.messages(ids) if bodies else self.store.heads(ids))
        except CorruptRecord as error:
            if len(ids) == 1:
                self.log.error("corrupt_record", place=error.where)
                return []
            half = len(ids) // 2
            return await self.read(ids[:half], bodies=bodies) + await self.read(ids[half:], bodies=bodies)
        return [message for message in found if message is not None]

    def lost_store(self, step: str, error: Exception) -> None:
        """Notes, once, that the store is away."""
        if not self.store_away:
            self.store_away = True
            self.log.warning("store_away", step=step, error=type(error).__name__)

    def found_store(self) -> None:
        """Notes, once, that it is back."""
        if self.store_away:
            self.store_away = False
            self.log.info("store_back")

    async def nap(self, seconds: float) -> None:
        """Sleeps, but not past a stop by more than 0.1 s."""
        until = trio.current_time() + seconds
        while not self.stopping:
            left = until - trio.current_time()
            if left <= 0:
                return
            await trio.sleep(min(left, 0.1))


def chunks(items: Sequence[R], size: int = BATCH_MAX) -> list[Sequence[R]]:
    """The items in order, at most `size` at a time."""
    return [items[i : i + size] for i in range(0, len(items), size)] if len(items) > size else [items] if items else []
