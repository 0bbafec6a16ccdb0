"""A whole installation for tests: `dispatcher run` with its supervisor and embedded server, simulated carriers as processes,
accounts and keys, and what a test needs to look at it from outside: streams, HTTP, metrics, pid files, the audit.

It refuses to know what is tested. Nothing here reaches into the running processes; everything is what an operator, a
producer or a customer could do. Times are seconds.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import redis
import trio
from redis.backoff import NoBackoff
from redis.retry import Retry

from dispatcher.cli import main
from dispatcher.client import Reader
from dispatcher.core.model import Message
from dispatcher.store.redis import open_trio_store
from tests.process.ports import free_ports

ROOT = Path(__file__).parents[2]
ONE_CARRIER = """
[[route]]
name = "all"
[[route.group]]
carriers = [{ name = "north" }]

[[tariff]]
name = "retail"
currency = "EUR"
prices = { "" = "0.0300" }

[[carrier]]
name = "north"
"""
"""Everything over the carrier north, by one tariff; its binds follow."""
DEMO_BIND = """
[[carrier.bind]]
host = "127.0.0.1"
port = {north}
system_id = "demo"
password = "demo"
password_plain = true
"""
"""Of north, with the login that a Carrier has by itself; more of its keys may follow."""
START_S = 30.0
STOP_S = 30.0


def _lives(pid: int) -> bool:
    try:
        return bool(pid) and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def wait_for(what: str, seconds: float, test: Callable[[], Any], pause_s: float = 0.03) -> Any:
    """Polls until `test()` is true and returns that. Raises TimeoutError with `what`."""
    end = time.monotonic() + seconds
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(pause_s)


class Submission(NamedTuple):
    """One submit_sm as a carrier got it. `status` -1: not answered."""

    at: float
    number: str
    part: int
    total: int
    reference: int
    status: int
    carrier_id: str
    session: int
    text: str
    sender: str
    data_coding: int
    validity: str


class Carrier:
    """A simulated carrier's process. `scenario` is the TOML that smpp/simulator/scenario.py describes, without listen."""

    def __init__(self, directory: Path, name: str, scenario: str) -> None:
        self.name = name
        self.port = free_ports(1)[0]
        self._file = directory / f"{name}.toml"
        login = "" if "[[login]]" in scenario else '[[login]]\nsystem_id = "demo"\npassword = "demo"\n'
        self._file.write_text(f'listen = "127.0.0.1:{self.port}"\n{scenario}\n{login}')
        self._records = directory / f"{name}.records"
        self._process: subprocess.Popen[str] | None = None
        self._asking = threading.Lock()

    def start(self) -> None:
        """Returns when it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.carrier", str(self._file)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert json.loads(self._process.stdout.readline())["port"] == self.port

    def say(self, command: str) -> str:
        """One command; what it answered after `ok`."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with self._asking:
            process.stdin.write(command + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        assert answer.startswith("ok"), answer
        return answer[2:].strip()

    def stats(self) -> dict[str, Any]:
        """Its counters."""
        return dict(json.loads(self.say("stats")))

    def records(self) -> list[Submission]:
        """Everything it received, in order."""
        return self._written("records")

    def drained(self) -> list[Submission]:
        """What it received since the last time, which it then forgets."""
        return self._written("drain")

    def _written(self, word: str) -> list[Submission]:
        self.say(f"{word} {self._records}")
        return [Submission(*row) for row in json.loads(self._records.read_text())]

    def end(self) -> None:
        """Ends it; nothing happens when it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


class Answer(NamedTuple):
    """An HTTP answer with its JSON body."""

    status: int
    body: Any


class Installation:
    """One configuration, its supervisor and its carriers. A context manager: starts on entry, ends all on exit."""

    def __init__(
        self,
        directory: Path,
        carriers: Sequence[Carrier],
        config: str,
        *,
        http: str = "",
        server: str = "",
        test_control: bool = False,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`config` is TOML after [server], [http] (where `server` and `http` are put) and [metrics]; {carrier name} in it
        becomes that carrier's port. `test_control`: `advance` works. `environment` is added to the supervisor's."""
        self.directory = directory
        self._test_control = directory / "control" if test_control else None
        self.workers = workers
        self._environment = {**os.environ, **(environment or {})}
        self.carriers = {carrier.name: carrier for carrier in carriers}
        self.http_port, self.metrics_port, self.server_port = free_ports(3)
        for carrier in carriers:
            config = config.replace(f"{{{carrier.name}}}", str(carrier.port))
        self.config = directory / "dispatcher.toml"
        self.config.write_text(
            f"[server]\nembedded_port = {self.server_port}\n"
            f'data_dir = "{directory}/var"\npreflight_s = 2.0\n{server}\n\n'
            f'[http]\nlisten = "127.0.0.1:{self.http_port}"\n{http}\n\n'
            f'[metrics]\nlisten = "127.0.0.1:{self.metrics_port}"\n\n{config}'
        )
        self.url = f"redis://127.0.0.1:{self.server_port}"
        self.redis = redis.Redis(port=self.server_port, socket_timeout=5.0, retry=Retry(NoBackoff(), 0))
        self._log = (directory / "log").open("wb")
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._readers: dict[str, Reader] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {}

    # -- life

    def __enter__(self) -> Installation:
        try:
            for carrier in self.carriers.values():
                carrier.start()
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def start(self) -> None:
        """Starts the supervisor; returns when the door is open."""
        command = [sys.executable, "-m", "dispatcher", "run", "--config", str(self.config)]
        command += ["--workers", str(self.workers)]
        environment = dict(self._environment)
        if self._test_control is not None:
            command += ["--test-control", f"unix:{self._test_control}"]
            environment["DISPATCHER_TEST"] = "1"
        self._supervisor = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=environment
        )
        wait_for("the door opens", START_S, self.ready)

    def start_again(self) -> None:
        """What a service manager does when the supervisor was killed. Returns when the door is open."""
        assert self._supervisor is not None
        self._supervisor.wait(STOP_S)
        roles = (*self.engines, "http-0", "notices-0")
        wait_for("its processes have ended", STOP_S, lambda: not any(_lives(self.pid(role)) for role in roles))
        self.start()

    def restart(self) -> None:
        """What an operator does after a change of the file: stop, start."""
        self._stop()
        self.start()

    def end(self) -> None:
        """Stops everything politely; what is left after that is killed."""
        self._stop()
        for carrier in self.carriers.values():
            carrier.end()
        for reader in self._readers.values():
            reader.close()
        self.redis.close()
        self._log.close()

    def _stop(self) -> None:
        process, self._supervisor = self._supervisor, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                for role in (*self.engines, "http-0", "notices-0", "server-0"):
                    self.kill(role, missing_ok=True)
                process.kill()
                process.wait()

    def control(self, command: Mapping[str, Any]) -> Any:
        """One command of test control (dispatcher/ops/test_control.py); its answer."""
        assert self._test_control is not None, "started without test control"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(10)
            peer.connect(str(self._test_control))
            peer.sendall(json.dumps(command).encode() + b"\n")
            answer = json.loads(peer.makefile().readline())
        assert "ok" in answer, answer
        return answer["ok"]

    def advance(self, seconds: float) -> None:
        """Moves every clock of the installation forward."""
        self.control({"advance_ms": round(seconds * 1000)})

    def ready(self) -> bool:
        """Is /readyz green?"""
        return self.http("GET", "/readyz").status == 200

    def pid(self, role: str) -> int:
        """Of engine-0, http-0, server-0 or supervisor; 0 while there is none."""
        try:
            return int((self.directory / "var" / "run" / f"{role}.pid").read_text())
        except (OSError, ValueError):
            return 0

    @property
    def engines(self) -> tuple[str, ...]:
        """Roles of the engines."""
        return tuple(f"engine-{number}" for number in range(self.workers))

    def signal(self, role: str, number: int) -> int:
        """Sends one process of this installation a signal; returns its pid."""
        pid = self.pid(role)
        assert pid, f"{role} does not run"
        os.kill(pid, number)
        return pid

    def kill(self, role: str, *, missing_ok: bool = False) -> int:
        """SIGKILL of one process of this installation; returns its pid."""
        pid = self.pid(role)
        assert pid or missing_ok, f"{role} does not run"
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                assert missing_ok, f"{role} does not run"
        return pid

    def log(self) -> list[dict[str, Any]]:
        """The log lines of all processes."""
        lines = []
        for line in (self.directory / "log").read_text(errors="replace").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
        return lines

    # -- from outside

    def cli(self, *arguments: str, code: int = 0) -> Any:
        """A command's JSON, run in this process: starting Python for each would take half a second. Asserts its exit code."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            ended = main([*arguments, "--config", str(self.config), "--json"])
        assert ended == code, f"{arguments}: {ended}\n{out.getvalue()}"
        return json.loads(out.getvalue())

    def account(self, name: str, *options: str, money: str = "10000", currency: str = "EUR") -> str:
        """An account with money; returns an API key."""
        self.cli("accounts", "add", name, "--currency", currency, *options)
        if money:
            self.cli("accounts", "credit", name, money, "--id", f"first-{name}")
        return str(self.cli("keys", "create", name)["key"])

    def http(self, method: str, path: str, body: Any = None, key: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        """One request; status 0 when nobody answered. `body` bytes go as they are."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        every = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data, every, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read()
        except OSError:
            return Answer(0, None)
        try:
            return Answer(status, json.loads(text))
        except ValueError:
            return Answer(status, text)

    def scrape(self) -> dict[str, float]:
        """Samples of /metrics by name with labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        samples = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def xadd(self, sends: Iterable[Mapping[str, Any]] | Mapping[str, Any]) -> str:
        """Appends one send, or a chunk of them, as a plain Redis client does; returns the entry's id."""
        whole = sends if isinstance(sends, Mapping) else {"sends": list(sends)}
        entry: Any = self.redis.xadd("sms:sends", {"json": json.dumps(whole)})
        return str(entry.decode())

    def rows(self, stream: str) -> list[dict[str, Any]]:
        """All rows of events, charges, inbound or rejects so far, in order. While the server is away: as last seen."""
        reader = self._readers.get(stream)
        if reader is None:
            reader = self._readers[stream] = Reader(self.url, stream=stream, follow=False)  # type: ignore[arg-type]
            self._rows[stream] = []
        known = self._rows[stream]
        try:
            while found := reader.read(5000):
                known.extend(row.map for row in found)
        except redis.RedisError:
            pass
        return known

    def forget_rows(self) -> None:
        """What `rows` has shown so far is behind us: from now on it shows what comes next."""
        for known in self._rows.values():
            known.clear()

    def messages(self, ids: Sequence[str]) -> dict[str, Message]:
        """Records as the store keeps them, by id."""

        async def read() -> dict[str, Message]:
            store = await open_trio_store(self.url, "sms:")
            try:
                found: dict[str, Message] = {}
                for start in range(0, len(ids), 500):
                    for message in await store.messages(ids[start : start + 500]):
                        if message is not None:
                            found[message.id] = message
                return found
            finally:
                await store.close()

        return trio.run(read)

    def left_over(self) -> dict[str, int]:
        """What still waits on the server: queues, due set, in flight, holds, staged groups. Empty: nothing is stuck."""
        sizes: dict[str, int] = {}
        for key in self.redis.scan_iter("sms:{p0}:*", count=1000):
            kind = key.decode().removeprefix("sms:{p0}:").partition(":")[0]
            if kind in _WAITING:
                sizes[kind] = sizes.get(kind, 0) + int(getattr(self.redis, _WAITING[kind])(key))
        return {kind: size for kind, size in sizes.items() if size}


_WAITING = {"q": "llen", "due": "zcard", "inflight": "hlen", "holds": "hlen", "stage": "llen", "ring": "zcard", "body": "hlen"}
