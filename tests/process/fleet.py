"""Several engines, one carrier of two sessions: what they wrote and when, from notes that each process keeps of its writes."""

from __future__ import annotations

import contextlib
import time
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.process.installation import ROOT, Carrier, Installation, wait_for
from tests.process.traffic import Sent
from tests.process.verdict import Verdict, finals_of, judge

RATE, WINDOW, SESSIONS = 100, 10, 2
SCENARIO = f"""
answer_ms = [20, 60]
receipt_ms = [50, 300]
window = {WINDOW}
enquire_link_s = 1.0
[[login]]
system_id = "demo"
password = "demo"
sessions_max = {SESSIONS}
rate = {RATE + 5}
"""
CONFIG = f"""
[engine]
drain_s = 5.0
[receipts]
grace_s = 1.0
deadline_s = 20.0
early_s = 5.0
sweep_s = 1.0
[privacy]
hash_key_file = "{{key}}"
[[carrier]]
name = "north"
rate = {RATE}
cost = "cost"
sender = "FLEET"
[[carrier.bind]]
name = "main"
host = "127.0.0.1"
port = {{port}}
system_id = "demo"
password = "demo"
password_plain = true
sessions = {SESSIONS}
window = {WINDOW}
reconnect_s = 0.2
reconnect_max_s = 0.5
[[route]]
name = "all"
[[route.group]]
carriers = [{{ name = "north" }}]
[[tariff]]
name = "retail"
currency = "EUR"
prices = {{ "" = "0.0300" }}
[[tariff]]
name = "cost"
currency = "EUR"
prices = {{ "" = "0.0040" }}
"""


class Write(NamedTuple):
    """Submits that left together: monotonic seconds, the process, the session's number, how many."""

    at: float
    pid: int
    seat: int
    count: int


class Fleet:
    """An installation of `workers` engines, its carrier, its sends; more machines by `machine`."""

    def __init__(self, directory: Path, installation: Installation, carrier: Carrier, config: str) -> None:
        self.installation = installation
        self.carrier = carrier
        self.sent = Sent()
        self._directory = directory
        self._config = config
        self._number = 491_520_000_000

    def send(self, count: int, *, account: str = "shop", lane: str = "transactional", policy: str = "") -> list[str]:
        """Accepted sends of a class, in chunks; returns their refs."""
        refs: list[str] = []
        sends: list[dict[str, str]] = []
        for _ in range(count):
            self._number += 1
            number = str(self._number)
            refs.append(f"f-{number}")
            send = {"account": account, "to": f"+{number}", "text": f"Parcel {number}", "ref": refs[-1], "class": lane}
            sends.append(send | ({"on_unknown": policy} if policy else {}))
            self.sent.accepted[refs[-1]] = number
            self.sent.held[refs[-1]] = (policy or ("hold" if lane == "bulk" else "resend")) == "hold"
        for start in range(0, count, 100):
            self.installation.xadd(sends[start : start + 100])
        return refs

    def finals(self) -> int:
        """Messages that are final."""
        return len(finals_of(self.installation.rows("events")))

    def until_final(self, seconds: float) -> None:
        """Everything sent is final and nothing is left over. Raises TimeoutError."""
        wait_for(
            "everything is final",
            seconds,
            lambda: self.finals() >= len(self.sent.accepted) and not self.installation.left_over(),
            0.2,
        )

    def writes(self) -> list[Write]:
        """What all engines of all machines wrote, by time."""
        found: list[Write] = []
        for path in self._directory.glob("*.writes"):
            for line in path.read_text().splitlines():
                at, seat, count = line.split()
                found.append(Write(float(at), int(path.stem), int(seat), int(count)))
        return sorted(found)

    @contextlib.contextmanager
    def machine(self, workers: int) -> Iterator[Installation]:
        """Another supervisor with its own directory and `workers` engines on the same store."""
        place = self._directory / "other"
        place.mkdir()
        other = Installation(
            place,
            [],
            self._config,
            server=f'url = "{self.installation.url}"',
            workers=workers,
            environment=notes(self._directory),
        )
        with other:
            yield other

    def judged(self) -> Verdict:
        """The verdict on everything sent; asserts that nothing was lost, doubled beyond counted unknowns or mischarged, that
        the books balance, and that the carrier's limits held at its door and at the engines'."""
        verdict, remarks = Verdict(), []
        judge(verdict, self.installation, self.sent, remarks)
        verdict.unbalanced = len(self.installation.cli("ledger", "audit")["misfits"])
        assert not remarks, remarks[:5]
        assert verdict.well, verdict
        stats = self.carrier.stats()
        assert stats["throttled"] == 0, stats
        assert stats["window_exceeded"] == 0, stats
        assert stats["window_peak"] <= WINDOW, stats
        assert stats["sessions_peak"]["demo"] <= SESSIONS, stats
        assert stats["submits_per_second_peak"] <= RATE + 5, stats
        assert (peak := per_second(self.writes())) <= RATE, peak
        return verdict


def per_second(writes: list[Write]) -> int:
    """Most submits that left within any second."""
    times = [write.at for write in writes for _ in range(write.count)]
    return max((bisect_right(times, at + 1.0) - i for i, at in enumerate(times)), default=0)


def notes(directory: Path) -> dict[str, str]:
    """The environment in which engines note their writes there."""
    return {"DISPATCHER_NOTES": str(directory), "PYTHONPATH": str(ROOT / "tests" / "process" / "noting")}


@contextlib.contextmanager
def fleet(directory: Path, workers: int) -> Iterator[Fleet]:
    """Running, both sessions bound, with money on the accounts `shop` and `other`."""
    key = directory / "numbers.key"
    key.write_text("k" * 32)
    carrier = Carrier(directory, "north", SCENARIO)
    config = CONFIG.replace("{key}", str(key)).replace("{port}", str(carrier.port))
    with Installation(directory, [carrier], config, workers=workers, environment=notes(directory)) as installation:
        for name in ("shop", "other"):
            installation.account(name, "--tariff", "retail")
        here = Fleet(directory, installation, carrier, config)
        wait_for("both sessions are bound", 15, lambda: carrier.stats()["binds"] >= SESSIONS, 0.1)
        time.sleep(1.5)  # the engines know one another, and what a session brings of the rate may be used
        yield here
