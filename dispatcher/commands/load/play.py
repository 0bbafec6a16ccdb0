"""A load from its first message to its last: the door's process is started, its messages followed, the end judged.

It refuses to know how things are shown: it calls `progress` with a Moment now and then, and gives a Result.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import redis

from dispatcher.commands.load import processes
from dispatcher.commands.load.follow import Follower
from dispatcher.commands.load.histogram import Histogram
from dispatcher.commands.load.plan import Plan
from dispatcher.ops.errors import OpsError

MOMENT_S = 0.5
MOMENTS_MAX = 600
_LOCAL = {"", "localhost", "127.0.0.1", "::1"}


class Moment(NamedTuple):
    """Where a load is after `at_s` seconds."""

    at_s: float
    sent: int
    queued: int
    submitted: int
    finals: int


class Result(msgspec.Struct, kw_only=True):
    """What came of a load. Counts include the warm-up; latencies (ms) and CPU do not. `took_s`: from the first measured message
    to the last final state."""

    plan: Plan
    sent: int
    accepted: int
    refused: dict[str, int]
    states: dict[str, int]
    segments: int
    lost: int
    doubled: int
    repeated: int
    measured: int
    took_s: float
    late_ms: float
    latency: dict[str, dict[str, Any]]
    curves: dict[str, list[tuple[float, float]]]
    spent: dict[str, processes.Spent]
    moments: list[Moment]
    failed: str = ""
    carrier: dict[str, Any] = {}

    @property
    def unknown(self) -> int:
        """Messages of which nobody knows whether they were delivered."""
        return self.states.get("unknown", 0)

    @property
    def ok(self) -> bool:
        """Something was accepted, and all of it was followed to a known end, once."""
        return bool(self.accepted) and not (self.lost or self.doubled or self.unknown or self.failed)


class Door:
    """The door's process."""

    def __init__(self, plan: Plan) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dispatcher.commands.load.door"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.said: dict[str, Any] = {"sent": 0, "accepted": 0, "refused": {}}
        self._half = b""
        self.say(msgspec.json.encode(plan).decode())

    def say(self, line: str) -> None:
        """A line to it; to one that has ended, none."""
        assert self._process.stdin is not None  # noqa: S101 - Popen was told PIPE
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass

    def hear(self) -> None:
        """Takes what it has said meanwhile."""
        assert self._process.stdout is not None  # noqa: S101 - Popen was told PIPE
        handle = self._process.stdout.fileno()
        while select.select([handle], [], [], 0)[0]:
            data = os.read(handle, 65_536)
            *lines, self._half = (self._half + data).split(b"\n")
            for line in lines:
                self.said |= json.loads(line)
            if not data:
                return

    @property
    def over(self) -> bool:
        """Whether it has ended; all that it said is taken then."""
        if self._process.poll() is None:
            return False
        self.hear()
        return True

    def end(self) -> None:
        """Ends it."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Play:
    """One load. `patience_s`: silence after which the rest counts as lost; `named`: pids by name, asked for when needed."""

    def __init__(self, plan: Plan, named: Callable[[], dict[str, int]], patience_s: float) -> None:
        self._plan, self._named, self._patience_s = plan, named, patience_s
        self._follower = Follower(
            plan.url, plan.prefix, plan.run, warm_up=plan.warm_up, began_ms=time.time_ns() // 1_000_000 - 1000
        )
        self._moments: list[Moment] = []
        self._every_s = MOMENT_S
        self._before: dict[str, processes.Spent] = {}
        self._began = 0.0

    def run(self, progress: Callable[[Moment], None]) -> Result:
        """Returns when all is final, nothing has happened for too long, or on Ctrl-C. Raises OpsError: the store is away."""
        door = Door(self._plan)
        try:
            last = self._watch(door, progress)
        except KeyboardInterrupt:
            last = time.monotonic()
            door.said.setdefault("failed", "interrupted")
        except redis.RedisError as error:
            raise OpsError(f"the events cannot be followed ({type(error).__name__})", "see `dispatcher doctor`") from None
        finally:
            door.end()
        return self._result(door, last)

    def _watch(self, door: Door, progress: Callable[[Moment], None]) -> float:
        """Follows to the end; when the last thing happened."""
        follower, started = self._follower, time.monotonic()
        last = told = started
        seen, opened, over = (0, 0), -1, False
        while True:
            follower.read(20)
            now = time.monotonic()
            door.hear()
            if not self._began and follower.finals + follower.refused.total() >= self._plan.warm_up:
                self._begin()
                door.say("go")
            if follower.finals != opened:
                opened = follower.finals
                door.say(f"open {opened + follower.refused.total()}")
            if (found := (follower.queued + follower.submitted, follower.finals)) != seen:
                seen, last = found, now
            if now - told >= self._every_s:
                told = now
                self._note(progress, now - started, door)
            over = over or door.over
            if over and self._open(door) <= 0:
                break
            if over and now - max(last, started) > self._patience_s:
                break
            if not over and now - last > self._patience_s + 2 / (self._plan.rate or 1):
                door.say("stop")  # nothing moves any more: what is flat out waits for room for ever
        self._note(progress, time.monotonic() - started, door)
        return last

    def _begin(self) -> None:
        self._began = time.monotonic()
        self._before = processes.look(self._named())

    def _open(self, door: Door) -> int:
        """Accepted messages without a final state."""
        refused = self._follower.refused.total()
        return int(door.said["accepted"]) - refused - self._follower.finals

    def _note(self, progress: Callable[[Moment], None], at_s: float, door: Door) -> None:
        follower = self._follower
        moment = Moment(
            round(at_s, 2), max(int(door.said["sent"]), follower.queued), follower.queued, follower.submitted, follower.finals
        )
        self._moments.append(moment)
        if len(self._moments) > MOMENTS_MAX:
            self._moments = self._moments[::2]
            self._every_s *= 2
        progress(moment)

    def _result(self, door: Door, last: float) -> Result:
        plan, follower, said = self._plan, self._follower, door.said
        spent = processes.between(self._before, processes.look(self._named()))
        follower.close()
        refused = follower.refused.total()
        accepted = max(int(said["accepted"]) - refused, follower.queued)
        accept = Histogram(said.get("slots")) if plan.door == "http" else follower.accept
        latencies = {"accept": accept, "submit": follower.submit, "deliver": follower.deliver}
        return Result(
            plan=msgspec.structs.replace(plan, url="", keys=()),
            sent=int(said["sent"]),
            accepted=accepted,
            refused={**said["refused"], **follower.refused},
            states={state: count for state, count in follower.states.items() if count},
            segments=follower.segments,
            lost=accepted - follower.finals,
            doubled=follower.doubled,
            repeated=follower.repeated,
            measured=max(0, follower.finals - plan.warm_up),
            took_s=round(max(0.0, last - self._began), 3) if self._began else 0.0,
            late_ms=float(said.get("late_ms", 0.0)),
            latency={name: each.figures() for name, each in latencies.items()},
            curves={name: each.curve() for name, each in latencies.items()},
            spent=spent,
            moments=self._moments,
            failed=str(said.get("failed", "")),
        )


def named(run_dir: Path, url: str) -> dict[str, int]:
    """Pids of an installation by name; the server's own where it is on this machine and no pid file names it."""
    found = processes.pids(run_dir)
    if "server-0" not in found and (urlsplit(url).hostname or "") in _LOCAL:
        client = redis.Redis.from_url(url)
        try:
            found["server"] = int(client.info("server")["process_id"])
        except redis.RedisError:
            pass  # INFO may be forbidden; then its CPU is not shown
        finally:
            client.close()
    return found
