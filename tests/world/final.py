"""The audit when everything is over: every send against what its door was told, what carriers know, and what the books say.

It refuses to know how anything came about; `Auditor` has watched that.
"""

from __future__ import annotations

from typing import Any

from tests.world import pdu
from tests.world.auditor import Auditor
from tests.world.books import Told
from tests.world.clock import BASE_MS
from tests.world.lives import Life
from tests.world.plan import ACCOUNTS, COSTS, PRICE, Wanted
from tests.world.records import (
    ACCEPTED,
    CLOSING,
    PENDING,
    PERMANENT,
    TEMPORARY,
    UNKNOWN,
    Part,
    Record,
    Tried,
    parked_at,
    record,
)
from tests.world.truth import Submission, same
from tests.world.workload import Workload

KNOWN_AFTER_S = 4.0
"""An engine that lives so long after it has read something, with a store that works, has written it."""
ROUND_S = 10.0
"""A round that has begun is over by then: its window, its answers or their time-out."""
PARKED_S = 7.0
"""For so long at least a receipt waits for the answer that it has overtaken (early_s, less a second)."""
REFUND_DEFAULT = ("failed", "rejected")
ACCEPTED_WORDS = frozenset({"accepted", "duplicate"})


class FinalAudit:
    """One pass over everything."""

    def __init__(self, auditor: Auditor, workload: Workload) -> None:
        self.auditor, self.workload = auditor, workload
        self.store, self.books = auditor.store, auditor.books
        self.complain = auditor.complain
        self.duplicates = 0

    def run(self) -> None:
        """Complains about what does not fit."""
        self._doors()
        for told in self.books.told.values():
            self._message(told)
        self._nothing_left()

    # -- I1, I12: every send has one verdict

    def _doors(self) -> None:
        wanted = self.workload.plan.wanted
        for entry, numbers in self.workload.entries.items():
            for position, number in enumerate(numbers):
                self._streamed(wanted[number], (entry, position))
        for number, word in self.workload.verdicts.items():
            told = self._of(wanted[number])
            if word == "accepted" and not told:
                self.complain("I1", "HTTP said accepted, and nobody was told of it", send=number)
            if word not in ACCEPTED_WORDS and word != "?" and told and self._first_of_key(wanted[number]):
                self.complain("I1", f"HTTP said {word}, and it was accepted", send=number)
        for ref, some in self.books.by_ref.items():
            if len(some) > 1:
                self.complain("I12", f"{ref} was accepted {len(some)} times: {[t.id for t in some]}", some[0].id)

    def _first_of_key(self, one: Wanted) -> bool:
        return "key" not in one.fields

    def _of(self, one: Wanted) -> list[Told]:
        return self.books.by_ref.get(one.fields["ref"], [])

    def _streamed(self, one: Wanted, place: tuple[str, int]) -> None:
        rejected = self.books.rejects.get(place)
        told = self._of(one)
        if one.twin >= 0 or "key" in one.fields:  # the other of the two may be the accepted one
            if not told and not rejected:
                self.complain("I1", "of the stream; neither accepted nor rejected", send=one.number)
            return
        if bool(told) == bool(rejected):
            words = "both accepted and rejected" if told else "neither accepted nor rejected"
            self.complain("I1", f"of the stream; {words}", send=one.number)
        if len(one.fields["to"]) < 5 and rejected != "number_invalid":
            self.complain("I1", f"a number that is none was {rejected or 'accepted'}", send=one.number)

    # -- one message

    def _message(self, told: Told) -> None:
        if not told.final:
            self.complain("I16", f"never became final: {'/'.join(told.states[-4:])}", told.id)
            return
        kept = self.store.heads_kept.get(told.id)
        if kept is None:
            self.complain("I2", "final without a record", told.id)
            return
        if told.id in self.store.bodies:
            self.complain("I2", "final, and its body is still there", told.id)
        now = record(kept)
        number = int(told.ref[1:])
        self._deadline(told, now, number)
        for index, part in enumerate(now.parts, 1):
            submissions = self.auditor.submissions.get((number, index), [])
            for tried in part.tries:
                self._attempt(told, index, tried, submissions, len(part.tries))
            self._knowledge(told, index, part, submissions)
            self._money(told, index, part, now)
        self._state(told, now, number)

    def _deadline(self, told: Told, now: Record, number: int) -> None:
        """Its validity ends when its sender said so."""
        fields, lanes = self.workload.plan.wanted[number].fields, self.workload.plan.settings.lanes
        lane: str = fields["class"]
        validity_s = fields.get("validity_s", min(getattr(lanes, f"validity_{lane}_s"), lanes.validity_max_s))
        starts = {max(told.at, instant) for instant in self.workload.not_before.get(told.ref, ())} or {told.at}
        if now.deadline_at not in {start + validity_s * 1000 for start in starts}:
            self.complain(
                "P2", f"valid until {now.deadline_at - told.at} ms after it was accepted, not {validity_s} s", told.id
            )

    def _attempt(self, told: Told, index: int, tried: Tried, submissions: list[Submission], last: int) -> None:
        """What the record says of an attempt is what its carrier did."""
        mine = [s for s in submissions if s.carrier == tried.carrier and s.attempt == tried.number and s.left_at >= 0]
        where = f"segment {index} attempt {tried.number}"
        if tried.outcome == PENDING:
            self.complain("I2", f"{where} is still pending", told.id)
        elif tried.outcome == ACCEPTED:
            if not any(s.accepted and (not tried.carrier_id or same(s.id, tried.carrier_id)) for s in mine):
                self.complain("I8", f"{where}: {tried.carrier} never accepted it as {tried.carrier_id or '-'}", told.id)
            if (index, tried.number) not in told.costs and tried.cost:
                self.complain("I6", f"{where}: accepted, and no cost", told.id)
        elif tried.outcome in {TEMPORARY, PERMANENT}:
            if not any(s.status == tried.code for s in mine) and not (tried.code == 0 and tried.outcome == TEMPORARY):
                self.complain("I8", f"{where}: {tried.carrier} never answered 0x{tried.code:02X}", told.id)
            # of an earlier unknown one a late "throttled" is the end: its number cannot be taken back any more
            if tried.code in {pdu.THROTTLED, pdu.QUEUE_FULL} and tried.number == last:
                self.complain("I3", f"{where}: throttled, and counted as an attempt", told.id)
        elif tried.outcome != UNKNOWN:
            self.complain("I3", f"{where}: outcome {tried.outcome}, which is none of an attempt", told.id)
        said = [r.state for s in mine for r in s.receipts]
        if tried.receipt and tried.cause != "no_receipt" and tried.receipt not in said:
            self.complain("I13", f"{where}: {tried.carrier} never sent a receipt {tried.receipt}", told.id)

    def _knowledge(self, told: Told, index: int, part: Part, submissions: list[Submission]) -> None:
        """What an engine has read, and had the time to write, is in the record."""
        end, awaited = told.final_at, self.workload.plan.settings.receipts
        lane = self.workload.plan.wanted[int(told.ref[1:])].fields["class"]
        awaited_s = awaited.deadline_otp_s if lane == "otp" else awaited.deadline_s
        for position, old in enumerate(submissions):
            life: Life = old.life
            if old.read_at < 0 or not self._could_write(life, old.read_at, end):
                continue
            last = position == len(submissions) - 1 and not old.overtaken
            tried = next((t for t in part.tries if t.number == old.attempt), None)
            calm = last or self._could_write(life, old.read_at + ROUND_S, end)  # it waits for the end of the round that goes on
            if old.accepted and old.id and calm:
                if tried is None or tried.outcome != ACCEPTED or not same(tried.carrier_id, old.id):
                    self.complain("P4", f"segment {index}: the answer {old.id} was read and forgotten", told.id)
            elif old.accepted and calm and not any(t.outcome == ACCEPTED for t in part.tries):
                self.complain("P5", f"segment {index}: accepted, known, and forgotten", told.id)
            for receipt in old.receipts:
                if receipt.acked_at < 0 or receipt.interim or not old.id:
                    continue
                if receipt.acked_at + KNOWN_AFTER_S >= min(end, self._awaited_until(old, awaited_s, end)):
                    continue  # the message is final, or this attempt has ended as one without a receipt
                theirs = tried is not None and same(tried.carrier_id, old.id)
                heard = tried is not None and tried.receipt in CLOSING and tried.cause != "no_receipt"
                if theirs and not heard and self._could_apply(old, receipt.acked_at, end):
                    self.complain("I13", f"segment {index}: receipt {receipt.state} was answered and forgotten", told.id)

    def _could_apply(self, old: Submission, acked_at: float, end: float) -> bool:
        """Had the engines the time to bring a receipt to its attempt? One that came long after the answer, and one that has
        overtaken it and was parked for less than its time."""
        if self._could_write(old.life, old.read_at, acked_at):
            return True
        machines = self._machines()
        troubles = [life.trouble_until for machine in machines for life in machine.lives]
        since = max(old.read_at, acked_at)
        if old.read_at > acked_at + PARKED_S - KNOWN_AFTER_S or any(until > acked_at for until in troubles):
            return False
        jumped = any(machine.wall.jumped_between(acked_at, since + KNOWN_AFTER_S) for machine in machines)
        return not jumped and since + 2 * KNOWN_AFTER_S < end

    def _machines(self) -> set[Any]:
        return {s.life.machine for some in self.auditor.submissions.values() for s in some}

    def _awaited_until(self, old: Submission, awaited_s: float, end: float) -> float:
        """When an attempt may end as one without a receipt: its instant is one clock's, and another may be ahead of it."""
        ahead_ms = max(machine.wall.most_ahead_ms(old.offered_at, end) for machine in self._machines())
        own_ms = old.life.machine.wall.ahead_at(old.offered_at)
        return old.offered_at + awaited_s - max(0, ahead_ms - own_ms) / 1000

    def _could_write(self, life: Life, since: float, until: float) -> bool:
        enough = since + KNOWN_AFTER_S
        if life.trouble_until > since:
            enough = life.trouble_until + KNOWN_AFTER_S
        return enough < until and (life.alive or life.ended_at > enough)

    # -- money

    def _money(self, told: Told, index: int, part: Part, now: Record) -> None:
        account = ACCOUNTS[told.account]
        posted, voided, refunded = index in told.posts, index in told.voids, index in told.refunds
        known = any(t.outcome == ACCEPTED for t in part.tries)
        silent = part.state == 11 and not known and account.get("unknown", "post") == "post"
        refined = len(told.finals) > 1
        if posted == voided:
            self.complain("I6", f"segment {index}: {'both' if posted else 'neither'} posted and void", told.id)
        if posted and not (known or silent or refined):
            self.complain("I6", f"segment {index}: posted, and no carrier is known to have accepted it", told.id)
        if known and not posted and not refined:
            self.complain("I6", f"segment {index}: accepted, and never posted", told.id)
        refunds = told.finals[0] in account.get("refund_on", REFUND_DEFAULT)
        if refunded != (posted and refunds):
            self.complain("I6", f"segment {index}: {told.finals[0]}, posted {posted}, refunded {refunded}", told.id)
        for row in (told.posts.get(index), told.voids.get(index), told.refunds.get(index)):
            if row is not None and row["amount"] != PRICE:
                self.complain("I6", f"segment {index}: {row['kind']} of {row['amount']}", told.id)
        costs = {c.name: COSTS[c.cost or "none"] for c in self.workload.plan.settings.carrier}
        for (segment, number), row in told.costs.items():
            tried = next((t for t in now.parts[segment - 1].tries if t.number == number), None)
            if tried is None or tried.carrier != row["carrier"] or row["amount"] != costs[row["carrier"]]:
                self.complain("I6", f"segment {segment}: a wrong cost of {row['amount']} for attempt {number}", told.id)

    # -- state

    def _state(self, told: Told, now: Record, number: int) -> None:
        wire = told.final
        parts = [self.auditor.submissions.get((number, i), []) for i in range(1, len(now.parts) + 1)]
        if wire == "delivered" and not all(any(self._delivered(s) for s in some) for some in parts):
            self.complain("I8", "called delivered, and no carrier has said so of every segment", told.id)
        if wire == "cancelled" and number not in self.workload.cancelled:
            self.complain("P2", "cancelled, and nobody asked for it and was told so", told.id)
        for some in parts:
            taken = [s for s in some if s.accepted and not any(r.state not in {"DELIVRD", "ENROUTE"} for r in s.receipts)]
            self.duplicates += max(0, len(taken) - 1)
        self._text(told, number, parts)

    def _delivered(self, submission: Submission) -> bool:
        return any(r.state == "DELIVRD" and r.read_at >= 0 for r in submission.receipts)

    def _text(self, told: Told, number: int, parts: list[list[Submission]]) -> None:
        """I10: every segment of a round has the round's header."""
        for index, some in enumerate(parts, 1):
            for each in some:
                if each.total != len(parts) or each.part != index:
                    self.complain("I10", f"part {each.part}/{each.total} of a message of {len(parts)}", told.id)

    # -- nothing is left

    def _nothing_left(self) -> None:
        store = self.store
        left: dict[str, Any] = {
            "in flight": {k: list(v) for k, v in store.inflight.items() if v},
            "queues": {q: a for q, a in store.lists.items() if any(a.values())},
            "due": {m: at for m, at in store.due.items() if m[3] in store.bodies},
            "bodies": [i for i in store.bodies if not self.books.told.get(i) or self.books.told[i].final],
            "rejects": store.refused,
        }
        for name, rest in left.items():
            if rest:
                self.complain("I16", f"left in the store: {name}: {str(rest)[:300]}")
        for carrier, rows in store.early_rows.items():
            old = self.auditor.time.now * 1000 + BASE_MS - 10_000
            if stuck := [field for field, raw in rows.items() if parked_at(raw) < old]:
                self.complain("I13", f"{len(stuck)} receipts of {carrier} are parked for ever")
        for account, row in store.money.items():
            if row[1]:
                self.complain("I6", f"{account}: {row[1]} is still reserved")
