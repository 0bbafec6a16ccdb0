"""A driver whose connections fail on command: real sockets, real server, chosen moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from dispatcher.store.redis import RedisStore
from dispatcher.store.transport import ConnectionLost
from dispatcher.store.trio_connection import SocketTransport, TrioDriver


class FaultyTransport:
    """Passes exchanges on until the driver's plan says otherwise."""

    def __init__(self, inner: SocketTransport, driver: FaultyDriver) -> None:
        self.inner = inner
        self.driver = driver

    async def exchange(self, wire: bytes, replies: int, timeout_s: float) -> list[Any]:
        plan, self.driver.plan = (self.driver.plan, "") if self.driver.match in wire else ("", self.driver.plan)
        if plan == "lose":
            await self.inner.exchange(wire, replies, timeout_s)
            raise ConnectionLost("the reply was lost")
        if plan == "cut":
            # everything but the end of the last-but-one third: inside the MULTI
            await self.inner._send(wire[: wire.index(b"EXEC\r\n") - 12])
            await trio.sleep(0.02)
            raise ConnectionLost("cut inside MULTI")
        if plan == "late":
            self.driver.travelling.append((self.inner, wire))
            self.driver.kept.append(self)
            raise ConnectionLost("still travelling")
        if plan == "before" and self.driver.act is not None:
            act, self.driver.act = self.driver.act, None
            await act()
        if plan == "between" and self.driver.act is not None:
            act, self.driver.act = self.driver.act, None
            end = wire.index(b"*1\r\n$4\r\nEXEC")
            await self.inner._send(wire[:end])
            await trio.sleep(0.02)
            await act()
            return await self.inner.exchange(wire[end:], replies, timeout_s)
        return await self.inner.exchange(wire, replies, timeout_s)

    async def close(self) -> None:
        if self not in self.driver.kept:
            await self.inner.close()


class FaultyDriver(TrioDriver):
    """`plan` strikes the next exchange whose bytes contain `match`: lose, cut, late, before (calls `act` first)
    or between (calls it when all but the EXEC has left)."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.plan = ""
        self.match = b"EXEC\r\n"
        self.act: Callable[[], Any] | None = None
        self.travelling: list[tuple[SocketTransport, bytes]] = []
        self.kept: list[FaultyTransport] = []

    async def connect(self) -> Any:
        inner = await super().connect()
        assert isinstance(inner, SocketTransport)
        return FaultyTransport(inner, self)

    async def arrive(self) -> None:
        """What was travelling reaches the server now."""
        for inner, wire in self.travelling:
            await inner._send(wire)
            await trio.sleep(0.05)
            await inner.close()
        self.travelling.clear()


def faulty(url: str, **options: Any) -> tuple[RedisStore, FaultyDriver]:
    """A store over such a driver."""
    driver = FaultyDriver(url)
    return RedisStore(driver, **options), driver
