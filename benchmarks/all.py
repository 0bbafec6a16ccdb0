"""Every row of the budget in one go: `python -m benchmarks.all [--quick] [--runs 3] [--million] [--no-peers] [--only STEP]`.

A table row is one command (docs/benchmarks.md names them); here they run one after the other, each in processes of its own,
and give one markdown table, one JSON file and one picture under benchmarks/results/. A message lost or doubled makes its row
fail, and the whole command end with 1; a budget that is missed does not. Bounded: no step
begins after 15 minutes; about 12, with `--quick` 5.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import (
    backlog,
    batches,
    codes_first,
    doors,
    end_to_end,
    engine_life,
    engine_stages,
    loads,
    two_engines,
    webhooks,
)
from benchmarks.installation import Durability, machine, server_version
from benchmarks.peers import __main__ as peers
from benchmarks.tables import bars, spreads
from smpp.sink import ceiling

RESULTS = Path(__file__).with_name("results")
BINDS, WINDOW = 4, 50


class Row(NamedTuple):
    """One figure against its budget. `least`: the budget is the least that is wanted, not the most."""

    what: str
    unit: str
    must: float
    goal: float
    figure: str
    least: bool = False

    def kept(self, value: float) -> str:
        """ "goal", "must" or "missed"."""
        sign = -1 if self.least else 1
        return "goal" if sign * value <= sign * self.goal else "must" if sign * value <= sign * self.must else "missed"


class Size(NamedTuple):
    """How much of everything."""

    runs: int
    messages: int
    requests: int
    seconds: float
    bulk: int
    queued: int


FULL = Size(3, 30_000, 15_000, 20.0, 50_000, 150_000)
QUICK = Size(1, 8_000, 4_000, 6.0, 15_000, 40_000)
Figures = dict[str, Any]
Step = Callable[[Size], Figures]


def streams(size: Size) -> Figures:
    """End to end in turn: both durabilities; three segments, in a window of as many segments and in one of as many messages."""
    kinds: dict[str, tuple[Durability, int, int]] = {
        "fsync": ("fsync", 1, WINDOW),
        "everysec": ("everysec", 1, WINDOW),
        "long": ("everysec", 3, WINDOW),
        "long_wide": ("everysec", 3, 3 * WINDOW),
    }
    rows: dict[str, list[Figures]] = {name: [] for name in kinds}
    for _ in range(size.runs):
        for name, (durability, segments, window) in kinds.items():
            count = size.messages // segments
            rows[name].append(end_to_end.measure(durability, count, binds=BINDS, window=window, segments=segments))
    found: Figures = {name: spreads(each) for name, each in rows.items()}
    for kind, extra in (("long", "extra"), ("long_wide", "extra_wide")):
        for name in ("engine_us", "server_us"):
            more = found[kind][name]["median"] - found["everysec"][name]["median"]
            found[f"{extra}_{name}"] = round(more / 2, 1)
    return found


def singles(size: Size) -> Figures:
    """One POST a message, admission only."""
    rows = [doors.singles("fsync", size.requests, 64) for _ in range(size.runs)]
    for row in rows:
        row["both_us"] = round(row["http_us"] + row["server_us"], 1)
    return spreads(rows)


def bulk(size: Size) -> Figures:
    """A batch of 50,000."""
    return spreads([batches.alone("fsync", batches.native) for _ in range(size.runs)], 2)


def posted(size: Size) -> Figures:
    """From POST to charged."""
    return spreads([loads.posted(size.requests) for _ in range(size.runs)])


def hooks(size: Size) -> Figures:
    """Webhooks."""
    return spreads([webhooks.measure(size.messages // 6, 4) for _ in range(size.runs)])


def paced(size: Size) -> Figures:
    """1,000 a second."""
    return loads.paced(size.seconds)


def codes(size: Size) -> Figures:
    """Codes during a batch."""
    found = codes_first.measure(size.bulk, 2_500.0, 40 if size is FULL else 15, 10)
    return found | {"windows": round(found["before_most"] / found["window"], 2)}


def queued(size: Size) -> Figures:
    """A long queue."""
    return backlog.measure(size.queued)


def pair(size: Size) -> Figures:
    """Two engines to one."""
    return two_engines.pairs(min(3, size.runs), size.messages, "everysec", 0.25)


def stages(_: Size) -> Figures:
    """Where it goes, and the carrier's own ceiling."""
    return {"sink": ceiling(), "stages": engine_stages.measure(500, 4, 5), "life": engine_life.measure(200, 10, 5)}


STEPS: dict[str, tuple[Step, tuple[Row, ...]]] = {
    "streams": (
        streams,
        (
            Row("engine, a one-segment message with its receipt, fsync", "us", 30, 15, "fsync.engine_us.median"),
            Row("engine, the same, everysec", "us", 30, 15, "everysec.engine_us.median"),
            Row("engine, an extra segment, a window of 50 segments", "us", 15, 7, "extra_engine_us"),
            Row("engine, an extra segment, a window of 50 messages", "us", 15, 7, "extra_wide_engine_us"),
            Row("server, a message, everysec (Valkey)", "us", 16, 12, "everysec.server_us.median"),
            Row("server, a message, fsync (Valkey)", "us", 18, 14, "fsync.server_us.median"),
            Row("stream in to charged, everysec", "messages/s", 20_000, 50_000, "everysec.wall_per_s.median", least=True),
        ),
    ),
    "singles": (singles, (Row("POST, one message: HTTP process and server", "us", 200, 90, "both_us.median"),)),
    "bulk": (
        bulk,
        (
            Row("batch of 50,000: HTTP process, a recipient", "us", 8, 3, "http_us.median"),
            Row("batch of 50,000: time to 202", "s", 2, 0.5, "to_202_s.median"),
            Row("batch of 50,000: longest step of the server", "ms", 2, 2, "longest_step_ms.max"),
        ),
    ),
    "posted": (posted, (Row("POST to delivered and charged, all processes", "us", 300, 120, "together_us.median"),)),
    "hooks": (hooks, (Row("webhook, a signed callback", "us", 400, 150, "notices_us.median"),)),
    "paced": (
        paced,
        (
            Row("1,000/s: accepted to the carrier's socket, p99", "ms", 25, 10, "to_carrier_p99_ms"),
            Row("1,000/s: engine's share of a core", "%", 20, 12, "engine_core_percent"),
        ),
    ),
    "codes": (codes, (Row("a code in a 50,000 batch: windows before it, most", "windows", 1, 1, "windows"),)),
    "queued": (
        queued,
        (
            Row("queue: engine's memory, at most", "MB", 200, 120, "engine_peak_mb"),
            Row("queue: cost of a message against 10,000 queued", "x", 1.2, 1.05, "cost_ratio"),
            Row("store, a queued message", "bytes", 700, 450, "bytes_queued"),
            Row("store, a final message", "bytes", 250, 140, "bytes_final"),
        ),
    ),
    "pair": (
        pair,
        (
            Row("two engines to one, by the CPU time of a message", "x", 1.7, 1.9, "by_cpu.median", least=True),
            Row("two engines to one, engines the limit", "x", 1.7, 1.9, "engines_the_limit.median", least=True),
        ),
    ),
    "stages": (
        stages,
        (
            Row("codec, a submit_sm of 150 septets encoded", "us", 0.6, 0.6, "stages.encode_submits.median"),
            Row("codec, a deliver_sm decoded and read as a receipt", "us", 3.5, 3.5, "stages.read_deliver_sms.median"),
        ),
    ),
}


def at(found: Any, path: str) -> float:
    """A figure by its path."""
    for name in path.split("."):
        found = found[name]
    return float(found)


def judged(results: Figures) -> list[tuple[Row, float]]:
    """The rows whose steps ran, with their figures."""
    ran = [(results[name], rows) for name, (_, rows) in STEPS.items() if name in results and "failed" not in results[name]]
    return [(row, at(found, row.figure)) for found, rows in ran for row in rows]


def markdown(results: Figures) -> str:
    """The table of the budget, then the peers'."""
    lines = ["| What | Must | Goal | Measured | Kept |", "|---|---|---|---|---|"]
    for row, value in judged(results):
        lines.append(f"| {row.what} | {row.must:g} {row.unit} | {row.goal:g} | {value:,g} | {row.kept(value)} |")
    lines += [f"| {name} | | | failed: {results[name]['failed']} | |" for name in STEPS if "failed" in results.get(name, {})]
    if "peers" in results:
        lines += ["", peers.table(results["peers"])]
    return "\n".join(lines)


def picture(results: Figures) -> str:
    """What was measured as a part of what must be; where more is better, the other way round."""
    rows = []
    for row, value in judged(results):
        figures = (row.must**2 / (value or 1), row.must, row.must**2 / row.goal) if row.least else (value, row.must, row.goal)
        words = f"{value:g} {row.unit} (must {row.must:g}, goal {row.goal:g})"
        rows.append((row.what, words, *figures))
    return bars("Measured, as a part of the must (dashed); notch: the goal", rows)


def one(name: str, size: Size) -> Figures:
    """A step's figures, or why it failed; tells how long it took."""
    step, rows = STEPS[name]
    started = time.monotonic()
    try:
        found = step(size)
        told = "; ".join(f"{row.what}: {at(found, row.figure):g} {row.unit}" for row in rows) or "done"
    except Exception as error:
        traceback.print_exc()
        told = f"{type(error).__name__}: {error}"[:200]
        found = {"failed": told}
    print(f"{name:8} {time.monotonic() - started:5.0f} s  {told}", flush=True)
    return found


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and once: does it run, not what does it cost")
    parser.add_argument("--runs", type=int, default=FULL.runs)
    parser.add_argument("--million", action="store_true", help="a million queued (some minutes more)")
    parser.add_argument("--minutes", type=float, default=15.0, help="no step begins after so many (default 15)")
    parser.add_argument("--no-peers", action="store_true", help="without Kannel and Jasmin")
    parser.add_argument("--only", default="", help=f"one step: {', '.join(STEPS)}, peers")
    parser.add_argument("--name", default=datetime.now(UTC).strftime("%Y-%m-%d-all"), help="of the files under results/")
    a = parser.parse_args()
    size = QUICK if a.quick else FULL._replace(runs=a.runs, queued=1_000_000 if a.million else FULL.queued)
    results: Figures = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "server": server_version()}
    end = time.monotonic() + a.minutes * 60
    for name in STEPS:
        if a.only in {"", name}:
            results[name] = one(name, size) if time.monotonic() < end else {"failed": f"{a.minutes:g} minutes were over"}
    if a.only in {"", "peers"} and not a.no_peers and time.monotonic() < end:
        results["peers"] = peers.measure(size.requests // 3)
    table = markdown(results)
    print(table)
    RESULTS.mkdir(exist_ok=True)
    for suffix, text in ((".json", json.dumps(results, indent=1)), (".svg", picture(results).rstrip()), (".md", table)):
        (RESULTS / f"{a.name}{suffix}").write_text(text + "\n", encoding="utf-8")
    print(f"written: benchmarks/results/{a.name}.json, .svg, .md")
    return int(any("failed" in results[name] for name in STEPS if name in results))


if __name__ == "__main__":
    sys.exit(main())
