"""One SMPP session, both roles, as an automaton: bytes and time in; bytes, events and one verdict on what was lost out.

It does no IO and reads no clock: `receive(data, now)` and `tick(now)` are told what came and when, `outgoing()` says what
is to be written, `wrote(n)` is told what really left. It refuses to know what a message says, what a status means
(smpp/status.py), when to connect again, and how fast to send.

THEORY

The roles are mirror images. An ESME sends submit_sm and answers deliver_sm; an SMSC sends deliver_sm and answers
submit_sm. So there is one automaton with two columns of names, and everything hard (window, timers, ending) is
written once. Which side of the mirror we are on is decided by having a login to bind with.

The automaton itself is a table, `PEER_SENDS` in states.py: what a command of the peer does, by role and state. What is
here is one case for each word of that table (`_read` for the two hot ones, `_obey` for the rest), and one method for each
thing that our own side may do. All events leave through one funnel, `_finish`. What is in flight is window.py's.

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

from collections.abc import Iterable, Sequence
from functools import partial
from math import inf
from typing import Final, Generic, TypeVar

from smpp import codec, control
from smpp import constants as c
from smpp.errors import BadPdu, FramingLost, LocalProtocolError
from smpp.events import Events, Login, SessionSettings
from smpp.fields import unpack_header as _header
from smpp.framing import Framer
from smpp.states import BINDS, MODES, PEER_SENDS, SENDING_MODES, Do, Role, State, actions
from smpp.window import Lost, Window

__all__ = ["PEER_SENDS", "Events", "Login", "Lost", "Role", "Session", "SessionSettings", "State"]

T = TypeVar("T")

_SENDS: Final = {Role.ESME: c.SUBMIT_SM, Role.SMSC: c.DELIVER_SM}
_ANSWERED, _TAKE, _UNKNOWN = Do.ANSWERED, Do.TAKE, Do.UNKNOWN  # an attribute of an Enum costs as much as a PDU's header
_DELIVER_SM: Final = int(c.DELIVER_SM)
_BUSY: Final = {Role.ESME: c.ESME_RSYSERR, Role.SMSC: c.ESME_RMSGQFUL}


class Session(Generic[T]):
    """The automaton. With `login` it is an ESME that will bind with it, without one an SMSC that awaits a bind.

    `T` is the type of the tokens that come back with the answers. `now` is monotonic seconds, here and everywhere. Methods
    that act for our side raise LocalProtocolError, and change nothing, when the state does not allow them; the ones
    that take what the peer sent never raise.
    """

    def __init__(
        self, settings: SessionSettings, login: Login | None = None, *, now: float = 0.0, last_sequence: int = 0
    ) -> None:
        self.settings = settings
        self.role = Role.SMSC if login is None else Role.ESME
        self.login = login
        self.state = State.OPEN
        self.strays = self._bad_pdus = 0  # answers to nothing we asked; PDUs nobody can read
        self.close_reason: str | None = None  # why the link should be closed, once
        self._window: Window[T] = Window(settings.window, last_sequence)
        self._framer = Framer(settings.pdu_bytes_max)
        self._out: list[bytes] = []
        self._taken = 0  # stream offset after the last byte that outgoing() gave away
        self._data_sms: set[int] = set()  # requests of the peer, not answered yet, that want a data_sm_resp
        self.owed = 0  # requests of the peer that our owner has not answered yet
        self._bind_request: tuple[control.BindMode, int] | None = None  # SMSC: the bind to be answered and its sequence
        self._control: dict[int, int] = {}  # sequence -> command of our control requests in flight
        self._told, self._end_reason = False, ""  # close_reason has been an event; why we drain
        self._deadline = now + settings.bind_timeout_s if login is None else inf
        self._heard_at = self._message_at = now
        self._asked_at: float | None = None
        self._actions: dict[int, Do] = {}
        self._enter(State.OPEN)

    # -- what our side does ----------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many requests `submit` would take now."""
        if self.state is not State.BOUND or self.login is None or self.login.mode not in SENDING_MODES[self.role]:
            return 0
        return self._window.requests_max - len(self._window.in_flight)

    @property
    def in_flight(self) -> int:
        """Requests of ours without an answer; those that timed out are not counted."""
        return len(self._window.in_flight)

    def start_bind(self, now: float) -> None:
        """ESME: sends the bind. `bound` or `refused` follow, or `close` after bind_timeout_s."""
        if self.login is None or self.state is not State.OPEN:
            raise LocalProtocolError(f"cannot bind: role {self.role.value}, state {self.state.name}")
        login, mode = self.login, control.BindMode.of(self.login.mode)
        request = partial(control.bind, mode, login.system_id, login.password, system_type=login.system_type)
        request(version=login.version)  # raises for a field that does not fit before anything has changed
        self.say(request(version=login.version, sequence=self._ask(mode.value)))
        self._deadline = now + self.settings.bind_timeout_s
        self._heard_at = now
        self._enter(State.BINDING)

    def accept_bind(self, system_id: str, now: float) -> None:
        """SMSC: answers the bind request of `Events.login`."""
        self._answer_bind(c.ESME_ROK, system_id)
        self._message_at = now
        self._enter(State.BOUND)

    def refuse_bind(self, status: int) -> None:
        """SMSC: answers the bind request with an error and closes: a second guess needs a new connection."""
        self._answer_bind(status, "")
        self._close("bind_refused")

    def submit(self, items: Sequence[tuple[bytes, T]], now: float) -> None:
        """Sends requests (submit_sm as ESME, deliver_sm as SMSC) from (body, token) pairs; body is what follows the header.

        Raises LocalProtocolError for more than `room`: none of them was sent.
        """
        if len(items) > self.room:
            raise LocalProtocolError(f"{len(items)} requests, room for {self.room} (state {self.state.name})")
        self._message_at = now
        self._window.send(_SENDS[self.role], items, now + self.settings.response_timeout_s, self._out)

    def answer_delivers(self, sequences: Iterable[int], status: int = c.ESME_ROK) -> None:
        """ESME: answers deliver_sm. In CLOSED it does nothing: there is nobody left to answer."""
        data_sms = self._data_sms
        if not data_sms:
            self._reply([codec.deliver_sm_resp(sequence, status) for sequence in sequences])
            return
        answers = [(codec.data_sm_resp if each in data_sms else codec.deliver_sm_resp, each) for each in sequences]
        data_sms.difference_update(each for _, each in answers)
        self._reply([make(each, status) for make, each in answers])

    def answer_submits(self, answers: Iterable[tuple[int, int, str]]) -> None:
        """SMSC: answers submit_sm with (sequence, status, message_id)."""
        self._reply([codec.submit_sm_resp(sequence, status, message_id) for sequence, status, message_id in answers])

    def start_unbind(self, now: float, reason: str = "unbound") -> None:
        """Ends politely: no more requests; answers are awaited for drain_s, then unbind. In OPEN and BINDING it closes."""
        if self.state in (State.OPEN, State.BINDING):
            self._close(reason)
        elif self.state is State.BOUND:
            self._end_reason = reason
            self._deadline = now + self.settings.drain_s
            self._enter(State.DRAINING)
            self._unbind_if_drained(now)

    def outgoing(self) -> bytes:
        """Takes the bytes to be written, in order. What is taken must be written or the link given up."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        self._taken += len(data)
        return data

    @property
    def has_outgoing(self) -> bool:
        """Is there anything to write?"""
        return bool(self._out)

    def wrote(self, byte_count: int) -> None:
        """So many more bytes really left (the operating system took them)."""
        window = self._window
        if byte_count < 0 or window.left + byte_count > window.queued:
            raise LocalProtocolError(f"wrote({byte_count}): only {window.queued - window.left} bytes were waiting")
        window.left += byte_count

    def lost(self) -> Lost[T]:
        """The link is gone: what remains in flight, once, as unknown or not sent. The session is closed from here on."""
        self._close("lost")
        return self._window.lose()

    # -- what the peer does ----------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> Events[T]:
        """Takes bytes of the peer. Never raises: what is wrong with them is in the events."""
        events: Events[T] = Events()
        broken: str | None = None
        try:
            pdus = self._framer.feed(data)
        except FramingLost as lost:
            pdus, broken = lost.pdus, lost.why
        if pdus:
            self._heard_at = now
            self._asked_at = None
            self._read(pdus, now, events)
        if broken is not None and self.state is not State.CLOSED:
            self.say(control.generic_nack(0, c.ESME_RINVCMDLEN))
            self._close(f"framing_lost: {broken}")
        return self._finish(events, now)

    def _read(self, pdus: list[bytes], now: float, events: Events[T]) -> None:
        # The hot loop. ANSWERED and TAKE are written out here since a call for each would cost a fifth of the budget.
        get, unanswered_max = self._actions.get, self.settings.unanswered_max
        pop, owed = self._window.in_flight.pop, self.owed
        answers, delivers, esme = events.answers, events.delivers, self.role is Role.ESME
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
                    self._obey(do, pdu, now, events)
                    get = self._actions.get
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

    def _unbind_if_drained(self, now: float) -> None:
        if not self._window.in_flight or now >= self._deadline:
            self.say(control.unbind(self._ask(c.UNBIND)))
            self._deadline = now + self.settings.unbind_timeout_s
            self._enter(State.UNBINDING)

    # -- small parts -----------------------------------------------------------------------------------------------

    def _enter(self, state: State) -> None:
        self.state = state
        self._actions = actions(self.role, state, "" if self.login is None else self.login.mode)

    def _close(self, reason: str) -> None:
        if self.state is not State.CLOSED:
            self.close_reason = reason
            self._enter(State.CLOSED)

    def say(self, data: bytes) -> None:
        """Queues bytes as they are; public so that a simulated peer can talk nonsense."""
        self._out.append(data)
        self._window.queued += len(data)

    def _reply(self, pdus: list[bytes]) -> None:
        self.owed -= len(pdus)
        if self.state is not State.CLOSED:
            self.say(b"".join(pdus))

    def _ask(self, command: int) -> int:
        if len(self._control) > 8:  # enquire_links that were never answered since other traffic proved life
            del self._control[next(iter(self._control))]
        (sequence,) = self._window.sequences(1)
        self._control[sequence] = command
        return sequence

    def _answer_bind(self, status: int, system_id: str) -> None:
        if self._bind_request is None or self.state is not State.BINDING:
            raise LocalProtocolError(f"no bind to answer: role {self.role.value}, state {self.state.name}")
        mode, sequence = self._bind_request
        self.say(control.bind_resp(mode, status, sequence, system_id))
