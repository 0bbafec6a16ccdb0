"""accounting/audit.py: every planted mistake is found and the first fact that does not fit is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounting.audit import MISFITS_MAX, Line, audit
from accounting.ledger import Fact
from tests.accounting.facts import credit, fact, life

RIGHT = {"acme": (85, 0)}
Plant = Callable[[list[Fact]], None]


def changed(position: int, **values: object) -> Plant:
    """A mistake: the fact at `position` (from 0) has other values."""

    def plant(facts: list[Fact]) -> None:
        for name, value in values.items():
            setattr(facts[position], name, value)

    return plant


def added(position: int, extra: Fact) -> Plant:
    """A mistake: a fact too many."""
    return lambda facts: facts.insert(position, extra)


def test_a_true_history_fits() -> None:
    """No misfit, and the totals per kind and currency."""
    for reservations in (True, False):
        result = audit(life(), RIGHT, {}, reservations=reservations)
        assert result.ok
        assert result.first is None
        assert {
            "EUR": Line("EUR", reserve=40, void=20, post=20, refund=10, cost=3, credit=100, adjust=-5),
            "USD": Line("USD", cost=3),
        } == result.totals
        assert (result.totals["EUR"].margin, result.totals["USD"].margin) == (7, -3)


def test_public_facts_alone_suffice() -> None:
    """Without reserve and void rows the identity is the same."""
    public = [one for one in life() if one.kind not in {"reserve", "void"}]
    assert audit(public, RIGHT, {}).ok
    assert audit(public, {"acme": (70, 5)}, {"acme": 10}).ok


@pytest.mark.parametrize(
    ("plant", "position", "rule"),
    [
        (added(4, fact("post", 10, segment=1, attempt=2)), 5, "unique"),
        (added(6, fact("post", 10, segment=1, attempt=3)), 7, "closed_once"),
        (added(8, fact("refund", 11, segment=1, attempt=3)), 9, "refund"),
        (added(1, fact("refund", 10, segment=1, attempt=1)), 2, "refund"),
        (changed(3, amount=11), 4, "price"),
        (changed(3, unit_price=9), 4, "price"),
        (changed(4, currency="USD"), 5, "currency"),
        (changed(4, account="other"), 5, "reserved"),
        (changed(8, amount=20, unit_price=20), 9, None),
        (changed(5, kind="fee"), 6, "shape"),
        (changed(6, fact="M1.2.9.refund"), 7, "name"),
        (changed(7, amount=30), 8, "price"),
        (added(2, fact("void", 20, segment=0)), 5, "reserved"),
        (changed(6, amount=-10), 7, "shape"),
    ],
)
def test_a_planted_mistake_is_named(plant: Plant, position: int, rule: str | None) -> None:
    """The first fact that does not fit, by its place, its name and the rule."""
    facts = life()
    plant(facts)
    first = audit(facts, RIGHT, {}, reservations=True).first
    assert first is not None
    if rule is None:
        assert first.position >= position
    else:
        assert (position, facts[position - 1].fact, rule) == (first.position, first.fact, first.rule)


@pytest.mark.parametrize(
    ("balances", "holds", "account"),
    [
        ({"acme": (84, 0)}, {}, "acme"),
        ({"acme": (86, 0)}, {}, "acme"),
        ({"acme": (85, 0)}, {"acme": 1}, "acme"),
        ({"acme": (84, 1)}, {}, "acme"),
        ({}, {}, "acme"),
        ({"acme": (85, 0), "ghost": (1, 0)}, {}, "ghost"),
        ({"acme": (85, 0)}, {"ghost": 1}, "ghost"),
        ({"acme": (95, -10)}, {}, "acme"),
    ],
)
def test_a_wrong_balance_is_named(balances: dict[str, tuple[int, int]], holds: dict[str, int], account: str) -> None:
    """One micro-unit too many or too few, in available, reserved or holds."""
    first = audit(life(), balances, holds, reservations=True).first
    assert first is not None
    assert (0, "", account, "balance") == (first.position, first.fact, first.account, first.rule)


@pytest.mark.parametrize("missing", range(len(life())))
def test_a_missing_fact_is_noticed(missing: int) -> None:
    """Leaving out any fact but a cost, which moves no balance, makes the books not fit."""
    facts = life()
    gone = facts.pop(missing)
    assert (gone.kind == "cost") == audit(facts, RIGHT, {}, reservations=True).ok


def test_misfits_are_all_counted_and_some_told() -> None:
    """Limit - 1, limit, limit + 1 of those told in full."""
    for count in (MISFITS_MAX - 1, MISFITS_MAX, MISFITS_MAX + 1):
        result = audit([credit(1), *[credit(1)] * count], {"acme": (1, 0)}, {})
        assert (count, min(count, MISFITS_MAX)) == (result.misfit_count, len(result.misfits))


def test_the_tail_of_a_history_with_its_opening() -> None:
    """Opening balances stand for the facts before."""
    assert audit([fact("refund", 10, segment=1, attempt=1)], {"acme": (50, 10)}, {}, opening={"acme": (40, 10)}).ok
    assert not audit([], {"acme": (50, 10)}, {}, opening={"acme": (40, 10)}).ok
