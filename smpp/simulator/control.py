"""A line protocol to steer a simulator from outside: one command a line, one line of answer, `ok ...` or `error ...`.

    stats            ok {"submits": ...}       drop        cuts every link: ok 3
    down / up        a crash, and back         reset       forgets counts and records
    stalled on|off   holds answers, receipts   inbound SYSTEM_ID FROM TO TEXT   a handset's message
    handset {"system_id": ..., "from": ..., "to": ..., "text": ..., "way": "udh8|udh16|sar", "reference": n,
             "order": [2, 1], "sessions": [0, 1]}   ok PARTS: of a long one the parts in `order` (default all), each over
                                                    its session (default the first); "hex", "data_coding", "esm_class"
                                                    instead of text: user data as it is

It refuses to know what the commands do; smsc.py does. Nothing is authenticated: listen on a unix socket or on loopback.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Final

import trio

from smpp.codec import deliver_sm_body
from smpp.errors import LocalProtocolError
from smpp.simulator.handset import message
from smpp.simulator.scenario import ScenarioError
from smpp.simulator.smsc import Simulator
from smpp.text import Encoding, gsm7, ucs2

LINE_BYTES_MAX: Final = 65_536
USAGE: Final = "stats, drop, down, up, reset, stalled on|off, inbound SYSTEM_ID FROM TO TEXT, handset JSON"


async def obey(simulator: Simulator, line: str) -> str:
    """Carries out one command line; the answer line says what came of it."""
    if line.startswith("handset "):
        return _handset(simulator, line.removeprefix("handset "))
    match line.split(maxsplit=4):
        case ["stats"]:
            return f"ok {json.dumps(simulator.snapshot())}"
        case ["drop"]:
            return f"ok {await simulator.drop()}"
        case ["down"]:
            await simulator.down()
        case ["up"]:
            await simulator.up()
        case ["reset"]:
            simulator.reset()
        case ["stalled", ("on" | "off") as state]:
            simulator.stall(state == "on")
        case ["inbound", system_id, source, dest, text]:
            basic = gsm7(text)
            coding = Encoding.UCS2 if basic is None else Encoding.GSM7
            simulator.inbound(system_id, source, dest, ucs2(text) if basic is None else basic, coding)
        case _:
            return f"error unknown command; one of: {USAGE}"
    return "ok"


def _handset(simulator: Simulator, text: str) -> str:
    try:
        told = json.loads(text)
        source, dest = str(told["from"]), str(told["to"])
        if "hex" in told:
            coding, esm = int(told.get("data_coding", 0)), int(told.get("esm_class", 0))
            bodies = [deliver_sm_body(source, dest, bytes.fromhex(told["hex"]), data_coding=coding, esm_class=esm)]
        else:
            bodies = message(source, dest, str(told["text"]), str(told.get("way", "udh8")), int(told.get("reference", 1)))
        order = [int(place) for place in told.get("order", range(1, len(bodies) + 1))]
        sessions = [int(each) for each in told.get("sessions", [0])]
        chosen = [bodies[place - 1] for place in order]
        system_id = str(told["system_id"])
    except (ValueError, LookupError, TypeError, LocalProtocolError) as error:
        return f"error handset: {type(error).__name__}"
    for number, body in enumerate(chosen):
        simulator.inbound_over(system_id, sessions[number % len(sessions)], body)
    return f"ok {len(bodies)}"


async def serve_control(simulator: Simulator, address: str) -> None:
    """Listens at `unix:PATH` or `HOST:PORT` until cancelled. Raises ScenarioError for another form."""

    async def talk(stream: trio.abc.Stream) -> None:
        pending = bytearray()
        try:
            async for data in stream:
                pending += data
                while (end := pending.find(b"\n")) >= 0:
                    line = pending[:end].decode("utf-8", "replace")
                    del pending[: end + 1]
                    await stream.send_all((await obey(simulator, line) + "\n").encode())
                if len(pending) > LINE_BYTES_MAX:
                    return
        except trio.BrokenResourceError:
            return

    await trio.serve_listeners(talk, await _listeners(address))


async def _listeners(address: str) -> list[trio.SocketListener]:
    kind, _, rest = address.partition(":")
    if kind == "unix" and rest:
        path = trio.Path(Path(rest))
        if await path.is_socket():  # left by one that was killed
            await path.unlink()
        unix = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        await unix.bind(str(path))
        unix.listen(8)
        return [trio.SocketListener(unix)]
    if not kind or not rest.isdigit():
        raise ScenarioError(f"control: {address!r} is neither unix:PATH nor HOST:PORT", "write for example 127.0.0.1:2776")
    return await trio.open_tcp_listeners(int(rest), host=kind)
