"""Which routes are claimed together, and how often queues are looked at."""

from __future__ import annotations

from dispatcher.core.settings import Group, Route, Weighted
from dispatcher.engine.feeder import Looks, families


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
    for _ in range(100):
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
