"""The leash: an idle session ends before its lease does, so that no carrier sees it beside its successor at another engine.

It refuses to know why a lease is not renewed; mostly the store is away. While it is, nothing can be written ahead, so an idle
session is all that is lost. One that still awaits answers is kept for them, without a new byte: cutting it would make doubts of
them, and a doubt is worse than a carrier that refuses a bind too many for a moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import trio

from dispatcher.engine.leases import POLITE, Leases
from dispatcher.engine.works import Seat, Token, Works
from smpp.link import Link

_LOOKS: Final = 16
"""Looks in a lease's time."""
_CUT: Final = 1 / 8
"""When so little of a lease's time is left, it ends without a word; with POLITE of it, it unbinds."""


async def leash(works: Works, leases: Leases, links: Mapping[Link[Token], tuple[Seat, str]]) -> None:
    """Watches over `links` (link -> its seat and the name of its lease) until cancelled."""
    ttl_s = works.settings.engine.lease_s
    while True:
        await trio.sleep(ttl_s / _LOOKS)
        now = works.clock.monotonic()
        for link, (seat, name) in list(links.items()):
            lease = leases.held.get(name)
            left_s = lease.until - now if lease is not None else 0.0
            if left_s > ttl_s * POLITE or link.session.in_flight:
                continue
            seat.up = False
            if left_s > ttl_s * _CUT:
                link.session.start_unbind(now, "lease_lost")
                link.wake()
            else:
                link.drop("lease_lost")
