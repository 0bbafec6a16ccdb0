"""A customer of SMSKit, as the contract tests play it: an API key with its token, and what all answers have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tests.contract.ground import Response, Running

SAMPLES: Final = Path(__file__).with_name("samples_smskit")
FORMAT: Final = "%Y-%m-%d %H:%M:%S"
PRICE: Final = Decimal("0.035")
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
CHANNELS: Final = ("createchannel", "scanqr", "viewchannel", "clearqueue", "resetchannel", "deletechannel")
ACTIONS: Final = ("sendsms", "groupstatus", "getinbox", "balance", "listchannel", *CHANNELS)


class Kit:
    """An account in EUR (0.035 a part) with key and token."""

    def __init__(self, running: Running, name: str, money: str = "100", *options: str) -> None:
        self.running = running
        self.name = name
        self.login = {"apikey": f"key-of-{name}", "apitoken": f"token-of-{name}"}
        running.account(name, "EUR", money, *options)
        token = running.file(self.login["apitoken"])
        running.import_key(name, "smskit", self.login["apikey"], "--secret-file", token)

    def get(self, action: str, **parameters: str) -> Response:
        """GET /smsAPI?action&..."""
        return self.running.request("GET", f"/smsAPI?{action}&{urlencode(self.login | parameters)}")

    def post(self, action: str, headers: Mapping[str, str] | None = None, **parameters: str) -> Response:
        """POST /smsAPI?action with a form."""
        return self.running.request("POST", f"/smsAPI?{action}", urlencode(self.login | parameters), FORM | dict(headers or {}))

    def send(self, to: str, text: str = "hi", **more: str) -> Response:
        """POST ?sendsms."""
        return self.post("sendsms", **{"from": "Shop", "to": to, "text": text} | more)

    def group(self, to: str, text: str = "hi", **more: str) -> str:
        """The group of an accepted sendsms."""
        body = said(self.send(to, text, **more))
        assert (body["request"], body["status"]) == ("sendsms", "queued"), body
        return str(body["group_id"])

    def status(self, group: str) -> dict[str, Any]:
        """?groupstatus."""
        return said(self.post("groupstatus", groupid=group))

    def recipients(self, group: str) -> list[tuple[str, str]]:
        """Numbers and statuses of a group."""
        return [(each["to"], each["status"]) for each in self.status(group)["recipients"]]

    def balance(self) -> str:
        """?balance."""
        return str(said(self.get("balance"))["balance"])


def strings(value: object) -> bool:
    """Nothing but strings, in lists and objects."""
    if isinstance(value, dict):
        return all(map(strings, value.values()))
    return all(map(strings, value)) if isinstance(value, list) else isinstance(value, str)


def said(answer: Response) -> dict[str, Any]:
    """The body of an answer, after a look at what all of them have in common (5.1)."""
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    body: dict[str, Any] = answer.json
    assert strings(body)
    return body


def error(action: str, message: str) -> dict[str, str]:
    """The shape of every error."""
    return {"request": action, "status": "error", "message": message}
