"""The short way through admission is the long way, only shorter: on any sends, in any order, at any time."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from accounting.tariff import Price, Tariff
from dispatcher.core.admission import Book, Refused, admit, judge
from dispatcher.core.customer import Account
from dispatcher.core.express import TERMS_MAX
from dispatcher.core.hashing import NumberHash
from dispatcher.core.model import Send
from dispatcher.core.numbers import NumberBook
from dispatcher.core.ports import Admission
from dispatcher.core.refusal import Objection
from dispatcher.core.settings import Bind, Carrier, Group, Match, Quirks, Route, Settings, Weighted

NOW = 1_795_000_000_000
CHANGE = NOW + 1000
BIND = (Bind(host="localhost", system_id="us"),)


def carrier(name: str, sender: str = "", **quirks: Any) -> Carrier:
    """A carrier with these quirks."""
    return Carrier(name=name, bind=BIND, sender=sender, quirks=Quirks(**quirks))


def route(name: str, *carriers: str, **match: Any) -> Route:
    """A route with one group."""
    return Route(name=name, match=Match(**match), group=(Group(carriers=tuple(Weighted(name=c) for c in carriers)),))


CARRIERS = (carrier("full"), carrier("wide", "WIDE", concat="udh16"), carrier("old", encodings=("latin1", "ucs2")))
ROUTES = (
    (route("broad", "full", "wide"),),
    (route("home", "full", prefix=("222",)), route("west", "old", "full", mcc_mnc=("60901",)), route("rest", "wide")),
    (route("mr", "wide", mcc_mnc=("60901",)), route("one", "old", lane=("otp",)), route("acme", "full", account=("acme",))),
    (route("named", "old", sender=("Shop",)),),
)
TARIFFS = (
    Tariff("std", "EUR", {"222": Price(10_000, "MR", "60901", "222"), "44": Price(35_000, "", "", "44")}),
    Tariff("std", "EUR", {"": Price(7, "", "", "")}, valid_from=CHANGE),
    Tariff("later", "EUR", {"": Price(2**62, "", "", "")}, valid_from=CHANGE),
    Tariff("usd", "USD", {"": Price(1, "", "", "")}),
)
ACCOUNTS = (
    Account(name="acme", currency="EUR", sender="ACME"),
    Account(name="bare", currency="EUR", number_check="valid"),
    Account(name="shape", currency="EUR", tariff="later", sender="x", number_check="shape"),
    Account(name="gone", currency="EUR", suspended=True),
    Account(name="poor", currency="EUR", tariff="usd"),
    Account(name="acme", currency="USD", tariff="usd", sender="Other"),
    Account(name="acme", currency="EUR", senders=("Shop",), countries=("MR", "GB"), spend_cap=10**9, sender="ACME"),
    Account(name="pumped", currency="EUR", velocity=((60, 2),), velocity_country=((3600, 9),), feedback=True),
    Account(name="dear", currency="EUR", premium=True, velocity_account=((60, 1000),), number_check="shape"),
)
PAUSED = {"pumped:MR": CHANGE, "acme:MR": NOW}
NUMBERS = (
    "+22238000000",
    "22238000000",
    "447911123456",
    "+447624123456",
    "4407911123456",
    "12025550123",
    "447012345678",
    "449012345678",
    "881612345678",
    "222",
    "0",
    "999999999999",
)
TEXTS = (
    "hello",
    "x" * 160,
    "x" * 306,
    "x" * 305 + "€",
    "x" * 161,
    "€" * 80,
    "€" * 81,
    "ж",
    "é" * 71,
    "",
    "\ud83d",
    "a`b",
    "a" * 1600,
)
RARE: dict[str, st.SearchStrategy[Any]] = {
    "binary": st.sampled_from(["", "AAEC"]),
    "udh": st.just("AQA="),
    "key": st.sampled_from(["k1", "k 1", ""]),
    "account": st.sampled_from(["acme", "bare", ""]),
    "smart": st.booleans(),
    "flash": st.booleans(),
    "validity_s": st.sampled_from([0, 1, 600, 604_800, 604_801]),
    "not_before": st.sampled_from([0, NOW, NOW + 5000, "soon"]),
    "max_segments": st.sampled_from([0, 1, 2, 255, 256]),
    "max_price": st.sampled_from(["0.01", "0", "x"]),
    "on_unknown": st.sampled_from(["resend", "hold"]),
    "route": st.sampled_from(["broad", "west", "named", "nowhere"]),
    "tlvs": st.just({"0x1400": "x"}),
    "entity": st.just("e"),
    "template": st.just("t"),
    "ref": st.sampled_from(["r", "r" * 257]),
    "group": st.sampled_from(["g1", "g 1"]),
    "client_ip": st.sampled_from(["127.0.0.1", "here"]),
    "callback": st.just({"url": "https://example.com"}),
    "encoding": st.sampled_from(["gsm7", "ucs2", "latin1", "binary"]),
    "sender": st.sampled_from(["Shop", "", "12", "Shop with a long name"]),
    "lane": st.sampled_from(["otp", "bulk"]),
}


@st.composite
def sends(draw: st.DrawFn) -> Send:
    """A send with a few fields beside number and text: any, or those that choose routes."""
    names = draw(st.lists(st.sampled_from(sorted(RARE)), max_size=2, unique=True))
    names += draw(st.lists(st.sampled_from(["sender", "lane", "flash", "max_segments"]), max_size=1))
    fields = {name: draw(RARE[name]) for name in names}
    text = draw(st.sampled_from(TEXTS) | st.none()) if draw(st.integers(0, 3)) == 0 else draw(st.sampled_from(TEXTS[:4]))
    return Send(to=draw(st.sampled_from(NUMBERS)), text=text, **fields)


NUMBER_BOOK = NumberBook()


def book(routes: tuple[Route, ...]) -> Book:
    """A book over these routes."""
    return Book(Settings(carrier=CARRIERS, route=routes), TARIFFS, None, NUMBER_BOOK, NumberHash(b"k" * 32))


def the_long_way(send: Send, account: Account, by: Book, now: int) -> Admission | Refused:
    """What the rules say, each asked in its order."""
    try:
        return judge(send, account, by, now, "ID")
    except Objection as objection:
        return objection.refused


BOOKS = [book(routes) for routes in ROUTES]
OTHERS = [book(routes) for routes in ROUTES]
for each in (*BOOKS, *OTHERS):
    each.guards.paused = PAUSED
TURNS = st.lists(
    st.tuples(
        sends(),
        st.sampled_from(ACCOUNTS * 2 + ACCOUNTS[:2] * 6 + ACCOUNTS[-3:] * 3),
        st.sampled_from([NOW, CHANGE - 1, CHANGE]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=400, deadline=None)
@given(which=st.integers(0, len(ROUTES) - 1), turns=TURNS)
@example(which=0, turns=[(Send(to=NUMBERS[0], text="hi"), ACCOUNTS[0], now) for now in (NOW, CHANGE, NOW)])
@example(
    which=0,
    turns=[(Send(to=to, text="hi", lane="otp", sender="Shop"), ACCOUNTS[-2], now) for to in NUMBERS for now in (NOW, CHANGE)],
)
@example(
    which=0,
    turns=[(Send(to=to, text="hi", sender=name), ACCOUNTS[-3], NOW) for to in NUMBERS for name in ("Other", "Shop", "ACME")],
)
def test_the_short_way_says_what_the_long_way_says(which: int, turns: list[tuple[Send, Account, int]]) -> None:
    """Every verdict of `admit`, by a book that has seen other sends before, is the long way's by a book that takes no other."""
    for send, account, now in turns:
        assert admit(send, account, BOOKS[which], now, "ID") == the_long_way(send, account, OTHERS[which], now)


def test_the_last_cut_reaches_no_other_send() -> None:
    """The same text by a route with the short header and by one with the long, with room for as many segments and for fewer."""
    routes = (route("home", "full", prefix=("44",)), route("rest", "wide"))
    by, other, seen = book(routes), book(routes), set()
    for text in ("x" * 306, "x" * 306, "x" * 305 + "€", "x" * 160, "x" * 161, "€" * 77, "x" * 307):
        for most in (1, 2, 3, 2, 1, 3):
            for to in ("447911123456", "22238000000", "447911123456", "22238000000", "22238000000"):
                send = Send(to=to, text=text, max_segments=most)
                found = admit(send, ACCOUNTS[0], by, NOW, "ID")
                assert found == the_long_way(send, ACCOUNTS[0], other, NOW), (text, most, to)
                seen.add((found.body.route, found.body.segments) if isinstance(found, Admission) else found.reason)
    assert {("home", 2), ("rest", 3), ("rest", 2), ("home", 1), "text_too_long"} <= seen


def test_plain_sends_take_the_short_way() -> None:
    """Else the speed is gone: with key, reference, several segments, another encoding, a route by prefix."""
    for by in BOOKS[:2]:
        the_long_way(Send(to=NUMBERS[0], text="hi"), ACCOUNTS[0], by, NOW)  # the first number of its country is on the long way
        for fields in ({}, {"key": "k"}, {"ref": "r"}, {"text": "x" * 400}, {"text": "ж"}, {"validity_s": 60}, {"lane": "otp"}):
            send = Send(**{"to": NUMBERS[0], "text": "hi", **fields})  # type: ignore[arg-type]
            assert isinstance(by.express.admit(send, ACCOUNTS[0], NOW, "ID"), Admission), fields


def test_guarded_sends_take_the_short_way_too() -> None:
    """One-time passwords, and accounts with lists and limits of their own: what is to be counted goes with the admission."""
    by = BOOKS[0]
    for account, fields, takes in (
        (ACCOUNTS[0], {"lane": "otp"}, ["velocity"]),
        (ACCOUNTS[-3], {"sender": "Shop"}, ["spend_cap"]),
        (ACCOUNTS[-2], {"to": "447911123456", "lane": "otp", "sender": "Shop"}, ["velocity", "velocity"]),
        (ACCOUNTS[-1], {"sender": "Shop"}, ["velocity"]),
    ):
        send = Send(**{"to": NUMBERS[0], "text": "hi", **fields})  # type: ignore[arg-type]
        NUMBER_BOOK.country(send.to)  # the first number of its country is on the long way
        found = by.express.admit(send, account, NOW, "ID")
        assert found is not None, (account.name, fields)
        assert found.extras is not None
        assert [take.reason for take in found.extras.takes] == takes


def test_terms_are_bounded() -> None:
    """I15: however many senders an account makes up, so many terms are kept at most."""
    by = book(ROUTES[0])
    for number in range(TERMS_MAX + 10):
        assert isinstance(admit(Send(to=NUMBERS[0], text="hi", sender=f"S{number}"), ACCOUNTS[0], by, NOW, "ID"), Admission)
    assert len(by.express._terms) <= TERMS_MAX
