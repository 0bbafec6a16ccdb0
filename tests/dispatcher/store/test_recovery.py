"""What store.md 4 says was tried: lost replies, cuts, takeovers in the wrong moment, a killed server. Real server, no mocks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from dispatcher.core.inbox import Received
from dispatcher.core.model import Head, InboundRow, State
from dispatcher.core.ports import Cursor, Deposed, Effects, StoreUnavailable, Verdict, VersionedHead
from dispatcher.store.lines import SCRIPTS
from dispatcher.store.redis import RedisStore, open_trio_store
from tests.conformance.world import (
    PRICE,
    QUEUES,
    T0,
    admission,
    available,
    expire_lease,
    funded,
    group,
    head,
    owner_of,
    submitted,
)
from tests.conftest import RealServer
from tests.dispatcher.store.faults import faulty


def run(case: Callable[[], Awaitable[None]]) -> None:
    """The case, bounded."""

    async def whole() -> None:
        with trio.fail_after(30):
            await case()

    trio.run(whole)


async def settled_effects(message_id: str, version: int = 2) -> Effects:
    """Effects whose doubling would show: money and an event."""
    effects = Effects()
    effects.heads = [VersionedHead(message_id, version, head(admission().body, State.SUBMITTED))]
    effects.money = {"acme": [7, 0]}
    effects.settled = [message_id]
    return effects


@pytest.mark.parametrize("plan", ["lose", "cut", "late"])
def test_a_settle_applies_once_whatever_becomes_of_its_reply(server: RealServer, plan: str) -> None:
    """Reply lost, cut inside MULTI, or still travelling when we repeat: marker and effect are there once."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission()], T0)
        (message,) = await store.pop(owner, QUEUES, 1, T0)
        await store.write_ahead(owner, [VersionedHead(message.id, 1, head(admission().body, State.SUBMITTING))])
        await store.settle(owner, Effects())
        driver.plan, driver.match = plan, b"HINCRBY"
        await store.settle(owner, await settled_effects(message.id))
        assert driver.plan == ""
        await driver.arrive()
        assert await available(store) == 1_000_000 - PRICE + 7
        assert [e.in_flight for e in await store.engines()] == [0]
        await store.write_ahead(owner, [VersionedHead(message.id, 3, head(admission().body, State.SUBMITTING))])
        await store.close()

    run(case)


def test_a_fence_moved_between_watch_and_exec_stops_the_write(server: RealServer) -> None:
    """The takeover happens after our last look at the fence and before our EXEC: nothing is applied."""

    async def case() -> None:
        store, driver = faulty(server.url)
        other = await open_trio_store(server.url)
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission()], T0)
        (message,) = await store.pop(owner, QUEUES, 1, T0)
        await store.settle(owner, Effects())

        async def rival() -> None:
            await expire_lease(other, "engine-1")
            assert await other.take_lease("engine-1", "n2", 60_000) is not None

        driver.plan, driver.match, driver.act = "before", b"HINCRBY", rival
        with pytest.raises(Deposed):
            await store.settle(owner, await settled_effects(message.id, 1))
        assert driver.act is None
        assert await available(store) == 1_000_000 - PRICE
        assert [e.in_flight for e in await store.engines()] == [1]
        await store.close()
        await other.close()

    run(case)


def test_a_lost_reply_does_not_hide_that_the_write_was_applied_before_the_takeover(server: RealServer) -> None:
    """Applied, reply lost, deposed: the call returns, for its effects are there."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store)
        owner = await owner_of(store)
        await store.settle(owner, Effects())
        effects = Effects()
        effects.money = {"acme": [7, 0]}
        driver.plan, driver.match = "lose", b"HINCRBY"
        await store.settle(owner, effects)
        assert await available(store) == 1_000_007
        await store.close()

    run(case)


@pytest.mark.parametrize("plan", ["lose", "late"])
def test_a_pop_is_never_lost(server: RealServer, plan: str) -> None:
    """Popped with the reply lost: the in-flight field tells. Still travelling: the raised fence refuses it."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store)
        owner = await owner_of(store)
        items = [admission() for _ in range(9)]
        await store.admit(items, T0)
        await store.pop(owner, QUEUES, 1, T0)
        driver.plan, driver.match = plan, b"main:otp"
        popped = await store.pop(owner, QUEUES, 3, T0)
        assert driver.plan == ""
        await driver.arrive()
        assert [m.id for m in popped] == [i.id for i in items[1:4]]
        assert [e.in_flight for e in await store.engines()] == [4]
        assert [m.id for m in await store.pop(owner, QUEUES, 10, T0)] == [i.id for i in items[4:]]
        await store.close()

    run(case)


@pytest.mark.parametrize("plan", ["lose", "cut", "late"])
@pytest.mark.parametrize("intake", [False, True])
def test_an_admission_is_accepted_once(server: RealServer, plan: str, intake: bool) -> None:
    """Whatever becomes of the reply, money, queue and answer agree, and no hold stays."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store)
        owner = await owner_of(store, "intake")
        cursor = (owner, Cursor("7-0", 0)) if intake else None
        await store.admit([admission()], T0, cursor)
        item = admission(key="k", digest=b"d")
        driver.plan, driver.match = plan, b"HDEL"
        verdicts = await store.admit([item], T0, cursor)
        assert driver.plan == ""
        await driver.arrive()
        left = 1_000_000 - 2 * PRICE
        assert verdicts == [Verdict("accepted", "") if intake else Verdict("accepted", item.id, left)]
        assert await available(store) == left
        assert await store.open_holds() == {}
        assert sum((await store.depths()).values()) == 2
        again = await store.admit([admission(key="k", digest=b"d")], T0, cursor)
        assert again == [Verdict("duplicate", item.id, left)]
        await store.close()

    run(case)


@pytest.mark.parametrize("plan", ["lose", "cut", "late"])
def test_an_admission_without_a_key_is_accepted_once(server: RealServer, plan: str) -> None:
    """No key to recognise it by: only `open`, raised on reconnect, stops the write that still travels."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store)
        await store.admit([admission()], T0)
        driver.plan, driver.match = plan, b"HDEL"
        assert [v.verdict for v in await store.admit([admission()], T0)] == ["accepted"]
        await driver.arrive()
        assert sum((await store.depths()).values()) == 2
        assert await available(store) == 1_000_000 - 2 * PRICE
        assert await store.open_holds() == {}
        await store.close()

    run(case)


def test_a_blob_is_staged_once(server: RealServer) -> None:
    """The reply to a blob is lost: its number tells that it is there."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store, amount=10_000_000)
        owner = await owner_of(store)
        plan, members = group(1200)
        driver.plan, driver.match = "lose", SCRIPTS["stage"].digest
        assert (await store.accept_group(plan, members)).verdict == "accepted"
        assert driver.plan == ""
        await store.expand_groups(owner, 10_000)
        view = await store.group(plan.id)
        assert view is not None
        assert view.expanded == 1200
        await store.close()

    run(case)


async def half_written(store: RedisStore, role: str, money: int) -> None:
    """Takes the money and the key k for a send that is never enqueued."""
    line = store.line(role)
    process = f"{store.process}-{role}"
    async with line.lock:
        opened = await store._arm_open(line, process, None)
        reserve = store._reserve({"acme": money}, [b"acme:k"], T0, (process, f"txn-{role}", opened), set())
        assert (await line.exchange(reserve, 1))[0][0] == 1


def test_what_an_intake_left_half_written_is_given_back_at_once(server: RealServer) -> None:
    """Whoever takes its lease reads the same entries again: their keys must not stand in the way until a sweep. What a door
    left waits for its time."""

    async def case() -> None:
        store, other = await open_trio_store(server.url), await open_trio_store(server.url)
        await funded(store)
        item = admission(key="k", digest=b"d")
        await half_written(store, "intake", PRICE)
        assert [v.verdict for v in await other.admit([item], T0)] == ["pending"]
        assert await other.sweep_holds(T0 - 10_000, 0, intake=True) == 1
        assert await available(other) == 1_000_000
        await half_written(store, "admission", PRICE)
        assert await other.sweep_holds(T0 + 10_000, 0, intake=True) == 0
        assert await other.open_holds() == {"acme": PRICE}
        await store.close()
        await other.close()

    run(case)


def test_a_half_written_admission_is_given_back(server: RealServer) -> None:
    """The process dies between reserve and enqueue: the sweeper returns the money and frees the keys, and a sleeping
    writer can no longer enqueue."""

    async def case() -> None:
        store, _driver = faulty(server.url, timeout_s=0.3)
        other = await open_trio_store(server.url)
        await funded(store)
        await store.admit([admission()], T0)
        item = admission(key="k", digest=b"d")

        await half_written(store, "admission", PRICE)
        line = store.line("admission")
        assert await other.open_holds() == {"acme": PRICE}
        assert [v.verdict for v in await other.admit([item], T0)] == ["pending"]
        assert await other.sweep_holds(T0 + 59_999, 60_000) == 0
        assert await other.sweep_holds(T0 + 60_000, 60_000) == 1
        assert await other.open_holds() == {}
        assert await available(other) == 1_000_000 - PRICE
        async with line.lock:
            replies = await line.exchange(b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nx\r\n*1\r\n$4\r\nEXEC\r\n", 3)
            line.armed = ()
        assert replies[-1] is None
        assert [v.verdict for v in await other.admit([item], T0)] == ["accepted"]
        assert [v.verdict for v in await store.admit([admission()], T0)] == ["accepted"]
        await store.close()
        await other.close()

    run(case)


def test_a_group_left_staging_is_voided(server: RealServer) -> None:
    """All or nothing: what was never published gives its money and its key back, and cannot be published later."""

    async def case() -> None:
        store, _driver = faulty(server.url, timeout_s=0.3)
        await funded(store, amount=10_000_000)
        owner = await owner_of(store)
        plan, members = group(600, key="g", digest=b"1")
        await store._hold(plan, "acme:g", 2)
        assert await store.open_holds() == {"acme": 600 * PRICE}
        assert await store.sweep_groups(T0 + 60_000, 60_000) == 1
        assert await available(store) == 10_000_000
        with pytest.raises(StoreUnavailable):
            await store.accept_group(plan, members)
        assert await store.pop(owner, QUEUES, 10, T0) == []
        plan, members = group(600, key="g", digest=b"1")
        assert (await store.accept_group(plan, members)).verdict == "accepted"
        await store.close()

    run(case)


@pytest.mark.parametrize("match", [b"HINCRBY", b"LINDEX"])
def test_an_expansion_repeats_harmlessly(server: RealServer, match: bytes) -> None:
    """A blob whose transaction's reply is lost is not written twice."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store, amount=10_000_000)
        owner = await owner_of(store)
        plan, members = group(600)
        await store.accept_group(plan, members)
        driver.plan, driver.match = "lose", match
        await store.expand_groups(owner, 10_000)
        assert driver.plan == ""
        popped = [*await store.pop(owner, QUEUES, 500, T0), *await store.pop(owner, QUEUES, 500, T0)]
        assert sorted(m.id for m in popped) == [m.id for m in members]
        await store.close()

    run(case)


@pytest.mark.parametrize("plan", ["lose", "late"])
def test_commits_at_rest_apply_once(server: RealServer, plan: str) -> None:
    """Receipts, rare changes and handsets' messages carry a number: a repeat, or a late arrival, adds nothing."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store)
        await store.receive([Received(InboundRow("i0", "1", "2", "x", None, "mattel", 1, T0))], T0, 10)
        effects = Effects()
        effects.money = {"acme": [7, 0]}
        for commit in (store.commit_receipts, store.commit):
            await commit(Effects())
            driver.plan, driver.match = plan, b"HINCRBY"
            assert await commit(effects) == []
            assert driver.plan == ""
            await driver.arrive()
        driver.plan, driver.match = plan, b"inbound"
        await store.receive([Received(InboundRow("i1", "1", "2", "x", None, "mattel", 1, T0))], T0, 10)
        await driver.arrive()
        assert await available(store) == 1_000_014
        assert [r["id"] for _, r in await store.read_stream("inbound", "", 10)] == ["i0", "i1"]
        await store.close()

    run(case)


@pytest.mark.parametrize("plan", ["lose", "cut", "late"])
def test_receipts_apply_once_whatever_becomes_of_their_reply(server: RealServer, plan: str) -> None:
    """Heads, money and rows of receipts are there once, whether the write was lost after, before or long after it applied."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission()], T0)
        message_id, written = await submitted(store, owner)
        effects = Effects()
        written.state = State.DELIVERED
        effects.heads = [VersionedHead(message_id, 3, written)]
        effects.money = {"acme": [0, -PRICE]}
        driver.plan, driver.match = plan, b"EXEC\r\n"
        assert await store.commit_receipts(effects) == []
        assert driver.plan == ""
        await driver.arrive()
        assert await store.commit_receipts(effects) == [message_id]
        balance = await store.balance("acme")
        assert balance is not None
        assert balance.reserved == 0
        await store.close()

    run(case)


@pytest.mark.parametrize("rival_wins", [False, True])
def test_a_rival_between_guard_and_exec_is_noticed(server: RealServer, rival_wins: bool) -> None:
    """Another writer at rest between a receipt's guard and its EXEC: the commit is judged anew, as a whole."""

    async def case() -> None:
        store, driver = faulty(server.url)
        rival = await open_trio_store(server.url)
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission(), admission()], T0)
        ours, other = await submitted(store, owner, "c1"), await submitted(store, owner, "c2")

        def effects_of(message_id: str, written: Head) -> Effects:
            effects = Effects()
            effects.heads = [VersionedHead(message_id, 3, written)]
            effects.money = {"acme": [0, -PRICE]}
            return effects

        async def act() -> None:
            assert await rival.commit(effects_of(*(ours if rival_wins else other))) == []

        driver.plan, driver.match, driver.act = "between", b"EXEC\r\n", act
        assert await store.commit_receipts(effects_of(*ours)) == ([ours[0]] if rival_wins else [])
        assert driver.act is None
        balance = await store.balance("acme")
        assert balance is not None
        assert balance.reserved == (PRICE if rival_wins else 0)
        await store.close()
        await rival.close()

    run(case)


def test_a_flushed_script_cache_is_only_slower(server: RealServer) -> None:
    """SCRIPT FLUSH between two steps: nothing fails, nothing is enqueued unpaid."""

    async def case() -> None:
        store, _ = faulty(server.url)
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission()], T0)
        for _ in range(2):
            with server.client() as client:
                client.script_flush()
            await store.admit([admission()], T0)
            assert len(await store.pop(owner, QUEUES, 1, T0)) == 1
            assert await store.commit(Effects()) == []
        assert await available(store) == 1_000_000 - 3 * PRICE
        await store.close()

    run(case)


def test_a_killed_server_keeps_what_it_acknowledged(durable_server: RealServer) -> None:
    """SIGKILL under writes, restart: every accepted send, settled head and credit is there; writers go on by themselves."""

    async def case() -> None:
        store = await open_trio_store(durable_server.url)
        heard: list[bool] = []
        store.on_available = heard.append
        await funded(store, amount=10_000_000)
        owner = await owner_of(store)
        accepted: list[str] = []

        async def admit() -> None:
            while True:
                batch = [admission() for _ in range(20)]
                try:
                    accepted.extend(v.id for v in await store.admit(batch, T0) if v.verdict == "accepted")
                except StoreUnavailable:
                    await trio.sleep(0.02)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(admit)
            await trio.sleep(0.2)
            popped = await store.pop(owner, QUEUES, 50, T0)
            durable_server.kill()
            nursery.start_soon(
                store.write_ahead, owner, [VersionedHead(m.id, 1, head(admission().body, State.SUBMITTING)) for m in popped]
            )
            await trio.sleep(0.1)
            before = len(accepted)
            await trio.to_thread.run_sync(durable_server.start)
            while len(accepted) <= before:  # noqa: ASYNC110 - the writer is not to know that it is watched
                await trio.sleep(0.02)
            await trio.sleep(0.2)
            nursery.cancel_scope.cancel()
        assert heard[:2] == [False, True]
        messages = await store.messages(accepted)
        assert [m is not None and m.body is not None for m in messages] == [True] * len(accepted)
        submitting = [m.head.state for m in await store.messages([m.id for m in popped]) if m and m.head]
        assert submitting == [State.SUBMITTING] * 50
        await store.sweep_holds(T0 + 10**6, 0)
        depth = sum((await store.depths()).values())
        assert depth + 50 >= len(accepted)
        assert await available(store) == 10_000_000 - (depth + 50) * PRICE
        await store.close()

    run(case)


def test_a_corrupt_record_is_put_aside(server: RealServer) -> None:
    """Bad bytes in one body do not stop the batch; reading it names the place and shows nothing of the value."""

    async def case() -> None:
        from dispatcher.core.ports import CorruptRecord

        store, _ = faulty(server.url)
        await funded(store)
        owner = await owner_of(store)
        bad, good = admission(), admission()
        await store.admit([bad, good], T0)
        with server.client() as client:
            client.hset(store.k.body_ + bad.id[:6].encode(), bad.id, b"\xc1secret")
        assert [m.id for m in await store.pop(owner, QUEUES, 10, T0)] == [good.id]
        with pytest.raises(CorruptRecord, match=bad.id) as caught:
            await store.messages([bad.id])
        assert "secret" not in str(caught.value)
        with server.client() as client:
            assert client.lrange(store.k.corrupt, 0, -1) == [bad.id.encode()]
        await store.close()

    run(case)


def test_the_server_away_is_said_in_time(server: RealServer) -> None:
    """HTTP's admission and reads answer StoreUnavailable within about twice the timeout when nobody is there."""

    async def case() -> None:
        store, _ = faulty("unix:///nonexistent/socket", timeout_s=0.2)
        for ask in (lambda: store.admit([admission()], T0), lambda: store.balance("acme")):
            with trio.fail_after(1), pytest.raises(StoreUnavailable):
                await ask()
        assert not store.available

    run(case)


def test_receipts_of_a_window_begun_elsewhere_are_found(server: RealServer) -> None:
    """A process that only reads learns of windows that others began since."""

    async def case() -> None:
        store, _ = faulty(server.url)
        reader, _ = faulty(server.url)
        await funded(store)
        owner = await owner_of(store)
        await store.admit([admission()], T0)
        await submitted(store, owner, "c1")
        assert await reader.correlate("mattel", ["c1", "c2"]) != [None, None]
        effects = Effects()
        later = head(admission().body, State.SUBMITTED, T0 + 30_000_000)
        effects.heads = [VersionedHead(admission().id, 1, later)]
        from dispatcher.core.model import Correlation

        effects.correlations = {"mattel": [("c2", Correlation("p0", "x", 1, 1, T0 + 40_000_000))]}
        await store.settle(owner, effects)
        assert [c is not None for c in await reader.correlate("mattel", ["c1", "c2", "c3"])] == [True, True, False]
        await store.close()
        await reader.close()

    run(case)
