"""The window by response time: narrow where a carrier only queues, whole where it does not, never above the configured one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.breadth import Breadth


def settle(breadth: Breadth, idle_s: float, per_s: float, seconds: float, jitter: float = 0.0, start: float = 0.0) -> list[int]:
    """A carrier that needs `idle_s` and answers at most `per_s`: with w in flight a response takes the greater of idle_s and
    w / per_s. Saturated. The window at each answer."""
    chance, now, seen = random.Random(1), start, []
    while now < start + seconds:
        takes = max(idle_s, breadth.window / per_s) * (1 + jitter * chance.random())
        breadth.responded(takes, now)
        seen.append(breadth.window)
        now += takes / breadth.window
    return seen


@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_a_carrier_that_only_queues_gets_less(jitter: float) -> None:
    """50 ms and 200 a second need 10 in flight; of a window of 500 at most twice that remains, and the carrier stays busy."""
    seen = settle(Breadth(1, 500), 0.05, 200.0, 60.0, jitter)[-2000:]
    assert max(seen) <= 22
    assert sum(window >= 10 for window in seen) >= 0.9 * len(seen)


def test_a_carrier_that_does_not_queue_keeps_the_whole_window() -> None:
    """And one that was slow for a while gets it back."""
    breadth = Breadth(2, 50)
    assert max(settle(breadth, 0.02, 1e6, 5.0)[-100:]) == 50
    assert max(settle(breadth, 0.02, 200.0, 20.0, start=5.0)[-500:]) < 20
    assert max(settle(breadth, 0.02, 1e6, 20.0, start=25.0)[-100:]) == 50


@given(st.integers(1, 20), st.integers(0, 300), st.lists(st.floats(0.0, 100.0), max_size=300))
def test_it_stays_between_its_limits(least: int, more: int, samples: list[float]) -> None:
    """Whatever is measured (I8)."""
    breadth = Breadth(least, least + more)
    for place, seconds in enumerate(samples):
        breadth.responded(seconds, place * 0.01)
        assert least <= breadth.window <= least + more
