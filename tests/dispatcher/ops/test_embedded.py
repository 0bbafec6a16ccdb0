"""The embedded server on real processes: started, killed, adopted, never confused with a stranger's."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.ops import embedded
from dispatcher.ops.embedded import EmbeddedError, EmbeddedServer, find_binary


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A running server over its own directory."""
    with EmbeddedServer(tmp_path / "data") as running:
        yield running


def _die(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_it_keeps_the_promise_settings(server: EmbeddedServer) -> None:
    """Every line of the durability profile is in force in the running server."""
    with server.client() as client:
        wanted = {
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            "aof-use-rdb-preamble": "yes",
            "maxmemory-policy": "noeviction",
            "save": "",
            "bind": "127.0.0.1",
            "protected-mode": "yes",
        }
        assert {key: client.config_get(key)[key] for key in wanted} == wanted


def test_everysec_is_a_choice(tmp_path: Path) -> None:
    """durability = "everysec" sets the append policy and nothing else."""
    with EmbeddedServer(tmp_path, unixsocket=tmp_path / "s", durability="everysec") as server, server.client() as client:
        assert server.url == f"unix://{tmp_path / 's'}"
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("port") == {"port": "0"}


def test_a_killed_server_keeps_its_data(tmp_path: Path) -> None:
    """After SIGKILL and a new start over the same directory, what was answered is there (P1)."""
    server = EmbeddedServer(tmp_path)
    server.start()
    with server.client() as client:
        for number in range(200):
            client.rpush("q", number)
    _die(server.pid)
    while server.running:
        time.sleep(0.01)
    server.start()
    with server.client() as client:
        assert client.llen("q") == 200
    server.stop()


def test_a_server_left_by_a_killed_supervisor_is_adopted(server: EmbeddedServer) -> None:
    """The second owner finds the first one's server, keeps its process, and can stop it."""
    heir = EmbeddedServer(server.data_dir, port=server.port)
    heir.start()
    assert (heir.adopted, heir.pid) == (True, server.pid)
    heir.stop()
    assert not heir.running
    until = time.monotonic() + 5
    while server.running and time.monotonic() < until:  # its threads may outlive its leader, which is seen gone, for a moment
        time.sleep(0.01)
    assert not server.running


def test_a_foreign_server_on_the_port_is_refused(server: EmbeddedServer, tmp_path: Path) -> None:
    """A server with another data directory is named as foreign and left alone."""
    with pytest.raises(EmbeddedError, match=r"something else already listens .*embedded_port"):
        EmbeddedServer(tmp_path / "other", port=server.port).start()
    assert server.running


def test_a_foreign_listener_on_the_port_is_refused(tmp_path: Path) -> None:
    """Also when what listens does not speak the protocol."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(EmbeddedError, match="already listens"):
            EmbeddedServer(tmp_path, port=listener.getsockname()[1]).start()


def test_stop_is_clean_and_repeatable(tmp_path: Path) -> None:
    """stop() ends the process it started; a second stop does nothing."""
    server = EmbeddedServer(tmp_path)
    server.start()
    pid = server.pid
    server.stop()
    server.stop()
    assert not embedded._alive(pid)


def test_an_old_binary_on_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redis-server older than 7 is not used; the packaged binary is."""
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0:0'\n")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() != old
    old.write_text("#!/bin/sh\necho 'Redis server v=7.0.15 sha=0:0'\n")
    embedded.binary_version.cache_clear()
    assert find_binary() == old


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A broken append-only file ends the start with the server's own last words, and leaves no process."""
    server = EmbeddedServer(tmp_path)
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(EmbeddedError, match="ended with status"):
        server.start()
    assert not server.running
