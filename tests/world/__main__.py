"""`python -m tests.world`: run seeds, count, and replay one with the life of its odd message."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter

from tests.world import bugs, world
from tests.world.coverage import MOMENTS, table, thin
from tests.world.trace import columns

CATCHES = 5
ROOT = Path(__file__).resolve().parents[2]
TWICE_EVERY = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every promise was kept; 1: some was not."""
    parser = argparse.ArgumentParser(prog="python -m tests.world", description=__doc__)
    parser.add_argument("--seeds", default="", help="A-B, or one: run these and print counts")
    parser.add_argument("--seed", type=int, help="replay one and print the life of the message it went wrong with")
    parser.add_argument("--send", type=int, help="with --seed: of this send instead")
    parser.add_argument("--size", type=int, default=200, help="sends in a seed, about")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--bug", default="", help="plant this bug: one of " + ", ".join(sorted(bugs.BUGS)))
    parser.add_argument(
        "--hunt", type=int, default=0, help="plant every bug in turn (or --bug) and look for it in at most so many seeds"
    )
    parser.add_argument("--least", type=int, default=0, help="with --seeds: every possible cell must be met so often")
    parser.add_argument(
        "--tally", type=Path, help="with --seeds: add the counts to those in this file, and show the sums of all"
    )
    parser.add_argument(
        "--twice", action="store_true", help="run every hundredth of --seeds in two fresh processes and compare"
    )
    parser.add_argument("--digest", action="store_true", help="with --seeds: print each seed's digest")
    options = parser.parse_args(arguments)
    if options.hunt:
        return hunt([options.bug] if options.bug else sorted(bugs.BUGS), options.hunt, options.size, options.jobs)
    if options.seed is not None:
        return replay(options.seed, options.size, options.bug, options.send)
    if options.twice:
        return twice(options.seeds or "1-100", options.size)
    return many(options.seeds or "1-100", options)


def replay(seed: int, size: int, bug: str, send: int | None) -> int:
    """One seed, in words."""
    with bugs.planted(bug) if bug else nullcontext():
        try:
            result = world.run(seed, size, keep=True)
        except Exception:
            traceback.print_exc()
            return 1
    print(f"seed {seed}: {result.sends} sends, {result.accepted} accepted, {result.faults} faults, digest {result.digest}")
    for breach in result.breaches:
        print(f"  {breach.invariant} at {breach.at:.3f} send {breach.send}: {breach.what}")
    odd = send if send is not None else next((b.send for b in result.breaches if b.send >= 0), -1)
    if odd >= 0:
        print(f"\nsend {odd}")
        print("\n".join(line for line in columns(result.lines, odd) if " store: " not in line))
    return 1 if result.breaches else 0


def _one(task: tuple[int, int, str]) -> world.Result:
    seed, size, bug = task
    with bugs.planted(bug) if bug else nullcontext():
        return world.run(seed, size)


def results(seeds: Sequence[int], size: int, bug: str, jobs: int) -> Iterator[world.Result]:
    """Of these seeds, in order."""
    tasks = [(seed, size, bug) for seed in seeds]
    if jobs <= 1:
        yield from map(_one, tasks)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(_one, tasks, chunksize=2)


def many(span: str, options: argparse.Namespace) -> int:
    """Many seeds: counts, coverage, and which seeds to replay."""
    seeds = numbers(span)
    hits: Counter[tuple[str, str]] = Counter()
    sums: Counter[str] = Counter()
    finals: Counter[str] = Counter()
    if options.tally and options.tally.exists():
        recall(options.tally, hits, sums, finals)
    broken: list[world.Result] = []
    cpu_s = 0.0
    started = perf_counter()
    for result in results(seeds, options.size, options.bug, options.jobs):
        sums["seeds"] += 1
        sums["broken"] += bool(result.breaches)
        hits.update(result.hits)
        finals.update(result.finals)
        for name in ("sends", "accepted", "submissions", "duplicates", "faults", "lives"):
            sums[name] += getattr(result, name)
        cpu_s += result.cpu_s
        sums["virtual seconds"] += round(result.virtual_s)
        if options.digest:
            print(f"{result.seed} {result.digest}")
        if result.breaches:
            broken.append(result)
            breach = result.breaches[0]
            print(f"seed {result.seed}: {len(result.breaches)} breaches; {breach.invariant} at {breach.at:.3f}: {breach.what}")
    print(
        f"seeds {span} in {perf_counter() - started:.0f} s ({cpu_s:.0f} s of CPU): "
        + ", ".join(f"{count} {name}" for name, count in sums.items())
    )
    print("ends: " + ", ".join(f"{n} {state}" for state, n in sorted(finals.items())))
    print("\n".join(table(hits)))
    print("moments: " + "; ".join(f"{k} {v}" for k, v in MOMENTS.items()))
    print(f"{len(broken)} seeds with breaches" + (f"; make world SEED={broken[0].seed}" if broken else ""))
    if options.tally:
        cells = [[fault, moment, n] for (fault, moment), n in sorted(hits.items())]
        options.tally.write_text(json.dumps({"hits": cells, "sums": sums, "finals": finals}))
    few = thin(hits, options.least) if options.least else []
    for line in few:
        print(f"too few: {line}")
    return 1 if broken or few else 0


def numbers(span: str) -> range:
    """Of A-B, or of one."""
    first, _, last = span.partition("-")
    return range(int(first), int(last or first) + 1)


def recall(path: Path, hits: Counter[tuple[str, str]], sums: Counter[str], finals: Counter[str]) -> None:
    """Adds what earlier instalments have counted."""
    kept = json.loads(path.read_text())
    hits.update({(fault, moment): n for fault, moment, n in kept["hits"]})
    sums.update(kept["sums"])
    finals.update(kept["finals"])


def twice(span: str, size: int) -> int:
    """Every hundredth seed in two fresh processes that hash differently: equal traces, to the last line?"""
    chosen = [seed for seed in numbers(span) if seed % TWICE_EVERY == 0]
    odd = [seed for seed in chosen if digest(seed, size, "1") != digest(seed, size, "2")]
    print(f"{len(chosen)} seeds twice: " + (f"{odd} differ" if odd else "all traces are equal"))
    return 1 if odd or not chosen else 0


def digest(seed: int, size: int, hash_seed: str) -> str:
    """Of one seed, in a process of its own."""
    command = [sys.executable, "-m", "tests.world", "--seeds", str(seed), "--size", str(size), "--digest"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return next(line for line in done.stdout.splitlines() if line.startswith(f"{seed} "))


def hunt(names: Sequence[str], seeds: int, size: int, jobs: int) -> int:
    """For every planted bug: which of the first seeds catch it (the first five of them), and how many seeds lie between two."""
    missed = 0
    print(f"{'bug':<32}{'first':>7}{'caught':>8}{'median':>8}  by")
    for name in names:
        caught: list[int] = []
        by: Counter[str] = Counter()
        tried = 0
        for result in results(range(1, seeds + 1), size, name, jobs):
            tried += 1
            if result.breaches:
                caught.append(result.seed)
                by.update({b.invariant for b in result.breaches[:1]})
            if len(caught) >= CATCHES:
                break
        missed += not caught
        gaps = sorted(b - a for a, b in zip([0, *caught], caught, strict=False))
        median = gaps[len(gaps) // 2] if gaps else 0
        words = ", ".join(f"{k} {n}" for k, n in by.most_common(3))
        print(f"{name:<32}{caught[0] if caught else '-':>7}{len(caught):>4}/{tried:<4}{median or '-':>7}  {words}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
