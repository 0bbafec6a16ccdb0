"""Facts for tests: short to write, right unless a test makes them wrong."""

from __future__ import annotations

from accounting.ledger import Fact, fact_id


def fact(kind: str, amount: int, id: str = "M1", segment: int = 0, attempt: int = 0, **other: object) -> Fact:  # noqa: A002
    """A fact of account acme in EUR at 10 a segment, of two segments, unless `other` says otherwise."""
    values: dict[str, object] = {
        "fact": fact_id(id, segment, attempt, kind),
        "id": id,
        "account": "acme",
        "segment": segment,
        "of": 2,
        "kind": kind,
        "amount": amount,
        "currency": "EUR",
        "unit_price": 10,
        "tariff": "std",
        "carrier": "",
        "carrier_id": "",
        "country": "MR",
        "mccmnc": "",
        "sender": "ACME",
        "to": "0123456789abcdef",
        "attempt": attempt,
        "at": 1,
    }
    return Fact(**{**values, **other})  # type: ignore[arg-type]


def credit(amount: int, id: str = "C1", **other: object) -> Fact:  # noqa: A002
    """Money put in (or corrected, where negative)."""
    return fact("credit" if amount >= 0 else "adjust", amount, id, of=0, unit_price=0, **other)


def life() -> list[Fact]:
    """A credit of 100; M1: two segments, one delivered at the second attempt, one posted and refunded; M2: voided."""
    return [
        credit(100),
        fact("reserve", 20),
        fact("cost", 3, segment=1, attempt=2, unit_price=3, currency="USD"),
        fact("post", 10, segment=1, attempt=2),
        fact("post", 10, segment=2, attempt=1),
        fact("cost", 3, segment=2, attempt=1, unit_price=3),
        fact("refund", 10, segment=2, attempt=1),
        fact("reserve", 20, "M2"),
        fact("void", 10, "M2", 1),
        fact("void", 10, "M2", 2, 1),
        credit(-5, "A1"),
    ]
