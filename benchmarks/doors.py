"""The HTTP doors: CPU of the HTTP process and of the server per request, latency, and what a batch of 50,000 does.

`python -m benchmarks.doors [--requests 20000] [--connections 64] [--runs 5] [--durability fsync]`

1. `POST /v1/messages`, one message a request, over keep-alive connections: microseconds of CPU a request in the HTTP process
   and in the server, p50 and p99 of the answer's time. Every answer must be a 202 and the account must be debited for each.
2. `POST /v1/messages/batch` of 50,000: time to the 202, CPU a recipient, the longest step of the server meanwhile (its
   own latency monitor, whole ms), and the time that single messages took meanwhile.

The client is a process of its own on the same cores; its CPU is not counted, but it takes its share of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import redis

from benchmarks.installation import Durability, cpu_s, machine, server_version, wait_for
from benchmarks.tables import spreads
from dispatcher.ops.embedded import EmbeddedServer
from tests.process.ports import free_ports

BATCH = 50_000
TEXT = "The quick brown fox jumps over the lazy dog and runs away through the gate, far into the wood"
PRICE_MICRO = 30_000
WARM_UP = 2_000
CREDIT = 10_000_000
_STEPS = (b"command", b"fast-command")
"""Events of the server's latency monitor that hold everybody up; whole ms, 0: below 1."""


class Doors(NamedTuple):
    """A server and one HTTP process, and keys for it: a native one, and one of the Chinqit dialects."""

    port: int
    key: str
    chinqit: str
    http_pid: int
    server_pid: int
    redis: redis.Redis


@contextmanager
def doors(durability: Durability, folder: Path, *, sink_port: int = 0, window: int = 50) -> Iterator[Doors]:
    """Starts a server and one HTTP process, nothing else: what is accepted stays queued. With the port of a carrier an engine
    too, which sends it over one session with this window."""
    server_port, http_port, metrics_port, other_port = free_ports(4)
    server = EmbeddedServer(folder / "server", port=server_port, durability=durability)
    server.start()
    config = folder / "dispatcher.toml"
    config.write_text(
        f'[server]\nurl = "redis://127.0.0.1:{server_port}/0"\ndurability = "{durability}"\ndata_dir = "{folder}"\n'
        f'[http]\nlisten = "127.0.0.1:{http_port}"\n[metrics]\nlisten = "127.0.0.1:{metrics_port}"\n'
        f'[[carrier]]\nname = "nobody"\n[[carrier.bind]]\nhost = "127.0.0.1"\nport = {sink_port or 2775}\n'
        f'system_id = "bench"\npassword = "bench"\npassword_plain = true\nwindow = {window}\n'
        '[[route]]\nname = "all"\n[[route.group]]\ncarriers = [{name = "nobody"}]\n'
        '[[tariff]]\nname = "price"\ncurrency = "EUR"\nprices = {"" = "0.0300"}\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "dispatcher"]

    def cli(*arguments: str) -> dict[str, Any]:
        done = subprocess.run([*command, *arguments, "--config", str(config), "--json"], check=True, capture_output=True)
        return dict(json.loads(done.stdout))

    cli("accounts", "add", "bench", "--currency", "EUR", "--sender", "Acme")
    cli("accounts", "credit", "bench", str(CREDIT))
    key = str(cli("keys", "create", "bench")["key"])
    chinqit = str(cli("keys", "create", "bench", "--dialect", "chinqit")["key"])
    with (folder / "roles.log").open("wb") as log:
        start = functools.partial(subprocess.Popen[bytes], stdin=subprocess.PIPE, stdout=log, stderr=log)
        roles = [start([*command, "run", "--role", "http", "--config", str(config)])]
        if sink_port:
            other = folder / "engine.toml"
            other.write_text(config.read_text().replace(f":{metrics_port}", f":{other_port}"), encoding="utf-8")
            roles.append(start([*command, "run", "--role", "engine", "--config", str(other)]))
    client = redis.Redis(port=server_port)
    try:
        wait_for("the door opens", 20, lambda: _ready(http_port))
        yield Doors(http_port, key, chinqit, roles[0].pid, int(client.info("server")["process_id"]), client)
    finally:
        client.close()
        for process in roles:
            process.terminate()
        for process in roles:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        server.stop()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


# -- the client, a process of its own


async def _talk(port: int, key: str, numbers: Sequence[int], took: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    fixed = f"Host: bench\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json"
    head = f"POST /v1/messages HTTP/1.1\r\n{fixed}\r\nContent-Length: "
    for number in numbers:
        body = json.dumps({"to": f"+4479{number % 100_000_000:08d}", "text": TEXT})
        started = time.perf_counter()
        writer.write(f"{head}{len(body)}\r\n\r\n{body}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 202"):
            raise RuntimeError(f"not accepted: {answer[:60]!r}")
        length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        took.append(time.perf_counter() - started)
    writer.close()


async def _flood(port: int, key: str, requests: int, connections: int, first: int) -> list[float]:
    took: list[float] = []
    numbers = [range(first + i, first + requests, connections) for i in range(connections)]
    await asyncio.gather(*(_talk(port, key, each, took) for each in numbers))
    return took


def client(arguments: Sequence[str]) -> int:
    """The child's main: floods, prints the latencies' percentiles (ms) as JSON."""
    port, key, requests, connections, first = arguments
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        took = sorted(runner.run(_flood(int(port), key, int(requests), int(connections), int(first))))
    at = {
        name: round(took[min(len(took) - 1, int(len(took) * part))] * 1000, 2) for name, part in (("p50", 0.5), ("p99", 0.99))
    }
    print(json.dumps({**at, "max": round(took[-1] * 1000, 2), "count": len(took)}))
    return 0


def _flood_in_child(found: Doors, requests: int, connections: int, first: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.doors", "--client", str(found.port), found.key]
    return subprocess.Popen([*command, str(requests), str(connections), str(first)], stdout=subprocess.PIPE, text=True)


def _result(child: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = child.communicate(timeout=300)
    if child.returncode:
        raise RuntimeError("the client failed")
    return dict(json.loads(out))


# -- what is measured


def _available(found: Doors) -> int:
    return int(found.redis.hget("sms:{p0}:acct:bench", "avail") or 0)


def singles(durability: Durability, requests: int, connections: int) -> dict[str, Any]:
    """One run of single messages; raises when one was not accepted or not paid."""
    with tempfile.TemporaryDirectory() as folder, doors(durability, Path(folder)) as found:
        _result(_flood_in_child(found, WARM_UP, connections, 0))
        money = _available(found)
        before, started = (cpu_s(found.http_pid), cpu_s(found.server_pid)), time.perf_counter()
        latency = _result(_flood_in_child(found, requests, connections, WARM_UP))
        wall_s = time.perf_counter() - started
        http_s, server_s = cpu_s(found.http_pid) - before[0], cpu_s(found.server_pid) - before[1]
        if money - _available(found) != requests * PRICE_MICRO:
            raise RuntimeError("the account does not show what was accepted")
    return {
        "http_us": round(http_s / requests * 1e6, 1),
        "server_us": round(server_s / requests * 1e6, 1),
        "per_s": round(requests / wall_s),
        **{f"{name}_ms": latency[name] for name in ("p50", "p99", "max")},
    }


def batch(durability: Durability) -> dict[str, Any]:
    """One batch of 50,000 while single messages go on; raises when it was not accepted as a whole."""
    with tempfile.TemporaryDirectory() as folder, doors(durability, Path(folder)) as found:
        _result(_flood_in_child(found, WARM_UP, 4, 0))
        body = json.dumps([{"to": f"+4478{i:08d}", "text": TEXT, "class": "bulk"} for i in range(BATCH)]).encode()
        found.redis.config_set("latency-monitor-threshold", 1)
        before = cpu_s(found.http_pid), cpu_s(found.server_pid)
        answer, took_s = _post_batch(found, body)
        spent = cpu_s(found.http_pid) - before[0], cpu_s(found.server_pid) - before[1]
        steps: Any = found.redis.execute_command("LATENCY", "LATEST")  # type: ignore[no-untyped-call]
        if answer["accepted"] != BATCH:
            raise RuntimeError(f"accepted {answer['accepted']} of {BATCH}")
        beside = _flood_in_child(found, 3_000, 2, 10_000_000)
        time.sleep(0.3)
        _post_batch(found, body)
        latency = _result(beside)
    return {
        "to_202_s": round(took_s, 2),
        "http_us": round(spent[0] / BATCH * 1e6, 2),
        "server_us": round(spent[1] / BATCH * 1e6, 2),
        "longest_step_ms": max((int(most) for name, _, _, most, *_ in steps if name in _STEPS), default=0),
        "singles_meanwhile_p99_ms": latency["p99"],
        "singles_meanwhile_max_ms": latency["max"],
    }


def _post_batch(found: Doors, body: bytes) -> tuple[dict[str, Any], float]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{found.port}/v1/messages/batch",
        body,
        {"Authorization": f"Bearer {found.key}", "Content-Type": "application/json"},
    )
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.loads(answer.read())), time.perf_counter() - started


def measure(requests: int, connections: int, runs: int, durability: Durability) -> dict[str, Any]:
    """All of it, medians with least and greatest."""
    found = {
        "singles": [singles(durability, requests, connections) for _ in range(runs)],
        "batch": [batch(durability) for _ in range(runs)],
    }
    return {kind: spreads(rows, 2) for kind, rows in found.items()}


def main() -> int:
    """Command line."""
    if sys.argv[1:2] == ["--client"]:
        return client(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--durability", choices=("fsync", "everysec"), default="fsync")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    results = measure(a.requests, a.connections, a.runs, a.durability)
    if a.json:
        print(json.dumps({"machine": machine(), "server": server_version(), **results}))
        return 0
    print(f"{a.durability}, {a.connections} connections, {a.runs} runs; {server_version()}")
    for kind, rows in results.items():
        for name, row in rows.items():
            print(f"{kind:8} {name:26} {row['median']:>10}  ({row['min']} to {row['max']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
