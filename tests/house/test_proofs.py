"""The proof of the public APIs holds: each rule of the contract names the tests that show it, and each contract test shows one.

The proof is a page per API in docs/dialects/proof, in the contract's sections: `| rule | tests |`, or `none: why` for a rule
that no test can show. That a named test exists is test_docs' business. It refuses to judge whether a test shows the rule.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.house.tree import ROOT

SECTIONS: Final = {
    "shared": (*(f"1.{n}" for n in range(1, 8)), "7", "8", "9"),
    "chinqit": ("2", *(f"2.{n}" for n in range(1, 10)), *(f"3.{n}" for n in range(1, 9))),
    "laravel": tuple(f"4.{n}" for n in range(1, 8)),
    "smskit": tuple(f"5.{n}" for n in range(1, 7)),
    "otpiq": tuple(f"6.{n}" for n in range(1, 6)),
}
"""The contract's sections, by the page that proves them."""
PAGES: Final = sorted((ROOT / "docs/dialects/proof").glob("*.md"))
TEST: Final = re.compile(r"`([\w/]+)::(test_\w+)`")
NONE: Final = re.compile(r"none: .{15,}")


class Rule(NamedTuple):
    """A row of a page. `section` is the number its heading begins with."""

    section: str
    words: str
    proof: str

    @property
    def tests(self) -> list[str]:
        """Those named, as file::test."""
        return ["::".join(each) for each in TEST.findall(self.proof)]


def rules_of(page: str) -> Iterator[Rule]:
    """Every row of a page's tables but their heads. Raises ValueError for a row that has not two cells."""
    section = ""
    for line in page.splitlines():
        if heading := re.match(r"## (\S+)", line):
            section = heading[1]
        elif line.startswith("|") and not line.startswith(("| Rule |", "|---")):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if len(cells) != 2 or not all(cells):
                raise ValueError(f"a row of two cells is wanted: {line}")
            yield Rule(section, *cells)


def unproven(rules: list[Rule]) -> list[str]:
    """Rules with neither a test nor a reason."""
    return [rule.words for rule in rules if not rule.tests and not NONE.fullmatch(rule.proof)]


def _tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}


def _owner(path: Path) -> str:
    """The page that must name a file's tests: by the file's name, all that is no API's own is shared."""
    return next((name for name in SECTIONS if path.name.startswith(f"test_{name}")), "shared")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_rule_names_its_tests(path: Path) -> None:
    """Or says why none can show it; no rule stands twice in a section, and no section of the contract is left out."""
    rules = list(rules_of(path.read_text(encoding="utf-8")))
    assert unproven(rules) == []
    assert [words for (_, words), count in Counter((r.section, r.words) for r in rules).items() if count > 1] == []
    assert list(dict.fromkeys(rule.section for rule in rules)) == list(SECTIONS[path.stem])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_contract_test_shows_a_rule(path: Path) -> None:
    """A test that no rule names is either superfluous or shows a rule that is missing."""
    named = {test for rule in rules_of(path.read_text(encoding="utf-8")) for test in rule.tests}
    files = [file for file in (ROOT / "tests/contract").glob("test_*.py") if _owner(file) == path.stem]
    there = {f"contract/{file.stem}::{name}" for file in files for name in _tests(file) if name.startswith("test_")}
    assert there, "no contract test belongs to this page"
    assert sorted(there - named) == []


def test_every_api_has_its_page() -> None:
    """No page is missing, so no contract test is without one that must name it; and none is there that nobody checks."""
    assert [page.stem for page in PAGES] == sorted(SECTIONS)


def test_the_check_can_fail() -> None:
    """A rule without a test, with half a reason, and a row of one cell."""
    page = "## 1.1 Paths\n| Rule | Shown by |\n|---|---|\n| good | `contract/test_x::test_y` |\n| bad | soon |\n"
    rules = list(rules_of(page + "| lazy | none: no |\n| honest \\| true | none: it would take a year to see |\n"))
    assert [rule.section for rule in rules] == ["1.1"] * 4
    assert unproven(rules) == ["bad", "lazy"]
    with pytest.raises(ValueError, match="two cells"):
        list(rules_of("| alone |"))
