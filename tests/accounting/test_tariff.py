"""accounting/tariff.py: the longest prefix prices a number; a bad row is named with its remedy."""

from __future__ import annotations

import random

import pytest

from accounting.tariff import PREFIX_DIGITS_MAX, Price, Tariff, TariffBook, TariffError, from_dict, parse_csv

CSV = """prefix,price,country,mccmnc
# the home market
222,0.01,MR,60901
2224,0.0125,MR,
44,0.035,GB
"""


def csv(text: str) -> Tariff:
    """The tariff that this file makes."""
    return parse_csv(text, name="std", currency="EUR", source="std.csv")


def test_the_longest_prefix_wins() -> None:
    """2224... is priced by 2224, not by 222, and nothing else is guessed."""
    tariff = csv(CSV)
    assert Price(12_500, "MR", "", "2224") == tariff.price("22245678901")
    assert Price(10_000, "MR", "60901", "222") == tariff.price("22235678901")
    assert tariff.price("33612345678") is None


def test_the_empty_prefix_prices_everything_else() -> None:
    """A row without prefix is the price of the rest."""
    tariff = from_dict({"44": "0.035", "": "0.10"}, name="x", currency="EUR", source="dispatcher.toml")
    assert Price(100_000, "", "", "") == tariff.price("33612345678")
    assert Price(35_000, "", "", "44") == tariff.price("447911123456")


def test_the_lookup_equals_its_slow_twin() -> None:
    """On random tables and numbers the levels find what trying every prefix finds."""
    rng = random.Random(7)
    for _ in range(50):
        prefixes = {"".join(rng.choices("123", k=rng.randint(0, 6))) for _ in range(40)}
        tariff = Tariff("t", "EUR", {p: Price(len(p), "", "", p) for p in prefixes})
        for _ in range(50):
            number = "".join(rng.choices("123", k=8))
            fitting = [p for p in prefixes if number.startswith(p)]
            found = tariff.price(number)
            assert (max(fitting, key=len) if fitting else None) == (found.prefix if found else None)


def test_columns_may_come_in_any_order_and_without_header() -> None:
    """The header names the columns; without one they are prefix,price,country,mccmnc."""
    assert csv("price,prefix\n0.035,44\n").prices["44"].micro == 35_000
    assert Price(35_000, "GB", "23410", "44") == csv("\ufeff44,0.035,GB,23410\r\n").prices["44"]


@pytest.mark.parametrize(
    ("text", "line", "column", "remedy"),
    [
        ("44,0.035\n+33,0.1\n", 2, "prefix", "without +"),
        ("44,0.035\n33,0,1\n", 2, "country", "two capital letters"),
        ("44,cheap\n", 1, "price", "like 0.0350"),
        ("44,-0.1\n", 1, "price", "negative"),
        ("44\n", 1, "price", "missing"),
        ("44,0.1,gb\n", 1, "country", "two capital letters"),
        ("44,0.1,GB,234\n", 1, "mccmnc", "5 or 6 digits"),
        ("44,0.1,GB,23410,x\n", 1, "row", "5 columns"),
        ("44,0.1\n33,0.1\n44,0.2\n", 3, "prefix", "already priced in line 1"),
        ("prefix,price,colour\n", 1, "header", "the columns are"),
        ("price,country\n", 1, "header", "prefix is missing"),
        ("# nothing\n", 0, "rows", "at least one row"),
        ('44,"0.1\n', 1, "row", "not CSV"),
        ("1" * (PREFIX_DIGITS_MAX + 1) + ",0.1\n", 1, "prefix", "up to 15 digits"),
    ],
)
def test_a_bad_row_is_named_with_its_remedy(text: str, line: int, column: str, remedy: str) -> None:
    """Source, line, column and remedy, in fields and in the text."""
    with pytest.raises(TariffError) as caught:
        csv(text)
    assert ("std.csv", line, column) == (caught.value.source, caught.value.line, caught.value.column)
    assert remedy in caught.value.remedy
    assert remedy in str(caught.value)


def test_prefixes_up_to_their_limit() -> None:
    """14 and 15 digits are prefixes; 16 are not (above)."""
    for digits in (PREFIX_DIGITS_MAX - 1, PREFIX_DIGITS_MAX):
        assert csv("1" * digits + ",0.1\n").prices["1" * digits].micro == 100_000


def test_a_currency_is_three_capitals() -> None:
    """Anything else is refused when the tariff is built."""
    with pytest.raises(TariffError, match="ISO 4217"):
        Tariff("t", "euro", {})


def test_the_version_in_force() -> None:
    """Before its first version a tariff has no price; from valid_from on, inclusive, the later one counts."""
    old, new = (Tariff("t", "EUR", {"": Price(micro, "", "", "")}, at) for micro, at in ((1, 100), (2, 200)))
    book = TariffBook([new, old])
    assert [None, old, old, new, new] == [book.at("t", at) for at in (99, 100, 199, 200, 201)]
    assert book.at("other", 200) is None


@pytest.mark.parametrize("second", [Tariff("t", "EUR", {}, 5), Tariff("t", "USD", {}, 9)])
def test_versions_that_contradict_are_refused(second: Tariff) -> None:
    """Two versions of one instant or of two currencies cannot both hold."""
    with pytest.raises(TariffError):
        TariffBook([Tariff("t", "EUR", {}, 5), second])
