"""Batches over HTTP: good and bad apart, all or nothing for what is accepted, repeatable, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from dispatcher.core import ids
from dispatcher.core.front import Callback, Ticket
from dispatcher.core.model import Message
from dispatcher.core.ports import StoreUnavailable
from dispatcher.ingest import batch
from dispatcher.store.memory import MemoryStore
from tests.dispatcher.ingest.world import NUMBER, PRICE, TEXT, World, problem, world

NDJSON = {"content-type": "application/x-ndjson"}


def good(number: int) -> dict[str, Any]:
    """A message of a batch."""
    return {"to": f"+49171{number:07d}", "text": TEXT, "class": "bulk"}


async def post(w: World, messages: list[Any], headers: dict[str, str] | None = None) -> httpx.Response:
    """POST /v1/messages/batch of a JSON array."""
    return await w.http.post("/v1/messages/batch", json=messages, headers=headers or {})


def test_two_thousand_mixed() -> None:
    """Every tenth is bad in one of five ways: each named with its index and path, the other 1,800 accepted as a group."""
    bad: list[Any] = [
        {"to": "+4912", "text": TEXT, "class": "bulk"},
        {"to": NUMBER, "text": TEXT, "class": "bulk", "colour": 1},
        {"to": NUMBER, "text": "", "class": "bulk"},
        {"to": NUMBER, "text": TEXT, "class": "otp"},
        {"to": NUMBER, "text": TEXT, "class": "bulk", "key": "k"},
    ]
    messages = [bad[i // 10 % 5] if i % 10 == 5 else good(i) for i in range(2000)]

    async def scenario() -> None:
        async with world() as w:
            answer = await post(w, messages)
            assert answer.status_code == 202
            told = answer.json()
            assert (told["accepted"], told["price"], told["currency"]) == (1800, "63.00", "EUR")
            assert [r["index"] for r in told["rejected"]] == list(range(5, 2000, 10))
            assert [(r["error"]["path"], r["error"]["reason"]) for r in told["rejected"][:5]] == [
                ("$[5].to", "number_invalid"),
                ("$[15].colour", "unknown_field"),
                ("$[25].text", "text_empty"),
                ("$[35].class", "option_invalid"),
                ("$[45].key", "option_invalid"),
            ]
            group = await w.http.get(f"/v1/groups/{told['group']}")
            assert {k: group.json()[k] for k in ("group", "state", "count", "price")} == {
                "group": told["group"],
                "state": "live",
                "count": 1800,
                "price": "63.00",
            }
            money = await w.store.balance("shop")
            assert money is not None
            assert money.reserved == 1800 * PRICE
            assert w.count("dispatcher_sends_total")["bulk", "accepted"] == 1800
            assert sum(w.count("dispatcher_sends_total").values()) == 2000

    asyncio.run(scenario())


def test_members_have_records_before_and_after_expansion() -> None:
    """A member is queued from the 202 on, with or without its own record; its id is the group's with its index."""

    async def scenario() -> None:
        async with world() as w:
            group = (await post(w, [good(1), good(2)])).json()["group"]
            second = ids.group_members(group, 2)[1]
            before = await w.http.get(f"/v1/messages/{second}")
            assert (before.status_code, before.json()["state"], before.json()["group"]) == (200, "queued", group)
            assert problem(await w.http.delete(f"/v1/messages/{second}")) == (409, "not_ready_yet")
            assert problem(await w.http.get(f"/v1/messages/{ids.group_members(group, 3)[2]}")) == (404, "not_found")
            owner = await w.store.take_lease("engine", "n", 10_000)
            assert owner is not None
            assert await w.store.expand_groups(owner) == 2
            after = (await w.http.get(f"/v1/messages/{second}")).json()
            assert (after["state"], after["group"], len(after["segments"])) == ("queued", group, 1)
            assert (await w.http.get(f"/v1/groups/{group}")).json()["expanded"] == 2
            cancelled = await w.http.delete(f"/v1/messages/{second}")
            assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
            assert (await w.http.get(f"/v1/groups/{group}")).json()["finals"] == {"cancelled": 1}

    asyncio.run(scenario())


def test_a_member_whose_record_has_gone_is_not_queued_for_ever() -> None:
    """Expanded once and no longer kept is 404; expanded between our two looks is found at the second."""

    async def scenario() -> None:
        store = MemoryStore()
        async with world(store) as w:
            group = (await post(w, [good(1)])).json()["group"]
            member = ids.group_members(group, 1)[0]
            owner = await store.take_lease("engine", "n", 10_000)
            assert owner is not None
            await store.expand_groups(owner)
            real, looks = store.messages, []

            async def late(wanted: Sequence[str]) -> list[Message | None]:
                looks.append(wanted)
                return [None] if len(looks) == 1 else await real(wanted)

            store.messages = late  # type: ignore[method-assign]
            assert (await w.http.get(f"/v1/messages/{member}")).json()["class"] == "bulk"
            store.bodies.pop(member)
            assert problem(await w.http.get(f"/v1/messages/{member}")) == (404, "not_found")

    asyncio.run(scenario())


def test_ndjson_is_the_same_batch() -> None:
    """One message a line; a broken line is that line's error."""

    async def scenario() -> None:
        async with world() as w:
            lines = [msgspec.json.encode(good(1)), b"{broken", b"", msgspec.json.encode(good(2))]
            answer = await w.http.post("/v1/messages/batch", content=b"\n".join(lines), headers=NDJSON)
            assert answer.status_code == 202
            assert answer.json()["accepted"] == 2
            assert [(r["index"], r["error"]["path"]) for r in answer.json()["rejected"]] == [(1, "$[1]")]

    asyncio.run(scenario())


def test_all_or_nothing_when_the_money_does_not_suffice() -> None:
    """Money for 9 of 10: 402, nothing taken, no group."""

    async def scenario() -> None:
        async with world(money=9 * PRICE) as w:
            answer = await post(w, [good(i) for i in range(10)])
            assert problem(answer) == (402, "insufficient_balance")
            assert answer.json()["price"] == "0.35"
            money = await w.store.balance("shop")
            assert money is not None
            assert (money.available, money.reserved) == (9 * PRICE, 0)

    asyncio.run(scenario())


def test_a_batch_is_idempotent_as_a_whole() -> None:
    """Same key and body: same answer, marked; another body 422; the money is taken once."""

    async def scenario() -> None:
        async with world() as w:
            key = {"Idempotency-Key": "newsletter-3"}
            messages = [good(1), good(2), {"to": "x"}]
            first, second = await post(w, messages, key), await post(w, messages, key)
            assert (first.status_code, second.status_code) == (202, 202)
            assert first.json() == second.json()
            assert second.headers["idempotent-replay"] == "true"
            assert problem(await post(w, messages[:2], key)) == (422, "key_conflict")
            assert problem(await post(w, messages, {"Idempotency-Key": "no spaces"})) == (422, "option_invalid")
            money = await w.store.balance("shop")
            assert money is not None
            assert money.reserved == 2 * PRICE

    asyncio.run(scenario())


def test_nothing_accepted_is_422_with_every_reason() -> None:
    """There is no empty group."""

    async def scenario() -> None:
        async with world() as w:
            answer = await post(w, [{"to": "+4912", "text": TEXT}, {}])
            assert problem(answer) == (422, "batch_rejected")
            assert [r["error"]["path"] for r in answer.json()["rejected"]] == ["$[0].to", "$[1].to"]

    asyncio.run(scenario())


def test_limits_and_rights() -> None:
    """Too many messages 413, no key 401, an unfit type 415, another account's batch is not seen."""

    async def scenario() -> None:
        async with world(batch_messages_max=3) as w:
            assert (await post(w, [good(i) for i in range(3)])).status_code == 202
            assert problem(await post(w, [good(i) for i in range(4)])) == (413, "batch_too_large")
            assert problem(await post(w, [good(1)], {"authorization": ""})) == (401, "unauthorized")
            assert problem(await post(w, [good(1)], {"content-type": "text/csv"})) == (415, "media_type")
            group = (await post(w, [good(1)])).json()["group"]
            await w.account("other", 0)
            other = {"authorization": f"Bearer {await w.key('other')}"}
            assert problem(await w.http.get(f"/v1/groups/{group}", headers=other)) == (404, "not_found")
            member = ids.group_members(group, 1)[0]
            assert problem(await w.http.get(f"/v1/messages/{member}", headers=other)) == (404, "not_found")

    asyncio.run(scenario())


def test_others_are_served_while_a_large_batch_is_judged() -> None:
    """The loop turns between slices of 200 messages: an OTP does not wait for 10,000 others."""

    async def scenario() -> None:
        async with world() as w:
            judged = [0]
            real = w.app.door.judge

            def judge(*arguments: Any) -> Any:
                judged[0] += 1
                return real(*arguments)

            w.app.door.judge = judge  # type: ignore[method-assign]
            answer = asyncio.create_task(post(w, [good(i) for i in range(10_000)]))
            turns = 0
            while not answer.done():
                await asyncio.sleep(0)
                turns += 0 < judged[0] < 10_000
            assert (await answer).json()["accepted"] == 10_000
            assert turns >= 10_000 // batch.SLICE_MESSAGES - 1

    asyncio.run(scenario())


def test_a_keyed_batch_that_was_cut_short_is_ended_soon() -> None:
    """The store fails in the middle: 503; with a key the batch comes to be by itself and a repetition finds it, without one
    it never does, because its repetition would be another."""
    failing: list[str] = []

    async def hook(moment: str, method: str) -> None:
        if moment == "before" and method == "accept_group" and failing:
            raise StoreUnavailable(failing.pop())

    async def scenario() -> None:
        async with world(MemoryStore(hook=hook)) as w:
            for headers in ({}, {"Idempotency-Key": "batch-1"}):
                failing.append("once")
                assert problem(await post(w, [good(1)], headers)) == (503, "store_unavailable")
                await asyncio.sleep(2 * batch.FINISH_PAUSE_S)
            again = await post(w, [good(1)], {"Idempotency-Key": "batch-1"})
            assert (again.status_code, again.headers.get("idempotent-replay")) == (202, "true")
            money = await w.store.balance("shop")
            assert money is not None
            assert money.reserved == PRICE

    asyncio.run(scenario())


def test_a_batch_has_one_callback() -> None:
    """It becomes the group's ticket; a message with another one, or with none, is refused by itself."""

    async def scenario() -> None:
        async with world() as w:
            hook = {"url": "https://example.com/hook", "secret": "s", "events": "final"}
            other = {"url": "https://example.com/other"}
            items = [{**good(1), "callback": hook}, {**good(2), "callback": other}, good(3), {**good(4), "callback": hook}]
            told = (await post(w, items)).json()
            assert told["accepted"] == 2
            assert [(r["index"], r["error"]["path"]) for r in told["rejected"]] == [(1, "$[1].callback"), (2, "$[2].callback")]
            group, first = await w.store.tickets([told["group"], ids.group_members(told["group"], 1)[0]])
            assert group == Ticket(door="native", account="shop", callback=Callback(**hook))
            assert first is None

    asyncio.run(scenario())
