"""What a trace of the server says about its append-only file (the cuts themselves: `python -m tests.process.powercut`)."""

from __future__ import annotations

from tests.process.powercut import Tail, tails

A, B = "/d/a.incr.aof", "/d/b.incr.aof"


def test_a_sync_covers_what_was_written_when_it_began() -> None:
    """Delayed, split over lines by threads, failed, and not begun at all."""
    log = f"""
10  write(9<{A}>, ""..., 100) = 100
10  fdatasync(9<{A}>)       = 0 (DELAYED)
10  write(9<{A}>, ""..., 40) = 40
11  fdatasync(9<{A}> <unfinished ...>
10  write(9<{A}>, ""..., 7) = 7
10  write(3<socket:[1]>, ""..., 5) = 5
11  <... fdatasync resumed>)  = 0
10  write(9<{B}>, ""..., 30) = 30
10  fdatasync(9<{B}>) = -1 EIO (Input/output error)
10  fdatasync(9<{B}> <unfinished ...>
10  +++ killed by SIGKILL +++
"""
    assert tails(log) == {A: Tail(7, 2), B: Tail(30, 0)}
