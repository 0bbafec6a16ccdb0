"""`run --test-control unix:PATH`: lets a test pass hours in a moment. Refused unless DISPATCHER_TEST=1 is set.

One JSON object a line in, one out: {"ok": ...} or {"error": "..."}.

    {"advance_ms": n}              every clock of the installation goes forward; answers the whole shift
    {"seed": n}                    what is drawn by chance at the doors (codes) repeats; 0: real chance again
    {"deliver": {"control": "unix:PATH or HOST:PORT", "system_id": ..., "from": ..., "to": ..., "text": ...}}
                                   a handset's message by way of a simulated carrier's own control
"""

from __future__ import annotations

import os
import socket
from typing import Any, Final

import msgspec
import trio

from dispatcher.ops.clocks import Wish
from dispatcher.ops.errors import OpsError

ENVIRONMENT: Final = "DISPATCHER_TEST"
LINE_BYTES_MAX: Final = 65_536


def check(address: str) -> str:
    """The socket's path. Raises OpsError where test control is not allowed or the address is none."""
    if os.environ.get(ENVIRONMENT) != "1":
        raise OpsError(
            "--test-control moves clocks and forgets limits: it is refused here", f"only for tests: set {ENVIRONMENT}=1"
        )
    kind, _, path = address.partition(":")
    if kind != "unix" or not path:
        raise OpsError(f"--test-control {address!r} is not an address", "write unix:PATH")
    return path


async def obey(line: bytes, wish: Wish) -> Any:
    """Carries out one line. Raises ValueError for what is no command, OSError where a simulator does not answer."""
    try:
        command = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(f"not a JSON object ({error})") from None
    match command:
        case {"advance_ms": int() as ms}:
            wish.shift_ms += ms
            return wish.shift_ms
        case {"seed": int() as seed}:
            wish.seed = seed
            return seed
        case {"deliver": {"control": str() as to, "system_id": s, "from": a, "to": b, "text": t}}:
            return await _say(to, f"inbound {s} {a} {b} {t}")
    raise ValueError("unknown command; one of advance_ms, seed, deliver")


async def _say(address: str, line: str) -> str:
    kind, _, rest = address.partition(":")
    stream = await trio.open_unix_socket(rest) if kind == "unix" else await trio.open_tcp_stream(kind, int(rest))
    async with stream:
        await stream.send_all(line.encode() + b"\n")
        answer = bytes(await stream.receive_some(LINE_BYTES_MAX)).decode().strip()
    if not answer.startswith("ok"):
        raise ValueError(answer)
    return answer.removeprefix("ok").strip()


async def serve(path: str, wish: Wish) -> None:
    """Listens on the unix socket until cancelled."""

    async def talk(stream: trio.abc.Stream) -> None:
        pending = bytearray()
        async for data in stream:
            pending += data
            while (end := pending.find(b"\n")) >= 0:
                line = bytes(pending[:end])
                del pending[: end + 1]
                try:
                    answer = {"ok": await obey(line, wish)}
                except (ValueError, OSError) as error:
                    answer = {"error": str(error)}
                await stream.send_all(msgspec.json.encode(answer) + b"\n")
            if len(pending) > LINE_BYTES_MAX:
                return

    await trio.Path(path).unlink(missing_ok=True)
    unix = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await unix.bind(path)
    unix.listen(8)
    await trio.serve_listeners(talk, [trio.SocketListener(unix)])
