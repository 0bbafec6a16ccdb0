"""What a simulated SMSC remembers of messages, for those who ask (query_sm) or change their mind (cancel_sm).

It refuses to know links and receipts' forms. Only a scenario with `query` or `cancel` other than "no" keeps anything: at most
`record_max` messages, oldest out first.

A message is ENROUTE until its receipt is due and then what the receipt says; one without receipt is at once what its fate's
`truth` says. Only what is still under way can be cancelled; its receipts are withdrawn, and one says DELETED.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from smpp import constants as c
from smpp.codec import SubmitSm
from smpp.constants import Command
from smpp.pdus import Pdu
from smpp.questions import refusal
from smpp.simulator.forms import STATES, octets_of
from smpp.simulator.scenario import Scenario
from smpp.simulator.temper import Verdict

_UNDER_WAY: Final = frozenset({"ENROUTE", "ACCEPTD", "SCHEDULED"})
ESME_RQUERYFAIL: Final = 0x67
ESME_RCANCELFAIL: Final = 0x11


class Kept(NamedTuple):
    """One accepted message: whose it is, what becomes of it at `at` (monotonic seconds), and the receipts that will say so."""

    system_id: str
    submit: SubmitSm
    number: int
    at: float
    state: str
    code: str
    receipts: list[bytes]


class Question(NamedTuple):
    """One question as it came and what it was answered with (None: nothing), for the journal."""

    at: float
    system_id: str
    session: int
    question: Pdu
    answer: Pdu | None


class Desk:
    """Answers questions. `withdrawn`: receipts of cancelled messages, which must not be sent."""

    def __init__(self, scenario: Scenario) -> None:
        self._ways = {Command.QUERY_SM: scenario.query, Command.CANCEL_SM: scenario.cancel}
        self._kept: dict[str, Kept] = {}
        self._kept_max = scenario.record_max
        self.open = any(way != "no" for way in self._ways.values())
        self.answer_tlvs = octets_of(scenario.answer_tlvs) or b""
        self._cancelled: set[str] = set()
        self.withdrawn: set[bytes] = set()

    def keep(self, told: str, number: int, system_id: str, submit: SubmitSm, verdict: Verdict, at: float) -> Kept:
        """An accepted message, under the id that its answer told."""
        state, code = verdict.receipts[-1] if verdict.receipts else (verdict.truth, "000")
        kept = Kept(system_id, submit, number, at if verdict.receipts else 0.0, state, code, [])
        self._kept[told] = kept
        if len(self._kept) > self._kept_max:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._cancelled.discard(oldest)
        return kept

    def still_wanted(self, receipts: list[bytes]) -> list[bytes]:
        """Those of receipts now due that were not withdrawn."""
        if not self.withdrawn:
            return receipts
        wanted = [body for body in receipts if body not in self.withdrawn]
        self.withdrawn.difference_update(receipts)
        return wanted

    def deleted(self, write: Callable[[SubmitSm, str, str, str, float], bytes], kept: Kept, wall_s: float) -> bytes:
        """The receipt of a cancelled message, as `write` writes receipts."""
        return write(kept.submit, str(kept.number), "DELETED", "000", wall_s)

    def answer(self, question: Pdu, system_id: str, now: float) -> tuple[Pdu | None, Kept | None]:
        """The answer (None: silence), and the message that was cancelled by it."""
        way = self._ways.get(question.command, "no")
        if way == "no":
            return refusal(question), None
        if way == "silent":
            return None, None
        told = str(question["message_id"])
        kept = self._kept.get(told)
        mine = kept is not None and kept.system_id == system_id and kept.submit.source_addr == question["source_addr"]
        query = question.command is Command.QUERY_SM
        if kept is None or not mine or way == "refuse":
            wrong = ESME_RQUERYFAIL if query else ESME_RCANCELFAIL
            return _said(question, {}, c.ESME_RINVMSGID if kept is None else wrong), None
        state = "DELETED" if told in self._cancelled else kept.state if now >= kept.at else "ENROUTE"
        if query:
            code = int(kept.code) & 255 if kept.code.isdigit() and state == kept.state else 0
            return _said(question, {"message_id": told, "message_state": STATES.get(state, 7), "error_code": code}), None
        if state not in _UNDER_WAY:
            return _said(question, {}, ESME_RCANCELFAIL), None
        self._cancelled.add(told)
        self.withdrawn.update(kept.receipts)
        return _said(question, {}), kept


def _said(question: Pdu, values: dict[str, int | str], status: int = 0) -> Pdu:
    return Pdu(Command(question.command | c.RESPONSE), values, (), question.sequence, status)
