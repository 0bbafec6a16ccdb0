"""From rows to notices: whose callback it is, in steps that a kill at any point neither loses nor doubles."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec
import pytest

from dispatcher.core import notices as rules
from dispatcher.core.customer import Account
from dispatcher.core.front import Callback, Ticket
from dispatcher.core.ids import encode, group_members, group_of
from dispatcher.core.model import EVENT_COLUMNS, Lane
from dispatcher.core.notices import STEP_NOTICES_MAX
from dispatcher.core.ports import Cursor, GroupPlan, StoreUnavailable
from dispatcher.notices import reader
from dispatcher.notices.reader import ENTRIES_READ, Accounts, Reader
from dispatcher.store.memory import MemoryStore
from dispatcher.store.records import pack
from tests.dispatcher.notices.world import T0, Log, MovedClock, event

URL = "https://example.com/hook"


async def reader_of(store: MemoryStore, log: Log | None = None) -> Reader:
    """A fresh reader."""
    clock = MovedClock()
    return Reader(store, Accounts(store, clock), clock, log or Log())


async def read_all(store: MemoryStore, log: Log | None = None) -> list[tuple[str, str]]:
    """Reads to the end under a lease of its own; the ids of messages queued so far, with their targets."""
    store.expire(rules.LEASE)
    owner = await store.take_lease(rules.LEASE, "n", 1000)
    assert owner is not None
    reads = await reader_of(store, log)
    while True:
        cursor = await store.notice_cursor()
        if await reads.step(owner, cursor, {}) == cursor:
            break
    due = await store.due_notices([(t, 100_000) for t in await store.notice_targets(1 << 60, 1000)], 1 << 60)
    return sorted((n.message_id, n.account) for some in due for n in some)


def run(case: object) -> None:
    """One asyncio life."""
    asyncio.run(case())  # type: ignore[operator]


async def group(store: MemoryStore, members: int, ticket: Ticket | None, account: str = "acme") -> tuple[str, list[str]]:
    """A group as the store knows it, with its ticket; its id and its members'."""
    group_id = group_of(encode(T0, 7 << 40))
    plan = GroupPlan(group_id, account, Lane.BULK, members, 0, "EUR", T0, ticket=ticket)
    await store.put_account(Account(name=account, currency="EUR"))
    await store.accept_group(plan, [])
    if ticket is not None:
        await store.put_ticket(group_id, ticket)
    return group_id, group_members(group_id, members)


def callback(account: str = "acme") -> Ticket:
    """A ticket with a callback."""
    return Ticket(door="native", account=account, callback=Callback(url=URL))


def test_a_groups_callback_speaks_for_its_members() -> None:
    """A member's own ticket comes before it; a member of another account hears nothing."""

    async def case() -> None:
        store = MemoryStore()
        _, members = await group(store, 4, callback())
        await store.put_ticket(members[1], Ticket(door="native", account="acme"))
        rows = [event(m, "delivered") for m in members[:3]] + [event(members[3], "delivered", "other")]
        store.write_rows("events", rows)
        assert await read_all(store) == [(members[0], "acme"), (members[2], "acme")]

    run(case)


def test_a_group_is_not_forgotten_among_messages_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message without a group fills the memory of groups, too; in the read in which it is full, a member is still one."""
    monkeypatch.setattr(reader, "GROUPS_KEPT", 5)

    async def case() -> None:
        store = MemoryStore()
        _, members = await group(store, 2, callback())
        others = [encode(T0, n << 40) for n in range(100, 105)]
        for _ in range(ENTRIES_READ):  # one read: the group and one other are known
            store.write_rows("events", [event(members[0], "delivered"), event(others[0], "delivered")])
        store.write_rows("events", [event(m, "delivered") for m in (members[1], *others[1:])])
        assert {message_id for message_id, _ in await read_all(store)} == set(members)

    run(case)


def test_a_message_never_speaks_for_its_neighbours() -> None:
    """Ids of one batch are in a row: one whose last bits are zero looks like a group's, and is none."""

    async def case() -> None:
        store = MemoryStore()
        await store.put_account(Account(name="acme", currency="EUR"))
        lookalike = group_of(encode(T0, 9 << 40))
        neighbours = group_members(lookalike, 3)
        await store.put_ticket(lookalike, callback())
        store.write_rows("events", [event(m, "delivered") for m in (lookalike, *neighbours)])
        assert await read_all(store) == [(lookalike, "acme")]

    run(case)


def test_many_rows_go_in_bounded_steps() -> None:
    """Also those of one entry; the cursor ends after the last entry."""

    async def case() -> None:
        store = MemoryStore()
        await store.put_account(Account(name="acme", currency="EUR"))
        ids = [encode(T0, n << 20) for n in range(1, 2 * STEP_NOTICES_MAX + 51)]
        for message in ids:
            await store.put_ticket(message, callback())
        store.write_rows("events", [event(m, "queued") for m in ids])
        store.write_rows("events", [event(ids[0], "delivered")])
        steps: list[tuple[Cursor, int]] = []
        queue = store.queue_notices

        async def counted(owner: object, before: Cursor, after: Cursor, notices: Sequence[object], due: object) -> None:
            steps.append((after, len(notices)))
            await queue(owner, before, after, notices, due)  # type: ignore[arg-type]

        store.queue_notices = counted  # type: ignore[method-assign,assignment]
        assert [i for i, _ in await read_all(store)] == sorted(ids)
        assert [count for _, count in steps] == [STEP_NOTICES_MAX, STEP_NOTICES_MAX, 51]
        assert steps[0][0].done == STEP_NOTICES_MAX
        assert steps[-1][0].done == 0
        assert await store.notice_counts() == (len(ids) + 1, 0)

    run(case)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", range(6))
def test_a_kill_at_any_step_loses_and_doubles_nothing(when: str, step: int) -> None:
    """The next reader goes on exactly there."""

    async def case() -> None:
        store = MemoryStore()
        await store.put_account(Account(name="acme", currency="EUR"))
        ids = [encode(T0, n << 20) for n in range(1, 701)]
        for message in ids:
            await store.put_ticket(message, callback())
        for start in range(0, 700, 350):
            store.write_rows("events", [event(m, "queued") for m in ids[start : start + 350]])
        left = step

        async def hook(now: str, name: str) -> None:
            nonlocal left
            if name == "queue_notices" and now == when:
                left -= 1
                if left == -1:
                    raise StoreUnavailable("killed")

        store.hook = hook
        with contextlib.suppress(StoreUnavailable):
            await read_all(store)
        store.hook = None
        assert [i for i, _ in await read_all(store)] == sorted(ids)
        assert await store.notice_counts() == (700, 0)

    run(case)


def test_a_ticket_that_does_not_decode_costs_only_its_message() -> None:
    """The others' events are queued."""

    async def case() -> None:
        store = MemoryStore()
        await store.put_account(Account(name="acme", currency="EUR"))
        ids = [encode(T0, n << 20) for n in range(1, 4)]
        for message in ids:
            await store.put_ticket(message, callback())
        store.tickets_kept[ids[1]] = b"\xc1"
        store.write_rows("events", [event(m, "queued") for m in ids])
        assert [i for i, _ in await read_all(store)] == [ids[0], ids[2]]

    run(case)


def test_a_paused_target_is_not_looked_at_for_news() -> None:
    """What comes while its circuit is open waits for it."""

    async def case() -> None:
        store = MemoryStore()
        await store.put_account(Account(name="acme", currency="EUR"))
        message = encode(T0, 1 << 20)
        await store.put_ticket(message, callback())
        store.write_rows("events", [event(message, "queued")])
        owner = await store.take_lease(rules.LEASE, "n", 1000)
        assert owner is not None
        until = T0 + 10**9
        await (await reader_of(store)).step(owner, Cursor("", 0), {"acme https://example.com": until})
        assert await store.notice_targets(until - 1, 10) == []
        assert await store.notice_targets(until, 10) == ["acme https://example.com"]

    run(case)


def test_numbers_are_shown_to_accounts_that_may_see_them() -> None:
    """From the ticket, as the account's setting is now."""

    async def case() -> None:
        for shows in (False, True):
            store = MemoryStore()
            await store.put_account(Account(name="acme", currency="EUR", show_numbers=shows))
            message = encode(T0, 1 << 20)
            ticket = Ticket(door="native", account="acme", to=("255700000001",), callback=Callback(url=URL))
            await store.put_ticket(message, ticket)
            store.write_rows("events", [event(message, "queued")])
            await read_all(store)
            (found,) = (await store.due_notices([("acme https://example.com", 5)], 1 << 60))[0]
            assert (b"255700000001" in found.body) == shows
            assert (b"0123456789abcdef" in found.body) != shows

    run(case)


GOOD = pack([event("m", "delivered")])
CORRUPT = {
    "no fields": {"v": b"1"},
    "no rows": {"v": b"1", "cols": EVENT_COLUMNS.encode()},
    "bytes": {"v": b"1", "cols": EVENT_COLUMNS.encode(), "rows": b"\xc1secret"},
    "not a list": {"v": b"1", "cols": EVENT_COLUMNS.encode(), "rows": pack({"id": "secret"})},
    "short row": {"v": b"1", "cols": EVENT_COLUMNS.encode(), "rows": pack([["secret"]])},
    "wrong type": {
        "v": b"1",
        "cols": EVENT_COLUMNS.encode(),
        "rows": pack([[7, *msgspec.to_builtins(event("m", "delivered"))[1:]]]),
    },
    "other columns": {"v": b"1", "cols": b"id,state", "rows": pack([["secret", "delivered"]])},
    "more columns than values": {"v": b"1", "cols": EVENT_COLUMNS.encode() + b",more", "rows": GOOD},
    "columns that are no text": {"v": b"1", "cols": b"\xff", "rows": GOOD},
}


@pytest.mark.parametrize("kind", CORRUPT)
def test_an_entry_that_does_not_decode_costs_its_own_rows_only(kind: str) -> None:
    """First, in the middle and last of a read: those before and behind it are told, it is named once, its value never."""

    async def case() -> None:
        store, log = MemoryStore(), Log()
        _, members = await group(store, 4, callback())
        for place in range(4):
            store.append("events", CORRUPT[kind])
            store.write_rows("events", [event(members[place], "delivered")])
        store.append("events", CORRUPT[kind])
        assert await read_all(store, log) == [(member, "acme") for member in members]
        assert [name for name, _ in log.lines] == ["corrupt_record"] * 5
        assert len({fields["place"] for _, fields in log.lines}) == 5
        assert "secret" not in str(log.lines)

    run(case)


def test_a_column_more_at_the_end_is_a_later_version() -> None:
    """What is added at the end of a row is passed over."""

    async def case() -> None:
        store, log = MemoryStore(), Log()
        _, members = await group(store, 1, callback())
        row = [*msgspec.to_builtins(event(members[0], "delivered")), "more"]
        store.append("events", {"v": b"1", "cols": EVENT_COLUMNS.encode() + b",more", "rows": pack([row])})
        assert await read_all(store, log) == [(members[0], "acme")]
        assert log.lines == []

    run(case)
