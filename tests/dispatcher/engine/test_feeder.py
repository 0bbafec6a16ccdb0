"""Which routes are claimed together."""

from __future__ import annotations

from dispatcher.core.settings import Group, Route, Weighted
from dispatcher.engine.feeder import families


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
