"""Engines as real processes share one carrier: its rate, window and session cap hold over all of them, at every moment, and
whatever becomes of one of them costs no message and no second."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.process.fleet import RATE, SESSIONS, Fleet, fleet
from tests.process.installation import wait_for

pytestmark = [pytest.mark.process, pytest.mark.kills]
TAKEN_OVER_S = 5.0
"""From the death of an engine to the first submit over the session that it held."""


def holder(here: Fleet, seat: int) -> tuple[str, int]:
    """The engine that wrote last over a session: its role and pid."""
    pid = [write for write in here.writes() if write.seat == seat][-1].pid
    return next((role, pid) for role in here.installation.engines if here.installation.pid(role) == pid)


def after(here: Fleet, at: float, seat: int, pid: int) -> float:
    """Seconds from `at` to the first write over a session by another process than `pid`."""
    first = wait_for(
        "the session is taken over",
        15,
        lambda: next((w.at for w in here.writes() if w.seat == seat and w.at > at and w.pid != pid), 0.0),
        0.1,
    )
    return float(first - at)


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.long)])
def test_engines_share_rate_window_sessions_lanes_and_turns(tmp_path: Path, workers: int) -> None:
    """A bulk batch of one account, another account's small one, OTPs: each OTP goes within a window and a little more, the
    small one does not wait for the large one, and receipts that come over the other process's session are matched."""
    with fleet(tmp_path, workers) as here:
        here.send(500, lane="bulk")
        time.sleep(1.0)
        small = here.send(20, lane="bulk", account="other")
        otps = [here.send(1, lane="otp")[0] for _ in range(10) if not time.sleep(0.2)]  # type: ignore[func-returns-value]
        here.until_final(40)
        verdict = here.judged()
        assert verdict.delivered == verdict.submissions == 530
        assert verdict.unknown_attempts == 0
        writes = here.writes()
        assert {write.seat for write in writes} == set(range(SESSIONS))
        assert len({write.pid for write in writes}) == 2
        order = [each.number for each in here.carrier.records()]
        place = {number: i for i, number in enumerate(order)}
        last_small = max(place[here.sent.accepted[ref]] for ref in small)
        assert last_small < 400, last_small
        waited = _waits(here, otps)
        assert max(waited) < 3.0, waited
        seconds = writes[-1].at - writes[0].at
        assert 530 / seconds > 0.5 * RATE, seconds


def _waits(here: Fleet, refs: list[str]) -> list[float]:
    """Seconds from acceptance to the write-ahead of the first submission."""
    ids = {row["id"] for row in here.installation.rows("events") if row["ref"] in refs}
    heads = [message.head for message in here.installation.messages(sorted(ids)).values() if message.head is not None]
    return [(head.first_at - head.accepted_at) / 1000 for head in heads]


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.long)])
def test_a_killed_engines_session_and_work_are_taken_over(tmp_path: Path, workers: int) -> None:
    """SIGKILL under load, twice: within 5 s somebody submits over the dead engine's session again."""
    with fleet(tmp_path, workers) as here:
        for seat in range(SESSIONS):
            here.send(600)
            time.sleep(2.0)
            role, pid = holder(here, seat)
            at = time.monotonic()
            here.installation.kill(role)
            seconds = after(here, at, seat, pid)
            print(f"{workers} engines: session {seat} taken over after {seconds:.2f} s")
            assert seconds <= TAKEN_OVER_S
        here.until_final(60)
        verdict = here.judged()
        assert verdict.resent <= verdict.unknown_attempts
        assert verdict.delivered == verdict.accepted


@pytest.mark.long
def test_an_engine_that_wakes_up_after_it_was_deposed_does_nothing(tmp_path: Path) -> None:
    """A machine freezes (SIGSTOP of engine and supervisor) for longer than its lease: its work is taken over, and its session
    as soon as the carrier has given up on the silent link. SIGCONT: not one submit more, and the engine ends."""
    with fleet(tmp_path, 1) as here, here.machine(1) as other:
        own = here.installation.pid("engine-0")
        here.send(1500)
        wait_for("the other machine carries", 15, lambda: {write.pid for write in here.writes()} - {own}, 0.1)
        time.sleep(1.0)
        pid = other.pid("engine-0")
        seat = [write for write in here.writes() if write.pid == pid][-1].seat
        for role in ("supervisor", "engine-0"):
            other.signal(role, signal.SIGSTOP)
        seconds = after(here, time.monotonic(), seat, pid)
        print(f"frozen machine: session taken over after {seconds:.2f} s")
        woken = time.monotonic()
        for role in ("supervisor", "engine-0"):
            other.signal(role, signal.SIGCONT)
        wait_for("it ends", 10, lambda: other.pid("engine-0") not in {0, pid})
        here.until_final(60)
        assert [write for write in here.writes() if write.pid == pid and write.at > woken] == []
        assert [line for line in other.log() if line.get("event") == "engine_deposed"]
        here.judged()


@pytest.mark.long
def test_a_silent_engine_is_ended_so_that_its_session_is_free(tmp_path: Path) -> None:
    """SIGSTOP of an engine alone: its supervisor kills it, so that nobody waits for the carrier to notice."""
    with fleet(tmp_path, 2) as here:
        here.send(900)
        time.sleep(2.0)
        role, pid = holder(here, 0)
        here.installation.signal(role, signal.SIGSTOP)
        seconds = after(here, time.monotonic(), 0, pid)
        print(f"stopped engine: session taken over after {seconds:.2f} s")
        assert seconds < 8.0
        here.until_final(60)
        assert [line for line in here.installation.log() if line.get("event") == "engine_silent"]
        here.judged()


def test_a_machine_joins_and_leaves_without_loss(tmp_path: Path) -> None:
    """Two engines on another machine join while traffic runs, then one engine here drains (SIGTERM) and comes back, then the
    machine leaves: sessions move, nothing becomes unknown, nothing is doubled."""
    with fleet(tmp_path, 1) as here:
        assert len({write.pid for write in here.writes()}) <= 1
        here.send(1500)
        time.sleep(2.0)
        with here.machine(2) as other:
            own = here.installation.pid("engine-0")
            wait_for("the newcomer carries", 12, lambda: {write.pid for write in here.writes()} - {own}, 0.1)
            time.sleep(2.0)
            here.installation.signal("engine-0", signal.SIGTERM)
            wait_for("it has drained and another is there", 15, lambda: here.installation.pid("engine-0") not in {0, own})
            time.sleep(4.0)
            assert other.ready()
        here.until_final(60)
        verdict = here.judged()
        assert verdict.unknown_attempts == 0
        assert verdict.delivered == verdict.submissions == 1500
