"""How deliver_sm are answered: each once, in one write for each link.

It refuses to know what a deliver_sm is about and when it is durable (receipts.py, handsets.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from dispatcher.engine.works import Token
from smpp.link import Link

SYSTEM_ERROR: Final = 8
"""ESME_RSYSERR: the carrier delivers it again."""
MANY: Final = 50
"""So many at once show that more are on their way."""


class Arrived(Protocol):
    """What is known of its read: the link over which it came; None: nobody waits for an answer."""

    link: Link[Token] | None


class Owed(Protocol):
    """A deliver_sm that is to be answered."""

    answered: bool
    sequence: int

    @property
    def read(self) -> Arrived:
        """The read that brought it."""


def answer(link: Link[Token], sequences: list[int], status: int) -> None:
    """Answers deliver_sm of a link, unless it has ended meanwhile: then they come again over another."""
    if sequences and link.ended is None:
        link.answer(sequences, status)


def reply(items: Iterable[Owed], status: int) -> None:
    """Answers those that have no answer yet."""
    links: dict[Link[Token], list[int]] = {}
    for item in items:
        link = item.read.link
        if link is not None and not item.answered:
            item.answered = True
            links.setdefault(link, []).append(item.sequence)
    for link, sequences in links.items():
        answer(link, sequences, status)


class Company:
    """Many answers at once wait for what their link writes next: in a stream of messages that is a moment, and saves the write.
    True while some do."""

    __slots__ = ("_links",)

    def __init__(self) -> None:
        self._links: set[Link[Token]] = set()

    def __bool__(self) -> bool:
        return bool(self._links)

    def answer(self, link: Link[Token], sequences: list[int]) -> None:
        """Answers deliver_sm that are durable; a few at once."""
        if len(sequences) < MANY or link.ended is not None:
            answer(link, sequences, 0)
            return
        link.answer(sequences, hurry=False)
        self._links.add(link)

    def over(self) -> None:
        """Has waited for long enough."""
        while self._links:
            self._links.pop().hasten()
