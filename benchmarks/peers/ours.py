"""The dispatcher at the peers' job: all its processes, an HTTP request for each message, a signed webhook for each end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.installation import Durability, machine
from benchmarks.peers.job import SESSIONS, TEXT, WINDOW, Peer, Sides
from dispatcher.commands.load.own import Wish, own
from dispatcher.commands.load.processes import pids
from dispatcher.ops.run_dir import run_dir

_NOTICES = '[notices]\nallow_insecure = true\nallow_networks = ["127.0.0.0/8"]\n'


@contextmanager
def ours(sides: Sides, durability: Durability) -> Iterator[Peer]:
    """Running and bound. Raises Failed when it does not start."""
    wish = Wish(durability=durability, sessions=SESSIONS, window=WINDOW, port=sides.carrier, extra=_NOTICES)
    with own(wish) as installed:
        callback = {"url": f"http://127.0.0.1:{sides.receiver}/hook", "events": "final"}
        body = json.dumps({"to": "+NUMBER", "text": TEXT, "callback": callback})
        request = (
            "POST /v1/messages HTTP/1.1\nHost: bench\n"
            f"Authorization: Bearer {installed.key}\nContent-Type: application/json\nContent-Length: LENGTH\n\n{body}"
        )
        run = run_dir(installed.context.settings)
        name = f"dispatcher, {durability}"
        yield Peer(name, machine()["commit"], installed.world.ports.http, request, lambda: list(pids(run).values()))
