"""POST /v1/messages over a real server: every status, and what it leaves behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from dispatcher.core.ports import StoreUnavailable
from dispatcher.store.memory import MemoryStore
from tests.dispatcher.ingest.world import NUMBER, PRICE, TEXT, World, problem, world

Scenario = Callable[[World], Awaitable[None]]


def within(scenario: Scenario, **made_with: Any) -> None:
    """Runs the scenario in a world of its own."""

    async def run() -> None:
        async with world(**made_with) as w:
            await scenario(w)

    asyncio.run(run())


def test_202_says_what_was_accepted_and_it_is_there() -> None:
    """The answer has id, state, segments, encoding, price, currency; record and money agree with it."""

    async def scenario(w: World) -> None:
        answer = await w.send(text="x" * 161)
        assert answer.status_code == 202
        assert answer.json() == {
            "id": answer.json()["id"],
            "state": "queued",
            "segments": 2,
            "encoding": "gsm7",
            "price": "0.07",
            "currency": "EUR",
        }
        record = (await w.store.messages([answer.json()["id"]]))[0]
        assert record is not None
        assert record.body is not None
        assert record.body.text == "x" * 161
        money = await w.store.balance("shop")
        assert money is not None
        assert (money.available, money.reserved) == (1_000_000_000 - 2 * PRICE, 2 * PRICE)
        assert w.count("dispatcher_sends_total") == {("transactional", "accepted"): 1}
        assert w.count("dispatcher_http_requests_total") == {("native", "202"): 1}

    within(scenario)


def test_x_api_key_is_as_good_as_bearer() -> None:
    """Both headers carry `id.secret`; the query string does not."""

    async def scenario(w: World) -> None:
        key = await w.key()
        body = {"to": NUMBER, "text": TEXT}
        w.http.headers.pop("authorization")
        assert (await w.http.post("/v1/messages", json=body, headers={"X-API-Key": key})).status_code == 202
        assert (await w.http.post("/v1/messages", json=body, headers={"Authorization": f"bearer {key}"})).status_code == 202
        assert (await w.http.post("/v1/messages", json=body, params={"api_key": key})).status_code == 401

    within(scenario)


@pytest.mark.parametrize("how", ["none", "malformed", "unknown", "wrong secret", "expired", "revoked"])
def test_401_for_every_wrong_key_alike(how: str) -> None:
    """No key, an unknown one, a wrong secret, an expired or revoked key: byte for byte the same answer."""

    async def scenario(w: World) -> None:
        good = await w.key()
        key_id, _, secret = good.partition(".")
        record = await w.store.key(key_id)
        assert record is not None
        presented = {
            "none": "",
            "malformed": "Bearer nonsense",
            "unknown": f"Bearer 0000{key_id[4:]}.{secret}",
            "wrong secret": f"Bearer {key_id}.{'A' * len(secret)}",
            "expired": f"Bearer {await w.key(expires_at=1)}",
            "revoked": f"Bearer {good}",
        }[how]
        if how == "revoked":
            record.revoked = True
            await w.store.put_key(record)
        answer = await w.send(headers={"authorization": presented})
        assert problem(answer) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert set(answer.json()) == {"type", "title", "status", "detail"}

    within(scenario)


def test_a_revoked_key_stops_within_seconds() -> None:
    """Keys are remembered for 3 s and no longer."""

    async def scenario(w: World) -> None:
        key = await w.key()
        headers = {"authorization": f"Bearer {key}"}
        assert (await w.send(headers=headers)).status_code == 202
        record = await w.store.key(key.partition(".")[0])
        assert record is not None
        record.revoked = True
        await w.store.put_key(record)
        w.clock.ahead_s = 3.1
        assert (await w.send(headers=headers)).status_code == 401

    within(scenario)


def test_402_when_the_balance_does_not_suffice() -> None:
    """The answer says what is there and what it costs; nothing is taken."""

    async def scenario(w: World) -> None:
        answer = await w.send()
        assert problem(answer) == (402, "insufficient_balance")
        assert (answer.json()["available"], answer.json()["price"], answer.json()["currency"]) == ("0.034999", "0.035", "EUR")
        money = await w.store.balance("shop")
        assert money is not None
        assert (money.available, money.reserved) == (PRICE - 1, 0)
        assert w.count("dispatcher_sends_total") == {("transactional", "insufficient_balance"): 1}

    within(scenario, money=PRICE - 1)


def test_403_scope_account_and_suspension() -> None:
    """A key without the scope, a body for another account, a suspended account: each its own type."""

    async def scenario(w: World) -> None:
        reader = {"authorization": f"Bearer {await w.key(scopes=('read',))}"}
        assert problem(await w.send(headers=reader)) == (403, "forbidden")
        sender = {"authorization": f"Bearer {await w.key(scopes=('send',))}"}
        assert problem(await w.http.get("/v1/balance", headers=sender)) == (403, "forbidden")
        assert problem(await w.send(account="other")) == (403, "account_mismatch")
        assert (await w.send(account="shop")).status_code == 202
        await w.account("late", 1_000_000, suspended=True)
        late = {"authorization": f"Bearer {await w.key('late')}"}
        assert problem(await w.send(headers=late)) == (403, "account_suspended")
        ghost = {"authorization": f"Bearer {await w.key('ghost')}"}
        assert problem(await w.send(headers=ghost)) == (403, "unknown_account")

    within(scenario)


def test_404_and_405_are_problems_too() -> None:
    """Also what the framework refuses has our form."""

    async def scenario(w: World) -> None:
        assert problem(await w.http.get("/v1/nothing")) == (404, "not_found")
        assert problem(await w.http.put("/v1/messages", json={})) == (405, "method_not_allowed")
        assert problem(await w.http.post("/v1/balance")) == (405, "method_not_allowed")

    within(scenario)


@pytest.mark.parametrize(("extra", "status"), [(-1, 202), (0, 202), (1, 413)])
def test_413_beyond_the_body_limit(extra: int, status: int) -> None:
    """The limit is exact, and holds for a stated length as for chunks."""

    async def scenario(w: World) -> None:
        body = msgspec.json.encode({"to": NUMBER, "text": TEXT})
        body += b" " * (400 + extra - len(body))
        headers = {"content-type": "application/json"}
        answer = await w.http.post("/v1/messages", content=body, headers=headers)
        assert answer.status_code == status

        async def chunks() -> Any:
            for start in range(0, len(body), 50):
                yield body[start : start + 50]
                await asyncio.sleep(0)

        again = await w.http.post("/v1/messages", content=chunks(), headers=headers)
        assert again.status_code == status
        if status == 413:
            assert problem(answer) == problem(again) == (413, "body_too_large")
            assert answer.headers["connection"] == "close"

    within(scenario, body_bytes_max=400)


def test_415_for_what_is_not_json() -> None:
    """A form is refused by its type, not as broken JSON; a charset is fine; NDJSON is for batches."""

    async def scenario(w: World) -> None:
        assert problem(await w.http.post("/v1/messages", data={"to": NUMBER})) == (415, "media_type")
        nd = {"content-type": "application/x-ndjson"}
        assert problem(await w.http.post("/v1/messages", content=b"{}", headers=nd)) == (415, "media_type")
        content = msgspec.json.encode({"to": NUMBER, "text": TEXT})
        typed = {"content-type": "application/json; charset=utf-8"}
        assert (await w.http.post("/v1/messages", content=content, headers=typed)).status_code == 202

    within(scenario)


def test_422_names_every_problem_with_its_path() -> None:
    """Shape errors all at once; admission's refusal with the field it is about."""

    async def scenario(w: World) -> None:
        answer = await w.http.post("/v1/messages", json={"text": 1, "smart": "yes", "extra": 0})
        assert problem(answer) == (422, "malformed")
        assert [e["path"] for e in answer.json()["errors"]] == ["$.text", "$.smart", "$.extra", "$.to"]
        answer = await w.send(to="+4912")
        assert problem(answer) == (422, "number_invalid")
        assert [(e["path"], e["reason"]) for e in answer.json()["errors"]] == [("$.to", "number_invalid")]
        answer = await w.send(to="+4912", text="", validity_s=0, max_price="cheap", **{"from": "much too long a sender"})
        assert problem(answer) == (422, "number_invalid")
        assert {(e["path"], e["reason"]) for e in answer.json()["errors"]} == {
            ("$.to", "number_invalid"),
            ("$.from", "sender_invalid"),
            ("$.text", "text_empty"),
            ("$.max_price", "option_invalid"),
            ("$.validity_s", "validity_invalid"),
        }
        assert problem(await w.send(text="")) == (422, "text_empty")
        assert w.count("dispatcher_sends_total")["transactional", "number_invalid"] == 2

    within(scenario)


def test_429_with_retry_after() -> None:
    """Beyond the key's rate; a second later it goes on. Other keys are not concerned."""

    async def scenario(w: World) -> None:
        assert [(await w.send()).status_code for _ in range(3)] == [202, 202, 429]
        answer = await w.send()
        assert problem(answer) == (429, "rate_limited")
        assert answer.headers["retry-after"] == "1"
        other = {"authorization": f"Bearer {await w.key()}"}
        assert (await w.send(headers=other)).status_code == 202
        w.clock.ahead_s = 1.0
        assert (await w.send()).status_code == 202

    within(scenario, key_requests_per_s=2)


def test_503_while_the_promise_is_not_kept_and_readyz_says_why() -> None:
    """Sends are refused with the reasons; reading goes on; when the promise is kept again, so does sending."""
    reasons = ["appendonly is no: run CONFIG SET appendonly yes"]

    async def scenario(w: World) -> None:
        answer = await w.send()
        assert problem(answer) == (503, "promise_not_kept")
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["reasons"] == reasons
        ready = await w.http.get("/readyz")
        assert (ready.status_code, ready.json()["ready"], ready.json()["reasons"]) == (503, False, reasons)
        assert (await w.http.get("/v1/balance")).status_code == 200
        assert (await w.http.get("/healthz")).json() == {"ok": True}
        assert w.count("dispatcher_promise_kept") == {("P1",): 0}
        assert "promise_not_kept" in w.log.lines[0]
        reasons.clear()
        for _ in range(100):
            if (await w.http.get("/readyz")).status_code == 200:
                break
            await asyncio.sleep(0.01)
        assert (await w.http.get("/readyz")).json() == {
            "ready": True,
            "durability": "fsync",
            "promise": "an accepted send survives kills and power cuts",
            "reasons": [],
        }
        assert (await w.send()).status_code == 202

    within(scenario, judge=lambda _: list(reasons), server={"timeout_s": 2.0, "preflight_s": 0.02})


def test_503_while_the_store_is_away() -> None:
    """Every route that needs the store says so with Retry-After; the process lives and readyz turns red."""
    away: list[str] = []  # who finds it away: callers first, so that the watch does not close the door before they have looked

    async def hook(moment: str, method: str) -> None:
        if moment == "before" and ("watch" if method == "server_settings" else "callers") in away:
            raise StoreUnavailable(method)

    async def ready(w: World, status: int) -> Any:
        for _ in range(500):
            answer = await w.http.get("/readyz")
            if answer.status_code == status:
                return answer.json()
            await asyncio.sleep(0.01)
        raise AssertionError(f"readyz does not become {status}")

    async def scenario(w: World) -> None:
        done = (await w.send()).json()["id"]
        away.append("callers")
        answer = await w.send()
        assert problem(answer) == (503, "store_unavailable")
        assert answer.headers["retry-after"] == "1"
        assert problem(await w.http.get(f"/v1/messages/{done}")) == (503, "store_unavailable")
        assert problem(await w.http.delete(f"/v1/messages/{done}")) == (503, "store_unavailable")
        away.append("watch")
        assert (await w.http.get("/healthz")).status_code == 200
        assert (await ready(w, 503))["reasons"] == ["the store does not answer"]
        away.clear()
        await ready(w, 200)
        assert (await w.send()).status_code == 202

    store = MemoryStore(hook=hook)
    within(scenario, store=store, server={"timeout_s": 1.0, "preflight_s": 0.02})


def test_503_when_too_many_wait() -> None:
    """The waiting queue is bounded: those beyond it are told to come back, the others are accepted."""

    async def scenario(w: World) -> None:
        answers = await asyncio.gather(*(w.send() for _ in range(12)))
        counted = Counter(a.status_code for a in answers)
        assert counted == {202: 5, 503: 7}
        refused = next(a for a in answers if a.status_code == 503)
        assert problem(refused) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        money = await w.store.balance("shop")
        assert money is not None
        assert money.reserved == 5 * PRICE

    within(scenario, waiting_max=5, group_commit_ms=50)


def test_parallel_sends_never_both_spend_the_last_credit() -> None:
    """40 at once on money for 3: three 202, the rest 402, nothing below zero."""

    async def scenario(w: World) -> None:
        answers = await asyncio.gather(*(w.send() for _ in range(40)))
        assert Counter(a.status_code for a in answers) == {202: 3, 402: 37}
        money = await w.store.balance("shop")
        assert money is not None
        assert (money.available, money.reserved) == (0, 3 * PRICE)

    within(scenario, money=3 * PRICE)


def test_requests_of_one_moment_share_one_step() -> None:
    """Group commit over HTTP: 30 parallel sends need far fewer steps of the store than 30."""

    async def scenario(w: World) -> None:
        answers = await asyncio.gather(*(w.send() for _ in range(30)))
        assert {a.status_code for a in answers} == {202}
        assert w.app.door.committer.batches <= 10

    within(scenario, group_commit_ms=20)


def test_an_unforeseen_error_is_500_without_its_words() -> None:
    """The answer says nothing of what happened, the log only class and place."""

    async def hook(moment: str, method: str) -> None:
        if method == "admit":
            raise RuntimeError(f"secret words about {NUMBER}")

    async def scenario(w: World) -> None:
        answer = await w.send()
        assert problem(answer) == (500, "internal")
        assert NUMBER not in answer.text
        assert any("RuntimeError" in line for line in w.log.lines)
        assert not any("secret words" in line for line in w.log.lines)

    within(scenario, store=MemoryStore(hook=hook))
