"""Which ids are the same, and what an error code means."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.matching import answer_key, cause_of, park, receipt_keys, seen, unpark
from dispatcher.core.settings import Quirks
from smpp.receipts import Receipt


@pytest.mark.parametrize(
    ("form", "answered", "receipted"),
    [
        ("as_is", "0000A1B2", "a1b2"),
        ("as_is", "00000000-0000-4000-8000-00000000ABCD", "00000000-0000-4000-8000-00000000abcd"),
        ("as_is", "42", "0000000042"),
        ("as_is", "42\0", " 42"),
        ("hex", "1A2B", "6699"),
        ("hex", "001a2b", "0006699"),
        ("dec", "6699", "1A2B"),
        ("auto", "1a2b", "6699"),
        ("auto", "6699", "1A2B"),
        ("auto", "Zz9", "Zz9"),
        ("as_is", "0", "000"),
    ],
)
def test_ids_that_are_the_same(form: str, answered: str, receipted: str) -> None:
    """Quirks 1 to 3: radix, padding, letter case, NUL and blanks."""
    assert answer_key(form, answered) in receipt_keys(form, receipted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("form", "answered", "receipted"),
    [("as_is", "Zz9", "zz9"), ("as_is", "1A2B", "6699"), ("hex", "10", "10"), ("as_is", "41", "42")],
)
def test_ids_that_are_not(form: str, answered: str, receipted: str) -> None:
    """Case counts where it may carry information; radix only where the carrier's form says so."""
    assert answer_key(form, answered) not in receipt_keys(form, receipted)  # type: ignore[arg-type]


def test_no_id_is_no_key() -> None:
    """An empty id matches nothing."""
    assert answer_key("as_is", " \0") == ""
    assert receipt_keys("auto", "") == ()


@given(st.integers(0, 2**63), st.sampled_from(["hex", "dec", "auto"]), st.integers(0, 12))
def test_radix_forms_meet(number: int, form: str, pad: int) -> None:
    """For every number, written either way and padded."""
    as_hex, as_dec = f"{number:0{pad}X}", f"{number:0{pad}d}"
    if form in {"hex", "auto"}:
        assert answer_key(form, as_hex) in receipt_keys(form, as_dec)  # type: ignore[arg-type]
    if form in {"dec", "auto"}:
        assert answer_key(form, as_dec) in receipt_keys(form, as_hex)  # type: ignore[arg-type]


def test_causes_go_by_the_carriers_table_first() -> None:
    """Own table (with or without leading zeros), then the network's code, then the usual numbers, then nothing."""
    own = {"001": "absent", "7": "blocked"}
    assert cause_of("001", None, own) == "absent"
    assert cause_of("007", None, own) == "blocked"
    assert cause_of("001", b"\x03\x00\x01", {}) == "invalid_number"
    assert cause_of("001", b"\x03\x00\x01", own) == "absent"
    assert cause_of("027", None, {}) == "absent"
    assert cause_of("001", None, {}) == ""
    assert cause_of("", b"123", {}) == ""


def test_a_receipt_as_evidence() -> None:
    """Causes only for failures; ACCEPTD is the last word only where the carrier's quirk says so."""
    q = Quirks(causes={"001": "absent"})
    assert seen(Receipt("1", "UNDELIV", "001"), q, 2, 1, 9) == (2, 1, "UNDELIV", "001", "absent", 9, None)
    assert seen(Receipt("1", "DELIVRD"), q, 1, 1, 9, {"0x1401": "x"}).tlvs == {"0x1401": "x"}
    assert seen(Receipt("1", "DELIVRD", "001"), q, 1, 1, 9).cause == ""
    assert seen(Receipt("1", "ACCEPTD"), q, 1, 1, 9).state == "ACCEPTD"
    assert seen(Receipt("1", "ACCEPTD"), Quirks(accepted_is_final=True), 1, 1, 9).state == "DELIVRD"


def test_a_parked_receipt_comes_back_whole() -> None:
    """Bytes and back."""
    parked = unpark(park(Receipt("1A", "UNDELIV", "001", b"\x03\x00\x1b"), ("26",), 1000, {"0x1401": "x"}))
    assert parked.tlvs == {"0x1401": "x"}
    assert (parked.keys, parked.state, parked.code, parked.network_error) == (("26",), "UNDELIV", "001", b"\x03\x00\x1b")
    assert parked.at == 1000


@given(st.text("0123456789\u00b2\u0665 \0aF-", max_size=12) | st.text("01", max_size=12))
def test_ids_of_digits_go_the_short_way_and_mean_the_same(carrier_id: str) -> None:
    """Said slowly: without blanks around; of hexadecimal digits alone, neither case nor leading zeros count."""
    slowly = carrier_id.strip(" \t\r\n\0")
    if re.fullmatch(r"[0-9a-fA-F-]+", slowly):
        slowly = re.sub(r"^0+(?=.)", "", slowly.lower())
    assert answer_key("as_is", carrier_id) == slowly
    assert receipt_keys("as_is", carrier_id) == ((slowly,) if slowly else ())
