"""Evidence about messages that nobody holds: decided and written under a version check, again when somebody was faster.

It refuses to know where the evidence comes from (timers.py: silence and clocks; questions.py: carriers that cancelled).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dispatcher.core.lifecycle import Evidence, collect, decide
from dispatcher.core.model import Message
from dispatcher.core.ports import Effects
from dispatcher.engine.committer import count_effects
from dispatcher.engine.works import Works

_ROUNDS_MAX: Final = 3


async def commit_at_rest(works: Works, evidence: Mapping[str, Sequence[Evidence]]) -> set[str]:
    """Decides and writes (S7); returns the ids that somebody else holds or changes just now. Raises StoreUnavailable."""
    todo = dict(evidence)
    left: set[str] = set()
    for _ in range(_ROUNDS_MAX):
        now = works.clock.now_ms()
        effects = Effects()
        for message in await works.read(list(todo), bodies=True):
            _decide(works, effects, message, todo[message.id], now)
        if not effects.heads:
            return left
        moved = await works.store.commit(effects)
        if not moved:
            count_effects(works, effects)
            return left
        left.update(moved)
        for message_id in moved:
            todo.pop(message_id, None)
    return set(evidence)


def _decide(works: Works, effects: Effects, message: Message, pieces: Sequence[Evidence], now: int) -> None:
    if message.head is None and message.body is None:
        return
    place = -1
    for evidence in pieces:
        decision = decide(message, evidence, works.rules, now)
        if not decision.changed:
            continue
        collect(effects, message, decision)
        if place < 0:
            place = len(effects.heads) - 1
        else:
            effects.heads[place] = effects.heads.pop()
        message.head = decision.head
