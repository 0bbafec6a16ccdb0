"""A limit of a day over all engines: permits that one engine has taken ahead from the common count, some at a time.

It refuses to know where the count is and who asks it: `asking` says what to take, `told` hears the answer, `unused` says
what to give back at the end. Seconds are monotonic and an argument.

Theory. The common count (Take in core/front.py) is a sliding day of all engines. What is counted there and not used yet is
here, so the sum of all uses is never above the count, and the count never above the limit. A permit is used within HOLD_S
or given back, and the count slides over a day and HOLD_S: whatever was used in any day was taken within that. A block is at
most a hundredth of the limit, so that a killed engine takes at most that much with it, for a day. When a block is refused,
smaller ones are tried down to one permit; when that is refused the day is spent, for as long as the count says.
"""

from __future__ import annotations

import math
from typing import Final

from dispatcher.core.front import Take, Taken

DAY_S: Final = 86_400
HOLD_S: Final = 600
EXACT_MAX: Final = 1000
"""Up to this limit the count knows uses by their tokens, above it by their amounts."""
BLOCK_MAX: Final = 10_000
SPENT_MIN_S: Final = 60.0
"""A sliding day frees its permits one by one; looking again for each would be a stutter."""


class Allotment:
    """Permits of one limit. `subject` names it in the common count, `per_day` is the limit."""

    __slots__ = ("_asked", "_need", "_size", "_tokens", "block", "left", "per_day", "spent_until", "subject", "until")

    def __init__(self, subject: str, per_day: int) -> None:
        self.subject = subject
        self.per_day = per_day
        self.block = min(BLOCK_MAX, max(1, per_day // 100))
        self.left = 0
        self.until = math.inf  # what is left may be used before this instant
        self.spent_until = -math.inf
        self._size = self.block
        self._tokens: list[str] = []  # of what is left, where tokens count
        self._asked = 0
        self._need = 1

    def at_hand(self, now: float) -> int:
        """Permits that may be used now."""
        return self.left if now < self.until else 0

    def use(self, permits: int, now: float) -> bool:
        """Uses so many, if there are as many; else more are asked for."""
        if permits > self.at_hand(now):
            self._need = max(self._need, permits)
            return False
        self.left -= permits
        del self._tokens[self.left :]
        return True

    def spent(self, now: float) -> bool:
        """Is the day's limit reached, as far as we know, and nothing of it left here?"""
        return not self.left and now < self.spent_until

    def wants(self, now: float) -> bool:
        """Is it time to take more?"""
        return now < self.until and self.left < max(self._need, self.block // 2) and now >= self.spent_until

    def asking(self, name: str) -> list[Take]:
        """What to take next; `name` is of this engine's life, unlike any other's."""
        self._asked += 1
        size = max(self._size, self._need - self.left)
        if self.per_day <= EXACT_MAX:
            return [self._take(f"{name}:{self._asked}:{n}", 1) for n in range(size)]
        return [self._take(f"{name}:{self._asked}", size)]

    def told(self, takes: list[Take], answers: list[Taken], now: float) -> None:
        """What became of `asking`, which was at `now`."""
        if not self.left:
            self.until = math.inf
        self.until = min(self.until, now + HOLD_S)
        granted = [take for take, answer in zip(takes, answers, strict=True) if answer.granted]
        self.left += sum(take.amount for take in granted)
        if self.per_day <= EXACT_MAX:
            self._tokens += [take.token for take in granted]
        if len(granted) == len(takes):
            self._size = min(self.block, 2 * self._size)
            self._need = 1
        elif not granted and self._size > 1:
            self._size //= 2
        else:
            self._size = self._need = 1
            waits_ms = min(answer.retry_after_ms for answer in answers if not answer.granted)
            self.spent_until = now + max(SPENT_MIN_S, waits_ms / 1000)

    def stale(self, now: float) -> bool:
        """Has what is left been kept for too long?"""
        return now >= self.until

    def unused(self) -> list[Take]:
        """What is left, to be given back; nothing is left afterwards."""
        left, tokens, self.left, self._tokens, self.until = self.left, self._tokens, 0, [], math.inf
        if left <= 0:
            return []
        return [self._take(token, 1) for token in tokens] if self.per_day <= EXACT_MAX else [self._take("unused", left)]

    def _take(self, token: str, amount: int) -> Take:
        return Take(self.subject, ((DAY_S + HOLD_S, self.per_day),), token, "per_day", amount)
