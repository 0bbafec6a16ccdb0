"""OTPIQ: a client's own verification codes and texts, by SMS where the client leaves us the choice; tracking, credit, senders.

This module refuses to know WhatsApp and Telegram: a chain of channels is cut down to those that have a provider, which is SMS,
and what asks for another one alone is refused. Clients tell errors apart by their keys (400 `error`, all others
`message`) and by the words `SenderID` and `trial mode`, which therefore occur where they are meant and nowhere else.

The text of a verification is masked like every one-time password's; the code is the client's, we never check it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from accounting.money import to_micro
from accounting.tariff import Tariff
from dispatcher.core.customer import Account
from dispatcher.core.front import Take, Ticket
from dispatcher.core.guards import DAY_S, spending_of
from dispatcher.core.model import Refusal
from dispatcher.core.refusal import Objection
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects import otpiq_words as words
from dispatcher.ingest.dialects.amounts import number
from dispatcher.ingest.dialects.desk import Desk, Order
from dispatcher.ingest.dialects.frame import Request, Route
from dispatcher.ingest.dialects.otpiq_fields import NO_PROVIDER, Asked, read
from dispatcher.ingest.dialects.shown import Shown, ShownState
from dispatcher.ingest.door import Caller
from dispatcher.ingest.problems import Problem

NAME: Final = "otpiq"
ID_BYTES: Final = 12
_TRACKED: Final = re.compile("[A-Za-z0-9_-]{1,64}")
_STATUS: Final[Mapping[ShownState, tuple[str, bool]]] = {
    "accepted": ("pending", False),
    "queued": ("pending", False),
    "submitted": ("sent", False),
    "delivered": ("delivered", True),
    "undelivered": ("failed", True),
    "failed": ("failed", True),
    "expired": ("failed", True),
    "rejected": ("failed", True),
    "cancelled": ("failed", True),
    "unknown": ("sent", True),
}
_NETWORKS: Final = (
    ("korekTelecom", "9647500000000"),
    ("asiaCell", "9647700000000"),
    ("zainIraq", "9647800000000"),
    ("others", "9647300000000"),
)
"""The networks whose prices are shown, each by a number of its range."""


class Otpiq:
    """The dialect."""

    name = NAME

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._settings = desk.door.settings.otpiq
        self._insecure = desk.door.settings.notices.allow_insecure
        self.routes: Sequence[Route] = (
            Route(("POST",), "/api/sms", self.send, sends=True, first=self._first),
            Route(("GET",), "/api/sms/track/{smsId}", self.track, first=self._first),
            Route(("GET",), "/api/info", self.info, first=self._first),
            Route(("GET",), "/api/sender-ids", self.sender_ids, first=self._first),
        )

    def word(self, problem: Problem, request: Request) -> Answer:
        """Any problem in this dialect's shape."""
        account = None if request.caller is None else request.caller.account
        if problem.kind == Refusal.BALANCE and account is not None:
            return words.poor(to_micro(problem.document.available) - account.floor, to_micro(problem.document.price))
        if problem.kind == Refusal.LIMIT:
            minutes = self._settings.window_minutes
            return words.too_many(problem.retry_after_s, self._settings.sends_max, minutes)
        return words.word(problem)

    def finish(self, answer: Answer, request: Request) -> Answer:  # noqa: ARG002 - the frame's form
        """This dialect has no headers of its own."""
        return answer

    async def _first(self, request: Request) -> Caller:
        scheme, _, token = request.header(b"authorization").strip().partition(" ")
        return await self._desk.credential(NAME, token.strip() if scheme.lower() == "bearer" else None)

    # -- sending

    async def send(self, request: Request) -> Answer:
        """POST /api/sms. Raises Problem, NotAnObject."""
        caller = _caller(request)
        asked = read(request.json(), insecure=self._insecure)
        if isinstance(asked, str):
            return words.bad(asked)
        account = caller.account
        if account.trial_number and asked.to != account.trial_number:
            return words.bad(words.TRIAL)
        if asked.unavailable:
            return words.bad(NO_PROVIDER[asked.unavailable])
        if not (asked.sender or account.sender) and asked.custom:
            return words.bad("SenderID is required for custom messages")
        ticket, takes = self._ticket(asked, caller), self._takes(asked, caller)
        try:
            submitted = await self._desk.submit(caller, self._order(asked, account), request, ticket=ticket, takes=takes)
        except Problem as problem:
            if problem.kind != Refusal.SPEND_CAP:
                raise
            spent = await self._desk.door.within(self._desk.front.summed(spending_of(account.name), DAY_S))
            return words.threshold(spent, account.spend_cap, to_micro(problem.document.price))
        return words.encoded(
            200,
            {
                "message": "SMS task created successfully",
                "smsId": submitted.ticket.alias,
                "remainingCredit": number(max(0, submitted.available - account.floor)),
                "cost": number(submitted.price),
                "canCover": True,
                "paymentType": account.payment,
            },
        )

    def _order(self, asked: Asked, account: Account) -> Order:
        if asked.custom:
            return Order(asked.to, asked.text, sender=asked.sender)
        text = account.texts.get("en", "")
        if not text or "{minutes}" in text:  # how long the code is good, only the client knows
            text = self._settings.text
        return Order(asked.to, text.replace("{code}", asked.text), sender=asked.sender, lane="otp")

    def _ticket(self, asked: Asked, caller: Caller) -> Ticket:
        note: dict[str, Any] = {}
        if asked.sender:
            note["senderId"] = asked.sender
        if len(asked.chain) > 1:
            note["chain"] = list(asked.chain)
        alias = f"sms-{self._desk.door.entropy(ID_BYTES).hex()}"
        return Ticket(door=NAME, account=caller.account.name, to=(asked.to,), alias=alias, callback=asked.callback, note=note)

    def _takes(self, asked: Asked, caller: Caller) -> tuple[Take, ...]:
        limit = self._settings.sends_max
        if asked.custom or not limit:
            return ()
        subject = f"otpiq:{caller.key.id}:{self._desk.door.book.hash_number(asked.to)}"
        return (Take(subject, ((self._settings.window_minutes * 60, limit),), "", str(Refusal.LIMIT)),)

    # -- what became of it

    async def track(self, request: Request) -> Answer:
        """GET /api/sms/track/{smsId}. Raises Problem."""
        sms_id = request.names["smsId"]
        shown = await self._desk.message(_caller(request), sms_id) if _TRACKED.fullmatch(sms_id) else None
        if shown is None or shown.ticket is None or shown.ticket.door != NAME:
            return words.failure(404, "SMS not found")
        status, final = _status(shown)
        return words.encoded(
            200,
            {
                "smsId": shown.ticket.alias,
                "phoneNumber": shown.to,
                "status": status,
                "cost": number(shown.price),
                "isFinalStatus": final,
                "lastChannel": "sms",
                "channelFlow": [_channel(name, status) for name in shown.ticket.note.get("chain", ["sms"])],
            },
        )

    # -- the account

    async def info(self, request: Request) -> Answer:
        """GET /api/info. Raises Problem."""
        caller = _caller(request)
        account = caller.account
        money = await self._desk.balance(caller)
        credit = number(money.available - money.floor)
        return words.encoded(200, {"projectName": account.project or account.name, "credit": credit})

    async def sender_ids(self, request: Request) -> Answer:
        """GET /api/sender-ids: what the account may name, each with the account's prices for Iraq. Raises Problem."""
        account = _caller(request).account
        prices = self._prices(account)
        senders = dict.fromkeys([account.sender, *account.senders] if account.sender else account.senders)
        data = [
            {
                "_id": self._desk.keyed("otpiq sender", account.name, sender).hex()[: 2 * ID_BYTES],
                "senderId": sender,
                "status": "accepted",
                "pricePerSms": prices,
            }
            for sender in senders
        ]
        return words.encoded(200, {"success": True, "data": data})

    def _prices(self, account: Account) -> dict[str, int | float | None]:
        door = self._desk.door
        try:
            tariff: Tariff | None = door.book.tariff(account, door.clock.now_ms())
        except Objection:
            tariff = None
        found = {name: tariff.price(example) if tariff is not None else None for name, example in _NETWORKS}
        return {name: None if price is None else number(price.micro) for name, price in found.items()}


def _caller(request: Request) -> Caller:
    """Whom the route's `first` has proven."""
    if request.caller is None:
        raise Problem("unauthorized_missing")
    return request.caller


def _status(shown: Shown) -> tuple[str, bool]:
    """Status and whether it is the last. What was told to be sent stays so while it is tried again."""
    if shown.state == "queued" and shown.was_submitted:
        return "sent", False
    return _STATUS[shown.state]


def _channel(name: str, status: str) -> dict[str, object]:
    if name != "sms":
        return {"channel": name, "tried": False}
    flow: dict[str, object] = {"channel": name, "tried": status != "pending"}
    if status in {"delivered", "failed"}:
        flow["success"] = status == "delivered"
    return flow
