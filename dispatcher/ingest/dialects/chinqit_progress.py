"""How far a batch is, in Chinqit's words: its status, its counts and its messages.

This module refuses to know where states come from and what has been shown before; it is told. Rows are written in
slices between which the loop serves others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from dispatcher.core.ids import to_uuid
from dispatcher.ingest.dialects import chinqit_words as words
from dispatcher.ingest.dialects.amounts import number
from dispatcher.ingest.dialects.shown import Shown, ShownGroup
from dispatcher.ingest.views import moment

SLICE: Final = 1_000
"""Rows written between two turns of the loop: about 1 ms."""


def kept_invalid(phone: str, reason: str) -> str:
    """A recipient that was left out, as the batch's ticket keeps it: behind the members' numbers, which are the one part of a
    ticket that may be large."""
    return f"{words.DESTINATION_SENTENCES.index(reason)}{phone}"


def shown_invalid(kept: Sequence[str]) -> list[dict[str, str]]:
    """Recipients that were left out, from what `kept_invalid` made of them."""
    return [
        {"phone": each[1:], "reason": words.DESTINATION_SENTENCES[int(each[0])], "code": "INVALID_DESTINATION"} for each in kept
    ]


class Tally(NamedTuple):
    """A batch in Chinqit's words. `terminal`: no message waits to be sent. `settled`: that has been shown before."""

    status: str
    sent: int
    failed: int
    terminal: bool
    settled: bool


def count(group: ShownGroup, *, settled: bool) -> Tally:
    """The batch's status (3.8). Once a last word was shown, a message that is under way again counts as sent."""
    by_status = dict.fromkeys((words.PENDING, words.QUEUED, words.SENT, words.FAILED), 0)
    for state, messages in group.counts.items():
        by_status[words.STATUS[state]] += messages
    sent, failed = by_status[words.SENT], by_status[words.FAILED]
    if settled:
        sent = group.members - failed
    if sent + failed < group.members:
        begun = by_status[words.PENDING] < group.members
        return Tally("processing" if begun else "pending", sent, failed, False, False)
    status = "completed" if not failed else "partial" if sent else "failed"
    return Tally(status, sent, failed, True, settled)


async def rendered(group: ShownGroup, tally: Tally, offset: int) -> bytes:
    """The answer's body; `offset` is the first row's place in the batch. Rows are put together by hand: an encoder of maps
    takes a quarter of a second for 50,000."""
    invalid = group.ticket.to[group.members :]
    batch: dict[str, Any] = {
        "batchId": to_uuid(group.id),
        "status": tally.status,
        "totalMessages": group.members + len(invalid),
        "validMessages": group.members,
        "invalidCount": len(invalid),
        "successfulCount": tally.sent,
        "failedCount": tally.failed,
        "totalCost": number(group.price),
        "progress": 100 * (tally.sent + tally.failed) // group.members,
        "createdAt": moment(group.at),
        "updatedAt": moment(max(group.at, group.changed_at)),
        "refundedAmount": number(group.refunded),
    }
    if invalid:
        batch["invalidRecipients"] = shown_invalid(invalid)
    head = words.encode({"success": True, "batch": batch})[:-2]
    pieces = [head, b',"messages":[']
    # A member's UUID is the group's with its index, from 1, in the last four digits (core/ids.py).
    row = _rower(to_uuid(group.id)[:-4], settled=tally.settled)
    for start in range(0, len(group.messages), SLICE):
        if start:
            pieces.append(b",")
            await asyncio.sleep(0)
        rows = [row(n, shown) for n, shown in enumerate(group.messages[start : start + SLICE], offset + start + 1)]
        pieces.append(",".join(rows).encode())
    pieces.append(b"]}}")
    return b"".join(pieces)


def _rower(stem: str, *, settled: bool) -> Callable[[int, Shown], str]:
    def row(index: int, shown: Shown) -> str:
        status = words.STATUS[shown.state]
        if settled and status != words.FAILED:
            status = words.SENT
        plain = f'{{"messageId":"{stem}{index:04x}","phone":"+{shown.to}","status":"{status}"'
        if status != words.FAILED:
            return plain + "}"
        error, code = words.why(shown)
        return f'{plain},"error":"{error}","errorCode":"{code}"}}'

    return row
