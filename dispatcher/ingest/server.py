"""uvicorn, set up for this door: quiet, bounded, and impatient with heads that do not arrive.

This module refuses to know the application. uvicorn has a keep-alive timer but none for a request's head, so a caller
who sends one byte a minute would keep a connection for ever; the protocol class below closes it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dispatcher.core.door_settings import Http
from dispatcher.ingest.answers import Receive, Scope, SendEvent, answer_of, write
from dispatcher.ingest.problems import Problem

HEAD_BYTES_MAX = 32_768
KEEP_ALIVE_S = 65
"""Longer than the usual 60 s of a load balancer, so that it is never us who close on its next request."""
BACKLOG_CONNECTIONS = 1024
DRAIN_S = 10
LAST_REQUEST_S = 0.3
"""At a stop a connection without a request under way stays so long: one that has been sent is still answered."""


def config(app: Any, http: Http, **more: Any) -> uvicorn.Config:
    """For `uvicorn.Server(...)`. `more` overrides, e.g. port=0 or fd=. Access logs are off: paths hold ids and keys."""
    host, _, port = http.listen.rpartition(":")
    settings: dict[str, Any] = {
        "host": host.strip("[]"),
        "port": int(port),
        "http": protocol(http.header_timeout_s, http.connections_max),
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "log_config": None,
        "server_header": False,
        "backlog": BACKLOG_CONNECTIONS,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": DRAIN_S,
        "proxy_headers": bool(http.trusted_proxies),
        "forwarded_allow_ips": list(http.trusted_proxies),
    }
    if http.tls_cert_file:
        settings |= {"ssl_certfile": http.tls_cert_file, "ssl_keyfile": http.tls_key_file}
    return uvicorn.Config(app, **(settings | more))


async def _crowded(_scope: Scope, _receive: Receive, send: SendEvent) -> None:
    """Answers whatever is asked with 503, and ends the connection."""
    problem = Problem("overloaded", "too many connections", retry_after_s=1, close=True)
    await write(answer_of(problem), send)


def protocol(header_timeout_s: float, connections_max: int) -> type[HttpToolsProtocol]:
    """uvicorn's protocol with limits on a request's head (seconds from its first byte, or the connection, to its last;
    bytes) and on connections: those beyond `connections_max` are answered 503 and closed. (uvicorn's own limit answers in
    plain text without Retry-After.) At a stop a request that is on its way is answered, as its connection's last; uvicorn would
    close under it."""

    class Impatient(HttpToolsProtocol):
        _head_timer: asyncio.TimerHandle | None = None
        _head_bytes = 0
        _in_head = True
        _leaving = False

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > connections_max:
                self.app = _crowded
            self._start_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_head()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                self._head_bytes += len(data)
            super().data_received(data)
            if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
                self.transport.close()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._head_timer is None:
                self._start_head()

        def on_headers_complete(self) -> None:
            self._end_head()
            super().on_headers_complete()
            if self._leaving and self.cycle is not None:
                self.cycle.keep_alive = False

        def shutdown(self) -> None:
            self._leaving = True
            if self._idle():
                self.loop.call_later(LAST_REQUEST_S, self._leave)
            else:
                super().shutdown()

        def _idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _leave(self) -> None:
            if self._idle():
                self.transport.close()

        def _start_head(self) -> None:
            self._in_head, self._head_bytes = True, 0
            self._head_timer = self.loop.call_later(header_timeout_s, self.transport.close)

        def _end_head(self) -> None:
            self._in_head = False
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

    return Impatient
