"""Notes when an engine's bytes left, for tests of what engines do together: found by Python itself when its directory is on
PYTHONPATH, at work only in processes of engines, and only where DISPATCHER_NOTES names a directory.

One file a process, one line a write: monotonic seconds (of this machine: all processes agree), number of the session,
submits that left.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any


def _note(directory: str) -> None:
    from dispatcher.engine import carriers

    file = os.open(f"{directory}/{os.getpid()}.writes", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    written = carriers._written

    def noting(tokens: list[Any], now: float) -> None:
        os.write(file, f"{time.monotonic()!r} {tokens[0][0].slot.number} {len(tokens)}\n".encode())
        written(tokens, now)

    carriers._written = noting


if os.environ.get("DISPATCHER_NOTES") and '"kind":"engine"' in sys.orig_argv[-1]:
    _note(os.environ["DISPATCHER_NOTES"])
