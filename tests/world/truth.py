"""What really happened to each submission and each receipt, as only somebody who sees both ends can know.

It refuses to know what the dispatcher thinks of it.
"""

from __future__ import annotations

from typing import Any, Protocol


class Submission:
    """One submit_sm that an engine has begun to write. Instants in seconds, -1 for never.

    `attempt`: the number that the durable record gave it. `accepted`: the carrier has taken it and will deliver it. `status`
    and `id` are the answer's; `answered_at` when it was written, `read_at` when the engine had read all of it; `overtaken`: a
    newer round of its message had been written ahead by then."""

    __slots__ = (
        "accepted", "answered_at", "attempt", "carrier", "id", "left_at", "life", "offered_at", "overtaken", "part", "read_at",
        "receipts", "received_at", "reference", "send", "sequence", "status", "total", "wire",
    )  # fmt: skip

    def __init__(self, wire: Any, sequence: int, send: int, part: int, total: int, reference: int, at: float) -> None:
        self.wire = wire
        self.life = wire.life
        self.carrier: str = wire.name
        self.sequence = sequence
        self.send = send
        self.part = part
        self.total = total
        self.reference = reference
        self.attempt = 0
        self.offered_at = at
        self.left_at = self.received_at = self.answered_at = self.read_at = -1.0
        self.accepted = self.overtaken = False
        self.status = -1
        self.id = ""
        self.receipts: list[Receipt] = []

    @property
    def refused(self) -> bool:
        """Did an engine read that the carrier does not take it?"""
        return self.read_at >= 0 and self.status != 0


class Receipt:
    """One word of a carrier about a submission; `submission` None: of a message that nobody sent. `acked_at`: when an
    engine's ESME_ROK was written, -1 never; `read_at`: when an engine had read it first."""

    __slots__ = ("acked_at", "code", "id", "read_at", "state", "submission", "tries")

    def __init__(self, submission: Submission | None, id: str, state: str, code: str) -> None:  # noqa: A002
        self.submission = submission
        self.id = id
        self.state = state
        self.code = code
        self.acked_at = self.read_at = -1.0
        self.tries = 0

    @property
    def interim(self) -> bool:
        """Does it leave the outcome open?"""
        return self.state in {"ENROUTE", "ACCEPTD"}


class Observer(Protocol):
    """Who is told what carriers do."""

    def received(self, submission: Submission) -> None:
        """All of it has arrived."""

    def answered(self, submission: Submission, words: str) -> None:
        """The carrier has decided, and perhaps answered."""

    def receipt_sent(self, receipt: Receipt, wire: Any) -> None:
        """A deliver_sm was written."""

    def fault(self, kind: str, moment: str) -> None:
        """The carrier did something that it should not."""


def same(one: str, other: str) -> bool:
    """Are these two spellings of one carrier's message id?"""
    return plain(one) == plain(other)


def plain(text: str) -> str:
    """An id without what carriers vary: letter case and leading zeros."""
    return text.lower().lstrip("0")
