"""Group commit: requests that arrive within a moment of each other share one durable step of the store.

This module refuses to know HTTP and what an admission means. Theory: one message per step costs the server 33-81 us, a
batch of 500 costs 2 each (store.md S1). One batch is in flight at a time, so that while the disk is busy the next batch
grows by itself; the linger only matters when the line is idle. The step is never cancelled: when it takes too long its
callers are told so (they may repeat with the same key), and newcomers are refused until it ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from dispatcher.core.ports import Admission, Clock, Store, StoreUnavailable, Verdict

BATCH_MESSAGES_MAX = 500


class Crowded(Exception):
    """The waiting queue is full; nothing was written."""


class _Waiting(NamedTuple):
    admission: Admission
    answer: asyncio.Future[Verdict]


class Committer:
    """Hands admissions to the store in batches. `run` must be running; `linger_s` and `timeout_s` are seconds."""

    def __init__(self, store: Store, clock: Clock, *, linger_s: float, timeout_s: float, waiting_max: int) -> None:
        self._store = store
        self._clock = clock
        self._linger_s = linger_s
        self._timeout_s = timeout_s
        self._waiting_max = waiting_max
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._stalled = False
        self.batches = 0

    def __len__(self) -> int:
        return len(self._waiting)

    async def admit(self, admission: Admission) -> Verdict:
        """The store's verdict. Raises Crowded when `waiting_max` requests wait already, StoreUnavailable as the port
        says."""
        if self._stalled:
            raise StoreUnavailable("the step before has not ended")
        if len(self._waiting) >= self._waiting_max:
            raise Crowded
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(admission, answer))
        self._wake.set()
        try:
            return await answer
        finally:
            del answer  # with an error it would hold this frame by its traceback, and the frame it: a cycle, with the request

    async def run(self) -> None:
        """Serves until cancelled; those then waiting get StoreUnavailable."""
        try:
            while True:
                await self._wake.wait()
                if len(self._waiting) < BATCH_MESSAGES_MAX and self._linger_s:
                    await asyncio.sleep(self._linger_s)
                while self._waiting:
                    count = min(len(self._waiting), BATCH_MESSAGES_MAX)
                    await self._step([self._waiting.popleft() for _ in range(count)])
                self._wake.clear()
        finally:
            self._fail(list(self._waiting), StoreUnavailable("the door closes"))
            self._waiting.clear()

    async def _step(self, batch: Sequence[_Waiting]) -> None:
        self.batches += 1
        step = asyncio.ensure_future(self._store.admit([w.admission for w in batch], self._clock.now_ms()))
        try:
            done, _ = await asyncio.wait((step,), timeout=self._timeout_s)
            if not done:
                self._stall(batch)
                await asyncio.wait((step,))
            self._settle(batch, step)
        except asyncio.CancelledError:
            step.cancel()
            self._fail(batch, StoreUnavailable("the door closes"))
            raise
        finally:
            self._stalled = False

    def _stall(self, batch: Sequence[_Waiting]) -> None:
        """Tells everyone the outcome is not known; the step itself goes on, for nobody can say how far it came."""
        self._stalled = True
        self._fail(batch, StoreUnavailable("no answer in time"))
        self._fail(list(self._waiting), StoreUnavailable("the step before has not ended"))
        self._waiting.clear()

    def _settle(self, batch: Sequence[_Waiting], step: asyncio.Future[list[Verdict]]) -> None:
        error = step.exception()
        if error is not None:
            self._fail(batch, error)
            return
        for waiting, verdict in zip(batch, step.result(), strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(verdict)

    @staticmethod
    def _fail(batch: Sequence[_Waiting], error: BaseException) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
