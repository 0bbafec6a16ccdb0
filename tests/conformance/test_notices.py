"""Webhooks' queue: in order per message, moved with the cursor, fenced, harmless to repeat, parked and taken back."""

from __future__ import annotations

import msgspec
import pytest

from dispatcher.core import notices as rules
from dispatcher.core.notices import Notice, Settled
from dispatcher.core.ports import Cursor, Deposed, Owner
from dispatcher.store.memory import MemoryStore
from tests.conformance.world import T0, AnyStore, World, expire_lease, new_id, owner_of

NONE = Cursor("", 0)
HOST = "https://example.com"


def notice(message_id: str, number: int = 1, *, host: str = HOST, account: str = "acme", final: bool = False) -> Notice:
    """A message's n-th notice."""
    return Notice(f"evt_{message_id}_{number}", message_id, account, f"{host}/hook", "", "standard", final, b"{}", T0 + number)


def target(host: str = HOST, account: str = "acme") -> str:
    """A target's name."""
    return f"{account} {host}"


async def queue(store: AnyStore, owner: Owner, *notices: Notice, before: Cursor = NONE, done: int = 1) -> Cursor:
    """One step; the cursor after it."""
    after = Cursor(before.entry, before.done + done)
    await store.queue_notices(owner, before, after, notices, [T0] * len(notices))
    return after


async def due(store: AnyStore, at: int = T0 + 10, limit: int = 10) -> list[str]:
    """Ids of what may be tried, over all targets."""
    found = await store.due_notices([(t, limit) for t in await store.notice_targets(at, 100)], at)
    return [n.id for some in found for n in some]


def gone(one: Notice, at: int = T0 + 10) -> Settled:
    """Delivered."""
    return Settled(one, "gone", at, one)


def test_only_the_first_of_a_message_is_due(world: World) -> None:
    """The next is due when the first has left, delivered or parked."""

    async def case(store: AnyStore) -> None:
        owner = await owner_of(store, rules.LEASE)
        a, b = new_id(), new_id()
        notices = [notice(a, 1), notice(b, 2), notice(a, 3), notice(a, 4)]
        await queue(store, owner, *notices)
        assert await store.notice_counts() == (4, 0)
        assert await due(store) == [notices[0].id, notices[1].id]
        assert await due(store, limit=1) == [notices[0].id]
        assert await due(store, T0 - 1) == []
        await store.settle_notices(owner, [gone(notices[0])], [])
        assert await due(store) == [notices[1].id, notices[2].id]
        await store.settle_notices(owner, [Settled(notices[2], "parked", T0 + 10, notices[2])], [])
        assert await due(store) == [notices[1].id, notices[3].id]
        await store.settle_notices(owner, [gone(notices[1]), gone(notices[3])], [])
        assert await due(store) == []
        assert await store.notice_counts() == (0, 1)
        assert await store.notice_targets(T0 + 10**9, 10) == []

    world.run(case)


def test_the_cursor_moves_with_the_notices_or_not_at_all(world: World) -> None:
    """A repeat appends nothing; a step from elsewhere is refused; an empty step moves it too."""

    async def case(store: AnyStore) -> None:
        owner = await owner_of(store, rules.LEASE)
        assert await store.notice_cursor() == NONE
        one, two = notice(new_id()), notice(new_id())
        after = await queue(store, owner, one, done=2)
        assert await store.notice_cursor() == after == Cursor("", 2)
        await store.queue_notices(owner, NONE, after, [one], [T0])
        assert await store.notice_counts() == (1, 0)
        with pytest.raises(Deposed):
            await store.queue_notices(owner, NONE, Cursor("1-1", 0), [two], [T0])
        await store.queue_notices(owner, after, Cursor("1-1", 0), [], [])
        assert await store.notice_cursor() == Cursor("1-1", 0)
        assert await store.notice_counts() == (1, 0)

    world.run(case)


def test_who_was_deposed_changes_nothing(world: World) -> None:
    """Not the lists, not the cursor, not what is parked."""

    async def case(store: AnyStore) -> None:
        owner = await owner_of(store, rules.LEASE)
        one = notice(new_id())
        after = await queue(store, owner, one)
        await store.settle_notices(owner, [Settled(one, "parked", T0, one)], [])
        two = notice(new_id())
        after = await queue(store, owner, two, before=after)
        await expire_lease(store, rules.LEASE)
        await owner_of(store, rules.LEASE, "n2")
        with pytest.raises(Deposed):
            await queue(store, owner, notice(new_id()), before=after)
        with pytest.raises(Deposed):
            await store.settle_notices(owner, [gone(two)], [])
        assert await store.requeue_notices([one.id]) == 1
        with pytest.raises(Deposed):
            await store.replay_notices(owner, [(one, True)], T0)
        assert await store.notice_cursor() == after
        assert await due(store) == [two.id]
        assert await store.requeued_notices(10) == [one]

    world.run(case)


def test_a_failed_try_is_due_later(world: World) -> None:
    """It keeps its place; its tries are counted; a repeat of the step changes nothing."""

    async def case(store: AnyStore) -> None:
        owner = await owner_of(store, rules.LEASE)
        message = new_id()
        first, second = notice(message, 1), notice(message, 2)
        await queue(store, owner, first, second)
        kept = rules.tried(first, T0 + 10)
        for _ in range(2):
            await store.settle_notices(owner, [Settled(first, "later", T0 + 500, kept)], [])
        assert await due(store, T0 + 499) == []
        assert await store.notice_targets(T0 + 499, 10) == []
        (found,) = (await store.due_notices([(target(), 5)], T0 + 500))[0]
        assert found == kept
        assert (found.tries, found.first_at) == (1, T0 + 10)
        await store.settle_notices(owner, [gone(first)], [])
        assert (await store.due_notices([(target(), 5)], T0 + 500))[0] == [kept]
        assert await store.notice_counts() == (2, 0)

    world.run(case)


def test_what_is_held_is_not_read_again(world: World) -> None:
    """It counts towards the limit, of its own target only."""

    async def case(store: AnyStore) -> None:
        owner = await owner_of(store, rules.LEASE)
        ones = [notice(new_id(), 1) for _ in range(4)]
        await queue(store, owner, *ones)
        everything = (await store.due_notices([(target(), 9)], T0 + 40))[0]
        assert {n.id for n in everything} == {n.id for n in ones}
        held = {everything[0].message_id, everything[2].message_id}
        some, none = await store.due_notices([(target(), 3), ("other https://example.com", 3)], T0 + 40, {target(): held})
        assert [n.id for n in some] == [everything[1].id]
        assert none == []
        (unheld,) = await store.due_notices([(target(), 3)], T0 + 40, {"other https://example.com": held})
        assert unheld == everything[:3]

    world.run(case)


def test_targets_are_apart_and_can_be_paused(world: World) -> None:
    """An account's host is a target; one that is paused is not shown until then, what is due there stays due."""

    async def case(store: AnyStore) -> None:
        owner = await owner_of(store, rules.LEASE)
        ones = [notice(new_id()), notice(new_id(), account="other"), notice(new_id(), host="https://example.com:444")]
        after = await queue(store, owner, *ones)
        names = [target(), target(account="other"), target("https://example.com:444")]
        assert sorted(await store.notice_targets(T0, 10)) == sorted(names)
        assert len(await store.notice_targets(T0, 10, 1)) == 2
        assert len(await store.notice_targets(T0, 1)) == 1
        await store.settle_notices(owner, [], [(names[0], T0 + 5000)])
        assert sorted(await store.notice_targets(T0 + 4999, 10)) == sorted(names[1:])
        more = notice(new_id(), 2)
        await store.queue_notices(owner, after, Cursor("", 9), [more], [T0 + 5000])
        assert sorted(await store.notice_targets(T0 + 4999, 10)) == sorted(names[1:])
        assert [n.id for n in (await store.due_notices([(names[0], 5)], T0 + 5000))[0]] == [ones[0].id, more.id]
        assert names[0] in await store.notice_targets(T0 + 5000, 10)

    world.run(case)


def test_parked_notices_are_shown_and_taken_back(world: World) -> None:
    """Oldest first, by account; taken back as fresh ones behind what waits, or forgotten; once however often asked."""

    async def case(store: AnyStore) -> None:
        owner = await owner_of(store, rules.LEASE)
        a, b = new_id(), new_id()
        first, second, third = notice(a, 1), notice(a, 2), notice(b, 3, account="other")
        await queue(store, owner, first, second, third)
        kept = rules.tried(first, T0 + 4)
        await store.settle_notices(owner, [Settled(first, "parked", T0 + 20, kept)], [])
        await store.settle_notices(owner, [Settled(third, "parked", T0 + 10, third)], [])
        assert [(p.notice, p.at) for p in await store.parked_notices(10)] == [(third, T0 + 10), (kept, T0 + 20)]
        assert [p.notice for p in await store.parked_notices(10, "acme")] == [kept]
        assert [p.notice for p in await store.parked_notices(1)] == [third]
        assert await store.requeue_notices([kept.id, third.id, "evt_nobody"]) == 2
        assert await store.requeue_notices([kept.id]) == 0
        assert await store.parked_notices(10) == []
        assert await store.notice_counts() == (3, 0)
        again = await store.requeued_notices(10)
        assert again == [kept, third]
        for _ in range(2):
            await store.replay_notices(owner, [(kept, True), (third, False)], T0 + 30)
        assert await store.requeued_notices(10) == []
        assert await store.notice_counts() == (2, 0)
        assert await due(store, T0 + 40) == [second.id]
        await store.settle_notices(owner, [gone(second, T0 + 40)], [])
        (found,) = (await store.due_notices([(target(), 5)], T0 + 40))[0]
        assert found == msgspec.structs.replace(kept, tries=0, first_at=0)

    world.run(case)


def test_parked_notices_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go."""
    monkeypatch.setattr(rules, "PARKED_MAX", 2)

    async def case(store: AnyStore) -> None:
        owner = await owner_of(store, rules.LEASE)
        ones = [notice(new_id(), n) for n in range(4)]
        await queue(store, owner, *ones)
        await store.settle_notices(owner, [Settled(n, "parked", n.at, n) for n in ones], [])
        assert [p.notice for p in await store.parked_notices(10)] == ones[2:]
        assert await store.notice_counts() == (0, 2)

    world.run(case)


def test_what_waits_for_one_target_is_bounded(world: World) -> None:
    """Further messages' events are parked; those of messages that wait already keep their order; other targets go on."""

    async def case(store: AnyStore) -> None:
        owner = await owner_of(store, rules.LEASE)
        a, b, c = new_id(), new_id(), new_id()
        ones = [notice(a, 1), notice(b, 2), notice(c, 3), notice(a, 4), notice(c, 5, host="https://other.example")]
        await store.queue_notices(owner, NONE, Cursor("", 5), ones, [T0] * 5, 2)
        assert await store.notice_counts() == (4, 1)
        assert [(p.notice, p.at) for p in await store.parked_notices(10)] == [(ones[2], T0 + 3)]
        assert set(await due(store)) == {ones[0].id, ones[1].id, ones[4].id}
        await store.settle_notices(owner, [gone(ones[0])], [])
        assert ones[3].id in await due(store)

    world.run(case)


def test_a_notice_that_does_not_decode_costs_only_itself(world: World) -> None:
    """The server's: it is set aside by name and the others go on."""

    async def case(store: AnyStore) -> None:
        if isinstance(store, MemoryStore):
            return
        from dispatcher.store import resp

        owner = await owner_of(store, rules.LEASE)
        bad, well = notice(new_id(), 1), notice(new_id(), 2)
        await queue(store, owner, bad, well)
        await store.ask("desk", resp.of("LSET", store.k.notice_ + bad.message_id.encode(), 0, b"\xc1"), 1)
        assert await due(store) == [well.id]
        assert await due(store) == [well.id]
        await store.ask("desk", resp.of("RPUSH", store.k.notices_again, b"\xc1"), 1)
        for _ in range(2):
            assert await store.requeued_notices(10) == []
        listed = (await store.ask("desk", resp.of("LRANGE", store.k.corrupt, 0, -1), 1))[0]
        assert listed == [store.k.notice_ + bad.message_id.encode(), b"\xc1"]

    world.run(case)
