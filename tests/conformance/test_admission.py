"""S1, S2, S10: what admission promises."""

from __future__ import annotations

import pytest

from dispatcher.core.customer import Account, ApiKey
from dispatcher.core.model import Lane
from dispatcher.core.ports import Cursor, Deposed
from dispatcher.store import resp
from dispatcher.store.redis import RedisStore
from tests.conformance.world import (
    BULK,
    OTP,
    PRICE,
    QUEUES,
    T0,
    AnyStore,
    TrioWorld,
    World,
    admission,
    available,
    expire_lease,
    funded,
    group,
    owner_of,
)
from tests.conftest import RealServer


def test_accepted_sends_are_recorded_paid_and_queued(world: World) -> None:
    """After `accepted` the body is there, the money has moved from available to reserved, and one event row says so."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        items = [admission() for _ in range(3)]
        verdicts = await store.admit(items, T0)
        assert [(v.verdict, v.id, v.available) for v in verdicts] == [("accepted", i.id, 997_000) for i in items]
        balance = await store.balance("acme")
        assert balance is not None
        assert (balance.available, balance.reserved) == (997_000, 3_000)
        messages = await store.messages([i.id for i in items])
        assert [m.body if m else None for m in messages] == [i.body for i in items]
        rows = [row for _, row in await store.read_stream("events", "", 10)]
        assert [(r["id"], r["state"], r["to"]) for r in rows] == [(i.id, "queued", i.body.to_hash) for i in items]
        assert await store.open_holds() == {}

    world.run(case)


def test_a_poor_account_gets_its_longest_affordable_prefix(world: World) -> None:
    """Balance limits each account by itself: the longest prefix is admitted, others are not disturbed."""

    async def case(store: AnyStore) -> None:
        await funded(store, "rich")
        await funded(store, "poor", amount=2 * PRICE)
        items = [
            admission("poor"),
            admission("rich"),
            admission("poor"),
            admission("poor"),
            admission("rich"),
            admission("none"),
        ]
        verdicts = [v.verdict for v in await store.admit(items, T0)]
        assert verdicts == ["accepted", "accepted", "accepted", "poor", "accepted", "unknown"]
        assert await available(store, "poor") == 0

    world.run(case)


def test_the_floor_is_the_limit(world: World) -> None:
    """An account may owe down to its floor, and not one micro-unit more."""

    async def case(store: AnyStore) -> None:
        await store.put_account(Account(name="owes", currency="USD", floor=-PRICE))
        verdicts = await store.admit([admission("owes"), admission("owes")], T0)
        assert [v.verdict for v in verdicts] == ["accepted", "poor"]
        assert await available(store, "owes") == -PRICE

    world.run(case)


def test_a_key_makes_a_send_idempotent(world: World) -> None:
    """Same key, same digest: duplicate with the first id; other digest: conflict; also within one batch."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        first = admission(key="k1", digest=b"a")
        twin, other = admission(key="k1", digest=b"a"), admission(key="k1", digest=b"b")
        verdicts = await store.admit([first, twin, other], T0)
        assert [(v.verdict, v.id) for v in verdicts] == [
            ("accepted", first.id),
            ("duplicate", first.id),
            ("conflict", first.id),
        ]
        again = await store.admit([admission(key="k1", digest=b"a"), admission(), admission(key="k1", digest=b"c")], T0 + 1000)
        assert [v.verdict for v in again] == ["duplicate", "accepted", "conflict"]
        assert await available(store) == 1_000_000 - 2 * PRICE
        assert await store.find_key("acme", "k1", T0) == first.id
        assert await store.find_key("acme", "k2", T0) is None
        assert (await store.admit([admission(key="k1", digest=b"a")], T0 + 3 * 86_400_000))[0].verdict == "accepted"

    world.run(case)


@pytest.mark.parametrize("keys_s", [60, 86_400])
def test_a_key_is_known_as_long_as_it_is_kept(world: World, keys_s: int) -> None:
    """For `keys_s` at least and two periods at most, for single sends and for groups; asked for by key one period longer."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        kept_ms = keys_s * 1000
        last_ms = (T0 // kept_ms + 1) * kept_ms - 1  # of a period: the shortest that a key can be known
        await store.admit([admission(key="k1", digest=b"a")], last_ms)
        plan, members = group(2, key="g1", digest=b"g")
        assert (await store.accept_group(plan._replace(at=last_ms), members)).verdict == "accepted"

        async def repeated(at: int) -> tuple[str, str]:
            again, theirs = group(2, key="g1", digest=b"g")
            single = (await store.admit([admission(key="k1", digest=b"a")], at))[0].verdict
            return single, (await store.accept_group(again._replace(at=at), theirs)).verdict

        assert await repeated(last_ms + kept_ms) == ("duplicate", "duplicate")
        assert await store.find_key("acme", "k1", last_ms + 2 * kept_ms) is not None
        assert await store.find_key("acme", "k1", last_ms + 1 + 2 * kept_ms) is None
        assert await repeated(last_ms + 1 + kept_ms) == ("accepted", "accepted")

    world.run(case, keys_s=keys_s)


def test_a_server_lets_go_of_keys_by_itself(server: RealServer) -> None:
    """Each period's hash expires three periods after its last key."""

    async def case(store: AnyStore) -> None:
        assert isinstance(store, RedisStore)
        await funded(store)
        await store.admit([admission(key="k1", digest=b"a")], T0)
        plan, members = group(2, key="g1", digest=b"g", at=T0 + 60_000)
        await store.accept_group(plan, members)
        for at in (T0, T0 + 60_000):
            assert 170 < (await store.ask("desk", resp.of("TTL", store.k.idem(at)), 1))[0] <= 180

    TrioWorld(server.url).run(case, keys_s=60)


def test_the_cursor_moves_with_the_batch(world: World) -> None:
    """The intake's cursor and its sends are one transaction, also when the batch is empty or refused."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        intake = await owner_of(store, "intake")
        assert await store.cursor() == Cursor("", 0)
        await store.admit([admission()], T0, (intake, Cursor("5-0", 3)))
        assert await store.cursor() == Cursor("5-0", 3)
        await store.admit([], T0, (intake, Cursor("6-0", 0)))
        assert await store.cursor() == Cursor("6-0", 0)
        assert (await store.admit([admission("none")], T0, (intake, Cursor("7-0", 0))))[0].verdict == "unknown"
        assert await store.cursor() == Cursor("7-0", 0)

    world.run(case)


def test_a_deposed_intake_admits_nothing(world: World) -> None:
    """After a takeover the old intake's batch and cursor are refused whole."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        old = await owner_of(store, "intake", "n1")
        await store.admit([admission()], T0, (old, Cursor("5-0", 0)))
        await expire_lease(store, "intake")
        await owner_of(store, "intake", "n2")
        with pytest.raises(Deposed):
            await store.admit([admission()], T0, (old, Cursor("9-0", 0)))
        assert await store.cursor() == Cursor("5-0", 0)
        await store.sweep_holds(T0 + 120_000, 60_000)
        assert await available(store) == 1_000_000 - PRICE

    world.run(case)


def test_a_send_for_later_waits_in_the_due_set(world: World) -> None:
    """due_at keeps a send out of its queue until its time."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        later = admission(due_at=T0 + 5000)
        await store.admit([later], T0)
        assert await store.pop(owner, QUEUES, 10, T0) == []
        assert await store.move_due(T0 + 4999, 100) == 0
        assert await store.move_due(T0 + 5000, 100) == 1
        assert [(m.id, m.version, m.head) for m in await store.pop(owner, QUEUES, 10, T0 + 5000)] == [(later.id, 0, None)]

    world.run(case)


def test_reservations_are_public_only_by_choice(world: World) -> None:
    """With reservations each accepted send has a reserve row."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        item = admission()
        await store.admit([item], T0)
        rows = [row for _, row in await store.read_stream("charges", "", 10)]
        assert [(r["kind"], r["amount"]) for r in rows] == [("credit", 1_000_000), ("reserve", PRICE)]

    world.run(case, reservations=True)


def test_a_credit_counts_once(world: World) -> None:
    """A credit id adds money and its fact once; an unknown account gets nothing."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        assert await store.credit("none", "c1", 5, T0) is None
        for _ in range(2):
            balance = await store.credit("acme", "c1", -500, T0)
            assert balance is not None
            assert balance.available == 999_500
        rows = [row for _, row in await store.read_stream("charges", "", 10)]
        assert [(r["fact"], r["kind"], r["amount"], r["currency"]) for r in rows] == [
            ("start-acme.0.0.credit", "credit", 1_000_000, "USD"),
            ("c1.0.0.adjust", "adjust", -500, "USD"),
        ]

    world.run(case)


def test_accounts_and_keys_are_kept(world: World) -> None:
    """Settings come back as they were put; a new floor does not touch the money."""

    async def case(store: AnyStore) -> None:
        await funded(store, "b", "a")
        changed = Account(name="a", currency="USD", floor=-5, sender="SHOP")
        await store.put_account(changed)
        assert await store.account("a") == changed
        assert await store.account("none") is None
        assert [x.name for x in await store.accounts()] == ["a", "b"]
        balance = await store.balance("a")
        assert balance is not None
        assert (balance.available, balance.floor) == (1_000_000, -5)
        key = ApiKey(id="k1", account="a", secret_hash=b"\x00\xff")
        await store.put_key(key)
        assert await store.key("k1") == key
        assert await store.key("k2") is None
        assert (list(await store.keys("a")), list(await store.keys("b"))) == ([key], [])
        with pytest.raises(ValueError, match="name"):
            await store.put_account(Account(name="a:b", currency="USD"))

    world.run(case)


def test_a_group_is_accepted_whole_and_served_through_its_pointer(world: World) -> None:
    """One debit for all; the messages come out of the pop with the ids and bodies they were accepted with."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=10_000_000)
        owner = await owner_of(store)
        plan, members = group(1203)
        verdict = await store.accept_group(plan, members)
        assert (verdict.verdict, verdict.id) == ("accepted", plan.id)
        assert await available(store) == 10_000_000 - plan.price
        assert await store.accept_group(plan, members) == verdict
        assert sum((await store.depths()).values()) == 1203
        popped = {}
        while some := await store.pop(owner, QUEUES, 500, T0):
            popped.update((m.id, m.body) for m in some)
        assert popped == {a.id: a.body for a in members}
        view = await store.group(plan.id)
        assert view is not None
        assert (view.state, view.members, view.expanded) == ("live", 1203, 1203)
        assert await store.queues() == []

    world.run(case)


def test_a_group_is_refused_whole(world: World) -> None:
    """Too dear: nothing is taken and nobody sees anything. A key works for groups as for sends."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=10 * PRICE)
        owner = await owner_of(store)
        plan, members = group(11)
        assert (await store.accept_group(plan, members)).verdict == "poor"
        assert await store.pop(owner, QUEUES, 10, T0) == []
        plan, members = group(4, key="g", digest=b"1")
        assert (await store.accept_group(plan, members)).verdict == "accepted"
        again, others = group(4, key="g", digest=b"1")
        verdict = await store.accept_group(again, others)
        assert (verdict.verdict, verdict.id) == ("duplicate", plan.id)
        again, others = group(4, key="g", digest=b"2")
        assert (await store.accept_group(again, others)).verdict == "conflict"
        again, others = group(4, "none")
        assert (await store.accept_group(again, others)).verdict == "unknown"
        assert await available(store) == 6 * PRICE

    world.run(case)


def test_otp_goes_before_a_large_group(world: World) -> None:
    """A batch of 5,000 in the bulk lane does not stand before an otp."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=10_000_000)
        owner = await owner_of(store)
        plan, members = group(5000)
        await store.accept_group(plan, members)
        assert len(await store.pop(owner, QUEUES, 100, T0)) == 100
        otp = admission(lane=Lane.OTP)
        await store.admit([otp], T0)
        assert [q.lane for q in await store.queues()] == [OTP.lane, BULK.lane]
        popped = await store.pop(owner, QUEUES, 100, T0)
        assert popped[0].id == otp.id
        assert len(popped) == 100

    world.run(case)


def test_expanding_ahead(world: World) -> None:
    """expand_groups writes records before the pop asks, at most about `limit`; a deposed engine expands nothing."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=10_000_000)
        owner = await owner_of(store)
        plan, members = group(700)
        await store.accept_group(plan, members)
        assert await store.expand_groups(owner, 500) == 500
        assert (await store.messages([members[0].id]))[0] is not None
        await expire_lease(store, "engine-1")
        await owner_of(store, "engine-1", "n2")
        with pytest.raises(Deposed):
            await store.expand_groups(owner, 500)

    world.run(case)
