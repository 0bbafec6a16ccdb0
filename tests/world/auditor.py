"""The auditor while the world runs: it stands at every wire and behind every port, and compares what it sees with the promises.

It shares no code with what it judges. What it may rely on: the carriers' own knowledge (truth.py), the workload's own list of
sends, the bytes of the records, and the rows. What can only be judged when everything is over is final.py's.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from dispatcher.store.memory import MemoryStore
from tests.world import pdu
from tests.world.books import Books, Told
from tests.world.clock import BASE_MS, Time
from tests.world.coverage import Coverage, moment_of_call
from tests.world.plan import NUMBER, Plan
from tests.world.records import ACCEPTED, BAD, CLOSING, FINAL_FROM, PENDING, STATES, SUBMITTING, UNKNOWN, record
from tests.world.records import parked as parked_ids
from tests.world.trace import Trace
from tests.world.truth import Receipt, Submission, plain, same

BEYOND_DEADLINE_MS = 250
"""So late after its validity may a segment leave, by the engine's clock: it looks at its links ten times a second, and behind a
write-ahead that took longer than that."""
LEASH_S = 0.15
"""So long after its last answer a session may stand whose lease is over: looks for those come sixteen times in a lease."""
BREACHES_MAX = 20


class Breach(NamedTuple):
    """A broken promise: which, when (seconds), what, and the number of the send (-1: none in particular)."""

    invariant: str
    at: float
    what: str
    send: int


class Auditor:
    """Watcher of wires, observer of carriers, hearer of ports."""

    def __init__(self, plan: Plan, time: Time, store: MemoryStore, trace: Trace, coverage: Coverage) -> None:
        self.plan, self.time, self.store, self.trace, self.coverage = plan, time, store, trace, coverage
        self.breaches: list[Breach] = []
        self.books = Books(store, self.complain, self._event)
        self.submissions: dict[tuple[int, int], list[Submission]] = {}
        self.receipts: list[Receipt] = []
        self.fences: dict[str, int] = {}
        self.parked: set[tuple[str, str]] = set()
        """(carrier, id) of every receipt that was kept until its id is known; also of those given up since, by any clock."""
        self.written = 0
        self._rates = {c.name: (c.rate, deque[float]()) for c in plan.settings.carrier}
        self._sessions = {c.name: sum(b.sessions for b in c.bind) for c in plan.settings.carrier}
        self.wires: dict[str, list[Any]] = {c.name: [] for c in plan.settings.carrier}

    # -- words

    def complain(self, invariant: str, what: str, message_id: str = "", send: int = -1) -> None:
        """A breach."""
        if send < 0 and message_id:
            told = self.books.told.get(message_id)
            send = number_of(told.ref) if told is not None else -1
            what = f"{message_id}: {what}"
        self.trace.note(self.time.now, "breach", f"{invariant} {what}", send)
        if len(self.breaches) < BREACHES_MAX:
            self.breaches.append(Breach(invariant, self.time.now, what, send))

    def fault(self, kind: str, moment: str) -> None:
        """A fault has happened."""
        self.coverage.hit(kind, moment)

    def _event(self, told: Told, row: dict[str, Any]) -> None:
        error = "" if row["error"] is None else f" {row['error'][2]}"
        self.trace.note(self.time.now, "rows", f"{row['state']}{error}", number_of(told.ref))

    # -- wires

    def offered(self, wire: Any, header: pdu.Head, data: bytes) -> Any:
        """An engine begins to write a PDU."""
        if header.command == pdu.SUBMIT:
            return self._submit(wire, header.sequence, data)
        if header.command == pdu.DELIVER | pdu.RESPONSE and header.status == pdu.OK:
            self._acknowledged(wire, header.sequence)
        return None

    def left(self, wire: Any, what: Any) -> None:
        """The last byte of a PDU is gone."""
        if isinstance(what, Submission):
            what.left_at = self.time.now

    def read(self, wire: Any, what: Any) -> None:
        """An engine has read all of an answer or a deliver_sm."""
        if isinstance(what, Submission):
            if wire.outstanding.pop(what.sequence, None) is not None:
                wire.answered_at = self.time.now
            if what.read_at < 0:
                what.read_at = self.time.now
                what.overtaken = self._overtaken(what)
                self.trace.note(self.time.now, "engine", f"reads 0x{what.status:02X} {what.id}", what.send)
        elif isinstance(what, Receipt) and what.read_at < 0:
            what.read_at = self.time.now

    def _overtaken(self, old: Submission) -> bool:
        told = self._told_of(old.send)
        kept = self.store.heads_kept.get(told.id) if told is not None else None
        if kept is None:
            return False
        now = record(kept)
        tries = now.parts[old.part - 1].tries
        return now.state == SUBMITTING and bool(tries) and (tries[-1].number, tries[-1].outcome) != (old.attempt, PENDING)

    def _submit(self, wire: Any, sequence: int, data: bytes) -> Submission:
        now = self.time.now
        said = pdu.submitted(data)
        send = int(said.to) - NUMBER
        new = Submission(wire, sequence, send, said.part, said.total, said.reference, now)
        self.written += 1
        self.trace.note(now, "engine", f"submits part {said.part}/{said.total} ref {said.reference} over {wire.name}", send)
        earlier = self.submissions.setdefault((send, said.part), [])
        told = self._told_of(send)
        if told is None:
            self.complain("I1", "submitted, and nobody was told that it was accepted", send=send)
        else:
            self._by_record(new, told, said, earlier)
        if sequence in wire.outstanding:
            self.complain("I8", f"sequence {sequence} is in flight twice", send=send)
        wire.outstanding[sequence] = new
        if len(wire.outstanding) > wire.window:
            self.complain("I8", f"{len(wire.outstanding)} unanswered over {wire.name}, window {wire.window}", send=send)
        if not wire.life.alive:
            self.complain("I14", "submitted by an engine that is dead", send=send)
        self._rate(wire.name, now, send)
        earlier.append(new)
        return new

    def _told_of(self, send: int) -> Told | None:
        found = self.books.by_ref.get(f"s{send}")
        return found[-1] if found else None

    def _by_record(self, new: Submission, told: Told, said: pdu.Submitted, earlier: list[Submission]) -> None:
        """What the durable record must say at this instant (I4), and what it must not (I3, I5)."""
        kept = self.store.heads_kept.get(told.id)
        if kept is None:
            self.complain("I4", "bytes leave and there is no record", told.id)
            return
        now = record(kept)
        part = now.parts[said.part - 1]
        if now.state != SUBMITTING or part.state != SUBMITTING or not part.tries or part.tries[-1].outcome != PENDING:
            self.complain("I4", f"bytes leave and the record says {STATES[now.state]}", told.id)
            return
        last = part.tries[-1]
        new.attempt = last.number
        short = now.raw[15] & 0xFF  # all that fits, where a round that began with a wide header goes on with a short one
        if last.carrier != new.carrier or (said.total > 1 and said.reference not in (now.raw[15], short)):
            self.complain("I4", f"bytes leave that are not those of the record ({last.carrier}, {now.raw[15]})", told.id)
        if len(part.tries) > 5:
            self.complain("I3", f"attempt {len(part.tries)} of segment {said.part}", told.id)
        for before in part.tries[:-1]:
            undecided = before.outcome == ACCEPTED and before.receipt not in CLOSING and (before.carrier_id or before.receipt)
            if before.outcome == PENDING or undecided:
                self.complain("I3", f"attempt {before.number} of segment {said.part} is undecided", told.id)
            if before.outcome == UNKNOWN and not now.resend:
                self.complain("I5", f"attempt {before.number} of segment {said.part} is unknown, policy hold", told.id)
        wall = BASE_MS + self.time.now * 1000 + new.life.machine.wall.least_ahead_ms(BEYOND_DEADLINE_MS / 1000)
        if wall > now.deadline_at + BEYOND_DEADLINE_MS:
            self.complain("P2", f"submitted {(wall - now.deadline_at) / 1000:.1f} s after its validity", told.id)
        self._by_truth(new, told, now.resend, earlier)

    def _by_truth(self, new: Submission, told: Told, resend: bool, earlier: list[Submission]) -> None:
        """The same from the carriers' side, whatever the record says."""
        counted = 0
        for old in earlier:
            if old.left_at < 0 or old.status in {pdu.THROTTLED, pdu.QUEUE_FULL}:
                continue
            counted += 1
            failed = any(r.read_at >= 0 and r.state in BAD for r in old.receipts)
            if old.refused or failed:
                continue
            if not resend:
                self.complain("I5", "submitted again under hold, and nobody had heard that the last one failed", told.id)
            elif old.wire.life is new.life and old.read_at < 0 and self._still_open(old):
                self.complain("I3", "submitted again while the last one may still be answered", told.id)
        if counted >= 5:
            self.complain("I3", f"submission {counted + 1} of segment {new.part}", told.id)

    def _still_open(self, old: Submission) -> bool:
        wire = old.wire
        timeout = next(c.bind[0].response_timeout_s for c in self.plan.settings.carrier if c.name == old.carrier)
        # its time-out counts from when the session was given it, which a write that stands makes earlier than it left
        return not (wire.closed or wire.broken) and self.time.now < old.offered_at + timeout - 0.01

    def _rate(self, carrier: str, now: float, send: int) -> None:
        rate, times = self._rates[carrier]
        if rate is None:
            return
        times.append(now)
        while times[0] <= now - 1.0:
            times.popleft()
        if len(times) > rate:
            self.complain("I9", f"{len(times)} submissions over {carrier} in a second, rate {rate:g}", send=send)

    def bound(self, wire: Any) -> None:
        """An engine has a connection; no more of them may be open than the carrier has sessions (P6)."""
        some = self.wires[wire.name]
        some.append(wire)
        self.sessions(wire.name)

    def sessions(self, carrier: str) -> None:
        """Counts them. One that awaits answers while its engine is cut off from the store may overlap its successor."""
        some, now = self.wires[carrier], self.time.now
        some[:] = [w for w in some if not (w.closed or w.broken)]
        waiting = sum(
            (bool(w.outstanding) or w.answered_at > now - LEASH_S) and w.life.port.troubled_at > now - 10 for w in some
        )
        if len(some) - waiting > self._sessions[carrier]:
            self.complain("P6", f"{len(some)} sessions to {carrier}, {self._sessions[carrier]} allowed")

    def _acknowledged(self, wire: Any, sequence: int) -> None:
        """ESME_ROK for a deliver_sm: what it said must be durable (I13)."""
        receipt: Receipt | None = wire.delivers.get(sequence)
        if receipt is None:
            self.complain("I8", f"answers a deliver_sm that was not sent ({sequence})")
            return
        if receipt.acked_at < 0:
            receipt.acked_at = self.time.now
        submission = receipt.submission
        if submission is None:
            if (wire.name, plain(receipt.id)) not in self.parked:
                self.complain("I13", "answered a receipt of a strange id without keeping it")
            return
        self.trace.note(self.time.now, "engine", f"answers receipt {receipt.state} {receipt.id}", submission.send)
        told = self._told_of(submission.send)
        kept = self.store.heads_kept.get(told.id) if told is not None else None
        if told is None or kept is None:
            return
        now = record(kept)
        if now.parts[submission.part - 1].state >= FINAL_FROM:
            return
        for tried in now.parts[submission.part - 1].tries:
            known = same(tried.carrier_id, receipt.id) if tried.carrier_id else tried.number == submission.attempt
            if tried.carrier == wire.name and tried.receipt and known:
                return
        if (wire.name, plain(receipt.id)) in self.parked:
            return
        self.complain("I13", f"answered receipt {receipt.state} before it was durable", told.id)

    # -- carriers

    def received(self, submission: Submission) -> None:
        """It has arrived."""

    def answered(self, submission: Submission, words: str) -> None:
        """The carrier has decided."""
        self.trace.note(self.time.now, "carrier", f"{submission.carrier}: {words}", submission.send)

    def receipt_sent(self, receipt: Receipt, wire: Any) -> None:
        """The carrier has written a receipt."""
        if receipt.tries == 1:
            self.receipts.append(receipt)
        send = receipt.submission.send if receipt.submission is not None else -1
        if send >= 0:
            self.trace.note(self.time.now, "carrier", f"{wire.name}: receipt {receipt.state} {receipt.id}", send)

    # -- ports

    def effect(self, life: Any, step: str, args: tuple[Any, ...], result: Any) -> None:
        """A step of the store has taken effect for an engine."""
        self.trace.note(self.time.now, "store", f"{life.name} {step}")
        if step == "take_lease":
            if result is not None:
                if result.fence <= self.fences.get(result.name, 0):
                    self.complain("I14", f"fence of {result.name} went from {self.fences[result.name]} to {result.fence}")
                self.fences[result.name] = result.fence
            return
        if step in {"settle", "write_ahead", "pop", "take_over"} and args[0].fence != self.fences.get(args[0].name):
            self.complain("I14", f"{life.name} wrote ({step}) under fence {args[0].fence} of {args[0].name}")
        if step == "admit" and len(args) > 2 and args[2] is not None and args[2][0].fence != self.fences.get(args[2][0].name):
            self.complain("I14", f"{life.name} admitted under an old fence")
        if step == "park_early":
            kept = self.store.early_rows.get(args[0], {})
            for field, raw in args[1]:
                if field not in kept:
                    self.complain("I13", f"a parked receipt of {args[0]} is not there")
                self.parked.update((args[0], plain(key)) for key in parked_ids(raw))
        if step not in {"renew_lease", "messages", "heads", "correlate"}:
            self.books.read(self.time.now)

    def moment_of(self, life: Any) -> str:
        """What is happening to this engine's messages now, the shortest moments first."""
        port, engine = life.port, life.engine
        named = moment_of_call(port.busy, "before", "") if port.busy else ""
        if named:
            return named
        if engine is not None:
            if engine.committer._touched:
                return "D"
            if engine.receipts.pending:
                return "G"
        if self.time.now - port.settled_at < 0.01:
            return "E"
        if any(wire.outstanding for wire in life.wires if not wire.closed):
            return "C"
        if engine is not None and engine.works.flights:
            return "B"
        return "F" if any(r.acked_at < 0 for r in self.receipts[-5:]) else "H"


def number_of(ref: str) -> int:
    """The send's number in its reference, -1 where there is none."""
    return int(ref[1:]) if ref[:1] == "s" and ref[1:].isdigit() else -1
