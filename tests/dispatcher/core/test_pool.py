"""The choice of a session: weights, groups, room, health, pins and carriers to avoid."""

from __future__ import annotations

import math
from collections import Counter

import msgspec
import pytest

from dispatcher.core.pool import OWED_SEGMENTS_MAX, PAUSED_LONG_S, Pool, Slot
from dispatcher.core.settings import Route

ROUTES = msgspec.convert(
    [
        {
            "name": "main",
            "group": [
                {"carriers": [{"name": "a", "weight": 3}, {"name": "b"}]},
                {"carriers": [{"name": "c"}]},
            ],
        }
    ],
    list[Route],
)


def pool(**windows: int) -> tuple[Pool, dict[str, Slot]]:
    """A pool with one session per carrier, all up."""
    p = Pool(ROUTES)
    slots = {name: Slot(name, "b0", 0, window, up=True) for name, window in windows.items()}
    for slot in slots.values():
        p.add(slot)
    return p, slots


def name(slot: Slot | None) -> str:
    """The chosen carrier, "" for none."""
    return slot.carrier if slot is not None else ""


def test_weights_share_smoothly() -> None:
    """3:1 over any four messages, not in runs of hundreds."""
    p, _ = pool(a=10**6, b=10**6)
    chosen = [name(p.choose("main", 1, 0.0)) for _ in range(400)]
    assert Counter(chosen) == {"a": 300, "b": 100}
    for i in range(0, 400, 4):
        assert Counter(chosen[i : i + 4]) == {"a": 3, "b": 1}


def test_weights_are_of_segments() -> None:
    """A long message counts by its segments: shares of segments stay 3:1 (within the longest message)."""
    p, _ = pool(a=10**6, b=10**6)
    carried: Counter[str] = Counter()
    for i in range(1000):
        length = 1 + i % 5
        carried[name(p.choose("main", length, 0.0))] += length
    assert abs(carried["a"] - 3 * carried["b"]) <= 20


def test_a_full_group_waits_and_does_not_overflow() -> None:
    """Group 2 is for a group 1 that cannot carry, not for one that is busy or in a short pause."""
    p, s = pool(a=1, b=1, c=5)
    s["a"].used = s["b"].used = 1
    assert p.choose("main", 1, 0.0) is None
    assert p.room("main", 0.0) == 0
    s["b"].used = 0
    s["b"].paused_until = 1.0
    assert p.choose("main", 1, 0.0) is None
    assert name(p.choose("main", 1, 1.0)) == "b"


@pytest.mark.parametrize("trouble", ["down", "paused", "avoided", "absent"])
def test_the_next_group_carries_when_the_first_cannot(trouble: str) -> None:
    """Down, paused for long, to be avoided, or without any session: group 2."""
    p, s = pool(a=1, b=1, c=5)
    avoid: tuple[str, ...] = ()
    for slot in (s["a"], s["b"]):
        if trouble == "down":
            slot.up = False
        elif trouble == "paused":
            slot.paused_until = math.inf
        elif trouble == "absent":
            p.remove(slot)
    if trouble == "avoided":
        avoid = ("a", "b")
    assert name(p.choose("main", 1, 0.0, avoid=avoid)) == "c"
    if trouble != "avoided":
        assert p.room("main", 0.0) == 5


def test_the_limit_of_a_long_pause() -> None:
    """A pause of PAUSED_LONG_S or more counts as "cannot carry"; a shorter one means wait."""
    for left, chosen in ((PAUSED_LONG_S, "c"), (PAUSED_LONG_S - 0.01, "")):
        p, s = pool(a=1, c=5)
        s["a"].paused_until = 100.0 + left
        assert name(p.choose("main", 1, 100.0)) == chosen


def test_pin_wins_over_avoid_and_groups() -> None:
    """A part follows its siblings: only the pinned carrier, also when it is to be avoided or full."""
    p, s = pool(a=1, b=1, c=1)
    assert name(p.choose("main", 1, 0.0, pin="c", avoid=("c",))) == "c"
    s["c"].used = 1
    assert p.choose("main", 1, 0.0, pin="c") is None


def test_room_is_what_may_be_claimed() -> None:
    """Free windows of the first group that can carry; a full window has none; one free segment takes a long message."""
    p, s = pool(a=10, b=4, c=100)
    s["a"].used = 9
    assert p.room("main", 0.0) == 5
    s["b"].used = 4
    assert p.room("main", 0.0) == 1
    assert name(p.choose("main", 10, 0.0)) == "a"
    s["a"].used = 10
    assert p.room("main", 0.0) == 0
    assert p.room("nowhere", 0.0) == 0


@pytest.mark.parametrize(
    ("windows", "used", "size", "room"),
    [
        ((50, 50), (0, 0), 1.0, 100),
        ((50, 50), (0, 0), 3.0, 32),  # 16 whole ones each: the rest of each has room for a part only
        ((50, 50), (0, 0), 2.5, 40),
        ((50, 50), (0, 49), 3.0, 16),
        ((50, 50), (48, 48), 3.0, 1),
        ((50, 50), (49, 50), 60.0, 1),
        ((2, 2), (0, 0), 3.0, 1),
        ((50, 50), (50, 50), 3.0, 0),
        ((50, 50), (50, 50), 1.0, 0),
    ],
)
def test_room_is_of_whole_messages(windows: tuple[int, int], used: tuple[int, int], size: float, room: int) -> None:
    """As many as fit whole into each session, or one where there is room for a part of it; by the segment as ever."""
    p, s = pool(a=windows[0], b=windows[1], c=100)
    s["a"].used, s["b"].used = used
    assert p.room("main", 0.0, size) == room
    if size == 1.0:
        assert p.room("main", 0.0) == room == s["a"].free + s["b"].free


def test_room_of_whole_messages_is_that_of_sessions_that_carry_now() -> None:
    """A short pause has no room, not even for a part; a group that is down leaves its room to the next one."""
    p, s = pool(a=50, b=50, c=100)
    s["a"].paused_until = s["b"].paused_until = 1.0
    assert p.room("main", 0.0, 3.0) == 0
    s["b"].paused_until = 0.0
    assert p.room("main", 0.0, 3.0) == 16
    s["a"].up = s["b"].up = False
    assert p.room("main", 0.0, 3.0) == 33


def test_sessions_of_a_carrier_share_by_how_full_they_are() -> None:
    """The least used session in relation to its window."""
    p = Pool(ROUTES)
    small, large = Slot("a", "b0", 0, 10, up=True), Slot("a", "b1", 0, 100, up=True)
    p.add(small)
    p.add(large)
    for _ in range(110):
        slot = p.choose("main", 1, 0.0)
        assert slot is not None
        slot.used += 1
    assert (small.used, large.used) == (10, 100)


def test_a_returning_carrier_gets_its_share_not_a_flood() -> None:
    """Down for 10,000 messages, b is owed at most OWED_SEGMENTS_MAX per unit of weight when it is back."""
    p, s = pool(a=10**6, b=10**6)
    s["b"].up = False
    for _ in range(10_000):
        p.choose("main", 1, 0.0)
    s["b"].up = True
    chosen = [name(p.choose("main", 1, 0.0)) for _ in range(100)]
    assert 25 <= chosen.count("b") <= 25 + OWED_SEGMENTS_MAX


def test_dealt_turns_share_as_single_choices_do() -> None:
    """Sessions dealt several messages at a time carry the same shares by weight, and never more than they have room for."""
    p, slots = pool(a=10_000, b=10_000)
    dealt: Counter[str] = Counter()
    while dealt.total() < 4_000:
        found = p.deal("main", 8, 0.0)
        assert found is not None
        slot, count = found
        slot.used += count
        dealt[slot.carrier] += count
    assert dealt["a"] / dealt["b"] == pytest.approx(3, rel=0.02)
    slots["a"].used, slots["b"].used = 9_997, 10_000
    assert p.deal("main", 8, 0.0) == (slots["a"], 3)
    slots["a"].used = 10_000
    assert p.deal("main", 8, 0.0) is None
