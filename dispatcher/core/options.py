"""A send's rare fields, checked: payloads in base64, TLVs, instants, callback, opaque references; and the digest that a key
stands for.

Refuses to know routes, prices and texts. Every check returns the value in its inner form or raises Objection with field
and remedy. None of it runs for a plain text send.

TLVs: the key is a tag in hex ("0x1400") or a standard one's name ("source_port"); the value is octets in hex when it
begins with "0x", else the characters themselves in UTF-8. Tags that the dispatcher writes itself are refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
from datetime import datetime
from typing import Any

import msgspec

from dispatcher.core.front import Callback
from dispatcher.core.model import Options, Refusal, Send
from dispatcher.core.notices import origin_of
from dispatcher.core.refusal import Objection
from smpp.constants import Tlv

DIGEST_BYTES = 16
TLVS_MAX = 16
TLV_BYTES_MAX = 254
UDH_BYTES_MAX = 140
REF_CHARS_MAX = 256
ENTITY_CHARS_MAX = 64
URL_CHARS_MAX = 2048
SECRET_CHARS_MAX = 256
NOT_BEFORE_MAX_MS = 35 * 86_400_000
"""How far ahead a send may be scheduled."""
NOT_BEFORE_PAST_MAX_MS = 86_400_000
"""A little late is now; a day late is a mistake, usually seconds in place of milliseconds."""
TAG_ENTITY = 0x1400
TAG_TEMPLATE = 0x1401

_canonical = msgspec.msgpack.Encoder(order="deterministic").encode
_KEY = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII).fullmatch
_TAG = re.compile(r"0[xX][0-9a-fA-F]{1,4}", re.ASCII).fullmatch
_OWN_TAGS = frozenset(
    {
        Tlv.USER_MESSAGE_REFERENCE,
        Tlv.SAR_MSG_REF_NUM,
        Tlv.SAR_TOTAL_SEGMENTS,
        Tlv.SAR_SEGMENT_SEQNUM,
        Tlv.MESSAGE_PAYLOAD,
        Tlv.RECEIPTED_MESSAGE_ID,
        Tlv.MESSAGE_STATE,
    }
)
_TAG_BY_NAME = {tag.name.lower(): int(tag) for tag in Tlv if tag not in _OWN_TAGS}


def _no(field: str, detail: str) -> Objection:
    return Objection(Refusal.OPTION, field, detail)


def check_names(send: Send) -> None:
    """key, group, ref and client_ip: opaque to us, so only their form is checked."""
    for field, value in (("key", send.key), ("group", send.group)):
        if value is not None and not _KEY(value):
            raise _no(field, "write 1 to 64 of A-Z a-z 0-9 . _ : -")
    if send.ref is not None and not (len(send.ref) <= REF_CHARS_MAX and _whole(send.ref)):
        raise _no("ref", f"{len(send.ref)} characters; at most {REF_CHARS_MAX} whole ones")
    if send.client_ip is not None:
        try:
            ipaddress.ip_address(send.client_ip)
        except ValueError:
            raise _no("client_ip", "is neither an IPv4 nor an IPv6 address") from None


def digest_of(send: Send) -> bytes:
    """What "the same body" means for a key: every field as decoded, defaults left out, but not who asked and from where."""
    if send.client_ip is not None or send.account is not None:
        send = msgspec.structs.replace(send, client_ip=None, account=None)
    return hashlib.sha256(_canonical(send)).digest()[:DIGEST_BYTES]


def not_before_ms(value: int | str, now: int) -> int:
    """The instant before which nothing is sent, ms; one already past is `now`."""
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise Objection(Refusal.NOT_BEFORE, "not_before", "is not RFC 3339; write it like 2026-01-31T08:00:00Z") from None
        if at.tzinfo is None:
            raise Objection(Refusal.NOT_BEFORE, "not_before", "has no time zone; end it with Z or an offset like +01:00")
        value = round(at.timestamp() * 1000)
    if value > now + NOT_BEFORE_MAX_MS:
        raise Objection(Refusal.NOT_BEFORE, "not_before", f"is more than {NOT_BEFORE_MAX_MS // 86_400_000} days ahead")
    if value < now - NOT_BEFORE_PAST_MAX_MS:
        raise Objection(
            Refusal.NOT_BEFORE, "not_before", "is more than a day past; whole numbers are milliseconds since 1970 UTC"
        )
    return max(value, now)


def octets(field: str, value: str) -> bytes:
    """Base64 with its padding."""
    try:
        return base64.b64decode(value.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise _no(field, "is not base64; write A-Z a-z 0-9 + / with its padding") from None


def udh_octets(value: str) -> bytes:
    """A user data header whose first octet is the number of those that follow."""
    udh = octets("udh", value)
    if not 2 <= len(udh) < UDH_BYTES_MAX or udh[0] != len(udh) - 1:
        raise _no("udh", f"its first octet must be the number of octets after it, and it must be shorter than {UDH_BYTES_MAX}")
    return udh


def tlvs_of(send: Send) -> dict[int, bytes]:
    """Octets by tag."""
    if len(send.tlvs) > TLVS_MAX:
        raise _no("tlvs", f"{len(send.tlvs)} of them; at most {TLVS_MAX}")
    found: dict[int, bytes] = {}
    for name, value in send.tlvs.items():
        tag = _TAG_BY_NAME.get(name, 0)
        if not tag and _TAG(name):
            tag = int(name, 16)
        if not tag or tag in _OWN_TAGS:
            raise _no("tlvs", f'{name[:32]!r}: write a tag like "0x1400" (not one we write), or {", ".join(_TAG_BY_NAME)}')
        if tag in found:
            raise _no("tlvs", f"0x{tag:04X} stands twice")
        data = _tlv_value(tag, value)
        if len(data) > TLV_BYTES_MAX:
            raise _no("tlvs", f"0x{tag:04X}: {len(data)} octets; at most {TLV_BYTES_MAX}")
        found[tag] = data
    for field, own, tag in (("entity", send.entity, TAG_ENTITY), ("template", send.template, TAG_TEMPLATE)):
        if own is not None and tag in found:
            raise _no(field, f"is sent as TLV 0x{tag:04X}, which tlvs sets too; keep one of them")
    return found


def _tlv_value(tag: int, value: str) -> bytes:
    try:
        return bytes.fromhex(value[2:]) if value[:2] in {"0x", "0X"} else value.encode()
    except ValueError:
        raise _no("tlvs", f'0x{tag:04X}: write octets in hex after "0x", or text') from None


def callback_of(value: dict[str, Any], *, insecure: bool = False) -> Callback:
    """url (https, with `insecure` http too), optional secret, optional events (all, final)."""
    for name in value:
        if name not in {"url", "secret", "events"}:
            raise _no("callback", f"{name[:32]!r} is not a key of it; known: url, secret, events")
    url = value.get("url")
    if not isinstance(url, str) or len(url) > URL_CHARS_MAX:
        raise _no("callback", f"url: write one of at most {URL_CHARS_MAX} characters")
    try:
        scheme = origin_of(url).scheme
    except ValueError as error:
        raise _no("callback", f"url: {error}" if str(error).startswith("write ") else "url: is none") from None
    if scheme != "https" and not insecure:
        raise _no("callback", "url: write https://; this installation calls no http:// address")
    secret = value.get("secret", "")
    if not isinstance(secret, str) or len(secret) > SECRET_CHARS_MAX or not (secret.isascii() and secret.isprintable()):
        raise _no("callback", f"secret: a text of at most {SECRET_CHARS_MAX} printable ASCII characters")
    events = value.get("events", "all")
    if events not in ("all", "final"):
        raise _no("callback", 'events: write "all" or "final"')
    return Callback(url=url, secret=secret, events=events)


def options_of(send: Send, not_before: int, binary: bytes, udh: bytes, shift: int = 0) -> Options | None:
    """What the body keeps of the rare fields; None when there are none. `not_before` in ms, 0 for none; `shift`: national."""
    for field, text in (("entity", send.entity), ("template", send.template)):
        if text is not None and not (1 <= len(text) <= ENTITY_CHARS_MAX and text.isascii() and text.isprintable()):
            raise _no(field, f"write 1 to {ENTITY_CHARS_MAX} printable ASCII characters")
    tlvs = tlvs_of(send) if send.tlvs else {}
    if not (binary or udh or send.flash or tlvs or not_before or send.entity or send.template or shift):
        return None
    return Options(
        binary=binary,
        udh=udh,
        flash=send.flash,
        tlvs=tlvs,
        not_before=not_before,
        entity=send.entity or "",
        template=send.template or "",
        shift=shift,
    )


def _whole(text: str) -> bool:
    """No lone surrogate in it: such a text can be stored and echoed nowhere."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
