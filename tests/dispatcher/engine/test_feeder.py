"""Which routes are claimed together, how often queues are looked at, and how a claim is dealt out to sessions."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from dispatcher.core.admission import Book
from dispatcher.core.counters import Counters
from dispatcher.core.hashing import NumberHash
from dispatcher.core.ids import RandomIds
from dispatcher.core.model import Message
from dispatcher.core.pool import Pool
from dispatcher.core.retry import Rules
from dispatcher.core.settings import Group, Route, Weighted
from dispatcher.engine.committer import Committer
from dispatcher.engine.feeder import Feeder, Looks, families
from dispatcher.engine.works import Works, seats_of
from dispatcher.store.memory import MemoryStore
from tests.dispatcher.core.lives import T0, Life
from tests.dispatcher.engine.world import carrier, route, settings_of


def _route(name: str, *groups: tuple[str, ...]) -> Route:
    return Route(name=name, group=tuple(Group(carriers=tuple(Weighted(name=c) for c in group)) for group in groups))


def test_only_routes_with_the_same_groups_in_the_same_order_share_a_claim() -> None:
    """The room of a route is that of its first group that can carry: turned around, it is another room."""
    routes = (
        _route("a", ("north", "south"), ("backup",)),
        _route("b", ("south", "north"), ("backup",)),
        _route("c", ("backup",), ("north", "south")),
        _route("d", ("north", "south", "backup")),
    )
    assert families(routes) == [("a", "b"), ("c",), ("d",)]


def _quiet() -> Looks:
    looks = Looks()
    for _ in range(20):
        looks.looked(found=False)
        looks.waited(rang=False)
    return looks


def test_empty_queues_are_looked_at_less_often_until_an_unasked_look_finds_something() -> None:
    """What is found unasked came through another door."""
    looks = Looks()
    assert looks.looked(found=False) == 1
    looks = _quiet()
    assert looks.looked(found=False) == 2
    looks.waited(rang=False)
    assert looks.looked(found=True) == 2
    looks.waited(rang=False)
    assert looks.looked(found=False) == 1


def test_what_intake_enqueues_is_waited_for() -> None:
    """Polls beside intake's own word would cost a pop each and find nothing."""
    looks = _quiet()
    looks.looked(found=False)
    looks.waited(rang=True)
    assert looks.looked(found=True) == 6
    looks.waited(rang=False)
    assert looks.looked(found=True) == 2  # unasked, and what it found was on its way into intake's word
    looks.waited(rang=True)
    assert looks.looked(found=False) == 6


# -- dealing -------------------------------------------------------------------------------------------------------------


class Clock:
    """A time that stands still."""

    def now_ms(self) -> int:
        return T0 + 10

    def monotonic(self) -> float:
        return 100.0


def feeder_of(works: Works) -> Feeder:
    """The one task that claims."""
    return Feeder(works, Committer(works), Book(works.settings, [], None, None, NumberHash(b"k" * 32)))


def works_of(*, window: int, sessions: int) -> Works:
    """An engine whose sessions are all up and empty."""
    settings, chance = (
        settings_of([carrier(window=window, sessions=sessions)], [route({"alpha": 1})], tariff=[]),
        random.Random(1),
    )
    works = Works(
        settings, MemoryStore(), Rules(settings, {}, {}, chance.random), Pool(settings.route), clock=Clock(), chance=chance,
        ids=RandomIds(chance.randbytes), counters=Counters("e1"), log=None, name="e1",
    )  # fmt: skip
    for seat in seats_of(settings):
        seat.up = True
        works.seats.append(seat)
        works.pool.add(seat)
    return works


def fresh(segments: list[int]) -> list[Message]:
    """Messages of so many segments, just popped."""
    return [Message(f"{i:026}", 0, None, Life(segments=size).body) for i, size in enumerate(segments)]


def dealt(works: Works, feeder: Feeder, segments: list[int]) -> list[int]:
    """Sessions of a claim's messages, in their order."""
    going, effects = feeder._prepare(fresh(segments))
    found = [seat.session for _, seat, *_ in going]
    carried: Counter[int] = Counter()
    for size, session in zip(segments, found, strict=False):
        carried[session] += size
    assert len(going) + len(effects.due) == len(segments)
    assert {seat.session: seat.used for seat in works.seats if seat.used} == carried
    return found


def test_long_messages_are_dealt_whole() -> None:
    """Four sessions of window 50: 48 segments of messages of 3 each, none more, none parted between a window and the link's
    queue, and all of the claim goes."""
    works = works_of(window=50, sessions=4)
    feeder = feeder_of(works)
    dealt(works, feeder, [3])  # by it the feeder knows their size
    for seat in works.seats:
        seat.used = 0
    room = works.pool.room("main", 100.0, feeder._size)
    assert (feeder._size, room) == (3.0, 64)
    found = dealt(works, feeder, [3] * room)
    assert [seat.used for seat in works.seats] == [48] * 4
    assert max(Counter(found).values()) == 16
    assert found[:8] == [found[0]] * 8


@pytest.mark.parametrize("used", [0, 10, 25, 47])
def test_long_messages_fill_what_is_left(used: int) -> None:
    """Whatever is in use, a claim of `room` is carried by windows, but for the tail of the last message where only a part of
    one has room."""
    works = works_of(window=50, sessions=4)
    feeder = feeder_of(works)
    dealt(works, feeder, [3])
    for seat in works.seats:
        seat.used = used
    room = works.pool.room("main", 100.0, feeder._size)
    going, _ = feeder._prepare(fresh([3] * room))
    assert len(going) == room == 4 * ((50 - used) // 3)
    assert [seat.used for seat in works.seats] == [used + (50 - used) // 3 * 3] * 4


def test_a_message_longer_than_the_window_has_a_session() -> None:
    """One free segment is room for any message; while it takes the window and more, the next one waits."""
    works = works_of(window=2, sessions=2)
    feeder = feeder_of(works)
    assert sorted(dealt(works, feeder, [3, 10, 3])) == [0, 1]
    assert works.pool.room("main", 100.0, 3.0) == 0


def test_a_longer_message_is_the_only_one_of_its_turn() -> None:
    """A turn is so many segments, and its messages are no more; the one that is longer than a turn has its own."""
    works = works_of(window=50, sessions=2)
    found = dealt(works, feeder_of(works), [20, 1, 1, 20, 1])
    assert found[:2] == [0, 1]
    assert found[1] == found[2]
    assert all(seat.used <= 50 for seat in works.seats)
