"""Laws of the ledger, over random histories in which right and wrong facts are mixed."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from accounting.audit import audit
from accounting.ledger import Fact, Ledger, LedgerError
from tests.accounting.facts import credit, fact

KINDS = st.sampled_from(["reserve", "void", "post", "refund", "cost", "credit", "adjust"])


@st.composite
def facts(draw: st.DrawFn) -> Fact:
    """Any kind over few ids, segments, accounts and amounts, so that rules are met and broken often."""
    kind = draw(KINDS)
    account = draw(st.sampled_from(["acme", "beta"]))
    if kind in {"credit", "adjust"}:
        amount = draw(st.integers(-40, 60))
        return credit(amount, f"C{draw(st.integers(1, 30))}", account=account)
    id_ = account + draw(st.sampled_from("12345"))
    segment = 0 if kind == "reserve" else draw(st.integers(1, 2))
    amount = 20 if kind == "reserve" else draw(st.sampled_from([10, 10, 10, 5]))
    return fact(kind, amount, id_, segment, draw(st.integers(0 if kind == "void" else 1, 2)) if segment else 0, account=account)


HISTORIES = st.lists(facts(), max_size=60)


def accepted(history: list[Fact], ledger: Ledger) -> list[Fact]:
    """Those that `ledger` took."""
    taken = []
    for one in history:
        try:
            ledger.apply(one)
        except LedgerError:
            continue
        taken.append(one)
    return taken


def worth(taken: list[Fact], account: str) -> int:
    """What the facts alone make an account worth."""
    sign = {"credit": 1, "adjust": 1, "post": -1, "refund": 1}
    return sum(sign.get(one.kind, 0) * one.amount for one in taken if one.account == account)


@given(HISTORIES)
@settings(max_examples=150, deadline=None)
def test_the_identity_holds_after_every_fact(history: list[Fact]) -> None:
    """available + reserved == credits + adjusts - posts + refunds, and reserved is never negative."""
    ledger = Ledger({"acme": 0})
    taken: list[Fact] = []
    for one in history:
        taken += accepted([one], ledger)
        for account in ("acme", "beta"):
            now = ledger.standing(account)
            assert worth(taken, account) == now.available + now.reserved
            assert now.reserved >= 0


@given(HISTORIES)
@settings(max_examples=100, deadline=None)
def test_a_segment_is_paid_at_most_once(history: list[Fact]) -> None:
    """Per segment: at most one post or void, refunds at most the post; per name: one fact."""
    taken = accepted(history, Ledger())
    assert len(taken) == len({one.fact for one in taken})
    closed = [(one.id, one.segment) for one in taken if one.kind in {"post", "void"}]
    assert len(closed) == len(set(closed))
    posted = {(one.id, one.segment): one.amount for one in taken if one.kind == "post"}
    refunded: dict[tuple[str, int], int] = {}
    for one in taken:
        if one.kind == "refund":
            refunded[one.id, one.segment] = refunded.get((one.id, one.segment), 0) + one.amount
    assert all(amount <= posted[key] for key, amount in refunded.items())


@given(HISTORIES)
@settings(max_examples=100, deadline=None)
def test_what_a_ledger_accepted_it_accepts_again_and_audits(history: list[Fact]) -> None:
    """Replaying the accepted facts gives the same balances, and the audit finds nothing."""
    ledger, again = Ledger(), Ledger()
    taken = accepted(history, ledger)
    assert taken == accepted(taken, again)
    balances = {name: (ledger.standing(name).available, ledger.standing(name).reserved) for name in ledger.accounts}
    assert balances == {name: (again.standing(name).available, again.standing(name).reserved) for name in again.accounts}
    assert audit(taken, balances, {}, reservations=True).ok
    assert audit([one for one in taken if one.kind not in {"reserve", "void"}], balances, {}).ok


@given(HISTORIES, st.integers(0, 2**32), st.sampled_from(["repeat", "amount", "balance"]))
@settings(max_examples=100, deadline=None)
def test_no_forgery_of_an_accepted_history_passes(history: list[Fact], seed: int, forgery: str) -> None:
    """A repeated fact, a changed amount or a changed balance is always found."""
    ledger = Ledger()
    taken = [one for one in accepted(history, ledger) if one.kind != "cost" and one.amount]
    if not taken:
        return
    balances = {name: (ledger.standing(name).available, ledger.standing(name).reserved) for name in ledger.accounts}
    chance = random.Random(seed)
    place = chance.randrange(len(taken))
    if forgery == "repeat":
        taken.insert(chance.randint(place + 1, len(taken)), taken[place])
    elif forgery == "amount":
        values = {name: getattr(taken[place], name) for name in Fact.__struct_fields__}
        taken[place] = Fact(**{**values, "amount": taken[place].amount + 1})
    else:
        name = chance.choice(list(balances))
        balances[name] = (balances[name][0] + 1, balances[name][1])
    assert not audit(taken, balances, {}, reservations=True).ok
