"""Cancelling a message, for every door: what waits never leaves; what a carrier has accepted it is asked to take back.

It refuses to know whose message it is, how doors word the outcome, and how carriers are asked (the engines do that). The wish
stands in the store; the door watches for a while whether it came true.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Collection
from typing import Final, NamedTuple, Protocol, TypeVar

from dispatcher.core.asking import can_be_withdrawn
from dispatcher.core.evidence import Cancel
from dispatcher.core.lifecycle import collect, decide
from dispatcher.core.model import Message, State
from dispatcher.core.ports import Effects, Store
from dispatcher.core.retry import Rules
from dispatcher.core.settings import Settings

T = TypeVar("T")

TRIES: Final = 5
PAUSE_S: Final = 0.02
"""A message that an engine has just popped is undecided for a few ms; then its head says what it is."""
WORD_S: Final = 4.0
"""How long a door waits for the carrier's word."""
LOOK_S: Final = 0.1


class Cancelled(enum.Enum):
    """What became of the wish; the value is why not, in words for people."""

    DONE = ""
    TOO_LATE = "it is final, or all of it has been submitted"
    BUSY = "it is being submitted right now"
    REFUSED = "it has been submitted, and the carrier did not cancel it"
    TOO_MANY = "it has been submitted, and its carrier was not asked: too many cancels wait for carriers; try again later"
    NO_WORD = "it has been submitted, and the carrier has not said whether it cancels it; look at its state later"


class Within(Protocol):
    """Awaits a step of the store, in time."""

    async def __call__(self, step: Awaitable[T], /) -> T:
        """Raises what the door says of a store that is away."""


class Desk(NamedTuple):
    """What cancelling needs. `carriers`: those that take cancel_sm. `read` raises for a message that is not there."""

    store: Store
    rules: Rules
    carriers: Collection[str]
    read: Callable[[], Awaitable[Message]]
    now_ms: Callable[[], int]
    sleep: Callable[[float], Awaitable[None]]
    within: Within


def takers(settings: Settings) -> frozenset[str]:
    """The carriers that take cancel_sm."""
    return frozenset(carrier.name for carrier in settings.carrier if carrier.questions.cancel)


async def cancel(desk: Desk) -> Cancelled:
    """Cancels what can be. Of a partly submitted message the rest is cancelled, which is DONE whatever its carrier says."""
    for attempt in range(TRIES):
        if attempt:
            await desk.sleep(PAUSE_S)
        message = await desk.read()
        decision = decide(message, Cancel(), desk.rules, desk.now_ms())
        if not decision.changed:
            if message.head is None or message.head.state != State.SUBMITTING:
                return await _withdraw(desk, message)
            continue
        effects = Effects()
        collect(effects, message, decision)
        if not await desk.within(desk.store.commit(effects)):
            message.head = decision.head
            await _withdraw(desk, message)
            return Cancelled.DONE
    return Cancelled.BUSY


async def _withdraw(desk: Desk, message: Message) -> Cancelled:
    """Asks for what carriers have accepted, and waits for their word."""
    if message.head is None or not can_be_withdrawn(message.head, desk.carriers):
        return Cancelled.TOO_LATE
    if not await desk.within(desk.store.wish_cancel(message.head.account, message.id, desk.now_ms())):
        return Cancelled.TOO_MANY
    for _ in range(round(WORD_S / LOOK_S)):
        await desk.sleep(LOOK_S)
        word = (await desk.within(desk.store.cancel_words([message.id], desk.now_ms()))).get(message.id, True)
        head = (await desk.read()).head  # after the wish: what it led to was written before it ended
        if head is not None and head.state == State.CANCELLED:
            return Cancelled.DONE
        if word or (head is not None and head.state >= State.DELIVERED):
            return Cancelled.REFUSED
    return Cancelled.NO_WORD
