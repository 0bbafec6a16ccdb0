"""`python -m tests.fuzz [--decoder NAME] [--runs N] [--engine atheris|plain] [--jobs N]`: fuzzes one decoder, or all in turn.
`--tally`: what earlier runs add up to.

Ends with 0 when every decoder had its executions, raised nothing but typed errors, kept its laws and its memory flat. What
coverage led to is kept in .fuzz/ (not in the repository), so the next run begins where this one ended.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.decoders import DECODERS
from tests.fuzz.run import guided, plainly
from tests.fuzz.tally import sums

CORPORA = Path(__file__).parents[2] / ".fuzz"


def say(line: str) -> None:
    """A line at once."""
    print(line, flush=True)


def one(name: str, arguments: argparse.Namespace) -> int:
    """This process fuzzes one decoder."""
    if arguments.engine == "atheris":
        guided(DECODERS[name], arguments.runs, arguments.seed, CORPORA / name, say)  # ends the process
    plainly(DECODERS[name], arguments.runs, arguments.seed, say)
    return 0


def each(names: list[str], arguments: argparse.Namespace) -> int:
    """A process for each decoder, since atheris ends the one it is in. The worst of their statuses."""

    def run(name: str) -> int:
        own = ["--decoder", name, "--runs", str(arguments.runs), "--seed", str(arguments.seed), "--engine", arguments.engine]
        return subprocess.run([sys.executable, "-m", "tests.fuzz", *own], check=False).returncode

    with ThreadPoolExecutor(arguments.jobs) as pool:
        statuses = list(pool.map(run, names))
    failed = [name for name, status in zip(names, statuses, strict=True) if status]
    say(f"fuzz: {'FAIL ' + ', '.join(failed) if failed else 'PASS'} decoders={len(names)} executions_each={arguments.runs}")
    return 1 if failed else 0


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decoder", choices=DECODERS, action="append", help="one of them; may be repeated")
    parser.add_argument("--runs", type=int, default=10_000_000, help="executions of each decoder")
    parser.add_argument("--engine", choices=("atheris", "plain"), default="atheris", help="plain: without coverage, no atheris")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="decoders at the same time")
    parser.add_argument(
        "--tally", action="store_true", help="print the executions of all runs so far, by decoder and code, and end"
    )
    arguments = parser.parse_args()
    if arguments.tally:
        for line in sums():
            say(line)
        return 0
    names = arguments.decoder or list(DECODERS)
    return one(names[0], arguments) if len(names) == 1 else each(names, arguments)


if __name__ == "__main__":
    sys.exit(main())
