"""From the sends stream to delivered and charged: CPU microseconds per message of the engine and of the server.

`python -m benchmarks.end_to_end [--messages 20000] [--window 50] [--binds 4] [--durability fsync]`

Everything is on: admission, reservation, write-ahead, receipts, correlation, facts, events. One-segment texts of 150
characters, one send an entry. The producer's XADDs are made (and their cost to the server measured) on another key
first, so that they can be taken out. A run counts what the carrier took, what was delivered, what was charged: any
message lost or doubled makes it fail.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.installation import Bench, Durability, cpu_s, installation, rss_mb, wait_for

_TEXT = (
    "The quick brown fox jumps over the lazy dog and runs away through the gate, far into the wood, "
    "where no dog has followed any fox for a long year now"
)
PRICE_MICRO = 30_000
WARM_UP = 1000


def _entries(count: int, first: int) -> list[bytes]:
    encode = msgspec.json.encode
    return [
        encode({"account": "bench", "to": f"4479{(first + i) % 100_000_000:08d}", "from": "Acme", "text": _TEXT})
        for i in range(count)
    ]


def _produce(bench: Bench, stream: str, entries: list[bytes]) -> None:
    for start in range(0, len(entries), 500):
        pipe = bench.redis.pipeline(transaction=False)
        for entry in entries[start : start + 500]:
            pipe.xadd(stream, {"json": entry})
        pipe.execute()


def _produced_cost_s(bench: Bench, entries: list[bytes]) -> float:
    """Server CPU of the producer's own XADDs, seconds, measured on a stream nobody reads."""
    before = cpu_s(bench.server_pid)
    _produce(bench, "bench:elsewhere", entries)
    spent = cpu_s(bench.server_pid) - before
    bench.redis.delete("bench:elsewhere")
    return spent


def _settled(bench: Bench, available: int) -> bool:
    """All admitted (the balance says so), all posted, no body left: everything is final."""
    account: Any = bench.redis.hgetall("sms:{p0}:acct:bench")
    if int(account[b"avail"]) != available or int(account[b"reserved"]) != 0:
        return False
    return not any(bench.redis.hlen(key) for key in bench.redis.scan_iter("sms:{p0}:body:*", count=1000))


def measure(durability: Durability, messages: int, *, binds: int, window: int, receipt_delay_s: float = 0.0) -> dict[str, Any]:
    """One run; figures in CPU microseconds a message. Raises AssertionError when a message was lost or doubled."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        installation(
            durability, binds=binds, window=window, folder=Path(folder) / "run", receipt_delay_s=receipt_delay_s
        ) as bench,
    ):
        _produce(bench, "sms:sends", _entries(WARM_UP, 0))
        wait_for("warm-up delivered", 60, lambda: bench.finals() >= WARM_UP)
        entries = _entries(messages, WARM_UP)
        producing = _produced_cost_s(bench, entries)
        account: Any = bench.redis.hgetall("sms:{p0}:acct:bench")
        available = int(account[b"avail"]) - messages * PRICE_MICRO
        engine_0, server_0, started = cpu_s(bench.engine.pid), cpu_s(bench.server_pid), time.monotonic()
        _produce(bench, "sms:sends", entries)
        wait_for("all delivered", max(60.0, messages / 200), lambda: _settled(bench, available))
        ended = time.monotonic()
        engine, server = cpu_s(bench.engine.pid) - engine_0, cpu_s(bench.server_pid) - server_0 - producing
        total = messages + WARM_UP
        delivered, posts = bench.rows("events", "state", "delivered"), bench.rows("charges", "kind", "post")
        assert len(delivered) == len(set(delivered)) == total, (
            f"delivered {len(delivered)}, {len(set(delivered))} distinct, of {total}"
        )
        assert len(posts) == len(set(posts)) == total, f"charged {len(posts)}, {len(set(posts))} distinct, of {total}"
        memory = rss_mb(bench.engine.pid)
        bench.engine.terminate()
        bench.engine.wait(15)
        bench.sink.terminate()
        counts = json.loads(bench.sink.communicate(timeout=10)[0].strip().splitlines()[-1])
        assert counts["submits"] == total, f"the carrier took {counts['submits']} of {total}"
        return {
            "durability": durability,
            "messages": messages,
            "binds": binds,
            "window": window,
            "engine_us": round(engine / messages * 1e6, 1),
            "server_us": round(server / messages * 1e6, 1),
            "producer_xadd_us": round(producing / messages * 1e6, 1),
            "wall_per_s": round(messages / (ended - started)),
            "engine_rss_mb": round(memory),
            "lost": 0,
            "doubled": 0,
        }


def main() -> int:
    """Command line: one run, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--binds", type=int, default=4)
    parser.add_argument("--durability", choices=("fsync", "everysec"), default="fsync")
    parser.add_argument("--receipt-delay", type=float, default=0.0)
    a = parser.parse_args()
    print(json.dumps(measure(a.durability, a.messages, binds=a.binds, window=a.window, receipt_delay_s=a.receipt_delay)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
