"""OTPIQ's API as OpenAPI: what it takes and what it answers, to the key."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from dispatcher.ingest.dialects.described import IDEMPOTENCY, Said, document, operation

Amount = Annotated[float, Meta(ge=0)]


class DeliveryReport(msgspec.Struct, omit_defaults=True):
    """Where reports of delivery go."""

    webhookUrl: Annotated[str, Meta(min_length=1, description="https")]
    deliveryReportType: Literal["all", "final"] = "all"
    webhookSecret: str | msgspec.UnsetType = msgspec.UNSET


class SendSms(msgspec.Struct, omit_defaults=True):
    """A verification code of your own, or a text."""

    phoneNumber: Annotated[str, Meta(pattern="^[0-9]{10,15}$")]
    smsType: Literal["verification", "custom", "whatsapp-template"]
    verificationCode: Annotated[str, Meta(min_length=1, max_length=20)] | msgspec.UnsetType = msgspec.UNSET
    customMessage: Annotated[str, Meta(min_length=1, max_length=1000)] | msgspec.UnsetType = msgspec.UNSET
    senderId: Annotated[str, Meta(max_length=11)] | msgspec.UnsetType = msgspec.UNSET
    provider: Literal["auto", "whatsapp-sms", "telegram-sms", "whatsapp-telegram-sms", "sms", "whatsapp", "telegram"] = "auto"
    deliveryReport: DeliveryReport | msgspec.UnsetType = msgspec.UNSET


class Created(msgspec.Struct):
    """Accepted and paid for. Amounts in the account's currency."""

    message: str
    smsId: Annotated[str, Meta(pattern="^sms-[0-9a-f]{24}$")]
    remainingCredit: Amount
    cost: Amount
    canCover: Literal[True]
    paymentType: Literal["prepaid", "postpaid"]


class Step(msgspec.Struct, omit_defaults=True):
    """One channel of the chain."""

    channel: Literal["sms", "whatsapp", "telegram"]
    tried: bool
    success: bool | msgspec.UnsetType = msgspec.UNSET


class Tracked(msgspec.Struct):
    """A message as it is now."""

    smsId: str
    phoneNumber: str
    status: Literal["pending", "sent", "delivered", "failed"]
    cost: Amount
    isFinalStatus: bool
    lastChannel: Literal["sms"]
    channelFlow: list[Step]


class Info(msgspec.Struct):
    """The project."""

    projectName: str
    credit: float


class SenderId(msgspec.Struct):
    """A sender that may be named, with its prices."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{24}$")] = msgspec.field(name="_id")
    senderId: str
    status: Literal["accepted", "pending", "rejected"]
    pricePerSms: dict[str, float | None]


class SenderIds(msgspec.Struct):
    """All of them."""

    success: Literal[True]
    data: list[SenderId]


class BadRequest(msgspec.Struct, omit_defaults=True):
    """400, and what the client tells its kinds apart by."""

    error: str
    yourCredit: float | msgspec.UnsetType = msgspec.UNSET
    requiredCredit: float | msgspec.UnsetType = msgspec.UNSET
    canCover: Literal[False] | msgspec.UnsetType = msgspec.UNSET
    currentSpending: float | msgspec.UnsetType = msgspec.UNSET
    spendingThreshold: float | msgspec.UnsetType = msgspec.UNSET
    cost: float | msgspec.UnsetType = msgspec.UNSET


class Failure(msgspec.Struct, omit_defaults=True):
    """Every other error."""

    message: str
    waitMinutes: int | msgspec.UnsetType = msgspec.UNSET
    maxRequests: int | msgspec.UnsetType = msgspec.UNSET
    timeWindowMinutes: int | msgspec.UnsetType = msgspec.UNSET


_KEY: Final[tuple[dict[str, list[str]], ...]] = ({"project": []},)
_ANY: Final = (
    Said(401, "no key, or a wrong one", Failure),
    Said(429, "too many", Failure),
    Said(500, "an error of ours", Failure),
    Said(503, "not available now", Failure),
)


def otpiq_document() -> dict[str, Any]:
    """The dialect's document."""
    sms_id = {"name": "smsId", "in": "path", "required": True, "schema": {"type": "string"}}
    paths = {
        "/api/sms": {
            "post": operation(
                "sendSms",
                "Send a verification code or a text",
                (
                    Said(200, "accepted and paid for", Created),
                    Said(400, "not what it should be, or too little credit", BadRequest),
                    *_ANY,
                    Said(408, "the body came too slowly", Failure),
                    Said(409, "the Idempotency-Key was used with another request", Failure),
                    Said(413, "the body is too large", Failure),
                ),
                body=SendSms,
                parameters=(IDEMPOTENCY,),
                security=_KEY,
            )
        },
        "/api/sms/track/{smsId}": {
            "get": operation(
                "trackSms",
                "What became of it",
                (Said(200, "found", Tracked), *_ANY, Said(404, "no such message", Failure)),
                parameters=(sms_id,),
                security=_KEY,
            )
        },
        "/api/info": {"get": operation("info", "Project and credit", (Said(200, "found", Info), *_ANY), security=_KEY)},
        "/api/sender-ids": {
            "get": operation("senderIds", "Senders and prices", (Said(200, "found", SenderIds), *_ANY), security=_KEY)
        },
    }
    schemes = {"project": {"type": "http", "scheme": "bearer", "description": "the project's API key"}}
    bodies = (SendSms, Created, Tracked, Info, SenderIds, BadRequest, Failure)
    return document("OTPIQ", "Verification codes and texts, tracking, credit, senders.", paths, bodies, schemes)
