"""Calls to webhooks: over a kept connection where there is one, else over a new one to an address that was judged.

Refuses to know what is said and when it is said again. A call ends in an Outcome, whatever happens. No redirect is ever
followed: 3xx is an answer like 404. Certificates are verified against the name in the URL, which also is what the Host header
says, while the connection goes to the judged address; so between judging and connecting no name can change its mind.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import OrderedDict
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from dispatcher.core.door_settings import Notices
from dispatcher.core.notices import Origin, origin_of
from dispatcher.notices.addresses import Allowed, Resolve, judged
from dispatcher.notices.wire import Answer, Broken, Wire

IDLE_S: Final = 30.0
"""A connection unused for so long is dropped; most receivers keep theirs longer."""
AGE_MAX_S: Final = 300.0
"""Then the name is asked anew."""
ADDRESSES_TRIED_MAX: Final = 3
AGENT: Final = "sms-dispatcher-webhook/1"


class Outcome(NamedTuple):
    """How a call ended. `result` is the metric's word: delivered (2xx), gone (410), refused (another status), timeout,
    unreachable (no connection, no certificate, no answer), blocked (the address may not be called), too_large.
    `retry_after_s`: what a 429 or 503 asked for."""

    result: str
    status: int = 0
    retry_after_s: float = 0.0


class Client:
    """Kept connections by account and origin. One per process."""

    def __init__(
        self,
        settings: Notices,
        resolve: Resolve,
        *,
        now_ms: Callable[[], int],
        context: ssl.SSLContext | None = None,
    ) -> None:
        """`context`: instead of the system's authorities, for tests. Raises ValueError for a bad allow_networks."""
        self._settings = settings
        self._resolve = resolve
        self._now_ms = now_ms
        self._allowed = Allowed(settings.allow_networks, insecure=settings.allow_insecure)
        self._context = context or ssl.create_default_context()
        if settings.allow_insecure:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self._kept: OrderedDict[tuple[str, Origin], list[Wire]] = OrderedDict()
        self._count = 0

    async def call(self, account: str, url: str, body: bytes, headers: list[tuple[str, str]]) -> Outcome:
        """One POST. Raises nothing but a cancellation."""
        origin = origin_of(url)
        if origin.scheme != "https" and not self._settings.allow_insecure:
            return Outcome("blocked")
        request = request_of(url, origin, body, headers)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                answer = await self._exchange(account, origin, request)
        except TimeoutError:
            return Outcome("timeout")
        except Broken as broken:
            return Outcome(broken.why if broken.why in {"blocked", "too_large", "timeout"} else "unreachable")
        return outcome_of(answer, self._now_ms())

    async def _exchange(self, account: str, origin: Origin, request: bytes) -> Answer:
        key = (account, origin)
        wire = self._take(key)
        if wire is not None:
            try:
                return await self._over(wire, key, request)
            except Broken as broken:
                if not broken.unused:
                    raise
        return await self._over(await self._open(account, origin), key, request)

    async def _over(self, wire: Wire, key: tuple[str, Origin], request: bytes) -> Answer:
        answer = await wire.call(request)
        self._keep(wire, key)
        return answer

    # -- connections
    def _take(self, key: tuple[str, Origin]) -> Wire | None:
        now = asyncio.get_running_loop().time()
        wires = self._kept.get(key, [])
        while wires:
            wire = wires.pop()
            self._count -= 1
            if not wires:
                del self._kept[key]
            if wire.usable and now - wire.used_at < IDLE_S and now - wire.opened_at < AGE_MAX_S:
                return wire
            wire.close()
        return None

    def _keep(self, wire: Wire, key: tuple[str, Origin]) -> None:
        if not wire.usable:
            return
        wire.used_at = asyncio.get_running_loop().time()
        self._kept.setdefault(key, []).append(wire)
        self._kept.move_to_end(key)
        self._count += 1
        if self._count > self._settings.concurrency:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, Origin]) -> None:
        for wire in self._kept.pop(key):
            self._count -= 1
            wire.close()

    def sweep(self) -> None:
        """Drops connections that nobody used for long."""
        now = asyncio.get_running_loop().time()
        for key in [k for k, wires in self._kept.items() if now - wires[-1].used_at > IDLE_S]:
            self._drop(key)

    def close(self) -> None:
        """Drops all of them."""
        for key in list(self._kept):
            self._drop(key)

    async def _open(self, account: str, origin: Origin) -> Wire:
        """A new connection to a judged address. Raises Broken."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                try:
                    addresses = await self._resolve(account, origin.host, origin.port)
                except (OSError, UnicodeError):
                    raise Broken("no_name") from None
                addresses = judged(addresses, origin, self._allowed)
                if not addresses:
                    raise Broken("blocked")
                for address in addresses[:ADDRESSES_TRIED_MAX]:
                    with contextlib.suppress(OSError, ssl.SSLError):
                        return await self._connect(address, origin)
        except TimeoutError:
            raise Broken("timeout") from None
        raise Broken("no_connection")

    async def _connect(self, address: str, origin: Origin) -> Wire:
        loop = asyncio.get_running_loop()
        secure = origin.scheme == "https"
        _, wire = await loop.create_connection(
            Wire,
            address,
            origin.port,
            ssl=self._context if secure else None,
            server_hostname=origin.host.rstrip(".") if secure else None,
        )
        wire.opened_at = loop.time()
        return wire


def request_of(url: str, origin: Origin, body: bytes, headers: list[tuple[str, str]]) -> bytes:
    """The whole request."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"POST {path} HTTP/1.1", f"Host: {origin.text}", f"User-Agent: {AGENT}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1") + body


def outcome_of(answer: Answer, now_ms: int) -> Outcome:
    """What an answer means."""
    status = answer.status
    if 200 <= status < 300:
        return Outcome("delivered", status)
    if status == 410:
        return Outcome("gone", status)
    wait_s = seconds_of(answer.retry_after, now_ms) if status in {429, 503} else 0.0
    return Outcome("refused", status, wait_s)


def seconds_of(retry_after: str, now_ms: int) -> float:
    """Retry-After, seconds or a date; 0 for what is neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_ms / 1000)
    except (ValueError, TypeError, OverflowError):
        return 0.0
