"""Two sessions, one of each role, driven against each other over a wire that is two byte strings."""

from __future__ import annotations

from collections.abc import Iterable

from smpp.codec import SubmitTemplate
from smpp.events import Events
from smpp.session import Login, Session, SessionSettings, State

TEMPLATE = SubmitTemplate("Sender", source_ton=5, source_npi=0, dest_ton=1, dest_npi=1)
BODY = TEMPLATE.body("447700900001", b"hello")
LOGIN = Login("shop", "secret")


def submits(*tokens: str) -> list[tuple[bytes, str]]:
    """One request for each token."""
    return [(BODY, token) for token in tokens]


class ConnectionPair:
    """An ESME and an SMSC. `chunk` is how many bytes the wire carries at a time (0: all)."""

    def __init__(
        self, settings: SessionSettings | None = None, login: Login = LOGIN, *, chunk: int = 0, last_sequence: int = 0
    ) -> None:
        settings = settings or SessionSettings()
        self.esme: Session[str] = Session(settings, login, last_sequence=last_sequence)
        self.smsc: Session[str] = Session(settings)
        self.chunk = chunk
        self.now = 0.0

    def carry(self, source: Session[str], target: Session[str]) -> Events[str]:
        """All that `source` has to say reaches `target`; the events of all chunks in one."""
        data = source.outgoing()
        source.wrote(len(data))
        return feed(target, data, self.now, self.chunk)

    def to_smsc(self) -> Events[str]:
        return self.carry(self.esme, self.smsc)

    def to_esme(self) -> Events[str]:
        return self.carry(self.smsc, self.esme)

    def bind(self) -> ConnectionPair:
        """Both are BOUND afterwards."""
        self.esme.start_bind(self.now)
        assert self.to_smsc().login == self.esme.login
        self.smsc.accept_bind("SMSC", self.now)
        assert self.to_esme().bound
        assert (self.esme.state, self.smsc.state) == (State.BOUND, State.BOUND)
        return self


def feed(session: Session[str], data: bytes, now: float, chunk: int = 0) -> Events[str]:
    """Feeds `data` in pieces of `chunk` bytes and gathers the events."""
    size = chunk or max(len(data), 1)
    return feed_pieces(session, [data[start : start + size] for start in range(0, len(data), size)], now)


def feed_pieces(session: Session[str], pieces: Iterable[bytes], now: float) -> Events[str]:
    """Feeds one read after the other and gathers the events: lists joined, of everything else the first that was said."""
    whole: Events[str] = Events()
    for piece in pieces:
        part = session.receive(piece, now)
        for name in Events.__slots__ if part else ():
            value, found = getattr(part, name), getattr(whole, name)
            if isinstance(found, list):
                found.extend(value)
            elif found is None or found is False:
                setattr(whole, name, value)
    return whole
