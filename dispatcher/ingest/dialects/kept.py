"""What a process keeps of groups whose status was asked for: their numbers, and the members that have ended.

This module refuses to know the store. It keeps only what does not change any more: a group's numbers never do, and a final
state does not, but `unknown`, which later evidence may refine; so that one is not kept. Bounded in members over all groups;
the group that was asked for least lately goes first. What is kept is forgotten after a while all the same: a server that was
restored from an older copy of itself would else be contradicted for ever.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

ShownState = Literal[
    "accepted", "queued", "submitted", "delivered", "undelivered", "failed", "expired", "rejected", "unknown", "cancelled"
]
PART_MEMBERS: Final = 200
"""Members looked at between two turns of the loop: about 2 ms."""
MEMBERS_MAX: Final = 300_000
"""Of all groups together: about 100 bytes each."""
LEAST_MEMBERS: Final = 100
"""What a group counts at least."""
KEPT_S: Final = 600.0


class Ended(NamedTuple):
    """How a member ended, without its number and the instant: most members of a group share one."""

    state: ShownState
    at: int
    was_submitted: bool
    cause: str
    price: int
    refunded: int
    segments: int


class Part:
    """Up to PART_MEMBERS members in a row. `open`: the places, from `first`, of those that have not ended as far as is known;
    `counts`, `refunded` and `changed_at` are those of the others."""

    __slots__ = ("changed", "changed_at", "counts", "ended", "first", "open", "refunded")

    def __init__(self, first: int, members: int) -> None:
        self.first = first
        self.open = list(range(members))
        self.ended: list[Ended | None] = [None] * members
        self.changed = array("q", bytes(8 * members))
        self.counts: dict[ShownState, int] = {}
        self.refunded = 0
        self.changed_at = 0

    def end(self, ends: list[tuple[int, Ended, int]]) -> None:
        """(place, how, when) of members that have ended. Those that were known to have are passed over: two may have asked."""
        for place, how, at in ends:
            if self.ended[place] is None:
                self.ended[place] = how
                self.changed[place] = at
                self.counts[how.state] = self.counts.get(how.state, 0) + 1
                self.refunded += how.refunded
                self.changed_at = max(self.changed_at, at)
        self.open = [place for place in self.open if self.ended[place] is None]


class Group:
    """One group. `to`: its numbers, None while they have not been read."""

    __slots__ = ("_alike", "made_s", "parts", "to")

    def __init__(self, members: int, made_s: float) -> None:
        self.to: tuple[str, ...] | None = None
        self.made_s = made_s
        self.parts = [Part(first, min(PART_MEMBERS, members - first)) for first in range(0, members, PART_MEMBERS)]
        self._alike: dict[Ended, Ended] = {}

    def alike(self, how: Ended) -> Ended:
        """The same, the one object for all that ended so."""
        return self._alike.setdefault(how, how)


class Kept:
    """One per process. `members_max` 0 keeps nothing: every question is answered from the store alone."""

    def __init__(self, monotonic: Callable[[], float], *, members_max: int = MEMBERS_MAX) -> None:
        self._monotonic = monotonic
        self._left = members_max
        self._groups: OrderedDict[str, tuple[Group, int]] = OrderedDict()

    def group(self, group_id: str, members: int) -> Group:
        """What is kept of a group, or a new one."""
        now = self._monotonic()
        found = self._groups.get(group_id)
        if found is not None:
            if now - found[0].made_s <= KEPT_S:
                self._groups.move_to_end(group_id)
                return found[0]
            self._forget(group_id)
        group, size = Group(members, now), max(members, LEAST_MEMBERS)
        self._groups[group_id] = (group, size)
        self._left -= size
        while self._left < 0 and self._groups:
            self._forget(next(iter(self._groups)))
        return group

    def numbers(self, group_id: str) -> tuple[str, ...] | None:
        """A group's numbers, if they are known."""
        found = self._groups.get(group_id)
        return None if found is None else found[0].to

    def __len__(self) -> int:
        return len(self._groups)

    def _forget(self, group_id: str) -> None:
        self._left += self._groups.pop(group_id)[1]
