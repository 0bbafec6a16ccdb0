"""Work that is due later, in buckets of a few milliseconds: one heap entry and one wake-up per bucket, not per message.

It refuses to know what the work is.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from math import ceil
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

BUCKET_S: Final = 0.002


class Wheel(Generic[K, V]):
    """Values grouped by key within each bucket. Nothing comes out before its time, nor more than BUCKET_S after it."""

    __slots__ = ("_buckets", "_order", "waiting")

    def __init__(self) -> None:
        self._buckets: dict[int, dict[K, list[V]]] = {}
        self._order: list[int] = []
        self.waiting = 0

    def add(self, at: float, key: K, value: V) -> None:
        """Keeps `value` until `at` (monotonic seconds)."""
        tick = ceil(at / BUCKET_S)
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            heapq.heappush(self._order, tick)
        values = bucket.get(key)
        if values is None:
            bucket[key] = [value]
        else:
            values.append(value)
        self.waiting += 1

    @property
    def next_at(self) -> float | None:
        """When the next bucket is due."""
        return self._order[0] * BUCKET_S if self._order else None

    def due(self, now: float) -> list[tuple[K, list[V]]]:
        """Takes out all that is due, oldest bucket first."""
        taken: list[tuple[K, list[V]]] = []
        while self._order and self._order[0] * BUCKET_S <= now:
            taken.extend(self._buckets.pop(heapq.heappop(self._order)).items())
        self.waiting -= sum(len(values) for _, values in taken)
        return taken

    def clear(self) -> None:
        """Forgets everything."""
        self._buckets.clear()
        self._order.clear()
        self.waiting = 0
