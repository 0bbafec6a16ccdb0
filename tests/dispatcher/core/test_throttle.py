"""The throttle: never more than the rate in any sliding second, and how it yields and recovers."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core.throttle import Throttle
from tests.dispatcher.core.limited import company, used


def most_in_a_second(times: list[float]) -> int:
    """The most grants in any window of one second (both ends counted)."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] > 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def greedy(throttle: Throttle, start: float, seconds: float) -> list[float]:
    """Takes all it can get, at each instant that next_at names."""
    times: list[float] = []
    now = start
    while now < start + seconds:
        times += [now] * throttle.take(10**6, now)
        now = max(throttle.next_at(now), math.nextafter(now, math.inf))
    return times


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.integers(1, 400), st.floats(0.05, 300.0)),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 12345.678, 4_000_000.0]),
)
def test_no_sliding_second_sees_more_than_the_rate(rate: float, seed: int, start: float) -> None:
    """Adversarial callers: bursts after pauses, single takes, greedy ones, refusals between; whole and fractional
    rates, also below one a second (then: never more than one in 1 / rate seconds)."""
    chance = random.Random(seed)
    throttle = Throttle(rate)
    now, times = start, []
    for _ in range(300):
        times += [now] * throttle.take(chance.choice([1, 2, 1000]), now)
        if chance.random() < 0.01:
            throttle.refused(now)
        step = chance.choice([0.0, 0.0004, 0.003, 0.02, 0.3, 1.0, throttle.next_at(now) - now])
        now += max(0.0, step)
    assert most_in_a_second(times) <= max(1, math.floor(rate))
    if rate < 1:
        assert all(b - a >= 1 / rate for a, b in itertools.pairwise(times))


@pytest.mark.parametrize("rate", [0.5, 1, 2, 5, 10, 99, 100, 101, 1000, 20_000])
def test_a_patient_caller_gets_nearly_the_whole_rate(rate: float) -> None:
    """At least 95 % of a whole rate over ten seconds, and next_at is never too early nor for ever."""
    seconds = 40.0 if rate < 5 else 10.0
    got = len(greedy(Throttle(rate), 1000.0, seconds))
    assert rate * seconds * 0.95 <= got <= rate * seconds + max(1, rate * 0.02)


@pytest.mark.parametrize("rate", [5, 10, 25, 49, 50, 100, 300, 1000])
def test_a_writer_that_wakes_ten_ms_late_loses_nothing(rate: float) -> None:
    """Also the small parts that engines have of a rate they share: each would lose up to a permit with every wake-up."""
    chance, throttle = random.Random(7), Throttle(rate)
    throttle.take(10**6, 0.0)
    now, left = 0.0, 0
    while now < 100.0:
        now = max(throttle.next_at(now), math.nextafter(now, math.inf)) + chance.uniform(0.0, 0.0099)
        left += throttle.take(10**6, now)
    assert left >= 0.965 * rate * 100


def test_twenty_ms_of_jitter_do_not_look_like_one_too_many() -> None:
    """Carriers count arrivals: whatever delay of 0 to 20 ms each submission has, no second sees more than the rate."""
    for rate in (1, 10, 100, 500):
        chance = random.Random(rate)
        arrivals = sorted(at + chance.random() * 0.019 for at in greedy(Throttle(rate), 0.0, 10.0))
        assert most_in_a_second(arrivals) <= rate


def test_no_rate_is_no_limit_but_refusals_still_pause() -> None:
    """rate None grants everything, except in the pause after a refusal."""
    throttle = Throttle(None, pause_s=1.0)
    assert throttle.take(10**6, 5.0) == 10**6
    assert not any(throttle.refused(5.0) for _ in range(3))
    assert any(throttle.refused(5.0) for _ in range(3))
    assert throttle.take(1, 5.999) == 0
    assert throttle.next_at(5.5) == 6.0
    assert throttle.take(3, 6.0) == 3


def test_a_refusal_pauses_slows_and_recovers() -> None:
    """The first one alone is nothing. The second: pause 1 s, a seventh less down to the floor, repeats within the pause count
    once, then back to the configured rate and never above."""
    throttle = used(Throttle(100, floor=0.5, pause_s=1.0))
    throttle.take(1, 0.0)
    assert not throttle.refused(5.0)
    assert throttle.take(1, 5.0) == 1
    assert throttle.refused(5.0)
    assert not throttle.refused(5.5)
    assert throttle.limit == 85
    assert throttle.take(1, 5.99) == 0
    assert throttle.next_at(5.5) == 6.0
    for at in (6.0, 7.0, 8.0, 9.0):
        company(throttle, at)
    assert throttle.limit == 50
    greedy(throttle, 10.0, 30.0)
    assert throttle.limit == 100


def test_what_another_throttle_did_not_match_goes_back() -> None:
    """Permits given back at the same instant can be taken again; later they would break the rate and are not."""
    throttle = Throttle(1000)
    assert throttle.take(11, 1.0) == 11
    throttle.give_back(4, 1.0)
    assert throttle.take(11, 1.0) == 4
    throttle.give_back(4, 1.5)
    assert throttle.take(100, 1.0) == 0


@pytest.mark.parametrize("rate", [0, -1, math.inf, math.nan])
def test_a_senseless_rate_is_refused(rate: float) -> None:
    """Only finite rates above zero, or None."""
    with pytest.raises(ValueError, match="rate"):
        Throttle(rate)


@pytest.mark.parametrize("rate", [1.9, 2.5, 3.999, 10.5])
def test_a_fractional_rate_is_not_rounded_up(rate: float) -> None:
    """2.5 a second: 3 in one second would be too many, so never more than 2."""
    assert most_in_a_second(greedy(Throttle(rate), 0.0, 30.0)) == math.floor(rate)
