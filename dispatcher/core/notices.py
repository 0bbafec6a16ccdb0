"""Notices: the events of a message on their way to a customer's webhook. Their shape, their rules, and their port.

Refuses to know HTTP, sockets and streams. Theory: each message has a list of notices, in the order of its events; only the
first of a list is ever tried, and it leaves the list when it was delivered, given up (parked) or is not wanted any more. A
*target* is whom a notice is for: an account's notices to one origin (scheme, host, port). What is slow or dead is slow
or dead for its target only. Times are ms since 1970 UTC unless a name says otherwise.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Container, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

import msgspec

from dispatcher.core.ports import Cursor, Owner

LEASE = "notices"
"""Name of the lease under which one process works."""
STEP_NOTICES_MAX = 200
"""Notices of one step of the store."""
PARKED_MAX = 100_000
"""Parked notices that are kept; beyond it the oldest go."""
TARGET_MESSAGES_MAX = 200_000
"""Messages that may wait for one target: a receiver that is dead for a day must not fill the store."""
RETRY_AFTER_MAX_S = 3600
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?").fullmatch


class Notice(msgspec.Struct, array_like=True, gc=False):
    """One event for one webhook. `id` is the same over retries; `body` too. `form`: whose webhook (front.Callback).
    `final`: nothing follows it; `tries` made so far, the first at `first_at`."""

    id: str
    message_id: str
    account: str
    url: str
    secret: str
    form: Literal["standard", "otpiq"]
    final: bool
    body: bytes
    at: int
    tries: int = 0
    first_at: int = 0


class Settled(NamedTuple):
    """What became of a notice that was the first of its list: `notice` as it was loaded, `kept` as it is kept.

    gone: it leaves the list, delivered or not wanted; the next of its message is due at `at`. later: it is due again at
    `at`. parked: it leaves the list and is kept aside for an operator since `at`.
    """

    notice: Notice
    fate: Literal["gone", "later", "parked"]
    at: int
    kept: Notice


class Parked(NamedTuple):
    """A notice that was given up, since when."""

    notice: Notice
    at: int


class NoticeStore(Protocol):
    """The webhooks' part of the store. Only the lease's owner writes, but for `requeue_notices`. A writing step is all or
    nothing and may be repeated: it compares what it changes. Raises StoreUnavailable, Deposed (nothing was changed)."""

    async def notice_cursor(self) -> Cursor:
        """How far `events` has been read: all entries <= `entry`, and `done` rows of the one after it."""

    async def queue_notices(
        self,
        owner: Owner,
        before: Cursor,
        after: Cursor,
        notices: Sequence[Notice],
        due: Sequence[int],
        messages_max: int = TARGET_MESSAGES_MAX,
    ) -> None:
        """Appends at most STEP_NOTICES_MAX notices, in order, and moves the cursor from `before` to `after`; `due` is when
        the target of each wants to be looked at. A target for which `messages_max` messages wait has further messages' parked
        at once. Raises Deposed also when the cursor is at neither."""

    async def notice_targets(self, at: int, limit: int, skip: int = 0) -> list[str]:
        """Targets that want to be looked at by `at`, longest waiting first."""

    async def due_notices(
        self, wanted: Sequence[tuple[str, int]], at: int, held: Mapping[str, Container[str]] | None = None
    ) -> list[list[Notice]]:
        """For each (target, limit) the first notices of its messages that are due at `at`, longest due first. Messages that are
        `held` by their target count towards the limit and are not read again."""

    async def settle_notices(self, owner: Owner, settled: Sequence[Settled], pauses: Sequence[tuple[str, int]]) -> None:
        """Applies what became of tries; one whose notice is not the first of its list any more changes nothing. `pauses`:
        until when targets are not to be looked at."""

    async def parked_notices(self, limit: int, account: str = "") -> list[Parked]:
        """The oldest parked notices, all or an account's."""

    async def requeue_notices(self, ids: Sequence[str]) -> int:
        """Asks for parked notices to be tried anew, by id; returns how many there were. Anyone may call it."""

    async def requeued_notices(self, limit: int) -> list[Notice]:
        """Requeued notices, oldest wish first."""

    async def replay_notices(self, owner: Owner, notices: Sequence[tuple[Notice, bool]], at: int) -> None:
        """Takes requeued notices, as and in the order they were read, back into their lists as fresh ones, each behind what
        waits there; with False it is forgotten."""

    async def notice_counts(self) -> tuple[int, int]:
        """Notices waiting and parked."""


class Origin(NamedTuple):
    """Where a URL leads: scheme, host in lower case (an address without brackets), port."""

    scheme: str
    host: str
    port: int

    @property
    def text(self) -> str:
        """As it stands in a Host header, with the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


PORTS = {"https": 443, "http": 80}


@lru_cache(4096)
def origin_of(url: str) -> Origin:
    """Raises ValueError for what is no absolute http(s) URL of printable ASCII without user, password and fragment."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("write a URL in printable ASCII, other characters percent-encoded, a host name as xn--")
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in PORTS or "@" in parts.netloc or "#" in url:
        raise ValueError("write https://host/path, without user, password and fragment")
    port = parts.port if parts.port is not None else PORTS[parts.scheme]
    if not port or not (_is_address(host) if ":" in host or "[" in parts.netloc else len(host) <= 253 and _HOST(host)):
        raise ValueError("write a host name or an address, and a port from 1 to 65535")
    return Origin(parts.scheme, host, port)


def _is_address(host: str) -> bool:
    try:
        return "%" not in host and bool(ipaddress.IPv6Address(host))
    except ValueError:
        return False


def target_of(notice: Notice) -> str:
    """Whom a notice is for: customers who share a host do not share its troubles."""
    return f"{notice.account} {_site(notice.url)}"


@lru_cache(4096)
def _site(url: str) -> str:
    origin = origin_of(url)
    return f"{origin.scheme}://{origin.text}"


def next_try(notice: Notice, now: int, first_s: float, give_up_s: float, retry_after_s: float = 0.0) -> int:
    """When a notice is due again whose last try (it is counted) failed at `now`: doubling from `first_s`, the last one just
    `give_up_s` after the first; 0 when that was it. `retry_after_s`: what the receiver asked for, heeded up to an hour and
    within that end."""
    end = notice.first_at + round(give_up_s * 1000)
    if now >= end:
        return 0
    delay_s: float = max(first_s * 2 ** min(notice.tries - 1, 30), min(retry_after_s, RETRY_AFTER_MAX_S))
    return min(now + round(delay_s * 1000), end)


def tried(notice: Notice, now: int) -> Notice:
    """The notice after one more try at `now`."""
    return msgspec.structs.replace(notice, tries=notice.tries + 1, first_at=notice.first_at or now)


def fresh(notice: Notice) -> Notice:
    """A parked notice as it is tried anew: same id, same body."""
    return msgspec.structs.replace(notice, tries=0, first_at=0)
