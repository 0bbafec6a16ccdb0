"""`dispatcher run`: starts the embedded server, the engines, the HTTP and the webhook processes, and starts again what dies.

It refuses to know what they do. Order of a stop: the doors first (nothing new is accepted), then the engines (they wait
for the carriers' answers), then the webhooks, then the embedded server. A process that dies is back within half a
second; one that keeps dying is tried at growing intervals, and its fellows run on.

SIGHUP reads the configuration anew: the HTTP processes are renewed one after the other, then all engines together (engines
that read different files would share a carrier's limits by different rules), then the webhooks. Where the file is wrong, or
changes what only a restart can (reload.py), nothing is touched; where a renewed process does not come up, the rest stays.

The listening socket of the HTTP processes is opened here and inherited, so that a connection made while one of them is
being restarted waits instead of being refused.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import msgspec
import trio

from dispatcher.core.settings import Settings
from dispatcher.ops import config, logs, metrics, reload
from dispatcher.ops import test_control as test_control_of
from dispatcher.ops.clocks import Wish
from dispatcher.ops.connection import store_url
from dispatcher.ops.embedded import EmbeddedServer
from dispatcher.ops.errors import OpsError
from dispatcher.ops.findings import ConfigError, mask_url
from dispatcher.ops.roles import Role
from dispatcher.ops.run_dir import run_dir as run_dir_of
from dispatcher.ops.run_dir import write_whole
from dispatcher.ops.secret_key import server_key

RESTART_FIRST_S = 0.1
RESTART_MAX_S = 5.0
LIVED_S = 10.0
"""A process that lived so long is restarted at once, whatever happened before."""
WATCH_S = 0.1
SILENCE_WATCH_S = 0.5
SILENT_S = 1.0
"""Beyond engine.lease_s: an engine that has written no metrics for so long cannot have renewed its leases either."""
HTTP_PATIENCE_S = 15.0
NOTICES_PATIENCE_S = 15.0
ENGINE_PATIENCE_S = 20.0
"""Beyond engine.drain_s."""
RENEWED_S = 20.0
"""How long a renewed process may take until it has written its first counts."""
BACKLOG_CONNECTIONS = 1024
_NOT_YET = -1
"""Looks at an engine that has not been seen to write: it is starting."""
WISH_FILE = "test-wish"


class Supervisor:
    """One installation's processes. `say` prints a line for the person who started it."""

    def __init__(
        self,
        config_path: str | Path,
        *,
        workers: int = 1,
        run_dir: str | Path = "",
        kinds: tuple[str, ...] = ("engine", "http", "notices"),
        test_control: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`test_control`: an address (ops/test_control.py). Raises ConfigError, OpsError."""
        self._control = test_control_of.check(test_control) if test_control else ""
        self.config_path = str(Path(config_path).resolve())
        settings, findings = config.inspect(config_path)
        if settings is None:
            raise ConfigError(findings)
        self.settings: Settings = settings
        self.workers = workers
        self.kinds = kinds
        self.run_dir = run_dir_of(self.settings, run_dir)
        self.embedded: EmbeddedServer | None = None
        self.stopping = False
        self._say = say
        self._log = logs.configure("supervisor")
        for warning in findings:
            say(str(warning))
        self._living: dict[str, trio.Process] = {}
        self._renewing: set[str] = set()
        self._died: set[str] = set()
        self._reload_asked = trio.Event()
        self._socket: socket.socket | None = None

    def run(self) -> int:
        """Runs until SIGTERM or SIGINT; returns the exit code. Raises OpsError when something cannot be started."""
        settings = self.settings
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nothing can be reloaded yet; inherited by the processes, which never do
        lock = self._lock()
        exposer = None
        try:
            server_key(settings)
            if not settings.server.url:
                self._start_embedded()
            directory = metrics.prepare(self.run_dir)
            exposer = metrics.Exposer(settings.metrics.listen, directory)
            self._listen()
            self._introduce(exposer.listen)
            trio.run(self._supervise)
        finally:
            if exposer is not None:
                exposer.close()
            if self._socket is not None:
                self._socket.close()
            if self.embedded is not None:
                self._pid_file("server-0").unlink(missing_ok=True)
                self.embedded.stop()
            self._pid_file("supervisor").unlink(missing_ok=True)
            lock.close()
        self._say("stopped: everything accepted is kept")
        return 0

    # -- start ---------------------------------------------------------------------------------------------------------

    def _lock(self) -> IO[str]:
        try:
            self.run_dir.mkdir(parents=True, exist_ok=True)
            lock = (self.run_dir / "supervisor.lock").open("w")
        except OSError as error:
            raise OpsError(f"{self.run_dir} cannot be written ({error.strerror})", "correct server.data_dir") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise OpsError(
                f"a dispatcher already runs in {self.run_dir}", "stop it, or choose another server.data_dir"
            ) from None
        self._pid_file("supervisor").write_text(str(os.getpid()))
        return lock

    def _start_embedded(self) -> None:
        server = self.settings.server
        self.embedded = EmbeddedServer(
            Path(server.data_dir) / "server", port=server.embedded_port, durability=server.durability
        )
        self.embedded.start()
        self._pid_file("server-0").write_text(str(self.embedded.pid))
        self._log.info("server_started", pid=self.embedded.pid, adopted=self.embedded.adopted)

    def _listen(self) -> None:
        http = self.settings.http
        if "http" not in self.kinds or not http.processes:
            return
        host, _, port = http.listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, int(port)), family=family, backlog=BACKLOG_CONNECTIONS)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise OpsError(f"http.listen = {http.listen!r} cannot be used ({why})", "choose another host:port") from None

    def _introduce(self, metrics_listen: str) -> None:
        server = self.settings.server
        kind = f"embedded, {server.durability}, {server.data_dir}" if self.embedded else "yours"
        if self._socket is not None:
            host, port = self._socket.getsockname()[:2]
            scheme = "https" if self.settings.http.tls_cert_file else "http"
            self._say(f"http     {scheme}://{f'[{host}]' if ':' in host else host}:{port}")
        self._say(f"metrics  http://{metrics_listen}/metrics")
        self._say(f"store    {mask_url(store_url(self.settings))} ({kind})")
        carriers = ", ".join(carrier.name for carrier in self.settings.carrier) or "none"
        if "engine" in self.kinds:
            self._say(f"engine   {self.workers} process{'es' if self.workers > 1 else ''}; carriers: {carriers}")

    # -- life ----------------------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        async with trio.open_nursery() as nursery:
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
                if "engine" in self.kinds:
                    for number in range(self.workers):
                        nursery.start_soon(self._keep, "engine", number)
                if self._socket is not None:
                    for number in range(self.settings.http.processes):
                        nursery.start_soon(self._keep, "http", number)
                if "notices" in self.kinds:
                    for number in range(self.settings.notices.processes):
                        nursery.start_soon(self._keep, "notices", number)
                nursery.start_soon(self._end_the_silent)
                if self.embedded is not None:
                    nursery.start_soon(self._keep_server, self.embedded)
                if self._control:
                    wish = Wish(self.run_dir / WISH_FILE)
                    nursery.start_soon(test_control_of.serve, self._control, wish)
                nursery.start_soon(self._reload_when_asked)
                async for number in signals:
                    if number == signal.SIGHUP:
                        self._reload_asked.set()
                    elif not self.stopping:
                        self.stopping = True
                        self._say("stopping: doors first, then engines (again: at once)")
                        nursery.start_soon(self._drain, nursery.cancel_scope)
                    else:
                        for process in self._living.values():
                            process.kill()
                        nursery.cancel_scope.cancel()

    async def _drain(self, scope: trio.CancelScope) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        for kind in ("http", "engine", "notices"):
            await self._end(kind, self._names(kind), self._patience_s(kind))
        scope.cancel()

    def _names(self, kind: str) -> list[str]:
        return sorted(name for name in self._living if name.startswith(kind))

    def _patience_s(self, kind: str) -> float:
        engine_s = self.settings.engine.drain_s + ENGINE_PATIENCE_S
        return {"http": HTTP_PATIENCE_S, "engine": engine_s, "notices": NOTICES_PATIENCE_S}[kind]

    async def _end(self, kind: str, names: Iterable[str], patience_s: float) -> None:
        processes = [self._living[name] for name in names]
        for process in processes:
            process.terminate()
        with trio.move_on_after(patience_s):
            for process in processes:
                await process.wait()
        for process in processes:
            if process.returncode is None:
                self._log.error("killed", pid=process.pid, role=kind)
                process.kill()
                await process.wait()

    async def _keep(self, kind: str, number: int) -> None:
        pause = RESTART_FIRST_S
        while not self.stopping:
            started = trio.current_time()
            role = Role(
                kind,
                number,
                self.config_path,
                str(self.run_dir),
                # An address with a password would show in the process list: the role reads it from the settings.
                url=self.embedded.url if self.embedded else "",
                listen_fd=self._socket.fileno() if kind == "http" and self._socket else -1,
                wish_file=str(self.run_dir / WISH_FILE) if self._control else "",
            )
            status = await self._once(role)
            if self._ends():
                return
            if role.process in self._renewing:
                self._renewing.discard(role.process)
                pause = RESTART_FIRST_S
                continue
            self._died.add(role.process)
            lived_s = trio.current_time() - started
            pause = RESTART_FIRST_S if lived_s > LIVED_S else min(pause * 2, RESTART_MAX_S)
            wait_s = 0.0 if lived_s > LIVED_S else pause
            self._log.error(
                "process_died", role=kind, number=number, exit_status=status, restart_s=wait_s, seconds=round(lived_s, 1)
            )
            await trio.sleep(wait_s)

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload_asked.wait()
            self._reload_asked = trio.Event()
            if not self.stopping:
                began_ns = time.time_ns()
                done, words = await self._reload()
                self._say(words if done else f"not reloaded: {words}")
                reload.note(self.run_dir, reload.Outcome(began_ns, done, words))

    async def _reload(self) -> tuple[bool, str]:
        """Whether it was done, and in words why not."""
        settings, findings = config.inspect(self.config_path)
        if settings is None:
            self._log.error("reload_refused", reason="configuration", count=len(findings))
            return False, "; ".join(map(str, findings))
        changed = reload.fixed(self.settings, settings)
        if changed:
            self._log.error("reload_refused", reason="needs a restart", setting=changed)
            return False, f"a restart is needed to change {', '.join(changed)}"
        self._log.info("reload_begins")
        steps = [("http", [name]) for name in self._names("http")]
        steps += [(kind, self._names(kind)) for kind in ("engine", "notices") if self._names(kind)]
        patience_s = {kind: self._patience_s(kind) for kind, _ in steps}  # of those that run now
        self.settings = settings
        for kind, names in steps:
            if not await self._renew(kind, names, patience_s[kind]):
                self._log.error("reload_stopped", role=kind)
                return False, f"{', '.join(names)} did not come up again; the processes after it were left as they were"
        self._log.info("reload_done", count=sum(len(names) for _, names in steps))
        return True, f"reloaded: {', '.join(name for _, names in steps for name in names)}"

    async def _renew(self, kind: str, names: list[str], patience_s: float) -> bool:
        """Ends these processes and waits until their successors are at work; False when one dies or is not in time."""
        before = {name: process.pid for name, process in self._living.items() if name in names}
        self._renewing |= before.keys()
        self._died -= before.keys()
        await self._end(kind, before, patience_s)

        def at_work(name: str) -> bool:
            process = self._living.get(name)
            counts = self.run_dir / "metrics" / f"{name}{metrics.SUFFIX}"
            return process is not None and process.pid != before.get(name) and counts.exists()

        for _ in range(round(RENEWED_S / WATCH_S)):
            if all(map(at_work, names)):
                return True
            if not self._died.isdisjoint(names):
                return False
            await trio.sleep(WATCH_S)
        return False

    async def _once(self, role: Role) -> int:
        """One life of a process, from its start to its end; its last counts are kept."""
        command = [sys.executable, "-m", "dispatcher.ops.roles", msgspec.json.encode(role).decode()]
        options: dict[str, Any] = {"start_new_session": True, "pass_fds": (role.listen_fd,) if role.listen_fd >= 0 else ()}
        process = await trio.lowlevel.open_process(command, stdin=-1, **options)
        self._living[role.process] = process
        pid_file = self._pid_file(role.process)
        write_whole(pid_file, b"%d" % process.pid)
        self._log.info("process_started", role=role.kind, number=role.number, pid=process.pid)
        try:
            status = await process.wait()
        finally:
            if process.stdin is not None:
                with trio.CancelScope(shield=True):
                    await process.stdin.aclose()
            del self._living[role.process]
            pid_file.unlink(missing_ok=True)
        metrics.retire(self.run_dir / "metrics", role.process)
        return status

    async def _keep_server(self, server: EmbeddedServer) -> None:
        """Starts the embedded server again when it has died. Its log is replayed before it answers."""
        while True:
            await trio.sleep(WATCH_S)
            if server.running:
                continue
            self._log.error("server_died")
            try:
                await trio.to_thread.run_sync(server.start)
            except OpsError as error:
                self._log.error("server_not_started", error=type(error).__name__)
                await trio.sleep(1.0)
                continue
            self._pid_file("server-0").write_text(str(server.pid))
            self._log.info("server_started", pid=server.pid, adopted=server.adopted)

    async def _end_the_silent(self) -> None:
        """Kills engines that no longer run although they live (stopped, hanging): others may have their leases by now, but
        not their sessions, which the carrier keeps until the connections end. Looks are counted, not seconds: a machine
        that was paused as a whole wakes up with nobody to blame."""
        last: dict[tuple[str, int], tuple[int, int]] = {}
        while not self.stopping:
            await trio.sleep(SILENCE_WATCH_S)
            patience = round((self.settings.engine.lease_s + SILENT_S) / SILENCE_WATCH_S)
            for name, process in self._living.items():
                if not name.startswith("engine"):
                    continue
                try:
                    written = (self.run_dir / "metrics" / f"{name}{metrics.SUFFIX}").stat().st_mtime_ns
                except OSError:
                    continue
                before, looks = last.get((name, process.pid), (written, _NOT_YET))
                if written != before:
                    looks = 0
                elif looks != _NOT_YET:
                    looks += 1
                last[name, process.pid] = (written, looks)
                if looks == patience:
                    self._log.error("engine_silent", pid=process.pid, role="engine")
                    process.kill()

    def _ends(self) -> bool:
        return self.stopping

    def _pid_file(self, process: str) -> Path:
        return self.run_dir / f"{process}.pid"
