"""A simulated carrier as a process of its own that remembers every submit_sm, steered over its stdin.

`python -m tests.process.carrier SCENARIO.toml`: prints one line of JSON when it listens, then obeys one command a line
(smpp/simulator/control.py; `records FILE`: writes what it received; `drain FILE`: the same, and forgets it), and ends with its
stdin.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio

from smpp import constants as c
from smpp.codec import SubmitSm
from smpp.simulator.control import obey
from smpp.simulator.meter import Received
from smpp.simulator.scenario import load
from smpp.simulator.smsc import Simulator, serve


def concatenation(submit: SubmitSm) -> tuple[int, int, int]:
    """Reference, total and number of this part; (0, 1, 1) of a message in one piece."""
    text = submit.short_message
    if submit.esm_class & c.ESM_UDHI and len(text) > 5 and text[0] == 5 and text[1] == 0:
        return text[3], text[4], text[5]
    return 0, 1, 1


def row(received: Received) -> list[object]:
    """One submission as JSON."""
    submit = received.submit
    reference, total, part = concatenation(submit)
    return [
        received.at,
        submit.destination_addr,
        part,
        total,
        reference,
        received.status,
        received.message_id,
        received.session,
        submit.short_message.hex(),
        submit.source_addr,
        submit.data_coding,
        submit.validity_period,
    ]


async def command(simulator: Simulator, line: str) -> str:
    """Obeys one line; `records FILE` writes what was received so far, `drain FILE` what was since the last time."""
    word, _, place = line.partition(" ")
    if word in {"records", "drain"}:
        rows = [row(each) for each in simulator.received]
        if word == "drain":
            simulator.received.clear()
        await trio.Path(place).write_text(json.dumps(rows))
        return f"ok {len(rows)}"
    return await obey(simulator, line)


async def run(path: Path) -> None:
    """Serves until stdin ends."""
    async with trio.open_nursery() as nursery:
        simulator: Simulator = await nursery.start(lambda **kw: serve(load(path), record=True, **kw))
        print(json.dumps({"port": simulator.port}), flush=True)
        stdin = trio.lowlevel.FdStream(0)
        pending = b""
        async for data in stdin:
            pending += data
            *lines, pending = pending.split(b"\n")
            for line in lines:
                print(await command(simulator, line.decode()), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(run, Path(sys.argv[1]))
