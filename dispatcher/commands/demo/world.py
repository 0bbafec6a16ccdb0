"""The demo's processes: three simulated carriers and the real `dispatcher run`, on free ports, in one directory.

It refuses to know what is sent. Whatever it starts it ends: politely first, by force after a while, and last whatever a
pid file of its own directory still names (a killed supervisor leaves its server on purpose; here nobody wants it).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from dispatcher.ops.errors import OpsError

Sample = Callable[..., int]
"""Reads a counter (its name without _total) and labels out of one scrape: the sum of what fits."""
CARRIERS = ("swift", "steady", "premium")
LOG_LINES = 12
START_S = 25.0
STOP_S = 20.0
AT_ONCE_S = 3.0
HURRY_S = 2.0
"""How long an interrupted demo lets its processes drain."""
COUNTS_S = 5.0
"""Processes write their counts once a second; so long a scrape may lag behind the records."""
_HERE = Path(__file__).parent
_POLL_S = 0.05


class Ports(NamedTuple):
    """Where the service listens on 127.0.0.1."""

    server: int
    http: int
    metrics: int


DEFAULTS = Ports(6390, 8080, 9464)


class Failed(OpsError):
    """The demo cannot go on. `log` are the last lines of the process that is to blame, if one is."""

    def __init__(self, what: str, remedy: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(what, remedy)
        self.log = log


class Process:
    """One process of ours, in a session of its own: a Ctrl-C at the terminal reaches us alone, and we end it in order."""

    def __init__(self, name: str, arguments: list[str], directory: Path) -> None:
        self.name = name
        self.log_path = directory / f"{name}.log"
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def first_line(self) -> str:
        """Its first line on stdout, "" when it ended before."""
        assert self._process.stdout is not None  # noqa: S101 - Popen was told PIPE
        return self._process.stdout.readline().decode(errors="replace").strip()

    def last_line(self) -> str:
        """Ends it, and gives the last line that it wrote to stdout, "" when there is none."""
        assert self._process.stdout is not None  # noqa: S101 - Popen was told PIPE
        self._process.terminate()
        lines = self._process.stdout.read().decode(errors="replace").strip().splitlines()
        self.end()
        return lines[-1] if lines else ""

    def check(self) -> None:
        """Raises Failed when it has ended."""
        status = self._process.poll()
        if status is not None:
            raise self.failed(f"{self.name} ended with status {status}")

    def failed(self, what: str) -> Failed:
        """The error for something this process is to blame for."""
        return Failed(what, "see its last words", self.last_words())

    def last_words(self) -> tuple[str, ...]:
        """The end of its log."""
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ()
        return tuple(f"{self.name}: {line}" for line in lines[-LOG_LINES:] or ("(it wrote nothing)",))

    def end(self, patience_s: float = STOP_S) -> int:
        """SIGTERM; another one after `patience_s`, which means "at once"; then SIGKILL. Returns its exit status."""
        for patience in (patience_s, AT_ONCE_S):
            if self._process.poll() is None:
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)
        if self._process.poll() is None:
            self._process.kill()
        status = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return status


class Carrier(Process):
    """A simulated carrier as a process of its own, steered over its control socket."""

    def __init__(self, name: str, directory: Path) -> None:
        self._control = directory / f"{name}.socket"
        scenario = _HERE / f"{name}.toml"
        super().__init__(name, ["smpp.simulator", "--scenario", str(scenario), "--control", f"unix:{self._control}"], directory)
        self.port = 0

    def wait_port(self) -> None:
        """Learns its port. Raises Failed."""
        line = self.first_line()
        try:
            self.port = int(json.loads(line)["port"])
        except (ValueError, KeyError, TypeError):
            raise self.failed(f"the carrier {self.name} did not start") from None

    def command(self, line: str) -> str:
        """Sends one control line; returns what follows `ok`. Raises Failed."""
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(5.0)
                control.connect(str(self._control))
                control.sendall(f"{line}\n".encode())
                answer = control.makefile("rb").readline().decode().strip()
        except OSError as error:
            raise self.failed(f"the carrier {self.name} does not obey ({type(error).__name__})") from None
        if not answer.startswith("ok"):
            raise self.failed(f"the carrier {self.name} answers {line!r} with {answer!r}")
        return answer[2:].strip()

    def stats(self) -> dict[str, Any]:
        """What it has counted. Raises Failed."""
        counts: dict[str, Any] = json.loads(self.command("stats"))
        return counts


class World:
    """All processes, and the directory they live in. Use as a context manager: leaving it ends everything."""

    def __init__(self, directory: Path, *, prefer_defaults: bool) -> None:
        self.directory = directory
        self.ports = _ports(prefer_defaults)
        self.config_path = directory / "dispatcher.toml"
        self.data_dir = directory / "data"
        self.carriers: dict[str, Carrier] = {}
        self.service: Process | None = None

    def start_carriers(self) -> None:
        """Starts the carriers, all at once. Raises Failed."""
        for name in CARRIERS:
            self.carriers[name] = Carrier(name, self.directory)
        for carrier in self.carriers.values():
            carrier.wait_port()

    def configure(self) -> None:
        """Writes the configuration file."""
        values: dict[str, Any] = {f"{name}_port": carrier.port for name, carrier in self.carriers.items()}
        values |= {f"{name}_port": port for name, port in self.ports._asdict().items()}
        template = Template((_HERE / "dispatcher.toml").read_text(encoding="utf-8"))
        self.config_path.write_text(template.substitute(values, data_dir=self.data_dir), encoding="utf-8")

    def start_service(self, *options: str) -> None:
        """Starts `dispatcher run` and returns when /readyz says so. Raises Failed."""
        command = ["dispatcher", "run", "--config", str(self.config_path), *options]
        self.service = Process("dispatcher", command, self.directory)
        until = time.monotonic() + START_S
        seen = "no answer"
        while time.monotonic() < until:
            self.service.check()
            status, body = self.get(self.ports.http, "/readyz")
            if status == 200:
                return
            seen = f"{status} {body.decode(errors='replace')[:200]}" if status else seen
            time.sleep(_POLL_S)
        raise self.service.failed(f"the service is not ready after {START_S:g} s ({seen})")

    def get(self, port: int, path: str) -> tuple[int, bytes]:
        """A GET on 127.0.0.1; status 0 when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def counts(self, settled: Callable[[Sample], bool]) -> Sample:
        """The counters as Prometheus would read them, once they are `settled`, or as they are after COUNTS_S. Raises Failed
        when a process ends meanwhile."""
        until = time.monotonic() + COUNTS_S
        while True:
            sample = self._sample()
            if settled(sample) or time.monotonic() > until:
                return sample
            self.check()
            time.sleep(0.2)

    def _sample(self) -> Sample:
        from prometheus_client.parser import text_string_to_metric_families

        _, body = self.get(self.ports.metrics, "/metrics")
        samples = [sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples]

        def read(counter: str, **labels: str) -> int:
            return int(sum(s.value for s in samples if s.name == f"{counter}_total" and labels.items() <= s.labels.items()))

        return read

    def check(self) -> None:
        """Raises Failed when a process has ended that should live."""
        for process in self._processes():
            process.check()

    def stop(self, patience_s: float = STOP_S) -> dict[str, int]:
        """Ends the service, then the carriers; returns exit statuses by name."""
        statuses = {process.name: process.end(patience_s) for process in self._processes()}
        self.service = None
        self.carriers = {}
        return statuses

    def _processes(self) -> list[Process]:
        return [*([self.service] if self.service else []), *self.carriers.values()]

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        signals = (signal.SIGINT, signal.SIGTERM) if self._processes() else ()
        before = [signal.signal(each, signal.SIG_IGN) for each in signals]  # a second Ctrl-C would leave orphans behind
        self.stop(HURRY_S)
        for path in self.data_dir.glob("run/*.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGKILL)
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


def _ports(prefer_defaults: bool) -> Ports:
    chosen: list[int] = []
    held: list[socket.socket] = []
    for default in DEFAULTS:
        probe = socket.socket()
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.append(probe)  # held until all are chosen, so that no port is given twice
        try:
            probe.bind(("127.0.0.1", default if prefer_defaults else 0))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        chosen.append(probe.getsockname()[1])
    for probe in held:
        probe.close()
    return Ports(*chosen)
