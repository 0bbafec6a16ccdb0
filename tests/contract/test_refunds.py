"""What is given back to whom (dialects.md 1.5), the ends of messages reached by moving the clock: undelivered after the last
try, expired at the carrier, unknown after its deadline, and a code that nobody took in time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from accounting.money import to_micro
from tests.contract.chinqit_shop import Shop
from tests.contract.ground import PRICES, Running, started
from tests.contract.laravel_shop import User
from tests.contract.otpiq_shop import Project
from tests.contract.smskit_shop import Kit
from tests.process.installation import wait_for

TRIES = 5
"""One and four more, by default (1.2)."""
CONFIG = """
[receipts]
sweep_s = 0.2
deadline_s = 3000
[retry]
absent_s = [60.0]
retry_cost_max = 9
"""
ENDS = {"7701": "undelivered", "7702": "expired", "0003": "unknown"}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A dispatcher that tries again soon, and looks for missing receipts all the time."""
    with started(config=CONFIG) as found:
        yield found


def rows(running: Running, stream: str, account: str) -> list[dict[str, Any]]:
    """An account's rows of an out stream."""
    return [row for row in running.installation.rows(stream) if row["account"] == account]


def ends(running: Running, account: str) -> list[str]:
    """The final states that its messages have reached."""
    last = {row["id"]: row["state"] for row in rows(running, "events", account)}
    return sorted(state for state in last.values() if state in {*ENDS.values(), "delivered", "failed", "rejected"})


def spent(running: Running, account: str, before: str) -> int:
    """What has gone since `before`, micro-units."""
    return to_micro(before) - to_micro(running.available(account))


NUMBERS = {"chinqit": "12345601", "chinqit-bulk": "12345602", "laravel": "25470003", "smskit": "49171004", "otpiq": "96477005"}
CURRENCIES = {"chinqit": "MRU", "chinqit-bulk": "MRU", "laravel": "KES", "smskit": "EUR", "otpiq": "IQD"}


@pytest.fixture(scope="module")
def customers(running: Running) -> Mapping[str, Callable[[Sequence[str]], bool]]:
    """By dialect: sends one message to each number, in one request where the dialect can; was it taken?"""
    shop, bulk = Shop(running, "chinqit"), Shop(running, "chinqit-bulk")
    user, kit = User(running, "laravel", "1000"), Kit(running, "smskit", "1000")
    project = Project(running, "otpiq", "1000", "--sender", "OTPIQ")
    return {
        "chinqit": lambda numbers: all(shop.send("+" + number).status == 200 for number in numbers),
        "chinqit-bulk": lambda numbers: bulk.batch(*("+" + number for number in numbers)).status == 202,
        "laravel": lambda numbers: user.v1(",".join("+" + number for number in numbers)).status == 200,
        "smskit": lambda numbers: kit.send(",".join(numbers)).json["status"] == "queued",
        "otpiq": lambda numbers: all(project.custom(number).status == 200 for number in numbers),
    }


def _tried_again(running: Running, number: str, tries: int) -> None:
    """Moves the clock until it has been submitted so often: its receipt must have come before its delay begins."""

    def look() -> bool:
        if len(running.sent_to(number)) >= tries:
            return True
        running.advance(30)
        return False

    wait_for(f"try {tries}", 15, look, pause_s=0.3)


@pytest.mark.parametrize("name", list(NUMBERS))
def test_what_a_carrier_took_and_did_not_deliver(
    running: Running, customers: Mapping[str, Callable[[Sequence[str]], bool]], name: str
) -> None:
    """Undelivered after all tries (bulk has one) and expired: Chinqit's accounts have the money back, once, the others' not.
    Unknown: nobody's, and not later either."""
    refunds = name.startswith("chinqit")
    numbers = [NUMBERS[name] + end for end in ENDS]
    assert customers[name](numbers)
    for number in numbers:
        running.sent_to(number)
    for tries in range(2, TRIES + 1):
        _tried_again(running, numbers[0], tries)
    wait_for("two have ended", 10, lambda: ends(running, name) == ["expired", "undelivered"])
    running.advance(3001)
    wait_for("all have ended", 10, lambda: ends(running, name) == ["expired", "undelivered", "unknown"])
    assert [len(running.sent_to(number)) for number in numbers] == [TRIES, 1, 1]
    price = to_micro(PRICES[CURRENCIES[name]])
    expected = price if refunds else 3 * price
    wait_for("the money is where it belongs", 10, lambda: spent(running, name, "1000") == expected)
    running.advance(3 * 86_400)
    kinds = Counter(row["kind"] for row in rows(running, "charges", name))
    assert kinds["post"] == 3
    assert kinds["refund"] == (2 if refunds else 0)
    assert kinds["void"] == 0
    assert spent(running, name, "1000") == expected


def test_what_is_tried_again_has_not_failed(running: Running) -> None:
    """1.2: between two tries Chinqit's message is queued again, OTPIQ's stays sent and is not final; `failed` comes after the
    fifth try only, and then no other."""
    shop, project = Shop(running, "patient"), Project(running, "lasting", "1000", "--sender", "OTPIQ")
    sent = shop.send("+123456087701").json["messageId"]
    sms_id = project.custom("964770087701").json["smsId"]
    for tries in range(1, TRIES):
        for number in ("123456087701", "964770087701"):
            _tried_again(running, number, tries)
        found = wait_for("it waits", 10, lambda: (view := shop.status(sent))["status"] == "queued" and view)
        assert "error" not in found
        shown = project.track(sms_id).json
        assert (shown["status"], shown["isFinalStatus"]) == ("sent", False)
    for number in ("123456087701", "964770087701"):
        _tried_again(running, number, TRIES)
    wait_for("the last failure", 10, lambda: shop.status(sent)["status"] == "failed")
    assert project.ended(sms_id)["status"] == "failed"
    running.advance(600)
    assert [len(running.sent_to(number)) for number in ("123456087701", "964770087701")] == [TRIES, TRIES]


def test_a_late_code_is_never_sent(running: Running) -> None:
    """The carrier is away for longer than the 600 s a code lives: when it is back nothing leaves, the message is expired, the
    money is back, and a code asked for now goes out."""
    shop = Shop(running, "late")
    carrier = running.installation.carriers["sim"]
    carrier.say("down")
    try:
        sent = shop.otp("+1234561234").json["messageId"]
        assert spent(running, "late", "1000") == to_micro(PRICES["MRU"])
        running.advance(601)
    finally:
        carrier.say("up")
    assert shop.otp("+1234561235").status == 200
    running.sent_to("1234561235", seconds=30)
    found = wait_for("it has ended", 10, lambda: (view := shop.status(sent))["status"] == "failed" and view)
    assert found["error"]
    assert "expired" in ends(running, "late")
    assert running.never_sent_to("1234561234")
    wait_for("the money is back", 10, lambda: spent(running, "late", "1000") == to_micro(PRICES["MRU"]))
