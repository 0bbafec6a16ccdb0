"""A carrier with a temper: binds, answers, receipts, and the ways in which it may go wrong, all from its own chance.

Written from SMPP alone, it shares nothing with smpp/. It refuses to know what the dispatcher is and what a send is worth. What
it knows for certain (who was accepted, what was delivered) stands in the Submission; the auditor reads it there.
"""

from __future__ import annotations

import random
from typing import Any

from tests.world import pdu
from tests.world.clock import Time
from tests.world.pipe import Wire
from tests.world.plan import Temper
from tests.world.truth import Observer, Receipt, Submission

TRIES_MAX = 60
TRY_AGAIN_S = 1.0
ANSWER_WITHIN_S = 5.0
GIVE_UP_S = 6.0
"""After so long a carrier drops a connection over which nothing comes any more (half open)."""


class Line:
    """The carrier's end of one connection."""

    def __init__(self, carrier: Carrier, wire: Wire) -> None:
        self.carrier = carrier
        self.wire = wire
        self.bound = False
        self.open = True
        self.mode = ""
        self._buffer = b""
        self._sequence = 0
        self.heard_at = carrier.time.now
        wire.to_carrier = self._receive
        wire.on_end = self._ended

    def _ended(self) -> None:
        self.open = self.bound = False
        self.carrier.lines.remove(self)

    def _receive(self, data: bytes) -> None:
        self.heard_at = self.carrier.time.now
        self._buffer += data
        done = 0
        for header, start, stop in pdu.each(self._buffer):
            if not self.open:
                return
            self._on(header, self._buffer[start:stop])
            done = stop
        self._buffer = self._buffer[done:]

    def _on(self, header: pdu.Head, data: bytes) -> None:
        carrier = self.carrier
        command = header.command
        if command == pdu.SUBMIT:
            carrier.submitted(self, header.sequence)
        elif command == pdu.DELIVER | pdu.RESPONSE:
            carrier.delivered(self, header.sequence, header.status)
        elif command in pdu.BINDS:
            status = carrier.judge()
            self.mode = pdu.BINDS[command]
            self.wire.write(pdu.make(command | pdu.RESPONSE, status, header.sequence, b"SMSC\0" if not status else b""))
            if status:
                self.close()
            else:
                self.bound = True
        elif command == pdu.ENQUIRE:
            self.wire.write(pdu.make(pdu.ENQUIRE | pdu.RESPONSE, 0, header.sequence))
        elif command == pdu.UNBIND:
            wait_s = carrier.rng.uniform(0.2, 1.9) if carrier._odd("unbind answered late") else 0.0
            carrier.time.after(wait_s, self._unbound, header.sequence)

    def _unbound(self, sequence: int) -> None:
        if self.open:
            self.wire.write(pdu.make(pdu.UNBIND | pdu.RESPONSE, 0, sequence))
            self.close()

    def close(self) -> None:
        """Ends the connection politely."""
        if self.open:
            self.bound = False
            self.wire.hang_up()

    def deliver(self, receipt: Receipt, source: str, text: str, tlvs: bytes) -> None:
        """Sends a receipt."""
        self._sequence += 1
        self.wire.delivers[self._sequence] = receipt
        self.wire.write(pdu.deliver(self._sequence, source, "Shop", text, 4, tlvs), receipt)


class Carrier:
    """All of one carrier. The bursts are instants until which something lasts; `healed`: from now on it is well."""

    def __init__(self, time: Time, rng: random.Random, name: str, temper: Temper, observer: Observer) -> None:
        self.time, self.rng, self.name, self.temper, self.observer = time, rng, name, temper, observer
        self.lines: list[Line] = []
        self.healed = False
        self.refuses_until = self.down_until = self.throttles_until = self.full_until = self.deaf_until = -1.0
        self.window_seen = 0
        self._number = 0

    # -- connections

    def connect(self, wire: Wire) -> None:
        """Takes a connection. Raises OSError while down."""
        if self.time.now < self.down_until:
            self.observer.fault("carrier down", "H")
            raise OSError("connection refused")
        self.lines.append(Line(self, wire))

    def judge(self) -> int:
        """What a bind is answered with."""
        if self.time.now < self.refuses_until:
            self.observer.fault("binds refused", "H")
            return self.rng.choice((pdu.RINVPASWD, pdu.RBINDFAIL, pdu.RALYBND))
        return pdu.OK

    def goes_down(self, seconds: float) -> None:
        """Drops everything and takes nothing for a while."""
        self.down_until = self.time.now + seconds
        for line in list(self.lines):
            line.wire.reset()

    def gives_up(self, wire: Wire) -> None:
        """Ends the carrier's side of a connection that has fallen silent."""
        for line in [each for each in self.lines if each.wire is wire]:
            wire.on_end = lambda: None
            line._ended()

    # -- submits

    def submitted(self, line: Line, sequence: int) -> None:
        """A submit_sm has arrived."""
        submission: Submission = line.wire.outstanding[sequence]
        submission.received_at = self.time.now
        self.observer.received(submission)
        self._answer(line, submission)

    def _odd(self, name: str, moment: str = "C") -> bool:
        odds = self.temper.odds[name]
        if self.healed or not odds or self.rng.random() >= odds:
            return False
        self.observer.fault(name, moment)
        return True

    def _answer(self, line: Line, submission: Submission) -> None:
        now, low = self.time.now, self.temper.answer_s
        delay = self.rng.uniform(*low) if not self.healed else 0.01
        status = pdu.OK
        if now < self.throttles_until:
            status = pdu.THROTTLED
            self.observer.fault("throttled", "C")
        elif now < self.full_until:
            status = pdu.QUEUE_FULL
            self.observer.fault("queue full", "C")
        elif self._odd("temporary"):
            status = pdu.RSYSERR
        elif self._odd("permanent"):
            status = 0x0B
        submission.status = status
        if status == pdu.OK:
            submission.accepted = True
            submission.id = self._next_id()
        self.observer.answered(submission, f"status 0x{status:02X} id {submission.id or '-'}")
        if now < self.deaf_until:
            self.observer.fault("answer lost", "C")
            delay = -1.0
        elif self._odd("answer lost"):
            delay = -1.0
        elif self._odd("answer late"):
            delay = self.rng.uniform(*self.temper.late_s)
        elif self._odd("answers swapped"):
            delay += self.rng.uniform(0.1, 0.8)
        shown = submission.id
        if status == pdu.OK and self._odd("answer without id"):
            shown = submission.id = ""
        if status == pdu.OK:
            self._plan_receipts(submission, delay)
        if delay >= 0:
            self.time.after(delay, self._say, line, submission, shown)
            if self._odd("answer doubled"):
                self.time.after(delay + self.rng.uniform(0.0, 0.5), self._say, line, submission, shown)

    def _say(self, line: Line, submission: Submission, shown: str) -> None:
        if not line.bound:
            return
        if submission.answered_at < 0:
            submission.answered_at = self.time.now
        body = b"" if submission.status else shown.encode() + b"\0"
        command = pdu.SUBMIT | pdu.RESPONSE
        line.wire.write(pdu.make(command, submission.status, submission.sequence, body), submission)
        if self._odd("stray answer"):
            line.wire.write(pdu.make(command, 0, 0x7000_0000 + self._number, b"stray\0"))

    def _next_id(self) -> str:
        self._number += 1
        number = 1000 + self._number
        form = self.temper.ids
        if form == "hex":
            return f"{number:X}"
        if form == "case":
            return f"AB{number:06X}"
        return f"{number:010d}" if form == "padded" else str(number)

    def _as_receipts_write_it(self, carrier_id: str) -> str:
        form = self.temper.ids
        if form in {"hex", "case"}:
            return carrier_id.lower()
        return carrier_id.lstrip("0") if form == "padded" else carrier_id

    # -- receipts

    def _plan_receipts(self, submission: Submission, answer_s: float) -> None:
        if not submission.id:
            return
        delay = max(answer_s, 0.0) + (self.rng.uniform(*self.temper.receipt_s) if not self.healed else 0.2)
        if self._odd("receipt never", "F"):
            return
        if answer_s > 0 and self._odd("receipt before answer", "D"):
            delay = self.rng.uniform(0.0, answer_s)
        states = self.temper.states if not self.healed else (("DELIVRD", "000", 1.0),)
        state, code, _ = self.rng.choices(states, [s[2] for s in states])[0]
        name = self._as_receipts_write_it(submission.id)
        last = Receipt(submission, name, state, code)
        submission.receipts.append(last)
        self.time.after(delay, self._deliver, last)
        if self._odd("receipt doubled", "F"):
            self.time.after(delay + self.rng.choice((0.0, 0.3, 3.0)), self._deliver, last)
        if self._odd("receipts reordered", "F"):
            interim = Receipt(submission, name, "ENROUTE", "000")
            submission.receipts.append(interim)
            self.time.after(
                self.rng.choice((delay * self.rng.random(), delay + self.rng.uniform(-0.05, 0.4))), self._deliver, interim
            )
        if self._odd("receipt contradicted", "F"):
            other = Receipt(submission, name, "UNDELIV" if state == "DELIVRD" else "DELIVRD", "000")
            submission.receipts.append(other)
            self.time.after(delay + self.rng.choice((0.0, 0.1, 0.3, 3.0)) * self.rng.random(), self._deliver, other)
        if self._odd("receipt foreign", "F"):
            self.time.after(delay, self._deliver, Receipt(None, f"f{submission.id}f", "DELIVRD", "000"))

    def _deliver(self, receipt: Receipt) -> None:
        """Over any line that is bound; again until somebody takes it."""
        receipt.tries += 1
        lines = [line for line in self.lines if line.bound]
        if not lines:
            if receipt.tries < TRIES_MAX:
                self.time.after(TRY_AGAIN_S, self._deliver, receipt)
            return
        submission = receipt.submission
        line = next((each for each in lines if submission is not None and each.wire is submission.wire), None)
        if line is None or self._odd("receipt elsewhere", "F"):
            line = self.rng.choice(lines)
            if submission is not None and line.wire.life is not submission.life:
                self.observer.fault("receipt at another engine", "F")
        text = f"id:{receipt.id} sub:001 dlvrd:001 submit date:2701150800 done date:2701150801 stat:{receipt.state} "
        text += f"err:{receipt.code} text:"
        tlvs = b""
        if self.rng.random() < 0.2:
            tlvs = pdu.tlv(0x001E, receipt.id.encode() + b"\0")
        self.observer.receipt_sent(receipt, line.wire)
        line.deliver(receipt, "491711", text, tlvs)
        self.time.after(ANSWER_WITHIN_S, self._is_taken, receipt, receipt.tries)

    def _is_taken(self, receipt: Receipt, tries: int) -> None:
        if receipt.acked_at < 0 and receipt.tries == tries and receipt.tries < TRIES_MAX:
            self._deliver(receipt)

    def delivered(self, line: Line, sequence: int, status: int) -> None:
        """A deliver_sm_resp has arrived."""
        receipt: Receipt | None = line.wire.delivers.pop(sequence, None)
        if receipt is not None and status != 0 and receipt.acked_at < 0 and receipt.tries < TRIES_MAX:
            self.time.after(TRY_AGAIN_S, self._deliver, receipt)

    def describe(self) -> dict[str, Any]:
        """For the report."""
        return {"name": self.name, "ids": self.temper.ids, "odds": {k: v for k, v in self.temper.odds.items() if v}}
