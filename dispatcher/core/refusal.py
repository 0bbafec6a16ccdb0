"""How admission says no: a reason from the closed list, the field it is about, and words with the remedy.

Refuses to hold what was wrong: no number, text or secret stands in `detail` (P7), for it travels into answers, rejects
and logs.
"""

from __future__ import annotations

from typing import NamedTuple

from dispatcher.core.model import Refusal


class Refused(NamedTuple):
    """A send that is not accepted. `field` is its name on the wire ("from", "class"), "" when it is about the whole."""

    reason: Refusal
    field: str
    detail: str


class Objection(Exception):
    """Carries a Refused from the check that found it to admission's door; never leaves core."""

    def __init__(self, reason: Refusal, field: str, detail: str) -> None:
        super().__init__(detail)
        self.refused = Refused(reason, field, detail)
