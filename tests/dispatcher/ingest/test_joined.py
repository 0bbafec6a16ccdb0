"""An answer leaves in one write, and nothing of it is kept back for longer than its body takes."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvicorn

from dispatcher.core.door_settings import Http
from dispatcher.ingest.server import Joined, config

HEAD = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n"


class Kernel:
    """A transport that remembers what it was given."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed_after = -1

    def write(self, data: bytes) -> None:
        """See asyncio."""
        self.writes.append(data)

    def close(self) -> None:
        """See asyncio."""
        self.closed_after = len(self.writes)

    def is_closing(self) -> bool:
        """See asyncio."""
        return self.closed_after >= 0


@pytest.fixture
def kernel() -> Kernel:
    """Fresh."""
    return Kernel()


@pytest.fixture
def joined(kernel: Kernel) -> Joined:
    """Over it."""
    return Joined(kernel)  # type: ignore[arg-type]  # what of a transport is used


def test_head_and_body_are_one_write(kernel: Kernel, joined: Joined) -> None:
    """Of each answer on a kept connection; a body may begin like a head."""
    for _ in range(2):
        joined.write(HEAD)
        joined.write(b"ok")
        joined.ended()
    joined.write(HEAD)
    joined.write(b"")
    joined.write(HEAD)
    joined.ended()
    assert kernel.writes == [HEAD + b"ok", HEAD + b"ok", HEAD, HEAD]


def test_only_the_first_part_of_a_body_waits_with_its_head(kernel: Kernel, joined: Joined) -> None:
    """What streams goes on as it comes."""
    for part in (HEAD, b"a", b"b", b"c"):
        joined.write(part)
    assert kernel.writes == [HEAD + b"a", b"b", b"c"]


def test_a_caller_who_waits_for_100_gets_it_at_once(kernel: Kernel, joined: Joined) -> None:
    """And the answer behind it is whole."""
    joined.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert kernel.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    joined.write(HEAD)
    joined.write(b"ok")
    assert kernel.writes[1:] == [HEAD + b"ok"]


def test_a_head_without_a_body_leaves_with_the_end(kernel: Kernel, joined: Joined) -> None:
    """The end of the answer, or of the connection, and before it."""
    joined.write(HEAD)
    assert kernel.writes == []
    joined.ended()
    assert kernel.writes == [HEAD]
    joined.write(HEAD)
    joined.close()
    assert kernel.writes == [HEAD, HEAD]
    assert kernel.closed_after == 2
    assert joined.is_closing()


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def test_a_real_connection_answers_heads_and_what_is_pipelined() -> None:
    """HEAD has no body, 100 is asked for, three requests come at once, the last one ends the connection."""

    async def case() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = uvicorn.Server(config(_app, Http(), lifespan="off"))
            serving = asyncio.create_task(server.serve([listening]))
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            first = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
            writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            writer.write(first)
            told = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            writer.write(b"1" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2 + b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
            rest = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            server.should_exit = True
            await serving
            assert head.startswith(b"HTTP/1.1 200")
            assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
            return rest

    rest = asyncio.run(case())
    assert rest.count(b"HTTP/1.1 200") == rest.count(b"\r\n\r\nok") == 4
