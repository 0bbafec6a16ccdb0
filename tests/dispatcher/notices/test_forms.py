"""What a webhook says and how it is signed: Standard Webhooks, and OTPIQ's form to the key."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from typing import Any

import msgspec
import pytest

from dispatcher.core.front import Callback, Ticket
from dispatcher.core.model import EVENT_COLUMNS, Attempt, Head, Outcome, Segment, State
from dispatcher.core.notices import Notice
from dispatcher.notices.forms import headers, key_of, notice_of, told_before
from tests.dispatcher.notices.world import T0, event

ID = "01K5F3ZK8R0000000000000001"
URL = "https://example.com/hook"


def row(state: str, **fields: Any) -> dict[str, Any]:
    """A row of events as it is read."""
    values = msgspec.to_builtins(event(ID, state, **fields))
    return dict(zip(EVENT_COLUMNS.split(","), values, strict=True))


def told(state: str, callback: Callback, *, number: str = "", note: dict[str, Any] | None = None, **fields: Any) -> Any:
    """The body of the notice, None where there is none."""
    ticket = Ticket(door="x", account="acme", alias="sms-0123", callback=callback, note=note or {})
    notice = notice_of(row(state, **fields), "1-0_1", ticket, callback, number=number)
    return None if notice is None else json.loads(notice.body)


def test_a_standard_body() -> None:
    """The event, its time in RFC 3339, the hash of the number; the number where it may be shown."""
    error = ("receipt", "001", "absent", "temporary")
    body = told("undelivered", Callback(url=URL), key="k1", error=error, attempt=2, segments=3, at=T0 + 7)
    assert body == {
        "id": ID,
        "key": "k1",
        "ref": "r1",
        "state": "undelivered",
        "to": "0123456789abcdef",
        "segments": 3,
        "error": {"source": "receipt", "code": "001", "name": "absent", "class": "temporary"},
        "attempt": 2,
        "at": "2026-09-21T14:13:20.007Z",
    }
    assert told("delivered", Callback(url=URL), number="255700000001")["to"] == "255700000001"
    assert told("delivered", Callback(url=URL), refined=True)["refined"] is True
    assert told("delivered", Callback(url=URL))["error"] is None


def test_final_means_final() -> None:
    """Every state is told, or only those that end it; `final` marks the latter."""
    finals = {s.wire for s in State if s.final}
    for state in (s.wire for s in State):
        assert told(state, Callback(url=URL)) is not None
        assert (told(state, Callback(url=URL, events="final")) is not None) == (state in finals)


@pytest.mark.parametrize(
    ("state", "status", "final"),
    [
        ("queued", None, False),
        ("waiting", None, False),
        ("doubt", None, False),
        ("submitted", "sent", False),
        ("delivered", "delivered", True),
        ("undelivered", "failed", True),
        ("failed", "failed", True),
        ("expired", "failed", True),
        ("rejected", "failed", True),
        ("cancelled", "failed", True),
        ("unknown", None, True),
    ],
)
def test_otpiq_to_the_key(state: str, status: str | None, final: bool) -> None:
    """dialects.md 6.5 and the last column of 1.2."""
    error = ("receipt", "001", "absent", "temporary") if status == "failed" else None
    for kind in ("all", "final"):
        callback = Callback(url=URL, events=kind, form="otpiq")  # type: ignore[arg-type]
        body = told(state, callback, error=error, note={"senderId": "Shop"})
        if status is None or (kind == "final" and not final):
            assert body is None
            continue
        expected = {
            "smsId": "sms-0123",
            "deliveryReportType": kind,
            "isFinal": final,
            "channel": "sms",
            "status": status,
            "senderId": "Shop",
        }
        assert body == (expected | {"reason": "absent"} if status == "failed" else expected)
        assert "senderId" not in told(state, callback, error=error)
        assert told(state, callback, error=error, refined=True) is None
    if status == "failed":
        assert told(state, Callback(url=URL, form="otpiq"))["reason"] == state


def _notice(form: Any, body: bytes = b'{"test": 2432232314}', name: str = "msg_p5jXN8AQM9LWM0D4loKWxJek") -> Notice:
    return Notice(name, ID, "acme", URL, "", form, True, body, T0, 2, T0)


def test_the_published_vector_of_standard_webhooks() -> None:
    """Id, time, body and secret of the specification's own libraries give their signature."""
    found = dict(headers(_notice("standard"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 1_614_265_330_999))
    assert found == {
        "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "Webhook-Timestamp": "1614265330",
        "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is the second opinion")
@pytest.mark.parametrize("secret", ["plain characters", "whsec_AAECAwQFBgcICQoLDA0ODw=="])
def test_openssl_signs_the_same(secret: str) -> None:
    """A program that is not ours computes the same."""
    notice = _notice("standard")
    found = dict(headers(notice, secret, T0))["Webhook-Signature"]
    signed = b"%b.%d.%b" % (notice.id.encode(), T0 // 1000, notice.body)
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key_of(secret).hex()}", "-binary"]
    digest = subprocess.run(command, input=signed, capture_output=True, check=True).stdout
    assert found == "v1," + base64.b64encode(digest).decode()


def test_secrets() -> None:
    """whsec_ and base64, or the characters; without one nothing is signed, and OTPIQ's headers do not appear."""
    assert key_of("whsec_AAEC") == b"\x00\x01\x02"
    assert key_of("plain") == b"plain"
    assert key_of("whsec_not base64") == b"whsec_not base64"
    assert [name for name, _ in headers(_notice("standard"), "", T0)] == ["Webhook-Id", "Webhook-Timestamp"]
    assert headers(_notice("otpiq"), "", T0) == []


def test_otpiq_headers() -> None:
    """The shared secret, and the signature over timestamp, dot and body; the number of this try."""
    import hmac

    notice = _notice("otpiq", b"{}")
    signature = hmac.new(b"s3", f"{T0 // 1000}.".encode() + b"{}", hashlib.sha256).hexdigest()
    assert dict(headers(notice, "s3", T0)) == {
        "X-OTPIQ-Webhook-Secret": "s3",
        "X-OTPIQ-Webhook-Timestamp": str(T0 // 1000),
        "X-OTPIQ-Webhook-Signature": f"sha256={signature}",
        "X-OTPIQ-Webhook-Event-Id": notice.id,
        "X-OTPIQ-Webhook-Attempt": "3",
    }


def test_sent_was_told_when_an_earlier_attempt_was_accepted_whole() -> None:
    """Every segment, by an attempt before this one."""

    def head(*segments: list[Attempt]) -> Head:
        return Head(
            State.SUBMITTED, T0, [Segment(State.SUBMITTED, s) for s in segments], "acme", 0, "m", 1, "E", "t", "h", T0, T0, 1
        )

    def attempt(number: int, outcome: Outcome) -> Attempt:
        return Attempt(number, "c", "b", T0, outcome)

    twice = [attempt(1, Outcome.ACCEPTED), attempt(2, Outcome.ACCEPTED)]
    late = [attempt(1, Outcome.TEMPORARY), attempt(2, Outcome.ACCEPTED)]
    assert told_before(head(twice), 2)
    assert not told_before(head(late), 2)
    assert not told_before(head(twice, late), 2)
    assert not told_before(None, 2)


def test_the_documented_verification_works() -> None:
    """The Python in docs/producers.md accepts what we sign, and refuses another body, secret, and an old one."""
    import re
    import time

    from tests.house.tree import ROOT

    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/producers.md").read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if "def verify" in block)
    space: dict[str, Any] = {}
    exec(code, space)
    now = int(time.time() * 1000)
    notice = _notice("standard")
    for secret in ("whsec_AAECAwQFBgcICQoLDA0ODw==", "plain"):
        found = {name.lower(): value for name, value in headers(notice, secret, now)}
        assert space["verify"](secret, found, notice.body)
        assert not space["verify"](secret, found, notice.body + b" ")
        assert not space["verify"]("other", found, notice.body)
        old = {name.lower(): value for name, value in headers(notice, secret, now - 301_000)}
        assert not space["verify"](secret, old, notice.body)
