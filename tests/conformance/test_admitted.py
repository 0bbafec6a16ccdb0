"""A pop by the process that admitted: the same messages, whether their bodies are remembered or read."""

from __future__ import annotations

import pytest

from dispatcher.core.model import Body, Options, State
from dispatcher.core.ports import Admission, Cursor, Effects, VersionedHead
from dispatcher.store.admitted import AGE_MS_MAX, LOOK_MS, Admitted
from dispatcher.store.redis import RedisStore
from tests.conformance.world import T0, AnyStore, Q, World, admission, body, funded, head, new_id, owner_of


def withdrawn(*items: Admission) -> Effects:
    """They become final without ever having been submitted."""
    effects = Effects()
    for item in items:
        effects.heads.append(VersionedHead(item.id, 1, head(item.body, State.CANCELLED)))
        effects.erase.append(item.id)
    return effects


def test_what_was_admitted_here_is_popped_as_it_was(world: World) -> None:
    """Body for body, also where some have options and are read."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        items = [admission(text=f"number {n}", key=f"k{n}") for n in range(5)]
        items.append(admission(options=Options(flash=True)))
        await store.admit(items, T0, (owner, Cursor("5-0", 0)))
        popped = await store.pop(owner, (Q,), 10, T0 + 1)
        assert [(m.id, m.version, m.head, m.body) for m in popped] == [(i.id, 0, None, i.body) for i in items]

    world.run(case)


def test_what_was_withdrawn_before_its_pop_is_never_popped(world: World) -> None:
    """Its body is gone from the server, so it must be gone from our memory too; its neighbours go."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        items = [admission() for _ in range(4)]
        await store.admit(items, T0, (owner, Cursor("4-0", 0)))
        assert [m.id for m in await store.pop(owner, (Q,), 1, T0 + 1)] == [items[0].id]
        assert await store.commit(withdrawn(items[2])) == []
        assert [m.id for m in await store.pop(owner, (Q,), 10, T0 + 2)] == [items[1].id, items[3].id]

    world.run(case)


def test_nothing_is_left_of_a_batch_that_was_withdrawn_as_a_whole(world: World) -> None:
    """Not even when it was admitted after the last pop."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        assert await store.pop(owner, (Q,), 10, T0) == []
        items = [admission() for _ in range(3)]
        await store.admit(items, T0, (owner, Cursor("3-0", 0)))
        assert await store.commit(withdrawn(*items)) == []
        assert await store.pop(owner, (Q,), 10, T0 + 1) == []

    world.run(case)


@pytest.mark.parametrize("world", ["trio", "asyncio"], indirect=True)  # the others read every body
def test_it_is_really_used(world: World) -> None:
    """A body that is not on the server any more is still popped where nobody said that it was withdrawn: the memory is
    asked, not the server. (Nothing but a first head erases the body of a message that waits.)"""

    async def case(store: AnyStore) -> None:
        assert isinstance(store, RedisStore)
        assert store.admitted.bodies_max
        await funded(store)
        owner = await owner_of(store)
        await store.pop(owner, (Q,), 10, T0)
        item = admission()
        await store.admit([item], T0, (owner, Cursor("1-0", 0)))
        effects = Effects()
        effects.erase.append(item.id)
        await store.settle(owner, effects)
        assert [m.body for m in await store.pop(owner, (Q,), 10, T0 + 1)] == [item.body]

    world.run(case)


# -- the memory by itself ----------------------------------------------------------------------------------------------


def item(at: int = T0, due_at: int = 0, options: Options | None = None) -> Admission:
    """One admission of that instant."""
    made: Body = body(accepted_at=at, options=options)
    return Admission(new_id(at), made, 1, b"", due_at)


def keep(memory: Admitted, batch: list[Admission], at: int) -> None:
    """Keeps a batch as an admission does."""
    memory.keep([i.id for i in batch], [i.body for i in batch], [i.due_at for i in batch], at)


def test_each_is_taken_once() -> None:
    """A second element of the same message is read."""
    memory, one, other = Admitted(), item(), item()
    keep(memory, [one, other], T0)
    assert memory.take([one.id, "unknown"]) == {one.id: one.body}
    assert memory.take([one.id]) == {}


def test_a_moved_counter_forgets_all() -> None:
    """Also the first counter that is heard, and one that went back."""
    memory, one = Admitted(), item()
    for counter in (b"7", b"8", b"3"):
        keep(memory, [one], T0)
        memory.popped(counter)
        assert memory.take([one.id]) == {}
        keep(memory, [one], T0)
        memory.popped(counter)
        assert memory.take([one.id]) == {one.id: one.body}
    keep(memory, [one], T0)
    memory.forget()
    assert memory.take([one.id]) == {}


@pytest.mark.parametrize(("most", "kept"), [(0, 0), (1, 0), (2, 2), (3, 2)])
def test_there_is_a_limit(most: int, kept: int) -> None:
    """A batch that has no room is left out whole."""
    memory, two = Admitted(most), [item(), item()]
    keep(memory, two, T0)
    assert len(memory.take([i.id for i in two])) == kept


def test_the_old_make_room() -> None:
    """After AGE_MS_MAX, at once when room is needed."""
    memory, old, young, new = Admitted(2), item(), item(T0 + 1), item(T0 + 1 + AGE_MS_MAX)
    keep(memory, [old, young], T0)
    keep(memory, [new], T0 + AGE_MS_MAX - 1)
    assert memory.take([new.id]) == {}
    keep(memory, [new], T0 + AGE_MS_MAX)
    assert memory.take([old.id, young.id, new.id]) == {young.id: young.body, new.id: new.body}


def test_the_old_go_although_there_is_room() -> None:
    """What another engine has popped is not kept for ever: it is looked for each LOOK_MS."""
    memory, old, young = Admitted(), item(), item(T0 + AGE_MS_MAX)
    keep(memory, [old], T0)
    keep(memory, [], T0 + AGE_MS_MAX - 1)  # looked, and nothing was old
    keep(memory, [young], T0 + AGE_MS_MAX + LOOK_MS - 2)
    assert len(memory._kept) == 2
    keep(memory, [], T0 + AGE_MS_MAX + LOOK_MS - 1)
    assert memory.take([old.id, young.id]) == {young.id: young.body}


def test_what_is_read_anyway_is_not_kept() -> None:
    """What waits for its time comes back through the due set; what has options is rare."""
    memory, later, rare = Admitted(), item(due_at=T0 + 5), item(options=Options(flash=True))
    keep(memory, [later, rare], T0)
    assert memory.take([later.id, rare.id]) == {}
