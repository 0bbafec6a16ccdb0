"""The unbranded Laravel "SMS messaging API" (dialects 4): a form send by user name and password, and v2 by API key.

This module refuses to know how numbers are read (laravel_rules), what is said (laravel_words), how keys are replaced
(laravel_keys) and what admission decides. Theory of the request limit: v2 counts a request before it is authenticated, so
the credential is proven first, then the call is counted (for the account when the proof holds, else for the address it
comes from), and only then is the proof's verdict told. The count's headers are on whatever is answered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from dispatcher.core.front import Ticket
from dispatcher.core.ids import to_uuid
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects import laravel_rules as rules
from dispatcher.ingest.dialects import laravel_words as words
from dispatcher.ingest.dialects.amounts import number
from dispatcher.ingest.dialects.desk import Desk, Order
from dispatcher.ingest.dialects.frame import NotAnObject, Request, Route
from dispatcher.ingest.dialects.laravel_keys import KeyDesk, presented
from dispatcher.ingest.dialects.laravel_pages import CALLBACK_PAGE, Pages
from dispatcher.ingest.door import Caller
from dispatcher.ingest.problems import Problem

NAME: Final = "laravel"
CALLS_MAX: Final = 60
WINDOW_S: Final = 60
_CORS: Final = ((b"cache-control", b"no-cache, private"), (b"access-control-allow-origin", b"*"))
_HTML: Final = (b"content-type", b"text/html; charset=UTF-8")
_PAGE_POLICY: Final = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
)


class Laravel:
    """The dialect."""

    name = NAME

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._keys = KeyDesk(desk)
        self._pages = Pages(desk.door.settings.http.mount.get(NAME, ""))
        self.routes: Sequence[Route] = (
            Route(("POST",), words.FORM_SEND, self.form_send, sends=True),
            Route(("GET",), words.PAGE, self.page),
            Route(("GET",), words.CALLBACK, self.callback),
            Route(("GET", "POST"), words.SEND, self.send, sends=True),
            Route(("GET",), words.BALANCE, self.balance),
            Route(("POST",), words.GENERATE, self.generate),
            Route(("POST",), words.REVOKE, self.revoke),
            Route(("POST",), words.REGENERATE, self.regenerate),
        )

    def word(self, problem: Problem, request: Request) -> Answer:
        """Any problem in this dialect's shape."""
        return words.word(problem, request)

    def finish(self, answer: Answer, request: Request) -> Answer:
        """The headers of every answer, and those of the request limit where a call was counted."""
        return answer._replace(headers=(*answer.headers, *request.answer_headers, *_CORS))

    # -- v1

    async def form_send(self, request: Request) -> Answer:
        """POST /v1/sms/send. Raises Problem."""
        parameters = request.parameters()
        pair = (parameters.get("username", ""), parameters.get("password", ""))
        caller = await self._desk.credential(NAME, pair)
        return await self._send(request, caller, parameters, v2=False)

    # -- v2

    async def send(self, request: Request) -> Answer:
        """GET or POST /api/v2/sms/send. Raises Problem."""
        caller, parameters = await self._by_key(request)
        return await self._send(request, caller, parameters, v2=True)

    async def balance(self, request: Request) -> Answer:
        """GET /api/v2/account/balance. Raises Problem."""
        caller, _ = await self._by_key(request)
        money = await self._desk.balance(caller)
        return words.answer(200, words.BalanceAnswer(number(money.available), money.currency))

    async def _by_key(self, request: Request) -> tuple[Caller, Mapping[str, str]]:
        """Caller and parameters of a request with an API key."""
        parameters = _readable(request)
        caller = await self._counted(request, presented(request, parameters, passwords=False, keys=True))
        return caller, request.parameters()

    async def _counted(self, request: Request, credential: str | tuple[str, str] | None) -> Caller:
        """The caller, after the call was counted. Raises Problem: that of the credential, or rate_limited."""
        try:
            caller = await self._desk.credential(NAME, credential)
        except Problem as problem:
            if problem.status == 401:
                await self._count(request, f"laravel:address:{request.client}")
            raise
        await self._count(request, f"laravel:account:{caller.account.name}")
        return caller

    async def _count(self, request: Request, subject: str) -> None:
        """Counts a call. Raises Problem rate_limited."""
        door, front = self._desk.door, self._desk.front
        now = door.clock.now_ms()
        used, ends_at = await door.within(front.count_call(subject, WINDOW_S, now))
        left = max(0, CALLS_MAX - used)
        request.answer_headers += ((b"x-ratelimit-limit", b"%d" % CALLS_MAX), (b"x-ratelimit-remaining", b"%d" % left))
        if used > CALLS_MAX:
            request.answer_headers.append((b"x-ratelimit-reset", b"%d" % math.ceil(ends_at / 1000)))
            raise Problem("rate_limited", retry_after_s=math.ceil((ends_at - now) / 1000))

    # -- keys

    async def generate(self, request: Request) -> Answer:
        """POST /api/generate-key. Raises Problem."""
        caller = await self._counted(request, presented(request, _readable(request), passwords=True, keys=False))
        return await self._new_key(request, caller, replace=False)

    async def regenerate(self, request: Request) -> Answer:
        """POST /api/regenerate-key. Raises Problem."""
        caller = await self._counted(request, presented(request, _readable(request), passwords=True, keys=True))
        return await self._new_key(request, caller, replace=True)

    async def revoke(self, request: Request) -> Answer:
        """POST /api/revoke-key. Raises Problem."""
        caller = await self._counted(request, presented(request, _readable(request), passwords=True, keys=True))
        if not await self._keys.revoke(caller):
            return words.answer(404, words.KEY_NONE)
        return words.answer(200, words.Said("API key revoked successfully"))

    async def _new_key(self, request: Request, caller: Caller, *, replace: bool) -> Answer:
        try:
            days = rules.expiry_days(request.parameters())
        except rules.Misread as error:
            return words.misread(error.words, error.field)
        made = await self._keys.make(caller, days, replace=replace)
        if made is None:
            return words.answer(409, words.KEY_EXISTS)
        said = f"API key {'regenerated' if replace else 'generated'} successfully"
        expires = rules.moment(made.expires_at) if made.expires_at else None
        return words.answer(200, words.KeyAnswer(said, made.text, expires))

    # -- pages

    async def page(self, request: Request) -> Answer:
        """GET /api/v2: the document for those who want JSON and nothing else, the page for everybody else."""
        accept = request.header(b"accept").lower()
        if "application/json" in accept and "text/html" not in accept:
            return Answer(200, self._pages.document())
        return Answer(200, self._pages.page(), (_HTML, _PAGE_POLICY))

    async def callback(self, request: Request) -> Answer:  # noqa: ARG002 - as Handler wants it
        """GET /api/oauth2-callback: the seed's static page."""
        return Answer(200, CALLBACK_PAGE, (_HTML,))

    # -- sending

    async def _send(self, request: Request, caller: Caller, parameters: Mapping[str, str], *, v2: bool) -> Answer:
        try:
            asked = rules.asked(parameters, caller.account.country_code, v2=v2)
        except rules.Misread as error:
            return words.misread(error.words)
        orders = [Order(recipient.to, asked.text, asked.sender) for recipient in asked.recipients]
        ticket = Ticket(door=NAME, account=caller.account.name)
        if len(orders) == 1:
            sent = await self._desk.submit(caller, orders[0], request, ticket=ticket)
            batch, ids = sent.id, [sent.id]
            cost, available = sent.price, sent.available
        else:
            group = await self._desk.submit_group(caller, orders, request, ticket=ticket)
            batch, ids = group.id, group.ids
            cost, available = group.price, group.available
        messages = [
            words.QueuedMessage(recipient.shown, "+" + recipient.to, to_uuid(message_id))
            for recipient, message_id in zip(asked.recipients, ids, strict=True)
        ]
        answer = words.SendAnswer(batch_id=to_uuid(batch), messages=messages, cost=number(cost), balance=number(available))
        return words.answer(200, answer)


def _readable(request: Request) -> Mapping[str, str]:
    """The parameters, as far as they can be read: a call is counted and authenticated before its body is judged."""
    try:
        return request.parameters()
    except NotAnObject:
        return {}
