"""Whose a handset's message is, which words it says, and what follows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dispatcher.core.inbox import WORDS, Desk, OptChange, Piece, first_word, folded, forms_of, handset_number, joined
from dispatcher.core.model import INBOUND_COLUMNS, InboundRow
from dispatcher.core.numbers import NumberBook
from dispatcher.core.settings import Settings


def desk(*inbound: dict[str, Any], **inbox: Any) -> Desk:
    """A desk; a number's only hash is `h` and the number."""
    return Desk(msgspec.convert({"inbound": inbound, "inbox": inbox}, Settings), lambda number: [f"h{number}"])


def row(text: str | None = "hello", to: str = "4321", carrier: str = "mattel") -> InboundRow:
    """A message."""
    return InboundRow("i1", "22236000001", to, text, None, carrier, 1, 0)


def entry(number: str = "4321", account: str = "acme", **more: Any) -> dict[str, Any]:
    """An [[inbound]]."""
    return {"number": number, "account": account} | more


def test_the_most_exact_entry_counts() -> None:
    """Whole number, longer beginning, keyword, carrier: in this order; nobody's where none fits."""
    here = desk(
        entry("*", "all"),
        entry("22246*", "region"),
        entry("2224600*", "town"),
        entry("22246000001", "one"),
        entry("4321", "code"),
        entry("4321", "shop", keyword="Shop"),
        entry("4321", "shop-chinguitel", keyword="SHOP", carrier="chinguitel"),
    )
    cases = {
        ("hello", "999", "mattel"): "all",
        ("hello", "22246999999", "mattel"): "region",
        ("hello", "22246009999", "mattel"): "town",
        ("hello", "22246000001", "mattel"): "one",
        ("hello", "4321", "mattel"): "code",
        ("shop: two pairs", "4321", "mattel"): "shop",
        ("SHOP", "4321", "chinguitel"): "shop-chinguitel",
        ("shopping", "4321", "mattel"): "code",
    }
    for (text, to, carrier), account in cases.items():
        received, _ = here.receive(row(text, to, carrier))
        assert received.row.account == account, (text, to, carrier)
    received, found = desk(entry("4322")).receive(row())
    assert (received.row.account, found) == ("", None)
    assert desk(entry("Acme")).receive(row(to="ACME"))[0].row.account == "acme"


@pytest.mark.parametrize("word", sorted({w for words in WORDS.values() for each in words.values() for w in each}))
def test_every_word_is_known_in_any_case_and_with_marks_around(word: str) -> None:
    """Of all languages."""
    kind = next(k for k, words in WORDS.items() if any(word in each for each in words.values()))
    here = desk(entry())
    for text in (word, word.lower(), f" {word.capitalize()}!\n", f'"{word}".'):
        assert here.receive(row(text))[0].row.word == kind


@pytest.mark.parametrize(
    "text", ["", "Stop by the shop", "please stop", "STOPS", "don't stop", "HELP me now", "S T O P", None, "x" * 5000]
)
def test_other_texts_are_no_words(text: str | None) -> None:
    """A word is the whole message."""
    received, _ = desk(entry()).receive(row(text))
    assert (received.row.word, list(received.changes)) == ("", [])


def test_stop_and_start_concern_all_senders_or_those_named() -> None:
    """Without `senders` any sender of the account; with them the number itself and these."""
    (change,) = desk(entry()).receive(row("Stop"))[0].changes
    assert change == OptChange("acme", "", "h22236000001", True)
    changes = desk(entry(senders=["SHOP", "4321"])).receive(row("START"))[0].changes
    assert changes == [OptChange("acme", sender, "h22236000001", False) for sender in ("4321", "SHOP")]
    assert desk(entry()).receive(row("help"))[0].changes == []
    assert desk().receive(row("stop"))[0].changes == []


def test_stop_on_a_shared_code() -> None:
    """With a keyword behind it, for its account; alone, for the entry without keyword, or else for all of the number's."""
    shared = (entry(keyword="SHOP"), entry(account="bank", keyword="BANK"))
    received, _ = desk(*shared).receive(row("stop bank"))
    assert (received.row.account, received.row.keyword, received.row.word) == ("bank", "BANK", "stop")
    assert [change.account for change in received.changes] == ["bank"]
    received, _ = desk(*shared).receive(row("stop"))
    assert received.row.account == ""
    assert sorted(change.account for change in received.changes) == ["acme", "bank"]
    received, _ = desk(*shared, entry(account="owner")).receive(row("stop"))
    assert [change.account for change in received.changes] == ["owner"]
    assert desk(*shared).receive(row("help"))[0].changes == []
    assert desk(*shared).receive(row("stop nobody"))[0].row.word == ""


def test_a_languages_words_can_be_others() -> None:
    """They stand instead of ours for that language; the other languages stay."""
    here = desk(entry(), stop={"fr": ["BASTA"], "wo": ["TAXAW"]})
    assert [here.receive(row(t))[0].row.word for t in ("basta", "taxaw", "ARRET", "stop")] == ["stop", "stop", "", "stop"]


def test_partial_messages_say_no_word() -> None:
    """A part that says STOP is not a message that says STOP."""
    part = Piece("mattel", "22236000001", "4321", "udh8", 1, 2, 1, "gsm7", b"STOP", 0)
    received, _ = desk(entry()).receive(joined("i1", [part], 0))
    assert (received.row.word, received.row.parts, received.row.total, list(received.changes)) == ("", 1, 2, [])


def test_binary_parts_join_without_their_headers() -> None:
    """In their order."""
    parts = [Piece("m", "1", "2", "sar", 1, 2, n, "", bytes([n]), 0) for n in (2, 1)]
    made = joined("i1", parts, 0)
    assert (made.text, made.binary, made.parts, made.reference) == (None, b"\x01\x02", 2, 1)


@pytest.mark.parametrize(
    ("address", "ton", "code", "number"),
    [
        ("+22236000001", 1, "", "22236000001"),
        ("0022236000001", 0, "222", "22236000001"),
        ("36000001", 2, "222", "22236000001"),
        ("036000001", 0, "222", "22236000001"),
        ("36000001", 2, "", "36000001"),
        ("22236000001", 1, "222", "22236000001"),
        (" Acme ", 5, "222", "Acme"),
        ("", 0, "222", ""),
    ],
)
def test_handset_numbers(address: str, ton: int, code: str, number: str) -> None:
    """One form for what carriers write in several."""
    assert handset_number(address, ton, code) == number


def test_forms_of_a_number() -> None:
    """As it is, and canonical where that differs; what is no number has one form."""
    book = NumberBook()
    assert forms_of("22236000001", book) == ["22236000001"]
    assert forms_of("4321", book) == ["4321"]
    assert forms_of("4402079460000", book) == ["4402079460000", "442079460000"]


def test_names_show_no_number_and_tell_messages_apart() -> None:
    """A name is a hash of all that parts share; a digest of what they do not."""
    first = Piece("m", "22236000001", "4321", "udh8", 1, 3, 1, "gsm7", b"a", 0)
    assert "36000001" not in first.name
    changed = {"carrier": "n", "sender": "2", "to": "5", "way": "sar", "reference": 2, "total": 4}
    for name, value in changed.items():
        assert msgspec.structs.replace(first, **{name: value}).name != first.name
    for name, value in {"index": 2, "data": b"b", "alphabet": ""}.items():
        other = msgspec.structs.replace(first, **{name: value})
        assert (other.name == first.name, other.digest == first.digest) == (True, False)
    assert msgspec.structs.replace(first, at=9).digest == first.digest


def test_words_as_they_are_compared() -> None:
    """One case, one form, single blanks."""
    assert folded("  ＳＴＯＰ\tAll!! ") == "stop all"
    assert folded("Arre\u0302t") == folded("ARRÊT")
    assert first_word("Shop, please") == "shop"
    assert first_word(None) == first_word("...") == ""
    assert INBOUND_COLUMNS.split(",")[8:] == ["total", "account", "keyword", "word", "reference"]
