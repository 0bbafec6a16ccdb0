"""A customer of the Laravel dialect, as the contract tests play it: a user name with its password, and an API key."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tests.contract.ground import Response, Running
from tests.shell import shell

BASE: Final = "http://localhost"
SAMPLES: Final = Path(__file__).with_name("samples_laravel")
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
NUMBERS: Final = "0701234567, 0712345678"
TEXT: Final = "Hello, this is a test message."
REQUIRED: Final = {"error": "API key is required", "help": "Provide X-API-Key header or api_key parameter"}
INVALID: Final = {"error": "Invalid API key", "help": "Generate a key with POST /api/generate-key"}
EXPIRED: Final = {"error": "API key has expired", "help": "Replace it with POST /api/regenerate-key"}
UNAUTHORIZED: Final = {"error": "Unauthorized."}
BAD_NUMBER: Final = {"error": "Invalid phone number format."}
POOR: Final = {"error": "Insufficient balance."}
SAMPLE_ANSWERS: Final = {
    "api_v2_sms_send": REQUIRED,
    "api_v2_account_balance": REQUIRED,
    "api_generate-key": UNAUTHORIZED,
    "api_revoke-key": UNAUTHORIZED,
    "api_regenerate-key": UNAUTHORIZED,
}
PATHS: Final = {
    "/v1/sms/send": ("POST",),
    "/api/v2": ("GET",),
    "/api/oauth2-callback": ("GET",),
    "/api/v2/sms/send": ("GET", "POST"),
    "/api/v2/account/balance": ("GET",),
    "/api/generate-key": ("POST",),
    "/api/revoke-key": ("POST",),
    "/api/regenerate-key": ("POST",),
}


class User:
    """An account in KES (1 a part) with a user name and a password; `login` is what a form needs."""

    def __init__(self, running: Running, name: str, money: str = "100", *options: str) -> None:
        self.running = running
        self.name = name
        self.password = f"pass-of-{name}-+&= 123"
        running.account(name, "KES", money, *options)
        running.import_key(name, "laravel", self.password, "--user", f"user-{name}")
        self.login = {"username": f"user-{name}", "password": self.password}

    def form(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Response:
        """POST of a form."""
        return self.running.request("POST", path, urlencode(fields), FORM | dict(headers or {}))

    def v1(self, numbers: str = NUMBERS, text: str = TEXT, **more: str) -> Response:
        """POST /v1/sms/send."""
        return self.form("/v1/sms/send", {"numbers": numbers, "message_body": text} | self.login | more)

    def key(self, action: str = "regenerate", **fields: Any) -> Response:
        """POST /api/<action>-key with the login, as JSON."""
        return self.running.request("POST", f"/api/{action}-key", self.login | fields)

    def new_key(self, **fields: Any) -> str:
        """A fresh API key."""
        answer = self.key(**fields)
        assert answer.status == 200, answer
        return str(answer.json["api_key"])

    def balance(self, key: str) -> Response:
        """GET /api/v2/account/balance."""
        return self.running.request("GET", "/api/v2/account/balance", headers={"X-API-Key": key})


def seen(answer: Response) -> tuple[int, Any]:
    """Status and body, after a look at the headers that every answer has."""
    assert answer.headers["cache-control"] == "no-cache, private"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-request-id"]
    if answer.json is not None:
        assert answer.headers["content-type"] == "application/json"
    return answer.status, answer.json


def sample(running: Running, name: str, query: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a printed sample in curl with our address in place of the printed one, credentials in the query where the
    sample has none of its own, and nothing else replaced."""
    text = running.localise((SAMPLES / name).read_text(encoding="utf-8"), BASE)
    assert running.base in text
    return shell(re.sub(r'(http://[^"]+)"', rf'\1?{query}"', text, count=1) if query else text)


def check_sample(name: str, status: int, said: str) -> None:
    """Is that the right answer to a printed sample? They carry no credentials, so most of them get the printed 401. `status` 0:
    it did not print one. Raises AssertionError."""
    if name in SAMPLE_ANSWERS:
        assert (status or 401, json.loads(said)) == (401, SAMPLE_ANSWERS[name]), said
        return
    assert status in {0, 200}, status
    if name == "api_v2":
        assert json.loads(said)["info"]["title"] == "SMS messaging API"
    else:
        assert said.startswith("<!doctype html>"), said[:200]
