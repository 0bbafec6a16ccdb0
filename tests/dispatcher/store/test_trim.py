"""Streams are cut by age as fast as they grow, in steps that hold the server for a moment only. Real server."""

from __future__ import annotations

import pytest
import trio

from dispatcher.store import sweeps
from dispatcher.store.redis import open_trio_store
from tests.conformance.world import T0
from tests.conftest import RealServer

OLD, YOUNG = 2_000, 50
KEEP_MS = 60_000


@pytest.mark.parametrize("row_bytes", [20, 5_000])
def test_what_is_more_than_one_sweep_takes_is_told(server: RealServer, monkeypatch: pytest.MonkeyPatch, row_bytes: int) -> None:
    """Of short entries many share a node of the tree, of long ones each has one; nothing young is lost."""
    monkeypatch.setattr(sweeps, "TRIM_ENTRIES_MAX", 200)
    monkeypatch.setattr(sweeps, "TRIM_STEPS_MAX", 3)

    async def case() -> None:
        store = await open_trio_store(server.url)
        pipe = server.client().pipeline(transaction=False)
        for ms in [*range(T0 - KEEP_MS - OLD, T0 - KEEP_MS), *range(T0 - YOUNG, T0)]:
            pipe.xadd(store.k.events, {"v": "1", "rows": b"x" * row_bytes}, id=f"{ms}-0")
        pipe.execute()
        sweeps_needed = 1
        while await store.trim_streams(T0, KEEP_MS):
            sweeps_needed += 1
        assert sweeps_needed >= 4
        left = [int(entry.split(b"-")[0]) for entry, _ in server.client().xrange(store.k.events)]
        assert left[-YOUNG:] == list(range(T0 - YOUNG, T0))
        assert len(left) <= YOUNG + 100
        await store.close()

    async def whole() -> None:
        with trio.fail_after(30):
            await case()

    trio.run(whole)
