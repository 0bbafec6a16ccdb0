"""What a simulated SMSC counts: totals, peaks, and submits in a sliding second.

It refuses to know what is refused and why; it is told.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from smpp.codec import SubmitSm
from smpp.constants import Command
from smpp.simulator.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Received:
    """One submit_sm as it came: monotonic seconds, who over which link, and how it was answered (status -1: it was not)."""

    at: float
    system_id: str
    session: int
    submit: SubmitSm
    status: int
    message_id: str


@dataclass(slots=True)
class Stats:
    """Totals since the start or the last reset; peaks are the highest values seen."""

    binds: int = 0
    binds_refused: int = 0
    unbinds: int = 0  # by the peer
    submits: int = 0
    accepted: int = 0
    unanswered: int = 0
    refused: Counter[int] = field(default_factory=Counter)  # by command_status, throttled included
    throttled: int = 0  # beyond the rate, answered 0x58
    window_exceeded: int = 0  # beyond the window, answered 0x14
    window_peak: int = 0  # most submits one session ever had unanswered
    sessions_peak: Counter[str] = field(default_factory=Counter)  # most bound sessions of a system_id
    submits_per_second_peak: int = 0  # arrivals in any sliding second, refused ones included
    receipts_sent: int = 0
    receipts_answered: int = 0
    receipts_refused: int = 0
    receipts_waiting: int = 0  # no session to send them to, or not answered before the link died
    drops: int = 0
    queries: int = 0  # query_sm and
    cancels: int = 0  # cancel_sm that came, however answered
    cancelled: int = 0  # messages

    def note_question(self, command: Command, cancelled: bool) -> None:
        """One query_sm or cancel_sm came."""
        self.queries += command is Command.QUERY_SM
        self.cancels += command is Command.CANCEL_SM
        self.cancelled += cancelled

    def as_dict(self) -> dict[str, Any]:
        """For JSON: statuses as hexadecimal text."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        values["refused"] = {f"{status:#010x}": number for status, number in sorted(self.refused.items())}
        values["sessions_peak"] = dict(self.sessions_peak)
        return values


class SlidingCount:
    """How many things happened within the last `window_s`; batches of one instant are one entry."""

    __slots__ = ("_batches", "_window_s", "total")

    def __init__(self, window_s: float = 1.0) -> None:
        self._window_s = window_s
        self._batches: deque[tuple[float, int]] = deque()
        self.total = 0

    def at(self, now: float) -> int:
        """The number within the window that ends now."""
        batches, since = self._batches, now - self._window_s
        while batches and batches[0][0] <= since:
            self.total -= batches.popleft()[1]
        return self.total

    def add(self, count: int, now: float) -> int:
        """Counts a batch; returns the number within the window that ends now."""
        if count:
            self._batches.append((now, count))
            self.total += count
        return self.at(now)


class Rates:
    """The scenario's rate, which may change by its curve, and its logins' own, in any sliding `rate_window_ms`. 0: no limit."""

    __slots__ = ("_by_login", "_curve", "_granted", "_rate", "_rates", "began_at")

    def __init__(self, scenario: Scenario, began_at: float) -> None:
        window_s = scenario.rate_window_ms / 1000
        self.began_at = began_at
        self._curve = scenario.rate_curve
        self._rate, self._rates = scenario.rate, {each.system_id: each.rate for each in scenario.accounts if each.rate}
        self._granted = SlidingCount(window_s)
        self._by_login = {name: SlidingCount(window_s) for name in self._rates}

    def rate(self, now: float) -> int:
        """The scenario's at this instant."""
        elapsed = now - self.began_at
        return next((rate for at, rate in reversed(self._curve) if at <= elapsed), self._rate)

    def left(self, system_id: str, now: float) -> int:
        """How many submits are allowed now."""
        rate, own = self.rate(now), self._by_login.get(system_id)
        whole = rate - self._granted.at(now) if rate else 1 << 30
        return max(0, min(whole, self._rates[system_id] - own.at(now) if own is not None else whole))

    def count(self, system_id: str, granted: int, now: float) -> None:
        """So many were granted."""
        self._granted.add(granted, now)
        if system_id in self._by_login:
            self._by_login[system_id].add(granted, now)
