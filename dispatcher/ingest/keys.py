"""API keys `id.secret`: making them, taking them apart, checking them, and remembering them for a few seconds.

This module refuses to know HTTP and where keys are kept. Secrets are 256 random bits, so their plain SHA-256 is a safe
thing to keep (slow hashes protect guessable passwords, which these are not). An unknown id costs the same hash and the
same comparison as a known one, and its absence is remembered as a presence is, so that neither time nor load tells
which ids exist.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from dispatcher.core.customer import ApiKey

SECRET_BYTES = 32
SCOPES = ("send", "read")
_FORM = re.compile(r"([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{16,256})")
_NOBODY = hashlib.sha256(secrets.token_bytes(SECRET_BYTES)).digest()
"""Compared against for unknown ids; nobody knows its preimage."""

T = TypeVar("T")


def issue(account: str, at: int, scopes: tuple[str, ...] = SCOPES, expires_at: int = 0) -> tuple[str, ApiKey]:
    """A new key: the text `id.secret`, to be shown once and never kept, and the record to keep. Times are ms; 0 never.
    Raises ValueError for a scope that does not exist."""
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise ValueError(f"unknown scope {unknown[0]!r}: {' or '.join(SCOPES)}")
    key_id = secrets.token_hex(8)
    secret = secrets.token_urlsafe(SECRET_BYTES)
    record = ApiKey(
        id=key_id, account=account, secret_hash=hash_secret(secret), scopes=scopes, created_at=at, expires_at=expires_at
    )
    return f"{key_id}.{secret}", record


def hash_secret(secret: str) -> bytes:
    """SHA-256 of the secret, as kept."""
    return hashlib.sha256(secret.encode()).digest()


def parse(presented: str) -> tuple[str, str] | None:
    """Id and secret of what a caller presented; None when it does not have the form of a key."""
    match = _FORM.fullmatch(presented)
    return (match[1], match[2]) if match else None


def verify(secret: str, key: ApiKey | None, now: int) -> bool:
    """True when the secret is this key's and the key is neither revoked nor expired at `now` (ms). With None it does
    the same work and says False."""
    kept = _NOBODY if key is None else key.secret_hash
    same = hmac.compare_digest(hash_secret(secret), kept)
    return same and key is not None and not key.revoked and not 0 < key.expires_at <= now


class Recent(Generic[T]):
    """What `fetch` found lately, by name: bounded, at most `ttl_s` old, absence remembered too (in its own space, so
    that made-up names cannot push real ones out). Raises what `fetch` raises, and remembers nothing then."""

    def __init__(
        self, fetch: Callable[[str], Awaitable[T | None]], monotonic: Callable[[], float], *, ttl_s: float, entries_max: int
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._ttl_s = ttl_s
        self._entries_max = entries_max
        self._present: OrderedDict[str, tuple[T | None, float]] = OrderedDict()
        self._absent: OrderedDict[str, tuple[T | None, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._present) + len(self._absent)

    def known(self, name: str) -> tuple[T | None] | None:
        """The remembered answer in a tuple, or None when it must be fetched."""
        found = self._present.get(name) or self._absent.get(name)
        if found is None or found[1] < self._monotonic():
            return None
        return (found[0],)

    async def get(self, name: str) -> T | None:
        """What is kept under `name`, at most `ttl_s` seconds old."""
        known = self.known(name)
        if known is not None:
            return known[0]
        value = await self._fetch(name)
        into, out = (self._absent, self._present) if value is None else (self._present, self._absent)
        out.pop(name, None)
        into[name] = (value, self._monotonic() + self._ttl_s)
        into.move_to_end(name)
        if len(into) > self._entries_max:
            into.popitem(last=False)
        return value
