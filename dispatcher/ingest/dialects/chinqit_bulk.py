"""Chinqit Bulk v2: up to 50,000 recipients in one batch, and how far it is (the seed's `/api/v2/bulk`).

This module refuses to know how a group is priced, accepted and kept. A batch's answers are made again from its ticket: the
members' numbers, behind them the recipients that were left out, and in its note whether a last word has been shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from dispatcher.core.front import Take, Ticket
from dispatcher.core.ids import from_uuid, to_uuid
from dispatcher.core.model import Refusal
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects import chinqit_words as words
from dispatcher.ingest.dialects.amounts import number
from dispatcher.ingest.dialects.chinqit import caller_of, known
from dispatcher.ingest.dialects.chinqit_progress import count, kept_invalid, rendered, shown_invalid
from dispatcher.ingest.dialects.chinqit_recipients import PHONE_CHARS_MAX, Recipient, Sorted, read, sort
from dispatcher.ingest.dialects.desk import Desk, Judged, SubmittedGroup
from dispatcher.ingest.dialects.frame import Request, Route
from dispatcher.ingest.dialects.shown import ShownGroup
from dispatcher.ingest.door import Caller, field_error
from dispatcher.ingest.problems import Problem, invalid

NAME: Final = "chinqit_bulk"
BODY_BYTES_MAX: Final = 67_108_864
SETTLED: Final = "settled"
"""In a ticket's note: a last word has been shown."""
_NO_BATCH: Final = "Batch not found"


class ChinqitBulk:
    """The dialect."""

    name = NAME

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        settings = desk.door.settings.chinqit
        self._mauritania_only = settings.mauritania_only
        self._spans = ((3600, settings.batches_per_hour),) if settings.batches_per_hour else ()
        self.routes: Sequence[Route] = (
            Route(("POST",), "/api/v2/bulk/send", self.send, BODY_BYTES_MAX, sends=True, first=self._first),
            Route(("GET",), "/api/v2/bulk/status/{batchId}", self.status, first=self._first),
        )

    def word(self, problem: Problem, request: Request) -> Answer:
        """Any problem in this dialect's shape."""
        return words.word(problem, "recipients", "recipients", sends=request.path == "/api/v2/bulk/send")

    def finish(self, answer: Answer, request: Request) -> Answer:  # noqa: ARG002 - as Dialect wants it
        """This dialect has no headers of its own."""
        return answer

    async def _first(self, request: Request) -> Caller:
        return await caller_of(self._desk, request)

    # -- sending

    async def send(self, request: Request) -> Answer:
        """POST /bulk/send. Raises Problem, NotAnObject."""
        caller, desk = known(request), self._desk
        recipients, issues = await read(request.body)
        if issues:
            return words.invalid(issues)
        found = await sort(recipients, mauritania_only=self._mauritania_only)
        left_out: list[tuple[int, str, str]] = [(index, phone, words.PHONE_FORMAT) for index, phone in found.invalid]
        if not found.orders:
            return _none_valid(left_out)
        judged = await desk.judge_group(caller, found.orders)
        if judged.refused:
            wrong = _refused(judged, found, recipients, left_out)
            if wrong:
                return words.invalid(wrong)
            left_out.sort()
        if not judged.admissions:
            return _none_valid(left_out)
        ticket = Ticket(
            door=NAME,
            account=caller.account.name,
            to=tuple([a.body.to for a in judged.admissions] + [kept_invalid(phone, reason) for _, phone, reason in left_out]),
        )
        takes = (Take("bulk:" + caller.key.id, self._spans, "", str(Refusal.LIMIT)),) if self._spans else ()
        try:
            accepted = await desk.submit_group(caller, judged, request, ticket=ticket, takes=takes)
        except Problem as problem:
            if problem.kind != Refusal.BALANCE:
                raise
            return words.no_credit(judged.price, len(judged.admissions), len(left_out))
        return _created(accepted)

    # -- how far it is

    async def status(self, request: Request) -> Answer:
        """GET /bulk/status/{batchId}. Raises Problem."""
        group_id = from_uuid(request.names["batchId"])
        offset, limit, issues = _page(request)
        if issues:
            return words.invalid(issues)
        group = None if group_id is None else await self._desk.group(known(request), group_id, offset, limit)
        if group is None or group.ticket.door != NAME:
            return words.failure(404, _NO_BATCH)
        tally = count(group, settled=await self._settled(group))
        if tally.terminal and SETTLED not in group.ticket.note:
            ticket = msgspec.structs.replace(group.ticket, note=group.ticket.note | {SETTLED: True})
            await self._desk.door.within(self._desk.front.put_ticket(group.id, ticket))
        return Answer(200, await rendered(group, tally, offset))

    async def _settled(self, group: ShownGroup) -> bool:
        """Has a last word been shown? Where a message is under way again it is looked up anew, after the states were read:
        else a request that began before the last word was shown could take it back."""
        if SETTLED in group.ticket.note or not group.resubmitting:
            return SETTLED in group.ticket.note
        ticket = (await self._desk.door.within(self._desk.front.tickets([group.id])))[0]
        return ticket is not None and SETTLED in ticket.note


def _refused(
    judged: Judged, found: Sorted, recipients: Sequence[Recipient], left_out: list[tuple[int, str, str]]
) -> list[words.Issue]:
    """Sorts what admission refused: unreachable numbers are left out, a text that cannot be sent refuses the batch (the
    issues returned). Raises Problem for what is the account's fault."""
    issues = []
    for position, refused in judged.refused:
        index = found.places[position]
        if refused.reason in words.TEXT_WORDS:
            sentence = words.text_sentence(refused.reason, recipients[index].message, "")
            issues.append(words.Issue(("recipients", index, "message"), sentence))
            if len(issues) >= words.ISSUES_MAX:
                break
        elif refused.reason in words.DESTINATION_WORDS and refused.field != "account":
            left_out.append((index, recipients[index].phone[:PHONE_CHARS_MAX], words.DESTINATION_WORDS[refused.reason]))
        else:
            raise invalid([field_error(refused, "$")])
    return issues


# -- answers


def _none_valid(left_out: Sequence[tuple[int, str, str]]) -> Answer:
    told = shown_invalid([kept_invalid(phone, reason) for _, phone, reason in left_out])
    return words.failure(400, "No valid recipients found", invalidRecipients=told)


def _created(accepted: SubmittedGroup) -> Answer:
    invalid = accepted.ticket.to[accepted.members :]
    body: dict[str, Any] = {
        "success": True,
        "message": "Bulk batch created successfully",
        "batchId": to_uuid(accepted.id),
        "totalValid": accepted.members,
        "totalInvalid": len(invalid),
        "estimatedCost": number(accepted.price),
        "status": "processing",
    }
    if invalid:
        body["invalidRecipients"] = shown_invalid(invalid)
    return Answer(202, words.encode(body))


def _page(request: Request) -> tuple[int, int | None, list[words.Issue]]:
    """`offset` and `limit` of the query: whole numbers from 0 on."""
    issues: list[words.Issue] = []
    page: dict[str, int] = {}
    given = dict(request.query_pairs())
    for name in ("offset", "limit"):
        text = given.get(name, "")
        if text.isascii() and text.isdigit() and len(text) <= 9:
            page[name] = int(text)
        elif text:
            issues.append(words.Issue((name,), "Expected number, received string"))
    return page.get("offset", 0), page.get("limit"), issues
