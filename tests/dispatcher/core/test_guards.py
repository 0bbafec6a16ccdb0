"""core/guards.py: what a send takes, what is refused, and when codes that nobody uses are paused."""

from __future__ import annotations

from typing import Any

import pytest

from accounting.tariff import Price, Tariff
from dispatcher.core.admission import Book, Refused, admit
from dispatcher.core.customer import Account
from dispatcher.core.door_settings import Fraud
from dispatcher.core.front import Code, Conversion, Extras, Take, Ticket
from dispatcher.core.guards import SAMPLES, Conversions, with_door
from dispatcher.core.hashing import NumberHash
from dispatcher.core.model import Refusal, Send
from dispatcher.core.numbers import NumberBook
from dispatcher.core.ports import Admission
from dispatcher.core.settings import Bind, Carrier, Group, Route, Settings, Weighted

NOW = 1_795_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DEFAULT = ((60, 30), (3600, 100), (86_400, 500))
PRINTED = (
    "1234567890",
    "22238089336",
    "22238089337",
    "254701234567",
    "254712345678",
    "123456789",
    "123556789",
    "231235433",
    "4471235433",
    "1871235433",
    "2347015272",
    "447882892",
    "964750123456",
    "2348012345678",
)
"""Every number that the five source documents print, as the dialects hand them in."""


def book(**fraud: Any) -> Book:
    """A price and a route for every number."""
    carrier = Carrier(name="one", bind=(Bind(host="localhost", system_id="us"),), sender="Info")
    route = Route(name="all", group=(Group(carriers=(Weighted(name="one"),)),))
    settings = Settings(carrier=(carrier,), route=(route,), fraud=Fraud(**fraud))
    tariffs = [Tariff("std", "EUR", {"": Price(35_000, "", "", "")})]
    return Book(settings, tariffs, None, NumberBook(), NumberHash(b"k" * 32))


BOOK = book()


def account(**more: Any) -> Account:
    """An account as the dialects use it."""
    return Account(name="acme", currency="EUR", number_check="shape", **more)


def asked(to: str, who: Account, by: Book = BOOK, **send: Any) -> Admission | Refused:
    """Admission's verdict."""
    return admit(Send(to=to, text="hi", **send), who, by, NOW, "ID")


def takes(found: Admission | Refused) -> list[Take]:
    """What an admitted send takes."""
    assert isinstance(found, Admission), found
    return [] if found.extras is None else list(found.extras.takes)


@pytest.mark.parametrize("number", PRINTED)
@pytest.mark.parametrize("lane", ["otp", "transactional", "bulk"])
def test_no_number_of_the_source_documents_is_refused(number: str, lane: str) -> None:
    """By an account without settings of its own: guards are on by default, and every printed example goes through."""
    assert isinstance(asked(number, account(), lane=lane), Admission)


@pytest.mark.parametrize(
    "number",
    [
        "449012345678",  # premium rate
        "448431234567",  # shared cost
        "447012345678",  # personal, sold with a share of the call
        "19002345678",
        "33892123456",
        "870773111632",
        "878101234567",
        "881612345678",
        "882161234567",
        "883510012345",
        "888123456789",
        "979123456789",
    ],
)
def test_premium_and_satellite_ranges_are_refused_unless_allowed(number: str) -> None:
    """With the reason at the number; allowed, they are numbers as any other."""
    found = asked(number, account())
    assert isinstance(found, Refused)
    assert (found.reason, found.field) == (Refusal.DESTINATION, "to")
    assert number not in found.detail
    assert isinstance(asked(number, account(premium=True)), Admission)


@pytest.mark.parametrize(
    ("number", "fine"),
    [("22238089336", True), ("447400123456", True), ("254701234567", False), ("1234567890", False), ("12025550123", False)],
)
def test_only_the_accounts_countries(number: str, fine: bool) -> None:
    """A number of another country, or of none, is refused where the account has a list."""
    found = asked(number, account(countries=("MR", "GB")))
    if fine:
        assert isinstance(found, Admission)
    else:
        assert isinstance(found, Refused)
        assert found.reason is Refusal.DESTINATION


def test_the_number_itself_says_its_country() -> None:
    """A tariff that prices all of +1 as US does not let an account that may send to US send to the Caribbean."""
    tariffs = [Tariff("std", "EUR", {"1": Price(1, "US", "", "1")})]
    by = Book(BOOK.settings, tariffs, None, NumberBook(), NumberHash(b"k" * 32))
    assert isinstance(asked("12025550123", account(countries=("US",)), by), Admission)
    assert isinstance(asked("18764567890", account(countries=("US",)), by), Refused)
    unassigned = asked("1234567890", account(countries=("US",)), by)
    assert isinstance(unassigned, Admission)
    assert unassigned.body.country == "US"


def test_an_unpriced_country_is_refused() -> None:
    """An empty list means every country with a price."""
    by = Book(
        BOOK.settings, [Tariff("std", "EUR", {"222": Price(1, "MR", "", "222")})], None, NumberBook(), NumberHash(b"k" * 32)
    )
    found = asked("254701234567", account(), by)
    assert isinstance(found, Refused)
    assert found.reason is Refusal.NO_PRICE


@pytest.mark.parametrize(("sender", "fine"), [("Shop", True), ("ACME", True), (None, True), ("shop", False), ("Other", False)])
def test_only_the_accounts_senders(sender: str | None, fine: bool) -> None:
    """Those on its list and its own; naming none is always possible."""
    found = asked("22238089336", account(sender="ACME", senders=("Shop", "Info")), sender=sender)
    assert isinstance(found, Admission) == fine
    if isinstance(found, Refused):
        assert (found.reason, found.field) == (Refusal.SENDER_NOT_ALLOWED, "from")


def test_codes_are_counted_by_range_and_nothing_else_is() -> None:
    """Minute, hour and day of one account, class and 7-digit prefix; the other classes only where it is set."""
    assert takes(asked("22238089336", account(), lane="otp")) == [Take("velocity:acme:otp:2223808", DEFAULT, "ID", "velocity")]
    assert takes(asked("22238089336", account())) == takes(asked("22238089336", account(), lane="bulk")) == []
    other = book(velocity_otp=(0, 0, 0), velocity_bulk=(0, 7, 0))
    assert takes(asked("22238089336", account(), other, lane="otp")) == []
    assert takes(asked("22238089336", account(), other, lane="bulk")) == [
        Take("velocity:acme:bulk:2223808", ((3600, 7),), "ID", "velocity")
    ]


def test_an_accounts_own_limits() -> None:
    """Its velocity stands in for the configuration's, in every class; country, account and money only where it has them."""
    own = ((60, 5),)
    who = account(velocity=own, velocity_account=((60, 50),), velocity_country=((60, 20),), spend_cap=1_000_000)
    for lane in ("otp", "bulk"):
        assert takes(asked("22238089336", who, lane=lane)) == [
            Take(f"velocity:acme:{lane}:2223808", own, "ID", "velocity"),
            Take("country:acme:MR", ((60, 20),), "ID", "velocity"),
            Take("account:acme", ((60, 50),), "ID", "velocity"),
            Take("spend:acme", ((86_400, 1_000_000),), "ID", "spend_cap", 35_000),
        ]


def test_what_a_door_adds() -> None:
    """Its limits come first, for their answers are documented; a code of ours counts as asked for, another only for
    accounts that report what was used."""
    plain = asked("22238089336", account(), lane="otp")
    reporting = asked("22238089336", account(feedback=True), lane="otp")
    assert isinstance(plain, Admission)
    assert isinstance(reporting, Admission)
    assert plain.extras is not None
    assert reporting.extras is not None
    assert (plain.extras.conversion, reporting.extras.conversion) == ("", "acme:MR")
    ticket, code, take = Ticket(door="d", account="acme"), Code("s", b"", 3, NOW), Take("otp:x", ((60, 3),), "ID", "limit")
    with_code = with_door(plain, ticket, code, (take,)).extras
    assert with_code == Extras(ticket, code, (take, *plain.extras.takes), "acme:MR")
    assert with_door(plain, ticket).extras == Extras(ticket, None, plain.extras.takes, "")
    bare = asked("22238089336", account())
    assert isinstance(bare, Admission)
    assert with_door(bare, ticket).extras == Extras(ticket)


def test_paused_codes() -> None:
    """Of this account into this country, of the class otp, until then; it says when it may be tried again."""
    by = book()
    by.guards.paused = {"acme:MR": NOW + 5000}
    for _ in range(2):  # on the long way, and after it
        found = asked("22238089336", account(), by, lane="otp")
        assert isinstance(found, Refused)
        assert (found.reason, found.retry_after_ms) == (Refusal.CONVERSION, 5000)
        assert isinstance(asked("22238089336", account(), by), Admission)
        assert isinstance(asked("447911123456", account(), by, lane="otp"), Admission)
        assert isinstance(asked("22238089336", Account(name="other", currency="EUR"), by, lane="otp"), Admission)
    by.guards.paused = {"acme:MR": NOW}
    assert isinstance(asked("22238089336", account(), by, lane="otp"), Admission)


# -- conversion


class Days:
    """Counts over time, judged every ten seconds."""

    def __init__(self, **fraud: Any) -> None:
        self.judge = Conversions(Fraud(**fraud)).judge
        self.now = NOW
        self.counts: dict[str, Conversion] = {}
        self.paused: dict[str, int] = {}

    def after(self, seconds: float, **counts: tuple[int, int]) -> tuple[list[str], list[str]]:
        """What is low and what is to be paused after so long with these counts."""
        self.counts = {name.replace("_", ":"): Conversion(*pair) for name, pair in counts.items()}
        found = self.judge(self.counts, self.paused, self.now)
        for _ in range(int(seconds // 10)):
            self.now += 10_000
            found = self.judge(self.counts, self.paused, self.now)
        return found.low, found.pause


@pytest.mark.parametrize(
    ("sent", "used", "low", "pause"),
    [
        (99, 0, False, False),
        (100, 30, False, False),
        (100, 29, True, False),
        (100, 10, True, False),
        (100, 9, True, True),
        (5000, 0, True, True),
    ],
)
def test_too_few_used(sent: int, used: int, low: bool, pause: bool) -> None:
    """Below 30 % it is an alert, below 10 % it is paused, and fewer than a hundred are not judged."""
    found = Days().after(700, a_MR=(sent, used), a_FR=(1000, 900))
    assert found == (["a:MR"] * low, ["a:MR"] * pause)


def test_a_rush_is_not_judged_before_its_codes_could_be_used() -> None:
    """A thousand codes in a minute, none of them entered yet, are no fraud; ten minutes later they are."""
    days = Days()
    assert days.after(1200, a_MR=(10, 8)) == ([], [])
    assert days.after(590, a_MR=(1010, 8)) == ([], [])
    assert days.after(40, a_MR=(1010, 8)) == (["a:MR"], ["a:MR"])
    assert days.after(0, a_MR=(1010, 600)) == ([], [])


def test_a_process_that_has_just_begun_judges_nothing() -> None:
    """It does not know how old the codes are."""
    assert Days().after(590, a_MR=(1000, 0)) == ([], [])


def test_what_was_paused_begins_anew() -> None:
    """While paused it is not judged again; afterwards only by codes sent since, and after their grace."""
    days = Days()
    assert days.after(610, a_MR=(1000, 0)) == (["a:MR"], ["a:MR"])
    days.paused = {"a:MR": NOW + HOUR_MS}
    assert days.after(60, a_MR=(0, 0)) == ([], [])
    days.paused = {}
    assert days.after(300, a_MR=(500, 0)) == ([], [])
    assert days.after(310 + 60, a_MR=(500, 0)) == (["a:MR"], ["a:MR"])


def test_memory_of_earlier_counts_is_bounded() -> None:
    """However often it is asked."""
    conversions = Conversions(Fraud())
    for n in range(1000):
        conversions.judge({"a:MR": Conversion(n, n)}, {}, NOW + n * 5000)
    assert len(conversions._samples) <= SAMPLES + 2


@pytest.mark.parametrize("setting", ["conversion_alert", "conversion_pause"])
def test_zero_switches_it_off(setting: str) -> None:
    """Neither alert nor pause."""
    low, pause = Days(**{setting: 0.0}).after(700, a_MR=(1000, 0))
    assert (low if setting == "conversion_alert" else pause) == []
