"""Streams, early receipts, overdue correlations, operators' wishes and sweeps."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from dispatcher.core.front import CANCEL_WISH_MS, CANCEL_WISHES_MAX, CANCEL_WISHES_OF_ACCOUNT_MAX
from dispatcher.core.inbox import Received
from dispatcher.core.model import Correlation, InboundRow, State
from dispatcher.core.ports import Cursor, Effects, RejectRow, Verdict, VersionedHead
from dispatcher.store.memory import MemoryStore
from tests.conformance.world import (
    PRICE,
    QUEUES,
    T0,
    AnyStore,
    World,
    admission,
    available,
    funded,
    group,
    head,
    owner_of,
    submitted,
)


async def send(store: AnyStore, kind: str, payload: bytes) -> str:
    """A producer's XADD."""
    if isinstance(store, MemoryStore):
        return store.add_send(kind, payload)
    from dispatcher.store import resp

    return str((await store.ask("desk", resp.of("XADD", store.k.sends, "*", kind, payload), 1))[0], "ascii")


def test_sends_are_read_once_and_trimmed(world: World) -> None:
    """Entries come in order after a given id; trimming cuts what is admitted and never a later one."""

    async def case(store: AnyStore) -> None:
        ids = [await send(store, kind, b"x") for kind in ("json", "msgpack", "other")]
        entries = await store.read_sends("", 10, 0)
        assert await store.sends_waiting() == 3
        assert [(e.entry, e.kind, e.payload) for e in entries] == [
            (ids[0], "json", b"x"),
            (ids[1], "msgpack", b"x"),
            (ids[2], "", b""),
        ]
        assert [e.entry for e in await store.read_sends(ids[0], 1, 0)] == [ids[1]]
        await store.trim_sends(ids[1])
        assert [e.entry for e in await store.read_sends("", 10, 0)] == [ids[2]]
        assert await store.read_sends(ids[2], 10, 5) == []

    world.run(case)


def test_refused_sends_are_published_once_in_order(world: World) -> None:
    """What the intake's step leaves appears in `rejects` once and in order, whoever publishes it and however often."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store, "intake")
        first = [RejectRow("1700000000000-1", n, "malformed", "why", b"{}", T0) for n in (0, 7)]
        await store.admit([], T0, (owner, Cursor("1700000000000-1", 0)), lambda _: first)
        poor = RejectRow("1700000000000-2", 0, "insufficient_balance", "", b"", T0)
        seen: list[dict[int, str]] = []

        def refused(no: Mapping[int, Verdict]) -> list[RejectRow]:
            seen.append({i: v.verdict for i, v in no.items()})
            return [poor] if no else []

        batch = [admission(), admission(account="nobody")]
        verdicts = await store.admit(batch, T0, (owner, Cursor("1700000000000-3", 0)), refused)
        assert [v.verdict for v in verdicts] == ["accepted", "unknown"]
        assert seen[-1] == {1: "unknown"}
        assert await store.publish_rejects() == 3
        assert await store.publish_rejects() == 0
        found = [row for _, row in await store.read_stream("rejects", "", 10)]
        assert [(r["entry"], r["index"], r["reason"], r["at"]) for r in found] == [
            ("1700000000000-1", 0, "malformed", T0),
            ("1700000000000-1", 7, "malformed", T0),
            ("1700000000000-2", 0, "insufficient_balance", T0),
        ]
        assert found[0]["send"] == b"{}"

    world.run(case)


def test_inbound_rows_and_reading_on(world: World) -> None:
    """read_stream goes on after an entry."""

    async def case(store: AnyStore) -> None:
        await store.receive([Received(InboundRow("i1", "255", "100", "hello", None, "mattel", 1, T0))], T0, 10)
        await store.receive([Received(InboundRow("i2", "255", "100", None, b"\x00", "mattel", 2, T0))], T0, 10)
        first, second = await store.read_stream("inbound", "", 10)
        assert (first[1]["text"], second[1]["binary"], second[1]["from"]) == ("hello", b"\x00", "255")
        assert await store.read_stream("inbound", first[0], 10) == [second]

    world.run(case)


def test_early_receipts_wait(world: World) -> None:
    """Parked once per field, listed, dropped."""

    async def case(store: AnyStore) -> None:
        await store.park_early("mattel", [("a", b"1"), ("b", b"2")])
        await store.park_early("mattel", [("a", b"1")])
        assert sorted(await store.early("mattel", 10)) == [("a", b"1"), ("b", b"2")]
        await store.drop_early("mattel", ["a"])
        assert await store.early("mattel", 10) == [("b", b"2")]
        assert (await store.early_count("mattel"), await store.early_count("other")) == (1, 0)
        assert await store.early("other", 10) == []

    world.run(case)


def test_overdue_correlations_are_found(world: World) -> None:
    """Only those whose deadline has passed."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission()], T0)
        message_id, _ = await submitted(store, owner, "c9")
        expected = Correlation("p0", message_id, 1, 1, T0 + 3_600_000)
        assert await store.overdue_correlations("mattel", T0 + 3_599_999, 10) == []
        assert await store.overdue_correlations("mattel", T0 + 3_600_000, 10) == [("c9", expected)]

    world.run(case)


def test_readers_of_correlations_do_not_move_each_other(world: World) -> None:
    """Who looks ahead for questions leaves every overdue one to who ends them."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission()], T0)
        await submitted(store, owner, "c9")
        for reader in ("questions", "", "questions", ""):
            assert [i for i, _ in await store.overdue_correlations("mattel", T0 + 3_600_000, 10, reader)] == ["c9"]

    world.run(case)


def test_wishes_to_cancel_wait_for_an_engine_and_end(world: World) -> None:
    """Open until ended, the oldest first, wished anew after that; the word on each is known till its age makes it forgotten."""

    async def case(store: AnyStore) -> None:
        assert await store.cancel_wishes(T0) == []
        assert await store.cancel_words([], T0) == {}
        assert await store.wish_cancel("acme", "b", T0)
        assert await store.wish_cancel("other", "a", T0 + 1)
        assert await store.cancel_wishes(T0 + 1) == ["b", "a"]
        await store.end_cancel_wish("acme", "b", T0 + 2)
        assert await store.cancel_wishes(T0 + 3) == ["a"]
        assert await store.cancel_words(["a", "b", "c"], T0 + 3) == {"a": False, "b": True}
        assert await store.wish_cancel("acme", "b", T0 + 4)
        assert await store.cancel_wishes(T0 + 5) == ["a", "b"]
        assert await store.cancel_words(["b"], T0 + 5) == {"b": False}
        assert await store.cancel_wishes(T0 + 1 + CANCEL_WISH_MS) == ["b"]
        assert await store.cancel_words(["a", "b"], T0 + 1 + CANCEL_WISH_MS) == {"b": False}
        await store.end_cancel_wish("acme", "b", T0 + 6)
        assert await store.cancel_words(["b"], T0 + 5 + CANCEL_WISH_MS) == {"b": True}
        assert await store.cancel_words(["b"], T0 + 6 + CANCEL_WISH_MS) == {}

    world.run(case)


@pytest.mark.parametrize("waiting", [CANCEL_WISHES_OF_ACCOUNT_MAX - 1, CANCEL_WISHES_OF_ACCOUNT_MAX])
def test_an_accounts_wishes_to_cancel_are_bounded(world: World, waiting: int) -> None:
    """The last that fits is taken, the next is not, other accounts' are; one that waits is wished again; what ended or is
    too old leaves room."""

    async def case(store: AnyStore) -> None:
        for number in range(waiting):
            assert await store.wish_cancel("acme", f"m{number}", T0 + number)
        assert await store.wish_cancel("acme", "last", T0 + waiting) is (waiting < CANCEL_WISHES_OF_ACCOUNT_MAX)
        assert not await store.wish_cancel("acme", "beyond", T0 + waiting)
        assert await store.wish_cancel("other", "m", T0 + waiting)
        assert await store.wish_cancel("acme", "m1", T0 + waiting)
        await store.end_cancel_wish("acme", "m1", T0 + waiting)
        assert await store.wish_cancel("acme", "beyond", T0 + waiting)
        assert not await store.wish_cancel("acme", "m1", T0 + waiting)
        assert await store.wish_cancel("acme", "m1", T0 + CANCEL_WISH_MS)  # m0 is too old by then
        assert not await store.wish_cancel("acme", "m0", T0 + CANCEL_WISH_MS)

    world.run(case)


@pytest.mark.parametrize("waiting", [CANCEL_WISHES_MAX - 1, CANCEL_WISHES_MAX])
def test_wishes_to_cancel_are_bounded(world: World, waiting: int) -> None:
    """Of all accounts, too, however many there are; those that ended do not count."""

    async def case(store: AnyStore) -> None:
        for number in range(waiting):
            assert await store.wish_cancel(f"account{number % 20}", f"m{number}", T0)
        assert await store.wish_cancel("last", "last", T0) is (waiting < CANCEL_WISHES_MAX)
        assert not await store.wish_cancel("beyond", "beyond", T0)
        await store.end_cancel_wish("account0", "m0", T0)
        assert await store.wish_cancel("beyond", "beyond", T0)

    world.run(case)


def test_wishes_are_durable_until_changed(world: World) -> None:
    """A control per carrier and bind; bind names may hold colons."""

    async def case(store: AnyStore) -> None:
        await store.control("mattel", "10.0.0.1:2775", "pause")
        await store.control("mattel", "10.0.0.1:2775", "resume")
        assert await store.controls() == {("mattel", "10.0.0.1:2775"): "resume"}

    world.run(case)


def test_queued_messages_past_their_deadline_are_found(world: World) -> None:
    """Also those behind a group's pointer."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        old, young = admission(deadline_at=T0 + 10), admission()
        await store.admit([old, young], T0)
        plan, members = group(2)
        await store.accept_group(plan, members)
        await store.expand_groups(owner)
        found: list[str] = []
        for _ in range(4):
            found += (await store.sweep_queues(T0 + 10, 100))[0]
        assert set(found) == {old.id}
        found = []
        for _ in range(4):
            found += (await store.sweep_queues(T0 + 90_000_000, 100))[0]
        assert set(found) == {old.id, young.id, *(m.id for m in members)}

    world.run(case)


def test_a_round_through_the_queues_goes_on_where_nothing_was_found(world: World) -> None:
    """The last of 70 is looked at in the first round, in steps of ten, although no earlier one is over."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        batch = [admission() for _ in range(69)]
        last = admission(deadline_at=T0 + 10)
        await store.admit([*batch, last], T0)
        found: list[str] = []
        for _ in range(8):
            ids, more = await store.sweep_queues(T0 + 10, 10)
            found += ids
            if not more:
                break
        assert not more
        assert found == [last.id]

    world.run(case)


def test_finals_go_after_their_retention(world: World) -> None:
    """A bucket goes when all its messages are final and retention has passed since; one with a body never."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission(), admission()], T0)
        done, written = await submitted(store, owner)
        later = T0 + 1_000_000
        assert await store.sweep_buckets(later, 1000) == 0
        open_id, _ = await submitted(store, owner, "c2")
        effects = Effects()
        written.state = State.DELIVERED
        effects.heads = [VersionedHead(done, 3, written), VersionedHead(open_id, 3, written)]
        effects.erase = [done]
        assert await store.commit_receipts(effects) == []
        assert [await store.sweep_buckets(later + n * 5000, 1000) for n in range(3)] == [0, 0, 0]
        effects = Effects()
        effects.heads = [VersionedHead(open_id, 4, written)]
        effects.erase = [open_id]
        assert await store.commit_receipts(effects) == []
        assert await store.sweep_buckets(later + 20_000, 1000) == 0
        assert await store.sweep_buckets(later + 20_999, 1000) == 0
        assert await store.sweep_buckets(later + 21_000, 1000) == 1
        assert await store.messages([done, open_id]) == [None, None]

    world.run(case)


def test_old_rows_are_trimmed(world: World) -> None:
    """By age; what is young stays."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        await store.admit([admission()], T0)
        assert not await store.trim_streams(T0, 10 * 365 * 86_400_000)
        assert len(await store.read_stream("events", "", 10)) == 1
        assert len(await store.read_stream("charges", "", 10)) == 1
        assert not await store.trim_streams(T0 + 10 * 365 * 86_400_000, 1)
        assert await store.read_stream("events", "", 10) == await store.read_stream("charges", "", 10) == []

    world.run(case)


def test_nothing_to_sweep(world: World) -> None:
    """On a sound store the sweeps find nothing and change nothing."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission()], T0)
        assert await store.sweep_holds(T0 + 10**9, 1) == 0
        assert await store.sweep_groups(T0 + 10**9, 1) == 0
        assert await store.repair_rings() == 0
        assert await available(store) == 1_000_000 - PRICE
        assert len(await store.pop(owner, QUEUES, 10, T0)) == 1
        assert "version" in await store.server_settings()
        assert head(admission().body, State.QUEUED).state == State.QUEUED

    world.run(case)
