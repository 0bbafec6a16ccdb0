"""Calls counted in fixed windows, over a server: one small key a subject, gone by itself after its window.

Knows no limit: what too many means is the door's rule. Sliding limits are the takes'.
"""

from __future__ import annotations

from dispatcher.core.front import Counted
from dispatcher.store.accounts import RedisBase

CALLS = "calls"


class Calls(RedisBase):
    """Fixed windows; time is an argument, the key's own expiry only clears away."""

    async def count_call(self, subject: str, window_s: int, at: int) -> Counted:
        key = self.k.calls_ + subject.encode()
        used, ends_at = await self.run(CALLS, "calls", [key], [b"%d" % at, b"%d" % (window_s * 1000)])
        return Counted(used, ends_at)
