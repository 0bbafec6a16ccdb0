"""National tables against oFono's, and texts through them and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smpp.national import LOCKING, SINGLE, Language, elements, from_septets, named, septets, shift_of, shifts, tables_of, widths
from smpp.text import ESC

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "national.json").read_text())
"""Taken from the tables inside Debian's ofonod 1.31 (the package ofono). A space stands for a hole there."""
OFONOS_SLIPS = {
    ("locking", 7, 0x24): "ಡ",  # Kannada: PA for DDA; PA is at 0x3D too
    ("locking", 8, 0x2E): ".",  # Malayalam: a comma for the full stop; the comma is at 0x2C too
    ("single", 7, 0x3C): "[",  # Kannada: the closing bracket twice
    ("single", 12, 0x65): "€",  # Telugu: no euro sign, which every other table has there
}
LANGUAGES = tuple(Language)


def theirs(kind: str, language: int) -> dict[int, str]:
    """oFono's table by septet, without holes and its slips mended."""
    table = VECTORS[kind][str(language)]
    codes = dict(enumerate(table.split())) if kind == "locking" else {int(code, 16): point for code, point in table.items()}
    found = {
        code: chr(int(point, 16)) for code, point in codes.items() if code != ESC and (int(point, 16) != 0x20 or code == 0x20)
    }
    return found | {code: right for (a, b, code), right in OFONOS_SLIPS.items() if (a, b) == (kind, language)}


@pytest.mark.parametrize("language", [language for language in Language if language != Language.SPANISH])
def test_locking_tables(language: Language) -> None:
    """Septet by septet."""
    assert theirs("locking", language) == LOCKING[language]


@pytest.mark.parametrize("language", [0, *Language])
def test_single_tables(language: int) -> None:
    """Septet by septet; oFono keeps no form feed where the language has none."""
    assert theirs("single", language) == SINGLE[language]


def test_slips_are_slips() -> None:
    """Where we differ, oFono's own character stands in its table twice, or is missing from one table of fourteen."""
    for kind, language, code in OFONOS_SLIPS:
        if kind == "locking":
            table = VECTORS[kind][str(language)].split()
            assert table.count(table[code]) == 2
    assert [table["3c"] for table in VECTORS["single"].values()].count("005d") == 1
    assert [language for language, table in VECTORS["single"].items() if "65" not in table] == ["12"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_and_back(language: Language) -> None:
    """Every character of both tables, and each takes as many septets as `widths` says."""
    for locking, single in ((0, language), (language, 0), (language, language)):
        if locking not in LOCKING:
            continue
        text = "".join(dict.fromkeys((*LOCKING[locking].values(), *SINGLE[single].values())))
        written = septets(text, locking, single)
        assert written is not None
        assert from_septets(written, locking, single) == text
        assert sum(widths(text, locking, single)) == len(written)
        assert septets(text + "\u4e2d", locking, single) is None


def test_reading_never_raises() -> None:
    """Unknown languages, dangling escapes, holes and octets beyond seven bits."""
    assert from_septets(b"a\x1b", 200, 200) == "a "
    assert from_septets(b"\x1b\x1b\xff\x1b\xffa", 1, 1) == " \ufffd\ufffda"
    assert from_septets(b"\x0c", Language.BENGALI, 0) == " "
    assert from_septets(b"\x1ba", Language.TURKISH, Language.TURKISH) == "a"


def test_header_elements() -> None:
    """23.038, 6.2.1.2.4: element, length, language."""
    shift = shift_of(Language.TURKISH, Language.URDU)
    assert tables_of(shift) == (1, 13)
    assert elements(shift) == bytes((0x24, 1, 13, 0x25, 1, 1))
    assert elements(0) == b""
    assert (named(0), named(0x0101), named(0x0001), named(0x0600)) == (
        "", "turkish locking+single", "turkish single", "hindi locking",
    )  # fmt: skip


def test_ways_of_a_text() -> None:
    """Only tables that hold all of it; Spanish has no locking one."""
    assert [shift for shift, _ in shifts("ğ", LANGUAGES)] == [0x0001, 0x0100, 0x0101]
    assert [shift for shift, _ in shifts("ú", (Language.SPANISH,))] == [0x0002]
    assert shifts("中", LANGUAGES) == []
