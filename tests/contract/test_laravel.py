"""The Laravel dialect against a running dispatcher: form sends, sends by key, words of refusals, pages, samples."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

from tests.contract.ground import Running
from tests.contract.laravel_shop import (
    BAD_NUMBER,
    BASE,
    FORM,
    INVALID,
    PATHS,
    POOR,
    SAMPLES,
    TEXT,
    UNAUTHORIZED,
    User,
    check_sample,
    sample,
    seen,
)
from tests.process.installation import wait_for

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def user(running: Running) -> User:
    """A customer."""
    return User(running, "user")


@pytest.fixture(scope="module")
def key(user: User) -> str:
    """Its API key."""
    return user.new_key()


@pytest.fixture(autouse=True)
def _fresh_windows(running: Running) -> None:
    """A minute later: no request of an earlier test counts."""
    running.advance(61)


# -- 4.2


def test_a_form_send(running: Running, user: User) -> None:
    """Two local numbers, two messages, the documented success, two units charged, both at the carrier under 254."""
    before = float(running.available("user"))
    status, body = seen(user.v1())
    assert status == 200
    assert isinstance(body, dict)
    assert "error" not in body
    ids = [each.pop("message_id") for each in body["messages"]]
    assert all(UUID4.fullmatch(each) for each in (body.pop("batch_id"), *ids))
    assert len(set(ids)) == 2
    assert body == {
        "status": "success",
        "message": "Messages queued for sending.",
        "messages": [
            {"number": "0701234567", "to": "+254701234567", "status": "queued"},
            {"number": "0712345678", "to": "+254712345678", "status": "queued"},
        ],
        "cost": 2,
        "balance": before - 2,
    }
    for number in ("254701234567", "254712345678"):
        assert bytes.fromhex(running.sent_to(number)[0].text).decode() == TEXT


def test_every_form_of_number(running: Running, user: User) -> None:
    """E.164 with `+`, a national 0, 11 to 15 digits; blanks and empty items are passed over, repeated ones sent once."""
    answer = user.v1(" +254799000111 , 0799000112,254799000113,,0799000113, ")
    assert [each["to"] for each in answer.json["messages"]] == ["+254799000111", "+254799000112", "+254799000113"]
    assert answer.json["cost"] == 3
    running.sent_to("254799000113")


def test_a_local_number_of_an_account_elsewhere(running: Running) -> None:
    """The account's own default country code."""
    elsewhere = User(running, "elsewhere", "10", "--country-code", "255")
    assert elsewhere.v1("0701234567").json["messages"][0]["to"] == "+255701234567"


@pytest.mark.parametrize("number", ["+25470123", "+254701234567890", "25470123456", "254701234567890"])
def test_the_shortest_and_longest_numbers(user: User, number: str) -> None:
    """8 to 15 digits behind a `+`, 11 to 15 without."""
    assert user.v1(number).json["messages"][0]["to"] == f"+{number.removeprefix('+')}"


BAD_NUMBERS = (
    "0701234567,123", "abc", ",", "0701 234567", "0701-234567", "(070)1234567", "+0701234567", "701234567", "07012345678",
    "070123456", "+2547012", "+2547012345678901", "2547012345", "2547012345678901", "++25470123456", "0701234567;0701234568",
)  # fmt: skip


@pytest.mark.parametrize("numbers", BAD_NUMBERS)
def test_one_bad_number_refuses_all(running: Running, user: User, numbers: str) -> None:
    """400, nothing sent, nothing charged."""
    before = running.available("user")
    assert seen(user.v1(numbers)) == (400, BAD_NUMBER)
    assert running.available("user") == before


def test_required_fields(user: User) -> None:
    """Absent and empty alike, by their names."""
    for field in ("numbers", "message_body"):
        fields = {"numbers": "0701234567", "message_body": "x"} | user.login
        for changed in ({k: v for k, v in fields.items() if k != field}, fields | {field: ""}):
            assert seen(user.form("/v1/sms/send", changed)) == (400, {"error": f"The {field} field is required."})


@pytest.mark.parametrize("wrong", [{"username": ""}, {"password": ""}, {"username": "nobody"}, {"password": "wrong"}])
def test_credentials(user: User, wrong: dict[str, str]) -> None:
    """Absent or wrong, before any field is looked at: 401."""
    assert seen(user.v1("bad", **wrong)) == (401, UNAUTHORIZED)


def test_an_api_key_is_no_password(running: Running, user: User, key: str) -> None:
    """v1 knows user names only."""
    answer = running.request("POST", "/v1/sms/send", {"numbers": "0701234567", "message_body": "x"}, {"X-API-Key": key})
    assert seen(answer) == (401, UNAUTHORIZED)


def test_a_poor_account(running: Running) -> None:
    """402 and nothing of it sent, though one would have been paid."""
    poor = User(running, "poor", "1")
    assert seen(poor.v1("0708000111,0708000112")) == (402, POOR)
    assert seen(poor.v1("0708000111", "x" * 161)) == (402, POOR)
    assert poor.v1("0708000113").json["balance"] == 0
    running.sent_to("254708000113")
    assert running.never_sent_to("254708000111")


def test_a_thousand_numbers(running: Running) -> None:
    """No more in one request, each counted once; the money is looked at after that."""
    poor = User(running, "poorer", "1")
    numbers = ",".join(f"2547100{n:05d}" for n in range(1000))
    assert seen(poor.v1(numbers)) == (402, POOR)
    assert seen(poor.v1(f"{numbers},254710000000")) == (402, POOR)
    refused = {"error": "The numbers field must not have more than 1000 numbers."}
    assert seen(poor.v1(f"{numbers},254710001000")) == (400, refused)


def test_text_up_to_ten_parts(running: Running, user: User) -> None:
    """1 character, 10 parts, 10 parts and a character; all of GSM-7 and beyond."""
    assert user.v1("0701000111", "x").json["cost"] == 1
    assert user.v1("0701000112", "x" * 1530).json["cost"] == 10
    refused = {"error": "The message_body field must not be longer than 10 message parts."}
    assert seen(user.v1("0701000113", "x" * 1531)) == (400, refused)
    assert user.v1("0701000114", "ж" * 71).json["cost"] == 2
    running.sent_to("254701000114", 2)


def test_where_parameters_come_from(running: Running, user: User) -> None:
    """Query, form, multipart and JSON; the body wins over the query."""
    fields = {"numbers": "0702000111", "message_body": "a+b c"} | user.login
    query = f"/v1/sms/send?{urlencode(fields)}"
    boundary = "--b\r\n" + "--b\r\n".join(
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    )
    multipart = {"Content-Type": "multipart/form-data; boundary=b"}
    for answer in (
        running.request("POST", query),
        running.request("POST", "/v1/sms/send", fields),
        running.request("POST", "/v1/sms/send", boundary + "--b--\r\n", multipart),
        running.request("POST", query.replace("0702000111", "bad"), {"numbers": "0702000111"}),
        running.request("POST", query, "", FORM),
    ):
        assert seen(answer)[0] == 200, answer
    texts = {bytes.fromhex(each.text).decode() for each in running.sent_to("254702000111", 5)}
    assert texts == {"a+b c"}
    assert seen(running.request("POST", query, {"numbers": "bad"})) == (400, BAD_NUMBER)
    for broken in ("{", "[]", '"x"', b"\xff"):
        assert seen(running.request("POST", query, broken, {"Content-Type": "application/json"}))[0] == 400


def test_the_password_is_in_no_log(running: Running, user: User) -> None:
    """Not even where the dialect carries it in the URL."""
    fields = {"numbers": "0703000111", "message_body": "x"} | user.login
    assert running.request("POST", f"/v1/sms/send?{urlencode(fields)}").status == 200
    logged = json.dumps(running.installation.log())
    for secret in (user.password, urlencode({"": user.password})[1:], "0703000111", "254703000111"):
        assert secret not in logged


def test_refused_messages_are_refunded_and_delivered_ones_are_not(running: Running) -> None:
    """1.5: what the carrier never took gives the money back, once."""
    payer = User(running, "payer", "10")
    assert payer.v1("0704000123,0704000002").json["balance"] == 8
    wait_for("the refund", 10, lambda: {"delivered", "rejected"} <= _states(running, "payer"))
    assert running.available("payer") == "9.00"
    assert payer.balance(payer.new_key()).json == {"balance": 9, "currency": "KES"}


def _states(running: Running, account: str) -> set[str]:
    """The states that an account's messages have had."""
    return {row["state"] for row in running.installation.rows("events") if row["account"] == account}


# -- 4.5


def test_send_by_key(running: Running, user: User, key: str) -> None:
    """GET and POST, documented names and aliases, the sender of the account's list; outcomes as v1's."""
    headers = {"X-API-Key": key}
    before = float(running.available("user"))
    for answer in (
        running.request("GET", f"/api/v2/sms/send?{urlencode({'to': '0705000111', 'message': 'hi', 'api_key': key})}"),
        running.request("POST", "/api/v2/sms/send", {"numbers": "0705000111", "message_body": "hi"}, headers),
        user.form("/api/v2/sms/send", {"numbers": "0705000111", "message_body": "hi", "api_key": key}),
        running.request("POST", "/api/v2/sms/send", {"numbers": "0705000111", "message_body": "hi", "sender": "Any"}, headers),
    ):
        assert seen(answer)[0] == 200, answer
        (message,) = answer.json["messages"]
        assert UUID4.fullmatch(message["message_id"])
        before -= 1
        assert answer.json == {
            "status": "success",
            "message": "Messages queued for sending.",
            "batch_id": message["message_id"],
            "messages": [message],
            "cost": 1,
            "balance": before,
        }
        shown = {"number": "0705000111", "to": "+254705000111", "status": "queued"}
        assert message == shown | {"message_id": message["message_id"]}
    assert {bytes.fromhex(each.text) for each in running.sent_to("254705000111", 4)} == {b"hi"}
    post = {"numbers": "0705000111", "message_body": "hi"}
    for changed, expected in (
        ({"numbers": "bad"}, (400, BAD_NUMBER)),
        ({"numbers": ""}, (400, {"error": "The numbers field is required."})),
        ({"message_body": None}, (400, {"error": "The message_body field is required."})),
        ({"sender": "much too long a sender"}, (400, {"error": "Sender ID not allowed."})),
    ):
        assert seen(running.request("POST", "/api/v2/sms/send", post | changed, headers)) == expected
    poor = User(running, "poor2", "1")
    answer = running.request("POST", "/api/v2/sms/send", post | {"numbers": "0705000112,0705000113", "api_key": poor.new_key()})
    assert seen(answer) == (402, POOR)
    assert running.never_sent_to("254705000112")


def test_a_sender_that_is_not_the_accounts(running: Running) -> None:
    """The list of allowed senders holds."""
    strict = User(running, "strict", "10", "--sender", "Mine", "--sender-allowed", "Other")
    headers = {"X-API-Key": strict.new_key()}
    post = {"to": "0705000119", "message": "hi"}
    refused = running.request("POST", "/api/v2/sms/send", post | {"sender": "Theirs"}, headers)
    assert seen(refused) == (400, {"error": "Sender ID not allowed."})
    for sender in ({}, {"sender": "Other"}, {"sender": "Mine"}):
        assert running.request("POST", "/api/v2/sms/send", post | sender, headers).status == 200
    running.sent_to("254705000119", 3)
    senders = [row["sender"] for row in running.installation.rows("charges") if row["account"] == "strict" and row["sender"]]
    assert sorted(senders) == ["Mine", "Mine", "Other"]


def test_balance(running: Running) -> None:
    """A number, and the currency."""
    rich = User(running, "rich", "100.5")
    assert seen(rich.balance(rich.new_key())) == (200, {"balance": 100.5, "currency": "KES"})


# -- 1.7


def test_idempotency(running: Running, user: User) -> None:
    """The same key and body give the stored answer and charge nothing; another body is a conflict; a GET has no such key."""
    headers = {"Idempotency-Key": "order 17"}
    fields = {"numbers": "0706000111", "message_body": "once"} | user.login
    first = user.form("/v1/sms/send", fields, headers)
    again = user.form("/v1/sms/send", fields, headers)
    assert (again.status, again.body) == (200, first.body)
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    conflict = {"error": "Idempotency key reused with a different request"}
    assert seen(user.form("/v1/sms/send", fields | {"message_body": "twice"}, headers)) == (409, conflict)
    running.sent_to("254706000111")
    assert running.available("user") == f"{first.json['balance']:.2f}"
    many = {"numbers": "0706000112,0706000113", "message_body": "once"} | user.login
    first = user.form("/v1/sms/send", many, {"Idempotency-Key": "order 18"})
    again = user.form("/v1/sms/send", many, {"Idempotency-Key": "order 18"})
    assert (first.status, again.body) == (200, first.body)


def test_a_body_that_is_too_large(running: Running, user: User) -> None:
    """1 MiB and no more."""
    fields = urlencode({"numbers": "0707000111", "message_body": "x"} | user.login) + "&ignored="
    whole = fields + "x" * (1_048_576 - len(fields))
    assert running.request("POST", "/v1/sms/send", whole, FORM).status == 200
    announced = running.request("POST", "/v1/sms/send", "", FORM | {"Content-Length": "1048577"})  # answered by the head alone
    assert seen(announced) == (413, {"message": "Request body too large"})


# -- 1.1


def test_wrong_methods(running: Running) -> None:
    """405 with Allow; v1's in the framework's words."""
    words = "The GET method is not supported for route v1/sms/send. Supported methods: POST."
    answer = running.request("GET", "/v1/sms/send")
    assert (seen(answer), answer.headers["allow"]) == ((405, {"message": words}), "POST")
    for path, methods in PATHS.items():
        answer = running.request("DELETE", path)
        assert answer.status == 405
        assert set(answer.headers["allow"].split(", ")) >= set(methods)
        assert path == "/v1/sms/send" or seen(answer) == (405, {"message": "Method not allowed"})


def test_unknown_paths(running: Running) -> None:
    """404 in the framework's words; case matters, one trailing slash does not; the OAuth2 script is none."""
    for path in ("/api/other", "/v1/sms/other", "/API/v2", "/api/v2/", "/api/v2//", "/api/oauth2-redirect.js", "/api/v2/sms"):
        answer = running.request("GET", path)
        if path == "/api/v2/":
            assert answer.status == 200
        elif path.startswith("/API"):
            assert (answer.status, answer.json) == (404, {"error": "Not found"})
        else:
            shown = path.strip("/") if path.endswith("//") else path[1:]
            assert answer.json["message"].rstrip("/") != ""
            assert seen(answer)[0] == 404
            assert answer.json["message"].startswith(f"The route {shown}")


def test_head_and_options(running: Running) -> None:
    """HEAD is GET where nothing can be sent, else 405; OPTIONS is 204 everywhere here."""
    for path, methods in PATHS.items():
        head = running.request("HEAD", path)
        reads = methods == ("GET",)
        assert head.status == (401 if reads and "balance" in path else 200 if reads else 405), path
        assert head.body == b""
        options = running.request("OPTIONS", path)
        assert seen(options) == (204, None)
        assert options.body == b""
        assert set(options.headers["allow"].split(", ")) >= set(methods)


# -- 4.7


class Links(HTMLParser):
    """What a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.named: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in {"script", "link", "img", "iframe", "object"}:
            self.loaded.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in {"src", "href"} and not (value or "").startswith("#")]
        if tag == "input":
            self.named.add(found.get("name") or "")


def test_the_swagger_page(running: Running) -> None:
    """HTML for browsers, whole in itself, with every operation and a field for every parameter."""
    for accept in ("text/html,application/xhtml+xml", "", "text/html, application/json", "*/*"):
        answer = running.request("GET", "/api/v2", headers={"Accept": accept})
        assert (seen(answer)[0], answer.headers["content-type"]) == (200, "text/html; charset=UTF-8")
    page = answer.body.decode()
    links = Links()
    links.feed(page)
    assert links.loaded == []
    assert links.named == {"numbers", "message_body", "username", "password", "api_key", "sender", "expiry_days"}
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page
    for path in PATHS:
        assert path in {"/api/v2", "/api/oauth2-callback"} or path in page


def test_the_document(running: Running) -> None:
    """For those who accept JSON and not HTML; it names every operation, and refers to nothing that is not there."""
    answer = running.request("GET", "/api/v2", headers={"Accept": "application/json", "Content-Type": "application/json"})
    assert seen(answer)[0] == 200
    document = answer.json
    assert document["openapi"].startswith("3.")
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    pages = {"/api/v2", "/api/oauth2-callback"}
    assert described == {(path, method) for path, methods in PATHS.items() if path not in pages for method in methods}
    references = set(re.findall(r'"#/components/schemas/(\w+)"', answer.body.decode()))
    assert references <= set(document["components"]["schemas"])
    answers = [a for item in document["paths"].values() for o in item.values() for a in o["responses"].values()]
    assert all("example" in content for a in answers for content in a["content"].values())


def test_the_callback_page(running: Running) -> None:
    """The page of the seed."""
    answer = running.request("GET", "/api/oauth2-callback")
    assert (seen(answer)[0], answer.headers["content-type"]) == (200, "text/html; charset=UTF-8")
    lines = [
        "<!doctype html>",
        '<html lang="en-US">',
        "<body>",
        '<script src="oauth2-redirect.js"></script>',
        "</body>",
        "</html>",
    ]
    assert answer.body.decode().splitlines() == lines


# -- the printed samples


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.sh")))
def test_printed_samples(running: Running, name: str) -> None:
    """Those in curl, unchanged but for the address. Those in JavaScript are for `make interop`, which has node."""
    ran = sample(running, f"{name}.sh")
    assert ran.returncode == 0, ran.stderr
    check_sample(name, 0, ran.stdout)


def test_samples_are_printed_so(running: Running) -> None:
    """Each names the printed address, once; nothing else in them is ours."""
    files = sorted(SAMPLES.iterdir())
    assert len(files) == 14
    assert [path.name for path in files if path.read_text(encoding="utf-8").count(BASE) != 1] == []
    assert seen(running.request("GET", "/api/v2/account/balance", headers={"X-API-Key": "x"})) == (401, INVALID)
