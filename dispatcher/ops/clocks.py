"""The clocks and the source of chance of a process; in an installation under test control, ones that a test can move.

A test's wish travels through a small file that every process maps: 8 bytes of shift (ms, signed, little-endian), 8 bytes
of seed (0: real chance). The supervisor writes it (ops/test_control.py); without test control there is no such file and
nothing is looked up.
"""

from __future__ import annotations

import mmap
import os
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dispatcher.core.ports import Clock

WISH_BYTES: Final = 16
_SHIFT, _SEED = slice(0, 8), slice(8, 16)


class WallClock:
    """Clock port of an asyncio process."""

    def now_ms(self) -> int:
        """Wall time, ms since 1970 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class TrioClock(WallClock):
    """Clock port of a Trio process: its monotonic time is the loop's, so that timers and sleeps agree."""

    def __init__(self) -> None:
        import trio  # here: processes that run no Trio import this module too

        self._loop_time = trio.current_time

    def monotonic(self) -> float:
        """The loop's time, seconds."""
        return self._loop_time()


class Wish:
    """What a test wishes, read and written by all processes of one installation."""

    def __init__(self, path: str | Path) -> None:
        """Maps the file; makes it, with no wish in it, where there is none."""
        where = Path(path)
        if not where.exists():
            where.write_bytes(bytes(WISH_BYTES))
        with where.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), WISH_BYTES)

    @property
    def shift_ms(self) -> int:
        """How far the clocks are ahead."""
        return int(struct.unpack("<q", self._map[_SHIFT])[0])

    @shift_ms.setter
    def shift_ms(self, value: int) -> None:
        self._map[_SHIFT] = struct.pack("<q", value)

    @property
    def seed(self) -> int:
        """The seed of chance; 0: real chance."""
        return int(struct.unpack("<q", self._map[_SEED])[0])

    @seed.setter
    def seed(self, value: int) -> None:
        self._map[_SEED] = struct.pack("<q", value)


class MovedWallClock(WallClock):
    """A WallClock that is ahead as a test wishes."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish

    def now_ms(self) -> int:
        """Wall time and the shift, ms."""
        return super().now_ms() + self._wish.shift_ms

    def monotonic(self) -> float:
        """Seconds; jumps with the shift, so that what is remembered for seconds is forgotten."""
        return super().monotonic() + self._wish.shift_ms / 1000


class MovedTrioClock(TrioClock):
    """A TrioClock whose wall time is ahead; its loop's time is the loop's."""

    def __init__(self, wish: Wish) -> None:
        super().__init__()
        self._wish = wish

    def now_ms(self) -> int:
        """Wall time and the shift, ms."""
        return super().now_ms() + self._wish.shift_ms


def wall_clock(wish_file: str = "") -> Clock:
    """The clock of an asyncio process; `wish_file` only under test control."""
    return MovedWallClock(Wish(wish_file)) if wish_file else WallClock()


def trio_clock(wish_file: str = "") -> Clock:
    """The clock of a Trio process."""
    return MovedTrioClock(Wish(wish_file)) if wish_file else TrioClock()


def entropy(wish_file: str = "") -> Callable[[int], bytes]:
    """The source of random bytes of what must not be guessed: os.urandom, or a seeded one while a test wishes so."""
    if not wish_file:
        return os.urandom
    wish = Wish(wish_file)
    known, source = 0, random.Random()

    def draw(count: int) -> bytes:
        nonlocal known
        seed = wish.seed
        if not seed:
            return os.urandom(count)
        if seed != known:
            known = seed
            source.seed(seed)
        return source.randbytes(count)

    return draw
