"""A carrier's rate among engines: parts that add up, sessions that move no more than they must, hand-overs within the rate."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core.shares import SETTLE_S, part, quota
from dispatcher.core.throttle import Throttle
from tests.dispatcher.core.limited import company, used


@given(st.one_of(st.integers(1, 500), st.floats(0.05, 500.0)), st.integers(1, 40))
def test_parts_add_up_to_the_whole_rate(rate: float, places: int) -> None:
    """Never more than its whole part, never less; a rate below one is not divided."""
    parts = [part(rate, place, places) for place in range(places)]
    assert sum(parts) == (math.floor(rate) if rate >= 1 else rate)
    assert rate < 1 or max(parts) - min(parts) <= 1


@given(st.integers(0, 30), st.integers(1, 30), st.integers(1, 12))
def test_every_session_is_due_to_one_engine(first: int, count: int, engines: int) -> None:
    """The quotas of a bind add up to its sessions, and no engine is due two more than another."""
    alive = [f"e{n:02}" for n in range(engines)]
    due = [quota(range(first, first + count), alive, name) for name in alive]
    assert sum(due) == count
    assert max(due) - min(due) <= 1


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 120), st.integers(1, 6), st.integers(2, 4), st.integers(0, 2**32))
def test_no_sliding_second_of_all_engines_sees_more_than_the_rate(rate: int, places: int, engines: int, seed: int) -> None:
    """Greedy engines among which sessions move at random: an owner stops before it lets go, the next waits SETTLE_S."""
    chance = random.Random(seed)
    throttles = [Throttle(float(rate)) for _ in range(engines)]
    owner: dict[int, int] = {place: chance.randrange(engines) for place in range(places)}
    usable = dict.fromkeys(owner, 0.0)
    now, times = 0.0, []
    for throttle in throttles:
        throttle.resize(0.0, now)
    while now < 12.0:
        if chance.random() < 0.01:
            place = chance.randrange(places)
            owner[place], usable[place] = chance.randrange(engines), now + SETTLE_S
        for engine, throttle in enumerate(throttles):
            mine = [p for p in owner if owner[p] == engine and usable[p] <= now]
            throttle.resize(sum(part(rate, p, places) for p in mine), now)
            times += [now] * throttle.take(10**6, now)
        now += chance.choice([0.0004, 0.003, 0.02, 0.1])
    first = 0
    for last, at in enumerate(times):
        while at - times[first] > 1.0:
            first += 1
        assert last - first + 1 <= rate
    assert times


def test_a_smaller_part_holds_at_once_and_a_larger_one_brings_no_permits() -> None:
    """Resizing is no refill, keeps the pause, and keeps what adaptation took away."""
    throttle = used(Throttle(200.0))
    assert throttle.take(10, 0.0) == 3
    throttle.resize(400.0, 0.0)
    assert throttle.take(10, 0.0) == 0
    company(throttle, 0.0)
    throttle.resize(100.0, 0.0)
    assert throttle.limit == pytest.approx(85.0)
    assert throttle.take(10, 0.5) == 0


def test_none_of_the_rate() -> None:
    """A part of 0 lets nothing through and is not asked in a loop."""
    throttle = Throttle(10.0)
    throttle.resize(0.0, 5.0)
    assert throttle.closed
    assert throttle.take(5, 100.0) == 0
    assert throttle.next_at(100.0) > 100.5
    throttle.resize(10.0, 101.0)
    assert not throttle.closed
    assert throttle.take(5, 102.0) == 1
    unlimited = Throttle(None)
    unlimited.resize(0.0, 0.0)
    assert unlimited.take(5, 0.0) == 5
