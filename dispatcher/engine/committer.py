"""The settling of answers: what carriers said about submits becomes heads, money, events and correlations, batch by batch.

It refuses to know what an answer means (core/lifecycle) and how a commit is made atomic (store).

Theory. Every flush decides on all answers known so far, also of messages that still wait for others: a charge without its head
would be made again by a resend, so head and rows of one flush travel together. The head stays SUBMITTING, and the
message in flight, until every segment of this round has its answer; only then is it settled. A repeated flush (reply
lost) is the store's to recognise. Late answers (their submit was given up as unknown) concern messages at rest, which
others may change too: they go through the guarded commit. One whose message goes again just now waits until that round is over:
its id is told to the store at once, for its receipt will come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Final, cast

import trio

from dispatcher.core import alike
from dispatcher.core.happy import accept
from dispatcher.core.kept import KeptTlvs
from dispatcher.core.lifecycle import Answer, Answers, Breach, collect, decide
from dispatcher.core.matching import answer_key, told_id
from dispatcher.core.model import LANES, Correlation, Head, Message, Outcome, State
from dispatcher.core.ports import Effects, StoreUnavailable
from dispatcher.engine.works import BATCH_MAX, Flight, Seat, Token, Works
from smpp.bell import Bell
from smpp.status import StatusClass, classify

IDLE_LINGER_S: Final = 0.02
_TRIES: Final = 5
_BUSY_S: Final = 0.25
"""From try to try, of a late answer whose message is in somebody's hands."""
_BUSY_MAX_S: Final = 300.0
_BUSY_MAX: Final = 10_000
"""How long, and how many, such answers wait; a round is over within a response time-out."""
_MANY: Final = 100
_OUTCOMES: Final = {
    StatusClass.OK: Outcome.ACCEPTED,
    StatusClass.THROTTLED: Outcome.THROTTLED,
    StatusClass.TEMPORARY: Outcome.TEMPORARY,
    StatusClass.PERMANENT: Outcome.PERMANENT,
}
OUTCOME_NAMES: Final = {o: o.name.lower() for o in Outcome}
_ACCEPTED: Final = int(Outcome.ACCEPTED)
_answer = cast(Callable[[tuple[int, int, int, str, int, int]], Answer], partial(tuple.__new__, Answer))
_correlation = cast(Callable[[tuple[str, str, int, int, int]], Correlation], partial(tuple.__new__, Correlation))
"""From their columns, at a third of the price of a NamedTuple's own constructor, which is Python."""
_FINAL: Final = int(State.DELIVERED)
_RESTING: Final = frozenset({int(State.WAITING), int(State.DOUBT)})


class Committer:
    """Collects answers from all links and settles them, one batch at a time."""

    def __init__(self, works: Works) -> None:
        self._works = works
        self._touched: list[Flight] = []
        self._late: list[tuple[Flight, Answer]] = []
        self._busy: list[
            tuple[str, Answer, float]
        ] = []  # (message id, late answer with its attempt, monotonic end of patience)
        self._busy_at = 0.0
        self._counts: dict[tuple[Seat, int], int] = {}
        self._kept = {c.name: KeptTlvs(c.keep_tlvs) for c in works.settings.carrier}
        self._ids = {c.name: c.quirks.ids for c in works.settings.carrier}
        self._statuses = {
            c.name: {int(status, 0): StatusClass(kind) for status, kind in c.quirks.statuses.items()}
            for c in works.settings.carrier
        }
        self.bell = Bell()

    # -- from the links (synchronous)

    def answered(self, slot: Seat, answers: Sequence[tuple[Token, int, str]]) -> None:
        """Answers of one read of one link: (token, command_status, message id)."""
        works = self._works
        now, monotonic = works.clock.now_ms(), works.clock.monotonic()
        carrier, touched = slot.carrier, self._touched
        accepted = 0
        slot.used -= len(answers)
        left_at = answers[0][0][0].left_at  # one sample a read
        for (flight, segment), status, message_id in answers:
            if status == 0:
                accepted += 1
                told = message_id if message_id.isalnum() else told_id(message_id)
                answer = _answer((segment, _ACCEPTED, 0, told, now, 0))
            else:
                answer = self._refused(slot, segment, status, message_id, now, monotonic, flight.left_at)
            if not flight.answers:
                touched.append(flight)
            flight.answers.append(answer)
            flight.open -= 1
        if accepted:
            key = (slot, _ACCEPTED)
            self._counts[key] = self._counts.get(key, 0) + accepted
        works.unsettled_since = min(works.unsettled_since, monotonic)
        if left_at:
            works.counters.observe("dispatcher_submit_seconds", (carrier,), monotonic - left_at)
            if slot.watched:
                slot.responded(monotonic - left_at, monotonic)
        self.bell.ring()
        if not works.crowded():
            works.room_bell.ring()

    def _refused(
        self, slot: Seat, segment: int, status: int, message_id: str, now: int, monotonic: float, left_at: float
    ) -> Answer:
        outcome = _OUTCOMES[classify(status, self._statuses[slot.carrier])]
        if outcome is Outcome.THROTTLED:
            slot.refused(monotonic, left_at)
        key = (slot, int(outcome))
        self._counts[key] = self._counts.get(key, 0) + 1
        return Answer(segment, outcome, status, told_id(message_id), now)

    def noted(self, slot: Seat, tlvs: Sequence[tuple[Token, Mapping[int, bytes]]]) -> None:
        """TLVs of answers, where their carrier's operator keeps some."""
        for (flight, segment), each in tlvs:
            kept = self._kept[slot.carrier].of(each)
            if kept is not None:
                flight.tlvs = {**(flight.tlvs or {}), segment: kept}

    def closed(self, slot: Seat, tokens: Sequence[Token], outcome: Outcome) -> None:
        """Submits that got no answer: UNKNOWN (their last byte left) or NOT_SENT."""
        if not tokens:
            return
        works = self._works
        now = works.clock.now_ms()
        slot.used -= len(tokens)
        for flight, segment in tokens:
            if not flight.answers:
                self._touched.append(flight)
            flight.answers.append(Answer(segment, outcome, 0, "", now))
            flight.open -= 1
        key = (slot, int(outcome))
        self._counts[key] = self._counts.get(key, 0) + len(tokens)
        self.bell.ring()

    def late(self, slot: Seat, answers: Sequence[tuple[Token, int, str]]) -> None:
        """Answers to submits that had been given up as unknown."""
        now, statuses = self._works.clock.now_ms(), self._statuses[slot.carrier]
        for (flight, segment), status, message_id in answers:
            answer = Answer(segment, _OUTCOMES[classify(status, statuses)], status, told_id(message_id), now)
            # Still ours, and not just being settled: its other segments are not answered, or nothing of it is decided yet.
            if self._works.flights.get(flight.message.id) is flight and (flight.open > 0 or flight.answers):
                if not flight.answers:
                    self._touched.append(flight)
                flight.answers.append(answer)
            else:
                self._late.append((flight, answer))
        self.bell.ring()

    # -- the task

    async def run(self) -> None:
        """Flushes while there is work; ends when stopped and empty. Lingers so that batches form by themselves."""
        works = self._works
        flush_s = works.settings.engine.flush_ms / 1000
        while True:
            await self.bell.wait(_BUSY_S if self._busy else 1.0)
            if not works.stopping:
                busy = len(self._touched) >= _MANY or works.half_full()
                await trio.sleep(flush_s if busy else max(flush_s, IDLE_LINGER_S))
            await self.flush()

    async def flush(self) -> None:
        """Writes all that is known; what comes meanwhile waits for company again. Raises Deposed."""
        works = self._works
        known, began = len(self._touched), works.clock.monotonic()
        while known > 0:
            batch, self._touched = self._touched[:BATCH_MAX], self._touched[BATCH_MAX:]
            known -= len(batch)
            await self._settle(batch)
            if known <= 0:
                works.unsettled_since = began if self._touched else inf
                works.settled_bell.ring()
        self._count()
        if self._late:
            late, self._late = self._late, []
            await self._settle_late(late)
        if self._busy and (works.stopping or works.clock.monotonic() >= self._busy_at):
            await self._try_busy()

    async def _settle(self, batch: list[Flight]) -> None:
        works = self._works
        effects, done = self._decided(batch)
        await works.persist("settle", lambda: works.store.settle(works.owner, effects))
        flights = works.flights
        for message in done:
            del flights[message.id]
        works.recent.keep(done, effects.correlations)
        count_effects(works, effects)

    def _decided(self, batch: list[Flight]) -> tuple[Effects, list[Message]]:
        """What the answers of a batch change, and which messages are thereby settled."""
        works = self._works
        rules, now, partition = works.rules, works.clock.now_ms(), works.store.partition
        effects = Effects()
        done: list[Message] = []
        settled, rows_of = effects.settled.append, effects.correlations
        carrier, rows, ids = "", [], self._ids
        for flight in batch:
            answers, flight.answers = flight.answers, []
            message = flight.message
            if message.stage is not None and not flight.open and flight.tlvs is None:
                one = len(answers) == 1
                stage = (
                    alike.accept(effects, message, answers[0], rules, now)
                    if one
                    else alike.accept_all(effects, message, answers, rules, now)
                )
                if stage is not None:
                    on = flight.slot.carrier
                    carrier_rows = rows_of.get(on)
                    if carrier_rows is None:
                        carrier_rows = rows_of[on] = []
                    message_id, until, form = message.id, stage.until, ids[on]
                    for number, _, _, carrier_id, _, _ in answers:
                        row = _correlation((partition, message_id, number, 1, until))
                        carrier_rows.append((answer_key(form, carrier_id), row))
                    settled(message_id)
                    done.append(message)
                    continue
            head = accept(effects, message, answers, rules, now) if flight.tlvs is None else None
            if head is not None:
                first = head.segments[0].attempts[0]
                if first.carrier != carrier:
                    carrier = first.carrier
                    rows = rows_of.setdefault(carrier, [])
                until = rules.receipt_deadline_at(head.lane, first.at)
                for number, _, _, carrier_id, _, _ in answers:
                    row = _correlation((partition, message.id, number, 1, until))
                    rows.append((answer_key(ids[carrier], carrier_id), row))
            else:
                answers = flight.each(answers) if flight.whole else answers
                decision = decide(message, Answers(answers, flight.tlvs), rules, now)
                if decision.changed:
                    head = decision.head
                    collect(effects, message, decision)
                    self._correlate(effects, message.id, head, answers)
            if head is not None:
                message.version += 1
                message.head = head
            if flight.open <= 0:
                if flight.open < 0:
                    raise Breach(f"{message.id}: more answers than submits (I8)")
                settled(message.id)
                done.append(message)
        alike.take_money(effects)
        return effects, done

    def _correlate(self, effects: Effects, message_id: str, head: Head, answers: Sequence[Answer]) -> None:
        works = self._works
        for answer in answers:
            if not answer.carrier_id:
                continue
            attempts = head.segments[answer.segment - 1].attempts
            if not attempts:
                continue
            last = attempts[-1]
            number = answer.attempt or last.number
            carrier = attempts[number - 1].carrier  # a late one's: the message may have gone elsewhere since
            deadline_at = works.rules.receipt_deadline_at(head.lane, last.at)
            key = answer_key(self._ids[carrier], answer.carrier_id)
            row = (key, Correlation(works.store.partition, message_id, answer.segment, number, deadline_at))
            rows = effects.correlations.get(carrier)
            if rows is None:
                effects.correlations[carrier] = [row]
            else:
                rows.append(row)

    async def _settle_late(self, late: list[tuple[Flight, Answer]]) -> None:
        pairs = [(flight, each) for flight, told in late for each in flight.each([told])]
        for flight, answer in pairs:
            head = flight.message.head  # as it was settled: the attempt that was given up is its last
            attempts = head.segments[answer.segment - 1].attempts if head is not None else []
            if head is not None and attempts:
                numbered = answer._replace(attempt=attempts[-1].number)
                if not await self._commit_late(flight.message.id, numbered) and len(self._busy) < _BUSY_MAX:
                    await self._correlate_late(flight.message.id, head, numbered)
                    self._busy.append((flight.message.id, numbered, self._works.clock.monotonic() + _BUSY_MAX_S))
        self._works.log.info("late_answers", count=len(late))

    async def _correlate_late(self, message_id: str, head: Head, answer: Answer) -> None:
        """Its receipt finds the message from now on, also when this engine does not live to write down the answer."""
        works, effects, now = self._works, Effects(), self._works.clock.now_ms()
        self._correlate(effects, message_id, head, [answer])
        for carrier, rows in effects.correlations.items():
            await works.persist("late", lambda c=carrier, r=rows: works.store.keep_correlations(c, r, now))  # type: ignore[misc]

    async def _try_busy(self) -> None:
        busy, self._busy = self._busy, []
        for message_id, answer, until in busy:
            if not await self._commit_late(message_id, answer) and self._works.clock.monotonic() < until:
                self._busy.append((message_id, answer, until))
        self._busy_at = self._works.clock.monotonic() + _BUSY_S

    async def _commit_late(self, message_id: str, answer: Answer) -> bool:
        """False: the message is in somebody's hands, its head is not ours to change."""
        works = self._works
        for _ in range(_TRIES):
            found = await works.persist("late", lambda: works.store.messages([message_id]))
            message = found[0]
            if message is None or message.head is None:
                return True
            if message.head.state == State.SUBMITTING:
                return False  # a newer round is on its way
            decision = decide(message, Answers([answer]), works.rules, works.clock.now_ms())
            if not decision.changed:
                return True
            effects = Effects()
            collect(effects, message, decision)
            self._correlate(effects, message_id, decision.head, [answer])
            try:
                if not await works.store.commit(effects):
                    count_effects(works, effects)
                    return True
            except StoreUnavailable as error:
                works.lost_store("late", error)
            await trio.sleep(0.02)
        return False

    def _count(self) -> None:
        counts, self._counts = self._counts, {}
        add = self._works.counters.add
        for (slot, outcome), count in counts.items():
            add("dispatcher_segments_submitted_total", (slot.carrier, slot.bind, OUTCOME_NAMES[Outcome(outcome)]), count)


def count_effects(works: Works, effects: Effects) -> None:
    """Counts what a commit changed: money by kind, finals, retries, doubts. Once per batch, one pass over its rows."""
    add = works.counters.add
    money: dict[tuple[str, str], int] = {}
    for stage, count in effects.accepted.items():
        for key, amount in stage.charged:
            money[key] = money.get(key, 0) + count * amount
    currency, kind, amount = "", "", 0
    for fact in effects.facts:  # nearly always one kind in one currency
        if fact.kind != kind or fact.currency != currency:
            money[currency, kind] = money.get((currency, kind), 0) + amount
            currency, kind, amount = fact.currency, fact.kind, 0
        amount += fact.amount
    money[currency, kind] = money.get((currency, kind), 0) + amount
    for key, amount in money.items():
        if amount and key[1] not in {"reserve", "void"}:
            add("dispatcher_charges_micro_total", key, amount)
    finals: dict[tuple[int, int], int] = {}
    others: dict[tuple[str, tuple[str, str]], int] = {}
    for versioned in effects.heads:
        head = versioned.head
        state = head.state
        if state >= _FINAL and not head.refined:  # a refined `unknown` was counted when it ended
            pair = (state, head.lane)
            finals[pair] = finals.get(pair, 0) + 1
        elif state in _RESTING:
            label = _why_resting(head)
            if label is not None:
                others[label] = others.get(label, 0) + 1
    for (state, lane), number in finals.items():
        add("dispatcher_final_total", (State(state).wire, LANES[lane].wire), number)
    for (name, labels), number in others.items():
        add(name, labels, number)


def _why_resting(head: Head) -> tuple[str, tuple[str, str]] | None:
    """The counter of a message that goes again or is in doubt; None when nothing had been attempted."""
    last = max((s.attempts[-1] for s in head.segments if s.attempts), key=lambda a: a.at, default=None)
    if last is None:
        return None
    if head.state == State.DOUBT:
        return "dispatcher_unknown_total", (last.carrier, "resend" if head.on_unknown else "hold")
    return "dispatcher_retries_total", (last.carrier, "temporary")
