"""Kannel 1.4 from Debian's archive, unpacked without being installed: bearerbox and smsbox, with a spool store.

`receipts`: `internal` keeps what receipts belong to in memory (lost at a crash), `redis` in a server with everysec.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote_plus

from benchmarks.peers.job import SESSIONS, TEXT, WINDOW, Peer, Sides, folder
from dispatcher.ops.embedded import EmbeddedServer
from tests.interop import foreign
from tests.process.ports import free_ports

_REQUEST = (
    "GET /cgi-bin/sendsms?username=bench&password=bench&from=Acme&to=%2BNUMBER&text={text}&dlr-mask=1&dlr-url={url} HTTP/1.1\n"
    "Host: bench\n\n"
)


def reachable(port: int, seconds: float) -> bool:
    """Whether somebody listens within so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


def _configuration(sides: Sides, admin: int, box: int, http: int, spool: str, redis_port: int) -> str:
    storage = "dlr-storage = internal\n"
    more = ""
    if redis_port:
        storage = "dlr-storage = redis\n"
        more = (
            f"\ngroup = redis-connection\nid = receipts\nhost = 127.0.0.1\nport = {redis_port}\n"
            "database = 0\nmax-connections = 4\n"
            "\ngroup = dlr-db\nid = receipts\ntable = dlr\nfield-smsc = smsc\nfield-timestamp = ts\n"
            "field-destination = destination\nfield-source = source\nfield-service = service\n"
            "field-url = url\nfield-mask = mask\nfield-status = status\n"
            "field-boxc-id = boxc\n"
        )
    carriers = "".join(
        f"\ngroup = smsc\nsmsc = smpp\nsmsc-id = sink{number}\nhost = 127.0.0.1\nport = {sides.carrier}\n"
        f'smsc-username = bench\nsmsc-password = bench\nsystem-type = ""\ntransceiver-mode = true\n'
        f"max-pending-submits = {WINDOW}\n"
        for number in range(SESSIONS)
    )
    return (
        f"group = core\nadmin-port = {admin}\nadmin-password = bench\nsmsbox-port = {box}\nlog-level = 3\n"
        f"box-allow-ip = 127.0.0.1\nstore-type = spool\nstore-location = {spool}\n{storage}{more}{carriers}"
        f"\ngroup = smsbox\nbearerbox-host = 127.0.0.1\nsendsms-port = {http}\nlog-level = 3\nmax-pending-requests = 512\n"
        "\ngroup = sendsms-user\nusername = bench\npassword = bench\nmax-messages = 10\n"
        "\ngroup = sms-service\nkeyword = default\ntext = none\n"
    )


@contextmanager
def kannel(sides: Sides, receipts: str = "internal") -> Iterator[Peer]:
    """Running and bound. Raises foreign.Missing when it cannot be had or does not start."""
    programs = [foreign.program(name, "kannel") for name in ("bearerbox", "smsbox")]
    directory = folder("kannel")
    admin, box, http, redis_port = free_ports(4)
    (directory / "spool").mkdir()
    server = None
    running: list[subprocess.Popen[bytes]] = []
    try:
        if receipts == "redis":
            server = EmbeddedServer(directory / "server", port=redis_port, durability="everysec")
            server.start()
        config = directory / "kannel.conf"
        used = redis_port if server is not None else 0
        config.write_text(_configuration(sides, admin, box, http, str(directory / "spool"), used), encoding="utf-8")
        for program, port in zip(programs, (box, http), strict=True):
            with (directory / "log").open("ab") as log:
                running.append(
                    subprocess.Popen([program, str(config)], env=foreign.environment(), stdout=log, stderr=log, cwd=directory)
                )
            if not reachable(port, 20):
                raise foreign.Missing(f"{program} does not listen: {_last(directory / 'log')}")
        time.sleep(2)  # its sessions bind one after the other
        pids = [process.pid for process in running] + ([server.pid] if server is not None and server.pid else [])
        request = _REQUEST.format(text=quote_plus(TEXT), url=quote_plus(f"http://127.0.0.1:{sides.receiver}/dlr"))
        yield Peer(f"Kannel, spool, receipts {receipts}", _version(programs[0]), http, request, lambda: pids)
    finally:
        for process in reversed(running):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if server is not None:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _version(program: str) -> str:
    shown = subprocess.run([program, "--version"], env=foreign.environment(), capture_output=True, text=True, check=False)
    words = (shown.stdout + shown.stderr).split()
    return next((word.strip("`'.,") for word in words if word.strip("`'.,")[:2] == "1."), "?")


def _last(log: object) -> str:
    from pathlib import Path

    return " / ".join(Path(str(log)).read_text(encoding="utf-8", errors="replace").splitlines()[-3:])
