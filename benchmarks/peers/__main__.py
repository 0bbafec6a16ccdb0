"""One table of who does the job for how much: `python -m benchmarks.peers [--messages 6000] [--only NAME] [--json FILE]`.

Kannel and Jasmin are fetched when they are not there (apt-get download, pip): nothing is installed on the machine. Who cannot
be had is named with the reason. Jasmin gets a tenth of the messages, because it needs a hundred times as long.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.installation import machine
from benchmarks.peers.jasmin import jasmin
from benchmarks.peers.job import Peer, Sides, do, sidelines
from benchmarks.peers.kannel import kannel
from benchmarks.peers.ours import ours
from tests.interop.foreign import Missing

PEERS: dict[str, tuple[Callable[[Sides], AbstractContextManager[Peer]], int]] = {
    "dispatcher, fsync": (partial(ours, durability="fsync"), 1),
    "dispatcher, everysec": (partial(ours, durability="everysec"), 1),
    "Kannel, spool, receipts internal": (partial(kannel, receipts="internal"), 1),
    "Kannel, spool, receipts redis": (partial(kannel, receipts="redis"), 1),
    "Jasmin, RabbitMQ": (jasmin, 10),
}
"""How each is started, and by how much its share of the messages is smaller."""
WARM_UP_PART = 10


def measure(messages: int, only: str = "") -> list[dict[str, Any]]:
    """One row for each; those that cannot be had with the reason."""
    rows = []
    for name, (start, less) in PEERS.items():
        if only.lower() not in name.lower():
            continue
        count = messages // less
        try:
            with sidelines() as sides, start(sides.sides) as peer:
                rows.append(do(peer, sides, count, warm_up=max(20, count // WARM_UP_PART)))
        except Missing as why:
            rows.append({"peer": name, "missing": str(why)})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| Who | Version | CPU us a message, all its processes | Messages a second | Lost | Doubled |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "missing" in row:
            lines.append(f"| {row['peer']} | not measured: {row['missing']} | | | | |")
            continue
        lines.append(
            f"| {row['peer']} | {row['version']} | {row['cpu_us']:,} | {row['per_s']:,} | {row['lost']} | {row['doubled']} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Command line. 1 when the dispatcher lost or doubled a message."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=6_000)
    parser.add_argument("--only", default="", help="whose name holds this")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = measure(options.messages, options.only)
    print(table(rows))
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return int(any(row.get("lost") or row.get("doubled") for row in rows if row["peer"].startswith("dispatcher")))


if __name__ == "__main__":
    sys.exit(main())
