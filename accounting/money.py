"""Amounts: integer micro-units (1e-6 of a currency) inside, decimal strings at the doors.

Refuses to know which currency an amount is in and how many decimals that currency likes: every amount travels beside
its currency code, and no float ever stands for money.
"""

from __future__ import annotations

import re

MICRO = 1_000_000
"""Micro-units in one unit of a currency."""
DECIMALS_MAX = 6
MICRO_MAX = 9_000_000_000_000_000
"""Largest amount either way. Below 2**53, because the server's scripts compute with doubles and must stay exact."""

_DECIMAL = re.compile(r"(-?)([0-9]{1,10})(?:\.([0-9]{1,6}))?", re.ASCII)


class MoneyError(ValueError):
    """Text that is not an amount, or an amount beyond what can be kept exactly."""


def to_micro(text: str) -> int:
    """Micro-units of a decimal string such as "0.0350" or "-12". No sign but "-", no exponent, no blanks, at most six
    decimals. Raises MoneyError, which says what is wrong and how to write it."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise MoneyError(_why_not(text))
    sign, units, decimals = match.groups()
    micro = int(units) * MICRO + (int(decimals.ljust(DECIMALS_MAX, "0")) if decimals else 0)
    if micro > MICRO_MAX:
        raise MoneyError(f"{text!r} is beyond the largest amount, {to_decimal(MICRO_MAX)}")
    return -micro if sign else micro


def to_decimal(micro: int) -> str:
    """The decimal string of micro-units: exact, never an exponent, at least two decimals. `to_micro` reads it back."""
    units, rest = divmod(abs(micro), MICRO)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro < 0 else ''}{units}.{decimals}"


def _why_not(text: str) -> str:
    shown = repr(text[:32])
    if "," in text:
        return f"{shown} is not an amount: write the decimal point as '.' and no thousands separators"
    _, point, decimals = text.partition(".")
    if point and len(decimals) > DECIMALS_MAX and decimals.isdigit():
        return f"{shown} has {len(decimals)} decimals: at most {DECIMALS_MAX} can be kept exactly"
    return f"{shown} is not an amount: write digits with at most {DECIMALS_MAX} decimals, like 0.0350"
