"""The 42 quirks of carriers (tests/golden/quirks): bytes or text in, the value expected; and shown end to end where they are
about behaviour: a real engine, real sockets, the simulator with the quirk switched on.

| Table of a file | What is done with it |
|---|---|
| receipt | `text` or `hex` as a deliver_sm's message (esm_class 4 unless said), or a captured `pdu`: what smpp.receipts reads |
| answer | a submit_sm_resp: status and id that settle its segment |
| good, bad | any PDU: its command and fields, or the path and status of its BadPdu |
| match | ids of an answer and of its receipt: are they the same? |
| cause | code and network_error_code: the cause they are mapped to |
| stream | how many PDUs framing cuts, and whether it is lost |
| session | what a bound session says to these bytes |
| show | a whole run: `scenario` for the simulator, `quirks` of the carrier, `sends`; the states that messages end in |
| shown_by | tests elsewhere that show it |
"""

from __future__ import annotations

import ast
import tomllib
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import pytest
import trio

from dispatcher.core.matching import answer_key, cause_of, receipt_keys
from smpp import codec
from smpp import constants as c
from smpp.errors import BadPdu, FramingLost
from smpp.framing import Framer
from smpp.pdus import decode
from smpp.receipts import Receipt, parse
from smpp.session import Login, Session, SessionSettings
from smpp.simulator import scenario as sim
from smpp.tlvs import write
from tests.dispatcher.engine.world import World, carrier, eventually, route, settings_of, world

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests" / "golden" / "quirks").glob("*.toml"))
QUIRKS = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in FILES}
KINDS = {"receipt", "answer", "good", "bad", "match", "cause", "stream", "session", "show"}


def cases(*kinds: str) -> list[Any]:
    """Every case of these kinds, named by its file, kind and place."""
    return [
        pytest.param(kind, case, id=f"{name}-{kind}-{place}")
        for name, quirk in QUIRKS.items()
        for kind in kinds
        for place, case in enumerate(quirk.get(kind, []), 1)
    ]


def test_every_quirk_has_its_file() -> None:
    """42 files, each with its rule, its source, and at least one thing that would break."""
    assert [quirk["quirk"] for quirk in QUIRKS.values()] == list(range(1, 43))
    for name, quirk in QUIRKS.items():
        assert name.startswith(f"{quirk['quirk']:02d}-")
        assert quirk["rule"].strip()
        assert quirk["source"].strip()
        assert quirk.keys() - {"quirk", "rule", "source"} <= KINDS | {"shown_by"}
        assert quirk.keys() & (KINDS | {"shown_by"})


@pytest.mark.parametrize("where", sorted({each for quirk in QUIRKS.values() for each in quirk.get("shown_by", [])}))
def test_what_shows_it_exists(where: str) -> None:
    """A test that a file names is there."""
    path, name = where.split("::")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


# --- values -----------------------------------------------------------------------------------------------------------


def receipt_of(case: dict[str, Any]) -> Receipt | None:
    """What is read of a case's receipt."""
    if "pdu" in case:
        return parse(codec.decode_deliver_sm(bytes.fromhex(case["pdu"])))
    data = bytes.fromhex(case["hex"]) if "hex" in case else case.get("text", "").encode("latin-1")
    tlvs = {int(tag, 16): bytes.fromhex(value) for tag, value in case.get("tlvs", {}).items()}
    coding, esm_class = case.get("data_coding", 0), case.get("esm_class", 4)
    if case.get("command") == "data_sm":
        body = b"\0" + b"\1\x0149\0" + b"\1\1Shop\0" + bytes((esm_class, 0, coding))
        payload = {int(c.Tlv.MESSAGE_PAYLOAD): data} if data else {}
        return parse(codec.decode_data_sm(codec.pdu(c.DATA_SM, 0, 1, body + write((payload | tlvs).items()))))
    body = codec.deliver_sm_body("4915112345678", "Shop", data, esm_class=esm_class, data_coding=coding, tlvs=tlvs)
    return parse(codec.decode_deliver_sm(codec.pdu(c.DELIVER_SM, 0, 1, body)), by_text=case.get("by_text", False))


def check_receipt(case: dict[str, Any]) -> None:
    """A receipt's id, state, code and network error, or that it is none."""
    receipt = receipt_of(case)
    if case.get("none"):
        assert receipt is None
        return
    assert receipt is not None
    expect = case["expect"]
    network_error = bytes.fromhex(expect["network_error"]) if "network_error" in expect else None
    assert (expect["id"], expect["state"], expect.get("code", ""), network_error) == receipt[:4]


def check_answer(case: dict[str, Any]) -> None:
    """What settles a segment."""
    wire = bytes.fromhex(case["pdu"])
    status, _, message_id = codec.decode_submit_sm_resp(wire)
    assert (case["status"], case["id"]) == (status, message_id)


def check_good(case: dict[str, Any]) -> None:
    """A PDU's command and fields."""
    pdu = decode(bytes.fromhex(case["pdu"]))
    assert pdu.command.name == case["command"]
    assert case["fields"].items() <= pdu.fields.items()


def check_bad(case: dict[str, Any]) -> None:
    """The path and the status of a PDU that cannot be read."""
    with pytest.raises(BadPdu) as bad:
        decode(bytes.fromhex(case["pdu"]))
    assert (bad.value.field, bad.value.status) == (case["field"], case["status"])


def check_match(case: dict[str, Any]) -> None:
    """Are two ids the same in this form?"""
    form = case["form"]
    assert (answer_key(form, case["answered"]) in receipt_keys(form, case["receipted"])) is case["same"]


def check_cause(case: dict[str, Any]) -> None:
    """What an error code means."""
    network_error = bytes.fromhex(case["network_error"]) if "network_error" in case else None
    assert case["cause"] == cause_of(case["code"], network_error, case.get("causes", {}))


def check_stream(case: dict[str, Any]) -> None:
    """Whole, byte by byte and in pieces: the same PDUs, and framing lost or not."""
    data = bytes.fromhex(case["hex"])
    for step in (len(data), 1, 5):
        framer, pdus, lost = Framer(), 0, False
        for start in range(0, len(data), step):
            try:
                pdus += len(framer.feed(data[start : start + step]))
            except FramingLost as broken:
                pdus += len(broken.pdus)
                lost = True
                break
        assert (case["pdus"], case["lost"]) == (pdus, lost)


def check_session(case: dict[str, Any]) -> None:
    """What a bound session answers."""
    session: Session[str] = Session(SessionSettings(), Login("demo", "demo"))
    session.start_bind(0.0)
    bind = session.outgoing()
    session.receive(codec.pdu(c.BIND_TRANSCEIVER_RESP, 0, int.from_bytes(bind[12:16], "big"), b"SMSC\0"), 0.0)
    session.receive(bytes.fromhex(case["in"]), 1.0)
    assert session.outgoing().hex() == case["out"].lower()


CHECKS = {
    "receipt": check_receipt,
    "answer": check_answer,
    "good": check_good,
    "bad": check_bad,
    "match": check_match,
    "cause": check_cause,
    "stream": check_stream,
    "session": check_session,
}


@pytest.mark.parametrize(("kind", "case"), cases(*CHECKS))
def test_values(kind: str, case: dict[str, Any]) -> None:
    """Bytes or text in, the value that the file expects out."""
    CHECKS[kind](case)


# --- whole runs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "case"), cases("show"))
def test_shown_end_to_end(kind: str, case: dict[str, Any]) -> None:
    """With the quirk switched on in the simulator messages end as they should, are charged once, and stay as they are."""
    tables = {"login": [{"system_id": "demo", "password": "demo"}], "listen": "127.0.0.1:0"} | case["scenario"]
    built = sim.of(tables)
    scenario = {field.name: getattr(built, field.name) for field in fields_of(built)}
    alpha = carrier(bind=case.get("bind", {}), quirks=case.get("quirks", {}))
    settings = settings_of([alpha], [route({"alpha": 1})], **case.get("settings", {}))

    async def main() -> None:
        async with world(settings, scenarios={"alpha": scenario}) as here:
            fields = {"text": "x" * case["text_chars"]} if "text_chars" in case else {}
            here.send_many(case["sends"], **fields)
            await here.until(case["until"], 8)
            await eventually(lambda: _quiet(here, case), 3, here.counts)
            assert await here.counts() == case["until"]  # what came after it has changed nothing
            stats = here.smscs["alpha"].stats
            if "posts" in case:
                assert len(await here.facts("post")) == case["posts"]
            if "submits" in case:
                assert stats.submits == case["submits"]
            assert set(case.get("log", [])) <= set(here.log.names())
            if "validity" in case:
                assert {each.submit.validity_period for each in here.smscs["alpha"].received} == {case["validity"]}

    trio.run(main)


async def _quiet(here: World, case: dict[str, Any]) -> bool:
    stats = here.smscs["alpha"].stats
    form = here.smscs["alpha"].scenario.receipt
    whole = form.pdu == "data_sm" or form.sequence >= 0  # such are answered outside any session's book
    return whole or stats.receipts_answered >= case.get("answered", stats.receipts_sent)


def test_one_id_of_two_carriers() -> None:
    """Quirk 4: two carriers that count from the same number: each receipt finds the message of its own carrier."""
    settings = settings_of([carrier("alpha"), carrier("beta")], [route({"alpha": 1, "beta": 1})])
    fate = (sim.Weighted(sim.Fate(sim.Outcome.UNDELIVERED, code="009")),)

    async def main() -> None:
        async with world(settings, scenarios={"alpha": {}, "beta": {"mix": fate, "receipt_ms": (50.0, 50.0)}}) as here:
            for smsc in here.smscs.values():
                smsc._ids = 10**12
            here.send_many(40)
            await eventually(lambda: _all(here, 40), 8, here.counts)
            counts = await here.counts()
            accepted = {name: smsc.stats.accepted for name, smsc in here.smscs.items()}
            assert counts == {"delivered": accepted["alpha"], "undelivered": accepted["beta"]}
            assert min(accepted.values()) > 5

    trio.run(main)


async def _all(here: World, total: int) -> bool:
    counts = await here.counts()
    return counts.get("delivered", 0) + counts.get("undelivered", 0) == total
