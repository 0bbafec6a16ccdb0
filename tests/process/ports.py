"""Ports for processes that are told where to listen: of tests, of benchmarks, of foreign programs. It knows nothing of them."""

from __future__ import annotations

import itertools
import os
import random
import socket

PORTS_FIRST, PORTS_SPAN = 12_000, 2_500
"""Below those that the system gives to whoever asks for any port (from 32768): nobody else's socket takes one of ours between
its choice and its use. Each worker of a parallel run has a span of its own (eight of them)."""
_numbers = itertools.count(random.randrange(PORTS_SPAN))


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, and that this process does not choose again soon."""
    first = PORTS_FIRST + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8 * PORTS_SPAN
    found: list[int] = []
    while len(found) < count:
        port = first + next(_numbers) % PORTS_SPAN
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(port)
    return found
