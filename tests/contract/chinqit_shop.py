"""A customer of Chinqit, as the contract tests play it: an account with one key, and the requests that the seed shows."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from tests.contract.ground import Response, Running
from tests.process.installation import wait_for
from tests.shell import shell

BASE: Final = "https://sms.chinqit.com"
SAMPLES: Final = Path(__file__).with_name("samples_chinqit")
TOO_FAST: Final = {"success": False, "message": "Rate limit exceeded. Please try again later."}
NOT_LIVE: Final = {"success": False, "message": "OTP not found or expired", "retriesLeft": 0}
VERIFIED: Final = {"success": True, "message": "OTP verified successfully", "verified": True}
UUID4: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def wrong(left: int) -> dict[str, Any]:
    """The body after a wrong guess."""
    return {"success": False, "message": "Invalid OTP", "retriesLeft": left}


def invalid(*issues: tuple[list[str | int], str]) -> dict[str, Any]:
    """The body of a validation error."""
    errors = [{"path": path, "message": message} for path, message in issues]
    return {"success": False, "message": "Validation failed", "errors": errors}


class Shop:
    """An account in MRU (0.02 a part) with a key of its own."""

    def __init__(self, running: Running, name: str, money: str = "1000", *options: str) -> None:
        self.running = running
        self.name = name
        self.key = f"live-key-of-{name}-0123456789abcdef"
        running.account(name, "MRU", money, *options)
        running.import_key(name, "chinqit", self.key)

    def with_key(self, key: str) -> Shop:
        """The same account with a second key."""
        other = copy.copy(self)
        other.key = key
        self.running.import_key(self.name, "chinqit", key)
        return other

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """A request with the key; headers are written with _ for -."""
        every = {"X-API-Key": self.key} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.running.request(method, path, body, every)

    def post(self, path: str, **fields: Any) -> Response:
        """POST of these fields."""
        return self.request("POST", path, fields)

    def send(self, phone: str = "+1234567890", message: str = "Hello from SMS Gateway!", **more: Any) -> Response:
        """POST /messages/send."""
        return self.post("/messages/send", phoneNumber=phone, message=message, **more)

    def otp(self, phone: str, **more: Any) -> Response:
        """POST /otp/send."""
        return self.post("/otp/send", phoneNumber=phone, **more)

    def verify(self, phone: str, otp: str, **more: Any) -> Response:
        """POST /otp/verify."""
        return self.post("/otp/verify", phoneNumber=phone, otp=otp, **more)

    def batch(self, *phones: str, message: str = "Hello!") -> Response:
        """POST /api/v2/bulk/send of one message to all."""
        return self.post("/api/v2/bulk/send", recipients=[{"phone": phone, "message": message} for phone in phones])

    def progress(self, batch_id: str, query: str = "") -> dict[str, Any]:
        """The batch of GET /api/v2/bulk/status."""
        answer = self.request("GET", f"/api/v2/bulk/status/{batch_id}{query}")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json["batch"]
        return found

    def ended(self, batch_id: str, seconds: float = 10.0) -> dict[str, Any]:
        """The batch once nothing of it waits to be sent."""

        def look() -> dict[str, Any] | None:
            found = self.progress(batch_id)
            return found if found["status"] in {"completed", "failed", "partial"} else None

        found: dict[str, Any] = wait_for("the batch ends", seconds, look)
        return found

    def status(self, message_id: str) -> dict[str, Any]:
        """The message of GET /messages/status."""
        answer = self.request("GET", f"/messages/status/{message_id}")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json["message"]
        return found

    def code(self, number: str, count: int = 1) -> str:
        """The code in the last text that the carrier got for a number (digits)."""
        found = re.search(r"\d{6}", text_of(self.running, number, count))
        assert found is not None
        return found[0]

    def sample(self, name: str, **replaced: str) -> subprocess.CompletedProcess[str]:
        """Runs a printed sample with our address, this key and these words in place of the printed ones."""
        text = self.running.localise((SAMPLES / name).read_text(encoding="utf-8"), BASE)
        for printed in ("your-api-key", "your_api_key_here"):
            text = text.replace(printed, self.key)
        for printed, ours in replaced.items():
            text = text.replace(printed, ours)
        if name.endswith(".sh"):
            return shell(text)
        return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=30, check=False)


def text_of(running: Running, number: str, count: int = 1) -> str:
    """The last text, of one part, that the carrier got for a number (digits)."""
    raw = bytes.fromhex(running.sent_to(number, count)[-1].text)
    return raw.decode("utf-16-be") if b"\x06" in raw or b"\0" in raw[:2] else raw.decode("latin-1")


def at_once(count: int, call: Any) -> list[Response]:
    """`call` that many times in parallel."""
    with ThreadPoolExecutor(count) as pool:
        return [each.result() for each in [pool.submit(call) for _ in range(count)]]
