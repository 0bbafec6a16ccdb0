"""The ledger's facts."""

from __future__ import annotations

import enum

import msgspec


class Kind(enum.StrEnum):
    """What a fact does."""

    RESERVE = "reserve"
    VOID = "void"
    POST = "post"
    REFUND = "refund"
    COST = "cost"
    CREDIT = "credit"
    ADJUST = "adjust"


class Fact(msgspec.Struct, array_like=True):
    """One money fact, a row of the charges stream. `amount` and `unit_price`: micro-units, negative only for adjust."""

    fact: str
    id: str
    account: str
    segment: int
    of: int
    kind: str
    amount: int
    currency: str
    unit_price: int
    tariff: str
    carrier: str
    carrier_id: str
    country: str
    mccmnc: str
    sender: str
    to: str
    attempt: int
    at: int


COLUMNS = ",".join(Fact.__struct_fields__)
