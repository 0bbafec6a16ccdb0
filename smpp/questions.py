"""Questions about a message that was submitted, and the wish to cancel it: query_sm and cancel_sm beside the window.

It knows sequence numbers, a budget and deadlines; it refuses to know who asks and what an answer means. A session owns one.

Theory. A question is not a request of the window: nothing is in doubt when its answer stays away, so a time-out costs neither
the session nor a submit, and an ESME that asks a lot must not keep submits from leaving. So it has a budget of its own (few
at a time) and a timer of its own. Each ends exactly once: with an answer, with silence (`Told.pdu` None), or with the link,
which leaves all that are open (`lost`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from smpp import constants as c
from smpp.constants import Command
from smpp.errors import BadPdu, LocalProtocolError
from smpp.fields import unpack_header
from smpp.pdus import Pdu, decode, encode

COMMANDS: Final = frozenset({Command.QUERY_SM, Command.CANCEL_SM})


class Told(NamedTuple):
    """What became of a question: its token, and the answer (query_sm_resp, cancel_sm_resp, generic_nack), or None after
    `question_timeout_s` of silence. An answer whose body cannot be read has no fields."""

    token: object
    pdu: Pdu | None


class Questions:
    """Ours without an answer, at most `open_max`. It keeps nothing of its session's: one that holds itself stays until a
    collection of cycles, which an engine hardly makes."""

    __slots__ = ("_open", "_timeout_s", "open_max")

    def __init__(self, open_max: int, timeout_s: float) -> None:
        self.open_max = open_max
        self._timeout_s = timeout_s
        self._open: dict[int, tuple[object, float]] = {}

    @property
    def room(self) -> int:
        """How many more may be asked now."""
        return self.open_max - len(self._open)

    def ask(self, pdu: Pdu, token: object, now: float, number: Callable[[], int]) -> bytes:
        """The bytes of a query_sm or cancel_sm under the next sequence number. Raises LocalProtocolError, and asks nothing, for
        another command, a field that does not fit, or without room."""
        if pdu.command not in COMMANDS or self.room <= 0:
            raise LocalProtocolError(f"cannot ask {pdu.command.name}: room for {self.room}")
        sequence = number()
        data = encode(Pdu(pdu.command, pdu.fields, pdu.tlvs, sequence))
        self._open[sequence] = (token, now + self._timeout_s)
        return data

    def answered(self, data: bytes) -> Told | None:
        """Takes an answer; None when nothing was asked under its number."""
        _, command, status, sequence = unpack_header(data[:16])
        entry = self._open.pop(sequence, None)
        if entry is None:
            return None
        try:
            return Told(entry[0], decode(data))
        except BadPdu:
            return Told(entry[0], Pdu(Command(command), {}, (), sequence, status))

    def nacked(self, sequence: int, status: int) -> Told | None:
        """The peer did not understand the question; None when it was none."""
        entry = self._open.pop(sequence, None)
        return None if entry is None else Told(entry[0], Pdu(Command.GENERIC_NACK, {}, (), sequence, status))

    def expired(self, now: float) -> list[Told]:
        """Those that were met with silence. All have the same time, so they are in the order of their deadlines."""
        late: list[Told] = []
        for sequence, (token, deadline) in list(self._open.items()):
            if deadline > now:
                break
            del self._open[sequence]
            late.append(Told(token, None))
        return late

    def lost(self) -> list[object]:
        """The link is gone: the tokens of all that are open, once."""
        tokens = [token for token, _ in self._open.values()]
        self._open.clear()
        return tokens


def refusal(question: Pdu) -> Pdu:
    """The answer of a peer that takes no such questions: generic_nack, "invalid command id"."""
    return Pdu(Command.GENERIC_NACK, {}, (), question.sequence, c.ESME_RINVCMDID)
