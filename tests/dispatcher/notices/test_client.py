"""Calls over real sockets: kept connections, limits, certificates, and that a call goes to the address that was judged."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher.core.door_settings import Notices
from dispatcher.notices.client import Client, Outcome, seconds_of
from dispatcher.notices.wire import ANSWER_BYTES_MAX
from tests.dispatcher.notices.world import ANSWER, OK, OPEN, T0, Receiver, Request, names_as_they_are, says, until


def run(case: Callable[[], Awaitable[None]]) -> None:
    """One asyncio life."""

    async def whole() -> None:
        await asyncio.wait_for(asyncio.ensure_future(case()), 30)

    asyncio.run(whole())


def client_of(notices: Notices = OPEN, resolve: Any = names_as_they_are, context: ssl.SSLContext | None = None) -> Client:
    """A client."""
    return Client(notices, resolve, now_ms=lambda: T0, context=context)


async def call(client: Client, url: str) -> Outcome:
    """One call."""
    return await client.call("acme", url, b'{"a":1}', [("Webhook-Id", "evt_1")])


def test_a_request_as_it_arrives() -> None:
    """POST, path and query, host, type, our headers, the body."""

    async def case() -> None:
        async with Receiver() as receiver:
            client = client_of()
            assert await call(client, receiver.url) == Outcome("delivered", 200)
            (request,) = receiver.requests
            assert (request.path, request.body) == ("/hook?token=hidden", b'{"a":1}')
            assert request.headers == {
                "host": f"127.0.0.1:{receiver.port}",
                "user-agent": "sms-dispatcher-webhook/1",
                "content-type": "application/json",
                "webhook-id": "evt_1",
                "content-length": "7",
            }
            assert await call(client, f"http://127.0.0.1:{receiver.port}?x=1") == Outcome("delivered", 200)
            assert receiver.requests[1].path == "/?x=1"
            client.close()

    run(case)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (ANSWER % b"200 OK", Outcome("delivered", 200)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Outcome("delivered", 204)),
        (b"HTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n", Outcome("delivered", 299)),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", Outcome("delivered", 202)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Outcome("delivered", 200)),
        (ANSWER % b"301 Moved", Outcome("refused", 301)),
        (ANSWER % b"304 Not Modified", Outcome("refused", 304)),
        (ANSWER % b"404 Not Found", Outcome("refused", 404)),
        (ANSWER % b"410 Gone", Outcome("gone", 410)),
        (b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\nContent-Length: 0\r\n\r\n", Outcome("refused", 503, 7.0)),
        (b"HTTP/1.1 500 Bad\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", Outcome("refused", 500)),
        (b"nonsense\r\n\r\n", Outcome("unreachable")),
    ],
)
def test_what_an_answer_means(answer: bytes, outcome: Outcome) -> None:
    """Only 2xx is success; nothing is followed."""

    async def case() -> None:
        async with Receiver(says(answer)) as receiver:
            client = client_of()
            assert await call(client, receiver.url) == outcome
            client.close()

    run(case)


def test_connections_are_kept_and_a_stale_one_is_no_failure() -> None:
    """Many calls over one connection; one that the receiver closed meanwhile is replaced; `Connection: close` is obeyed."""

    async def case() -> None:
        async with Receiver() as receiver:
            client = client_of()
            for _ in range(5):
                assert (await call(client, receiver.url)).result == "delivered"
            assert receiver.connections == 1
            receiver.drop()
            assert (await call(client, receiver.url)).result == "delivered"
            assert receiver.connections == 2

            async def hangs_up(request: Request, writer: asyncio.StreamWriter) -> None:
                if request.connection == 2:
                    writer.transport.abort()
                else:
                    writer.write(OK)

            receiver.behave = hangs_up
            assert (await call(client, receiver.url)).result == "delivered"
            assert receiver.connections == 3
            receiver.behave = says(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nrest")
            before = receiver.connections

            async def to_the_end(_: Request, writer: asyncio.StreamWriter) -> None:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
                await writer.drain()
                writer.close()

            receiver.behave = to_the_end
            assert (await call(client, receiver.url)).result == "delivered"
            receiver.behave = says(OK)
            assert (await call(client, receiver.url)).result == "delivered"
            assert receiver.connections == before + 1
            client.close()

    run(case)


def test_a_new_connection_that_breaks_is_not_tried_again() -> None:
    """A call is made once; who repeats it decides elsewhere."""

    async def case() -> None:
        async def hangs_up(_: Request, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with Receiver(hangs_up) as receiver:
            assert await call(client_of(), receiver.url) == Outcome("unreachable")
            assert receiver.connections == 1
        assert await call(client_of(), receiver.url) == Outcome("unreachable")

    run(case)


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_answers_are_read_to_a_limit(size: int) -> None:
    """Head and body together, exactly to it."""

    async def case() -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"
        body = ANSWER_BYTES_MAX - len(head) + size
        answer = head.replace(b"99999", b"%05d" % body) + b"x" * body
        async with Receiver(says(answer)) as receiver:
            client = client_of()
            assert (await call(client, receiver.url)).result == ("too_large" if size > 0 else "delivered")
            client.close()

    run(case)


def test_a_call_ends_in_time() -> None:
    """However slowly it answers, and when it does not; an endless head too."""

    async def case() -> None:
        async def drips(_: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                writer.write(b"X-More: 1\r\n")
                await writer.drain()
                await asyncio.sleep(0.1)

        notices = msgspec.structs.replace(OPEN, timeout_s=0.4)
        async with Receiver(drips) as receiver:
            began = time.monotonic()
            assert await call(client_of(notices), receiver.url) == Outcome("timeout")
            assert time.monotonic() - began < 2

        async def never(_: str, __: str, ___: int) -> Sequence[str]:
            await asyncio.sleep(30)
            return []

        notices = msgspec.structs.replace(OPEN, connect_timeout_s=0.2)
        assert await call(client_of(notices, never), "http://127.0.0.1:1/") == Outcome("timeout")

    run(case)


def test_the_name_is_asked_once_and_the_judged_address_is_called() -> None:
    """Between judging and connecting no name can change its mind; the Host header stays the name."""

    async def case() -> None:
        asked: list[str] = []

        async def resolve(_: str, host: str, __: int) -> Sequence[str]:
            asked.append(host)
            return ["127.0.0.1"]

        async with Receiver() as receiver:
            client = client_of(resolve=resolve)
            for _ in range(3):
                assert (await call(client, f"http://name.invalid:{receiver.port}/")).result == "delivered"
            assert asked == ["name.invalid"]
            assert receiver.requests[0].headers["host"] == f"name.invalid:{receiver.port}"
            client.close()

            async def both(_: str, __: str, ___: int) -> Sequence[str]:
                return ["127.0.0.1", "10.0.0.1"]

            assert (await call(client_of(resolve=both), f"http://name.invalid:{receiver.port}/")).result == "blocked"

            async def unknown(_: str, __: str, ___: int) -> Sequence[str]:
                raise OSError("no such name")

            assert (await call(client_of(resolve=unknown), "http://name.invalid:81/")).result == "unreachable"

    run(case)


def test_only_https_to_public_addresses_unless_allowed() -> None:
    """The default: no http, no loopback."""

    async def case() -> None:
        async with Receiver() as receiver:
            strict = Notices()
            assert await call(client_of(strict), receiver.url) == Outcome("blocked")
            assert await call(client_of(strict), receiver.url.replace("http", "https")) == Outcome("blocked")
            only_insecure = Notices(allow_insecure=True)
            assert await call(client_of(only_insecure), receiver.url) == Outcome("blocked")
            assert receiver.connections == 0

    run(case)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Files of a certificate for hook.example and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    directory: Path = tmp_path_factory.mktemp("tls")
    key, certificate = str(directory / "key.pem"), str(directory / "cert.pem")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "3650",
            "-keyout",
            key,
            "-out",
            certificate,
            "-subj",
            "/CN=hook.example",
            "-addext",
            "subjectAltName=DNS:hook.example",
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_certificates_are_verified_against_the_name(certificate: tuple[str, str]) -> None:
    """Trusted and of that name: delivered. Another name, or not trusted: unreachable. allow_insecure: delivered."""

    async def case() -> None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*certificate)
        names: list[str | None] = []
        server.sni_callback = lambda _, name, __: names.append(name)

        async def resolve(_: str, __: str, ___: int) -> Sequence[str]:
            return ["127.0.0.1"]

        async with Receiver(ssl=server) as receiver:
            strict = Notices(allow_networks=("127.0.0.0/8",))
            trusted = ssl.create_default_context(cafile=certificate[0])
            client = client_of(strict, resolve, trusted)
            for _ in range(3):
                assert await call(client, f"https://hook.example:{receiver.port}/") == Outcome("delivered", 200)
            assert names == ["hook.example"]
            assert receiver.connections == 1
            assert await call(client, f"https://other.example:{receiver.port}/") == Outcome("unreachable")
            client.close()
            unknown = client_of(strict, resolve)
            assert await call(unknown, f"https://hook.example:{receiver.port}/") == Outcome("unreachable")
            careless = client_of(OPEN, resolve)
            assert await call(careless, f"https://other.example:{receiver.port}/") == Outcome("delivered", 200)
            careless.close()
            assert [r.headers["host"] for r in receiver.requests][-1] == f"other.example:{receiver.port}"

    run(case)


def test_kept_connections_are_bounded_and_swept() -> None:
    """No more than calls at once; those unused for long are closed."""

    async def case() -> None:
        receivers = [Receiver() for _ in range(6)]
        for one in receivers:
            await one.__aenter__()
        client = client_of(msgspec.structs.replace(OPEN, concurrency=4))
        for one in receivers:
            assert (await call(client, one.url)).result == "delivered"
        assert client._count == 4 == sum(map(len, client._kept.values()))
        for wires in client._kept.values():
            for wire in wires:
                wire.used_at -= 31
        client.sweep()
        assert client._count == 0 == len(client._kept)
        await until(lambda: not any(one._writers for one in receivers))
        for one in receivers:
            await one.__aexit__()

    run(case)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), (" 5 ", 5), ("", 0), ("-1", 0), ("soon", 0), ("9" * 30, 999_999_999), ("Mon, 21 Sep 2026 14:14:20 GMT", 60)],
)
def test_retry_after(text: str, seconds: float) -> None:
    """Seconds or a date; nonsense is nothing."""
    assert seconds_of(text, T0) == seconds
