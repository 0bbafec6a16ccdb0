"""Routes: which of the configured routes a send takes, and what all carriers of a route have in common.

Refuses to know whether a carrier is up, fast or full: that is asked when a segment is claimed (pool). A route that fits
is chosen in this order: the longest matching prefix; among those, the one with most other criteria (class, account,
sender, mcc_mnc); among those, the first in the file. So a route for one customer and no prefix does not win from a
route for the number's prefix: give it the prefix too, or name it in the send.

Carriers of one route may differ in what they take. Segments are cut once, so a route tells admission the encodings that
every one of its carriers takes (`common`), those that at least one takes (`any_`), whether to cut for the wide
concatenation header, which leaves less room and fits the narrow one too, and the national tables that all hand through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dispatcher.core.model import LANE_BY_NAME, Lane
from dispatcher.core.senders import SenderRules
from dispatcher.core.settings import Carrier, Group, Route, Settings
from smpp.national import Language
from smpp.text import Encoding

ENCODING_BY_NAME: dict[str, Encoding] = {
    "gsm7": Encoding.GSM7,
    "ascii": Encoding.ASCII,
    "latin1": Encoding.LATIN1,
    "ucs2": Encoding.UCS2,
    "binary": Encoding.BINARY,
}


class RouteFacts(NamedTuple):
    """What a route means for cutting and for senders, over all its carriers.

    `wide`: cut for the 16-bit concatenation header. `has_sender`: every carrier has one of its own. `gsm7`: every carrier
    takes GSM 7-bit. `national`: languages whose tables every carrier hands through. `any_sender`: no carrier refuses or
    changes one; otherwise `senders` are their rules.
    """

    name: str
    carriers: tuple[str, ...]
    groups: tuple[Group, ...]
    common: frozenset[Encoding]
    any_: frozenset[Encoding]
    wide: bool
    has_sender: bool
    gsm7: bool
    any_sender: bool
    national: tuple[Language, ...]
    senders: tuple[SenderRules, ...]

    def takes(self, sender: str, country: str) -> bool:
        """Would every carrier take this sender for this country?"""
        return self.any_sender or all(rules.written(sender, country) is not None for rules in self.senders)


class _Rule(NamedTuple):
    order: tuple[int, int]
    lanes: frozenset[Lane]
    accounts: frozenset[str]
    senders: frozenset[str]
    mcc_mncs: frozenset[str]
    route: RouteFacts


class Routes:
    """The routes of one configuration. Raises ValueError when a route names a carrier that is not configured."""

    __slots__ = ("_by_name", "_levels")

    def __init__(self, settings: Settings) -> None:
        carriers = {carrier.name: carrier for carrier in settings.carrier}
        self._by_name = {route.name: _facts(route, carriers) for route in settings.route}
        levels: dict[int, dict[str, list[_Rule]]] = {}
        for position, route in enumerate(settings.route):
            rule = _rule(position, route, self._by_name[route.name])
            for prefix in set(route.match.prefix) or {""}:
                levels.setdefault(len(prefix), {}).setdefault(prefix, []).append(rule)
        for rules in (rules for level in levels.values() for rules in level.values()):
            rules.sort(key=lambda rule: rule.order)
        self._levels = sorted(levels.items(), reverse=True)

    @property
    def names(self) -> tuple[str, ...]:
        """All routes in the file's order."""
        return tuple(self._by_name)

    def facts(self, name: str) -> RouteFacts:
        """The route of that name. Raises KeyError for an unknown one."""
        return self._by_name[name]

    def carriers(self, name: str) -> tuple[str, ...]:
        """Names of the route's carriers, groups in order, each once. Raises KeyError for an unknown route."""
        return self._by_name[name].carriers

    def groups(self, name: str) -> tuple[Group, ...]:
        """The route's ordered groups of weighted carriers. Raises KeyError for an unknown route."""
        return self._by_name[name].groups

    def wide(self, name: str) -> bool:
        """Whether its messages are cut for the wide concatenation header. Raises KeyError for an unknown route."""
        return self._by_name[name].wide

    def pick(
        self, to: str, lane: Lane, account: str, sender: str = "", mccmnc: str = "", wanted_route: str = ""
    ) -> RouteFacts | None:
        """The route of a send to E.164 digits `to`; `wanted_route` takes that one whatever it matches. None: no route."""
        if wanted_route:
            return self._by_name.get(wanted_route)
        for length, level in self._levels:
            for rule in level.get(to[:length], ()):
                if (
                    (not rule.lanes or lane in rule.lanes)
                    and (not rule.accounts or account in rule.accounts)
                    and (not rule.senders or sender in rule.senders)
                    and (not rule.mcc_mncs or mccmnc in rule.mcc_mncs)
                ):
                    return rule.route
        return None

    def always(self, lane: Lane, account: str, sender: str, wanted_route: str = "") -> RouteFacts | None:
        """What `pick` says for every number; None where that depends on the number, or where there is no route."""
        if wanted_route:
            return self._by_name.get(wanted_route)
        if [length for length, _ in self._levels] != [0]:
            return None
        for rule in self._levels[0][1][""]:
            if (
                (not rule.lanes or lane in rule.lanes)
                and (not rule.accounts or account in rule.accounts)
                and (not rule.senders or sender in rule.senders)
            ):
                return None if rule.mcc_mncs else rule.route
        return None


def _rule(position: int, route: Route, facts: RouteFacts) -> _Rule:
    match = route.match
    criteria = (match.lane, match.account, match.sender, match.mcc_mnc)
    return _Rule(
        (-sum(1 for values in criteria if values), position),
        frozenset(LANE_BY_NAME[name] for name in match.lane),
        frozenset(match.account),
        frozenset(match.sender),
        frozenset(match.mcc_mnc),
        facts,
    )


def _facts(route: Route, carriers: Mapping[str, Carrier]) -> RouteFacts:
    names = tuple(dict.fromkeys(member.name for group in route.group for member in group.carriers))
    for name in names:
        if name not in carriers:
            raise ValueError(f"route {route.name}: carrier {name!r} is not configured; known: {', '.join(carriers) or 'none'}")
    chosen = [carriers[name] for name in names]
    sets = [_encodings(carrier, ascii_too=any("ascii" in c.quirks.encodings for c in chosen)) for carrier in chosen]
    rules = tuple(SenderRules(carrier) for carrier in chosen)
    return RouteFacts(
        name=route.name,
        carriers=names,
        groups=route.group,
        common=frozenset.intersection(*sets),
        any_=frozenset().union(*sets),
        wide=any(carrier.quirks.concat == "udh16" for carrier in chosen),
        has_sender=all(carrier.sender for carrier in chosen),
        gsm7=all(Encoding.GSM7 in encodings for encodings in sets),
        any_sender=all(rule.plain for rule in rules),
        national=tuple(
            language for language in Language if all(language.name.lower() in carrier.quirks.national for carrier in chosen)
        ),
        senders=rules,
    )


def _encodings(carrier: Carrier, *, ascii_too: bool) -> frozenset[Encoding]:
    """What a carrier takes. `ascii_too`: another one of the route takes ASCII, which GSM 7-bit can write as well."""
    found = frozenset(ENCODING_BY_NAME[name] for name in carrier.quirks.encodings)
    return found | {Encoding.ASCII} if ascii_too and Encoding.GSM7 in found else found
