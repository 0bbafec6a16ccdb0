"""SMSKit's one path as OpenAPI: the action is the name of a query key, every value a string, the status nearly always 200."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from dispatcher.ingest.dialects.described import IDEMPOTENCY, Said, document, operation

Digits = Annotated[str, Meta(pattern="^[0-9]+$")]
Date = Annotated[str, Meta(pattern="^[0-9-]{10} [0-9:]{8}$")]
ACTIONS: Final = (
    "sendsms", "groupstatus", "getinbox", "balance", "createchannel", "listchannel", "scanqr", "viewchannel", "clearqueue",
    "resetchannel", "deletechannel",
)  # fmt: skip
_WORDS: Final = {
    "apikey": "API key",
    "apitoken": "API token",
    "from": "sendsms: sender id",
    "to": "sendsms: numbers with country code, comma separated",
    "text": "sendsms: the message",
    "type": "sendsms: sms (default), unicode or flash; voice, mms and whatsapp are refused",
    "scheduledate": "sendsms: YYYY-MM-DD HH:mm:ss, UTC",
    "route": "sendsms: name of a route",
    "groupid": "groupstatus: the group_id of sendsms",
    "list": "getinbox: unread (default) or all",
}


class Queued(msgspec.Struct):
    """Accepted and paid for."""

    request: Literal["sendsms"]
    status: Literal["queued"]
    group_id: Digits
    date: Date


class Recipient(msgspec.Struct):
    """One number of a group."""

    id: Digits
    to: str
    status: Literal["queued", "sent", "failed"]


class Group(msgspec.Struct):
    """A group as it is now."""

    request: Literal["groupstatus"]
    status: Literal["success"]
    group_id: Digits
    group_status: Literal["queued", "sent", "failed"]
    recipients: list[Recipient]
    date: Date


class Received(msgspec.Struct):
    """A message from a handset."""

    id: Digits
    sender: str = msgspec.field(name="from")
    to: str
    message: str
    date: Date


class Inbox(msgspec.Struct):
    """Messages from handsets."""

    request: Literal["getinbox"]
    status: Literal["success"]
    inbox: list[Received]


class Money(msgspec.Struct):
    """What can be spent."""

    balance: str


class Channels(msgspec.Struct):
    """There are none."""

    request: Literal["listchannel"]
    status: Literal["success"]
    channels: list[str]
    channel_count: Literal["0"]


class Failure(msgspec.Struct):
    """Why not; `request` is empty where the action is not known."""

    request: str
    status: Literal["error"]
    message: str


def _action(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "allowEmptyValue": True,
        "schema": {"type": "string", "enum": ["", name]},
        "description": "the action, by its name alone",
    }


def smskit_document() -> dict[str, Any]:
    """The dialect's document."""
    answers = (
        *(Said(200, what, body) for what, body in (
            ("accepted", Queued), ("a group", Group), ("messages", Inbox), ("money", Money), ("channels", Channels),
            ("an error", Failure),
        )),
        *(Said(status, what, Failure) for status, what in (
            (408, "too slow"), (413, "too large"), (429, "too many"), (500, "an error of ours"), (503, "not available now"),
        )),
    )  # fmt: skip
    actions = [_action(name) for name in ACTIONS]
    fields = [
        {"name": name, "in": "query", "required": name.startswith("api"), "description": what, "schema": {"type": "string"}}
        for name, what in _WORDS.items()
    ]
    get = operation("askSmskit", "Any action, parameters in the query", answers, parameters=(*actions, *fields))
    post = operation("postSmskit", "Any action, parameters as a form", answers, parameters=(IDEMPOTENCY, *actions))
    form = {"type": "object", "properties": {name: {"type": "string", "description": what} for name, what in _WORDS.items()}}
    post["requestBody"] = {"required": False, "content": {"application/x-www-form-urlencoded": {"schema": form}}}
    bodies = (Queued, Group, Inbox, Money, Channels, Failure)
    return document("SMSKit", "One path, an action by name.", {"/smsAPI": {"get": get, "post": post}}, bodies, {})
