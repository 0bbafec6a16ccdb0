"""An SMPP server: accepts links, judges binds, keeps the session cap, hands requests over in batches.

It refuses to know what a message is worth: a `Handler` answers. Each link is a Link over a Session in the role of the SMSC, so
what is true of the client (window, timers, what is lost) is true here too, with deliver_sm in the place of submit_sm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Protocol, runtime_checkable

import trio

from smpp import constants as c
from smpp.codec import SubmitSm
from smpp.link import Ended, Link
from smpp.pdus import Pdu
from smpp.questions import refusal
from smpp.session import Events, Login, Session, SessionSettings

SMSC_SESSION: Final = SessionSettings(window=500, enquire_link_s=60.0, inactivity_s=0.0)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """system_id: our name in bind answers. links_max: TCP links at once, bound or not; more are closed at once."""

    system_id: str = "SMSC"
    session: SessionSettings = field(default=SMSC_SESSION)
    links_max: int = 1_000
    tick_s: float = 0.5


class Peer:
    """One accepted link. `login` is None until it has bound; `number` is unique in this server's life."""

    __slots__ = ("link", "login", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.login: Login | None = None
        self.link: Link[object]

    def answer(self, answers: Iterable[tuple[int, int, str]], tlvs: bytes = b"") -> None:
        """Answers submit_sm: (sequence, status, message_id), with TLVs. After the link's end it does nothing."""
        self.link.answer_submits(answers, tlvs)

    def tell(self, answer: Pdu) -> None:
        """Answers a question, under its sequence number. After the link's end it does nothing."""
        self.link.answer_question(answer)

    def deliver(self, items: Iterable[tuple[bytes, object]]) -> None:
        """Queues deliver_sm bodies with tokens; answers, or the link's end, bring the tokens back."""
        self.link.queue(items)

    @property
    def receives(self) -> bool:
        """Can it be sent deliver_sm?"""
        return self.login is not None and self.login.mode != "tx" and self.link.ended is None


class Handler(Protocol):
    """What a server's owner does. Every method is called in a link's task and must not block."""

    def judge(self, peer: Peer, login: Login, /) -> int:
        """The status to answer a bind with; ESME_ROK lets it in."""

    def bound(self, peer: Peer) -> None:
        """The peer is in."""

    def submits(self, peer: Peer, submits: Sequence[SubmitSm]) -> None:
        """A batch, to be answered by `peer.answer`, now or later."""

    def delivered(self, peer: Peer, answers: Sequence[tuple[object, int, str]]) -> None:
        """Answers to deliver_sm: (token, status, "")."""

    def ended(self, peer: Peer, ended: Ended[object]) -> None:
        """The link is gone; also called for peers that never bound."""


@runtime_checkable
class Asked(Protocol):
    """What a handler has besides when it answers questions about messages; one without it refuses them."""

    def asked(self, peer: Peer, questions: Sequence[Pdu]) -> None:
        """query_sm and cancel_sm, each to be answered by `peer.tell`, now or later."""


class Server:
    """Keeps the set of peers. `serve` runs it; `drop_all` ends every link without a word."""

    def __init__(self, settings: ServerSettings, handler: Handler, *, clock: Callable[[], float] = trio.current_time) -> None:
        self.settings = settings
        self.peers: dict[int, Peer] = {}
        self._handler = handler
        self._clock = clock
        self._numbers = count(1)

    def bound_as(self, system_id: str) -> list[Peer]:
        """The bound peers of a system_id, oldest first."""
        return [peer for peer in self.peers.values() if peer.login is not None and peer.login.system_id == system_id]

    async def drop_all(self, reason: str = "dropped") -> None:
        """Ends every link without unbinding; returns when they are gone."""
        for peer in list(self.peers.values()):
            peer.link.drop(reason)
            await peer.link.done()

    async def serve(self, listeners: Sequence[trio.abc.Listener[trio.abc.Stream]]) -> None:
        """Accepts until cancelled; then every link is dropped. Closes the listeners. Never returns by itself."""
        await trio.serve_listeners(self.serve_stream, list(listeners))

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serves one accepted stream until its end."""
        if len(self.peers) >= self.settings.links_max:
            await trio.aclose_forcefully(stream)
            return
        peer = Peer(next(self._numbers))
        session: Session[object] = Session(self.settings.session, now=self._clock())

        def on_events(events: Events[object]) -> None:
            self._on_events(peer, session, events)

        peer.link = Link(stream, session, on_events=on_events, clock=self._clock, tick_s=self.settings.tick_s)
        self.peers[peer.number] = peer
        try:
            await peer.link.run()
        finally:
            del self.peers[peer.number]
            if peer.link.ended is not None:
                self._handler.ended(peer, peer.link.ended)

    def _on_events(self, peer: Peer, session: Session[object], events: Events[object]) -> None:
        if events.login is not None:
            status = self._handler.judge(peer, events.login)
            if status == c.ESME_ROK:
                session.accept_bind(self.settings.system_id, self._clock())
                peer.login = events.login
                self._handler.bound(peer)
            else:
                session.refuse_bind(status)
        if events.submits:
            self._handler.submits(peer, events.submits)
        if events.answers:
            self._handler.delivered(peer, events.answers)
        if events.asked and isinstance(self._handler, Asked):
            self._handler.asked(peer, events.asked)
        else:
            for question in events.asked:
                peer.tell(refusal(question))
