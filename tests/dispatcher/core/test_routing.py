"""core/routing.py: the most specific route wins, and what its carriers have in common."""

from __future__ import annotations

import pytest

from dispatcher.core.model import Lane
from dispatcher.core.routing import Routes
from dispatcher.core.settings import Bind, Carrier, Group, Match, Quirks, Route, Settings, Weighted
from smpp.text import Encoding

BIND = (Bind(host="localhost", system_id="us"),)


def route(name: str, *carriers: str, **match: object) -> Route:
    """A route with one group."""
    group = Group(carriers=tuple(Weighted(name=c) for c in carriers or ("a",)))
    return Route(name=name, match=Match(**match), group=(group,))  # type: ignore[arg-type]


def routes(*them: Route, carriers: tuple[Carrier, ...] = (Carrier(name="a", bind=BIND),)) -> Routes:
    """Routes of a configuration with these carriers."""
    return Routes(Settings(carrier=carriers, route=them))


def picked(them: Routes, to: str = "22238000000", lane: Lane = Lane.TRANSACTIONAL, account: str = "acme", **more: str) -> str:
    """The chosen route's name, "" for none."""
    found = them.pick(to, lane, account, **more)
    return found.name if found else ""


def test_the_longest_prefix_wins_whatever_the_order() -> None:
    """2223 before 222 before any; file order does not matter."""
    them = routes(route("any"), route("long", prefix=("2223", "7")), route("short", prefix=("222",)))
    assert [picked(them, to) for to in ("22238000000", "22248000000", "79000000", "44791")] == ["long", "short", "long", "any"]


def test_more_criteria_win_within_a_prefix() -> None:
    """A route for this account and class is more specific than one for the class."""
    them = routes(
        route("all"),
        route("otp", lane=("otp",)),
        route("acme-otp", lane=("otp",), account=("acme",)),
        route("net", mcc_mnc=("60901",), sender=("SHOP",), account=("beta",)),
    )
    assert picked(them, lane=Lane.OTP) == "acme-otp"
    assert picked(them, lane=Lane.OTP, account="beta") == "otp"
    assert picked(them, account="beta") == "all"
    assert picked(them, account="beta", sender="SHOP", mccmnc="60901") == "net"
    assert picked(them, account="beta", sender="SHOP", mccmnc="60902") == "all"
    assert picked(them, account="beta", sender="SHOP") == "all"


def test_a_longer_prefix_beats_more_criteria() -> None:
    """The prefix is asked first."""
    assert picked(routes(route("acme", account=("acme",)), route("prefix", prefix=("222",)))) == "prefix"


def test_a_longer_prefix_that_does_not_fit_otherwise_is_passed_over() -> None:
    """Prefix and criteria must all hold."""
    assert picked(routes(route("otp", prefix=("222",), lane=("otp",)), route("any"))) == "any"


def test_file_order_breaks_ties() -> None:
    """Of two that fit alike the first is taken."""
    assert picked(routes(route("one"), route("two"))) == "one"


def test_a_wanted_route_is_taken_whatever_it_matches() -> None:
    """And an unknown one is none at all."""
    them = routes(route("one"), route("two", prefix=("44",)))
    assert picked(them, wanted_route="two") == "two"
    assert picked(them, wanted_route="three") == ""


def test_nothing_fits() -> None:
    """No route is no route."""
    assert picked(routes(route("uk", prefix=("44",)))) == ""


def test_what_the_carriers_have_in_common() -> None:
    """Encodings of all and of any, the widest header, and whether each has a sender."""
    carriers = (
        Carrier(name="a", bind=BIND, sender="A", quirks=Quirks(encodings=("gsm7",))),
        Carrier(name="b", bind=BIND, sender="B", quirks=Quirks(encodings=("gsm7", "ucs2"), concat="udh16")),
        Carrier(name="c", bind=BIND),
    )
    them = routes(route("ab", "a", "b"), route("ac", "a", "c", "a"), carriers=carriers)
    both, loose = them.facts("ab"), them.facts("ac")
    assert (frozenset({Encoding.GSM7}), frozenset({Encoding.GSM7, Encoding.UCS2})) == (both.common, both.any_)
    assert (both.wide, both.has_sender) == (True, True)
    assert (loose.wide, loose.has_sender) == (False, False)
    assert them.carriers("ac") == ("a", "c")
    assert them.names == ("ab", "ac")


def test_a_route_to_nowhere_is_refused() -> None:
    """A carrier that is not configured is named."""
    with pytest.raises(ValueError, match="route r: carrier 'x' is not configured; known: a"):
        routes(route("r", "x"))
