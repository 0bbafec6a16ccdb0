"""The job that everybody gets: messages one by one over HTTP, out over SMPP, a receipt for each, one callback for each receipt.

It refuses to know who does it. The carrier is smpp/sink.py over four sessions with a window of 50; requests come over kept
connections from a process of its own, callbacks go to a receiver in another one. CPU is user + system of all processes of
the peer, the server it keeps its state in included; carrier, requests and receiver are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import httptools
import uvloop

from dispatcher.commands.load.processes import cpu_s

SESSIONS, WINDOW = 4, 50
TEXT = "The quick brown fox jumps over the lazy dog and runs away through the gate, far into the wood"
QUIET_S = 10.0
"""Nothing came for so long: the rest is lost."""


class Sides(NamedTuple):
    """Ports of the carrier and of the receiver of callbacks."""

    carrier: int
    receiver: int


class Peer(NamedTuple):
    """Somebody who does the job. `request`: HTTP with NUMBER in the place of a number and LENGTH of the body's length."""

    name: str
    version: str
    port: int
    request: str
    pids: Callable[[], list[int]]


# -- the receiver, a process of its own


class Receiver(asyncio.Protocol):
    """Answers every callback at once and counts them."""

    count: ClassVar[int] = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport: Any = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        """See httptools. The body is what Jasmin wants to read; nobody minds it."""
        Receiver.count += 1
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nACK/Jasmin")
        if not self.parser.should_keep_alive():
            self.transport.close()


async def _receive() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps({"count": Receiver.count}), flush=True)


# -- the requests, a process of its own


async def _body(reader: asyncio.StreamReader, head: bytes) -> None:
    if b"transfer-encoding: chunked" not in head:
        await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0))
        return
    while size := int(await reader.readline(), 16):
        await reader.readexactly(size + 2)
    await reader.readline()


async def _ask(port: int, request: str, count: int, connections: int, first: int) -> dict[str, Any]:
    numbers = iter(range(first, first + count))
    refused: dict[str, int] = {}

    async def talk() -> None:
        reader = writer = None
        for number in numbers:
            for again in (True, False):  # a peer may close a kept connection at any time
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                assert reader is not None
                head, _, body = request.replace("NUMBER", str(447_900_000_000 + number % 10_000_000)).partition("\n\n")
                head = head.replace("\n", "\r\n").replace("LENGTH", str(len(body)))
                writer.write(f"{head}\r\n\r\n{body}".encode())
                try:
                    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
                except (asyncio.IncompleteReadError, ConnectionError):
                    writer = None
                    if not again:
                        raise
                    continue
                await _body(reader, answer.lower())
                status = answer[9:12].decode()
                if status not in {"200", "202"}:
                    refused[status] = refused.get(status, 0) + 1
                if b"connection: close" in answer.lower():
                    writer.close()
                    writer = None
                break

    await asyncio.gather(*(talk() for _ in range(connections)))
    return {"asked": count, "refused": refused}


# -- the job


class Sidelines:
    """Carrier and receiver, running. Both count from their start."""

    def __init__(self) -> None:
        self._sink = subprocess.Popen([sys.executable, "-m", "smpp.sink"], stdout=subprocess.PIPE, text=True)
        self._receiver = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.job", "receive"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._sink.stdout is not None
        assert self._receiver.stdout is not None
        self.sides = Sides(
            json.loads(self._sink.stdout.readline())["port"], json.loads(self._receiver.stdout.readline())["port"]
        )

    def callbacks(self) -> int:
        """So many have come."""
        assert self._receiver.stdin is not None
        assert self._receiver.stdout is not None
        self._receiver.stdin.write("?\n")
        self._receiver.stdin.flush()
        return int(json.loads(self._receiver.stdout.readline())["count"])

    def taken(self) -> int:
        """Ends the carrier; so many segments it took."""
        self._sink.terminate()
        out, _ = self._sink.communicate(timeout=10)
        return int(json.loads(out.strip().splitlines()[-1])["submits"])

    def stop(self) -> None:
        """Ends both."""
        for process in (self._sink, self._receiver):
            if process.poll() is None:
                process.terminate()
                process.wait(10)


@contextmanager
def sidelines() -> Iterator[Sidelines]:
    """Carrier and receiver while the block runs."""
    found = Sidelines()
    try:
        yield found
    finally:
        found.stop()


def _flood(peer: Peer, count: int, connections: int, first: int) -> subprocess.Popen[str]:
    words = [str(peer.port), str(count), str(connections), str(first)]
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peers.job", "ask", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    child.stdin.write(peer.request)
    child.stdin.close()
    child.stdin = None
    return child


def _wait(sides: Sidelines, wanted: int) -> tuple[int, float]:
    """Callbacks when all have come or nothing came any more, and when the last one came."""
    count, last = sides.callbacks(), time.monotonic()
    while count < wanted and time.monotonic() - last < QUIET_S:
        time.sleep(0.05)
        if (now := sides.callbacks()) != count:
            count, last = now, time.monotonic()
    return count, last


def do(peer: Peer, sides: Sidelines, messages: int, *, warm_up: int, connections: int = 32) -> dict[str, Any]:
    """The job once, after a warm-up; what it cost and what was lost."""
    _flood(peer, warm_up, connections, 0).communicate(timeout=300)
    _wait(sides, warm_up)
    before, started = {pid: cpu_s(pid) for pid in peer.pids()}, time.monotonic()
    child = _flood(peer, messages, connections, warm_up)
    out, _ = child.communicate(timeout=900)
    if child.returncode:
        raise RuntimeError(f"the requests to {peer.name} failed")
    callbacks, last = _wait(sides, warm_up + messages)
    spent = sum(cpu_s(pid) - before.get(pid, 0.0) for pid in peer.pids())
    asked, taken = json.loads(out), sides.taken()
    total = warm_up + messages
    return {
        "peer": peer.name,
        "version": peer.version,
        "messages": messages,
        "cpu_us": round(spent / messages * 1e6),
        "per_s": round(messages / (last - started)),
        "refused": sum(asked["refused"].values()),
        "statuses": asked["refused"],
        "taken": taken,
        "callbacks": callbacks,
        "lost": total - min(taken, callbacks) - sum(asked["refused"].values()),
        "doubled": max(0, taken - total) + max(0, callbacks - total),
    }


def folder(name: str) -> Path:
    """A new empty directory for a peer's files."""
    import tempfile

    return Path(tempfile.mkdtemp(prefix=f"peer-{name}-"))


def main() -> int:
    """The two child processes: `receive`, and `ask PORT COUNT CONNECTIONS FIRST` with the request on stdin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("receive", "ask"))
    parser.add_argument("numbers", nargs="*", type=int)
    options = parser.parse_args()
    if options.what == "receive":
        uvloop.run(_receive())
        return 0
    port, count, connections, first = options.numbers
    print(json.dumps(uvloop.run(_ask(port, sys.stdin.read(), count, connections, first))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
