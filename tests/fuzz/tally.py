"""Executions added up over runs: a line in .fuzz/runs.jsonl for each tenth of a run, under a hash of the code it ran.

It refuses to know how inputs are made. What ran after the last whole tenth before a finding or an interruption is not counted,
nor is another code: who mends a finding begins at nothing.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

RUNS = Path(__file__).parents[2] / ".fuzz" / "runs.jsonl"


class Done(msgspec.Struct, frozen=True):
    """Executions without a finding; `peak_mb` the most that their process held, `code` of the decoder and what it imports."""

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


class Instalments:
    """Lines of one run as it goes on."""

    def __init__(self, decoder: str, code: str, seed: int, path: Path = RUNS) -> None:
        self.decoder, self.code, self.seed, self._path = decoder, code, seed, path
        self._executions, self._elapsed_s = 0, 0.0

    def reached(self, executions: int, elapsed_s: float, peak_mb: float) -> None:
        """Since its beginning; a line says what is new of it."""
        new, new_s = executions - self._executions, elapsed_s - self._elapsed_s
        self._executions, self._elapsed_s = executions, elapsed_s
        if new:
            done = Done(self.decoder, new, self.code, self.seed, round(new_s, 3), round(peak_mb, 1))
            self._path.parent.mkdir(exist_ok=True)
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(done) + b"\n")


def sums(path: Path = RUNS) -> Iterator[str]:
    """A line for each decoder and code, in the order of their first runs."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    every = [msgspec.json.decode(line, type=Done) for line in lines]
    for decoder, code in dict.fromkeys((done.decoder, done.code) for done in every):
        own = [done for done in every if (done.decoder, done.code) == (decoder, code)]
        executions, elapsed_s = sum(done.executions for done in own), sum(done.elapsed_s for done in own)
        yield (
            f"{decoder:10} executions={executions} code={code} a_second={executions / max(elapsed_s, 1e-9):.0f}"
            f" peak_mb={max(done.peak_mb for done in own):.1f} last={own[-1].date}"
        )
