"""The Laravel dialect's keys (dialects 4.4, 4.6): what a request presents, and at most one active API key an account.

This module refuses to know the words of answers and how credentials are proven. A key is replaced by look and change: the
account's keys are read with their version, and the change is written only if nobody has written one of them since. So two
calls on two processes never both make a key. Keys that are replaced, revoked or expired are forgotten then: there is no
endpoint that could ask for them, and "unknown" and "revoked" are one answer.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final, NamedTuple

from dispatcher.core.customer import ApiKey
from dispatcher.ingest.dialects.desk import Desk
from dispatcher.ingest.dialects.frame import Request
from dispatcher.ingest.dialects.laravel_rules import DAY_MS
from dispatcher.ingest.door import Caller
from dispatcher.ingest.problems import Problem

TRIES: Final = 5
"""Of a change that others are faster with."""
_DIALECT: Final = "laravel"


class Made(NamedTuple):
    """A new key's text, and the ms when it expires (0: never)."""

    text: str
    expires_at: int


class KeyDesk:
    """Makes and revokes API keys."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def make(self, caller: Caller, days: int | None, *, replace: bool) -> Made | None:
        """A new key; None when one is active and must not be replaced. Raises Problem."""
        door = self._desk.door
        account, now = caller.account.name, door.clock.now_ms()
        expires_at = now + days * DAY_MS if days else 0
        text, record = self._desk.make_key(caller, _DIALECT, expires_at)
        for _ in range(TRIES):
            version, keys = await door.within(door.store.account_keys(account))
            api_keys = [key for key in keys if _is_api_key(key)]
            if any(key.id == record.id for key in api_keys):
                return Made(text, expires_at)
            if not replace and any(_active(key, now) for key in api_keys):
                return None
            gone = [key.id for key in api_keys]
            if await door.within(door.store.change_keys(account, version, [record], gone)):
                return Made(text, expires_at)
        raise Problem("overloaded", retry_after_s=1)

    async def revoke(self, caller: Caller) -> bool:
        """Forgets the active key; False when there was none. Raises Problem."""
        door = self._desk.door
        account, now = caller.account.name, door.clock.now_ms()
        for tried in range(TRIES):
            version, keys = await door.within(door.store.account_keys(account))
            active = [key.id for key in keys if _is_api_key(key) and _active(key, now)]
            if not active:
                return tried > 0  # gone since we looked, mostly by our own try whose reply was lost
            if await door.within(door.store.change_keys(account, version, [], active)):
                return True
        raise Problem("overloaded", retry_after_s=1)


def _is_api_key(key: ApiKey) -> bool:
    """An API key, not a user name with its password."""
    return key.dialect == _DIALECT and key.hashing == "sha256"


def _active(key: ApiKey, now: int) -> bool:
    return not key.revoked and not 0 < key.expires_at <= now


def presented(request: Request, parameters: Mapping[str, str], *, passwords: bool, keys: bool) -> str | tuple[str, str] | None:
    """What the request presents: user name and password (parameters, then HTTP Basic) where `passwords`, then the API key
    (header, then parameter) where `keys`; None for nothing."""
    if passwords:
        pair = (parameters.get("username", ""), parameters.get("password", ""))
        if any(pair):
            return pair
        if basic := _basic(request.header(b"authorization")):
            return basic
    if keys:
        return request.header(b"x-api-key").strip() or parameters.get("api_key", "").strip() or None
    return None


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None
