"""What the contract tests of the five public APIs stand on: a running dispatcher with a simulated carrier and a movable clock.

One installation a module, as an operator would set it up: accounts and credentials by the command line, everything
else through HTTP. Fates by the end of a number: 0001 undelivered, 0002 refused for good, 0003 no receipt, 0004 refused
once, 7701 undelivered because the handset is away, as often as it is tried, 7702 given up by the carrier as too
late, 7703 refused for the moment, as often as it is tried, everything else delivered.
"""

from __future__ import annotations

import http.client
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.process.installation import Carrier, Installation, Submission, wait_for

_SCENARIO = """
answer_ms = [1, 5]
receipt_ms = [5, 20]
[[login]]
system_id = "sim"
password = "demo"
[[rule]]
suffix = "0001"
outcome = "undelivered"
code = "999"
state = "REJECTD"
[[rule]]
suffix = "0002"
outcome = "permanent"
[[rule]]
suffix = "0003"
outcome = "no_receipt"
[[rule]]
suffix = "0004"
outcome = "temporary"
times = 1
[[rule]]
suffix = "7701"
outcome = "undelivered"
code = "027"
[[rule]]
suffix = "7702"
outcome = "undelivered"
code = "000"
state = "EXPIRED"
[[rule]]
suffix = "7703"
outcome = "temporary"
"""
PRICES = {"MRU": "0.02", "KES": "1", "USD": "0.5", "IQD": "200", "EUR": "0.035"}
"""Price of a segment to anywhere, by currency; the tariff's name is the currency's in small letters."""
_CONFIG = """
[[carrier]]
name = "sim"
sender = "Info"
[[carrier.bind]]
name = "sim"
host = "127.0.0.1"
port = {sim}
system_id = "sim"
password = "demo"
password_plain = true
window = 100
sessions = 2
[[route]]
name = "all"
[[route.group]]
carriers = [{ name = "sim" }]
""" + "".join(
    f'[[tariff]]\nname = "{currency.lower()}"\ncurrency = "{currency}"\nprices = {{ "" = "{price}" }}\n'
    for currency, price in PRICES.items()
)


class Response(NamedTuple):
    """An HTTP answer. `headers` in small letters; `json` None where the body is none."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Running:
    """A running installation, as the tests of a dialect see it."""

    def __init__(self, installation: Installation, directory: Path) -> None:
        self.installation = installation
        self.base = f"http://127.0.0.1:{installation.http_port}"
        self.port = installation.http_port
        self._directory = directory
        self._files = 0

    def account(self, name: str, currency: str, money: str = "1000", *options: str) -> None:
        """An account with money; `options` as on the command line."""
        cli = self.installation.cli
        cli("accounts", "add", name, "--currency", currency, "--tariff", currency.lower(), *options)
        if money:
            cli("accounts", "credit", name, money, "--id", f"first-{name}")

    def import_key(self, account: str, dialect: str, value: str, *options: str) -> None:
        """An existing credential as it is; `options` as on the command line (--secret-file is made from secret=)."""
        self.installation.cli("keys", "import", account, "--dialect", dialect, "--value-file", self.file(value), *options)

    def file(self, content: str) -> str:
        """The path of a file that holds this."""
        self._files += 1
        path = self._directory / f"secret-{self._files}"
        path.write_text(content)
        return str(path)

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, timeout_s: float = 20.0
    ) -> Response:
        """One request on a connection of its own. `body`: bytes and str go as they are, anything else as JSON."""
        every = dict(headers or {})
        if body is not None and not isinstance(body, bytes | str):
            body = json.dumps(body)
            every.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body.encode() if isinstance(body, str) else body, every)
            answer = connection.getresponse()
            return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def advance(self, seconds: float) -> None:
        """Moves the installation's clocks."""
        self.installation.advance(seconds)

    def sent_to(self, number: str, count: int = 1, seconds: float = 10.0) -> list[Submission]:
        """What the carrier got for a number (digits), at least `count` submissions."""
        carrier = self.installation.carriers["sim"]

        def found() -> list[Submission]:
            some = [each for each in carrier.records() if each.number == number]
            return some if len(some) >= count else []

        return list(wait_for(f"{count} submissions to {number}", seconds, found))

    @contextmanager
    def carrier_away(self) -> Iterator[None]:
        """The carrier is down, and the engine knows: what is sent meanwhile waits."""
        carrier = self.installation.carriers["sim"]
        bound = 'dispatcher_bind_state{bind="sim",carrier="sim",state="bound"}'
        carrier.say("down")
        try:
            wait_for("no bind is up", 10, lambda: self.installation.scrape().get(bound) == 0)
            yield
        finally:
            carrier.say("up")

    def never_sent_to(self, number: str) -> bool:
        """True when the carrier has got nothing for it until now."""
        return not [each for each in self.installation.carriers["sim"].records() if each.number == number]

    def available(self, account: str) -> str:
        """The account's available money, decimal."""
        return str(self.installation.cli("accounts", "show", account)["available"])

    def localise(self, sample: str, base: str) -> str:
        """A printed sample with its base address replaced by ours."""
        assert urlsplit(base).scheme, base
        return sample.replace(base, self.base)


@contextmanager
def started(http: str = "", config: str = "") -> Iterator[Running]:
    """A dispatcher with its simulated carrier; `http` is TOML put into [http], `config` behind everything."""
    directory = Path(tempfile.mkdtemp(prefix="sms"))  # short: a socket's path has at most 100 bytes
    try:
        carrier = Carrier(directory, "sim", _SCENARIO)
        with Installation(directory, [carrier], _CONFIG + config, http=http, test_control=True) as installation:
            yield Running(installation, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
