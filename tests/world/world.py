"""One seed, run: everything is put together here, faults are carried out, then all is healed, and then it is judged.

It refuses to know what is right (auditor, final) and what was drawn (plan).
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from time import process_time
from unittest.mock import patch

import trio

from dispatcher.core.settings import Bind
from dispatcher.engine import timers
from tests.world.auditor import Auditor, Breach
from tests.world.carrier import GIVE_UP_S, Carrier
from tests.world.clock import Time, chance, same_every_time
from tests.world.coverage import Coverage
from tests.world.final import FinalAudit
from tests.world.lives import Life, Machine
from tests.world.pipe import Wire
from tests.world.plan import Fault, Plan, draw
from tests.world.port import Port, Trap, world_store
from tests.world.trace import Line, Trace
from tests.world.workload import Workload

AFTER_S = 130.0
"""So long after the healing everything must be final: the longest validity, the receipt deadline, and a grace."""
AIMED = frozenset(
    {
        "crash", "reset", "half-open", "partial write", "no reading", "restart", "clock jump", "store slow for one",
        "store away", "store away for one",
    }
)  # fmt: skip
"""Faults that wait for their moment, so that also the short ones are met."""
STEPS = {
    "I": ("admit", "before"), "A": ("write_ahead", "before"), "B": ("write_ahead", "after"), "D": ("settle", "before"),
    "E": ("settle", "after"), "G": ("commit_receipts", "before"),
}  # fmt: skip
"""Moments that are a place in a step of the store: there they strike at the next such step. For the others they look."""
LOOKS_MAX = 2_000
"""So often a fault waits for its moment, 3 ms each time; then it strikes whatever the moment is."""
SETTLE_S = 12.0
"""And so long after the last one the store must be tidy: parked receipts have their time."""


@dataclass
class Result:
    """What came of a seed."""

    seed: int
    breaches: list[Breach]
    digest: str
    sends: int
    accepted: int
    submissions: int
    duplicates: int
    finals: Counter[str]
    hits: Counter[tuple[str, str]]
    lives: int
    virtual_s: float
    cpu_s: float
    lines: list[Line] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """How many there were."""
        return self.hits.total()


class World:
    """All of it."""

    def __init__(self, plan: Plan, *, keep: bool = False) -> None:
        self.plan = plan
        self.time = Time()
        self.trace = Trace(keep=keep)
        self.coverage = Coverage()
        self.store = world_store(self.time, plan.settings.engine.lease_s)
        self.auditor = Auditor(plan, self.time, self.store, self.trace, self.coverage)
        self.carriers = {
            c.name: Carrier(self.time, chance(plan.seed, f"carrier {c.name}"), c.name, temper, self.auditor)
            for c, temper in zip(plan.settings.carrier, plan.tempers, strict=True)
        }
        self.machines = [
            Machine(i, self.time, plan.seed, plan.settings, new_port=self._port, connect=self._connect, note=self._note)
            for i in range(1, plan.engines + 1)
        ]
        self.door = self._door()
        self.workload = Workload(plan, self.time, self.door, self.trace)
        self._network = chance(plan.seed, "network")
        self._scope = trio.CancelScope()
        self.time.on_failure = self._scope.cancel
        self.duplicates = 0

    def _note(self, life: Life, event: str) -> None:
        self.trace.note(self.time.now, "life", f"{life.name} {event}")

    def _port(self, life: Life) -> Port:
        port = Port(
            self.store,
            self.time,
            chance(self.plan.seed, f"port {life.name} {life.number}"),
            die=life.kill,
            seen=lambda step, args, result: self.auditor.effect(life, step, args, result),
            moment=lambda: self.auditor.moment_of(life),
            fault=self.coverage.hit,
        )
        port.traps = life.machine.traps
        return port

    def _door(self) -> Port:
        return Port(
            self.store,
            self.time,
            chance(self.plan.seed, "port of the door"),
            die=lambda: None,
            seen=lambda step, args, result: self.auditor.books.read(self.time.now),
            moment=lambda: "I",
            fault=self.coverage.hit,
        )

    async def _connect(self, life: Life, bind: Bind) -> trio.abc.Stream:
        await trio.sleep(self._network.uniform(0.001, 0.05))
        wire = Wire(self.time, random.Random(self._network.random()), self.auditor, self.plan.latency_s, life)
        wire.name, wire.window = bind.host, bind.window
        self.carriers[bind.host].connect(wire)
        life.wires = [w for w in life.wires if not w.closed]
        life.wires.append(wire)
        self.auditor.bound(wire)
        return wire

    # -- faults

    def _strike(self, fault: Fault, looks: int = 0) -> None:
        """A fault's time has come; some wait a little longer for their moment."""
        if self.time.now >= self.plan.heal_at:
            return
        machine = self.machines[fault.whom % len(self.machines)]
        if fault.kind in AIMED and fault.moment in STEPS:
            step, when = STEPS[fault.moment]
            strike = partial(self._carry_out, fault, machine)
            machine.traps.append(Trap(fault.kind, step, when, fault.much, moment=fault.moment, strike=strike))
            return
        early = machine.life is not None and self.auditor.moment_of(machine.life) != fault.moment
        if fault.kind in AIMED and looks < LOOKS_MAX and early:
            self.time.after(0.003, self._strike, fault, looks + 1)
            return
        self._carry_out(fault._replace(moment="") if fault.kind in AIMED else fault, machine)

    def _carry_out(self, fault: Fault, machine: Machine) -> None:
        carrier = list(self.carriers.values())[fault.whom % len(self.carriers)]
        life = machine.life
        self.trace.note(self.time.now, "plan", f"{fault.kind} {fault.whom} {fault.step} {fault.much:.2f}")
        wires = [w for w in life.wires if not (w.closed or w.broken)] if life is not None else []
        {
            "crash": self._crash, "crash before": self._trap, "crash after": self._trap, "reply lost": self._trap,
            "reset": self._wire, "half-open": self._wire, "partial write": self._wire, "no reading": self._wire,
            "store away": self._away, "store away for one": self._away, "store slow for one": self._slow,
            "binds refused": self._burst, "carrier down": self._burst, "throttled": self._burst, "queue full": self._burst,
            "deaf": self._burst, "clock jump": self._jump, "restart": self._restart,
        }[fault.kind](fault, machine, life, carrier, wires)  # fmt: skip

    def _when(self, fault: Fault, life: Life) -> str:
        return fault.moment or self.auditor.moment_of(life)

    def _crash(self, fault: Fault, machine: Machine, life: Life | None, carrier: Carrier, wires: list[Wire]) -> None:
        if life is not None:
            self.coverage.hit("crash", self._when(fault, life))
            life.kill()

    def _restart(self, fault: Fault, machine: Machine, life: Life | None, carrier: Carrier, wires: list[Wire]) -> None:
        if life is not None:
            self.coverage.hit("restart", self._when(fault, life))
            life.stop.set()

    def _trap(self, fault: Fault, machine: Machine, life: Life | None, carrier: Carrier, wires: list[Wire]) -> None:
        when = "before" if fault.kind == "crash before" else "after"
        machine.traps.append(Trap(fault.kind, fault.step, when, fault.much, moment=fault.moment))

    def _wire(self, fault: Fault, machine: Machine, life: Life | None, carrier: Carrier, wires: list[Wire]) -> None:
        if not wires:
            return
        wire = wires[fault.whom % len(wires)]
        self.coverage.hit(fault.kind, self._when(fault, wire.life))
        if fault.kind == "reset":
            wire.reset()
        elif fault.kind == "partial write":
            wire.budget = int(fault.much * 60)
        elif fault.kind == "half-open":
            wire.silent = True
            self.time.after(GIVE_UP_S, carrier_of(self, wire).gives_up, wire)
        else:
            wire.reading = False
            self.time.after(fault.much, wire.read_again)

    def _away(self, fault: Fault, machine: Machine, life: Life | None, carrier: Carrier, wires: list[Wire]) -> None:
        until = self.time.now + fault.much
        lives = [life] if fault.kind == "store away for one" else [m.life for m in self.machines]
        for each in lives:
            if each is not None:
                each.port.away_until = until
                each.trouble_until = max(each.trouble_until, until)
        if fault.kind == "store away":
            self.door.away_until = until

    def _slow(self, fault: Fault, machine: Machine, life: Life | None, carrier: Carrier, wires: list[Wire]) -> None:
        if life is not None:
            life.port.slow_until = self.time.now + fault.much
            life.port.slow_s = fault.much * 0.6
            life.trouble_until = max(life.trouble_until, self.time.now + 3 * fault.much)

    def _burst(self, fault: Fault, machine: Machine, life: Life | None, carrier: Carrier, wires: list[Wire]) -> None:
        until = self.time.now + fault.much
        if fault.kind == "carrier down":
            carrier.goes_down(fault.much)
        elif fault.kind == "binds refused":
            carrier.refuses_until = until
        elif fault.kind == "throttled":
            carrier.throttles_until = until
        elif fault.kind == "queue full":
            carrier.full_until = until
        else:
            carrier.deaf_until = until

    def _jump(self, fault: Fault, machine: Machine, life: Life | None, carrier: Carrier, wires: list[Wire]) -> None:
        machine.wall.jump(int(fault.much * 1000))
        self.coverage.hit("clock jump", self._when(fault, life) if life is not None else "H")

    def _heal(self) -> None:
        self.trace.note(self.time.now, "plan", "healed")
        now = self.time.now
        for port in [m.life.port for m in self.machines if m.life] + [self.door]:
            port.away_until = port.slow_until = now
        for machine in self.machines:
            machine.traps.clear()
        for carrier in self.carriers.values():
            carrier.healed = True
            carrier.refuses_until = carrier.down_until = carrier.deaf_until = now
            carrier.throttles_until = carrier.full_until = now
        for machine in self.machines:
            machine.wall.jump(-machine.wall.ahead_ms)

    # -- the run

    async def main(self) -> None:
        """From the first account to the last audit."""
        with self._scope:
            await self.workload.open_accounts()
            self.auditor.books.read(0.0)
            for fault in self.plan.faults:
                self.time.at(fault.at, self._strike, fault)
            self.time.at(self.plan.heal_at, self._heal)
            async with trio.open_nursery() as nursery:
                for machine in self.machines:
                    nursery.start_soon(machine.run)
                nursery.start_soon(self.workload.run)
                await trio.sleep_until(self.plan.heal_at + 1.0)
                await self._until_final()
                await trio.sleep(SETTLE_S)
                await self._stop()
                nursery.cancel_scope.cancel()
        if self.time.failure is not None:
            raise self.time.failure
        audit = FinalAudit(self.auditor, self.workload)
        audit.run()
        self.duplicates = audit.duplicates

    async def _until_final(self) -> None:
        books = self.auditor.books
        while self.time.now < self.plan.heal_at + AFTER_S:
            read = self.store.intake.entry
            last = max(self.workload.entries, key=_order, default="")
            if not books.open and (not last or (read and _order(read) >= _order(last))) and len(books.told) > 0:
                return
            await trio.sleep(0.5)

    async def _stop(self) -> None:
        for machine in self.machines:
            machine.keep = False
            if machine.life is not None:
                machine.life.stop.set()
        for _ in range(100):
            if all(machine.life is None for machine in self.machines):
                return
            await trio.sleep(0.2)
        self.auditor.complain("I16", "an engine does not stop")


def carrier_of(world: World, wire: Wire) -> Carrier:
    """The carrier at the other end."""
    return world.carriers[wire.name]


def _order(entry: str) -> tuple[int, int]:
    ms, _, sequence = entry.partition("-")
    return int(ms), int(sequence or 0)


def run(seed: int, size: int = 200, *, keep: bool = False, plan: Plan | None = None) -> Result:
    """Runs a seed. What an engine raises that it should not is a breach of I16."""
    started = process_time()
    plan = plan or draw(seed, size)
    world = World(plan, keep=keep)
    try:
        with same_every_time(seed), patch.object(timers, "DUE_S", 0.25), patch.object(timers, "EXPAND_S", 0.25):
            trio.run(world.main, clock=world.time)
    except Exception as error:  # whatever comes out is a finding, and must not end the other seeds
        world.auditor.complain("I16", f"ended with {_innermost(error)!r}")
        if keep:
            raise
    books = world.auditor.books
    return Result(
        seed,
        world.auditor.breaches,
        world.trace.digest,
        len(plan.wanted),
        len(books.told),
        world.auditor.written,
        world.duplicates,
        Counter(t.final or "open" for t in books.told.values()),
        world.coverage.hits,
        sum(len(m.lives) for m in world.machines),
        world.time.now,
        process_time() - started,
        world.trace.lines,
    )


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
