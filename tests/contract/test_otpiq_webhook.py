"""OTPIQ's webhook (6.5), from a request's `deliveryReport` to a receiver's door."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.contract.ground import started
from tests.contract.otpiq_shop import Project
from tests.process.installation import wait_for

CONFIG = '[notices]\nallow_insecure = true\nallow_networks = ["127.0.0.0/8"]\n[receipts]\nsweep_s = 0.5\n'


class Call:
    """One call as the receiver got it."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path = path
        self.headers = headers
        self.body = body
        self.told: dict[str, Any] = json.loads(body)


class Receiver:
    """A customer's web server. Answers each call with the next of `statuses`, then always 204."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.statuses: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.calls.append(Call(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(outer.statuses.pop(0) if outer.statuses else 204)
                self.send_header("Content-Length", "0")
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def of(self, sms_id: str) -> list[Call]:
        """The calls about a message, in order."""
        return [call for call in self.calls if call.told["smsId"] == sms_id]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A running one."""
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def project(receiver: Receiver) -> Iterator[Project]:
    """A customer of an installation that may call this machine."""
    assert receiver.url
    with started(config=CONFIG) as running:
        yield Project(running, "hooked", "100000", "--sender", "OTPIQ")


def send(project: Project, receiver: Receiver, number: str, **more: Any) -> str:
    """A verification with a delivery report; its id."""
    report = {"webhookUrl": receiver.url} | more.pop("report", {})
    answer = project.verification(number, deliveryReport=report, **more)
    assert answer.status == 200
    return str(answer.json["smsId"])


def ended(receiver: Receiver, sms_id: str) -> list[Call]:
    """All calls about a message once the last one came."""
    wait_for("the last word", 15.0, lambda: any(call.told["isFinal"] for call in receiver.of(sms_id)))
    return receiver.of(sms_id)


def test_all_statuses_in_order_and_signed(project: Project, receiver: Receiver) -> None:
    """`sent`, then `delivered`; the secret in its header, and a signature over instant and body."""
    sms_id = send(project, receiver, "9647750001000", senderId="OTPIQ", report={"webhookSecret": "my secret"})
    first, last = ended(receiver, sms_id)
    whole = {"smsId": sms_id, "deliveryReportType": "all", "channel": "sms", "senderId": "OTPIQ"}
    assert first.told == whole | {"isFinal": False, "status": "sent"}
    assert last.told == whole | {"isFinal": True, "status": "delivered"}
    for call in (first, last):
        stamp = call.headers["x-otpiq-webhook-timestamp"]
        digest = hmac.new(b"my secret", stamp.encode() + b"." + call.body, hashlib.sha256).hexdigest()
        assert call.headers["x-otpiq-webhook-secret"] == "my secret"
        assert call.headers["x-otpiq-webhook-signature"] == f"sha256={digest}"
        assert call.headers["x-otpiq-webhook-attempt"] == "1"
        assert call.headers["content-type"] == "application/json"
    assert first.headers["x-otpiq-webhook-event-id"] != last.headers["x-otpiq-webhook-event-id"]


def test_final_only_and_failures(project: Project, receiver: Receiver) -> None:
    """`final` hears the last word alone; a failure has a reason; without a secret nothing is signed, without a sender none."""
    sms_id = send(project, receiver, "9647750000002", report={"deliveryReportType": "final"})
    (only,) = ended(receiver, sms_id)
    reason = only.told.pop("reason")
    assert only.told == {
        "smsId": sms_id,
        "deliveryReportType": "final",
        "isFinal": True,
        "channel": "sms",
        "status": "failed",
    }
    assert isinstance(reason, str)
    assert reason
    assert not [name for name in only.headers if name.startswith("x-otpiq")]


def test_a_receiver_that_fails_is_called_again(project: Project, receiver: Receiver) -> None:
    """Ten seconds later, then twenty, with the same event id and the next attempt; a redirect is a failure and not followed;
    any 2xx ends it. The code is in no call."""
    receiver.statuses = [500, 302, 299]
    report = {"webhookSecret": "s", "deliveryReportType": "final"}
    sms_id = send(project, receiver, "9647750002000", code="73519284", report=report)
    for calls, wait_s in ((1, 11), (2, 21), (3, 41)):
        wait_for(f"call {calls}", 15.0, lambda calls=calls: len(receiver.of(sms_id)) == calls)
        project.running.advance(wait_s)
    first, second, third = receiver.of(sms_id)
    assert first.body == second.body == third.body
    assert len({call.headers["x-otpiq-webhook-event-id"] for call in (first, second, third)}) == 1
    assert [call.headers["x-otpiq-webhook-attempt"] for call in (first, second, third)] == ["1", "2", "3"]
    assert int(third.headers["x-otpiq-webhook-timestamp"]) - int(first.headers["x-otpiq-webhook-timestamp"]) >= 32
    assert {call.path for call in receiver.calls} == {"/hook"}
    assert not [call for call in receiver.calls if b"73519284" in call.body]


def test_nobody_knows_what_became_of_it(project: Project, receiver: Receiver) -> None:
    """`sent`, and nothing further, though tracking calls it final at the receipts' deadline."""
    sms_id = send(project, receiver, "9647750000003")
    wait_for("sent", 15.0, lambda: receiver.of(sms_id))
    project.running.advance(3700)
    assert project.ended(sms_id)["status"] == "sent"
    after = send(project, receiver, "9647750003000")
    ended(receiver, after)
    assert [call.told["status"] for call in receiver.of(sms_id)] == ["sent"]


def test_cancelled(project: Project, receiver: Receiver) -> None:
    """An operator cancels what no carrier has: the customer hears `failed`, and no more, and tracks the same."""
    running = project.running
    with running.carrier_away():
        sms_id = send(project, receiver, "9647750000099")
        running.installation.cli("cancel", sms_id)
        (only,) = ended(receiver, sms_id)
        assert (only.told["status"], only.told["isFinal"], bool(only.told["reason"])) == ("failed", True, True)
        found = project.track(sms_id).json
        assert (found["status"], found["isFinalStatus"]) == ("failed", True)


def test_nothing_follows_the_last_word(receiver: Receiver) -> None:
    """Of all messages of this module: what came after it is the same call again."""
    for sms_id in {call.told["smsId"] for call in receiver.calls}:
        calls = receiver.of(sms_id)
        last = next((place for place, call in enumerate(calls) if call.told["isFinal"]), len(calls))
        assert {call.body for call in calls[last + 1 :]} <= {call.body for call in calls[last : last + 1]}
