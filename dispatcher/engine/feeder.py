"""From the queues to the links: claim what there is room for, choose the session, write ahead, hand over.

It refuses to know which session is best (core/pool), whether a message may go (core/lifecycle) and how it is written (encode).

Theory. One task does all of it in batches: pop, decide, one write-ahead, then the bodies go to their links without another
await, so that nothing lies between the durable record and the queue of the writer but memory. Never more is claimed than
the free windows and a small reach beyond them, because what has been claimed stands before every later OTP.
Routes with exactly the same groups of carriers are claimed together, otp lanes first; others one after the other in turns.

A popped message that cannot go now (nothing has room, its carrier is down, its instant has not come) is put back by
way of the due set and settled: nothing is kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, cast

from accounting.tariff import Price
from dispatcher.core import alike
from dispatcher.core.admission import Book
from dispatcher.core.happy import start
from dispatcher.core.lifecycle import Breach, DueReached, ValidityOver, begin, collect, decide, ready
from dispatcher.core.model import LANES, Body, Head, Lane, Message, Outcome, State
from dispatcher.core.ports import Due, Effects, Queue, VersionedHead
from dispatcher.core.routing import ENCODING_BY_NAME
from dispatcher.core.settings import Route
from dispatcher.engine.committer import Committer, count_effects
from dispatcher.engine.encode import Encoder, Unencodable
from dispatcher.engine.overdue import LOOK_S, recall_overdue
from dispatcher.engine.works import BATCH_MAX, WHOLE, Flight, Seat, Token, Works
from smpp.segments import SEGMENTS_MAX
from smpp.text import Encoding

PUT_BACK_MS: Final = 100
"""How long a message waits that found no room although its route had some."""
TIED_PUT_BACK_MS: Final = 1_000
"""The same for one that is tied to a carrier or must avoid some: its carrier may be down for long."""
_STRIDE_MAX: Final = 8
"""Messages in a row for one session: looking anew for each is dear, and more would make sessions' loads uneven."""
_STRIDE_PART: Final = 4
_SMALL_STRIDE_MAX: Final = 16
"""In a small batch a session gets up to this part (a quarter) of its window in a row, at most so many: each session that takes
part costs a write and a read, at low rates more than its messages do."""
_QUIET: Final = 20
_QUIET_POLLS, _TOLD_POLLS = 2, 6
"""After so many looks in a row that nobody asked for and that found nothing, the queues are looked at each second poll; while
intake tells what it has enqueued, each sixth, which is longer than intake's own pause."""

_Ready = tuple[Message, Seat, Head, list[int], alike.Started | None, int]
"""Message, session, head, segments to submit, stage, and the reference of one that is in a stage."""
_ALL: Final = [list(range(1, n + 1)) for n in range(SEGMENTS_MAX + 1)]
"""The segments of a message of so many."""
_SUBMITTING: Final = int(State.SUBMITTING)
_OTP: Final = int(Lane.OTP)


class Looks:
    """How often empty queues are looked at unasked. Intake tells what it has enqueued; other doors and the due set do not."""

    __slots__ = ("_asked", "_found", "_vain")

    def __init__(self) -> None:
        self._vain = 0
        self._asked = self._found = False

    def looked(self, *, found: bool) -> int:
        """A look and whether it found something; for how many polls a ring may be waited for."""
        self._found = found
        self._vain = min(_QUIET, self._vain + (not found and not self._asked))
        if self._vain < _QUIET:
            return 1
        return _TOLD_POLLS if self._asked else _QUIET_POLLS

    def waited(self, *, rang: bool) -> None:
        """Whether it rang. What is found unasked just before a ring was intake's: its word came behind the look."""
        if self._found and not self._asked and not rang:
            self._vain = 0
        self._asked = rang


class Feeder:
    """The one task that claims."""

    def __init__(self, works: Works, committer: Committer, book: Book) -> None:
        self._works = works
        self._committer = committer
        self._encoder = Encoder(works.settings, works.chance)
        self._cost_names = {c.name: c.cost for c in works.settings.carrier if c.cost}
        self._costs: dict[str, Callable[[str], Price | None]] = {}
        self._families = families(works.settings.route)
        self._turn = 0
        self._drained = False
        self._size = 1.0  # segments a message, lately: what is claimed in messages must fit a room in segments
        self._unfit = unfit(works)
        self._senders = {c.name: c.sender for c in works.settings.carrier}
        self._book = book
        self._kinds: dict[Any, alike.Kind | int] = {}

    async def run(self) -> None:
        """Claims and hands over until the engine stops. Raises Deposed."""
        works = self._works
        poll_s = works.settings.engine.poll_ms / 1000
        looks = Looks()
        while not works.stopping:
            self._drained = True
            claimed = await self._turn_all() if works.may_send(works.clock.monotonic()) else 0
            polls, rang = looks.looked(found=claimed > 0), False
            if self._drained:  # the queues are empty: at low rates wake-ups cost more than messages
                rang = await works.queue_bell.wait(polls * poll_s)
            elif not claimed or works.crowded():  # full or down: room rings
                await works.room_bell.wait(poll_s)
            looks.waited(rang=rang)

    async def _turn_all(self) -> int:
        works = self._works
        ahead = works.settings.engine.ahead_segments_max
        claimed = 0
        self._turn += 1
        for i in range(len(self._families)):
            routes = self._families[(self._turn + i) % len(self._families)]
            now = works.clock.monotonic()
            for seat in works.seats:
                seat.look_ahead(ahead)
            limit = min(works.pool.room(routes[0], now, self._size), BATCH_MAX)
            if limit > 0:
                popped = await self._claim(routes, limit)
                self._drained = self._drained and popped < limit
                claimed += popped
            else:
                self._drained = False
        return claimed

    async def _claim(self, routes: tuple[str, ...], limit: int) -> int:
        works = self._works
        queues = [Queue(route, lane) for lane in LANES for route in routes]
        now = works.clock.now_ms()
        messages = await works.persist("pop", lambda: works.store.pop(works.owner, queues, limit, now))
        if not messages:
            return 0
        await self._meet(messages)
        count, held = len(messages), list[tuple[Message, float]]()
        if works.limits is not None:
            messages, held = works.limits.sift(messages, works.clock.monotonic(), now)
        going, effects = self._prepare(messages)
        for message, again_at in held:
            self._hold_back(effects, message, again_at)
        if going:
            heads = _written(going)
            asked_at = works.clock.monotonic()
            if moved := await works.persist("write_ahead", lambda: works.store.write_ahead(works.owner, heads)):
                going = self._left(going, frozenset(moved), effects)
            codes = _codes(going)
            if codes:
                self._hand_over(going[:codes], urgent=True)
            self._hand_over(going[codes:])
            if works.clock.monotonic() > asked_at + LOOK_S:
                recall_overdue(works, self._committer)  # before their links have had a turn
        if effects.settled:
            await works.persist("settle", lambda: works.store.settle(works.owner, effects))
            count_effects(works, effects)
        return count

    def _left(self, going: list[_Ready], moved: Collection[str], effects: Effects) -> list[_Ready]:
        """Without those that another engine has claimed, too, and begun: they are its own."""
        for _, seat, _, segments, _, _ in [each for each in going if each[0].id in moved]:
            seat.used -= len(segments)
        effects.settled += moved
        self._works.log.warning("claimed_twice", count=len(moved))
        return [each for each in going if each[0].id not in moved]

    async def _meet(self, messages: list[Message]) -> None:
        """Looks up accounts that are newer than the timers' last look: their rules about refunds and retries hold from their
        first message on."""
        works = self._works
        for name in {message.body.account for message in messages if message.body is not None} - works.accounts.keys():
            account = await works.persist("account", lambda n=name: works.store.account(n))  # type: ignore[misc]
            if account is not None:
                works.accounts[name] = account

    # -- decisions of one batch (synchronous)

    def _prepare(self, messages: list[Message]) -> tuple[list[_Ready], Effects]:
        """Which messages go, where, and what becomes of those that do not."""
        works = self._works
        now, monotonic = works.clock.now_ms(), works.clock.monotonic()
        choose, flights = cast("Callable[..., Seat | None]", works.pool.choose), works.flights
        tariffs = ((carrier, self._book.tariffs.at(name, now)) for carrier, name in self._cost_names.items())
        costs = self._costs = {carrier: tariff.price for carrier, tariff in tariffs if tariff is not None}
        going: list[_Ready] = []
        effects = Effects()
        deal, batch = self._dealer(len(messages), monotonic), alike.Batch(self._kinds, now)
        for message in messages:
            body, head = message.body, message.head
            if head is None and body is not None and now < body.deadline_at and message.id not in flights:
                seat = deal(body)
                if seat is not None:
                    segments, carrier = body.segments, seat.carrier
                    seat.used += segments
                    cost = self._cost(carrier, body.to) if costs else 0
                    reference = self._encoder.reference(body, carrier) if segments > 1 else 0
                    stage = batch.start(body, carrier, seat.bind, cost, self._senders[carrier])
                    if stage is not None:
                        going.append((message, seat, stage.head, _ALL[segments], stage, reference))
                    else:
                        head = start(body, carrier, seat.bind, cost, now, self._senders[carrier], reference)
                        going.append((message, seat, head, _ALL[segments], None, reference))
                    continue
            if body is None:
                effects.settled.append(message.id)
                continue
            if message.id in flights:
                # A second queue element, popped before its first was settled: dropped, it might be the one that is needed.
                self._put_back(effects, message, body, now + PUT_BACK_MS)
                continue
            if head is None:
                if now >= body.deadline_at:
                    self._clocks(effects, message, now)
                    continue
                count, pin, avoid = body.segments, "", self._unfit.get((body.route, body.encoding), ())
            else:
                count = len(ready(message, now))
                if not count:
                    self._clocks(effects, message, now)
                    continue
                pin, avoid = head.pin, (*head.avoid, *self._unfit.get((body.route, body.encoding), ()))
            seat = choose(body.route, count, monotonic, pin, avoid)
            if seat is None:
                tied = head is not None and (head.pin or head.avoid)
                self._put_back(effects, message, body, now + (TIED_PUT_BACK_MS if tied else PUT_BACK_MS))
                continue
            started = self._begin(message, body, seat, now)
            if started is not None:
                going.append(started)
        if going:
            self._sample(going[0][0], now)
            size = sum([len(segments) for _, _, _, segments, _, _ in going]) / len(going)
            self._size = max(size, 0.5 * self._size + 0.5 * size)
        return going, effects

    def _dealer(self, count: int, monotonic: float) -> Callable[[Body], Seat | None]:
        """Sessions for a batch's fresh messages, several in a row; None: `choose` must say. They are dealt by the segment; the
        only message of a turn may have more of them than it, as one free segment is room for any message."""
        works, unfit = self._works, self._unfit
        up = [seat.window_max for seat in works.seats if seat.up]
        fair = count // max(1, 2 * len(up))
        small = min(min(up, default=0) // _STRIDE_PART, _SMALL_STRIDE_MAX)
        stride = int(self._size * (_STRIDE_MAX if fair >= _STRIDE_MAX else max(1, fair, small)))
        deal = cast("Callable[[str, int, float], tuple[Seat, int] | None]", works.pool.deal)
        route, seat, left = "", None, 0

        def dealt(body: Body) -> Seat | None:
            nonlocal route, seat, left
            if unfit and (body.route, body.encoding) in unfit:
                return None
            if left < body.segments or body.route != route:
                route = body.route
                seat, left = deal(route, stride, monotonic) or (None, 0)
                if seat is None:
                    return None
            left -= body.segments
            return seat

        return dealt

    def _begin(self, message: Message, body: Body, seat: Seat, now: int) -> _Ready | None:
        """The write-ahead head. A breach costs its own message: it stays in flight and is shown, it is not sent."""
        carrier = seat.carrier
        cost = self._cost(carrier, body.to)
        reference = self._encoder.reference(body, carrier) if body.segments > 1 else 0
        try:
            head, segments = begin(message, carrier, seat.bind, cost, reference, now, self._senders[carrier])
        except Breach as error:
            self._works.log.error("breach", id=message.id, reason=str(error))
            return None
        seat.used += len(segments)
        return message, seat, head, segments, None, 0

    def _cost(self, carrier: str, to: str) -> int:
        price = self._costs[carrier](to) if carrier in self._costs else None
        return price.micro if price is not None else 0

    def _clocks(self, effects: Effects, message: Message, now: int) -> None:
        """Nothing of it may be submitted now: its validity is over, or it came too early, or it is not ours to send."""
        head, body = message.head, message.body
        deadline_at = head.deadline_at if head is not None else body.deadline_at if body is not None else 0
        evidence = ValidityOver() if now >= deadline_at else DueReached()
        decision = decide(message, evidence, self._works.rules, now)
        effects.settled.append(message.id)
        if decision.changed:
            collect(effects, message, decision)
        if head is not None and head.due_at and (not decision.changed or decision.due_at == head.due_at):
            effects.due.append(Due(head.route, head.lane, head.account, message.id, max(head.due_at, now + PUT_BACK_MS)))

    def _put_back(self, effects: Effects, message: Message, body: Body, at: int) -> None:
        effects.settled.append(message.id)
        effects.due.append(Due(body.route, body.lane, body.account, message.id, at))

    def _hold_back(self, effects: Effects, message: Message, at: float) -> None:
        """Back to its queue when a limit lets it go, but not past its validity."""
        body = message.body
        if body is not None:
            wait_ms = max(PUT_BACK_MS, round((at - self._works.clock.monotonic()) * 1000))
            deadline_at = message.head.deadline_at if message.head is not None else body.deadline_at
            self._put_back(effects, message, body, min(self._works.clock.now_ms() + wait_ms, deadline_at))

    def _sample(self, message: Message, now: int) -> None:
        body = message.body
        if message.head is None and body is not None:
            waited_ms = now - max(body.accepted_at, body.options.not_before if body.options is not None else 0)
            self._works.counters.observe("dispatcher_queue_seconds", (Lane(body.lane).wire,), waited_ms / 1000)

    # -- bytes (synchronous: no await between the durable record and the link's queue)

    def _hand_over(self, going: list[_Ready], *, urgent: bool = False) -> None:
        """`urgent`: before all that waits in the links, since it was claimed ahead of its turn."""
        works = self._works
        flights, encoder, forget = works.flights, self._encoder, works.recent.messages.pop
        now = works.clock.now_ms()
        queues: dict[Seat, list[tuple[bytes, Token]]] = {}
        only = _ALL[1]
        for message, seat, head, segments, stage, reference in going:
            body = message.body
            if body is None or head.state != _SUBMITTING:
                raise Breach(f"{message.id}: bytes without a submitting head (I4)")
            if message.version:
                forget(message.id, None)
            message.version += 1
            if stage is None:
                message.head = head
            else:  # it had no head
                message.stage = stage
                message.own = (reference, ()) if reference else ""
            flight = flights[message.id] = Flight(message, seat, len(segments))
            items = queues.get(seat)
            if items is None:
                items = queues[seat] = []
            try:
                if segments is only and (plain := encoder.plain(body, seat.carrier, now)) is not None:
                    items.append((plain, (flight, 1)))
                    continue
                bodies = encoder.bodies(body, seat.carrier, segments, reference or head.reference, now)
            except Unencodable as error:
                works.log.error("unencodable", id=message.id, carrier=seat.carrier, reason=str(error))
                self._committer.closed(seat, [(flight, number) for number in segments], Outcome.PERMANENT)
                continue
            if len(bodies) == 1 < len(segments):
                flight.whole, flight.open = segments, 1
                seat.used -= len(segments) - 1
                items.append((bodies[0], (flight, WHOLE)))
                continue
            items += [(each, (flight, number)) for each, number in zip(bodies, segments, strict=True)]
        for seat, items in queues.items():
            if seat.link is not None and seat.up and seat.link.ended is None:
                seat.link.queue(items, urgent=urgent)
            else:  # it died while the record was written
                self._committer.closed(seat, [token for _, token in items], Outcome.NOT_SENT)


def _codes(going: list[_Ready]) -> int:
    """How many of these are codes (class otp): the first ones, since claims take their lane first."""
    count = 0
    for message, *_ in going:
        if message.body is None or message.body.lane != _OTP:
            break
        count += 1
    return count


def _written(going: Sequence[_Ready]) -> list[VersionedHead]:
    """The write-ahead heads, with their bytes where messages alike share them."""
    heads: list[VersionedHead] = []
    for message, _, head, _, stage, reference in going:
        body = message.body
        text = stage.written(body.to_hash, reference) if stage is not None and body is not None else ""
        heads.append(VersionedHead(message.id, message.version + 1, head, text))
    return heads


def families(routes: Sequence[Route]) -> list[tuple[str, ...]]:
    """Routes grouped by their groups of carriers, in order: only the same order has the same room."""
    groups: dict[tuple[frozenset[str], ...], list[str]] = {}
    for route in routes:
        names = tuple(frozenset(w.name for w in group.carriers) for group in route.group)
        groups.setdefault(names, []).append(route.name)
    return [tuple(names) for names in groups.values()]


def unfit(works: Works) -> dict[tuple[str, int], tuple[str, ...]]:
    """(route, encoding) -> carriers of the route that do not take the encoding."""
    carriers = {c.name: c for c in works.settings.carrier}
    found: dict[tuple[str, int], tuple[str, ...]] = {}
    for route in works.settings.route:
        names = dict.fromkeys(w.name for group in route.group for w in group.carriers)
        for word, encoding in ENCODING_BY_NAME.items():
            also = "gsm7" if encoding == Encoding.ASCII else word  # a carrier's GSM 7-bit can write ASCII
            bad = tuple(n for n in names if not {word, also} & set(carriers[n].quirks.encodings))
            if bad:
                found[route.name, int(encoding)] = bad
    return found
