"""What the processes of an installation have spent: CPU and memory by name, from its pid files and /proc (Linux).

It refuses to know what they did. CPU is user + system of all threads, in clock ticks of 10 ms: measure seconds, not moments.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Spent(NamedTuple):
    """A process at one moment."""

    pid: int
    cpu_s: float
    rss_mb: float


def cpu_s(pid: int) -> float:
    """User + system seconds that a process has used so far. Raises OSError when there is no such process, or no /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def rss_mb(pid: int) -> float:
    """Resident memory, MB; 0 for a process that has none. Raises OSError as above."""
    return _status_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """The most of it that the process ever had. Raises OSError as above."""
    return _status_mb(pid, "VmHWM")


def _status_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0


def pids(run_dir: Path) -> dict[str, int]:
    """Of an installation's processes by name (engine-0, http-0, server-0, supervisor, ...)."""
    found = {}
    for path in sorted(run_dir.glob("*.pid")):
        try:
            found[path.stem] = int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue  # it was just being written or removed
    return found


def look(named: dict[str, int]) -> dict[str, Spent]:
    """All of them now; those that are gone are left out."""
    found = {}
    for name, pid in named.items():
        try:
            found[name] = Spent(pid, cpu_s(pid), rss_mb(pid))
        except OSError:
            continue
    return found


def between(before: dict[str, Spent], after: dict[str, Spent]) -> dict[str, Spent]:
    """What was spent from one look to the other: seconds in between, memory at the end. A process that was replaced
    meanwhile counts with all that its successor has spent."""
    spent = {}
    for name, late in after.items():
        early = before.get(name)
        start_s = early.cpu_s if early is not None and early.pid == late.pid else 0.0
        spent[name] = Spent(late.pid, late.cpu_s - start_s, late.rss_mb)
    return spent
