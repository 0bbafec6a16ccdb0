"""Limits of senders, countries and networks: which a message meets, the strictest wins, and what is over waits in its line."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core.front import Taken
from dispatcher.core.meters import METERS_MAX, Meters
from dispatcher.core.model import Body, Lane
from dispatcher.core.settings import Limit
from tests.dispatcher.core.test_throttle import most_in_a_second


def meters_of(*limits: dict[str, Any], part: float = 1.0) -> Meters:
    """With this part of each rate."""
    found = msgspec.convert(list(limits), tuple[Limit, ...])
    meters = Meters(found)
    meters.resize({limit.name: (limit.rate or 0.0) * part for limit in found}, 0.0)
    return meters


def body(sender: str = "Shop", country: str = "DE", network: str = "26201", segments: int = 1, lane: int = 2) -> Body:
    """A message to that country."""
    return Body(
        "4917",
        "x",
        sender,
        "shop",
        lane,
        "main",
        0,
        segments,
        1,
        "EUR",
        "t",
        "h",
        0,
        10**15,
        0,
        country=country,
        mccmnc=network,
    )


def test_only_what_fits_is_limited() -> None:
    """By sender, country and network, together or each on its own."""
    meters = meters_of(
        {"name": "a", "sender": ["Shop"], "country": ["DE", "AT"], "rate": 1},
        {"name": "b", "each": "network", "per_day": 5},
        {"name": "c", "each": "sender", "network": ["26202"], "rate": 2},
    )

    def names(message: Body) -> list[str]:
        return [meter.limit.name for meter in meters.of(message, 0.0)]

    assert names(body()) == ["a", "b"]
    assert names(body(sender="Bank")) == ["b"]
    assert names(body(country="FR", network="26202")) == ["b", "c"]
    assert meters.of(body(), 0.0)[1] is meters.of(body(sender="Bank"), 0.0)[0]
    assert meters.of(body(network="1"), 0.0)[1] is not meters.of(body(), 0.0)[1]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 60), st.integers(0, 2**32))
def test_the_strictest_wins_in_every_sliding_second(per_sender: int, per_country: int, seed: int) -> None:
    """Several senders, long messages, a link that writes late and sometimes not: no sender and no country passes its rate."""
    chance = random.Random(seed)
    meters = meters_of(
        {"name": "s", "each": "sender", "rate": per_sender}, {"name": "c", "country": ["DE"], "rate": per_country}
    )
    waiting: list[tuple[float, Body]] = [
        (0.0, body(chance.choice("AB"), chance.choice(["DE", "FR"]), segments=chance.choice([1, 1, 3]))) for _ in range(300)
    ]
    queued: list[Body] = []
    left: list[tuple[float, Body]] = []
    now = 0.0
    while now < 12.0:
        for place, (at, message) in enumerate(waiting):
            if at <= now:
                waiting[place] = (meters.admit(message, message.segments, now)[0], message)
                if waiting[place][0] <= now:
                    queued += [message] * message.segments
                    waiting[place] = (float("inf"), message)
        held: list[Body] = []
        for message in queued:
            if meters.free(message, 1, now) > 0:
                held.append(message)
            elif chance.random() < 0.1:
                meters.back(message, 1, now)
                held.append(message)
            else:
                left.append((now, message))
        queued = held
        now += chance.choice([0.001, 0.01, 0.05, 0.1])
    for sender in "AB":
        assert most_in_a_second([at for at, message in left if message.sender == sender]) <= per_sender
    german = [at for at, message in left if message.country == "DE"]
    assert most_in_a_second(german) <= per_country
    # Not starved either: the link looks 25 times a second, and below 50 a second one look lets one segment of a sender leave.
    # How many of them are German is chance where only a dozen leave.
    assert len(left) == sum(m.segments for _, m in waiting) or len(left) >= 6 * min(per_sender, 20)
    assert len(queued) <= 2 * 3 + 0.2 * 2 * per_sender + 3


def test_a_backlog_comes_back_as_it_can_leave_and_an_otp_before_it() -> None:
    """500 bulk messages at 10 a second get places a tenth of a second apart; the OTP behind them the first of its own."""
    meters = meters_of({"name": "s", "sender": ["Shop"], "rate": 10})
    places = [meters.admit(body(), 1, 0.0)[0] for _ in range(500)]
    assert places[:3] == pytest.approx([0.0, 0.0, 0.1])
    assert places[-1] == pytest.approx(49.8)
    assert meters.admit(body(lane=Lane.OTP), 1, 0.0)[0] == pytest.approx(0.1)


def test_what_a_dead_link_took_with_it_does_not_stop_a_limit() -> None:
    """What was claimed and never left is forgotten when nothing has moved for a while."""
    meters = meters_of({"name": "s", "sender": ["Shop"], "rate": 1})
    assert meters.admit(body(segments=3), 3, 0.0) == (0.0, None)
    assert meters.admit(body(), 1, 4.0)[0] > 4.0
    assert meters.admit(body(), 1, 6.0) == (6.0, None)


def test_a_long_message_that_goes_whole_counts_as_its_segments() -> None:
    """Submits of three segments at ten a second: as many segments leave as if each had left by itself, at once or given back
    between, and nothing is taken for waiting that has left."""
    meters = meters_of({"name": "s", "sender": ["Shop"], "rate": 10})
    now, left, waiting = 0.0, 0, 0
    while now < 10.0:
        if not waiting and meters.admit(body(segments=3), 3, now)[0] <= now:
            waiting = 1
        if waiting and meters.free(body(segments=3), 3, now) == 0.0:
            meters.back(body(segments=3), 3, now)
            assert meters.free(body(segments=3), 3, now) == 0.0
            waiting, left = 0, left + 3
        now += 0.01
    assert 90 <= left <= 100 + 2


def test_a_day_lets_through_what_was_taken_for_it() -> None:
    """Nothing before permits are there, a long message only whole; the limit that held it is told."""
    meters = meters_of({"name": "d", "each": "country", "per_day": 300})
    at, meter = meters.admit(body(segments=5), 5, 0.0)
    assert at > 0
    assert meter is not None
    assert meter.day is not None
    takes = meter.day.asking("e")
    meter.day.told(takes, [Taken(granted=True)] * len(takes), 0.0)
    assert meters.admit(body(segments=5), 5, 0.1) == (0.1, None)
    assert meters.admit(body(segments=5), 5, 0.1)[0] > 0.1


def test_an_engine_without_a_part_lets_nothing_go() -> None:
    """Other engines hold the whole rate; a part that comes opens the gate."""
    meters = meters_of({"name": "s", "each": "sender", "rate": 4}, part=0.0)
    assert meters.admit(body(), 1, 1.0)[0] > 1.0
    assert meters.free(body(), 1, 1.0) > 1.0
    meters.resize({"s": 4.0}, 2.0)
    assert meters.admit(body(), 1, 3.0) == (3.0, None)
    assert meters.free(body(), 1, 3.0) == 0.0


def test_meters_are_bounded() -> None:
    """Senders nobody used for a while are forgotten."""
    meters = meters_of({"name": "s", "each": "sender", "rate": 1})
    for number in range(2 * METERS_MAX):
        meters.of(body(sender=str(number)), number * 0.01)
    assert len(list(meters.all())) <= METERS_MAX


def test_meters_with_a_day_are_bounded_and_give_back_what_they_took() -> None:
    """Each sender has permits at hand, as an engine takes them; who is forgotten leaves them behind, once."""
    meters = meters_of({"name": "s", "each": "sender", "per_day": 300})
    for number in range(2 * METERS_MAX):
        (meter,) = meters.of(body(sender=str(number)), number * 0.01)
        meter.open_at(1, 0, number * 0.01)
        assert meter.day is not None
        takes = meter.day.asking("e")
        meter.day.told(takes, [Taken(granted=True)] * len(takes), number * 0.01)
    kept = list(meters.all())
    assert len(kept) <= METERS_MAX
    left = meters.left_behind()
    assert len(left) + sum(meter.day.left for meter in kept if meter.day is not None) == 3 * 2 * METERS_MAX
    assert meters.left_behind() == []
