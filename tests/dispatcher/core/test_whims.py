"""Refusals that have nothing to do with pace cost next to nothing, and a limit is found among them; against model carriers."""

from __future__ import annotations

import math
import random

import pytest

from dispatcher.core.throttle import Throttle
from dispatcher.core.whims import COMPANY_BAR, LEAST, MOST, Sign, Whims
from tests.dispatcher.core.limited import Bucket, Counter, Play, Sliding, Whole, play
from tests.dispatcher.core.test_throttle import most_in_a_second

KINDS = {"sliding": Sliding, "whole": Whole, "bucket": Bucket}


def whimsical(
    throttle: Throttle, part: float, seconds: float, seed: int, limit: float = math.inf, counter: Counter | None = None
) -> Play:
    """A carrier that refuses so large a part at random, and what is beyond its limit."""
    chance = random.Random(seed)
    return play(throttle, lambda _: limit, seconds, whim=lambda: chance.random() < part, counter=counter)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rate", [100, 400])
@pytest.mark.parametrize(("part", "least"), [(0.001, 0.99), (0.01, 0.95), (0.02, 0.91), (0.05, 0.85)])
def test_random_refusals_cost_next_to_nothing(part: float, least: float, rate: int, seed: int) -> None:
    """Accepted from the first second on, of what a throttle lets through where nothing is refused (97 % of the rate)."""
    assert whimsical(Throttle(rate), part, 120.0, seed).rate(0.0, 120.0) >= least * 0.97 * rate


@pytest.mark.parametrize("seed", range(3))
def test_also_at_a_low_rate(seed: int) -> None:
    """Twenty a second: evidence takes longer."""
    assert whimsical(Throttle(20), 0.05, 200.0, seed).rate(0.0, 200.0) >= 0.85 * 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [96, 94, 85, 70, 30])
def test_a_limit_below_ours_is_recognised_however_the_carrier_counts(kind: str, limit: int) -> None:
    """Also one that refuses two to five of a hundred, evenly or at each second's end: then few are refused, most is used."""
    found = play(Throttle(100), lambda now: limit if now >= 10 else 100, 90.0, counter=KINDS[kind]())
    left = sum(at >= 30 for at in found.left)
    assert sum(at >= 30 for at in found.refused) <= 0.01 * left
    assert found.rate(30.0, 90.0) >= 0.8 * min(limit, 97)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.01, 0.05])
@pytest.mark.parametrize("limit", [80, 60])
def test_a_limit_among_random_refusals(kind: str, part: float, limit: int) -> None:
    """Both at once: the limit is used, and what is refused is no more than both explain."""
    found = whimsical(Throttle(100), part, 120.0, 3, limit, KINDS[kind]())
    left, refused = (sum(at >= 30 for at in times) for times in (found.left, found.refused))
    assert refused <= (2.5 * part + 0.02) * left
    assert found.rate(30.0, 120.0) >= 0.45 * limit


def test_a_fall_among_random_refusals_is_kept() -> None:
    """Two seconds after it, and from then on, in all but two of a hundred; those take longer (docs/next.md)."""
    kept = 0
    for seed in range(200):
        chance = random.Random(seed)
        rate, part, whims = chance.randint(50, 150), chance.uniform(0.2, 0.85), chance.choice([0.001, 0.01, 0.03])
        low = int(rate * part)
        found = _fallen(rate, low, whims, chance)
        kept += most_in_a_second([at for at in found.left if at >= 32]) <= low * 1.15 + 8
    assert kept >= 196


def _fallen(rate: int, low: int, whims: float, chance: random.Random) -> Play:
    return play(Throttle(rate), lambda now: low if now >= 30 else rate, 60.0, whim=lambda: chance.random() < whims)


def test_one_alone_neither_pauses_nor_slows() -> None:
    """One in a second, at an even distance from the next."""
    throttle = Throttle(100)
    now = 0.0
    for number in range(600):
        now = throttle.next_at(now)
        assert throttle.take(1, now) == 1
        if number % 300 == 0:
            assert not throttle.refused(now + 0.01, now)
    assert throttle.limit == 100


def test_answers_that_come_together_are_no_company() -> None:
    """Ten refusals in one read, of submits that were a hundred apart: they are counted where they left."""
    whims = Whims(0.01)
    for number in range(1000):
        whims.left(1, number / 500)
    signs = {whims.refused(2.0, number / 5, COMPANY_BAR) for number in range(10)}
    assert signs == {Sign.NOTHING}
    assert whims.refused(2.0, 1.8, COMPANY_BAR) is Sign.NOTHING
    assert Sign.COMPANY in {whims.refused(2.0, 1.8, COMPANY_BAR) for _ in range(3)}


def test_a_background_is_remembered_for_minutes_and_then_falls() -> None:
    """One in twenty for two minutes, then none: half of it is still known after four minutes, next to nothing after an hour."""
    chance = random.Random(5)
    throttle = Throttle(100)
    play(throttle, lambda _: math.inf, 120.0, whim=lambda: chance.random() < 0.05)
    assert throttle.adaptation is not None
    whims = throttle.adaptation.whims
    before = whims.background
    assert 0.04 < before <= MOST
    at = 120.0
    for _ in range(24):
        at += 10.0
        whims.left(1000, at)
        whims.refused(at, at, COMPANY_BAR)
    assert before / 2 <= whims.background < before
    for _ in range(360):
        at += 10.0
        whims.left(1000, at)
        whims.refused(at, at, COMPANY_BAR)
    assert whims.background < 2.5 * LEAST


def test_without_a_rate_only_company_pauses() -> None:
    """One in fifty at random is no reason; a carrier that refuses half is."""
    chance = random.Random(1)
    throttle = Throttle(None)
    refused = []
    for number in range(20_000):
        at = number / 1000
        throttle.take(1, at)
        if chance.random() < 0.02:
            refused.append(throttle.refused(at, at))
    assert not any(refused)
    assert any(throttle.take(1, 30.0) and throttle.refused(30.0, 30.0) for _ in range(10))
