"""Jasmin from PyPI in an environment of its own, Debian's RabbitMQ unpacked, not installed, and a server for its state.

RabbitMQ's and Erlang's starters know only the place where Debian would install them: ROOTDIR is written anew in the unpacked
copies. In 0.11.1 the answer to a message of one segment fails ("'SubmitSM' object has no attribute 'response'",
managers/listeners.py), so that no receipt finds its message: the copy used here has `r.response` there. Jasmin runs as one
process with its receipts' services inside (its own recommendation is two more processes, which cost more).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote_plus

from benchmarks.peers.job import SESSIONS, TEXT, Peer, Sides, folder
from benchmarks.peers.kannel import reachable
from dispatcher.ops.embedded import EmbeddedServer
from tests.interop import foreign
from tests.process.ports import free_ports

VERSION = "0.11.1"
PLACE = Path(sys.prefix) / "jasmin"
_ERLANG = (
    "base crypto eldap inets mnesia os-mon parsetools public-key runtime-tools ssl syntax-tools tools xmerl asn1 ftp snmp tftp"
)
_REQUEST = (
    "GET /send?username=bench&password=bench&to=NUMBER&from=Acme&content={text}"
    "&dlr=yes&dlr-level=2&dlr-method=GET&dlr-url={url} HTTP/1.1\nHost: bench\n\n"
)


def install() -> Path:
    """Jasmin's environment; made when it is not there. Raises foreign.Missing."""
    if not (PLACE / "bin" / "jasmind.py").exists():
        foreign.run(sys.executable, "-m", "venv", str(PLACE))
        foreign.run(str(PLACE / "bin" / "pip"), "install", "-q", f"jasmin=={VERSION}")
    source = PLACE / "source" / f"jasmin-{VERSION}"
    if not source.exists():  # the wheel lacks the description of AMQP that jasmind reads at its start
        pip = [str(PLACE / "bin" / "pip"), "download", "-q", "--no-deps", "--no-binary", ":all:", f"jasmin=={VERSION}"]
        foreign.run(*pip, cwd=PLACE)
        # By tar itself: the safe filter of tarfile came with Python 3.11.4, and Debian 12 has 3.11.2.
        source.parent.mkdir(exist_ok=True)
        foreign.run("tar", "-xzf", f"{source.name}.tar.gz", "-C", source.parent.name, cwd=PLACE)
    for listener in (PLACE / "lib").glob("python*/site-packages/jasmin/managers/listeners.py"):
        text = listener.read_text(encoding="utf-8")
        listener.write_text(text.replace("_pdu.response", "r.response"), encoding="utf-8")
    return PLACE


def rabbit() -> Path:
    """RabbitMQ's directory; unpacked when it is not there. Raises foreign.Missing."""
    libraries = foreign.OWN / "usr" / "lib"
    found = sorted((libraries / "rabbitmq" / "lib").glob("rabbitmq_server-*"))
    if not found:
        for package in ["rabbitmq-server", *(f"erlang-{name}" for name in _ERLANG.split())]:
            foreign.fetch(package)
        found = sorted((libraries / "rabbitmq" / "lib").glob("rabbitmq_server-*"))
    for pattern in ("bin/erl", "bin/start", "erts-*/bin/erl", "erts-*/bin/start"):
        for script in (libraries / "erlang").glob(pattern):
            text = script.read_text(encoding="utf-8")
            script.write_text(text.replace("ROOTDIR=/usr/lib/erlang", f"ROOTDIR={libraries / 'erlang'}"), encoding="utf-8")
    if not found:
        raise foreign.Missing("the package rabbitmq-server brings no rabbitmq_server")
    return found[-1]


def _start_rabbit(home: Path, directory: Path, ports: list[int]) -> list[subprocess.Popen[bytes]]:
    """Its own epmd (which would else stay behind as a daemon), node and files. Ports: AMQP, distribution, epmd. Raises
    foreign.Missing."""
    amqp, distribution, epmd = ports
    mine = {
        "HOME": str(directory),
        "PATH": f"{foreign.OWN / 'usr' / 'lib' / 'erlang' / 'bin'}:{os.environ['PATH']}",
        "RABBITMQ_HOME": str(home),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_NODENAME": f"bench{amqp}@localhost",
        "RABBITMQ_NODE_PORT": str(amqp),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_PORT": str(epmd),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
        "RABBITMQ_CONFIG_FILE": str(directory / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "none"),
    }
    environment = {**foreign.environment(), **mine}
    with (directory / "rabbit.log").open("wb") as log:
        names = subprocess.Popen(
            [str(foreign.OWN / "usr/lib/erlang/bin/epmd"), "-port", str(epmd)],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        process = subprocess.Popen(
            [str(home / "sbin" / "rabbitmq-server")],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
            start_new_session=True,
        )
    if not reachable(amqp, 60):
        _end_sessions([process, names])
        raise foreign.Missing(f"RabbitMQ does not listen; {directory / 'rabbit.log'}: {_tail(directory / 'rabbit.log')}")
    return [process, names]


def _start_jasmin(place: Path, directory: Path, ports: dict[str, int]) -> subprocess.Popen[bytes]:
    """One jasmind with an empty configuration. Raises foreign.Missing."""
    (directory / "etc" / "jasmin" / "store").mkdir(parents=True)
    (directory / "var" / "log" / "jasmin").mkdir(parents=True)
    shutil.copytree(place / "source" / f"jasmin-{VERSION}" / "misc" / "config" / "resource", directory / "etc/jasmin/resource")
    config = directory / "etc" / "jasmin" / "jasmin.cfg"
    config.write_text(
        f"[amqp-broker]\nport = {ports['amqp']}\nlog_level = ERROR\n"
        f"[redis-client]\nport = {ports['redis']}\nlog_level = ERROR\n"
        f"[http-api]\nbind = 127.0.0.1\nport = {ports['http']}\nlog_level = ERROR\naccess_log = /dev/null\n"
        f"[jcli]\nport = {ports['jcli']}\nauthentication = False\nlog_level = ERROR\n"
        f"[router]\nbind = 127.0.0.1\nport = {ports['router']}\nlog_level = ERROR\n"
        f"[client-management]\nbind = 127.0.0.1\nport = {ports['clients']}\nlog_level = ERROR\n"
        f"[smpp-server]\nbind = 127.0.0.1\nport = {ports['smpp']}\nlog_level = ERROR\n"
        f"[smpp-server-pb]\nbind = 127.0.0.1\nport = {ports['smpp_pb']}\nlog_level = ERROR\n"
        "[dlr]\nlog_level = ERROR\n[dlr-thrower]\nlog_level = ERROR\n[sm-listener]\nlog_level = ERROR\n",
        encoding="utf-8",
    )
    starter = directory / "jasmind.py"  # with its lock here: it has one for the whole machine, and leaves it behind when killed
    text = (place / "bin" / "jasmind.py").read_text(encoding="utf-8")
    starter.write_text(text.replace('"/tmp/jasmind"', f'"{directory / "jasmind"}"'), encoding="utf-8")
    words = ["--enable-dlr-thrower", "--enable-dlr-lookup", "-c", str(config)]
    with (directory / "jasmin.log").open("wb") as log:
        process = subprocess.Popen(
            [str(place / "bin" / "python"), str(starter), *words],
            env={
                "PATH": os.environ["PATH"],
                "ROOT_PATH": str(directory),
                "HOSTNAME": "bench",
            },  # no PYTHONPATH: our smpp is not its
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=directory,
        )
    if not reachable(ports["jcli"], 30):
        process.kill()
        process.wait()
        raise foreign.Missing(f"jasmind does not start: {_tail(directory / 'jasmin.log')}")
    return process


def _configure(port: int, sides: Sides) -> None:
    """A user, a connector for each session, a route over all of them, by jcli's own console."""
    names = [f"sink{number}" for number in range(SESSIONS)]
    with socket.create_connection(("127.0.0.1", port), 10) as console:
        _say(console, "")
        for dialogue in (
            ["group -a", "gid bench", "ok"],
            ["user -a", "uid bench", "gid bench", "username bench", "password bench", "ok"],
            ["filter -a", "type TransparentFilter", "fid all", "ok"],
            *(
                [
                    "smppccm -a",
                    f"cid {name}",
                    "host 127.0.0.1",
                    f"port {sides.carrier}",
                    "username bench",
                    "password bench",
                    "submit_throughput 0",
                    "loglevel 40",
                    "ok",
                ]
                for name in names
            ),
            *([f"smppccm -1 {name}"] for name in names),
            [
                "mtrouter -a",
                "type RandomRoundrobinMTRoute",
                "order 10",
                "rate 0.0",
                "connectors " + ";".join(f"smppc({name})" for name in names),
                "filters all",
                "ok",
            ],
        ):
            answer = ""
            for line in dialogue:
                answer = _say(console, line)
            if "uccessfully" not in answer:
                raise foreign.Missing(f"jcli answers {dialogue[0]!r} with {answer.strip()!r}")


def _say(console: socket.socket, line: str) -> str:
    """A line to jcli, and all that comes until it is quiet (its prompt is mixed with a terminal's commands)."""
    if line:
        console.sendall(line.encode() + b"\r\n")
    got = b""
    console.settimeout(15)
    with suppress(TimeoutError):
        while data := console.recv(4096):
            got += data
            console.settimeout(0.4)
    return got.decode(errors="replace")


def _tail(log: Path) -> str:
    return " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-4:])


def _session_pids(leaders: list[int]) -> list[int]:
    """All processes of the sessions that these lead."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) in leaders:
            found.append(int(path.name))
    return found


@contextmanager
def jasmin(sides: Sides) -> Iterator[Peer]:
    """Running and bound. Raises foreign.Missing when it cannot be had or does not start."""
    place, home = install(), rabbit()
    directory = folder("jasmin")
    names = ("amqp", "distribution", "epmd", "redis", "http", "jcli", "router", "clients", "smpp", "smpp_pb")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    server = EmbeddedServer(directory / "server", port=ports["redis"], durability="everysec")
    server.start()
    broker: list[subprocess.Popen[bytes]] = []
    daemon = None
    try:
        broker = _start_rabbit(home, directory, [ports["amqp"], ports["distribution"], ports["epmd"]])
        time.sleep(3)  # it listens a little before it is ready
        daemon = _start_jasmin(place, directory, ports)
        _configure(ports["jcli"], sides)
        time.sleep(2)
        request = _REQUEST.format(text=quote_plus(TEXT), url=quote_plus(f"http://127.0.0.1:{sides.receiver}/dlr"))
        pids = [daemon.pid, *([server.pid] if server.pid else [])]
        leaders = [process.pid for process in broker]
        yield Peer(
            "Jasmin, RabbitMQ", f"{VERSION}, corrected", ports["http"], request, lambda: [*pids, *_session_pids(leaders)]
        )
    finally:
        if daemon is not None:
            daemon.terminate()
            _gone(daemon)
        _end_sessions(broker)
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _end_sessions(leaders: list[subprocess.Popen[bytes]]) -> None:
    for process in leaders:
        for pid in _session_pids([process.pid]):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        _gone(process)


def _gone(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
