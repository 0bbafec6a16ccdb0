"""What the conformance suite builds its cases from: stores of each kind, and plain records."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import trio

from dispatcher.core.customer import Account
from dispatcher.core.ids import encode, group_members
from dispatcher.core.model import Body, Correlation, Head, Lane, Segment, State
from dispatcher.core.ports import Admission, Due, Effects, GroupPlan, Owner, Queue, Store, VersionedHead
from dispatcher.store.memory import MemoryStore
from dispatcher.store.redis import RedisStore, open_asyncio_store, open_trio_store

T0 = 1_790_000_000_000
PRICE = 1000
Q = Queue("main", Lane.TRANSACTIONAL)
OTP = Queue("main", Lane.OTP)
BULK = Queue("main", Lane.BULK)
QUEUES = (OTP, Q, BULK)

_serial = itertools.count(1)

AnyStore = MemoryStore | RedisStore


class World(Protocol):
    """Runs a case against one kind of store."""

    kind: str

    def run(self, case: Callable[[AnyStore], Awaitable[None]], **options: Any) -> None:
        """Opens a store, runs the case, closes the store."""


class MemoryWorld:
    """In memory."""

    kind = "memory"

    def run(self, case: Callable[[AnyStore], Awaitable[None]], **options: Any) -> None:
        async def whole() -> None:
            await case(MemoryStore(**options))

        trio.run(whole)


class TrioWorld:
    """Over a real server and Trio; with `whole_commits` every guarded commit is one script, and no body is remembered."""

    kind = "trio"

    def __init__(self, url: str, *, whole_commits: bool = False) -> None:
        self.url = url
        self.whole_commits = whole_commits

    def run(self, case: Callable[[AnyStore], Awaitable[None]], **options: Any) -> None:
        async def whole() -> None:
            store = await open_trio_store(self.url, **options)
            store.whole_commits = self.whole_commits
            if self.whole_commits:
                store.admitted.bodies_max = 0
            try:
                with trio.fail_after(30):
                    await case(store)
            finally:
                await store.close()

        trio.run(whole)


class AsyncioWorld:
    """Over a real server and asyncio."""

    kind = "asyncio"

    def __init__(self, url: str) -> None:
        self.url = url

    def run(self, case: Callable[[AnyStore], Awaitable[None]], **options: Any) -> None:
        async def whole() -> None:
            store = await open_asyncio_store(self.url, **options)
            try:
                await asyncio.wait_for(_coroutine(case(store)), 30)
            finally:
                await store.close()

        asyncio.run(whole())


async def _coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable


def new_id(at: int = T0) -> str:
    """A fresh id."""
    return encode(at, next(_serial) << 20)


def body(account: str = "acme", lane: Lane = Lane.TRANSACTIONAL, **changes: Any) -> Body:
    """A one-segment message."""
    made = Body(
        to="255700000001",
        text="Your order is on its way",
        sender="SHOP",
        account=account,
        lane=lane,
        route="main",
        encoding=0,
        segments=1,
        unit_price=PRICE,
        currency="USD",
        tariff="retail",
        to_hash="0123456789abcdef",
        accepted_at=T0,
        deadline_at=T0 + 86_400_000,
        on_unknown=1,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def admission(
    account: str = "acme", lane: Lane = Lane.TRANSACTIONAL, *, digest: bytes = b"", due_at: int = 0, **changes: Any
) -> Admission:
    """One passed send."""
    return Admission(new_id(), body(account, lane, **changes), PRICE, digest, due_at)


def group(count: int, account: str = "acme", **changes: Any) -> tuple[GroupPlan, list[Admission]]:
    """A bulk group and its messages."""
    group_id = encode(T0, next(_serial) << 20)
    members = [
        Admission(i, body(account, Lane.BULK, to=f"2557{n:08}", group=group_id), PRICE)
        for n, i in enumerate(group_members(group_id, count))
    ]
    plan = GroupPlan(group_id, account, Lane.BULK, count, count * PRICE, "USD", T0)
    return plan._replace(**changes), members


def head(of: Body, state: State, at: int = T0) -> Head:
    """A head as a write-ahead or settle would write it."""
    return Head(
        state,
        at,
        [Segment(state)],
        of.account,
        of.lane,
        of.route,
        of.unit_price,
        of.currency,
        of.tariff,
        of.to_hash,
        of.accepted_at,
        of.deadline_at,
        of.on_unknown,
    )


async def funded(store: Store, *names: str, amount: int = 1_000_000) -> None:
    """Accounts with money."""
    for name in names or ("acme",):
        await store.put_account(Account(name=name, currency="USD"))
        await store.credit(name, f"start-{name}", amount, T0)


async def owner_of(store: Store, name: str = "engine-1", nonce: str = "n1") -> Owner:
    """A lease, taken."""
    owner = await store.take_lease(name, nonce, 60_000)
    assert owner is not None
    return owner


async def available(store: Store, account: str = "acme") -> int:
    """The account's available balance."""
    balance = await store.balance(account)
    assert balance is not None
    return balance.available


async def expire_lease(store: AnyStore, name: str) -> None:
    """What time does to a lease nobody renews."""
    if isinstance(store, MemoryStore):
        store.expire(name)
    else:
        from dispatcher.store import resp

        await store.ask("desk", resp.of("DEL", store.k.lease_ + name.encode()), 1)


async def submitted(store: Store, owner: Owner, carrier_id: str = "c1") -> tuple[str, Head]:
    """One message popped, written ahead and settled as submitted, with its correlation."""
    (message,) = await store.pop(owner, QUEUES, 1, T0)
    assert message.body is not None
    await store.write_ahead(owner, [VersionedHead(message.id, 1, head(message.body, State.SUBMITTING))])
    effects = Effects()
    written = head(message.body, State.SUBMITTED)
    effects.heads.append(VersionedHead(message.id, 2, written))
    effects.correlations["mattel"] = [(carrier_id, Correlation("p0", message.id, 1, 1, T0 + 3_600_000))]
    effects.settled.append(message.id)
    await store.settle(owner, effects)
    return message.id, written


def due(of: Admission, at: int) -> Due:
    """A due entry for a message."""
    return Due(of.body.route, of.body.lane, of.body.account, of.id, at)
