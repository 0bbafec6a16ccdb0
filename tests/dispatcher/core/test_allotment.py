"""Allotments of a day: what all engines use together never passes the limit, whatever dies in between."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core.allotment import DAY_S, HOLD_S, SPENT_MIN_S, Allotment
from dispatcher.core.front import Take, Taken


class Count:
    """The common count, as the store keeps it: exact, sliding."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.uses: list[tuple[float, int, str]] = []

    def total(self, now: float) -> int:
        """What counts now."""
        self.uses = [use for use in self.uses if use[0] > now - DAY_S - HOLD_S]
        return sum(amount for _, amount, _ in self.uses)

    def take(self, takes: list[Take], now: float) -> list[Taken]:
        """Each by itself."""
        answers = []
        for take in takes:
            granted = self.total(now) + take.amount <= self.limit
            if granted:
                self.uses.append((now, take.amount, take.token))
            wait_s = 0.0 if granted else min(at for at, _, _ in self.uses) + DAY_S + HOLD_S - now if self.uses else DAY_S
            answers.append(Taken(granted, int(wait_s * 1000), DAY_S))
        return answers

    def give_back(self, takes: list[Take], exact: bool) -> None:
        """By tokens, or by amounts."""
        for take in takes:
            if exact:
                self.uses = [use for use in self.uses if use[2] != take.token]
            else:
                self.uses.append((self.uses[0][0], -take.amount, ""))  # the oldest: it stops counting first


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([1, 3, 100, 999, 1001, 50_000]), st.integers(0, 2**32))
def test_all_engines_together_stay_below_the_limit(limit: int, seed: int) -> None:
    """Three engines that use, die with what they hold, or give it back; over two days no 24 hours see more than the limit."""
    chance = random.Random(seed)
    count = Count(limit)
    engines = [Allotment("s", limit) for _ in range(3)]
    used: list[tuple[float, int]] = []
    now = 0.0
    for step in range(600):
        now += chance.choice([0.1, 1.0, 200.0, 900.0, 9000.0])
        place = chance.randrange(3)
        engine = engines[place]
        if engine.stale(now) and chance.random() < 0.5:
            count.give_back(engine.unused(), limit <= 1000)
        if engine.wants(now):
            takes = engine.asking(f"e{place}.{step}")
            engine.told(takes, count.take(takes, now), now)
        amount = chance.choice([1, 1, 2, max(1, engine.left)])
        if engine.use(amount, now):
            used.append((now, amount))
        if chance.random() < 0.02:
            if chance.random() < 0.5:
                count.give_back(engine.unused(), limit <= 1000)
            engines[place] = Allotment("s", limit)
        assert engine.left >= 0
        assert sum(n for at, n in used if at > now - DAY_S) <= limit
    assert used


def test_the_whole_day_can_be_used_by_one_engine() -> None:
    """Blocks shrink at the end until the last permit is used; then the day is spent for as long as the count says."""
    for limit in (7, 250, 12_345):
        count, engine, used = Count(limit), Allotment("s", limit), 0
        for _ in range(2000):
            if engine.wants(0.0):
                takes = engine.asking("e")
                engine.told(takes, count.take(takes, 0.0), 0.0)
            left = engine.left
            used += left if engine.use(left, 0.0) else 0
            while engine.use(1, 0.0):
                used += 1
        assert (used, count.total(0.0), engine.left) == (limit, limit, 0)
        assert engine.spent(SPENT_MIN_S - 1)
        assert engine.spent_until == DAY_S + HOLD_S


def test_a_long_message_waits_for_as_many_permits_as_it_has_segments() -> None:
    """A block of one is not enough for three: three are asked for, and nothing is used before they are there."""
    engine, count = Allotment("s", 100), Count(100)
    assert not engine.use(3, 0.0)
    takes = engine.asking("e")
    engine.told(takes, count.take(takes, 0.0), 0.0)
    assert engine.left == 3
    assert engine.use(3, 0.0)


def test_what_is_left_goes_back() -> None:
    """By tokens where the count is exact, by amounts above; once."""
    for limit, size in ((500, 5), (5000, 50)):
        engine, count = Allotment("s", limit), Count(limit)
        takes = engine.asking("e")
        engine.told(takes, count.take(takes, 0.0), 0.0)
        engine.use(2, 0.0)
        back = engine.unused()
        assert sum(take.amount for take in back) == size - 2
        assert engine.unused() == []
        count.give_back(back, limit <= 1000)
        assert count.total(0.0) == 2
