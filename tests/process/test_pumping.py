"""SMS pumping against a running installation: a thousand numbers side by side ask for codes, two HTTP processes answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest

from tests.contract.ground import Response, Running, started
from tests.process.installation import ROOT, wait_for

FIRST = 22_236_500_000
NUMBERS = 1000
STEPS = 20
"""Ten minutes in half minutes."""
PER_MINUTE, PER_HOUR = 30, 100
ALERT = re.compile(r"sum by \(class\) \(increase\((\w+)\{result=\"(\w+)\"\}\[10m\]\)\) > (\d+)")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """An installation with two HTTP processes."""
    with started(http="processes = 2") as found:
        for name in ("pumped", "other"):
            found.account(name, "MRU", "1000")
            found.import_key(name, "chinqit", f"key-of-{name}")
        yield found


def ask(running: Running, number: int, account: str = "pumped") -> Response:
    """A code for a number, as a web shop's form asks for one."""
    return running.request("POST", "/otp/send", {"phoneNumber": f"+{number}"}, {"X-API-Key": f"key-of-{account}"})


def pumping_alert(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Classes for which DispatcherPumping fires, by its own expression, between two scrapes ten minutes apart."""
    rules = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
    found = ALERT.search(rules[rules.index("alert: DispatcherPumping") :])
    assert found is not None
    name, result, limit = found.groups()
    series = re.compile(rf'{name}\{{class="(\w+)",result="{result}"\}}')
    increase: Counter[str] = Counter()
    for sample, value in after.items():
        if match := series.fullmatch(sample):
            increase[match[1]] += round(value - before.get(sample, 0))
    return [lane for lane, count in increase.items() if count > int(limit)]


def test_a_thousand_numbers_of_one_range(running: Running) -> None:
    """No minute lets more than the limit through, nor does the hour; all others are told 429 and when to come again. The
    alert fires. Other ranges, other accounts and other classes do not feel it."""
    first = running.installation.scrape()
    accepted: list[int] = []
    for step in range(STEPS):
        for number in range(FIRST + step * NUMBERS // STEPS, FIRST + (step + 1) * NUMBERS // STEPS):
            answer = ask(running, number)
            if answer.status == 200:
                accepted.append(step)
            else:
                assert answer.status == 429, answer.body
                assert answer.json["success"] is False
                assert 0 < int(answer.headers["retry-after"]) <= 3600
        assert ask(running, 22_246_500_000 + step * 1000).status == 200
        if step < STEPS - 1:
            running.advance(30)
    by_step = Counter(accepted)
    assert all(by_step[step] + by_step[step + 1] <= PER_MINUTE for step in range(STEPS - 1)), by_step
    assert len(accepted) == PER_HOUR
    assert ask(running, FIRST, "other").status == 200
    answer = running.request(
        "POST", "/messages/send", {"phoneNumber": f"+{FIRST}", "message": "no code"}, {"X-API-Key": "key-of-pumped"}
    )
    assert answer.status == 200

    def in_range() -> set[int]:
        """Numbers, not submissions: the carrier refuses one of them at first."""
        sent = {int(each.number) for each in running.installation.carriers["sim"].records()}
        return sent & set(range(FIRST, FIRST + NUMBERS))

    wait_for("the accepted ones have left", 15, lambda: len(in_range()) >= PER_HOUR)
    assert len(in_range()) == PER_HOUR

    def fires() -> bool:
        return pumping_alert(first, running.installation.scrape()) == ["otp"]

    wait_for("the alert fires", 5, fires)
    name = 'dispatcher_sends_total{class="otp",result="velocity"}'
    wait_for("every refusal is counted", 5, lambda: running.installation.scrape()[name] == NUMBERS - PER_HOUR)


def test_what_nobody_entered_is_paused_until_an_operator_resumes_it(running: Running) -> None:
    """An hour later the range would be free again, but none of its codes was used: all codes of the account into that
    country are refused, by every process, until it is resumed or the pause has passed."""
    cli = running.installation.cli

    def paused() -> list[str]:
        return [row["country"] for row in cli("fraud", "list") if row["paused_until"]]

    running.advance(3601)
    wait_for("it is paused", 10, lambda: paused() == ["MR"])
    wait_for("every process knows", 2, lambda: {ask(running, FIRST + n).status for n in range(600, 608)} == {429})
    assert ask(running, FIRST + 10, "other").status == 200
    assert cli("fraud", "resume", "pumped", "MR")["state"] == "resumed"
    assert cli("fraud", "resume", "pumped", "MR", code=1)["state"] == "not paused"
    numbers = iter(range(FIRST + 700, FIRST + 760))  # seldom: what one process lets through counts towards the minute's thirty
    wait_for("it is free again", 2, lambda: [ask(running, next(numbers)).status for _ in range(4)] == [200] * 4, pause_s=0.2)


def test_the_stream_door_counts_with_the_others(running: Running) -> None:
    """What HTTP has taken of a range is taken for producers of the stream too; what is beyond it is a reject."""
    number = 22_237_700_000
    for n in range(20):
        assert ask(running, number + n, "other").status == 200
    running.installation.xadd(
        [{"account": "other", "to": f"+{number + 20 + n}", "text": "code", "class": "otp"} for n in range(20)]
    )

    def rejected() -> list[str]:
        return [row["reason"] for row in running.installation.rows("rejects")]

    wait_for("ten are rejected", 10, lambda: len(rejected()) == 10)
    assert set(rejected()) == {"velocity"}
    assert ask(running, number + 50, "other").status == 429
