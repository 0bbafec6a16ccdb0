"""Two engines to one: CPU microseconds per message of engines and server, and throughput where only the engines are the limit.

`python -m benchmarks.two_engines [--runs 3] [--messages 30000] [--share 0.25] [--durability everysec]`

On two cores, server, carrier and two engines are in one another's way, so a plain comparison says little about machines. Two
things do:
- CPU time per message of the engines together and of the server, for one and for two engines. With a core for each process
  the ratio of throughputs is at most 2 x (one engine's cost) / (two engines' cost), for as long as the server has room.
- Throughput with every engine held to `--share` of a core (stopped and continued in turns of 20 ms), so that engines are the
  limit and cores are not: this ratio is measured, not computed. It is lower where the two are not equally busy: one of them has
  the intake, and an engine that is stopped for most of a turn answers late. `busy` says how much of its share each has used.
Both ratios are medians of pairs in turn. Windows are wide, so that they are not the limit either.

Each run counts what was delivered and charged: anything lost or doubled makes it fail.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.end_to_end import PRICE_MICRO, WARM_UP, _entries, _produce, _produced_cost_s, _settled, _written
from benchmarks.installation import Bench, Durability, cpu_s, installation, wait_for
from benchmarks.tables import spread
from tests.process.ports import free_ports

TURN_S = 0.02
WINDOW = 400
"""Segments, of each of four sessions: wide enough that the engines are the limit and not the carrier."""


@contextlib.contextmanager
def another(bench: Bench) -> Iterator[subprocess.Popen[bytes]]:
    """One more engine on the same store, as on another machine: its own run directory and metrics."""
    text = bench.config.read_text()
    line = next(each for each in text.splitlines() if each.startswith("listen ="))
    config = bench.config.with_name("second.toml")
    config.write_text(text.replace(line, f'listen = "127.0.0.1:{free_ports(1)[0]}"'))
    place = str(bench.config.parent / "second")
    command = [sys.executable, "-m", "dispatcher", "run", "--role", "engine", "--config", str(config), "--run-dir", place]
    with (bench.config.parent / "second.log").open("wb") as log:
        engine = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        yield engine
    finally:
        engine.terminate()
        engine.wait(30)


@contextlib.contextmanager
def held_to(share: float, pids: list[int]) -> Iterator[None]:
    """Lets each process run for `share` of each turn, one after the other; 1.0: always."""
    ended = threading.Event()

    def hold(pid: int, offset_s: float) -> None:
        time.sleep(offset_s)
        while not ended.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(TURN_S * (1 - share))
            os.kill(pid, signal.SIGCONT)
            time.sleep(TURN_S * share)

    threads = [threading.Thread(target=hold, args=(p, i * TURN_S * share)) for i, p in enumerate(pids)] if share < 1 else []
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def measure(engines: int, messages: int, durability: Durability, share: float) -> dict[str, Any]:
    """One run. CPU in microseconds a message. Raises AssertionError when a message was lost or doubled."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        installation(durability, binds=4, window=WINDOW, folder=Path(folder) / "run") as bench,
        contextlib.ExitStack() as stack,
    ):
        pids = [bench.engine.pid] + [stack.enter_context(another(bench)).pid for _ in range(engines - 1)]
        time.sleep(4.0)  # sessions have moved
        _produce(bench, _written("sms:sends", _entries(WARM_UP, 0)))
        wait_for("warm-up delivered", 60, lambda: bench.finals() >= WARM_UP)
        entries = _entries(messages, WARM_UP)
        producing = _produced_cost_s(bench, entries)
        written = _written("sms:sends", entries)
        account: Any = bench.redis.hgetall("sms:{p0}:acct:bench")
        available = int(account[b"avail"]) - messages * PRICE_MICRO
        before, server, started = [cpu_s(pid) for pid in pids], cpu_s(bench.server_pid), time.monotonic()
        _produce(bench, written)
        with held_to(share, pids):
            wait_for("all delivered", max(120.0, messages / 50), partial(_settled, bench, available))
            seconds = time.monotonic() - started
        spent = [cpu_s(pid) - earlier for pid, earlier in zip(pids, before, strict=True)]
        served = cpu_s(bench.server_pid) - server - producing
        total = messages + WARM_UP
        for stream, column, wanted in (("events", "state", "delivered"), ("charges", "kind", "post")):
            rows = bench.rows(stream, column, wanted)
            assert len(rows) == len(set(rows)) == total, f"{stream}: {len(rows)}, {len(set(rows))} distinct, of {total}"
        return {
            "engines": engines,
            "share": share,
            "messages": messages,
            "durability": durability,
            "engines_us": round(sum(spent) / messages * 1e6, 1),
            "each_us": [round(each / messages * 1e6, 1) for each in spent],
            "busy": [round(each / seconds / share, 2) for each in spent],
            "server_us": round(served / messages * 1e6, 1),
            "wall_per_s": round(messages / seconds),
            "server_busy": round((served + producing) / seconds, 2),
        }


def pairs(runs: int, messages: int, durability: Durability, share: float) -> dict[str, Any]:
    """One engine and two in turn, free and held to `share`: medians of the ratios of each pair, and all runs."""
    free = [[measure(engines, messages, durability, 1.0) for engines in (1, 2)] for _ in range(runs)]
    held = [[measure(engines, messages, durability, share) for engines in (1, 2)] for _ in range(runs)]
    return {
        "cost_two_to_one": spread([two["engines_us"] / one["engines_us"] for one, two in free], 2),
        "by_cpu": spread([2 * one["engines_us"] / two["engines_us"] for one, two in free], 2),
        "on_these_cores": spread([two["wall_per_s"] / one["wall_per_s"] for one, two in free], 2),
        "engines_the_limit": spread([two["wall_per_s"] / one["wall_per_s"] for one, two in held], 2),
        "runs": [run for pair in (*free, *held) for run in pair],
    }


def main() -> int:
    """Command line: a JSON line per run, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="pairs of each kind")
    parser.add_argument("--messages", type=int, default=30_000)
    parser.add_argument("--share", type=float, default=0.25, help="of a core for each engine in the second comparison")
    parser.add_argument("--durability", choices=("fsync", "everysec"), default="everysec")
    a = parser.parse_args()
    found = pairs(a.runs, a.messages, a.durability, a.share)
    for run in found.pop("runs"):
        print(json.dumps(run))
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
