"""What the demo tells a person (at most 40 lines of 100 columns) or a program (one JSON object): it counts and lays out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size

from accounting.audit import Audit
from accounting.money import to_decimal
from dispatcher.commands.demo.oddities import Odd
from dispatcher.commands.demo.proof import Check, Money
from dispatcher.commands.demo.world import CARRIERS
from dispatcher.commands.frame import table
from dispatcher.core.model import LANES, Head, Outcome, State

COLUMNS_MAX = 100
CURRENCY = "EUR"
_NOBODY = "(none)"


class Tally(NamedTuple):
    """Counts over all heads."""

    by_lane: Counter[tuple[str, str]]
    by_carrier: Counter[tuple[str, str]]
    segments: int
    attempts: int
    retries: int
    doubts: int
    resent: int
    """Attempts never answered after which the segment went again: it may be on the handset twice (P4)."""


class Result(NamedTuple):
    """Everything that is shown. Times in seconds."""

    sent: dict[str, int]
    tally: Tally
    refused: Mapping[str, int]
    counted: Mapping[str, int]
    """From the metrics: throttled, receipts, orphaned."""
    money: Money
    audit: Audit
    checks: list[Check]
    odd: Sequence[Odd]
    kill: str
    peaks: str
    """What the carriers saw at most in any second."""
    seconds: dict[str, float]

    @property
    def ok(self) -> bool:
        """True when every check is."""
        return all(check.ok for check in self.checks)


def tally(heads: Iterable[Head]) -> Tally:
    """Counts states by class and by the carrier of the last attempt, and attempts."""
    result = Tally(Counter(), Counter(), 0, 0, 0, 0, 0)
    segments = attempts = retries = doubts = resent = 0
    for head in heads:
        state = State(head.state).wire
        tried = [attempt for segment in head.segments for attempt in segment.attempts]
        carrier = max(tried, key=lambda attempt: attempt.at).carrier if tried else _NOBODY
        result.by_lane[state, LANES[head.lane].wire] += 1
        result.by_carrier[state, carrier] += 1
        segments += len(head.segments)
        attempts += len(tried)
        retries += sum(attempt.number > 1 for attempt in tried)
        doubts += sum(attempt.outcome == Outcome.UNKNOWN for attempt in tried)
        resent += sum(attempt.outcome == Outcome.UNKNOWN for segment in head.segments for attempt in segment.attempts[:-1])
    return result._replace(segments=segments, attempts=attempts, retries=retries, doubts=doubts, resent=resent)


def lines(result: Result) -> list[str]:
    """The report, line by line."""
    sums, counted, money = result.tally, result.counted, result.money
    refused = ", ".join(f"{reason} {count}" for reason, count in sorted(result.refused.items(), key=_by_count)) or "none"
    told = [
        f"sent       {', '.join(f'{count:,} {door}' for door, count in result.sent.items())}",
        f"refused    {refused}",
        f"outage     {result.kill}",
        "",
        *_states(sums),
        "",
        f"segments   {sums.segments:,} of {sums.by_lane.total():,} messages; {sums.attempts:,} attempts, "
        f"{sums.retries:,} of them retries; {counted['throttled']:,} throttles",
        f"carriers   {result.peaks}",
        f"receipts   {counted['receipts']:,} applied, {counted['orphaned']:,} orphaned; "
        f"{sums.doubts:,} attempts never answered, {sums.resent:,} of them sent again",
        f"money      charges {to_decimal(money.charges)}, refunds {to_decimal(money.refunds)}, cost {to_decimal(money.cost)}, "
        f"margin {to_decimal(money.margin)} {CURRENCY}",
        "",
        "oddest",
        *(f"  {odd.id}  {odd.words}" for odd in result.odd),
        "",
        *(f"{'ok' if check.ok else 'FAIL':<6}{check.name:<10}{check.words}" for check in result.checks),
        "",
        f"demo: {'PASS' if result.ok else 'FAIL'} in {result.seconds['total']:.1f} s "
        f"(start {result.seconds['start']:.1f}, sends {result.seconds['sends']:.1f}, all final after "
        f"{result.seconds['final']:.1f}, stop {result.seconds['stop']:.1f})",
    ]
    return [fit(line) for line in told]


def fit(line: str) -> str:
    """The line within COLUMNS_MAX cells of a terminal."""
    return line if cell_len(line) <= COLUMNS_MAX else set_cell_size(line, COLUMNS_MAX - 3).rstrip() + "..."


def _by_count(pair: tuple[str, int]) -> tuple[int, str]:
    return -pair[1], pair[0]


def _states(sums: Tally) -> list[str]:
    lanes = [lane.wire for lane in LANES]
    carriers = [*CARRIERS, *([_NOBODY] if any(carrier == _NOBODY for _, carrier in sums.by_carrier) else [])]
    rows: list[list[Any]] = []
    for state in (state.wire for state in State if state.final):
        counts = [sums.by_lane[state, lane] for lane in lanes]
        if sum(counts):
            rows.append([state, *counts, sum(counts), *(sums.by_carrier[state, carrier] for carrier in carriers)])
    rows.append(["all", *(sum(row[column] for row in rows) for column in range(1, len(lanes) + len(carriers) + 2))])
    return table(rows, ["final", *lanes, "all", *carriers]).splitlines()


def as_json(result: Result) -> dict[str, Any]:
    """The same for a program: counts as numbers, money as decimal strings."""
    sums, money = result.tally, result.money
    return {
        "ok": result.ok,
        "sent": result.sent,
        "refused": dict(result.refused),
        "final": _nested(sums.by_lane),
        "final_by_carrier": _nested(sums.by_carrier),
        "segments": sums.segments,
        "attempts": sums.attempts,
        "retries": sums.retries,
        "doubts": sums.doubts,
        "resent": sums.resent,
        **result.counted,
        "money": {name: to_decimal(getattr(money, name)) for name in ("charges", "refunds", "cost", "margin")},
        "currency": CURRENCY,
        "audit": {"ok": result.audit.ok, "facts": result.audit.facts, "misfits": result.audit.misfit_count},
        "checks": [check._asdict() for check in result.checks],
        "oddest": [{"id": odd.id, "words": odd.words} for odd in result.odd],
        "outage": result.kill,
        "peaks": result.peaks,
        "seconds": {name: round(value, 2) for name, value in result.seconds.items()},
    }


def _nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (state, other), count in sorted(counts.items()):
        nested.setdefault(state, {})[other] = count
    return nested
