"""Chinqit's two APIs as OpenAPI: what they take and what they answer, to the key."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from dispatcher.ingest.dialects.described import IDEMPOTENCY, Said, document, operation

Phone = Annotated[str, Meta(description="`+` and 8 to 15 digits, or a Mauritanian number as 222XXXXXXXX or XXXXXXXX")]
Uuid = Annotated[str, Meta(pattern="^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Moment = Annotated[str, Meta(pattern=r"^[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z$")]
Text = Annotated[str, Meta(min_length=1)]
Hash = Annotated[
    str, Meta(min_length=11, max_length=11, pattern="^[A-Za-z0-9+/]{11}$", description="of Android's SMS Retriever")
]
Status = Literal["pending", "queued", "sent", "failed"]
Count = Annotated[int, Meta(ge=0)]


class SendMessage(msgspec.Struct, omit_defaults=True):
    """A message to one number."""

    message: Text
    phoneNumber: Phone
    hash: Hash | msgspec.UnsetType = msgspec.UNSET


class SendOtp(msgspec.Struct, omit_defaults=True):
    """A one-time password for a number."""

    phoneNumber: Phone
    language: Literal["fr", "en", "ar"] = "fr"
    channel: Literal["sms", "whatsapp"] = "sms"
    hash: Hash | msgspec.UnsetType = msgspec.UNSET


class VerifyOtp(msgspec.Struct, omit_defaults=True):
    """A guess."""

    phoneNumber: Phone
    otp: Annotated[str, Meta(pattern="^[0-9]{6}$")]
    channel: Literal["sms", "whatsapp"] = "sms"


class Recipient(msgspec.Struct):
    """One message of a batch."""

    phone: Text
    message: Text


class SendBulk(msgspec.Struct):
    """A batch."""

    recipients: Annotated[list[Recipient], Meta(min_length=1, max_length=50_000)]


class Sent(msgspec.Struct):
    """Accepted and durable."""

    success: Literal[True]
    messageId: Uuid
    queued: Literal[True]


class OtpSent(msgspec.Struct):
    """A code is on its way; `expiresIn` in seconds."""

    success: Literal[True]
    messageId: Uuid
    expiresIn: Count


class Verified(msgspec.Struct):
    """The code was right and is used up."""

    success: Literal[True]
    message: str
    verified: Literal[True]


class Issue(msgspec.Struct):
    """One thing wrong with a request: where, and why."""

    path: list[str | int]
    message: str


class Invalid(msgspec.Struct):
    """A recipient that was left out."""

    phone: str
    reason: str
    code: str


class Details(msgspec.Struct):
    """What it would have cost."""

    requiredAmount: float
    validRecipients: Count
    invalidRecipients: Count


class Failure(msgspec.Struct, omit_defaults=True):
    """Every error. `errors` where fields are wrong, `retriesLeft` where a guess was, `details` where money was too little."""

    success: Literal[False]
    message: str
    errors: list[Issue] | msgspec.UnsetType = msgspec.UNSET
    error: str | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    retriesLeft: Count | msgspec.UnsetType = msgspec.UNSET
    details: Details | msgspec.UnsetType = msgspec.UNSET
    invalidRecipients: list[Invalid] | msgspec.UnsetType = msgspec.UNSET


class View(msgspec.Struct, omit_defaults=True):
    """A message as it is now."""

    messageId: Uuid
    phone: str
    status: Status
    cost: float
    createdAt: Moment
    updatedAt: Moment
    error: str | msgspec.UnsetType = msgspec.UNSET


class Shown(msgspec.Struct):
    """One message."""

    success: Literal[True]
    message: View


class BatchSent(msgspec.Struct, omit_defaults=True):
    """The batch is accepted and paid for, all of its valid recipients."""

    success: Literal[True]
    message: str
    batchId: Uuid
    totalValid: Count
    totalInvalid: Count
    estimatedCost: float
    status: Literal["processing"]
    invalidRecipients: list[Invalid] | msgspec.UnsetType = msgspec.UNSET


class Row(msgspec.Struct, omit_defaults=True):
    """One message of a batch."""

    messageId: Uuid
    phone: str
    status: Status
    error: str | msgspec.UnsetType = msgspec.UNSET
    errorCode: str | msgspec.UnsetType = msgspec.UNSET


class Batch(msgspec.Struct, omit_defaults=True):
    """A batch as it is now."""

    batchId: Uuid
    status: Literal["pending", "processing", "completed", "partial", "failed"]
    totalMessages: Count
    validMessages: Count
    invalidCount: Count
    successfulCount: Count
    failedCount: Count
    totalCost: float
    progress: Annotated[int, Meta(ge=0, le=100)]
    createdAt: Moment
    updatedAt: Moment
    messages: list[Row]
    refundedAmount: float | msgspec.UnsetType = msgspec.UNSET
    invalidRecipients: list[Invalid] | msgspec.UnsetType = msgspec.UNSET


class BatchShown(msgspec.Struct):
    """One batch."""

    success: Literal[True]
    batch: Batch


_KEY: Final[tuple[dict[str, list[str]], ...]] = ({"key": []},)
_SCHEMES: Final = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
_ANY: Final = (
    Said(400, "the request is not what it should be", Failure),
    Said(401, "no key", Failure),
    Said(403, "a wrong key", Failure),
    Said(408, "the body came too slowly", Failure),
    Said(413, "the body is too large", Failure),
    Said(500, "an error of ours", Failure),
    Said(503, "not accepted now; nothing was charged", Failure),
)
_SENDS: Final = (
    *_ANY,
    Said(402, "the balance does not suffice", Failure),
    Said(409, "the Idempotency-Key was used with another request", Failure),
    Said(429, "too many", Failure),
)


def rest_document() -> dict[str, Any]:
    """Messages and one-time passwords."""
    found = {"name": "messageId", "in": "path", "required": True, "schema": {"type": "string"}}
    paths = {
        "/messages/send": {
            "post": operation(
                "sendMessage", "Send a message", (Said(200, "accepted", Sent), *_SENDS),
                body=SendMessage, parameters=(IDEMPOTENCY,), security=_KEY,
            )
        },
        "/messages/status/{messageId}": {
            "get": operation(
                "messageStatus", "What became of a message",
                (Said(200, "found", Shown), *_ANY, Said(404, "no such message", Failure)),
                parameters=(found,), security=_KEY,
            )
        },
        "/otp/send": {
            "post": operation(
                "sendOtp", "Send a one-time password",
                (Said(200, "accepted", OtpSent), *_SENDS, Said(502, "WhatsApp has no provider here", Failure)),
                body=SendOtp, parameters=(IDEMPOTENCY,), security=_KEY,
            )
        },
        "/otp/verify": {
            "post": operation(
                "verifyOtp", "Check a one-time password",
                (Said(200, "right", Verified), *_ANY, Said(404, "no code lives", Failure)),
                body=VerifyOtp, security=_KEY,
            )
        },
    }  # fmt: skip
    bodies = (SendMessage, SendOtp, VerifyOtp, Sent, OtpSent, Verified, Shown, Failure)
    return document("Chinqit REST", "Messages and one-time passwords.", paths, bodies, _SCHEMES)


def bulk_document() -> dict[str, Any]:
    """Batches."""
    found = {"name": "batchId", "in": "path", "required": True, "schema": {"type": "string"}}
    page = [
        {"name": name, "in": "query", "required": False, "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999}}
        for name in ("offset", "limit")
    ]
    paths = {
        "/api/v2/bulk/send": {
            "post": operation(
                "sendBulk", "Send a batch of up to 50,000 messages", (Said(202, "accepted and paid for", BatchSent), *_SENDS),
                body=SendBulk, parameters=(IDEMPOTENCY,), security=_KEY,
            )
        },
        "/api/v2/bulk/status/{batchId}": {
            "get": operation(
                "bulkStatus", "How far a batch is",
                (Said(200, "found", BatchShown), *_ANY, Said(404, "no such batch", Failure)),
                parameters=(found, *page), security=_KEY,
            )
        },
    }  # fmt: skip
    return document("Chinqit Bulk", "Batches.", paths, (SendBulk, BatchSent, BatchShown, Failure), _SCHEMES)
