"""What each synchronous stage of the engine costs: CPU microseconds per message, in one process, without server or sockets.

`python -m benchmarks.engine_stages [--batch 500] [--batches 4] [--runs 9] [--segments 1] [--only NAME] [--json FILE]`

Every run gives every stage data it has not seen: other numbers, other ids, other objects, made before its clock starts. The
stages take turns, so each finds the processor's caches as another one left them, as in an engine. The figure is the median over
the runs of process time. A stage checks what came out, so that a stage that does nothing cannot look fast.

The store's side answers from ready-made bytes, which are parsed as in an engine. A stage is a function from a run's number to
(what to run, what to check); to add one, append it to STAGES.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.stage_world import FENCE, SAMPLE, T0, Bench, Work, finish
from benchmarks.tables import spread, stages_main
from dispatcher.core.admission import admit
from dispatcher.core.model import Send
from dispatcher.core.ports import Admission, Cursor, Owner, SendEntry
from dispatcher.engine.intake import Intake, unpack
from dispatcher.engine.leases import Lease
from dispatcher.engine.works import Flight, Token
from smpp import codec
from smpp import constants as c
from smpp.control import BindMode, bind_resp
from smpp.events import Login, SessionSettings
from smpp.framing import Framer
from smpp.link import Link
from smpp.receipts import glance, parse
from smpp.session import Session

# -- intake and admission ----------------------------------------------------------------------------------------------


def read_sends(bench: Bench) -> Work:
    """The reply to XREAD, parsed into entries."""
    parts = [b"*1\r\n*2\r\n$9\r\nsms:sends\r\n*%d\r\n" % bench.batch]
    for each in bench.entries():
        parts.append(b"*2\r\n$%d\r\n%b\r\n*2\r\n" % (len(each.entry), each.entry.encode()))
        parts.append(b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(each.kind), each.kind.encode(), len(each.payload), each.payload))
    reply = b"".join(parts)

    def run() -> Any:
        bench.server.ready = reply
        return finish(bench.store.read_sends("", bench.batch, 0))

    return Work(run, lambda found: len(found) == bench.batch)


def wire_decode(bench: Bench) -> Work:
    """Entries into sends, each with its cursor."""
    entries = bench.entries()
    return Work(lambda: list(unpack(entries, Cursor("", 0))), lambda found: len(found) == bench.batch)


def chunk_decode(bench: Bench) -> Work:
    """One entry with a batch of sends into sends, each with its cursor."""
    chunk = b'{"sends":[' + b",".join(bench.sends()) + b"]}"
    entries = [SendEntry(f"{T0}-0", "json", chunk)]
    return Work(lambda: list(unpack(entries, Cursor("", 0))), lambda found: len(found) == bench.batch)


def make_ids(bench: Bench) -> Work:
    """Message ids of a batch."""
    return Work(lambda: bench.works.ids.make(T0, bench.batch), lambda found: len(set(found)) == bench.batch)


def admission(bench: Bench) -> Work:
    """Sends into admissions."""
    decode = msgspec.json.Decoder(Send).decode
    sends = [decode(send) for send in bench.sends()]
    ids = bench.works.ids.make(T0, bench.batch)
    account, book = bench.account, bench.book
    return Work(
        lambda: [admit(send, account, book, T0, i) for send, i in zip(sends, ids, strict=True)],
        lambda found: all(isinstance(each, Admission) for each in found),
    )


def store_admit(bench: Bench) -> Work:
    """S1: commands of a batch, and verdicts from its replies."""
    batch = bench.admissions()
    mark = (Owner("intake", FENCE), Cursor(f"{T0}-{bench.batch}", 0))
    return Work(
        lambda: finish(bench.store.admit(batch, T0, mark)),
        lambda found: [v.verdict for v in found] == ["accepted"] * bench.batch,
    )


def whole_intake(bench: Bench) -> Work:
    """Everything between the reply to XREAD and the end of the admission."""
    intake = Intake(bench.works, bench.leases, bench.book, lambda: True)
    intake._known["bench"] = (1e9, bench.account)
    intake._pauses_until = 1e9
    lease = Lease(Owner("intake", FENCE), "", 0.0, 1e9)
    entries = bench.entries()
    return Work(
        lambda: finish(intake._admit(lease, entries, Cursor("", 0))),
        lambda cursor: cursor.entry == entries[-1].entry,
    )


# -- the link's reading side -------------------------------------------------------------------------------------------


def bound_session(bench: Bench, **settings: Any) -> Session[Token]:
    """A session with a window that holds a batch, bound."""
    session: Session[Token] = Session(SessionSettings(window=bench.batch, **settings), Login("x", "x"), now=0.0)
    session.start_bind(0.0)
    session.wrote(len(session.outgoing()))
    assert session.receive(bind_resp(BindMode.TRANSCEIVER, 0, 1, "x"), 0.0).bound
    return session


def answers(bench: Bench) -> tuple[Session[Token], bytes]:
    """A session with a batch in flight, and the carrier's answers to it."""
    session = bound_session(bench)
    first = SAMPLE.randrange(1_000_000_000)
    flights: list[Token] = [(Flight(None, bench.seat, 1), 1) for _ in range(bench.batch)]  # type: ignore[arg-type]
    session.submit([(b"", flight) for flight in flights], 0.0)
    session.wrote(len(session.outgoing()))
    return session, b"".join(codec.submit_sm_resp(2 + i, 0, f"{first + i:010d}") for i in range(bench.batch))


def deliver_bytes(bench: Bench) -> bytes:
    """A batch of receipts as carriers send them."""
    first = SAMPLE.randrange(1_000_000_000)
    rest = "sub:001 dlvrd:001 submit date:2611221200 done date:2611221201 stat:DELIVRD err:000 text:"
    return b"".join(
        codec.pdu(
            c.DELIVER_SM,
            0,
            1 + i,
            codec.deliver_sm_body(f"4479{first + i:010d}"[:12], "Acme", f"id:{first + i:010d} {rest}".encode(), esm_class=4),
        )
        for i in range(bench.batch)
    )


def receive_answers(bench: Bench) -> Work:
    """Session.receive of a batch of submit_sm_resp, in one read."""
    session, data = answers(bench)
    return Work(lambda: session.receive(data, 1.0), lambda events: len(events.answers) == bench.batch)


def receive_delivers(bench: Bench) -> Work:
    """Session.receive of a batch of deliver_sm, in one read."""
    session, data = bound_session(bench), deliver_bytes(bench)
    return Work(lambda: session.receive(data, 1.0), lambda events: len(events.delivers) == bench.batch)


def receive_receipts(bench: Bench) -> Work:
    """The same in an engine, which reads most receipts without decoding them."""
    session, data = bound_session(bench, read_receipt=glance), deliver_bytes(bench)
    return Work(lambda: session.receive(data, 1.0), lambda events: len(events.receipts) == bench.batch)


def parse_receipts(bench: Bench) -> Work:
    """deliver_sm into receipts."""
    delivers = bound_session(bench).receive(deliver_bytes(bench), 1.0).delivers
    return Work(lambda: [parse(d) for d in delivers], lambda found: all(r and r.state == "DELIVRD" for r in found))


def encode_submits(bench: Bench) -> Work:
    """Whole PDUs of submit_sm, bodies from a template."""
    template = codec.SubmitTemplate("Acme", source_ton=5, source_npi=0, dest_ton=1, dest_npi=1)
    first, text = SAMPLE.randrange(1_000_000_000), b"a" * 150
    items = [(f"4479{first + i:010d}"[:12], text) for i in range(bench.batch)]
    return Work(
        lambda: [codec.pdu(c.SUBMIT_SM, 0, i, template.body(dest, text)) for i, (dest, text) in enumerate(items)],
        lambda found: [codec.decode_submit_sm(wire).destination_addr for wire in found] == [dest for dest, _ in items],
    )


def read_deliver_sms(bench: Bench) -> Work:
    """PDUs of deliver_sm into values, and those into receipts: the way of a receipt that is not of the usual form."""
    pdus = Framer().feed(deliver_bytes(bench))
    return Work(
        lambda: [parse(codec.decode_deliver_sm(wire)) for wire in pdus],
        lambda found: len(found) == bench.batch and all(r and r.state == "DELIVRD" for r in found),
    )


def emptied(found: list[Any]) -> int:
    """How many there were; none are left for the next turn to find."""
    count = len(found)
    found.clear()
    return count


def committer_answered(bench: Bench) -> Work:
    """The committer takes a batch of answers."""
    session, data = answers(bench)
    found, seat = session.receive(data, 1.0).answers, bench.seat
    return Work(lambda: bench.committer.answered(seat, found), lambda _: emptied(bench.committer._touched) == bench.batch)


def receipts_arrived(bench: Bench) -> Work:
    """The receipts' task takes a batch of receipts."""
    session = bound_session(bench, read_receipt=glance)
    receipts = session.receive(deliver_bytes(bench), 1.0).receipts
    link: Link[Token] = Link(None, session, on_events=lambda _: None)  # type: ignore[arg-type]
    return Work(
        lambda: bench.receipts.arrived(bench.seat, link, [], receipts), lambda _: emptied(bench.receipts._new) == bench.batch
    )


def answer_delivers(bench: Bench) -> Work:
    """deliver_sm_resp of a batch, to the bytes."""
    session = bound_session(bench)
    sequences = [d.sequence for d in session.receive(deliver_bytes(bench), 1.0).delivers]

    def run() -> bytes:
        session.answer_delivers(sequences)
        return session.outgoing()

    return Work(run, lambda data: len(data) == 17 * bench.batch)


STAGES: list[Callable[[Bench], Work]] = [
    read_sends,
    wire_decode,
    chunk_decode,
    make_ids,
    admission,
    store_admit,
    whole_intake,
    receive_answers,
    receive_delivers,
    receive_receipts,
    parse_receipts,
    encode_submits,
    read_deliver_sms,
    committer_answered,
    receipts_arrived,
    answer_delivers,
]


def measure(batch: int, batches: int, runs: int, segments: int = 1, only: str = "") -> dict[str, dict[str, float]]:
    """Median, least and most of each stage, CPU microseconds a message. Raises AssertionError for a stage that went wrong."""
    bench = Bench(batch, segments)
    stages = [stage for stage in STAGES if only in stage.__name__]
    spent: dict[str, list[float]] = {stage.__name__: [] for stage in stages}
    for run in range(runs + 1):
        work = {stage.__name__: [stage(bench) for _ in range(batches)] for stage in stages}
        total = dict.fromkeys(spent, 0.0)
        gc.collect()
        gc.freeze()
        for turn in range(batches):
            for name, parts in work.items():
                started = time.process_time()
                found = parts[turn].run()
                total[name] += time.process_time() - started
                assert parts[turn].check(found), f"{name} went wrong"
        gc.unfreeze()
        if run:  # the first is for warming up
            for name, seconds in total.items():
                spent[name].append(seconds / (batch * batches) * 1e6)
    return {name: spread(each, 2) for name, each in spent.items()}


if __name__ == "__main__":
    sys.exit(stages_main(__doc__, measure, batch=500, batches=4, only=True))
