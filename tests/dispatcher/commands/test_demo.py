"""The demo's checks can fail: each is shown books or records with one thing wrong. And its report fits the screen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from accounting.audit import audit
from accounting.ledger import Fact, fact_id
from dispatcher.commands.demo import oddities, proof, report, rows
from dispatcher.commands.demo.proof import Evidence
from dispatcher.core.customer import Account, Balance
from dispatcher.core.model import Attempt, Head, Outcome, Segment, State
from dispatcher.ops.errors import OpsError

PRICE, COST, CREDIT = 40_000, 12_000, 1_000_000
IDS = ["A" * 26, "B" * 26, "C" * 26]


def _attempt(number: int = 1, outcome: int = Outcome.ACCEPTED, **more: Any) -> Attempt:
    return Attempt(number, "swift", "main", 1_000 * number, outcome, cost=COST, **more)


def _head(state: State, *segments: Segment) -> Head:
    return Head(state, 9_000, list(segments), "demo", 1, "default", PRICE, "EUR", "standard", "hash", 0, 90_000, 1)


def _fact(kind: str, message_id: str = "", segment: int = 0, of: int = 1, amount: int = PRICE, attempt: int = 1) -> Fact:
    number = 0 if segment == 0 else attempt
    name = fact_id(message_id, segment, number, kind)
    unit = 0 if kind == "credit" else amount if kind == "cost" else PRICE
    return Fact(
        name, message_id, "demo", segment, of, kind, amount, "EUR", unit, "", "", "", "", "", "", "", number, 0
    )  # fmt: skip


def _good() -> Evidence:
    """A delivered message of two segments, one retried; one rejected after it was accepted; one unknown and charged."""
    delivered = Segment(State.DELIVERED, [_attempt(1, Outcome.TEMPORARY), _attempt(2)], posted=True)
    heads = {
        IDS[0]: _head(State.DELIVERED, delivered, delivered),
        IDS[1]: _head(State.REJECTED, Segment(State.REJECTED, [_attempt()], posted=True, refunded=True)),
        IDS[2]: _head(State.UNKNOWN, Segment(State.UNKNOWN, [_attempt(1, Outcome.UNKNOWN)], posted=True)),
    }
    facts = [_fact("credit", "opening", amount=CREDIT)]
    facts += [_fact("reserve", i, of=len(head.segments), amount=PRICE * len(head.segments)) for i, head in heads.items()]
    facts += [_fact(kind, IDS[0], n, 2, a, 2) for n in (1, 2) for kind, a in (("post", PRICE), ("cost", COST))]
    facts += [_fact("post", IDS[1], 1), _fact("cost", IDS[1], 1, amount=COST), _fact("refund", IDS[1], 1)]
    facts += [_fact("post", IDS[2], 1)]
    return Evidence(
        accepted=IDS,
        expected=3,
        refused={"number_invalid": 1},
        told={i: State(head.state).wire for i, head in heads.items()},
        ends=dict.fromkeys(heads, 1),
        heads=dict(heads),
        kept_bodies=0,
        facts=facts,
        account=Account(name="demo", currency="EUR"),
        balance=Balance("demo", CREDIT - 3 * PRICE, 0, 0, "EUR"),
        credit=CREDIT,
        price_of=lambda _: PRICE,
        finals_counted=3,
    )


def _failed(evidence: Evidence) -> set[str]:
    return {check.name for check in proof.prove(evidence)[0] if not check.ok}


def test_good_books_pass() -> None:
    """Nothing is wrong, so nothing fails; margin is what stays."""
    checks, _, money = proof.prove(_good())
    assert [check for check in checks if not check.ok] == []
    assert money == (4 * PRICE, PRICE, 3 * COST)
    assert money.margin == 3 * PRICE - 3 * COST


_GOOD = _good()
_OPEN = replace(_GOOD.heads[IDS[2]] or _head(State.QUEUED), state=State.DOUBT)


@pytest.mark.parametrize(
    ("broken", "failing"),
    [
        ({"heads": {**_GOOD.heads, IDS[2]: _OPEN}}, {"finals", "metrics"}),
        ({"heads": {**_GOOD.heads, IDS[2]: None}}, {"finals", "charges", "prices", "metrics"}),
        ({"refused": {"number_invalid": 1, "500 internal": 1}}, {"refusals"}),
        ({"expected": 4}, {"finals"}),
        ({"expected": 2}, {"finals"}),
        ({"told": {**_GOOD.told, IDS[1]: "delivered"}}, {"finals"}),
        ({"kept_bodies": 1}, {"finals"}),
        ({"ends": {**_GOOD.ends, IDS[0]: 2}}, {"finals"}),
        ({"ends": {IDS[0]: 1, IDS[1]: 1}}, {"finals"}),
        ({"price_of": lambda _: PRICE + 1}, {"prices"}),
        ({"facts": _GOOD.facts[:-1]}, {"charges", "audit"}),
        ({"facts": [*_GOOD.facts, _fact("post", IDS[2], 1)]}, {"charges", "audit"}),
        ({"facts": [f for f in _GOOD.facts if f.kind != "cost"]}, {"costs"}),
        ({"facts": [f for f in _GOOD.facts if f.kind != "refund"]}, {"charges", "audit"}),
        ({"balance": Balance("demo", CREDIT - 3 * PRICE + 1, 0, 0, "EUR")}, {"charges", "audit"}),
        ({"balance": Balance("demo", CREDIT - 3 * PRICE, 1, 0, "EUR")}, {"audit"}),
        ({"finals_counted": 2}, {"metrics"}),
        ({"finals_counted": 4}, {"metrics"}),
    ],
)
def test_each_wrong_thing_fails_its_check(broken: dict[str, Any], failing: set[str]) -> None:
    """One thing wrong with records, facts, balance or metrics: the checks concerned fail (others may, too)."""
    evidence = _good()._replace(**broken)
    assert failing - {"prices"} <= _failed(evidence)
    if "prices" in failing and "price_of" in broken:
        assert _failed(evidence) == {"prices"}


def test_the_report_fits_the_screen() -> None:
    """At most 40 lines of 100 columns, the demo's first line included, even when every number is long and every check fails."""
    evidence = _good()
    heads = {i: head for i, head in evidence.heads.items() if head is not None}
    many = Counter({(state.wire, lane): 10_000 for state in State if state.final for lane in ("otp", "transactional", "bulk")})
    carriers = Counter({(s.wire, c): 10_000 for s in State if s.final for c in ("swift", "steady", "premium", "(none)")})
    result = report.Result(
        sent={"a very long door": 10_000} | dict.fromkeys("bcd", 10_000),
        tally=report.tally(heads.values())._replace(by_lane=many, by_carrier=carriers),
        refused={f"some_reason_or_other_{n}": n for n in range(20)},
        counted={"throttled": 10**6, "receipts": 10**6, "orphaned": 10**6},
        money=proof.Money(10**12, 10**12, 10**12),
        audit=audit([], {}, {}),
        checks=[
            proof.Check(name, False, "漢字 " * 60)
            for name in ("refusals", "finals", "prices", "charges", "costs", "audit", "metrics", "stop")
        ],
        odd=[oddities.Odd(1, "A" * 26, "🎉 " * 100)] * oddities.LINES,
        kill="swift " * 30,
        peaks="swift " * 30,
        seconds={"start": 9.9, "sends": 9.9, "final": 99.9, "stop": 9.9, "total": 199.9},
    )
    lines = report.lines(result)
    assert not result.ok
    assert len(lines) + 1 <= 40
    assert max(map(cell_len, lines)) <= 100


def test_paths_count_repeats() -> None:
    """Equal attempts are told once, with the carriers in their order."""
    tries = [_attempt(1, Outcome.TEMPORARY, code=8), _attempt(2, Outcome.TEMPORARY, code=8), _attempt(3, receipt="DELIVRD")]
    tries[1] = replace(tries[1], carrier="steady")
    assert oddities.path(tries) == "swift+steady RSYSERR, swift DELIVRD"


def test_the_file_is_named_when_it_is_missing_or_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong door names its line; the repository's own file is found from anywhere inside it."""
    monkeypatch.chdir(tmp_path)
    assert rows.find("").is_file()
    wrong = tmp_path / "rows.csv"
    wrong.write_text("door,class,to,from,key,text\nstream,bulk,+1,A,,x\nwindow,bulk,+1,A,,x\n", encoding="utf-8")
    with pytest.raises(OpsError, match="line 3: door 'window'"):
        rows.load(wrong)
    wrong.write_text("door,to\n", encoding="utf-8")
    with pytest.raises(OpsError, match="no column class, from, key, text"):
        rows.load(wrong)
