"""Idempotency keys over HTTP: the same answer for the same body, whoever is first, and never two sends."""

from __future__ import annotations

import asyncio

import pytest

from dispatcher.core.ports import Admission, Store, Verdict
from dispatcher.store.memory import MemoryStore
from tests.dispatcher.ingest.world import PRICE, World, problem, world


async def reserved(w: World) -> int:
    """What is reserved for the account now, micro-units."""
    money = await w.store.balance("shop")
    assert money is not None
    return money.reserved


@pytest.mark.parametrize("where", ["header", "body", "both"])
def test_a_repeat_gets_the_same_answer_and_a_mark(where: str) -> None:
    """Header and body field are one and the same key."""

    async def scenario() -> None:
        async with world() as w:
            first, second = [
                await w.send(
                    headers={"Idempotency-Key": "order-17"} if where != "body" else {},
                    **({"key": "order-17"} if where != "header" else {}),
                )
                for _ in range(2)
            ]
            assert (first.status_code, second.status_code) == (202, 202)
            assert first.json() == second.json()
            assert "idempotent-replay" not in first.headers
            assert second.headers["idempotent-replay"] == "true"
            assert await reserved(w) == PRICE
            assert w.count("dispatcher_sends_total") == {
                ("transactional", "accepted"): 1,
                ("transactional", "duplicate"): 1,
            }

    asyncio.run(scenario())


def test_another_body_under_the_key_is_a_conflict() -> None:
    """422 key_conflict, and nothing is taken."""

    async def scenario() -> None:
        async with world() as w:
            assert (await w.send(key="k")).status_code == 202
            assert problem(await w.send(key="k", text="other")) == (422, "key_conflict")
            assert await reserved(w) == PRICE

    asyncio.run(scenario())


def test_header_and_body_that_differ_are_refused() -> None:
    """Which of the two would it be?"""

    async def scenario() -> None:
        async with world() as w:
            assert problem(await w.send(headers={"Idempotency-Key": "a"}, key="b")) == (422, "idempotency_mismatch")

    asyncio.run(scenario())


def test_parallel_repeats_make_one_send() -> None:
    """20 at once with one key: one is accepted, 19 are told its id."""

    async def scenario() -> None:
        async with world() as w:
            answers = await asyncio.gather(*(w.send(key="k") for _ in range(20)))
            assert {a.status_code for a in answers} == {202}
            assert len({a.text for a in answers}) == 1
            assert sum("idempotent-replay" in a.headers for a in answers) == 19
            assert await reserved(w) == PRICE

    asyncio.run(scenario())


def test_keys_belong_to_their_account() -> None:
    """Two accounts may use the same key."""

    async def scenario() -> None:
        async with world() as w:
            await w.account("other", 10 * PRICE)
            other = {"authorization": f"Bearer {await w.key('other')}"}
            first, second = await w.send(key="k"), await w.send(key="k", headers=other)
            assert first.json()["id"] != second.json()["id"]

    asyncio.run(scenario())


def test_409_while_the_key_is_in_flight_elsewhere() -> None:
    """The store's verdict "pending" (another process holds the key) is 409 with Retry-After."""

    class Pending(MemoryStore):
        async def admit(self, batch: list[Admission], at: int, cursor: object = None) -> list[Verdict]:  # type: ignore[override]
            return [Verdict("pending", "") for _ in batch]

    async def scenario() -> None:
        store: Store = Pending()
        async with world(store) as w:
            answer = await w.send(key="k")
            assert problem(answer) == (409, "key_pending")
            assert answer.headers["retry-after"] == "1"

    asyncio.run(scenario())


def test_the_first_price_is_told_again() -> None:
    """A replay after the price has changed tells what was taken, not what it would be now."""

    async def scenario() -> None:
        async with world() as w:
            first = await w.send(key="k")
            record = (await w.store.messages([first.json()["id"]]))[0]
            assert record is not None
            door = w.app.door
            real = door.judge

            def dearer(*arguments: object) -> object:
                admission = real(*arguments)  # type: ignore[arg-type]
                admission.body.unit_price *= 2  # type: ignore[union-attr]
                return admission

            door.judge = dearer  # type: ignore[method-assign,assignment]
            second = await w.send(key="k")
            assert second.json() == first.json()

    asyncio.run(scenario())
