"""A stream that counts what it takes, and whose peer binds us; what else it takes and says is its owner's."""

from __future__ import annotations

from abc import abstractmethod

import trio

from smpp import control


class Binder(trio.abc.Stream):
    """The first write is answered as a bind; every other one is `take`'s. The peer talks when told to: `say`."""

    def __init__(self) -> None:
        self._inbox, self._reads = trio.open_memory_channel[bytes](100)
        self._bound = False

    @abstractmethod
    async def take(self, data: memoryview) -> int:
        """Takes a part of `data`; returns how many bytes."""

    def say(self, data: bytes) -> None:
        self._inbox.send_nowait(data)

    async def send_some(self, data: memoryview) -> int:
        if self._bound:
            return await self.take(data)
        self._bound = True
        self.say(control.bind_resp(control.BindMode.of("trx"), 0, 1, "SMSC"))
        return len(data)

    async def send_all(self, data: object) -> None:
        raise AssertionError("it counts")

    async def wait_send_all_might_not_block(self) -> None:
        raise AssertionError("nobody asks")

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._reads.receive()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
