"""OTPIQ where a whole installation is not needed: outages, our own failures, the order of checks, prices and words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from dispatcher.core.model import Refusal
from dispatcher.core.ports import Admission, StoreUnavailable, Verdict
from dispatcher.ingest.dialects import otpiq_words as words
from dispatcher.ingest.keys import imported
from dispatcher.ingest.problems import KINDS, Problem
from dispatcher.store.memory import MemoryStore
from tests.dispatcher.ingest.world import NUMBER, World, world

TO = NUMBER[1:]
KEY = "sk_live_test"


def run(case: Callable[[], Awaitable[None]]) -> None:
    """A test's coroutine, to its end."""
    asyncio.run(case())  # type: ignore[arg-type]


@asynccontextmanager
async def shop(store: MemoryStore | None = None, **more: Any) -> AsyncIterator[World]:
    """A world with an OTPIQ key for its account."""
    async with world(store, **more) as made:
        await made.store.put_key(imported(made.app.door.credentials.keyed, "shop", "otpiq", KEY, None, made.clock.now_ms()))
        yield made


async def post(w: World, number: str = TO, *, key: str = KEY, **more: Any) -> httpx.Response:
    """POST /api/sms of a verification."""
    body = {"phoneNumber": number, "smsType": "verification", "verificationCode": "123456"} | more
    return await w.http.post("/api/sms", json=body, headers={"authorization": f"Bearer {key}"})


class Down(MemoryStore):
    """A store whose admissions fail as the test says."""

    error: Exception | None = None

    async def admit(self, batch: Sequence[Admission], *args: Any, **more: Any) -> list[Verdict]:
        if self.error is not None:
            raise self.error
        return await super().admit(batch, *args, **more)


def test_outages() -> None:
    """503 with Retry-After under `message`: the promise is not kept, the store is away; 500 for our own failures."""

    async def case() -> None:
        store = Down()
        async with shop(store) as w:
            busy = {"message": "Service unavailable, please try again"}
            store.error = StoreUnavailable("gone")
            answer = await post(w)
            assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (503, busy, "1")
            store.error = ZeroDivisionError("123456")
            answer = await post(w)
            assert (answer.status_code, answer.json()) == (500, {"message": "Internal server error"})
            assert "123456" not in "".join(w.log.lines)
            store.error = None
            w.app.door.reasons = ("appendonly is off",)
            answer = await post(w)
            assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (503, busy, "5")
            w.app.door.reasons = ()
            assert (await post(w)).status_code == 200

    run(case)


def test_the_rate_of_a_key() -> None:
    """429 under `message` with the minutes to wait, before anything is looked at."""

    async def case() -> None:
        async with shop(key_requests_per_s=1.0) as w:
            assert [(await post(w, "no")).status_code for _ in range(2)] == [400, 429]
            answer = await post(w)
            assert answer.json() == {"message": "Rate limit exceeded. Please try again in 1 minutes.", "waitMinutes": 1}
            assert int(answer.headers["retry-after"]) >= 1

    run(case)


def test_the_order_of_checks() -> None:
    """Key, object, fields, number, channel, limit, balance: of everything that is wrong the first answers."""

    async def case() -> None:
        async with shop(money=0) as w:
            broken = {"provider": "whatsapp", "verificationCode": "x" * 21}
            wrong: list[tuple[dict[str, Any], int, str]] = [
                ({"key": "nobody", **broken, "number": "1"}, 401, "Unauthorized, please use your project api key"),
                ({**broken, "number": "1"}, 400, "verificationCode must be between 1 and 20 characters"),
                ({"provider": "whatsapp", "number": "1"}, 400, "Invalid phone number format"),
                ({"provider": "whatsapp"}, 400, "WhatsApp channel is not configured"),
                ({"number": "99912345678"}, 400, "This destination is not available"),
                ({}, 400, "Insufficient credit, please add more credit"),
            ]
            for fields, status, said in wrong:
                answer = await post(w, **fields)
                found = answer.json()
                assert (answer.status_code, found.get("error") or found.get("message")) == (status, said)

    run(case)


def test_a_refused_send_is_not_counted() -> None:
    """Ten without credit leave the limit of ten as it was."""

    async def case() -> None:
        async with shop(money=0) as w:
            assert {(await post(w)).status_code for _ in range(12)} == {400}
            await w.store.credit("shop", "later", 1_000_000, w.clock.now_ms())
            assert [(await post(w)).status_code for _ in range(11)] == [200] * 10 + [429]

    run(case)


def test_prices_where_there_are_none() -> None:
    """A tariff without Iraq shows null, and what is finer than four decimals is rounded for show."""

    async def case() -> None:
        async with shop() as w:
            headers = {"authorization": f"Bearer {KEY}"}
            (sender,) = (await w.http.get("/api/sender-ids", headers=headers)).json()["data"]
            assert set(sender["pricePerSms"].values()) == {None}
            assert (await post(w)).json()["cost"] == 0.035
            info = await w.http.get("/api/info", headers=headers)
            assert info.json() == {"projectName": "shop", "credit": 999.965}

    run(case)


def test_the_text_is_nobodys_but_the_handset_s() -> None:
    """A verification's text is masked as every one-time password's: no view and no log shows it."""

    async def case() -> None:
        async with shop() as w:
            sms_id = (await post(w, verificationCode="73519284")).json()["smsId"]
            headers = {"authorization": f"Bearer {KEY}"}
            shown = await w.http.get(f"/api/sms/track/{sms_id}", headers=headers)
            message_id = await w.app.door.store.find_alias(sms_id)  # type: ignore[attr-defined]
            native = await w.http.get(f"/v1/messages/{message_id}")
            assert native.json()["class"] == "otp"
            assert "73519284" not in shown.text + native.text + "".join(w.log.lines)

    run(case)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_problem_has_words(kind: str) -> None:
    """400 under `error`, everything else under `message`; SenderID only where senders are meant."""
    answer = words.word(Problem(kind))
    body = answer.body.decode()
    assert (answer.status == 400) == ('"error"' in body) != ('"message"' in body)
    assert ("SenderID" in body) == (kind in {Refusal.SENDER_INVALID, Refusal.SENDER_NOT_ALLOWED, Refusal.SENDER_REQUIRED})
    assert "trial mode" not in body
    assert answer.status < 500 or "Service" in body or "Internal" in body
