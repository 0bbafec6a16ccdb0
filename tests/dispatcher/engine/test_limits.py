"""Limits of senders, countries and networks over real links: kept on the wire by all engines, and nobody else waits."""

from __future__ import annotations

import msgspec
import trio

from dispatcher.core.counters import Counters
from dispatcher.core.model import Body, Message, Segment, State
from dispatcher.core.rounds import head_of
from dispatcher.core.settings import Limit
from dispatcher.engine.limits import Limits
from tests.dispatcher.engine.test_rates import most
from tests.dispatcher.engine.world import World, carrier, eventually, route, settings_of, world


def _by_sender(here: World) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for smsc in here.smscs.values():
        for each in smsc.received:
            found.setdefault(each.submit.source_addr, []).append(each.at)
    return {sender: sorted(times) for sender, times in found.items()}


def test_each_sender_keeps_its_rate_over_two_engines_and_two_carriers() -> None:
    """Eight a second for each of two senders, long messages among them; a third is free and does not wait behind them."""

    async def main() -> None:
        limit = {"name": "numbers", "sender": ["One", "Two"], "each": "sender", "rate": 8}
        carriers = [carrier("alpha", sessions=2), carrier("beta", sessions=2)]
        settings = settings_of(carriers, [route({"alpha": 1, "beta": 1})], limit=[limit])
        async with world(settings, start=False) as here:
            await here.start("e1")
            await here.start("e2")
            await trio.sleep(1.5)  # sessions have been shared out
            began = trio.current_time()
            for place, sender in enumerate(("One", "Two")):
                here.send_many(24, first=491711000000 + 1000 * place, **{"from": sender})
                here.send(491711500000 + place, text="A long one. " * 30, **{"from": sender})
            here.send_many(300, first=491712000000, **{"from": "Free"})
            await eventually(lambda: _sent(here, "Free", 300), 3.0)
            assert trio.current_time() - began < 3.0
            await here.until({"delivered": 350}, 20.0)
            times = _by_sender(here)
            for sender in ("One", "Two"):
                assert len(times[sender]) == 24 + 3
                assert most(times[sender]) <= 8
            assert any(key[0] == "numbers" for key in here.counters.values["dispatcher_held_back_total"])

    async def _sent(here: World, sender: str, count: int) -> bool:
        return len(_by_sender(here).get(sender, ())) >= count

    trio.run(main)


def test_a_country_has_a_day() -> None:
    """Forty a day to Germany: of sixty sends exactly forty leave, the others stay queued."""

    async def main() -> None:
        limits = [{"name": "germany", "country": ["DE"], "per_day": 40}]
        async with world(settings_of([carrier()], [route({"alpha": 1})], limit=limits)) as here:
            here.send_many(60)
            await eventually(lambda: _accepted(here, 40), 30.0)
            await trio.sleep(1.0)
            assert here.smscs["alpha"].stats.submits == 40
            assert (await here.counts())["queued"] == 20
            assert here.counters.values["dispatcher_held_back_total"]["germany", "day"] > 0

    trio.run(main)


def test_the_strictest_of_several_limits_wins() -> None:
    """Five a second from one sender, where each sender may send a hundred: never more than five at once."""

    async def main() -> None:
        limits = [{"name": "all", "each": "sender", "rate": 100}, {"name": "shop", "sender": ["Shop"], "rate": 5}]
        async with world(settings_of([carrier()], [route({"alpha": 1})], limit=limits)) as here:
            here.send_many(30)
            await here.until({"delivered": 30}, 30.0)
            assert most(_by_sender(here)["Shop"]) <= 5
            assert here.counters.values["dispatcher_held_back_total"]["shop", "rate"] > 0

    trio.run(main)


async def _accepted(here: World, count: int) -> bool:
    return here.smscs["alpha"].stats.accepted >= count


def test_a_long_message_that_goes_whole_counts_as_its_segments() -> None:
    """One submit of three segments at six a second: five of them take two seconds, and nobody waits for what has left."""

    async def main() -> None:
        limits = [{"name": "shop", "sender": ["Shop"], "rate": 6}]
        settings = settings_of([carrier(quirks={"concat": "payload"})], [route({"alpha": 1})], limit=limits)
        async with world(settings) as here:
            for number in range(5):
                here.send(491711000000 + number, text="A long one. " * 30)
            await here.until({"delivered": 5}, 4.5)
            times = _by_sender(here)["Shop"]
            assert len(times) == 5
            assert times[-1] - times[0] >= 1.9

    trio.run(main)


def test_of_a_long_message_only_what_goes_again_counts() -> None:
    """Two of three segments are delivered: the third is claimed as one, so that a second such message may be claimed, too."""
    body = Body("4917", "x", "Shop", "shop", 2, "main", 0, 3, 1, "EUR", "t", "h", 0, 10**15, 0)
    messages = []
    for number in range(3):
        head = head_of(body)
        head.state = State.WAITING
        head.segments = [Segment(State.DELIVERED), Segment(State.DELIVERED), Segment(State.WAITING, due_at=1)]
        messages.append(Message(str(number), 1, head, body))
    limits = Limits(msgspec.convert([{"name": "shop", "sender": ["Shop"], "rate": 10}], tuple[Limit, ...]), Counters("test"))
    limits.reshare(["seat"], {"seat"}, 0.0)
    going, held = limits.sift(messages, 1.0, 1_000)
    assert [message.id for message in going] == ["0", "1"]
    assert [message.id for message, _ in held] == ["2"]
