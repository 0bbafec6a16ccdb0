"""One SMPP session, both roles, as an automaton: bytes and time in; bytes, events and one verdict on what was lost out.

It does no IO and reads no clock: `receive(data, now)` and `tick(now)` are told what came and when, `outgoing()` says what
is to be written, `wrote(n)` is told what really left. It refuses to know what a message says, what a status means
(smpp/status.py), when to connect again, and how fast to send.

THEORY

The roles are mirror images. An ESME sends submit_sm and answers deliver_sm; an SMSC sends deliver_sm and answers
submit_sm. So there is one automaton with two columns of names, and everything hard (window, timers, ending) is
written once. Which side of the mirror we are on is decided by having a login to bind with.

The automaton itself is a table, `PEER_SENDS` in states.py: what a command of the peer does, by role and state. What is
here is one case for each word of that table (`_read` for the two hot ones, `_obey` for the rest); what our own side may do
is one method each in acts.py. All events leave through one funnel, `_finish`. What is in flight is window.py's.

FIVE RULES

1. Doubt is a value. When the link is gone, `lost()` tells submits whose last byte left (unknown) from those whose
   last byte did not (not sent). A response time-out makes a submit unknown too, and ends the session, because a peer
   that forgets one answer may be forgetting more. An answer that comes after all surfaces as `late`.
2. Anything heard is life. enquire_link is sent only into silence, and any whole PDU proves the peer alive: a peer that is
   too busy to answer enquire_link but answers messages is not dead. Half a PDU, dripping, proves nothing.
3. A bad PDU costs itself, lost framing costs the link. After an undecodable body the next PDU is still where it should be:
   generic_nack, go on. After an unbelievable length nothing is: close. An *answer* is never bad: its header carries status
   and sequence, so it settles its request even if the message id cannot be read.
4. Nothing grows without a limit: window, unanswered requests of the peer, bytes that wait to leave, bad PDUs.
5. The hot path moves lists. Per message it makes one tuple and one dictionary entry; events are lists, not objects.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, TypeVar

from smpp import codec, control
from smpp import constants as c
from smpp.acts import OurSide
from smpp.errors import BadPdu, FramingLost
from smpp.events import Events, Login, SessionSettings
from smpp.fields import unpack_header as _header
from smpp.framing import HEADER_BYTES
from smpp.pdus import decode
from smpp.states import BINDS, MODES, PEER_SENDS, Do, Role, State
from smpp.window import Lost

__all__ = ["PEER_SENDS", "Events", "Login", "Lost", "Role", "Session", "SessionSettings", "State"]

T = TypeVar("T")

_ANSWERED, _TAKE, _UNKNOWN = Do.ANSWERED, Do.TAKE, Do.UNKNOWN  # an attribute of an Enum costs as much as a PDU's header
_DELIVER_SM: Final = int(c.DELIVER_SM)
_SUBMIT_SM_RESP: Final = int(c.SUBMIT_SM | c.RESPONSE)
_RUNS: Final = {
    HEADER_BYTES + chars + 1: Struct(f">IIII{chars}sB").iter_unpack for chars in range(1, codec.MESSAGE_ID_CHARS_MAX + 1)
}
"""Headers, message ids and what ends them, of many answers of one length."""
_RUN_BYTES_MIN: Final = 128
"""A read of a few PDUs is taken one by one."""
_BUSY: Final = {Role.ESME: c.ESME_RSYSERR, Role.SMSC: c.ESME_RMSGQFUL}


class Session(OurSide[T]):
    """The automaton. With `login` it is an ESME that will bind with it, without one an SMSC that awaits a bind.

    `T` is the type of the tokens that come back with the answers. `now` is monotonic seconds, here and everywhere. Methods
    that act for our side raise LocalProtocolError, and change nothing, when the state does not allow them; the ones
    that take what the peer sent never raise.
    """

    # -- what the peer does ----------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> Events[T]:
        """Takes bytes of the peer. Never raises: what is wrong with them is in the events."""
        events: Events[T] = Events()
        broken: str | None = None
        taken = self._read_run(data, events) if len(data) >= _RUN_BYTES_MIN and self._framer.fresh else 0
        try:
            pdus = self._framer.feed(data[taken:] if taken else data)
        except FramingLost as lost:
            pdus, broken = lost.pdus, lost.why
        if pdus or taken:
            self._heard_at = now
            self._asked_at = None
            self._read(pdus, now, events)
        if broken is not None and self.state is not State.CLOSED:
            self.say(control.generic_nack(0, c.ESME_RINVCMDLEN))
            self._close(f"framing_lost: {broken}")
        return self._finish(events, now)

    def _read_run(self, data: bytes, events: Events[T]) -> int:
        """Takes the answers that `data` begins with, as long as they are whole, of one length and ordinary: the same as `_read`
        makes of them, for half the time. Returns how many bytes that were."""
        length, command, _, _ = _header(data)
        run = _RUNS.get(length)
        if run is None or command != _SUBMIT_SM_RESP or self.role is Role.SMSC or length > self._framer.pdu_bytes_max:
            return 0
        pop, append, taken = self._window.in_flight.pop, events.answers.append, 0
        for size, its_command, status, sequence, message_id, end in run(data[: len(data) // length * length]):
            if size != length or its_command != command or end or not message_id.isalnum():
                break
            entry = pop(sequence, None)
            if entry is None:
                break
            append((entry[0], status, message_id.decode()))
            taken += length
        return taken

    def _read(self, pdus: list[bytes], now: float, events: Events[T]) -> None:
        # The hot loop. ANSWERED and TAKE are written out here since a call for each would cost a fifth of the budget.
        get, unanswered_max = self._actions.get, self.settings.unanswered_max
        pop, owed = self._window.in_flight.pop, self.owed
        answers, delivers, esme = events.answers, events.delivers, self.role is Role.ESME
        keep = esme and self.settings.answer_tlvs
        receipts, read_receipt = events.receipts, self.settings.read_receipt
        for pdu in pdus:
            _, command, status, sequence = _header(pdu)
            do = get(command, _UNKNOWN)
            try:
                if do is _ANSWERED:
                    entry = pop(sequence, None)
                    message_id = codec.decode_message_id(pdu) if esme else ""
                    if entry is not None:
                        answers.append((entry[0], status, message_id))
                        if keep and (tlvs := codec.decode_submit_sm_resp_tlvs(pdu)):
                            events.answer_tlvs.append((entry[0], tlvs))
                    else:
                        self._late_or_stray(sequence, status, message_id, events)
                elif do is _TAKE:
                    if owed >= unanswered_max:
                        self.say(codec.pdu(command | c.RESPONSE, _BUSY[self.role], sequence))
                        continue
                    deliver = command == _DELIVER_SM
                    if deliver and read_receipt is not None and (receipt := read_receipt(pdu, sequence)) is not None:
                        receipts.append(receipt)
                    elif deliver:
                        delivers.append(codec.decode_deliver_sm(pdu))
                    elif command == c.SUBMIT_SM:
                        events.submits.append(codec.decode_submit_sm(pdu))
                    else:
                        delivers.append(codec.decode_data_sm(pdu))
                        self._data_sms.add(sequence)
                    owed += 1
                else:
                    self.owed = owed
                    self._obey(do, pdu, now, events)
                    get, owed = self._actions.get, self.owed
            except BadPdu as bad:
                self._on_bad(bad, events)
                get = self._actions.get
        self.owed = owed
        if answers or delivers or receipts or events.submits:
            self._message_at = now

    def _on_bad(self, bad: BadPdu, events: Events[T]) -> None:
        events.bad.append(bad)
        self.say(control.generic_nack(bad.sequence, bad.status))
        self._bad_pdus += 1
        if self._bad_pdus > self.settings.bad_pdus_max:
            self._close("too_many_bad_pdus")

    def _late_or_stray(self, sequence: int, status: int, message_id: str, events: Events[T]) -> None:
        if sequence in self._window.late:
            events.late.append((self._window.late.pop(sequence), status, message_id))
        else:
            self.strays += 1

    def _obey(self, do: Do, pdu: bytes, now: float, events: Events[T]) -> None:
        """One word of the table, the two hot ones apart."""
        _, command, status, sequence = _header(pdu)
        match do:
            case Do.ECHO:
                self.say(codec.enquire_link_resp(sequence))
            case Do.ALIVE:
                self.strays += self._control.pop(sequence, 0) != c.ENQUIRE_LINK
            case Do.TOLD:
                told = self.questions.answered(pdu)
                events.told += [told] if told is not None else []
                self.strays += told is None
            case Do.ASKED if self.owed >= self.settings.unanswered_max:
                self.say(codec.pdu(command | c.RESPONSE, _BUSY[self.role], sequence))
            case Do.ASKED:
                events.asked.append(decode(pdu))
                self.owed += 1
            case Do.BIND:
                self._on_bind(control.decode_bind(pdu), now, events)
            case Do.IS_BOUND:
                self._on_is_bound(command, status, sequence, now, events)
            case Do.UNBIND:
                self.say(control.unbind_resp(sequence))
                self._close("peer_unbound")
            case Do.IS_UNBOUND:
                self._close(self._end_reason)
            case Do.NACK:
                self._on_nack(status or c.ESME_RUNKNOWNERR, sequence, events)  # a nack is no success, whatever it says
            case Do.REFUSE:
                again = command in BINDS and self.state is not State.OPEN
                self.say(codec.pdu(command | c.RESPONSE, c.ESME_RALYBND if again else c.ESME_RINVBNDSTS, sequence))
            case Do.UNKNOWN if not command & c.RESPONSE and self.state is not State.CLOSED:
                self.say(control.generic_nack(sequence, c.ESME_RINVCMDID))
            case Do.STRAY | Do.UNKNOWN:  # nacking an answer could make two automata nack each other for ever
                self.strays += 1

    def _on_bind(self, request: control.Bind, now: float, events: Events[T]) -> None:
        self.login = Login(request.system_id, request.password, MODES[request.mode], request.system_type, request.version)
        self._bind_request = (request.mode, request.sequence)
        self._deadline = now + self.settings.bind_timeout_s
        self._enter(State.BINDING)
        events.login = self.login

    def _on_is_bound(self, command: int, status: int, sequence: int, now: float, events: Events[T]) -> None:
        if self._control.get(sequence, 0) | c.RESPONSE != command:
            self.strays += 1
            return
        del self._control[sequence]
        if status == c.ESME_ROK:
            events.bound = True
            self._message_at = now
            self._enter(State.BOUND)
        else:
            events.refused = status
            self._close("bind_refused")

    def _on_nack(self, status: int, sequence: int, events: Events[T]) -> None:
        entry = self._window.in_flight.pop(sequence, None)
        command = self._control.pop(sequence, 0)
        if entry is not None:
            events.answers.append((entry[0], status, ""))
        elif command in BINDS:
            events.refused = status
            self._close("bind_refused")
        elif command == c.UNBIND:
            self._close(self._end_reason)
        elif (told := self.questions.nacked(sequence, status)) is not None:
            events.told.append(told)
        elif command == 0:
            self._late_or_stray(sequence, status, "", events)

    # -- what time does --------------------------------------------------------------------------------------------

    def tick(self, now: float) -> Events[T]:
        """Lets time pass: response timers, silence, and every waiting state's deadline. Call it about once a second."""
        events: Events[T] = Events()
        state, settings = self.state, self.settings
        if state in (State.OPEN, State.BINDING):
            if now >= self._deadline:
                self._close("bind_timeout")
        elif state is State.UNBINDING:
            if now >= self._deadline:
                self._close(self._end_reason)
        elif state is not State.CLOSED:
            events.told += self.questions.expired(now)
            events.timed_out, stuck = self._window.expire(now)
            if stuck:
                self._close("peer_does_not_read")
            elif events.timed_out:
                self.start_unbind(now, "response_timeout")
            elif settings.inactivity_s and now - self._message_at >= settings.inactivity_s:
                self.start_unbind(now, "inactivity")
            self._listen_into_silence(now)
        return self._finish(events, now)

    def _listen_into_silence(self, now: float) -> None:
        every_s = self.settings.enquire_link_s
        if self._asked_at is not None:
            if now - self._asked_at >= self.settings.enquire_answer_s:
                self._close("peer_dead")
        elif every_s and now - self._heard_at >= every_s:
            self.say(codec.enquire_link(self._ask(c.ENQUIRE_LINK)))
            self._asked_at = now

    def _finish(self, events: Events[T], now: float) -> Events[T]:
        """The funnel through which every event leaves: rules that hold after each step."""
        if self.state is State.DRAINING:
            self._unbind_if_drained(now)
        if self._window.queued - self._taken > self.settings.out_bytes_max:
            self._close("peer_does_not_read")
        if self.state is State.CLOSED and not self._told:
            self._told, events.close = True, self.close_reason
        return events
