"""A batch of up to 50,000 messages: judged one by one, accepted as one group, all of what was not rejected or nothing.

This module refuses to know HTTP and JSON. Theory: judging 50,000 sends takes a good part of a second of CPU, so it is
done in slices between which the loop serves others (an OTP does not wait for a batch, promises.md). A batch is
idempotent as a whole, by its own key; therefore its messages have neither key nor group of their own.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from accounting.money import to_decimal
from dispatcher.core.admission import Refused
from dispatcher.core.front import Take, Ticket
from dispatcher.core.ids import group_members, group_of
from dispatcher.core.model import LANE_BY_NAME, Lane, Refusal, Send
from dispatcher.core.ports import Admission, GroupPlan, StoreUnavailable, Verdict
from dispatcher.core.refusal import refusal_of
from dispatcher.ingest import limits
from dispatcher.ingest.door import Caller, Door, field_error
from dispatcher.ingest.problems import FieldError, Problem, RejectedItem
from dispatcher.ingest.views import BatchAccepted

SLICE_MESSAGES = 200
"""Judged between two turns of the loop: about 2 ms."""
ACCEPT_TIMEOUT_S = 10.0
FINISH_S = 30.0
FINISH_PAUSE_S = 0.2
FINISHING_MAX = 8
"""Batches that may be ended behind their callers' backs at once: each holds up to 50,000 messages."""
_KEY = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_keep: set[asyncio.Task[Verdict]] = set()
"""Steps that outlived their request: never cancelled, for nobody can say how far they came."""


class Judged(NamedTuple):
    """What admission says of a batch. `ticket`: what its messages have in common besides their records."""

    admissions: list[Admission]
    rejected: list[RejectedItem]
    lane: Lane
    ticket: Ticket | None


async def accept(
    door: Door, caller: Caller, items: Sequence[Send | list[FieldError]], *, key: str, digest: bytes
) -> tuple[BatchAccepted, bool]:
    """Accepts the batch as one group; True when `key` had done so before. Raises Problem when nothing was accepted."""
    if key and not _KEY.fullmatch(key):
        raise Problem(Refusal.OPTION, "Idempotency-Key: 1-64 of A-Z a-z 0-9 . _ : -")
    now = door.clock.now_ms()
    group_id = group_of(door.ids.make(now, 1)[0])
    admissions, rejected, lane, ticket = await judge(door, caller, items, group_id, now)
    takes: list[Take] = []
    known = key and await door.within(door.store.find_key(caller.account.name, key, now)) is not None
    if not known:  # a repetition takes nothing: the store has its answer
        admissions, takes, beyond = await _sift(door, admissions, rejected, group_id, now)
        for why, times in Counter(item.error.reason for item in beyond).items():
            door.count_sends(lane.wire, why, times)
        rejected = sorted(rejected + beyond, key=lambda item: item.index)
    if not admissions:
        raise _all_refused(rejected)
    price = sum(admission.price for admission in admissions)
    currency = caller.account.currency
    plan = GroupPlan(group_id, caller.account.name, lane, len(admissions), price, currency, now, key, digest, ticket)
    verdict = await store(door, plan, admissions)
    if verdict.verdict != "accepted":
        await limits.give_back(door, takes, now)
    reason = refusal_of(verdict)
    door.count_sends(lane.wire, reason or verdict.verdict, len(admissions))
    if reason is not None:
        raise door.refused(reason, verdict, price, currency)
    count = len(admissions)
    again = verdict.verdict == "duplicate"
    if again and (before := await door.within(door.store.group(verdict.id))) is not None:
        count, price, currency = before.members, before.price, before.currency
    answer = BatchAccepted(group=verdict.id, accepted=count, rejected=rejected, price=to_decimal(price), currency=currency)
    return answer, again


def _all_refused(rejected: Sequence[RejectedItem]) -> Problem:
    """Made apart: a local of the frame that raises it would hold the whole batch until a collection of cycles."""
    problem = Problem("batch_rejected", f"{len(rejected)} of {len(rejected)} messages were refused")
    problem.document.rejected = rejected
    return problem


async def judge(door: Door, caller: Caller, items: Sequence[Send | list[FieldError]], group_id: str, now: int) -> Judged:
    """Admission's verdict on every message, in slices; ids are given to the accepted ones in order."""
    lane, callback = next(((i.lane, i.callback) for i in items if isinstance(i, Send)), ("transactional", None))
    ticket: Ticket | None = None
    admissions: list[Admission] = []
    rejected: list[RejectedItem] = []
    for start in range(0, len(items), SLICE_MESSAGES):
        if start:
            await asyncio.sleep(0)
        part = items[start : start + SLICE_MESSAGES]
        ids = group_members(group_id, len(part), len(admissions) + 1)
        first = len(admissions)
        for index, item in enumerate(part, start):
            verdict = _one(door, caller, item, index, ids[len(admissions) - first], (lane, callback), group_id, now)
            if isinstance(verdict, Admission):
                if callback is not None and verdict.extras is not None:
                    ticket = ticket or _common(verdict.extras.ticket)
                    verdict = verdict._replace(extras=verdict.extras._replace(ticket=None))
                admissions.append(verdict)
            else:
                rejected.append(RejectedItem(index, verdict))
    for (wire, reason), count in Counter(
        (item.lane if isinstance(item := items[r.index], Send) else lane, r.error.reason) for r in rejected
    ).items():
        door.count_sends(wire, reason, count)
    return Judged(admissions, rejected, LANE_BY_NAME[lane], ticket)


def _common(ticket: Ticket | None) -> Ticket | None:
    """Of a message's ticket what holds for the whole batch."""
    return None if ticket is None else msgspec.structs.replace(ticket, to=())


async def _sift(
    door: Door, admissions: list[Admission], rejected: list[RejectedItem], group_id: str, now: int
) -> tuple[list[Admission], list[Take], list[RejectedItem]]:
    """Those that neither a STOP nor a limit keeps out, under ids without gaps; what they took; and the others."""
    if not admissions:
        return admissions, [], []
    stopped = await limits.unwanted(door, admissions[0].body.account, admissions)
    taken = await limits.take(door, admissions, now, stopped)
    refused = stopped | taken.refused
    if not refused:
        return admissions, taken.takes, []
    before = {item.index for item in rejected}
    places = [index for index in range(len(admissions) + len(rejected)) if index not in before]
    beyond = [RejectedItem(places[i], field_error(why, f"$[{places[i]}]")) for i, why in refused.items()]
    kept = [admission for i, admission in enumerate(admissions) if i not in refused]
    ids = group_members(group_id, len(kept))
    return [a._replace(id=new) for a, new in zip(kept, ids, strict=True)], taken.takes, beyond


def _one(
    door: Door,
    caller: Caller,
    item: Send | list[FieldError],
    index: int,
    message_id: str,
    alike: tuple[str, dict[str, Any] | None],
    group_id: str,
    now: int,
) -> Admission | FieldError:
    if not isinstance(item, Send):
        return item[0]
    if item.key is not None:
        return FieldError(f"$[{index}].key", Refusal.OPTION, "a batch has one key for all, the header Idempotency-Key")
    if item.group is not None:
        return FieldError(f"$[{index}].group", Refusal.OPTION, "the batch itself is the group")
    if item.lane != alike[0]:
        return FieldError(f"$[{index}].class", Refusal.OPTION, f"a batch has one class, here {alike[0]}")
    if item.callback != alike[1]:
        return FieldError(f"$[{index}].callback", Refusal.OPTION, "a batch has one callback, the same in all its messages")
    verdict = door.judge(item, caller.account, now, message_id)
    if isinstance(verdict, Refused):
        return field_error(verdict, f"$[{index}]")
    verdict.body.group = group_id  # afterwards: as a field of the send it would be checked 50,000 times
    return verdict


async def store(door: Door, plan: GroupPlan, admissions: list[Admission]) -> Verdict:
    """The store's verdict on a group, in bounded time. Raises Problem store_unavailable: it may have been accepted, which a
    repetition with the same key will tell; without a key it was not, or will be given back."""
    step = asyncio.ensure_future(door.store.accept_group(plan, admissions))
    _keep.add(step)
    step.add_done_callback(_forget)
    done, _ = await asyncio.wait((step,), timeout=ACCEPT_TIMEOUT_S)
    try:
        if done:
            return step.result()
    except StoreUnavailable:
        if plan.key and len(_keep) < FINISHING_MAX:
            rest = asyncio.ensure_future(_finish(door, plan, admissions))
            _keep.add(rest)
            rest.add_done_callback(_forget)
    detail = "it may have been accepted: repeat with the same Idempotency-Key"
    raise Problem("store_unavailable", detail, retry_after_s=1)


async def _finish(door: Door, plan: GroupPlan, admissions: list[Admission]) -> Verdict:
    """Ends a batch that was cut short while it was staged: the same plan again, which the store takes up where it was. Else its
    key would be in flight until a sweeper gives the money back, and the caller's repetitions would be told 409 for a
    minute. Only with a key: without one a repetition is another batch, and this one must not come to be as well."""
    until = door.clock.monotonic() + FINISH_S
    while True:
        await asyncio.sleep(FINISH_PAUSE_S)
        try:
            return await door.store.accept_group(plan, admissions)
        except StoreUnavailable:
            if door.clock.monotonic() > until:
                raise


def _forget(step: asyncio.Task[Verdict]) -> None:
    """Takes the step's exception, if any, so that asyncio does not report it as lost: its caller was told 503."""
    _keep.discard(step)
    if not step.cancelled():
        step.exception()
