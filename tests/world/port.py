"""The store as one engine reaches it: over a network that may be slow, cut, or lose a reply; and the place where engines die.

It refuses to know what the steps mean. The store behind it is the in-memory one; here it gets leases that end by time, because
it has no clock. Each engine's life has a port of its own; when the life ends, nothing goes through it any more.

A reply that is lost after its effect. Where the port of the engine says that a repeated call is harmless, the call fails and
the engine repeats it. The other steps leave a marker in their own transaction, and the client inside the store looks for it
before it says anything, so the reply only comes late. tests/dispatcher/store proves that half on a real server.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from dispatcher.core.ports import StoreUnavailable
from dispatcher.store.memory import MemoryStore
from tests.world.clock import Time
from tests.world.coverage import moment_of_call

MARKED = frozenset({"settle", "admit", "accept_group", "pop", "take_over", "write_ahead"})
"""Steps of which the client knows after a lost reply whether they took effect."""
NOT_CALLS = frozenset({"partition", "available", "on_available"})


class LeaseTable(dict[str, str]):
    """Leases by name, each of which ends by itself."""

    def __init__(self, time: Time, ttl_s: float) -> None:
        super().__init__()
        self._time = time
        self._ttl_s = ttl_s
        self._until: dict[str, float] = {}

    def __setitem__(self, name: str, nonce: str) -> None:
        super().__setitem__(name, nonce)
        self._until[name] = self._time.now + self._ttl_s

    def sweep(self) -> None:
        """What the server's clock does."""
        now = self._time.now
        for name in [n for n in self if self._until[n] <= now]:
            del self[name]


def world_store(time: Time, lease_s: float) -> MemoryStore:
    """The one store of a world."""
    store = MemoryStore(reservations=True)
    store.leases = LeaseTable(time, lease_s)
    return store


class Trap:
    """At the next call of `step` (with "": of any that comes at `moment`), `when` (before, after), `kind` happens; `much` in
    seconds. `strike`: what it does, where that is no death and no lost reply."""

    __slots__ = ("kind", "moment", "much", "step", "strike", "when")

    def __init__(
        self, kind: str, step: str, when: str, much: float, *, moment: str, strike: Callable[[], None] | None = None
    ) -> None:
        self.kind, self.step, self.when, self.much, self.moment, self.strike = kind, step, when, much, moment, strike


class Port:
    """Looks like the store. `die(moment)` ends the engine's life; `seen(step, args, result)` hears of every effect;
    `moment()` names what the engine is doing; `fault(kind, moment)` counts."""

    partition = "p0"
    available = True

    def __init__(
        self,
        store: MemoryStore,
        time: Time,
        rng: random.Random,
        *,
        die: Callable[[], None],
        seen: Callable[[str, tuple[Any, ...], Any], None],
        moment: Callable[[], str],
        fault: Callable[[str, str], None],
    ) -> None:
        self._store, self._time, self._rng = store, time, rng
        self._die, self._seen, self._moment, self._fault = die, seen, moment, fault
        self.dead = False
        self.away_until = self.slow_until = -1.0
        self.slow_s = 0.0
        self.traps: list[Trap] = []
        self.on_available: Callable[[bool], None] | None = None
        self.busy = ""
        self.settled_at = self.troubled_at = -1.0
        self._counted: set[tuple[str, str, float]] = set()
        self._slept = 0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        inner = getattr(self._store, name)

        async def call(*args: Any, **named: Any) -> Any:
            return await self._call(name, inner, args, named)

        self.__dict__[name] = call
        return call

    async def _call(self, name: str, inner: Callable[..., Awaitable[Any]], args: tuple[Any, ...], named: Any) -> Any:
        time = self._time
        self.busy = name
        await self._pause(name, "before")
        if self.dead:
            await trio.sleep_forever()
        if time.now < self.away_until:
            self._count("store away", moment_of_call(name, "before", self._moment()))
            self.busy = ""
            await trio.sleep(0.01)
            raise StoreUnavailable("away")
        if self.traps:
            await self._spring(name, "before")
        self._store.leases.sweep()  # type: ignore[attr-defined]
        result = await inner(*args, **named)
        self._seen(name, args, result)
        self.busy = ""
        if name == "settle":
            self.settled_at = time.now
        met = name if result or name != "pop" else ""  # nothing was claimed: no moment of a message
        if self.traps:
            await self._spring(met, "after")
        await self._pause(met, "after")
        if self.dead:
            await trio.sleep_forever()
        return result

    async def _pause(self, name: str, when: str) -> None:
        """The network's time: mostly next to nothing."""
        if self._time.now < self.slow_until:
            self._count("store slow", moment_of_call(name, when, self._moment()))
            await trio.sleep(self._rng.uniform(0.2, 1.0) * self.slow_s)
        else:
            self._slept += 1
            if self._slept % 3:
                await trio.lowlevel.checkpoint()
            else:
                await trio.sleep(0.0005 + 0.002 * self._rng.random())

    def _count(self, kind: str, moment: str) -> None:
        """One outage is one fault at each moment that it meets."""
        self.troubled_at = self._time.now
        key = (kind, moment, self.away_until if kind == "store away" else self.slow_until)
        if key not in self._counted:
            self._counted.add(key)
            self._fault(kind, moment)

    async def _spring(self, name: str, when: str) -> None:
        moment = moment_of_call(name, when, self._moment())
        for trap in self.traps:
            if trap.when == when and (trap.step == name or (not trap.step and trap.moment == moment)):
                break
        else:
            return
        self.traps.remove(trap)
        self.troubled_at = self._time.now
        if trap.strike is not None:
            trap.strike()
            if self.dead:
                await trio.sleep_forever()
            return
        self._fault(trap.kind, moment)
        if trap.kind.startswith("crash"):
            self._die()
            await trio.sleep_forever()
        await trio.sleep(min(trap.much, 1.5))
        self.troubled_at = self._time.now
        if self.dead:
            await trio.sleep_forever()
        if name not in MARKED:
            raise StoreUnavailable("the reply was lost")
