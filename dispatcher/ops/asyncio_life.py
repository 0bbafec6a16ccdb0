"""What an asyncio process does besides its work: it hears that it is to stop, and it writes its counts."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from functools import partial
from pathlib import Path

from dispatcher.core.counters import Counters
from dispatcher.ops import metrics

SNAPSHOT_S = 1.0


def stop_event(*, supervised: bool) -> asyncio.Event:
    """Set by SIGTERM, by SIGINT, and by the end of stdin where a supervisor holds its other end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if supervised:
        loop.add_reader(0, partial(_read_stdin, loop, stop))
    return stop


def _read_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(0, 64):
        loop.remove_reader(0)
        stop.set()


async def measure(counters: Counters, directory: Path) -> None:
    """Writes a snapshot every second, with how late the loop woke, until cancelled."""
    while True:
        wanted = time.monotonic() + SNAPSHOT_S
        await asyncio.sleep(SNAPSHOT_S)
        counters.put("dispatcher_loop_lag_seconds", (counters.process,), max(0.0, time.monotonic() - wanted))
        metrics.write(directory, counters.snapshot())
