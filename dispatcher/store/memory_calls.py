"""Calls counted in fixed windows, in memory."""

from __future__ import annotations

from dispatcher.core.front import Counted
from dispatcher.store.memory_state import MemoryState, step


class MemoryCalls(MemoryState):
    """As store/calls.py."""

    @step
    async def count_call(self, subject: str, window_s: int, at: int) -> Counted:
        used, ends_at = self.calls.get(subject, (0, 0))
        if ends_at <= at or ends_at > at + window_s * 1000:
            used, ends_at = 0, at + window_s * 1000
        self.calls[subject] = found = Counted(used + 1, ends_at)
        return found
