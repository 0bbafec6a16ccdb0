"""The benchmarks that a page names are there, and every one that is there is on the page."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import pytest

from benchmarks import all as everything
from benchmarks.tables import bars, spreads
from tests.house.tree import ROOT

NAMED = re.compile(r"python -m (benchmarks[\w.]*)")
NOT_COMMANDS = {"installation", "speed", "stage_world", "tables"}
"""What others are made of."""


def test_every_benchmark_is_named_and_every_named_one_exists() -> None:
    """Over all pages; docs/benchmarks.md has all that measure."""
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    named = {name for page in pages for name in NAMED.findall(page.read_text(encoding="utf-8"))}
    assert [name for name in named if importlib.util.find_spec(name) is None] == []
    there = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - NOT_COMMANDS - {"__init__"}
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert [name for name in sorted(there) if f"benchmarks.{name}" not in text] == []


@pytest.mark.parametrize(
    ("row", "value", "expected"),
    [
        (everything.Row("x", "us", 30, 15, ""), 15.0, "goal"),
        (everything.Row("x", "us", 30, 15, ""), 15.1, "must"),
        (everything.Row("x", "us", 30, 15, ""), 30.0, "must"),
        (everything.Row("x", "us", 30, 15, ""), 30.1, "missed"),
        (everything.Row("x", "/s", 20, 50, "", least=True), 50.0, "goal"),
        (everything.Row("x", "/s", 20, 50, "", least=True), 20.0, "must"),
        (everything.Row("x", "/s", 20, 50, "", least=True), 19.9, "missed"),
    ],
)
def test_a_budget_is_judged_at_its_limits(row: everything.Row, value: float, expected: str) -> None:
    """The limit itself is kept; where more is better, the other way round."""
    assert row.kept(value) == expected


def test_a_failed_step_is_in_the_table_and_no_figure() -> None:
    """What failed is said, never left out."""
    results: dict[str, Any] = {
        "singles": {"failed": "lost 1"},
        "hooks": spreads([{"notices_us": 100.0}, {"notices_us": 200.0}]),
    }
    text = everything.markdown(results)
    assert "| singles | | | failed: lost 1 | |" in text
    assert "| webhook, a signed callback | 400 us | 150 | 150 | goal |" in text
    assert bars("x", []).endswith("</svg>\n")
    assert "webhook" in everything.picture(results)
