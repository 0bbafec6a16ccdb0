"""Whose turn it is: targets with their circuits, in a fair round. Pure; time is an argument.

Refuses to know stores and sockets. Theory: what a customer's receiver does to us may cost that customer only.
A target starts with one call at a time and earns more with each success; three failures in a row open its *circuit*: for a
while, doubling up to a minute, nothing is tried, then one call tries it. Calls go round the targets. An account has at
most a quarter of all calls, targets that answer slowly at most half of them together, so that whatever some targets do there
is room for the others. What is loaded is bounded: four times the calls that a target may have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from dispatcher.core.notices import RETRY_AFTER_MAX_S, Notice

FAILURES_MAX: Final = 3
PAUSE_FIRST_MS: Final = 5_000
PAUSE_MAX_MS: Final = 60_000
REMEMBERED_MS: Final = 600_000
SLOW_S: Final = 1.0
ACCOUNT_PART: Final = 4
SLOW_PART: Final = 2
LOADED_TIMES: Final = 4


class Target:
    """One account's receiver at one origin. `held`: messages that are loaded, called, or called and not yet settled."""

    __slots__ = (
        "account", "failures", "flying", "held", "name", "open_until", "opened_at", "ready", "slots", "slow", "turn",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        self.name = name
        self.account = name.partition(" ")[0]
        self.ready: deque[Notice] = deque()
        self.held: set[str] = set()
        self.flying = 0
        self.slots = 1
        self.failures = 0
        self.opened_at = 0
        self.open_until = 0
        self.slow = False
        self.turn = False

    @property
    def failing(self) -> bool:
        """Is its circuit open, or half open?"""
        return self.open_until > 0

    def idle(self, now: int) -> bool:
        """Is there nothing to do, and no trouble to remember?"""
        return not (self.held or self.flying or (self.failures and now < self.open_until + REMEMBERED_MS))


class Round:
    """All targets that have something to do."""

    def __init__(self, concurrency: int, target_concurrency: int) -> None:
        self._most = concurrency
        self._target_most = target_concurrency
        self._account_most = max(1, concurrency // ACCOUNT_PART)
        self._slow_most = max(1, concurrency // SLOW_PART)
        self.targets: dict[str, Target] = {}
        self._turns: deque[Target] = deque()
        self._accounts: dict[str, int] = {}
        self._slow = 0
        self.flying = 0

    def target(self, name: str) -> Target:
        """The target of that name, from now on known."""
        found = self.targets.get(name)
        if found is None:
            found = self.targets[name] = Target(name)
        return found

    def room(self, target: Target, now: int) -> int:
        """How many notices to load beyond those that are held; 0: none."""
        if now < target.open_until or (target.failing and target.flying):
            return 0
        room = LOADED_TIMES * target.slots - len(target.ready)
        return room if room > target.slots // 2 else 0

    def load(self, target: Target, notices: Iterable[Notice], now: int) -> int:
        """Takes what is not held; returns how many. Nothing when the circuit has opened since they were asked for."""
        count = 0
        if now < target.open_until:
            return 0
        for notice in notices:
            if notice.message_id not in target.held:
                target.held.add(notice.message_id)
                target.ready.append(notice)
                count += 1
        self._line_up(target)
        return count

    def _line_up(self, target: Target) -> None:
        if not target.turn and target.ready and target.flying < target.slots:
            target.turn = True
            self._turns.append(target)

    def picks(self, now: int) -> Iterator[tuple[Target, Notice]]:
        """Notices to be called now; each counts as flying from then on."""
        passed = 0
        while self._turns and self.flying < self._most and passed < len(self._turns):
            target = self._turns.popleft()
            if now < target.open_until or not target.ready or target.flying >= target.slots:
                target.turn = False
                continue
            if self._full(target):
                self._turns.append(target)
                passed += 1
                continue
            passed = 0
            target.turn = False
            notice = target.ready.popleft()
            target.flying += 1
            self.flying += 1
            self._accounts[target.account] = self._accounts.get(target.account, 0) + 1
            self._slow += target.slow
            self._line_up(target)
            yield target, notice

    def _full(self, target: Target) -> bool:
        return self._accounts.get(target.account, 0) >= self._account_most or (target.slow and self._slow >= self._slow_most)

    def landed(self, target: Target, *, well: bool, took_s: float, began: int, now: int, retry_after_s: float = 0.0) -> bool:
        """A call that began at `began` ended; True when that opened the circuit. `well`: the receiver works."""
        target.flying -= 1
        self.flying -= 1
        left = self._accounts.pop(target.account) - 1
        if left:
            self._accounts[target.account] = left
        self._slow -= target.slow
        slow = took_s > SLOW_S
        if slow != target.slow:
            self._slow += target.flying if slow else -target.flying
            target.slow = slow
        opened = False
        if well:
            target.failures = 0
            target.open_until = 0
            target.slots = min(target.slots + 1, self._target_most)
        elif began >= target.opened_at:  # those that were under way when it opened say nothing new
            target.failures += 1
            opened = self._fail(target, now, retry_after_s)
        self._line_up(target)
        return opened

    def _fail(self, target: Target, now: int, retry_after_s: float) -> bool:
        pause = round(min(retry_after_s, RETRY_AFTER_MAX_S) * 1000)
        if target.failures >= FAILURES_MAX:
            pause = max(pause, min(PAUSE_FIRST_MS << min(target.failures - FAILURES_MAX, 10), PAUSE_MAX_MS))
        if not pause:
            return False
        target.slots = 1
        target.opened_at = now
        target.open_until = now + pause
        for notice in target.ready:  # they stay due where they came from
            target.held.discard(notice.message_id)
        target.ready.clear()
        return True

    def release(self, name: str, message_id: str) -> None:
        """What became of a message's notice is known to the store."""
        self.target(name).held.discard(message_id)

    def forget_idle(self, now: int) -> None:
        """Drops targets that have nothing to do and, for a while, nothing to remember."""
        self.targets = {n: t for n, t in self.targets.items() if t.turn or not t.idle(now)}
