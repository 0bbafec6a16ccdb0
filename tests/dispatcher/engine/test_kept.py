"""TLVs both ways: a send's reach the carrier; those of answers and receipts that an operator names are on events and costs."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from dispatcher.core import lifecycle as life
from dispatcher.core.kept import KeptTlvs, tag_of
from dispatcher.core.model import Outcome
from smpp.simulator.forms import ReceiptForm
from smpp.simulator.scenario import Fate, Rule
from smpp.simulator.scenario import Outcome as Becomes
from smpp.simulator.smsc import Simulator
from tests.dispatcher.core.lives import Life
from tests.dispatcher.engine.world import NUMBER, carrier, eventually, route, settings_of, world

KEEPS = carrier(keep_tlvs=["0x1401", "network_error_code"])
ANSWER = "1401 0005 6e6f727468 1403 0001 01"
"""Text "north" under 0x1401, and one that nobody named."""
RECEIPT = ReceiptForm(network_error="gsm", more_tlvs="1402 0001 07")
SCENARIO: dict[str, dict[str, Any]] = {"alpha": {"answer_tlvs": ANSWER, "receipt": RECEIPT}}
LONG = "Your parcel {arrives} today. " * 12


def test_a_tlv_of_a_send_reaches_the_carrier() -> None:
    """Its own beside the carrier's, on each part."""

    async def main() -> None:
        settings = settings_of([carrier(tlvs={"0x1400": "always"})], [route({"alpha": 1})])
        async with world(settings) as here:
            here.send(text=LONG, tlvs={"0x1501": "mine", "source_port": "0x1234"})
            await here.until({"delivered": 1})
            for each in here.smscs["alpha"].received:
                assert {0x1400: b"always", 0x1501: b"mine", 0x020A: b"\x12\x34"}.items() <= each.submit.tlvs.items()

    trio.run(main)


@pytest.mark.parametrize("text", ["Hello", LONG])
@pytest.mark.parametrize("concat", ["udh8", "payload"])
def test_what_is_named_is_on_the_events(text: str, concat: str) -> None:
    """Of the answer on `submitted`, of the receipt besides on `delivered`; nothing that nobody named."""

    async def main() -> None:
        settings = settings_of([KEEPS | {"quirks": {"concat": concat}}], [route({"alpha": 1})])
        async with world(settings, scenarios=SCENARIO) as here:
            here.send(text=text)
            await here.until({"delivered": 1})
            told = {row["state"]: row["tlvs"] for row in await here.rows("events")}
            assert told["submitted"] == {"0x1401": "north"}
            assert told["delivered"] == {"0x1401": "north", "network_error_code": "0x030000"}

    trio.run(main)


def test_answers_that_a_carrier_held_back_have_theirs_too() -> None:
    """A stalled carrier that goes on answers as it would have before."""

    async def main() -> None:
        async with world(settings_of([KEEPS], [route({"alpha": 1})]), scenarios=SCENARIO) as here:
            smsc = here.smscs["alpha"]
            smsc.stall(True)
            here.send()
            await eventually(lambda: _submitted(smsc))
            smsc.stall(False)
            await here.until({"delivered": 1})
            assert {row["state"]: row["tlvs"] for row in await here.rows("events")}["submitted"] == {"0x1401": "north"}

    async def _submitted(smsc: Simulator) -> bool:
        return smsc.stats.submits > 0

    trio.run(main)


def test_nothing_is_kept_where_nobody_asks() -> None:
    """The same carrier without names: no column is filled."""

    async def main() -> None:
        async with world(settings_of([carrier()], [route({"alpha": 1})]), scenarios=SCENARIO) as here:
            here.send()
            await here.until({"delivered": 1})
            assert {str(row["tlvs"]) for row in await here.rows("events")} == {"None"}

    trio.run(main)


def test_a_failures_receipt_and_one_that_came_first() -> None:
    """They are kept on `undelivered`, and of a receipt that waited in the store for its answer."""

    async def main() -> None:
        settings = settings_of([KEEPS], [route({"alpha": 1})], retry={"attempts_max": 1}, receipts={"deliver_answer_s": 0.05})
        rules = (
            Rule(Fate(Becomes.UNDELIVERED, code="027"), number=str(NUMBER)),
            Rule(Fate(Becomes.RECEIPT_FIRST), number=str(NUMBER + 1)),
        )
        scenario = {"alpha": SCENARIO["alpha"] | {"rules": rules, "answer_ms": (150, 150)}}
        async with world(settings, scenarios=scenario) as here:
            here.send()
            here.send(NUMBER + 1)
            await here.until({"undelivered": 1, "delivered": 1})
            told = {row["state"]: row["tlvs"] for row in await here.rows("events")}
            assert told["undelivered"] == {"0x1401": "north", "network_error_code": "0x03001b"}
            assert told["delivered"]["network_error_code"] == "0x030000"

    trio.run(main)


def test_a_cost_shows_the_answers() -> None:
    """What we owe has what the carrier said when it accepted, by segment or (0) of one submit for all; posts have none."""
    for kept in ({1: {"0x1401": "north"}}, {0: {"0x1401": "north"}}):
        m = Life()
        m.begin()
        m.decide(life.Answers([life.Answer(1, Outcome.ACCEPTED, 0, "c1", m.now)], kept))
        assert {fact.kind: fact.tlvs for fact in m.facts} == {"post": None, "cost": {"0x1401": "north"}}


@pytest.mark.parametrize(
    ("word", "tag"), [("0x1401", 0x1401), ("network_error_code", 0x0423), ("0xFFFF", 0xFFFF), ("0x10000", None), ("x", None)]
)
def test_names_of_tlvs(word: str, tag: int | None) -> None:
    """By number or by the standard's name."""
    assert tag_of(word) == tag


@pytest.mark.parametrize(
    ("value", "shown"),
    [(b"north\0", "north"), (b"\3\0\0", "0x030000"), (b"", "0x"), (b"0x12", "0x30783132"), (b"a" * 256, "a" * 255)],
)
def test_how_values_are_written(value: bytes, shown: str) -> None:
    """Readable text as text, all else in hex, so that neither is taken for the other; bounded."""
    assert KeptTlvs(["0x1401"]).of({0x1401: value, 0x1402: b"x"}) == {"0x1401": shown}
    assert KeptTlvs(["0x1401"]).of({0x1402: value}) is None
    assert not KeptTlvs([])
