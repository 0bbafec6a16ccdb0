"""What goes wrong at the door, as application/problem+json (RFC 9457) with a closed list of stable types.

This module refuses to know how a request was read or what a store is. A Problem never carries a text, a number, a key
or a secret: its detail names fields and rules, and values only where the caller cannot have put anything private there
(names of unknown keys).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dispatcher.core.model import Refusal

TYPE_PREFIX = "urn:dispatcher:problem:"
MEDIA_TYPE = "application/problem+json"

_REFUSED = "The send was refused"
KINDS: dict[str, tuple[int, str]] = {
    "unauthorized": (401, "No valid API key"),
    "unauthorized_missing": (401, "No credential was presented"),
    "expired_key": (401, "The API key has expired"),
    "forbidden": (403, "The key may not do this"),
    "account_mismatch": (403, "The account is not the key's"),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "Method not allowed"),
    "body_too_slow": (408, "The body did not arrive in time"),
    "not_cancellable": (409, "Too late to cancel"),
    "not_ready_yet": (409, "Accepted, but not yet expanded into a record"),
    "body_too_large": (413, "The body is too large"),
    "batch_too_large": (413, "Too many messages in one batch"),
    "media_type": (415, "The content type is not supported"),
    "batch_rejected": (422, "No message of the batch was accepted"),
    "idempotency_mismatch": (422, "Idempotency-Key and key differ"),
    "rate_limited": (429, "Too many requests"),
    "internal": (500, "An error of ours"),
    "promise_not_kept": (503, "Accepted could not mean durable now"),
    "store_unavailable": (503, "The store does not answer"),
    "overloaded": (503, "Too many requests are waiting"),
    Refusal.SUSPENDED: (403, "The account is suspended"),
    Refusal.UNKNOWN_ACCOUNT: (403, "The account does not exist"),
    Refusal.BALANCE: (402, "The balance does not suffice"),
    Refusal.KEY_PENDING: (409, "A request with this key is in flight"),
    Refusal.KEY_CONFLICT: (422, "The key was used with another body"),
    Refusal.MALFORMED: (422, "The body is not what it should be"),
    Refusal.UNKNOWN_FIELD: (422, "The body has unknown keys"),
    Refusal.NUMBER_INVALID: (422, _REFUSED),
    Refusal.TEXT_EMPTY: (422, _REFUSED),
    Refusal.TEXT_TOO_LONG: (422, _REFUSED),
    Refusal.TEXT_INVALID: (422, _REFUSED),
    Refusal.ENCODING: (422, _REFUSED),
    Refusal.SENDER_INVALID: (422, _REFUSED),
    Refusal.SENDER_REQUIRED: (422, _REFUSED),
    Refusal.NO_ROUTE: (422, _REFUSED),
    Refusal.NO_PRICE: (422, _REFUSED),
    Refusal.PRICE_TOO_HIGH: (422, _REFUSED),
    Refusal.VALIDITY: (422, _REFUSED),
    Refusal.NOT_BEFORE: (422, _REFUSED),
    Refusal.OPTION: (422, _REFUSED),
    Refusal.SENDER_NOT_ALLOWED: (422, _REFUSED),
    Refusal.DESTINATION: (422, _REFUSED),
    Refusal.OPTED_OUT: (422, "The recipient has opted out"),
    Refusal.VELOCITY: (429, "Too many sends to this range of numbers"),
    Refusal.SPEND_CAP: (429, "The account has spent what it may spend in a day"),
    Refusal.CONVERSION: (429, "Too few of the codes sent there were used"),
    Refusal.LIMIT: (429, "Too many requests of this kind"),
}
"""Type -> status and title. Every Refusal is here; nothing is told apart by its words."""


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with a body: where (`$.text`, `$[3].to`), why (a Refusal), and the rule in words."""

    path: str
    reason: str
    detail: str


class ProblemDocument(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The body of every error answer. `available` and `price` (decimal) come with insufficient_balance, `price` also with
    spend_cap, `reasons` with promise_not_kept, `rejected` with batch_rejected."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: Sequence[FieldError] = ()
    reasons: Sequence[str] = ()
    rejected: Sequence[RejectedItem] = ()
    available: str = ""
    price: str = ""
    currency: str = ""


class RejectedItem(msgspec.Struct, frozen=True):
    """A message of a batch that was not accepted; `index` counts from 0."""

    index: int
    error: FieldError


class Problem(Exception):
    """An answer that is an error. `retry_after_s` > 0 becomes Retry-After; `close` ends the connection, because what is
    left of the body is not worth reading."""

    def __init__(self, kind: str, detail: str = "", *, retry_after_s: int = 0, close: bool = False) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status, title = KINDS[kind]
        self.retry_after_s = retry_after_s
        self.close = close
        self.document = ProblemDocument(type=TYPE_PREFIX + str(kind), title=title, status=self.status, detail=detail)

    def with_errors(self, errors: Sequence[FieldError]) -> Problem:
        """The same, with what is wrong field by field."""
        self.document.errors = errors
        return self

    def body(self) -> bytes:
        """JSON."""
        return msgspec.json.encode(self.document)

    def headers(self) -> list[tuple[str, str]]:
        """Besides content type and length."""
        headers: list[tuple[str, str]] = []
        if self.retry_after_s:
            headers.append(("retry-after", str(self.retry_after_s)))
        if self.status == 401:
            headers.append(("www-authenticate", "Bearer"))
        if self.close:
            headers.append(("connection", "close"))
        return headers


def invalid(errors: Sequence[FieldError]) -> Problem:
    """The problem of a body with these errors: its type is the first one's reason."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(first.reason, f"{first.path}: {first.detail}{more}").with_errors(errors)
