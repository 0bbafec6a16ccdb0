"""Receipts in every form that carriers are known to send (tests/golden/receipts.toml)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from smpp import receipts
from smpp.codec import decode_deliver_sm, deliver_sm_body, pdu
from smpp.constants import DELIVER_SM
from smpp.receipts import STATES, Receipt, parse

GOLDEN = tomllib.loads((Path(__file__).parents[1] / "golden" / "receipts.toml").read_text(encoding="utf-8"))["receipt"]


def read(form: dict[str, Any]) -> Receipt | None:
    """The form as a deliver_sm on the wire, decoded and parsed."""
    data = bytes.fromhex(form["hex"]) if "hex" in form else form.get("text", "").encode("latin-1")
    body = deliver_sm_body(
        "4915112345678",
        "Bank",
        data,
        esm_class=form.get("esm_class", 4),
        data_coding=form.get("data_coding", 0),
        tlvs={int(tag, 16): bytes.fromhex(value) for tag, value in form.get("tlvs", {}).items()},
    )
    return parse(decode_deliver_sm(pdu(DELIVER_SM, 0, 1, body)))


@pytest.mark.parametrize("form", GOLDEN, ids=lambda form: form["form"])
def test_golden(form: dict[str, Any]) -> None:
    """Each form gives exactly the id, state, code and network error it is listed with, or is no receipt."""
    receipt = read(form)
    if form.get("none"):
        assert receipt is None
        return
    assert receipt is not None
    expect = form["expect"]
    network_error = bytes.fromhex(expect["network_error"]) if "network_error" in expect else None
    assert (expect["id"], expect["state"], expect.get("code", "")) == receipt[:3]
    assert network_error == receipt.network_error
    assert expect.get("reference") == receipt.reference
    assert receipt.state in STATES


def test_the_corpus_is_wide() -> None:
    """Thirty forms and more, and every canonical state is reached by one of them."""
    assert len(GOLDEN) > 60
    assert {form["expect"]["state"] for form in GOLDEN if "expect" in form} == STATES


def test_raw_state_is_kept() -> None:
    """The carrier's own word stays readable beside the canonical state."""
    receipt = read({"text": "id:1 stat:Dnd_Rejected err:9"})
    assert receipt is not None
    assert (receipt.state, receipt.raw_state) == ("REJECTD", "Dnd_Rejected")


def test_the_table_in_the_docstring_is_true() -> None:
    """Every number and word in the module's table gives the state of its row."""
    rows = [line.strip("| \n").split(" | ") for line in (receipts.__doc__ or "").splitlines() if line.startswith("| ")]
    table = {row[0]: row[1:] for row in rows if row[0] in STATES}
    assert set(table) == STATES
    for state, (numbers, words) in table.items():
        said = [word for word in words.split(", ") if word.isupper()] + numbers.replace("-", "").replace(",", "").split()
        for value in said:
            receipt = read({"text": f"id:1 stat:{value} err:0"})
            assert receipt is not None
            assert receipt.state == state
