"""accounting/money.py: amounts are exact or refused."""

from __future__ import annotations

import pytest

from accounting.money import MICRO_MAX, MoneyError, to_decimal, to_micro


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("0", 0),
        ("1", 1_000_000),
        ("0.0350", 35_000),
        ("-12", -12_000_000),
        ("0.000001", 1),
        ("-0.5", -500_000),
        ("007", 7_000_000),
    ],
)
def test_decimal_strings_become_micro_units(text: str, micro: int) -> None:
    """What a person writes is kept exactly."""
    assert micro == to_micro(text)


@pytest.mark.parametrize(("micro", "text"), [(0, "0.00"), (1, "0.000001"), (-35_000, "-0.035"), (12_500_000, "12.50")])
def test_micro_units_become_decimal_strings(micro: int, text: str) -> None:
    """No exponent, no rounding, at least two decimals."""
    assert text == to_decimal(micro)


@pytest.mark.parametrize(
    "text", ["", "1.", ".5", "+1", "1e3", " 1", "1 ", "1,5", "--1", "0x10", "٣", "NaN", "1\n", "99999999999"]
)
def test_anything_else_is_refused(text: str) -> None:
    """No guess is made about what somebody may have meant."""
    with pytest.raises(MoneyError):
        to_micro(text)


def test_six_decimals_and_not_one_more() -> None:
    """A seventh decimal could not be kept, so it is refused and not rounded."""
    assert to_micro("0.123456") == 123_456
    with pytest.raises(MoneyError, match="7 decimals: at most 6"):
        to_micro("0.1234567")


def test_the_largest_amount() -> None:
    """Limit - 1, limit, limit + 1."""
    for micro in (MICRO_MAX - 1, MICRO_MAX, -MICRO_MAX):
        assert micro == to_micro(to_decimal(micro))
    with pytest.raises(MoneyError, match="beyond the largest"):
        to_micro(to_decimal(MICRO_MAX + 1))


def test_a_comma_gets_its_own_remedy() -> None:
    """The commonest mistake is named."""
    with pytest.raises(MoneyError, match="write the decimal point as"):
        to_micro("0,035")
