"""What benchmarks make of their figures: medians with their spread, the table of stages, bars, curves. Measures nothing."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.installation import machine

Spread = dict[str, float]


def spread(values: Sequence[float], digits: int = 1) -> Spread:
    """Median, least and greatest."""
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def spreads(rows: Sequence[Mapping[str, Any]], digits: int = 1) -> dict[str, Spread]:
    """Of every figure that all rows have."""
    names = [name for name, value in rows[0].items() if isinstance(value, int | float) and not isinstance(value, bool)]
    return {name: spread([float(row[name]) for row in rows], digits) for name in names}


def stages_main(words: str | None, measure: Callable[..., dict[str, Spread]], *, batch: int, batches: int, only: bool) -> int:
    """The command line of a benchmark of stages: a table, and a file of figures with the machine they are from."""
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--batches", type=int, default=batches)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--segments", type=int, choices=(1, 2, 3), default=1, help="of a text")
    if only:
        parser.add_argument("--only", default="", help="stages whose name holds this")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()
    found = measure(a.batch, a.batches, a.runs, a.segments, *([a.only] if only else []))
    print(f"{'stage':20} {'median':>8} {'min':>8} {'max':>8}   CPU us a message")
    for name, row in found.items():
        print(f"{name:20} {row['median']:8.2f} {row['min']:8.2f} {row['max']:8.2f}")
    if a.json is not None:
        a.json.write_text(
            json.dumps({"machine": machine(), "batch": a.batch, "segments": a.segments, "stages": found}, indent=2),
            encoding="utf-8",
        )
    return 0


def bars(title: str, rows: Sequence[tuple[str, str, float, float, float]]) -> str:
    """An SVG: what was measured as a part of what must be (the line), with the goal (a notch); (name, what is
    written beside it, measured, must, goal)."""
    scale, left = 260, 370
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + 2 * scale + 280}" height="{64 + 26 * len(rows)}"'
        ' font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="24" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, words, measured, must, goal) in enumerate(rows):
        y = 44 + 26 * number
        width = min(2.0, measured / must) * scale
        colour = "#4a8f4f" if measured <= must else "#b5483c"
        lines += [
            f'<text x="12" y="{y + 14}">{escape(name)}</text>',
            f'<rect x="{left}" y="{y}" width="{width:.0f}" height="18" fill="{colour}"/>',
            f'<path d="M{left + goal / must * scale:.0f} {y}v18" stroke="black"/>',
            f'<text x="{left + width + 6:.0f}" y="{y + 14}">{escape(words)}</text>',
        ]
    bottom = 44 + 26 * len(rows)
    lines.append(f'<line x1="{left + scale}" y1="36" x2="{left + scale}" y2="{bottom}" stroke="#555" stroke-dasharray="4 3"/>')
    return "\n".join([*lines, "</svg>", ""])


Line = tuple[str, str, Sequence[tuple[float, float]]]


def curves(title: str, lines: Sequence[Line], marks: tuple[str, str, Sequence[float]]) -> str:
    """An SVG of lines over seconds, each (name, colour, points), and of instants along the bottom."""
    left, top, wide, high = 48, 40, 860, 260
    end = max(x for _, _, points in lines for x, _ in points)
    most = 1.1 * max(y for _, _, points in lines for _, y in points)

    def x_of(seconds: float) -> float:
        return left + seconds / end * wide

    def y_of(value: float) -> float:
        return top + (1 - value / most) * high

    grid = 20 if most > 50 else 10
    found = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 20}" height="{top + high + 64}"'
        ' font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="24" font-weight="bold">{escape(title)}</text>',
    ]
    for value in range(0, int(most) + 1, grid):
        y = y_of(value)
        found.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + wide}" y2="{y:.1f}" stroke="#ddd"/>')
        found.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
    found += [
        f'<text x="{x_of(at):.1f}" y="{top + high + 26}" text-anchor="middle">{at} s</text>'
        for at in range(0, int(end) + 1, 10)
    ]
    for _, colour, points in lines:
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
        found.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    name, colour, instants = marks
    found += [f'<path d="M{x_of(at):.1f} {top + high}v-12" stroke="{colour}" stroke-width="1.5"/>' for at in instants]
    legend = [(name, colour) for name, colour, _ in lines] + [(f"{name} ({len(instants)})", colour)]
    for place, (words, ink) in enumerate(legend):
        found.append(f'<rect x="{left + 200 * place}" y="{top + high + 40}" width="12" height="12" fill="{ink}"/>')
        found.append(f'<text x="{left + 18 + 200 * place}" y="{top + high + 51}">{escape(words)}</text>')
    return "\n".join([*found, "</svg>", ""])
