"""The audit: recomputes the books from their facts, compares them with the balances that the store keeps, says what
does not fit.

It refuses to trust: it takes facts in the order in which they were written, replays each through the ledger's rules and
beside that adds them up on its own, so that a wrong rule and a wrong sum would have to agree to go unseen. It repairs
nothing and stops at nothing: a fact that does not fit is reported, left out of the sums, and the next one is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from accounting.ledger import Fact, Kind, Ledger, LedgerError

MISFITS_MAX = 100
"""Misfits told in full; all of them are counted."""


class Misfit(msgspec.Struct, frozen=True):
    """Something that does not fit. `position` is the fact's, from 1; 0 with `fact` "" when a balance differs although
    every fact fits. `rule` is a ledger.Rule or "balance"."""

    position: int
    fact: str
    account: str
    rule: str
    why: str


class Line(msgspec.Struct):
    """Totals of one currency, micro-units. Costs stand in the carriers' currency, so a margin exists per currency only."""

    currency: str
    reserve: int = 0
    void: int = 0
    post: int = 0
    refund: int = 0
    cost: int = 0
    credit: int = 0
    adjust: int = 0

    @property
    def margin(self) -> int:
        """What customers paid and kept paid, less what carriers took."""
        return self.post - self.refund - self.cost


class Audit(msgspec.Struct):
    """The result. `first` is the first misfit in the order of the facts, balances last."""

    facts: int
    misfits: list[Misfit]
    misfit_count: int
    totals: dict[str, Line]

    @property
    def ok(self) -> bool:
        """True when everything fits."""
        return self.misfit_count == 0

    @property
    def first(self) -> Misfit | None:
        """The first that does not fit."""
        return self.misfits[0] if self.misfits else None


def audit(
    facts: Iterable[Fact],
    balances: Mapping[str, tuple[int, int]],
    open_holds: Mapping[str, int],
    *,
    reservations: bool = False,
    opening: Mapping[str, tuple[int, int]] | None = None,
    floors: Mapping[str, int] | None = None,
) -> Audit:
    """Replays `facts` and checks `balances` (available, reserved) with `open_holds` (taken, not yet a reserve) by account.

    For each account available + reserved + holds must be credits + adjusts - posts + refunds. With `reservations=True`,
    when the facts hold every reserve and void, available and reserved must each agree too. `opening`: balances before the
    first fact, when the facts are the tail of a longer history. Raises nothing of its own.
    """
    ledger = Ledger(floors, reservations=reservations, opening=opening)
    result = Audit(0, [], 0, {})
    worth: dict[str, int] = {name: available + reserved for name, (available, reserved) in (opening or {}).items()}
    for position, fact in enumerate(facts, 1):
        result.facts = position
        try:
            ledger.apply(fact)
        except LedgerError as error:
            _report(result, Misfit(position, fact.fact, fact.account, error.rule, error.why))
            continue
        line = result.totals.get(fact.currency)
        if line is None:
            line = result.totals[fact.currency] = Line(fact.currency)
        setattr(line, fact.kind, getattr(line, fact.kind) + fact.amount)
        worth[fact.account] = worth.get(fact.account, 0) + _SIGNS[fact.kind] * fact.amount
    for account in sorted({*worth, *balances, *open_holds}):
        _compare(result, ledger, account, worth.get(account, 0), balances, open_holds.get(account, 0), reservations)
    return result


_SIGNS: dict[str, int] = {
    Kind.RESERVE: 0,
    Kind.VOID: 0,
    Kind.POST: -1,
    Kind.REFUND: 1,
    Kind.COST: 0,
    Kind.CREDIT: 1,
    Kind.ADJUST: 1,
}


def _compare(
    result: Audit,
    ledger: Ledger,
    account: str,
    worth: int,
    balances: Mapping[str, tuple[int, int]],
    holds: int,
    reservations: bool,
) -> None:
    """Checks one account's stored balance against what the facts make of it."""
    if account not in balances:
        if worth or holds:
            _report(result, Misfit(0, "", account, "balance", f"the facts make {worth}, but the store has no such account"))
        return
    available, reserved = balances[account]
    found = available + reserved + holds
    if found != worth:
        why = f"available {available} + reserved {reserved} + holds {holds} = {found}, but the facts make {worth}"
        _report(result, Misfit(0, "", account, "balance", f"{why}: {found - worth:+d}"))
    elif reservations and (reserved != (expected := ledger.standing(account).reserved)):
        why = f"{reserved} reserved, but the facts make {expected}: {reserved - expected:+d}"
        _report(result, Misfit(0, "", account, "balance", why))
    elif reserved < 0:
        _report(result, Misfit(0, "", account, "balance", f"{reserved} reserved: less than nothing"))


def _report(result: Audit, misfit: Misfit) -> None:
    result.misfit_count += 1
    if len(result.misfits) < MISFITS_MAX:
        result.misfits.append(misfit)
