"""Who presents this? Proof of our keys and of the dialects' credentials, with the same work whether they exist or not.

This module refuses to know HTTP and accounts. The work is counted (hashes, comparisons, reads of the store), so that a test
can see that it is the same. Passwords are checked in a thread, a few at once; a verdict is remembered for seconds under
a keyed hash of what was presented, so that a caller who sends often pays for scrypt rarely.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from dispatcher.core.customer import ApiKey
from dispatcher.core.ports import Clock
from dispatcher.ingest.keys import FORMS, Recent, dialect_id, matches, parse, password_matches
from dispatcher.ingest.problems import Problem

CACHE_S = 3.0
CACHE_ENTRIES_MAX = 10_000
PASSWORDS_AT_ONCE = 2
PASSWORDS_WAITING_MAX = 50
"""Those beyond are told 503: a flood of passwords costs two threads and nothing else."""
PRESENTED_CHARS_MAX = 1024
_ADVICE = "send a key as Authorization: Bearer id.secret, or as X-API-Key: id.secret"


class Work:
    """What proofs have cost until now."""

    __slots__ = ("compares", "hashes", "reads", "slow_hashes")

    def __init__(self) -> None:
        self.hashes = 0
        self.compares = 0
        self.reads = 0
        self.slow_hashes = 0

    def all(self) -> tuple[int, int, int, int]:
        """Hashes (plain and keyed), comparisons, reads of the store, password hashes."""
        return self.hashes, self.compares, self.reads, self.slow_hashes


class Credentials:
    """One per process. `fetch` reads a key's record (raises Problem when the store does not answer); `keyed` is the keyed
    hash under the server's key."""

    def __init__(self, fetch: Callable[[str], Awaitable[ApiKey | None]], keyed: Callable[[str], bytes], clock: Clock) -> None:
        self.work = Work()
        self.keyed = keyed
        self._fetch = fetch
        self._clock = clock
        self._recent = Recent(self._read, clock.monotonic, ttl_s=CACHE_S, entries_max=CACHE_ENTRIES_MAX)
        self._passwords: OrderedDict[bytes, tuple[bool, float]] = OrderedDict()
        self._turn = asyncio.Semaphore(PASSWORDS_AT_ONCE)
        self._waiting = 0
        self._uses: dict[str, int] = {}

    async def native(self, presented: str) -> ApiKey:
        """The key `id.secret`. Raises Problem: unauthorized for every kind of wrong key alike."""
        parts = parse(presented)
        key = await self._recent.get(parts[0]) if parts is not None else None
        same = self._matches(parts[1] if parts else presented, key)
        if not same or key is None or key.dialect or not _live(key, self._clock.now_ms()):
            raise Problem("unauthorized", _ADVICE)
        return self._used(key)

    async def dialect(self, dialect: str, presented: str | tuple[str, str] | None) -> ApiKey:
        """A dialect's credential. Raises Problem: unauthorized_missing, unauthorized, expired_key (laravel's API keys)."""
        pair = isinstance(presented, tuple)
        identifier, secret = presented if isinstance(presented, tuple) else (presented or "", presented or "")
        if not identifier or not secret:
            raise Problem("unauthorized_missing")
        if len(identifier) + len(secret) > 2 * PRESENTED_CHARS_MAX:
            raise Problem("unauthorized")
        self.work.hashes += 1
        key_id = dialect_id(self.keyed, dialect, identifier, pair=pair)
        # Laravel's keys are replaced through HTTP, and "the key stops at once" must hold in every process.
        key = await (self._read(key_id) if dialect == "laravel" and not pair else self._recent.get(key_id))
        if FORMS[dialect, pair].password:
            same = await self._password_matches(key_id, secret, key)
        else:
            same = self._matches(secret, key)
        if not same or key is None or key.revoked or key.dialect != dialect:
            raise Problem("unauthorized")
        if not _live(key, self._clock.now_ms()):
            raise Problem("expired_key" if dialect == "laravel" and not pair else "unauthorized")
        return self._used(key)

    def uses(self) -> dict[str, int]:
        """Last uses (ms) since the last call, by key id."""
        uses, self._uses = self._uses, {}
        return uses

    def put_back(self, uses: dict[str, int]) -> None:
        """Uses that could not be written."""
        self._uses = uses | self._uses

    def _used(self, key: ApiKey) -> ApiKey:
        self._uses[key.id] = self._clock.now_ms()
        return key

    async def _read(self, key_id: str) -> ApiKey | None:
        self.work.reads += 1
        return await self._fetch(key_id)

    def _matches(self, secret: str, key: ApiKey | None) -> bool:
        self.work.hashes += 1
        self.work.compares += 1
        return matches(secret, key)

    async def _password_matches(self, key_id: str, password: str, key: ApiKey | None) -> bool:
        """By an earlier verdict on the same password and the same record, or by scrypt."""
        self.work.hashes += 1
        kept = "" if key is None else key.secret_hash.hex()
        name = self.keyed(f"password\0{key_id}\0{kept}\0{password}")
        known = self._passwords.get(name)
        if known is not None and known[1] >= self._clock.monotonic():
            return known[0]
        if self._waiting >= PASSWORDS_WAITING_MAX:
            raise Problem("overloaded", "too many passwords at once", retry_after_s=1)
        self._waiting += 1
        try:
            async with self._turn:
                self.work.slow_hashes += 1
                self.work.compares += 1
                same = await asyncio.to_thread(password_matches, password, key)
        finally:
            self._waiting -= 1
        self._passwords[name] = (same, self._clock.monotonic() + CACHE_S)
        if len(self._passwords) > CACHE_ENTRIES_MAX:
            self._passwords.popitem(last=False)
        return same


def _live(key: ApiKey, now: int) -> bool:
    return not key.revoked and not 0 < key.expires_at <= now
