"""What a route's carriers allow, and what a text becomes for it: national tables, ASCII, flash, senders."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.admission import Book, Explanation, admit, explain
from dispatcher.core.customer import Account
from dispatcher.core.model import PlainSend, Refusal, Send
from dispatcher.core.ports import Admission
from dispatcher.core.refusal import Refused
from dispatcher.core.settings import Bind, Carrier, Group, Quirks, Route, Senders, Settings, Weighted
from smpp.national import Language, shift_of
from smpp.text import Encoding
from tests.dispatcher.core.test_admission import HASH, TARIFF

NOW = 1_750_000_000_000
TO = "+22238000000"
ACCOUNT = Account(name="acme", currency="EUR", sender="ACME")
TURKISH = "Işık ğüşiöç " * 10
"""120 characters: two segments in UCS-2, one with the Turkish locking table."""


def book(*carriers: Carrier) -> Book:
    """One route over these carriers."""
    group = Group(carriers=tuple(Weighted(name=carrier.name) for carrier in carriers))
    return Book(Settings(carrier=carriers, route=(Route(name="all", group=(group,)),)), [TARIFF], None, None, HASH)


def carrier(name: str = "one", *, senders: tuple[Senders, ...] = (), **quirks: Any) -> Carrier:
    """With these quirks."""
    return Carrier(name=name, bind=(Bind(host="h", system_id="u"),), senders=senders, quirks=Quirks(**quirks))


def judged(a_book: Book, text: str, kind: type[Send] = Send, **fields: Any) -> tuple[Encoding, int, int] | Refusal:
    """Encoding, segments and shift; or the reason."""
    found = admit(kind(to=TO, text=text, **fields), ACCOUNT, a_book, NOW, "ID")
    if isinstance(found, Refused):
        return found.reason
    assert isinstance(found, Admission)
    options = found.body.options
    return Encoding(found.body.encoding), found.body.segments, 0 if options is None else options.shift


BOTH = ("turkish", "hindi")


def test_national_tables_when_they_save_segments() -> None:
    """One segment for two; not where UCS-2 takes as few, not where GSM 7-bit holds the text."""
    one = book(carrier(national=BOTH))
    assert judged(one, TURKISH) == (Encoding.GSM7, 1, shift_of(Language.TURKISH, 0))
    assert judged(one, "ğüş") == (Encoding.UCS2, 1, 0)
    assert judged(one, "x" * 200) == (Encoding.GSM7, 2, 0)
    assert judged(one, "Ж" * 80) == (Encoding.UCS2, 2, 0)


def test_single_shift_where_it_is_shorter() -> None:
    """The locking table has no ì: what needs it keeps the default alphabet, with two septets for each Turkish letter."""
    assert judged(book(carrier(national=BOTH)), "ì" * 80 + "ğ") == (Encoding.GSM7, 1, shift_of(0, Language.TURKISH))


def test_every_carrier_of_the_route_must_allow_it() -> None:
    """One that does not is enough."""
    assert judged(book(carrier("a", national=BOTH), carrier("b")), TURKISH) == (Encoding.UCS2, 2, 0)
    mixed = book(carrier("a", national=BOTH), carrier("b", national=("turkish",)))
    assert judged(mixed, TURKISH) == (Encoding.GSM7, 1, 0x0100)


def test_the_five_apis_keep_to_two_alphabets() -> None:
    """No tables and no Latin-1 for those who were promised 160/153 and 70/67."""
    assert judged(book(carrier(national=BOTH)), TURKISH, PlainSend) == (Encoding.UCS2, 2, 0)
    latin = book(carrier(encodings=("latin1", "ucs2")))
    assert judged(latin, "é" * 100) == (Encoding.LATIN1, 1, 0)
    assert judged(latin, "é" * 100, PlainSend) == (Encoding.UCS2, 2, 0)


def test_lossless_before_transliterated() -> None:
    """`smart` gives up letters only when that saves segments."""
    assert judged(book(carrier(national=BOTH)), TURKISH, smart=True) == (Encoding.GSM7, 1, 0x0100)
    assert judged(book(carrier()), TURKISH, smart=True) == (Encoding.GSM7, 1, 0)


def test_wide_headers_leave_less_room() -> None:
    """148 septets a part with one table and a 16-bit reference, 149 with 8 bits."""
    for text, narrow, wide in (("ğ" * 298, 2, 3), ("ğ" * 296, 2, 2)):
        assert judged(book(carrier(national=BOTH)), text)[1] == narrow  # type: ignore[index]
        assert judged(book(carrier(national=BOTH, concat="udh16")), text)[1] == wide  # type: ignore[index]


def test_ascii_beside_gsm() -> None:
    """A route of both takes what both alphabets have as one; the rest goes as UCS-2."""
    mixed = book(carrier("a"), carrier("b", encodings=("ascii", "ucs2")))
    assert judged(mixed, "x[" * 70) == (Encoding.ASCII, 2, 0)
    assert judged(mixed, "é") == (Encoding.UCS2, 1, 0)
    assert judged(mixed, "`") == (Encoding.UCS2, 1, 0)


def test_flash_is_never_latin1() -> None:
    """The classes of 23.038 have no Latin-1."""
    latin = book(carrier(encodings=("latin1", "ucs2")))
    assert judged(latin, "é", flash=True) == (Encoding.UCS2, 1, 0)
    assert judged(latin, "é", flash=True, encoding="latin1") == Refusal.ENCODING


@pytest.mark.parametrize(("sender", "fine"), [("Shop", True), ("Old", True), ("Other", False), ("+4412345678", False)])
def test_senders_that_a_carrier_takes(sender: str, fine: bool) -> None:
    """Allowed or replaced; anything else is refused at the door, also when only one carrier of the route refuses it."""
    rules = (Senders(country=("DE",)), Senders(allow=("Shop",), replace={"Old": "Shop"}))
    found = judged(book(carrier("a"), carrier("b", senders=rules)), "x", sender=sender)
    assert (found == Refusal.SENDER_NOT_ALLOWED) != fine


def test_otherwise_takes_all() -> None:
    """A sender of last resort."""
    assert judged(book(carrier(senders=(Senders(allow=("Shop",), otherwise="INFO"),))), "x", sender="Other")[1] == 1  # type: ignore[index]


def test_an_at_sign_ends_the_field_in_gsm() -> None:
    """Quirk 39."""
    assert judged(book(carrier(sender_alphabet="gsm7")), "x", sender="me@home") == Refusal.SENDER_NOT_ALLOWED
    assert judged(book(carrier()), "x", sender="me@home") == (Encoding.GSM7, 1, 0)


def test_explained() -> None:
    """Table, header and rule are shown."""
    found = explain(Send(to=TO, text=TURKISH), ACCOUNT, book(carrier(national=BOTH)), NOW)
    assert isinstance(found, Explanation)
    assert (found.encoding, found.national) == ("gsm7", "turkish locking")
    assert found.segments[0].startswith("03250101")
    assert "national tables turkish locking: every carrier of the route hands them through" in found.rules
