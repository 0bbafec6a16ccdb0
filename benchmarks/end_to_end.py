"""From the sends stream to delivered and charged: CPU microseconds per message of the engine and of the server.

`python -m benchmarks.end_to_end [--messages 20000] [--window 50] [--binds 4] [--durability fsync] [--segments 1]`

Everything is on: admission, reservation, write-ahead, receipts, correlation, facts, events. One-segment texts of 150
characters (`--segments 3`: 440), one send an entry. The producer's XADDs are made (and their cost to the server measured) on
another key first, so that they can be taken out. A run counts what the carrier took, what was delivered, what was charged:
any message lost or doubled makes it fail.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.installation import Bench, Durability, cpu_s, installation, rss_mb, wait_for
from benchmarks.speed import Speed
from dispatcher.store import resp

_TEXT = (
    "The quick brown fox jumps over the lazy dog and runs away through the gate, far into the wood, "
    "where no dog has followed any fox for a long year now"
)
_CHARS = {1: len(_TEXT), 2: 290, 3: 440}
PRICE_MICRO = 30_000
WARM_UP = 1000
_PIECE = 500
SPEED = Speed()


def _entries(count: int, first: int, segments: int = 1) -> list[bytes]:
    encode, text = msgspec.json.encode, (_TEXT * 3)[: _CHARS[segments]]
    return [
        encode({"account": "bench", "to": f"4479{(first + i) % 100_000_000:08d}", "from": "Acme", "text": text})
        for i in range(count)
    ]


def _written(stream: str, entries: list[bytes]) -> list[bytes]:
    """XADDs, 500 in each piece, ready to be sent."""
    commands = [resp.of("XADD", stream, "*", "json", entry) for entry in entries]
    return [b"".join(commands[start : start + _PIECE]) for start in range(0, len(commands), _PIECE)]


def _produce(bench: Bench, written: list[bytes]) -> None:
    """Sends them piece by piece. They are formatted before any clock runs: on two cores a client library's work for every
    entry would take from the engine what belongs to other machines, and would show in its figures."""
    with socket.create_connection(("127.0.0.1", bench.port)) as sock:
        for piece in written:
            sock.sendall(piece)
            lines, expected = 0, 2 * piece.count(b"\r\n$4\r\nXADD\r\n")
            while lines < expected:
                got = sock.recv(65_536)
                assert got, "the server closed the connection"
                lines += got.count(b"\r\n")  # each answer is a length and an id


def _produced_cost_s(bench: Bench, entries: list[bytes]) -> float:
    """Server CPU of the producer's own XADDs, seconds, measured on a stream nobody reads."""
    written = _written("bench:elsewhere", entries)
    before = cpu_s(bench.server_pid)
    _produce(bench, written)
    spent = cpu_s(bench.server_pid) - before
    bench.redis.delete("bench:elsewhere")
    return spent


def _sampled(bench: Bench, available: int) -> bool:
    SPEED.sample()
    return _settled(bench, available)


def _settled(bench: Bench, available: int) -> bool:
    """All admitted (the balance says so), all posted, no body left: everything is final."""
    account: Any = bench.redis.hgetall("sms:{p0}:acct:bench")
    if int(account[b"avail"]) != available or int(account[b"reserved"]) != 0:
        return False
    return not any(bench.redis.hlen(key) for key in bench.redis.scan_iter("sms:{p0}:body:*", count=1000))


def measure(
    durability: Durability,
    messages: int,
    *,
    binds: int,
    window: int,
    receipt_delay_s: float = 0.0,
    segments: int = 1,
) -> dict[str, Any]:
    """One run; figures in CPU microseconds a message. Raises AssertionError when a message was lost or doubled."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        installation(
            durability,
            binds=binds,
            window=window,
            folder=Path(folder) / "run",
            receipt_delay_s=receipt_delay_s,
        ) as bench,
    ):
        _produce(bench, _written("sms:sends", _entries(WARM_UP, 0, segments)))
        wait_for("warm-up delivered", 60, lambda: bench.finals() >= WARM_UP)
        entries = _entries(messages, WARM_UP, segments)
        producing = _produced_cost_s(bench, entries)
        written = _written("sms:sends", entries)
        account: Any = bench.redis.hgetall("sms:{p0}:acct:bench")
        available = int(account[b"avail"]) - messages * segments * PRICE_MICRO
        engine_0, server_0, started = cpu_s(bench.engine.pid), cpu_s(bench.server_pid), time.monotonic()
        _produce(bench, written)
        wait_for("all delivered", max(60.0, messages / 200), partial(_sampled, bench, available))
        ended = time.monotonic()
        engine, server = cpu_s(bench.engine.pid) - engine_0, cpu_s(bench.server_pid) - server_0 - producing
        total = messages + WARM_UP
        delivered, posts = bench.rows("events", "state", "delivered"), bench.rows("charges", "kind", "post")
        assert len(delivered) == len(set(delivered)) == total, (
            f"delivered {len(delivered)}, {len(set(delivered))} distinct, of {total}"
        )
        parts = total * segments
        assert len(posts) == len(set(posts)) == parts, f"charged {len(posts)}, {len(set(posts))} distinct, of {parts}"
        memory = rss_mb(bench.engine.pid)
        bench.engine.terminate()
        bench.engine.wait(15)
        bench.sink.terminate()
        counts = json.loads(bench.sink.communicate(timeout=10)[0].strip().splitlines()[-1])
        assert counts["submits"] == parts, f"the carrier took {counts['submits']} of {parts}"
        return {
            "durability": durability,
            "messages": messages,
            "segments": segments,
            "binds": binds,
            "window": window,
            "engine_us": round(engine / messages * 1e6, 1),
            "server_us": round(server / messages * 1e6, 1),
            "producer_xadd_us": round(producing / messages * 1e6, 1),
            "slowdown": SPEED.slowdown(),
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
    parser.add_argument("--segments", type=int, choices=(1, 2, 3), default=1)
    parser.add_argument("--receipt-delay", type=float, default=0.0)
    a = parser.parse_args()
    how: dict[str, Any] = {"binds": a.binds, "window": a.window, "segments": a.segments}
    print(json.dumps(measure(a.durability, a.messages, receipt_delay_s=a.receipt_delay, **how)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
