"""A customer of OTPIQ, as the contract tests play it: a project with its key."""

from __future__ import annotations

from typing import Any

from tests.contract.ground import Response, Running
from tests.process.installation import wait_for


class Project:
    """An account in IQD (200 a part) with a key of its own."""

    def __init__(self, running: Running, name: str, money: str = "15000", *options: str) -> None:
        self.running = running
        self.name = name
        self.key = f"sk_live_of_{name}_0123456789abcdef"
        running.account(name, "IQD", money, *options)
        running.import_key(name, "otpiq", self.key)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """A request with the key; headers are written with _ for -."""
        every = {"Authorization": f"Bearer {self.key}"} | {n.replace("_", "-"): v for n, v in headers.items()}
        return self.running.request(method, path, body, every)

    def verification(self, number: str, code: str = "123456", **more: Any) -> Response:
        """POST /api/sms of a code."""
        return self.request(
            "POST", "/api/sms", {"phoneNumber": number, "smsType": "verification", "verificationCode": code} | more
        )

    def custom(self, number: str, text: str = "Hello", **more: Any) -> Response:
        """POST /api/sms of a text."""
        return self.request("POST", "/api/sms", {"phoneNumber": number, "smsType": "custom", "customMessage": text} | more)

    def track(self, sms_id: str) -> Response:
        """GET /api/sms/track."""
        return self.request("GET", f"/api/sms/track/{sms_id}")

    def ended(self, sms_id: str) -> dict[str, Any]:
        """What tracking says when nothing more is to come."""

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.track(sms_id).json
            return found if found["isFinalStatus"] else None

        return dict(wait_for(f"the last status of {sms_id}", 15.0, look))


def text_to(running: Running, number: str) -> str:
    """The text of the first submission to a number, in plain letters."""
    return bytes.fromhex(running.sent_to(number)[0].text).decode("ascii")
