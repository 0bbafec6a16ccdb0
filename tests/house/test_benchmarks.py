"""The benchmarks that a page names are there, and every one that is there is on the page."""

from __future__ import annotations

import importlib.util
import re
import socket
from typing import Any

import pytest

from benchmarks import all as everything
from benchmarks.batches import WINDOW, bulk_before
from benchmarks.received import received
from benchmarks.tables import bars, spreads
from smpp.sink import Arrival
from tests.house.tree import ROOT

NAMED = re.compile(r"python -m (benchmarks[\w.]*)")
NOT_COMMANDS = {"installation", "received", "speed", "stage_world", "tables"}
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


def test_what_was_received_counts_what_was_not_read() -> None:
    """By connection, since it was opened; of others and of another port's nothing."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.create_connection(listener.getsockname()) as one,
        socket.create_connection(listener.getsockname()) as two,
        socket.create_connection(other.getsockname()) as elsewhere,
    ):
        elsewhere.sendall(b"x")
        one.sendall(b"x" * 1000)
        taker, _ = listener.accept()
        with taker:
            assert len(taker.recv(300)) == 300
            expected = {one.getsockname()[1]: 1000, two.getsockname()[1]: 0}
            assert received(listener.getsockname()[1]) == expected


def test_before_a_code_is_what_left_after_it_was_accepted() -> None:
    """In the order of arrival; what a connection had received at the 202 is left out, codes are no bulk."""
    arrivals = [Arrival(1.0, f"bulk {n}", 1 + n % 2, 100 * (n // 2)) for n in range(8)]
    arrivals[5:5] = [Arrival(1.0, "first", 1, 300), Arrival(1.0, "second", 2, 250)]
    assert bulk_before({"first": {1: 150, 2: 100}, "second": {1: 400, 2: 250}}, arrivals, bulk=8) == 2
    assert bulk_before({"first": {1: 400, 2: 300}, "second": {}}, arrivals, bulk=8) == 5
    with pytest.raises(RuntimeError, match="10 segments to 10 numbers"):
        bulk_before({"first": {}, "second": {}}, arrivals, bulk=9)
    late = [*(Arrival(1.0, f"{n}", 1, n) for n in range(WINDOW + 1)), Arrival(1.0, "code", 1, 999)]
    with pytest.raises(RuntimeError, match="through before the last code"):
        bulk_before({"code": {}}, late, bulk=WINDOW + 1)
    late.append(Arrival(1.0, "last", 1, 1000))
    with pytest.raises(RuntimeError, match=f"{WINDOW + 1} segments left before a code"):
        bulk_before({"code": {}}, late, bulk=WINDOW + 2)
    assert bulk_before({"code": {1: 1}}, late, bulk=WINDOW + 2) == WINDOW
