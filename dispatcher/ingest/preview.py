"""What would become of a send, with nothing written, reserved or counted.

This module refuses to decide anything: it shows admission's own explanation in the words of the API.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dispatcher.core.admission import Refused, explain
from dispatcher.core.model import Send
from dispatcher.ingest.door import Caller, Door
from dispatcher.ingest.problems import Problem
from dispatcher.ingest.views import moment


class Preview(msgspec.Struct, kw_only=True):
    """How the message would go. `parts`: each segment's user data in hex, header included (none for otp, whose text no
    view shows). `national`: the tables of a gsm7 text that needs some ("turkish single"), else empty. `carriers`: any of them
    may be chosen when it is sent. Prices are decimal, `price` is the total. Nothing is submitted after `deadline_at`. An empty
    `from` means the chosen carrier's own sender. `rules`: why so, in words."""

    to: str
    encoding: str
    national: str
    segments: int
    parts: Sequence[str]
    route: str
    carriers: Sequence[str]
    sender: str = msgspec.field(name="from")
    lane: str = msgspec.field(name="class")
    country: str
    mccmnc: str
    tariff: str
    unit_price: str
    price: str
    currency: str
    not_before: str
    deadline_at: str
    on_unknown: str
    rules: Sequence[str]


def preview(door: Door, send: Send, caller: Caller) -> Preview:
    """The preview. Raises Problem as the send itself would, money and key aside."""
    if send.account is not None and send.account != caller.account.name:
        raise Problem("account_mismatch", "$.account: is not the account of the API key")
    now = door.clock.now_ms()
    found = explain(send, caller.account, door.book, now)
    if isinstance(found, Refused):
        raise door.objection(found, send, caller.account, now)
    return Preview(
        to=found.to,
        encoding=found.encoding,
        national=found.national,
        segments=len(found.segments),
        parts=found.segments if found.lane != "otp" else (),
        route=found.route,
        carriers=found.carriers,
        sender=found.sender,
        lane=found.lane,
        country=found.country,
        mccmnc=found.mccmnc,
        tariff=found.tariff,
        unit_price=found.unit_price,
        price=found.price,
        currency=found.currency,
        not_before=moment(found.not_before),
        deadline_at=moment(found.deadline_at),
        on_unknown=found.on_unknown,
        rules=found.rules,
    )
