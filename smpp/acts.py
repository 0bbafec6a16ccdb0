"""What our side of a session does: it binds, submits, answers, asks and ends, and all of it becomes bytes that wait to leave.

The half of a session that nobody has to hear anything for: states, window and the bytes on their way out. What the peer's words
and the passing of time do is session.py's, where the theory stands too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Final, Generic, TypeVar

from smpp import codec, control
from smpp import constants as c
from smpp.errors import LocalProtocolError
from smpp.events import Login, SessionSettings
from smpp.framing import Framer
from smpp.pdus import Pdu, encode
from smpp.questions import Questions
from smpp.states import SENDING_MODES, Do, Role, State, actions
from smpp.window import Lost, Window

T = TypeVar("T")

_SENDS: Final = {Role.ESME: c.SUBMIT_SM, Role.SMSC: c.DELIVER_SM}


class OurSide(Generic[T]):
    """The base of Session."""

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
        self.questions = Questions(settings.questions, settings.question_timeout_s)
        self._control: dict[int, int] = {}  # sequence -> command of our control requests in flight
        self._told, self._end_reason = False, ""  # close_reason has been an event; why we drain
        self._deadline = now + settings.bind_timeout_s if login is None else inf
        self._heard_at = self._message_at = now
        self._asked_at: float | None = None
        self._actions: Mapping[int, Do] = {}
        self._enter(State.OPEN)

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

    def answer_submits(self, answers: Iterable[tuple[int, int, str]], tlvs: bytes = b"") -> None:
        """SMSC: answers submit_sm with (sequence, status, message_id), each with these TLVs behind it."""
        self._reply([codec.submit_sm_resp(sequence, status, message_id, tlvs) for sequence, status, message_id in answers])

    def ask(self, question: Pdu, token: object, now: float) -> None:
        """ESME: sends a query_sm or cancel_sm beside the window; `Events.told` brings what becomes of it. Raises
        LocalProtocolError unless bound to send and with room in `questions`."""
        if self.state is not State.BOUND or self.login is None or self.login.mode not in SENDING_MODES[self.role]:
            raise LocalProtocolError(f"cannot ask: role {self.role.value}, state {self.state.name}")
        self.say(self.questions.ask(question, token, now, self._next))

    def answer_question(self, answer: Pdu) -> None:
        """SMSC: answers one of `Events.asked`, under its sequence number."""
        self._reply([encode(answer)])

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

    # -- small parts -----------------------------------------------------------------------------------------------

    def _unbind_if_drained(self, now: float) -> None:
        if not self._window.in_flight or now >= self._deadline:
            self.say(control.unbind(self._ask(c.UNBIND)))
            self._deadline = now + self.settings.unbind_timeout_s
            self._enter(State.UNBINDING)

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
        sequence = self._next()
        self._control[sequence] = command
        return sequence

    def _next(self) -> int:
        return self._window.sequences(1)[0]

    def _answer_bind(self, status: int, system_id: str) -> None:
        if self._bind_request is None or self.state is not State.BINDING:
            raise LocalProtocolError(f"no bind to answer: role {self.role.value}, state {self.state.name}")
        mode, sequence = self._bind_request
        self.say(control.bind_resp(mode, status, sequence, system_id))
