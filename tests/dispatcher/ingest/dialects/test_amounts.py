"""Money as shown: the samples of the documents, and that nothing is shown finer than four decimals."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.ingest.dialects.amounts import number, plain


@pytest.mark.parametrize(
    ("micro", "shown"),
    [
        (0, "0"),
        (40_000, "0.04"),
        (1_960_000, "1.96"),
        (98_000_000, "98"),
        (12_345_000_000, "12345"),
        (500_000, "0.5"),
        (100, "0.0001"),
        (50, "0.0001"),
        (49, "0"),
        (-1_500_000, "-1.5"),
        (999_999_999_900, "999999.9999"),
    ],
)
def test_as_the_documents_show_it(micro: int, shown: str) -> None:
    """A JSON number and a string, both without trailing zeros; whole when whole."""
    assert msgspec.json.encode(number(micro)).decode() == shown
    assert plain(micro) == shown


@given(st.integers(-(10**15), 10**15))
def test_never_further_off_than_half_a_ten_thousandth(micro: int) -> None:
    """What is shown is the nearest of what may be shown, and has at most four decimals."""
    text = plain(micro)
    assert abs(Fraction(text) - Fraction(micro, 1_000_000)) <= Fraction(1, 20_000)
    assert len(text.partition(".")[2]) <= 4
    assert not text.endswith(".0")
