"""Adaptation: down at once when the carrier's limit falls, back when it rises, and "auto" finds what nobody told."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dispatcher.core.adaptation import REST_AUTO_S, START_PER_S, Adaptation
from dispatcher.core.throttle import Throttle
from tests.dispatcher.core.limited import Sliding, bursts, company, play, used
from tests.dispatcher.core.test_throttle import most_in_a_second

FALL, RISE = 10.0, 60.0


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 300), st.floats(0.1, 0.9), st.sampled_from([0.002, 0.02, 0.1]), st.booleans())
@example(51, 0.125, 0.002, False)
@example(67, 0.107, 0.1, False)
def test_a_fallen_limit_is_kept_within_a_second_and_the_ceiling_is_back_within_thirty(
    rate: int, part: float, response_s: float, counts_refused: bool
) -> None:
    """Whether the carrier counts what it refuses or not: from one second after it no second sees more than the new limit and
    what was under way when the refusal came; from thirty seconds after the rise on it is the ceiling."""
    low = max(2, int(rate * part))
    found = play(
        Throttle(rate),
        lambda now: low if FALL <= now < RISE else rate,
        RISE + 31,
        response_s=response_s,
        counter=Sliding(counts_refused=counts_refused),
    )
    assert most_in_a_second([at for at in found.left if FALL + 1 <= at < RISE]) <= low + 2 + rate * response_s
    assert found.limit(RISE + 30) == rate
    assert most_in_a_second(found.left) <= rate
    assert found.rate(FALL + 10, RISE) > 0.5 * low


def test_while_the_limit_is_low_few_are_refused() -> None:
    """Ten seconds after the fall at most one in a hundred, and four fifths of the limit are used."""
    found = play(Throttle(100), lambda now: 40 if now > FALL else 100, 120.0, response_s=0.02)
    late = sum(at > FALL + 10 for at in found.refused)
    assert late <= 0.01 * sum(at > FALL + 10 for at in found.left)
    assert found.rate(FALL + 10, 120) >= 0.8 * 40


@pytest.mark.parametrize("response_s", [0.005, 0.05])
@pytest.mark.parametrize("limit", [2, 7, 10, 25, 40, 100, 300])
def test_auto_finds_an_untold_limit(limit: int, response_s: float) -> None:
    """Within 10 % after 60 s and from then on; at most one refusal a probe; under 1 % refused in steady state."""
    found = play(Throttle("auto"), lambda _: limit, 180.0, response_s=response_s)
    assert 0.9 * limit <= found.limit(60.0) <= 1.1 * limit
    assert found.rate(60.0, 180.0) >= 0.85 * limit
    assert set(bursts(found.refused, 0.9)) == {1}
    steady = sum(at > 60 for at in found.refused)
    assert 0 < steady < 0.01 * sum(at > 60 for at in found.left)


@settings(max_examples=25, deadline=None)
@given(st.integers(15, 200), st.floats(0.002, 0.05), st.integers(0, 2**32))
def test_auto_follows_a_limit_that_moves(limit: int, response_s: float, seed: int) -> None:
    """A writer that wakes late, a limit that falls to a third and comes back: found again within 60 s, each time."""
    chance = random.Random(seed)
    low = limit // 3
    found = play(
        Throttle("auto"),
        lambda now: low if 60 <= now < 120 else limit,
        180.0,
        response_s=response_s,
        late_s=lambda: chance.random() * 0.001,
    )
    for at, there in ((59.9, limit), (119.9, low), (179.9, limit)):
        assert 0.85 * there - 1 <= found.limit(at) <= 1.12 * there + 1
    assert most_in_a_second([at for at in found.left if 62 <= at < 120]) <= low * 1.5 + 3


def test_auto_rises_only_on_evidence() -> None:
    """Five a second for a minute say nothing about eleven: the limit stays where it began."""
    throttle = Throttle("auto")
    for tick in range(300):
        throttle.take(1, tick / 5)
    assert throttle.limit == START_PER_S


def test_a_probe_is_one_refusal_and_the_next_one_rests() -> None:
    """What is refused at a step up goes back below it at once, and rests are twice as long each time."""
    found = play(Throttle("auto"), lambda _: 50, 300.0, response_s=0.01)
    gaps = [b - a for a, b in zip(found.refused, found.refused[1:], strict=False)]
    assert len(found.refused) <= 25
    assert gaps[-1] > REST_AUTO_S


def test_answers_that_come_after_the_pause_to_what_left_before_it_are_the_same_refusal() -> None:
    """A carrier that answers after 2 s: everything that had left when the first refusal came counts once."""
    throttle = used(Throttle(100.0))
    throttle.take(1, 0.0)
    assert company(throttle, 2.0, left_at=0.1)
    assert not throttle.refused(3.5, left_at=1.9)
    assert throttle.limit == 85
    throttle.take(1, 3.4)
    assert company(throttle, 5.5, left_at=3.5)


def test_the_second_cut_lands_on_what_the_carrier_took() -> None:
    """After a pause its count began with nothing: 40 taken, the 41st and the 42nd refused within that second."""
    throttle = used(Throttle(100.0))
    throttle.take(1, 0.0)
    company(throttle, 10.0)
    now = 11.0
    for _ in range(42):
        now = throttle.next_at(now)
        assert throttle.take(1, now) == 1
    company(throttle, now, left_at=now)
    assert throttle.limit == pytest.approx(36.0)


def test_a_part_of_the_rate_keeps_its_place_below_the_ceiling() -> None:
    """Scaling keeps what was learned, also over a time without any part."""
    throttle = used(Throttle(100.0))
    throttle.take(1, 0.0)
    company(throttle, 1.0)
    throttle.resize(0.0, 1.1)
    throttle.resize(50.0, 1.2)
    assert throttle.limit == pytest.approx(42.5)
    throttle.resize(100.0, 1.3)
    assert throttle.limit == pytest.approx(85.0)


def test_a_floor_is_never_passed() -> None:
    """A carrier that refuses everything is asked about twice a second, at the floor; then it is back."""
    adaptation = Adaptation(100.0, 0.05)
    for tick in range(60):
        adaptation.left(1, 2.0 * tick)
        adaptation.refused(2.0 * tick + 0.1, 2.0 * tick, 1.0)
        assert adaptation.limit >= 5.0
    assert adaptation.limit == 5.0
    found = play(Throttle(100), lambda now: 0 if 10 < now < 40 else 100, 75.0)
    assert sum(10 < at < 40 for at in found.refused) <= 60
    assert found.limit(70.0) == 100
