"""The cursor: wherever intake is cut, it goes on with exactly the next send."""

from __future__ import annotations

import weakref

import msgspec
import pytest
import trio

from dispatcher.core.model import Send
from dispatcher.core.ports import Cursor, SendEntry, StoreUnavailable
from dispatcher.engine.intake import FIRST_ENTRIES, RAW_BYTES_MAX, READ_BYTES, entries_for, raw_of, unpack
from dispatcher.store.memory import MemoryStore
from tests.dispatcher.engine.world import MONEY, PRICE, World, carrier, eventually, route, settings_of, world


def entry(entry_id: str, *numbers: int) -> SendEntry:
    """A chunk of sends to these numbers."""
    sends = [{"to": f"4917112345{n:02d}", "text": "Hello"} for n in numbers]
    return SendEntry(entry_id, "json", msgspec.json.encode({"sends": sends}))


ENTRIES = [entry("1-0", 0, 1, 2), SendEntry("2-0", "", b"?"), entry("3-0", 3), entry("4-0", 4, 5)]


@pytest.mark.parametrize("cut", range(8))
def test_a_cut_anywhere_goes_on_with_the_next(cut: int) -> None:
    """Items before the cut and items from its cursor on are all items, once."""
    items = list(unpack(ENTRIES, Cursor("", 0)))
    assert len(items) == 7
    after = items[cut - 1].after if cut else Cursor("", 0)
    left = [e for e in ENTRIES if (int(e.entry[0]), 0) > (int(after.entry[:1] or 0), 0)]
    rest = list(unpack(left, after))
    assert [(i.entry, i.position) for i in items[:cut] + rest] == [(i.entry, i.position) for i in items]
    assert [i.after for i in rest] == [i.after for i in items[cut:]]


def test_a_reject_keeps_the_one_send() -> None:
    """The raw of a reject is that send as JSON, or the entry's own bytes where nothing could be read."""
    items = list(unpack(ENTRIES, Cursor("", 0)))
    assert msgspec.json.decode(raw_of(items[0]), type=Send).to == "491711234500"
    assert raw_of(items[3]) == b"?"


def test_a_bad_send_in_a_chunk_is_kept_alone() -> None:
    """Of a chunk of a thousand with one bad send, the reject holds that one, not the chunk."""
    good = [{"to": "491711234500", "text": "Hello"}] * 3
    payload = msgspec.json.encode({"sends": [*good, {"to": "491711234500", "txt": "?"}]})
    items = list(unpack([SendEntry("1-0", "json", payload)], Cursor("", 0)))
    assert msgspec.json.decode(raw_of(items[3])) == {"to": "491711234500", "txt": "?"}


@pytest.mark.parametrize(
    ("size", "entries", "wanted"),
    [
        (READ_BYTES, 1, 1),
        (READ_BYTES * 4, 1, 1),
        (READ_BYTES, 64, 64),
        (0, 1, FIRST_ENTRIES),
        (0, FIRST_ENTRIES, 4 * FIRST_ENTRIES),
        (0, 400, 500),
    ],
)
def test_a_read_is_bounded_in_bytes(size: int, entries: int, wanted: int) -> None:
    """I15: long entries are read few at a time, never none; short ones are no promise that the next are short."""
    assert entries_for(size, entries, 500) == wanted


class Reading(list[SendEntry]):
    """A list that can be watched."""


class Metered(MemoryStore):
    """Notes how many bytes each read of sends brings, and that the reads before it are held no more."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.held = 0
        self._last: weakref.ref[Reading] | None = None

    async def read_sends(self, after: str, limit: int, block_ms: int) -> list[SendEntry]:
        """See Store."""
        self.held += self._last is not None and self._last() is not None
        found = Reading(await super().read_sends(after, limit, block_ms))
        self.sizes.append(sum(len(entry.payload) for entry in found))
        self._last = weakref.ref(found)
        return found


def test_a_backlog_is_not_read_ahead() -> None:
    """I15: 60 long entries wait after a trickle of short ones. The first read, which cannot know, brings a few of them, every
    other one READ_BYTES at most, and none is held beside the next."""

    async def main() -> None:
        store, size = Metered(), READ_BYTES // 4
        async with world(settings_of([carrier()], [route({"alpha": 1})]), store=store) as here:
            for n in range(3):
                here.send()
                await here.until({"delivered": n + 1})
            long = msgspec.json.encode({"account": "shop", "from": "Shop", "to": "491711234500", "text": "Hello"}).ljust(size)
            for _ in range(60):
                store.add_send("json", long)
            await here.until({"delivered": 63})
        first, *others = [read for read in store.sizes if read >= size]
        assert first == FIRST_ENTRIES * size
        assert sum(others) == (60 - FIRST_ENTRIES) * size
        assert max(others) == READ_BYTES
        assert store.held == 0

    trio.run(main)


class Stumbling:
    """A hook that fails the n-th admission and all later ones until told otherwise."""

    def __init__(self, at: int) -> None:
        self.left = at

    async def __call__(self, when: str, name: str) -> None:
        if name == "admit" and when == "before":
            if self.left <= 0:
                raise StoreUnavailable("away")
            self.left -= 1


def test_a_chunk_admitted_by_halves_is_admitted_once() -> None:
    """A chunk of 1,000 takes two steps; the engine dies between them: its successor admits the second half only."""

    async def main() -> None:
        stumbling = Stumbling(1)
        settings = settings_of([carrier(window=500)], [route({"alpha": 1})])
        async with world(settings, store=MemoryStore(hook=stumbling)) as here:
            here.send_many(1000)
            await eventually(lambda: _admitted(here, 500))
            assert here.store.intake.done == 500
            here.engines["e1"][2].cancel()
            for lease in list(here.store.leases):
                here.store.expire(lease)
            stumbling.left = 100
            await here.start("e2")
            await eventually(lambda: _admitted(here, 1000))
            await trio.sleep(0.1)
            assert len(await here.states()) == 1000
            assert (await here.money())[0] == MONEY - 1000 * PRICE

    trio.run(main)


async def _admitted(here: World, count: int) -> bool:
    return len(await here.states()) >= count


@pytest.mark.parametrize("more", [{}, {"colour": "red"}])
def test_of_a_giant_send_that_is_refused_only_its_beginning_is_kept(more: dict[str, str]) -> None:
    """Read or not: a producer's megabytes of text do not go into the rejects for a week."""

    async def main() -> None:
        settings = settings_of([carrier()], [route({"alpha": 1})])
        async with world(settings) as here:
            here.send(text="x" * 3_000_000, **more)

            async def rejected() -> bool:
                return bool(await here.rows("rejects"))

            await eventually(rejected)
            (row,) = await here.rows("rejects")
            assert len(row["send"]) == RAW_BYTES_MAX
            assert row["reason"] == ("unknown_field" if more else "text_too_long")

    trio.run(main)
