"""Bodies that this very process admitted a moment ago, so that its next pop need not read and decode them again.

It refuses to know keys, connections and what a body says. Only ever a short cut: whatever is not here is read, and the
tests run both ways.

Theory. A body is written once and changes never; between its admission and its first pop it can only vanish, when the message
becomes final without ever having been submitted (cancelled, expired). Whoever does that writes a first head, through
commit.lua, which raises the counter `withdrawn` in the same step; every pop brings that counter along. So: a body is kept
before its admission is sent, hence before anybody can withdraw it; and a pop that finds the counter moved since the last
one forgets everything. Elements that are not on their first way through a queue are read in any case.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from dispatcher.core.model import Body

BODIES_MAX: Final = 20_000
AGE_MS_MAX: Final = 60_000
"""Nothing is kept for longer: another engine has popped it, or its queue is so long that most are not here anyway."""
LOOK_MS: Final = 10_000
"""Old ones are looked for so often, and when room is needed."""


class Admitted:
    """At most `bodies_max` bodies by message id, in the order of their admission; 0 switches it off."""

    __slots__ = ("_kept", "_looked_at", "_seen", "bodies_max")

    def __init__(self, bodies_max: int = BODIES_MAX) -> None:
        self.bodies_max = bodies_max
        self._kept: dict[str, Body] = {}
        self._seen = b""
        self._looked_at = 0

    def keep(self, ids: Sequence[str], bodies: Sequence[Body], dues: Sequence[int], at: int) -> None:
        """Remembers what is about to be sent, at `at` (ms): ids, bodies and due times (ms, 0: none) of a batch. What has
        options or waits for its time is left out."""
        kept, most = self._kept, self.bodies_max
        if len(kept) + len(ids) > most or at - self._looked_at >= LOOK_MS:
            self._age(at)
            if len(kept) + len(ids) > most:
                return
        options = [body.options for body in bodies]
        if any(dues) or options.count(None) < len(options):
            rows = zip(ids, bodies, dues, strict=True)
            kept.update([(i, body) for i, body, due_at in rows if body.options is None and not due_at])
        else:
            kept.update(zip(ids, bodies, strict=True))

    def _age(self, at: int) -> None:
        self._looked_at = at
        kept = self._kept
        old = []
        for message_id, body in kept.items():
            if body.accepted_at > at - AGE_MS_MAX:
                break
            old.append(message_id)
        for message_id in old:
            del kept[message_id]

    def popped(self, withdrawn: bytes) -> None:
        """Hears the counter as a pop found it, before `take`."""
        if withdrawn != self._seen:
            self._kept.clear()
            self._seen = withdrawn

    def take(self, ids: Iterable[str]) -> dict[str, Body]:
        """Those of `ids` that are known; each only once."""
        pop = self._kept.pop
        return {i: body for i in ids if (body := pop(i, None)) is not None}

    def forget(self) -> None:
        """Forgets all: the connection was lost, and with it the order of things."""
        self._kept.clear()
        self._seen = b""
