"""What a request to OTPIQ's POST /api/sms asks for: its fields in the service's order, the first wrong one named.

This module refuses to know accounts and how anything is sent. A null is an absent field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from dispatcher.core.front import Callback
from dispatcher.core.notices import origin_of

CODE_CHARS_MAX: Final = 20
TEXT_CHARS_MAX: Final = 1000
SENDER_CHARS_MAX: Final = 11
URL_CHARS_MAX: Final = 2048
SECRET_CHARS_MAX: Final = 256
_TYPES: Final = ("verification", "custom", "whatsapp-template")
_CHAINS: Final[Mapping[str, tuple[str, ...]]] = {
    "auto": ("sms",),
    "sms": ("sms",),
    "whatsapp-sms": ("whatsapp", "sms"),
    "telegram-sms": ("telegram", "sms"),
    "whatsapp-telegram-sms": ("whatsapp", "telegram", "sms"),
    "whatsapp": ("whatsapp",),
    "telegram": ("telegram",),
}
NO_PROVIDER: Final[Mapping[str, str]] = {
    "whatsapp": "WhatsApp channel is not configured",
    "telegram": "Telegram channel is not configured",
}
_PHONE: Final = re.compile("[1-9][0-9]{9,14}", re.ASCII)


class Asked(NamedTuple):
    """A well-formed request. `text` is the code or, when `custom`, the message; `chain` the channels asked for, in order;
    `unavailable` the channel that alone was asked for and has no provider."""

    to: str
    text: str
    custom: bool
    sender: str | None
    chain: tuple[str, ...]
    unavailable: str
    callback: Callback | None


class _Wrong(Exception):
    """The first wrong field, in words."""


def read(body: Mapping[str, Any], *, insecure: bool = False) -> Asked | str:
    """The request, or what is wrong with it. `insecure`: webhooks may be http:// too."""
    try:
        return _read(body, insecure=insecure)
    except _Wrong as wrong:
        return str(wrong)


def _read(body: Mapping[str, Any], *, insecure: bool) -> Asked:
    to = _text(body, "phoneNumber")
    kind = _text(body, "smsType")
    if kind not in _TYPES:
        raise _Wrong("Invalid smsType")
    text = ""
    if kind == "verification":
        text = _bounded(body, "verificationCode", CODE_CHARS_MAX)
    elif kind == "custom":
        text = _bounded(body, "customMessage", TEXT_CHARS_MAX)
    sender = _sender(body.get("senderId"))
    provider = "auto" if body.get("provider") is None else body["provider"]
    if not isinstance(provider, str) or provider not in _CHAINS:
        raise _Wrong("Invalid provider")
    callback = _callback(body.get("deliveryReport"), insecure=insecure)
    if not _PHONE.fullmatch(to):
        raise _Wrong("Invalid phone number format")
    # The vendor's client says that the API sends `custom` by SMS whatever `provider` holds.
    chain = ("whatsapp",) if kind == "whatsapp-template" else ("sms",) if kind == "custom" else _CHAINS[provider]
    return Asked(to, text, kind == "custom", sender, chain, "" if "sms" in chain else chain[0], callback)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None or value == "":
        raise _Wrong(f"{name} is required")
    if not isinstance(value, str):
        raise _Wrong(f"{name} must be a string")
    return value


def _bounded(body: Mapping[str, Any], name: str, chars_max: int) -> str:
    value = body.get(name)
    if value is None:
        raise _Wrong(f"{name} is required")
    if not isinstance(value, str):
        raise _Wrong(f"{name} must be a string")
    if not 1 <= len(value) <= chars_max:
        raise _Wrong(f"{name} must be between 1 and {chars_max} characters")
    return value


def _sender(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _Wrong("SenderID must be a string")
    if len(value) > SENDER_CHARS_MAX:
        raise _Wrong(f"SenderID must be at most {SENDER_CHARS_MAX} characters")
    return value


def _callback(report: object, *, insecure: bool) -> Callback | None:
    if report is None:
        return None
    if not isinstance(report, dict):
        raise _Wrong("deliveryReport must be an object")
    url = report.get("webhookUrl")
    if url is None or url == "":
        raise _Wrong("webhookUrl is required")
    if not isinstance(url, str) or not _callable(url, insecure=insecure):
        raise _Wrong("webhookUrl must be a valid HTTPS URL")
    kind: Literal["all", "final"]
    if report.get("deliveryReportType") in {None, "all"}:
        kind = "all"
    elif report["deliveryReportType"] == "final":
        kind = "final"
    else:
        raise _Wrong("Invalid deliveryReportType")
    secret = report.get("webhookSecret") or ""
    if not isinstance(secret, str) or len(secret) > SECRET_CHARS_MAX or not (secret.isascii() and secret.isprintable()):
        raise _Wrong(f"webhookSecret must be at most {SECRET_CHARS_MAX} printable ASCII characters")
    return Callback(url=url, secret=secret, events=kind, form="otpiq")


def _callable(url: str, *, insecure: bool) -> bool:
    if len(url) > URL_CHARS_MAX:
        return False
    try:
        scheme = origin_of(url).scheme
    except ValueError:
        return False
    return scheme == "https" or (insecure and scheme == "http")
