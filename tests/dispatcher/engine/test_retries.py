"""Refusals, failures and doubts, and what they cost."""

from __future__ import annotations

from typing import Any

import trio

from dispatcher.engine.works import Flight
from smpp.simulator.scenario import Fate, Outcome, Rule
from tests.dispatcher.engine.world import MONEY, NUMBER, PRICE, World, carrier, eventually, route, settings_of, world

ONE = settings_of([carrier(quirks={"causes": {"001": "absent"}})], [route({"alpha": 1})])


def rules(**by_number: Any) -> dict[str, dict[str, Any]]:
    """A scenario of alpha with one fate for the usual number."""
    return {"alpha": {"rules": (Rule(Fate(**by_number), number=str(NUMBER)),)}}


async def attempts(here: World) -> list[int]:
    """Attempts per segment of the only message."""
    (message,) = await here.messages()
    assert message.head is not None
    return [len(s.attempts) for s in message.head.segments]


def test_temporary_refusals_that_heal_are_delivered_and_charged_once() -> None:
    """Refused three times, accepted at the fourth attempt: delivered, one post."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(outcome=Outcome.TEMPORARY, times=3)) as here:
            here.send()
            await here.until({"delivered": 1})
            assert await attempts(here) == [4]
            assert await here.money() == (MONEY - PRICE, 0)
            assert len(await here.facts("post")) == 1

    trio.run(main)


def test_temporary_refusals_that_never_heal_end_after_five_attempts() -> None:
    """P3: five attempts, failed, and the reserved money is back."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(outcome=Outcome.TEMPORARY)) as here:
            here.send()
            await here.until({"failed": 1})
            assert await attempts(here) == [5]
            assert here.smscs["alpha"].stats.submits == 5
            assert await here.money() == (MONEY, 0)
            assert len(await here.facts("void")) == 1

    trio.run(main)


def test_a_permanent_refusal_is_not_repeated() -> None:
    """One submit, rejected, money back."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(outcome=Outcome.PERMANENT)) as here:
            here.send()
            await here.until({"rejected": 1})
            assert here.smscs["alpha"].stats.submits == 1
            assert await here.money() == (MONEY, 0)

    trio.run(main)


def test_an_absent_subscriber_is_tried_again_and_pays_once() -> None:
    """Two receipts UNDELIV (absent), then delivered: three attempts, one post."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(outcome=Outcome.UNDELIVERED, code="001", times=2)) as here:
            here.send()
            await here.until({"delivered": 1})
            assert await attempts(here) == [3]
            assert len(await here.facts("post")) == 1
            assert await here.money() == (MONEY - PRICE, 0)

    trio.run(main)


def test_throttling_is_no_attempt() -> None:
    """Answered "too fast" three times: one attempt in the record, delivered."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(outcome=Outcome.THROTTLED, times=3)) as here:
            here.send()
            await here.until({"delivered": 1})
            assert await attempts(here) == [1]
            assert here.smscs["alpha"].stats.submits == 4

    trio.run(main)


def test_a_dropped_link_under_resend_sends_again() -> None:
    """P4: the link dies with a submit in flight; `resend` sends again after the grace, as a second attempt."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(outcome=Outcome.DROP, times=2)) as here:
            here.smscs["alpha"]._temper._drops = 1  # the first submit is the second of its kind: it kills the link
            here.send(on_unknown="resend")
            await here.until({"delivered": 1})
            assert await attempts(here) == [2]
            assert here.smscs["alpha"].stats.submits == 2
            assert len(await here.facts("post")) == 1

    trio.run(main)


def test_a_dropped_link_under_hold_never_sends_again() -> None:
    """P4, I5: under `hold` the doubt stays one submit, reserved, and is told as doubt."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(outcome=Outcome.DROP, times=1)) as here:
            here.send(on_unknown="hold")
            await here.until({"doubt": 1})
            await trio.sleep(0.4)
            assert here.smscs["alpha"].stats.submits == 1
            assert await here.money() == (MONEY - PRICE, PRICE)

    trio.run(main)


def test_a_receipt_may_overtake_its_answer() -> None:
    """The receipt comes before the response: it waits, and delivers once the response is settled."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(outcome=Outcome.RECEIPT_FIRST)) as here:
            here.send()
            await here.until({"delivered": 1})
            assert await attempts(here) == [1]
            await eventually(lambda: _answered(here, 1))

    trio.run(main)


def test_a_doubled_receipt_changes_nothing() -> None:
    """I13: two equal receipts, one event, one post, both answered; the second is an orphan in the end."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(outcome=Outcome.RECEIPT_TWICE)) as here:
            here.send()
            await here.until({"delivered": 1})
            await eventually(lambda: _answered(here, 2))
            assert [r["state"] for r in await here.rows("events")].count("delivered") == 1
            assert len(await here.facts("post")) == 1

    trio.run(main)


async def _answered(here: World, count: int) -> bool:
    return here.smscs["alpha"].stats.receipts_answered == count


def test_no_receipt_by_the_deadline_is_unknown() -> None:
    """Silence until the receipt deadline: unknown, and charged."""
    settings = settings_of([carrier()], [route({"alpha": 1})], receipts={"deadline_s": 0.3, "sweep_s": 0.1})

    async def main() -> None:
        async with world(settings, scenarios=rules(outcome=Outcome.NO_RECEIPT)) as here:
            here.send()
            await here.until({"unknown": 1})
            assert await here.money() == (MONEY - PRICE, 0)
            await eventually(lambda: _no_correlations(here))

    trio.run(main)


async def _no_correlations(here: World) -> bool:
    return not any(here.store.corr.values())


def test_validity_over_before_a_carrier_takes_it_expires() -> None:
    """A queue that does not move: the message expires on its own and its money comes back."""

    async def main() -> None:
        async with world(ONE) as here:
            await here.smscs["alpha"].down()
            await trio.sleep(0.1)
            here.send(validity_s=1)
            await here.until({"expired": 1})
            assert await here.money() == (MONEY, 0)

    trio.run(main)


def test_a_long_message_shares_one_header_and_pays_per_segment() -> None:
    """I10: segments of one message carry one reference and total; one post each; delivered as a whole."""

    async def main() -> None:
        async with world(ONE) as here:
            here.send(text="x" * 400)
            await here.until({"delivered": 1})
            udhs = [r.submit.short_message[:6] for r in here.smscs["alpha"].received]
            assert [u[:3] for u in udhs] == [b"\x05\x00\x03"] * 3
            assert len({u[3] for u in udhs}) == 1
            assert sorted(u[5] for u in udhs) == [1, 2, 3]
            assert len(await here.facts("post")) == 3
            assert await here.money() == (MONEY - 3 * PRICE, 0)

    trio.run(main)


def test_a_late_answer_still_settles() -> None:
    """An answer to a submit that had been given up: the doubt under `hold` is accepted and charged after all."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(outcome=Outcome.DROP, times=1)) as here:
            here.send(on_unknown="hold")
            await here.until({"doubt": 1})
            built = here.engines["e1"][0]
            (message,) = await here.messages()
            seat = built.works.seats[0]
            built.committer.late(seat, [((Flight(message, seat, 0), 1), 0, "late-id")])
            await here.until({"submitted": 1})
            assert here.store.corr["alpha"].keys() == {"late-id"}
            assert len(await here.facts("post")) == 1
            assert await here.money() == (MONEY - PRICE, 0)

    trio.run(main)


def test_one_part_alone_goes_again() -> None:
    """A long message of which parts are refused once: it is delivered, each part charged once, header unchanged."""

    async def main() -> None:
        async with world(ONE, scenarios=rules(outcome=Outcome.TEMPORARY, times=1)) as here:
            here.send(text="z" * 400)
            await here.until({"delivered": 1})
            assert len(await here.facts("post")) == 3
            assert await here.money() == (MONEY - 3 * PRICE, 0)

    trio.run(main)


def test_a_receipt_of_a_second_round_is_not_judged_by_the_first() -> None:
    """A part's receipt that comes while its siblings wait for their turn, after a refused first round, is not forgotten:
    what the engine remembers of the message is older than the attempt that the receipt is for."""
    paced = settings_of([carrier(rate=10)], [route({"alpha": 1})])

    async def main() -> None:
        async with world(paced, scenarios=rules(outcome=Outcome.TEMPORARY, times=1)) as here:
            here.send(text="A long text. " * 30)
            await here.until({"delivered": 1})
            assert await attempts(here) == [2, 2, 2]

    trio.run(main)


def test_many_long_messages_share_a_small_window() -> None:
    """Messages of seven segments through a window of ten: all delivered, the window never passed."""
    settings = settings_of([carrier(window=10)], [route({"alpha": 1})])

    async def main() -> None:
        async with world(settings, scenarios={"alpha": {"window": 10, "answer_ms": (1.0, 3.0)}}) as here:
            here.send_many(60, text="w" * 1000)
            await here.until({"delivered": 60}, 10)
            stats = here.smscs["alpha"].stats
            assert stats.submits == 420
            assert stats.window_exceeded == 0
            assert len(await here.facts("post")) == 420

    trio.run(main)
