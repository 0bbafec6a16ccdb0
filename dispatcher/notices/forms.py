"""The two forms of a webhook: what is said of an event, and the headers that go with it.

Refuses to know queues and connections. Standard: our own event, signed as Standard Webhooks says (symmetric, v1). OTPIQ: that
service's body and headers (docs/dialects: webhook), with a signature beside its shared secret. Neither ever holds a
text or a code; a number only where the account shows numbers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from dispatcher.core.front import Callback, Ticket
from dispatcher.core.model import Head, Outcome, State
from dispatcher.core.notices import Notice

SECRET_PREFIX = "whsec_"  # noqa: S105 - how a base64 secret begins
_FINAL = frozenset(s.wire for s in State if s.final)
_FAILED = frozenset(s.wire for s in (State.CANCELLED, State.EXPIRED, State.UNDELIVERED, State.FAILED, State.REJECTED))
_OTPIQ = {State.SUBMITTED.wire: "sent", State.DELIVERED.wire: "delivered", **dict.fromkeys(_FAILED, "failed")}
_ERROR = ("source", "code", "name", "class")
_encode = msgspec.json.Encoder().encode

Row = Mapping[str, Any]
Headers = list[tuple[str, str]]


def notice_of(row: Row, place: str, ticket: Ticket, callback: Callback, *, number: str = "") -> Notice | None:
    """What the callback is told of this row; None: nothing. `place` tells the row from all others of its message;
    `number`: shown in place of its hash."""
    if callback.form == "otpiq":
        return _otpiq(row, ticket, callback)
    state = row["state"]
    if callback.events == "final" and state not in _FINAL:
        return None
    told: dict[str, Any] = {"id": row["id"], "key": row["key"], "ref": row["ref"], "state": state}
    told |= {"to": number or row["to"], "segments": row["segments"], "error": None, "attempt": row["attempt"]}
    told["at"] = moment(row["at"])
    if row["error"]:
        told["error"] = dict(zip(_ERROR, row["error"], strict=False))
    if row["refined"]:
        told["refined"] = True
    return _notice(f"evt_{row['id']}_{place}", row, callback, final=state in _FINAL, body=_encode(told))


def _otpiq(row: Row, ticket: Ticket, callback: Callback) -> Notice | None:
    """`unknown` is told to nobody, nor is what refines it: after the last word there is none."""
    status = _OTPIQ.get(row["state"], "")
    final = status != "sent"
    if not status or row["refined"] or (callback.events == "final" and not final):
        return None
    told = {"smsId": ticket.alias or row["id"], "deliveryReportType": callback.events, "isFinal": final, "channel": "sms"}
    told["status"] = status
    if status == "failed":
        told["reason"] = _reason(row)
    if ticket.note.get("senderId"):
        told["senderId"] = ticket.note["senderId"]
    return _notice(f"evt_{row['id']}_{status}", row, callback, final=final, body=_encode(told))


def _reason(row: Row) -> str:
    error = row["error"]
    return str((error[2] or error[1]) if error else "") or str(row["state"])


def _notice(name: str, row: Row, callback: Callback, *, final: bool, body: bytes) -> Notice:
    return Notice(name, row["id"], row["account"], callback.url, callback.secret, callback.form, final, body, row["at"])


def told_before(head: Head | None, attempt: int) -> bool:
    """Was every segment accepted by an earlier attempt, so that `sent` was told already?"""
    return head is not None and all(
        any(a.number < attempt and a.outcome == Outcome.ACCEPTED for a in segment.attempts) for segment in head.segments
    )


def headers(notice: Notice, secret: str, now_ms: int) -> Headers:
    """What goes with this try, the next one of `notice`. Without a secret nothing is signed."""
    at = str(now_ms // 1000)
    if notice.form == "otpiq":
        return _otpiq_headers(notice, secret, at)
    found = [("Webhook-Id", notice.id), ("Webhook-Timestamp", at)]
    if secret:
        signed = b"%b.%b.%b" % (notice.id.encode(), at.encode(), notice.body)
        digest = hmac.digest(key_of(secret), signed, hashlib.sha256)
        found.append(("Webhook-Signature", "v1," + base64.b64encode(digest).decode()))
    return found


def _otpiq_headers(notice: Notice, secret: str, at: str) -> Headers:
    if not secret:
        return []
    digest = hmac.digest(secret.encode(), at.encode() + b"." + notice.body, hashlib.sha256)
    return [
        ("X-OTPIQ-Webhook-Secret", secret),
        ("X-OTPIQ-Webhook-Timestamp", at),
        ("X-OTPIQ-Webhook-Signature", "sha256=" + digest.hex()),
        ("X-OTPIQ-Webhook-Event-Id", notice.id),
        ("X-OTPIQ-Webhook-Attempt", str(notice.tries + 1)),
    ]


def key_of(secret: str) -> bytes:
    """The key of a secret: what follows whsec_ in base64, else the characters themselves."""
    if secret.startswith(SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def moment(at: int) -> str:
    """RFC 3339 with Z and milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
