"""One-time codes while a bulk batch drains at the carrier's rate: how many segments of the batch go before each code.

`python -m benchmarks.codes_first [--bulk 50000] [--rate 2500] [--codes 40] [--window 10]`

The carrier takes `--rate` segments a second. The batch is queued as a whole; then codes come one by one while it drains. The
carrier notes when each segment arrived. What of the batch arrived between the instant at which a code stood in its queue and
its own arrival went before it. That instant is the server's, to the millisecond: the entry id of the code's event `queued`,
which is added by the transaction that enqueues it. The promise: at most one window.

`before_admitted_too` counts from the instant that admission gave the code, before that transaction was written to disk: what
the carrier's rate let through meanwhile is in it, and no promise is about it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from benchmarks.installation import wait_for
from dispatcher.client import Producer, Reader
from dispatcher.commands.load.own import ACCOUNT, Own, Wish, own
from smpp.sink import Arrival

CHUNK = 1000
SESSIONS = 1
_CODES = "4478"
_BULK = "4479"
_TEXT = "The quick brown fox jumps over the lazy dog and runs away through the gate, far into the wood"


def _waiting(installed: Own) -> int:
    async def work(store: Any) -> int:
        return sum((await store.depths()).values())

    return int(installed.context.with_store(work))


def measure(bulk: int, rate: float, codes: int, window: int) -> dict[str, Any]:
    """One run. Raises AssertionError when a code did not arrive once, or the batch was through before the last code."""
    wish = Wish(rate=rate, window=window, sessions=SESSIONS, arrivals=True)
    with own(wish) as installed, Producer(installed.context.url) as producer:
        for first in range(0, bulk, CHUNK):
            producer.send_chunk(
                {"account": ACCOUNT, "to": f"+{_BULK}{number:08d}", "text": f"{number:08d} {_TEXT}", "class": "bulk"}
                for number in range(first, min(bulk, first + CHUNK))
            )
        wait_for("the batch is queued", 60, lambda: _waiting(installed) > bulk * 0.8)
        left = _waiting(installed)
        every_s = left * 0.7 / rate / codes
        for number in range(codes):
            producer.send(
                {"account": ACCOUNT, "to": f"+{_number(number)}", "text": f"code {number}", "class": "otp", "ref": str(number)}
            )
            time.sleep(every_s)
        remaining = _waiting(installed)
        assert remaining > 0, "the batch was through before the last code: take a larger one, or a slower carrier"
        wait_for("every code is delivered", 30, lambda: len(_told(installed, "delivered")) >= codes)
        queued = _told(installed, "queued")
        arrivals: list[Arrival] = installed.carrier()["arrivals"]
    places = {arrival.to: place for place, arrival in enumerate(arrivals)}
    assert len(places) == len(arrivals), f"{len(arrivals) - len(places)} numbers were sent to twice"
    assert sorted(number for _, _, number in queued) == list(range(codes))
    assert {to for to in places if to.startswith(_CODES)} == {_number(n) for n in range(codes)}
    before, admitted, took = [], [], []
    for at_ms, accepted_ms, number in queued:
        place = places[_number(number)]
        came = [bulk.at_s * 1000 for bulk in arrivals[:place] if bulk.to.startswith(_BULK)]
        before.append(sum(at >= at_ms + 1 for at in came))
        admitted.append(sum(at >= accepted_ms for at in came))
        took.append(arrivals[place].at_s * 1000 - accepted_ms)
    return {
        "codes": codes,
        "window": window * SESSIONS,
        "before_most": max(before),
        "before_median": sorted(before)[codes // 2],
        "before_admitted_too_most": max(admitted),
        "latency_most_ms": round(max(took), 1),
        "latency_median_ms": round(sorted(took)[codes // 2], 1),
        "bulk_waiting_at_the_end": remaining,
    }


def _number(code: int) -> str:
    return f"{_CODES}{code:08d}"


def _told(installed: Own, state: str) -> list[tuple[int, int, int]]:
    """Of each code that reached a state: when the row was written (the server's ms), the instant that it tells, the code."""
    with Reader(installed.context.url, follow=False) as reader:
        found = [(row.position, row.map) for row in reader if row.map["class"] == "otp" and row.map["state"] == state]
    return [(int(position.partition("-")[0]), row["at"], int(row["ref"])) for position, row in found]


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
