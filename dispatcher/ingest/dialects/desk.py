"""The desk where every dialect hands in its orders and asks what became of them. No dialect touches the store but through it
(and `front`, the doors' part of the store: codes, takes, aliases, numbers drawn).

This module refuses to know JSON, paths and the words of any dialect. What goes wrong is a Problem with a kind from
problems.KINDS. Policies are admission's and the store's: the desk builds Sends, keeps the ticket with them in one transaction,
and repeats an answer under its Idempotency-Key.

Money is integer micro-units, times are ms since 1970 UTC.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import msgspec

from dispatcher.core import ids
from dispatcher.core.admission import Refused
from dispatcher.core.customer import Account, ApiKey, Balance
from dispatcher.core.front import Code, FrontStore, Take, Ticket
from dispatcher.core.guards import with_door
from dispatcher.core.model import LANE_BY_NAME, Body, Lane, PlainSend, Refusal, Send
from dispatcher.core.ports import Admission, GroupPlan
from dispatcher.core.refusal import refusal_of
from dispatcher.ingest import batch, keys, limits
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects import repeats, shown
from dispatcher.ingest.dialects.frame import Request
from dispatcher.ingest.dialects.kept import Kept
from dispatcher.ingest.dialects.shown import Shown, ShownGroup
from dispatcher.ingest.door import Caller, Door, field_error
from dispatcher.ingest.problems import Problem, invalid

SLICE_ORDERS = 200
"""Judged between two turns of the loop: about 1 ms."""
SHAPES_MAX = 10_000


class Order(NamedTuple):
    """One message to one number. `to`: E.164 digits, whose shape the dialect has checked. `sender` None: the account's.
    `lane` otp hides the text everywhere. `not_before` ms; `validity_s` None: the lane's."""

    to: str
    text: str
    sender: str | None = None
    lane: str = "transactional"
    encoding: str = "auto"
    flash: bool = False
    not_before: int | None = None
    validity_s: int | None = None
    max_segments: int = 10
    route: str | None = None


class Submitted(NamedTuple):
    """An accepted message. `id` is ours (core/ids.to_uuid renders it), `price` the total, `available` the account's money
    after it (a postpaid account's goes below zero, down to its floor), `at` the acceptance, `ticket` as stored."""

    id: str
    price: int
    available: int
    segments: int
    at: int
    ticket: Ticket


class SubmittedGroup(NamedTuple):
    """An accepted group. `ids` of its members, in the order of the accepted orders; `price` the one debit."""

    id: str
    price: int
    available: int
    members: int
    at: int
    ids: list[str]
    ticket: Ticket


class Judged(NamedTuple):
    """Admission's word on every order of a group, under the group's id; nothing is written yet. `refused`: (index of the
    order, why). `price` is that of all accepted ones."""

    id: str
    at: int
    lane: Lane
    admissions: list[Admission]
    refused: list[tuple[int, Refused]]
    price: int


class Desk:
    """One per process, shared by the dialects."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.kept = Kept(door.clock.monotonic)
        self._shapes: dict[str, tuple[Account, Account]] = {}

    @property
    def front(self) -> FrontStore:
        """The doors' part of the store. Wrap its reads in `door.within` (a Problem instead of StoreUnavailable)."""
        return self.door.store

    # -- who

    async def credential(self, dialect: str, presented: str | tuple[str, str] | None) -> Caller:
        """The proven caller. `dialect`: chinqit (also for bulk), laravel, smskit or otpiq. `presented`: a key; or a pair, of
        user name and password (laravel) or of key and token (smskit); None or an empty part: nothing was presented.

        The account in the answer has number_check "shape", as 1.3 wants. Raises Problem: unauthorized_missing; unauthorized
        (unknown, wrong, revoked, expired except laravel's, or of a suspended account, all alike); expired_key (laravel's
        API keys only, and only for the right key); rate_limited; overloaded; store_unavailable."""
        key = await self.door.credentials.dialect(dialect, presented)
        account = await self.door.account(key.account)
        if account is None or account.suspended:
            raise Problem("unauthorized")
        self.door.limit(key.id)
        return Caller(key, self._shaped(account))

    def keyed(self, purpose: str, *parts: str) -> bytes:
        """HMAC-SHA256 under the server's key, 32 bytes: for codes, for subjects that name numbers. Parts are told apart."""
        return self.door.credentials.keyed(f"{purpose}\0" + "".join(f"{len(part)}:{part}" for part in parts))

    def make_key(self, caller: Caller, dialect: str, expires_at: int = 0) -> tuple[str, ApiKey]:
        """An API key in the dialect's form, to be shown once, and its record; nothing is stored yet."""
        text, _, record = keys.issue_for(
            self.door.credentials.keyed, caller.account.name, dialect, self.door.clock.now_ms(), expires_at
        )
        return text, record

    async def balance(self, caller: Caller) -> Balance:
        """The account's money. Raises Problem."""
        money = await self.door.within(self.door.store.balance(caller.account.name))
        if money is None:
            raise Problem(Refusal.UNKNOWN_ACCOUNT)
        return money

    def _shaped(self, account: Account) -> Account:
        """The account with the dialects' number check; the same object as long as the account is the same one."""
        known = self._shapes.get(account.name)
        if known is None or known[0] is not account:
            if len(self._shapes) >= SHAPES_MAX:
                self._shapes.clear()
            known = self._shapes[account.name] = (account, msgspec.structs.replace(account, number_check="shape"))
        return known[1]

    # -- sending

    async def submit(
        self,
        caller: Caller,
        order: Order,
        request: Request,
        *,
        ticket: Ticket,
        code: Code | None = None,
        takes: tuple[Take, ...] = (),
    ) -> Submitted:
        """Accepts one message durably, with its ticket, code and takes in the same transaction, or nothing at all. A take
        with an empty token gets the message's id as its token. With an Idempotency-Key (POST) a repetition raises Replayed;
        when the first answer was lost, what was stored is returned, to be worded anew.

        Raises Problem: a Refusal's kind (its `document.errors` names field and rule), insufficient_balance (document.price
        and document.available are decimals), limit or the take's own reason with retry_after_s, key_conflict, key_pending,
        overloaded, store_unavailable, promise_not_kept."""
        door = self.door
        door.check_promise()
        now = door.clock.now_ms()
        key, digest = repeats.key_of(request)
        if key and (before := await door.within(door.store.find_key(caller.account.name, key, now))) is not None:
            return await self._again(before, caller, digest, request, ticket)
        message_id = door.ids.make(now, 1)[0]
        send = _send(order)
        admission = door.judge(send, caller.account, now, message_id)
        if isinstance(admission, Refused):
            door.count_sends(order.lane, admission.reason, 1)
            raise door.objection(admission, send, caller.account, now)
        ticket = repeats.marked(ticket, digest)
        admission.body.key = key
        admission = with_door(admission._replace(digest=digest), ticket, code, _named(takes, message_id))
        verdict = await door.commit(admission, order.lane)
        if verdict.verdict == "duplicate":
            return await self._again(verdict.id, caller, digest, request, ticket)
        if key:
            request.kept = (message_id, ticket)
        return Submitted(message_id, admission.price, verdict.available, admission.body.segments, now, ticket)

    async def judge_group(self, caller: Caller, orders: Sequence[Order]) -> Judged:
        """Admission's word on every order, in slices between which the loop serves others. All of one lane. Nothing raised for
        refused orders: leave them out, or refuse the whole, as the dialect does. Raises Problem."""
        door = self.door
        account, now = caller.account, door.clock.now_ms()
        group_id = ids.group_of(door.ids.make(now, 1)[0])
        lane = orders[0].lane if orders else "bulk"
        admissions: list[Admission] = []
        places: list[int] = []
        refused: list[tuple[int, Refused]] = []
        express, send, terms = door.book.express, Send(to=""), None
        alike: tuple[object, ...] = ()
        for start in range(0, len(orders), SLICE_ORDERS):
            if start:
                await asyncio.sleep(0)
            part = orders[start : start + SLICE_ORDERS]
            first = len(admissions)
            members = ids.group_members(group_id, len(part), first + 1)
            for index, order in enumerate(part, start):
                if order[2:] == alike:
                    send.to, send.text = order[:2]  # a Send is not kept: making 50,000 of them would cost most of this loop
                else:
                    send, alike = _send(order), order[2:]
                    terms = express.terms(send, account, now)
                member = members[len(admissions) - first]
                word: Admission | Refused | None = None if terms is None else express.admit_by(terms, send, now, member)
                if word is None:
                    word = door.judge(send, account, now, member)
                if isinstance(word, Refused):
                    refused.append((index, word))
                else:
                    word.body.group = group_id
                    admissions.append(word)
                    places.append(index)
        gone = await limits.unwanted(door, account.name, admissions)
        if gone:
            refused = sorted([*refused, *((places[i], why) for i, why in gone.items())], key=lambda item: item[0])
            kept = [admission for i, admission in enumerate(admissions) if i not in gone]
            members = ids.group_members(group_id, len(kept))
            admissions = [a._replace(id=member) for a, member in zip(kept, members, strict=True)]
        for _, word in refused:
            door.count_sends(lane, word.reason, 1)
        price = sum(admission.price for admission in admissions)
        return Judged(group_id, now, LANE_BY_NAME[lane], admissions, refused, price)

    async def submit_group(
        self,
        caller: Caller,
        orders: Sequence[Order] | Judged,
        request: Request,
        *,
        ticket: Ticket,
        takes: tuple[Take, ...] = (),
    ) -> SubmittedGroup:
        """Accepts the group atomically in price and acceptance. With `Judged` its accepted orders are the members (`ticket.to`
        must be theirs, in order; raises Problem batch_rejected when there is none); with plain orders the first refused one
        refuses all (its Problem). Otherwise as `submit`."""
        door = self.door
        door.check_promise()
        key, digest = repeats.key_of(request)
        account = caller.account
        if key and (before := await door.within(door.store.find_key(account.name, key, door.clock.now_ms()))) is not None:
            return await self._group_again(before, caller, digest, request, ticket)
        judged = orders if isinstance(orders, Judged) else await self.judge_group(caller, orders)
        if not isinstance(orders, Judged) and judged.refused:
            index, word = judged.refused[0]
            raise invalid([field_error(word, f"$[{index}]")])
        if not judged.admissions:
            raise Problem("batch_rejected", f"{len(judged.refused)} of {len(judged.refused)} messages were refused")
        takes = _named(takes, judged.id)
        ticket = repeats.marked(ticket, digest)
        await self._take(takes, judged.at)
        try:
            own = await limits.take(door, judged.admissions, judged.at)
        except BaseException:
            await limits.give_back(door, takes, judged.at)
            raise
        taken = (*takes, *own.takes)
        if own.refused:
            await limits.give_back(door, taken, judged.at)
            door.count_sends(judged.lane.wire, next(iter(own.refused.values())).reason, len(judged.admissions))
            raise limits.too_much(next(iter(own.refused.values())))
        count, price = len(judged.admissions), judged.price
        plan = GroupPlan(judged.id, account.name, judged.lane, count, price, account.currency, judged.at, key, digest, ticket)
        verdict = await batch.store(door, plan, judged.admissions)
        reason = refusal_of(verdict)
        door.count_sends(judged.lane.wire, reason or verdict.verdict, count)
        if verdict.verdict != "accepted":
            await limits.give_back(door, taken, judged.at)
        if reason is not None:
            raise door.refused(reason, verdict, price, account.currency)
        if verdict.verdict == "duplicate":
            return await self._group_again(verdict.id, caller, digest, request, ticket)
        if key:
            request.kept = (verdict.id, ticket)
        members = ids.group_members(verdict.id, count)
        return SubmittedGroup(verdict.id, price, verdict.available, count, judged.at, members, ticket)

    async def _take(self, takes: tuple[Take, ...], at: int) -> None:
        """All of them, or none and a Problem."""
        if not takes:
            return
        granted = await self.door.within(self.front.take(takes, at))
        failed = [(take, taken) for take, taken in zip(takes, granted, strict=True) if not taken.granted]
        if failed:
            await limits.give_back(self.door, [t for t, taken in zip(takes, granted, strict=True) if taken.granted], at)
            retry_after_ms = max(taken.retry_after_ms for _, taken in failed)
            raise Problem(failed[0][0].reason, retry_after_s=max(1, math.ceil(retry_after_ms / 1000)))

    # -- repetitions

    async def remember(self, submitted_id: str, ticket: Ticket, answer: Answer) -> None:
        """Stores the answer with the ticket. The frame calls it after a handler that submitted with an Idempotency-Key; a
        dialect has no need to."""
        await repeats.remember(self.door, self.front, submitted_id, ticket, answer)

    async def _again(self, message_id: str, caller: Caller, digest: bytes, request: Request, ticket: Ticket) -> Submitted:
        """The answer that was given, as Replayed; if it is lost, what was stored."""
        ticket = await repeats.replay(self.door, self.front, message_id, digest, request) or ticket
        record = (await self.door.within(self.door.store.messages([message_id])))[0]
        known = None if record is None else record.body or record.head
        segments = 0 if known is None else known.segments if isinstance(known, Body) else len(known.segments)
        price = 0 if known is None else segments * known.unit_price
        available = (await self.balance(caller)).available
        return Submitted(message_id, price, available, segments, ids.time_of(message_id), ticket)

    async def _group_again(
        self, group_id: str, caller: Caller, digest: bytes, request: Request, ticket: Ticket
    ) -> SubmittedGroup:
        ticket = await repeats.replay(self.door, self.front, group_id, digest, request) or ticket
        view = await self.door.within(self.door.store.group(group_id))
        if view is None:
            raise Problem(Refusal.KEY_CONFLICT)
        available = (await self.balance(caller)).available
        members = ids.group_members(group_id, view.members)
        return SubmittedGroup(group_id, view.price, available, view.members, view.at, members, ticket)

    # -- what became of it

    async def message(self, caller: Caller, message_id: str) -> Shown | None:
        """The account's message with its ticket; None when there is none. `message_id` is ours (core/ids.from_uuid) or
        an alias. Raises Problem store_unavailable."""
        found = await self._by_alias(message_id)
        return None if found is None else await shown.read_message(self.door, self.front, self.kept, caller, found)

    async def group(self, caller: Caller, group_id: str, offset: int = 0, limit: int | None = None) -> ShownGroup | None:
        """The account's group: counts over all members, and the members from `offset` on. By our id or an alias; None when
        there is none. Heads are read in slices, the loop serves others in between. Raises Problem store_unavailable."""
        found = await self._by_alias(group_id)
        return None if found is None else await shown.read_group(self.door, self.front, self.kept, caller, found, offset, limit)

    async def _by_alias(self, name: str) -> str | None:
        return name if ids.is_id(name) else await self.door.within(self.front.find_alias(name))


def _send(order: Order) -> Send:
    return PlainSend(
        to=order.to,
        text=order.text,
        sender=order.sender,
        lane=cast('Literal["otp", "transactional", "bulk"]', order.lane),
        encoding=cast('Literal["auto", "gsm7", "ucs2"]', order.encoding),
        flash=order.flash,
        not_before=order.not_before,
        validity_s=order.validity_s,
        max_segments=order.max_segments,
        route=order.route,
    )


def _named(takes: tuple[Take, ...], token: str) -> tuple[Take, ...]:
    return tuple(take if take.token else take._replace(token=token) for take in takes)
