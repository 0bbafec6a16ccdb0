"""A whole dispatcher for a benchmark: server, sink and engine as processes of their own, and what each has spent.

CPU is user + system of all threads, from /proc (Linux) in clock ticks of 10 ms: runs must be long enough for that.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import redis

from dispatcher.commands.load.processes import cpu_s, rss_mb
from dispatcher.ops.embedded import EmbeddedServer, find_binary
from tests.process.ports import free_ports

__all__ = ["Bench", "Durability", "cpu_s", "installation", "machine", "rss_mb", "server_version", "wait_for"]
Durability = Literal["fsync", "everysec"]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": platform.platform(),
        "commit": commit,
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _config(port: int, sink_port: int, durability: Durability, binds: int, window: int, folder: Path) -> Path:
    path = folder / "dispatcher.toml"
    path.write_text(
        f"""[server]
url = "redis://127.0.0.1:{port}/0"
durability = "{durability}"
data_dir = "{folder}"

[http]
processes = 0

[metrics]
listen = "127.0.0.1:{free_ports(1)[0]}"

[[carrier]]
name = "sink"
cost = "cost"

[[carrier.bind]]
host = "127.0.0.1"
port = {sink_port}
system_id = "bench"
password = "bench"
password_plain = true
sessions = {binds}
window = {window}

[[route]]
name = "all"
[[route.group]]
carriers = [{{name = "sink"}}]

[[tariff]]
name = "price"
currency = "EUR"
prices = {{"" = "0.0300"}}

[[tariff]]
name = "cost"
currency = "EUR"
prices = {{"" = "0.0100"}}
""",
        encoding="utf-8",
    )
    return path


class Bench:
    """The running processes; `redis` talks to the server."""

    def __init__(
        self, server: EmbeddedServer, sink: subprocess.Popen[str], engine: subprocess.Popen[bytes], port: int, config: Path
    ) -> None:
        self.server, self.sink, self.engine, self.config = server, sink, engine, config
        self.port = port
        self.redis = redis.Redis(port=port)
        self.server_pid = int(self.redis.info("server")["process_id"])

    def finals(self) -> int:
        """Messages that the engine's own events say are delivered, counted over the whole stream."""
        return len(self.rows("events", "state", "delivered"))

    def rows(self, stream: str, column: str, wanted: str) -> list[str]:
        """Ids (or facts) of all rows of an out stream whose `column` is `wanted`."""
        import msgspec

        found: list[str] = []
        last = "-"
        while True:
            entries: Any = self.redis.xrange(f"sms:{{p0}}:{stream}", min=last, count=2000)
            for _, fields in entries:
                columns = fields[b"cols"].decode().split(",")
                at, key = columns.index(column), 0
                found += [row[key] for row in msgspec.msgpack.decode(fields[b"rows"]) if row[at] == wanted]
            if len(entries) < 2000:
                return found
            last = "(" + entries[-1][0].decode()


@contextmanager
def installation(
    durability: Durability, *, binds: int, window: int, folder: Path, receipt_delay_s: float = 0.0
) -> Iterator[Bench]:
    """Starts all, yields, and ends what it started. `folder` must be empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = free_ports(1)[0]
    server = EmbeddedServer(folder / "server", port=port, durability=durability)
    server.start()
    sink = engine = None
    try:
        sink = subprocess.Popen(
            [sys.executable, "-m", "smpp.sink", "--receipt-delay", str(receipt_delay_s)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert sink.stdout is not None
        sink_port = json.loads(sink.stdout.readline())["port"]
        config = _config(port, sink_port, durability, binds, window, folder)
        command = [sys.executable, "-m", "dispatcher"]
        subprocess.run(
            [*command, "accounts", "add", "bench", "--currency", "EUR", "--config", str(config)],
            check=True,
            capture_output=True,
        )
        subprocess.run(
            [*command, "accounts", "credit", "bench", "1000000", "--config", str(config)], check=True, capture_output=True
        )
        with (folder / "engine.log").open("wb") as log:
            engine = subprocess.Popen(
                [*command, "run", "--role", "engine", "--config", str(config)], stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        yield Bench(server, sink, engine, port, config)
    finally:
        for process in (engine, sink):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        server.stop()


def wait_for(what: str, seconds: float, test: Any) -> None:
    """Polls until `test()` is true. Raises TimeoutError with `what`."""
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def server_version() -> str:
    """The server binary that is used, with its version."""
    return subprocess.run([str(find_binary()), "--version"], capture_output=True, text=True, check=True).stdout.strip()
