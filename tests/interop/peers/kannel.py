"""Kannel's bearerbox and smsbox, unpacked from Debian's archive, as a client of the simulator: what it sends and hears.

It refuses to know the other peers. Kannel speaks HTTP inwards: `count` messages by its sendsms door, one in ten of them long;
receipts and handsets' messages come as requests to a door of ours.
"""

from __future__ import annotations

import http.client
import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.interop.foreign import Missing, environment, program
from tests.process.installation import Carrier, wait_for
from tests.process.ports import free_ports

LONG = "x" * 450
PATIENCE_S = 120.0
Check = Callable[[str, bool, str], None]


def _configuration(carrier: int, admin: int, box: int, sendsms: int, ours: int, spool: Path) -> str:
    return (
        f"group = core\nadmin-port = {admin}\nadmin-password = demo\nsmsbox-port = {box}\nlog-level = 1\n"
        f"box-allow-ip = 127.0.0.1\nstore-type = spool\nstore-location = {spool}\ndlr-storage = internal\n"
        f"\ngroup = smsc\nsmsc = smpp\nsmsc-id = simulator\nhost = 127.0.0.1\nport = {carrier}\nsmsc-username = demo\n"
        'smsc-password = demo\nsystem-type = ""\ntransceiver-mode = true\nmax-pending-submits = 50\n'
        f"\ngroup = smsbox\nbearerbox-host = 127.0.0.1\nsendsms-port = {sendsms}\nlog-level = 1\n"
        "\ngroup = sendsms-user\nusername = demo\npassword = demo\nmax-messages = 10\nconcatenation = true\n"
        f"\ngroup = sms-service\nkeyword = default\nget-url = http://127.0.0.1:{ours}/handset?text=%a\nmax-messages = 0\n"
        "catch-all = true\n"
    )


class Ears:
    """What Kannel tells us: numbers of delivered messages, texts of handsets."""

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.texts: list[str] = []


@contextmanager
def _listening(port: int) -> Iterator[Ears]:
    ears = Ears()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            values = parse_qs(asked.query)
            if asked.path == "/handset":
                ears.texts += values["text"]
            else:
                ears.delivered += values["number"]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield ears
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _send(port: int, ours: int, count: int) -> int:
    """Hands `count` messages over; returns how many it took."""
    door = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    taken = 0
    for number in range(count):
        receipt = f"http://127.0.0.1:{ours}/receipt?number={number}"
        text = LONG if number % 10 == 0 else f"Hello {number} €"
        asked = {"username": "demo", "password": "demo", "from": "Shop", "to": f"+{447700100000 + number}", "text": text}
        asked |= {"charset": "UTF-8", "dlr-mask": "1", "dlr-url": receipt}
        door.request("GET", f"/cgi-bin/sendsms?{urlencode(asked)}")
        with door.getresponse() as answer:
            answer.read()
            taken += answer.status == 202
    door.close()
    return taken


def bearerbox(directory: Path, count: int, scenario: str, say: Callable[[Carrier], None], check: Check) -> None:
    """The whole run. Raises Missing."""
    programs = [program(name, "kannel") for name in ("bearerbox", "smsbox")]
    (directory / "spool").mkdir(parents=True)
    carrier = Carrier(directory, "for-kannel", scenario)
    admin, box, sendsms, ours = free_ports(4)
    (directory / "kannel.conf").write_text(
        _configuration(carrier.port, admin, box, sendsms, ours, directory / "spool"), encoding="utf-8"
    )
    running: list[subprocess.Popen[bytes]] = []
    carrier.start()
    try:
        with _listening(ours) as ears:
            for each in programs:
                with (directory / "log").open("ab") as log:
                    words = [each, str(directory / "kannel.conf")]
                    running.append(subprocess.Popen(words, env=environment(), stdout=log, stderr=log, cwd=directory))
                wait_for(f"{each} is up", 20, lambda each=each: _up(carrier, sendsms, smsbox=each == programs[1]), 0.2)  # type: ignore[misc]
            taken = _send(sendsms, ours, count)
            check(f"kannel: takes {count} messages", taken == count, f"{taken}")
            say(carrier)
            wanted = sorted([*(f"Answer {n}" for n in range(20)), "part 1, part 2,"])
            try:
                wait_for("receipts", PATIENCE_S, lambda: len(set(ears.delivered)) == count and len(ears.texts) == len(wanted))
            except TimeoutError as error:
                check(f"kannel: {error}", False, f"{len(set(ears.delivered))} of {count}, {len(ears.texts)} texts")
            check("kannel: every message has its receipt", len(set(ears.delivered)) == count, f"{len(set(ears.delivered))}")
            got = sorted(text.strip() for text in ears.texts)
            check("kannel: reads handsets' messages, the long one whole", got == wanted, f"{got[:3]} ...")
            for process in reversed(running):
                process.terminate()
            for process in running:
                process.wait(30)
        stats = carrier.stats()
    except TimeoutError as error:
        raise Missing(f"{error}: {_last(directory / 'log')}") from None
    finally:
        for process in running:
            process.kill()
            process.wait()
        carrier.end()
    parts = sum(1 if number % 10 else 3 for number in range(count))
    counted = (stats["binds"], stats["submits"], stats["refused"], stats["unbinds"])
    check(f"kannel: one bind, {parts} submits, none refused, unbind", counted == (1, parts, {}, 1), f"{counted}")


def _up(carrier: Carrier, sendsms: int, *, smsbox: bool) -> bool:
    if not smsbox:
        return bool(carrier.stats()["sessions"])
    door = http.client.HTTPConnection("127.0.0.1", sendsms, timeout=1)
    try:
        door.request("GET", "/")
        door.getresponse().read()
    except OSError:
        return False
    finally:
        door.close()
    return True


def _last(log: Path) -> str:
    return " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])
