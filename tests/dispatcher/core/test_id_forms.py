"""How a carrier writes ids is learned from receipts that can only mean one thing, and forgotten when nothing fits any more."""

from __future__ import annotations

import pytest

from dispatcher.core.id_forms import EVIDENCE_MIN, MISSES_MAX, IdForms
from dispatcher.core.matching import answer_key

FIRST = 0x1A2B3C0000


def pair(form: str, number: int) -> tuple[str, str]:
    """(answered, receipted) of a carrier of that form."""
    return {
        "as_is": (f"{number:016X}", f"{number:x}"),
        "hex": (f"{number:X}", str(number)),
        "dec": (str(number), f"{number:x}"),
    }[form]


def show(forms: IdForms, form: str, count: int, first: int = FIRST) -> list[bool]:
    """So many receipts of a carrier of that form, each found as the store finds it."""
    told = []
    for number in range(first, first + count):
        answered, receipted = pair(form, number)
        key = answer_key("auto", answered)
        assert key in forms.keys(receipted)
        told.append(forms.matched(receipted, key))
    return told


@pytest.mark.parametrize("form", ["as_is", "hex", "dec"])
def test_learned_after_enough_evidence(form: str) -> None:
    """Not one receipt earlier; from then on that form alone is tried."""
    forms = IdForms()
    assert not any(show(forms, form, EVIDENCE_MIN - 1))
    assert forms.form == "auto"
    assert show(forms, form, 1) == [True]
    assert forms.form == form
    for number in (7, FIRST, 10**15):
        answered, receipted = pair(form, number)
        assert forms.keys(receipted) == (answer_key("auto", answered),)
    assert not any(show(forms, form, 100))


def test_an_id_that_is_the_same_in_every_form_says_nothing() -> None:
    """7 is 7 in any radix."""
    forms = IdForms()
    assert not any(forms.matched("7", "7") for _ in range(EVIDENCE_MIN * 2))
    assert forms.form == "auto"


def test_a_contradiction_begins_anew() -> None:
    """Two SMSCs behind one login, one of each kind: nothing is ever learned, and everything matches."""
    forms = IdForms()
    for _ in range(5):
        assert not any(show(forms, "hex", EVIDENCE_MIN - 1) + show(forms, "dec", 1))
    assert forms.form == "auto"


def test_forgotten_after_misses_in_a_row() -> None:
    """A carrier that changed its ways; one receipt that fits begins the count again."""
    forms = IdForms()
    show(forms, "hex", EVIDENCE_MIN)
    assert not any(forms.missed() for _ in range(MISSES_MAX - 1))
    show(forms, "hex", 1)
    assert not any(forms.missed() for _ in range(MISSES_MAX - 1))
    assert forms.missed()
    assert forms.form == "auto"
    assert show(forms, "dec", EVIDENCE_MIN)[-1]


def test_no_id_has_no_keys() -> None:
    """Whatever has been learned; and what is of another shape than what was learned is tried as it is."""
    forms = IdForms()
    assert forms.keys(" \0") == ()
    show(forms, "hex", EVIDENCE_MIN)
    assert forms.keys("") == ()
    assert forms.keys("a-uuid-not-a-number-Zz") == ("a-uuid-not-a-number-Zz",)
