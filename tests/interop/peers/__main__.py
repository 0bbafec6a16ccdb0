"""`python -m tests.interop.peers`: whole runs (bind, 1,000 sends short and long, receipts, handsets' messages, unbind) of the
dispatcher against SMPP servers not written here (npm's smpp, PyPI's smpp34, Debian's libnet-smpp-perl), and of clients not
written here (npm's smpp, smpplib, Kannel's bearerbox) against the simulator. Texts are compared as the other side read them.

The last line is `peers: PASS ...`, or `peers: FAIL ...` with what did not fit; exit code 1 then. `--count 100`: a short look.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.interop.foreign import OWN, Missing, environment, fetch, program, run
from tests.interop.peers.kannel import bearerbox
from tests.process.installation import Carrier, Installation, wait_for
from tests.process.ports import free_ports
from tests.smpp.foreign_decoder import reassemble

HERE = Path(__file__).parent
NODE_PACKAGE, PYTHON_PACKAGE = "smpp@0.5.1", "smpp34==1.5.0"
HANDSETS = 22
"""deliver_sm of handsets: twenty messages, and one in two parts."""
LONG, WIDE = "A long text, {and} more of it. " * 13, "Длинный текст, и ещё. " * 5
PATIENCE_S = 120.0
SCENARIO = "answer_ms = [1, 3]\nreceipt_ms = [5, 20]\n"

Check = Callable[[str, bool, str], None]


class Foreign:
    """A foreign server as a carrier of an installation: started with a port, ended by SIGTERM, when it reports as JSON."""

    def __init__(self, name: str, command: Sequence[str], env: dict[str, str]) -> None:
        self.name = name
        self.port = free_ports(1)[0]
        self.report: dict[str, Any] = {}
        self._command = [*command, str(self.port)]
        self._env = env
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Returns when it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=self._env)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == "ready\n", f"{self.name}: {line!r}"

    def end(self) -> None:
        """Ends it and keeps what it counted."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                out, _ = process.communicate(timeout=20)
                self.report = json.loads(out.splitlines()[-1]) if out.strip() else {}
            except (
                subprocess.TimeoutExpired,
                ValueError,
            ):  # an empty report fails its checks; the other servers end all the same
                process.kill()
                process.wait()


def installed() -> dict[str, str]:
    """The environment in which the foreign packages are found; they are fetched when they are not there. Raises Missing."""
    node, python = OWN / "node", OWN / "python"
    if not (node / "node_modules" / "smpp").exists():
        node.mkdir(parents=True, exist_ok=True)
        run("npm", "install", "--no-audit", "--no-fund", "--prefix", str(node), NODE_PACKAGE)
    if not (python / "smpp34").exists():
        run(sys.executable, "-m", "pip", "install", "--quiet", "--target", str(python), PYTHON_PACKAGE)
    if not (OWN / "usr" / "share" / "perl5" / "Net" / "SMPP.pm").exists():
        fetch("libnet-smpp-perl")
    paths = {"NODE_PATH": node / "node_modules", "PYTHONPATH": python, "PERL5LIB": OWN / "usr" / "share" / "perl5"}
    return environment() | {name: str(path) for name, path in paths.items()}


def text_of(number: int) -> tuple[str, int]:
    """The text of a send, and its segments: one in ten long in GSM 7-bit, one in ten long in UCS-2."""
    if number % 10 == 0:
        return LONG, 3
    if number % 10 == 1:
        return WIDE, 2
    return f"Hello {number} [€]", 1


def config(servers: Sequence[Foreign]) -> str:
    """A carrier and a route for each server."""
    carriers = "".join(
        f'[[carrier]]\nname = "{each.name}"\nsender = "Shop"\n[[carrier.bind]]\nhost = "127.0.0.1"\nport = {{{each.name}}}\n'
        'system_id = "demo"\npassword = "demo"\npassword_plain = true\nwindow = 50\n'
        f'[[route]]\nname = "{each.name}"\n[route.match]\nprefix = ["{place}"]\n'
        f'[[route.group]]\ncarriers = [{{ name = "{each.name}" }}]\n'
        for place, each in enumerate(servers, 447001)
    )
    return f'{carriers}[[tariff]]\nname = "retail"\ncurrency = "EUR"\nprices = {{ "" = "0.01" }}\n'


def against_servers(directory: Path, env: dict[str, str], count: int, check: Check) -> None:
    """The dispatcher against all servers at once, `count` sends to each."""
    servers = [
        Foreign("node", [program("node", "nodejs"), str(HERE / "server.cjs")], env),
        Foreign("smpp34", [sys.executable, str(HERE / "server34.py")], env),
        Foreign("perl", [program("perl", "perl"), str(HERE / "server.pl")], env),
    ]
    segments = sum(text_of(number)[1] for number in range(count))
    with Installation(directory, servers, config(servers)) as installation:  # type: ignore[arg-type]
        installation.account("demo", "--tariff", "retail")
        for server in servers:
            to = {"account": "demo", "from": "Shop", "route": server.name}
            installation.xadd([{**to, "to": f"+447700{n:06}", "text": text_of(n)[0], "ref": server.name} for n in range(count)])

        def states() -> dict[str, list[str]]:
            last = {row["id"]: (row["ref"], row["state"]) for row in installation.rows("events")}
            return {each.name: [state for ref, state in last.values() if ref == each.name] for each in servers}

        try:
            wait_for("all is delivered", PATIENCE_S, lambda: all(each == ["delivered"] * count for each in states().values()))
            wait_for("handsets' messages", 10, lambda: len(installation.rows("inbound")) >= len(servers) * (HANDSETS - 1))
        except TimeoutError as error:
            check(str(error), False, f"rejects: {installation.rows('rejects')[:2]}")
        found = states()
        inbound = [(row["carrier"], row["text"]) for row in installation.rows("inbound")]
    for server in servers:
        report, name = server.report, server.name
        delivered = found[name].count("delivered")
        check(f"{name}: {count} sends are delivered", delivered == count, f"{delivered} of {len(found[name])}")
        told = {key: report.get(key) for key in ("binds", "refused", "submits", "acked", "nacked", "unbinds")}
        wanted = {"binds": 1, "refused": 0, "submits": segments, "acked": segments + HANDSETS, "nacked": 0, "unbinds": 1}
        check(f"{name}: bind, {segments} submits, answers to receipts and handsets, unbind", told == wanted, f"{told}")
        wrong = unread(report.get("messages", []), count)
        check(f"{name}: reads every text as it was sent", not wrong, f"{len(wrong)} differ, like {wrong[:2]}")
        mine = sorted(text for carrier, text in inbound if carrier == name)
        odd = "ï" if name == "node" else "ì"
        texts = sorted([*(f"Answer {n} na{odd}ve €" for n in range(20)), "part 1, part 2, "])
        check(f"{name}: handsets' messages arrive whole", mine == texts, f"{mine[:3]} ...")


def unread(messages: list[list[Any]], count: int) -> list[tuple[str, str]]:
    """(number, text) of what the server read that nobody sent. Its own reading where it has one, else that of a handset
    which shares no code with us."""
    parts: dict[str, list[tuple[int, str]]] = {}
    for to, _, coding, data in messages:
        parts.setdefault(to, []).append((coding, data))
    wrong = []
    for number in range(count):
        to = f"447700{number:06}"
        found = parts.get(to, [(-1, "")])
        coding = found[0][0]
        read = "".join(d for _, d in found) if coding < 0 else reassemble([bytes.fromhex(d) for _, d in found], coding)
        if read != text_of(number)[0]:
            wrong.append((to, read))
    return wrong


def client_texts(count: int) -> int:
    """Parts that a client sends: one text in ten has three."""
    return sum(1 if number % 10 else 3 for number in range(count))


def against_simulator(
    directory: Path, name: str, command: Sequence[str], env: dict[str, str], count: int, check: Check
) -> None:
    """One client that runs by itself."""
    parts = client_texts(count)
    carrier = Carrier(directory, f"for-{name}", SCENARIO)
    carrier.start()
    words = [*command, str(carrier.port), str(count), str(HANDSETS)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert process.stdout is not None
        check(f"{name}: binds", process.stdout.readline() == "bound\n", "it did not say so")
        say_as_handsets(carrier)
        out, _ = process.communicate(timeout=PATIENCE_S)
        found = json.loads(out.splitlines()[-1]) if process.returncode == 0 else {}
        stats = carrier.stats()
    except subprocess.TimeoutExpired:
        found, stats = {}, carrier.stats()
    finally:
        process.kill()
        process.wait()
        carrier.end()
    told = (found.get("answered"), found.get("refused"), found.get("receipts"), found.get("unbound"))
    check(
        f"{name}: {parts} submits answered, their receipts taken, unbound", told == (parts, 0, parts, True), f"{told} {stats}"
    )
    texts = sorted([*(f"Answer {n}" for n in range(20)), "part 1, ", "part 2, "])
    got = sorted(text[-8:] if "part" in text else text for text in found.get("handsets", []))
    check(f"{name}: reads handsets' messages", got == texts, f"{got[:3]} ...")
    counted = (stats["submits"], stats["receipts_answered"], stats["receipts_refused"], stats["unbinds"])
    check(f"{name}: the simulator counts the same", counted == (parts, parts + HANDSETS, 0, 1), f"{counted}")


def say_as_handsets(carrier: Carrier) -> None:
    """Twenty messages and one in two parts, the second part first."""
    way = {"system_id": "demo", "from": "447700900123", "to": "447700900999"}
    for number in range(20):
        carrier.say(f"handset {json.dumps({**way, 'text': f'Answer {number}'})}")
    for part in (2, 1):
        data = bytes((5, 0, 3, 7, 2, part)) + f"part {part}, ".encode()
        carrier.say(f"handset {json.dumps({**way, 'hex': data.hex(), 'esm_class': 0x40})}")


def peer_checks(directory: Path, count: int, check: Check) -> None:
    """Everything. Raises Missing."""
    env = installed()
    directory.mkdir(parents=True, exist_ok=True)
    against_servers(directory, env, count, check)
    clients = {
        "node client": [program("node", "nodejs"), str(HERE / "client.cjs")],
        "smpplib": [sys.executable, str(HERE / "client_smpplib.py")],
    }
    for name, command in clients.items():
        against_simulator(directory, name.replace(" ", "-"), command, env, count, check)
    bearerbox(directory / "kannel", count, SCENARIO, say_as_handsets, check)


def main() -> int:
    """Runs everything; 1 when anything did not fit."""
    parser = argparse.ArgumentParser(prog="python -m tests.interop.peers", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--count", type=int, default=1000, help="sends to and from each peer")
    options = parser.parse_args()
    faults: list[str] = []

    def check(name: str, well: bool, why: str) -> None:
        sys.stdout.write(f"{'ok  ' if well else 'FAIL'}  {name}{'' if well else ': ' + why}\n")
        sys.stdout.flush()
        if not well:
            faults.append(name)

    directory = Path(tempfile.mkdtemp(prefix="peers-"))
    try:
        peer_checks(directory, options.count, check)
    except Missing as error:
        check("foreign programs", False, str(error))
    if faults:
        sys.stdout.write(f"peers: FAIL {len(faults)} of the checks: {'; '.join(faults)} (logs in {directory})\n")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    sys.stdout.write(f"peers: PASS 3 servers and 3 clients, {options.count} messages each\n")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
