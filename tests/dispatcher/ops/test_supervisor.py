"""`dispatcher run` as a whole: real processes over a simulated carrier, killed one by one, and what survives."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli import main
from dispatcher.ops.embedded import EmbeddedServer, _alive
from tests.process.ports import free_ports

ROOT = Path(__file__).parents[3]
PATIENCE_S = 30.0

pytestmark = pytest.mark.process


def _until(ready: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        value = ready()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE_S:g} s: {what}")


class Installation:
    """A configuration with free ports, a simulator, and the supervisor's process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        smsc, self.http, self.metrics, self.server = free_ports(4)
        text = (ROOT / "deploy" / "dispatcher.toml").read_text()
        for old, new in (("2775", smsc), ("8080", self.http), ("9464", self.metrics), ("6390", self.server)):
            text = text.replace(f":{old}", f":{new}").replace(f"port = {old}", f"port = {new}")
        text = text.replace('data_dir = "var"', f'data_dir = "{directory}/var"\npreflight_s = 0.3')
        self.config = directory / "dispatcher.toml"
        self.config.write_text(text)
        (directory / "tariff.csv").write_bytes((ROOT / "deploy" / "tariff.csv").read_bytes())
        self.log = (directory / "log").open("wb")
        self.smsc = self._start("smsc", "--listen", f"127.0.0.1:{smsc}")
        self.supervisor: subprocess.Popen[bytes] | None = None

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dispatcher", *arguments, "--config", str(self.config)]
        return subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, start_new_session=True)

    def run(self) -> None:
        """Starts the supervisor and waits until the door is open and the bind bound."""
        self.supervisor = self._start("run")
        _until(self.ready, "ready and bound")

    def ready(self) -> bool:
        """True when /readyz is green and the metrics show a bound bind."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=2) as answer:
                green = answer.status == 200
            return green and 'state="bound"} 1.0' in self.scrape()
        except OSError:
            return False

    def scrape(self) -> str:
        """The metrics now."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=2) as answer:
            return str(answer.read().decode())

    def pid(self, process: str) -> int:
        """From the pid file, 0 while there is none."""
        try:
            return int((self.directory / "var" / "run" / f"{process}.pid").read_text())
        except (OSError, ValueError):
            return 0

    def end(self) -> None:
        """Stops everything, politely; whatever is left after that is killed."""
        for process in (self.supervisor, self.smsc):
            if process is not None:
                process.terminate()
                try:
                    process.wait(PATIENCE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        pid = self.pid("server-0")
        if pid and _alive(pid):
            os.kill(pid, signal.SIGKILL)
        self.log.close()


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """Not yet running."""
    made = Installation(tmp_path)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def cli(installation: Installation, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command and decodes its JSON."""

    def run(*arguments: str) -> Any:
        code = main([*arguments, "--config", str(installation.config), "--json"])
        shown = capsys.readouterr()
        assert code == 0, shown
        return json.loads(shown.out)

    return run


def test_one_life_of_an_installation(installation: Installation, cli: Callable[..., Any]) -> None:
    """Sends arrive, each killed process is back in half a second, counters do not go back, and Ctrl-C drains all, in order."""
    installation.run()
    cli("accounts", "add", "acme", "--currency", "EUR", "--tariff", "standard")
    cli("accounts", "credit", "acme", "10")
    first = cli("send", "+22241234567", "hello")["id"]
    _until(lambda: cli("status", first)["state"] == "delivered", "delivered")
    delivered = 'dispatcher_final_total{class="transactional",state="delivered"}'
    _until(lambda: f"{delivered} 1.0" in installation.scrape(), "counted")
    for process in ("engine-0", "http-0", "server-0"):
        old = installation.pid(process)
        killed = time.monotonic()
        os.kill(old, signal.SIGKILL)
        _until(lambda process=process, old=old: installation.pid(process) not in (0, old), f"{process} is back")
        assert time.monotonic() - killed < 1.0
    assert f"{delivered} 1.0" in installation.scrape()
    second = cli("send", "+22241234567", "again", "--wait", "20")["id"]
    _until(lambda: cli("status", second)["state"] == "delivered", "delivered after the kills")
    _until(lambda: f"{delivered} 2.0" in installation.scrape(), "one sum over both lives")
    _until(installation.ready, "the door is open again")
    assert all(check["ok"] for check in cli("doctor"))
    assert cli("ledger", "audit")["ok"]
    assert [event.split()[1] for event in _states(cli, second)] == ["queued", "submitted", "delivered"]
    _breach(installation)
    pids = [installation.pid(name) for name in ("engine-0", "http-0", "server-0")]
    before = (installation.directory / "log").read_bytes()
    assert installation.supervisor is not None
    assert installation.supervisor.pid not in {os.getpgid(pid) for pid in pids}
    os.killpg(installation.supervisor.pid, signal.SIGINT)  # what Ctrl-C in a terminal does: the whole group gets it
    assert installation.supervisor.wait(PATIENCE_S) == 0
    log = (installation.directory / "log").read_bytes().removeprefix(before)
    assert b"_died" not in log
    assert b'"event":"engine_stopped"' in log
    assert b"Traceback" not in before + log
    assert [pid for pid in pids if _alive(pid)] == []
    assert list((installation.directory / "var" / "run").glob("*.pid")) == []


def _breach(installation: Installation) -> None:
    """A server setting that breaks P1, changed at run time, is noticed by door and engine; mended, they open again."""
    kept = 'dispatcher_promise_kept{promise="P1"}'
    with EmbeddedServer(installation.directory / "var" / "server", port=installation.server).client() as client:
        client.config_set("appendfsync", "no")
        _until(lambda: f"{kept} 0.0" in installation.scrape(), "the metric says it")
        _until(lambda: not installation.ready(), "the door is shut")
        client.config_set("appendfsync", "always")
        _until(lambda: f"{kept} 1.0" in installation.scrape() and installation.ready(), "kept again")


def _states(cli: Callable[..., Any], message_id: str) -> list[str]:
    return [f"{event['at']} {event['state']}" for event in cli("replay", message_id)["events"]]


def test_a_killed_supervisor_leaves_no_orphans_and_its_heir_adopts_the_server(
    installation: Installation, cli: Callable[..., Any]
) -> None:
    """Its roles end by themselves, the server stays, the next supervisor takes it over with everything in it."""
    installation.run()
    cli("accounts", "add", "acme", "--currency", "EUR")
    roles = [installation.pid("engine-0"), installation.pid("http-0")]
    server = installation.pid("server-0")
    assert installation.supervisor is not None
    installation.supervisor.kill()
    installation.supervisor.wait()
    _until(lambda: not [pid for pid in roles if _alive(pid)], "roles ended")
    assert _alive(server)
    installation.run()
    assert installation.pid("server-0") == server
    assert [account["account"] for account in cli("accounts", "list")] == ["acme"]


def _refused(installation: Installation) -> str:
    command = [sys.executable, "-m", "dispatcher", "run", "--config", str(installation.config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_a_second_supervisor_is_refused(installation: Installation) -> None:
    """Two over one data directory would stop each other's server; the first one runs on."""
    installation.run()
    assert "a dispatcher already runs" in _refused(installation)
    assert installation.ready()
    assert installation.pid("supervisor") != 0


def test_a_taken_port_is_named(installation: Installation) -> None:
    """The setting, its value and the remedy; the server that was started is stopped again."""
    with socket.create_server(("127.0.0.1", installation.http)):
        assert f"http.listen = '127.0.0.1:{installation.http}' cannot be used" in _refused(installation)
    assert installation.pid("server-0") == 0
