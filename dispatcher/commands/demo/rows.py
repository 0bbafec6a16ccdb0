"""The thousand sends: read from demo.csv. It refuses to know how they are sent."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from dispatcher.ops.errors import OpsError

DEFAULT = Path("benchmarks/data/demo.csv")
DOORS = ("stream", "chunk", "http", "batch")
COLUMNS = ("door", "class", "to", "from", "key", "text")
ROWS_MAX = 5_000


class Row(NamedTuple):
    """One send of the file. `key` may be empty."""

    door: str
    lane: str
    to: str
    sender: str
    key: str
    text: str

    def send(self, account: str = "") -> dict[str, Any]:
        """As a producer writes it; `account` only where no API key names it."""
        fields = {"account": account, "to": self.to, "from": self.sender, "class": self.lane, "text": self.text}
        return {k: v for k, v in {**fields, "key": self.key}.items() if v or k in ("to", "text")}


def find(given: str) -> Path:
    """The file named, or the repository's, looked for from here and from where this package lies. Raises OpsError."""
    if given:
        return Path(given)
    for base in (Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[3]):
        if (base / DEFAULT).is_file():
            return base / DEFAULT
    raise OpsError(
        f"{DEFAULT} is not here: it belongs to the repository, not to the package", "run it there, or name --data FILE"
    )


def load(path: Path) -> list[Row]:
    """All rows in the file's order. Raises OpsError naming the line, OSError."""
    rows: list[Row] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if missing := set(COLUMNS) - set(reader.fieldnames or ()):
                raise OpsError(f"{path}: no column {', '.join(sorted(missing))}", f"give it {', '.join(COLUMNS)}")
            for cells in reader:
                row = Row(*(cells[name] or "" for name in COLUMNS))
                if row.door not in DOORS:
                    raise OpsError(f"{path}, line {reader.line_num}: door {row.door!r}", f"use one of {', '.join(DOORS)}")
                rows.append(row)
    except UnicodeDecodeError:
        raise OpsError(f"{path} is not UTF-8", "save it as UTF-8") from None
    if not 1 <= len(rows) <= ROWS_MAX:
        raise OpsError(f"{path}: {len(rows)} rows", f"give it 1 to {ROWS_MAX}")
    return rows


def by_door(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows per door, every door present."""
    doors: dict[str, list[Row]] = {door: [] for door in DOORS}
    for row in rows:
        doors[row.door].append(row)
    return doors
