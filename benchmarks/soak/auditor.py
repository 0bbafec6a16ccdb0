"""The judge of a soak, message by message while it runs: it keeps what is open and forgets what was judged.

It sees what outsiders see: what the senders were told, rows of `events` and `charges`, what the carriers received, callbacks,
and at the end of each message its record; the rules are those of tests/process/verdict.py. It counts rows as /metrics should,
by seconds, so that the two can be compared although a killed process takes with it what it had counted since it last wrote
its counts down.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from dispatcher.client import Reader
from dispatcher.client.reader import StreamName
from tests.process.installation import Installation, Submission
from tests.process.receiver import Call, Hooks
from tests.process.verdict import FINALS, Verdict, judge_message

SETTLE_S: Final = 12.0
"""From a message's end to its judgement: its receipts, repeats and the carriers' records have come by then."""
HOOK_S: Final = 90.0
"""A callback may come so long after the end."""
JUDGED_S: Final = 300.0
"""What was judged is remembered for so long: what still comes for it is a fault."""
AT_ONCE: Final = 500
NOTES_MAX: Final = 40
STEP_MS: Final = 250
"""Rows are counted by steps of so long."""
BEHIND_S: Final = 0.75
"""A row's moment is that of its decision; it is counted when it is durable, at most so much later."""
COUNTED: Final = ("dispatcher_sends_total", "dispatcher_final_total", "dispatcher_charges_micro_total")

STREAMS: Final[tuple[StreamName, ...]] = ("events", "charges", "rejects")

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]


@dataclass(slots=True)
class Open:
    """A message that is not judged yet."""

    number: str
    held: bool
    hooked: bool
    accepted: bool = False
    doubtful: bool = False
    told: str = ""
    id: str = ""
    finals: int = 0
    state: str = ""
    final_at: float = 0.0
    doubts: int = 0
    heard: bool = False
    seen: dict[tuple[str, int], list[Submission]] = field(default_factory=dict)
    charges: dict[tuple[str, int], Counter[str]] = field(default_factory=dict)


class Metric(NamedTuple):
    """A counter as shown and as counted from rows. `lost_max`: what rows say of the moments before processes were killed."""

    name: str
    shown: float
    counted: float
    lost_max: float

    @property
    def well(self) -> bool:
        """Equal, but for what killed processes took with them."""
        return 0 <= self.counted - self.shown <= self.lost_max


def parse(name: str) -> Key:
    """`metric{a="b"}` as /metrics writes it."""
    metric, _, rest = name.partition("{")
    labels = (pair.partition("=") for pair in rest.rstrip("}").split(",") if pair)
    return metric, tuple(sorted((label, value.strip('"')) for label, _, value in labels))


class Auditor:
    """Fed by the senders (from any thread) and by `look`, which one thread calls again and again."""

    def __init__(self, place: Installation, hooks: Hooks, clock: Any = time.time) -> None:
        self._place, self._hooks, self._clock = place, hooks, clock
        self._events, self._charges, self._rejects = (Reader(place.url, stream=name) for name in STREAMS)
        self._open: dict[str, Open] = {}
        self._refs: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._ended: deque[str] = deque()
        self._judged: deque[tuple[float, Open]] = deque()
        self._past: dict[str, str] = {}
        self._refusals: deque[tuple[int, str, str, int]] = deque()
        self.verdict = Verdict()
        self.states: Counter[str] = Counter()
        self.facts: Counter[str] = Counter()
        self.steps: dict[int, Counter[Key]] = {}
        self.notes: list[str] = []
        self.finals = self.accepted = self.callbacks = self.refined = 0
        self.unsigned = self.unheard = self.late = 0

    # -- the senders

    def expect(self, ref: str, number: str, *, held: bool, hooked: bool) -> None:
        """A message is about to be handed in."""
        self._refs[number] = ref
        self._open[ref] = Open(number, held, hooked)

    def accept(self, refs: Iterable[str], told: str = "") -> None:
        """A door has answered that they are accepted."""
        for ref in refs:
            one = self._open.get(ref)  # absent: judged before its sender was told
            self.accepted += 1
            if one is not None:
                one.accepted, one.told = True, told

    def refuse(self, lane: str, reason: str, count: int) -> None:
        """A door has answered that so many sends of a class are not accepted, for now."""
        self._refusals.append((round(self._clock() * 1000), lane, reason, count))

    def doubt(self, refs: Iterable[str]) -> None:
        """Nobody answered: they may come to be, once."""
        for ref in refs:
            if (one := self._open.get(ref)) is not None:
                one.doubtful = True

    @property
    def unfinished(self) -> int:
        """Handed in and not final."""
        return len(self._open) - len(self._ended)

    @property
    def unjudged(self) -> int:
        """Accepted (or come to be), and not judged."""
        return sum(one.accepted or bool(one.id) for one in list(self._open.values()))

    # -- looking

    def look(self, *, judged: bool) -> None:
        """Takes all that is new; judges what is due when `judged` says so. Raises redis.RedisError."""
        calls, self._hooks.calls = self._hooks.calls, []  # before the events, like the facts: their message is then known
        rows = self._charges.read(20_000)
        while events := self._events.read(5_000):
            for event in events:
                self._event(event.map)
        for row in rows:
            self._fact(row.map)
        for row in self._rejects.read(1_000):
            self.verdict.rejected += 1
            self._note(f"rejected: {row.map['reason']} {row.map['detail']}")
        while self._refusals:
            at, lane, reason, count = self._refusals.popleft()
            self._count(at, "dispatcher_sends_total", count, **{"class": lane, "result": reason})
        self._heard(calls)
        if judged:
            for carrier in self._place.carriers.values():
                for each in carrier.drained():
                    self._submitted(each)
            self._judge()

    def _note(self, text: str) -> None:
        if len(self.notes) < NOTES_MAX:
            self.notes.append(text)

    def _count(self, at_ms: int, metric: str, amount: int = 1, **labels: str) -> None:
        key = metric, tuple(sorted(labels.items()))
        self.steps.setdefault(at_ms // STEP_MS, Counter())[key] += amount

    def _event(self, row: dict[str, Any]) -> None:
        state, lane, at = row["state"], row["class"], row["at"]
        if state == "queued":
            self._count(at, "dispatcher_sends_total", **{"class": lane, "result": "accepted"})
        elif state in FINALS and not row["refined"]:
            self._count(at, "dispatcher_final_total", **{"class": lane, "state": state})
        one = self._open.get(row["ref"])
        if one is None:
            self._after(row["id"], f"event {state}", wrong=not row["refined"])
            return
        if one.id and one.id != row["id"]:
            self.verdict.doubled += 1
            self._note(f"doubled: {row['ref']} became {one.id} and {row['id']}")
            return
        if not one.id:
            one.id = row["id"]
            self._ids[one.id] = row["ref"]
        one.doubts += state == "doubt"
        if state not in FINALS:
            return
        if row["refined"]:
            self.refined += 1
        else:
            one.finals += 1
            if one.finals == 1:
                self.finals += 1
                one.final_at = self._clock()
                self._ended.append(row["ref"])
        one.state = state

    def _fact(self, row: dict[str, Any]) -> None:
        kind = row["kind"]
        self.facts[kind] += row["amount"]
        if kind in {"post", "refund", "cost"}:
            self._count(row["at"], "dispatcher_charges_micro_total", row["amount"], currency=row["currency"], kind=kind)
        one = self._open.get(self._ids.get(row["id"], ""))
        if one is not None:
            one.charges.setdefault((row["id"], row["segment"]), Counter())[kind] += 1
        elif kind in {"post", "refund"}:
            self._after(row["id"], f"fact {kind}", wrong=True)

    def _after(self, message_id: str, what: str, *, wrong: bool) -> None:
        """Something of a message that is judged already, or was never sent."""
        self.late += 1
        if wrong:
            known = self._past.get(message_id)
            self.verdict.final_twice += 1
            self._note(f"{what} for {message_id}, which is {known or 'nobody we know'}")

    def _submitted(self, each: Submission) -> None:
        one = self._open.get(self._refs.get(each.number, ""))
        if one is not None:
            one.seen.setdefault((each.number, each.part), []).append(each)
        elif each.status <= 0:
            self.verdict.doubled_beyond_unknown += 1
            self._note(f"submitted after its end: {each.number}.{each.part} {each.status:#x}")

    def _heard(self, calls: Sequence[Call]) -> None:
        for call in calls:
            self.callbacks += 1
            self.unsigned += not call.signed
            one = self._open.get(self._ids.get(call.event["id"], ""))
            if one is not None and call.event["state"] in FINALS:
                one.heard = True

    # -- judging

    def _judge(self) -> None:
        now = self._clock()
        while self._judged and self._judged[0][0] < now - JUDGED_S:
            self._past.pop(self._judged.popleft()[1].id, None)
        due: list[tuple[str, Open]] = []
        later: list[str] = []
        while self._ended and len(due) < 8 * AT_ONCE:
            ref = self._ended[0]
            one = self._open[ref]
            if now - one.final_at < SETTLE_S:
                break
            self._ended.popleft()
            if not (one.accepted or one.doubtful) or (one.hooked and not one.heard and now - one.final_at < HOOK_S):
                later.append(ref)  # its sender repeats its call still, or its callback comes still
            else:
                due.append((ref, one))
        self._ended.extend(later)
        messages = self._place.messages([one.id for _, one in due])
        for ref, one in due:
            self._end(ref, one, messages.get(one.id), now)

    def _end(self, ref: str, one: Open, message: Any, now: float) -> None:
        verdict = self.verdict
        verdict.accepted += one.accepted
        verdict.final += 1
        verdict.final_twice += one.finals - 1
        self.states[one.state] += 1
        if one.told and one.told != one.id:
            verdict.doubled += 1
            self._note(f"told {one.told}, became {one.id}")
        if one.hooked and not one.heard:
            self.unheard += 1
            self._note(f"no callback for the end of {one.id}")
        judge_message(verdict, message, one.number, one.held, one.seen, one.charges, one.doubts, self.notes)
        del self._open[ref], self._refs[one.number], self._ids[one.id]
        one.seen, one.charges = {}, {}
        self._judged.append((now, one))
        self._past[one.id] = one.state

    def close(self) -> None:
        """What was accepted and never ended is lost. Closes the connections."""
        for ref, one in self._open.items():
            if one.accepted or one.finals:
                self.verdict.lost += not one.finals
                self._note(f"lost: {ref} {one.id or 'without an id'} {one.state or 'never final'}")
        for reader in (self._events, self._charges, self._rejects):
            reader.close()

    def metrics(self, shown: dict[str, float], dark: Sequence[tuple[float, float]]) -> list[Metric]:
        """The counters of /metrics beside the rows. `dark`: (from, to) of what killed processes may have taken along."""
        seen = {parse(name): value for name, value in shown.items()}
        total: Counter[Key] = Counter()
        lost: Counter[Key] = Counter()
        ranges = [(int((since - BEHIND_S) * 1000) // STEP_MS, int(until * 1000) // STEP_MS) for since, until in dark]
        for step, counts in self.steps.items():
            total.update(counts)
            if any(first <= step <= last for first, last in ranges):
                lost.update(counts)
        keys = {key for key in seen if key[0] in COUNTED and ("result", "duplicate") not in key[1]} | total.keys()
        return [Metric(_shown(key), seen.get(key, 0.0), total[key], lost[key]) for key in sorted(keys)]


def _shown(key: Key) -> str:
    return f"{key[0]} {' '.join(value for _, value in key[1])}"
