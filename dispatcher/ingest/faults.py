"""Everything that admission has against a send, where admission itself stops at the first thing.

This module refuses to know any rule of admission. It puts something harmless in the place of the field that was refused
and asks again, until nothing new is said. So a caller mends a send in one round instead of five; only refused sends pay.
"""

from __future__ import annotations

import msgspec

from dispatcher.core.admission import Book, Refused, admit
from dispatcher.core.customer import Account
from dispatcher.core.model import LANE_BY_NAME, Refusal, Send
from dispatcher.core.refusal import Objection

ROUNDS_MAX = 8
_WHOLE = frozenset({Refusal.SUSPENDED, Refusal.UNKNOWN_ACCOUNT})
"""Refusals after which nothing about the send itself matters."""
_DEFAULTS = {f.encode_name: (f.name, f.default) for f in msgspec.structs.fields(Send) if not f.required}
_HARMLESS = {"text": "x", "from": "x", "tlvs": {}}


def every_refusal(first: Refused, send: Send, account: Account, book: Book, now: int) -> list[Refused]:
    """`first` and what is said after it, at most one refusal a field. `send` stays as it is."""
    found = [first]
    seen = {first.field}
    last = first
    for _ in range(ROUNDS_MAX):
        if last.reason in _WHOLE:
            break
        mended = _mended(send, last.field, account, book, now)
        if mended is None:
            break
        send, account = mended
        verdict = admit(send, account, book, now, "")
        if not isinstance(verdict, Refused) or verdict.field in seen:
            break
        found.append(verdict)
        seen.add(verdict.field)
        last = verdict
    return found


def _mended(send: Send, field: str, account: Account, book: Book, now: int) -> tuple[Send, Account] | None:
    """The send with something harmless in `field`; None when there is nothing of that kind."""
    if field == "to":
        number = _somewhere(send, account, book, now)
        if number is None:
            return None
        anywhere = msgspec.structs.replace(account, number_check="shape", countries=(), premium=True)
        return msgspec.structs.replace(send, to=number), anywhere
    if field not in _DEFAULTS:
        return None
    name, default = _DEFAULTS[field]
    if field == "from":
        account = msgspec.structs.replace(account, senders=())
    return msgspec.structs.replace(send, **{name: _HARMLESS.get(field, default)}), account


def _somewhere(send: Send, account: Account, book: Book, now: int) -> str | None:
    """A number of nobody's that has a price and a route."""
    try:
        tariff = book.tariff(account, now)
    except Objection:
        return None
    for prefix in tariff.prices:
        number = (prefix or "1").ljust(11, "0")
        if book.routes.pick(number, LANE_BY_NAME[send.lane], account.name, send.sender or account.sender) is not None:
            return number
    return None
