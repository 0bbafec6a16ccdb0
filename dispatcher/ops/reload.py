"""A changed configuration at work without a stop: what may change, and how whoever asked for it learns the outcome.

It refuses to know how processes are ended and started (supervisor.py). SIGHUP asks; the outcome lies in a file of the run
directory, so that a command can wait for it and a person can look.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from dispatcher.core.settings import Settings
from dispatcher.ops.errors import OpsError
from dispatcher.ops.run_dir import write_whole

OUTCOME_FILE: Final = "reload"
_POLL_S: Final = 0.05
_FIXED: Final = ("server", "metrics.listen", "http.listen", "http.processes", "notices.processes")
"""What the supervisor has started or opened itself, by table or key: a restart changes it."""


class Outcome(msgspec.Struct):
    """Of the last reload: `done`, or why it was not, in words with the remedy. `at_ns`: when it began to read the file."""

    at_ns: int
    done: bool
    words: str


def fixed(before: Settings, after: Settings) -> list[str]:
    """Keys that differ and need a restart."""
    return [key for key in _keys(before) if _value(before, key) != _value(after, key)]


def _keys(settings: Settings) -> Iterator[str]:
    for name in _FIXED:
        if "." in name:
            yield name
        else:
            yield from (f"{name}.{field}" for field in type(getattr(settings, name)).__struct_fields__)


def _value(settings: Settings, key: str) -> object:
    table, _, name = key.partition(".")
    return getattr(getattr(settings, table), name)


def note(run_dir: Path, outcome: Outcome) -> None:
    """Writes it down."""
    write_whole(run_dir / OUTCOME_FILE, msgspec.json.encode(outcome))


def ask(run_dir: Path, patience_s: float) -> str:
    """Asks the supervisor of a run directory for a reload and waits for its outcome, whose words are returned. Raises OpsError
    when there is no supervisor, when it refuses, and when it has not answered for `patience_s`."""
    try:
        pid = int((run_dir / "supervisor.pid").read_text())
        since_ns = time.time_ns()
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError):
        raise OpsError(f"no dispatcher runs in {run_dir}", "start it, or name its --run-dir") from None
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        time.sleep(_POLL_S)
        try:
            outcome = msgspec.json.decode((run_dir / OUTCOME_FILE).read_bytes(), type=Outcome)
        except (OSError, msgspec.MsgspecError):
            continue
        if outcome.at_ns <= since_ns:  # an earlier one's, of an earlier file perhaps
            continue
        if not outcome.done:
            raise OpsError("not reloaded", outcome.words)
        return outcome.words
    raise OpsError(f"the dispatcher has not answered for {patience_s:g} s", "look at its log")
