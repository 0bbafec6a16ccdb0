"""Chinqit's two APIs over the in-memory store: what needs states, outages and accounts that the contract tests cannot make."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from dispatcher.core import ids
from dispatcher.core.customer import Account
from dispatcher.core.model import Attempt, Message, Outcome, Segment, State
from dispatcher.core.ports import Effects, StoreUnavailable, VersionedHead
from dispatcher.ingest.keys import issue_for
from tests.dispatcher.ingest import world as ground
from tests.dispatcher.ingest.test_reads import head_of
from tests.dispatcher.ingest.world import PRICE, World, world

PHONES = ["+491711234567", "+491711234568", "+491711234569"]


class Client:
    """A key of "shop" and the requests made with it."""

    def __init__(self, w: World, key: str) -> None:
        self.w = w
        self._headers = {"x-api-key": key}

    async def post(self, path: str, **fields: Any) -> httpx.Response:
        """POST of these fields."""
        return await self.w.http.post(path, json=fields, headers=self._headers)

    async def batch(self, *phones: str) -> httpx.Response:
        """POST /api/v2/bulk/send."""
        return await self.post("/api/v2/bulk/send", recipients=[{"phone": phone, "message": "Hello!"} for phone in phones])

    async def progress(self, batch_id: str) -> dict[str, Any]:
        """The batch of its status."""
        answer = await self.w.http.get(f"/api/v2/bulk/status/{batch_id}", headers=self._headers)
        assert answer.status_code == 200, answer.text
        batch: dict[str, Any] = answer.json()["batch"]
        return batch

    async def get(self, path: str) -> httpx.Response:
        """GET."""
        return await self.w.http.get(path, headers=self._headers)


def within(scenario: Callable[[Client], Awaitable[None]], **made_with: Any) -> None:
    """Runs the scenario for a customer with a Chinqit key."""

    async def run() -> None:
        async with world(**made_with) as w:
            text, _, record = issue_for(w.app.door.credentials.keyed, "shop", "chinqit", 0)
            await w.store.put_key(record)
            await scenario(Client(w, text))

    asyncio.run(run())


async def expand(w: World) -> None:
    """An engine writes the records of every batch."""
    owner = await w.store.take_lease("engine", "nonce", 60_000)
    assert owner is not None
    while await w.store.expand_groups(owner):
        pass


async def become(w: World, batch_id: str, state: State, *, places: tuple[int, ...] = (0, 1, 2), posted: bool = True) -> None:
    """Members of a batch reach a state, as an engine would write it."""
    group_id = ids.from_uuid(batch_id)
    assert group_id is not None
    members = ids.group_members(group_id, 3)
    found = await w.store.messages([members[place] for place in places])
    effects = Effects()
    now = w.clock.now_ms()
    for record in found:
        assert record is not None
        attempt = Attempt(1, "alpha", "b1", now, Outcome.ACCEPTED, 0, "c1", now)
        segment = Segment(state, [attempt], posted=posted)
        source: Any = record if record.body is not None else Message(record.id, 0, None, record.head)  # type: ignore[arg-type]
        head = head_of(source, state, [segment], now)
        head.group = group_id
        effects.heads.append(VersionedHead(record.id, record.version + 1, head))
    assert await w.store.commit(effects) == []


def test_progress_of_a_batch() -> None:
    """Pending before the first record, processing while something waits, then sent; member by member."""

    async def scenario(c: Client) -> None:
        batch_id = (await c.batch(*PHONES)).json()["batchId"]
        batch = await c.progress(batch_id)
        assert (batch["status"], batch["progress"]) == ("pending", 0)
        assert [message["status"] for message in batch["messages"]] == ["pending"] * 3
        await expand(c.w)
        batch = await c.progress(batch_id)
        assert (batch["status"], batch["progress"]) == ("processing", 0)
        assert [message["status"] for message in batch["messages"]] == ["queued"] * 3
        await become(c.w, batch_id, State.SUBMITTED, places=(1,))
        batch = await c.progress(batch_id)
        assert (batch["status"], batch["progress"], batch["successfulCount"]) == ("processing", 33, 1)
        assert [message["status"] for message in batch["messages"]] == ["queued", "sent", "queued"]
        one = (await c.get(f"/messages/status/{batch['messages'][1]['messageId']}")).json()["message"]
        assert (one["phone"], one["status"]) == (PHONES[1], "sent")

    within(scenario)


def test_once_terminal_never_processing_again() -> None:
    """A batch that was shown completed stays so while a message is under way again, and becomes partial when that fails."""

    async def scenario(c: Client) -> None:
        batch_id = (await c.batch(*PHONES)).json()["batchId"]
        await expand(c.w)
        await become(c.w, batch_id, State.SUBMITTED)
        assert (await c.progress(batch_id))["status"] == "completed"
        await become(c.w, batch_id, State.WAITING, places=(2,))
        batch = await c.progress(batch_id)
        assert (batch["status"], batch["progress"], batch["successfulCount"]) == ("completed", 100, 3)
        assert [message["status"] for message in batch["messages"]] == ["sent"] * 3
        await become(c.w, batch_id, State.UNDELIVERED, places=(2,))
        batch = await c.progress(batch_id)
        assert (batch["status"], batch["failedCount"]) == ("partial", 1)
        assert batch["messages"][2]["errorCode"] == "UNDELIVERED"

    within(scenario)


def test_a_slow_reader_does_not_take_the_last_word_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that began before the last word was shown, and saw a message under way again, answers in its spirit."""

    async def scenario(c: Client) -> None:
        batch_id = (await c.batch(*PHONES)).json()["batchId"]
        await expand(c.w)
        await become(c.w, batch_id, State.SUBMITTED)
        front: Any = c.w.store
        tickets, slow = front.tickets, [True]

        async def read(names: Any, **how: Any) -> Any:
            found = await tickets(names, **how)
            if slow and slow.pop():
                assert (await c.progress(batch_id))["status"] == "completed"
                await become(c.w, batch_id, State.WAITING, places=(0,))
            return found

        monkeypatch.setattr(front, "tickets", read)
        assert (await c.progress(batch_id))["status"] == "completed"

    within(scenario)


def test_not_shown_is_not_kept() -> None:
    """Nobody asked while all was sent: a message under way again is processing, truly."""

    async def scenario(c: Client) -> None:
        batch_id = (await c.batch(*PHONES)).json()["batchId"]
        await expand(c.w)
        await become(c.w, batch_id, State.SUBMITTED)
        await become(c.w, batch_id, State.WAITING, places=(2,))
        assert (await c.progress(batch_id))["status"] == "processing"

    within(scenario)


def test_refunded_amount_counts_what_never_was_taken() -> None:
    """A message refused before any carrier took it gives its price back."""

    async def scenario(c: Client) -> None:
        batch_id = (await c.batch(*PHONES)).json()["batchId"]
        await expand(c.w)
        await become(c.w, batch_id, State.REJECTED, places=(0, 1), posted=False)
        batch = await c.progress(batch_id)
        assert (batch["refundedAmount"], batch["totalCost"]) == (2 * PRICE / 1e6, 3 * PRICE / 1e6)

    within(scenario)


def test_destinations_that_are_not_served() -> None:
    """In a batch they are left out; alone they are a validation error; nothing is charged for them."""

    async def scenario(c: Client) -> None:
        answer = await c.batch(PHONES[0], "38089336", "x")
        assert answer.status_code == 202
        assert (answer.json()["totalValid"], answer.json()["totalInvalid"]) == (1, 2)
        assert answer.json()["invalidRecipients"] == [
            {"phone": "38089336", "reason": "Destination is not supported", "code": "INVALID_DESTINATION"},
            {"phone": "x", "reason": "Invalid phone number format", "code": "INVALID_DESTINATION"},
        ]
        assert (await c.progress(answer.json()["batchId"]))["invalidRecipients"] == answer.json()["invalidRecipients"]
        answer = await c.batch("38089336")
        assert (answer.status_code, answer.json()["message"]) == (400, "No valid recipients found")
        answer = await c.post("/messages/send", phoneNumber="38089336", message="m")
        assert (answer.status_code, answer.json()["errors"]) == (
            400,
            [{"path": ["phoneNumber"], "message": "Destination is not supported"}],
        )

    within(scenario)


def test_opted_out_numbers() -> None:
    """STOP holds here too."""

    async def scenario(c: Client) -> None:
        front: Any = c.w.store
        await front.opt_out("shop", "", c.w.app.door.book.hash_number(PHONES[0][1:]), c.w.clock.now_ms())
        answer = await c.post("/messages/send", phoneNumber=PHONES[0], message="m")
        assert (answer.status_code, answer.json()["errors"][0]["message"]) == (400, "Recipient has opted out")
        answer = await c.batch(*PHONES)
        assert (answer.json()["totalValid"], answer.json()["invalidRecipients"][0]["reason"]) == (2, "Recipient has opted out")

    within(scenario)


def test_an_account_that_cannot_be_billed() -> None:
    """No tariff in force is our operator's fault: 500 with the documented code, for one and for many."""

    async def scenario(c: Client) -> None:
        await c.w.store.put_account(Account(name="shop", currency="MRU", tariff="retail", sender="Shop"))
        c.w.clock.ahead_s += 10
        billing = {"success": False, "message": "Billing transaction failed", "code": "BILLING_FAILED"}
        answer = await c.post("/messages/send", phoneNumber=PHONES[0], message="m")
        assert (answer.status_code, answer.json()) == (500, billing)
        answer = await c.batch(*PHONES)
        assert (answer.status_code, answer.json()) == (500, billing)

    within(scenario)


@pytest.mark.parametrize("path", ["/messages/send", "/otp/send", "/api/v2/bulk/send"])
def test_no_promise_no_acceptance(path: str) -> None:
    """While P1 cannot be kept: 503 QUEUE_ERROR with Retry-After, nothing charged."""

    async def scenario(c: Client) -> None:
        fields = {"phoneNumber": PHONES[0], "message": "m", "recipients": [{"phone": PHONES[0], "message": "m"}]}
        answer = await c.post(path, **fields)
        assert (answer.status_code, answer.json()) == (
            503,
            {"success": False, "message": "Failed to queue message", "code": "QUEUE_ERROR"},
        )
        assert int(answer.headers["retry-after"]) >= 1
        money = await c.w.store.balance("shop")
        assert money is not None
        assert money.available == 1_000_000_000

    within(scenario, judge=lambda _: ["red"])


def test_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 in both words: of a queue for what sends, of the service for what reads; a guess is not answered wrongly."""

    async def scenario(c: Client) -> None:
        assert (await c.post("/messages/send", phoneNumber=PHONES[0], message="m")).status_code == 200

        async def away(*_: Any, **__: Any) -> Any:
            raise StoreUnavailable

        for name in ("admit", "check_code", "messages", "accept_group"):
            monkeypatch.setattr(c.w.store, name, away)
        assert (await c.post("/messages/send", phoneNumber=PHONES[0], message="m")).json()["code"] == "QUEUE_ERROR"
        assert (await c.batch(*PHONES)).json()["code"] == "QUEUE_ERROR"
        answer = await c.post("/otp/verify", phoneNumber=PHONES[0], otp="123456")
        assert (answer.status_code, answer.json()) == (503, {"success": False, "message": "Service temporarily unavailable"})
        assert answer.headers["retry-after"]

    within(scenario)


def test_mauritania_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's switch, in both APIs."""
    monkeypatch.setitem(ground._SETTINGS, "chinqit", {"mauritania_only": True})

    async def scenario(c: Client) -> None:
        assert (await c.post("/messages/send", phoneNumber=PHONES[0], message="m")).status_code == 400
        assert (await c.batch(*PHONES)).json()["message"] == "No valid recipients found"

    within(scenario)


def test_batches_without_limit_and_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """`batches_per_hour` is the operator's; 0 is none."""
    for limit, statuses in ((0, [202, 202, 202]), (2, [202, 202, 429])):
        monkeypatch.setitem(ground._SETTINGS, "chinqit", {"batches_per_hour": limit})

        async def scenario(c: Client, statuses: list[int] = statuses) -> None:
            assert [(await c.batch(PHONES[0])).status_code for _ in range(3)] == statuses

        within(scenario)


def test_otp_text_is_masked_and_codes_are_only_hashes() -> None:
    """Nothing that the store keeps beside the message's text holds the code."""

    async def scenario(c: Client) -> None:
        answer = await c.post("/otp/send", phoneNumber=PHONES[0], language="en")
        message_id = ids.from_uuid(answer.json()["messageId"])
        assert message_id is not None
        record = (await c.w.store.messages([message_id]))[0]
        assert record is not None
        assert record.body is not None
        code = record.body.text.removeprefix("Your verification code is: ")[:6]
        assert code.isdigit()
        assert (record.body.lane, record.body.deadline_at - record.body.accepted_at) == (0, 600_000)
        kept = repr(vars(c.w.store)).replace(record.body.text, "")
        assert f"'{code}'" not in kept
        assert f" {code}" not in kept
        assert code not in (await c.w.http.get(f"/v1/messages/{message_id}")).text

    within(scenario)
