"""How far a batch is: the sample's arithmetic, each status, the last word that is never taken back, rows at 50,000."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from dispatcher.core.front import Ticket
from dispatcher.core.ids import group_members, group_of, to_uuid
from dispatcher.ingest.dialects.chinqit_progress import count, kept_invalid, rendered
from dispatcher.ingest.dialects.shown import Shown, ShownGroup

GROUP = group_of("01HF8ZRW8X0123456789ABCD00")


def group(counts: dict[Any, int], *, rows: list[Shown] | None = None, invalid: tuple[str, ...] = ()) -> ShownGroup:
    """A group with these states."""
    members = sum(counts.values())
    ticket = Ticket(door="chinqit_bulk", account="shop", to=("22238089336",) * members + invalid)
    return ShownGroup(GROUP, members, members * 20_000, 0, 1_705_314_600_000, 1_705_314_690_000, counts, 0, rows or [], ticket)


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({"accepted": 3}, "pending"),
        ({"accepted": 2, "queued": 1}, "processing"),
        ({"accepted": 2, "failed": 1}, "processing"),
        ({"queued": 3}, "processing"),
        ({"queued": 1, "delivered": 2}, "processing"),
        ({"submitted": 1, "delivered": 1, "unknown": 1}, "completed"),
        ({"undelivered": 1, "failed": 1, "expired": 1, "rejected": 1, "cancelled": 1}, "failed"),
        ({"submitted": 1, "failed": 2}, "partial"),
    ],
)
def test_status(counts: dict[str, int], status: str) -> None:
    """Each value and its condition."""
    tally = count(group(counts), settled=False)
    assert tally.status == status
    assert tally.terminal == (status in {"completed", "failed", "partial"})


@pytest.mark.parametrize(
    ("counts", "status"),
    [
        ({"queued": 1, "delivered": 2}, "completed"),
        ({"queued": 1, "failed": 2}, "partial"),
        ({"queued": 3}, "completed"),
        ({"failed": 3}, "failed"),
        ({"failed": 1, "delivered": 2}, "partial"),
    ],
)
def test_last_word_is_not_taken_back(counts: dict[str, int], status: str) -> None:
    """Once shown, only the three terminal values follow; what is under way again counts as sent."""
    tally = count(group(counts), settled=True)
    assert (tally.status, tally.terminal, tally.sent + tally.failed) == (status, True, 3)


def shown(found: ShownGroup, *, settled: bool = False, offset: int = 0) -> dict[str, Any]:
    """The batch of the answer."""
    answer = json.loads(asyncio.run(rendered(found, count(found, settled=settled), offset)))
    assert answer.pop("success") is True
    batch: dict[str, Any] = answer.pop("batch")
    assert answer == {}
    return batch


def test_the_samples_arithmetic() -> None:
    """98 valid of 100, 45 sent and 5 failed are 51 %, 1.96 in all."""
    invalid = (kept_invalid("invalid", "Invalid phone number format"), kept_invalid("+99", "Destination is not supported"))
    found = group({"delivered": 45, "failed": 5, "queued": 48}, invalid=invalid)
    batch = shown(found)
    assert batch.pop("batchId") == to_uuid(GROUP)
    assert batch == {
        "status": "processing",
        "totalMessages": 100,
        "validMessages": 98,
        "invalidCount": 2,
        "successfulCount": 45,
        "failedCount": 5,
        "totalCost": 1.96,
        "progress": 51,
        "createdAt": "2024-01-15T10:30:00.000Z",
        "updatedAt": "2024-01-15T10:31:30.000Z",
        "refundedAmount": 0,
        "invalidRecipients": [
            {"phone": "invalid", "reason": "Invalid phone number format", "code": "INVALID_DESTINATION"},
            {"phone": "+99", "reason": "Destination is not supported", "code": "INVALID_DESTINATION"},
        ],
        "messages": [],
    }


def test_rows() -> None:
    """Ids are the members' UUIDs, numbers have a +, only failed ones an error; settled ones do not show queued."""
    ids = group_members(GROUP, 3)
    states: list[Any] = ["delivered", "rejected", "queued"]
    rows = [Shown(i, state, "22238089336", 0, 0, cause="ESME_RINVDSTADR") for i, state in zip(ids, states, strict=True)]
    found = group({"delivered": 1, "rejected": 1, "queued": 1}, rows=rows)
    assert shown(found)["messages"] == [
        {"messageId": to_uuid(ids[0]), "phone": "+22238089336", "status": "sent"},
        {
            "messageId": to_uuid(ids[1]),
            "phone": "+22238089336",
            "status": "failed",
            "error": "Invalid destination address",
            "errorCode": "INVALID_DESTINATION",
        },
        {"messageId": to_uuid(ids[2]), "phone": "+22238089336", "status": "queued"},
    ]
    assert [row["status"] for row in shown(found, settled=True)["messages"]] == ["sent", "failed", "sent"]


def test_rows_of_a_page() -> None:
    """From `offset` on; the ids are those of the places."""
    ids = group_members(GROUP, 50_000)
    rows = [Shown(i, "delivered", "22238089336", 0, 0) for i in ids[41_999:44_500]]
    found = group({"delivered": 50_000}, rows=rows)
    assert [row["messageId"] for row in shown(found, offset=41_999)["messages"]] == [to_uuid(i) for i in ids[41_999:44_500]]
