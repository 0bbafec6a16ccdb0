"""Admission: may this Send become a message, as what, over which route, for how much? One pure answer for every door.

It refuses to know the clock, the store, balances and idempotency: the verdict is about the send itself, and what it
returns is everything the store needs to reserve, record and enqueue it in one step (ports.Admission). It refuses for one
reason at a time, the first in the order of `judge`; no detail ever holds a number, a text or a secret.

What is decided here is decided for good: the text is cut once (core/content.py says for whom), and the price is segments
times the tariff's price in force now. Route and price are fixed, the carrier is not: it is chosen at the claim.

Theory of the speed. What nearly every send is takes the short way (core/express.py), which only ever says yes and then
exactly what `judge` would say. Rare fields are looked at only when one is there (core/options.py). A batch has one text for
thousands of numbers, so the last cut is remembered, one of them, per Book.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from accounting.money import MICRO_MAX, MoneyError, to_decimal, to_micro
from accounting.tariff import Price, Tariff, TariffBook
from dispatcher.core import options as rare
from dispatcher.core.content import Content, binary_content, text_content
from dispatcher.core.customer import Account
from dispatcher.core.express import Express
from dispatcher.core.front import Extras, Ticket
from dispatcher.core.guards import Guards, taken
from dispatcher.core.model import LANE_BY_NAME, LANES, Body, Lane, OnUnknown, Refusal, Send
from dispatcher.core.numbers import NumberBook
from dispatcher.core.policies import country_allowed, sender_allowed, sender_problem
from dispatcher.core.ports import Admission
from dispatcher.core.refusal import Objection, Refused
from dispatcher.core.routing import RouteFacts, Routes
from dispatcher.core.settings import Settings
from dispatcher.core.wire import decode_sends
from smpp.national import elements, named
from smpp.segments import concat_header, cut, cut_bytes, header
from smpp.text import Encoding

__all__ = ["Book", "Explanation", "Refused", "admit", "decode_sends", "explain"]


class Book:
    """What admission looks things up in: one per process and configuration. Not to be shared between threads."""

    __slots__ = (
        "_default_tariff",
        "_last",
        "express",
        "guards",
        "hash_number",
        "numbers",
        "on_unknown",
        "routes",
        "settings",
        "tariffs",
        "validity_s",
    )

    def __init__(
        self,
        settings: Settings,
        tariffs: TariffBook | Iterable[Tariff],
        routes: Routes | None,
        numbers: NumberBook | None,
        hash_number: Callable[[str], str],
    ) -> None:
        """`tariffs`: all of them, carriers' costs too. Raises ValueError (TariffError) when they or routes do not fit."""
        self.settings = settings
        self.tariffs = tariffs if isinstance(tariffs, TariffBook) else TariffBook(tariffs)
        self.routes = routes or Routes(settings)
        self.numbers = numbers or NumberBook()
        self.hash_number = hash_number
        self.guards = Guards(settings.fraud)
        lanes = settings.lanes
        self.validity_s: tuple[int, ...] = (lanes.validity_otp_s, lanes.validity_transactional_s, lanes.validity_bulk_s)
        names = (lanes.on_unknown_otp, lanes.on_unknown_transactional, lanes.on_unknown_bulk)
        self.on_unknown = tuple(OnUnknown[name.upper()] for name in names)
        costs = {carrier.cost for carrier in settings.carrier}
        self._default_tariff = next((name for name in self.tariffs.names if name not in costs), "")
        self._last: tuple[tuple[str, type[Send], str, bool, bool, int, str], Content] | None = None
        self.express = Express(self)

    def tariff(self, account: Account, now: int) -> Tariff:
        """The tariff an account pays by, in force at `now`: its own, or the first that is no carrier's cost. Raises
        Objection (no_price) when there is none or its currency is not the account's."""
        name = account.tariff or self._default_tariff
        found = self.tariffs.at(name, now)
        if found is None:
            raise Objection(Refusal.NO_PRICE, "account", "the account has no tariff in force; an operator must give it one")
        if found.currency != account.currency:
            why = f"tariff {name} is in {found.currency}, the account in {account.currency}; an operator must give it another"
            raise Objection(Refusal.NO_PRICE, "account", why)
        return found

    def route(self, send: Send, account: Account, to: str, lane: int, sender: str, price: Price) -> RouteFacts:
        """The route that the send asks for, or that matches. Raises Objection (no_route)."""
        route = self.routes.pick(to, LANES[lane], account.name, sender, price.mccmnc, send.route or "")
        if route is None:
            if send.route:
                raise Objection(Refusal.NO_ROUTE, "route", "there is no route of that name; leave it out or correct it")
            raise Objection(Refusal.NO_ROUTE, "to", "no route matches this destination, class, account and sender")
        return route

    def content(self, send: Send, route: RouteFacts) -> Content:
        """What will be sent, cut for `route`. Raises Objection."""
        text = send.text
        if text is None or send.binary is not None or send.udh is not None:
            return binary_content(send, route)
        key = (text, type(send), send.encoding, send.smart, send.flash, send.max_segments, route.name)
        last = self._last
        if last is not None and last[0] == key:
            return last[1]
        found = text_content(send, text, route)
        self._last = (key, found)
        return found


def admit(send: Send, account: Account, book: Book, now: int, id: str) -> Admission | Refused:  # noqa: A002 - the field's name
    """The admission of `send` for `account` at `now` (ms) under the message id `id`, or why not. Raises nothing."""
    admission = book.express.admit(send, account, now, id)
    if admission is not None:
        return admission
    try:
        return judge(send, account, book, now, id)
    except Objection as objection:
        return objection.refused


def judge(send: Send, account: Account, book: Book, now: int, message_id: str) -> Admission:
    """The long way: every rule in its order, and the words for each. Raises Objection."""
    if account.suspended:
        raise Objection(Refusal.SUSPENDED, "account", "the account is suspended; ask its operator")
    if send.account is not None and send.account != account.name:
        raise Objection(Refusal.UNKNOWN_ACCOUNT, "account", "is not the account that was authenticated; leave it out")
    if send.key is not None or send.group is not None or send.ref is not None or send.client_ip is not None:
        rare.check_names(send)
    lane = LANE_BY_NAME[send.lane]
    to = book.numbers.normalise(send.to, account.number_check)
    if not isinstance(to, str):
        raise Objection(Refusal.NUMBER_INVALID, "to", to.detail)
    tariff = book.tariff(account, now)
    price = _price(tariff, to)
    country = book.numbers.country(to)
    _destination(account, book, to, country or price.country)
    sender = _sender(send, account)
    route = book.route(send, account, to, lane, sender, price)
    if not sender and not route.has_sender:
        why = f"neither the account nor every carrier of route {route.name} has a sender; write one"
        raise Objection(Refusal.SENDER_REQUIRED, "from", why)
    if sender and not route.takes(sender, country or price.country):
        raise Objection(Refusal.SENDER_NOT_ALLOWED, "from", f"a carrier of route {route.name} does not take it; write another")
    content = book.content(send, route)
    total = _total(send, content.segments, price)
    start, deadline = _times(send, book, lane, now)
    options = None
    if (
        content.encoding == Encoding.BINARY or start != now or send.flash or send.tlvs
        or send.entity is not None or send.template is not None or content.shift
    ):  # fmt: skip
        options = rare.options_of(send, start if start != now else 0, content.binary, content.udh, content.shift)
    ticket = None
    if send.callback is not None:
        callback = rare.callback_of(send.callback, insecure=book.settings.notices.allow_insecure)
        ticket = Ticket(door="native", account=account.name, to=(to,) if account.show_numbers else (), callback=callback)
    body = Body(
        to,
        content.text,
        sender,
        account.name,
        int(lane),
        route.name,
        int(content.encoding),
        content.segments,
        price.micro,
        tariff.currency,
        tariff.name,
        book.hash_number(to),
        now,
        deadline,
        int(book.on_unknown[lane] if send.on_unknown is None else OnUnknown[send.on_unknown.upper()]),
        send.key or "",
        send.ref or "",
        price.country or country,
        price.mccmnc,
        send.group or "",
        options,
    )
    extras = None
    guard = book.guards.of(account, lane)
    if guard is not None:
        book.guards.check(guard, body.country, now)
        extras = taken(guard, to, body.country, total, message_id)
    if ticket is not None:
        extras = Extras(ticket=ticket) if extras is None else extras._replace(ticket=ticket)
    digest = rare.digest_of(send) if send.key is not None else b""
    return Admission(message_id, body, total, digest, start if start != now else 0, extras)


def _price(tariff: Tariff, to: str) -> Price:
    price = tariff.price(to)
    if price is None:
        raise Objection(Refusal.NO_PRICE, "to", f"tariff {tariff.name} has no price for this destination")
    return price


def _destination(account: Account, book: Book, to: str, country: str) -> None:
    if not country_allowed(account, country):
        why = f"the account may not send to {country or 'numbers of no country'}; an operator may add it"
        raise Objection(Refusal.DESTINATION, "to", why)
    if not account.premium and book.numbers.premium(to):
        why = "a premium, shared-cost, personal or satellite number; an operator may allow the account those"
        raise Objection(Refusal.DESTINATION, "to", why)


def _sender(send: Send, account: Account) -> str:
    """The send's sender or the account's, "" for neither."""
    if send.sender is None:
        return account.sender
    problem = sender_problem(send.sender)
    if problem:
        raise Objection(Refusal.SENDER_INVALID, "from", problem)
    if not sender_allowed(account, send.sender):
        raise Objection(Refusal.SENDER_NOT_ALLOWED, "from", "is not on the account's list of senders; an operator may add it")
    return send.sender


def _total(send: Send, segments: int, price: Price) -> int:
    total = segments * price.micro
    if send.max_price is not None:
        try:
            most = to_micro(send.max_price)
        except MoneyError as error:
            raise Objection(Refusal.OPTION, "max_price", str(error)) from None
        if total > most:
            why = f"{segments} segments cost {to_decimal(total)}, more than {to_decimal(most)}; raise it or shorten the text"
            raise Objection(Refusal.PRICE_TOO_HIGH, "max_price", why)
    if total > MICRO_MAX:
        raise Objection(Refusal.PRICE_TOO_HIGH, "to", f"{segments} segments cost more than {to_decimal(MICRO_MAX)}")
    return total


def _times(send: Send, book: Book, lane: Lane, now: int) -> tuple[int, int]:
    """From when it may be submitted and until when, ms."""
    start = now if send.not_before is None else rare.not_before_ms(send.not_before, now)
    validity_s = send.validity_s
    most = book.settings.lanes.validity_max_s
    if validity_s is None:
        validity_s = min(book.validity_s[lane], most)
    elif not 1 <= validity_s <= most:
        raise Objection(Refusal.VALIDITY, "validity_s", f"{validity_s}; write 1 to {most} seconds")
    return start, start + validity_s * 1000


# -- explaining --------------------------------------------------------------------------------------------------------


class Explanation(msgspec.Struct, kw_only=True):
    """What would become of a send, for `dispatcher explain` and previews; nothing is sent, reserved or kept.

    `segments`: the user data of each in hex, with the concatenation header (reference 0) where there are several. Money
    as decimal strings, times in ms. `national`: tables of a GSM 7-bit text that needs some, like "turkish single".
    `rules`: what was decided and by which rule, in words.
    """

    to: str
    country: str
    mccmnc: str
    lane: str
    sender: str
    text: str
    encoding: str
    national: str
    segments: list[str]
    route: str
    carriers: list[str]
    tariff: str
    prefix: str
    unit_price: str
    price: str
    currency: str
    not_before: int
    deadline_at: int
    on_unknown: str
    rules: list[str]


def explain(send: Send, account: Account, book: Book, now: int) -> Explanation | Refused:
    """What `admit` would decide, and why. Raises nothing."""
    admission = admit(send, account, book, now, "")
    if isinstance(admission, Refused):
        return admission
    body = admission.body
    route = book.routes.facts(body.route)
    price = _price(book.tariff(account, now), body.to)
    return Explanation(
        to=body.to,
        country=body.country,
        mccmnc=body.mccmnc,
        lane=send.lane,
        sender=body.sender,
        text=body.text,
        encoding=Encoding(body.encoding).name.lower(),
        national=named(body.options.shift) if body.options is not None else "",
        segments=[part.hex() for part in _parts(body, route)],
        route=body.route,
        carriers=list(route.carriers),
        tariff=body.tariff,
        prefix=price.prefix,
        unit_price=to_decimal(body.unit_price),
        price=to_decimal(admission.price),
        currency=body.currency,
        not_before=admission.due_at,
        deadline_at=body.deadline_at,
        on_unknown=OnUnknown(body.on_unknown).name.lower(),
        rules=_rules(send, account, body, route, price),
    )


def _parts(body: Body, route: RouteFacts) -> list[bytes]:
    options = body.options
    if options is not None and options.binary:
        own = options.udh
        size = len(own) if body.segments == 1 else len(concat_header(0, 2, 1, route.wide, own))
        parts = cut_bytes(options.binary, size)
    else:
        shift = 0 if options is None else options.shift
        own = header(elements(shift))
        parts = cut(body.text, Encoding(body.encoding), route.wide, shift)
    if len(parts) == 1:
        return [own + parts[0]]
    return [concat_header(0, len(parts), index, route.wide, own) + part for index, part in enumerate(parts, 1)]


def _rules(send: Send, account: Account, body: Body, route: RouteFacts, price: Price) -> list[str]:
    encoding = Encoding(body.encoding)
    rules = [f"number check {account.number_check}"]
    rules.append(f"price by prefix {price.prefix or '(everything else)'} of tariff {body.tariff}")
    rules.append(f"route {route.name} by the send" if send.route else f"route {route.name} by its match")
    if not body.sender:
        rules.append("sender of the carrier chosen at the claim")
    elif send.sender is None:
        rules.append("sender of the account")
    if send.encoding != "auto":
        rules.append(f"encoding {encoding.name.lower()} by the send")
    elif encoding in route.common:
        rules.append(f"encoding {encoding.name.lower()}: the narrowest that every carrier of the route takes")
    else:
        rules.append(f"encoding {encoding.name.lower()}: only some carriers of the route take it, the others are not eligible")
    if body.options is not None and body.options.shift:
        rules.append(f"national tables {named(body.options.shift)}: every carrier of the route hands them through")
    if body.text != (send.text or ""):
        rules.append("smart: transliterated, which saves segments")
    if body.segments > 1:
        rules.append(f"cut for {'16' if route.wide else '8'}-bit references")
    if send.validity_s is None:
        rules.append(f"validity of the class {send.lane}")
    return rules
