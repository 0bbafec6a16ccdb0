"""Judges whether a server's settings keep promise P1. Pure: settings in, findings out; who asks and what follows is
the roles' and the doors' business.

It refuses to guess: a setting that the server does not show (a managed server without CONFIG) is a finding of its own,
because a promise that cannot be checked is not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

VERSION_MIN = 7
MEMORY_PART_MAX = 0.8
"""Above it new sends are refused: the rewrite of the log forks, and a full server refuses the writes that settle."""


class Objection(NamedTuple):
    """A setting that breaks the promise: its name, the value found, the value wanted and why."""

    setting: str
    value: str
    wanted: str
    why: str

    def __str__(self) -> str:
        return f"{self.setting} is {self.value or 'not shown'}, wanted {self.wanted}: {self.why}"


def judge(server: Mapping[str, str], durability: Literal["fsync", "everysec"], bytes_max: int = 0) -> list[Objection]:
    """What keeps the server from keeping P1; empty when nothing does. `bytes_max` is retention.store_bytes_max, bytes."""
    found = []

    def want(setting: str, good: tuple[str, ...], why: str) -> None:
        value = server.get(setting, "")
        if value not in good:
            found.append(Objection(setting, value, " or ".join(good), why))

    want("appendonly", ("yes",), "without a log a restart loses accepted sends")
    if durability == "fsync":
        want("appendfsync", ("always",), "accepted means on disk")
    else:
        want("appendfsync", ("everysec", "always"), "the log must reach the disk")
    want("maxmemory-policy", ("noeviction",), "an evicting server forgets accepted sends")
    if "no-appendfsync-on-rewrite" in server:  # while a child writes it suspends the fsync of `always` too
        want("no-appendfsync-on-rewrite", ("no",), "a rewrite must not suspend the promise")
    version = server.get("version", "")
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < VERSION_MIN:
        found.append(Objection("version", version, f">= {VERSION_MIN}", "older servers lack what the steps need"))
    if server.get("loading", "0") == "1":
        found.append(Objection("loading", "1", "0", "the server is still reading its log"))
    if server.get("aof_last_write_status", "ok") != "ok":
        found.append(Objection("aof_last_write_status", server["aof_last_write_status"], "ok", "the log cannot be written"))
    if server.get("role", "master") not in ("master", "primary"):
        found.append(Objection("role", server["role"], "master", "a replica accepts no writes"))
    _memory(found, server, bytes_max)
    return found


def _memory(found: list[Objection], server: Mapping[str, str], bytes_max: int) -> None:
    used = _whole(server.get("used_memory", "0"))
    limits = [limit for limit in (_whole(server.get("maxmemory", "0")), bytes_max) if limit]
    if limits and used > min(limits) * MEMORY_PART_MAX:
        wanted = f"at most {MEMORY_PART_MAX:.0%} of {min(limits)}"
        found.append(Objection("used_memory", str(used), wanted, "the rest is needed to settle what is accepted"))


def _whole(text: str) -> int:
    return int(text) if text.isdigit() else 0
