"""What benchmarks of single stages share: one engine's parts, a store that answers at once, batches of fresh data.

Knows no stage and measures nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import hiredis
import msgspec

from accounting.tariff import from_dict
from dispatcher.core.admission import Book, admit
from dispatcher.core.counters import Counters
from dispatcher.core.customer import Account
from dispatcher.core.hashing import NumberHash
from dispatcher.core.ids import RandomIds
from dispatcher.core.model import Send
from dispatcher.core.pool import Pool
from dispatcher.core.ports import Admission, SendEntry
from dispatcher.core.retry import Rules
from dispatcher.core.settings import Settings
from dispatcher.engine.committer import Committer
from dispatcher.engine.handsets import Handsets
from dispatcher.engine.leases import Leases
from dispatcher.engine.receipts import Receipts
from dispatcher.engine.works import Works, seats_of
from dispatcher.store.redis import RedisStore

T0 = 1_790_000_000_000
FENCE = 7
SAMPLE = random.Random(7)
TEXT = (
    "The quick brown fox jumps over the lazy dog and runs away through the gate, far into the wood, "
    "where no dog has followed any fox for a long year now"
)
CHARS = {1: 150, 2: 290, 3: 440}
"""Characters of a text of so many segments."""


class Work(NamedTuple):
    """A stage's part of one run: `run` is timed, `check` is not."""

    run: Callable[[], Any]
    check: Callable[[Any], bool]


def finish(step: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never has to wait."""
    try:
        step.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("a stage waits for something")


class Canned:
    """A store's connection and its driver: answers as a server would to what these stages send."""

    def __init__(self) -> None:
        self.ready = b""

    async def connect(self) -> Canned:
        """A Driver's: the connection is this."""
        return self

    async def sleep(self, seconds: float) -> None:
        """A Driver's; only a store in trouble sleeps."""
        raise RuntimeError(f"the store waits {seconds} s")

    def lock(self) -> Any:
        """A Driver's: nobody else is there."""
        return _NoLock()

    async def close(self) -> None:
        """A Transport's."""

    async def exchange(self, wire: bytes, replies: int, timeout_s: float) -> list[Any]:  # noqa: ARG002 - a Transport's
        """Ready bytes to XREAD; to the rest what a server says when all is well."""
        if b"XREAD" in wire[:20]:
            reader = hiredis.Reader()
            reader.feed(self.ready)
            return [reader.gets()]
        if replies < 5 or (replies > 10 and b"LOAD" in wire[:40]):
            return [b"OK"] * (replies - 1) + [FENCE]
        return [[1, 10**12], *[b"QUEUED"] * (replies - 4), [], b"OK", [FENCE, b"%d" % FENCE]]


class Clock:
    """A time that stands still."""

    def now_ms(self) -> int:
        """ms since 1970."""
        return T0

    def monotonic(self) -> float:
        """Seconds."""
        return 100.0


class Bench:
    """What the stages share: one configuration, one engine's parts."""

    def __init__(self, batch: int, segments: int = 1) -> None:
        self.batch = batch
        self.segments = segments
        self._text = ((TEXT[9:] + " ") * 3)[: CHARS[segments] - 9]
        bind = {"host": "sink", "system_id": "x", "password": "x", "password_plain": True, "window": batch}
        self.settings = msgspec.convert(
            {
                "carrier": [{"name": "sink", "bind": [bind]}],
                "route": [{"name": "all", "group": [{"carriers": [{"name": "sink"}]}]}],
            },
            Settings,
        )
        tariff = from_dict({"": "0.03"}, name="price", currency="EUR", source="bench")
        self.book = Book(self.settings, [tariff], None, None, NumberHash(b"k" * 32))
        self.account = Account(name="bench", currency="EUR", tariff="price")
        self.server = Canned()
        self.store = RedisStore(self.server)
        self.works = Works(
            self.settings,
            self.store,
            Rules(self.settings, {}, {}, SAMPLE.random),
            Pool(self.settings.route),
            clock=Clock(),
            chance=SAMPLE,
            ids=RandomIds(SAMPLE.randbytes),
            counters=Counters("bench"),
            log=None,
            name="bench",
        )
        self.works.accounts[self.account.name] = self.account
        self.leases = Leases(self.works)
        self.committer = Committer(self.works)
        self.receipts = Receipts(self.works, Handsets(self.works, self.book))
        self.seat = seats_of(self.settings)[0]

    def sends(self) -> list[bytes]:
        """A batch of sends as producers write them, one an entry; each with a number and a text of its own."""
        first = SAMPLE.randrange(10_000_000)
        return [
            msgspec.json.encode(
                {"account": "bench", "to": f"4479{first + i:08d}", "from": "Acme", "text": f"{first + i:08d} {self._text}"}
            )
            for i in range(self.batch)
        ]

    def entries(self) -> list[SendEntry]:
        """The same as the store reads them."""
        return [SendEntry(f"{T0}-{i}", "json", send) for i, send in enumerate(self.sends())]

    def admissions(self) -> list[Admission]:
        """The same admitted."""
        ids = self.works.ids.make(T0, self.batch)
        decode = msgspec.json.Decoder(Send).decode
        found = [admit(decode(s), self.account, self.book, T0, i) for s, i in zip(self.sends(), ids, strict=True)]
        return [a for a in found if isinstance(a, Admission)]


class _NoLock:
    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass
