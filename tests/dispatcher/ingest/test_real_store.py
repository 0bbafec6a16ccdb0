"""The door over the real store: a Valkey or Redis server with fsync, reached through the asyncio connection."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core import ids
from dispatcher.ops.embedded import EmbeddedServer
from dispatcher.ops.preflight import judge
from dispatcher.store.redis import open_asyncio_store
from tests.dispatcher.ingest.world import NUMBER, PRICE, TEXT, World, problem, world

_prefixes = (f"t{n}:" for n in itertools.count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One server for all tests of this module; each takes a prefix of its own."""
    with EmbeddedServer(tmp_path_factory.mktemp("server"), durability="fsync") as running:
        yield running


def within(running: EmbeddedServer, scenario: Callable[[World], Awaitable[None]], /, **made_with: Any) -> None:
    """Runs the scenario in a world over the server, judged as in production."""

    async def run() -> None:
        store = await open_asyncio_store(running.url, next(_prefixes), timeout_s=1.0)
        made_with.setdefault("judge", lambda found: [str(o) for o in judge(found, "fsync")])
        try:
            async with world(store, **made_with) as w:
                await scenario(w)
        finally:
            await store.close()

    asyncio.run(run())


async def money_of(w: World) -> tuple[int, int]:
    """Available and reserved, micro-units."""
    money = await w.store.balance("shop")
    assert money is not None
    return money.available, money.reserved


def test_a_send_its_record_its_key_and_its_cancel(server: EmbeddedServer) -> None:
    """The life of a send at the door, on the real thing, with the real preflight."""

    async def scenario(w: World) -> None:
        assert (await w.http.get("/readyz")).json()["ready"] is True
        sent = await w.send(key="order-1", ref="r")
        assert sent.status_code == 202
        again = await w.send(key="order-1", ref="r")
        assert (again.json(), again.headers["idempotent-replay"]) == (sent.json(), "true")
        assert problem(await w.send(key="order-1", ref="other")) == (422, "key_conflict")
        shown = (await w.http.get("/v1/messages", params={"key": "order-1"})).json()
        assert (shown["id"], shown["ref"], shown["state"]) == (sent.json()["id"], "r", "queued")
        assert await money_of(w) == (1_000_000_000 - PRICE, PRICE)
        cancelled = await w.http.delete(f"/v1/messages/{shown['id']}")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
        assert problem(await w.http.delete(f"/v1/messages/{shown['id']}")) == (409, "not_cancellable")
        assert await money_of(w) == (1_000_000_000, 0)

    within(server, scenario)


def test_parallel_sends_never_both_spend_the_last_credit(server: EmbeddedServer) -> None:
    """60 at once on money for 3, in shared steps: exactly three are accepted."""

    async def scenario(w: World) -> None:
        answers = await asyncio.gather(*(w.send() for _ in range(60)))
        assert Counter(a.status_code for a in answers) == {202: 3, 402: 57}
        assert await money_of(w) == (0, 3 * PRICE)

    within(server, scenario, money=3 * PRICE)


def test_parallel_sends_of_two_processes_spend_it_once(server: EmbeddedServer) -> None:
    """Two HTTP processes (two stores, two committers) on one account: the floor holds across them."""

    async def run() -> None:
        prefix = next(_prefixes)
        first, second = [await open_asyncio_store(server.url, prefix) for _ in range(2)]
        async with world(first, money=5 * PRICE) as a, world(second, money=0) as b:
            answers = await asyncio.gather(*(w.send() for _ in range(20) for w in (a, b)))
            assert Counter(x.status_code for x in answers) == {202: 5, 402: 35}
            assert await money_of(a) == (0, 5 * PRICE)
        await first.close()
        await second.close()

    asyncio.run(run())


def test_parallel_repeats_make_one_send(server: EmbeddedServer) -> None:
    """One key, 30 requests, shared steps: one message, one debit; the others hear its id or that it is in flight."""

    async def scenario(w: World) -> None:
        answers = await asyncio.gather(*(w.send(key="k") for _ in range(30)))
        statuses = Counter(a.status_code for a in answers)
        assert set(statuses) <= {202, 409}
        assert len({a.json()["id"] for a in answers if a.status_code == 202}) == 1
        assert sum(a.status_code == 202 and "idempotent-replay" not in a.headers for a in answers) == 1
        assert await money_of(w) == (1_000_000_000 - PRICE, PRICE)

    within(server, scenario)


def test_parallel_conflicts_of_one_key_accept_one_body(server: EmbeddedServer) -> None:
    """One key, 10 different bodies at once: one is accepted, the others are conflicts or in flight."""

    async def scenario(w: World) -> None:
        answers = await asyncio.gather(*(w.send(key="k", text=f"text {i}") for i in range(10)))
        assert [a.status_code for a in answers].count(202) == 1
        assert {a.status_code for a in answers} <= {202, 409, 422}
        assert await money_of(w) == (1_000_000_000 - PRICE, PRICE)

    within(server, scenario)


def test_a_batch_of_two_thousand_mixed(server: EmbeddedServer) -> None:
    """Good and bad apart; the group is there, repeatable, and its members can be expanded, read and cancelled."""
    messages = [
        {"to": "+4912", "text": TEXT} if i % 10 == 5 else {"to": f"+49171{i:07d}", "text": TEXT, "class": "bulk"}
        for i in range(2000)
    ]
    messages[5] = {"to": NUMBER, "text": TEXT, "class": "otp"}

    async def scenario(w: World) -> None:
        key = {"Idempotency-Key": "batch-1"}
        answer = await w.http.post("/v1/messages/batch", json=messages, headers=key)
        assert answer.status_code == 202
        assert answer.json()["accepted"] == 1800
        assert len(answer.json()["rejected"]) == 200
        again = await w.http.post("/v1/messages/batch", json=messages, headers=key)
        assert (again.json(), again.headers["idempotent-replay"]) == (answer.json(), "true")
        assert problem(await w.http.post("/v1/messages/batch", json=messages[:9], headers=key)) == (422, "key_conflict")
        assert await money_of(w) == (1_000_000_000 - 1800 * PRICE, 1800 * PRICE)
        group = answer.json()["group"]
        member = ids.group_members(group, 1800)[-1]
        assert (await w.http.get(f"/v1/messages/{member}")).json()["state"] == "queued"
        owner = await w.store.take_lease("engine", "n", 60_000)
        assert owner is not None
        while await w.store.expand_groups(owner):
            pass
        assert (await w.http.get(f"/v1/groups/{group}")).json()["expanded"] == 1800
        assert (await w.http.get(f"/v1/messages/{member}")).json()["group"] == group
        assert (await w.http.delete(f"/v1/messages/{member}")).json()["state"] == "cancelled"
        assert (await w.http.get(f"/v1/groups/{group}")).json()["finals"] == {"cancelled": 1}

    within(server, scenario)


def test_batch_on_too_little_money_takes_nothing(server: EmbeddedServer) -> None:
    """402, all or nothing."""

    async def scenario(w: World) -> None:
        messages = [{"to": f"+49171{i:07d}", "text": TEXT} for i in range(10)]
        assert problem(await w.http.post("/v1/messages/batch", json=messages)) == (402, "insufficient_balance")
        assert await money_of(w) == (9 * PRICE, 0)

    within(server, scenario, money=9 * PRICE)


def test_a_server_without_fsync_turns_the_door_red(server: EmbeddedServer) -> None:
    """CONFIG SET appendfsync everysec: within the preflight's time sends get 503 and readyz names the setting."""

    async def scenario(w: World) -> None:
        assert (await w.send()).status_code == 202
        with server.client() as client:
            client.config_set("appendfsync", "everysec")
            try:
                await asyncio.sleep(0.3)
                assert problem(await w.send()) == (503, "promise_not_kept")
                assert "appendfsync" in (await w.http.get("/readyz")).json()["reasons"][0]
            finally:
                client.config_set("appendfsync", "always")
        await asyncio.sleep(0.3)
        assert (await w.send()).status_code == 202

    within(server, scenario, server={"timeout_s": 1.0, "preflight_s": 0.1})


def test_a_killed_server_means_503_and_nothing_accepted_is_lost(tmp_path: Path) -> None:
    """kill -9 under load: every answer is 202 or 503; after the restart every 202 is there, and sending goes on."""
    running = EmbeddedServer(tmp_path / "s", durability="fsync")
    running.start()

    async def scenario(w: World) -> None:
        accepted: list[str] = []
        refused: list[tuple[int, str]] = []

        async def caller() -> None:
            while len(refused) < 20:
                answer = await w.send()
                if answer.status_code == 202:
                    accepted.append(answer.json()["id"])
                else:
                    refused.append(problem(answer))
                    await asyncio.sleep(0.02)

        callers = [asyncio.create_task(caller()) for _ in range(8)]
        await asyncio.sleep(0.5)
        assert len(accepted) > 20
        assert running._process is not None  # the kill must be a kill
        running._process.kill()
        running._process.wait()
        await asyncio.gather(*callers)
        assert {kind for _, kind in refused} <= {"store_unavailable", "promise_not_kept"}
        await asyncio.to_thread(running.start)
        for _ in range(200):
            if (await w.send()).status_code == 202:
                break
            await asyncio.sleep(0.05)
        assert (await w.send()).status_code == 202
        assert None not in await w.store.messages(accepted)
        shown = await w.http.get(f"/v1/messages/{accepted[-1]}")
        assert shown.json()["state"] == "queued"

    try:
        within(running, scenario, server={"timeout_s": 1.0, "preflight_s": 0.1})
    finally:
        running.stop()
