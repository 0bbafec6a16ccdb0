"""A million queued: what the engine holds, what a message costs then, and what it takes in the store, queued and final.

`python -m benchmarks.backlog [--messages 100000]` (a million takes some minutes and about 2 GB)

With the carrier paused, messages are queued; then it is resumed and a stretch of messages is timed, first with some 10,000
queued behind it, then, after the rest was queued too, with all. Store bytes are differences of used_memory, less what the
streams hold (events, charges, sends), which have limits of their own. Among the queued ones are some final ones
(`final_before`), which count as nothing: bytes of a queued message are a little overstated. `engine_rss_mb` is with all queued,
`engine_peak_mb` the most from the start until all are final.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any, cast

import redis

from benchmarks.installation import wait_for
from dispatcher.client import Producer
from dispatcher.commands.load import processes
from dispatcher.commands.load.own import ACCOUNT, Own, Wish, own
from dispatcher.ops.run_dir import run_dir

CHUNK = 1000
STRETCH = 15_000
SMALL = 10_000
LEAD = 3_000
"""Sent before the clock of a stretch starts."""
_TEXT = (
    "The quick brown fox jumps over the lazy dog and runs away through the gate, far into the wood, "
    "where no dog has followed any fox for a long yea"
)


class Backlog:
    """One installation and its queue."""

    def __init__(self, installed: Own) -> None:
        self.installed = installed
        self.redis = redis.Redis.from_url(installed.context.url)
        self.pid = processes.pids(run_dir(installed.context.settings))["engine-0"]
        self.queue = ""
        self.sent = 0

    def control(self, wish: str) -> None:
        """Pauses or resumes the carrier's bind."""

        async def work(store: Any) -> None:
            await store.control("carrier", "main", wish)

        self.installed.context.with_store(work)
        if wish == "pause":
            time.sleep(3)  # engines follow within a few seconds

    def waiting(self) -> int:
        """Messages in the queues."""

        async def work(store: Any) -> int:
            return sum((await store.depths()).values())

        return int(self.installed.context.with_store(work))

    def fill(self, messages: int) -> None:
        """Queues so many more, with the carrier paused, and waits until they are."""
        goal = self.waiting() + messages
        with Producer(self.installed.context.url) as producer:
            for first in range(self.sent, self.sent + messages, CHUNK):
                count = min(CHUNK, self.sent + messages - first)
                producer.send_chunk(
                    {"account": ACCOUNT, "to": f"+4479{number % 10**8:08d}", "text": f"{number:08d} {_TEXT}", "class": "bulk"}
                    for number in range(first, first + count)
                )
        self.sent += messages
        wait_for("all are queued", 30 + messages / 1000, lambda: self.waiting() >= goal)

    def held(self) -> int:
        """Bytes in the store, streams apart."""
        streams = cast(Any, self.redis.scan_iter(count=1000, _type="stream"))
        inside = sum(int(cast(Any, self.redis.memory_usage(name, samples=0)) or 0) for name in streams)
        return int(cast(Any, self.redis.info("memory"))["used_memory"]) - inside

    def stretch(self) -> float:
        """CPU microseconds of the engine for each of the next STRETCH messages, the carrier resumed."""
        start = self.waiting()
        self.control("resume")
        wait_for("it flows", 30, lambda: self.waiting() <= start - LEAD)
        at, spent = self.waiting(), processes.cpu_s(self.pid)
        wait_for("the stretch", 120, lambda: self.waiting() <= at - STRETCH)
        gone, spent = at - self.waiting(), processes.cpu_s(self.pid) - spent
        self.control("pause")
        return spent / gone * 1e6


def measure(messages: int) -> dict[str, Any]:
    """Both sizes in one installation. Raises AssertionError when a message was lost or doubled."""
    small = SMALL + STRETCH + 3 * LEAD
    with own(Wish(durability="everysec")) as installed:
        backlog = Backlog(installed)
        backlog.control("pause")
        empty = backlog.held()
        backlog.fill(small)
        found: dict[str, Any] = {"messages": messages, "engine_us_small": round(backlog.stretch(), 1)}
        left = backlog.waiting()
        backlog.fill(messages - left)
        total, gone = backlog.sent, backlog.sent - messages
        found["bytes_queued"] = round((backlog.held() - empty) / messages)
        rss = processes.rss_mb(backlog.pid)
        found["engine_us_large"] = round(backlog.stretch(), 1)
        found["engine_rss_mb"] = round(max(rss, processes.rss_mb(backlog.pid)), 1)
        backlog.control("resume")
        wait_for("all are final", 60 + messages / 500, lambda: backlog.waiting() == 0 and installed.charged() >= total)
        time.sleep(3)  # receipts of the last
        found["engine_peak_mb"] = round(processes.peak_mb(backlog.pid), 1)
        found["bytes_final"] = round((backlog.held() - empty) / total)
        backlog.redis.close()
        charged, taken = installed.charged(), installed.carrier()["taken"]
        assert taken == charged == total, f"the carrier took {taken}, charged were {charged}, of {total}"
    found["final_before"] = gone
    found["cost_ratio"] = round(found["engine_us_large"] / found["engine_us_small"], 2)
    return found


def main() -> int:
    """Command line: one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    print(json.dumps(measure(parser.parse_args().messages)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
