"""The door that every HTTP API shares: who is it, may he, how fast, and then admission with its durable write.

This module refuses to know paths, JSON and what an API calls things; it speaks Send, Admission, Verdict and Problem.
Order of the checks: the key, its scope, its rate; for writes the promise; then the account. Whatever the store does not
answer in time becomes 503, never a guess.
"""

from __future__ import annotations

import asyncio
import math
import os
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from accounting.money import to_decimal
from dispatcher.core.admission import Book, Refused, admit
from dispatcher.core.counters import Counters
from dispatcher.core.customer import Account, ApiKey
from dispatcher.core.model import Refusal, Send
from dispatcher.core.ports import Admission, Clock, Ids, Store, StoreUnavailable, Verdict
from dispatcher.core.refusal import refusal_of
from dispatcher.core.settings import Settings
from dispatcher.ingest.answers import Bodies
from dispatcher.ingest.committer import Committer, Crowded
from dispatcher.ingest.credentials import CACHE_ENTRIES_MAX, CACHE_S, Credentials
from dispatcher.ingest.faults import every_refusal
from dispatcher.ingest.keys import Recent
from dispatcher.ingest.problems import FieldError, Problem, invalid

T = TypeVar("T")


class Log(Protocol):
    """What is needed of a structlog logger: an event's name and fields that carry nothing private."""

    def info(self, event: str, **fields: object) -> object:
        """Something worth knowing."""

    def warning(self, event: str, **fields: object) -> object:
        """Something an operator should see."""

    def error(self, event: str, **fields: object) -> object:
        """Something an operator must see."""


class Caller(NamedTuple):
    """Who asks: a key that was proven, and its account."""

    key: ApiKey
    account: Account


class Door:
    """Shared by all requests of one HTTP process. `reasons` (why P1 is not kept; empty: it is) is kept by app's poller."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        book: Book,
        *,
        counters: Counters,
        clock: Clock,
        ids: Ids,
        log: Log,
        waiting_max: int,
        keyed: Callable[[str], bytes],
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.settings = settings
        self.store = store
        self.book = book
        self.counters = counters
        self.clock = clock
        self.ids = ids
        self.log = log
        self.entropy = entropy
        self.reasons: Sequence[str] = ("the server's settings have not been checked yet",)
        timeout_s = settings.server.timeout_s
        linger_s = settings.http.group_commit_ms / 1000
        self.committer = Committer(store, clock, linger_s=linger_s, timeout_s=timeout_s, waiting_max=waiting_max)
        self.bodies = Bodies(settings.http)
        self.credentials = Credentials(lambda key_id: self.within(store.key(key_id)), keyed, clock)
        self._accounts = Recent(store.account, clock.monotonic, ttl_s=CACHE_S, entries_max=CACHE_ENTRIES_MAX)
        self._rate = settings.http.key_requests_per_s
        self._tokens: dict[str, tuple[float, float]] = {}

    # -- who, and how fast

    async def caller(self, headers: Mapping[bytes, bytes], scope: str) -> Caller:
        """The proven caller. Raises Problem: unauthorized for every kind of wrong key alike, forbidden without `scope`,
        rate_limited, unknown_account, store_unavailable."""
        key = await self.credentials.native(_presented(headers))
        if scope not in key.scopes:
            raise Problem("forbidden", f"the key has no scope {scope!r}")
        self.limit(key.id)
        account = await self.account(key.account)
        if account is None:
            raise Problem(Refusal.UNKNOWN_ACCOUNT)
        return Caller(key, account)

    async def account(self, name: str) -> Account | None:
        """An account's settings, at most seconds old. Raises Problem store_unavailable."""
        known = self._accounts.known(name)
        return known[0] if known is not None else await self.within(self._accounts.get(name))

    def limit(self, key_id: str) -> None:
        """A token bucket per key: `key_requests_per_s` a second, bursts up to one second's worth."""
        rate = self._rate
        if not rate:
            return
        now = self.clock.monotonic()
        burst = max(1.0, rate)
        tokens, before = self._tokens.get(key_id, (burst, now))
        tokens = min(burst, tokens + (now - before) * rate)
        if tokens < 1:
            raise Problem("rate_limited", f"at most {rate:g} requests a second", retry_after_s=math.ceil((1 - tokens) / rate))
        self._tokens[key_id] = (tokens - 1, now)

    # -- promises

    def check_promise(self) -> None:
        """Raises Problem while an acceptance could not be kept (P1)."""
        if self.reasons:
            raise _not_kept(self.reasons)

    async def within(self, step: Awaitable[T]) -> T:
        """A read of the store in bounded time. Raises Problem store_unavailable."""
        try:
            async with asyncio.timeout(self.settings.server.timeout_s):
                return await step
        except (StoreUnavailable, TimeoutError):
            raise Problem("store_unavailable", retry_after_s=1) from None

    # -- admission

    def judge(self, send: Send, account: Account, now: int, message_id: str) -> Admission | Refused:
        """Admission's verdict, with nothing written."""
        return admit(send, account, self.book, now, message_id)

    def objection(self, first: Refused, send: Send, account: Account, now: int) -> Problem:
        """The problem of a refused send, with everything else that is wrong with it."""
        problem = invalid([field_error(refused, "$") for refused in every_refusal(first, send, account, self.book, now)])
        problem.retry_after_s = math.ceil(first.retry_after_ms / 1000)
        return problem

    async def accept(self, send: Send, caller: Caller) -> tuple[Admission, Verdict]:
        """Admits one send durably: the verdict is accepted or duplicate. Raises Problem for everything else, and then
        nothing was written, except after store_unavailable, where the same key will tell."""
        lane = send.lane
        if send.account is not None and send.account != caller.account.name:
            self._count(lane, Refusal.UNKNOWN_ACCOUNT)
            raise Problem("account_mismatch", "$.account: is not the account of the API key")
        now = self.clock.now_ms()
        admission = self.judge(send, caller.account, now, self.ids.make(now, 1)[0])
        if isinstance(admission, Refused):
            self._count(lane, admission.reason)
            raise self.objection(admission, send, caller.account, now)
        return admission, await self.commit(admission, lane)

    async def commit(self, admission: Admission, lane: str) -> Verdict:
        """The durable step: the verdict is accepted or duplicate. Raises Problem as `accept`."""
        try:
            verdict = await self.committer.admit(admission)
        except Crowded:
            raise Problem("overloaded", retry_after_s=1) from None
        except StoreUnavailable:
            raise Problem("store_unavailable", "it may have been accepted: repeat with the same key", retry_after_s=1) from None
        reason = refusal_of(verdict)
        self._count(lane, reason or verdict.verdict)
        if reason is not None:
            raise self.refused(reason, verdict, admission.price, admission.body.currency)
        return verdict

    def refused(self, reason: Refusal, verdict: Verdict, price: int, currency: str) -> Problem:
        """The problem of a store's verdict that is neither accepted nor duplicate."""
        retry_after_s = 1 if reason is Refusal.KEY_PENDING else math.ceil(verdict.retry_after_ms / 1000)
        problem = Problem(reason, retry_after_s=retry_after_s)
        if reason in {Refusal.BALANCE, Refusal.SPEND_CAP}:
            problem.document.price = to_decimal(price)
            problem.document.currency = currency
        if reason is Refusal.BALANCE:
            problem.document.available = to_decimal(verdict.available)
        return problem

    def unforeseen(self, error: Exception) -> Problem:
        """What to answer when we have failed; logs the class and the place, never the words."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        self.log.error("http_failed", error=type(error).__name__, place=f"{frame.name}:{frame.lineno}")
        return Problem("internal")

    async def note_uses(self) -> None:
        """Writes when keys were used last; what cannot be written now is written next time."""
        uses = self.credentials.uses()
        if not uses:
            return
        try:
            await self.store.note_key_uses(uses)
        except StoreUnavailable:
            self.credentials.put_back(uses)

    def _count(self, lane: str, result: str, amount: int = 1) -> None:
        self.counters.add("dispatcher_sends_total", (lane, str(result)), amount)

    def count_sends(self, lane: str, result: str, amount: int) -> None:
        """Counts a batch's sends by their result."""
        self._count(lane, result, amount)


def field_error(refused: Refused, path: str) -> FieldError:
    """A refusal at its place in the body."""
    return FieldError(f"{path}.{refused.field}" if refused.field else path, refused.reason, refused.detail)


def _not_kept(reasons: Sequence[str]) -> Problem:
    problem = Problem("promise_not_kept", "see /readyz", retry_after_s=5)
    problem.document.reasons = tuple(reasons)
    return problem


def _presented(headers: Mapping[bytes, bytes]) -> str:
    """The key as presented, "" without one. Never from the query string, which ends in logs."""
    authorization = headers.get(b"authorization", b"")
    scheme, _, rest = authorization.partition(b" ")
    found = rest if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")
    return found.strip().decode("latin-1")
