"""One-time codes while a bulk batch drains at the carrier's rate: how many segments of the batch go before each code.

`python -m benchmarks.codes_first [--bulk 50000] [--rate 2500] [--codes 40] [--window 10]`

The carrier takes `--rate` segments a second. The batch is queued as a whole; then codes come one by one while it drains. The
carrier notes when each code arrived and how many segments had come by when; what lies between the code's acceptance and its
arrival went before it. The promise: at most one window.
"""

from __future__ import annotations

import argparse
import bisect
import json
import sys
import time
from typing import Any

from benchmarks.installation import wait_for
from dispatcher.client import Producer, Reader
from dispatcher.commands.load.own import ACCOUNT, Own, Wish, own

CHUNK = 1000
SESSIONS = 1
_CODES = "4478"
_TEXT = "The quick brown fox jumps over the lazy dog and runs away through the gate, far into the wood"


def _waiting(installed: Own) -> int:
    async def work(store: Any) -> int:
        return sum((await store.depths()).values())

    return int(installed.context.with_store(work))


def measure(bulk: int, rate: float, codes: int, window: int) -> dict[str, Any]:
    """One run. Raises AssertionError when a code did not arrive once, or the batch was through before the last code."""
    wish = Wish(rate=rate, window=window, sessions=SESSIONS, mark=_CODES)
    with own(wish) as installed, Producer(installed.context.url) as producer:
        for first in range(0, bulk, CHUNK):
            producer.send_chunk(
                {"account": ACCOUNT, "to": f"+4479{number:08d}", "text": f"{number:08d} {_TEXT}", "class": "bulk"}
                for number in range(first, min(bulk, first + CHUNK))
            )
        wait_for("the batch is queued", 60, lambda: _waiting(installed) > bulk * 0.8)
        left = _waiting(installed)
        every_s = left * 0.7 / rate / codes
        for number in range(codes):
            producer.send({"account": ACCOUNT, "to": f"+{_CODES}{number:08d}", "text": f"code {number}", "class": "otp"})
            time.sleep(every_s)
        remaining = _waiting(installed)
        assert remaining > 0, "the batch was through before the last code: take a larger one, or a slower carrier"
        wait_for("every code is delivered", 30, lambda: _told(installed, "delivered")[0] >= codes)
        _, accepted = _told(installed, "queued")
        counts = installed.carrier()
    marks, looks = counts["marks"], counts["looks"]
    assert len(marks) == codes, f"{len(marks)} of {codes} codes arrived"
    times = [at for at, _ in looks]
    before, took = [], []
    for at_ms, (arrived, place) in zip(accepted, marks, strict=True):
        seen = bisect.bisect_right(times, at_ms / 1000)
        before.append(place - 1 - (looks[seen - 1][1] if seen else 0))
        took.append((arrived - at_ms / 1000) * 1000)
    return {
        "codes": codes,
        "window": window * SESSIONS,
        "before_most": max(before),
        "before_median": sorted(before)[codes // 2],
        "latency_most_ms": round(max(took), 1),
        "latency_median_ms": round(sorted(took)[codes // 2], 1),
        "bulk_waiting_at_the_end": remaining,
    }


def _told(installed: Own, state: str) -> tuple[int, list[int]]:
    """How many codes reached a state, and when, in their order."""
    with Reader(installed.context.url, follow=False) as reader:
        found = [row.map["at"] for row in reader if row.map["class"] == "otp" and row.map["state"] == state]
    return len(found), sorted(found)


def main() -> int:
    """Command line. 1 when more than a window went before a code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bulk", type=int, default=50_000)
    parser.add_argument("--rate", type=float, default=2_500.0)
    parser.add_argument("--codes", type=int, default=40)
    parser.add_argument("--window", type=int, default=10)
    a = parser.parse_args()
    found = measure(a.bulk, a.rate, a.codes, a.window)
    print(json.dumps(found))
    return int(found["before_most"] > found["window"])


if __name__ == "__main__":
    sys.exit(main())
