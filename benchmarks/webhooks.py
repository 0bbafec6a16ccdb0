"""What a webhook costs: `python -m benchmarks.webhooks [--messages 5000] [--targets 4] [--runs 3]`.

The running `notices` process and the server, from rows in `events` to all of them taken by a receiver in a process of its own,
over kept connections, signed. Everything is on: tickets, the queue in the server with fsync, order, settling. A missing or
doubled event fails the run. CPU is user and system of each process per callback; the rows and tickets are there before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import httptools
import msgspec
import uvloop

from benchmarks.installation import cpu_s, wait_for
from benchmarks.speed import Speed
from dispatcher.core.customer import Account
from dispatcher.core.front import Callback, Ticket
from dispatcher.core.ids import RandomIds
from dispatcher.core.model import EVENT_COLUMNS, EventRow
from dispatcher.ops.embedded import EmbeddedServer
from dispatcher.store import resp
from dispatcher.store.redis import open_asyncio_store
from tests.process.ports import free_ports

STATES = ("queued", "submitted", "delivered")
ROWS_PER_ENTRY = 50
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODw=="
MUST_US, GOAL_US = 400, 150


class Hook(asyncio.Protocol):
    """A receiver that answers at once and remembers ids."""

    ids: ClassVar[dict[bytes, int]] = {}
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport: Any = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self.parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        if name == b"Webhook-Id":
            self.ids[value] = self.ids.get(value, 0) + 1

    def on_message_complete(self) -> None:
        """See httptools."""
        self.transport.write(self.answer)


async def receive(ports: int) -> None:
    """The receiver's process: says its ports, then answers each line on stdin with its counts."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Hook, "127.0.0.1", 0) for _ in range(ports)]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps([len(Hook.ids), sum(Hook.ids.values())]), flush=True)


async def fill(url: str, messages: int, ports: list[int]) -> None:
    """Tickets and rows of `messages` messages, spread over the receivers."""
    store = await open_asyncio_store(url)
    await store.put_account(Account(name="bench", currency="EUR", callback_secret=SECRET))
    at = time.time_ns() // 1_000_000
    ids = RandomIds(bytes).make(at, messages)
    for i, message in enumerate(ids):
        callback = Callback(url=f"http://127.0.0.1:{ports[i % len(ports)]}/hook")
        await store.put_ticket(message, Ticket(door="native", account="bench", callback=callback))
    for state in STATES:
        for start in range(0, messages, ROWS_PER_ENTRY):
            rows = [
                EventRow(i, "", "ref", "bench", "0123456789abcdef", "otp", state, 1, "c", None, 1, False, None, at)
                for i in ids[start : start + ROWS_PER_ENTRY]
            ]
            wire = ("XADD", store.k.events, "*", "v", 1, "cols", EVENT_COLUMNS, "rows", msgspec.msgpack.encode(rows))
            await store.ask("desk", resp.of(*wire), 1)
    await store.close()


def measure(messages: int, targets: int) -> dict[str, float]:
    """One run. Raises AssertionError when an event is missing or came twice."""
    folder = Path(tempfile.mkdtemp(prefix="hooks"))
    server = EmbeddedServer(folder / "server", port=free_ports(1)[0], durability="fsync")
    server.start()
    hook = notices = None
    speed = Speed()
    try:
        command = [sys.executable, "-m", "benchmarks.webhooks"]
        hook = subprocess.Popen([*command, "--receive", str(targets)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        to_hook, from_hook = hook.stdin, hook.stdout
        assert to_hook is not None
        assert from_hook is not None
        ports = json.loads(from_hook.readline())
        config = folder / "dispatcher.toml"
        config.write_text(
            f'[server]\nurl = "{server.url}"\ndata_dir = "{folder}/var"\n[metrics]\nlisten = "127.0.0.1:{free_ports(1)[0]}"\n'
            '[notices]\nallow_insecure = true\nallow_networks = ["127.0.0.0/8"]\n',
            encoding="utf-8",
        )
        asyncio.run(fill(server.url, messages, ports))
        server_before = cpu_s(server.pid)
        with (folder / "log").open("wb") as log:
            run = [sys.executable, "-m", "dispatcher", "run", "--role", "notices", "--config", str(config)]
            notices = subprocess.Popen(run, stdout=log, stderr=log)
        wanted = messages * len(STATES)

        def count() -> list[int]:
            to_hook.write("?\n")
            to_hook.flush()
            speed.sample()
            return list(json.loads(from_hook.readline()))

        wait_for("the first calls", 30, lambda: count()[0] > 0)
        started, first, before = time.monotonic(), count()[0], cpu_s(notices.pid)
        wait_for("all calls", 120, lambda: count()[0] >= wanted)
        took = time.monotonic() - started
        time.sleep(0.3)
        unique, every = count()
        assert (unique, every) == (wanted, wanted), f"{unique} of {wanted} events, {every} calls"
        done = wanted - first
        return {
            "notices_us": round((cpu_s(notices.pid) - before) / done * 1e6, 1),
            "server_us": round((cpu_s(server.pid) - server_before) / wanted * 1e6, 1),
            "wall_per_s": round(done / took),
            "slowdown": speed.slowdown(),
        }
    finally:
        for process in (notices, hook):
            if process is not None:
                process.send_signal(signal.SIGTERM)
                process.wait(15)
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Command line. 1 when the budget of a callback is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--targets", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--receive", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.receive:
        uvloop.run(receive(options.receive))
        return 0
    rows = [measure(options.messages, options.targets) for _ in range(options.runs)]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    median = statistics.median(row["notices_us"] for row in rows)
    print(f"{median:.0f} us of the notices process a callback (must {MUST_US}, goal {GOAL_US}); none lost, none doubled")
    return 0 if median <= MUST_US else 1


if __name__ == "__main__":
    sys.exit(main())
