"""Fixtures of the whole suite: one real server per session, on a unix socket, and fresh ones for tests that kill theirs.

And the order of the suite, so that no worker is left alone with something long at the end.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import redis

from dispatcher.ops.embedded import find_binary

ROOT = Path(__file__).parent
HEAVY = ("process", "world", "contract")
"""Rooms whose files take long and use the processor; those of other rooms mostly wait, or are short."""
LIGHT_PER_HEAVY = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Heavy files from the first on, light ones between them: neither are the cores idle while everybody waits, nor does a
    long file begin last. xdist hands out files in this order (Makefile)."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path.relative_to(ROOT), []).append(item)
    heavy = sorted((file for file in files if file.parts[0] in HEAVY), key=lambda file: HEAVY.index(file.parts[0]))
    light = iter(sorted((file for file in files if file.parts[0] not in HEAVY), key=lambda file: file.parts[0] != "dispatcher"))
    order = [file for each in heavy for file in (each, *islice(light, LIGHT_PER_HEAVY))]
    items[:] = [item for file in (*order, *light) for item in files[file]]


class RealServer:
    """A Redis or Valkey process of this test run. `kill` is SIGKILL; `start` again finds the same data."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self.directory = directory
        self.durable = durable
        self.socket = directory / "s"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What stores are opened with."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Returns when it answers."""
        keep = ["--appendonly", "yes", "--appendfsync", "always"] if self.durable else ["--appendonly", "no"]
        self.process = subprocess.Popen(
            [
                str(find_binary()),
                "--port",
                "0",
                "--unixsocket",
                str(self.socket),
                "--dir",
                str(self.directory),
                "--save",
                "",
                *keep,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                with self.client() as client:
                    if client.ping():
                        return
            except redis.exceptions.RedisError:
                time.sleep(0.01)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        """Ends it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self) -> redis.Redis:
        """A plain client for looking at what is there. Use it as a context manager."""
        return redis.Redis(unix_socket_path=str(self.socket))


def _served(*, durable: bool) -> Iterator[RealServer]:
    directory = Path(tempfile.mkdtemp(prefix="sms"))  # short: a socket's path has at most 100 bytes
    server = RealServer(directory, durable=durable)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RealServer]:
    """One server for everybody, without files. Flush it or use a prefix of your own."""
    yield from _served(durable=False)


@pytest.fixture
def server(shared_server: RealServer) -> RealServer:
    """The shared server, empty."""
    with shared_server.client() as client:
        client.flushall()
    return shared_server


@pytest.fixture
def durable_server() -> Iterator[RealServer]:
    """A server of the test's own that fsyncs every write."""
    yield from _served(durable=True)
