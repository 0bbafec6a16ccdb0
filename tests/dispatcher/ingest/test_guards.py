"""Fraud guards at the HTTP door, over the real store: each refusal with its reason and its count, batches message by message,
counts over two processes, feedback, and conversion with its pause."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import msgspec
import pytest

from dispatcher.core.front import FrontStore
from dispatcher.core.guards import SAMPLES
from dispatcher.ops.embedded import EmbeddedServer
from dispatcher.store.memory import MemoryStore
from dispatcher.store.redis import open_asyncio_store
from tests.dispatcher.ingest.world import NUMBER, PRICE, World, problem, world

_prefixes = (f"g{n}:" for n in itertools.count())
NEXT_RANGE = "+491719999999"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One server for all tests of this module; each takes a prefix of its own."""
    with EmbeddedServer(tmp_path_factory.mktemp("guards"), durability="everysec") as running:
        yield running


def within(running: EmbeddedServer, scenario: Callable[[World], Awaitable[None]]) -> None:
    """Runs the scenario in a world over the server."""

    async def run() -> None:
        store = await open_asyncio_store(running.url, next(_prefixes), timeout_s=1.0)
        try:
            async with world(store) as w:
                await scenario(w)
        finally:
            await store.close()

    asyncio.run(run())


async def changed(w: World, **settings: Any) -> None:
    """The account gets other settings, and the door forgets the ones it knew."""
    account = await w.store.account("shop")
    assert account is not None
    await w.store.put_account(msgspec.structs.replace(account, **settings))
    w.clock.ahead_s += 4.0


def results(w: World) -> dict[tuple[str, ...], float]:
    """dispatcher_sends_total so far."""
    return dict(w.count("dispatcher_sends_total"))


@pytest.mark.parametrize(
    ("settings", "send", "status", "reason"),
    [
        ({"countries": ("MR",)}, {}, 422, "destination_not_allowed"),
        ({}, {"to": "+499001123456"}, 422, "destination_not_allowed"),
        ({"senders": ("Other",)}, {"from": "Stranger"}, 422, "sender_not_allowed"),
    ],
)
def test_what_admission_refuses(
    server: EmbeddedServer, settings: dict[str, Any], send: dict[str, Any], status: int, reason: str
) -> None:
    """With its reason, and counted under it; every other fault is told in the same answer."""

    async def scenario(w: World) -> None:
        await changed(w, **settings)
        assert problem(await w.send(**send)) == (status, reason)
        assert results(w) == {("transactional", reason): 1}
        several = await w.send(**send | {"text": "", "validity_s": 0})
        assert {error["reason"] for error in several.json()["errors"]} == {reason, "text_empty", "validity_invalid"}

    within(server, scenario)


@pytest.mark.parametrize(
    ("settings", "lane", "passed", "reason", "wait_s"),
    [
        ({}, "otp", 30, "velocity", 60),
        ({"velocity": ((60, 3), (3600, 4))}, "bulk", 3, "velocity", 60),
        ({"velocity_country": ((600, 2),)}, "transactional", 2, "velocity", 600),
        ({"velocity_account": ((7200, 2),)}, "transactional", 2, "velocity", 7200),
        ({"spend_cap": 3 * PRICE + 1}, "transactional", 3, "spend_cap", 86_400),
    ],
)
def test_what_is_beyond_a_limit(
    server: EmbeddedServer, settings: dict[str, Any], lane: str, passed: int, reason: str, wait_s: int
) -> None:
    """429 with the time to wait, nothing charged; after that time it goes on. A repetition under a key is no new send."""

    async def scenario(w: World) -> None:
        await changed(w, **settings)
        kept = await w.send(**{"class": lane, "key": "k"})
        answers = [await w.send(**{"class": lane}) for _ in range(passed)]
        assert [a.status_code for a in answers] == [202] * (passed - 1) + [429]
        assert problem(answers[-1]) == (429, reason)
        assert 0 < int(answers[-1].headers["retry-after"]) <= wait_s * 1.05
        again = await w.send(**{"class": lane, "key": "k"})
        assert (again.json(), again.headers["idempotent-replay"]) == (kept.json(), "true")
        assert results(w) == {(lane, "accepted"): passed, (lane, "duplicate"): 1, (lane, reason): 1}
        money = await w.store.balance("shop")
        assert money is not None
        assert money.reserved == passed * PRICE
        w.clock.ahead_s += wait_s + 1 if wait_s < 86_400 else wait_s * 1.05  # long windows slide in steps
        assert (await w.send(**{"class": lane})).status_code == 202

    within(server, scenario)


def test_another_range_is_another_count(server: EmbeddedServer) -> None:
    """Seven digits are one range, for each account and class; what is full in one leaves the others alone."""

    async def scenario(w: World) -> None:
        await changed(w, velocity=((60, 1),))
        await w.account("other", 10**9, velocity=((60, 1),))
        assert (await w.send()).status_code == 202
        assert problem(await w.send(to=NUMBER[:-5] + "00000")) == (429, "velocity")
        assert (await w.send(to=NEXT_RANGE)).status_code == 202
        assert (await w.send(**{"class": "bulk"})).status_code == 202
        headers = {"authorization": f"Bearer {await w.key('other')}"}
        assert (await w.send(headers=headers)).status_code == 202

    within(server, scenario)


def test_counts_are_one_over_two_processes(server: EmbeddedServer) -> None:
    """Two HTTP processes (two stores, two committers) asked at once: together no more than the limit."""

    async def run() -> None:
        prefix = next(_prefixes)
        stores = [await open_asyncio_store(server.url, prefix) for _ in range(2)]
        async with world(stores[0]) as a, world(stores[1], money=0) as b:
            answers = await asyncio.gather(*(w.send(**{"class": "otp"}) for _ in range(40) for w in (a, b)))
            assert Counter(each.status_code for each in answers) == {202: 30, 429: 50}
        for store in stores:
            await store.close()

    asyncio.run(run())


async def batch(w: World, count: int, *, key: str = "", **send: Any) -> Any:
    """A batch to so many numbers of one range."""
    sends = [{"to": f"+4917112{n:05}", "text": "Hello", "class": "otp"} | send for n in range(count)]
    return await w.http.post("/v1/messages/batch", json=sends, headers={"idempotency-key": key} if key else {})


def test_a_batch_is_taken_up_to_the_limit(server: EmbeddedServer) -> None:
    """What is beyond it is rejected message by message, the rest is one group; its repetition takes nothing and is the same."""

    async def scenario(w: World) -> None:
        answer = await batch(w, 40, key="one")
        assert answer.status_code == 202
        found = answer.json()
        assert found["accepted"] == 30
        assert [item["index"] for item in found["rejected"]] == list(range(30, 40))
        assert {(item["error"]["reason"], item["error"]["path"][:2]) for item in found["rejected"]} == {("velocity", "$[")}
        assert results(w) == {("otp", "velocity"): 10, ("otp", "accepted"): 30}
        again = await batch(w, 40, key="one")
        assert (again.status_code, again.json()["group"], again.json()["accepted"]) == (202, found["group"], 30)
        refused = await batch(w, 5)
        assert problem(refused) == (422, "batch_rejected")
        group = (await w.http.get(f"/v1/groups/{found['group']}")).json()
        assert (group["count"], group["price"]) == (30, "1.05")

    within(server, scenario)


def test_a_batch_that_is_refused_gives_back_what_it_took(server: EmbeddedServer) -> None:
    """For want of money: afterwards the whole limit is there."""

    async def scenario(w: World) -> None:
        poor = await w.account("poor", 10 * PRICE)
        headers = {"authorization": f"Bearer {await w.key(poor.name)}"}
        sends = [{"to": f"+4917112{n:05}", "text": "Hello", "class": "otp"} for n in range(20)]
        assert problem(await w.http.post("/v1/messages/batch", json=sends, headers=headers)) == (402, "insufficient_balance")
        await w.store.credit("poor", "more", 10**9, w.clock.now_ms())
        answer = await w.http.post("/v1/messages/batch", json=sends + sends[:10], headers=headers)
        assert (answer.status_code, answer.json()["accepted"]) == (202, 30)

    within(server, scenario)


def test_limits_of_a_large_batch_are_tried_in_slices(server: EmbeddedServer) -> None:
    """Thousands of takes, several a message; a message refused by one gives back the others."""

    async def scenario(w: World) -> None:
        await changed(w, velocity=((60, 100),), velocity_account=((3600, 1500),), spend_cap=1400 * PRICE)
        ranges = [99] * 1000 + [n % 20 for n in range(2000)]
        sends = [{"to": f"+49171{where:02}{n:06}", "text": "Hello", "class": "bulk"} for n, where in enumerate(ranges)]
        found = (await w.http.post("/v1/messages/batch", json=sends)).json()
        assert found["accepted"] == 1400
        assert Counter(item["error"]["reason"] for item in found["rejected"]) == {"velocity": 900, "spend_cap": 700}
        await changed(w, spend_cap=0)
        left = (
            await w.http.post("/v1/messages/batch", json=[s | {"to": f"+4917222{n:05}"} for n, s in enumerate(sends)])
        ).json()
        assert left["accepted"] == 100  # the account's limit, of which the refused ones took nothing

    within(server, scenario)


def test_a_number_that_said_stop(server: EmbeddedServer) -> None:
    """Alone it is 422 opted_out; in a batch it is rejected and the rest goes."""

    async def scenario(w: World) -> None:
        number = NUMBER.removeprefix("+")
        await cast(FrontStore, w.store).opt_out("shop", "Shop", w.app.door.book.hash_number(number), w.clock.now_ms())
        assert problem(await w.send()) == (422, "opted_out")
        sends = [{"to": to, "text": "Hello"} for to in (NEXT_RANGE, NUMBER, "+491719999998")]
        found = (await w.http.post("/v1/messages/batch", json=sends)).json()
        assert (found["accepted"], [(r["index"], r["error"]["reason"]) for r in found["rejected"]]) == (2, [(1, "opted_out")])
        assert results(w) == {("transactional", "opted_out"): 2, ("transactional", "accepted"): 2}

    within(server, scenario)


# -- feedback and conversion


async def conversion(w: World) -> tuple[int, int]:
    """Codes sent and used by the account in Germany."""
    found = (await cast(FrontStore, w.store).conversions(w.clock.now_ms(), 24)).get("shop:DE")
    return (0, 0) if found is None else (found.sent, found.used)


def test_feedback_is_counted_once(server: EmbeddedServer) -> None:
    """Of a code of an account that reports, when it was used; everything else is answered and not counted."""

    async def scenario(w: World) -> None:
        async def tell(message_id: str, used: object = True) -> tuple[int, bool | None]:
            answer = await w.http.post(f"/v1/messages/{message_id}/feedback", json={"converted": used})
            return answer.status_code, answer.json().get("counted")

        before = (await w.send(**{"class": "otp"})).json()["id"]
        assert await tell(before) == (200, False)
        await changed(w, feedback=True)
        code = (await w.send(**{"class": "otp"})).json()["id"]
        assert await tell(code, used=False) == (200, False)
        assert await conversion(w) == (1, 0)
        assert await tell(code) == (200, True)
        assert await tell(code) == (200, False)
        assert await conversion(w) == (1, 1)
        plain = (await w.send()).json()["id"]
        assert await tell(plain) == (200, False)
        assert await conversion(w) == (1, 1)
        assert await tell("0" * 26) == (404, None)
        assert await tell("nothing") == (404, None)
        assert (await tell(code, used="yes"))[0] == 422
        foreign = await w.account("other", 0)
        headers = {"authorization": f"Bearer {await w.key(foreign.name)}"}
        answer = await w.http.post(f"/v1/messages/{code}/feedback", json={"converted": True}, headers=headers)
        assert answer.status_code == 404

    within(server, scenario)


async def until(condition: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits for it."""
    for _ in range(int(seconds / 0.05)):
        found = condition()
        if await found if isinstance(found, Awaitable) else found:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it does not become true")


def test_codes_that_nobody_uses_are_paused_and_resumed(server: EmbeddedServer) -> None:
    """120 codes, none used: after the grace every process refuses more into that country within a second; elsewhere, and of
    other classes, all goes on. An operator lifts it at once, and old codes are not held against it again."""

    async def run() -> None:
        prefix = next(_prefixes)
        stores = [await open_asyncio_store(server.url, prefix) for _ in range(2)]
        async with world(stores[0]) as a, world(stores[1], money=0) as b:
            await changed(a, feedback=True, velocity=((60, 10_000),))
            b.clock.ahead_s = a.clock.ahead_s
            for n in range(120):
                assert (await a.send(to=f"+49171{n:07}", **{"class": "otp"})).status_code == 202
            assert await conversion(a) == (120, 0)
            for _ in range(SAMPLES + 2):  # the watch must see time pass
                a.clock.ahead_s += 31
                b.clock.ahead_s += 31
                await asyncio.sleep(0.3)
            await until(lambda: all(w.app.door.book.guards.paused for w in (a, b)))
            for w in (a, b):
                refused = await w.send(**{"class": "otp"})
                assert problem(refused) == (429, "conversion_paused")
                assert 0 < int(refused.headers["retry-after"]) <= 3600
                assert (await w.send()).status_code == 202
                assert (await w.send(to="+447911123456", **{"class": "otp"})).status_code == 202
            assert max(w.count("dispatcher_conversions")[("paused",)] for w in (a, b)) == 1
            assert any("conversion_paused" in line for line in (*a.log.lines, *b.log.lines))
            await cast(FrontStore, stores[0]).pause_conversion("shop:DE", 0)
            await until(lambda: not any(w.app.door.book.guards.paused for w in (a, b)), 1.0)
            assert (await b.send(**{"class": "otp"})).status_code == 202
            a.clock.ahead_s += 700
            await asyncio.sleep(0.6)
            assert not a.app.door.book.guards.paused
        for store in stores:
            await store.close()

    asyncio.run(run())


def test_the_watch_survives_what_nobody_foresaw(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that fails is logged by class and place, and the next one counts again."""

    async def scenario() -> None:
        store = MemoryStore()

        async def broken(at: int, hours: int) -> Any:
            raise ValueError("with words")

        monkeypatch.setattr(store, "conversions", broken)
        async with world(store) as w:
            await until(lambda: any("ValueError" in line for line in w.log.lines))
            assert not any("with words" in line for line in w.log.lines)
            assert ("low",) not in w.count("dispatcher_conversions")
            monkeypatch.undo()
            await until(lambda: ("low",) in w.count("dispatcher_conversions"))

    asyncio.run(scenario())
