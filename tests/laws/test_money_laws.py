"""Laws of amounts: exact there and back, and order is kept."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from accounting.money import MICRO_MAX, MoneyError, to_decimal, to_micro

MICROS = st.integers(-MICRO_MAX, MICRO_MAX)


@given(MICROS)
def test_there_and_back(micro: int) -> None:
    """to_micro(to_decimal(x)) is x."""
    assert micro == to_micro(to_decimal(micro))


@given(MICROS)
def test_the_text_means_the_amount(micro: int) -> None:
    """The text, read by another implementation of decimals, is the amount."""
    assert Decimal(micro) == Decimal(to_decimal(micro)) * 1_000_000


@given(st.text(max_size=24) | st.from_regex(r"-?[0-9.,eE+]{1,20}", fullmatch=True))
def test_any_text_is_exact_or_refused(text: str) -> None:
    """Whatever is accepted means what Decimal says; nothing but MoneyError is raised."""
    try:
        micro = to_micro(text)
    except MoneyError:
        return
    assert Decimal(micro) == Decimal(text) * 1_000_000
