"""What the doors keep besides messages: tickets, aliases, one-time codes, windows, opt-outs. Their shapes and their port.

Nothing here decides anything. A *ticket* is what a door must remember of what it accepted (the number, a callback, what a
dialect needs to word later answers); it lives as long as the record. A *take* is one use of a limit. A *code* is a
one-time password, of which only a keyed hash is kept. All of what goes with one send (`Extras`) is written in the
transaction that accepts it, or not at all. Times are ms since 1970 UTC; money is integer micro-units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

CANCEL_WISHES_MAX = 1_000
CANCEL_WISHES_OF_ACCOUNT_MAX = 100
CANCEL_WISH_MS = 60_000
"""How many wishes to cancel are open at once, of all accounts and of one, and for how long they are known."""


class Callback(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """Where the events of a message go. `form`: whose webhook it is (standard: Standard Webhooks)."""

    url: str
    secret: str = ""
    events: Literal["all", "final"] = "all"
    form: Literal["standard", "otpiq"] = "standard"


class Answered(msgspec.Struct, array_like=True, gc=False):
    """The answer that was given, for its repetition under the same key."""

    status: int
    body: bytes


class Ticket(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What a door remembers of a message or of a group. Never a text, never a code.

    `to`: E.164 digits, a message's one or a group's in the order of its members, only where the door's answers must show
    numbers. `alias`: the id that the door showed instead of ours. `note`: what else its later answers need.
    """

    door: str
    account: str
    to: tuple[str, ...] = ()
    alias: str = ""
    callback: Callback | None = None
    note: dict[str, Any] = {}
    answer: Answered | None = None


class Take(NamedTuple):
    """One use of a limit: `amount` under `subject`, allowed while every span's sum stays within its limit.

    `spans`: (seconds, limit) pairs, sliding. `token` names this use, so that it can be given back (the message id).
    `reason`: the Refusal's value when it is refused.
    """

    subject: str
    spans: tuple[tuple[int, int], ...]
    token: str
    reason: str
    amount: int = 1


class Taken(NamedTuple):
    """What became of a Take; when not granted, nothing was counted and `retry_after_ms` says when it may be."""

    granted: bool
    retry_after_ms: int = 0
    span_s: int = 0


class Counted(NamedTuple):
    """A fixed window's calls so far, this one included, and the ms when it ends."""

    used: int
    ends_at: int


class Code(NamedTuple):
    """A one-time password. `subject` names key, number's hash and channel: a new code replaces the subject's old one."""

    subject: str
    digest: bytes
    tries: int
    expires_at: int


class CodeCheck(NamedTuple):
    """A guess's verdict: right (the code is used up), wrong (`left` tries remain; at 0 it is destroyed), none."""

    verdict: Literal["right", "wrong", "none"]
    left: int = 0
    message_id: str = ""


class Extras(NamedTuple):
    """What goes with one admission, in its transaction. `takes` are tried before it, all or
    none, and given back when it is refused; a process that dies in between leaves them counted.
    `conversion`: count the send as asked for under (account, country)."""

    ticket: Ticket | None = None
    code: Code | None = None
    takes: tuple[Take, ...] = ()
    conversion: str = ""


class Conversion(NamedTuple):
    """How many codes an account sent into a country lately, and how many of them were used."""

    sent: int
    used: int


class FrontStore(Protocol):
    """The doors' part of the store. Raises StoreUnavailable like the rest of it; a lost reply may have taken effect."""

    async def tickets(self, ids: Sequence[str], *, apart: bool = True) -> list[Ticket | None]:
        """Tickets of messages or groups, by our id. Without `apart`, `to` is empty where a large group's numbers are kept
        apart from its ticket."""

    async def put_ticket(self, message_id: str, ticket: Ticket) -> None:
        """Replaces a ticket (its answer is known only after the acceptance)."""

    async def find_alias(self, alias: str) -> str | None:
        """Our id behind a door's alias, as long as the record lives."""

    async def draw_numbers(self, name: str, count: int) -> int:
        """The first of `count` numbers that nobody else gets, counting up from 1."""

    async def take(self, takes: Sequence[Take], at: int) -> list[Taken]:
        """Tries each take, in order, each atomically over all processes, by the time `at`. Up to a limit of 1,000 a span is
        exact and a token counts once, however often it is tried. Above, uses count for up to a sixtieth of the span
        longer, and each try counts."""

    async def take_together(self, sends: Sequence[Sequence[Take]], at: int) -> list[tuple[int, Taken]]:
        """For each send, in order, whose takes are all counted or none: the index of the refused one (-1: none), and its
        answer."""

    async def give_back(self, takes: Sequence[Take], at: int) -> None:
        """Undoes granted takes, each once: by their tokens where a span is exact, by their amounts elsewhere."""

    async def summed(self, subject: str, span_s: int) -> int:
        """What counted in a span when its subject was last tried, of limits above 1,000; 0 where nothing did."""

    async def count_call(self, subject: str, window_s: int, at: int) -> Counted:
        """Counts one call in the subject's fixed window of `window_s` seconds, which begins with its first call; one count
        over all processes. Refuses nothing: what too many means is the caller's rule."""

    async def forget_windows(self, beginning: str) -> int:
        """Forgets what was taken and called under subjects that begin so; returns how many subjects."""

    async def check_code(self, subject: str, digest: bytes, at: int) -> CodeCheck:
        """One guess, in one atomic step. A right one, counted as a conversion with its send, cannot be made twice."""

    async def converted(self, message_id: str, conversion: str, at: int) -> bool:
        """Counts that a send was used, once per message; False when it was counted before."""

    async def conversions(self, at: int, hours: int) -> Mapping[str, Conversion]:
        """`account:country` -> counts of the last hours (whole clock hours, this one included)."""

    async def pause_conversion(self, conversion: str, until: int) -> None:
        """Refuses an account's codes into a country until then; 0 lifts it. Known to every process within a second. Forgets
        what was counted for it, either way, so that it is judged by new codes only."""

    async def paused_conversions(self, at: int) -> Mapping[str, int]:
        """What is paused now, until when."""

    async def opt_out(self, account: str, sender: str, to_hash: str, at: int) -> bool:
        """STOP: the number wants nothing more from that sender of the account ("" sender: from any). False: known before."""

    async def opt_in(self, account: str, sender: str, to_hash: str) -> bool:
        """START: takes it back ("" sender: every opt-out of the number). False: there was none."""

    async def opted_out(self, account: str, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """For each (sender, number's hash): is it refused, by that sender or by "any"?"""

    async def note_key_uses(self, uses: Mapping[str, int]) -> None:
        """Key id -> last use; written now and then, never per request."""

    async def key_uses(self) -> Mapping[str, int]:
        """Last uses by key id."""

    async def wish_cancel(self, account: str, message_id: str, at: int) -> bool:
        """Asks the engines to have carriers cancel what they have accepted of a message. False: as many as may be are open, of
        its account or of all."""

    async def cancel_wishes(self, at: int) -> Sequence[str]:
        """Message ids whose wish is open and not older than CANCEL_WISH_MS, the oldest first."""

    async def cancel_words(self, ids: Sequence[str], at: int) -> Mapping[str, bool]:
        """Of these messages those wished in the last CANCEL_WISH_MS, and whether the carrier's word on each has been taken."""

    async def end_cancel_wish(self, account: str, message_id: str, at: int) -> None:
        """Whatever the carrier said has taken effect."""
