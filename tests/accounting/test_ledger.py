"""accounting/ledger.py: each rule refuses what it names, at its limit, and leaves the ledger as it was."""

from __future__ import annotations

import pytest

from accounting.ledger import COLUMNS, Fact, Ledger, LedgerError, Rule, Standing
from tests.accounting.facts import credit, fact, life

ONE, TWO = {"segment": 1, "attempt": 1}, {"segment": 2, "attempt": 1}


def ledger(*facts: Fact, **options: object) -> Ledger:
    """A ledger with these facts applied."""
    book = Ledger(**options)  # type: ignore[arg-type]
    for one in facts:
        book.apply(one)
    return book


def refused(book: Ledger, wrong: Fact) -> Rule:
    """The rule that `wrong` breaks; checks that refusing it changed nothing."""
    before = book.standing("acme"), book.accounts
    with pytest.raises(LedgerError) as caught:
        book.apply(wrong)
    assert caught.value.fact is wrong
    assert before == (book.standing("acme"), book.accounts)
    return caught.value.rule


def test_columns_are_the_contract() -> None:
    """The charges stream's rows have exactly these columns in this order."""
    expected = "fact,id,account,segment,of,kind,amount,currency,unit_price,tariff,carrier,carrier_id,"
    expected += "country,mccmnc,sender,to,attempt,at,tlvs"
    assert expected == COLUMNS


def test_a_whole_life_balances() -> None:
    """Credit 100, spent 10, corrected by -5: 85 available, nothing reserved; costs in dollars do not matter."""
    assert Standing(85, 0, "EUR") == ledger(*life()).standing("acme")


def test_money_moves_as_the_essay_says() -> None:
    """reserve: available to reserved; post: reserved away; void: back; refund: to available."""
    book = ledger(credit(100))
    for step, available, reserved in [
        (fact("reserve", 20), 80, 20),
        (fact("post", 10, **ONE), 80, 10),
        (fact("void", 10, **TWO), 90, 0),
        (fact("refund", 10, **ONE), 100, 0),
        (fact("cost", 3, **ONE), 100, 0),
    ]:
        book.apply(step)
        assert Standing(available, reserved, "EUR") == book.standing("acme")


def test_without_reservations_only_the_sum_counts() -> None:
    """The public facts alone make the same available + reserved; reserve and void rows are harmless."""
    public = [one for one in life() if one.kind not in {"reserve", "void"}]
    assert Standing(85, 0, "EUR") == ledger(*public, reservations=False).standing("acme")
    assert Standing(85, 0, "EUR") == ledger(*life(), reservations=False).standing("acme")


@pytest.mark.parametrize("again", life())
def test_no_fact_twice(again: Fact) -> None:
    """Whatever its kind, a fact with a known name is refused."""
    assert refused(ledger(*life()), again) == Rule.UNIQUE


@pytest.mark.parametrize(
    "wrong",
    [
        fact("gift", 1),
        fact("credit", -1),
        fact("post", -10, **ONE),
        fact("post", 10, segment=0, attempt=1),
        fact("post", 10, segment=3, attempt=1),
        fact("post", 10, segment=1, attempt=0),
        fact("void", 10, segment=3),
        fact("void", 10, segment=-1),
        fact("reserve", 20, segment=1),
    ],
)
def test_shape(wrong: Fact) -> None:
    """Kind, sign, segment and attempt are in range."""
    assert refused(ledger(credit(100), fact("reserve", 20)), wrong) == Rule.SHAPE


def test_name() -> None:
    """A fact that is not named after its own columns is refused: a replay could not find it again."""
    assert refused(ledger(credit(100)), fact("reserve", 20, fact="M1.reserve")) == Rule.NAME


def test_currency() -> None:
    """One currency per account; a carrier's cost may be in another."""
    assert refused(ledger(credit(100)), fact("reserve", 20, currency="USD")) == Rule.CURRENCY


def test_price() -> None:
    """A post is its unit price, a reserve that times its segments."""
    assert refused(ledger(credit(100)), fact("reserve", 19)) == Rule.PRICE
    for amount in (9, 11):
        assert refused(ledger(credit(100), fact("reserve", 20)), fact("post", amount, **ONE)) == Rule.PRICE
        assert refused(ledger(credit(100), fact("reserve", 20)), fact("void", amount, **ONE)) == Rule.PRICE


def test_floor() -> None:
    """A reserve may reach the floor and not pass it; a correction may."""
    for start in (71, 70):
        ledger(credit(start), fact("reserve", 20), floors={"acme": 50})
    assert refused(ledger(credit(69), floors={"acme": 50}), fact("reserve", 20)) == Rule.FLOOR
    assert Standing(-31, 0, "EUR") == ledger(credit(69), credit(-100, "A1"), floors={"acme": 50}).standing("acme")


def test_negative_floor_is_credit_limit() -> None:
    """With a floor of -20 an empty account can reserve 20."""
    assert Standing(-20, 20, "EUR") == ledger(fact("reserve", 20), floors={"acme": -20}).standing("acme")


@pytest.mark.parametrize("first", ["post", "void"])
@pytest.mark.parametrize("second", ["post", "void"])
@pytest.mark.parametrize("reservations", [True, False])
def test_a_segment_is_closed_once(first: str, second: str, reservations: bool) -> None:
    """Never posted twice, voided twice, or both, whatever the attempt."""
    if not reservations and "void" in {first, second}:
        return
    book = ledger(credit(100), fact("reserve", 20), fact(first, 10, **ONE), reservations=reservations)
    assert refused(book, fact(second, 10, segment=1, attempt=2)) == Rule.CLOSED_ONCE


def test_nothing_is_posted_that_was_not_reserved() -> None:
    """By the message where it reserved for itself, else by the account."""
    own = ledger(credit(100), fact("reserve", 10, of=1), fact("reserve", 20, "M2"), fact("post", 10, **ONE))
    assert refused(own, fact("post", 10, **TWO)) == Rule.RESERVED
    assert refused(ledger(credit(100)), fact("post", 10, **ONE)) == Rule.RESERVED


def test_members_of_a_batch_post_from_its_reserve() -> None:
    """A batch reserves under its own id, its members post and void from that, and what is left is voided as a whole."""
    whole = fact("reserve", 50, "G", of=0, unit_price=0)
    book = ledger(credit(100), whole, fact("post", 10, "G1", **ONE), fact("void", 10, "G2", **ONE))
    book.apply(fact("void", 30, "G", of=0, unit_price=0))
    assert Standing(90, 0, "EUR") == book.standing("acme")


def test_void_of_a_whole_is_at_most_what_is_left() -> None:
    """Limit and limit + 1."""
    rest = {"of": 0, "unit_price": 0}
    book = ledger(credit(100), fact("reserve", 50, "G", **rest))
    assert refused(book, fact("void", 51, "G", **rest)) == Rule.RESERVED
    book.apply(fact("void", 50, "G", **rest))


def test_refund_is_at_most_the_post() -> None:
    """Limit - 1, limit and limit + 1; in parts too; never of a void, never without a post."""
    base = [credit(100), fact("reserve", 20), fact("post", 10, **ONE)]
    for amount in (9, 10):
        ledger(*base, fact("refund", amount, **ONE))
    assert refused(ledger(*base), fact("refund", 11, **ONE)) == Rule.REFUND
    assert refused(ledger(*base, fact("refund", 9, **ONE)), fact("refund", 2, segment=1, attempt=2)) == Rule.REFUND
    assert refused(ledger(*base), fact("refund", 10, **TWO)) == Rule.REFUND
    assert refused(ledger(*base, fact("void", 10, **TWO)), fact("refund", 10, segment=2, attempt=2)) == Rule.REFUND


def test_the_tail_of_a_history() -> None:
    """With opening balances a refund may answer a post that was before the first fact."""
    book = Ledger(opening={"acme": (50, 10)})
    book.apply(fact("refund", 10, **ONE))
    book.apply(fact("post", 10, **TWO))
    assert Standing(60, 0, "EUR") == book.standing("acme")
    assert refused(book, fact("refund", 1, segment=1, attempt=2)) == Rule.REFUND
