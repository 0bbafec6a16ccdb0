"""query_sm for receipts that do not come, cancel_sm for messages that somebody wishes to cancel: what carriers are asked.

It refuses to know when a question is due and what its answer is evidence of (core/asking), and what follows (lifecycle).

Theory. Of all engines one asks over a login: the one with a lease on it, taken by whoever has a session of it up and given back
when none is. So what was asked when need not be shared: who begins to ask, asks once about everything that is due, at the
login's rate, and after that about each segment ever more seldom. An answer of query_sm goes the way of a receipt, with its
correlation, so it can neither overtake a final state nor be counted twice. A question is about an accepted submit, its answer
about money nobody has to pay twice: silence, refusals and a dead link change nothing. A query_sm that a dead link took along
is not made up for: the next one comes when the wait has doubled, as after any other answer that says nothing.

A wish to cancel is a row in the store, which a door wrote and watches. The engine that asks over the login of the message's
first open segment carries it out, one of each account in turn. What a dead link took along is asked once more; not for ever,
since a cancel_sm may be what the link dies of. Some carriers confirm by a receipt DELETED, which may come before their
answer does: a receipt DELETED of a wished message says "cancelled" (receipts.py), not "not delivered".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Sequence, Set
from typing import Final, NamedTuple

from dispatcher.core.asking import first_question_at, next_question_at, open_attempts, says_something
from dispatcher.core.lifecycle import Evidence, Withdrawn
from dispatcher.core.model import Attempt, Correlation, Head
from dispatcher.core.ports import StoreUnavailable
from dispatcher.core.settings import Carrier
from dispatcher.engine.at_rest import commit_at_rest
from dispatcher.engine.encode import ton_npi
from dispatcher.engine.forms import Form
from dispatcher.engine.leases import SESSION_PREFIX, Leases
from dispatcher.engine.receipts import Receipts
from dispatcher.engine.works import BATCH_MAX, Seat, Token, Works
from smpp import constants as c
from smpp.bell import Bell
from smpp.constants import Command
from smpp.pdus import Pdu
from smpp.questions import Told
from smpp.receipts import Receipt, state_of
from smpp.session import Session, State

LOOK_S: Final = 0.1
WISHES_S: Final = 0.25
ASKED_MAX: Final = 100_000
"""Segments of which one carrier's last question is remembered; what falls out is asked more often than it need be."""
MUTE_S: Final = 3600.0
"""How long a login is left alone that said it does not know such a command."""
_LOOKS_MAX: Final = 5
"""Steps of one look for missing receipts."""
_NEVER: Final = 1 << 62
_NO_SUCH_COMMAND: Final = frozenset({c.ESME_RINVCMDID})

_Login = tuple[str, str]
"""Carrier and bind."""


class Query(NamedTuple):
    """A question about a missing receipt. `key`: of the correlation."""

    key: str
    row: Correlation
    submitted_at: int
    pdu: Pdu


class Cancelling(NamedTuple):
    """The wish to cancel one accepted segment."""

    id: str
    account: str
    segment: int
    attempt: int
    pdu: Pdu


class Asker:
    """What is asked over one login, while that is ours to do."""

    def __init__(self, carrier: Carrier, bind: str) -> None:
        self.carrier = carrier
        self.bind = bind
        self.seats: list[Seat] = []
        self.lease = f"{SESSION_PREFIX}{carrier.name}.{bind}.questions"
        self.due: deque[Query] = deque()
        self.wished: dict[str, deque[Cancelling]] = {}
        self.mute_until: dict[Command, float] = {}
        self.next_at = 0.0

    def ready(self, now: float) -> Seat | None:
        """A session over which the next question may go now."""
        if now < self.next_at:
            return None
        up = [seat for seat in self.seats if seat.up and seat.leased and seat.link is not None]
        return next((seat for seat in up if seat.link is not None and _takes(seat.link.session)), None)

    def next(self) -> Query | Cancelling | None:
        """Takes the next question: wishes first, one of each account in turn."""
        for account in self.wished:
            waiting = self.wished.pop(account)
            cancelling = waiting.popleft()
            if waiting:
                self.wished[account] = waiting  # at the end again
            return cancelling
        return self.due.popleft() if self.due else None

    def forget(self, over: Container[str]) -> None:
        """Messages that are not to be asked about any more."""
        for account, waiting in list(self.wished.items()):
            left = deque(cancelling for cancelling in waiting if cancelling.id not in over)
            if left:
                self.wished[account] = left
            else:
                del self.wished[account]

    def mute(self, command: Command, now: float) -> bool:
        """Has it said that it does not know the command?"""
        return now < self.mute_until.get(command, 0.0)


class Questions:
    """The asking of one engine. Costs nothing where no carrier takes questions."""

    def __init__(self, works: Works, leases: Leases, receipts: Receipts) -> None:
        self._works = works
        self._leases = leases
        self._receipts = receipts
        self._forms = {carrier.name: Form(carrier) for carrier in works.settings.carrier}
        self._askers: dict[_Login, Asker] = {}
        self._asked: dict[str, dict[str, int]] = {}
        self._open_wishes: dict[str, set[tuple[int, int]]] = {}
        """Message -> segments and attempts on which there is no word yet."""
        self._again: set[str] = set()
        """Wishes that a dead link has taken along once."""
        self._outcomes: list[tuple[Cancelling, bool]] = []
        self._ended: dict[str, str] = {}
        self._bell = Bell()
        self._sweep_s = works.settings.receipts.sweep_s
        self._last_ms = int(2000 * self._sweep_s)

    def over(self, seats: Sequence[Seat]) -> None:
        """The sessions that may be used: before `run`."""
        for seat in seats:
            questions = seat.carrier_settings.questions
            if seat.bind_settings.mode != "rx" and (questions.query_after_s or questions.cancel):
                login = (seat.carrier, seat.bind)
                asker = self._askers.get(login)
                if asker is None:
                    asker = self._askers[login] = Asker(seat.carrier_settings, seat.bind)
                asker.seats.append(seat)

    async def run(self) -> None:
        """Looks for what is to be asked, and asks it, until the engine stops."""
        works = self._works
        look_at = wishes_at = 0.0
        while self._askers and not works.stopping:
            now = works.clock.monotonic()
            try:
                ours = [asker for asker in self._askers.values() if await self._is_ours(asker)]
                if ours and now >= wishes_at and any(asker.carrier.questions.cancel for asker in ours):
                    wishes_at = now + WISHES_S
                    await self._look_for_wishes()
                if ours and now >= look_at:
                    look_at = now + self._sweep_s
                    for carrier in {asker.carrier.name: asker.carrier for asker in ours}.values():
                        await self._look_for_missing(carrier)
                for asker in ours:
                    self._ask(asker, works.clock.monotonic())
                await self._conclude()
            except StoreUnavailable as error:
                works.lost_store("questions", error)
            await self._bell.wait(LOOK_S)

    async def _is_ours(self, asker: Asker) -> bool:
        """Holds the login's lease while a session of it is up here, and only then."""
        lease = self._leases.held.get(asker.lease)
        if not any(seat.up for seat in asker.seats):
            if lease is not None:
                await self._leases.drop(asker.lease)
            return False
        if lease is not None:
            return lease.valid(self._works.clock.monotonic())
        asker.due.clear()
        self._forget({cancelling.id for waiting in asker.wished.values() for cancelling in waiting})
        return await self._leases.take(asker.lease) is not None

    # -- what is to be asked

    async def _look_for_missing(self, carrier: Carrier) -> None:
        """Accepted segments of the carrier whose receipt is late, as far as one look and the queue of questions go."""
        after_ms = round(carrier.questions.query_after_s * 1000)
        if not after_ms:
            return
        works, now = self._works, self._works.clock.now_ms()
        until = max(now, now + works.rules.deadline_ms_max - after_ms)
        for _ in range(_LOOKS_MAX):
            rows = await works.store.overdue_correlations(carrier.name, until, BATCH_MAX, "questions")
            await self._choose(carrier, rows, after_ms, now)
            if len(rows) < BATCH_MAX:
                return

    async def _choose(self, carrier: Carrier, rows: Sequence[tuple[str, Correlation]], after_ms: int, now: int) -> None:
        asked = self._asked.setdefault(carrier.name, {})
        waiting = {query.key for asker in self._askers.values() for query in asker.due}
        late = [(key, row) for key, row in rows if key not in waiting and asked.get(key, now) <= now]
        ids = list({row.id for _, row in late})
        heads = {m.id: m.head for m in await self._works.read(ids, bodies=False)} if ids else {}
        for key, row in late:
            head = heads.get(row.id)
            attempt = None if head is None else _open(head, row)
            asker = None if attempt is None else self._askers.get((carrier.name, attempt.bind))
            if head is None or attempt is None or asker is None or len(asker.due) >= BATCH_MAX:
                continue
            if (asked.get(key) or first_question_at(attempt.at, after_ms, row.deadline_at, self._last_ms)) <= now:
                pdu = Pdu(Command.QUERY_SM, {"message_id": attempt.carrier_id, **self._source(head, carrier)})
                asker.due.append(Query(key, row, attempt.at, pdu))

    async def _look_for_wishes(self) -> None:
        """Wishes to cancel of which a segment went over a login that is ours to ask over."""
        works = self._works
        wishes = await works.store.cancel_wishes(works.clock.now_ms())
        fresh = [i for i in wishes if i not in self._open_wishes and i not in self._ended]
        for message in await works.read(fresh, bodies=True) if fresh else []:
            head = message.head
            pieces = [] if head is None else list(open_attempts(head))
            asker = self._askers.get((pieces[0][1].carrier, pieces[0][1].bind)) if pieces else None
            if head is None or asker is None or asker.lease not in self._leases.held or not asker.carrier.questions.cancel:
                continue
            to = message.body.to if message.body is not None else ""
            login = (asker.carrier.name, asker.bind)
            mine = {a.carrier_id: (number, a) for number, a in pieces if (a.carrier, a.bind) == login}  # one for each submit
            for number, a in mine.values():
                pdu = self._cancel(head, a, asker.carrier, to)
                turn = asker.wished.setdefault(head.account, deque())
                turn.append(Cancelling(message.id, head.account, number, a.number, pdu))
            self._open_wishes[message.id] = {(number, a.number) for number, a in mine.values()}
        self._forget(self._open_wishes.keys() - set(wishes))  # their time is over
        self._again &= set(wishes)

    def _forget(self, over: Set[str]) -> None:
        """Wishes that are not ours to carry out, or not any more; of those that are still open we may take them up anew."""
        for message_id in over:
            self._open_wishes.pop(message_id, None)
        for asker in self._askers.values():
            asker.forget(over)

    def _source(self, head: Head, carrier: Carrier) -> dict[str, int | str]:
        """source_addr as the submit had it: carriers compare."""
        form = self._forms[carrier.name]
        sender = form.sender(head)[0] or carrier.sender
        ton, npi = carrier.quirks.source_ton_npi or ton_npi(sender)
        return {"source_addr_ton": ton, "source_addr_npi": npi, "source_addr": form.source_addr(sender)}

    def _cancel(self, head: Head, attempt: Attempt, carrier: Carrier, to: str) -> Pdu:
        quirks = carrier.quirks
        fields: dict[str, int | str] = {"service_type": quirks.service_type, "message_id": attempt.carrier_id}
        if to:
            fields |= {
                "dest_addr_ton": quirks.dest_ton,
                "dest_addr_npi": quirks.dest_npi,
                "destination_addr": self._forms[carrier.name].dest_addr(to),
            }
        return Pdu(Command.CANCEL_SM, fields | self._source(head, carrier))

    # -- asking, and what comes back

    def _ask(self, asker: Asker, now: float) -> None:
        """As many questions as the login's rate and its sessions' budgets allow, wishes first."""
        while (seat := asker.ready(now)) is not None and seat.link is not None and (question := asker.next()) is not None:
            if isinstance(question, Query):
                self._remember(asker.carrier.name, question)
            if not asker.mute(question.pdu.command, now):
                seat.link.ask(question.pdu, question)
                asker.next_at = max(asker.next_at, now - LOOK_S) + 1 / asker.carrier.questions.rate
            elif isinstance(question, Cancelling):
                self._outcomes.append((question, False))

    def _remember(self, carrier: str, query: Query) -> None:
        now, deadline_at = self._works.clock.now_ms(), query.row.deadline_at
        asked = self._asked.setdefault(carrier, {})
        asked.pop(query.key, None)  # at the end again: the dictionary is in order of last use
        asked[query.key] = next_question_at(query.submitted_at, deadline_at, self._last_ms, now) or _NEVER
        if len(asked) > ASKED_MAX:
            del asked[next(iter(asked))]

    def told(self, seat: Seat, told: Sequence[Told]) -> None:
        """What became of questions over a session (synchronous)."""
        for token, pdu in told:
            if isinstance(token, Query):
                self._queried(seat, token, pdu)
            elif isinstance(token, Cancelling):
                self._outcomes.append((token, pdu is not None and _is_success(pdu)))
                self._count(seat, "cancel", pdu, "done")
                self._bell.ring()

    def lost(self, tokens: Sequence[object]) -> None:
        """Questions that a dead link took along (synchronous)."""
        wishes = {token.id for token in tokens if isinstance(token, Cancelling)}
        self._forget(wishes - self._again)
        self._again |= wishes

    def _queried(self, seat: Seat, query: Query, pdu: Pdu | None) -> None:
        receipt = receipt_in(pdu)
        if receipt is not None:
            self._receipts.found(seat.carrier, query.key, query.row, receipt)
        self._count(seat, "query", pdu, "nothing" if receipt is None else "found")

    def _count(self, seat: Seat, kind: str, pdu: Pdu | None, result: str) -> None:
        if pdu is None:
            result = "silent"
        elif pdu.command is Command.GENERIC_NACK or pdu.status in _NO_SUCH_COMMAND:
            result = "unsupported"
            asker = self._askers[seat.carrier, seat.bind]
            command = Command.QUERY_SM if kind == "query" else Command.CANCEL_SM
            asker.mute_until[command] = self._works.clock.monotonic() + MUTE_S
            self._works.log.warning("carrier_takes_no_questions", carrier=seat.carrier, bind=seat.bind, kind=kind)
        elif pdu.status != c.ESME_ROK:
            result = "refused"
        self._works.counters.add("dispatcher_questions_total", (seat.carrier, kind, result))

    async def _conclude(self) -> None:
        """What carriers cancelled is written; then who wished it may look."""
        works = self._works
        if not self._outcomes and not self._ended:
            return
        outcomes, evidence = list(self._outcomes), dict[str, list[Evidence]]()
        for cancelling, done in outcomes:
            if done:
                evidence.setdefault(cancelling.id, []).append(Withdrawn(cancelling.segment, cancelling.attempt))
        left = await commit_at_rest(works, evidence) if evidence else set()
        self._outcomes = self._outcomes[len(outcomes) :]
        for cancelling, done in outcomes:
            waiting = self._open_wishes.get(cancelling.id)
            if waiting is None:
                continue  # its time is over, or it is to be taken up anew
            if done and cancelling.id in left:
                self._outcomes.append((cancelling, done))  # an engine holds it just now
                continue
            waiting.discard((cancelling.segment, cancelling.attempt))
            if not waiting:
                del self._open_wishes[cancelling.id]
                self._ended[cancelling.id] = cancelling.account
        while self._ended:  # of each the store is told, also when it is away in between
            message_id, account = next(iter(self._ended.items()))
            await works.store.end_cancel_wish(account, message_id, works.clock.now_ms())
            self._ended.pop(message_id, None)


def _open(head: Head, row: Correlation) -> Attempt | None:
    """The attempt that a correlation leads to, while it is accepted and undecided."""
    found = (a for number, a in open_attempts(head) if (number, a.number) == (row.segment, row.attempt))
    return next(found, None)


def _takes(session: Session[Token]) -> bool:
    """May a question go now? Not once the session says goodbye, though its link is there until the last answers have come."""
    return session.state is State.BOUND and session.questions.room > 0


def _is_success(pdu: Pdu) -> bool:
    return pdu.command is Command.CANCEL_SM_RESP and pdu.status == c.ESME_ROK


def receipt_in(pdu: Pdu | None) -> Receipt | None:
    """What an answer to query_sm says, as the receipt that did not come; None where that is nothing."""
    if pdu is None or pdu.command is not Command.QUERY_SM_RESP or pdu.status != c.ESME_ROK:
        return None
    number, code = pdu.fields.get("message_state", -1), pdu.fields.get("error_code", 0)
    if not isinstance(number, int) or not isinstance(code, int):
        return None
    state = state_of(number)
    return Receipt("", state, f"{code:03d}" if code else "") if says_something(state) else None
