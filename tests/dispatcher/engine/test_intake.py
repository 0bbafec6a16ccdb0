"""The cursor: wherever intake is cut, it goes on with exactly the next send."""

from __future__ import annotations

import msgspec
import pytest
import trio

from dispatcher.core.model import Send
from dispatcher.core.ports import Cursor, SendEntry, StoreUnavailable
from dispatcher.engine.intake import READ_BYTES, entries_for, raw_of, unpack
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
    ("size", "entries", "wanted"), [(0, 1, 500), (READ_BYTES, 1, 1), (READ_BYTES * 4, 1, 1), (READ_BYTES, 64, 64)]
)
def test_a_read_is_bounded_in_bytes(size: int, entries: int, wanted: int) -> None:
    """I15: long entries are read few at a time, never none."""
    assert entries_for(size, entries, 500) == wanted


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
