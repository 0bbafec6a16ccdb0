"""What must hold after a crash round, computed from what outsiders saw: clients, carriers, streams, records, balances.

It trusts nobody: the carriers' records of what was submitted are compared with the attempts that the dispatcher recorded,
and its events with what the clients were promised.

A submission that a carrier answered "too fast" is no attempt. Of the others there are, per segment, at most as many as
recorded attempts, and at least as many as those of them whose outcome is known. Of those that a carrier took (or left
unanswered) every one beyond the first needs a reason: an attempt recorded as unknown under `resend`, or one that a
receipt closed without delivery. Under `hold` an unknown attempt is no reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from dispatcher.core.model import Attempt, Message, Outcome, State
from tests.process.installation import Installation, Submission
from tests.process.traffic import Sent

FINALS = frozenset(state.wire for state in State if state.final)
_TOO_FAST = frozenset({0x58, 0x14})
_FAILED_RECEIPTS = frozenset({"UNDELIV", "FAILED", "EXPIRED", "DELETED", "REJECTD"})


@dataclass
class Verdict:
    """Counts; those below `# faults` must be 0. `open_at_kills`: accepted and not final when each process was killed."""

    open_at_kills: list[int] = field(default_factory=list)
    accepted: int = 0
    final: int = 0
    delivered: int = 0
    unknown: int = 0
    other: int = 0
    segments: int = 0
    submissions: int = 0
    throttled: int = 0
    unknown_attempts: int = 0
    resent: int = 0
    # faults
    lost: int = 0
    doubled: int = 0
    final_twice: int = 0
    doubled_beyond_unknown: int = 0
    hold_resent: int = 0
    phantom: int = 0
    mischarged: int = 0
    rejected: int = 0
    stuck: int = 0
    unbalanced: int = 0

    FAULTS = (
        "lost",
        "doubled",
        "final_twice",
        "doubled_beyond_unknown",
        "hold_resent",
        "phantom",
        "mischarged",
        "rejected",
        "stuck",
        "unbalanced",
    )

    @property
    def open(self) -> int:
        """The least that was open at a kill."""
        return min(self.open_at_kills, default=0)

    @property
    def well(self) -> bool:
        """No fault."""
        return not any(getattr(self, name) for name in self.FAULTS)

    def add(self, other: Verdict) -> None:
        """Sums counts."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


def finals_of(events: Iterable[dict[str, Any]]) -> Counter[str]:
    """How often each message was told to be final for the first time (refinements apart), by id."""
    return Counter(row["id"] for row in events if row["state"] in FINALS and not row["refined"])


def judge(verdict: Verdict, installation: Installation, sent: Sent, notes: list[str]) -> None:
    """Fills the verdict on one round, everything final (or given up on). Examples of faults go into `notes`."""
    verdict.accepted = len(sent.accepted)
    events = [row for row in installation.rows("events") if row["ref"] in sent.held]
    ids: dict[str, list[str]] = {}
    for row in events:
        if row["id"] not in ids.setdefault(row["ref"], []):
            ids[row["ref"]].append(row["id"])
    finals = finals_of(events)
    _messages_once(verdict, sent, ids, finals, notes)
    last = {row["id"]: row["state"] for row in events if row["state"] in FINALS}
    counts = Counter(last.values())
    doubts = Counter(row["id"] for row in events if row["state"] == "doubt")
    verdict.delivered, verdict.unknown = counts["delivered"], counts["unknown"]
    verdict.other = sum(counts.values()) - verdict.delivered - verdict.unknown
    numbers = {**sent.doubtful, **sent.accepted}
    submissions: dict[tuple[str, int], list[Submission]] = {}
    for carrier in installation.carriers.values():
        for each in carrier.records():
            submissions.setdefault((each.number, each.part), []).append(each)
    charges = _charges(installation)
    messages = installation.messages([one for many in ids.values() for one in many])
    for ref, many in ids.items():
        for one in many:
            judge_message(verdict, messages.get(one), numbers[ref], sent.held[ref], submissions, charges, doubts[one], notes)
    refused = [row for row in installation.rows("rejects") if sent_ref(row) in sent.held]
    verdict.rejected = len(refused)
    notes += [f"rejected: {row['reason']} {row['detail']} entry {row.get('entry')}" for row in refused[:5]]


def sent_ref(row: dict[str, Any]) -> str:
    """The ref of a reject row's send."""
    try:
        return str(json.loads(row["send"]).get("ref", ""))
    except (ValueError, AttributeError, TypeError):
        return ""


def _messages_once(verdict: Verdict, sent: Sent, ids: dict[str, list[str]], finals: Counter[str], notes: list[str]) -> None:
    """Every accepted send is one message, final once; a doubtful one at most one."""
    for ref in (*sent.accepted, *sent.doubtful):
        many = ids.get(ref, [])
        told = sent.ids.get(ref)
        if not many:
            if ref in sent.accepted:
                verdict.lost += 1
                notes.append(f"lost: {ref} was accepted and never came to be")
            continue
        if len(many) > 1 or (told is not None and told not in many):
            verdict.doubled += 1
            notes.append(f"doubled: {ref} became {many}, told {told}")
        for one in many:
            times = finals[one]
            verdict.final += times > 0
            if not times:
                verdict.lost += 1
                notes.append(f"lost: {ref} {one} is not final")
            elif times > 1:
                verdict.final_twice += 1
                notes.append(f"final {times} times: {ref} {one}")


def _charges(installation: Installation) -> dict[tuple[str, int], Counter[str]]:
    """Money facts per message and segment: how many of each kind. A fact told twice counts twice."""
    found: dict[tuple[str, int], Counter[str]] = {}
    for row in installation.rows("charges"):
        found.setdefault((row["id"], row["segment"]), Counter())[row["kind"]] += 1
    return found


def judge_message(
    verdict: Verdict,
    message: Message | None,
    number: str,
    held: bool,
    submissions: dict[tuple[str, int], list[Submission]],
    charges: dict[tuple[str, int], Counter[str]],
    doubts: int,
    notes: list[str],
) -> None:
    """One message's segments against what the carriers saw and what was charged."""
    if message is None or message.head is None:
        if (number, 1) in submissions or message is None:
            verdict.lost += 1
            notes.append(f"lost: {number} has no record")
        return
    head = message.head
    for part, segment in enumerate(head.segments, 1):
        seen = submissions.get((number, part), [])
        verdict.segments += 1
        _segment(verdict, f"{message.id}.{part}", segment.attempts, seen, held, doubts, notes)
        money = charges.get((message.id, part), Counter())
        paid = money["post"] - money["refund"]
        right = paid == 1 if head.state == State.DELIVERED else paid in {0, 1}
        if head.state in {State.REJECTED, State.FAILED}:
            right = paid == 0
        if money["post"] > 1 or money["refund"] > money["post"] or not right:
            verdict.mischarged += 1
            notes.append(f"mischarged: {message.id}.{part} {State(head.state).wire}: {dict(money)}")


def _segment(
    verdict: Verdict,
    name: str,
    attempts: Sequence[Attempt],
    seen: Sequence[Submission],
    held: bool,
    doubts: int,
    notes: list[str],
) -> None:
    real = [each for each in seen if each.status not in _TOO_FAST]
    unknown = sum(a.outcome == Outcome.UNKNOWN for a in attempts)
    # An unknown attempt that a receipt settled after it had been sent again stands as accepted; the event tells.
    accepted = sum(a.outcome == Outcome.ACCEPTED for a in attempts)
    settled = min(doubts, max(0, accepted - 1))
    failed = sum(a.outcome == Outcome.ACCEPTED and a.receipt in _FAILED_RECEIPTS for a in attempts)
    taken = sum(each.status <= 0 for each in real)
    verdict.submissions += len(real)
    verdict.throttled += len(seen) - len(real)
    verdict.unknown_attempts += unknown
    story = f"{name}: carriers saw {[hex(e.status) for e in seen]}, recorded {[Outcome(a.outcome).name for a in attempts]}"
    if len(real) > len(attempts):
        verdict.doubled_beyond_unknown += len(real) - len(attempts)
        notes.append(f"more submissions than attempts: {story}")
    if len(real) < len(attempts) - unknown:
        verdict.phantom += 1
        notes.append(f"attempts that never were: {story}")
    reasons = failed + (0 if held else unknown + settled)
    verdict.resent += max(0, taken - 1)
    if taken > 1 + reasons:
        if held:
            verdict.hold_resent += taken - 1 - reasons
        else:
            verdict.doubled_beyond_unknown += taken - 1 - reasons
        notes.append(f"doubled: {story}")
