"""What the doors keep, through lost replies, cuts, rivals and crashes. Real server, no mocks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest
import trio

from dispatcher.core.front import Code, CodeCheck, Conversion, Extras, Take, Taken, Ticket
from dispatcher.core.ports import Admission, StoreUnavailable
from dispatcher.store.redis import RedisStore, open_trio_store
from tests.conformance.world import PRICE, T0, admission, available, funded, group
from tests.conftest import RealServer
from tests.dispatcher.store.faults import faulty

TO = "0123456789abcdef"
KEPT = Ticket(door="otpiq", account="acme", alias="sms-1")
DAY = ((86_400, 1_000_000),)


def run(case: Callable[[], Awaitable[None]]) -> None:
    """The case, bounded."""

    async def whole() -> None:
        with trio.fail_after(30):
            await case()

    trio.run(whole)


def otp_send(*takes: Take) -> Admission:
    """A send with everything that a door may keep beside it."""
    return admission()._replace(extras=Extras(KEPT, Code("k", b"d", 3, T0 + 600_000), takes, "acme:TZ"))


async def kept_with(store: RedisStore, message_id: str) -> tuple[bool, bool, bool]:
    """Whether the ticket, the alias and the code of a message are there."""
    (ticket,) = await store.tickets([message_id])
    return ticket is not None, await store.find_alias("sms-1") == message_id, await code_of(store) == message_id


async def code_of(store: RedisStore) -> str:
    """The message whose code is live."""
    found = await store.ask("desk", b"*3\r\n$4\r\nHGET\r\n$15\r\nsms:{p0}:code:k\r\n$2\r\nid\r\n", 1)
    return (found[0] or b"").decode()


@pytest.mark.parametrize("plan", ["lose", "cut", "late", "between"])
def test_what_goes_with_a_send_is_there_once_iff_the_send_is(server: RealServer, plan: str) -> None:
    """Reply lost, cut inside MULTI, still travelling when we repeat, or `open` raised by a rival before the EXEC."""

    async def case() -> None:
        store, driver = faulty(server.url)
        other = await open_trio_store(server.url)
        await funded(store)
        await store.admit([admission()], T0)

        async def rival() -> None:
            assert await other.sweep_holds(T0 + 60_000, 60_000) == 1

        takes = (Take("s", ((60, 1),), "t", "limit"), Take("m", DAY, "t", "spend_cap", PRICE))
        item = otp_send(*takes)
        driver.plan, driver.match, driver.act = plan, b"EXEC\r\n", rival
        driver.act = rival if plan == "between" else None
        assert [v.verdict for v in await store.admit([item], T0)] == ["accepted"]
        assert driver.plan == ""
        await driver.arrive()
        assert await available(store) == 1_000_000 - 2 * PRICE
        assert await kept_with(store, item.id) == (True, True, True)
        assert await store.conversions(T0, 1) == {"acme:TZ": Conversion(1, 0)}
        assert (await store.messages([item.id]))[0] is not None
        again = [t._replace(token="u") for t in takes]
        assert [a.granted for a in await store.take(again, T0)] == [False, True]
        await store.close()
        await other.close()

    run(case)


def test_a_write_lost_for_good_leaves_nothing_but_its_takes(server: RealServer) -> None:
    """Money comes back, no ticket, no code; the limit stays used, and the same send tried again does not use it twice."""

    async def case() -> None:
        store, driver = faulty(server.url, timeout_s=0.3)
        await funded(store)
        await store.admit([admission()], T0)
        item = otp_send(Take("s", ((60, 1),), "t", "limit"))
        first = driver.connect

        async def connect() -> object:
            driver.plan = "cut"
            return await first()

        driver.plan, driver.match = "cut", b"EXEC\r\n"
        driver.connect = connect  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            await store.admit([item], T0)
        driver.connect = first  # type: ignore[method-assign]
        driver.plan = ""
        await store.sweep_holds(T0 + 60_000, 60_000)
        assert await available(store) == 1_000_000 - PRICE
        assert await kept_with(store, item.id) == (False, False, False)
        assert await store.conversions(T0, 1) == {}
        assert (await store.admit([otp_send(Take("s", ((60, 1),), "other", "limit"))], T0 + 1))[0].verdict == "limited"
        assert (await store.admit([item], T0 + 1))[0].verdict == "accepted"
        assert await kept_with(store, item.id) == (True, True, True)
        await store.close()

    run(case)


@pytest.mark.parametrize("plan", ["lose", "late"])
def test_a_guess_counts_once(server: RealServer, plan: str) -> None:
    """Its reply lost, or still travelling: one try is gone, and the right guess is told to be right."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store)
        item = otp_send()
        await store.admit([item], T0)
        await store.check_code("none", b"", T0)
        driver.plan, driver.match = plan, b"EVALSHA"
        assert await store.check_code("k", b"x", T0) == CodeCheck("wrong", 2, item.id)
        await driver.arrive()
        assert await store.check_code("k", b"y", T0) == CodeCheck("wrong", 1, item.id)
        driver.plan = plan
        assert await store.check_code("k", b"d", T0) == CodeCheck("right", 0, item.id)
        await driver.arrive()
        assert await store.conversions(T0, 1) == {"acme:TZ": Conversion(1, 1)}
        await store.close()

    run(case)


@pytest.mark.parametrize("plan", ["lose", "late"])
def test_takes_and_what_is_given_back_count_once(server: RealServer, plan: str) -> None:
    """Sums have no tokens; the line's marker keeps them from being counted or lowered twice."""

    async def case() -> None:
        store, driver = faulty(server.url)
        spans = ((86_400, 2_000),)

        def use(amount: int) -> Take:
            return Take("s", spans, "t", "spend_cap", amount)

        await store.take([use(1)], T0)
        driver.plan, driver.match = plan, b"EVALSHA"
        assert await store.take([use(999)], T0) == [Taken(granted=True)]
        driver.plan = plan
        await store.give_back([use(500)], T0)
        await driver.arrive()  # the first take, and what was given back: both overtaken by now
        assert [t.granted for t in await store.take([use(1501), use(1500), use(1)], T0)] == [False, True, False]
        await store.close()

    run(case)


@pytest.mark.parametrize("plan", ["lose", "late"])
def test_stop_start_and_feedback_tell_the_truth_after_a_lost_reply(server: RealServer, plan: str) -> None:
    """The first answer is given again, and nothing is counted twice."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store)
        await store.opt_out("acme", "OTHER", TO, T0)
        driver.match = b"EVALSHA"
        for act, rest in (
            (lambda: store.opt_out("acme", "", TO, T0), True),
            (lambda: store.opt_in("acme", "", TO), False),
            (lambda: store.converted(admission().id, "acme:TZ", T0), False),
        ):
            driver.plan = plan
            assert await act()
            assert driver.plan == ""
            await driver.arrive()
            assert await store.opted_out("acme", [("SHOP", TO)]) == [rest]
        assert await store.conversions(T0, 1) == {"acme:TZ": Conversion(0, 1)}
        assert [v.verdict for v in await store.admit([admission()], T0)] == ["accepted"]
        await store.close()

    run(case)


@pytest.mark.parametrize("plan", ["lose", "late"])
def test_a_groups_ticket_is_there_iff_the_group_is(server: RealServer, plan: str) -> None:
    """After publishing with its reply lost: once. After a crash before publishing: neither ticket, alias nor numbers."""

    async def case() -> None:
        store, driver = faulty(server.url)
        await funded(store)
        kept = Ticket(door="chinqit_bulk", account="acme", to=tuple(map(str, range(6000))), alias="7")
        plan_, members = group(3, ticket=kept)
        driver.plan, driver.match = plan, b"pointers"
        assert (await store.accept_group(plan_, members)).verdict == "accepted"
        assert driver.plan == ""
        await driver.arrive()
        assert (await store.tickets([plan_.id]), await store.find_alias("7")) == ([kept], plan_.id)

        class Crash(Exception):
            pass

        async def crash() -> None:
            raise Crash

        plan_, members = group(3, ticket=msgspec.structs.replace(kept, alias="8"))
        driver.plan, driver.match, driver.act = "before", b"pointers", crash
        with pytest.raises(Crash):
            await store.accept_group(plan_, members)
        assert (await store.tickets([plan_.id]), await store.find_alias("8")) == ([None], None)
        assert len([key async for key in store.scan(b"*numbers:*")]) == 2
        assert await store.sweep_groups(T0 + 60_000, 60_000) == 1
        assert len([key async for key in store.scan(b"*numbers:*")]) == 1
        await store.close()

    run(case)


def test_parallel_guesses_never_get_more_than_the_tries(server: RealServer) -> None:
    """From several processes at once: three are told that they were wrong, the others find nothing; one right guess wins."""

    async def case() -> None:
        stores = [await open_trio_store(server.url) for _ in range(4)]
        await funded(stores[0])
        for digest, verdicts in ((b"x", {"wrong": 3, "none": 29}), (b"d", {"right": 1, "none": 31})):
            await stores[0].admit([otp_send()], T0)
            found: list[CodeCheck] = []

            async def guess(store: RedisStore, digest: bytes = digest, found: list[CodeCheck] = found) -> None:
                found.append(await store.check_code("k", digest, T0))

            async with trio.open_nursery() as nursery:
                for n in range(32):
                    nursery.start_soon(guess, stores[n % 4])
            assert {v: sum(f.verdict == v for f in found) for v in verdicts} == verdicts
            assert sorted(f.left for f in found if f.verdict == "wrong") == ([0, 1, 2] if digest == b"x" else [])
        for store in stores:
            await store.close()

    run(case)


def test_parallel_takes_never_pass_a_limit(server: RealServer) -> None:
    """Several processes, both kinds of window, with admissions around them."""

    async def case() -> None:
        stores = [await open_trio_store(server.url) for _ in range(3)]
        await funded(stores[0])
        accepted: list[str] = []

        async def send(n: int) -> None:
            takes = (Take("s", ((60, 20),), f"t{n}", "velocity"), Take("m", DAY, f"t{n}", "spend_cap", 60_000))
            verdicts = await stores[n % 3].admit([admission()._replace(extras=Extras(takes=takes))], T0 + n)
            accepted.extend(v.id for v in verdicts if v.verdict == "accepted")

        async with trio.open_nursery() as nursery:
            for n in range(60):
                nursery.start_soon(send, n)
        assert len(accepted) == 16
        assert await available(stores[0]) == 1_000_000 - 16 * PRICE
        for store in stores:
            await store.close()

    run(case)


def test_a_stop_is_minded_by_processes_that_never_heard_of_it(server: RealServer) -> None:
    """Durable in one, it blocks the next admission of another, whose connection was armed before; START frees it there."""

    async def case() -> None:
        store, other = await open_trio_store(server.url), await open_trio_store(server.url)
        await funded(store)
        assert (await store.admit([admission()], T0))[0].verdict == "accepted"
        for _ in range(2):
            await other.opt_out("acme", "SHOP", TO, T0)
            assert [v.verdict for v in await store.admit([admission(), admission(sender="X")], T0)] == ["opted_out", "accepted"]
            await other.opt_in("acme", "SHOP", TO)
            assert [v.verdict for v in await store.admit([admission()], T0)] == ["accepted"]
        assert await available(store) == 1_000_000 - 5 * PRICE
        await store.close()
        await other.close()

    run(case)


def test_verdicts_stand_when_takes_cannot_be_given_back(server: RealServer) -> None:
    """The server goes away after the admission: what was accepted is told; what was taken stays taken."""

    async def case() -> None:
        store = await open_trio_store(server.url)
        await funded(store)
        await funded(store, "poor", amount=0)
        poor = admission("poor")._replace(extras=Extras(takes=(Take("s", ((60, 1),), "t", "limit"),)))
        real = store.give_back

        async def gone(*_: object) -> None:
            raise StoreUnavailable("gone")

        store.give_back = gone  # type: ignore[assignment, method-assign]
        assert [v.verdict for v in await store.admit([admission(), poor], T0)] == ["accepted", "poor"]
        store.give_back = real  # type: ignore[method-assign]
        assert not (await store.take([Take("s", ((60, 1),), "u", "limit")], T0))[0].granted
        await store.close()

    run(case)
