"""A whole dispatcher for one measurement: embedded server, engines, HTTP, and a carrier here that costs nearly nothing.

It refuses to know what is sent. Everything lives in one temporary directory and on free ports, and ends with it.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from accounting.money import to_micro
from dispatcher.commands.demo.world import Process, Sample, World
from dispatcher.commands.frame import Context, now_ms
from dispatcher.core.customer import Account
from dispatcher.core.tables import Auto
from dispatcher.ingest.keys import issue
from smpp.simulator.scenario import load as load_scenario
from smpp.sink import Arrival

CREDIT = "100000000"
PRICE_MICRO = 30_000
CURRENCY = "EUR"
ACCOUNT = "load"


class Wish(NamedTuple):
    """What the installation is to be like. `rate`: of the carrier, segments a second or "auto" (0: none); `scenario`: a temper
    instead of the sink; `arrivals`: the sink tells when each submit came; `port`: of a carrier that is there already, instead
    of either; `extra`: more lines of configuration."""

    workers: int = 1
    durability: str = "fsync"
    sessions: int = 4
    window: int = 50
    rate: float | Auto = 0.0
    receipt_delay_s: float = 0.0
    scenario: str = ""
    arrivals: bool = False
    port: int = 0
    extra: str = ""


class Own:
    """The running installation. `carrier()` ends the carrier and gives what it counted."""

    def __init__(self, world: World, wish: Wish) -> None:
        self.world, self.wish = world, wish
        self.context = Context(str(world.config_path), as_json=False)
        self.key = ""
        self._carrier: Process | None = None
        self._control = world.directory / "carrier.socket"

    def start(self) -> None:
        """Starts all of it and opens the account. Raises Failed."""
        login, password = ("load", "load") if self.wish.port else self._start_carrier()
        port = self.wish.port or self._carrier_port()
        self.world.config_path.write_text(_configuration(self.world, self.wish, port, login, password), encoding="utf-8")
        self.world.start_service("--workers", str(self.wish.workers))
        self._open_account()

    def _start_carrier(self) -> tuple[str, str]:
        """With the login that it wants."""
        wish, login, password = self.wish, "load", "load"
        command = ["smpp.sink", "--receipt-delay", str(wish.receipt_delay_s), *["--arrivals"] * wish.arrivals]
        if wish.scenario:
            account = load_scenario(Path(wish.scenario)).accounts[0]
            login, password = account.system_id, account.password
            command = ["smpp.simulator", "--scenario", wish.scenario, "--listen", "127.0.0.1:0"]
            command += ["--control", f"unix:{self._control}"]
        self._carrier = Process("carrier", command, self.world.directory)
        return login, password

    def _carrier_port(self) -> int:
        assert self._carrier is not None  # noqa: S101 - started
        try:
            return int(json.loads(self._carrier.first_line())["port"])
        except (ValueError, KeyError):
            raise self._carrier.failed("the carrier did not start") from None

    def _open_account(self) -> None:
        at = now_ms()
        self.key, record = issue(ACCOUNT, at)

        async def open_account(store: Any) -> None:
            await store.put_account(Account(name=ACCOUNT, currency=CURRENCY, tariff="price", sender="Load"))
            await store.credit(ACCOUNT, "opening", to_micro(CREDIT), at)
            await store.put_key(record)

        self.context.with_store(open_account)

    def charged(self) -> int:
        """Segments that the account has paid for, reserved ones not included."""

        async def work(store: Any) -> Any:
            return await store.balance(ACCOUNT)

        balance = self.context.with_store(work)
        return int(to_micro(CREDIT) - balance.available - balance.reserved) // PRICE_MICRO

    def submitted(self, taken: int) -> int:
        """Segments that the dispatcher says it has submitted and were, or may have been, accepted, once they are `taken` or its
        counts cannot lag any more; its retries are in it."""

        def known(sample: Sample) -> int:
            return sum(sample("dispatcher_segments_submitted", outcome=outcome) for outcome in ("accepted", "unknown"))

        return known(self.world.counts(lambda sample: known(sample) >= taken))

    @property
    def carrier_pid(self) -> int:
        """The carrier's process."""
        assert self._carrier is not None  # noqa: S101 - started
        return self._carrier.pid

    def carrier(self) -> dict[str, Any]:
        """Ends the carrier; its counts, `taken` among them (segments that it accepted) and, where wished, `arrivals`. Raises
        Failed."""
        carrier, self._carrier, wish = self._carrier, None, self.wish
        assert carrier is not None  # noqa: S101 - started
        if wish.scenario:
            told = _ask(self._control, "stats")
            carrier.end()
            return told | {"taken": told["accepted"]}
        counts: dict[str, Any] = json.loads(carrier.last_line())
        arrivals = {"arrivals": [Arrival(*each) for each in counts["arrivals"]]} if wish.arrivals else {}
        return counts | arrivals | {"taken": counts["submits"]}

    def stop(self) -> None:
        """Ends everything."""
        if self._carrier is not None:
            self._carrier.end()
            self._carrier = None


@contextmanager
def own(wish: Wish) -> Iterator[Own]:
    """An installation of our own while the block runs. Raises Failed when it does not start."""
    with (
        tempfile.TemporaryDirectory(prefix="dispatcher-load-", ignore_cleanup_errors=True) as folder,
        World(Path(folder), prefer_defaults=False) as world,
    ):
        installed = Own(world, wish)
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            installed.start()
            yield installed
        finally:
            installed.stop()
            signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _ask(path: Path, line: str) -> dict[str, Any]:
    import socket

    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(5.0)
        control.connect(os.fspath(path))
        control.sendall(f"{line}\n".encode())
        counts: dict[str, Any] = json.loads(control.makefile("rb").readline().decode().removeprefix("ok"))
    return counts


def _configuration(world: World, wish: Wish, port: int, login: str, password: str) -> str:
    told = f'"{wish.rate}"' if isinstance(wish.rate, str) else f"{wish.rate:g}"
    rate = f"rate = {told}\n" if wish.rate else ""
    return f"""[server]
embedded_port = {world.ports.server}
durability = "{wish.durability}"
data_dir = "{world.data_dir}"

[http]
listen = "127.0.0.1:{world.ports.http}"

[metrics]
listen = "127.0.0.1:{world.ports.metrics}"

[fraud]
velocity_otp = [0, 0, 0]         # codes by the thousand to one prefix are what is wanted here

[[carrier]]
name = "carrier"
cost = "cost"
{rate}
[[carrier.bind]]
name = "main"
host = "127.0.0.1"
port = {port}
system_id = "{login}"
password = "{password}"
password_plain = true
sessions = {wish.sessions}
window = {wish.window}

[[route]]
name = "all"
[[route.group]]
carriers = [{{ name = "carrier" }}]

[[tariff]]
name = "price"
currency = "{CURRENCY}"
prices = {{ "" = "0.0300" }}

[[tariff]]
name = "cost"
currency = "{CURRENCY}"
prices = {{ "" = "0.0100" }}

{wish.extra}
"""
