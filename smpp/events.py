"""What goes into a session (settings, login) and what comes out of it (events), as plain values.

It refuses to know how any of it comes about: session.py does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from smpp.codec import DeliverSm, SubmitSm
from smpp.errors import BadPdu
from smpp.pdus import Pdu
from smpp.questions import Told
from smpp.receipts import Receipt

T = TypeVar("T")

Mode = Literal["trx", "tx", "rx"]


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Limits and timers of one session; 0 turns `enquire_link_s` and `inactivity_s` off.

    window                 requests of ours in flight (submit_sm as ESME, deliver_sm as SMSC)
    enquire_link_s         nothing heard for so long: ask
    enquire_answer_s       asked and nothing heard for so long: the link is dead; so it is when bytes wait to leave and the peer
                           takes none of them for so long
    response_timeout_s     a request unanswered for so long is Unknown and the session ends
    inactivity_s           no message either way for so long: unbind
    bind_timeout_s         ESME: for the bind answer; SMSC: for the bind request
    drain_s                an ending session waits so long for answers before it unbinds
    unbind_timeout_s       and so long for the answer to its unbind
    pdu_bytes_max          a longer command_length means that framing is lost
    out_bytes_max          more bytes than this behind an unfinished write: the peer does not read, the link is dead
    unanswered_max         requests of the peer that our owner may leave unanswered; more are refused as "busy"
    bad_pdus_max           undecodable PDUs a session bears before it ends
    questions              ESME: query_sm and cancel_sm of ours without an answer, beside the window
    question_timeout_s     one unanswered for so long is given up; the session goes on
    answer_tlvs            ESME: hand over the TLVs of answers too (SMPP 5, and carriers' own)
    read_receipt           what recognises receipts in a PDU before it is decoded, (pdu, sequence) -> receipt or None
                           (receipts.glance); what it recognises goes to Events.receipts
    """

    window: int = 10
    enquire_link_s: float = 30.0
    enquire_answer_s: float = 10.0
    response_timeout_s: float = 60.0
    inactivity_s: float = 0.0
    bind_timeout_s: float = 10.0
    drain_s: float = 5.0
    unbind_timeout_s: float = 2.0
    pdu_bytes_max: int = 65_536
    out_bytes_max: int = 4_194_304
    unanswered_max: int = 50_000
    bad_pdus_max: int = 1_000
    questions: int = 8
    question_timeout_s: float = 10.0
    answer_tlvs: bool = False
    read_receipt: Callable[[bytes, int], Receipt | None] | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """Who binds, and how. `version` is interface_version (0x33, 0x34, 0x50). The password is not in its repr."""

    system_id: str
    password: str
    mode: Mode = "trx"
    system_type: str = ""
    version: int = 0x34

    def __repr__(self) -> str:
        return f"Login(system_id={self.system_id!r}, mode={self.mode!r}, version={self.version:#x})"


class Events(Generic[T]):
    """What one call to `receive` or `tick` brought, in lists, each in the order of arrival.

    answers    (token, command_status, message_id) of requests of ours; message_id "" where there is none
    answer_tlvs  with that setting: (token, TLVs) of those answers that have some
    late       the same, for requests that were reported in `timed_out` before
    timed_out  tokens whose response timer ran out: their outcome is unknown now
    delivers   ESME: deliver_sm to be answered by `answer_delivers`
    receipts   the same, those that `read_receipt` recognised
    submits    SMSC: submit_sm to be answered by `answer_submits`
    told       ESME: what became of questions (smpp.questions)
    asked      SMSC: query_sm and cancel_sm, to be answered by `answer_question`
    login      SMSC: a bind request, to be answered by `accept_bind` or `refuse_bind`
    bound      the bind was accepted just now
    refused    ESME: the status with which the bind was refused just now
    bad        PDUs that could not be decoded; already answered where the protocol has an answer
    close      why the link should be closed now (write what is left, then close); None: go on
    """

    __slots__ = (
        "answer_tlvs", "answers", "asked", "bad", "bound", "close", "delivers", "late", "login", "receipts", "refused",
        "submits", "timed_out", "told",
    )  # fmt: skip

    def __init__(self) -> None:
        self.answers: list[tuple[T, int, str]] = []
        self.answer_tlvs: list[tuple[T, dict[int, bytes]]] = []
        self.late: list[tuple[T, int, str]] = []
        self.timed_out: list[T] = []
        self.delivers: list[DeliverSm] = []
        self.receipts: list[Receipt] = []
        self.submits: list[SubmitSm] = []
        self.told: list[Told] = []
        self.asked: list[Pdu] = []
        self.login: Login | None = None
        self.bound = False
        self.refused: int | None = None
        self.bad: list[BadPdu] = []
        self.close: str | None = None

    def __bool__(self) -> bool:
        return bool(
            self.answers
            or self.delivers
            or self.receipts
            or self.submits
            or self.bound
            or self.timed_out
            or self.late
            or self.bad
            or self.told
            or self.asked
            or self.login is not None
            or self.refused is not None
            or self.close is not None
        )

    def as_dict(self) -> dict[str, Any]:
        """Every field by name, for comparing and printing."""
        return {name: getattr(self, name) for name in self.__slots__}
