"""Uses of limits in memory: the slow, obvious twin of take.lua. Knows takes and instants, and no message.

Up to LOG_LIMIT_MAX uses in a span, each is remembered with its instant and its token: exact, and it can be given back.
Above, a span is SLOTS counters and the one that is just leaving counts whole, so that a use counts for the span and at
most a sixtieth longer, never shorter.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.core.front import Take, Taken

LOG_LIMIT_MAX = 1000
SLOTS = 60


def slot_ms(span_s: int) -> int:
    """The width of one of a span's counters."""
    return -(-span_s * 1000 // SLOTS)


class Counters:
    """One span of one subject: sums by slot. Its time is that of the newest `at` it has seen."""

    def __init__(self, span_s: int) -> None:
        self.span_s = span_s
        self.width = slot_ms(span_s)
        self.last = -1
        self.slots: dict[int, int] = {}
        self.used = False

    def advance(self, at: int) -> None:
        """Lets go of the slots that have left."""
        self.last = max(self.last, at // self.width)
        self.slots = {slot: n for slot, n in self.slots.items() if slot >= self.last - SLOTS}

    def wait_ms(self, amount: int, limit: int, at: int) -> int:
        """0: `amount` more is within the limit; else the time until it may be."""
        total = sum(self.slots.values())
        if total + amount <= limit:
            return 0
        for slot in sorted(self.slots):
            total -= self.slots[slot]
            if total + amount <= limit:
                return max(1, (slot + SLOTS + 1) * self.width - at)
        return self.span_s * 1000

    def add(self, amount: int) -> int:
        """Counts; returns the slot."""
        self.used = True
        self.slots[self.last] = self.slots.get(self.last, 0) + amount
        return self.last

    def give_back(self, amount: int, slot: int | None = None) -> None:
        """Takes it out of a slot, or of the oldest ones: what remains then counts for as long as it must, or longer."""
        for s in sorted(self.slots) if slot is None else [slot]:
            some = min(amount, self.slots.get(s, 0))
            self.slots[s] -= some
            amount -= some
        self.slots = {s: n for s, n in self.slots.items() if n}


class Log:
    """The uses of one subject: token -> instant and amount."""

    def __init__(self) -> None:
        self.uses: dict[str, tuple[int, int]] = {}

    def wait_ms(self, span_s: int, limit: int, amount: int, at: int) -> int:
        """0: `amount` more is within the limit; else the time until it may be."""
        if amount > limit:
            return span_s * 1000
        instants = sorted((t for t, n in self.uses.values() for _ in range(n)), reverse=True)
        nth = limit - amount
        return max(0, instants[nth] + span_s * 1000 - at) if nth < len(instants) else 0


class MemoryWindows:
    """All subjects."""

    def __init__(self) -> None:
        self.logs: dict[str, Log] = {}
        self.sums: dict[str, dict[int, Counters]] = {}

    def take_all(self, takes: Sequence[Take], at: int) -> tuple[int, Taken]:
        """All takes of one send, or none: the index of the refused one (-1: none) and its answer."""
        undo: list[tuple[Take, dict[int, int]]] = []
        for index, take in enumerate(takes):
            taken, slots = self._take(take, at)
            if not taken.granted:
                for done, where in reversed(undo):
                    self._drop(done, where)
                return index, taken
            if slots is not None:
                undo.append((take, slots))
        return -1, Taken(granted=True)

    def _take(self, take: Take, at: int) -> tuple[Taken, dict[int, int] | None]:
        """The answer, and the slots counted in by span; None: nothing was counted, as refused or counted before."""
        small = [(s, limit) for s, limit in take.spans if limit <= LOG_LIMIT_MAX]
        large = [(s, limit) for s, limit in take.spans if limit > LOG_LIMIT_MAX]
        log = self.logs.setdefault(take.subject, Log())
        if small and take.token in log.uses:
            return Taken(granted=True), None
        waits: list[tuple[int, int]] = []
        counters = {s: self.sums.setdefault(take.subject, {}).setdefault(s, Counters(s)) for s, _ in large}
        for span_s, limit in take.spans:
            if limit <= LOG_LIMIT_MAX:
                waits.append((log.wait_ms(span_s, limit, take.amount, at), span_s))
            else:
                counters[span_s].advance(at)
                waits.append((counters[span_s].wait_ms(take.amount, limit, at), span_s))
        wait, span_s = max(waits, key=lambda w: w[0], default=(0, 0))
        if wait:
            return Taken(granted=False, retry_after_ms=wait, span_s=span_s), None
        if small:
            gone = at - max(s for s, _ in small) * 1000
            log.uses = {token: use for token, use in log.uses.items() if use[0] > gone}
            log.uses[take.token] = (at, take.amount)
        return Taken(granted=True), {s: c.add(take.amount) for s, c in counters.items()}

    def _drop(self, take: Take, slots: dict[int, int]) -> None:
        self.logs[take.subject].uses.pop(take.token, None)
        for span_s, slot in slots.items():
            self.sums[take.subject][span_s].give_back(take.amount, slot)

    def give_back(self, take: Take, at: int) -> None:
        """By token where there is a log; otherwise the amount, once per call."""
        log = self.logs.get(take.subject)
        if any(limit <= LOG_LIMIT_MAX for _, limit in take.spans) and (log is None or log.uses.pop(take.token, None) is None):
            return
        for span_s, limit in take.spans:
            if limit > LOG_LIMIT_MAX and (counters := self.sums.get(take.subject, {}).get(span_s)):
                counters.advance(at)
                counters.give_back(take.amount)

    def forget(self, beginning: str) -> set[str]:
        """Drops subjects by how they begin; returns those that had uses."""
        known = {s for s, log in self.logs.items() if log.uses}
        known |= {s for s, spans in self.sums.items() if any(c.used for c in spans.values())}
        gone = {s for s in known if s.startswith(beginning)}
        for subject in gone:
            self.logs.pop(subject, None)
            self.sums.pop(subject, None)
        return gone
