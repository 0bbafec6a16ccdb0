"""Chinqit REST against a running dispatcher: keys, fields, messages, money, and the printed samples."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from typing import Any

import pytest

from tests.contract.chinqit_shop import TOO_FAST, UUID4, Shop, at_once, invalid, text_of
from tests.contract.ground import Running
from tests.process.installation import wait_for


@pytest.fixture(scope="module")
def shop(running: Running) -> Shop:
    """A customer."""
    return Shop(running, "shop")


@pytest.fixture(scope="module")
def other(running: Running) -> Shop:
    """Another one."""
    return Shop(running, "other")


# -- 2.1 keys

MISSING = {"success": False, "message": "API key is required"}
WRONG = {"success": False, "message": "Invalid API key"}
EVERY_PATH = [
    ("POST", "/messages/send"),
    ("POST", "/otp/send"),
    ("POST", "/otp/verify"),
    ("GET", "/messages/status/550e8400-e29b-41d4-a716-446655440000"),
    ("POST", "/api/v2/bulk/send"),
    ("GET", "/api/v2/bulk/status/550e8400-e29b-41d4-a716-446655440000"),
]


@pytest.mark.parametrize(("method", "path"), EVERY_PATH)
def test_keys(running: Running, shop: Shop, method: str, path: str) -> None:
    """Absent and empty are 401, unknown is 403; another name for the header is none; all before any field is looked at."""
    for headers in ({}, {"X-API-Key": ""}, {"X_API_Key": shop.key}, {"Authorization": f"Bearer {shop.key}"}):
        answer = running.request(method, path, headers=headers)
        assert (answer.status, answer.json) == (401, MISSING), headers
    for key in ("nonsense", shop.key + "x", shop.key[:-1], shop.key.upper(), "a.b"):
        answer = running.request(method, path, headers={"X-API-Key": key})
        assert (answer.status, answer.json) == (403, WRONG), key
    for name in ("x-api-key", "X-Api-Key"):
        assert running.request(method, path, headers={name: f" {shop.key} "}).status in {400, 404}


def test_revoked_keys_and_suspended_accounts(running: Running) -> None:
    """Both answer like an invalid key, once the caches have forgotten."""
    gone, held = Shop(running, "gone"), Shop(running, "held")
    assert gone.send().status == held.send().status == 200
    ours = [key for key in running.installation.cli("keys", "list") if key["account"] == "gone"]
    running.installation.cli("keys", "revoke", ours[0]["id"])
    running.installation.cli("accounts", "suspend", "held")
    running.advance(10)
    for shop in (gone, held):
        answer = shop.send()
        assert (answer.status, answer.json) == (403, WRONG)


# -- 1.1, 1.7 and 2.2: paths, bodies


@pytest.mark.parametrize("path", ["/messages", "/messages/other", "/otp", "/otp/other", "/api/v2/bulk", "/api/v2/bulk/other"])
def test_unknown_paths(running: Running, path: str) -> None:
    """404 in this shape, without a key."""
    answer = running.request("GET", path)
    assert (answer.status, answer.json) == (404, {"success": False, "message": "Resource not found"})


@pytest.mark.parametrize(("method", "path"), EVERY_PATH)
def test_wrong_methods(running: Running, method: str, path: str) -> None:
    """405 with Allow."""
    for wrong in {"POST": ("GET", "PUT", "DELETE", "HEAD"), "GET": ("POST", "DELETE")}[method]:
        answer = running.request(wrong, path)
        assert answer.status == 405
        assert method in answer.headers["allow"]
        if wrong != "HEAD":
            assert answer.json == {"success": False, "message": "Method not allowed"}


def test_every_answer_has_a_request_id(running: Running, shop: Shop) -> None:
    """Good, bad and lost alike; and none says that its API is deprecated."""
    for answer in (shop.send(), shop.send(phone="x"), running.request("POST", "/otp/send"), running.request("GET", "/otp/x")):
        assert answer.headers["x-request-id"]
        assert answer.headers["content-type"] == "application/json"
        assert "deprecation" not in answer.headers


def test_trailing_slash_and_case(shop: Shop) -> None:
    """One slash more is tolerated, another case is another path."""
    assert shop.post("/messages/send/", phoneNumber="+1234567890", message="x").status == 200
    assert shop.post("/Messages/send", phoneNumber="+1234567890", message="x").status == 404


@pytest.mark.parametrize("path", ["/messages/send", "/otp/send", "/otp/verify"])
@pytest.mark.parametrize("body", ["", "{", "[]", '"text"', "null", b'{"message": "\xff"}'])
def test_no_object(shop: Shop, path: str, body: str | bytes) -> None:
    """400 with an empty path."""
    answer = shop.request("POST", path, body)
    assert (answer.status, answer.json) == (400, invalid(([], "Invalid JSON")))


def test_json_whatever_the_type_says(shop: Shop) -> None:
    """A form's content type, a byte-order mark, unknown keys, the last of equal keys."""
    body = b'\xef\xbb\xbf{"message":"", "message":"hi", "phoneNumber":"+1234567890", "extra": [1]}'
    assert shop.request("POST", "/messages/send", body, Content_Type="application/x-www-form-urlencoded").status == 200


def test_body_too_large(shop: Shop) -> None:
    """More than 1 MiB is refused by its head, before it is read."""
    answer = shop.request("POST", "/messages/send", "", Content_Length="1048577")
    assert (answer.status, answer.json) == (413, {"success": False, "message": "Request body too large"})


# -- 2.3 to 2.5 fields


def test_the_seeds_validation_error(shop: Shop) -> None:
    """Word for word."""
    answer = shop.send(message="")
    assert (answer.status, answer.json) == (400, invalid((["message"], "String must contain at least 1 character(s)")))


@pytest.mark.parametrize(
    ("path", "body", "issues"),
    [
        ("/messages/send", {}, [(["message"], "Required"), (["phoneNumber"], "Required")]),
        ("/messages/send", {"message": 1, "phoneNumber": None}, [
            (["message"], "Expected string, received number"), (["phoneNumber"], "Expected string, received null"),
        ]),
        ("/messages/send", {"message": "m", "phoneNumber": "+1 234", "hash": "short"}, [
            (["phoneNumber"], "Invalid phone number format"), (["hash"], "String must contain exactly 11 character(s)"),
        ]),
        ("/messages/send", {"message": True, "phoneNumber": [], "hash": {}}, [
            (["message"], "Expected string, received boolean"), (["phoneNumber"], "Expected string, received array"),
            (["hash"], "Expected string, received object"),
        ]),
        ("/messages/send", {"message": "m", "phoneNumber": "+1234567890", "hash": None}, [
            (["hash"], "Expected string, received null"),
        ]),
        ("/messages/send", {"message": "m", "phoneNumber": "+1234567890", "hash": "ABC123XYZ4-"}, [(["hash"], "Invalid")]),
        ("/otp/send", {"phoneNumber": 1.5, "language": 1, "channel": [], "hash": "ABC123XYZ456"}, [
            (["phoneNumber"], "Expected string, received number"), (["language"], "Expected string, received number"),
            (["channel"], "Expected string, received array"), (["hash"], "String must contain exactly 11 character(s)"),
        ]),
        ("/otp/verify", {"phoneNumber": "", "otp": "12a456", "channel": "SMS"}, [
            (["phoneNumber"], "Invalid phone number format"), (["otp"], "Invalid"),
            (["channel"], "Invalid enum value. Expected 'sms' | 'whatsapp', received 'SMS'"),
        ]),
        ("/otp/verify", {"phoneNumber": "+1234567890", "otp": "\u0661\u0662\u0663\u0664\u0665\u0666"}, [(["otp"], "Invalid")]),
        ("/otp/send", {"language": "de", "channel": "voice"}, [
            (["phoneNumber"], "Required"),
            (["language"], "Invalid enum value. Expected 'fr' | 'en' | 'ar', received 'de'"),
            (["channel"], "Invalid enum value. Expected 'sms' | 'whatsapp', received 'voice'"),
        ]),
        ("/otp/verify", {"phoneNumber": "+1234567890"}, [(["otp"], "Required")]),
        ("/otp/verify", {"phoneNumber": "+1234567890", "otp": "12345"}, [
            (["otp"], "String must contain exactly 6 character(s)"),
        ]),
        ("/otp/verify", {"phoneNumber": "+1234567890", "otp": 123456}, [(["otp"], "Expected string, received number")]),
    ],
)  # fmt: skip
def test_validation(shop: Shop, path: str, body: dict[str, Any], issues: list[tuple[list[str | int], str]]) -> None:
    """Every problem, in field order."""
    before = shop.running.available("shop")
    answer = shop.post(path, **body)
    assert (answer.status, answer.json) == (400, invalid(*issues))
    assert shop.running.available("shop") == before


@pytest.mark.parametrize("phone", ["+22238089001", "22238089001", "38089001"])
def test_mauritanian_forms(shop: Shop, phone: str) -> None:
    """All three are one number, shown with +222."""
    answer = shop.send(phone, "x")
    assert answer.status == 200
    assert shop.status(answer.json["messageId"])["phone"] == "+22238089001"


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("28089001", "+22228089001"),
        ("22248089001", "+22248089001"),
        ("+12345678", "+12345678"),
        ("+123456789012345", "+123456789012345"),
    ],
)
def test_the_edges_of_a_number(shop: Shop, phone: str, shown: str) -> None:
    """A first digit of 2 and of 4; eight and fifteen digits in all."""
    answer = shop.send(phone, "x")
    assert answer.status == 200
    assert shop.status(answer.json["messageId"])["phone"] == shown


@pytest.mark.parametrize("path", ["/messages/send", "/otp/send", "/otp/verify"])
@pytest.mark.parametrize(
    "phone",
    [
        "58089336", "18089336", "+22258089336", "+2223808933", "+222380893361", "2223808933", "3808933", "380893361",
        "1234567890", "+1-234-567-890", "+1 234567890", "+1(234)567890", " +1234567890", "0022238089336", "", "+",
        "+123", "+1234567", "+1234567890123456", "+0123456789", "+1234567890x", "+\u0661234567890",
    ],
)  # fmt: skip
def test_numbers_refused(shop: Shop, path: str, phone: str) -> None:
    """Anything else than + and a number, or a Mauritanian one."""
    answer = shop.post(path, phoneNumber=phone, message="m", otp="123456")
    assert (answer.status, answer.json) == (400, invalid((["phoneNumber"], "Invalid phone number format")))


def test_message(shop: Shop) -> None:
    """Exactly three keys; the text arrives as it is, from the account's or the carrier's sender."""
    answer = shop.send("+1234567001", "Hello, this is a test message")
    assert answer.status == 200
    assert set(answer.json) == {"success", "messageId", "queued"}
    assert (answer.json["success"], answer.json["queued"]) == (True, True)
    assert UUID4.fullmatch(answer.json["messageId"])
    assert text_of(shop.running, "1234567001") == "Hello, this is a test message"


def test_hash_is_appended(shop: Shop) -> None:
    """One line feed between, as Android's guide shows."""
    assert shop.send("+1234567002", "Your code", hash="FA+9qCX9VSu").status == 200
    assert text_of(shop.running, "1234567002") == "Your code\nFA+9qCX9VSu"


def test_hash_counts_into_the_parts(shop: Shop) -> None:
    """148 characters, the line feed and eleven more are one part; with one more it is two, and charged so."""
    for chars, cost in ((148, 0.02), (149, 0.04)):
        sent = shop.send(message="x" * chars, hash="ABC/23XYZ45").json["messageId"]
        assert shop.status(sent)["cost"] == cost


def test_ten_parts_at_most(shop: Shop) -> None:
    """With the hash; the answer says how much would do."""
    assert shop.send(message="x" * 1530).status == 200
    assert shop.send(message="x" * 1531).json == invalid((["message"], "String must contain at most 1530 character(s)"))
    assert shop.send(message="x" * 1518, hash="ABC123XYZ45").status == 200
    answer = shop.send(message="x" * 1519, hash="ABC123XYZ45")
    assert answer.json == invalid((["message"], "String must contain at most 1518 character(s)"))
    assert shop.send(message="\u0436" * 670).status == 200
    assert shop.send(message="\u0436" * 671).json == invalid((["message"], "String must contain at most 670 character(s)"))


def test_messages_have_no_limit(shop: Shop) -> None:
    """Twenty-five to one number within a minute."""
    assert {shop.send("+1234567004").status for _ in range(25)} == {200}


# -- 2.6 status


def test_status_of_a_message(shop: Shop) -> None:
    """Exact keys; sent when the carrier has it; dates in ISO with milliseconds."""
    sent = shop.send("+1234567003", "x" * 161).json["messageId"]
    found = wait_for("sent", 10, lambda: (view := shop.status(sent))["status"] == "sent" and view)
    assert list(found) == ["messageId", "phone", "status", "cost", "createdAt", "updatedAt"]
    assert (found["messageId"], found["phone"], found["cost"]) == (sent, "+1234567003", 0.04)
    for name in ("createdAt", "updatedAt"):
        assert len(found[name]) == 24
        assert found[name][10] == "T"
        assert found[name][19] == "."
        assert found[name].endswith("Z")
    assert found["createdAt"] <= found["updatedAt"]


def test_status_of_a_failed_message_and_its_refund(running: Running) -> None:
    """Refused for good: failed with a sentence, and the money is back; undelivered likewise."""
    poor = Shop(running, "refunds", "1")
    for phone in ("+1234560002", "+1234560001"):
        sent = poor.send(phone).json["messageId"]
        found = wait_for("failed", 15, lambda sent=sent: (view := poor.status(sent))["status"] == "failed" and view)
        assert found["error"]
        assert found["cost"] == 0.02
    wait_for("refunded", 10, lambda: running.available("refunds") == "1.00")
    kept = running.installation.cli("accounts", "show", "refunds")["refund_on"]
    assert set(kept) == {"undelivered", "failed", "expired", "rejected"}


def test_unknown_receipt_is_not_refunded(running: Running) -> None:
    """Nobody knows: sent, and paid."""
    silent = Shop(running, "silent", "1")
    sent = silent.send("+1234560003").json["messageId"]
    wait_for("sent", 10, lambda: silent.status(sent)["status"] == "sent")
    assert running.available("silent") == "0.98"


@pytest.mark.parametrize("message_id", ["550e8400-e29b-41d4-a716-446655440000", "x", "01HF8ZRW8X0123456789ABCD00", "%00"])
def test_status_unknown(shop: Shop, message_id: str) -> None:
    """404, whatever it looks like."""
    answer = shop.request("GET", f"/messages/status/{message_id}")
    assert (answer.status, answer.json) == (404, {"success": False, "message": "Message not found"})


def test_status_is_the_accounts_own(shop: Shop, other: Shop) -> None:
    """Another account's message does not exist."""
    sent = shop.send().json["messageId"]
    assert other.request("GET", f"/messages/status/{sent}").status == 404


# -- money, 1.5 and 1.7


def test_balance_too_low(running: Running) -> None:
    """402 with what was needed; nothing is sent or charged."""
    poor = Shop(running, "poor", "0.03")
    answer = poor.send("+1234567010", "x" * 161)
    assert answer.status == 402
    assert answer.json == {
        "success": False,
        "message": "Insufficient balance",
        "details": {"requiredAmount": 0.04, "validRecipients": 1, "invalidRecipients": 0},
        "code": "NO_CREDIT",
    }
    assert running.available("poor") == "0.03"
    assert running.never_sent_to("1234567010")


def test_an_account_that_cannot_be_billed(running: Running) -> None:
    """No tariff is in force for it: 500 with the documented code, nothing charged or sent."""
    running.installation.cli("accounts", "add", "odd", "--currency", "GBP")
    running.installation.cli("accounts", "credit", "odd", "10", "--id", "first-odd")
    running.import_key("odd", "chinqit", "live-key-of-odd-0123456789")
    one = {"phoneNumber": "+1234567013", "message": "m"}
    batch = {"recipients": [{"phone": "+1234567013", "message": "m"}]}
    for path, body in (("/messages/send", one), ("/otp/send", one), ("/api/v2/bulk/send", batch)):
        answer = running.request("POST", path, body, {"X-API-Key": "live-key-of-odd-0123456789"})
        billing = {"success": False, "message": "Billing transaction failed", "code": "BILLING_FAILED"}
        assert (answer.status, answer.json) == (500, billing)
    assert running.available("odd") == "10.00"
    assert running.never_sent_to("1234567013")


@pytest.mark.parametrize(
    "limit", [("--spend-cap", "0.07"), ("--velocity", "60:1"), ("--velocity-account", "60:3"), ("--velocity-country", "60:3")]
)
def test_limits_of_an_account_say_when(running: Running, limit: tuple[str, str]) -> None:
    """What its operator allows it (velocity in each class by itself): beyond it 429 in the document's words with Retry-After,
    in all three that send."""
    bound = Shop(running, f"bound{limit[0]}", "10", *limit)
    calls = (bound.send, bound.otp, bound.batch)
    assert [call("+22238089015").status for call in calls] == [200, 200, 202]
    for call in calls:
        answer = call("+22238089016")
        assert (answer.status, answer.json) == (429, TOO_FAST)
        assert int(answer.headers["retry-after"]) >= 1
    assert running.available(bound.name) == "9.94"


def test_the_last_credit_is_spent_once(running: Running) -> None:
    """Twenty requests at once, money for three: three messages, no debt."""
    last = Shop(running, "last", "0.07")
    answers = at_once(20, lambda: last.send("+1234567011"))
    assert Counter(answer.status for answer in answers) == {200: 3, 402: 17}
    assert running.available("last") == "0.01"
    assert len(running.sent_to("1234567011", 3)) == 3


def test_idempotency_key(running: Running) -> None:
    """The same answer again, nothing sent or charged; another body is a conflict; without a key two are two."""
    again = Shop(running, "again", "1")
    body = {"phoneNumber": "+1234567012", "message": "once"}
    first = again.request("POST", "/messages/send", body, Idempotency_Key="order 17")
    second = again.request("POST", "/messages/send", body, Idempotency_Key="order 17")
    assert (first.status, first.body) == (second.status, second.body)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    conflict = again.request("POST", "/messages/send", body | {"message": "twice"}, Idempotency_Key="order 17")
    message = "Idempotency key reused with a different request"
    assert (conflict.status, conflict.json) == (409, {"success": False, "message": message})
    assert running.available("again") == "0.98"
    assert again.send().json["messageId"] != again.send().json["messageId"]
    assert running.available("again") == "0.94"


# -- the samples of the seed


def ran(done: subprocess.CompletedProcess[str]) -> str:
    """What it printed; it ended well."""
    assert done.returncode == 0, done
    return done.stdout.strip()


def test_sample_message_by_curl(shop: Shop) -> None:
    """`curl` prints the answer."""
    answer = json.loads(ran(shop.sample("send_message.sh")))
    assert (answer["success"], answer["queued"]) == (True, True)


def test_sample_message_by_python(shop: Shop) -> None:
    """`requests`."""
    assert UUID4.fullmatch(ran(shop.sample("send_message.py")).removeprefix("Message ID: "))


def test_sample_otp_by_curl(running: Running) -> None:
    """By SMS, by WhatsApp (honest 502), and verified."""
    shop = Shop(running, "curls")
    mine = {"+1234567890": "+1234567891"}
    sent = json.loads(ran(shop.sample("send_otp_sms.sh", **mine)))
    assert (sent["success"], sent["expiresIn"]) == (True, 600)
    whatsapp = json.loads(ran(shop.sample("send_otp_whatsapp.sh", **mine)))
    assert (whatsapp["success"], whatsapp["message"]) == (False, "WhatsApp OTP send failed")
    code = shop.code("1234567891")
    assert json.loads(ran(shop.sample("verify_otp.sh", **mine, **{'123456"': code + '"'})))["verified"] is True


def test_sample_otp_by_python(running: Running) -> None:
    """The sample that sends goes on to WhatsApp, and fails there as it must: there is no provider. The one that verifies
    says both of its sentences."""
    shop = Shop(running, "pythons")
    mine = {"+1234567890": "+1234567892"}
    assert "KeyError: 'expiresIn'" in shop.sample("send_otp.py", **mine).stderr
    code = shop.code("1234567892")
    wrong = "000000" if code != "000000" else "111111"
    assert ran(shop.sample("verify_otp.py", **mine, **{'"123456"': f'"{wrong}"'})) == "Invalid OTP. Retries left: 2"
    assert ran(shop.sample("verify_otp.py", **mine, **{'"123456"': f'"{code}"'})) == "OTP verified successfully"
