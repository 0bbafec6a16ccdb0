"""The desk: what goes with an acceptance, repetitions whose first answer was lost, groups, and what is shown of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from dispatcher.core import ids
from dispatcher.core.front import Code, Take, Ticket
from dispatcher.core.model import Attempt, Head, Lane, Outcome, Segment, State
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects import repeats
from dispatcher.ingest.dialects.desk import Desk, Order
from dispatcher.ingest.dialects.frame import Replayed, Request
from dispatcher.ingest.dialects.kept import PART_MEMBERS
from dispatcher.ingest.dialects.shown import FAILURES, FINAL, cause_of, given_back, state_of
from dispatcher.ingest.door import Caller
from dispatcher.ingest.keys import imported
from dispatcher.ingest.problems import Problem
from tests.dispatcher.ingest.world import NUMBER, PRICE, World, world

TO = NUMBER[1:]
ORDER = Order(TO, "Hello", "Shop")


def run(case: Callable[[], Awaitable[None]]) -> None:
    """A test's coroutine, to its end."""
    asyncio.run(case())  # type: ignore[arg-type]


async def counter(w: World) -> tuple[Desk, Caller]:
    """A desk, and the caller of account "shop" with an OTPIQ key."""
    desk = Desk(w.app.door)
    key = imported(desk.door.credentials.keyed, "shop", "otpiq", "sk_live_test", None, w.clock.now_ms())
    await w.store.put_key(key)
    return desk, await desk.credential("otpiq", "sk_live_test")


def asked(key: str = "", body: bytes = b"{}") -> Request:
    """A POST."""
    return Request("POST", "/x", b"", {b"idempotency-key": key.encode()} if key else {}, body)


def ticket(*to: str) -> Ticket:
    """A ticket of these numbers."""
    return Ticket(door="otpiq", account="shop", to=to or (TO,), alias="", note={"own": 1})


async def kind(step: Awaitable[object]) -> str:
    """The problem's kind."""
    with pytest.raises(Problem) as caught:
        await step
    return str(caught.value.kind)


def test_an_acceptance_keeps_its_ticket_and_takes() -> None:
    """Ticket and takes are there as soon as the message is; the take bears the message's id."""

    async def case() -> None:
        async with world() as w:
            desk, caller = await counter(w)
            take = Take("some", ((60, 1),), "", "limit")
            sent = await desk.submit(caller, ORDER, asked(), ticket=ticket(), takes=(take,))
            assert (sent.price, sent.segments, sent.available) == (PRICE, 1, 1_000_000_000 - PRICE)
            assert (await desk.front.tickets([sent.id]))[0] == sent.ticket == ticket()
            assert await kind(desk.submit(caller, ORDER, asked(), ticket=ticket(), takes=(take,))) == "limit"
            await desk.front.give_back([take._replace(token=sent.id)], w.clock.now_ms())
            await desk.submit(caller, ORDER, asked(), ticket=ticket(), takes=(take,))

    run(case)


def test_a_repetition_whose_answer_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that died between acceptance and answer: the stored message is returned to be worded anew, nothing is sent."""
    monkeypatch.setattr(repeats, "ANSWER_PAUSE_S", 0.001)

    async def case() -> None:
        async with world() as w:
            desk, caller = await counter(w)
            first = await desk.submit(caller, ORDER, asked("k"), ticket=ticket())
            request = asked("k")
            again = await desk.submit(caller, ORDER, request, ticket=msgspec.structs.replace(ticket(), alias="other"))
            assert (again.id, again.price, again.segments, again.ticket) == (first.id, PRICE, 1, first.ticket)
            assert (request.replayed, request.kept) == (True, None)
            assert again.available == first.available
            assert await kind(desk.submit(caller, ORDER, asked("k", b"other"), ticket=ticket())) == "key_conflict"

            group = await desk.submit_group(caller, [ORDER] * 3, asked("g"), ticket=ticket(TO, TO, TO))
            second = await desk.submit_group(caller, [ORDER] * 3, asked("g"), ticket=ticket(TO, TO, TO))
            assert second == group
            assert await kind(desk.submit_group(caller, [ORDER], asked("g", b"x"), ticket=ticket())) == "key_conflict"

    run(case)


def test_a_repetition_waits_for_the_first_answer() -> None:
    """While the first is still being answered, the second waits and gets the same."""

    async def case() -> None:
        async with world() as w:
            desk, caller = await counter(w)
            first = await desk.submit(caller, ORDER, asked("k"), ticket=ticket())
            second = asyncio.ensure_future(desk.submit(caller, ORDER, asked("k"), ticket=ticket()))
            await asyncio.sleep(0.1)
            assert not second.done()
            await desk.remember(first.id, first.ticket, Answer(201, b"body"))
            with pytest.raises(Replayed) as caught:
                await second
            assert (caught.value.answer.status, caught.value.answer.body) == (201, b"body")

    run(case)


def test_a_large_answer_is_not_kept() -> None:
    """Its repetition is worded anew from what was stored, and does not wait for it; one that just fits is kept."""

    async def case() -> None:
        async with world() as w:
            desk, caller = await counter(w)
            for key, size, kept in (("a", repeats.ANSWER_BYTES_MAX, True), ("b", repeats.ANSWER_BYTES_MAX + 1, False)):
                group = await desk.submit_group(caller, [ORDER], asked(key), ticket=ticket())
                await desk.remember(group.id, group.ticket, Answer(202, b"x" * size))
                (stored,) = await desk.front.tickets([group.id])
                assert stored is not None
                assert stored.answer is not None
                assert len(stored.answer.body) == (size if kept else 0)
                again = asyncio.ensure_future(desk.submit_group(caller, [ORDER], request := asked(key), ticket=ticket()))
                async with asyncio.timeout(repeats.ANSWER_PAUSE_S):
                    if kept:
                        with pytest.raises(Replayed):
                            await again
                    else:
                        assert (await again).id == group.id
                        assert request.replayed

    run(case)


def test_only_posts_are_repeated() -> None:
    """A GET that sends has no Idempotency-Key."""
    assert repeats.key_of(Request("GET", "/x", b"", {b"idempotency-key": b"k"})) == ("", b"")
    keys = {repeats.key_of(asked("k", body)) for body in (b"", b"a", b"b")}
    assert (len(keys), len({key for key, _ in keys})) == (3, 1)
    query = Request("POST", "/x", b"a", {b"idempotency-key": b"k"}, b"")
    assert repeats.key_of(query)[1] != repeats.key_of(asked("k", b"a"))[1]


def test_a_suspended_account_answers_like_an_invalid_key() -> None:
    """As soon as the cache of accounts has forgotten; and so does one that is gone."""

    async def case() -> None:
        async with world() as w:
            desk, caller = await counter(w)
            await w.account("shop", 0, suspended=True)
            w.clock.ahead_s += 4
            assert await kind(desk.credential("otpiq", "sk_live_test")) == "unauthorized"
            assert caller.account.number_check == "shape"
            assert (await desk.door.account("shop")) is not None

    run(case)


def test_groups_leave_out_what_was_refused() -> None:
    """Judged orders: the refused by their places, the others as members without gaps; plain ones: all or none."""

    async def case() -> None:
        async with world() as w:
            desk, caller = await counter(w)
            orders = [ORDER, ORDER._replace(to="99912345678"), ORDER._replace(text=""), ORDER]
            judged = await desk.judge_group(caller, orders)
            assert [(i, str(why.reason)) for i, why in judged.refused] == [(1, "no_price"), (2, "text_empty")]
            group = await desk.submit_group(caller, judged, asked(), ticket=ticket(TO, TO))
            assert (group.members, group.price, group.ids) == (2, 2 * PRICE, ids.group_members(group.id, 2))
            assert await kind(desk.submit_group(caller, orders, asked(), ticket=ticket(TO))) == "no_price"
            none = await desk.judge_group(caller, orders[1:2])
            assert await kind(desk.submit_group(caller, none, asked(), ticket=ticket())) == "batch_rejected"
            await desk.front.opt_out("shop", "Shop", desk.door.book.hash_number(TO), w.clock.now_ms())
            stopped = await desk.judge_group(caller, [ORDER, ORDER._replace(to="4917112345")])
            assert [(i, str(why.reason)) for i, why in stopped.refused] == [(0, "opted_out")]

    run(case)


def test_a_group_that_is_refused_gives_its_takes_back() -> None:
    """Balance too low: the window is as before; accepted ones count."""

    async def case() -> None:
        async with world(money=3 * PRICE) as w:
            desk, caller = await counter(w)
            takes = (Take("batches", ((3600, 1),), "", "limit"),)
            five = await desk.judge_group(caller, [ORDER] * 5)
            tickets = ticket(*[TO] * 5)
            assert await kind(desk.submit_group(caller, five, asked(), ticket=tickets, takes=takes)) == "insufficient_balance"
            await desk.submit_group(caller, [ORDER] * 2, asked(), ticket=ticket(TO, TO), takes=takes)
            assert await kind(desk.submit_group(caller, [ORDER], asked(), ticket=ticket(), takes=takes)) == "limit"

    run(case)


def test_guards_at_the_desk() -> None:
    """A dialect's own limits are asked before the account's; a code of ours counts as asked for; a group beyond a limit is
    refused as a whole, with the time to wait, and takes nothing."""

    async def case() -> None:
        async with world() as w:
            account = await w.store.account("shop")
            assert account is not None
            await w.store.put_account(msgspec.structs.replace(account, velocity=((60, 3),)))
            w.clock.ahead_s += 4
            desk, caller = await counter(w)
            many = [Order(f"4917112345{n:02}", "Hello", "Shop") for n in range(4)]
            with pytest.raises(Problem) as caught:
                await desk.submit_group(caller, many, asked(), ticket=ticket(*(order.to for order in many)))
            assert (caught.value.kind, caught.value.status, caught.value.retry_after_s) == ("velocity", 429, 60)
            assert w.count("dispatcher_sends_total")["transactional", "velocity"] == 4
            three = await desk.submit_group(caller, many[:3], asked(), ticket=ticket(*(order.to for order in many[:3])))
            assert three.members == 3
            own = Take("otp:x", ((60, 0),), "", "limit")
            assert await kind(desk.submit(caller, ORDER, asked(), ticket=ticket(), takes=(own,))) == "limit"
            assert await kind(desk.submit(caller, ORDER, asked(), ticket=ticket())) == "velocity"
            code = Code("c", b"d" * 32, 3, w.clock.now_ms() + 60_000)
            await desk.submit(caller, ORDER._replace(lane="otp"), asked(), ticket=ticket(), code=code)
            counts = await desk.front.conversions(w.clock.now_ms(), 1)
            assert {name: (count.sent, count.used) for name, count in counts.items()} == {"shop:DE": (1, 0)}
            assert (await desk.front.check_code("c", b"d" * 32, w.clock.now_ms())).verdict == "right"
            assert (await desk.front.conversions(w.clock.now_ms(), 1))["shop:DE"].used == 1

    run(case)


def test_what_is_shown_before_anything_was_sent() -> None:
    """A single message is queued; a group's members are accepted until they have records; others see nothing."""

    async def case() -> None:
        async with world() as w:
            desk, caller = await counter(w)
            sent = await desk.submit(caller, ORDER, asked(), ticket=msgspec.structs.replace(ticket(), alias="sms-1"))
            for name in (sent.id, "sms-1"):
                shown = await desk.message(caller, name)
                assert shown is not None
                assert (shown.id, shown.state, shown.to, shown.price) == (sent.id, "queued", TO, PRICE)
            group = await desk.submit_group(caller, [ORDER] * 3, asked(), ticket=ticket("1", "2", "3"))
            found = await desk.group(caller, group.id, 1, 1)
            assert found is not None
            assert (found.counts, found.members, found.price) == ({"accepted": 3}, 3, 3 * PRICE)
            assert [(m.id, m.to) for m in found.messages] == [(group.ids[1], "2")]
            member = await desk.message(caller, group.ids[2])
            assert member is not None
            assert (member.state, member.to) == ("accepted", "3")
            await w.account("other", 0)
            stranger = Caller(caller.key, msgspec.structs.replace(caller.account, name="other"))
            for name in (sent.id, "sms-1", group.ids[0], "nothing", ids.encode(1, 1)):
                assert await desk.message(stranger, name) is None
            assert await desk.group(stranger, group.id) is None
            assert await desk.message(caller, ids.group_members(group.id, 1, 4)[0]) is None

    run(case)


def test_a_group_of_fifty_thousand_is_read_without_holding_the_loop() -> None:
    """In slices: meanwhile the loop turns, and a page costs nothing extra."""

    async def case() -> None:
        async with world(money=50_000 * PRICE) as w:
            desk, caller = await counter(w)
            group = await desk.submit_group(caller, [ORDER] * 50_000, asked(), ticket=ticket(*[TO] * 50_000))
            reading = asyncio.ensure_future(desk.group(caller, group.id, 49_999))
            turns = 0
            while not reading.done():
                await asyncio.sleep(0)
                turns += 1
            found = reading.result()
            assert found is not None
            assert (found.counts, len(found.messages)) == ({"accepted": 50_000}, 1)
            assert turns >= 50_000 // PART_MEMBERS

    run(case)


# -- the ten states

TOLD = Attempt(1, "c", "b", 5, Outcome.ACCEPTED)
UNTOLD = Attempt(1, "c", "b", 5, Outcome.PENDING)
FAILED = Attempt(1, "c", "b", 5, Outcome.PERMANENT, code=0x0B)


def head(state: State, *segments: Segment) -> Head:
    """A head in a state."""
    lane = int(Lane.BULK)
    return Head(state, 9, list(segments) or [Segment(state)], "shop", lane, "r", 10, "EUR", "t", "h", 1, 99, 0)


@pytest.mark.parametrize(
    ("state", "attempts", "shown"),
    [
        (State.QUEUED, [], "queued"),
        (State.WAITING, [FAILED], "queued"),
        (State.SUBMITTING, [UNTOLD], "queued"),
        (State.SUBMITTING, [FAILED, UNTOLD], "submitted"),
        (State.SUBMITTING, [TOLD], "submitted"),
        (State.SUBMITTED, [TOLD], "submitted"),
        (State.DOUBT, [UNTOLD], "submitted"),
        *((state, [TOLD], state.wire) for state in State if state.final),
    ],
)
def test_states(state: State, attempts: list[Attempt], shown: str) -> None:
    """1.2: waiting is queued, doubt is submitted, submitting is queued until a first attempt's bytes have left."""
    assert state_of(head(state, Segment(state, attempts))) == shown


def test_every_final_state_is_one_of_ours() -> None:
    """What is final inside is final here; a failure is final."""
    assert {state.wire for state in State if state.final} == FINAL
    assert FAILURES < FINAL


def test_what_was_given_back() -> None:
    """Refunds, and what was never taken of a message that has ended; nothing while it lives."""
    assert given_back(head(State.SUBMITTED, Segment(posted=True), Segment())) == 0
    assert given_back(head(State.FAILED, Segment(posted=True, refunded=True), Segment(posted=True), Segment())) == 20
    assert given_back(head(State.DELIVERED, Segment(posted=True))) == 0


def test_causes() -> None:
    """Of the part that went worst: its last receipt's cause or state, else its last answer's name."""
    receipt = msgspec.structs.replace(TOLD, receipt="UNDELIV", cause="absent")
    plain = msgspec.structs.replace(TOLD, receipt="REJECTD")
    assert cause_of(head(State.UNDELIVERED, Segment(State.UNDELIVERED, [receipt]))) == "absent"
    assert cause_of(head(State.REJECTED, Segment(State.DELIVERED, [TOLD]), Segment(State.REJECTED, [plain]))) == "REJECTD"
    assert cause_of(head(State.REJECTED, Segment(State.REJECTED, [FAILED]))) == "ESME_RINVDSTADR"
    assert cause_of(head(State.EXPIRED, Segment(State.EXPIRED))) == ""
