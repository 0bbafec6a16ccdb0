"""National languages in seven bits (3GPP TS 23.038, 6.2.1.2 and annex A): the tables, and texts through them.

This module refuses to know how long a segment is (segments.py) and whether a carrier or a handset can do this.

Theory. A segment may say in its user data header that the default alphabet is replaced (locking shift, element 0x25), that the
extension behind ESC is (single shift, 0x24), or both, each by the table of one language; no element, no change for the next
segment. So a Turkish or Hindi text fits 155, 152, 149 or 146 characters a segment where UCS-2 has 70 or 67.

Nine of the locking tables are one: the Indic blocks of Unicode run in parallel, so a septet stands for the same offset in each
block, with holes where a script lacks the letter, and six places of its own. Their single shift tables share digits' places
and the Latin capitals. Tables are written as code points because many editors would compose or reorder the letters themselves.

The tests compare every table with oFono's (tests/vectors/national.json), whose four differences are listed there.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache

from smpp.text import BASIC, ESC, EXTENSION

ELEMENT_SINGLE, ELEMENT_LOCKING = 0x24, 0x25
_UNKNOWN = "\xff"


class Language(IntEnum):
    """A national language identifier (23.038, 6.2.1.2.4). Spanish has no locking shift table."""

    TURKISH = 1
    SPANISH = 2
    PORTUGUESE = 3
    BENGALI = 4
    GUJARATI = 5
    HINDI = 6
    KANNADA = 7
    MALAYALAM = 8
    ORIYA = 9
    PUNJABI = 10
    TAMIL = 11
    TELUGU = 12
    URDU = 13


def shift_of(locking: int, single: int) -> int:
    """Both tables in one number, locking * 256 + single: 0 for the default alphabet and its extension."""
    return locking << 8 | single


def tables_of(shift: int) -> tuple[int, int]:
    """Locking and single of that number."""
    return shift >> 8, shift & 0xFF


def _points(text: str) -> list[str]:
    """Code points of "0981-0983 _ 0985": ranges in hex, "_" a hole."""
    found: list[str] = []
    for word in text.split():
        first, _, last = word.partition("-")
        found += [""] if word == "_" else [chr(point) for point in range(int(first, 16), int(last or first, 16) + 1)]
    return found


def _with(table: str, changes: dict[int, str]) -> dict[int, str]:
    """`table` by septet, with `changes`; ESC is none of its characters."""
    return {code: character for code, character in enumerate(table) if code != ESC} | changes


_LETTERS = {code: chr(code) for code in range(0x61, 0x7B)}
_INDIC_SIGNS = {0x0A: "\n", 0x0D: "\r", 0x20: " ", 0x21: "!", 0x28: ")", 0x29: "(", 0x2C: ",", 0x2E: ".", 0x3A: ":", 0x3B: ";"}
_INDIC_FIXED = _LETTERS | _INDIC_SIGNS | {0x3F: "?"} | {code: chr(code) for code in range(0x30, 0x3A)}
_INDIC_OFFSETS = (*range(0x01, 0x04), *range(0x05, 0x3A), *range(0x3C, 0x4E))
_OWN_PLACES = (0x60, *range(0x7B, 0x80))
_SHARED_PLACES = [code for code in range(0x60) if code not in _INDIC_FIXED and code != ESC]


def _indic(base: int, holes: str, own: str) -> dict[int, str]:
    """The locking table of the block at `base`: `holes` are offsets that the script lacks, `own` its six own places."""
    lacking = {ord(point) for point in _points(holes)}
    table = dict(_INDIC_FIXED)
    table |= {place: chr(base + o) for place, o in zip(_SHARED_PLACES, _INDIC_OFFSETS, strict=True) if o not in lacking}
    return table | dict(zip(_OWN_PLACES, _points(own), strict=True))


_URDU = (
    "0627 0622 0628 067B 0680 067E 06A6 062A 06C2 067F 0679 067D 067A 067C 062B 062C 0681 0684 0683 0685-0687 062D-062F 068C"
    " 0688-068A 068F 068D 0630 0631 0691 0693 0699 0632 0696 0698 069A 0633 0634 0635-0639 0641 0642 06A9-06AB 06AF 06B3 06B1"
    " 0644-0646 06BA-06BC 0648 06C4 06D5 06C1 06BE 0621 06CC 06D0 06D2 064D 0650 064F 0657 0654 0655 0651 0653 0656 0670"
)
_PORTUGUESE = (
    "@£$¥êéúíóç\nÔô\rÁáΔ_ªÇÀ∞^\\€Ó|\x1bÂâÊÉ !\"#º%&'()*+,-./0123456789:;<=>?"
    "ÍABCDEFGHIJKLMNOPQRSTUVWXYZÃÕÚÜ§~abcdefghijklmnopqrstuvwxyzãõ`üà"
)

LOCKING: dict[int, dict[int, str]] = {
    0: _with(BASIC, {}),
    Language.TURKISH: _with(BASIC, {0x04: "€", 0x07: "ı", 0x0B: "Ğ", 0x0C: "ğ", 0x1C: "Ş", 0x1D: "ş", 0x40: "İ", 0x60: "ç"}),
    Language.PORTUGUESE: _with(_PORTUGUESE, {}),
    Language.BENGALI: _indic(0x980, "0D 0E 11 12 29 31 33-35 45 46 49 4A", "09CE 09D7 09DC 09DD 09F0 09F1"),
    Language.GUJARATI: _indic(0xA80, "0E 12 29 31 34 46 4A", "0AD0 0AE0-0AE3 0AF1"),
    Language.HINDI: _indic(0x900, "", "0950 0972 097B 097C 097E 097F"),
    Language.KANNADA: _indic(0xC80, "01 0D 11 29 34 45 49", "0CD5 0CD6 0CE0-0CE3"),
    Language.MALAYALAM: _indic(0xD00, "01 0D 11 29 3C 45 49", "0D57 0D60-0D63 0D79"),
    Language.ORIYA: _indic(0xB00, "0D 0E 11 12 29 31 34 45 46 49 4A", "0B56 0B57 0B60-0B63"),
    Language.PUNJABI: _indic(0xA00, "0B-0E 11 12 29 31 34 37 3D 43-46 49 4A", "0A51 0A70-0A74"),
    Language.TAMIL: _indic(0xB80, "01 0B-0D 11 16-18 1B 1D 20-22 25-27 2B-2D 3C 3D 43-45 49", "0BD0 0BD7 0BF0-0BF2 0BF9"),
    Language.TELUGU: _indic(0xC00, "0D 11 29 34 3C 45 49", "0C55 0C56 0C60-0C63"),
    Language.URDU: _INDIC_FIXED | dict(zip((*_SHARED_PLACES, *_OWN_PLACES), _points(_URDU), strict=True)),
}
"""Characters by septet in place of the default alphabet; 0 is that itself. A septet not in a table stands for nothing."""

_CAPITALS = {code: chr(code) for code in range(0x41, 0x5B)}
_INDIC_EXTENSION = _with("@£$¥¿\"¤%&'\f*+", {}) | EXTENSION | _CAPITALS | dict(enumerate("-/<=>¡^¡_#*", 0x0E))
_FREE_PLACES = (0x19, 0x1A, *range(0x1C, 0x28), *range(0x2A, 0x2F), *range(0x30, 0x3C), 0x3F)


def _extension(own: str) -> dict[int, str]:
    """An Indic single shift table: `own` fills the free places in their order."""
    return _INDIC_EXTENSION | {place: point for place, point in zip(_FREE_PLACES, _points(own), strict=False) if point}


SINGLE: dict[int, dict[int, str]] = {
    0: EXTENSION,
    Language.TURKISH: EXTENSION | {0x47: "Ğ", 0x49: "İ", 0x53: "Ş", 0x63: "ç", 0x67: "ğ", 0x69: "ı", 0x73: "ş"},
    Language.SPANISH: EXTENSION
    | {0x09: "ç", 0x41: "Á", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú", 0x61: "á", 0x69: "í", 0x6F: "ó", 0x75: "ú"},
    Language.PORTUGUESE: EXTENSION
    | {0x05: "ê", 0x09: "ç", 0x0B: "Ô", 0x0C: "ô", 0x0E: "Á", 0x0F: "á", 0x1F: "Ê", 0x41: "À", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú"}
    | {0x12: "Φ", 0x13: "Γ", 0x15: "Ω", 0x16: "Π", 0x17: "Ψ", 0x18: "Σ", 0x19: "Θ", 0x5B: "Ã", 0x5C: "Õ", 0x61: "Â"}
    | {0x69: "í", 0x6F: "ó", 0x75: "ú", 0x7B: "ã", 0x7C: "õ", 0x7F: "â"},
    Language.BENGALI: _extension("09E6-09EF 09DF-09E3 09F2-09FA"),
    Language.GUJARATI: _extension("0964 0965 0AE6-0AEF"),
    Language.HINDI: _extension("0964 0965 0966-096F 0951-0954 0958-0963 0970 0971"),
    Language.KANNADA: _extension("0964 0965 0CE6-0CEF 0CDE 0CF1 0CF2"),
    Language.MALAYALAM: _extension("0964 0965 0D66-0D75 0D7A-0D7F"),
    Language.ORIYA: _extension("0964 0965 0B66-0B6F 0B5C 0B5D 0B5F 0B70 0B71"),
    Language.PUNJABI: _extension("0964 0965 0A66-0A6F 0A59-0A5C 0A5E 0A75"),
    Language.TAMIL: _extension("0964 0965 0BE6-0BEF 0BF3-0BF8 0BFA"),
    Language.TELUGU: _extension("_ _ 0C66-0C6F 0C58 0C59 0C78-0C7F"),
    Language.URDU: _extension("0600 0601 06F0-06F9 060C-0614 061B 061F 0640 0652 0658 066B 066C 0672 0673 06CD 06D4"),
}
"""Characters by the septet behind ESC; 0 is the extension of the default alphabet."""


class _Codes(dict[int, str]):
    """Septets (one, or ESC and one) by code point, for str.translate; what is in neither table becomes U+00FF."""

    def __missing__(self, point: int) -> str:
        return _UNKNOWN


@cache
def _codes(locking: int, single: int) -> _Codes:
    found = _Codes()
    for code, character in sorted(SINGLE[single].items(), reverse=True):
        found[ord(character)] = chr(ESC) + chr(code)
    for code, character in sorted(LOCKING[locking].items(), reverse=True):
        found[ord(character)] = chr(code)
    return found


def septets(text: str, locking: int, single: int) -> bytes | None:
    """`text` as unpacked septets by these tables; None when it holds a character outside both. Raises KeyError for a language
    that has no such table."""
    written = text.translate(_codes(locking, single))
    return None if _UNKNOWN in written else written.encode("latin-1")


def widths(text: str, locking: int, single: int) -> list[int]:
    """Septets of each character, for a text that `septets` writes."""
    codes = _codes(locking, single)
    return [len(codes[ord(character)]) for character in text]


def from_septets(data: bytes, locking: int, single: int) -> str:
    """Unpacked septets as text, for any bytes. Unknown languages are read as the default alphabet and its extension, an unknown
    pair as the character of the locking table, a hole as a space, an octet above 0x7F as U+FFFD (as from_gsm7 does)."""
    basic, extension = LOCKING.get(locking, LOCKING[0]), SINGLE.get(single, SINGLE[0])
    shown: list[str] = []
    escaped = False
    for code in data:
        if code == ESC and not escaped:
            escaped = True
            continue
        plain = basic.get(code, " ") if code < 0x80 else "\ufffd"
        shown.append(extension.get(code, plain) if escaped and code < 0x80 else plain)
        escaped = False
    return "".join([*shown, " "] if escaped else shown)


def elements(shift: int) -> bytes:
    """The header's elements for both tables of `shift`, b"" for neither."""
    locking, single = tables_of(shift)
    return (bytes((ELEMENT_SINGLE, 1, single)) if single else b"") + (bytes((ELEMENT_LOCKING, 1, locking)) if locking else b"")


def shifts(text: str, languages: tuple[Language, ...]) -> list[tuple[int, bytes]]:
    """Every way to write `text` with one of `languages`: (shift, septets), at most three a language."""
    found: list[tuple[int, bytes]] = []
    for language in languages:
        for locking, single in ((0, language), (language, 0), (language, language)):
            if locking in LOCKING and (written := septets(text, locking, single)) is not None:
                found.append((shift_of(locking, single), written))
    return found


def named(shift: int) -> str:
    """What a person is shown: "turkish single", "hindi locking+single"; "" for none."""
    locking, single = tables_of(shift)
    words = "+".join(word for word, language in (("locking", locking), ("single", single)) if language)
    return f"{Language(locking or single).name.lower()} {words}" if words else ""
