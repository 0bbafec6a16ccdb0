"""How a rate follows what a carrier takes: a whole installation against the simulator, whose limit falls and rises unannounced.

`python -m benchmarks.adaptive [fall|auto|whims] [--svg DIR]` (fall 75 s, auto 90 s, whims 60 s)

fall: 100 a second are configured; the carrier's limit falls from 100 to 40 and rises again. auto: `rate = "auto"` and a limit
of 60 that nobody told. whims: one in a hundred is refused at random, as handsets' full queues are, at a rate of 100. Engine,
server and links are the real ones; the carrier runs here and notes when each submit arrived and how it was answered. Judged at
the end, and a figure that is not met makes the command fail; `--svg` draws what happened.
"""

from __future__ import annotations

import argparse
import bisect
import json
import math
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import trio

from benchmarks.installation import wait_for
from benchmarks.tables import curves
from dispatcher.client import Producer
from dispatcher.commands.load.own import ACCOUNT, Own, Wish, own
from dispatcher.core.tables import Auto
from smpp import constants as c
from smpp.simulator.scenario import Account, Fate, Outcome, Scenario, Weighted
from smpp.simulator.smsc import Simulator, serve

RATE, LOW, FALL_S, RISE_S = 100, 40, 15.0, 40.0
UNTOLD = 60
WHIMS = 0.01
ANSWER_MS = 20.0
FOUND_S = 60.0
PROBE_S = 0.9
"""Refusals closer to each other are of one probe: the pause after the first is a second."""
LATE_S = 0.05
"""On a busy machine the carrier here may read an arrival so late; what left is judged by core/test_throttle."""
LEAD_S = 3.0
"""The first sends come in while the engine starts; then the carrier's clock begins."""
_LIMIT = 'dispatcher_bind_rate_limit{bind="main",carrier="carrier"}'


class Play(NamedTuple):
    """Seconds since the carrier's clock began: accepted and refused submits, and what the engine said it may do."""

    accepted: list[float]
    refused: list[float]
    allowed: list[tuple[float, float]]

    def seconds(self, times: Sequence[float], start: float, end: float, step: float = 0.1, width: float = 1.0) -> list[int]:
        """How many of `times` are in each sliding second that lies between."""
        starts = [start + step * n for n in range(int((end - start - 1) / step) + 1)]
        return [bisect.bisect_left(times, at + width) - bisect.bisect_left(times, at) for at in starts]


Judged = tuple[dict[str, float], list[tuple[str, bool]]]
"""Figures, and what must be seen in them: what is wrong if it is not, whether it is."""


@contextmanager
def carrier(scenario: Scenario) -> Iterator[tuple[Simulator, trio.lowlevel.TrioToken]]:
    """The simulator in a thread of its own."""
    begun: list[tuple[Simulator, trio.lowlevel.TrioToken, trio.CancelScope]] = []

    async def life() -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                smsc = await nursery.start(lambda **words: serve(scenario, record=True, **words))
                begun.append((smsc, trio.lowlevel.current_trio_token(), scope))

    thread = threading.Thread(target=trio.run, args=(life,))
    thread.start()
    wait_for("the carrier listens", 10, lambda: begun)
    smsc, token, scope = begun[0]
    try:
        yield smsc, token
    finally:
        trio.from_thread.run_sync(scope.cancel, trio_token=token)
        thread.join(10)


def play(rate: float | Auto, limits: tuple[tuple[float, int], ...], seconds: float, most: int, whims: float) -> Play:
    """Saturates the carrier for so long; `most`: submits a second that the sends must suffice for;
    `whims`: the part that is refused at random."""
    full = Weighted(Fate(Outcome.THROTTLED, status=c.ESME_RMSGQFUL), whims)
    scenario = Scenario(
        (Account("load", "load"),),
        "127.0.0.1:0",
        rate_curve=limits,
        answer_ms=(ANSWER_MS, ANSWER_MS),
        mix=(Weighted(Fate(), 1 - whims), *([full] if whims else [])),
    )
    with (
        carrier(scenario) as (smsc, token),
        own(Wish(port=smsc.port, rate=rate, sessions=1, durability="everysec")) as installed,
    ):
        with Producer(installed.context.url) as producer:
            total = int(most * (seconds + 2 * LEAD_S))
            for first in range(0, total, 1000):
                producer.send_chunk(
                    {"account": ACCOUNT, "to": f"+4479{number:08d}", "text": f"Parcel {number}", "class": "bulk"}
                    for number in range(first, first + 1000)
                )
        wait_for("it flows", 30, lambda: smsc.stats.accepted > 0)
        if not isinstance(rate, str):
            time.sleep(LEAD_S)
        trio.from_thread.run_sync(smsc.reset, trio_token=token)
        began = trio.from_thread.run_sync(trio.current_time, trio_token=token)
        began_here = time.monotonic()
        allowed = []
        while (elapsed := time.monotonic() - began_here) < seconds:
            allowed.append((elapsed, _allowed(installed)))
            time.sleep(0.25)
        received = trio.from_thread.run_sync(lambda: list(smsc.received), trio_token=token)
    arrived = sorted((each.at - began, each.status) for each in received)
    return Play([at for at, status in arrived if not status], [at for at, status in arrived if status], allowed)


def _allowed(installed: Own) -> float:
    _, body = installed.world.get(installed.world.ports.metrics, "/metrics")
    return next((float(line.rpartition(" ")[2]) for line in body.decode().splitlines() if line.startswith(_LIMIT)), 0.0)


def fall(found: Play, seconds: float) -> Judged:
    """The figures of the fall and the rise."""
    arrived = sorted(found.accepted + found.refused)
    under_way = 2 + round(RATE * 2 * ANSWER_MS / 1000)
    late = found.seconds(arrived, FALL_S, RISE_S)
    too_many = [place for place, count in enumerate(late) if count > LOW + under_way]
    back = found.seconds(found.accepted, RISE_S - 1, seconds)
    first = next((place for place, count in enumerate(back) if count >= 0.93 * RATE), None)
    low_refused = sum(FALL_S + 5 < at < RISE_S for at in found.refused)
    low_all = sum(FALL_S + 5 < at < RISE_S for at in arrived)
    figures: dict[str, float] = {
        "before_per_s": round(statistics.median(found.seconds(found.accepted, 2, FALL_S)), 1),
        "down_s": round(0.1 * (too_many[-1] + 1), 1) if too_many else 0.0,
        "low_per_s": round(sum(FALL_S + 5 < at < RISE_S for at in found.accepted) / (RISE_S - FALL_S - 5), 1),
        "low_refused_percent": round(100 * low_refused / low_all, 2),
        "back_s": math.inf if first is None else round(0.1 * first, 1),
        "after_per_s": round(statistics.median(found.seconds(found.accepted, RISE_S + 30, seconds)), 1),
        "most_in_a_second": max(found.seconds(arrived, 0, seconds, 0.01, 1 - LATE_S)),
        "refused": len(found.refused),
    }
    return figures, [
        ("more than the new limit left a second after it fell", figures["down_s"] <= 1.0),
        ("not back at the ceiling within 30 s", figures["back_s"] <= 30.0),
        ("not at the ceiling before and after", min(figures["before_per_s"], figures["after_per_s"]) >= 0.9 * RATE),
        ("the ceiling was passed", figures["most_in_a_second"] <= RATE),
        ("the low limit is used badly", figures["low_per_s"] >= 0.7 * LOW),
        ("too many refusals while it was low", figures["low_refused_percent"] <= 2.0),
    ]


def auto(found: Play, seconds: float) -> Judged:
    """The figures of a limit that nobody told."""
    counts = found.seconds(found.accepted, 0, seconds)
    first = next((place for place, count in enumerate(counts) if count >= 0.9 * UNTOLD), None)
    steady = sum(at > FOUND_S for at in found.accepted)
    refused = sum(at > FOUND_S for at in found.refused)
    apart = [later - earlier for earlier, later in pairwise(found.refused)]
    figures: dict[str, float] = {
        "found_s": math.inf if first is None else round(0.1 * first + 1, 1),
        "limit_at_60_s": next(limit for at, limit in found.allowed if at >= FOUND_S),
        "steady_median_per_s": statistics.median(found.seconds(found.accepted, FOUND_S, seconds)),
        "steady_per_s": round(steady / (seconds - FOUND_S), 1),
        "steady_refused_percent": round(100 * refused / (steady + refused), 2),
        "refused": len(found.refused),
        "refused_in_one_probe": _longest([gap < PROBE_S for gap in apart]) + bool(found.refused),
    }
    return figures, [
        ("the limit was not found", figures["found_s"] <= FOUND_S),
        ("what it believes is not within 10 %", abs(figures["limit_at_60_s"] - UNTOLD) <= 0.1 * UNTOLD),
        ("the limit is not used", figures["steady_median_per_s"] >= 0.9 * UNTOLD),
        ("a probe had more than one refusal", figures["refused_in_one_probe"] <= 1),
        ("too many refusals", figures["steady_refused_percent"] < 1.0),
    ]


def whims(found: Play, seconds: float) -> Judged:
    """The figures of refusals that have nothing to do with pace."""
    arrived = sorted(found.accepted + found.refused)
    figures: dict[str, float] = {
        "accepted_per_s": round(sum(0 <= at < seconds for at in found.accepted) / seconds, 1),
        "least_allowed": min(limit for at, limit in found.allowed if at > 1),
        "most_in_a_second": max(found.seconds(arrived, 0, seconds, 0.01, 1 - LATE_S)),
        "refused_percent": round(100 * len(found.refused) / len(arrived), 2),
    }
    return figures, [
        ("random refusals cost more than a twentieth", figures["accepted_per_s"] >= 0.95 * 0.97 * RATE),
        ("the ceiling was passed", figures["most_in_a_second"] <= RATE),
        ("hardly any was refused", figures["refused_percent"] >= 50 * WHIMS),
    ]


def _longest(flags: Sequence[bool]) -> int:
    """The longest run of true ones."""
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def draw(title: str, found: Play, limits: Sequence[tuple[float, int]], seconds: float) -> str:
    """The picture: the carrier's limit, what the engine allows itself, what was accepted in each second, and refusals."""
    steps = [(at, float(limit)) for at, limit in limits]
    limit = [point for each, later in pairwise([*steps, (seconds, steps[-1][1])]) for point in (each, (later[0], each[1]))]
    rate = [(0.1 * place + 1, float(count)) for place, count in enumerate(found.seconds(found.accepted, 0, seconds))]
    lines = [
        ("the carrier's limit", "#888", limit),
        ("allowed by the engine", "#c78a1b", found.allowed),
        ("accepted", "#2a6f97", rate),
    ]
    return curves(title, lines, ("refused", "#b5483c", [at for at in found.refused if 0 <= at <= seconds]))


class Case(NamedTuple):
    """What is configured, what the carrier takes from when on, how long it is watched, and who judges."""

    rate: float | Auto
    limits: tuple[tuple[float, int], ...]
    seconds: float
    judge: Callable[[Play, float], Judged]
    whims: float = 0.0

    def run(self, name: str, folder: Path | None) -> bool:
        """Plays, draws, prints; were all figures met?"""
        found = play(self.rate, self.limits, self.seconds, max(limit for _, limit in self.limits), self.whims)
        if folder is not None:
            text = draw(f"rate = {json.dumps(self.rate)}; segments a second", found, self.limits, self.seconds)
            (folder / f"adaptive-{name}.svg").write_text(text, encoding="utf-8")
        figures, checks = self.judge(found, self.seconds)
        unmet = [words for words, met in checks if not met]
        print(json.dumps({name: figures | {"unmet": unmet}}), flush=True)
        return not unmet


CASES = {
    "fall": Case(RATE, ((0.0, RATE), (FALL_S, LOW), (RISE_S, RATE)), 75.0, fall),
    "auto": Case("auto", ((0.0, UNTOLD),), 90.0, auto),
    "whims": Case(RATE, ((0.0, RATE),), 60.0, whims, WHIMS),
}


def main() -> int:
    """Command line: one JSON line each; 1 when a figure is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("", *CASES), default="")
    parser.add_argument("--svg", type=Path, help="directory for adaptive-fall.svg and so on")
    a = parser.parse_args()
    met = [case.run(name, a.svg) for name, case in CASES.items() if a.what in {"", name}]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
