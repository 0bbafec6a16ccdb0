"""Engines as processes: begun, killed without a last word, stopped politely, begun again under the same or a new name.

It refuses to know what an engine does. A death takes its memory and its connections; what had left the house has left.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import trio

from accounting.tariff import parse_csv
from dispatcher.core.admission import Book
from dispatcher.core.counters import Counters
from dispatcher.core.hashing import NumberHash
from dispatcher.core.ids import RandomIds
from dispatcher.core.numbers import NumberBook
from dispatcher.core.ports import Deposed
from dispatcher.core.retry import Rules
from dispatcher.core.settings import Bind, Settings
from dispatcher.engine import engine
from tests.world.clock import Time, Wall, chance
from tests.world.port import Port

NUMBERS = NumberBook()
"""Shared by all worlds of a process: what it remembers is pure."""


class Log:
    """Where engines log: names are kept, for what should never be logged."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self.names: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self._note(event)

    def warning(self, event: str, **fields: Any) -> None:
        self._note(event)

    def error(self, event: str, **fields: Any) -> None:
        self._note(event)
        self.names.append((event, fields))

    exception = error


class Life:
    """One engine process. `ended_at`: seconds, -1 while it lives; `killed`: it did not choose to."""

    def __init__(self, machine: Machine, name: str, number: int) -> None:
        self.machine = machine
        self.name = name
        self.number = number
        self.began_at = machine.time.now
        self.ended_at = -1.0
        self.killed = False
        self.trouble_until = -1.0
        """Until then the store was away or slow for it: what it knows may not be written yet."""
        self.stop = trio.Event()
        self.scope = trio.CancelScope()
        self.wires: list[Any] = []
        self.engine: engine.Engine | None = None
        self.port: Port = machine.new_port(self)
        self.log = Log(lambda event: machine.note(self, event))

    @property
    def alive(self) -> bool:
        """Has it not ended?"""
        return self.ended_at < 0

    def started(self, value: engine.Engine) -> None:
        """What Trio calls a task's status: the engine says that it runs."""
        self.engine = value

    def kill(self) -> None:
        """SIGKILL."""
        if self.alive:
            self.killed = True
            self._end()
            self.scope.cancel()

    def _end(self) -> None:
        self.ended_at = self.machine.time.now
        self.port.dead = True
        for wire in self.wires:
            wire.leave()

    async def run(self) -> None:
        """Until it ends, however."""
        machine = self.machine
        machine.note(self, "begins")
        try:
            with self.scope:
                await machine.run_engine(self)
        except Deposed:
            machine.note(self, "deposed")
        finally:
            if self.alive:
                self._end()
        machine.note(self, "killed" if self.killed else "ended")


class Machine:
    """One place where an engine process is kept running, as a supervisor would: it restarts what has ended."""

    def __init__(
        self,
        number: int,
        time: Time,
        seed: int,
        settings: Settings,
        *,
        new_port: Callable[[Life], Port],
        connect: Callable[[Life, Bind], Any],
        note: Callable[[Life, str], None],
    ) -> None:
        self.number, self.time, self.settings = number, time, settings
        self.wall = Wall(time)
        self.new_port, self.connect, self.note = new_port, connect, note
        self.lives: list[Life] = []
        self.keep = True
        self.traps: list[Any] = []
        """Of the process that runs, or of the next."""
        self._rng = chance(seed, f"machine {number}")
        self._seed = seed

    @property
    def life(self) -> Life | None:
        """The process that lives now."""
        return self.lives[-1] if self.lives and self.lives[-1].alive else None

    async def run(self) -> None:
        """Keeps an engine running. What an engine raises that is not Deposed comes out of here: it is a defect."""
        names = 1
        await trio.sleep(self._rng.uniform(0.0, 0.3))
        while self.keep:
            life = Life(self, f"e{self.number}-{names}", len(self.lives))
            self.lives.append(life)
            await life.run()
            if not life.killed or self._rng.random() < 0.5:
                names += 1  # a supervisor starts a new process under a new name; an orchestrator under the same
            if self.keep:
                await trio.sleep(self._rng.choice((0.1, 0.5, 3.0)))

    async def run_engine(self, life: Life) -> None:
        """One engine with everything of its own."""
        settings = self.settings
        rng = chance(self._seed, f"life {life.name} {life.number}")
        book, rules = book_of(settings), rules_of(settings, rng)

        async def connect(bind: Bind) -> trio.abc.Stream:
            return await self.connect(life, bind)  # type: ignore[no-any-return]

        await engine.run(
            settings,
            life.port,  # type: ignore[arg-type]
            book,
            rules,
            clock=self.wall,
            chance=rng,
            ids=RandomIds(rng.randbytes),
            connect=connect,
            counters=Counters("world"),
            log=life.log,
            name=life.name,
            stop=life.stop,
            task_status=life,  # type: ignore[arg-type]
        )


def book_of(settings: Settings) -> Book:
    """What admission looks things up in."""
    tariffs = []
    for each in settings.tariff:
        csv = "prefix,price\n" + "".join(f"{k},{v}\n" for k, v in each.prices.items())
        tariffs.append(parse_csv(csv, name=each.name, currency=each.currency, source="world"))
    return Book(settings, tariffs, None, NUMBERS, NumberHash(b"k" * 32))


def rules_of(settings: Settings, rng: random.Random) -> Rules:
    """The lifecycle's rules."""
    costs = {c.name: ("EUR", c.cost) for c in settings.carrier if c.cost}
    return Rules(settings, costs, {}, rng.random)
