"""core/admission.py: every reason to refuse, at its limit; and what an accepted send becomes."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from accounting.money import MICRO_MAX
from accounting.tariff import Price, Tariff, from_dict, parse_csv
from dispatcher.core import options as rare
from dispatcher.core.admission import Book, Explanation, Refused, admit, explain
from dispatcher.core.customer import Account
from dispatcher.core.front import Callback, Extras, Ticket
from dispatcher.core.hashing import NumberHash
from dispatcher.core.model import Lane, OnUnknown, Options, Refusal, Send
from dispatcher.core.policies import sender_problem
from dispatcher.core.ports import Admission
from dispatcher.core.settings import Bind, Carrier, Group, Lanes, Match, Quirks, Route, Settings, Weighted
from smpp.text import Encoding

NOW = 1_795_000_000_000
TO = "+22238000000"
BIND = (Bind(host="localhost", system_id="us"),)
ACCOUNT = Account(name="acme", currency="EUR", sender="ACME")
TARIFF = parse_csv("prefix,price,country,mccmnc\n222,0.01,MR,60901\n44,0.035\n", name="std", currency="EUR", source="std.csv")
HASH = NumberHash(b"k" * 32)


def carrier(name: str, sender: str = "", **quirks: Any) -> Carrier:
    """A carrier with these quirks."""
    return Carrier(name=name, bind=BIND, sender=sender, quirks=Quirks(**quirks))


def route(name: str, *carriers: str, **match: Any) -> Route:
    """A route with one group."""
    return Route(name=name, match=Match(**match), group=(Group(carriers=tuple(Weighted(name=c) for c in carriers)),))


SETTINGS = Settings(
    carrier=(
        carrier("full"),
        carrier("wide", "WIDE", concat="udh16"),
        carrier("plain", "PLAIN", encodings=("gsm7",)),
        carrier("old", encodings=("latin1", "gsm7")),
    ),
    route=(
        route("home", "full", prefix=("222",)),
        route("broad", "full", "wide"),
        route("mixed", "full", "plain"),
        route("narrow", "plain", "wide", sender=("none",)),
        route("gsm", "plain", sender=("none",)),
        route("west", "old", sender=("none",)),
    ),
)
BOOK = Book(SETTINGS, [TARIFF], None, None, HASH)


def judged(book: Book = BOOK, account: Account = ACCOUNT, now: int = NOW, **fields: Any) -> Admission | Refused:
    """Admission's word on a plain text with these fields."""
    given = {"to": TO, **fields}
    if "text" not in given and "binary" not in given:
        given["text"] = "hello"
    return admit(Send(**given), account, book, now, "ID")


def accepted(book: Book = BOOK, account: Account = ACCOUNT, now: int = NOW, **fields: Any) -> Admission:
    """The same, which must be yes."""
    found = judged(book, account, now, **fields)
    assert isinstance(found, Admission), found
    return found


def refused(book: Book = BOOK, account: Account = ACCOUNT, now: int = NOW, **fields: Any) -> tuple[Refusal, str]:
    """The same, which must be no, with words to it."""
    found = judged(book, account, now, **fields)
    assert isinstance(found, Refused), found
    assert found.detail
    return found.reason, found.field


def b64(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


# -- what an accepted send becomes


def test_a_plain_send() -> None:
    """Every column of the body, the price and no idempotency without a key."""
    found = accepted(text="hello", ref="r1")
    assert msgspec.structs.asdict(found.body) == {
        "to": "22238000000",
        "text": "hello",
        "sender": "ACME",
        "account": "acme",
        "lane": Lane.TRANSACTIONAL,
        "route": "home",
        "encoding": Encoding.GSM7,
        "segments": 1,
        "unit_price": 10_000,
        "currency": "EUR",
        "tariff": "std",
        "to_hash": HASH("22238000000"),
        "accepted_at": NOW,
        "deadline_at": NOW + 86_400_000,
        "on_unknown": OnUnknown.RESEND,
        "key": "",
        "ref": "r1",
        "country": "MR",
        "mccmnc": "60901",
        "group": "",
        "options": None,
    }
    assert (found.id, found.price, found.digest, found.due_at) == ("ID", 10_000, b"", 0)


def test_rare_fields_go_to_options() -> None:
    """Octets, TLVs by number, instants in ms."""
    found = accepted(
        binary=b64(b"\1\2"),
        udh=b64(b"\x02\x70\x00"),
        flash=True,
        tlvs={"0x1402": "0x0aFF", "source_port": "text"},
        not_before=NOW + 5,
        entity="E",
        template="T",
        validity_s=60,
    )
    assert found.body.options == Options(
        binary=b"\1\2",
        udh=b"\x02\x70\x00",
        flash=True,
        tlvs={0x1402: b"\x0a\xff", 0x020A: b"text"},
        not_before=NOW + 5,
        entity="E",
        template="T",
    )
    assert (found.due_at, found.body.deadline_at) == (NOW + 5, NOW + 60_005)
    assert (found.body.encoding, found.body.segments, found.body.text) == (Encoding.BINARY, 1, "")


def test_a_callback_goes_to_the_ticket() -> None:
    """It is needed after the final state, which erases the body."""
    found = accepted(callback={"url": "https://example.net/x", "secret": "s", "events": "final"})
    callback = Callback(url="https://example.net/x", secret="s", events="final")
    assert found.body.options is None
    assert found.extras == Extras(ticket=Ticket(door="native", account=found.body.account, callback=callback))
    assert accepted().extras is None


@pytest.mark.parametrize(
    ("lane", "validity_s", "policy"), [("otp", 600, "RESEND"), ("transactional", 86_400, "RESEND"), ("bulk", 172_800, "HOLD")]
)
def test_defaults_of_the_class(lane: str, validity_s: int, policy: str) -> None:
    """Validity and doubt policy follow the class, and the send may say otherwise."""
    body = accepted(lane=lane).body
    assert (body.deadline_at, body.on_unknown) == (NOW + validity_s * 1000, OnUnknown[policy])
    assert accepted(lane=lane, on_unknown="hold").body.on_unknown == OnUnknown.HOLD
    assert accepted(lane=lane, on_unknown="resend").body.on_unknown == OnUnknown.RESEND


def test_the_digest_is_of_what_was_asked() -> None:
    """Same fields, same digest, whoever asked from where and in whatever order; any other field changes it."""
    base = accepted(key="k", tlvs={"0x1402": "a", "0x1403": "b"}).digest
    assert len(base) == 16
    assert base == accepted(key="k", tlvs={"0x1403": "b", "0x1402": "a"}, client_ip="192.0.2.1").digest
    assert base == accepted(now=NOW + 1, key="k", tlvs={"0x1402": "a", "0x1403": "b"}, lane="transactional").digest
    assert base != accepted(key="k", tlvs={"0x1402": "a"}).digest
    assert base != accepted(key="k", tlvs={"0x1402": "a", "0x1403": "b"}, text="hullo").digest
    named = admit(
        Send(to=TO, text="hello", account="acme", key="k", tlvs={"0x1402": "a", "0x1403": "b"}), ACCOUNT, BOOK, NOW, "ID"
    )
    assert isinstance(named, Admission)
    assert base == named.digest


def test_the_country_is_the_tariffs_or_the_numbers() -> None:
    """Where the tariff says none, the numbering plan does."""
    assert (accepted(to="+447911123456").body.country, accepted(to="+447911123456").body.mccmnc) == ("GG", "")


def test_the_remembered_cut_is_of_the_same_send() -> None:
    """The same text again, under another route, encoding, smart or limit, is judged anew."""
    text = "Zażółć"
    assert accepted(text=text).body.encoding == Encoding.UCS2
    assert accepted(text="x" * 40).body.encoding == Encoding.GSM7
    assert accepted(text="x" * 40, encoding="ucs2").body.encoding == Encoding.UCS2
    assert refused(text=text, route="gsm") == (Refusal.ENCODING, "text")
    long = "ż" * 71
    assert (accepted(text=long).body.encoding, accepted(text=long).body.segments) == (Encoding.UCS2, 2)
    assert (accepted(text=long, smart=True).body.encoding, accepted(text=long, smart=True).body.text) == (
        Encoding.GSM7,
        "z" * 71,
    )
    assert refused(text=long, max_segments=1) == (Refusal.TEXT_TOO_LONG, "text")


def test_the_encoding_that_every_carrier_takes_comes_first() -> None:
    """Only a text that none of those can hold leaves carriers out."""
    assert accepted(text="hello", route="mixed").body.encoding == Encoding.GSM7
    assert accepted(text="привет", route="mixed").body.encoding == Encoding.UCS2
    assert refused(text="привет", route="gsm") == (Refusal.ENCODING, "text")
    assert refused(text="привет", route="west") == (Refusal.ENCODING, "text")


def test_the_cut_is_for_the_widest_header() -> None:
    """306 characters are two parts with 8-bit references and three with 16-bit ones: 304 still fit."""
    assert [accepted(text="x" * n, route="home").body.segments for n in (305, 306, 161)] == [2, 2, 2]
    assert [accepted(text="x" * n, route="broad").body.segments for n in (304, 305, 306)] == [2, 3, 3]


def test_smart_only_when_it_saves_segments() -> None:
    """A short text keeps its letters."""
    assert accepted(text="ż", smart=True).body.text == "ż"
    assert accepted(text="ż" * 71).body.text == "ż" * 71


def test_binary_parts() -> None:
    """140 octets alone, then 134 each (133 on a route with a 16-bit header)."""
    assert [accepted(binary=b64(b"x" * n)).body.segments for n in (139, 140, 141, 268, 269)] == [1, 1, 2, 2, 3]
    assert accepted(binary=b64(b"x" * 267), route="broad").body.segments == 3


# -- reasons, each at its limit


def test_account_and_suspension() -> None:
    """A suspended account sends nothing; another account's name is refused, its own is not."""
    assert refused(account=msgspec.structs.replace(ACCOUNT, suspended=True)) == (Refusal.SUSPENDED, "account")
    other = admit(Send(to=TO, text="x", account="beta"), ACCOUNT, BOOK, NOW, "ID")
    assert isinstance(other, Refused)
    assert other[:2] == (Refusal.UNKNOWN_ACCOUNT, "account")
    assert isinstance(admit(Send(to=TO, text="x", account="acme"), ACCOUNT, BOOK, NOW, "ID"), Admission)


def test_number() -> None:
    """The account's check decides; the detail does not show the number."""
    assert refused(to="0022238000000") == (Refusal.NUMBER_INVALID, "to")
    wrong = judged(to="+2223800000")
    assert isinstance(wrong, Refused)
    assert "2223800000" not in wrong.detail
    accepted(to="+2223800000", account=msgspec.structs.replace(ACCOUNT, number_check="shape"))


def test_text_empty() -> None:
    """Nothing to send: no text, an empty one, no octets. One character is a text."""
    assert refused(text="") == (Refusal.TEXT_EMPTY, "text")
    assert refused(text=None) == (Refusal.TEXT_EMPTY, "text")
    assert refused(binary="") == (Refusal.TEXT_EMPTY, "binary")
    accepted(text=" ")


@pytest.mark.parametrize(("segments", "limit", "below"), [(1, 160, 159), (2, 306, 305), (10, 1530, 1529)])
def test_text_too_long(segments: int, limit: int, below: int) -> None:
    """Limit - 1, limit, limit + 1 characters for 1, 2 and 10 segments."""
    assert [segments] * 2 == [accepted(text="x" * n, max_segments=segments).body.segments for n in (below, limit)]
    assert refused(text="x" * (limit + 1), max_segments=segments) == (Refusal.TEXT_TOO_LONG, "text")
    assert refused(text="x" * 10_000_000, max_segments=segments) == (Refusal.TEXT_TOO_LONG, "text")


def test_max_segments_itself() -> None:
    """1 to 255."""
    for most, fine in [(0, False), (1, True), (2, True), (254, True), (255, True), (256, False)]:
        assert isinstance(judged(max_segments=most), Admission) == fine
    assert refused(max_segments=0) == (Refusal.OPTION, "max_segments")


def test_binary_too_long() -> None:
    """By segments; a header of the sender's own takes its room in each, one that says which part this is allows only one."""
    assert accepted(binary=b64(b"x" * 268), max_segments=2).body.segments == 2
    assert refused(binary=b64(b"x" * 269), max_segments=2) == (Refusal.TEXT_TOO_LONG, "text")
    udh = b64(b"\2\x70\0")
    assert [accepted(binary=b64(b"x" * n), udh=udh).body.segments for n in (136, 137, 138, 264, 265)] == [1, 1, 2, 2, 3]
    part = b64(b"\5\0\3\1\2\1")
    for octets, fine in [(133, True), (134, True), (135, False)]:
        assert isinstance(judged(binary=b64(b"x" * octets), udh=part), Admission) == fine
    assert refused(binary=b64(b"x" * 135), udh=part) == (Refusal.TEXT_TOO_LONG, "binary")
    assert refused(binary=b64(b"x" * 20), udh=b64(bytes((134, 0x70, 132)) + bytes(132))) == (Refusal.TEXT_TOO_LONG, "udh")


@pytest.mark.parametrize("text", ["\ud83d", "a\udc00", "\udc00\ud83d"])
def test_text_invalid(text: str) -> None:
    """Half a surrogate pair can be sent in no encoding."""
    assert refused(text=text) == (Refusal.TEXT_INVALID, "text")
    accepted(text="\U0001f600")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": "привет", "encoding": "gsm7"}, "text"),
        ({"text": "€", "encoding": "latin1"}, "text"),
        ({"text": "x", "encoding": "binary"}, "encoding"),
        ({"text": "x", "encoding": "ucs2", "route": "gsm"}, "encoding"),
        ({"binary": "AQ==", "encoding": "gsm7"}, "encoding"),
        ({"binary": "AQ==", "route": "gsm"}, "binary"),
    ],
)
def test_encoding_impossible(fields: dict[str, Any], field: str) -> None:
    """The text does not fit, or no carrier takes it."""
    assert (Refusal.ENCODING, field) == refused(**fields)


@pytest.mark.parametrize(
    ("sender", "fine"),
    [
        ("A", True),
        ("A" * 10, True),
        ("A" * 11, True),
        ("A" * 12, False),
        ("12", False),
        ("123", True),
        ("1234", True),
        ("1" * 14, True),
        ("1" * 15, True),
        ("1" * 16, False),
        ("+22238000000", True),
        ("", False),
        ("+", True),
        (" A", False),
        ("A ", False),
        ("A\nB", False),
        ("Müller", True),
        ("Δ", False),
        ("Ключ", False),
        ("{}{}{}", False),
        ("{}{}{", True),
        ("A`", False),
    ],
)
def test_senders(sender: str, fine: bool) -> None:
    """1-11 GSM characters or 3-15 digits, at limit - 1, limit, limit + 1."""
    assert fine == (sender_problem(sender) == "")
    assert (
        refused(sender=sender) == (Refusal.SENDER_INVALID, "from")
        if not fine
        else accepted(sender=sender).body.sender == sender
    )


def test_sender_required() -> None:
    """The send's, else the account's, else that of the carrier if all of the route have one, else a refusal."""
    bare = msgspec.structs.replace(ACCOUNT, sender="")
    assert accepted(account=bare, sender="SHOP").body.sender == "SHOP"
    assert accepted(account=bare, route="narrow").body.sender == ""
    assert refused(account=bare, route="mixed") == (Refusal.SENDER_REQUIRED, "from")
    assert refused(account=bare) == (Refusal.SENDER_REQUIRED, "from")


def test_no_route() -> None:
    """An unknown one by name, or none that matches."""
    assert refused(route="nowhere") == (Refusal.NO_ROUTE, "route")
    book = Book(msgspec.structs.replace(SETTINGS, route=SETTINGS.route[:1]), [TARIFF], None, None, HASH)
    assert refused(book, to="+447911123456") == (Refusal.NO_ROUTE, "to")


def test_no_price() -> None:
    """No prefix, no tariff, not yet in force, another currency; a carrier's cost is nobody's price."""
    assert refused(to="+33612345678") == (Refusal.NO_PRICE, "to")
    assert refused(account=msgspec.structs.replace(ACCOUNT, tariff="other")) == (Refusal.NO_PRICE, "account")
    assert refused(account=msgspec.structs.replace(ACCOUNT, currency="USD")) == (Refusal.NO_PRICE, "account")
    later = Tariff("std", "EUR", TARIFF.prices, NOW)
    book = Book(SETTINGS, [later], None, None, HASH)
    assert refused(book, now=NOW - 1) == (Refusal.NO_PRICE, "account")
    accepted(book, now=NOW)
    cost = from_dict({"": "0.001"}, name="cost", currency="EUR", source="x")
    carriers = tuple(msgspec.structs.replace(c, cost="cost") for c in SETTINGS.carrier)
    both = Book(msgspec.structs.replace(SETTINGS, carrier=carriers), [cost, TARIFF], None, None, HASH)
    assert accepted(both).body.tariff == "std"


def test_price_too_high() -> None:
    """max_price - one micro-unit, exactly, and more; and what cannot be kept exactly."""
    assert refused(max_price="0.009999") == (Refusal.PRICE_TOO_HIGH, "max_price")
    accepted(max_price="0.01")
    accepted(max_price="0.010001")
    assert refused(max_price="1 EUR") == (Refusal.OPTION, "max_price")
    for micro, fine in [(MICRO_MAX // 2, True), (MICRO_MAX // 2 + 1, False)]:
        book = Book(SETTINGS, [Tariff("std", "EUR", {"": Price(micro, "", "", "")})], None, None, HASH)
        assert isinstance(judged(book, text="x" * 161), Admission) == fine


def test_validity() -> None:
    """1 second to the configured most."""
    for seconds, fine in [(0, False), (1, True), (2, True), (604_799, True), (604_800, True), (604_801, False)]:
        assert isinstance(judged(validity_s=seconds), Admission) == fine
    assert refused(validity_s=0) == (Refusal.VALIDITY, "validity_s")
    short = Book(msgspec.structs.replace(SETTINGS, lanes=Lanes(validity_max_s=300)), [TARIFF], None, None, HASH)
    assert accepted(short).body.deadline_at == NOW + 300_000


def test_not_before() -> None:
    """Up to 35 days ahead and a day past, which is now; milliseconds or RFC 3339 with a zone."""
    ahead, past = rare.NOT_BEFORE_MAX_MS, rare.NOT_BEFORE_PAST_MAX_MS
    for at, fine in [(ahead - 1, True), (ahead, True), (ahead + 1, False), (1 - past, True), (-past, True), (-past - 1, False)]:
        assert isinstance(judged(not_before=NOW + at), Admission) == fine
    assert (accepted(not_before=NOW).due_at, accepted(not_before=NOW + 1).due_at) == (0, NOW + 1)
    assert accepted(not_before=NOW - 5).body.options is None
    assert NOW == 1_795_000_000_000
    assert accepted(not_before="2026-11-18T11:07:40Z", now=NOW).due_at == NOW + 60_000
    assert accepted(not_before="2026-11-18T12:07:40+01:00", now=NOW).due_at == NOW + 60_000
    for text in ("tomorrow", "2026-11-18T11:07:40", "", "9999999999999"):
        assert refused(not_before=text) == (Refusal.NOT_BEFORE, "not_before")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"key": ""}, "key"),
        ({"key": "x" * 65}, "key"),
        ({"key": "a b"}, "key"),
        ({"key": "ключ"}, "key"),
        ({"group": "x" * 65}, "group"),
        ({"ref": "x" * 257}, "ref"),
        ({"ref": "\ud800"}, "ref"),
        ({"client_ip": "localhost"}, "client_ip"),
        ({"udh": "AgAA"}, "udh"),
        ({"binary": "AQ==", "text": "x"}, "binary"),
        ({"binary": "AQ"}, "binary"),
        ({"binary": "é"}, "binary"),
        ({"binary": "AQ==", "udh": ""}, "udh"),
        ({"binary": "AQ==", "udh": b64(b"\x03\0\0")}, "udh"),
        ({"entity": ""}, "entity"),
        ({"entity": "x" * 65}, "entity"),
        ({"template": "é"}, "template"),
        ({"entity": "1", "tlvs": {"0x1400": "1"}}, "entity"),
        ({"tlvs": {"colour": "1"}}, "tlvs"),
        ({"tlvs": {"0x0424": "1"}}, "tlvs"),
        ({"tlvs": {"message_payload": "1"}}, "tlvs"),
        ({"tlvs": {"0x0": "1"}}, "tlvs"),
        ({"tlvs": {"0x14000": "1"}}, "tlvs"),
        ({"tlvs": {"0x1400": "1", "0X1400": "2"}}, "tlvs"),
        ({"tlvs": {"0x1402": "0xf"}}, "tlvs"),
        ({"tlvs": {"0x1402": "\ud800"}}, "tlvs"),
        ({"tlvs": {"0x1402": "x" * 255}}, "tlvs"),
        ({"tlvs": {f"0x{0x1500 + n:x}": "1" for n in range(17)}}, "tlvs"),
        ({"callback": {}}, "callback"),
        ({"callback": {"url": "ftp://x"}}, "callback"),
        ({"callback": {"url": "http://x"}}, "callback"),
        ({"callback": {"url": "https://"}}, "callback"),
        ({"callback": {"url": "https://x:0"}}, "callback"),
        ({"callback": {"url": "https://x:65536"}}, "callback"),
        ({"callback": {"url": "https://x:y"}}, "callback"),
        ({"callback": {"url": "https://x/\x00"}}, "callback"),
        ({"callback": {"url": "https://x/\r\nHost: y"}}, "callback"),
        ({"callback": {"url": "https://x/#part"}}, "callback"),
        ({"callback": {"url": "https://bücher.example/"}}, "callback"),
        ({"callback": {"url": "https://[::1"}}, "callback"),
        ({"callback": {"url": "https://[fe80::1%25eth0]/"}}, "callback"),
        ({"callback": {"url": "https://x", "secret": "one\ntwo"}}, "callback"),
        ({"callback": {"url": "https://user:pw@x/"}}, "callback"),
        ({"callback": {"url": "https://x/" + "y" * 2039}}, "callback"),
        ({"callback": {"url": 5}}, "callback"),
        ({"callback": {"url": "https://x", "secret": "s" * 257}}, "callback"),
        ({"callback": {"url": "https://x", "events": "some"}}, "callback"),
        ({"callback": {"url": "https://x", "events": []}}, "callback"),
        ({"callback": {"url": "https://x", "colour": 1}}, "callback"),
    ],
)
def test_option_invalid(fields: dict[str, Any], field: str) -> None:
    """One past the limit, or not of the form."""
    assert (Refusal.OPTION, field) == refused(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"key": "x" * 63},
        {"key": "x" * 64},
        {"key": "aZ0._:-"},
        {"group": "x" * 64},
        {"ref": "x" * 255},
        {"ref": "é" * 256},
        {"client_ip": "192.0.2.1"},
        {"client_ip": "2001:db8::1"},
        {"entity": "x" * 64},
        {"template": "x" * 63},
        {"tlvs": {"0x1402": "x" * 253}},
        {"tlvs": {"0x1402": "x" * 254}},
        {"tlvs": {f"0x{0x1500 + n:x}": "1" for n in range(15)}},
        {"tlvs": {f"0x{0x1500 + n:x}": "1" for n in range(16)}},
        {"callback": {"url": "https://x/" + "y" * 2038}},
        {"callback": {"url": "https://x", "secret": "s" * 256}},
        {"callback": {"url": "https://x:65535/a?b=c", "secret": "whsec_AAAA"}},
        {"callback": {"url": "https://[2001:db8::1]:8443"}},
    ],
)
def test_options_up_to_their_limits(fields: dict[str, Any]) -> None:
    """Limit - 1 and limit are fine."""
    accepted(**fields)


def test_no_detail_gives_anything_away() -> None:
    """Whatever is refused: number, text and secret are not in the detail (P7)."""
    secrets = {"to": "+2223800000", "text": "Your code is 7351 привет"}
    for fields in (
        {**secrets},
        {**secrets, "to": TO, "encoding": "gsm7"},
        {**secrets, "to": TO, "text": "7351" * 500},
        {"callback": {"url": "7351", "secret": "7351"}},
        {"callback": {"url": "https://x", "secret": "7351" * 90}},
        {"tlvs": {"0x1402": "7351" * 90}},
        {"key": "7351 "},
        {"sender": "7351" * 5},
    ):
        found = judged(**fields)
        assert isinstance(found, Refused)
        assert "7351" not in found.detail
        assert "2223800000" not in found.detail


# -- explaining


def test_explain_shows_what_would_be_sent() -> None:
    """Bytes with their headers, route, carriers, price, and the rules in words."""
    found = explain(Send(to=TO, text="ж" * 71), ACCOUNT, BOOK, NOW)
    assert isinstance(found, Explanation)
    assert (found.to, found.encoding, found.route, found.carriers) == ("22238000000", "ucs2", "home", ["full"])
    assert found.segments == ["050003000201" + "0436" * 67, "050003000202" + "0436" * 4]
    assert (found.unit_price, found.price, found.currency, found.prefix) == ("0.01", "0.02", "EUR", "222")
    assert "price by prefix 222 of tariff std" in found.rules
    assert "sender of the account" in found.rules


def test_explain_of_binary_and_of_a_refusal() -> None:
    """Octets behind their own header; and the same refusal that admission gives."""
    found = explain(Send(to=TO, binary="AQI=", udh=b64(b"\2\x70\0")), ACCOUNT, BOOK, NOW)
    assert isinstance(found, Explanation)
    assert found.segments == ["0270000102"]
    send = Send(to=TO, text="")
    assert admit(send, ACCOUNT, BOOK, NOW, "") == explain(send, ACCOUNT, BOOK, NOW)
