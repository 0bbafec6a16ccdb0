"""Latencies in slots that grow by 2 %: a fixed amount of memory, whatever is counted, and quantiles good to 2 %."""

from __future__ import annotations

import math
from typing import Any

LEAST_MS = 0.01
_STEP = math.log(1.02)
_SLOTS = 1000
"""Up to about an hour."""
QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999))


class Histogram:
    """Counts of durations in ms."""

    def __init__(self, slots: list[int] | None = None) -> None:
        self.slots = slots or [0] * _SLOTS

    def add(self, ms: float) -> None:
        """One duration; below LEAST_MS counts as LEAST_MS."""
        slot = int(math.log(ms / LEAST_MS) / _STEP) if ms > LEAST_MS else 0
        self.slots[min(slot, _SLOTS - 1)] += 1

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.slots)

    def quantile(self, part: float) -> float:
        """ms that `part` of them did not exceed (to 2 %); 0 when there are none."""
        rank, seen = max(1, math.ceil(part * self.count)), 0
        for slot, number in enumerate(self.slots):
            seen += number
            if number and seen >= rank:
                return float(f"{LEAST_MS * math.exp(slot * _STEP):.3g}")
        return 0.0

    def figures(self) -> dict[str, Any]:
        """The quantiles by name."""
        return {name: self.quantile(part) for name, part in QUANTILES} | {"max": self.quantile(1.0), "count": self.count}

    def curve(self) -> list[tuple[float, float]]:
        """(ms, part of all at or below) of every slot in use, for a plot."""
        total, seen, points = self.count, 0, []
        for slot, number in enumerate(self.slots):
            seen += number
            if number:
                points.append((LEAST_MS * math.exp(slot * _STEP), seen / total))
        return points
