"""Webhooks end to end in one process: a store, the process' work, receivers on real sockets, a clock that is moved."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from types import FrameType

import msgspec
import pytest

from dispatcher.core import notices as rules
from dispatcher.core.ports import StoreUnavailable
from dispatcher.notices.webhooks import FRESH_S
from dispatcher.notices.wire import Broken
from tests.cycles import none_of_ours
from tests.dispatcher.notices.world import (
    ANSWER,
    DOWN,
    OK,
    OPEN,
    Behave,
    Receiver,
    Request,
    World,
    says,
    until,
    world,
)

LIFE = ("queued", "submitted", "delivered")


def run(case: Callable[[], Awaitable[None]]) -> None:
    """One asyncio life."""

    async def whole() -> None:
        await asyncio.wait_for(asyncio.ensure_future(case()), 60)

    asyncio.run(whole())


def heard(receiver: Receiver) -> dict[str, list[str]]:
    """States by message, in the order in which they came."""
    found: dict[str, list[str]] = defaultdict(list)
    for request in receiver.requests:
        found[request.json["id"]].append(request.json["state"])
    return found


def test_a_message_is_told_in_order_over_a_kept_connection() -> None:
    """Each event once, in order; final ones only where that was asked for; nothing to a message without callback."""

    async def case() -> None:
        async with world() as w, Receiver() as receiver:
            every, last = await w.message(receiver.url), await w.message(receiver.url, events="final")
            none = w.new_id()
            for message in (every, last, none):
                w.happens(message, *LIFE)
            await until(lambda: len(receiver.requests) >= 4)
            await until(lambda: not w.store.notice_lists)
            assert heard(receiver) == {every: list(LIFE), last: ["delivered"]}
            assert receiver.connections <= 2
            assert {r.path for r in receiver.requests} == {"/hook?token=hidden"}
            assert w.told("delivered") == 4

    run(case)


def test_an_hour_of_silence_then_everything_once_and_in_order() -> None:
    """Must show 6: a receiver that is down for an hour gets every event at least once with the same id, in order per
    message; meanwhile it is not hammered."""

    async def case() -> None:
        async with world() as w, Receiver(says(DOWN)) as receiver:
            messages = [await w.message(receiver.url) for _ in range(40)]
            for state in LIFE:
                for message in messages:
                    w.happens(message, state)
            for _ in range(60):
                w.clock.ahead_ms += 60_000
                await asyncio.sleep(0.03)
            tried = len(receiver.requests)
            assert 3 <= tried <= 200
            assert w.store.notice_lists.keys() == set(messages)
            ids = {(r.json["id"], r.json["state"]): r.headers["webhook-id"] for r in receiver.requests}
            receiver.requests.clear()
            receiver.behave = says(OK)
            for _ in range(400):
                w.clock.ahead_ms += 60_000
                await asyncio.sleep(0.02)
                if not w.store.notice_lists:
                    break
            found = heard(receiver)
            assert found == {key: list(LIFE) for key in messages}
            for request in receiver.requests:
                known = ids.get((request.json["id"], request.json["state"]))
                assert known in {None, request.headers["webhook-id"]}
            assert len({r.headers["webhook-id"] for r in receiver.requests}) == 120
            assert await w.store.notice_counts() == (0, 0)

    run(case)


def test_what_is_never_taken_is_parked_after_a_day_and_can_be_requeued() -> None:
    """Every event of it, also those that were never tried for their own part; requeued under the ids they had."""

    async def case() -> None:
        async with world() as w, Receiver(says(DOWN)) as receiver:
            messages = [await w.message(receiver.url) for _ in range(30)]
            for message in messages:
                w.happens(message, *LIFE)
            await until(lambda: len(receiver.requests) >= 3)
            for _ in range(60):
                w.clock.ahead_ms += 3_600_000
                await asyncio.sleep(0.05)
                if not w.store.notice_lists:
                    break
            parked = await w.store.parked_notices(1000)
            assert len(parked) == 90
            assert w.told("parked") == 90
            receiver.requests.clear()
            receiver.behave = says(OK)
            assert await w.store.requeue_notices([p.notice.id for p in parked]) == 90
            w.clock.ahead_ms += 120_000
            await until(lambda: len(receiver.requests) == 90, 15)
            assert {r.headers["webhook-id"] for r in receiver.requests} == {p.notice.id for p in parked}
            await until(lambda: not w.store.notice_lists)
            assert await w.store.notice_counts() == (0, 0)

    run(case)


def test_a_dead_or_slow_target_holds_up_nobody_else() -> None:
    """With thousands queued for ten hosts that never answer, a healthy one hears at once."""

    async def case() -> None:
        async def never(_: Request, __: object) -> None:
            await asyncio.sleep(30)

        notices = msgspec.structs.replace(OPEN, concurrency=16, target_concurrency=4)
        async with world(notices) as w, Receiver() as well:
            await w.store.put_account(msgspec.structs.replace((await w.store.accounts())[0], name="other"))
            slow = [Receiver(never) for _ in range(10)]
            for one in slow:
                await one.__aenter__()
            for one in slow:
                for _ in range(100):
                    w.happens(await w.message(one.url), "delivered")
            await until(lambda: sum(len(one.requests) for one in slow) >= 4)
            for _ in range(50):
                w.happens(await w.message(well.url, account="other"), "delivered", account="other")
            await until(lambda: len(well.requests) == 50, 3)
            w.happens(await w.message(well.url), "delivered")  # the same account as the slow ones: it waits for its share
            await until(lambda: len(well.requests) == 51, 5)
            for one in slow:
                await one.__aexit__()

    run(case)


async def _hangs_up(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@pytest.mark.parametrize("behave", [says(OK), says(DOWN), _hangs_up])
def test_a_call_is_let_go_however_it_ended(behave: Behave) -> None:
    """I15: nothing of a call waits for a collection of cycles, and a receiver that hangs up is no exception."""

    async def case() -> None:
        async with world() as w, Receiver(behave) as receiver:
            with none_of_ours(FrameType, Broken):
                for message in [await w.message(receiver.url) for _ in range(3)]:
                    w.happens(message, *LIFE)
                await until(lambda: len(receiver.requests) >= 3)
                await asyncio.sleep(0.1)  # the last call's end

    run(case)


def test_gone_parks_at_once_and_retry_after_is_heeded() -> None:
    """410: no second try. 429 with Retry-After: not before then."""

    async def case() -> None:
        async with world() as w, Receiver(says(ANSWER % b"410 Gone")) as gone:
            first = await w.message(gone.url)
            w.happens(first, "queued", "delivered")
            await until(lambda: w.told("parked") == 2)
            assert len(gone.requests) == 2
            busy = b"HTTP/1.1 429 Slow\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n"
            async with Receiver(says(busy)) as asked:
                w.happens(await w.message(asked.url), "delivered")
                await until(lambda: len(asked.requests) == 1)
                asked.behave = says(OK)
                await until(lambda: w.told("refused") == 1)
                w.clock.ahead_ms += 590_000
                await asyncio.sleep(0.4)
                assert len(asked.requests) == 1
                w.clock.ahead_ms += 11_000
                await until(lambda: len(asked.requests) == 2)

    run(case)


def test_bad_receivers_are_refused_and_others_go_on() -> None:
    """Must show 6: a redirect to a private address, a name whose address changes, an endless body, a slow body."""

    async def case() -> None:
        async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
                await writer.drain()

        async def slow(_: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.2)

        lookups: list[str] = []

        async def resolve(_: str, host: str, __: int) -> list[str]:
            lookups.append(host)
            if host != "changes.example":
                return [host]
            return ["127.0.0.2"] if lookups.count(host) == 1 else ["10.0.0.1"]

        notices = msgspec.structs.replace(OPEN, allow_networks=("127.0.0.1/32",))
        async with world(notices, resolve) as w, Receiver() as inside, Receiver() as well:
            location = f"302 Found\r\nLocation: http://127.0.0.1:{inside.port}/secret".encode()
            async with Receiver(says(ANSWER % location)) as redirects, Receiver(endless) as big, Receiver(slow) as late:
                urls = [one.url for one in (redirects, big, late)] + ["http://changes.example/hook"]
                bad = [await w.message(url) for url in urls]
                for message in bad:
                    w.happens(message, "delivered")
                good = [await w.message(well.url) for _ in range(20)]
                for message in good:
                    w.happens(message, "delivered")
                await until(lambda: len(well.requests) == 20, 3)
                await until(lambda: all(w.told(r) for r in ("refused", "too_large", "timeout", "blocked")))
                w.clock.ahead_ms += 15_000
                await until(lambda: w.told("blocked") == 2)
                assert inside.requests == []
                assert set(bad) <= w.store.notice_lists.keys()

    run(case)


def test_otpiq_hears_sent_once_and_nothing_after_the_last_word() -> None:
    """Its form to the key, and what it is never told."""

    async def case() -> None:
        async with world() as w, Receiver() as receiver:
            message = await w.message(receiver.url, form="otpiq", secret="s3")
            w.happens(message, "queued", "submitted", "waiting", "queued", "undelivered")
            unknown = await w.message(receiver.url, form="otpiq")
            w.happens(unknown, "submitted", "unknown")
            w.happens(unknown, "delivered", refined=True)
            await until(lambda: len(receiver.requests) == 3)
            await asyncio.sleep(0.2)
            mine = [r for r in receiver.requests if r.headers.get("x-otpiq-webhook-secret")]
            assert [r.json["status"] for r in mine] == ["sent", "failed"]
            assert [r.json["isFinal"] for r in mine] == [False, True]
            assert all(r.json["smsId"].startswith("sms-") for r in receiver.requests)
            assert len(receiver.requests) == 3

    run(case)


@pytest.mark.parametrize("fault", ["queue_notices", "settle_notices", "due_notices", "tickets", "read_stream", "account"])
def test_a_store_that_goes_away_loses_and_doubles_nothing(fault: str) -> None:
    """Whatever step's reply is lost, before it was done or after, each event is queued once and told at least once."""

    async def case() -> None:
        async with world() as w, Receiver() as receiver:
            left = {"before": 3, "after": 3}

            async def hook(when: str, name: str) -> None:
                if name == fault and left[when]:
                    left[when] -= 1
                    raise StoreUnavailable("gone for a moment")

            w.store.hook = hook
            messages = []
            for _ in range(20):
                w.store.hook = None
                messages.append(await w.message(receiver.url))
                w.store.hook = hook
                w.happens(messages[-1], *LIFE)
            await until(lambda: not w.store.notice_lists and len(receiver.requests) >= 60, 20)
            ids = [r.headers["webhook-id"] for r in receiver.requests]
            assert len(set(ids)) == 60
            if fault != "settle_notices":
                assert len(ids) == 60
            assert left["before"] == 0
            assert left["after"] < 3

    run(case)


def test_what_is_loaded_is_not_called_when_the_store_is_silent() -> None:
    """Another may have the lease by then. The calls under way end, no new ones begin, and nothing is told twice."""

    async def case() -> None:
        async def waits(_: Request, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.2)
            writer.write(OK)

        async with world() as w, Receiver(waits) as receiver:
            silent = asyncio.Event()
            answers = asyncio.Event()

            async def hook(when: str, name: str) -> None:
                if (when, name) == ("before", "settle_notices") and len(receiver.requests) > 60 and not answers.is_set():
                    silent.set()
                    await answers.wait()

            for _ in range(200):
                w.happens(await w.message(receiver.url, events="final"), "delivered")
            w.store.hook = hook
            await until(silent.is_set, 20)
            await asyncio.sleep(FRESH_S + 0.25)
            told = len(receiver.requests)
            await asyncio.sleep(0.3)
            assert len(receiver.requests) == told < 200
            answers.set()
            await until(lambda: not w.store.notice_lists, 20)
            ids = [r.headers["webhook-id"] for r in receiver.requests]
            assert len(ids) == len(set(ids)) == 200

    run(case)


def test_a_process_that_dies_leaves_all_to_the_next() -> None:
    """Killed with calls under way: the next takes over, nothing is lost, order is kept, and the dead one writes nothing."""

    async def case() -> None:
        async def waits(_: Request, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.05)
            writer.write(OK)

        async with Receiver(waits) as receiver, world() as w:
            messages = [await w.message(receiver.url) for _ in range(60)]
            for state in LIFE:
                for message in messages:
                    w.happens(message, state)
            for _ in range(5):
                await until(lambda: w.store.alive(rules.LEASE))
                await asyncio.sleep(0.3)
                w.store.expire(rules.LEASE)
                second = World(w.store, w.settings.notices)
                second.clock = w.clock
                running = second.start()
                await until(lambda: w.store.alive(rules.LEASE))
                await asyncio.sleep(0.3)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                w.store.expire(rules.LEASE)
            await until(lambda: not w.store.notice_lists, 20)
            found = heard(receiver)
            assert found.keys() == set(messages)
            for states in found.values():
                firsts = list(dict.fromkeys(states))
                assert firsts == list(LIFE)
            assert await w.store.notice_counts() == (0, 0)

    run(case)


def test_the_log_shows_no_query_and_no_secret() -> None:
    """A failing target is named by account and host, once."""

    async def case() -> None:
        async with world(callback_secret="whsec_SGlkZGVu") as w, Receiver(says(DOWN)) as receiver:
            for _ in range(5):
                w.happens(await w.message(receiver.url, secret="very-hidden"), "delivered")
            await until(lambda: any(name == "webhook_target_fails" for name, _ in w.log.lines))
            assert "hidden" not in str(w.log.lines)
            assert "whsec" not in str(w.log.lines)
            assert f"127.0.0.1:{receiver.port}" in str(w.log.lines)

    run(case)
