"""Chinqit REST: messages, and one-time passwords sent and verified (the seed's `/messages` and `/otp`).

This module refuses to know how a code is made and checked (ingest/otp.py) and what admission decides; it reads fields
and words answers. The order of checks is the seed's: key, fields, number, channel, limit, balance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dispatcher.core.front import Code, Take, Ticket
from dispatcher.core.ids import from_uuid, to_uuid
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects import chinqit_words as words
from dispatcher.ingest.dialects.amounts import number
from dispatcher.ingest.dialects.desk import Desk, Order, Submitted
from dispatcher.ingest.dialects.frame import Request, Route
from dispatcher.ingest.door import Caller
from dispatcher.ingest.otp import Passcodes
from dispatcher.ingest.problems import Problem
from dispatcher.ingest.views import moment

NAME: Final = "chinqit"
LANGUAGES: Final = ("fr", "en", "ar")
CHANNELS: Final = ("sms", "whatsapp")
_NO_MESSAGE: Final = "Message not found"


async def caller_of(desk: Desk, request: Request) -> Caller:
    """Who asks, by X-API-Key alone. Raises Problem."""
    return await desk.credential(NAME, request.header(b"x-api-key").strip(" \t") or None)


def known(request: Request) -> Caller:
    """The caller that `caller_of` has proven before the body was read."""
    if request.caller is None:
        raise Problem("internal")
    return request.caller


class Chinqit:
    """The dialect."""

    name = NAME

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._codes = Passcodes(desk.door.settings.otp, desk.keyed, desk.door.entropy)
        self._mauritania_only = desk.door.settings.chinqit.mauritania_only
        first = self._first
        self.routes: Sequence[Route] = (
            Route(("POST",), "/messages/send", self.send_message, sends=True, first=first),
            Route(("GET",), "/messages/status/{messageId}", self.message_status, first=first),
            Route(("POST",), "/otp/send", self.send_otp, sends=True, first=first),
            Route(("POST",), "/otp/verify", self.verify_otp, first=first),
        )

    def word(self, problem: Problem, request: Request) -> Answer:
        """Any problem in this dialect's shape."""
        return words.word(problem, "phoneNumber", "message", sends=request.path in {"/messages/send", "/otp/send"})

    def finish(self, answer: Answer, request: Request) -> Answer:  # noqa: ARG002 - as Dialect wants it
        """This dialect has no headers of its own."""
        return answer

    async def _first(self, request: Request) -> Caller:
        return await caller_of(self._desk, request)

    # -- messages

    async def send_message(self, request: Request) -> Answer:
        """POST /messages/send. Raises Problem."""
        caller, fields = known(request), words.Fields(request.json())
        text = fields.text("message")
        to = fields.phone("phoneNumber", mauritania_only=self._mauritania_only)
        tail = _tail(fields.hash())
        if fields.issues:
            return words.invalid(fields.issues)
        try:
            sent = await self._submit(caller, Order(to, text + tail, max_segments=words.SEGMENTS_MAX), request)
        except Problem as problem:
            if problem.kind in words.TEXT_WORDS:
                return words.invalid([words.Issue(("message",), words.text_sentence(problem.kind, text, tail))])
            raise
        return Answer(200, words.encode({"success": True, "messageId": to_uuid(sent.id), "queued": True}))

    async def message_status(self, request: Request) -> Answer:
        """GET /messages/status/{messageId}. Raises Problem."""
        message_id = from_uuid(request.names["messageId"])
        shown = None if message_id is None else await self._desk.message(known(request), message_id)
        if shown is None or not shown.to:
            return words.failure(404, _NO_MESSAGE)
        status = words.STATUS[shown.state]
        view: dict[str, object] = {"messageId": to_uuid(shown.id), "phone": "+" + shown.to, "status": status}
        if status == words.FAILED:
            view["error"] = words.why(shown)[0]
        view |= {
            "cost": number(shown.price),
            "createdAt": moment(shown.at),
            "updatedAt": moment(max(shown.at, shown.changed_at)),
        }
        return Answer(200, words.encode({"success": True, "message": view}))

    # -- one-time passwords

    async def send_otp(self, request: Request) -> Answer:
        """POST /otp/send. Raises Problem."""
        caller, fields = known(request), words.Fields(request.json())
        to = fields.phone("phoneNumber", mauritania_only=self._mauritania_only)
        language = fields.choice("language", LANGUAGES)
        channel = fields.choice("channel", CHANNELS)
        tail = _tail(fields.hash())
        if fields.issues:
            return words.invalid(fields.issues)
        if channel != "sms":
            return words.failure(502, "WhatsApp OTP send failed", error="WhatsApp provider is not configured")
        door, codes = self._desk.door, self._codes
        to_hash = door.book.hash_number(to)
        made = codes.make(caller.account, caller.key.id, to_hash, channel, language, door.clock.now_ms(), tail)
        validity_s = min(codes.validity_s, door.settings.lanes.validity_max_s)
        order = Order(to, made.text, lane="otp", validity_s=validity_s, max_segments=words.SEGMENTS_MAX)
        sent = await self._submit(caller, order, request, code=made.code, takes=made.takes)
        answer = {"success": True, "messageId": to_uuid(sent.id), "expiresIn": codes.validity_s}
        return Answer(200, words.encode(answer))

    async def verify_otp(self, request: Request) -> Answer:
        """POST /otp/verify. Raises Problem."""
        caller, fields = known(request), words.Fields(request.json())
        to = fields.phone("phoneNumber", mauritania_only=self._mauritania_only)
        guess = fields.otp()
        channel = fields.choice("channel", CHANNELS)
        if fields.issues:
            return words.invalid(fields.issues)
        door = self._desk.door
        step = self._codes.check(
            self._desk.front, caller.key.id, door.book.hash_number(to), channel, guess, door.clock.now_ms()
        )
        check = await door.within(step)
        if check.verdict == "right":
            return Answer(200, words.encode({"success": True, "message": "OTP verified successfully", "verified": True}))
        if check.verdict == "wrong":
            return words.failure(400, "Invalid OTP", retriesLeft=check.left)
        return words.failure(404, "OTP not found or expired", retriesLeft=0)

    async def _submit(
        self, caller: Caller, order: Order, request: Request, *, code: Code | None = None, takes: tuple[Take, ...] = ()
    ) -> Submitted:
        ticket = Ticket(door=NAME, account=caller.account.name, to=(order.to,))
        return await self._desk.submit(caller, order, request, ticket=ticket, code=code, takes=takes)


def _tail(hash_: str) -> str:
    """What stands behind a text so that an Android app may read it."""
    return "\n" + hash_ if hash_ else ""
