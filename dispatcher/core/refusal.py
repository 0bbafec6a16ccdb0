"""How admission says no: a reason from the closed list, the field it is about, and words with the remedy.

Refuses to hold what was wrong: no number, text or secret stands in `detail` (P7), for it travels into answers, rejects
and logs.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dispatcher.core.model import Refusal
from dispatcher.core.ports import Verdict

_BY_VERDICT: Final = {
    "conflict": Refusal.KEY_CONFLICT,
    "pending": Refusal.KEY_PENDING,
    "poor": Refusal.BALANCE,
    "unknown": Refusal.UNKNOWN_ACCOUNT,
    "opted_out": Refusal.OPTED_OUT,
}


class Refused(NamedTuple):
    """A send that is not accepted. `field` is its name on the wire ("from", "class"), "" when it is about the whole.
    `retry_after_ms` > 0: it may be accepted then."""

    reason: Refusal
    field: str
    detail: str
    retry_after_ms: int = 0


class Objection(Exception):
    """Carries a Refused from the check that found it to admission's door; never leaves core."""

    def __init__(self, reason: Refusal, field: str, detail: str, retry_after_ms: int = 0) -> None:
        super().__init__(detail)
        self.refused = Refused(reason, field, detail, retry_after_ms)


def refusal_of(verdict: Verdict) -> Refusal | None:
    """Why the store said no; None when it said yes (accepted, or earlier: duplicate)."""
    if verdict.verdict == "limited":
        return Refusal(verdict.reason)
    return _BY_VERDICT.get(verdict.verdict)
