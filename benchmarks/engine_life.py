"""What a message's life costs the engine between its links and the store: CPU microseconds per message, by stage.

`python -m benchmarks.engine_life [--batch 200] [--batches 10] [--runs 9] [--segments 1] [--json FILE]`

Every run makes new messages and leads all of them through one stage before the next begins: claimed and handed to a link
(feeder), answered (answered), settled (committer), receipts taken (arrived) and applied (receipts). So every stage meets data
that have left the processor's caches meanwhile, as in an engine. The figure is the median over the runs of process time. The
store's side is real up to its bytes; a server's replies are ready made and parsed.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import hiredis

from benchmarks.stage_world import FENCE, SAMPLE, T0, Bench, Canned, finish
from benchmarks.tables import spread, stages_main
from dispatcher.core.model import State
from dispatcher.core.ports import Owner
from dispatcher.engine.feeder import Feeder
from dispatcher.engine.works import Seat, Token
from dispatcher.store import records
from smpp import codec
from smpp import constants as c
from smpp.codec import DeliverSm

SEATS = 4


class Server(Canned):
    """Answers pops and reads of bodies too, in bytes that are parsed."""

    def __init__(self) -> None:
        super().__init__()
        self.ready_bodies: list[bytes] = []

    async def exchange(self, wire: bytes, replies: int, timeout_s: float) -> list[Any]:
        """See Canned."""
        start = wire[:60]
        if (at := wire.find(b"*2\r\n$5\r\nWATCH")) >= 0 and b"$4\r\nEVAL\r\n" in wire:  # a guarded commit
            before = int(at > 0)
            return [1] * before + [b"OK", 1, b"OK", *[b"QUEUED"] * (replies - before - 4), []]
        if replies == 1 and (self.ready or self.ready_bodies) and (b"EVALSHA" in start or b"HMGET" in start):
            data, self.ready = (self.ready, b"") if self.ready else (self.ready_bodies.pop(0), b"")
            reader = hiredis.Reader()
            reader.feed(data)
            return [reader.gets()]
        if b"EVALSHA" in start and replies == 1:
            return [1]
        if b"HDEL" in start or b"HMGET" in start:
            return [1] * replies
        if replies > 4:
            before = wire[: wire.find(b"MULTI")].count(b"\r\n*")
            return [b"OK"] * (before + 1) + [b"QUEUED"] * (replies - before - 4) + [[], b"OK", b"%d" % FENCE]
        return await super().exchange(wire, replies, timeout_s)


class Wire:
    """A link that keeps what it is given."""

    ended = None
    queued = 0

    def __init__(self) -> None:
        self.items: list[tuple[bytes, Token]] = []
        self.answered = self.unhurried = 0

    held = 0

    def queue(self, items: list[tuple[bytes, Token]], *, urgent: bool = False) -> None:
        """A Link's."""
        assert not urgent
        self.items += items

    def answer(self, sequences: list[int], status: int = 0, *, hurry: bool = True) -> None:
        """A Link's."""
        assert status == 0
        self.answered += len(sequences)
        self.unhurried += not hurry


class Life(Bench):
    """One engine's tasks on ready-made replies."""

    def __init__(self, batch: int, segments: int = 1) -> None:
        super().__init__(batch, segments)
        self.replies_of = Server()
        self.store.driver = self.replies_of
        self.works.sending_until = 1e12
        self.works.owner = Owner("bench", FENCE)
        carrier = self.settings.carrier[0]
        self.seats = [Seat(carrier, carrier.bind[0], "b0", n, n, window=batch * segments) for n in range(SEATS)]
        for seat in self.seats:
            seat.up = True
            seat.link = Wire()  # type: ignore[assignment]
            self.works.pool.add(seat)
            self.works.seats.append(seat)
        self.feeder = Feeder(self.works, self.committer, self.book)
        self.store.admitted.popped(b"0")
        self.store._windows["sink"] = [1]

    def replies(self) -> tuple[bytes, bytes]:
        """The pop's reply and the bodies' of a new batch."""
        admissions = self.admissions()
        self.store.admitted.keep([a.id for a in admissions], [a.body for a in admissions], [0] * len(admissions), T0)
        ids = b"".join(b"$26\r\n%b\r\n" % a.id.encode() for a in admissions)
        bodies = [records.pack(a.body) for a in admissions]
        return (
            b"*3\r\n*%d\r\n%b*0\r\n$1\r\n0\r\n" % (len(admissions), ids),
            b"*%d\r\n%b" % (len(bodies), b"".join(b"$%d\r\n%b\r\n" % (len(b), b) for b in bodies)),
        )


def wire_of(seat: Seat) -> Wire:
    """The seat's link as what it is here."""
    return cast("Wire", seat.link)


def receipt(sequence: int, carrier_id: str) -> DeliverSm:
    """A receipt as a carrier writes it."""
    text = f"id:{carrier_id} sub:001 dlvrd:001 submit date:2611221200 done date:2611221201 stat:DELIVRD err:000 text:"
    body = codec.deliver_sm_body("4479000000", "Acme", text.encode(), esm_class=4)
    return codec.decode_deliver_sm(codec.pdu(c.DELIVER_SM, 0, sequence, body))


def one_run(life: Life, batches: int, timed: Callable[[str, Callable[[], Any]], None]) -> None:
    """New messages through all stages."""
    for seat in life.seats:
        wire_of(seat).items.clear()
        wire_of(seat).answered = 0
    replies = [life.replies() for _ in range(batches)]
    gc.collect()
    for pop, bodies in replies:
        life.replies_of.ready, life.replies_of.ready_bodies = pop, [bodies]
        for seat in life.seats:
            seat.window = 10**6
        timed("feeder", lambda: finish(life.feeder._claim(("all",), life.batch)))
    items = [wire_of(seat).items for seat in life.seats]
    total = life.batch * batches
    assert len(life.works.flights) == total
    assert sum(map(len, items)) == total * life.segments
    first = SAMPLE.randrange(1_000_000_000)
    answers = [
        [(token, 0, f"{first + 1_000_000 * s + i:010d}") for i, (_, token) in enumerate(own)] for s, own in enumerate(items)
    ]
    taken: list[list[Any]] = []
    for b in range(batches):
        for seat, own in zip(life.seats, answers, strict=True):
            some = own[len(own) * b // batches : len(own) * (b + 1) // batches]
            timed("answered", lambda s=seat, a=some: life.committer.answered(s, a))  # type: ignore[misc]
        taken.append(life.committer._touched)
        life.committer._touched = []
    for touched in taken:
        life.committer._touched = touched
        timed("committer", lambda: finish(life.committer.flush()))
    assert not life.works.flights
    assert len(life.works.recent.messages) == total, len(life.works.recent.messages)
    arrived: list[list[Any]] = []
    for b in range(batches):
        for seat, own in zip(life.seats, answers, strict=True):
            delivers = [
                receipt(i + 1, carrier_id)
                for i, (_, _, carrier_id) in enumerate(own[len(own) * b // batches : len(own) * (b + 1) // batches])
            ]
            timed("arrived", lambda s=seat, d=delivers: life.receipts.arrived(s, s.link, d))  # type: ignore[misc]
        arrived.append(life.receipts._new)
        life.receipts._new = []
    for new in arrived:
        life.receipts._new = new
        timed("receipts", lambda: finish(life.receipts.flush()))
    assert sum(wire_of(seat).answered for seat in life.seats) == total * life.segments
    finish(life.receipts.flush())  # the last batch's correlations
    assert not life.receipts.pending
    assert not life.works.recent.messages


def measure(batch: int, batches: int, runs: int, segments: int = 1) -> dict[str, dict[str, float]]:
    """Median, least and most of each stage, CPU microseconds a message. Raises AssertionError when messages get lost."""
    life = Life(batch, segments)
    spent: dict[str, list[float]] = {}
    for run in range(runs + 1):
        total: dict[str, float] = {}

        def timed(name: str, work: Callable[[], Any], total: dict[str, float] = total) -> None:
            started = time.process_time()
            work()
            total[name] = total.get(name, 0.0) + time.process_time() - started

        one_run(life, batches, timed)
        if run:  # the first is for warming up
            for name, seconds in total.items():
                spent.setdefault(name, []).append(seconds / (batch * batches) * 1e6)
    finals = life.works.counters.values["dispatcher_final_total"]
    assert finals == {(State.DELIVERED.wire, "transactional"): (runs + 1) * batch * batches}, finals
    return {name: spread(each, 2) for name, each in spent.items()}


if __name__ == "__main__":
    sys.exit(stages_main(__doc__, measure, batch=200, batches=10, only=False))
