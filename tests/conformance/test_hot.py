"""S3, S4, S5, S9: popping, owning, settling, taking over."""

from __future__ import annotations

import pytest

from accounting.ledger import Fact
from dispatcher.core.model import Correlation, EventRow, Lane, State
from dispatcher.core.ports import Deposed, Effects, Queue, VersionedHead
from dispatcher.store import records
from tests.conformance.world import (
    OTP,
    QUEUES,
    T0,
    AnyStore,
    Q,
    World,
    admission,
    body,
    due,
    expire_lease,
    funded,
    head,
    owner_of,
    submitted,
)


def test_lanes_in_order_and_accounts_in_turns_of_fifty(world: World) -> None:
    """The order of the queues asked for is kept; within one, accounts take turns of 50, the longest waiting first."""

    async def case(store: AnyStore) -> None:
        await funded(store, "a", "b")
        owner = await owner_of(store)
        await store.admit([admission("a") for _ in range(120)], T0)
        await store.admit([admission("b") for _ in range(60)], T0 + 1)
        await store.admit([admission("b", Lane.OTP)], T0 + 2)
        popped = [m.body.account for m in await store.pop(owner, (OTP, Q), 171, T0 + 10) if m.body]
        assert popped == ["b", *["a"] * 50, *["b"] * 50, *["a"] * 50, *["b"] * 10, *["a"] * 10]
        assert len(await store.pop(owner, (OTP, Q), 500, T0 + 11)) == 10
        assert await store.queues() == []

    world.run(case)


def test_heads_may_be_given_as_text(world: World) -> None:
    """A head whose bytes are made already is kept as those, written ahead and settled: what stands beside them has gaps."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        sent = admission()
        await store.admit([sent], T0)
        await store.pop(owner, QUEUES, 1, T0)
        for version, state in ((1, State.SUBMITTING), (2, State.SUBMITTED)):
            true, gapped = head(sent.body, state), head(sent.body, state)
            gapped.to_hash, true.to_hash = "\x02" * 16, "0123456789abcdef"
            written = VersionedHead(sent.id, version, gapped, records.pack(true).decode("latin-1"))
            if version == 1:
                await store.write_ahead(owner, [written])
            else:
                effects = Effects()
                effects.heads.append(written)
                effects.settled.append(sent.id)
                await store.settle(owner, effects)
            (found,) = await store.messages([sent.id])
            assert found is not None
            assert (found.version, found.head) == (version, true)

    world.run(case)


def test_a_cut_turn_goes_on(world: World) -> None:
    """An account whose turn was cut short by the limit keeps its place for the rest of that turn."""

    async def case(store: AnyStore) -> None:
        await funded(store, "a", "b")
        owner = await owner_of(store)
        await store.admit([admission("a") for _ in range(60)], T0)
        await store.admit([admission("b") for _ in range(60)], T0 + 1)
        first = await store.pop(owner, (Q,), 20, T0 + 5)
        second = await store.pop(owner, (Q,), 60, T0 + 6)
        assert [m.body.account for m in first if m.body] == ["a"] * 20
        assert [m.body.account for m in second if m.body] == ["a"] * 30 + ["b"] * 30

    world.run(case)


def test_small_claims_are_fair_too(world: World) -> None:
    """Claims of less than a turn, as a small window or a low rate makes them, by two owners: turns of 50 all the same."""

    async def case(store: AnyStore) -> None:
        await funded(store, "a", "b")
        owners = [await owner_of(store, "one"), await owner_of(store, "two")]
        await store.admit([admission("a") for _ in range(200)], T0)
        await store.admit([admission("b") for _ in range(60)], T0 + 1)
        seen: list[str] = []
        for n in range(26):
            popped = await store.pop(owners[n % 2], (Q,), 10, T0 + 5 + n)
            seen += [m.body.account for m in popped if m.body]
        assert seen == ["a"] * 50 + ["b"] * 50 + ["a"] * 50 + ["b"] * 10 + ["a"] * 100

    world.run(case)


def test_routes_do_not_mix(world: World) -> None:
    """Only the queues asked for are touched; queues() lists what holds something, otp first."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission(route="other"), admission(), admission(lane=Lane.OTP, route="other")], T0)
        other = [Queue("other", Lane.OTP), Queue("main", Lane.TRANSACTIONAL), Queue("other", Lane.TRANSACTIONAL)]
        assert list(await store.queues()) == other
        assert dict(await store.depths()) == dict.fromkeys(other, 1)
        assert dict(await store.oldest_turns()) == dict.fromkeys(other, T0)
        assert [m.body.route for m in await store.pop(owner, (Q,), 10, T0) if m.body] == ["main"]

    world.run(case)


def test_two_owners_share_a_queue_without_overlap(world: World) -> None:
    """Every message goes to exactly one of them."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owners = [await owner_of(store, "engine-1"), await owner_of(store, "engine-2")]
        items = [admission() for _ in range(300)]
        await store.admit(items, T0)
        seen: list[str] = []
        for turn in range(12):
            seen += [m.id for m in await store.pop(owners[turn % 2], QUEUES, 30, T0 + turn)]
        assert sorted(seen) == sorted(i.id for i in items)
        assert [(e.name, e.alive, e.in_flight) for e in await store.engines()] == [
            ("engine-1", True, 150),
            ("engine-2", True, 150),
        ]

    world.run(case)


def test_settling_applies_everything_and_empties_the_flight(world: World) -> None:
    """Heads, rows, money, due set, correlations and erasure arrive together; settled messages leave their batch."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission() for _ in range(3)], T0)
        sent, failed, waiting = await store.pop(owner, QUEUES, 3, T0)
        assert sent.body
        assert failed.body
        assert waiting.body
        await store.write_ahead(
            owner, [VersionedHead(m.id, 1, head(m.body, State.SUBMITTING)) for m in (sent, failed, waiting) if m.body]
        )
        effects = Effects()
        effects.heads = [
            VersionedHead(sent.id, 2, head(sent.body, State.SUBMITTED)),
            VersionedHead(failed.id, 2, head(failed.body, State.REJECTED)),
        ]
        effects.erase = [failed.id]
        effects.facts = [Fact("f", sent.id, "acme", 1, 1, "post", 1000, "USD", 1000, "", "", "", "", "", "", "", 1, T0)]
        effects.events = [EventRow(failed.id, "", "", "acme", "h", "bulk", "rejected", 1, "mattel", None, 1, False, None, T0)]
        effects.money = {"acme": [1000, -2000]}
        effects.correlations = {"mattel": [("c1", Correlation("p0", sent.id, 1, 1, T0 + 1000))]}
        effects.settled = [sent.id, failed.id]
        await store.settle(owner, effects)
        assert [e.in_flight for e in await store.engines()] == [1]
        messages = await store.messages([sent.id, failed.id])
        assert [(m.version, m.head.state, m.body is None) for m in messages if m and m.head] == [
            (2, State.SUBMITTED, False),
            (2, State.REJECTED, True),
        ]
        balance = await store.balance("acme")
        assert balance
        assert (balance.available, balance.reserved) == (998_000, 1_000)
        assert (await store.correlate("mattel", ["c0", "c1"]))[1] == Correlation("p0", sent.id, 1, 1, T0 + 1000)
        assert [r["kind"] for _, r in await store.read_stream("charges", "", 9)] == ["credit", "post"]
        assert (await store.read_stream("events", "", 9))[-1][1]["state"] == "rejected"

        effects = Effects()
        effects.heads = [VersionedHead(waiting.id, 2, head(waiting.body, State.WAITING))]
        effects.due = [due(admission()._replace(id=waiting.id), T0 + 500)]
        effects.settled = [waiting.id]
        await store.settle(owner, effects)
        assert [e.in_flight for e in await store.engines()] == [0]
        assert await store.move_due(T0 + 500, 10) == 1
        (again,) = await store.pop(owner, QUEUES, 10, T0 + 501)
        assert (again.id, again.version, again.head and again.head.state) == (waiting.id, 2, State.WAITING)

    world.run(case)


def test_a_popped_message_without_body_is_settled_by_the_store(world: World) -> None:
    """What became final in its queue (cancelled) is neither returned nor left in flight."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        gone, stays = admission(), admission()
        await store.admit([gone, stays], T0)
        effects = Effects()
        effects.heads = [VersionedHead(gone.id, 1, head(gone.body, State.CANCELLED))]
        effects.erase = [gone.id]
        assert await store.commit(effects) == []
        assert [m.id for m in await store.pop(owner, QUEUES, 10, T0)] == [stays.id]
        effects = Effects()
        effects.settled = [stays.id]
        await store.settle(owner, effects)
        assert [e.in_flight for e in await store.engines()] == [0]

    world.run(case)


def test_a_correlation_may_be_told_without_its_head(world: World) -> None:
    """Of a message that is in somebody's hands: nothing of it is touched."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        sent = admission()
        await store.admit([sent], T0)
        (popped,) = await store.pop(owner, QUEUES, 1, T0)
        row = Correlation("p0", sent.id, 1, 1, T0 + 60_000)
        await store.keep_correlations("alpha", [("77", row)], T0)
        await store.keep_correlations("alpha", [], T0)
        assert await store.correlate("alpha", ["77", "78"]) == [row, None]
        assert [(m.id, m.version) for m in await store.messages([sent.id]) if m is not None] == [(sent.id, popped.version)]
        assert [e.in_flight for e in await store.engines()] == [1]

    world.run(case)


def test_a_pop_goes_on_behind_what_is_final_already(world: World) -> None:
    """A narrow window claims one at a time: what was cancelled or has expired in front does not make a queue look empty."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        gone, stays = [admission() for _ in range(7)], admission()
        await store.admit([*gone, stays], T0)
        effects = Effects()
        effects.heads = [VersionedHead(each.id, 1, head(each.body, State.EXPIRED)) for each in gone]
        effects.erase = [each.id for each in gone]
        assert await store.commit(effects) == []
        assert [m.id for m in await store.pop(owner, QUEUES, 1, T0)] == [stays.id]
        assert await store.pop(owner, QUEUES, 1, T0) == []
        assert [e.in_flight for e in await store.engines()] == [1]

    world.run(case)


def test_each_pop_of_a_message_is_settled_once(world: World) -> None:
    """A message popped again while it is in flight stays in flight until both pops are settled, and then is not."""

    async def case(store: AnyStore) -> None:
        await funded(store, "a")
        owner = await owner_of(store)
        sent = admission("a")
        await store.admit([sent], T0)
        (message,) = await store.pop(owner, QUEUES, 10, T0)
        effects = Effects()
        effects.due.append(due(sent, T0 + 1))
        await store.settle(owner, effects)
        assert await store.move_due(T0 + 1, 10) == 1
        assert [m.id for m in await store.pop(owner, QUEUES, 10, T0 + 1)] == [message.id]
        for left in (1, 0):
            effects = Effects()
            effects.settled.append(message.id)
            await store.settle(owner, effects)
            assert [view.in_flight for view in await store.engines()] == [left]

    world.run(case)


def test_a_deposed_engine_can_neither_pop_nor_write(world: World) -> None:
    """After its fence moved, every step of the old owner is refused and leaves nothing."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        old = await owner_of(store, "engine-1", "n1")
        items = [admission(), admission()]
        await store.admit(items, T0)
        (message,) = await store.pop(old, QUEUES, 1, T0)
        assert message.body
        await store.write_ahead(old, [VersionedHead(message.id, 1, head(message.body, State.SUBMITTING))])
        assert await store.take_lease("engine-1", "n2", 1000) is None
        await expire_lease(store, "engine-1")
        new = await owner_of(store, "engine-1", "n2")
        assert new.fence > old.fence
        ahead = [VersionedHead(items[1].id, 1, head(items[1].body, State.SUBMITTING))]
        effects = Effects()
        effects.heads = [VersionedHead(message.id, 2, head(message.body, State.SUBMITTED))]
        effects.money = {"acme": [5, 5]}
        with pytest.raises(Deposed):
            await store.pop(old, QUEUES, 10, T0)
        with pytest.raises(Deposed):
            await store.write_ahead(old, ahead)
        with pytest.raises(Deposed):
            await store.settle(old, effects)
        assert not await store.renew_lease(old, "n1", 1000)
        assert await store.renew_lease(new, "n2", 1000)
        first, second = await store.messages([i.id for i in items])
        assert first
        assert first.version == 1
        assert second
        assert second.head is None
        balance = await store.balance("acme")
        assert balance
        assert balance.available == 998_000

    world.run(case)


def test_leases(world: World) -> None:
    """A lease is one's own until it ends; taking it again raises the fence; dropping it frees it."""

    async def case(store: AnyStore) -> None:
        first = await owner_of(store)
        again = await owner_of(store)
        assert again.fence > first.fence
        assert await store.take_lease("engine-1", "other", 1000) is None
        await store.drop_lease(again, "other")
        assert await store.take_lease("engine-1", "other", 1000) is None
        await store.drop_lease(again, "n1")
        assert await store.take_lease("engine-1", "other", 1000) is not None

    world.run(case)


def test_a_head_that_another_engine_has_moved_is_not_written_ahead(world: World) -> None:
    """A message that was claimed twice goes once: the second engine is told, and what else it writes is written."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        first, second = await owner_of(store, "e1", "n1"), await owner_of(store, "e2", "n2")
        await store.admit([admission() for _ in range(3)], T0)
        twice, other, fresh = await store.pop(second, QUEUES, 3, T0)
        assert twice.body is not None
        begun = head(twice.body, State.SUBMITTING)
        for each in (twice, other):
            assert await store.write_ahead(second, [VersionedHead(each.id, 1, begun)]) == []
        assert await store.write_ahead(first, [VersionedHead(twice.id, 2, begun)]) == []
        later = head(twice.body, State.SUBMITTING, T0 + 7)
        ahead = [VersionedHead(m.id, version, later) for m, version in ((twice, 2), (other, 2), (fresh, 1))]
        assert await store.write_ahead(second, ahead) == [twice.id]
        found = await store.messages([twice.id, other.id, fresh.id])
        assert [(m.version, m.head.at == T0 + 7) for m in found if m is not None and m.head is not None] == [
            (2, False),
            (2, True),
            (1, True),
        ]
        await expire_lease(store, "e2")
        await owner_of(store, "e2", "n3")
        with pytest.raises(Deposed):
            await store.write_ahead(second, [VersionedHead(other.id, 3, begun)])

    world.run(case)


def test_what_a_living_engine_holds_too_is_no_orphan(world: World) -> None:
    """Told beside the others; when that one has died as well it is."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        dead, living = await owner_of(store, "dead", "n1"), await owner_of(store, "living", "n2")
        twice, once = admission(), admission()
        await store.admit([twice, once], T0)
        await store.pop(dead, QUEUES, 2, T0)
        effects = Effects()
        effects.due = [due(twice, T0 + 1)]
        await store.settle(living, effects)
        assert await store.move_due(T0 + 1, 10) == 1
        assert [m.id for m in await store.pop(living, QUEUES, 2, T0 + 2)] == [twice.id]
        await expire_lease(store, "dead")
        orphans, beside = await store.orphans("dead")
        assert (sorted(m.id for m in orphans), beside) == (sorted([twice.id, once.id]), {twice.id})
        await expire_lease(store, "living")
        assert (await store.orphans("dead"))[1] == set()

    world.run(case)


def test_takeover_puts_back_doubts_and_clears(world: World) -> None:
    """Popped only: back at the front. Submitting: the effects given. Each step clears what it handled and nothing else."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        dead = await owner_of(store, "dead", "n1")
        items = [admission() for _ in range(5)]
        await store.admit(items, T0)
        popped = await store.pop(dead, QUEUES, 4, T0)
        sending = popped[3]
        assert sending.body
        await store.write_ahead(dead, [VersionedHead(sending.id, 1, head(sending.body, State.SUBMITTING))])
        await expire_lease(store, "dead")
        assert [(e.name, e.alive, e.in_flight) for e in await store.engines()] == [("dead", False, 4)]
        rescuer = await owner_of(store, "dead", "n2")
        orphans, beside = await store.orphans("dead")
        assert not beside
        assert [m.id for m in orphans] == [m.id for m in popped]

        await store.take_over(rescuer, "dead", orphans[:2], Effects())
        assert [e.in_flight for e in await store.engines()] == [2]
        effects = Effects()
        effects.heads = [VersionedHead(sending.id, 2, head(sending.body, State.DOUBT))]
        await store.take_over(rescuer, "dead", orphans[2:3], effects)
        assert await store.orphans("dead") == ([], set())

        owner = await owner_of(store, "engine-2")
        order = [m.id for m in await store.pop(owner, QUEUES, 10, T0)]
        assert order == [items[2].id, items[0].id, items[1].id, items[4].id]
        doubt = (await store.messages([sending.id]))[0]
        assert doubt
        assert (doubt.version, doubt.head and doubt.head.state) == (2, State.DOUBT)
        with pytest.raises(Deposed):
            await store.take_over(dead, "dead", [], Effects())

    world.run(case)


def test_receipts_find_their_way_and_commit_once(world: World) -> None:
    """Correlation, then a commit at the expected version; the same decision again is refused by name."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission()], T0)
        message_id, written = await submitted(store, owner)
        (found,) = await store.correlate("mattel", ["c1"])
        assert found
        assert found.id == message_id
        effects = Effects()
        written.state = State.DELIVERED
        effects.heads = [VersionedHead(message_id, 3, written)]
        effects.erase = [message_id]
        effects.money = {"acme": [0, -1000]}
        assert await store.commit_receipts(effects) == []
        assert await store.commit_receipts(effects) == [message_id]
        balance = await store.balance("acme")
        assert balance
        assert balance.reserved == 0
        (only,) = await store.heads([message_id])
        assert only
        assert (only.version, only.head, only.body) == (3, written, None)
        await store.drop_correlations("mattel", ["c1"])
        assert await store.correlate("mattel", ["c1"]) == [None]

    world.run(case)


def test_a_commit_takes_old_correlations_along(world: World) -> None:
    """Correlations of what earlier commits made durable go with a settle, a receipt's commit or a rare one."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission() for _ in range(2)], T0)
        message_id, written = await submitted(store, owner, "c1")
        await submitted(store, owner, "c2")
        rows = [(f"x{n}", Correlation("p0", message_id, 1, 1, T0 + 3_600_000)) for n in range(3)]
        await store.keep_correlations("mattel", rows, T0)
        for step, kept in (("commit_receipts", "x1 x2 c2"), ("commit", "x2 c2"), ("settle", "c2")):
            effects = Effects()
            effects.dropped = {"mattel": [f"x{2 - kept.count('x')}", "never"]}
            if step == "commit_receipts":
                written.state = State.DELIVERED
                effects.heads = [VersionedHead(message_id, 3, written)]
            if step == "settle":
                await store.settle(owner, effects)
            else:
                assert await getattr(store, step)(effects) == []
            found = await store.correlate("mattel", ["x0", "x1", "x2", "c2"])
            assert [c is not None for c in found] == [i in kept.split() for i in ("x0", "x1", "x2", "c2")]

    world.run(case)


def test_a_rare_change_refuses_what_is_in_flight(world: World) -> None:
    """A cancel of a popped message is refused by id, all or nothing; after its batch is settled it may pass."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        held, free = admission(), admission()
        await store.admit([held], T0)
        await store.pop(owner, QUEUES, 1, T0)
        await store.admit([free], T0)
        effects = Effects()
        effects.heads = [
            VersionedHead(held.id, 1, head(held.body, State.CANCELLED)),
            VersionedHead(free.id, 1, head(free.body, State.CANCELLED)),
        ]
        assert await store.commit(effects) == [held.id]
        record = (await store.messages([free.id]))[0]
        assert record
        assert record.head is None
        done = Effects()
        done.settled = [held.id]
        await store.settle(owner, done)
        assert await store.commit(effects) == []

    world.run(case)


def test_a_large_settle_is_applied_whole(world: World) -> None:
    """500 heads at once, and a write-ahead of more than one step."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=10_000_000)
        owner = await owner_of(store)
        await store.admit([admission() for _ in range(700)], T0)
        popped = [*await store.pop(owner, QUEUES, 500, T0), *await store.pop(owner, QUEUES, 500, T0)]
        assert len(popped) == 700
        await store.write_ahead(owner, [VersionedHead(m.id, 1, head(body(), State.SUBMITTING)) for m in popped])
        effects = Effects()
        effects.heads = [VersionedHead(m.id, 2, head(body(), State.DELIVERED)) for m in popped[:500]]
        effects.erase = [m.id for m in popped[:500]]
        effects.settled = effects.erase
        await store.settle(owner, effects)
        states = [m.head.state for m in await store.messages([m.id for m in popped]) if m and m.head]
        assert states == [State.DELIVERED] * 500 + [State.SUBMITTING] * 200
        assert [e.in_flight for e in await store.engines()] == [200]

    world.run(case)


def test_group_finals_are_counted(world: World) -> None:
    """Effects add to a group's counters by state."""

    async def case(store: AnyStore) -> None:
        from tests.conformance.world import group

        await funded(store)
        plan, members = group(3)
        await store.accept_group(plan, members)
        effects = Effects()
        effects.group_finals = {plan.id: {"delivered": 2, "failed": 1}}
        assert await store.commit_receipts(effects) == []
        assert await store.commit_receipts(effects) == []
        view = await store.group(plan.id)
        assert view
        assert dict(view.finals) == {"delivered": 4, "failed": 2}

    world.run(case)
