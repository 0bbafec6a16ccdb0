"""The nouns of the house: a Send as it arrives, the Body and the Head as they are kept, the rows that leave.

This module refuses to know how anything is decided (lifecycle, retry, routing) or stored (store/). It holds only
shapes, closed enumerations and the order of columns.

A record is two parts (store.md 1). The *body* is written once, at admission, and erased at the final state. The
*head* exists from the first submission on and is small; its version is kept beside it, not in it, because the store
compares versions without decoding heads. A message with a body and no head is queued at version 0.

`gc=False`: records hold only scalars, strings and lists of such and never form a cycle; tracked, tens of thousands of
them in flight would be walked again and again by the collector.
"""

from __future__ import annotations

import enum
from typing import Any, Literal, NamedTuple

import msgspec

MESSAGE_ID_CHARS = 26
ATTEMPTS_MAX = 5
"""Attempts per segment: the first and four retries (promise P3)."""


class Lane(enum.IntEnum):
    """Traffic class and queue lane in one: lower goes first. The wire name is `Lane.wire`."""

    OTP = 0
    TRANSACTIONAL = 1
    BULK = 2

    @property
    def wire(self) -> str:
        """Name in JSON, keys and labels: otp, transactional or bulk."""
        return self.name.lower()


LANES: tuple[Lane, ...] = (Lane.OTP, Lane.TRANSACTIONAL, Lane.BULK)
LANE_BY_NAME: dict[str, Lane] = {lane.wire: lane for lane in LANES}


class State(enum.IntEnum):
    """States of a message and of a segment. From DELIVERED on final, and ordered from best to worst, so that a
    message's final state is the greatest of its segments' states (promises.md)."""

    QUEUED = 0
    """In its queue, never submitted, or (segment) not yet submitted in this round."""
    SUBMITTING = 1
    """A write-ahead record exists; bytes may have left. Only the owning engine may change such a head."""
    SUBMITTED = 2
    """Accepted by the carrier, receipt awaited."""
    WAITING = 3
    """Closed without delivery; waits in the due set for its retry."""
    DOUBT = 4
    """The last attempt's outcome is unknown; the doubt policy decides."""
    DELIVERED = 10
    UNKNOWN = 11
    CANCELLED = 12
    EXPIRED = 13
    UNDELIVERED = 14
    FAILED = 15
    REJECTED = 16

    @property
    def wire(self) -> str:
        """Name in JSON, events and labels."""
        return self.name.lower()

    @property
    def final(self) -> bool:
        """True when nothing but a refinement of `unknown` can follow."""
        return self >= State.DELIVERED


class OnUnknown(enum.IntEnum):
    """Doubt policy: may a segment whose outcome is unknown be sent again?"""

    HOLD = 0
    RESEND = 1


class Outcome(enum.IntEnum):
    """What became of one attempt at the carrier's door."""

    PENDING = 0
    """Written ahead; no answer known yet."""
    ACCEPTED = 1
    TEMPORARY = 2
    PERMANENT = 3
    UNKNOWN = 4
    """The last byte left and no answer came; a later answer or receipt may still settle it."""
    THROTTLED = 5
    """Refused for our speed: not an attempt. Never stored; it undoes the attempt written ahead."""
    NOT_SENT = 6
    """The link died before the last byte: not an attempt. Never stored either."""


class Send(
    msgspec.Struct,
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
    gc=False,
    rename={"sender": "from", "lane": "class"},
):
    """One send as a producer writes it (contracts.md, Send). Shape only; admission checks the rest.

    `binary` and `udh` are base64. `validity_s` in seconds; `not_before` integer milliseconds since 1970 UTC or RFC
    3339; `max_price` a decimal string in the account's currency.
    """

    to: str
    text: str | None = None
    binary: str | None = None
    udh: str | None = None
    key: str | None = None
    account: str | None = None
    sender: str | None = None
    lane: Literal["otp", "transactional", "bulk"] = "transactional"
    encoding: Literal["auto", "gsm7", "ucs2", "latin1", "binary"] = "auto"
    smart: bool = False
    flash: bool = False
    validity_s: int | None = None
    not_before: int | str | None = None
    max_segments: int = 10
    max_price: str | None = None
    on_unknown: Literal["resend", "hold"] | None = None
    route: str | None = None
    tlvs: dict[str, str] = {}
    entity: str | None = None
    template: str | None = None
    ref: str | None = None
    group: str | None = None
    client_ip: str | None = None
    callback: dict[str, Any] | None = None


class PlainSend(Send, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """A send whose customer was promised GSM 7-bit or UCS-2 and the segments of these, 160/153 and 70/67: the five public
    APIs. No national tables and no Latin-1, whatever the carriers could do."""


class Options(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """What few sends have, kept out of the body's fixed columns. TLV values are raw bytes by tag number; `shift` is the
    national tables of a GSM 7-bit text (smpp.national.shift_of)."""

    binary: bytes = b""
    udh: bytes = b""
    flash: bool = False
    tlvs: dict[int, bytes] = {}
    not_before: int = 0
    entity: str = ""
    template: str = ""
    shift: int = 0


class Body(msgspec.Struct, array_like=True, gc=False):
    """What a message is: written once at admission, read at every claim, erased at the final state.

    `to` is E.164 digits without `+`; `encoding` a smpp.text.Encoding; times are ms since 1970 UTC; `unit_price` is
    micro-units per segment; `deadline_at` is the instant after which nothing is submitted any more. `sender` may be
    empty: then that of the carrier chosen at the claim is used. `mask` hides the text in every view (otp).
    """

    to: str
    text: str
    sender: str
    account: str
    lane: int
    route: str
    encoding: int
    segments: int
    unit_price: int
    currency: str
    tariff: str
    to_hash: str
    accepted_at: int
    deadline_at: int
    on_unknown: int
    key: str = ""
    ref: str = ""
    country: str = ""
    mccmnc: str = ""
    group: str = ""
    options: Options | None = None


class Attempt(msgspec.Struct, array_like=True, gc=False):
    """One submission of one segment and what became of it.

    `at` is the instant of the write-ahead (ms); `code` the command_status of the answer; `cost` the carrier's price
    in micro-units of the carrier's currency; `receipt` the last receipt's state (DELIVRD, ...), `receipt_code` its
    `err` as the carrier wrote it, `cause` our name for it (absent, memory_full, ...), `tlvs` what the
    operator keeps of the carrier's.
    """

    number: int
    carrier: str
    bind: str
    at: int
    outcome: int = Outcome.PENDING
    code: int = 0
    carrier_id: str = ""
    answered_at: int = 0
    cost: int = 0
    receipt: str = ""
    receipt_code: str = ""
    cause: str = ""
    receipt_at: int = 0
    tlvs: dict[str, str] | None = None


class Segment(msgspec.Struct, array_like=True, gc=False):
    """One segment's life. `posted` once the customer has been charged for it; `refunded` once given back; `due_at` (ms)
    the instant of its next attempt while WAITING or DOUBT (0: none planned; it waits for evidence or its siblings)."""

    state: int = State.QUEUED
    attempts: list[Attempt] = []
    posted: bool = False
    refunded: bool = False
    due_at: int = 0


class Head(msgspec.Struct, array_like=True, gc=False):
    """The changing part of a message, with what receipts need when the body is gone or not read.

    `at` is the last change (ms); `first_at` the first submission (ms); `due_at` the instant in the due set while
    WAITING or DOUBT (ms, 0 none); `reference` the concatenation reference of the current round; `pin` a carrier to
    which a partial retry is bound; `avoid` carriers the next attempt must not use; `stopped` why the last retry that
    could have been was not (retry.Stop's value, "" when none was skipped).
    """

    state: int
    at: int
    segments: list[Segment]
    account: str
    lane: int
    route: str
    unit_price: int
    currency: str
    tariff: str
    to_hash: str
    accepted_at: int
    deadline_at: int
    on_unknown: int
    first_at: int = 0
    due_at: int = 0
    reference: int = 0
    pin: str = ""
    avoid: list[str] = []
    key: str = ""
    ref: str = ""
    sender: str = ""
    country: str = ""
    mccmnc: str = ""
    group: str = ""
    refined: bool = False
    stopped: str = ""


class Message(msgspec.Struct, eq=False, gc=False):
    """A message as a decision sees it: id, version of the head (0: none), head and body (either may be absent).

    `stage`: what it shares with messages alike (core/alike), instead of a head of its own; to give it a head ends that.
    `own`: what is not shared, for the stage to read.
    """

    id: str
    version: int
    _head: Head | None
    body: Body | None
    stage: Any = None
    own: Any = ""

    @property
    def head(self) -> Head | None:
        """Its changing part; None before the first submission."""
        if self._head is None and self.stage is not None:
            self._head = self.stage.head_of(self)
        return self._head

    @head.setter
    def head(self, head: Head | None) -> None:
        self._head = head
        self.stage = None

    def moved(self, stage: Any, own: Any = "") -> None:
        """It shares its head with messages alike from here on, but for what is its own."""
        self.stage = stage
        self.own = own
        self._head = None


class EventRow(msgspec.Struct, array_like=True, gc=False):
    """One row of `events` (contracts.md). `to` is the keyed hash unless the account opts in; `error` is None or
    (source, code, name, class)."""

    id: str
    key: str
    ref: str
    account: str
    to: str
    lane: str
    state: str
    segments: int
    carrier: str
    error: tuple[str, str, str, str] | None
    attempt: int
    refined: bool
    tlvs: dict[str, str] | None
    at: int


EVENT_COLUMNS = "id,key,ref,account,to,class,state,segments,carrier,error,attempt,refined,tlvs,at"


class InboundRow(msgspec.Struct, array_like=True, gc=False):
    """One row of `inbound`: a handset's message, put together of `parts` of the `total` parts that it has. `account`: whose
    number it was sent to ("" nobody's); `keyword`: by which it found it; `word`: stop, start or help where it says that."""

    id: str
    sender: str
    to: str
    text: str | None
    binary: bytes | None
    carrier: str
    parts: int
    at: int
    total: int = 1
    account: str = ""
    keyword: str = ""
    word: str = ""
    reference: int | None = None


INBOUND_COLUMNS = "id,from,to,text,binary,carrier,parts,at,total,account,keyword,word,reference"


class Correlation(NamedTuple):
    """Where a carrier's message id leads. `deadline_at` (ms): after it, silence is the evidence "no receipt"."""

    partition: str
    id: str
    segment: int
    attempt: int
    deadline_at: int


class Refusal(enum.StrEnum):
    """The closed list of reasons for which a send is refused at admission."""

    MALFORMED = "malformed"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_ACCOUNT = "unknown_account"
    SUSPENDED = "account_suspended"
    NUMBER_INVALID = "number_invalid"
    TEXT_EMPTY = "text_empty"
    TEXT_TOO_LONG = "text_too_long"
    TEXT_INVALID = "text_invalid"
    ENCODING = "encoding_impossible"
    SENDER_INVALID = "sender_invalid"
    SENDER_REQUIRED = "sender_required"
    NO_ROUTE = "no_route"
    NO_PRICE = "no_price"
    PRICE_TOO_HIGH = "price_too_high"
    BALANCE = "insufficient_balance"
    KEY_CONFLICT = "key_conflict"
    KEY_PENDING = "key_pending"
    VALIDITY = "validity_invalid"
    NOT_BEFORE = "not_before_invalid"
    OPTION = "option_invalid"
    SENDER_NOT_ALLOWED = "sender_not_allowed"
    DESTINATION = "destination_not_allowed"
    VELOCITY = "velocity"
    SPEND_CAP = "spend_cap"
    CONVERSION = "conversion_paused"
    OPTED_OUT = "opted_out"
    LIMIT = "limit"
