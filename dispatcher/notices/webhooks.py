"""The process that sends webhooks: reads events, calls targets, writes what became of it, under one lease.

Refuses to know how a call is made and whose turn it is (client, targets). Theory: everything that must survive is in the
store, and every write there is fenced and may be repeated; what is in memory can be lost at any moment, and then a call
is made again under the same id. One task reads, one pumps (settle, load, dispatch, in that order, in batches), one task per
call, which in the end begins the next of what is loaded, while the store has just been heard. A lease that is lost ends them
all.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from dispatcher.core import notices as rules
from dispatcher.core.counters import Counters
from dispatcher.core.model import State
from dispatcher.core.notices import Notice, Settled
from dispatcher.core.ports import Clock, Deposed, Owner, StoreUnavailable
from dispatcher.core.settings import Settings
from dispatcher.notices.client import Client, Outcome
from dispatcher.notices.forms import headers
from dispatcher.notices.reader import Accounts, Reader, Stores
from dispatcher.notices.targets import Round, Target

POLL_S: Final = 0.05
LOOK_S: Final = 0.1
LINGER_S: Final = 0.005
MANY: Final = 64
"""What became of calls is written together: when so many have ended, else a moment after the first."""
FRESH_S: Final = 0.25
"""When the store has not answered the pump for so long, nothing of what is loaded is called: the lease may be another's."""
STANDBY_S: Final = 0.5
AWAY_S: Final = 0.25
DRAIN_S: Final = 5.0
TARGETS_LOOKED_MAX: Final = 256
COUNTS_S: Final = 1.0
SWEEP_S: Final = 10.0

T = TypeVar("T")


class Webhooks:
    """One process' work. `run` works while it holds the lease and stands by while another does."""

    def __init__(self, settings: Settings, store: Stores, client: Client, clock: Clock, counters: Counters, log: Any) -> None:
        self._settings = settings
        self._rules = settings.notices
        self._store = store
        self._client = client
        self._clock = clock
        self._counters = counters
        self._log = log
        self._accounts = Accounts(store, clock)
        self._nonce = secrets.token_hex(8)
        self._shift: _Shift | None = None

    @property
    def loaded(self) -> int:
        """Messages whose notices are in memory now."""
        return 0 if self._shift is None else self._shift.loaded

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then calls under way may end, within seconds."""
        ttl_ms = round(self._settings.engine.lease_s * 1000)
        while not stop.is_set():
            try:
                owner = await self._store.take_lease(rules.LEASE, self._nonce, ttl_ms)
            except StoreUnavailable:
                owner = None
            if owner is None:
                await _nap(stop, STANDBY_S)
                continue
            self._log.info("notices_lease_taken", fence=owner.fence)
            try:
                self._shift = _Shift(self, owner, stop, ttl_ms / 3000)
                await self._shift.work()
            except* Deposed:
                self._log.warning("notices_deposed", fence=owner.fence)
                await _nap(stop, STANDBY_S)
        self._client.close()


class _Shift:
    """The work under one taking of the lease. All that it holds in memory may be forgotten with it."""

    def __init__(self, home: Webhooks, owner: Owner, stop: asyncio.Event, renew_s: float) -> None:
        self._home = home
        self._rules = home._rules
        self._store = home._store
        self._clock = home._clock
        self._counters = home._counters
        self._log = home._log
        self._owner = owner
        self._stop = stop
        self._renew_s = renew_s
        self._round = Round(self._rules.concurrency, self._rules.target_concurrency)
        self._wake = asyncio.Event()
        self._settled: list[Settled] = []
        self._opened: set[str] = set()
        self._aged: set[str] = set()
        self._more: set[str] = set()
        self._looked_at = 0.0
        self._fresh_until = 0.0
        self._skip = 0
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def loaded(self) -> int:
        """Messages whose notices are in memory now."""
        return sum(len(target.held) for target in self._round.targets.values())

    async def work(self) -> None:
        """Raises Deposed when the lease is another's."""
        try:
            async with asyncio.TaskGroup() as tasks:
                background = [tasks.create_task(each()) for each in (self._renew, self._read, self._pump, self._tidy)]
                await self._stop.wait()
                for task in background:
                    task.cancel()
            await self._drain()
        finally:
            for call in self._calls:
                call.cancel()

    async def _drain(self) -> None:
        if self._calls:
            await asyncio.wait(self._calls, timeout=DRAIN_S)
        try:
            await self._settle()
            await self._store.drop_lease(self._owner, self._home._nonce)
        except (StoreUnavailable, Deposed):
            return

    async def _whatever(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does it until the store does not refuse it for being away."""
        while True:
            try:
                return await work()
            except StoreUnavailable:
                await asyncio.sleep(AWAY_S)

    # -- tasks

    async def _renew(self) -> None:
        ttl_ms = round(self._renew_s * 3000)
        while True:
            await asyncio.sleep(self._renew_s)
            kept = await self._whatever(lambda: self._store.renew_lease(self._owner, self._home._nonce, ttl_ms))
            if not kept:
                raise Deposed("the lease is another's")

    async def _read(self) -> None:
        reader = Reader(self._store, self._home._accounts, self._clock, self._log)
        while True:
            cursor = await self._whatever(self._store.notice_cursor)
            try:
                while True:
                    after = await reader.step(self._owner, cursor, self._paused())
                    if after != cursor:
                        cursor = after
                        self._wake.set()
                    if not reader.behind:  # each read is a write too: what comes within a moment shares one
                        await asyncio.sleep(POLL_S)
            except StoreUnavailable:
                await asyncio.sleep(AWAY_S)

    def _paused(self) -> dict[str, int]:
        return {t.name: t.open_until for t in self._round.targets.values() if t.failing}

    async def _pump(self) -> None:
        try:
            while True:
                await self._whatever(self._settle)
                await self._whatever(self._load)
                self._fresh_until = self._clock.monotonic() + FRESH_S
                self._dispatch()
                if not self._settled:
                    try:
                        async with asyncio.timeout(LOOK_S):
                            await self._wake.wait()
                    except TimeoutError:
                        pass
                if 0 < len(self._settled) < MANY:  # each step is a write to disk: what ends within a moment shares it
                    await asyncio.sleep(LINGER_S)
                self._wake.clear()
        finally:
            self._fresh_until = 0.0

    async def _tidy(self) -> None:
        swept_at = self._clock.monotonic()
        while True:
            await self._whatever(self._again)
            waiting, parked = await self._whatever(self._store.notice_counts)
            self._counters.put("dispatcher_webhook_backlog", (), waiting)
            self._counters.put("dispatcher_webhooks_parked", (), parked)
            if self._clock.monotonic() - swept_at > SWEEP_S:
                swept_at = self._clock.monotonic()
                self._home._client.sweep()
                self._round.forget_idle(self._clock.now_ms())
            await asyncio.sleep(COUNTS_S)

    async def _again(self) -> None:
        """Takes back what an operator requeued. OTPIQ's `sent` of a message that has ended is not told any more."""
        while notices := await self._store.requeued_notices(rules.STEP_NOTICES_MAX):
            late = [n for n in notices if n.form == "otpiq" and not n.final]
            heads = dict(zip([n.id for n in late], await self._store.heads([n.message_id for n in late]), strict=True))
            ended = {i for i, m in heads.items() if m is None or m.head is None or State(m.head.state).final}
            await self._store.replay_notices(self._owner, [(n, n.id not in ended) for n in notices], self._clock.now_ms())
            self._wake.set()

    # -- the pump's three strokes

    async def _settle(self) -> None:
        """Writes what became of calls; only then may the next notice of those messages be loaded."""
        while self._settled or self._opened:
            some, opened = self._settled[: rules.STEP_NOTICES_MAX], set(self._opened)
            touched = opened | {rules.target_of(s.notice) for s in some}
            pauses = [(name, t.open_until) for name in touched if (t := self._round.target(name)).failing]
            await self._store.settle_notices(self._owner, some, pauses)
            del self._settled[: len(some)]
            self._opened -= opened
            self._more |= touched
            for settled in some:
                self._round.release(rules.target_of(settled.notice), settled.notice.message_id)
                if settled.fate == "parked":
                    self._count("parked")

    async def _load(self) -> None:
        """Fills up the targets that may have more: those that called last, and now and then whoever wants to be looked at."""
        now = self._clock.now_ms()
        if self._clock.monotonic() - self._looked_at >= LOOK_S:
            self._looked_at = self._clock.monotonic()
            names = await self._store.notice_targets(now, TARGETS_LOOKED_MAX, self._skip)
            self._skip = self._skip + TARGETS_LOOKED_MAX if len(names) == TARGETS_LOOKED_MAX else 0
            self._more |= set(names)
        if self._aged:
            await self._park_aged(now)
        targets = [self._round.target(name) for name in self._more]
        wanted = [(t, room) for t in targets if (room := self._round.room(t, now))]
        self._more = set()
        held = {t.name: t.held for t, _ in wanted}
        found = await self._store.due_notices([(t.name, len(t.held) + room) for t, room in wanted], now, held)
        for (target, room), notices in zip(wanted, found, strict=True):
            if self._round.load(target, notices, self._clock.now_ms()) and len(notices) >= room:
                self._more.add(target.name)

    async def _park_aged(self, now: int) -> None:
        """What has waited too long behind a dead target is parked with the failure that shows it is still dead."""
        name = next(iter(self._aged))
        target = self._round.target(name)
        found = (await self._store.due_notices([(name, rules.STEP_NOTICES_MAX)], now))[0]
        end = now - round(self._rules.give_up_s * 1000)
        aged = [n for n in found if n.message_id not in target.held and (n.first_at or n.at) <= end]
        if not aged or not target.failing:
            self._aged.discard(name)
        for notice in aged:
            target.held.add(notice.message_id)
            self._settled.append(Settled(notice, "parked", now, notice))

    def _dispatch(self) -> None:
        for target, notice in self._round.picks(self._clock.now_ms()):
            task = asyncio.create_task(self._call(target, notice))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    # -- one call

    async def _call(self, target: Target, notice: Notice) -> None:
        began, started = self._clock.now_ms(), asyncio.get_running_loop().time()
        try:
            secret = notice.secret or await self._whatever(lambda: self._secret(notice.account))
            client = self._home._client
            outcome = await client.call(notice.account, notice.url, notice.body, headers(notice, secret, began))
        except Exception as error:  # a notice that cannot even be called must not stop the others
            self._log.error("webhook_not_called", error=error, account=notice.account)
            outcome = Outcome("unreachable")
        took_s = asyncio.get_running_loop().time() - started
        self._landed(target, notice, outcome, began, took_s)
        self._wake.set()
        if self._clock.monotonic() < self._fresh_until:  # a place is free: not to be held up by the pump's linger
            self._dispatch()

    async def _secret(self, name: str) -> str:
        account = await self._home._accounts.get(name)
        return account.callback_secret if account is not None else ""

    def _landed(self, target: Target, notice: Notice, outcome: Outcome, began: int, took_s: float) -> None:
        now = self._clock.now_ms()
        well = outcome.result in {"delivered", "gone"}
        failing = target.failing
        opened = self._round.landed(target, well=well, took_s=took_s, began=began, now=now, retry_after_s=outcome.retry_after_s)
        if opened:
            self._opened.add(target.name)
            self._aged.add(target.name)
        if failing != target.failing:
            say = self._log.warning if target.failing else self._log.info
            words = "webhook_target_fails" if target.failing else "webhook_target_works"
            say(words, account=target.account, host=_host(notice), result=outcome.result, status=outcome.status)
        self._count(outcome.result)
        self._settled.append(self._fate(notice, outcome, began, now))

    def _fate(self, notice: Notice, outcome: Outcome, began: int, now: int) -> Settled:
        if outcome.result == "delivered":
            return Settled(notice, "gone", now, notice)
        kept = rules.tried(notice, began)
        if outcome.result == "gone":
            return Settled(notice, "parked", now, kept)
        at = rules.next_try(kept, now, self._rules.retry_s, self._rules.give_up_s, outcome.retry_after_s)
        return Settled(notice, "later" if at else "parked", at or now, kept)

    def _count(self, result: str) -> None:
        self._counters.add("dispatcher_webhooks_total", (result,))


def _host(notice: Notice) -> str:
    return rules.origin_of(notice.url).text


async def _nap(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
