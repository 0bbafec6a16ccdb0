"""SMSKit inside: what becomes of an order, which class a list has, who is left out of it, and the longest list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from dispatcher.core.front import Ticket
from dispatcher.core.model import Body, Lane, Refusal
from dispatcher.core.ports import StoreUnavailable
from dispatcher.ingest.dialects import smskit_words as words
from dispatcher.ingest.dialects.smskit_rules import CAMPAIGN_RECIPIENTS_MIN, RECIPIENTS_MAX
from dispatcher.ingest.keys import imported
from dispatcher.ingest.problems import KINDS, Problem
from dispatcher.store.memory import MemoryStore
from smpp.text import Encoding
from tests.dispatcher.ingest.world import World, world

LOGIN = {"apikey": "key", "apitoken": "token"}


@asynccontextmanager
async def kit(**account: Any) -> AsyncIterator[World]:
    """A world with the account "kit" and its credentials."""
    async with world() as w:
        await w.account("kit", 10**12, **account)
        await w.store.put_key(imported(w.app.door.credentials.keyed, "kit", "smskit", "key", "token", 0))
        yield w


async def ask(w: World, action: str, **parameters: str) -> dict[str, Any]:
    """One action."""
    answer = await w.http.post(f"/smsAPI?{action}", data=LOGIN | parameters)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def group_of(w: World, to: str, **more: str) -> str:
    """The group of an accepted list."""
    found = await ask(w, "sendsms", **{"from": "Shop", "to": to, "text": "hi"} | more)
    assert found["status"] == "queued", found
    return str(found["group_id"])


async def kept(w: World, group: str) -> tuple[str, Ticket]:
    """Our id and the ticket behind a group."""
    message_id = await w.store.find_alias(group)
    assert message_id is not None
    ticket = (await w.store.tickets([message_id]))[0]
    assert ticket is not None
    return message_id, ticket


async def body_of(w: World, group: str) -> Body:
    """The body of a group of one."""
    record = (await w.store.messages([(await kept(w, group))[0]]))[0]
    assert record is not None
    assert record.body is not None
    return record.body


async def recipients(w: World, group: str) -> list[tuple[str, str]]:
    """Numbers and statuses."""
    return [(each["to"], each["status"]) for each in (await ask(w, "groupstatus", groupid=group))["recipients"]]


def numbers(count: int) -> str:
    """A list of so many different ones."""
    return ",".join(f"49151{n:08d}" for n in range(count))


def test_flash_and_unicode_reach_the_message() -> None:
    """Class 0, and UCS-2 also for what GSM-7 could say."""

    async def scenario() -> None:
        async with kit() as w:
            flash = await body_of(w, await group_of(w, "4915112345678", type="flash"))
            assert flash.options is not None
            assert (flash.options.flash, flash.encoding) == (True, Encoding.GSM7)
            unicode = await body_of(w, await group_of(w, "4915112345678", type="unicode"))
            assert (unicode.options, unicode.encoding) == (None, Encoding.UCS2)
            assert (unicode.lane, unicode.sender) == (Lane.TRANSACTIONAL, "Shop")

    asyncio.run(scenario())


@pytest.mark.parametrize("count", [CAMPAIGN_RECIPIENTS_MIN - 1, CAMPAIGN_RECIPIENTS_MIN])
def test_a_long_list_is_a_campaign(count: int) -> None:
    """From 1,001 numbers on the class is bulk."""

    async def scenario() -> None:
        async with kit() as w:
            group_id, ticket = await kept(w, await group_of(w, numbers(count)))
            assert isinstance(w.store, MemoryStore)
            assert w.store.groups[group_id].plan.lane == (Lane.BULK if count >= CAMPAIGN_RECIPIENTS_MIN else Lane.TRANSACTIONAL)
            assert len(ticket.to) == count

    asyncio.run(scenario())


def test_who_cannot_be_sent_to_is_left_out_of_a_list() -> None:
    """No price, a country that the account may not reach, an opt-out: each failed, the others sent and paid."""

    async def scenario() -> None:
        async with kit(countries=("DE",)) as w:
            to_hash = w.app.door.book.hash_number("4915112345672")
            await w.store.opt_out("kit", "Shop", to_hash, 0)
            group = await group_of(w, "4915112345671,4915112345672,12,447911123456,999912345678,4915112345673")
            sent = ["4915112345671", "4915112345673"]
            left_out = ["4915112345672", "447911123456", "999912345678", "12"]
            expected = [(to, "queued") for to in sent] + [(to, "failed") for to in left_out]
            assert await recipients(w, group) == expected
            money = await w.store.balance("kit")
            assert money is not None
            assert money.reserved == 2 * 35_000
            alone = await ask(w, "sendsms", **{"from": "Shop", "to": "4915112345672", "text": "hi"})
            assert alone["message"] == "Destination number has opted out"
            both = await ask(w, "sendsms", **{"from": "Shop", "to": "447911123456,999912345678", "text": "hi"})
            assert both["message"] == "Invalid destination number"

    asyncio.run(scenario())


def test_the_ticket_holds_numbers_and_no_text() -> None:
    """What a bad entry of a list holds may be anything: it is kept cut."""

    async def scenario() -> None:
        async with kit() as w:
            group = await group_of(w, f"{'x' * 500},4915112345671", text="secret text")
            _, ticket = await kept(w, group)
            shown = ("4915112345671", "x" * 32)
            assert (ticket.door, ticket.account, ticket.to, ticket.alias) == ("smskit", "kit", shown, group)
            assert list(ticket.note) == ["first"]
            assert "secret" not in repr(ticket)

    asyncio.run(scenario())


def test_a_store_that_is_away() -> None:
    """503 keeps its status and has Retry-After, at the numbers, at the acceptance and at the group; then all is as before."""

    async def scenario() -> None:
        async with kit() as w:
            assert isinstance(w.store, MemoryStore)
            group = await group_of(w, "4915112345671,4915112345672")
            send = LOGIN | {"from": "Shop", "to": "4915112345671,4915112345672", "text": "hi"}
            for failing, action in (
                ("draw_numbers", "sendsms"),
                ("accept_group", "sendsms"),
                ("find_alias", "groupstatus"),
                ("heads", "groupstatus"),
                ("inbox", "getinbox"),
                ("balance", "balance"),
            ):

                async def hook(when: str, name: str, failing: str = failing) -> None:
                    if (when, name) == ("before", failing):
                        raise StoreUnavailable("away")

                w.store.hook = hook
                answer = await w.http.post(f"/smsAPI?{action}", data=send | {"groupid": group})
                w.store.hook = None
                message = {"request": action, "status": "error", "message": "Service temporarily unavailable"}
                assert (answer.status_code, answer.json()) == (503, message), failing
                assert int(answer.headers["retry-after"]) >= 1
            assert [status for _, status in await recipients(w, group)] == ["queued", "queued"]

    asyncio.run(scenario())


def test_limits_keep_their_status() -> None:
    """429 with Retry-After: sends to one range, as the account's limit has it."""

    async def scenario() -> None:
        async with kit(velocity=((60, 1),)) as w:
            await group_of(w, "4915112345671")
            send = LOGIN | {"from": "Shop", "to": "4915112345672", "text": "hi"}
            answer = await w.http.post("/smsAPI?sendsms", data=send)
            assert (answer.status_code, answer.json()["message"]) == (429, "Too many messages to this range of numbers")
            assert 1 <= int(answer.headers["retry-after"]) <= 60

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", KINDS)
def test_every_problem_has_words(kind: str) -> None:
    """None is left to 500 but what is ours, and what only the native API raises; everything else is 200, 405, 408, 413, 429
    or 503."""
    native = {
        "account_mismatch", "not_found", "not_cancellable", "not_ready_yet", "batch_too_large", "media_type", "batch_rejected",
        "idempotency_mismatch", Refusal.UNKNOWN_FIELD, Refusal.VALIDITY, "internal",
    }  # fmt: skip
    answer = words.word(Problem(kind), "sendsms")
    assert answer.status in {200, 405, 408, 413, 429, 500, 503}
    assert (answer.status == 500) == (kind in native), kind
    body = msgspec.json.decode(answer.body)
    assert (body["request"], body["status"]) == ("sendsms", "error")


def test_a_group_of_another_door_is_none() -> None:
    """An alias is found whoever drew it; only SMSKit's are groups here."""

    async def scenario() -> None:
        async with kit() as w:
            group = await group_of(w, "4915112345671")
            message_id, ticket = await kept(w, group)
            ticket.door = "otpiq"
            await w.store.put_ticket(message_id, ticket)
            assert (await ask(w, "groupstatus", groupid=group))["message"] == "Group not found"

    asyncio.run(scenario())


@pytest.mark.parametrize(("count", "fits"), [(RECIPIENTS_MAX, True), (RECIPIENTS_MAX + 1, False)])
def test_the_longest_list(count: int, fits: bool) -> None:
    """50,000 and no more, all of them accepted in one and shown again."""

    async def scenario() -> None:
        async with kit() as w:
            found = await ask(w, "sendsms", **{"from": "Shop", "to": numbers(count), "text": "hi"})
            if not fits:
                assert found["message"] == "Too many recipients: at most 50000"
                return
            shown = await ask(w, "groupstatus", groupid=found["group_id"])
            assert (shown["group_status"], len(shown["recipients"])) == ("queued", count)

    asyncio.run(scenario())
