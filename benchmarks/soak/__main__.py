"""`python -m benchmarks.soak --minutes 60 [--share 0.7] [--seed 1] [--out NAME]`: an hour at a share of capacity, with faults.

An installation of its own with two engines, two HTTP processes and two carriers with a temper. Its capacity is measured
first, flat out, with the same mix; then a share of it is sent for so many minutes while faults drawn from the seed strike.
Every message is judged (auditor). At the end: lost, doubled, money, metrics against rows, and the slope of each process'
memory. Exit 1 when anything of it is wrong.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from accounting.money import to_micro
from benchmarks.installation import machine
from benchmarks.soak import scene
from benchmarks.soak.auditor import Auditor, Metric
from benchmarks.soak.gauge import Gauge
from benchmarks.soak.levels import Drift, Slope, drift, slope
from benchmarks.soak.traffic import ACCOUNT, Traffic
from dispatcher.commands.load.plot import plot
from tests.process.installation import Installation
from tests.process.receiver import Hooks, receiver
from tests.process.verdict import Verdict

RESULTS = Path(__file__).parents[1] / "results"
MONEY = "100000000"
FLAT_LEAD_S = 6.0
OPEN_MAX = 3_000
TICK_S, JUDGE_S, SAMPLE_S, TOLD_S = 0.25, 2.0, 10.0, 30.0
END_S = 150.0
"""Everything must be final and judged so long after the last send."""
SLOPE_MAX_MB_H = 1.0
DRIFT_MAX = 0.02
STEADY_S = 720.0
"""Nothing is level before, and nothing is judged whose warm-up was shorter: two buckets of records must have come and gone, and
engines remember up to 20,000 messages, bodies and ids of answers each, half of them for receipts that another engine gets."""
EXTREMES = 5


class Soak:
    """The parts of a run, and its one loop."""

    def __init__(self, place: Installation, hooks: Hooks, seed: int) -> None:
        self.place, self.seed, self.hook = place, seed, hooks.url
        self.auditor = Auditor(place, hooks)
        self.gauge = Gauge(place)
        self.key = place.account(ACCOUNT, "--tariff", "retail", money=MONEY)
        self.errors: list[str] = []
        self._judged_at = 0.0

    def turn(self) -> None:
        """Takes what is new; judges now and then."""
        now = time.monotonic()
        judged = now - self._judged_at >= JUDGE_S
        if judged:
            self._judged_at = now
        self.auditor.look(judged=judged)
        time.sleep(TICK_S)

    def traffic(self, rate: float) -> Traffic:
        """Senders, started."""
        place = self.place
        senders = Traffic(self.auditor, self.seed, place.server_port, place.http_port, self.key, self.hook, rate, OPEN_MAX)
        senders.start()
        return senders

    def stop(self, senders: Traffic) -> None:
        """Ends them while rows are still taken: a call may wait for a door that is away."""
        senders.stop()
        self.errors += senders.errors

    def capacity(self, seconds: float) -> float:
        """Messages final in a second, flat out."""
        senders = self.traffic(0.0)
        began = counting = time.monotonic()
        first = 0
        while time.monotonic() - began < seconds and not senders.errors:
            self.turn()
            if not first and time.monotonic() - began >= FLAT_LEAD_S:
                first, counting = self.auditor.finals, time.monotonic()
        rate = (self.auditor.finals - first) / (time.monotonic() - counting)
        self.stop(senders)
        if self.errors:
            raise RuntimeError("; ".join(self.errors))
        return rate

    def run(self, rate: float, seconds: float, warm_up_s: float, faults: scene.Faults) -> Counter[str]:
        """Sends at `rate` among the faults; the sizes of the store's kinds of keys when the warm-up was over."""
        senders = self.traffic(rate)
        faults.start()
        began = time.monotonic()
        sampled = told = 0.0
        sizes: Counter[str] = Counter()
        while (at_s := time.monotonic() - began) < seconds and not senders.errors:
            self.turn()
            if at_s >= sampled:
                self.gauge.sample(at_s)
                sampled = at_s + SAMPLE_S
            if at_s >= warm_up_s and not sizes:
                sizes = self.gauge.keys()
            if at_s >= told:
                self._tell(at_s, faults)
                told = at_s + TOLD_S
        faults.stop()
        self.stop(senders)
        self.errors += [f"faults: {faults.failed}"] if faults.failed else []
        return sizes

    def until_judged(self) -> None:
        """All that was accepted is final and judged, or time is over."""
        end = time.monotonic() + END_S
        while time.monotonic() < end and (self.auditor.unjudged or self.place.left_over()):
            self.turn()
        if left := self.place.left_over():
            self.errors.append(f"left over: {left}")

    def _tell(self, at_s: float, faults: scene.Faults) -> None:
        auditor, last = self.auditor, {name: life[-1].mb for name, life in self.gauge.processes.items()}
        data = self.gauge.levels[-1][1] / 1e6 if self.gauge.levels else 0
        print(
            f"{at_s:7.0f} s  accepted {auditor.accepted:,}  final {auditor.finals:,}  open {auditor.unfinished:,}  faults"
            f" {len(faults.struck)}  data set {data:.1f} MB  "
            + "  ".join(f"{name} {mb:.0f}" for name, mb in sorted(last.items())),
            flush=True,
        )


class Outcome(NamedTuple):
    """All that is judged at the end. `why`: each thing that is wrong."""

    verdict: Verdict
    metrics: list[Metric]
    slopes: dict[str, Slope]
    level: Drift | None
    grown: dict[str, tuple[int, int]]
    why: list[str]


def judged(soak: Soak, sizes: Counter[str], warm_up_s: float, faults: scene.Faults) -> Outcome:
    """The verdict on a run whose messages are judged."""
    auditor, verdict = soak.auditor, soak.auditor.verdict
    time.sleep(3.0)  # counts are written down each second
    metrics = auditor.metrics(soak.place.scrape(), faults.dark)
    auditor.close()
    line = next(each for each in soak.place.cli("ledger", "balance") if each["account"] == ACCOUNT)
    worth = to_micro(line["available"]) + to_micro(line["reserved"])
    made = to_micro(MONEY) - auditor.facts["post"] + auditor.facts["refund"]
    verdict.unbalanced = int(worth != made) + int(to_micro(line["reserved"]) != 0)
    why = [f"{getattr(verdict, name)} {name}" for name in Verdict.FAULTS if getattr(verdict, name)]
    if verdict.unbalanced:
        why.append(f"balance {line}, the facts make {made / 1e6:.4f}")
    why += [
        f"{count} callbacks {what}" for what, count in (("unsigned", auditor.unsigned), ("missing", auditor.unheard)) if count
    ]
    if verdict.accepted != auditor.accepted:
        why.append(f"{auditor.accepted} accepted, {verdict.accepted} judged")
    why += [f"metric {m.name}: {m.shown:.0f} shown, {m.counted:.0f} counted" for m in metrics if not m.well]
    slopes = {name: slope(life, warm_up_s) for name, life in sorted(soak.gauge.processes.items())}
    why += [
        f"{name} grows by {s.mb_per_h:.1f} +- {s.error:.1f} MB/h"
        for name, s in slopes.items()
        if warm_up_s >= STEADY_S and not name.startswith("server") and s.above(SLOPE_MAX_MB_H)
    ]
    level = drift(soak.gauge.levels, max(warm_up_s, STEADY_S))
    if level is not None and abs(level.part) > DRIFT_MAX:
        why.append(f"the data set moved by {level.part:+.1%}")
    after = soak.gauge.keys()
    grown = {name: (sizes[name], after[name]) for name, _ in (after | sizes).most_common()}
    return Outcome(verdict, metrics, slopes, level, grown, [*soak.errors, *why])


def lines(outcome: Outcome, soak: Soak, warm_up_s: float, faults: scene.Faults) -> list[str]:
    """For people."""
    verdict, auditor = outcome.verdict, soak.auditor
    kinds = Counter(f"{fault.kind} {fault.victim}" for _, fault in faults.struck)
    short = [m for m in outcome.metrics if m.shown != m.counted]
    told = [
        "faults     " + (", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"),
        f"accepted   {verdict.accepted:,}: " + ", ".join(f"{n:,} {state}" for state, n in auditor.states.most_common()),
        f"segments   {verdict.segments:,}; carriers got {verdict.submissions:,} and refused {verdict.throttled:,} as too fast;"
        f" {verdict.unknown_attempts:,} attempts unknown, {verdict.resent:,} segments taken again",
        f"callbacks  {auditor.callbacks:,}; {auditor.refined:,} ends refined, {auditor.late:,} rows after the judgement",
        f"lost {verdict.lost}  doubled {verdict.doubled + verdict.doubled_beyond_unknown + verdict.hold_resent}  "
        + "  ".join(
            f"{name} {getattr(verdict, name)}" for name in ("final_twice", "phantom", "mischarged", "stuck", "unbalanced")
        ),
        f"metrics    {len(outcome.metrics)} series, {len(outcome.metrics) - len(short)} equal to the rows",
        *(f"           {m.name}: {m.shown:.0f} of {m.counted:.0f} (killed with at most {m.lost_max:.0f})" for m in short),
    ]
    for name, s in outcome.slopes.items():
        last = soak.gauge.processes[name][-1].mb
        figure = f"{s.mb_per_h:+8.2f} +- {s.error:.2f} MB/h" if math.isfinite(s.error) else "too short to say"
        told.append(f"{name:11}{last:6.1f} MB  {figure}  ({s.points} samples, {s.lives} lives)")
    if warm_up_s < STEADY_S:
        told.append(f"           slopes not judged: a warm-up of {warm_up_s:g} s is shorter than {STEADY_S:g} s")
    level = outcome.level
    told.append(
        f"data set   {level.first / 1e6:.2f} -> {level.last / 1e6:.2f} MB ({level.part:+.2%})"
        if level
        else f"data set   not judged: it is level after {STEADY_S:g} s, then two whole buckets are compared"
    )
    told += [f"           {name}: {a:,} -> {b:,} bytes" for name, (a, b) in list(outcome.grown.items())[:EXTREMES]]
    return told


def as_json(outcome: Outcome, soak: Soak, faults: scene.Faults, told: dict[str, Any]) -> dict[str, Any]:
    """All figures and samples."""
    verdict = outcome.verdict
    return {
        **told,
        "machine": machine(),
        "why": outcome.why,
        "notes": soak.auditor.notes,
        "states": soak.auditor.states,
        "verdict": {name: value for name, value in vars(verdict).items() if name != "open_at_kills"},
        "faults": [[round(at, 1), *fault] for at, fault in faults.struck],
        "metrics": [list(m) for m in outcome.metrics],
        "slopes": {name: [*map(float, s[:2]), *s[2:]] for name, s in outcome.slopes.items() if math.isfinite(s.error)},
        "data_set": outcome.level and [*outcome.level, outcome.level.part],
        "keys": outcome.grown,
        "samples": {name: [list(s) for s in life] for name, life in soak.gauge.processes.items()},
        "levels": soak.gauge.levels,
        "used": soak.gauge.used,
    }


def picture(soak: Soak) -> str:
    """Memory over time."""
    curves = {name: [(s.at_s / 60, s.mb) for s in life] for name, life in sorted(soak.gauge.processes.items())}
    server = {
        name: [(at / 60, value / 1e6) for at, value in levels]
        for name, levels in (("data set", soak.gauge.levels), ("used", soak.gauge.used))
    }
    rows = [*plot("resident memory, MB, by minutes: engines", _only(curves, "engine"), 40)]
    rows += plot("HTTP and webhooks", _only(curves, "http", "notices", "supervisor"), 340)
    rows += plot("the server's own figures, MB", server, 640)
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="848" height="940" font-family="sans-serif" font-size="13">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *rows, "</svg>", ""])


def _only(curves: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: curve for name, curve in curves.items() if name.startswith(names)}


def soaked(options: argparse.Namespace, directory: Path, say: Callable[[str], None]) -> Outcome:
    """One run in `directory`."""
    seconds = options.minutes * 60
    warm_up_s = options.warm_up * 60 if options.warm_up >= 0 else seconds / 4
    with receiver() as hooks, scene.installation(directory, options.seed) as place:
        soak = Soak(place, hooks, options.seed)
        capacity = soak.capacity(options.flat)
        rate = options.rate or capacity * options.share
        say(f"capacity {capacity:,.0f} messages/s flat out; {rate:,.0f}/s for {options.minutes:g} minutes, seed {options.seed}")
        faults = scene.Faults(place, scene.draw(options.seed, seconds, warm_up_s, options.gap))
        sizes = soak.run(rate, seconds, warm_up_s, faults)
        soak.until_judged()
        outcome = judged(soak, sizes, warm_up_s, faults)
        say("\n".join(lines(outcome, soak, warm_up_s, faults)))
        for note in soak.auditor.notes:
            say(f"  {note}")
        if options.out:
            told = {
                "minutes": options.minutes,
                "share": options.share,
                "seed": options.seed,
                "capacity": capacity,
                "rate": rate,
            }
            RESULTS.mkdir(exist_ok=True)
            value = as_json(outcome, soak, faults, told | {"warm_up_s": warm_up_s})
            (RESULTS / f"{options.out}.json").write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
            (RESULTS / f"{options.out}.svg").write_text(picture(soak), encoding="utf-8")
    return outcome


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--share", type=float, default=0.7, help="of the capacity measured first")
    parser.add_argument("--rate", type=float, default=0.0, help="messages a second instead")
    parser.add_argument("--seed", type=int, default=1, help="of faults, texts and carriers")
    parser.add_argument("--flat", type=float, default=30.0, help="seconds flat out, to measure capacity")
    parser.add_argument("--gap", type=float, default=20.0, help="seconds between faults, in the mean")
    parser.add_argument("--warm-up", type=float, default=-1.0, help="minutes that no slope counts (default a quarter)")
    parser.add_argument("--out", default="", help="name of JSON and picture under benchmarks/results/")
    parser.add_argument("--keep", action="store_true", help="leave the working directory for a look")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    signal.signal(signal.SIGTERM, _interrupt)  # else what it started would go on alone
    outcome = soaked(options, directory, lambda text: print(text, flush=True))
    if outcome.why or options.keep:
        print(f"kept: {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    print("soak: " + ("FAIL " + "; ".join(outcome.why) if outcome.why else "PASS"))
    return int(bool(outcome.why))


if __name__ == "__main__":
    sys.exit(main())
