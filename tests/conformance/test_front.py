"""What the doors keep: tickets, aliases, codes, opt-outs, conversions, and what goes with an admission."""

from __future__ import annotations

import msgspec
import pytest

from dispatcher.core.front import Answered, Callback, Code, CodeCheck, Conversion, Extras, Take, Ticket
from dispatcher.core.ids import encode
from dispatcher.core.model import State
from dispatcher.core.ports import Admission, Effects, VersionedHead
from dispatcher.store.memory import MemoryStore
from tests.conformance.world import PRICE, T0, AnyStore, World, admission, available, funded, group, head, owner_of, submitted

HOUR = 3_600_000
DAY = 24 * HOUR
TO = "0123456789abcdef"


def with_extras(item: Admission, **extras: object) -> Admission:
    """The same send with something to keep beside it."""
    return item._replace(extras=Extras(**extras))  # type: ignore[arg-type]


def ticket(door: str = "otpiq", **more: object) -> Ticket:
    """A door's ticket."""
    return Ticket(door=door, account="acme", **more)  # type: ignore[arg-type]


def test_a_ticket_exists_iff_its_message_does(world: World) -> None:
    """Written with the admission; none for a send that was refused."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=2 * PRICE)
        kept = ticket(
            to=("255700000001",),
            callback=Callback(url="https://example.com/hook", secret="s", form="otpiq"),
            note={"digits": 6, "nested": {"a": [1, None, "x"]}},
            answer=Answered(202, b"{}\xff"),
        )
        items = [with_extras(admission(), ticket=kept), admission(), with_extras(admission(), ticket=ticket())]
        verdicts = await store.admit(items, T0)
        assert [v.verdict for v in verdicts] == ["accepted", "accepted", "poor"]
        assert await store.tickets([i.id for i in items]) == [kept, None, None]
        assert await store.tickets([]) == []

    world.run(case)


def test_a_ticket_is_replaced(world: World) -> None:
    """put_ticket replaces the whole ticket; an unknown id gets one too."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        kept = ticket(alias="sms-0123456789abcdef01234567")
        item = with_extras(admission(), ticket=kept)
        await store.admit([item], T0)
        answered = msgspec.structs.replace(kept, answer=Answered(200, b"x"))
        await store.put_ticket(item.id, answered)
        assert await store.tickets([item.id]) == [answered]
        assert await store.find_alias("sms-0123456789abcdef01234567") == item.id
        other = admission().id
        await store.put_ticket(other, ticket(alias="77"))
        assert (await store.tickets([other]), await store.find_alias("77")) == ([ticket(alias="77")], other)

    world.run(case)


def test_an_alias_leads_to_the_message(world: World) -> None:
    """By itself, whatever the day it was made on; that of a refused send leads nowhere."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=2 * PRICE)
        old = admission()._replace(id=encode(T0 - 3 * DAY, 1 << 30))
        items = [
            with_extras(old, ticket=ticket(alias="41")),
            with_extras(admission(), ticket=ticket(alias="42")),
            with_extras(admission(), ticket=ticket(alias="43")),
        ]
        await store.admit(items, T0)
        assert [await store.find_alias(a) for a in ("41", "42", "43", "")] == [items[0].id, items[1].id, None, None]

    world.run(case)


def test_a_group_has_a_ticket(world: World) -> None:
    """With all of its numbers, in order; none while or when it is refused; found by its alias."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=1300 * PRICE)
        plan, members = group(1203)
        kept = ticket("smskit", to=tuple(m.body.to for m in members), alias="1234")
        plan = plan._replace(ticket=kept)
        assert (await store.accept_group(plan, members)).verdict == "accepted"
        assert await store.tickets([plan.id, members[0].id]) == [kept, None]
        assert await store.find_alias("1234") == plan.id
        poor, others = group(200, ticket=ticket(alias="1235"))
        assert (await store.accept_group(poor, others)).verdict == "poor"
        assert (await store.tickets([poor.id]), await store.find_alias("1235")) == ([None], None)

    world.run(case)


@pytest.mark.parametrize("count", [4999, 5000, 5001, 10_001])
def test_the_numbers_of_a_large_group(world: World, count: int) -> None:
    """Come back in order, however many; a replaced ticket keeps them; they go with the bucket."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        numbers = tuple(f"2557{n:08}" for n in range(count))
        plan, members = group(1, ticket=ticket("chinqit_bulk", to=numbers))
        await store.accept_group(plan, members)
        small = admission().id
        await store.put_ticket(small, ticket(to=("1",)))
        assert await store.tickets([plan.id, small]) == [plan.ticket, ticket(to=("1",))]
        answered = msgspec.structs.replace(ticket("chinqit_bulk", to=numbers), answer=Answered(202, b"{}"))
        await store.put_ticket(plan.id, answered)
        assert await store.tickets([plan.id]) == [answered]
        await store.expand_groups(await owner_of(store))
        effects = Effects()
        effects.heads, effects.erase = [VersionedHead(members[0].id, 1, head(members[0].body, State.EXPIRED))], [members[0].id]
        assert await store.commit(effects) == []
        assert await store.sweep_buckets(T0 + 1_000_000, 0) == 1
        assert await store.tickets([plan.id]) == [None]
        if not isinstance(store, MemoryStore):
            assert [key async for key in store.scan(b"*numbers:*")] == []

    world.run(case)


def test_a_ticket_lives_as_long_as_the_record(world: World) -> None:
    """A bucket's tickets and a day's aliases go with the heads, not before, and not while a message is still queued."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        late = T0 + 1_000_000
        items = [with_extras(admission(), ticket=ticket(alias=a)) for a in ("1", "2")]
        await store.admit(items, T0)
        for n in range(3):
            assert await store.sweep_buckets(late + 5000 * n, 1000) == 0
        assert await store.tickets([i.id for i in items]) == [ticket(alias="1"), ticket(alias="2")]
        for n in range(2):
            message_id, written = await submitted(store, owner, f"c{n}")
            effects = Effects()
            written.state = State.DELIVERED
            effects.heads, effects.erase = [VersionedHead(message_id, 3, written)], [message_id]
            assert await store.commit_receipts(effects) == []
        assert await store.converted(items[0].id, "acme:TZ", T0)
        assert await store.sweep_buckets(late + 20_000, 1000) == 0
        assert None not in await store.tickets([i.id for i in items])
        assert await store.sweep_buckets(late + 21_000, 1000) == 1
        assert await store.tickets([i.id for i in items]) == [None, None]
        assert [await store.find_alias(a) for a in ("1", "2")] == [None, None]
        assert await store.sweep_buckets(late + 2 * DAY, 0) == 0
        if not isinstance(store, MemoryStore):
            assert [key async for key in store.scan(b"*alias*")] == []

    world.run(case)


def test_a_ticket_without_any_record_goes_too(world: World) -> None:
    """Buckets that never had a head, as a ticket put too late leaves one, are swept like the others."""

    async def case(store: AnyStore) -> None:
        message_id = admission().id
        await store.put_ticket(message_id, ticket(alias="9"))
        late = T0 + 1_000_000
        assert [await store.sweep_buckets(late + n * 1000, 1000) for n in range(2)] == [0, 1]
        assert (await store.tickets([message_id]), await store.find_alias("9")) == ([None], None)

    world.run(case)


def test_a_groups_ticket_lives_until_its_last_member_is_final(world: World) -> None:
    """Also while nothing of it is expanded, and while one member is under way."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        owner = await owner_of(store)
        plan, members = group(2, ticket=ticket("chinqit_bulk", to=("1", "2")))
        await store.accept_group(plan, members)
        late = T0 + 1_000_000
        assert [await store.sweep_buckets(late + n, 0) for n in range(2)] == [0, 0]
        await store.expand_groups(owner)
        for member in members:
            assert await store.sweep_buckets(late, 0) == 0
            assert None not in await store.tickets([plan.id])
            effects = Effects()
            effects.heads, effects.erase = [VersionedHead(member.id, 1, head(member.body, State.EXPIRED))], [member.id]
            assert await store.commit(effects) == []
        assert await store.sweep_buckets(late, 0) == 1
        assert (await store.tickets([plan.id]), await store.group(plan.id)) == ([None], None)

    world.run(case)


def test_numbers_are_drawn_once(world: World) -> None:
    """Counting up from 1, by name, in blocks."""

    async def case(store: AnyStore) -> None:
        drawn = [await store.draw_numbers("smskit", n) for n in (1, 1, 5, 1)]
        assert drawn == [1, 2, 3, 8]
        assert await store.draw_numbers("other", 1) == 1

    world.run(case)


# -- one-time passwords
async def code_sent(store: AnyStore, *, subject: str = "k", digest: bytes = b"d", tries: int = 3, conversion: str = "") -> str:
    """A send with a code of ten minutes; returns its id."""
    item = with_extras(admission(), code=Code(subject, digest, tries, T0 + 600_000), conversion=conversion)
    assert [v.verdict for v in await store.admit([item], T0)] == ["accepted"]
    return item.id


def test_a_right_guess_uses_the_code_up(world: World) -> None:
    """Right once, then none; the answer names the message."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        assert await store.check_code("k", b"d", T0) == CodeCheck("none")
        message_id = await code_sent(store)
        assert await store.check_code("other", b"d", T0) == CodeCheck("none")
        assert await store.check_code("k", b"wrong\x00\xff", T0) == CodeCheck("wrong", 2, message_id)
        assert await store.check_code("k", b"d", T0 + 599_999) == CodeCheck("right", 0, message_id)
        assert await store.check_code("k", b"d", T0) == CodeCheck("none")

    world.run(case)


def test_the_last_wrong_guess_destroys_the_code(world: World) -> None:
    """2, 1, 0, and then even the right one finds nothing."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        await code_sent(store)
        assert [(await store.check_code("k", b"x", T0)).left for _ in range(3)] == [2, 1, 0]
        assert await store.check_code("k", b"d", T0) == CodeCheck("none")

    world.run(case)


def test_a_code_expires_by_the_callers_time(world: World) -> None:
    """At expires_at it is gone, and no guess is counted; for a caller at an earlier instant it is not."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        message_id = await code_sent(store)
        assert await store.check_code("k", b"x", T0 + 600_000) == CodeCheck("none")
        assert await store.check_code("k", b"x", T0 + 599_999) == CodeCheck("wrong", 2, message_id)

    world.run(case)


def test_a_new_code_replaces_the_old_and_its_tries(world: World) -> None:
    """The old one is wrong from then on; another subject's is untouched; a refused send replaces nothing."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=3 * PRICE)
        await code_sent(store)
        await code_sent(store, subject="k2", digest=b"2")
        await store.check_code("k", b"x", T0)
        newer = await code_sent(store, digest=b"new")
        refused = with_extras(admission(), code=Code("k", b"never", 3, T0 + 600_000))
        assert [v.verdict for v in await store.admit([refused], T0)] == ["poor"]
        assert await store.check_code("k", b"d", T0) == CodeCheck("wrong", 2, newer)
        assert (await store.check_code("k2", b"2", T0)).verdict == "right"
        assert (await store.check_code("k", b"new", T0)).verdict == "right"

    world.run(case)


def test_conversions_are_counted_by_hour(world: World) -> None:
    """Sent in the admission, used by the right guess or by the feedback, once a message; whole clock hours."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=10 * PRICE)
        hour = T0 - T0 % HOUR
        first = await code_sent(store, conversion="acme:TZ")
        plain = [with_extras(admission(), conversion=c) for c in ("acme:TZ", "acme:TZ", "b:KE")]
        await store.admit(plain, T0)
        assert await store.conversions(T0, 1) == {"acme:TZ": Conversion(3, 0), "b:KE": Conversion(1, 0)}
        assert (await store.check_code("k", b"d", T0 + 1)).verdict == "right"
        assert not await store.converted(first, "acme:TZ", T0 + 2)
        assert [await store.converted(plain[0].id, "acme:TZ", hour + HOUR) for _ in range(2)] == [True, False]
        assert await store.conversions(hour + HOUR, 2) == {"acme:TZ": Conversion(3, 2), "b:KE": Conversion(1, 0)}
        assert await store.conversions(hour + HOUR, 1) == {"acme:TZ": Conversion(0, 1)}
        assert await store.conversions(hour + 24 * HOUR, 24) == {"acme:TZ": Conversion(0, 1)}
        assert await store.conversions(hour + 25 * HOUR, 24) == {}

    world.run(case)


def test_paused_conversions_end_by_themselves(world: World) -> None:
    """Until an instant, or lifted."""

    async def case(store: AnyStore) -> None:
        await store.pause_conversion("acme:TZ", T0 + 10)
        await store.pause_conversion("acme:KE", T0 + 20)
        assert await store.paused_conversions(T0 + 9) == {"acme:TZ": T0 + 10, "acme:KE": T0 + 20}
        assert await store.paused_conversions(T0 + 10) == {"acme:KE": T0 + 20}
        await store.pause_conversion("acme:KE", 0)
        assert await store.paused_conversions(T0) == {"acme:TZ": T0 + 10}

    world.run(case)


def test_a_pause_begins_a_new_count(world: World) -> None:
    """Of its own conversion, in every hour, when it begins and when it is lifted; others keep theirs."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=10 * PRICE)
        for at in (T0, T0 + HOUR):
            sent = [with_extras(admission(), conversion=c) for c in ("acme:TZ", "acme:T", "b:TZ")]
            await store.admit(sent, at)
            assert await store.converted(sent[0].id, "acme:TZ", at)
        for until in (T0 + 2 * HOUR, 0):
            await store.pause_conversion("acme:TZ", until)
            assert await store.conversions(T0 + HOUR, 2) == {"acme:T": Conversion(2, 0), "b:TZ": Conversion(2, 0)}
            if until:
                await store.admit([with_extras(admission(), conversion="acme:TZ")], T0 + HOUR)

    world.run(case)


# -- opt-outs
def test_stop_and_start(world: World) -> None:
    """By sender or from any; per account; known ones say so; START with no sender takes all back."""

    async def case(store: AnyStore) -> None:
        await funded(store, "acme", "b")
        assert await store.opt_out("acme", "SHOP", TO, T0)
        assert not await store.opt_out("acme", "SHOP", TO, T0)
        pairs = [("SHOP", TO), ("OTHER", TO), ("", TO), ("SHOP", "f" * 16), ("SHO", TO)]
        assert await store.opted_out("acme", pairs) == [True, False, False, False, False]
        assert await store.opted_out("b", pairs) == [False] * 5
        assert await store.opt_out("acme", "", TO, T0)
        assert await store.opted_out("acme", pairs) == [True, True, True, False, True]
        assert await store.opt_in("acme", "SHOP", TO)
        assert not await store.opt_in("acme", "SHOP", TO)
        assert await store.opted_out("acme", pairs[:1]) == [True]
        await store.opt_out("acme", "SHOP", TO, T0)
        assert await store.opt_in("acme", "", TO)
        assert not await store.opt_in("acme", "", TO)
        assert await store.opted_out("acme", pairs) == [False] * 5
        assert await store.opted_out("acme", []) == []

    world.run(case)


def test_a_number_that_said_stop_gets_nothing(world: World) -> None:
    """Only that number, of that account, from that sender; it costs nothing and disturbs nobody in the batch."""

    async def case(store: AnyStore) -> None:
        await funded(store, "acme", "b", amount=3 * PRICE)
        await store.opt_out("acme", "SHOP", TO, T0)
        for _ in range(2):  # the second time the store knows that the account has opt-outs
            batch = [
                admission(),
                admission(to_hash="f" * 16),
                admission("b"),
                admission(sender="OTHER"),
                admission(sender=""),
                admission(to_hash="f" * 16),
            ]
            wanted = ["opted_out", "accepted", "accepted", "accepted", "accepted", "poor"]
            verdicts = await store.admit(batch, T0)
            assert [v.verdict for v in verdicts] == wanted
            assert (verdicts[0].id, verdicts[0].available) == ("", 0)
            await store.credit("acme", f"more{_}", 3 * PRICE, T0)
        await store.opt_in("acme", "SHOP", TO)
        assert [v.verdict for v in await store.admit([admission(), admission()], T0)] == ["accepted", "accepted"]
        await store.opt_out("acme", "", TO, T0)
        assert [v.verdict for v in await store.admit([admission(sender=""), admission(sender="X")], T0)] == ["opted_out"] * 2

    world.run(case)


def test_opted_out_and_keys(world: World) -> None:
    """A repeat of what was accepted before the STOP is still a duplicate; a twin of a stopped one is stopped."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        first = admission(key="k", digest=b"1")
        await store.admit([first], T0)
        await store.opt_out("acme", "", TO, T0)
        batch = [admission(key="k", digest=b"1"), admission(key="n", digest=b"1"), admission(key="n", digest=b"2")]
        verdicts = await store.admit(batch, T0)
        assert [(v.verdict, v.id) for v in verdicts] == [("duplicate", first.id), ("opted_out", ""), ("opted_out", "")]
        assert (await store.admit([admission("none")], T0))[0].verdict == "unknown"
        assert await available(store) == 1_000_000 - PRICE

    world.run(case)


# -- keys
def test_last_uses_of_keys(world: World) -> None:
    """Noted by key, read all at once."""

    async def case(store: AnyStore) -> None:
        assert await store.key_uses() == {}
        await store.note_key_uses({"a": T0, "b": T0 + 1})
        await store.note_key_uses({"a": T0 + 5})
        await store.note_key_uses({})
        assert await store.key_uses() == {"a": T0 + 5, "b": T0 + 1}

    world.run(case)


def test_a_sender_with_a_line_break_is_refused(world: World) -> None:
    """It could not be kept apart from others."""

    async def case(store: AnyStore) -> None:
        with pytest.raises(ValueError, match="sender"):
            await store.opt_out("acme", "A\nB", TO, T0)

    world.run(case)


def test_limited_sends_keep_nothing(world: World) -> None:
    """No ticket, no code, no conversion, no money for a send whose take was refused."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        takes = (Take("t", ((60, 0),), "x", "limit"),)
        item = with_extras(
            admission(), takes=takes, ticket=ticket(alias="a"), code=Code("k", b"d", 3, T0 + 1000), conversion="acme:TZ"
        )
        assert [v.verdict for v in await store.admit([item], T0)] == ["limited"]
        assert (await store.tickets([item.id]), await store.find_alias("a")) == ([None], None)
        assert (await store.check_code("k", b"d", T0)).verdict == "none"
        assert await store.conversions(T0, 1) == {}
        assert await available(store) == 1_000_000

    world.run(case)
