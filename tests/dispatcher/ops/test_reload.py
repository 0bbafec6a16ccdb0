"""What a reload may change, and how whoever asks learns its outcome."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from dispatcher.core.settings import Settings
from dispatcher.ops import reload
from dispatcher.ops.errors import OpsError

DEAF = "import signal, time; signal.signal(signal.SIGHUP, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        ({}, []),
        ({"engine": {"lease_s": 9.0}, "http": {"body_bytes_max": 1000}, "notices": {"concurrency": 7}}, []),
        ({"server": {"data_dir": "elsewhere", "embedded_port": 7000}}, ["server.embedded_port", "server.data_dir"]),
        ({"http": {"listen": "127.0.0.1:1", "processes": 2}}, ["http.listen", "http.processes"]),
        ({"metrics": {"listen": "127.0.0.1:1"}, "notices": {"processes": 2}}, ["metrics.listen", "notices.processes"]),
    ],
)
def test_what_the_supervisor_holds_itself_needs_a_restart(changed: dict[str, object], keys: list[str]) -> None:
    """By key; everything else is read anew by the processes."""
    assert reload.fixed(Settings(), msgspec.convert(changed, Settings)) == keys


@pytest.fixture
def deaf(tmp_path: Path) -> Iterator[Path]:
    """A run directory whose supervisor takes the signal and does nothing."""
    with subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        (tmp_path / "supervisor.pid").write_text(str(process.pid))
        yield tmp_path
        process.send_signal(signal.SIGTERM)


def test_nobody_there_is_told(tmp_path: Path) -> None:
    """Without a pid file, and with one that is no number."""
    for text in ("", "x"):
        with pytest.raises(OpsError, match="no dispatcher runs in"):
            reload.ask(tmp_path, 1.0)
        (tmp_path / "supervisor.pid").write_text(text)


def test_an_outcome_from_before_is_not_ours(deaf: Path) -> None:
    """A reload that began to read the file before we asked may have read another one."""
    reload.note(deaf, reload.Outcome(time.time_ns() - 1, True, "earlier"))
    with pytest.raises(OpsError, match=r"has not answered for 0\.3 s"):
        reload.ask(deaf, 0.3)


@pytest.mark.parametrize("done", [True, False])
def test_the_outcome_is_told_in_its_words(deaf: Path, done: bool) -> None:
    """As a result, or as an error."""
    later = threading.Timer(0.3, lambda: reload.note(deaf, reload.Outcome(time.time_ns(), done, "these words")))
    later.start()
    try:
        if done:
            assert reload.ask(deaf, 10.0) == "these words"
        else:
            with pytest.raises(OpsError, match="these words"):
                reload.ask(deaf, 10.0)
    finally:
        later.join()
