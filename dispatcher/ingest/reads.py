"""The reading half of the native API, cancelling and feedback: Litestar routes, from whose types the OpenAPI document is made.

This module refuses to know how records are kept and which messages may be cancelled (core/lifecycle decides that).
What belongs to another account does not exist here: 404, never 403.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, cast

from litestar import Request, Response, delete, get, post
from litestar.datastructures import State as AppState
from litestar.params import JSONBody, PathParameter, QueryParameter

from dispatcher.core import ids
from dispatcher.core.front import FrontStore
from dispatcher.core.guards import conversion_of
from dispatcher.core.model import Lane, Message
from dispatcher.core.retry import Rules
from dispatcher.ingest import cancelling, views
from dispatcher.ingest.door import Caller, Door
from dispatcher.ingest.problems import Problem

NUMBER_MAX = 1 << 53
"""Above it a number is none that a server's sorted set can hold."""

_NO_MESSAGE = "no such message of this account"
_Asked = Request[None, None, AppState]
MessageId = Annotated[str, PathParameter(description="26 characters, as answered to the send")]
GroupId = Annotated[str, PathParameter(description="as answered to the batch")]


async def _caller(request: _Asked, scope: str) -> tuple[Door, Caller]:
    door: Door = request.app.state["door"]
    headers = dict(request.scope["headers"])
    return door, await door.caller(headers, scope)


@get("/v1/messages/{message_id:str}", summary="A message with every segment and attempt", tags=["messages"])
async def get_message(request: _Asked, message_id: MessageId) -> views.MessageView:
    """The text is never shown; the number only to accounts that may see numbers, else its keyed hash."""
    door, caller = await _caller(request, "read")
    return await _view(door, caller, message_id)


@get("/v1/messages", summary="The message under an idempotency key", tags=["messages"])
async def find_message(
    request: _Asked, key: Annotated[str, QueryParameter(description="the key of the send", min_length=1, max_length=64)]
) -> views.MessageView:
    """Keys are remembered for at least 24 hours."""
    door, caller = await _caller(request, "read")
    found = await door.within(door.store.find_key(caller.account.name, key, door.clock.now_ms()))
    if found is None:
        raise Problem("not_found", "no message under this key")
    return await _view(door, caller, found)


@delete("/v1/messages/{message_id:str}", status_code=200, summary="Cancel a message", tags=["messages"])
async def cancel_message(request: _Asked, message_id: MessageId) -> views.MessageView:
    """Of a partly submitted message the rest is cancelled. What a carrier has accepted it is asked to cancel, if it takes that,
    which may take some seconds; 409 when it cannot, did not, or has not said so, and when the message is final."""
    door, caller = await _caller(request, "send")
    rules: Rules = request.app.state["rules"]
    rules.accounts[caller.account.name] = caller.account

    async def read() -> Message:
        record = await _record(door, caller, message_id)
        if record is None:
            await _missing(door, caller, message_id)
            raise Problem("not_ready_yet", "the batch is still being expanded", retry_after_s=1)
        return record

    carriers = cancelling.takers(door.settings)
    desk = cancelling.Desk(door.store, rules, carriers, read, door.clock.now_ms, asyncio.sleep, door.within)
    outcome = await cancelling.cancel(desk)
    if outcome is not cancelling.Cancelled.DONE:
        raise Problem("not_cancellable", outcome.value)
    return await _view(door, caller, message_id)


@post("/v1/messages/{message_id:str}/feedback", status_code=200, summary="Was the code used?", tags=["messages"])
async def give_feedback(request: _Asked, message_id: MessageId, data: JSONBody[views.Feedback]) -> views.FeedbackAnswer:
    """Tells whether the recipient of a one-time password used it. Counted once per message, for accounts of which the operator
    knows that they report every code that was used; a message of another class, or of a batch, is not counted."""
    door, caller = await _caller(request, "send")
    record = await _record(door, caller, message_id)
    known = None if record is None else record.head or record.body
    if known is None:
        await _missing(door, caller, message_id)
        return views.FeedbackAnswer(id=message_id, counted=False)
    counts = caller.account.feedback and known.lane == Lane.OTP and not known.group
    if not data.converted or not counts:
        return views.FeedbackAnswer(id=message_id, counted=False)
    name = conversion_of(caller.account.name, known.country)
    step = cast(FrontStore, door.store).converted(message_id, name, door.clock.now_ms())
    return views.FeedbackAnswer(id=message_id, counted=await door.within(step))


@get("/v1/groups/{group_id:str}", summary="A batch and how far it is", tags=["messages"])
async def get_group(request: _Asked, group_id: GroupId) -> views.GroupAnswer:
    """Counts of final states appear as messages reach them."""
    door, caller = await _caller(request, "read")
    found = await door.within(door.store.group(group_id))
    if found is None or found.account != caller.account.name:
        raise Problem("not_found", "no such group of this account")
    return views.group(found)


@get("/v1/balance", summary="The account's money", tags=["account"])
async def get_balance(request: _Asked) -> views.BalanceView:
    """What can be spent now, and what is reserved for messages not yet decided."""
    door, caller = await _caller(request, "read")
    money = await door.within(door.store.balance(caller.account.name))
    if money is None:
        raise Problem("not_found", "the account has no balance")
    return views.balance(money)


@get("/v1/inbound", summary="Messages from handsets", tags=["inbound"])
async def get_inbound(
    request: _Asked,
    after: Annotated[int, QueryParameter(description="the number of the last one you have", ge=0, le=NUMBER_MAX)] = 0,
    limit: Annotated[int, QueryParameter(description="how many at most", ge=1, le=1000)] = 100,
) -> views.InboundPage:
    """What was sent to the account's numbers, oldest first, for as long as it is kept. Reading marks nothing as read."""
    door, caller = await _caller(request, "read")
    found = await door.within(door.store.inbox(caller.account.name, after, limit + 1))
    return views.inbound(found[:limit], after, more=len(found) > limit)


@get("/healthz", summary="Is the process alive?", tags=["operation"], security=[])
async def healthz() -> views.Alive:
    """Asks nothing of the store."""
    return views.Alive()


@get("/readyz", summary="Are new sends accepted?", tags=["operation"], security=[])
async def readyz(request: _Asked) -> Response[views.Ready]:
    """503 with the reasons while acceptance could not be kept as promised."""
    door: Door = request.app.state["door"]
    durability = door.settings.server.durability
    promise = (
        "an accepted send survives kills and power cuts"
        if durability == "fsync"
        else "an accepted send survives kills; a power cut may lose the last two seconds"
    )
    ready = views.Ready(ready=not door.reasons, durability=durability, promise=promise, reasons=tuple(door.reasons))
    return Response(ready, status_code=200 if ready.ready else 503, headers={} if ready.ready else {"retry-after": "5"})


ROUTES = [get_message, find_message, cancel_message, give_feedback, get_group, get_balance, get_inbound, healthz, readyz]


async def _record(door: Door, caller: Caller, message_id: str) -> Message | None:
    """The account's record, or None when none exists. Raises Problem for what is no id and for others' messages."""
    if not ids.is_id(message_id):
        raise Problem("not_found", _NO_MESSAGE)
    record = (await door.within(door.store.messages([message_id])))[0]
    known = None if record is None else record.head or record.body
    if known is not None and known.account != caller.account.name:
        raise Problem("not_found", _NO_MESSAGE)
    return None if known is None else record


async def _view(door: Door, caller: Caller, message_id: str) -> views.MessageView:
    record = await _record(door, caller, message_id)
    if record is None:
        return await _missing(door, caller, message_id)
    view = views.message(record, caller.account)
    if view is None:
        raise Problem("not_found", _NO_MESSAGE)
    return view


async def _missing(door: Door, caller: Caller, message_id: str) -> views.MessageView:
    """A batch's message that has not been expanded into a record yet: queued. Raises Problem when it is none."""
    group = await door.within(door.store.group(ids.group_of(message_id)))
    index = ids.index_in_group(message_id)
    if group is None or group.account != caller.account.name or group.state != "live" or not 0 < index <= group.members:
        raise Problem("not_found", _NO_MESSAGE)
    if index <= group.expanded:
        record = await _record(door, caller, message_id)  # again: it may have been expanded since we looked
        view = None if record is None else views.message(record, caller.account)
        if view is None:
            raise Problem("not_found", "its record is no longer kept")
        return view
    return views.staged(message_id, group)
