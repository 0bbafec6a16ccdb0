"""The desk where every dialect hands in its orders and asks what became of them. No dialect touches the store but through it
(and `front`, the doors' part of the store: codes, takes, aliases, numbers drawn).

This module refuses to know JSON, paths and the words of any dialect. What goes wrong is a Problem with a kind from
problems.KINDS. Policies are admission's and the store's: the desk builds Sends, keeps the ticket with them in one transaction,
and repeats an answer under its Idempotency-Key.

Money is integer micro-units, times are ms since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from dispatcher.core.admission import Refused
from dispatcher.core.customer import ApiKey, Balance
from dispatcher.core.front import Code, FrontStore, Take, Ticket
from dispatcher.core.model import Lane
from dispatcher.core.ports import Admission
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects.frame import Request
from dispatcher.ingest.dialects.shown import Shown, ShownGroup
from dispatcher.ingest.door import Caller, Door

SLICE_ORDERS = 200
"""Judged between two turns of the loop: about 2 ms."""
KEY_CHARS_MAX = 128
ANSWER_WAIT_S = 1.0
ANSWER_LOOKS = 20
"""How long, and how often, a repetition waits for the first answer while that is still being given."""


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
    after it (down to its floor, which a postpaid account may go below zero to reach), `at` the acceptance, `ticket` as stored."""

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

    @property
    def front(self) -> FrontStore:
        """The doors' part of the store. Wrap its reads in `door.within` (a Problem instead of StoreUnavailable)."""
        return cast(FrontStore, self.door.store)

    # -- who

    async def credential(self, dialect: str, presented: str | tuple[str, str] | None) -> Caller:
        """The proven caller. `dialect`: chinqit (also for bulk), laravel, smskit or otpiq. `presented`: a key; or a pair, of
        user name and password (laravel) or of key and token (smskit); None or an empty part: nothing was presented.

        The account in the answer has number_check "shape", as 1.3 wants. Raises Problem: unauthorized_missing; unauthorized
        (unknown, wrong, revoked, expired except laravel's, or of a suspended account, all alike); expired_key (laravel's
        API keys only, and only for the right key); rate_limited; overloaded; store_unavailable."""
        raise NotImplementedError

    def keyed(self, purpose: str, *parts: str) -> bytes:
        """HMAC-SHA256 under the server's key, 32 bytes: for codes, for subjects that name numbers. Parts are told apart."""
        raise NotImplementedError

    async def live_keys(self, caller: Caller, dialect: str) -> list[ApiKey]:
        """The account's API keys of a dialect that are neither revoked nor expired (no user names). Raises Problem."""
        raise NotImplementedError

    async def issue_key(self, caller: Caller, dialect: str, expires_at: int = 0) -> str:
        """Makes an API key in the dialect's form and returns it, to be shown once. Raises Problem."""
        raise NotImplementedError

    async def revoke_key(self, key: ApiKey) -> None:
        """From now on the key is unknown. Raises Problem."""
        raise NotImplementedError

    async def balance(self, caller: Caller) -> Balance:
        """The account's money. Raises Problem."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def judge_group(self, caller: Caller, orders: Sequence[Order]) -> Judged:
        """Admission's word on every order, in slices between which the loop serves others. All of one lane. Nothing raised for
        refused orders: leave them out, or refuse the whole, as the dialect does. Raises Problem."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def remember(self, submitted_id: str, ticket: Ticket, answer: Answer) -> None:
        """Stores the answer with the ticket. The frame calls it after a handler that submitted with an Idempotency-Key; a
        dialect has no need to."""
        raise NotImplementedError

    # -- what became of it

    async def message(self, caller: Caller, message_id: str) -> Shown | None:
        """The account's message with its ticket; None when there is none. `message_id` is ours (core/ids.from_uuid) or
        an alias. Raises Problem store_unavailable."""
        raise NotImplementedError

    async def group(self, caller: Caller, group_id: str, offset: int = 0, limit: int | None = None) -> ShownGroup | None:
        """The account's group: counts over all members, and the members from `offset` on. By our id or an alias; None when
        there is none. Heads are read in slices, the loop serves others in between. Raises Problem store_unavailable."""
        raise NotImplementedError
