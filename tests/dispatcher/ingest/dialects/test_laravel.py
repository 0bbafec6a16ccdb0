"""The Laravel dialect inside: keys changed by rivals, replies that are lost, refusals that only admission knows, the pages."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from dispatcher.core.model import Refusal
from dispatcher.core.ports import StoreUnavailable
from dispatcher.ingest.dialects import laravel_pages
from dispatcher.ingest.dialects import laravel_words as words
from dispatcher.ingest.dialects.frame import Request
from dispatcher.ingest.dialects.laravel_pages import Pages, document
from dispatcher.ingest.keys import imported
from dispatcher.ingest.problems import KINDS, Problem
from dispatcher.store.memory import MemoryStore
from dispatcher.store.redis import open_asyncio_store
from tests.conftest import RealServer
from tests.dispatcher.ingest.world import World, world

LOGIN = {"username": "user", "password": "pass"}


@asynccontextmanager
async def shop(**account: Any) -> AsyncIterator[World]:
    """A world with the account "lara" and its user."""
    async with world() as w:
        await w.account("lara", 10**12, **account)
        await w.store.put_key(imported(w.app.door.credentials.keyed, "lara", "laravel", "user", "pass", 0))
        yield w


async def answered(w: World, path: str, **fields: object) -> tuple[int, dict[str, Any]]:
    """POST of the login and these fields."""
    answer = await w.http.post(path, json=LOGIN | fields)
    return answer.status_code, answer.json()


def test_a_rival_between_look_and_change_is_noticed() -> None:
    """Somebody else makes a key after we looked: generate then finds it and answers 409, nothing of ours is kept."""

    async def scenario() -> None:
        async with shop() as w:
            assert isinstance(w.store, MemoryStore)
            rival = imported(w.app.door.credentials.keyed, "lara", "laravel", "r" * 64, None, 0)
            store = w.store

            put = False

            async def hook(when: str, name: str) -> None:
                nonlocal put
                if (when, name, put) == ("before", "change_keys", False):
                    put = True
                    await store.put_key(rival)

            store.hook = hook
            assert await answered(w, "/api/generate-key") == (409, msgspec.to_builtins(words.KEY_EXISTS))
            kept = [key.id for key in (await store.account_keys("lara"))[1] if key.hashing == "sha256"]
            assert kept == [rival.id]

    asyncio.run(scenario())


def test_two_processes_over_a_real_server_make_one_key(server: RealServer) -> None:
    """Twenty calls at once on two doors: one key is made, and its record is the only one. Their count is one, too."""

    async def scenario() -> None:
        first, second = [await open_asyncio_store(server.url, "two:") for _ in range(2)]
        async with world(first) as a, world(second) as b:
            await a.account("lara", 10**12)
            await a.store.put_key(imported(a.app.door.credentials.keyed, "lara", "laravel", "user", "pass", 0))
            for w in (a, b):  # the password's verdict is remembered, so that the calls below really meet
                assert (await w.http.post("/api/revoke-key", json=LOGIN)).status_code == 404
            calls = [w.http.post("/api/generate-key", json=LOGIN) for _ in range(10) for w in (a, b)]
            answers = await asyncio.gather(*calls)
            assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
            left = sorted(int(answer.headers["x-ratelimit-remaining"]) for answer in answers)
            assert left == list(range(38, 58))
            keys = (await a.store.account_keys("lara"))[1]
            assert sorted(key.hashing for key in keys) == ["scrypt", "sha256"]
        await first.close()
        await second.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(("path", "said"), [("generate", "api_key"), ("regenerate", "api_key"), ("revoke", "message")])
def test_a_change_that_was_made_although_its_reply_was_lost(path: str, said: str) -> None:
    """The store says False to its repetition; the key that is there is ours, or the one to go is gone."""

    async def scenario() -> None:
        async with shop() as w:
            assert isinstance(w.store, MemoryStore)
            if path == "revoke":
                await answered(w, "/api/generate-key")
            store = w.store
            change = store.change_keys

            async def twice(*arguments: Any) -> bool:
                assert await change(*arguments)
                return await change(*arguments)

            store.change_keys = twice  # type: ignore[method-assign]  # what a client does whose first reply is lost
            status, body = await answered(w, f"/api/{path}-key")
            assert (status, said in body) == (200, True)
            if path != "revoke":
                headers = {"x-api-key": body["api_key"]}
                assert (await w.http.get("/api/v2/account/balance", headers=headers)).status_code == 200

    asyncio.run(scenario())


def test_replaced_keys_leave_nothing_behind() -> None:
    """However often a key is replaced, an account has one record of an API key."""

    async def scenario() -> None:
        async with shop() as w:
            for _ in range(5):
                assert (await answered(w, "/api/regenerate-key"))[0] == 200
            keys = (await w.store.account_keys("lara"))[1]
            assert sorted(key.hashing for key in keys) == ["scrypt", "sha256"]

    asyncio.run(scenario())


def test_refusals_of_admission() -> None:
    """A destination without price or out of the account's countries, an opt-out: 400 for the whole, nothing charged."""

    async def scenario() -> None:
        async with shop(countries=("DE",)) as w:
            await w.store.opt_out("lara", "Shop", w.app.door.book.hash_number("4915112345672"), 0)
            elsewhere = {"error": "Destination not supported."}
            for numbers, expected in (
                ("+4915112345671,+999912345678", elsewhere),
                ("+447911123456", elsewhere),
                ("+4915112345672", {"error": "A recipient has opted out."}),
                ("+4915112345671,+4915112345672", {"error": "A recipient has opted out."}),
            ):
                assert await answered(w, "/v1/sms/send", numbers=numbers, message_body="x") == (400, expected), numbers
            money = await w.store.balance("lara")
            assert money is not None
            assert (money.available, money.reserved) == (10**12, 0)

    asyncio.run(scenario())


def test_limits_of_the_account() -> None:
    """429 with Retry-After and the reason, for one number and for a list; nothing of it is charged."""

    async def scenario() -> None:
        async with shop(velocity=((60, 2),)) as w:
            assert (await answered(w, "/v1/sms/send", numbers="+4915112345671", message_body="x"))[0] == 200
            many = LOGIN | {"numbers": "+4915112345672,+4915112345673", "message_body": "x"}
            for numbers, status in (("+4915112345672,+4915112345673", 429), ("+4915112345672", 200), ("+4915112345673", 429)):
                answer = await w.http.post("/v1/sms/send", json=many | {"numbers": numbers})
                assert answer.status_code == status, numbers
                if status == 429:
                    assert answer.json() == {"error": "Too many messages to this range of numbers."}
                    assert 1 <= int(answer.headers["retry-after"]) <= 60
            money = await w.store.balance("lara")
            assert money is not None
            assert money.reserved == 2 * 35_000

    asyncio.run(scenario())


def test_a_store_that_is_away() -> None:
    """503 with Retry-After in this shape, at the count, at the keys and at the send."""

    async def scenario() -> None:
        async with shop() as w:
            assert isinstance(w.store, MemoryStore)
            _, made = await answered(w, "/api/generate-key")
            key = made["api_key"]
            send = {"numbers": "+4915112345671", "message_body": "x", "api_key": key}
            for failing, path in (
                ("count_call", "/api/v2/sms/send"),
                ("key", "/api/v2/sms/send"),
                ("admit", "/api/v2/sms/send"),
                ("account_keys", "/api/regenerate-key"),
                ("change_keys", "/api/regenerate-key"),
            ):

                async def hook(when: str, name: str, failing: str = failing) -> None:
                    if (when, name) == ("before", failing):
                        raise StoreUnavailable("away")

                w.store.hook = hook
                body = send if path.endswith("send") else LOGIN
                answer = await w.http.post(path, json=body)
                w.store.hook = None
                assert (answer.status_code, answer.json()) == (503, {"message": "Service Unavailable"}), failing
                assert int(answer.headers["retry-after"]) >= 1
            assert (await w.http.post("/api/v2/sms/send", json=send)).status_code == 200

    asyncio.run(scenario())


def test_an_error_of_ours() -> None:
    """500 in the framework's words; the place is logged, and nothing of the request."""

    async def scenario() -> None:
        async with shop() as w:
            assert isinstance(w.store, MemoryStore)

            async def hook(when: str, name: str) -> None:
                if (when, name) == ("before", "count_call"):
                    raise RuntimeError(LOGIN["password"])

            w.store.hook = hook
            assert await answered(w, "/api/generate-key") == (500, {"message": "Server Error"})
            assert "http_failed" in w.log.lines[-1]
            assert "RuntimeError" in w.log.lines[-1]
            assert "pass" not in w.log.lines[-1]

    asyncio.run(scenario())


def test_a_page_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seed's 500, as JSON, for both kinds of it; the next one may succeed."""

    def broken(_: str) -> dict[str, object]:
        raise KeyError("schemas")

    async def scenario() -> None:
        async with shop() as w:
            with monkeypatch.context() as patched:
                patched.setattr(laravel_pages, "document", broken)
                for accept in ("application/json", "text/html"):
                    answer = await w.http.get("/api/v2", headers={"Accept": accept})
                    assert (answer.status_code, answer.json()) == (500, {"message": "Server Error"})
                    assert answer.headers["content-type"] == "application/json"
                    assert answer.headers["cache-control"] == "no-cache, private"
                    assert answer.headers["access-control-allow-origin"] == "*"
            assert (await w.http.get("/api/v2")).status_code == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_every_problem_has_words(kind: str) -> None:
    """None is left to 500 but what is ours, and what only the native API raises."""
    native = {
        "account_mismatch", "not_cancellable", "not_ready_yet", "batch_too_large", "media_type", "batch_rejected",
        "idempotency_mismatch", Refusal.UNKNOWN_FIELD, Refusal.VALIDITY, Refusal.NOT_BEFORE, "internal",
    }  # fmt: skip
    for path in (words.FORM_SEND, words.SEND, words.GENERATE):
        answer = words.word(Problem(kind), Request("POST", path))
        assert (answer.status == 500) == (kind in native), kind
        assert set(msgspec.json.decode(answer.body)) <= {"error", "help", "message"}


def test_a_mount_prefix_is_in_the_pages() -> None:
    """Base address and forms."""
    assert document("/lara")["servers"] == [{"url": "/lara"}]
    page = Pages("/lara").page().decode()
    assert "action='/lara/v1/sms/send'" in page
    assert "<code>/lara</code>" in page
