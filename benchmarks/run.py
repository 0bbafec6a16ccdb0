"""`make bench`: the benchmarks of this release, as tables, JSON and a picture under benchmarks/results/.

`python -m benchmarks.run [--messages 20000] [--runs 5] [--window 50] [--binds 4]`

1. the sink's own ceiling, so that nobody takes the carrier's limit for ours;
2. each synchronous stage of the engine (benchmarks/engine_stages.py);
3. end to end, stream to delivered and charged, alternating `fsync` and `everysec`, at least five runs each, with what was
   lost or doubled counted (benchmarks/end_to_end.py).

The server is the one the dispatcher would take: valkey-server or redis-server on PATH, else the packaged Valkey. Put another
in front of PATH to compare.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.end_to_end import measure
from benchmarks.engine_stages import measure as measure_stages
from benchmarks.installation import Durability, machine, server_version
from smpp.sink import ceiling

RESULTS = Path(__file__).with_name("results")
FIGURES = ("engine_us", "server_us", "wall_per_s", "engine_rss_mb", "slowdown")


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": round(statistics.median(values), 1), "min": min(values), "max": max(values)}


def end_to_end(messages: int, runs: int, binds: int, window: int) -> dict[str, Any]:
    """Alternating runs of both durabilities; a lost or doubled message raises."""
    modes: tuple[Durability, ...] = ("fsync", "everysec")
    rows: dict[str, list[dict[str, Any]]] = {mode: [] for mode in modes}
    for number in range(runs):
        for mode in modes:
            row = measure(mode, messages, binds=binds, window=window)
            rows[mode].append(row)
            print(
                f"  run {number + 1} {mode:9} engine {row['engine_us']:6.1f}  server {row['server_us']:5.1f}"
                f"  {row['wall_per_s']:>6}/s  processors {row['slowdown']:.2f}"
            )
    return {
        mode: {name: spread([row[name] for row in found]) for name in FIGURES} | {"runs": found} for mode, found in rows.items()
    }


def picture(results: dict[str, Any]) -> str:
    """A bar chart (SVG) of the medians: engine and server, both durabilities."""
    bars = [
        (f"{who} {mode}", results["end_to_end"][mode][f"{who}_us"]["median"])
        for mode in ("fsync", "everysec")
        for who in ("engine", "server")
    ]
    scale = 520 / max(value for _, value in bars)
    size = f'width="760" height="{60 + 34 * len(bars)}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="14">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="16" y="26">CPU microseconds a message, stream to delivered and charged</text>',
    ]
    for i, (name, value) in enumerate(bars):
        y, width = 44 + 34 * i, value * scale
        colour = "#3b6ea5" if name.startswith("engine") else "#c07a2c"
        lines += [
            f'<text x="16" y="{y + 17}">{name}</text>',
            f'<rect x="150" y="{y}" width="{width:.0f}" height="24" fill="{colour}"/>',
            f'<text x="{158 + width:.0f}" y="{y + 17}">{value}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--binds", type=int, default=4)
    a = parser.parse_args()
    results: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "server": server_version(),
    }
    results["sink"] = ceiling()
    print(f"sink      {results['sink']['cpu_us_per_message']} us a message of its own")
    results["stages"] = measure_stages(500, 4, 7, "")
    for name, row in results["stages"].items():
        print(f"stage     {name:22} {row['median']:6.2f} us a message")
    print(f"end to end: {a.messages} messages, {a.binds} sessions, window {a.window}; {results['server']}")
    results["end_to_end"] = end_to_end(a.messages, a.runs, a.binds, a.window)
    for mode in ("fsync", "everysec"):
        row = {name: results["end_to_end"][mode][name]["median"] for name in FIGURES}
        print(
            f"{mode:9} engine {row['engine_us']:6.1f} us  server {row['server_us']:5.1f} us"
            f"  {row['wall_per_s']:>8}/s  lost 0 doubled 0"
        )
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / datetime.now(UTC).strftime("%Y-%m-%d")
    stem.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".svg").write_text(picture(results), encoding="utf-8")
    print(f"written: benchmarks/results/{stem.name}.json and .svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
