"""One decoder, so many executions, and a verdict on what it raised and on its memory.

It refuses to know which inputs are good ones: atheris finds them, or plain.py draws them.

Theory of flat memory. What leaks in Python is a block of its allocator that stays: `sys.getallocatedblocks` counts them all, so
between two moments of a run they may not grow with its executions. The resident size is looked at too, since a leak may lie
below Python; it is allowed more, because libFuzzer keeps every input that reached something new.

Theory of tracing. Code that reports its branches is three to ten times as slow, and what it reports is hardly ever new: corpora
are full after minutes, while laws are tried with every input. So each decoder is loaded twice, as it is and traced, and one
execution in TRACED_EACH goes through the traced one. All of them are inputs that libFuzzer made of what tracing had led to.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from itertools import chain, cycle, repeat
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz.decoders import Decoder
from tests.fuzz.plain import inputs
from tests.fuzz.tally import Instalments, code_of

WARM_PART: Final = 0.25
"""Of a run, after which everything that is remembered once (patterns, tables, corpora) should be."""
LONG_RUN: Final = 100_000
"""Executions from which a run tells how far it is."""
BLOCKS_MAX: Final = 4_000
"""Growth of Python's blocks between then and the end: a leak of one block in 1,000 executions is 7,500 in ten million."""
RSS_MB_MAX: Final = 64.0
HUNG_CPU_S: Final = 30.0
"""What one execution may cost, of the process's own time: a machine that stands still for minutes is no finding."""
TRACED_EACH: Final = 8
"""Executions of which one reports its branches."""

Check = Callable[[bytes], None]


class Memory(NamedTuple):
    """What a process holds at a moment."""

    blocks: int
    rss_mb: float


def memory() -> Memory:
    """Now, without what only waits for the collector."""
    gc.collect()
    try:
        rss_mb = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
    except OSError:
        rss_mb = peak_mb()  # good enough to see a leak
    return Memory(sys.getallocatedblocks(), rss_mb)


def peak_mb() -> float:
    """The most that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


class Leaked(AssertionError):
    """Memory has grown with the number of executions."""


class Hung(AssertionError):
    """One execution goes on and on."""


class Run:
    """Counts executions of `check`; call it with an input. `finished` after `count` of them. Raises Leaked with the last, and
    whatever `check` raises, after saying for which input."""

    def __init__(self, name: str, check: Check, count: int, say: Callable[[str], None]) -> None:
        self.name, self.count, self.executions = name, count, 0
        self._check, self._say = check, say
        self._began, self._warm = time.monotonic(), Memory(0, 0.0)
        self._warm_at = max(1, int(count * WARM_PART))
        self._stop_at = {self._warm_at, count}
        if count >= LONG_RUN:
            self._stop_at |= {count * tenth // 10 for tenth in range(1, 10)}

    @property
    def elapsed_s(self) -> float:
        """Since it was made."""
        return time.monotonic() - self._began

    @property
    def finished(self) -> bool:
        """Were there enough?"""
        return self.executions >= self.count

    def __call__(self, data: bytes) -> None:
        self.executions += 1
        try:
            self._check(data)
        except BaseException:
            self._say(f"fuzz: {self.name} FOUND after {self.executions} executions: {data.hex() or '(nothing)'}")
            raise
        if self.executions in self._stop_at:
            self._look()

    def _look(self) -> None:
        now = memory()
        if self.executions == self._warm_at:
            self._warm = now
        self._say(self.line(now, "PASS" if self.finished else "..."))
        if self.finished and self.executions > self._warm_at:
            blocks, rss_mb = now.blocks - self._warm.blocks, now.rss_mb - self._warm.rss_mb
            if blocks > BLOCKS_MAX or rss_mb > RSS_MB_MAX:
                raise Leaked(f"{self.name}: {blocks} blocks, {rss_mb:.1f} MB more than after a quarter of the run")

    def line(self, now: Memory, word: str) -> str:
        """Counts so far."""
        rate = self.executions / max(self.elapsed_s, 1e-9)
        warm = self._warm if self.executions >= self._warm_at else now
        return (
            f"fuzz: {self.name} {word} executions={self.executions} a_second={rate:.0f} rss_mb={now.rss_mb:.1f}"
            f" ({now.rss_mb - warm.rss_mb:+.1f}) blocks={now.blocks} ({now.blocks - warm.blocks:+d})"
        )


def watch(run: Run, cpu_s: float = HUNG_CPU_S) -> None:
    """From now on an execution of `run` that takes between one and two `cpu_s` raises Hung where it is."""
    seen = 0

    def tick(*_: object) -> None:
        nonlocal seen
        if run.executions == seen:
            raise Hung(f"{run.name}: an execution takes more than {cpu_s:g} s of CPU")
        seen = run.executions

    signal.signal(signal.SIGVTALRM, tick)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s, cpu_s)


def silent(_: str) -> None:
    """Says nothing."""


def plainly(decoder: Decoder, count: int, seed: int, say: Callable[[str], None] = silent) -> Run:
    """Runs inputs of plain.py. Raises as Run does."""
    check, seeds = decoder.load()
    run = Run(decoder.name, check, count, say)
    for data in inputs(seeds, decoder.longest, count, seed):
        run(data)
    return run


def guided(decoder: Decoder, count: int, seed: int, corpus: Path, say: Callable[[str], None]) -> None:
    """Runs inputs that atheris finds; what reached something new is kept in `corpus`. Ends the process: with 0 after `count`
    executions, with another status after a finding."""
    import atheris

    corpus.mkdir(parents=True, exist_ok=True)
    plain, traced, seeds = _twice(decoder)
    _plant(seeds, corpus)
    check = in_turn(plain, traced, 1_000 + sum(1 for _ in corpus.iterdir()))
    run, instalments = Run(decoder.name, check, count, say), Instalments(decoder.name, code_of(decoder.packages), seed)
    tenth = max(1, count // 10)
    watch(run)

    def once(data: bytes) -> None:
        run(data)
        if run.executions % tenth == 0 or run.finished:
            instalments.reached(run.executions, run.elapsed_s, peak_mb())
        if run.finished:
            sys.stdout.flush()
            os._exit(0)  # libFuzzer has no other end that leaves the figures to us

    options = [
        f"-max_len={decoder.longest}",
        f"-seed={seed}",
        "-timeout=86400",  # by the clock on the wall: see watch()
        "-report_slow_units=86400",
        "-rss_limit_mb=2048",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={corpus.parent}/{decoder.name}-", str(corpus)], once)
    atheris.Fuzz()


def _twice(decoder: Decoder) -> tuple[Check, Check, list[bytes]]:
    """The check as it is, the check with its decoder's branches traced, and the seeds: two copies of every module."""
    import atheris

    plain, seeds = decoder.load()
    for name in [name for name in sys.modules if name.partition(".")[0] in {"tests", *decoder.packages}]:
        del sys.modules[name]  # what was loaded lives on in `plain`; the next import makes another
    with atheris.instrument_imports(include=list(decoder.packages)):
        traced, _ = decoder.load()
    return plain, traced, seeds


def in_turn(plain: Check, traced: Check, first: int) -> Check:
    """`traced` for the `first` inputs, which are the corpus, and then for one in TRACED_EACH; `plain` for the others."""
    turns = chain(repeat(traced, first), cycle([traced] + [plain] * (TRACED_EACH - 1)))

    def check(data: bytes) -> None:
        next(turns)(data)

    return check


def _plant(seeds: Sequence[bytes], corpus: Path) -> None:
    for number, data in enumerate(seeds):
        (corpus / f"seed-{number:04d}").write_bytes(data)
