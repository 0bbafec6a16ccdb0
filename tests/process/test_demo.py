"""`dispatcher demo --json`: one run of the whole play, judged by its numbers."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from tests.house.tree import ROOT

DATA = ROOT / "benchmarks" / "data" / "demo.csv"
REFUSED = {"number_invalid": 10, "text_empty": 1, "text_too_long": 1, "sender_invalid": 1, "no_price": 1}
"""What make_demo.py puts in on purpose."""


@pytest.mark.process
def test_demo_accounts_for_every_send_and_leaves_nothing_behind() -> None:
    """Every row of the file is refused by name or final; the checks hold; it ends with 0 within a minute and cleans up."""
    with DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with tempfile.TemporaryDirectory(prefix="d") as directory:
        done = subprocess.run(
            [sys.executable, "-m", "dispatcher", "demo", "--json"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": directory},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        left = sorted(path.name for path in Path(directory).iterdir())
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert [check for check in told["checks"] if not check["ok"]] == []
    names = ["refusals", "finals", "prices", "charges", "costs", "audit", "metrics", "stop"]
    assert [check["name"] for check in told["checks"]] == names
    assert told["refused"] == REFUSED
    assert sum(told["sent"].values()) == len(rows)
    by_class: Counter[str] = Counter()
    for counts in told["final"].values():
        by_class.update(counts)
    assert by_class.total() == len(rows) - sum(REFUSED.values())
    assert by_class["otp"] == sum(row["class"] == "otp" for row in rows)
    assert by_class["bulk"] == sum(row["class"] == "bulk" for row in rows)
    # The carriers' tempers and the outage must have shown.
    assert {"delivered", "undelivered", "failed", "rejected", "unknown"} <= set(told["final"])
    assert set(told["final_by_carrier"]["delivered"]) == {"swift", "steady", "premium"}
    assert min(told["retries"], told["throttled"], told["doubts"], told["resent"], told["orphaned"]) > 0
    assert told["attempts"] >= told["segments"] > by_class.total()
    assert len(told["oddest"]) == 5
    money = {name: Decimal(amount) for name, amount in told["money"].items()}
    assert money["margin"] == money["charges"] - money["refunds"] - money["cost"] > 0
    assert money["refunds"] > 0
    assert told["seconds"]["total"] < 60
    assert left == []
