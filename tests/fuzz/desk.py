"""What must hold where the dispatcher itself reads a carrier's or a handset's words, for any text: ids, causes, STOP words.

Each function takes one input and raises AssertionError, or whatever should not have been raised. It refuses to know where
inputs come from.
"""

from __future__ import annotations

from typing import get_args

import msgspec

from dispatcher.core.inbox import WORDS, Desk, Piece, first_word, folded, handset_number, joined
from dispatcher.core.matching import (
    CAUSES,
    GSM_CAUSES,
    Form,
    answer_key,
    cause_of,
    forms_of,
    park,
    receipt_keys,
    told_id,
    unpark,
)
from dispatcher.core.model import InboundRow
from dispatcher.core.settings import Settings
from smpp.receipts import Receipt
from tests.fuzz import seeds

FORMS: tuple[Form, ...] = get_args(Form)
ID_CHARS_MAX = 64
_KNOWN = {"", *CAUSES.values(), *GSM_CAUSES.values()}


def ids(data: bytes) -> None:
    """An id in any form of writing has keys of bounded length; as it is it finds itself; a cause is one of ours or none."""
    carrier_id = data[:ID_CHARS_MAX].decode("latin-1")
    for form in FORMS:
        key, keys = answer_key(form, carrier_id), receipt_keys(form, carrier_id)
        assert all(len(each) <= 80 for each in (key, *keys))  # 64 hex digits are 78 decimal ones
        assert len(set(keys)) == len(keys) <= 3
        assert bool(keys) == bool(told_id(carrier_id))
    same = receipt_keys("as_is", carrier_id)
    assert same in {(), (answer_key("as_is", carrier_id),)}
    assert set(same) <= set(receipt_keys("auto", carrier_id))
    assert set(forms_of(carrier_id)) <= set(FORMS)
    code = data[:32].decode("latin-1")
    assert cause_of(code, data[-3:], {}) in _KNOWN
    parked = unpark(park(Receipt(carrier_id, "DELIVRD", code, data[:3]), same, 1))
    assert (parked.keys, parked.code, parked.network_error) == (same, code, data[:3])


def ids_seeds() -> list[bytes]:
    """Ids and codes of the golden files."""
    kinds = {"id", "answered", "receipted", "code"}
    own = [b"", b"0", b"ffFF", b"0x1f", b"a" * 64, b"9" * 64, b"-0-", "\u00b2".encode("latin-1"), b" 7 "]
    return own + [text.encode("latin-1", "replace") for key, text in seeds.golden() if key in kinds]


_ENTRIES = [
    {"number": "4321", "account": "acme"},
    {"number": "4321", "account": "shop", "keyword": "Shop"},
    {"number": "2224600*", "account": "town", "senders": ["Acme"]},
    {"number": "99", "account": "one", "keyword": "win"},
    {"number": "99", "account": "two", "keyword": "vote"},
]
_DESK = Desk(msgspec.convert({"inbound": _ENTRIES}, Settings), lambda number: [f"h{number}"])
_NUMBERS = ("4321", "22246001", "99", "", "Acme")
_ACCOUNTS = {"", "acme", "shop", "town", "one", "two"}


def handsets(data: bytes) -> None:
    """Any text to any number is a row of one account or none, with a word of ours or none; opt-outs only from such a word."""
    which = data[0] if data else 0
    text = data[1:].decode("utf-8", "replace")
    pieces = [Piece("alpha", "491", "4321", "udh8", 7, 2, 2 - at, "latin-1", data[at::2], at) for at in (0, 1)]
    assert pieces[0].name == pieces[1].name
    assert joined("i1", pieces, 1).text == (data[1::2] + data[0::2]).decode("latin-1")
    row = InboundRow("i1", handset_number(text[:20], which % 7, "222"), _NUMBERS[which % 5], text, None, "alpha", 1, 0)
    received, entry = _DESK.receive(row)
    assert row.account in _ACCOUNTS
    assert (entry is not None) == bool(row.account)
    assert row.word in {"", *WORDS}
    assert bool(received.changes) <= (row.word in {"stop", "start"})
    assert all(change.account in _ACCOUNTS for change in received.changes)
    assert not first_word(text) or folded(text[:160]).startswith(first_word(text))


def handsets_seeds() -> list[bytes]:
    """Every word, alone and with a keyword."""
    words = [word for kinds in WORDS.values() for each in kinds.values() for word in each]
    return [
        bytes((number,)) + text.encode() for number in range(3) for word in words for text in (word, f"{word.lower()} shop.")
    ]
