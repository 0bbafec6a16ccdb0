"""What is kept of groups: the same answers as without it, fewer questions to the store, and bounded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import msgspec
import pytest

from dispatcher.core import ids
from dispatcher.core.front import Ticket
from dispatcher.core.model import Attempt, Head, Lane, Message, Outcome, Segment, State
from dispatcher.ingest.dialects.desk import Desk
from dispatcher.ingest.dialects.kept import KEPT_S, LEAST_MEMBERS, PART_MEMBERS, Kept
from dispatcher.store import records
from dispatcher.store.memory import MemoryStore
from tests.dispatcher.ingest.dialects.test_desk import ORDER, asked, counter, run, ticket
from tests.dispatcher.ingest.world import PRICE, World, world

MEMBERS = 2 * PART_MEMBERS + 37
LATER = [State.QUEUED, State.SUBMITTING, State.SUBMITTED, State.WAITING, State.DOUBT, *(s for s in State if s.final)]


def head(state: State, at: int, chance: random.Random) -> Head:
    """A head in a state, of one or two segments, with what a row shows of it."""
    attempt = Attempt(
        1, "c", "b", 5, Outcome.ACCEPTED, receipt=chance.choice(["", "UNDELIV"]), cause=chance.choice(["", "absent"])
    )
    posted = chance.random() < 0.7
    segments = [Segment(state, [attempt], posted=posted, refunded=posted and state >= State.EXPIRED)] * chance.choice([1, 2])
    first_at = chance.choice([0, 5])
    return Head(state, at, segments, "shop", int(Lane.BULK), "r", 10, "EUR", "t", "h", 1, 99, 0, first_at)


def advance(store: MemoryStore, members: Sequence[str], now: dict[str, State], at: int, chance: random.Random) -> None:
    """Some members go on: a final one never, unless it is `unknown`, which may be refined."""
    for member in chance.sample(members, len(members) // 4):
        was = now.get(member)
        if was is None or not was.final:
            now[member] = chance.choice(LATER)
        elif was is State.UNKNOWN:
            now[member] = chance.choice([State.DELIVERED, State.UNDELIVERED])
        else:
            continue
        store.heads_kept[member] = (1, records.pack(head(now[member], at, chance)))


class Asked:
    """Counts the heads and the whole tickets that the store is asked for."""

    def __init__(self, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heads = self.whole = 0
        heads, tickets = store.heads, store.tickets

        async def count_heads(some: Sequence[str]) -> list[Message | None]:
            self.heads += len(some)
            await asyncio.sleep(0)
            return await heads(some)

        async def count_tickets(some: Sequence[str], *, apart: bool = True) -> list[Ticket | None]:
            self.whole += apart
            return await tickets(some, apart=apart)

        monkeypatch.setattr(store, "heads", count_heads)
        monkeypatch.setattr(store, "tickets", count_tickets)


def memory(w: World) -> MemoryStore:
    """The world's store."""
    assert isinstance(w.store, MemoryStore)
    return w.store


@pytest.mark.parametrize("seed", range(4))
def test_the_twin_without_it_says_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk that keeps and one that does not, over a group whose members go on, each poll for any page, two at once: equal.
    When all has ended, nothing more is asked of the store than what is not kept."""

    async def case() -> None:
        chance = random.Random(seed)
        async with world(money=MEMBERS * PRICE) as w:
            desk, caller = await counter(w)
            twin = Desk(w.app.door)
            twin.kept = Kept(w.clock.monotonic, members_max=0)
            group = await desk.submit_group(
                caller, [ORDER] * MEMBERS, asked(), ticket=ticket(*(f"49{i}" for i in range(MEMBERS)))
            )
            now: dict[str, State] = {}
            for turn in range(12):
                advance(memory(w), group.ids, now, 100 + turn, chance)
                for _ in range(2):
                    offset, limit = chance.randrange(MEMBERS + 5), chance.choice([None, 0, 1, 250])
                    one, two = await asyncio.gather(*(desk.group(caller, group.id, offset, limit) for _ in range(2)))
                    assert one == two == await twin.group(caller, group.id, offset, limit)
                assert await desk.group(caller, group.id) == await twin.group(caller, group.id)
            for member in group.ids:
                memory(w).heads_kept[member] = (2, records.pack(head(State.DELIVERED, 200, chance)))
            w.clock.ahead_s += KEPT_S + 1  # the heads that had ended otherwise were written over, as no engine does
            await desk.group(caller, group.id)
            count = Asked(memory(w), monkeypatch)
            assert await desk.group(caller, group.id, 3, 10) is not None
            assert (count.heads, count.whole) == (0, 0)
            assert await twin.group(caller, group.id, 3, 10) == await desk.group(caller, group.id, 3, 10)
            assert (count.heads, len(twin.kept), len(desk.kept)) == (MEMBERS, 0, 1)

    run(case)


def test_unknown_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is final and may be refined: what was shown as unknown is shown as delivered later."""

    async def case() -> None:
        async with world() as w:
            desk, caller = await counter(w)
            group = await desk.submit_group(caller, [ORDER] * 2, asked(), ticket=ticket("1", "2"))
            for member, state in zip(group.ids, (State.UNKNOWN, State.DELIVERED), strict=True):
                memory(w).heads_kept[member] = (1, records.pack(head(state, 5, random.Random(1))))
            first = await desk.group(caller, group.id)
            assert first is not None
            assert [m.state for m in first.messages] == ["unknown", "delivered"]
            memory(w).heads_kept[group.ids[0]] = (2, records.pack(head(State.DELIVERED, 6, random.Random(1))))
            count = Asked(memory(w), monkeypatch)
            then = await desk.group(caller, group.id)
            assert then is not None
            assert ([m.state for m in then.messages], then.counts, count.heads) == (["delivered"] * 2, {"delivered": 2}, 1)

    run(case)


def test_numbers_kept_apart_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a group with more numbers than a ticket holds: by the group's status and by a member's, in any order."""

    async def case() -> None:
        members = records.NUMBERS_MAX + 1
        numbers = tuple(f"49{i}" for i in range(members))
        async with world(money=members * PRICE) as w:
            desk, caller = await counter(w)
            group = await desk.submit_group(caller, [ORDER] * members, asked(), ticket=ticket(*numbers))
            count = Asked(memory(w), monkeypatch)
            for place in (0, members - 1, 17):
                shown = await desk.message(caller, group.ids[place])
                assert shown is not None
                assert (shown.to, shown.state) == (numbers[place], "accepted")
            found = await desk.group(caller, group.id, members - 1, 1)
            assert found is not None
            assert (found.messages[0].to, found.ticket.to) == (numbers[-1], numbers)
            assert count.whole == 1
            again = msgspec.structs.replace(found.ticket, note={"own": 2})
            await desk.front.put_ticket(group.id, again)
            found = await desk.group(caller, group.id, 0, 1)
            assert found is not None
            assert (found.ticket, count.whole) == (again, 1)  # what changes in a ticket is not kept

    run(case)


def test_it_is_bounded_and_forgets() -> None:
    """In members over all groups, the one asked for least lately first; small ones count too; and after a while."""
    now = [0.0]
    kept = Kept(lambda: now[0], members_max=10 * LEAST_MEMBERS)
    names = [ids.encode(1, i << 16) for i in range(40)]
    for name in names[:10]:
        kept.group(name, 1)
    assert len(kept) == 10
    first = kept.group(names[0], 1)
    kept.group(names[10], 1)
    assert len(kept) == 10
    assert kept.group(names[0], 1) is first
    kept.group(names[11], 10 * LEAST_MEMBERS)
    assert len(kept) == 1
    kept.group(names[12], 10 * LEAST_MEMBERS + 1)
    assert len(kept) == 0
    found = kept.group(names[13], 1)
    now[0] = KEPT_S + 1
    assert kept.group(names[13], 1) is not found
