"""Which session carries the next message of a route.

It refuses to know SMPP, sockets and throttling; it sees sessions as `Slot`s that the engine keeps up to date (up, used,
paused) and the routes' groups. Seconds are monotonic and an argument.

Theory. Groups are tried in order, but a group that is merely full or in a short pause means "wait": traffic moves to
the next group only when no slot of the earlier one can carry at all (down, paused for long, or the message must avoid
its carriers). Within a group carriers share by weight with a virtual clock each (stride scheduling): a carrier's clock
advances by segments / weight, the one that is most behind goes next, and one that could not carry for a while is not
owed more than a little, so a returning carrier gets its share, not a flood.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from dispatcher.core.settings import Route

PAUSED_LONG_S = 5.0
"""A pause that still lasts this long counts as "cannot carry"; a throttle's pause is shorter."""

OWED_SEGMENTS_MAX = 8
"""What a carrier that could not carry is owed at most, per unit of weight."""


class Slot:
    """One session of a bind. The engine keeps `up`, `used` (segments queued or awaiting their answer) and
    `paused_until` (monotonic seconds; inf: by an operator) true; `window` is how many may be used at once."""

    __slots__ = ("bind", "carrier", "paused_until", "session", "up", "used", "window")

    def __init__(self, carrier: str, bind: str, session: int, window: int, *, up: bool = False) -> None:
        self.carrier = carrier
        self.bind = bind
        self.session = session
        self.window = window
        self.up = up
        self.used = 0
        self.paused_until = -math.inf

    @property
    def free(self) -> int:
        """Segments it may still take."""
        return max(0, self.window - self.used)

    def healthy(self, now: float) -> bool:
        """Carries now, or soon."""
        return self.up and self.paused_until - now < PAUSED_LONG_S

    def has_room(self, now: float) -> bool:
        """Carries now. One free segment is room for a whole message: its tail waits in the link's queue, for a message
        as long as the window would else never find a busy session free enough."""
        return self.up and self.used < self.window and self.paused_until <= now

    def __repr__(self) -> str:
        return f"Slot({self.carrier}/{self.bind}#{self.session} {'up' if self.up else 'down'} {self.used}/{self.window})"


class _Share:
    """A carrier within a route's group: its weight and virtual clock."""

    __slots__ = ("carrier", "clock", "weight")

    def __init__(self, carrier: str, weight: int) -> None:
        self.carrier = carrier
        self.weight = weight
        self.clock = 0.0


class Pool:
    """All sessions of this engine, seen through its routes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes: dict[str, list[list[_Share]]] = {
            route.name: [[_Share(w.name, w.weight) for w in group.carriers] for group in route.group] for route in routes
        }
        self._slots: dict[str, list[Slot]] = {}

    def add(self, slot: Slot) -> None:
        """Makes a session known; it carries once it is `up`."""
        self._slots.setdefault(slot.carrier, []).append(slot)

    def remove(self, slot: Slot) -> None:
        """Forgets a session. Raises ValueError when it is not known."""
        self._slots.get(slot.carrier, []).remove(slot)

    def slots(self, carrier: str = "") -> list[Slot]:
        """The sessions of one carrier, or all."""
        if carrier:
            return list(self._slots.get(carrier, ()))
        return [slot for slots in self._slots.values() for slot in slots]

    def choose(self, route: str, segments: int, now: float, pin: str = "", avoid: Collection[str] = ()) -> Slot | None:
        """The session for a message of `segments`, or None: wait (or, when nothing can carry at all, keep it queued).

        `pin`: only this carrier, whatever `avoid` says (a part must follow its siblings). `avoid`: carriers that must
        not be used, also those whose encodings do not fit. The caller adds to `slot.used` what it then queues there.
        """
        if pin:
            return self._least_used(pin, now)
        found = self._pick(route, now, avoid)
        if found is None:
            return None
        group, share, slot = found
        _advance(group, share, segments)
        return slot

    def deal(self, route: str, wanted: int, now: float) -> tuple[Slot, int] | None:
        """A session for up to `wanted` segments of messages in a row, and for how many: `choose` in longer turns."""
        found = self._pick(route, now, ())
        if found is None:
            return None
        group, share, slot = found
        count = min(wanted, slot.free)
        _advance(group, share, count)
        return slot, count

    def _pick(self, route: str, now: float, avoid: Collection[str]) -> tuple[list[_Share], _Share, Slot] | None:
        for group in self._routes.get(route, ()):
            best: _Share | None = None
            found: Slot | None = None
            alive = False
            for share in group:
                if share.carrier in avoid:
                    continue
                slot = self._least_used(share.carrier, now)
                if slot is None:
                    alive = alive or self._alive(share.carrier, now)
                elif best is None or share.clock < best.clock:
                    best, found = share, slot
            if best is not None and found is not None:
                return group, best, found
            if alive:
                return None
        return None

    def room(self, route: str, now: float, size: float = 1.0) -> int:
        """Messages of this route, of `size` segments in the mean, that may be claimed now: as many as fit whole into the free
        windows of the first group that can carry, or one where there is room for a part of it."""
        for group in self._routes.get(route, ()):
            free, room, alive = 0, False, False
            for share in group:
                for slot in self._slots.get(share.carrier, ()):
                    if slot.healthy(now):
                        alive = True
                        if slot.has_room(now):
                            free += int(slot.free / size)
                            room = True
            if alive:
                return max(free, int(room))
        return 0

    def _least_used(self, carrier: str, now: float) -> Slot | None:
        best: Slot | None = None
        for slot in self._slots.get(carrier, ()):
            # used / window compared without dividing
            if slot.has_room(now) and (best is None or slot.used * best.window < best.used * slot.window):
                best = slot
        return best

    def _alive(self, carrier: str, now: float) -> bool:
        return any(slot.healthy(now) for slot in self._slots.get(carrier, ()))


def _advance(group: list[_Share], taken: _Share, segments: int) -> None:
    taken.clock += segments / taken.weight
    behind = taken.clock - OWED_SEGMENTS_MAX
    for share in group:
        share.clock = max(share.clock, behind)
