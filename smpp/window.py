"""The window: which requests we have sent and have no answer for, and what is known of each when the link dies.

It knows sequence numbers, byte counts and times. It refuses to know what a request says, who waits for it (a token,
opaque), and what an answer means.

Theory. A request passes through three places: our buffer, the wire, the peer. Nobody tells us when it changes from one
to the next, except that the operating system says how many bytes it took. That is enough: the window keeps, for
each request, the stream offset at which its last byte ends, and one number, `left`, of how many bytes have really
gone. A PDU whose last byte has not gone cannot have been accepted by anybody, because a truncated PDU is not a PDU: it is
*not sent*, and sending it again is safe. Every other unanswered one is *unknown*, and no protocol can tell more.

Response timers need no heap: all requests get the same time, so deadlines are in the order of sending, and one entry
per batch in a FIFO is enough; an entry whose requests have all been answered is dropped when it comes to the front.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

SEQUENCE_MAX: Final = 0x7FFFFFFF
_HEADER: Final = struct.Struct(">IIII")


class Lost(NamedTuple, Generic[T]):
    """What a dead link leaves behind, each list in the order of submission.

    unknown   the last byte left and no answer came: the peer may have accepted it
    not_sent  the last byte never left: nobody can have accepted it
    """

    unknown: list[T]
    not_sent: list[T]


class Window(Generic[T]):
    """Requests in flight, at most `requests_max`; every answer is taken at most once.

    `in_flight` maps a sequence number to (token, offset of its last byte's end), in the order of sending. `late` maps
    the sequence of a request whose timer ran out to its token, so that an answer after all is recognised. It needs
    no limit of its own: the session takes no new requests after the first time-out, so late <= requests_max.
    """

    __slots__ = ("_last_sequence", "_timers", "in_flight", "late", "left", "peak", "queued", "requests_max")

    def __init__(self, requests_max: int, last_sequence: int = 0) -> None:
        self.requests_max = requests_max
        self.in_flight: dict[int, tuple[T, int]] = {}
        self.late: dict[int, T] = {}
        self.queued = 0  # stream offset after the last byte ever queued, cumulative
        self.left = 0  # stream offset after the last byte that really left, cumulative
        self.peak = 0  # most requests ever in flight
        self._last_sequence = last_sequence
        self._timers: deque[tuple[float, Sequence[int]]] = deque()

    def sequences(self, count: int) -> Sequence[int]:
        """The next `count` numbers of 1..0x7fffffff, none of them in flight or late. They are consumed."""
        first = self._last_sequence + 1
        last = self._last_sequence + count
        if last <= SEQUENCE_MAX:
            block = range(first, last + 1)
            if self.in_flight.keys().isdisjoint(block) and not self.late:
                self._last_sequence = last
                return block
        return self._careful_sequences(count)

    def _careful_sequences(self, count: int) -> Sequence[int]:
        """The same around the wrap, one by one. Ends because in flight and late are far fewer than the numbers."""
        taken: list[int] = []
        candidate = self._last_sequence
        while len(taken) < count:
            candidate = candidate + 1 if candidate < SEQUENCE_MAX else 1
            if candidate not in self.in_flight and candidate not in self.late:
                taken.append(candidate)
        self._last_sequence = candidate
        return taken

    def send(self, command: int, items: Sequence[tuple[bytes, T]], deadline: float, out: list[bytes]) -> None:
        """Puts (body, token) pairs into flight and their PDUs into `out`. The caller has checked that there is room."""
        sequences = self.sequences(len(items))
        offset = self.queued
        in_flight = self.in_flight
        pack = _HEADER.pack
        for sequence, (body, token) in zip(sequences, items, strict=True):
            size = 16 + len(body)
            offset += size
            out.append(pack(size, command, 0, sequence))
            out.append(body)
            in_flight[sequence] = (token, offset)
        self.queued = offset
        self._timers.append((deadline, sequences))
        self.peak = max(self.peak, len(in_flight))

    def expire(self, now: float) -> tuple[list[T], bool]:
        """Moves requests past their deadline to `late`; also says whether some were due whose bytes never left.

        Those stay in flight: nothing is unknown about them, the link is just not taking bytes.
        """
        expired: list[T] = []
        stuck = False
        timers = self._timers
        in_flight = self.in_flight
        while timers:
            deadline, sequences = timers[0]
            if deadline <= now:
                for sequence in sequences:
                    entry = in_flight.get(sequence)
                    if entry is None:
                        continue
                    token, end = entry
                    if end > self.left:
                        stuck = True
                        continue
                    del in_flight[sequence]
                    self.late[sequence] = token
                    expired.append(token)
            elif not in_flight.keys().isdisjoint(sequences):
                break
            timers.popleft()
        return expired, stuck

    def lose(self) -> Lost[T]:
        """Empties the window into its two kinds of doubt. A second call finds nothing."""
        lost: Lost[T] = Lost([], [])
        for token, end in self.in_flight.values():
            (lost.unknown if end <= self.left else lost.not_sent).append(token)
        self.in_flight.clear()
        self._timers.clear()
        return lost
