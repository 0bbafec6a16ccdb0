"""Where a cut would tear what a reader sees as one character."""

from __future__ import annotations

import pytest

from smpp.graphemes import breaks
from smpp.segments import count, cut
from smpp.text import Encoding, ucs2


@pytest.mark.parametrize(
    ("before", "after", "may"),
    [
        ("a", "b", True),
        ("\r", "\n", False),
        ("\n", "\r", True),
        ("e", "\u0301", False),  # a combining accent
        ("👍", "🏽", False),  # skin colour
        ("👩\u200d", "👧", False),  # family
        ("❤", "\ufe0f", False),  # shown as emoji
        ("🇩", "🇪", False),  # one flag
        ("🇩🇪", "🇫", True),  # between two
        ("क", "ि", False),  # a vowel sign
        ("क्", "ष", False),  # a conjunct
        ("가", "나", True),
        ("ᄀ", "ᅡ", False),  # jamo of one syllable
        ("ж", "я", True),
        ("ก", "ำ", False),
    ],
)
def test_breaks(before: str, after: str, may: bool) -> None:
    """UAX 29 in examples."""
    assert breaks(before, after) is may


def test_a_cut_goes_before_it() -> None:
    """Where the rest still fits into as many parts."""
    text = "ж" * 66 + "e\u0301" + "ж" * 20
    parts = cut(text, Encoding.UCS2)
    assert [len(part) // 2 for part in parts] == [66, 22]
    assert b"".join(parts) == ucs2(text)


def test_it_never_costs_a_segment() -> None:
    """67 + 67 units need every place: then the accent goes to the next part."""
    text = "ж" * 66 + "e\u0301" + "ж" * 66
    parts = cut(text, Encoding.UCS2)
    assert [len(part) // 2 for part in parts] == [67, 67]
    assert count(text, Encoding.UCS2) == 2


def test_a_wall_of_marks_is_cut_anywhere() -> None:
    """Nobody reads a thousand accents as one character."""
    text = "e" + "\u0301" * 1000
    assert len(cut(text, Encoding.UCS2)) == count(text, Encoding.UCS2) == 15
