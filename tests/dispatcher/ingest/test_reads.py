"""Reading and cancelling over HTTP: what is shown, to whom, and what never is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.core.front import CANCEL_WISHES_OF_ACCOUNT_MAX
from dispatcher.core.lifecycle import Withdrawn, collect, decide
from dispatcher.core.model import Attempt, Head, Outcome, Segment, State
from dispatcher.core.ports import Effects, Owner, Queue, VersionedHead
from dispatcher.core.retry import Rules
from dispatcher.ingest import cancelling
from tests.dispatcher.ingest.world import NUMBER, PRICE, TEXT, World, problem, settings_of, world


async def popped(w: World) -> tuple[Owner, Any]:
    """An engine takes the first message in flight."""
    owner = await w.store.take_lease("engine", "nonce", 60_000)
    assert owner is not None
    queues: list[Queue] = list(await w.store.queues())
    return owner, (await w.store.pop(owner, queues, 1, w.clock.now_ms()))[0]


def head_of(message: Any, state: State, segments: list[Segment], now: int) -> Head:
    """A head of the message with these segments."""
    b = message.body
    return Head(
        state, now, segments, b.account, b.lane, b.route, b.unit_price, b.currency, b.tariff, b.to_hash, b.accepted_at,
        b.deadline_at, b.on_unknown, first_at=now, key=b.key, ref=b.ref, sender=b.sender, country=b.country,
    )  # fmt: skip


async def submitted(w: World, *, accepted: list[bool]) -> str:
    """A message whose segments have been submitted; some of them still wait for their turn."""
    answer = await w.send(text="x" * (150 * len(accepted)) if len(accepted) > 1 else TEXT)
    owner, message = await popped(w)
    now = w.clock.now_ms()
    ahead = [Segment(State.SUBMITTING, [Attempt(1, "alpha", "b1", now)]) for _ in accepted]
    await w.store.write_ahead(owner, [VersionedHead(message.id, 1, head_of(message, State.SUBMITTING, ahead, now))])
    done = [
        Segment(State.SUBMITTED, [Attempt(1, "alpha", "b1", now, Outcome.ACCEPTED, 0, f"c{i}", now, 10_000)], posted=True)
        if ok
        else Segment(State.WAITING, [Attempt(1, "alpha", "b1", now, Outcome.TEMPORARY, 0x45, "", now)])
        for i, ok in enumerate(accepted)
    ]
    effects = Effects()
    state = State.SUBMITTED if all(accepted) else State.WAITING
    effects.heads.append(VersionedHead(message.id, 2, head_of(message, state, done, now)))
    effects.settled.append(message.id)
    await w.store.settle(owner, effects)
    return str(answer.json()["id"])


def test_a_message_is_shown_with_every_segment_and_attempt() -> None:
    """Attempts with carrier, outcome, status name and times; never our cost, the text, or the number."""

    async def scenario() -> None:
        async with world() as w:
            message_id = await submitted(w, accepted=[True, False])
            answer = await w.http.get(f"/v1/messages/{message_id}")
            assert answer.status_code == 200
            shown = answer.json()
            assert [(s["segment"], s["state"], s["charged"]) for s in shown["segments"]] == [
                (1, "submitted", True),
                (2, "waiting", False),
            ]
            attempt = shown["segments"][0]["attempts"][0]
            assert (attempt["number"], attempt["carrier"], attempt["outcome"], attempt["carrier_id"]) == (
                1,
                "alpha",
                "accepted",
                "c0",
            )
            assert attempt["at"].endswith("Z")
            refused = shown["segments"][1]["attempts"][0]
            assert (refused["outcome"], refused["code"], refused["name"]) == ("temporary", 0x45, "ESME_RSUBMITFAIL")
            assert (shown["price"], shown["from"], shown["class"]) == ("0.07", "Shop", "transactional")
            assert "cost" not in answer.text
            assert "xxxx" not in answer.text
            assert NUMBER[1:] not in answer.text

    asyncio.run(scenario())


def test_the_number_is_shown_only_to_accounts_that_opted_in() -> None:
    """Otherwise its keyed hash; the text to nobody, otp or not."""

    async def scenario() -> None:
        async with world() as w:
            await w.account("open", 10 * PRICE, show_numbers=True)
            opened = {"authorization": f"Bearer {await w.key('open')}"}
            hidden = (await w.http.get(f"/v1/messages/{(await w.send()).json()['id']}")).json()
            shown_id = (await w.send(headers=opened, **{"class": "otp"})).json()["id"]
            shown = await w.http.get(f"/v1/messages/{shown_id}", headers=opened)
            assert (len(hidden["to"]), shown.json()["to"]) == (16, NUMBER[1:])
            assert TEXT not in shown.text

    asyncio.run(scenario())


def test_found_by_its_key() -> None:
    """GET /v1/messages?key= shows the message; an unknown key 404; no key 422; another account's key is unknown."""

    async def scenario() -> None:
        async with world() as w:
            sent = (await w.send(key="order-1")).json()["id"]
            found = await w.http.get("/v1/messages", params={"key": "order-1"})
            assert (found.json()["id"], found.json()["key"]) == (sent, "order-1")
            assert problem(await w.http.get("/v1/messages", params={"key": "order-2"})) == (404, "not_found")
            assert problem(await w.http.get("/v1/messages")) == (422, "malformed")
            await w.account("other", 0)
            other = {"authorization": f"Bearer {await w.key('other')}"}
            assert problem(await w.http.get("/v1/messages", params={"key": "order-1"}, headers=other)) == (404, "not_found")
            assert problem(await w.http.get(f"/v1/messages/{sent}", headers=other)) == (404, "not_found")
            assert problem(await w.http.delete(f"/v1/messages/{sent}", headers=other)) == (404, "not_found")
            assert (await w.http.get(f"/v1/messages/{sent}")).json()["state"] == "queued"
            assert problem(await w.http.get("/v1/messages/nonsense")) == (404, "not_found")
            assert problem(await w.http.get("/v1/messages/" + "0" * 26)) == (404, "not_found")
            assert problem(await w.http.get("/v1/groups/nonsense")) == (404, "not_found")

    asyncio.run(scenario())


def test_cancel_of_a_queued_message_is_final_and_gives_the_money_back() -> None:
    """200 with the cancelled message; a second cancel is 409; the engine no longer gets it."""

    async def scenario() -> None:
        async with world() as w:
            sent = (await w.send()).json()["id"]
            answer = await w.http.delete(f"/v1/messages/{sent}")
            assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
            money = await w.store.balance("shop")
            assert money is not None
            assert (money.available, money.reserved) == (1_000_000_000, 0)
            assert problem(await w.http.delete(f"/v1/messages/{sent}")) == (409, "not_cancellable")
            owner = await w.store.take_lease("engine", "nonce", 60_000)
            assert owner is not None
            assert await w.store.pop(owner, [Queue("main", lane) for lane in (0, 1, 2)], 10, w.clock.now_ms()) == []  # type: ignore[arg-type]

    asyncio.run(scenario())


def test_cancel_conflicts() -> None:
    """409 for what is in flight, and for what has been submitted entirely; nothing changes."""

    async def scenario() -> None:
        async with world() as w:
            sent = await submitted(w, accepted=[True])
            assert problem(await w.http.delete(f"/v1/messages/{sent}")) == (409, "not_cancellable")
            held = (await w.send()).json()["id"]
            owner = Owner("engine", 1)
            queues = list(await w.store.queues())
            assert [m.id for m in await w.store.pop(owner, queues, 1, w.clock.now_ms())] == [held]
            assert problem(await w.http.delete(f"/v1/messages/{held}")) == (409, "not_cancellable")
            assert (await w.http.get(f"/v1/messages/{held}")).json()["state"] == "queued"

    asyncio.run(scenario())


def test_cancel_of_a_partly_submitted_message_cancels_the_rest() -> None:
    """The submitted segment goes on, the waiting one is cancelled."""

    async def scenario() -> None:
        async with world() as w:
            sent = await submitted(w, accepted=[True, False])
            answer = await w.http.delete(f"/v1/messages/{sent}")
            assert answer.status_code == 200
            assert [s["state"] for s in answer.json()["segments"]] == ["submitted", "cancelled"]

    asyncio.run(scenario())


@pytest.mark.parametrize("takes_back", [True, False])
def test_cancel_of_a_submitted_message_waits_for_its_carriers_word(takes_back: bool) -> None:
    """A wish in the store; an engine ends it, having cancelled the message (200) or not (409)."""

    async def scenario() -> None:
        async with world(carrier={"questions": {"cancel": True}}) as w:
            sent = await submitted(w, accepted=[True])

            async def engine() -> None:
                while not await w.store.cancel_wishes(w.clock.now_ms()):  # noqa: ASYNC110  # a real one looks too
                    await asyncio.sleep(0.01)
                if takes_back:
                    (message,) = await w.store.messages([sent])
                    assert message is not None
                    effects = Effects()
                    rules = Rules(settings_of(), {}, {}, lambda: 0.5)
                    collect(effects, message, decide(message, Withdrawn(1, 1), rules, w.clock.now_ms()))
                    assert await w.store.commit(effects) == []
                await w.store.end_cancel_wish("shop", sent, w.clock.now_ms())

            running = asyncio.create_task(engine())
            answer = await w.http.delete(f"/v1/messages/{sent}")
            await running
            if takes_back:
                assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
            else:
                assert problem(answer) == (409, "not_cancellable")
                assert "the carrier did not cancel it" in answer.json()["detail"]

    asyncio.run(scenario())


def test_a_cancel_beyond_what_may_wait_says_that_nobody_was_asked() -> None:
    """An account with as many wishes open as it may have is answered at once; its message waits for nothing."""

    async def scenario() -> None:
        async with world(carrier={"questions": {"cancel": True}}) as w:
            sent = await submitted(w, accepted=[True])
            for number in range(CANCEL_WISHES_OF_ACCOUNT_MAX):
                assert await w.store.wish_cancel("shop", f"m{number}", w.clock.now_ms())
            answer = await asyncio.wait_for(w.http.delete(f"/v1/messages/{sent}"), cancelling.WORD_S / 2)
            assert problem(answer) == (409, "not_cancellable")
            assert "its carrier was not asked" in answer.json()["detail"]
            assert sent not in await w.store.cancel_wishes(w.clock.now_ms())

    asyncio.run(scenario())


def test_cancel_decides_again_when_the_message_moved_meanwhile() -> None:
    """A head that changed between reading and committing is read again; the cancel is never applied to an old one."""

    async def scenario() -> None:
        async with world() as w:
            sent = (await w.send()).json()["id"]
            real, calls = w.store.commit, []

            async def commit(effects: Effects) -> list[str]:
                calls.append(effects)
                return [sent] if len(calls) == 1 else await real(effects)

            w.store.commit = commit  # type: ignore[method-assign]
            answer = await w.http.delete(f"/v1/messages/{sent}")
            assert (answer.status_code, answer.json()["state"], len(calls)) == (200, "cancelled", 2)

    asyncio.run(scenario())


def test_balance_is_decimal_text() -> None:
    """Exact decimals, with what is reserved."""

    async def scenario() -> None:
        async with world() as w:
            await w.send()
            assert (await w.http.get("/v1/balance")).json() == {
                "account": "shop",
                "available": "999.965",
                "reserved": "0.035",
                "floor": "0.00",
                "currency": "EUR",
            }

    asyncio.run(scenario())


def test_preview_writes_nothing() -> None:
    """Encoding, segments, route, carriers, price; no message, no money; wrong sends get the problem of the send."""

    async def scenario() -> None:
        async with world() as w:
            answer = await w.http.post("/v1/messages/preview", json={"to": NUMBER, "text": "Grüße ✓"})
            assert answer.status_code == 200
            told = answer.json()
            assert (told["encoding"], told["segments"], told["route"], told["carriers"]) == ("ucs2", 1, "main", ["alpha"])
            assert (told["price"], told["from"]) == ("0.035", "Shop")
            money = await w.store.balance("shop")
            assert money is not None
            assert (money.available, money.reserved) == (1_000_000_000, 0)
            assert list(await w.store.queues()) == []
            assert problem(await w.http.post("/v1/messages/preview", json={"to": NUMBER, "text": ""})) == (422, "text_empty")
            assert problem(await w.http.post("/v1/messages/preview", json={"to": 1})) == (422, "malformed")

    asyncio.run(scenario())
