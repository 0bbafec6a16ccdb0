"""What a carrier's receipts show about how it writes ids, learned until it is sure (quirks 1 and 2, `ids = "auto"`).

It refuses to know where correlations are kept, and it never guesses: until enough receipts have said the same, each is tried
in every form, as core/matching says.

Theory. An id that matches in one form and in no other is evidence for that form; one that matches in several (7 is 7 in any
radix) says nothing. After EVIDENCE_MIN such receipts, all of one form, the form is learned, and only it is tried from
then on: with short ids a wrong form could meet another message's id. A carrier may change its mind (a new SMSC behind the same
login): MISSES_MAX receipts in a row that nobody knows, and what was learned is forgotten.
"""

from __future__ import annotations

from typing import Final

from dispatcher.core.matching import Form, forms_of, receipt_keys

EVIDENCE_MIN: Final = 20
"""Receipts that must agree before a form counts as learned."""
MISSES_MAX: Final = 20
"""Receipts for unknown ids, one after the other, after which it no longer does."""
WORDS: Final[dict[Form, str]] = {
    "as_is": "the same",
    "hex": "answers hex, receipts decimal",
    "dec": "answers decimal, receipts hex",
    "auto": "not known yet",
}
"""What people are told of a form."""


class IdForms:
    """One carrier's. `form` is "auto" until something has been learned."""

    __slots__ = ("_evidence", "_misses", "form")

    def __init__(self) -> None:
        self.form: Form = "auto"
        self._evidence: dict[Form, int] = {}
        self._misses = 0

    def keys(self, carrier_id: str) -> tuple[str, ...]:
        """The keys under which a receipt's id may be stored, best first; () for an empty id."""
        form = self.form
        if form == "as_is":
            return receipt_keys(form, carrier_id)
        forms = forms_of(carrier_id)
        if form == "auto" or not forms:
            return tuple(dict.fromkeys(forms.values()))
        return (forms.get(form, forms["as_is"]),)

    def matched(self, carrier_id: str, key: str) -> bool:
        """A receipt's id was found under `key`. True when this was the evidence that completed the learning."""
        self._misses = 0
        forms = [form for form, each in forms_of(carrier_id).items() if each == key]
        if self.form != "auto" or len(forms) != 1:
            return False
        (form,) = forms
        self._evidence = {form: self._evidence.get(form, 0) + 1}  # a contradiction begins anew
        if self._evidence[form] < EVIDENCE_MIN:
            return False
        self.form = form
        return True

    def missed(self) -> bool:
        """A receipt's id is nobody's. True when what was learned is forgotten by this."""
        self._misses += 1
        if self.form == "auto" or self._misses < MISSES_MAX:
            return False
        self.form, self._evidence, self._misses = "auto", {}, 0
        return True
