"""A load as a picture (SVG): messages a second over its time, and how many were faster than what. No library needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from dispatcher.commands.load.play import Result

_WIDTH, _HEIGHT, _LEFT, _TOP = 760, 220, 64, 40
_COLOURS = ("#3b6ea5", "#c07a2c", "#4a8f4f", "#8a4a8f")
Point = tuple[float, float]


def picture(result: Result) -> str:
    """Both plots, one below the other."""
    head = f'width="{_LEFT + _WIDTH + 24}" height="{2 * (_HEIGHT + 80) + 20}"'
    rates = {name: _rates(result, place) for place, name in enumerate(("handed in", "accepted", "submitted", "final"), 1)}
    curves = {name: [(ms, part * 100) for ms, part in points] for name, points in result.curves.items() if points}
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {head} font-family="sans-serif" font-size="13">',
            '<rect width="100%" height="100%" fill="white"/>',
            *plot("messages a second, by seconds", rates, _TOP),
            *plot(
                "% of messages, by ms at most (accept; accepted to submitted, delivered)", curves, _TOP + _HEIGHT + 80, log=True
            ),
            "</svg>",
            "",
        ]
    )


def _rates(result: Result, place: int) -> list[Point]:
    points = [(0.0, 0.0)]
    for before, now in zip(result.moments, result.moments[1:], strict=False):
        if now.at_s > before.at_s:
            points.append((now.at_s, (now[place] - before[place]) / (now.at_s - before.at_s)))
    return points


def plot(title: str, series: dict[str, list[Point]], top: int, *, log: bool = False) -> list[str]:
    """Lines over an axis from 0 (log: from the least) to the greatest, with their names."""
    points = [point for line in series.values() for point in line]
    if not points:
        return []
    right, high = max(x for x, _ in points) or 1.0, max(y for _, y in points) or 1.0
    left = max(1.0, min(x for x, _ in points)) if log else 0.0
    right = max(right, left * 10) if log else right

    def across(x: float) -> float:
        part = math.log(max(x, left) / left) / math.log(right / left) if log else x / right
        return _LEFT + part * _WIDTH

    parts = [f'<text x="{_LEFT}" y="{top - 14}" font-weight="bold">{escape(title)}</text>']
    for step in range(5):
        y = top + _HEIGHT * (1 - step / 4)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _WIDTH}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{high * step / 4:,.0f}</text>')
    parts += [
        f'<text x="{across(x):.1f}" y="{top + _HEIGHT + 18}" text-anchor="middle">{x:g}</text>'
        for x in _ticks(left, right, log=log)
    ]
    for (name, line), colour in zip(series.items(), _COLOURS, strict=False):
        parts.append(_line(line, across, lambda y: top + _HEIGHT * (1 - y / high), colour))
        x = _LEFT + 140 * list(series).index(name)
        parts.append(f'<text x="{x}" y="{top + _HEIGHT + 36}" fill="{colour}">{escape(name)}</text>')
    return parts


def _ticks(left: float, right: float, *, log: bool) -> Sequence[float]:
    if not log:
        return [round(right * step / 4, 1) for step in range(5)]
    powers = (10.0**power for power in range(math.floor(math.log10(left)), math.ceil(math.log10(right)) + 1))
    return [x for x in powers if left <= x <= right]


def _line(points: list[Point], across: Callable[[float], float], up: Callable[[float], float], colour: str) -> str:
    drawn = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
    return f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
