"""What all five dialects share (dialects.md 1): routing before authentication, errors in the nearest shape, repetitions."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.contract.ground import Response, Running, started

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
    for path, length, headers, body in (
        ("/messages/send", mib + 1, keys["chinqit"], {"success": False, "message": words}),
        ("/api/v2/bulk/send", 64 * mib + 1, keys["chinqit"], {"success": False, "message": words}),
        ("/api/sms", mib + 1, keys["otpiq"], {"message": words}),
        ("/smsAPI?sendsms", mib + 1, {}, {"request": "sendsms", "status": "error", "message": words}),
    ):
        answer = headers_only(running, path, length, headers)
        assert (answer.status, answer.json) == (413, body), path
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
    smskit = "&".join(f"{n}={v}" for n, v in keys["smskit"].items())
    return {
        "chinqit": ("/messages/send", {"phoneNumber": f"+{number}", "message": text}, keys["chinqit"]),
        "bulk": ("/api/v2/bulk/send", {"recipients": [{"phone": f"+{number}", "message": text}]}, keys["chinqit"]),
        "otpiq": ("/api/sms", {"phoneNumber": number, "smsType": "custom", "customMessage": text}, keys["otpiq"]),
        "laravel": ("/api/v2/sms/send", {"numbers": f"+{number}", "message_body": text}, keys["laravel"]),
        "smskit": ("/smsAPI?sendsms", f"{smskit}&from=Shop&to={number}&text={text}", form),
    }


@pytest.mark.parametrize("dialect", ["chinqit", "bulk", "otpiq", "laravel", "smskit"])
def test_repetitions(running: Running, keys: dict[str, dict[str, str]], dialect: str) -> None:
    """Same key, path and body: the same status and body and a header that says so, nothing sent or charged. Another body
    under the key: 409, SMSKit's 200 error. Without the header two equal requests are two messages."""
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
    running.advance(3600)
    assert running.request("POST", path, body, once).body == first.body


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


# -- switched off and mounted


def test_switched_off_and_mounted() -> None:
    """A dialect that is off answers a plain 404; one with a mount prefix lives behind it and words its own 404 there."""
    http = 'dialects = ["chinqit", "otpiq"]\nmount = { otpiq = "/vendors/otpiq" }\n'
    with started(http=http) as running:
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
