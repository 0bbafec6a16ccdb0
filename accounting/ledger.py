"""The ledger: what may happen to money, as facts that are applied one by one or refused by name.

It refuses to know what was sent, to whom, through whom and where anything is stored: a charge belongs to an opaque id
and a segment number. It reads no clock and does no IO. The store moves the same amounts with its own, much blunter
arithmetic; this file is the rule that both are held to, and the audit replays it over what was really written.

The life of the money of one message with n segments at unit price u
--------------------------------------------------------------------

    credit ──► available ──reserve n·u──► reserved ──post u──► spent ──refund ≤ u──► available
    adjust ──►    ▲                          │
                  └────────────void u────────┘                          cost: what a carrier takes from us

1. `reserve` (once, at admission): n·u leaves `available` for `reserved`. It is the only fact that asks the floor.
   Whoever was accepted can therefore always be charged, and no later moment needs the balance.
2. Each segment is then *closed* exactly once: `post` when a carrier first accepted it (u leaves `reserved` for good,
   however many attempts follow), or `void` when it was never accepted (u returns to `available`). A batch accepted
   as a whole reserves under the batch's id; its members post and void from that.
3. `refund` gives back a posted segment, at most what was posted, by the account's rules.
4. `cost` is what an accepted attempt costs us, one for each, in the carrier's currency. It moves no customer's money.
5. `credit` is money put in. `adjust` corrects by hand, either way, and may pass the floor: a correction states what is
   so, and cannot be refused because it is unpleasant.

What balances mean
------------------
`available` is what may still be reserved. `reserved` is promised to messages under way. `holds` is money that the
store has taken for an admission or a batch which is not enqueued yet and has no fact; it becomes a reserve or goes
back. At every instant and for every account

    available + reserved + holds == credits + adjusts - posts + refunds

Reserve and void cancel out of it, so it can be checked from the public facts alone: these two kinds are public only by
choice. Where they are not, `Ledger(reservations=False)` takes a post from `available` directly, and only the sum
`available + reserved` says something.

Why facts repeat safely
-----------------------
A fact's name is made of what it is about, `<id>.<segment>.<attempt>.<kind>` (segment 0: the message as a whole; a post
names the attempt whose acceptance was first known, void and refund the segment's last), never of when or by whom it was
written. A decision taken twice after a crash writes the same name, and every reader can drop the second.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple

import msgspec


class Kind(enum.StrEnum):
    """What a fact does."""

    RESERVE = "reserve"
    VOID = "void"
    POST = "post"
    REFUND = "refund"
    COST = "cost"
    CREDIT = "credit"
    ADJUST = "adjust"


class Fact(msgspec.Struct, array_like=True, gc=False):
    """One money fact, a row of the charges stream. `amount` and `unit_price`: micro-units, negative only for adjust."""

    fact: str
    id: str
    account: str
    segment: int
    of: int
    kind: str
    amount: int
    currency: str
    unit_price: int
    tariff: str
    carrier: str
    carrier_id: str
    country: str
    mccmnc: str
    sender: str
    to: str
    attempt: int
    at: int
    tlvs: dict[str, str] | None = None


COLUMNS = ",".join(Fact.__struct_fields__)


def fact_id(id: str, segment: int, attempt: int, kind: str) -> str:  # noqa: A002 - the column's name
    """The stable name of a fact. `segment` 0 stands for the message, batch, credit or adjustment as a whole."""
    return f"{id}.{segment}.{attempt}.{kind}"


class Rule(enum.StrEnum):
    """The rules a fact can break, in the order in which they are asked."""

    SHAPE = "shape"
    """Kind known, segment and attempt within their ranges, amount not negative (adjust may be)."""
    NAME = "name"
    """The fact's name is the one its own columns make."""
    UNIQUE = "unique"
    """No name twice."""
    CURRENCY = "currency"
    """An account's facts, costs apart, are all in one currency."""
    PRICE = "price"
    """A post or void of a segment is its unit price; a reserve with a unit price is that times its segments."""
    FLOOR = "floor"
    """A reserve leaves at least the floor available."""
    CLOSED_ONCE = "closed_once"
    """A segment is posted or voided once, and not both."""
    RESERVED = "reserved"
    """A post or void takes no more than is reserved: by its message where that reserved for itself, and by the account."""
    REFUND = "refund"
    """A refund has a post before it, and all refunds of a segment are at most what was posted."""


class LedgerError(Exception):
    """A fact that breaks a rule. The ledger is as it was before the fact."""

    def __init__(self, fact: Fact, rule: Rule, why: str) -> None:
        super().__init__(f"fact {fact.fact} breaks {rule}: {why}")
        self.fact, self.rule, self.why = fact, rule, why


class Standing(NamedTuple):
    """An account's money, micro-units of `currency` ("" before its first fact)."""

    available: int
    reserved: int
    currency: str


class _Account:
    __slots__ = ("available", "currency", "floor", "reserved")

    def __init__(self, available: int, reserved: int, floor: int | None) -> None:
        self.available = available
        self.reserved = reserved
        self.floor = floor
        self.currency = ""


class Ledger:
    """Balances that follow from facts. `apply` takes one fact or raises LedgerError and changes nothing.

    `floors`: lowest available balance by account; one that is not named has none. `reservations=False`: the facts hold
    no reserve and void rows (such rows are then accepted and move nothing). `opening`: available and reserved of each
    account before the first fact, when these are the tail of a longer history; refunds of unseen posts are then accepted.
    """

    def __init__(
        self,
        floors: Mapping[str, int] | None = None,
        *,
        reservations: bool = True,
        opening: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        self._floors = floors or {}
        self._reservations = reservations
        self._tail = opening is not None
        self._accounts = {name: _Account(*money, self._floors.get(name)) for name, money in (opening or {}).items()}
        self._names: set[str] = set()
        self._own: dict[str, int] = {}
        """Still reserved, by the id that reserved it."""
        self._closed: dict[tuple[str, int], int] = {}
        """What can still be refunded of a closed segment; 0 for a voided one."""
        self._moves = {
            Kind.RESERVE: self._reserve,
            Kind.VOID: self._void,
            Kind.POST: self._post,
            Kind.REFUND: self._refund,
            Kind.COST: self._cost,
            Kind.CREDIT: self._put,
            Kind.ADJUST: self._put,
        }

    def standing(self, account: str) -> Standing:
        """The account's money now; zeros for one without facts."""
        found = self._accounts.get(account)
        return Standing(found.available, found.reserved, found.currency) if found else Standing(0, 0, "")

    @property
    def accounts(self) -> list[str]:
        """Every account that was opened or has a fact of its own, costs apart, by name."""
        return sorted(self._accounts)

    def apply(self, fact: Fact) -> None:
        """Applies one fact. Raises LedgerError, with fact, rule and reason, when it breaks a rule."""
        self._check_shape(fact)
        if fact.fact != (name := fact_id(fact.id, fact.segment, fact.attempt, fact.kind)):
            raise LedgerError(fact, Rule.NAME, f"its columns make {name}")
        if fact.fact in self._names:
            raise LedgerError(fact, Rule.UNIQUE, "it was applied before")
        account = self._accounts.get(fact.account)
        if account is None:
            account = _Account(0, 0, self._floors.get(fact.account))
        charged = fact.kind != Kind.COST
        if charged and account.currency not in {"", fact.currency}:
            raise LedgerError(fact, Rule.CURRENCY, f"{fact.currency}, but {fact.account} is kept in {account.currency}")
        self._moves[Kind(fact.kind)](fact, account)
        self._names.add(fact.fact)
        if charged:
            account.currency = fact.currency
            self._accounts[fact.account] = account

    # -- one move per kind: checks first, then changes

    def _reserve(self, fact: Fact, account: _Account) -> None:
        if fact.unit_price and fact.amount != fact.unit_price * fact.of:
            raise LedgerError(fact, Rule.PRICE, f"{fact.amount} is not {fact.of} segments at {fact.unit_price}")
        if not self._reservations:
            return
        if account.floor is not None and account.available - fact.amount < account.floor:
            raise LedgerError(fact, Rule.FLOOR, f"{fact.amount} of {account.available} would pass the floor {account.floor}")
        account.available -= fact.amount
        account.reserved += fact.amount
        self._own[fact.id] = self._own.get(fact.id, 0) + fact.amount

    def _void(self, fact: Fact, account: _Account) -> None:
        if not self._reservations:
            return
        self._close(fact, account)
        account.reserved -= fact.amount
        account.available += fact.amount
        if fact.segment:
            self._closed[fact.id, fact.segment] = 0

    def _post(self, fact: Fact, account: _Account) -> None:
        if not self._reservations:
            self._close_once(fact)
            account.available -= fact.amount
        else:
            self._close(fact, account)
            account.reserved -= fact.amount
        self._closed[fact.id, fact.segment] = fact.amount

    def _refund(self, fact: Fact, account: _Account) -> None:
        left = self._closed.get((fact.id, fact.segment))
        if left is None and self._tail:
            left = fact.amount
        if left is None:
            raise LedgerError(fact, Rule.REFUND, f"segment {fact.segment} was never posted")
        if fact.amount > left:
            raise LedgerError(fact, Rule.REFUND, f"{fact.amount} is more than the {left} that can still be given back")
        account.available += fact.amount
        self._closed[fact.id, fact.segment] = left - fact.amount

    def _cost(self, fact: Fact, account: _Account) -> None:
        """A carrier's price for one accepted attempt: the margin's business, not this balance's."""

    def _put(self, fact: Fact, account: _Account) -> None:
        account.available += fact.amount

    # -- rules that several kinds share

    def _check_shape(self, fact: Fact) -> None:
        if fact.kind not in self._moves:
            raise LedgerError(fact, Rule.SHAPE, f"kind {fact.kind!r} is none of {', '.join(self._moves)}")
        if fact.amount < 0 and fact.kind != Kind.ADJUST:
            raise LedgerError(fact, Rule.SHAPE, f"a {fact.kind} of {fact.amount}: only adjust may be negative")
        if fact.kind in {Kind.POST, Kind.REFUND, Kind.COST}:
            fits = 1 <= fact.segment <= fact.of and fact.attempt >= 1
        elif fact.kind == Kind.VOID:
            fits = 0 <= fact.segment <= fact.of
        else:
            fits = fact.segment == 0
        if not fits:
            raise LedgerError(fact, Rule.SHAPE, f"a {fact.kind} of segment {fact.segment} of {fact.of}, attempt {fact.attempt}")

    def _close(self, fact: Fact, account: _Account) -> None:
        """Checks that post or void may close this segment (or, segment 0, what is left) with reserved money."""
        if fact.segment:
            self._close_once(fact)
        own = self._own.get(fact.id)
        if own is not None and fact.amount > own:
            raise LedgerError(fact, Rule.RESERVED, f"{fact.amount}, but {own} of its own reserve is left")
        if fact.amount > account.reserved:
            raise LedgerError(fact, Rule.RESERVED, f"{fact.amount}, but {fact.account} has {account.reserved} reserved")
        if own is not None:
            self._own[fact.id] = own - fact.amount

    def _close_once(self, fact: Fact) -> None:
        if fact.amount != fact.unit_price:
            raise LedgerError(fact, Rule.PRICE, f"{fact.amount} is not the unit price {fact.unit_price}")
        if (fact.id, fact.segment) in self._closed:
            raise LedgerError(fact, Rule.CLOSED_ONCE, f"segment {fact.segment} was closed before")
