"""A changed configuration is at work without a stop; one that is wrong changes nothing."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.process.installation import DEMO_BIND, ONE_CARRIER, Carrier, Installation, wait_for

pytestmark = pytest.mark.process

SCENARIO = "answer_ms = [20, 40]\nreceipt_ms = [50, 300]"
CONFIG = ONE_CARRIER + DEMO_BIND + "sessions = 2\nwindow = 20\n"
RENEWED = ("engine-0", "engine-1", "http-0", "http-1", "notices-0")
KEPT = ("supervisor", "server-0")


class _Sender:
    """Posts one message after the other until it is stopped, each over a connection of its own or all over one that is kept."""

    def __init__(self, here: Installation, key: str, first: int, *, kept: bool) -> None:
        self._here, self._key, self._first, self._kept = here, key, first, kept
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.statuses: list[int] = []

    def __enter__(self) -> _Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def numbers(self) -> list[str]:
        return [str(self._first + n) for n in range(len(self.statuses))]

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._here.http_port, timeout=15)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        while not self._over.wait(0.02):
            send = {"to": f"+{self._first + len(self.statuses)}", "text": "Hello", "from": "Shop"}
            if not self._kept:
                connection.close()
            try:
                connection.request("POST", "/v1/messages", json.dumps(send), headers)
                answer = connection.getresponse()
                answer.read()
                self.statuses.append(answer.status)
            except (OSError, http.client.HTTPException):
                connection.close()
                self.statuses.append(0)
        connection.close()


def _installation(directory: Path) -> Installation:
    return Installation(directory, [Carrier(directory, "north", SCENARIO)], CONFIG, http="processes = 2", workers=2)


def _change(here: Installation, old: str, new: str) -> None:
    text = here.config.read_text()
    assert old in text
    here.config.write_text(text.replace(old, new))


def _pids(here: Installation, roles: tuple[str, ...] = (*RENEWED, *KEPT)) -> dict[str, int]:
    return {role: here.pid(role) for role in roles}


def _refused(here: Installation) -> int:
    return sum(line.get("event") in {"reload_refused", "reload_stopped"} for line in here.log())


def test_a_changed_price_is_at_work_after_a_reload_and_no_request_notices(tmp_path: Path) -> None:
    """Every request is answered 202 and ends delivered, once; the first pay the old price, the last the new one."""
    with _installation(tmp_path) as here:
        key = here.account("shop", "--tariff", "retail")
        before = _pids(here)
        with _Sender(here, key, 447911120000, kept=True) as kept, _Sender(here, key, 447911130000, kept=False) as fresh:

            def sent() -> int:
                return min(len(kept.statuses), len(fresh.statuses))

            wait_for("some have been sent", 10, lambda: sent() > 20)
            _change(here, '"0.0300"', '"0.0500"')
            assert here.cli("reload") == {"reloaded": True}
            count = sent()
            wait_for("some more have been sent", 10, lambda: sent() > count + 20)
        after = _pids(here)
        assert {role for role in after if after[role] != before[role]} == set(RENEWED)
        assert {*kept.statuses, *fresh.statuses} == {202}
        numbers = [*kept.numbers, *fresh.numbers]

        def delivered() -> bool:
            return sum(row["state"] == "delivered" for row in here.rows("events")) == len(numbers)

        wait_for("all are delivered", 20, delivered)
        assert sorted(each.number for each in here.carriers["north"].records()) == sorted(numbers)
        prices = [row["unit_price"] for row in here.rows("charges") if row["kind"] == "post"]
        assert (prices[0], prices[-1], set(prices)) == (30_000, 50_000, {30_000, 50_000})


def test_what_cannot_be_read_or_needs_a_restart_changes_nothing(tmp_path: Path) -> None:
    """Whoever asks is told why, and everything runs on."""
    with _installation(tmp_path) as here:
        before, good = _pids(here), here.config.read_text()
        _change(here, 'name = "north"\n\n', 'name = "north"\nwindows = 3\n')
        here.signal("supervisor", signal.SIGHUP)
        wait_for("the file is refused", 10, lambda: _refused(here) == 1)
        here.config.write_text(good)
        _change(here, "processes = 2", "processes = 3")
        assert "a restart is needed to change http.processes" in str(here.cli("reload", code=1))
        assert _pids(here) == before
        here.config.write_text(good)
        assert here.cli("reload") == {"reloaded": True}


def test_a_process_that_does_not_come_up_again_ends_the_reload(tmp_path: Path) -> None:
    """The first door dies as soon as it is renewed: all others are left as they were."""
    with _installation(tmp_path) as here:
        before = _pids(here)
        here.signal("supervisor", signal.SIGHUP)
        wait_for("the first door is renewed", 10, lambda: here.pid("http-0") not in {0, before["http-0"]})
        here.kill("http-0")
        wait_for("the reload ends", 10, lambda: _refused(here) == 1)
        time.sleep(0.5)
        after = _pids(here)
        assert {role for role in after if after[role] != before[role]} == {"http-0"}
        wait_for("the door is open", 10, here.ready)
