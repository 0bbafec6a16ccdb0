"""The process that hands a load in, over the stream or over HTTP: `python -m dispatcher.commands.load.door`.

Its first line of stdin is the plan; then come lines `open N` (so many messages are final, which is what flat out is paced by),
`go` (the warm-up is over) and `stop`. It tells on stdout, a line of JSON each quarter of a second, what it has handed in. It
refuses to know what becomes of what was taken. Its stdin at its end, it ends: whoever started it is gone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from dispatcher.commands.load.histogram import Histogram
from dispatcher.commands.load.plan import Plan, due, writer
from dispatcher.ops.errors import OpsError

TOLD_S = 0.25
NAP_S = 0.002
AT_ONCE = 500
"""Entries in one write to the server."""
ANSWER_S = 30.0
LATE_S = 1.0
"""What was due by the end of a paced load may still go for so long."""


class Pace:
    """When the next messages may go, and the counts of those that went. `now` in seconds, any origin."""

    def __init__(self, plan: Plan, now: Callable[[], float] = time.monotonic) -> None:
        self.plan, self._now = plan, now
        self.sent = self.accepted = self.finals = 0
        self.refused: Counter[str] = Counter()
        self.took = Histogram()
        self.began = 0.0
        """When the measured part began; 0: not yet."""
        self.stopped = False
        self.late_ms = 0.0
        """The latest that a message was sent after it was due: the generator's own limit, at a given rate."""
        self._told = 0.0

    @property
    def done(self) -> bool:
        """Nothing more is to be sent."""
        if self.stopped or self.sent >= self.plan.total_max:
            return True
        end_s = self.plan.for_s + (LATE_S if self.plan.rate else 0.0)  # at a rate the count that is due ends it
        return bool(self.plan.for_s and self.began and self._now() - self.began >= end_s)

    def may(self, most: int) -> int:
        """How many may go now."""
        plan, room = self.plan, self.finals + self.plan.open_max - self.sent
        if not self.began and plan.warm_up:
            return max(0, min(most, plan.warm_up - self.sent, room))
        if not self.began:
            self.began = self._now()
        if plan.rate:
            elapsed = self._now() - self.began
            behind = due(plan.rate, plan.ramp_s, elapsed) - (self.sent - plan.warm_up)
            if behind > 1 and elapsed > plan.ramp_s:
                self.late_ms = max(self.late_ms, behind / plan.rate * 1000)
            room = min(room, behind)
        return max(0, min(most, plan.total_max - self.sent, room))

    def hear(self, line: str) -> None:
        """A line from whoever started us; "" is the end."""
        word, _, rest = line.partition(" ")
        match word.strip():
            case "open":
                self.finals = int(rest)
            case "go":
                self.began = self._now()
            case _:
                self.stopped = True

    def tell(self, *, last: bool = False) -> None:
        """Says what has happened so far, seldom."""
        now = self._now()
        if last or now - self._told >= TOLD_S:
            self._told = now
            value: dict[str, Any] = {"sent": self.sent, "accepted": self.accepted, "refused": dict(self.refused)}
            if last:
                took_s = now - self.began if self.began else 0.0
                value |= {"slots": self.took.slots, "late_ms": round(self.late_ms, 1), "took_s": round(took_s, 3)}
            print(json.dumps(value), flush=True)


async def stream(pace: Pace) -> None:
    """XADDs, many in one write, each with one send or a chunk of them."""
    import trio

    from dispatcher.store import resp
    from dispatcher.store.redis import open_trio_store

    plan = pace.plan
    store = await open_trio_store(plan.url, plan.prefix)
    write, key, line = writer(plan), f"{plan.prefix}sends".encode(), store.line("desk")
    try:
        while not pace.done:
            count = pace.may(AT_ONCE * plan.chunk)
            if not count:
                pace.tell()
                await trio.sleep(NAP_S)
                continue
            at, first = time.time_ns() // 1_000_000, pace.sent
            sends = [write(number, at) for number in range(first, first + count)]
            if plan.chunk > 1:
                sends = [b'{"sends":[%b]}' % b",".join(sends[i : i + plan.chunk]) for i in range(0, count, plan.chunk)]
            wire = b"".join(resp.command(b"XADD", key, b"*", b"json", each) for each in sends)
            replies = await line.exchange(wire, len(sends))  # not `ask`, which would add all of it again over a new connection
            if wrong := next(filter(resp.is_error, replies), None):
                raise OpsError(f"the server takes no sends ({wrong})", "see `dispatcher doctor`")
            pace.sent += count
            pace.accepted += count
            pace.tell()
            if plan.rate:
                await trio.sleep(NAP_S)
    finally:
        await store.close()


async def http(pace: Pace) -> None:
    """POST /v1/messages, one message each, over connections that stay."""
    plan = pace.plan
    host, _, port = plan.http.rpartition(":")
    write = writer(plan)

    waiting: asyncio.Queue[tuple[int, float] | None] = asyncio.Queue(plan.connections)

    async def feed() -> None:
        while not pace.done:
            for _ in range(count := pace.may(plan.connections)):
                pace.sent += 1
                await waiting.put((pace.sent - 1, time.perf_counter()))
            pace.tell()
            if plan.rate or not count:
                await asyncio.sleep(NAP_S)
        for _ in range(plan.connections):
            await waiting.put(None)

    async def talk() -> None:
        reader, out = await asyncio.open_connection(host, int(port))
        heads = [
            f"POST /v1/messages HTTP/1.1\r\nHost: {plan.http}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
            for key in plan.keys
        ]
        while (due_now := await waiting.get()) is not None:
            number, started = due_now
            body = write(number, time.time_ns() // 1_000_000)
            started = started if plan.rate else time.perf_counter()
            out.write(f"{heads[number % len(heads)]}{len(body)}\r\n\r\n".encode() + body)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_S)
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            status = head[9:12].decode()
            if status != "202":
                pace.refused[f"http {status}"] += 1
                continue
            pace.accepted += 1
            if number >= plan.warm_up:
                pace.took.add((time.perf_counter() - started) * 1000)
        out.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        for _ in range(plan.connections):
            group.create_task(talk())


def main() -> int:
    """Hands the plan on stdin in. 1 with one line of JSON when a door fails."""
    pace = Pace(msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan))

    def listen() -> None:
        while not pace.stopped:
            pace.hear(sys.stdin.readline())

    threading.Thread(target=listen, daemon=True).start()
    try:
        if pace.plan.door == "stream":
            import trio

            trio.run(stream, pace)
        else:
            import uvloop

            uvloop.run(http(pace))
    except KeyboardInterrupt:
        pass
    except Exception as error:
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        pace.tell(last=True)
        print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), flush=True)
        return 1
    pace.tell(last=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
