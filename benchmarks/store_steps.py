"""What each step of the store costs, client and server, CPU microseconds per message, in batches of 200.

Starts a server of its own (`--durable`: fsync of every write), walks a batch through admission, pop, write-ahead, settle
(two fact rows, one event, one correlation) and receipt, and counts that everything arrived. Client figures are the process
time of this process between the steps; server figures are differences of used_cpu_user + used_cpu_sys. They are read
around many batches of one step, so reading them costs nothing in between.

    python -m benchmarks.store_steps [--batches 100] [--batch 200] [--accounts 20] [--durable] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from accounting.ledger import Fact
from dispatcher.core.customer import Account
from dispatcher.core.ids import encode
from dispatcher.core.model import Attempt, Body, Correlation, EventRow, Head, Lane, Message, Segment, State
from dispatcher.core.ports import Admission, Effects, Owner, Queue, VersionedHead
from dispatcher.ops.embedded import find_binary
from dispatcher.store import resp
from dispatcher.store.redis import RedisStore, open_trio_store

T0 = 1_790_000_000_000
TEXT = "Dear customer, your order 4711 has left our warehouse and will reach you tomorrow between nine and twelve. " * 2
TEXT = TEXT[:150]


def body(n: int, accounts: int) -> Body:
    """A typical one-segment text."""
    account = f"account{n % accounts}"
    return Body(
        f"2557{n:08}",
        TEXT,
        "SHOP",
        account,
        Lane.BULK,
        "main",
        0,
        1,
        35_000,
        "USD",
        "retail",
        "0123456789abcdef",
        T0,
        T0 + 10**8,
        0,
    )


def head(message: Message, state: State, attempt: Attempt) -> Head:
    """A head with one attempt."""
    b = message.body
    assert b is not None
    return Head(
        state,
        T0,
        [Segment(state, [attempt])],
        b.account,
        b.lane,
        b.route,
        b.unit_price,
        b.currency,
        b.tariff,
        b.to_hash,
        b.accepted_at,
        b.deadline_at,
        b.on_unknown,
        T0,
    )


def event(message: Message, state: str) -> EventRow:
    """An event row."""
    return EventRow(message.id, "", "", "account1", "0123456789abcdef", "bulk", state, 1, "mattel", None, 1, False, None, T0)


class Run:
    """All batches, one step after the other."""

    def __init__(self, store: RedisStore, batches: int, size: int, accounts: int) -> None:
        self.store = store
        self.batches, self.size, self.accounts = batches, size, accounts
        self.owner = Owner("", 0)
        self.popped: list[list[Message]] = []
        self.results: dict[str, tuple[float, float]] = {}

    async def cpu(self) -> float:
        """The server's CPU seconds so far."""
        text = (await self.store.ask("desk", resp.of("INFO", "cpu"), 1))[0].decode()
        rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return float(rows["used_cpu_user"]) + float(rows["used_cpu_sys"])

    async def measure(
        self, name: str, step: Callable[[int], Awaitable[object]], prepare: Callable[[int], Any] | None = None
    ) -> None:
        """Runs a step for every batch; `prepare` (decisions, which are not the store's) is left out of the client's time."""
        server, spent = await self.cpu(), 0.0
        for n in range(self.batches):
            if prepare is not None:
                prepare(n)
            started = time.process_time()
            await step(n)
            spent += time.process_time() - started
        count = self.batches * self.size
        self.results[name] = (spent / count * 1e6, (await self.cpu() - server) / count * 1e6)

    async def whole(self) -> None:
        """A message's life."""
        store, size = self.store, self.size
        for n in range(self.accounts):
            await store.put_account(Account(name=f"account{n}", currency="USD"))
            await store.credit(f"account{n}", f"c{n}", 10**12, T0)
        taken = await store.take_lease("engine", "nonce", 600_000)
        assert taken is not None
        self.owner = taken
        sends = [
            [
                Admission(encode(T0 + n * 5, (n * size + i) << 20), body(n * size + i, self.accounts), 35_000)
                for i in range(size)
            ]
            for n in range(self.batches)
        ]
        await self.measure("admit", lambda n: self._admit(sends[n]))
        queues = [Queue("main", lane) for lane in Lane]
        await self.measure("pop", lambda _: self._pop(queues))
        assert sum(map(len, self.popped)) == self.batches * size, "messages were lost"
        box: list[Any] = [None]

        def ahead(n: int) -> None:
            attempt = Attempt(1, "mattel", "mattel-1", T0, cost=9000)
            box[0] = [VersionedHead(m.id, 1, head(m, State.SUBMITTING, attempt)) for m in self.popped[n]]

        await self.measure("write_ahead", lambda _: store.write_ahead(self.owner, box[0]), ahead)
        await self.measure("settle", lambda _: store.settle(self.owner, box[0]), lambda n: box.__setitem__(0, self._settled(n)))
        await self.measure("correlate", self._correlate)
        await self.measure("read heads", self._heads)
        await self.measure("commit_receipts", lambda _: self._commit(box[0]), lambda n: box.__setitem__(0, self._final(n)))
        await self.measure("drop_correlations", lambda n: store.drop_correlations("mattel", self._carrier_ids(n)))
        assert [e.in_flight for e in await store.engines()] == [0], "something is still in flight"

    async def _admit(self, items: list[Admission]) -> None:
        assert {v.verdict for v in await self.store.admit(items, T0)} == {"accepted"}

    async def _pop(self, queues: list[Queue]) -> None:
        self.popped.append(await self.store.pop(self.owner, queues, self.size, T0))

    async def _correlate(self, n: int) -> None:
        assert None not in await self.store.correlate("mattel", self._carrier_ids(n))

    async def _heads(self, n: int) -> None:
        assert None not in await self.store.heads([m.id for m in self.popped[n]])

    async def _commit(self, effects: Effects) -> None:
        assert await self.store.commit_receipts(effects) == []

    def _carrier_ids(self, n: int) -> list[str]:
        return [f"{n * self.size + i:010}" for i in range(self.size)]

    def _settled(self, n: int) -> Effects:
        effects = Effects()
        rows = []
        for i, m in enumerate(self.popped[n]):
            carrier_id = f"{n * self.size + i:010}"
            attempt = Attempt(1, "mattel", "mattel-1", T0, 1, 0, carrier_id, T0, 9000)
            effects.heads.append(VersionedHead(m.id, 2, head(m, State.SUBMITTED, attempt)))
            for kind in ("post", "cost"):
                effects.facts.append(
                    Fact(
                        f"{m.id}.1.1.{kind}",
                        m.id,
                        "account1",
                        1,
                        1,
                        kind,
                        35_000,
                        "USD",
                        35_000,
                        "retail",
                        "mattel",
                        carrier_id,
                        "TZ",
                        "64004",
                        "SHOP",
                        "0123456789abcdef",
                        1,
                        T0,
                    )
                )
            effects.events.append(event(m, "submitted"))
            effects.settled.append(m.id)
            rows.append((carrier_id, Correlation("p0", m.id, 1, 1, T0 + 10**8)))
        effects.correlations["mattel"] = rows
        effects.money = {f"account{i}": [0, -35_000] for i in range(self.accounts)}
        return effects

    def _final(self, n: int) -> Effects:
        effects = Effects()
        for m in self.popped[n]:
            attempt = Attempt(1, "mattel", "mattel-1", T0, 1, 0, "0123456789", T0, 9000, "DELIVRD", "000", "", T0)
            effects.heads.append(VersionedHead(m.id, 3, head(m, State.DELIVERED, attempt)))
            effects.erase.append(m.id)
            effects.events.append(event(m, "delivered"))
        return effects


def main() -> None:
    """Prints one table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--batches", type=int, default=100)
    options.add_argument("--batch", type=int, default=200)
    options.add_argument("--accounts", type=int, default=20)
    options.add_argument("--durable", action="store_true")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="sms"))
    keep = ["--appendonly", "yes", "--appendfsync", "always" if chosen.durable else "everysec"]
    server = subprocess.Popen(
        [str(find_binary()), "--port", "0", "--unixsocket", str(directory / "s"), "--dir", str(directory), "--save", "", *keep],
        stdout=subprocess.DEVNULL,
    )
    results: dict[str, tuple[float, float]] = {}

    async def whole() -> None:
        while not await trio.Path(directory / "s").exists():  # noqa: ASYNC110 - a server tells no event
            await trio.sleep(0.02)
        store = await open_trio_store(f"unix://{directory / 's'}")
        run = Run(store, chosen.batches, chosen.batch, chosen.accounts)
        await run.whole()
        await store.close()
        results.update(run.results)

    try:
        trio.run(whole)
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{'step':<20}{'client':>8}{'server':>8}   us CPU per message, batches of {chosen.batch}, {keep[-1]}")
    for name, (client, served) in [*results.items(), ("sum", tuple(map(sum, zip(*results.values(), strict=True))))]:
        print(f"{name:<20}{client:>8.2f}{served:>8.2f}")
    if chosen.json:
        chosen.json.write_text(json.dumps({k: {"client_us": c, "server_us": s} for k, (c, s) in results.items()}, indent=2))


if __name__ == "__main__":
    main()
