"""What must be atomic, with two HTTP processes behind one port: three tries, three sends a minute, the last credit, batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.contract.chinqit_shop import NOT_LIVE, Shop, at_once
from tests.contract.ground import Running, started


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """An installation of the module's own."""
    with started(http="processes = 2") as running:
        yield running


def test_three_tries_over_all_processes(running: Running) -> None:
    """Fifty parallel guesses at each of three codes."""
    shop = Shop(running, "guessed")
    for n in range(3):
        phone = f"+123456711{n}"
        assert shop.otp(phone).status == 200
        code = shop.code(phone[1:])
        bad = "000000" if code != "000000" else "111111"
        answers = at_once(50, lambda phone=phone, bad=bad: shop.verify(phone, bad))
        assert Counter(answer.status for answer in answers) == {400: 3, 404: 47}
        assert sorted(answer.json["retriesLeft"] for answer in answers if answer.status == 400) == [0, 1, 2]
        assert shop.verify(phone, code).json == NOT_LIVE


def test_one_code_is_right_once(running: Running) -> None:
    """Fifty parallel right guesses."""
    shop = Shop(running, "right")
    assert shop.otp("+1234567120").status == 200
    code = shop.code("1234567120")
    assert Counter(answer.status for answer in at_once(50, lambda: shop.verify("+1234567120", code))) == {200: 1, 404: 49}


def test_limits_over_all_processes(running: Running) -> None:
    """Thirty parallel sends to one number are three; thirty parallel batches of one are what an hour allows."""
    shop = Shop(running, "fast")
    assert Counter(answer.status for answer in at_once(30, lambda: shop.otp("+1234567121"))) == {200: 3, 429: 27}
    for _ in range(90):
        assert shop.batch("38089471").status == 202
    assert Counter(answer.status for answer in at_once(30, lambda: shop.batch("38089472"))) == {202: 10, 429: 20}


def test_the_last_credit_over_all_processes(running: Running) -> None:
    """Messages, codes and batches at once: as many as the money pays, to the last."""
    shop = Shop(running, "broke", "0.10")
    answers = at_once(12, lambda: shop.send("+1234567122")) + at_once(12, lambda: shop.batch("38089473"))
    assert Counter(answer.status for answer in answers)[402] == 19
    assert running.available("broke") == "0.00"
