"""A bell: what wakes the one task that waits for it.

It refuses to know why it rings. A `trio.Event` does the same for any number of waiters, but it takes a new one for each time,
and it puts its waiter off even when there is nothing to wait for.
"""

from __future__ import annotations

from math import inf

import trio


class Bell:
    """Wakes one waiting task; any number of rings before it looks are one."""

    __slots__ = ("_rang", "_sleeper")

    def __init__(self) -> None:
        self._rang = False
        self._sleeper: trio.lowlevel.Task | None = None

    def ring(self) -> None:
        """Wakes the waiter, or lets the next wait return at once."""
        self._rang = True
        if self._sleeper is not None:
            trio.lowlevel.reschedule(self._sleeper)
            self._sleeper = None

    def silence(self) -> None:
        """Forgets what has rung so far: its waiter is about to look anyway."""
        self._rang = False

    async def wait(self, seconds: float = inf) -> bool:
        """Waits for a ring at most so long; True when it rang. No checkpoint when it has rung already."""
        if not self._rang:
            if seconds == inf:
                await self._sleep()
            else:
                with trio.move_on_after(seconds):
                    await self._sleep()
        rang, self._rang = self._rang, False
        return rang

    async def _sleep(self) -> None:
        self._sleeper = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._give_up)

    def _give_up(self, _: object) -> trio.lowlevel.Abort:
        self._sleeper = None
        return trio.lowlevel.Abort.SUCCEEDED
