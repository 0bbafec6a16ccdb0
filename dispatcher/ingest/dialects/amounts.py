"""Money as the dialects show it: at most four decimals, no trailing zeros, a whole number when it is whole.

This module refuses to know which dialect asks and whose money it is. Inside, money stays integer micro-units; what is
shown here is rounded (half up) and never read back.
"""

from __future__ import annotations

SHOWN_PER_UNIT = 10_000
"""The smallest amount shown is the ten-thousandth part of the unit."""
_MICRO_PER_SHOWN = 1_000_000 // SHOWN_PER_UNIT


def number(micro: int) -> int | float:
    """Micro-units as a JSON number: 98, 0.04, 1.96."""
    shown = (micro + _MICRO_PER_SHOWN // 2) // _MICRO_PER_SHOWN
    units, rest = divmod(shown, SHOWN_PER_UNIT)
    return shown / SHOWN_PER_UNIT if rest else units


def plain(micro: int) -> str:
    """The same as a string: "12345", "0.5"."""
    return str(number(micro))
