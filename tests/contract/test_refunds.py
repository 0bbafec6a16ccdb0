"""What is given back to whom (dialects.md 1.5), the ends of messages reached by moving the clock: undelivered or refused after
the last try, refused for good, expired at the carrier, unknown after its deadline, and a code that nobody took in time.
"""

from __future__ import annotations

import itertools
import json
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
ENDS = {"7701": "undelivered", "7702": "expired", "0003": "unknown", "0002": "rejected", "7703": "failed"}


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
    return sorted(state for state in last.values() if state in {*ENDS.values(), "delivered"})


def spent(running: Running, account: str, before: str) -> int:
    """What has gone since `before`, micro-units."""
    return to_micro(before) - to_micro(running.available(account))


NUMBERS = {
    "chinqit": "12345601",
    "chinqit-bulk": "12345602",
    "laravel": "25470003",
    "laravel-wide": "25470006",
    "smskit": "49171004",
    "otpiq": "96477005",
}
CURRENCIES = {"chinqit": "MRU", "chinqit-bulk": "MRU", "laravel": "KES", "laravel-wide": "KES", "smskit": "EUR", "otpiq": "IQD"}
REFUNDS = {"chinqit": 2, "chinqit-bulk": 2, "laravel-wide": 1}
"""Of what a carrier took: Chinqit's undelivered and expired, and the undelivered of an account that was set so."""


@pytest.fixture(scope="module")
def customers(running: Running) -> Mapping[str, Callable[[Sequence[str]], bool]]:
    """By dialect: sends one message to each number, in one request where the dialect can; was it taken?"""
    shop, bulk = Shop(running, "chinqit"), Shop(running, "chinqit-bulk")
    user, kit = User(running, "laravel", "1000"), Kit(running, "smskit", "1000")
    wide = User(running, "laravel-wide", "1000", "--refund-on", "failed,rejected,undelivered")
    project = Project(running, "otpiq", "1000", "--sender", "OTPIQ")
    return {
        "chinqit": lambda numbers: all(shop.send("+" + number).status == 200 for number in numbers),
        "chinqit-bulk": lambda numbers: bulk.batch(*("+" + number for number in numbers)).status == 202,
        "laravel": lambda numbers: user.v1(",".join("+" + number for number in numbers)).status == 200,
        "laravel-wide": lambda numbers: wide.v1(",".join("+" + number for number in numbers)).status == 200,
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


def test_what_a_carrier_took_and_did_not_deliver(
    running: Running, customers: Mapping[str, Callable[[Sequence[str]], bool]]
) -> None:
    """Undelivered after all tries and expired: Chinqit's accounts have the money back, once, and who was set so, no other has.
    Unknown: nobody, and not later either. Refused for good, and as often as was tried: everybody, as no carrier took it."""
    numbers = {name: [begin + end for end in ENDS] for name, begin in NUMBERS.items()}
    for name, theirs in numbers.items():
        assert customers[name](theirs), name
    for number in itertools.chain(*numbers.values()):
        running.sent_to(number)
    for tries in range(2, TRIES + 1):
        for theirs in numbers.values():
            _tried_again(running, theirs[0], tries)
    for theirs in numbers.values():
        _tried_again(running, theirs[4], TRIES)
    for name in numbers:
        wait_for(f"four of {name}", 10, lambda name=name: ends(running, name) == sorted({*ENDS.values()} - {"unknown"}))
    running.advance(3001)
    for name, theirs in numbers.items():
        wait_for(f"all of {name}", 10, lambda name=name: ends(running, name) == sorted(ENDS.values()))
        assert [len(running.sent_to(number)) for number in theirs] == [TRIES, 1, 1, 1, TRIES], name
    expected = {name: (3 - REFUNDS.get(name, 0)) * to_micro(PRICES[currency]) for name, currency in CURRENCIES.items()}
    wait_for("the money is where it belongs", 10, lambda: {n: spent(running, n, "1000") for n in numbers} == expected)
    running.advance(3 * 86_400)
    for name in numbers:
        kinds = Counter(row["kind"] for row in rows(running, "charges", name))
        assert (kinds["post"], kinds["refund"], kinds["void"]) == (3, REFUNDS.get(name, 0), 2), name
    assert {name: spent(running, name, "1000") for name in numbers} == expected


def test_what_is_tried_again_has_not_failed(running: Running) -> None:
    """1.2: between two tries Chinqit's message is queued again, OTPIQ's stays sent and is not final; `failed` comes after the
    fifth try only, and then no other."""
    shop, project = Shop(running, "patient"), Project(running, "lasting", "1000", "--sender", "OTPIQ")
    sent = shop.send("+123456087701").json["messageId"]
    sms_id = project.custom("964770087701").json["smsId"]
    running.sent_to("964770087701")
    wait_for("it is sent", 10, lambda: project.track(sms_id).json["status"] == "sent")
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


def _receipt(running: Running, number: str) -> None:
    """The carrier's word on the last submission to it: the handset was away."""
    words = f"id:{running.sent_to(number)[-1].carrier_id} sub:001 dlvrd:000 stat:UNDELIV err:027 text:"
    told = {"system_id": "sim", "from": number, "to": "Info", "hex": words.encode().hex(), "esm_class": 4}
    running.installation.carriers["sim"].say(f"handset {json.dumps(told)}")


def test_a_batch_that_was_said_to_be_done_never_goes_back(running: Running) -> None:
    """Chinqit 3.8: `partial`, then a late receipt has one of its messages tried again, four times: the batch stays so and the
    message counts as sent, while its own status says queued. After the last try all have failed, each with its code."""
    shop = Shop(running, "done", "1")
    late, expired = "123456990003", "123456997702"
    batch_id = shop.batch("+" + late, "+" + expired).json["batchId"]
    sent = wait_for("it is done", 10, lambda: (found := shop.progress(batch_id))["status"] == "partial" and found)
    before = [sent[name] for name in ("successfulCount", "failedCount", "progress")]
    assert before == [1, 1, 100]
    message_id = sent["messages"][0]["messageId"]
    for tries in range(1, TRIES):
        _receipt(running, late)
        wait_for("it waits", 10, lambda: shop.status(message_id)["status"] == "queued")
        found = shop.progress(batch_id)
        assert [found[name] for name in ("status", "successfulCount", "failedCount", "progress")] == ["partial", *before]
        assert found["messages"][0] == sent["messages"][0]
        _tried_again(running, late, tries + 1)
        wait_for("it is sent", 10, lambda: shop.status(message_id)["status"] == "sent")
    _receipt(running, late)
    found = wait_for("the last failure", 10, lambda: (view := shop.progress(batch_id))["status"] == "failed" and view)
    assert [(each["status"], each["errorCode"]) for each in found["messages"]] == [
        ("failed", "UNDELIVERED"),
        ("failed", "EXPIRED"),
    ]
    assert all(each["error"] for each in found["messages"])
    assert (found["totalCost"], found["progress"]) == (0.04, 100)
    wait_for("all is given back", 10, lambda: shop.progress(batch_id)["refundedAmount"] == 0.04)


def test_a_late_code_is_never_sent(running: Running) -> None:
    """The carrier is away for longer than the 600 s a code lives: when it is back nothing leaves, the message is expired, the
    money is back, and a code asked for now goes out."""
    shop = Shop(running, "late")
    with running.carrier_away():
        sent = shop.otp("+1234561234").json["messageId"]
        assert spent(running, "late", "1000") == to_micro(PRICES["MRU"])
        running.advance(601)
    assert shop.otp("+1234561235").status == 200
    running.sent_to("1234561235", seconds=30)
    found = wait_for("it has ended", 10, lambda: (view := shop.status(sent))["status"] == "failed" and view)
    assert found["error"]
    assert "expired" in ends(running, "late")
    assert running.never_sent_to("1234561234")
    wait_for("the money is back", 10, lambda: spent(running, "late", "1000") == to_micro(PRICES["MRU"]))
