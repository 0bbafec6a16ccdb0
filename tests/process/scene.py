"""One running installation for the tests of what must be seen to work: processes of four simulators, eight carriers, taps."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.process.installation import Carrier, Installation
from tests.process.tap import Tap

LANES_WINDOW = 50
CAPPED_WINDOW = 10
CAPPED_RATE = 100
GAMMA_WINDOW = 5
HEALS, NEVER_HEALS, PERMANENT, ABSENT, ABSENT_DEAR, REJECTED = (f"44770090000{n}" for n in range(1, 7))
GARBAGE_SUFFIX = "7777"

_MAIN = "answer_ms = [2, 10]\nreceipt_ms = [10, 50]\n" + "".join(
    f'[[login]]\nsystem_id = "{name}"\npassword = "demo"\n' for name in ("alpha1", "alpha2", "beta", "fates", "delta")
)
_FATES = f"""
[[rule]]
number = "{HEALS}"
outcome = "temporary"
times = 3
[[rule]]
number = "{NEVER_HEALS}"
outcome = "temporary"
[[rule]]
number = "{PERMANENT}"
outcome = "permanent"
[[rule]]
number = "{ABSENT}"
outcome = "undelivered"
code = "001"
times = 2
[[rule]]
number = "{ABSENT_DEAR}"
outcome = "undelivered"
code = "001"
times = 2
[[rule]]
number = "{REJECTED}"
outcome = "undelivered"
state = "REJECTD"
"""
_SLOW = 'answer_ms = [80, 80]\nreceipt_ms = [10, 50]\n[[login]]\nsystem_id = "lanes"\npassword = "demo"\n'
_CAPPED = f"""
answer_ms = [80, 80]
receipt_ms = [10, 50]
window = {CAPPED_WINDOW}
[[login]]
system_id = "capped"
password = "demo"
sessions_max = 2
rate = {CAPPED_RATE + 5}
"""
_RUDE = f"""
answer_ms = [60, 60]
receipt_ms = [10, 50]
[[login]]
system_id = "rude"
password = "demo"
[[login]]
system_id = "gamma"
password = "demo"
[[rule]]
suffix = "{GARBAGE_SUFFIX}"
outcome = "garbage"
"""


def _bind(port: int, system_id: str, **more: Any) -> str:
    keys = {
        "name": system_id,
        "host": "127.0.0.1",
        "port": port,
        "system_id": system_id,
        "password": "demo",
        "window": 100,
        "reconnect_s": 0.2,
        "reconnect_max_s": 0.5,
        **more,
    }
    lines = (f"{key} = {value!r}" if not isinstance(value, str) else f'{key} = "{value}"' for key, value in keys.items())
    return "[[carrier.bind]]\npassword_plain = true\n" + "\n".join(lines) + "\n"


def _carrier(name: str, *binds: str, head: str = "") -> str:
    return f'[[carrier]]\nname = "{name}"\ncost = "cost"\n{head}\n[carrier.quirks.causes]\n"001" = "absent"\n' + "".join(binds)


def _route(name: str, prefix: str, *groups: str) -> str:
    tables = "".join(f"[[route.group]]\ncarriers = [{group}]\n" for group in groups)
    return f'[[route]]\nname = "{name}"\nmatch = {{ prefix = ["{prefix}"] }}\n{tables}'


def _config(main: int, slow: int, capped: int, rude: int) -> str:
    """The configuration, given the ports of taps and carriers."""
    tariffs = {"retail": '"" = "0.0300"', "dear": '"" = "0.0100"', "narrow": '"49" = "0.0300"', "cost": '"" = "0.0040"'}
    return "\n".join(
        [
            "[engine]\nlease_s = 2.0\n",
            "[retry]\ntemporary_s = 0.2\ntemporary_max_s = 0.3\nabsent_s = [0.3]\notp_s = [0.3]\n",
            "[receipts]\ngrace_s = 0.5\ndeadline_s = 6.0\nearly_s = 3.0\nsweep_s = 1.0\n",
            "[charges]\nreservations = true\n",
            _carrier("alpha", _bind(main, "alpha1", window=500), _bind(main, "alpha2", window=500)),
            _carrier("beta", _bind(main, "beta", window=500)),
            _carrier("fates", _bind(main, "fates")),
            _carrier("delta", _bind(main, "delta")),
            _carrier("lanes", _bind(slow, "lanes", window=LANES_WINDOW)),
            _carrier("capped", _bind(capped, "capped", window=CAPPED_WINDOW, sessions=2), head=f"rate = {CAPPED_RATE}\n"),
            _carrier("rude", _bind(rude, "rude", window=20, response_timeout_s=1.0)),
            _carrier("gamma", _bind(rude, "gamma", window=GAMMA_WINDOW)),
            _route("shared", "49", '{ name = "alpha", weight = 3 }, { name = "beta", weight = 1 }'),
            _route("fates", "44", '{ name = "fates" }'),
            _route("backup", "33", '{ name = "gamma" }', '{ name = "delta" }'),
            _route("capped", "34", '{ name = "capped" }'),
            _route("lanes", "31", '{ name = "lanes" }'),
            _route("rude", "39", '{ name = "rude" }, { name = "delta" }'),
            *(f'[[tariff]]\nname = "{name}"\ncurrency = "EUR"\nprices = {{ {prices} }}' for name, prices in tariffs.items()),
        ]
    )


class World:
    """The installation, its taps and its API keys by account."""

    def __init__(self, installation: Installation, taps: dict[str, Tap], keys: dict[str, str]) -> None:
        self.installation = installation
        self.taps = taps
        self.keys = keys

    def states(self, *refs: str) -> dict[str, str]:
        """The last state told, by ref."""
        return {row["ref"]: row["state"] for row in self.installation.rows("events") if not refs or row["ref"] in refs}

    def counts(self, prefix: str) -> dict[str, int]:
        """Messages whose ref begins so, by their last state."""
        found: dict[str, int] = {}
        for ref, state in self.states().items():
            if ref.startswith(prefix):
                found[state] = found.get(state, 0) + 1
        return found

    def events(self, ref: str) -> list[dict[str, Any]]:
        """One message's events."""
        return [row for row in self.installation.rows("events") if row["ref"] == ref]

    def facts(self, message_id: str, kind: str) -> list[dict[str, Any]]:
        """One message's money facts of a kind."""
        return [row for row in self.installation.rows("charges") if row["id"] == message_id and row["kind"] == kind]


@contextmanager
def scene() -> Iterator[World]:
    """Running, with money on the accounts."""
    directory = Path(tempfile.mkdtemp(prefix="sms"))
    scenarios = {"main": _MAIN + _FATES, "slow": _SLOW, "capped": _CAPPED, "rude": _RUDE}
    carriers = [Carrier(directory, name, scenario) for name, scenario in scenarios.items()]
    ports = {carrier.name: carrier.port for carrier in carriers}
    with Tap(ports["main"]) as main, Tap(ports["slow"]) as lanes, Tap(ports["capped"]) as capped:
        config = _config(main.port, lanes.port, capped.port, ports["rude"])
        with Installation(directory, carriers, config) as installation:
            keys = {name: installation.account(name, "--tariff", "retail") for name in ("shop", "other")}
            keys["poor"] = installation.account("poor", "--tariff", "retail", money="")
            keys["narrow"] = installation.account("narrow", "--tariff", "narrow")
            keys["dear"] = installation.account("dear", "--tariff", "dear")
            yield World(installation, {"main": main, "slow": lanes, "capped": capped}, keys)
    shutil.rmtree(directory, ignore_errors=True)
