"""Handsets' messages: parts, rows, inboxes and the opt-outs that follow from them, in both stores."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from dispatcher.core.inbox import Kept, OptChange, OptOut, Overdue, Piece, Received, joined
from dispatcher.core.model import InboundRow
from tests.conformance.world import T0, AnyStore, World, funded

LAX = Overdue(0, 1000, 1000)


def pieces(
    total: int, *, reference: int = 7, carrier: str = "mattel", sender: str = "22236000001", text: str = "part"
) -> list[Piece]:
    """A message's parts."""
    return [
        Piece(carrier, sender, "4321", "udh8", reference, total, n, "gsm7", f"{text} {n};".encode(), T0)
        for n in range(1, total + 1)
    ]


def row(new_id: str = "i1", account: str = "", at: int = T0, text: str = "hello") -> InboundRow:
    """A message that came whole."""
    made = InboundRow(new_id, "22236000001", "4321", text, None, "mattel", 1, at)
    made.account = account
    return made


def whole(parts: Sequence[Piece], new_id: str = "j1", account: str = "", changes: Sequence[OptChange] = ()) -> Received:
    """What is written when nothing is missing, or when it is given out."""
    made = joined(new_id, parts, T0)
    made.account = account
    return Received(made, changes, parts[0].name, b"".join(p.digest for p in parts))


async def rows(store: AnyStore) -> list[dict[str, Any]]:
    """Everything on the stream."""
    return [one for _, one in await store.read_stream("inbound", "", 1000)]


def verdicts(kept: Sequence[Kept]) -> list[tuple[str, int]]:
    """Verdict and number of parts handed out."""
    return [(k.verdict, len(k.pieces)) for k in kept]


def test_parts_in_any_order_are_one_message(world: World) -> None:
    """Whoever brings the last part is given all of them, and the row is written once."""

    async def case(store: AnyStore) -> None:
        parts = pieces(5)
        random.Random(3).shuffle(parts)
        for part in parts[:-1]:
            assert verdicts(await store.keep_parts([part], T0)) == [("kept", 0)]
        assert await store.parts_waiting() == 4
        (last,) = await store.keep_parts([parts[-1]], T0)
        assert (last.verdict, len(last.pieces)) == ("kept", 5)
        assert await store.receive([whole(last.pieces)], T0, 10) == [True]
        (found,) = await rows(store)
        assert (found["text"], found["parts"], found["total"], found["reference"]) == (
            "part 1;part 2;part 3;part 4;part 5;", 5, 5, 7,
        )  # fmt: skip
        assert await store.parts_waiting() == 0

    world.run(case)


def test_two_that_see_it_complete_write_one_row(world: World) -> None:
    """Two engines, or one before and after its death: the second finds nothing to do."""

    async def case(store: AnyStore) -> None:
        parts = pieces(2)
        assert verdicts(await store.keep_parts(parts, T0)) == [("kept", 0), ("kept", 2)]
        assert verdicts(await store.keep_parts(parts[1:], T0)) == [("repeat", 2)]  # its answer was lost before the row
        assert await store.receive([whole(parts, "a"), row_of("b")], T0, 10) == [True, True]
        assert await store.receive([whole(parts, "c")], T0, 10) == [False]
        assert [r["id"] for r in await rows(store)] == ["a", "b"]

    def row_of(new_id: str) -> Received:
        return Received(row(new_id))

    world.run(case)


def test_a_repeat_after_the_end_changes_nothing_and_a_reused_reference_begins_anew(world: World) -> None:
    """Known by content, not by reference: 8-bit references come again soon."""

    async def case(store: AnyStore) -> None:
        parts = pieces(2)
        await store.keep_parts(parts, T0)
        await store.receive([whole(parts)], T0, 10)
        assert verdicts(await store.keep_parts(parts, T0 + 1000)) == [("repeat", 0)] * 2
        assert await store.parts_waiting() == 0
        again = pieces(2, text="other")
        assert verdicts(await store.keep_parts(again, T0 + 1000)) == [("kept", 0), ("kept", 2)]
        await store.receive([whole(again, "j2")], T0 + 1000, 10)
        assert [r["id"] for r in await rows(store)] == ["j1", "j2"]

    world.run(case)


def test_the_first_of_two_contents_wins(world: World) -> None:
    """Another text under the place of a part that waits."""

    async def case(store: AnyStore) -> None:
        first, second = pieces(2)
        other = pieces(2, text="forged")[0]
        assert verdicts(await store.keep_parts([first, other, first], T0)) == [("kept", 0), ("conflict", 0), ("repeat", 0)]
        (last,) = await store.keep_parts([second], T0)
        assert sorted(p.data for p in last.pieces) == [first.data, second.data]

    world.run(case)


def test_what_belongs_to_different_messages_stays_apart(world: World) -> None:
    """Another carrier, sender, reference or total is another message."""

    async def case(store: AnyStore) -> None:
        several = [
            pieces(2),
            pieces(2, carrier="other"),
            pieces(2, sender="22236000002"),
            pieces(2, reference=8),
            pieces(3)[:2],
        ]
        assert verdicts(await store.keep_parts([parts[0] for parts in several], T0)) == [("kept", 0)] * 5
        assert verdicts(await store.keep_parts([parts[1] for parts in several], T0)) == [("kept", 2)] * 4 + [("kept", 0)]

    world.run(case)


def test_overdue_parts_are_given_out_as_they_are(world: World) -> None:
    """Oldest first; what is not overdue waits; a part that comes meanwhile is not lost with them."""

    async def case(store: AnyStore) -> None:
        old, young = pieces(3)[:2], pieces(3, reference=8)[:1]
        await store.keep_parts(old, T0)
        await store.keep_parts(young, T0 + 5000)
        assert await store.ripe_parts(T0 + 5000, LAX, 10) == []
        (ripe,) = await store.ripe_parts(T0 + 6000, Overdue(T0 + 1, 1000, 1000), 10)
        assert sorted(p.index for p in ripe) == [1, 2]
        (last,) = await store.keep_parts(pieces(3)[2:], T0 + 6000)
        assert len(last.pieces) == 3
        assert await store.receive([whole(ripe)], T0 + 6000, 10) == [False]
        assert await store.receive([whole(last.pieces)], T0 + 6000, 10) == [True]
        (ripe,) = await store.ripe_parts(T0 + 9000, Overdue(T0 + 5001, 1000, 1000), 10)
        assert await store.receive([whole(ripe, "late")], T0 + 9000, 10) == [True]
        assert [(r["parts"], r["total"]) for r in await rows(store)] == [(3, 3), (1, 3)]
        assert verdicts(await store.keep_parts(young, T0 + 9001)) == [("repeat", 0)]

    world.run(case)


def test_complete_ones_that_nobody_took_out_are_found(world: World) -> None:
    """An engine died between the last part and the row."""

    async def case(store: AnyStore) -> None:
        await store.keep_parts(pieces(2), T0)
        assert await store.ripe_parts(T0 + 1000, LAX, 10) == []
        (ripe,) = await store.ripe_parts(T0 + 10_000, LAX, 10)
        assert len(ripe) == 2
        await store.receive([whole(ripe)], T0 + 10_000, 10)
        assert await store.ripe_parts(T0 + 20_000, LAX, 10) == []

    world.run(case)


@pytest.mark.parametrize(("overdue", "expected"), [(Overdue(0, 6, 1000), ["a"]), (Overdue(0, 1000, 6), ["a", "b"])])
def test_a_flood_of_parts_is_bounded(world: World, overdue: Overdue, expected: list[str]) -> None:
    """Beyond the limit of a carrier, or of all, the oldest are given out, as few as needed."""

    async def case(store: AnyStore) -> None:
        names = {
            "a": pieces(9, reference=1)[:2],
            "b": pieces(9, reference=2, carrier="other")[:1],
            "c": pieces(9, reference=3)[:6],
        }
        for n, parts in enumerate(names.values()):
            await store.keep_parts(parts, T0 + n)
        ripe = await store.ripe_parts(T0 + 10, overdue, 10)
        found = [name for found in ripe for name, parts in names.items() if parts[0].name == found[0].name]
        assert found == expected
        for some in ripe:
            await store.receive([whole(some)], T0 + 10, 10)
        assert await store.ripe_parts(T0 + 10, overdue, 10) == []
        assert await store.parts_waiting() == 9 - sum(map(len, ripe))

    world.run(case)


def test_inboxes_are_numbered_paged_and_marked(world: World) -> None:
    """Numbers count up per account from 1; unread ones leave that list when marked; nobody's messages are in no inbox."""

    async def case(store: AnyStore) -> None:
        sent = [Received(row(f"i{n}", ("acme", "other", "")[n % 3], text=f"text {n}")) for n in range(9)]
        assert await store.receive(sent, T0, 10) == [True] * 9
        page = await store.inbox("acme", 0, 2)
        assert [(m.number, m.row.id) for m in page] == [(1, "i0"), (2, "i3")]
        assert [(m.number, m.row.text) for m in await store.inbox("acme", 2, 2)] == [(3, "text 6")]
        assert [m.number for m in await store.inbox("acme", 0, 10, unread=True)] == [1, 2, 3]
        await store.mark_read("acme", [1, 3])
        assert [m.number for m in await store.inbox("acme", 0, 10, unread=True)] == [2]
        assert [m.number for m in await store.inbox("acme", 2, 10, unread=True)] == []
        assert [m.number for m in await store.inbox("acme", 0, 10)] == [1, 2, 3]
        assert [m.row.id for m in await store.inbox("other", 0, 10)] == ["i1", "i4", "i7"]
        assert await store.inbox("", 0, 10) == await store.inbox("nobody", 0, 10) == []
        assert len(await rows(store)) == 9

    world.run(case)


def test_inboxes_are_bounded_in_number_and_time(world: World) -> None:
    """The oldest goes for the next; what is older than it is kept goes with the sweep; numbers never come again."""

    async def case(store: AnyStore) -> None:
        for n in range(5):
            await store.receive([Received(row(f"i{n}", "acme", T0 + n * 1000))], T0 + n * 1000, 3)
        assert [m.number for m in await store.inbox("acme", 0, 10)] == [3, 4, 5]
        assert [m.number for m in await store.inbox("acme", 0, 10, unread=True)] == [3, 4, 5]
        assert await store.sweep_inbox(T0 + 4000, 1000, 1000) == 1
        assert [m.number for m in await store.inbox("acme", 0, 10)] == [4, 5]
        assert await store.sweep_inbox(T0 + 99_000, 1000, 1000) == 2
        assert await store.inbox("acme", 0, 10, unread=True) == []
        await store.receive([Received(row("i9", "acme", T0 + 99_000))], T0 + 99_000, 3)
        assert [m.number for m in await store.inbox("acme", 0, 10)] == [6]

    world.run(case)


def test_digests_are_forgotten_after_their_time(world: World) -> None:
    """Then a part begins a new message, which is all that can be done."""

    async def case(store: AnyStore) -> None:
        parts = pieces(2)
        await store.keep_parts(parts, T0)
        await store.receive([whole(parts)], T0, 10)
        await store.sweep_inbox(T0 + 1000, 10_000, 1000)
        assert verdicts(await store.keep_parts(parts[:1], T0)) == [("repeat", 0)]
        await store.sweep_inbox(T0 + 1001, 10_000, 1000)
        assert verdicts(await store.keep_parts(parts[:1], T0)) == [("kept", 0)]

    world.run(case)


def test_opt_outs_go_with_the_message(world: World) -> None:
    """In the same step and to the same effect as opt_out and opt_in; not with a message that is not written."""

    async def case(store: AnyStore) -> None:
        await funded(store, "acme", "other")
        number, sender = "0123456789abcdef", "SHOP"

        async def say(out: bool, *senders: str, name: str = "x") -> None:
            changes = [OptChange("acme", each, number, out) for each in senders]
            await store.receive([Received(row(name, "acme"), changes)], T0, 10)

        async def blocked() -> list[bool]:
            return await store.opted_out("acme", [(sender, number), ("4321", number), (sender, "f" * 16)])

        assert await blocked() == [False, False, False]
        await say(True, sender)
        await say(True, sender)
        assert await blocked() == [True, False, False]
        assert await store.opt_outs("acme", 10) == [OptOut(number, sender)]
        assert await store.opt_out("acme", sender, number, T0) is False  # known
        await say(True, "")
        assert await blocked() == [True, True, False]
        await say(False, sender)
        assert await store.opt_outs("acme", 10) == [OptOut(number, "")]
        await say(False, "")
        assert await blocked() == [False, False, False]
        assert await store.opt_outs("acme", 10) == []
        await say(True, sender, "4321")
        await say(False, "")
        assert await blocked() == [False, False, False]
        assert await store.opt_in("acme", "", number) is False
        parts = pieces(2)
        await store.keep_parts(parts, T0)
        late = whole(parts[:1], changes=[OptChange("acme", "", number, True)])
        assert await store.receive([late], T0, 10) == [False]
        assert await blocked() == [False, False, False]
        assert await store.opted_out("other", [(sender, number)]) == [False]

    world.run(case)


def test_an_account_that_does_not_exist_gets_its_inbox_and_no_opt_outs(world: World) -> None:
    """Nobody can send in its name; a balance is not made by a STOP."""

    async def case(store: AnyStore) -> None:
        await store.receive([Received(row("i1", "ghost"), [OptChange("ghost", "", "a" * 16, True)])], T0, 10)
        assert len(await store.inbox("ghost", 0, 10)) == 1
        assert await store.opt_outs("ghost", 10) == []
        assert await store.balance("ghost") is None

    world.run(case)
