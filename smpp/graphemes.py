"""Where a text may be cut without tearing what a reader sees as one character: an accent from its letter, an emoji from its
skin colour or its family, a vowel sign from its consonant.

This module refuses to know about segments. It follows Unicode's rules for extended grapheme clusters (UAX 29) as far as the
standard library's tables go, and errs towards not cutting: it is asked only where a cut is wanted anyway, and a place a little
earlier is as good.
"""

from __future__ import annotations

import unicodedata

CLUSTER_CHARS_MAX = 32
"""A longer run is cut anywhere: nobody reads it as one character."""

_ZWJ = "\u200d"
_JOINED = frozenset("\u200c\u200d\uff9e\uff9f\u0e33\u0eb3")
_MARKS = frozenset({"Mn", "Me", "Mc"})
_PREPENDED = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2")
_VIRAMA = 9


def breaks(before: str, after: str) -> bool:
    """May a cut go between `before` and `after`? Both not empty; `before` reaches back to such a place."""
    left, right = before[-1], after[0]
    if left.isascii() and right.isascii():
        return (left, right) != ("\r", "\n")
    if right in _JOINED or left == _ZWJ or left in _PREPENDED or unicodedata.category(right) in _MARKS:
        return False
    if "\U0001f3fb" <= right <= "\U0001f3ff" or "\U000e0020" <= right <= "\U000e007f":
        return False
    if _regional(right) and _regional(left):
        flags = len(before) - len(before.rstrip("".join(map(chr, range(0x1F1E6, 0x1F200)))))
        return flags % 2 == 0
    if unicodedata.combining(left) == _VIRAMA and unicodedata.category(right) == "Lo":
        return False
    return not _one_syllable(left, right)


def _regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _one_syllable(left: str, right: str) -> bool:
    """Hangul: leading, vowel and trailing jamo, or a syllable and more jamo."""
    first, second = _jamo(left), _jamo(right)
    return (first, second) in {("L", "L"), ("L", "V"), ("L", "S"), ("V", "V"), ("V", "T"), ("S", "V"), ("S", "T"), ("T", "T")}


def _jamo(character: str) -> str:
    if "\uac00" <= character <= "\ud7a3":
        return "S"
    if "\u1100" <= character <= "\u115f" or "\ua960" <= character <= "\ua97c":
        return "L"
    if "\u1160" <= character <= "\u11a7" or "\ud7b0" <= character <= "\ud7c6":
        return "V"
    return "T" if "\u11a8" <= character <= "\u11ff" or "\ud7cb" <= character <= "\ud7fb" else ""
