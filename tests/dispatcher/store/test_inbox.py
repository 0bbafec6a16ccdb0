"""Handsets' messages over a server whose replies are lost, or whose writes arrive late."""

from __future__ import annotations

import pytest

from dispatcher.core.inbox import Piece, Received, joined
from tests.conformance.world import T0
from tests.conftest import RealServer
from tests.dispatcher.store.faults import faulty
from tests.dispatcher.store.test_recovery import run


@pytest.mark.parametrize("plan", ["lose", "late"])
def test_parts_of_a_handsets_message_are_kept_once(server: RealServer, plan: str) -> None:
    """The repeat of a step whose reply was lost finds its parts, and hands out what is complete."""

    async def case() -> None:
        store, driver = faulty(server.url)
        parts = [Piece("mattel", "1", "2", "udh8", 7, 2, n, "gsm7", b"x", T0) for n in (1, 2)]
        await store.keep_parts(parts[:1], T0)
        driver.plan, driver.match = plan, b"parts:"
        (found,) = await store.keep_parts(parts[1:], T0)
        await driver.arrive()
        assert driver.plan == ""
        assert len(found.pieces) == 2
        assert await store.parts_waiting() == 2
        name, digests = parts[0].name, b"".join(p.digest for p in parts)
        driver.plan, driver.match = plan, b"inbound"
        assert await store.receive([Received(joined("i0", parts, T0), (), name, digests)], T0, 10) == [True]
        await driver.arrive()
        assert await store.parts_waiting() == 0
        assert len(await store.read_stream("inbound", "", 10)) == 1
        await store.close()

    run(case)
