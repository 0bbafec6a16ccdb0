"""A session on a stream, under Trio: one reader, one writer, one tick, and the truth about what left.

It refuses to know what is sent and what the events mean: it moves lists between a queue, the session and the stream, and hands
the session's events to `on_events`. It serves both roles.

Theory. The writer is the only one who writes, and once per wake-up: what the session has to say (answers, enquire_link)
and as many queued requests as the window and `pace` allow go out as one piece of bytes. `pace` is asked at the moment of
writing, not before, so that a rate limit counts what leaves and when. Of a plain socket we count the bytes that the
operating system took, so a request whose last byte stayed here is *not sent*, provably. Of anything else (TLS) bytes
count as left when they are handed over, since nobody tells us more.

Ending. Whatever happens (peer gone, session closed, cancellation, an error in a callback) `run` ends, `ended` holds
what is in doubt, and the stream is closed. Nothing waits for a peer longer than the session's timers say; one that takes no
byte of a write for as long as it may be silent (`enquire_answer_s`) is given up, since whatever is queued grows old behind it.
What the write had begun is then told by its bytes: those whose last byte left are unknown, all others were not sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from math import inf
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import trio

from smpp.bell import Bell
from smpp.pdus import Pdu
from smpp.session import Events, Session, State
from smpp.streams import receiver, sender

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

REQUESTS_PER_WRITE_MAX: Final = 500
PASSED_MAX: Final = 200
"""So many held requests are passed at most, to find those that may leave."""
HANDFUL: Final = 4
"""A peer that answers this part (a quarter) of the window in one read is sent no less in one write."""
PARTED: Final = 16
"""This part of the window may stay free meanwhile, so that what belongs together is not parted."""
HANDFUL_S: Final = 0.002
"""How long a write may wait to become a handful."""
PAUSE_S: Final = 0.001
FLUSH_S: Final = 1.0  # how long a closed session's last words (unbind_resp) may take to leave

Pace = Callable[[int, float], tuple[int, float]]
"""(wanted, now) -> (granted, when to ask again for the rest)."""


class Ended(NamedTuple, Generic[T]):
    """How a link ended, and what it leaves: `unknown` may have been accepted by the peer, `not_sent` cannot have been.
    Tokens that were reported in Events.timed_out are in neither: they have been told.

    `reason`: a session's close reason (unbound, peer_unbound, peer_dead, response_timeout, bind_refused, ...), or
    peer_closed, connection_lost, cancelled, dropped, failed (a callback raised).
    """

    reason: str
    unknown: list[T]
    not_sent: list[T]


class Holds(Protocol[T_contra]):
    """Limits that some requests meet and others do not."""

    def free(self, token: T_contra, now: float) -> float:
        """0 when the request may leave now, and counts it; else when to ask again."""

    def back(self, token: T_contra, now: float) -> None:
        """A request that was free at this very instant does not leave after all."""


class Link(Generic[T]):
    """Runs a session on a stream until either ends.

    on_events(events)          called in the reader's and the tick's turn; must not block; may call `queue`, `answer`
    pace(wanted, now)          optional limit on requests, asked when they are about to be written
    on_written(tokens, now)    optional: these requests have left whole. Their answers may have come before.
    holds                      optional limits on single requests; those it holds are passed by others behind them
    together(token, token)     optional: do these two that follow one another belong together? Better not parted.
    clock()                    monotonic seconds
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        session: Session[T],
        *,
        on_events: Callable[[Events[T]], None],
        pace: Pace | None = None,
        on_written: Callable[[list[T], float], None] | None = None,
        holds: Holds[T] | None = None,
        together: Callable[[T, T], bool] | None = None,
        clock: Callable[[], float] = trio.current_time,
        tick_s: float = 0.5,
    ) -> None:
        self.session = session
        self.ended: Ended[T] | None = None
        self._stream = stream
        self._on_events = on_events
        self._pace = pace
        self._on_written = on_written
        self._clock = clock
        self._tick_s = tick_s
        self._holds = holds
        self._together = together
        self._by_handfuls = False  # so the peer answered last
        self._patience = 0.0  # until when a write waits to become one
        self.held = 0  # of those that are queued, as many were passed by others when last looked at
        self._urgent: deque[tuple[bytes, T]] = deque()
        self._unsent: deque[tuple[bytes, T]] = deque()
        self._bell = Bell()
        self._done = trio.Event()
        self._scope: trio.CancelScope | None = None
        self._reason = ""
        self._moved_at = inf  # when a byte of the write under way left last; inf: none is under way

    @property
    def queued(self) -> int:
        """Requests that wait for room or pace."""
        return len(self._urgent) + len(self._unsent)

    def queue(self, items: Iterable[tuple[bytes, T]], *, urgent: bool = False) -> None:
        """Appends (body, token) pairs to be sent in order, urgent ones before all others. After the end they are lost to
        nobody: raises RuntimeError."""
        if self.ended is not None:
            raise RuntimeError(f"the link has ended: {self.ended.reason}")
        (self._urgent if urgent else self._unsent).extend(items)
        self._bell.ring()

    def unqueue(self, unwanted: Callable[[T], bool] | None = None) -> list[T]:
        """Takes back what has not been given to the session yet: all of it, or what is `unwanted`; the rest keeps its order."""
        taken: list[T] = []
        for waiting in (self._urgent, self._unsent):
            items = list(waiting)
            gone = [token for _, token in items if unwanted is None or unwanted(token)]
            if gone:
                taken += gone
                waiting.clear()
                waiting.extend([] if unwanted is None else [item for item in items if not unwanted(item[1])])
        self.held = min(self.held, self.queued)
        return taken

    def answer(self, sequences: Sequence[int], status: int = 0, *, hurry: bool = True) -> None:
        """ESME: answers deliver_sm; without `hurry` with the next write, or when `hasten` is called."""
        self.session.answer_delivers(sequences, status)
        if hurry:
            self._bell.ring()

    def hasten(self) -> None:
        """Writes what still waits for company."""
        if self.session.has_outgoing:
            self._bell.ring()

    def answer_submits(self, answers: Iterable[tuple[int, int, str]], tlvs: bytes = b"") -> None:
        """SMSC: answers submit_sm with (sequence, status, message_id), each with these TLVs behind it."""
        self.session.answer_submits(answers, tlvs)
        self._bell.ring()

    def ask(self, question: Pdu, token: object) -> None:
        """ESME: asks query_sm or cancel_sm, beside the window and the pace. Raises LocalProtocolError (smpp.session)."""
        self.session.ask(question, token, self._clock())
        self._bell.ring()

    def answer_question(self, answer: Pdu) -> None:
        """SMSC: answers query_sm or cancel_sm, under its sequence number."""
        self.session.answer_question(answer)
        self._bell.ring()

    def say(self, data: bytes) -> None:
        """Writes these bytes as they are: how a simulated peer talks nonsense."""
        self.session.say(data)
        self._bell.ring()

    def wake(self) -> None:
        """Makes the writer look again: after the session was used directly, or when `pace` may grant earlier than it said."""
        self._bell.ring()

    async def close(self, reason: str = "unbound") -> None:
        """Unbinds politely and waits for the end: at most drain_s + unbind_timeout_s + FLUSH_S. What is queued is not sent."""
        self.session.start_unbind(self._clock(), reason)
        self._bell.ring()
        if self._scope is not None:
            await self.done()

    async def done(self) -> None:
        """Waits for the end."""
        await self._done.wait()

    def drop(self, reason: str = "dropped") -> None:
        """Ends now, without a word to the peer."""
        self._end(reason)

    async def run(self) -> Ended[T]:
        """Runs until death or close. ESME sessions bind first. What a callback raises comes out of here, after the end.

        Cancelled, it raises Cancelled; `ended` is there all the same.
        """
        reason = "cancelled"
        try:
            if self.session.login is not None and self.session.state is State.OPEN:
                self.session.start_bind(self._clock())
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                if self._reason:
                    self._scope.cancel()
                nursery.start_soon(self._read)
                nursery.start_soon(self._write)
                nursery.start_soon(self._tick)
        except Exception as raised:
            reason = "failed"
            if isinstance(raised, ExceptionGroup) and len(raised.exceptions) == 1:
                raise raised.exceptions[0] from None
            raise
        finally:
            reason = self._reason or self.session.close_reason or reason
            unknown, not_sent = self.session.lost()
            self.ended = Ended(reason, unknown, not_sent + self.unqueue())
            self._on_events = _deaf  # whoever hears events mostly holds the link: a cycle, with all that was in flight
            self._done.set()
            await trio.aclose_forcefully(self._stream)
        return self.ended

    # -- the three tasks ---------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        session, receive = self.session, receiver(self._stream)
        while True:
            try:
                data = await receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return self._end("connection_lost")
            if not data:
                return self._end("peer_closed")
            self._handle(session.receive(data, self._clock()))

    async def _write(self) -> None:
        session, send = self.session, sender(self._stream, self._wrote)
        try:
            while True:
                self._bell.silence()
                tokens, again_at = self._submit(self._clock())
                data = session.outgoing()
                if data:
                    self._moved_at = self._clock()
                    await send(data)
                    self._moved_at = inf
                    if tokens and self._on_written is not None:
                        self._on_written(tokens, self._clock())
                    if session.state is State.CLOSED or (self.queued and session.room):
                        continue
                    again_at = inf
                elif session.state is State.CLOSED:
                    return self._end("")
                # A pace that says "now" and grants nothing must not make this loop spin.
                await self._bell.wait(max(again_at - self._clock(), PAUSE_S))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end("connection_lost")

    def _submit(self, now: float) -> tuple[list[T], float]:
        """Gives the session what may leave now; returns its tokens, and when to ask the pace again."""
        count = min(self.queued, self.session.room, REQUESTS_PER_WRITE_MAX)
        again_at = inf
        if self._holds is not None and count > 0:
            return self._submit_free(self._holds, count, now)
        if self._by_handfuls and not self._urgent and 0 < count < self.queued and self.session.in_flight:
            count, again_at = self._handful(count, now)
        else:
            self._patience = 0.0
        if count > 0 and self._pace is not None:
            count, again_at = self._pace(count, now)
        if count <= 0:
            return [], again_at
        items: list[tuple[bytes, T]] = []
        for waiting in (self._urgent, self._unsent):
            if waiting and len(items) < count:
                items += islice(waiting, count - len(items))
        self.session.submit(items, now)
        for _ in items:
            (self._urgent or self._unsent).popleft()
        return [token for _, token in items], again_at

    def _handful(self, count: int, now: float) -> tuple[int, float]:
        """How many of `count`, which are not all that is queued, leave now: few wait a moment for more room. And whatever is
        written last brings the last of a message with it, if that leaves little of the window free."""
        window = self.session.settings.window
        if count < window // HANDFUL:
            self._patience = self._patience or now + HANDFUL_S
            if now < self._patience:
                return 0, self._patience
        self._patience = 0.0
        if self._together is not None:
            waiting = self._unsent
            for whole in range(count, max(0, count - window // PARTED - 1), -1):
                if not self._together(waiting[whole - 1][1], waiting[whole][1]):
                    return whole, inf
        return count, inf

    def _submit_free(self, holds: Holds[T], count: int, now: float) -> tuple[list[T], float]:
        """The same where single requests may be held."""
        again_at = inf
        looked: list[tuple[deque[tuple[bytes, T]], tuple[bytes, T], bool]] = []
        free = 0
        while (waiting := self._urgent or self._unsent) and free < count and len(looked) < count + PASSED_MAX:
            item = waiting.popleft()
            at = holds.free(item[1], now)
            looked.append((waiting, item, at <= 0))
            free += at <= 0
            again_at = again_at if at <= 0 else min(again_at, at)
        self.held = len(looked) - free
        granted = free
        if free and self._pace is not None:
            granted, pace_at = self._pace(free, now)
            again_at = again_at if granted == free else min(again_at, pace_at)
        items: list[tuple[bytes, T]] = []
        left: list[tuple[deque[tuple[bytes, T]], tuple[bytes, T]]] = []
        for waiting, item, is_free in looked:
            if is_free and len(items) < granted:
                items.append(item)
                continue
            left.append((waiting, item))
            if is_free:
                holds.back(item[1], now)
        for waiting, item in reversed(left):
            waiting.appendleft(item)
        if items:
            self.session.submit(items, now)
        return [token for _, token in items], again_at

    async def _tick(self) -> None:
        while True:
            await trio.sleep(self._tick_s)
            now = self._clock()
            self._handle(self.session.tick(now))
            if now - self._moved_at >= self.session.settings.enquire_answer_s:
                return self._end("peer_does_not_read")

    def _wrote(self, byte_count: int) -> None:
        self.session.wrote(byte_count)
        self._moved_at = self._clock()

    def _handle(self, events: Events[T]) -> None:
        if events:
            if events.answers:
                self._by_handfuls = HANDFUL * len(events.answers) >= self.session.settings.window > HANDFUL
            self._on_events(events)
        closed = self.session.state is State.CLOSED
        if self.session.has_outgoing or self.queued or closed:
            self._bell.ring()
        if closed and self._scope is not None:
            self._scope.deadline = min(self._scope.deadline, trio.current_time() + FLUSH_S)

    def _end(self, reason: str) -> None:
        self._reason = self._reason or self.session.close_reason or reason
        if self._scope is not None:
            self._scope.cancel()


def _deaf(_: object) -> None:
    """A link that has ended tells nobody."""
