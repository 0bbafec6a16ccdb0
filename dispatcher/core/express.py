"""The short way through admission, for what nearly every send is: a text without rare fields to an ordinary number.

It refuses to refuse: it knows no reasons and no words. What it cannot accept at once it leaves to the long way
(core/admission.py), which gives every verdict that is not a plain yes; the tests prove the two equal.

Theory. The sends of a batch differ in number and text, hardly in anything else. So what depends on neither is decided once
and kept as `Terms`: who pays by which tariff, the sender, the route where it is the same for every number, the times.
What is left for each send is one pattern for its number, one look into the tariff, one GSM translation, one hash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from accounting.money import MICRO_MAX
from accounting.tariff import Price, Tariff, TariffBook
from dispatcher.core import options as rare
from dispatcher.core.content import GSM7_SINGLE_CHARS, Content
from dispatcher.core.customer import Account
from dispatcher.core.guards import Guard, Guards, taken
from dispatcher.core.model import LANE_BY_NAME, Body, OnUnknown, Send
from dispatcher.core.numbers import NumberBook
from dispatcher.core.policies import sender_allowed, sender_problem
from dispatcher.core.ports import Admission
from dispatcher.core.refusal import Objection
from dispatcher.core.routing import RouteFacts, Routes
from dispatcher.core.settings import Settings
from smpp.segments import SEGMENTS_MAX, count_septets
from smpp.text import Encoding, gsm7

TERMS_MAX: Final = 1_000
"""Terms kept at once; beyond it all are forgotten and made again as they are needed."""
_GSM7: Final = int(Encoding.GSM7)
_new = tuple.__new__  # an Admission without the detour through its named constructor, which takes twice as long


class Lookups(Protocol):
    """What the short way asks: admission's Book. Its three methods raise Objection."""

    settings: Settings
    tariffs: TariffBook
    routes: Routes
    numbers: NumberBook
    hash_number: Callable[[str], str]
    guards: Guards
    validity_s: tuple[int, ...]
    on_unknown: tuple[OnUnknown, ...]

    def tariff(self, account: Account, now: int) -> Tariff:
        """Whose prices the account pays."""
        ...

    def route(self, send: Send, account: Account, to: str, lane: int, sender: str, price: Price) -> RouteFacts:
        """Which way it goes."""
        ...

    def content(self, send: Send, route: RouteFacts) -> Content:
        """In which encoding and how many segments."""
        ...


class Terms(NamedTuple):
    """What one account's sends with the same few fields have in common, from `since` until before `until` (ms).

    `route` None: it depends on the number. `gsm7`: a text that fits so many GSM 7-bit segments goes as that where the route
    takes it (0: ask for each). `countries`: where it may go, None for everywhere. `guard` None: nothing is counted.
    `account` is held so that no other object can have its identity meanwhile; an Account is not changed in place.
    """

    account: Account
    since: int
    until: float
    sender: str
    lane: int
    route: RouteFacts | None
    price: Callable[[str], Price | None]
    tariff: str
    currency: str
    validity_ms: int
    on_unknown: int
    gsm7: int
    countries: frozenset[str] | None
    guard: Guard | None


class Express:
    """One Book's short way, with the terms it has made. Not to be shared between threads."""

    __slots__ = ("_book", "_last", "_terms")

    def __init__(self, book: Lookups) -> None:
        self._book = book
        self._terms: dict[tuple[object, ...], Terms] = {}
        self._last = ("", 1, False)  # the last text in GSM 7-bit, its segments, and whether it was cut for the wide header

    def admit(self, send: Send, account: Account, now: int, message_id: str) -> Admission | None:
        """The admission of a plain send; None: ask the long way."""
        terms = self.terms(send, account, now)
        return None if terms is None else self.admit_by(terms, send, now, message_id)

    def terms(self, send: Send, account: Account, now: int) -> Terms | None:
        """The terms of a plain send, and at `now` of every other that differs from it in number and text only; None: ask the
        long way."""
        if (
            send.binary is not None or send.udh is not None or send.not_before is not None or send.flash or send.tlvs
            or send.max_price is not None or send.entity is not None or send.template is not None
            or send.callback is not None or (send.account is not None and send.account != account.name)
        ):  # fmt: skip
            return None
        alike = (
            id(account), send.sender, send.lane, send.encoding, send.max_segments, send.route, send.validity_s,
            send.on_unknown,
        )  # fmt: skip
        terms = self._terms.get(alike)
        if terms is None or not terms.since <= now < terms.until:
            return self._agree(alike, send, account, now)
        return terms

    def admit_by(self, terms: Terms, send: Send, now: int, message_id: str) -> Admission | None:
        """The admission of a send by its terms; None: ask the long way."""
        text = send.text
        placed = self._book.numbers.place(send.to)
        if not text or placed is None:
            return None
        to, country = placed
        (
            account, _, _, sender, lane, route, price_of, tariff, currency, validity_ms, on_unknown, most, countries,
            guard,
        ) = terms  # fmt: skip
        price = price_of(to)
        if price is None:
            return None
        micro, price_country, mccmnc, _ = price
        if countries is not None and (country or price_country) not in countries:
            return None
        segments, encoding, key = 1, _GSM7, send.key
        try:
            if route is None:
                route = self._book.route(send, account, to, lane, sender, price)
            if not (route.any_sender if sender else route.has_sender):
                return None
            wide, last, last_segments, last_wide = route.wide, *self._last
            if most and route.gsm7 and text == last and wide is last_wide and last_segments <= most:
                text, segments = last, last_segments
            elif most and route.gsm7 and (found := _segments(text, most, wide)):
                segments = found
                self._last = (text, segments, wide)
            else:
                encoding, segments, text, _, _, shift = self._book.content(send, route)
                if shift:
                    return None
            if key is not None or send.group is not None or send.ref is not None or send.client_ip is not None:
                rare.check_names(send)
        except Objection:
            return None
        total = segments * micro
        if total > MICRO_MAX:
            return None
        country = price_country or country
        with_it = None
        if guard is not None:
            if self._book.guards.paused_until(guard, country, now):
                return None
            with_it = taken(guard, to, country, total, message_id)
        body = Body(
            to, text, sender, account.name, lane, route.name, int(encoding), segments, micro, currency, tariff,
            self._book.hash_number(to), now, now + validity_ms, on_unknown, key or "", send.ref or "",
            country, mccmnc, send.group or "",
        )  # fmt: skip
        return _new(Admission, (message_id, body, total, b"" if key is None else rare.digest_of(send), 0, with_it))

    def _agree(self, alike: tuple[object, ...], send: Send, account: Account, now: int) -> Terms | None:
        """Makes the terms of sends with these fields; None where a field is one that the long way has words for."""
        book, lane = self._book, LANE_BY_NAME[send.lane]
        most = book.settings.lanes.validity_max_s
        validity_s = min(book.validity_s[lane], most) if send.validity_s is None else send.validity_s
        sender = account.sender if send.sender is None else send.sender
        if account.suspended or not 1 <= validity_s <= most:
            return None
        if send.sender is not None and (sender_problem(sender) or not sender_allowed(account, sender)):
            return None
        try:
            tariff = book.tariff(account, now)
        except Objection:
            return None
        route = book.routes.always(lane, account.name, sender, send.route or "")
        terms = Terms(
            account=account,
            since=tariff.valid_from,
            until=book.tariffs.until(tariff.name, now),
            sender=sender,
            lane=int(lane),
            route=route,
            price=tariff.price,
            tariff=tariff.name,
            currency=tariff.currency,
            validity_ms=validity_s * 1000,
            on_unknown=int(book.on_unknown[lane] if send.on_unknown is None else OnUnknown[send.on_unknown.upper()]),
            gsm7=send.max_segments if send.encoding == "auto" and 1 <= send.max_segments <= SEGMENTS_MAX else 0,
            countries=frozenset(account.countries) if account.countries else None,
            guard=book.guards.of(account, lane),
        )
        if len(self._terms) >= TERMS_MAX:
            self._terms.clear()
        self._terms[alike] = terms
        return terms


def _segments(text: str, most: int, wide: bool) -> int:
    """How many GSM 7-bit segments it is; 0: none, or more than `most`."""
    if len(text) > most * GSM7_SINGLE_CHARS:
        return 0
    septets = gsm7(text)
    if septets is None:
        return 0
    segments = 1 if len(septets) <= GSM7_SINGLE_CHARS else count_septets(septets, wide)
    return segments if segments <= most else 0
