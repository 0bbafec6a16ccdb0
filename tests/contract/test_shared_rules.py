"""What all five dialects share (dialects.md 1): routing before authentication, errors in the nearest shape, repetitions."""

from __future__ import annotations

import http.client
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from tests.contract.ground import Response, Running, started
from tests.process.installation import wait_for

CHINQIT: Final = {"success": False, "message": "Resource not found"}
OTPIQ: Final = {"message": "Not found"}
PLAIN: Final = {"error": "Not found"}
NATIVE: Final = "urn:dispatcher:problem:not_found"


def route(path: str) -> dict[str, str]:
    """Laravel's 404."""
    return {"message": f"The route {path} could not be found."}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/messages", CHINQIT),
        ("/messages/nothing", CHINQIT),
        ("/messages/Send", CHINQIT),
        ("/messages/send/x", CHINQIT),
        ("/otp/nothing?apikey=1", CHINQIT),
        ("/api/v2/bulk", CHINQIT),
        ("/api/v2/bulk/status", CHINQIT),
        ("/api/v2/bulk/status/a/b", CHINQIT),
        ("/api/sms/nothing", OTPIQ),
        ("/api/smsx", OTPIQ),
        ("/api/nothing", route("api/nothing")),
        ("/api", route("api")),
        ("/api/v2/notify", route("api/v2/notify")),
        ("/api/v2/code", route("api/v2/code")),
        ("/api/v2/check", route("api/v2/check")),
        ("/api/V2", route("api/V2")),
        ("/v1/sms/nothing", route("v1/sms/nothing")),
        ("/v1/sms", route("v1/sms")),
        ("/", PLAIN),
        ("//", PLAIN),
        ("/smsapi", PLAIN),
        ("/messagesx", PLAIN),
        ("/favicon.ico", PLAIN),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unknown_paths(running: Running, method: str, path: str, body: dict[str, Any]) -> None:
    """404 in the nearest dialect's shape, before any authentication."""
    answer = running.request(method, path)
    assert (answer.status, answer.json) == (404, body)
    assert answer.headers["content-type"].startswith("application/json")


PATHS: Final = {
    "/messages/send": ("POST",),
    "/messages/status/x": ("GET",),
    "/otp/send": ("POST",),
    "/otp/verify": ("POST",),
    "/api/v2/bulk/send": ("POST",),
    "/api/v2/bulk/status/x": ("GET",),
    "/v1/sms/send": ("POST",),
    "/api/v2": ("GET",),
    "/api/oauth2-callback": ("GET",),
    "/api/v2/sms/send": ("GET", "POST"),
    "/api/v2/account/balance": ("GET",),
    "/api/generate-key": ("POST",),
    "/api/revoke-key": ("POST",),
    "/api/regenerate-key": ("POST",),
    "/smsAPI": ("GET", "POST"),
    "/api/sms": ("POST",),
    "/api/sms/track/x": ("GET",),
    "/api/info": ("GET",),
    "/api/sender-ids": ("GET",),
}


@pytest.mark.parametrize("path", list(PATHS))
def test_every_path_and_its_methods(running: Running, path: str) -> None:
    """The whole table: what is in it is served, every other method is told which are."""
    allowed = PATHS[path]
    shown = allowed if "POST" in allowed else (*allowed, "HEAD")
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = running.request(method, path)
        if method in allowed:
            assert answer.status not in {404, 405}, method
        else:
            assert (answer.status, answer.headers["allow"]) == (405, ", ".join(shown)), method


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_the_native_api_is_beside_them(running: Running, path: str) -> None:
    """Its open pages are where they always are."""
    assert running.request("GET", path).status == 200


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/smsx", "/v1/messages/x/y", "/healthz/x", "/openapi.json/x"])
def test_unknown_native_paths(running: Running, path: str) -> None:
    """Every other /v1/... and what is beside it is the native API's."""
    answer = running.request("GET", path)
    assert (answer.status, answer.json["type"]) == (404, NATIVE)


@pytest.mark.parametrize(
    ("method", "path", "allow", "body"),
    [
        ("GET", "/messages/send", "POST", {"success": False, "message": "Method not allowed"}),
        ("PUT", "/otp/verify", "POST", {"success": False, "message": "Method not allowed"}),
        ("POST", "/messages/status/x", "GET, HEAD", {"success": False, "message": "Method not allowed"}),
        ("DELETE", "/api/v2/bulk/status/x", "GET, HEAD", {"success": False, "message": "Method not allowed"}),
        ("GET", "/api/sms", "POST", {"message": "Method not allowed"}),
        ("POST", "/api/info", "GET, HEAD", {"message": "Method not allowed"}),
        ("PUT", "/smsAPI?sendsms", "GET, POST", {"request": "sendsms", "status": "error", "message": "Method not allowed"}),
        (
            "GET",
            "/v1/sms/send",
            "POST",
            {"message": "The GET method is not supported for route v1/sms/send. Supported methods: POST."},
        ),
    ],
)
def test_wrong_methods(running: Running, method: str, path: str, allow: str, body: dict[str, Any]) -> None:
    """405 with Allow, in the dialect's shape, before any authentication."""
    answer = running.request(method, path)
    assert (answer.status, answer.headers["allow"], answer.json) == (405, allow, body)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/info", 401),
        ("/messages/status/x", 401),
        ("/api/v2", 200),
        ("/smsAPI", 405),
        ("/api/v2/sms/send", 405),
        ("/messages/send", 405),
        ("/api/sms", 405),
    ],
)
def test_head(running: Running, path: str, status: int) -> None:
    """HEAD is GET without its body where GET only reads, and a 405 where GET can send or there is none."""
    answer = running.request("HEAD", path)
    assert (answer.status, answer.body) == (status, b"")
    if status != 405:
        assert running.request("GET", path).status == status


def test_options(running: Running) -> None:
    """204 on Laravel's paths only."""
    for path in ("/v1/sms/send", "/api/v2", "/api/v2/sms/send", "/api/v2/account/balance", "/api/generate-key"):
        answer = running.request("OPTIONS", path)
        assert (answer.status, answer.body, answer.headers["access-control-allow-origin"]) == (204, b"", "*"), path
    for path in ("/messages/send", "/api/sms", "/smsAPI", "/api/v2/bulk/send"):
        answer = running.request("OPTIONS", path)
        assert answer.status == 405, path
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/messages/send", "/api/v2/bulk/send", "/v1/sms/send", "/smsAPI", "/api/sms", "/api/generate-key"]
)
def test_one_trailing_slash_and_request_ids(running: Running, path: str) -> None:
    """One slash behind a path is tolerated, two are not; every answer has an id of its own."""
    plain, slash, two = (running.request("POST", path + tail) for tail in ("", "/", "//"))
    assert (plain.status, plain.body) == (slash.status, slash.body)
    assert two.status == 404
    assert len({answer.headers["x-request-id"] for answer in (plain, slash, two)}) == 3


@pytest.fixture(scope="module")
def keys(running: Running) -> dict[str, dict[str, str]]:
    """An account with a credential for each dialect; the headers, or for SMSKit and Laravel the parameters."""
    running.account("all", "USD", "10000", "--sender", "Shop")
    running.import_key("all", "chinqit", "chinqit-key-0123456789")
    running.import_key("all", "otpiq", "sk_live_0123456789")
    running.import_key("all", "laravel", "laravel-key-0123456789")
    running.import_key("all", "smskit", "smskit-key-0123456", "--secret-file", running.file("smskit-token-01234"))
    return {
        "chinqit": {"X-API-Key": "chinqit-key-0123456789"},
        "otpiq": {"Authorization": "Bearer sk_live_0123456789"},
        "laravel": {"X-API-Key": "laravel-key-0123456789"},
        "smskit": {"apikey": "smskit-key-0123456", "apitoken": "smskit-token-01234"},
    }


def test_the_path_tells_whose_key_it_is(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """/api/v2 and X-API-Key are two services': each words a missing and a wrong key its own way, and knows only its own."""
    bulk, balance = "/api/v2/bulk/status/x", "/api/v2/account/balance"
    missing, wrong = {"success": False, "message": "API key is required"}, {"success": False, "message": "Invalid API key"}
    for headers, status, body in (({}, 401, missing), (keys["laravel"], 403, wrong), (keys["chinqit"], 404, None)):
        answer = running.request("GET", bulk, headers=headers)
        assert answer.status == status
        assert body in (None, answer.json)
    for headers, status, error in (
        ({}, 401, "API key is required"),
        (keys["chinqit"], 401, "Invalid API key"),
        (keys["laravel"], 200, None),
    ):
        answer = running.request("GET", balance, headers=headers)
        assert (answer.status, answer.json.get("error")) == (status, error)


JSON_CALLS: Final = {
    "/messages/send": ("chinqit", '"phoneNumber": "+4915112345601"', '"message": "m"'),
    "/otp/send": ("chinqit", '"phoneNumber": "+4915112345602"', '"language": "en"'),
    "/api/v2/bulk/send": ("chinqit", '"recipients": [{"phone": "+4915112345603", "message": "m"}]', '"x": 2'),
    "/api/sms": ("otpiq", '"phoneNumber": "4915112345604", "smsType": "custom"', '"customMessage": "m"'),
}


@pytest.mark.parametrize("path", list(JSON_CALLS))
def test_json_bodies(running: Running, keys: dict[str, dict[str, str]], path: str) -> None:
    """Read as JSON whatever their type says, behind a byte-order mark, the last of equal keys, unknown ones ignored. What is
    no object in UTF-8 is a 400, and only after the caller is known."""
    dialect, first, second = JSON_CALLS[path]
    key = second.partition(":")[0]
    body = f'\ufeff{{{key}: [7], {first}, "unknown": {{"a": 1}}, {second}}}'.encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        answer = running.request("POST", path, body, keys[dialect] | {"Content-Type": kind})
        assert answer.status in {200, 202}, answer
    for broken in (b"", b"{", b"[]", b"7", b'{"message": "\xff"}', body + b"}"):
        assert running.request("POST", path, broken, keys[dialect]).status == 400, broken
        assert running.request("POST", path, broken).status == 401


def headers_only(running: Running, path: str, length: int, headers: dict[str, str]) -> Response:
    """A request whose body is announced and never sent."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    try:
        connection.putrequest("POST", path)
        for name, value in (headers | {"Content-Length": str(length)}).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def test_bodies_too_large(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """Above 1 MiB, for batches above 64 MiB: 413 in the dialect's shape, at once and without reading it."""
    mib = 1 << 20
    words = "Request body too large"
    cases: list[tuple[str, int, dict[str, str], dict[str, Any]]] = [
        ("/messages/send", mib + 1, keys["chinqit"], {"success": False, "message": words}),
        ("/api/v2/bulk/send", 64 * mib + 1, keys["chinqit"], {"success": False, "message": words}),
        ("/api/sms", mib + 1, keys["otpiq"], {"message": words}),
        ("/smsAPI?sendsms", mib + 1, {}, {"request": "sendsms", "status": "error", "message": words}),
    ]
    with ThreadPoolExecutor(len(cases)) as pool:  # whoever sends too much is given a second to notice
        answers = list(pool.map(lambda case: headers_only(running, *case[:3]), cases))
    assert [(answer.status, answer.json) for answer in answers] == [(413, body) for *_, body in cases]
    assert headers_only(running, "/v1/sms/send", mib + 1, {}).status == 413
    assert headers_only(running, "/api/sms", 64 * mib, {}).status == 401  # who is nobody is told so first


def test_a_body_of_a_mebibyte(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """The largest that is allowed is read and judged."""
    start, end = b'{"phoneNumber":"+4900","x":"', b'"}'
    body = start + b"a" * ((1 << 20) - len(start) - len(end)) + end
    assert running.request("POST", "/messages/send", body, keys["chinqit"]).status == 400
    assert running.request("POST", "/messages/send", body + b" ", keys["chinqit"]).status == 413


# -- repetitions


def calls(keys: dict[str, dict[str, str]], number: str, text: str) -> dict[str, tuple[str, Any, dict[str, str]]]:
    """A sending POST of each dialect: path, body, headers."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    smskit = urlencode(keys["smskit"] | {"from": "Shop", "to": number, "text": text})
    return {
        "chinqit": ("/messages/send", {"phoneNumber": f"+{number}", "message": text}, keys["chinqit"]),
        "bulk": ("/api/v2/bulk/send", {"recipients": [{"phone": f"+{number}", "message": text}]}, keys["chinqit"]),
        "otpiq": ("/api/sms", {"phoneNumber": number, "smsType": "custom", "customMessage": text}, keys["otpiq"]),
        "laravel": ("/api/v2/sms/send", {"numbers": f"+{number}", "message_body": text}, keys["laravel"]),
        "smskit": ("/smsAPI?sendsms", smskit, form),
    }


@pytest.mark.parametrize("dialect", ["chinqit", "bulk", "otpiq", "laravel", "smskit"])
def test_repetitions(running: Running, keys: dict[str, dict[str, str]], dialect: str) -> None:
    """Same key, path and body: the same status and body and a header that says so, nothing sent or charged. Another body
    under the key: 409, SMSKit's 200 error. Without the header two equal requests are two messages, and days later so are two
    with it."""
    place = ["chinqit", "bulk", "otpiq", "laravel", "smskit"].index(dialect)
    number = f"4915112340{place}10"
    path, body, headers = calls(keys, number, "Hello")[dialect]
    before = running.available("all")
    once = headers | {"Idempotency-Key": f"order 17/{dialect}"}
    first = running.request("POST", path, body, once)
    again = running.request("POST", path, body, once)
    assert first.status == again.status
    assert first.status in {200, 202}, first
    assert first.body == again.body
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert float(before) - float(running.available("all")) == 0.5

    other = running.request("POST", path, calls(keys, number, "Other")[dialect][1], once)
    words = "Idempotency key reused with a different request"
    assert other.status == (200 if dialect == "smskit" else 409)
    assert words in json.dumps(other.json)
    assert "idempotent-replayed" not in other.headers

    for _ in range(2):
        assert running.request("POST", path, body, headers).status == first.status
    assert len(running.sent_to(number, 3)) == 3
    running.advance(86_300)
    assert running.request("POST", path, body, once).body == first.body
    running.advance(3 * 86_400)  # kept by the day: 24 hours at least
    later = running.request("POST", path, body, once)
    assert (later.status, "idempotent-replayed" in later.headers) == (first.status, False)
    assert later.body != first.body
    assert len(running.sent_to(number, 4)) == 4


def test_a_key_belongs_to_its_path(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """The same body under the same key at another path is another request."""
    once = keys["chinqit"] | {"Idempotency-Key": "one key"}
    body = {"phoneNumber": "+4915112366666", "message": "m"}
    assert running.request("POST", "/messages/send", body, once).status == 200
    assert running.request("POST", "/otp/send", body, once).status == 409
    assert len(running.sent_to("4915112366666")) == 1


def test_parallel_repetitions_are_one_message(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """Twenty of the same at once: one message, twenty equal answers or a word that it is in progress."""
    path, body, headers = calls(keys, "4915112399999", "Once")["otpiq"]
    once = headers | {"Idempotency-Key": "parallel"}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: running.request("POST", path, body, once), range(20)))
    assert {answer.status for answer in answers} <= {200, 409}
    assert len({answer.body for answer in answers if answer.status == 200}) == 1
    assert len(running.sent_to("4915112399999")) == 1


@pytest.mark.parametrize("key", ["x" * 129, "caf\xe9", "a\tb"])
def test_keys_that_are_none(running: Running, keys: dict[str, dict[str, str]], key: str) -> None:
    """Up to 128 printable characters; anything else is a 400 and nothing is sent."""
    path, body, headers = calls(keys, "4915112388888", "Never")["chinqit"]
    answer = running.request("POST", path, body, headers | {"Idempotency-Key": key})
    assert answer.status == 400
    assert running.never_sent_to("4915112388888")


def test_a_key_is_good_for_128_characters_and_one_account(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """The longest key; and another account's equal key is another key."""
    running.account("second", "USD", "10", "--sender", "Shop")
    running.import_key("second", "otpiq", "sk_live_second_0123456789")
    path, body, headers = calls(keys, "4915112377777", "Both")["otpiq"]
    long = {"Idempotency-Key": "k" * 128}
    ours = running.request("POST", path, body, headers | long)
    theirs = running.request("POST", path, body, {"Authorization": "Bearer sk_live_second_0123456789"} | long)
    assert ours.json["smsId"] != theirs.json["smsId"]
    assert len(running.sent_to("4915112377777", 2)) == 2


# -- numbers, parts, states, ids


def test_the_documents_own_numbers(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """No numbering plan has them, every document uses them: the shape is looked at, nothing else."""
    for dialect, number in (
        ("chinqit", "1234567890"),
        ("bulk", "1234567890"),
        ("otpiq", "964750123456"),
        ("smskit", "231235433"),
        ("smskit", "1871235433"),
    ):
        path, body, headers = calls(keys, number, "Hello")[dialect]
        answer = running.request("POST", path, body, headers)
        assert answer.status in {200, 202}, answer
        assert answer.json.get("status") != "error"
        running.sent_to(number)


TEXTS: Final = {
    "a" * 160: 1,
    "a" * 161: 2,
    "a" * 306: 2,
    "a" * 307: 3,
    "\u20ac" * 80: 1,
    "a" * 159 + "\u20ac": 2,
    "a" * 152 + "\u20ac" + "a" * 151: 2,
    "a" * 152 + "\u20ac" + "a" * 152: 3,
    "\u0436" * 70: 1,
    "\u0436" * 71: 2,
    "\u0436" * 134: 2,
    "\u0436" * 135: 3,
    "\U0001f600" * 35: 1,
    "\u0436" * 66 + "\U0001f600" + "\u0436" * 65: 2,
    "\u0436" * 66 + "\U0001f600" + "\u0436" * 66: 3,
}
"""Parts: 160 or 153 septets of GSM 7-bit, of which its extended characters take two, or 70 or 67 code units; nothing is cut."""


def test_parts_and_their_price(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """What a text costs and how it leaves: the sum of a batch, then each dialect for a text of three."""
    numbers = [f"49151122{n:03d}55" for n in range(len(TEXTS))]
    recipients = [{"phone": f"+{number}", "message": text} for number, text in zip(numbers, TEXTS, strict=True)]
    answer = running.request("POST", "/api/v2/bulk/send", {"recipients": recipients}, keys["chinqit"])
    assert answer.json["estimatedCost"] == 0.5 * sum(TEXTS.values())
    for number, (text, parts) in zip(numbers, TEXTS.items(), strict=True):
        got = running.sent_to(number, parts)
        assert [each.total for each in got] == [parts] * parts
        bodies = [bytes.fromhex(each.text)[6 * (parts > 1) :] for each in sorted(got, key=lambda each: each.part)]
        if text.isascii() or "\u20ac" in text:
            assert not [body for body in bodies if body.endswith(b"\x1b")]
        else:
            assert "".join(body.decode("utf-16-be") for body in bodies) == text
    text = "\u0436" * 66 + "\U0001f600" + "\u0436" * 66
    for n, dialect in enumerate(("chinqit", "bulk", "otpiq", "laravel", "smskit")):
        before = float(running.available("all"))
        path, body, headers = calls(keys, f"4915112344{n}44", text)[dialect]
        assert running.request("POST", path, body, headers).status in {200, 202}
        assert before - float(running.available("all")) == 1.5, dialect


def test_no_answer_holds_the_text(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """Neither of an acceptance nor of a refusal."""
    for dialect in ("chinqit", "bulk", "otpiq", "laravel", "smskit"):
        for text in ("zebra 1", "zebra" * 400, "zebra \ud800"):
            path, body, headers = calls(keys, "4915112355555", text.encode("utf-8", "replace").decode())[dialect]
            if isinstance(body, dict) and "\ud800" in text:
                body = json.dumps(body).replace("zebra ?", "zebra \\ud800")
            answer = running.request("POST", path, body, headers)
            assert b"zebra" not in answer.body


def test_operators_know_messages_by_the_ids_that_were_shown(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """Each dialect's id names the message to `status` and `cancel`. What waits is shown as such, what was cancelled as failed
    and final; a batch is none, and its members are told."""
    cli = running.installation.cli
    kit = urlencode(keys["smskit"])
    shown: dict[str, str] = {}
    for place, (dialect, name) in enumerate((("chinqit", "messageId"), ("otpiq", "smsId"), ("smskit", "group_id"))):
        path, body, headers = calls(keys, f"49151123{place}7703", "wait")[dialect]
        shown[dialect] = running.request("POST", path, body, headers).json[name]

    def states() -> list[Any]:
        message = running.request("GET", f"/messages/status/{shown['chinqit']}", headers=keys["chinqit"]).json["message"]
        track = running.request("GET", f"/api/sms/track/{shown['otpiq']}", headers=keys["otpiq"]).json
        group = running.request("GET", f"/smsAPI?groupstatus&groupid={shown['smskit']}&{kit}").json
        found = [message["status"], track["status"], track["isFinalStatus"]]
        return [*found, group["group_status"], *(each["status"] for each in group["recipients"])]

    assert states() == ["queued", "pending", False, "queued", "queued"]
    for given in shown.values():
        assert cli("status", given)["account"] == "all"
        assert cli("cancel", given)["cancelled"] is True
        assert cli("status", given)["state"] == "cancelled"
    assert states() == ["failed", "failed", True, "failed", "failed"]
    ours = cli("status", shown["chinqit"])["id"]
    assert cli("replay", shown["chinqit"]) == cli("replay", ours)
    path, body, headers = calls(keys, "4915112333333", "one")["bulk"]
    batch = running.request("POST", path, body, headers).json["batchId"]
    refused = cli("status", batch, code=1)
    assert "is a batch of 1 messages" in refused["error"]
    member = refused["remedy"].rpartition(" ")[2]
    wait_for("its record", 10, lambda: running.sent_to("4915112333333"))
    assert cli("status", member)["id"] == member
    assert "is no id of a message" in cli("status", "sms-nobody-knows", code=1)["error"]


# -- a store that is away, and a year later


def test_a_store_that_is_away(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """503 with Retry-After in each dialect's shape, nothing charged or sent; afterwards it goes on. (The supervisor is held, so
    that it does not start the server again meanwhile.)"""
    number, installation = "4915112311111", running.installation
    before = running.available("all")
    shapes = {
        "chinqit": {"success": False, "message": "Failed to queue message", "code": "QUEUE_ERROR"},
        "bulk": {"success": False, "message": "Failed to queue message", "code": "QUEUE_ERROR"},
        "otpiq": None,
        "laravel": None,
        "smskit": None,
    }
    installation.signal("supervisor", signal.SIGSTOP)
    try:
        installation.kill("server-0")
        for dialect, shape in shapes.items():
            path, body, headers = calls(keys, number, "Never")[dialect]
            answer = running.request("POST", path, body, headers)
            assert answer.status == 503, (dialect, answer)
            assert int(answer.headers["retry-after"]) >= 1
            assert shape in (None, answer.json)
            assert {"otpiq": "message", "laravel": "message", "smskit": "status"}.get(dialect, "success") in answer.json
        reading = running.request("GET", "/messages/status/550e8400-e29b-41d4-a716-446655440000", headers=keys["chinqit"])
        assert (reading.status, reading.json) == (503, {"success": False, "message": "Service temporarily unavailable"})
    finally:
        installation.signal("supervisor", signal.SIGCONT)
    info = ("GET", "/api/info", None, keys["otpiq"])
    wait_for("the store is back", 30, lambda: running.request(*info).status == 200 and installation.ready())
    assert running.available("all") == before
    path, body, headers = calls(keys, "4915112311112", "Again")["chinqit"]
    assert running.request("POST", path, body, headers).status == 200
    running.sent_to("4915112311112", seconds=30)
    assert running.never_sent_to(number)


def test_keys_do_not_expire(running: Running, keys: dict[str, dict[str, str]]) -> None:
    """After four hundred days all of them still open their doors."""
    running.advance(400 * 86_400)
    assert running.request("GET", "/messages/status/x", headers=keys["chinqit"]).status == 404
    assert running.request("GET", "/api/info", headers=keys["otpiq"]).status == 200
    assert running.request("GET", "/api/v2/account/balance", headers=keys["laravel"]).status == 200
    assert set(running.request("GET", f"/smsAPI?balance&{urlencode(keys['smskit'])}").json) == {"balance"}


# -- switched off and mounted


def test_switched_off_and_mounted() -> None:
    """A dialect that is off answers a plain 404; one with a mount prefix lives behind it and words its own 404 there. Chinqit
    for Mauritania only takes no other country's numbers."""
    http = 'dialects = ["chinqit", "otpiq"]\nmount = { otpiq = "/vendors/otpiq" }\n'
    with started(http=http, config="[chinqit]\nmauritania_only = true\n") as running:
        running.account("some", "USD", "10")
        running.import_key("some", "otpiq", "sk_live_0123456789")
        for method, path in (
            ("POST", "/api/v2/bulk/send"),
            ("POST", "/v1/sms/send"),
            ("GET", "/api/v2"),
            ("GET", "/smsAPI?balance"),
            ("GET", "/api/info"),
            ("OPTIONS", "/api/v2"),
        ):
            answer = running.request(method, path)
            assert (answer.status, answer.json) == (404, PLAIN), path
        assert running.request("POST", "/messages/send").status == 401
        bearer = {"Authorization": "Bearer sk_live_0123456789"}
        assert running.request("GET", "/vendors/otpiq/api/info", headers=bearer).status == 200
        assert running.request("GET", "/vendors/otpiq/api/info/", headers=bearer).status == 200
        assert running.request("GET", "/vendors/otpiq/api/sms/x", headers=bearer).json == OTPIQ
        running.import_key("some", "chinqit", "chinqit-key-0123456789")
        key = {"X-API-Key": "chinqit-key-0123456789"}
        for path in ("/messages/send", "/otp/send"):
            for phone, status in (("+1234567890", 400), ("+22238089336", 200), ("38089336", 200)):
                body = {"phoneNumber": phone, "message": "m"}
                assert running.request("POST", path, body, key).status == status
