"""The Redis store: the Store port over a Redis 7 or Valkey 8 server, for Trio and asyncio alike.

This module only puts the themes together, one class on top of the other: accounts, admission (S1), groups (S2), leases
(S9), correlations, hot (S3-S5), rest (S6-S8), streams, gauges, sweeps, calls, notices. Which connection a step uses is its
line's name.
"""

from __future__ import annotations

from dispatcher.store.admitted import Admitted
from dispatcher.store.asyncio_connection import AsyncioDriver
from dispatcher.store.calls import Calls
from dispatcher.store.inbox import Inbox
from dispatcher.store.keys import KEYS_S
from dispatcher.store.notices import NoticeSteps
from dispatcher.store.sweeps import Sweeps
from dispatcher.store.transport import Driver
from dispatcher.store.trio_connection import TrioDriver

__all__ = ["RedisStore", "open_asyncio_store", "open_trio_store"]


class RedisStore(Sweeps, Inbox, Calls, NoticeSteps):
    """One partition on one server. `available` is False while the server is away; `on_available` hears of it.

    Writers of the engine (pop, write_ahead, settle, commits, takeover) return when they have taken effect, however
    long the server is away; readers and HTTP's admission raise StoreUnavailable within about twice `timeout_s`.
    """

    def __init__(
        self,
        driver: Driver,
        prefix: str = "sms:",
        *,
        partition: str = "p0",
        reservations: bool = False,
        timeout_s: float = 2.0,
        keys_s: int = KEYS_S,
    ) -> None:
        super().__init__(driver, prefix, partition=partition, reservations=reservations, timeout_s=timeout_s, keys_s=keys_s)
        self._families = set()
        self.admitted = Admitted()
        self._stopping = set()
        self._batches = {}
        self._seconds = {}
        self._windows = {}
        self._expiries = {}
        self._overdue_at = {}
        self._early_at = {}
        self._queue_keys = []
        self._queue_offset = 0


async def open_trio_store(
    url: str, prefix: str = "sms:", *, reservations: bool = False, timeout_s: float = 2.0, keys_s: int = KEYS_S
) -> RedisStore:
    """A store for a Trio process; connects when first asked. `keys_s`: how long idempotency keys are known at least, the same
    for all processes of a store. Raises ValueError for a bad url."""
    driver = TrioDriver(url, connect_timeout_s=timeout_s)
    return RedisStore(driver, prefix, reservations=reservations, timeout_s=timeout_s, keys_s=keys_s)


async def open_asyncio_store(
    url: str, prefix: str = "sms:", *, reservations: bool = False, timeout_s: float = 2.0, keys_s: int = KEYS_S
) -> RedisStore:
    """The same for an asyncio process."""
    driver = AsyncioDriver(url, connect_timeout_s=timeout_s)
    return RedisStore(driver, prefix, reservations=reservations, timeout_s=timeout_s, keys_s=keys_s)
