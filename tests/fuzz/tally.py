"""Executions added up over runs: a line in .fuzz/runs.jsonl for each run that ended well, under a hash of the code it ran.

It refuses to know how inputs are made. Executions of another code, or of a run that found something, count for nothing.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

RUNS = Path(__file__).parents[2] / ".fuzz" / "runs.jsonl"


class Finished(msgspec.Struct, frozen=True):
    """A run without a finding; `peak_mb` the most that its process held, `code` of the decoder and what it imports."""

    decoder: str
    executions: int
    code: str
    seed: int
    elapsed_s: float
    peak_mb: float
    date: str = msgspec.field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M}")


def code_of(packages: Iterable[str]) -> str:
    """Of every module of `packages` that is imported now, by its source."""
    found = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in packages and (path := getattr(module, "__file__", None)):
            found.update(name.encode() + b"\0" + Path(path).read_bytes() + b"\0")
    return found.hexdigest()[:12]


def add(run: Finished, path: Path = RUNS) -> None:
    """Another line."""
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(run) + b"\n")


def sums(path: Path = RUNS) -> Iterator[str]:
    """A line for each decoder and code, in the order of their first runs."""
    runs = [msgspec.json.decode(line, type=Finished) for line in path.read_bytes().splitlines()] if path.exists() else []
    for decoder, code in dict.fromkeys((run.decoder, run.code) for run in runs):
        own = [run for run in runs if (run.decoder, run.code) == (decoder, code)]
        executions, elapsed_s = sum(run.executions for run in own), sum(run.elapsed_s for run in own)
        yield (
            f"{decoder:10} executions={executions} runs={len(own)} code={code} a_second={executions / max(elapsed_s, 1e-9):.0f}"
            f" peak_mb={max(run.peak_mb for run in own):.1f} last={own[-1].date}"
        )
