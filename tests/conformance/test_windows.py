"""Limits: takes in sliding windows, what is given back, and what admission does with them."""

from __future__ import annotations

import random

import pytest

from dispatcher.core.front import Extras, Take, Taken
from dispatcher.core.ports import Admission
from tests.conformance.world import PRICE, T0, AnyStore, World, admission, available, funded

MINUTE = ((60, 3),)


def use(n: int | str, subject: str = "s", spans: tuple[tuple[int, int], ...] = MINUTE, amount: int = 1) -> Take:
    """One use of a limit."""
    return Take(subject, spans, f"t{n}", "limit", amount)


async def granted(store: AnyStore, take: Take, at: int) -> bool:
    """One take."""
    return (await store.take([take], at))[0].granted


def limited_item(*takes: Take, key: str = "", digest: bytes = b"", account: str = "acme") -> Admission:
    """A send with takes."""
    return admission(account, key=key, digest=digest)._replace(extras=Extras(takes=takes))


def test_a_window_slides(world: World) -> None:
    """Three in any minute: the fourth waits until the first is a minute old, to the millisecond."""

    async def case(store: AnyStore) -> None:
        assert [await granted(store, use(n), T0 + n * 10_000) for n in range(3)] == [True] * 3
        assert await store.take([use(3)], T0 + 59_999) == [Taken(granted=False, retry_after_ms=1, span_s=60)]
        assert await store.take([use(4, "other")], T0 + 59_999) == [Taken(granted=True)]
        assert await store.take([use(3)], T0 + 60_000) == [Taken(granted=True)]
        assert await store.take([use(5)], T0 + 60_001) == [Taken(granted=False, retry_after_ms=9_999, span_s=60)]

    world.run(case)


def test_every_span_must_hold(world: World) -> None:
    """The longest wait is told; what one span refuses is counted in none."""

    async def case(store: AnyStore) -> None:
        spans = ((60, 2), (3600, 4))
        times = [0, 1000, 60_000, 61_000]
        assert [await granted(store, use(n, spans=spans), T0 + t) for n, t in enumerate(times)] == [True] * 4
        assert await store.take([use(9, spans=spans)], T0 + 62_000) == [Taken(False, 3_600_000 - 62_000, 3600)]
        assert await granted(store, use(10, spans=spans), T0 + 3_600_000)
        assert await store.take([use(11, spans=spans)], T0 + 3_600_000) == [Taken(False, 1000, 3600)]

    world.run(case)


def test_a_batch_of_takes_is_tried_in_order(world: World) -> None:
    """Each by itself, all in one call, as many as there are."""

    async def case(store: AnyStore) -> None:
        takes = [use(n, f"s{n % 100}") for n in range(500)]
        answers = await store.take(takes, T0)
        assert [a.granted for a in answers] == [True] * 300 + [False] * 200
        assert await store.take([], T0) == []

    world.run(case)


def test_takes_of_one_send_are_counted_together_or_not_at_all(world: World) -> None:
    """What a later one refuses leaves nothing of the earlier ones; the next send of the same call finds it so."""

    async def case(store: AnyStore) -> None:
        few, many = ((60, 2),), ((60, 2000),)
        sends = [(use(n, "large", many, 900), use(n, "small", few)) for n in range(4)]
        found = await store.take_together(sends, T0)
        assert found[:2] == [(-1, Taken(granted=True))] * 2
        assert [(index, answer.granted) for index, answer in found[2:]] == [(0, False)] * 2
        assert (await store.take_together([(use(8, "large", many, 200), use(8, "small", few))], T0))[0][0] == 1
        assert await granted(store, use(9, "large", many, 200), T0)
        assert not await granted(store, use(10, "large", many, 1), T0)
        assert await store.take_together([], T0) == []

    world.run(case)


def test_a_token_counts_once(world: World) -> None:
    """The same use tried again, as after a crash, is granted and not counted anew."""

    async def case(store: AnyStore) -> None:
        assert [await granted(store, use("x"), T0 + n) for n in range(5)] == [True] * 5
        assert [await granted(store, use(n), T0 + 10) for n in range(3)] == [True, True, False]

    world.run(case)


def test_what_is_given_back_is_free_at_once(world: World) -> None:
    """By its token; one that was never taken, or is given back twice, changes nothing."""

    async def case(store: AnyStore) -> None:
        for n in range(3):
            await store.take([use(n)], T0 + n)
        await store.give_back([use(1), use(1), use("never"), use(0, "unknown")], T0 + 5)
        assert await granted(store, use(3), T0 + 6)
        assert await store.take([use(4)], T0 + 7) == [Taken(False, 59_993, 60)]
        await store.give_back([], T0)

    world.run(case)


@pytest.mark.parametrize("limit", [999, 1000, 1001])
def test_amounts(world: World, limit: int) -> None:
    """A take of many counts as many, in both kinds of window; more than the limit never passes."""

    async def case(store: AnyStore) -> None:
        spans = ((600, limit),)
        assert await store.take([use(0, spans=spans, amount=limit + 1)], T0) == [Taken(False, 600_000, 600)]
        assert await granted(store, use(1, spans=spans, amount=limit - 2), T0)
        assert not await granted(store, use(2, spans=spans, amount=3), T0)
        assert await granted(store, use(3, spans=spans, amount=2), T0 + 1)
        assert not await granted(store, use(4, spans=spans), T0 + 2)
        await store.give_back([use(3, spans=spans, amount=2)], T0 + 3)
        assert [await granted(store, use(n, spans=spans), T0 + 4) for n in (5, 6, 7)] == [True, True, False]

    world.run(case)


def test_a_limit_of_nothing(world: World) -> None:
    """Grants nothing."""

    async def case(store: AnyStore) -> None:
        assert await store.take([use(1, spans=((60, 0),))], T0) == [Taken(False, 60_000, 60)]

    world.run(case)


def test_sums_of_money_in_a_day(world: World) -> None:
    """A spend cap in micro-units: never above it in 24 h; free again within a sixtieth of the span."""

    async def case(store: AnyStore) -> None:
        day, cap = 86_400_000, 5_000_000_000_000_000
        spans = ((86_400, cap),)
        assert await granted(store, use(0, spans=spans, amount=cap - 1), T0)
        (answer,) = await store.take([use(1, spans=spans, amount=2)], T0 + 1)
        assert not answer.granted
        assert day - 1 <= answer.retry_after_ms <= day + day // 60
        assert not await granted(store, use(2, spans=spans, amount=2), T0 + day - 1)
        assert not await granted(store, use(3, spans=spans, amount=2), T0 + answer.retry_after_ms)
        assert await granted(store, use(4, spans=spans, amount=2), T0 + 1 + answer.retry_after_ms)

    world.run(case)


def test_what_counts_can_be_read(world: World) -> None:
    """The sum of a span of large limits as of its subject's last try: refused ones and those that have left do not count."""

    async def case(store: AnyStore) -> None:
        spans = ((86_400, 5000),)
        assert await store.summed("s", 86_400) == 0
        assert [await granted(store, use(n, spans=spans, amount=2000), T0 + n) for n in range(3)] == [True, True, False]
        assert await store.summed("s", 86_400) == 4000
        assert await store.summed("s", 3600) == await store.summed("other", 86_400) == 0
        await store.give_back([use(1, spans=spans, amount=2000)], T0 + 5)
        assert await store.summed("s", 86_400) == 2000
        assert await granted(store, use(4, spans=spans, amount=5000), T0 + 2 * 86_400_000)
        assert await store.summed("s", 86_400) == 5000

    world.run(case)


def test_both_kinds_of_span_in_one_take(world: World) -> None:
    """A small limit a minute and a large one an hour: what one refuses is counted by neither."""

    async def case(store: AnyStore) -> None:
        spans = ((60, 1000), (3600, 1500))
        assert await granted(store, use(0, spans=spans, amount=1000), T0)
        assert (await store.take([use(1, spans=spans)], T0 + 59_000))[0] == Taken(False, 1000, 60)
        assert (await store.take([use(2, spans=spans, amount=501)], T0 + 60_000))[0].span_s == 3600
        assert await granted(store, use(3, spans=spans, amount=500), T0 + 60_000)
        await store.give_back([use(3, spans=spans, amount=500), use(2, spans=spans, amount=501)], T0 + 60_001)
        assert await granted(store, use(4, spans=spans, amount=500), T0 + 60_002)
        assert not await granted(store, use(5, spans=spans), T0 + 60_003)

    world.run(case)


@pytest.mark.parametrize("limit", [7, 1000, 5000])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_window_ever_holds_more_than_its_limit(world: World, limit: int, seed: int) -> None:
    """Random uses, some given back, clocks that differ a little: no stretch of a span holds more than the limit, and the
    limit is not refused when a span and a sixtieth hold less."""

    async def case(store: AnyStore) -> None:
        chance, backs = random.Random(seed), 0.2 if seed == 1 else 0.0
        exact = limit <= 1000 or not backs  # counters give back the oldest, and so hold the rest for longer
        span_s, at = 60, T0
        kept: dict[str, tuple[int, int]] = {}
        for n in range(150):
            at += chance.choice([0, 1, 500, 1000, 7000, 20_000])
            now = at - chance.choice([0, 0, 3])
            take = use(n, spans=((span_s, limit), (3600, 100 * limit)), amount=chance.randint(1, max(1, limit // 3)))
            (answer,) = await store.take([take], now)
            lately = sum(a for t, a in kept.values() if t > now - 61_000 - 3)
            if answer.granted:
                kept[take.token] = (now, take.amount)
            elif exact:
                assert lately + take.amount > limit
            if kept and chance.random() < backs:
                token = chance.choice(list(kept))
                back = kept[token]
                if back[0] > now - 50_000:
                    del kept[token]
                    await store.give_back([use(token[1:], spans=take.spans, amount=back[1])], now)
            for end, _ in kept.values():
                assert sum(a for t, a in kept.values() if end - span_s * 1000 < t <= end) <= limit

    world.run(case)


def test_windows_are_forgotten_by_how_subjects_begin(world: World) -> None:
    """Wildcards mean themselves; the number of subjects is told."""

    async def case(store: AnyStore) -> None:
        large = ((60, 2000),)
        full = [use(1, "otp:a*", amount=3), use(1, "otp:a*", large, 2000), use(1, "otp:ab", amount=3), use(1, "v:a", amount=3)]
        assert [t.granted for t in await store.take(full, T0)] == [True] * 4
        assert await store.forget_windows("otp:a*") == 1
        assert await store.forget_windows("otp:a*") == 0
        assert [t.granted for t in await store.take([t._replace(token="z") for t in full], T0)] == [True, True, False, False]
        assert await store.forget_windows("") == 3
        await store.count_call("otp:a*", 60, T0)
        assert (await store.count_call("otp:a*", 60, T0)).used == 2
        assert await store.forget_windows("otp:") == 1
        assert (await store.count_call("otp:a*", 60, T0)).used == 1

    world.run(case)


# -- with an admission
def test_admission_takes_and_says_who_is_limited(world: World) -> None:
    """Reason and time of the take that refused; the rest of the batch goes on; no money for the limited."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        items = [limited_item(use(n)._replace(reason="velocity")) for n in range(4)]
        verdicts = await store.admit([admission(), *items], T0)
        assert [v.verdict for v in verdicts] == ["accepted"] * 4 + ["limited"]
        assert (verdicts[4].reason, verdicts[4].retry_after_ms, verdicts[4].id) == ("velocity", 60_000, "")
        assert {v.available for v in verdicts} == {1_000_000 - 4 * PRICE}
        (alone,) = await store.admit([limited_item(use(9))], T0 + 59_999)
        assert (alone.verdict, alone.retry_after_ms, alone.available) == ("limited", 1, 1_000_000 - 4 * PRICE)
        assert (await store.admit([limited_item(use(9))], T0 + 60_000))[0].verdict == "accepted"

    world.run(case)


def test_the_takes_of_one_send_are_all_or_none(world: World) -> None:
    """What the second take refuses, the first does not count."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        narrow, sums = ((60, 1),), ((60, 5000),)
        ok = await store.admit([limited_item(use(1), use(1, "c", sums, 4999), use(1, "n", narrow))], T0)
        assert ok[0].verdict == "accepted"
        for n in range(2, 9):
            (verdict,) = await store.admit([limited_item(use(n), use(n, "c", sums), use(n, "n", narrow))], T0 + n)
            assert (verdict.verdict, verdict.retry_after_ms) == ("limited", 60_000 - n)
        assert [await granted(store, use(n), T0 + 20) for n in ("a", "b", "c")] == [True, True, False]
        assert [await granted(store, use(n, "c", sums), T0 + 20) for n in ("a", "b")] == [True, False]

    world.run(case)


def test_refused_sends_give_their_takes_back(world: World) -> None:
    """Poor, unknown, opted out, duplicate and conflict: nothing stays counted."""

    async def case(store: AnyStore) -> None:
        await funded(store, amount=PRICE)
        await funded(store, "poor", amount=0)
        await store.opt_out("acme", "SHOP", "f" * 16, T0)
        first = limited_item(use(0), key="k", digest=b"1")
        assert (await store.admit([first], T0))[0].verdict == "accepted"
        stopped = limited_item(use(3))
        stopped.body.to_hash = "f" * 16
        cases = {
            "duplicate": limited_item(use(1), key="k", digest=b"1"),
            "conflict": limited_item(use(2), key="k", digest=b"2"),
            "opted_out": stopped,
            "poor": limited_item(use(4), account="poor"),
            "unknown": limited_item(use(5), account="none"),
        }
        for wanted, item in cases.items():
            assert (await store.admit([item], T0 + 1))[0].verdict == wanted
        assert [await granted(store, use(n), T0 + 2) for n in ("a", "b", "c")] == [True, True, False]

    world.run(case)


def test_a_limited_repeat_gives_nothing_back(world: World) -> None:
    """It took nothing: sums without tokens stay as they are."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        cap = ((86_400, 5000),)
        assert (await store.admit([limited_item(use(1, "m", cap, 4000), key="k", digest=b"1")], T0))[0].verdict == "accepted"
        for n in range(3):
            repeat = limited_item(use(2 + n, "m", cap, 4000), key="k", digest=b"1")
            assert (await store.admit([repeat], T0 + 1))[0].verdict == "duplicate"
        assert not await granted(store, use(9, "m", cap, 1001), T0 + 2)
        small = limited_item(use(10, "m", cap, 900), key="k", digest=b"1")
        assert (await store.admit([small], T0 + 3))[0].verdict == "duplicate"
        assert [await granted(store, use(n, "m", cap, 500), T0 + 4) for n in (11, 12, 13)] == [True, True, False]

    world.run(case)


def test_a_repeat_under_its_key_is_a_duplicate_even_when_limited(world: World) -> None:
    """The limit is for new sends; a conflict is told too; a twin gets what its first got."""

    async def case(store: AnyStore) -> None:
        await funded(store)
        spans = ((60, 1),)
        first = limited_item(use(1, spans=spans), key="k", digest=b"1")
        assert (await store.admit([first], T0))[0].verdict == "accepted"
        batch = [
            limited_item(use(2, spans=spans), key="k", digest=b"1"),
            limited_item(use(3, spans=spans), key="other", digest=b"1"),
            limited_item(use(4, spans=spans), key="other", digest=b"2"),
        ]
        verdicts = await store.admit(batch, T0 + 1)
        assert [(v.verdict, v.id) for v in verdicts] == [("duplicate", first.id), ("limited", ""), ("limited", "")]
        assert (await store.admit([batch[0]._replace(digest=b"x")], T0 + 1))[0].verdict == "conflict"
        assert await available(store) == 1_000_000 - PRICE

    world.run(case)
