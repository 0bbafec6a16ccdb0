"""Retry rules: delays, jitter, limits of money and validity, deadlines."""

from __future__ import annotations

import msgspec
import pytest

from dispatcher.core.customer import Account
from dispatcher.core.model import Attempt, Head, Lane, Outcome, Segment
from dispatcher.core.retry import Again, Rules, Stop
from dispatcher.core.settings import Settings
from tests.dispatcher.core.lives import PRICE, SETTINGS, T0, Life, rules


def head(**changes: object) -> Head:
    """A transactional message's head, valid for a day."""
    life = Life()
    life.begin()
    assert life.message.head is not None
    return msgspec.structs.replace(life.message.head, **changes)


def tried(n: int, *, outcome: int = Outcome.TEMPORARY, cost: int = 0, cause: str = "", carrier: str = "alpha") -> Segment:
    """A segment with n attempts."""
    return Segment(
        3,
        [
            Attempt(i + 1, carrier, "b0", T0, outcome, cost=cost, cause=cause, receipt="UNDELIV" if cause else "")
            for i in range(n)
        ],
    )


def test_temporary_delays_double_to_their_ceiling() -> None:
    """5, 10, 20, 40 s; with more attempts 300 at most."""
    r = rules()
    assert [r.delay_ms(Again.REFUSED, Lane.TRANSACTIONAL, "", n) for n in (1, 2, 3, 4)] == [5000, 10_000, 20_000, 40_000]
    assert r.delay_ms(Again.REFUSED, Lane.BULK, "", 12) == 300_000


def test_jitter_is_a_fifth_each_way() -> None:
    """Chance 0 gives 80 %, just under 1 gives 120 %."""
    for chance, delay in ((0.0, 4000), (0.5, 5000), (0.999999, 6000)):
        r = Rules(SETTINGS, {}, {}, lambda chance=chance: chance)  # type: ignore[misc]
        assert r.delay_ms(Again.REFUSED, Lane.TRANSACTIONAL, "", 1) == delay


def test_absent_and_otp_delays() -> None:
    """absent, memory_full: 60, 300, 900, 3,600 s; network: as a refusal; otp, whatever the cause: 2, 5, 10, 20 s."""
    r = rules()
    for cause in ("absent", "memory_full"):
        assert [r.delay_ms(Again.LATER, 1, cause, n) for n in (1, 2, 3, 4)] == [60_000, 300_000, 900_000, 3_600_000]
    assert r.delay_ms(Again.LATER, 1, "network", 1) == 5000
    for again in (Again.REFUSED, Again.LATER, Again.ONCE):
        assert [r.delay_ms(again, 0, "absent", n) for n in (1, 2, 3, 4)] == [2000, 5000, 10_000, 20_000]


def test_four_retries_and_no_fifth() -> None:
    """Attempts 1 to 4 may be followed by another; the fifth may not; a lower attempts_max is obeyed."""
    r = rules()
    assert [r.plan(Again.REFUSED, head(), tried(n), T0).stop for n in (1, 4, 5)] == [None, None, Stop.ATTEMPTS]
    two = rules(msgspec.structs.replace(SETTINGS, retry=msgspec.structs.replace(SETTINGS.retry, attempts_max=2)))
    assert [two.plan(Again.REFUSED, head(), tried(n), T0).stop for n in (1, 2)] == [None, Stop.ATTEMPTS]


def test_never_past_validity() -> None:
    """A retry due a millisecond before the deadline is planned, one due at it is not."""
    r = rules()
    assert r.plan(Again.REFUSED, head(deadline_at=T0 + 5001), tried(1), T0).due_at == T0 + 5000
    assert r.plan(Again.REFUSED, head(deadline_at=T0 + 5000), tried(1), T0).stop is Stop.VALIDITY


@pytest.mark.parametrize(("cost", "stop"), [(PRICE // 2, None), (PRICE // 2 + 1, Stop.COST)])
def test_costs_may_reach_the_price_and_not_pass_it(cost: int, stop: Stop | None) -> None:
    """One accepted attempt plus one more: exactly the price is allowed."""
    segment = tried(1, outcome=Outcome.ACCEPTED, cost=cost, cause="absent")
    assert rules().plan(Again.LATER, head(), segment, T0).stop is stop


def test_refused_attempts_cost_nothing() -> None:
    """A carrier dearer than the price may still be tried again as long as nothing was accepted."""
    assert rules().plan(Again.REFUSED, head(), tried(4, cost=10 * PRICE), T0).stop is None


def test_costs_in_another_currency_are_not_compared() -> None:
    """There is no rate between them; the attempts are the limit."""
    r = Rules(SETTINGS, {"alpha": ("USD", "t")}, {"acme": Account(name="acme", currency="EUR")}, lambda: 0.5)
    segment = tried(1, outcome=Outcome.ACCEPTED, cost=10 * PRICE, cause="absent")
    assert r.plan(Again.LATER, head(), segment, T0).stop is None


def test_receipt_deadlines_by_class() -> None:
    """72 h; one hour for otp."""
    r = rules()
    assert r.receipt_deadline_at(Lane.BULK, T0) == T0 + 72 * 3_600_000
    assert r.receipt_deadline_at(Lane.OTP, T0) == T0 + 3_600_000


def test_settings_of_carriers_reach_the_rules() -> None:
    """throttle_pause_s and receipt_per are the carrier's own."""
    carrier = {
        "name": "x",
        "throttle_pause_s": 2.5,
        "quirks": {"receipt_per": "message"},
        "bind": [{"host": "h", "system_id": "s"}],
    }
    r = Rules(msgspec.convert({"carrier": [carrier]}, Settings), {}, {}, lambda: 0.5)
    assert (r.pause_ms("x", Outcome.THROTTLED), r.pause_ms("y", Outcome.THROTTLED)) == (2500, 1000)
    assert r.pause_ms("x", Outcome.NOT_SENT) == 100  # the carrier has refused nothing
    assert (r.per_message("x"), r.per_message("y")) == (True, False)
