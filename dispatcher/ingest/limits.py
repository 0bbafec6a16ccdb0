"""What the store has to say about each message of a batch before the batch is written as a whole: its number said STOP, or
it is beyond a limit of its account.

This module refuses to know which limits there are (core/guards) and how they are counted (the store). A single send's takes
go with it in its transaction; those of 50,000 would make that one too long. So they are tried before, in slices, each
message for itself. Whatever then keeps the batch from being accepted gives them back; a batch whose outcome nobody knows
keeps them, which errs on the safe side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence
from typing import NamedTuple, cast

from dispatcher.core.front import FrontStore, Take
from dispatcher.core.model import Refusal
from dispatcher.core.ports import Admission, StoreUnavailable
from dispatcher.core.refusal import Refused
from dispatcher.ingest.door import Door
from dispatcher.ingest.problems import Problem

SLICE_SENDS = 500
SLICE_NUMBERS = 1000
"""Opt-outs asked for in one step of the store."""
_WORDS = {
    Refusal.VELOCITY: "beyond what the account may send to this range, country or at all in this time",
    Refusal.SPEND_CAP: "beyond what the account may spend in 24 hours",
}
_STOPPED = Refused(Refusal.OPTED_OUT, "to", "the recipient has opted out")


async def unwanted(door: Door, account: str, admissions: Sequence[Admission]) -> dict[int, Refused]:
    """Those whose numbers said STOP to their sender, by index. Raises Problem store_unavailable."""
    front = cast(FrontStore, door.store)
    refused: dict[int, Refused] = {}
    for start in range(0, len(admissions), SLICE_NUMBERS):
        pairs = [(a.body.sender, a.body.to_hash) for a in admissions[start : start + SLICE_NUMBERS]]
        said = await door.within(front.opted_out(account, pairs))
        if True in said:
            refused.update((start + i, _STOPPED) for i, stop in enumerate(said) if stop)
    return refused


class Taken(NamedTuple):
    """What was taken, to be given back, and which admissions were refused, by index."""

    takes: list[Take]
    refused: dict[int, Refused]


async def take(door: Door, admissions: Sequence[Admission], at: int, but: Container[int] = ()) -> Taken:
    """Tries what each of them takes, `but` these. Raises Problem store_unavailable, and gives back then."""
    taken = Taken([], {})
    front = cast(FrontStore, door.store)
    try:
        for start in range(0, len(admissions), SLICE_SENDS):
            part = [
                (i, [each._replace(token=a.id) for each in a.extras.takes])  # a group's messages may be judged under one id
                for i, a in enumerate(admissions[start : start + SLICE_SENDS], start)
                if a.extras is not None and a.extras.takes and i not in but
            ]
            if not part:
                await asyncio.sleep(0)
                continue
            answers = await door.within(front.take_together([takes for _, takes in part], at))
            for (i, takes), (refused, answer) in zip(part, answers, strict=True):
                if answer.granted:
                    taken.takes.extend(takes)
                else:
                    taken.refused[i] = _beyond(takes[refused].reason, answer.retry_after_ms)
    except BaseException:
        await give_back(door, taken.takes, at)
        raise
    return taken


def too_much(refused: Refused) -> Problem:
    """The answer to a batch that a limit keeps out as a whole."""
    return Problem(refused.reason, refused.detail, retry_after_s=max(1, -(-refused.retry_after_ms // 1000)))


def _beyond(reason: str, retry_after_ms: int) -> Refused:
    refusal = Refusal(reason)
    return Refused(refusal, "to", _WORDS.get(refusal, "beyond a limit of the account"), retry_after_ms)


async def give_back(door: Door, takes: Sequence[Take], at: int) -> None:
    """Undoes what was taken. Where the store is away it stays taken until its windows have passed."""
    front = cast(FrontStore, door.store)
    try:
        for start in range(0, len(takes), SLICE_SENDS):
            await front.give_back(takes[start : start + SLICE_SENDS], at)
    except StoreUnavailable:
        door.log.warning("limits_not_given_back", takes=len(takes))
