"""`python -m tests.process.powercut --rounds 20`: what a power cut would leave, without pulling a plug.

The server runs under strace, which logs each write to the append-only file and each fdatasync. In the middle of the traffic
everything is killed at once, and the file is cut back to what had been synced when the last fdatasync began that succeeded
(every other round to somewhere between that and its end: a disk may have kept more, and torn). Then the installation is
started again, and what outsiders were promised is compared with what becomes of it (verdict.py): everything answered 202 and
every entry whose XADD was answered is there, is final once, is charged once.

`--durability everysec` shows what is not promised there: it should FAIL. The last line is `powercut: PASS ...` or `FAIL`.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.process import crash
from tests.process.installation import Carrier, Installation, wait_for
from tests.process.traffic import Plan, Traffic
from tests.process.verdict import Verdict

_SLOW = ("-e", "inject=fdatasync:delay_enter=20000")
"""Each fdatasync begins 20 ms late, so that most cuts fall between a write and its sync, as on a slow disk."""
_WRITE = re.compile(r"^(\d+) +write\(\d+<([^>]*\.aof)>.*\) = (\d+)$")
_SYNC = re.compile(r"^(\d+) +f(?:data)?sync\(\d+<([^>]*\.aof)>(\)| <unfinished)(.*)$")
_SYNCED = re.compile(r"^(\d+) +<\.\.\. f(?:data)?sync resumed>\) += 0\b")


class Tail(NamedTuple):
    """Bytes at the end of an append-only file that were written and not known to be synced, and how many syncs were seen."""

    unsynced: int
    syncs: int


def tails(log: str) -> dict[str, Tail]:
    """Each file's tail, from strace's log (-f -y -s 0). A sync covers what was written when it began, once it returned 0."""
    written: dict[str, int] = {}
    synced: dict[str, int] = {}
    syncs: dict[str, int] = {}
    begun: dict[str, tuple[str, int]] = {}

    def done(file: str, length: int) -> None:
        synced[file] = max(synced.get(file, 0), length)
        syncs[file] = syncs.get(file, 0) + 1

    for line in log.splitlines():
        if match := _WRITE.match(line):
            written[match[2]] = written.get(match[2], 0) + int(match[3])
        elif match := _SYNC.match(line):
            length = written.get(match[2], 0)
            if match[3] != ")":
                begun[match[1]] = (match[2], length)
            elif match[4].split()[:2] == ["=", "0"]:
                done(match[2], length)
        elif (match := _SYNCED.match(line)) and match[1] in begun:
            done(*begun.pop(match[1]))
    return {file: Tail(length - synced.get(file, 0), syncs.get(file, 0)) for file, length in written.items()}


def strace(directory: Path) -> str:
    """The program: installed, or out of Debian's package, unpacked in `directory`. Raises RuntimeError."""
    found = shutil.which("strace")
    if found:
        return found
    for command in (["apt-get", "download", "strace"], ["sh", "-c", "dpkg-deb -x strace*.deb ."]):
        if subprocess.run(command, cwd=directory, capture_output=True, check=False).returncode:
            raise RuntimeError("strace is needed: install it, or let apt-get download it")
    return str(directory / "usr" / "bin" / "strace")


def cut(installation: Installation, program: str, chance: random.Random, *, torn: bool, strict: bool) -> int:
    """Watches the server, kills everything, cuts the files; returns how many bytes were cut off. `strict`: it must have synced
    meanwhile."""
    log = installation.directory / "strace.log"
    log.unlink(missing_ok=True)
    watch = [
        "-f",
        "-y",
        "-s",
        "0",
        "-e",
        "trace=write,fdatasync,fsync",
        *_SLOW,
        "-o",
        str(log),
        "-p",
        str(installation.pid("server-0")),
    ]
    tracer = subprocess.Popen([program, *watch], stderr=subprocess.DEVNULL)
    wait_for("the server is watched", 10, lambda: log.exists() and ".aof>" in log.read_text())
    time.sleep(chance.uniform(0.5, 2.5))
    for role in ("supervisor", "server-0", *installation.engines, "http-0", "notices-0"):
        installation.kill(role, missing_ok=True)
    tracer.wait(20)
    lost = 0
    for name, tail in tails(log.read_text()).items():
        assert tail.syncs or not strict, f"{name}: not one sync was seen"
        size = Path(name).stat().st_size
        away = chance.randint(0, tail.unsynced) if torn else tail.unsynced
        with Path(name).open("r+b") as file:
            file.truncate(size - away)
        lost += away
    return lost


def one_round(
    installation: Installation, program: str, key: str, number: int, options: argparse.Namespace, notes: list[str]
) -> Verdict:
    """Traffic, a cut, a new start, patience, verdict."""
    share = options.sends // 5
    plan = Plan(options.sends - 3 * share, share, share, share, options.seconds, crash.FIRST_NUMBER + number * 1_000_000)
    traffic = Traffic(plan, f"p{number}", installation.server_port, installation.http_port, key, crash.ACCOUNT)
    verdict = Verdict()
    traffic.start()
    wait_for("traffic flows", 20, lambda: len(traffic.sent.accepted) > options.sends // 20)
    strict = options.durability == "fsync"
    lost = cut(installation, program, random.Random(number), torn=number % 2 == 0, strict=strict)
    before = len(traffic.sent.accepted)
    installation.start_again()
    traffic.join(120)
    sent = traffic.sent
    notes += [f"client: {error}" for error in sent.errors]

    crash.settle(installation, sent, verdict, notes)
    print(f"round {number}: {before} accepted before the cut, {lost} bytes cut off, {verdict.final} final", flush=True)
    for carrier in installation.carriers.values():
        carrier.say("reset")
    return verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the rounds; 1 when anything that was answered is not there, or anything else does not fit."""
    parser = argparse.ArgumentParser(prog="python -m tests.process.powercut", description="power cuts, stood in for")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sends", type=int, default=1500)
    parser.add_argument("--seconds", type=float, default=4.0, help="over which a round's sends come in")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--durability", choices=("fsync", "everysec"), default="fsync")
    options = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="powercut-"))
    program = strace(directory)
    scenario = crash.SCENARIO.replace("{limit}", "600")
    carriers = [Carrier(directory, name, scenario.replace("{seed}", str(seed))) for seed, name in ((7, "alpha"), (11, "beta"))]
    config = crash.CONFIG.replace("RATE", "500")
    server = f'durability = "{options.durability}"'
    total, notes, began = Verdict(), [], time.monotonic()
    rounds = 0
    with Installation(directory, carriers, config, server=server, workers=options.workers) as installation:
        key = installation.account(crash.ACCOUNT, "--tariff", "retail")
        for number in range(1, options.rounds + 1):
            total.add(one_round(installation, program, key, number, options, notes))
            rounds = number
            if notes or not total.well:
                break
    well = total.well and not notes and rounds == options.rounds
    for note in notes[:40]:
        print(f"  {note}")
    if well:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        print(f"  kept: {directory}")
    faults = " ".join(f"{name}={getattr(total, name)}" for name in Verdict.FAULTS)
    print(
        f"powercut: {'PASS' if well else 'FAIL'} rounds={rounds} accepted={total.accepted} "
        f"unknown_attempts={total.unknown_attempts} resent={total.resent} {faults} seconds={time.monotonic() - began:.0f}"
    )
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
