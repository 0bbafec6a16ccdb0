"""A message's life on paper: drives begin and decide as the engine and the store would, and keeps the books.

Shared by test_lifecycle.py and laws/test_lifecycle_laws.py. It applies every decision (head, money, due set) and
checks what must hold after each: nobody's message was changed in place, heads go one version up, five attempts at most.
"""

from __future__ import annotations

import msgspec

from accounting.ledger import Fact
from dispatcher.core import lifecycle as life
from dispatcher.core.customer import Account
from dispatcher.core.model import Body, EventRow, Head, Message, OnUnknown, Outcome, Segment, State
from dispatcher.core.ports import Effects
from dispatcher.core.retry import Rules
from dispatcher.core.settings import Settings

T0 = 1_800_000_000_000
PRICE = 35_000
SETTINGS = msgspec.convert(
    {
        "carrier": [
            {"name": "alpha", "bind": [{"host": "h", "system_id": "s"}]},
            {"name": "beta", "bind": [{"host": "h", "system_id": "s"}]},
            {"name": "whole", "bind": [{"host": "h", "system_id": "s"}], "quirks": {"receipt_per": "message"}},
        ],
        "route": [
            {"name": "main", "group": [{"carriers": [{"name": "alpha"}, {"name": "beta"}]}]},
            {"name": "single", "group": [{"carriers": [{"name": "alpha"}]}]},
        ],
    },
    Settings,
)


def rules(settings: Settings = SETTINGS, **account: object) -> Rules:
    """Rules without jitter (chance 0.5), one account "acme"."""
    accounts = {"acme": msgspec.convert({"name": "acme", "currency": "EUR"} | account, Account)}
    costs = {"alpha": ("EUR", "alpha-cost"), "beta": ("EUR", "beta-cost"), "whole": ("EUR", "w")}
    return Rules(settings, costs, accounts, lambda: 0.5)


class Life:
    """One message from admission on. `now` is moved by the tests; `due` is what the due set holds (0: nothing)."""

    def __init__(
        self,
        *,
        segments: int = 1,
        lane: int = 1,
        on_unknown: int = OnUnknown.RESEND,
        validity_s: int = 86_400,
        route: str = "main",
        price: int = PRICE,
        cost: int = 10_000,
        with_rules: Rules | None = None,
        group: str = "",
    ) -> None:
        self.rules = with_rules or rules()
        self.now = T0
        self.cost = cost
        self.body = Body(
            "447700900123",
            "text",
            "ACME",
            "acme",
            lane,
            route,
            0,
            segments,
            price,
            "EUR",
            "retail",
            "0123456789abcdef",
            T0,
            T0 + validity_s * 1000,
            on_unknown,
            "key",
            "ref",
            "GB",
            "23415",
            group,
        )
        self.message = Message("0" * 26, 0, None, self.body)
        self.available = -price * segments
        self.reserved = price * segments
        self.facts: list[Fact] = []
        self.events: list[EventRow] = []
        self.due = 0
        self.submitted: list[tuple[int, int, str, int]] = []
        self.posted_before_final = 0

    @property
    def state(self) -> str:
        head = self.message.head
        return State(head.state).wire if head is not None else "queued"

    @property
    def segments(self) -> list[Segment]:
        assert self.message.head is not None
        return self.message.head.segments

    def kinds(self) -> list[str]:
        return [fact.kind for fact in self.facts]

    def history(self) -> list[str]:
        return [row.state for row in self.events]

    def begin(self, carrier: str = "alpha", reference: int = 1) -> list[int]:
        """Pops and writes ahead; returns the segments submitted."""
        before = msgspec.msgpack.encode(self.message.head)
        head, numbers = life.begin(self.message, carrier, "b0", self.cost, reference, self.now)
        assert msgspec.msgpack.encode(self.message.head) == before
        for number in numbers:
            self.submitted.append((number, len(head.segments[number - 1].attempts), carrier, head.reference))
        self._write(head)
        self.due = 0
        return numbers

    def decide(self, evidence: life.Evidence) -> life.Decision:
        """Decides and applies; the books and the due set follow the decision."""
        before = msgspec.msgpack.encode(self.message.head)
        decision = life.decide(self.message, evidence, self.rules, self.now)
        assert msgspec.msgpack.encode(self.message.head) == before
        effects = Effects()
        life.collect(effects, self.message, decision)
        if not decision.changed:
            assert not effects.heads
            return decision
        assert effects.heads[0].version == self.message.version + 1
        for available, reserved in effects.money.values():
            self.available += available
            self.reserved += reserved
        self.facts += effects.facts
        self.events += effects.events
        assert len(effects.events) <= 1
        if effects.due:
            self.due = effects.due[0].at
        elif effects.undue:
            self.due = 0
        self._write(decision.head)
        return decision

    def _write(self, head: Head) -> None:
        stored = msgspec.msgpack.decode(msgspec.msgpack.encode(head), type=Head)
        self.message = Message(self.message.id, self.message.version + 1, stored, self.body)
        for segment in self.segments:
            assert len(segment.attempts) <= 5
            assert [a.number for a in segment.attempts] == list(range(1, len(segment.attempts) + 1))

    def answer(
        self, outcome: int, *, segment: int = 1, code: int = 0, carrier_id: str | None = None, attempt: int = 0
    ) -> life.Decision:
        """One answer now; accepted ones get an id unless one (also "") is given."""
        if carrier_id is None:
            carrier_id = f"id{segment}-{len(self.segments[segment - 1].attempts)}" if outcome == Outcome.ACCEPTED else ""
        return self.decide(life.Answers([life.Answer(segment, outcome, code, carrier_id, self.now, attempt)]))

    def accept(self, carrier: str = "alpha", reference: int = 1) -> None:
        """Begins and has all begun segments accepted in one answer."""
        numbers = self.begin(carrier, reference)
        answers = [
            life.Answer(n, Outcome.ACCEPTED, 0, f"id{n}-{len(self.segments[n - 1].attempts)}", self.now) for n in numbers
        ]
        self.decide(life.Answers(answers))

    def receipt(self, state: str, cause: str = "", *, segment: int = 1, attempt: int = 0, code: str = "001") -> life.Decision:
        """A receipt now, by default for the latest attempt."""
        number = attempt or len(self.segments[segment - 1].attempts)
        return self.decide(life.ReceiptSeen(segment, number, state, code, cause, self.now))

    def wait_due(self) -> float:
        """Moves to the due instant; returns the seconds waited."""
        assert self.due, "nothing is due"
        waited = (self.due - self.now) / 1000
        self.now = max(self.now, self.due)
        return waited
