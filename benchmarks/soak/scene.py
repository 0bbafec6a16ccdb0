"""What a soak happens in: two carriers with a temper, the configuration, and the faults that a seed draws.

It refuses to know what is sent and what is judged. What is kept for a time (records, out streams, keys of repeated calls) is
kept for minutes, so that whatever still grows in an hour is a leak.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dispatcher.ops.metrics import SUFFIX
from tests.process import crash
from tests.process.installation import Carrier, Installation

FINAL_S: Final = 30
STREAMS_S: Final = 90
KEYS_S: Final = 120
WORKERS: Final = 2
DOORS: Final = 2
CARRIERS: Final = ("alpha", "beta")
START_S: Final = 5.0
"""A process writes its counts down each second, so one that never has is not older than this."""
PAUSE_S: Final = 1.0
"""How long a frozen process sleeps."""

SCENARIO: Final = """
seed = {seed}
answer_ms = [5, 60]
receipt_ms = [50, 1500]
mix = [
    {{ weight = 9000, outcome = "delivered" }},
    {{ weight = 250, outcome = "temporary", times = 1 }},
    {{ weight = 100, outcome = "permanent" }},
    {{ weight = 200, outcome = "undelivered", code = "001", times = 1 }},
    {{ weight = 100, outcome = "undelivered", code = "005" }},
    {{ weight = 60, outcome = "no_receipt" }},
    {{ weight = 100, outcome = "receipt_first" }},
    {{ weight = 100, outcome = "receipt_twice" }},
    {{ weight = 50, outcome = "interim_first" }},
    {{ weight = 20, outcome = "interim_last" }},
    {{ weight = 10, outcome = "stray_receipt" }},
    {{ weight = 5, outcome = "throttled", times = 1 }},
    {{ weight = 1, outcome = "drop" }},
]
"""
"""10,000ths. About one submit in ten thousand kills its link."""
_BESIDE: Final = f"""
[retention]
final_s = {FINAL_S}
streams_s = {STREAMS_S}
keys_s = {KEYS_S}

[notices]
allow_insecure = true
allow_networks = ["127.0.0.0/8"]
"""


def carriers(directory: Path, seed: int) -> list[Carrier]:
    """Both, not yet started."""
    return [Carrier(directory, name, SCENARIO.format(seed=seed + n)) for n, name in enumerate(CARRIERS)]


def installation(directory: Path, seed: int) -> Installation:
    """All of it, not yet started. The rates of crash.CONFIG go: here the machine is the limit."""
    config = crash.CONFIG.replace("rate = RATE\n", "") + _BESIDE
    return Installation(directory, carriers(directory, seed), config, http=f"processes = {DOORS}", workers=WORKERS)


class Fault(NamedTuple):
    """`kind` strikes `victim` (a role or a carrier), `at_s` after the start, for `for_s` (0: at once over)."""

    at_s: float
    kind: str
    victim: str
    for_s: float = 0.0


def draw(seed: int, seconds: float, young_s: float, gap_s: float) -> list[Fault]:
    """A seed's faults over so many seconds, about one each `gap_s`. For the first `young_s` any process may be killed; then
    only the last of the engines and of the HTTP processes, so that the others live long enough for a slope. None strikes within
    the last `gap_s`."""
    chance = random.Random(f"soak {seed}")
    every = [f"engine-{n}" for n in range(WORKERS)] + [f"http-{n}" for n in range(DOORS)] + ["notices-0"]
    mortal = [f"engine-{WORKERS - 1}", f"http-{DOORS - 1}"]
    faults: list[Fault] = []
    at = gap_s
    while at < seconds - gap_s:
        kind = chance.choice(("drop", "down", "stall", "kill", "kill", "freeze", "freeze"))
        match kind:
            case "drop":
                faults.append(Fault(at, kind, chance.choice(CARRIERS)))
            case "down":
                faults.append(Fault(at, kind, chance.choice(CARRIERS), round(chance.uniform(1, 4), 2)))
            case "stall":
                faults.append(Fault(at, kind, chance.choice(CARRIERS), round(chance.uniform(0.3, 2), 2)))
            case "kill":
                faults.append(Fault(at, kind, chance.choice(every if at < young_s else mortal)))
            case _:
                faults.append(Fault(at, kind, chance.choice(("server-0", "server-0", *every[:WORKERS])), PAUSE_S))
        at += max(5.0, chance.expovariate(1 / gap_s))
    return faults


class Faults:
    """Carries faults out in a thread. `struck`: (unix seconds, fault) of those that happened; `dark`: (from, to), unix seconds,
    of what killed processes had counted and not written down."""

    def __init__(self, place: Installation, faults: Sequence[Fault]) -> None:
        self._place, self._faults = place, faults
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.struck: list[tuple[float, Fault]] = []
        self.dark: list[tuple[float, float]] = []
        self.failed = ""

    def start(self) -> None:
        """The clock of the plan begins."""
        self._thread.start()

    def stop(self) -> None:
        """Waits for the fault under way; later ones do not come."""
        self._over.set()
        self._thread.join(30)

    def _run(self) -> None:
        began = time.monotonic()
        try:
            for fault in self._faults:
                if self._over.wait(max(0.0, began + fault.at_s - time.monotonic())):
                    return
                self.struck.append((time.time(), fault))
                self._strike(fault)
        except Exception as error:
            self.failed = f"{type(error).__name__}: {error}"

    def _strike(self, fault: Fault) -> None:
        if fault.kind == "kill":
            written = self._written(fault.victim)
            self._place.kill(fault.victim, missing_ok=True)
            self.dark.append((written, time.time()))
        elif fault.kind == "freeze":
            if pid := self._place.pid(fault.victim):
                with contextlib.suppress(ProcessLookupError):
                    self._frozen(pid, fault.for_s)
        else:
            carrier = self._place.carriers[fault.victim]
            before, after = {"drop": ("drop", ""), "down": ("down", "up"), "stall": ("stalled on", "stalled off")}[fault.kind]
            carrier.say(before)
            if after:
                try:
                    time.sleep(fault.for_s)
                finally:
                    carrier.say(after)

    def _written(self, role: str) -> float:
        """When a process wrote its counts down last; for one that has not yet, before it can have begun to count."""
        try:
            return (self._place.directory / "var" / "run" / "metrics" / f"{role}{SUFFIX}").stat().st_mtime
        except OSError:
            return time.time() - START_S

    def _frozen(self, pid: int, for_s: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(for_s)
        finally:
            os.kill(pid, signal.SIGCONT)
