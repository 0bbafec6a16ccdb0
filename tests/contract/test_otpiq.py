"""OTPIQ against a running dispatcher: the key, the fields one by one, channels, credit, limits, tracking, senders."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from tests.contract.ground import Running, started
from tests.contract.otpiq_shop import Project, text_to
from tests.process.installation import wait_for
from tests.shell import shell

SMS_ID: Final = re.compile("sms-[0-9a-f]{24}")
UNAUTHORIZED: Final = {"message": "Unauthorized, please use your project api key"}
EVERY_PATH: Final = [
    ("POST", "/api/sms"),
    ("GET", "/api/sms/track/sms-1234567890abcdef123456"),
    ("GET", "/api/info"),
    ("GET", "/api/sender-ids"),
]


@pytest.fixture(scope="module")
def project(running: Running) -> Project:
    """A customer with a default sender."""
    return Project(running, "project", "1000000", "--sender", "OTPIQ")


# -- 6.1 keys and errors


@pytest.mark.parametrize(("method", "path"), EVERY_PATH)
def test_keys(running: Running, project: Project, method: str, path: str) -> None:
    """Absent, malformed and unknown answer alike, 401 under `message`; the scheme's name has any case."""
    presented = ["", project.key, f"Basic {project.key}", "Bearer", "Bearer ", f"Bearer {project.key}x", f"Bearer{project.key}"]
    for authorization in presented:
        answer = running.request(method, path, headers={"Authorization": authorization} if authorization else {})
        assert (answer.status, answer.json) == (401, UNAUTHORIZED), authorization
    assert running.request(method, path, headers={"X-API-Key": project.key}).status == 401
    for scheme in ("bearer", "BEARER", "Bearer"):
        assert running.request(method, path, headers={"Authorization": f"{scheme} {project.key}"}).status in {200, 400, 404}


def test_any_issued_key(running: Running) -> None:
    """sk_live, sk_dev, or of another form: what was given out is accepted."""
    many = Project(running, "many")
    for key in ("sk_dev_of_many_0123456789abcdef", "0123456789"):
        running.import_key("many", "otpiq", key)
        assert running.request("GET", "/api/info", headers={"Authorization": f"Bearer {key}"}).status == 200
    assert many.request("GET", "/api/info").json == {"projectName": "many", "credit": 15000}


def test_suspended_accounts_and_revoked_keys(running: Running) -> None:
    """Both answer like an unknown key, once the caches have forgotten."""
    held, gone = Project(running, "held"), Project(running, "gone")
    assert held.request("GET", "/api/info").status == gone.request("GET", "/api/info").status == 200
    running.installation.cli("accounts", "suspend", "held")
    record = next(key for key in running.installation.cli("keys", "list", "gone"))
    running.installation.cli("keys", "revoke", record["id"])
    running.advance(4)
    for each in (held, gone):
        answer = each.request("GET", "/api/info")
        assert (answer.status, answer.json) == (401, UNAUTHORIZED)


def test_a_key_rotates_with_two_live_ones(running: Running) -> None:
    """Both are good while they overlap; then only the new one; its last use is listed within half a minute."""
    turning = Project(running, "turning")
    old = turning.key
    record = running.installation.cli("keys", "list", "turning")[0]
    assert (record["dialect"], record["label"], record["last_used"]) == ("otpiq", "...cdef", "never")
    new = running.installation.cli("keys", "rotate", record["id"], "--overlap-s", "100")["key"]
    assert new.startswith("sk_live_")
    for key in (old, new):
        assert running.request("GET", "/api/info", headers={"Authorization": f"Bearer {key}"}).status == 200
    running.advance(101)
    assert running.request("GET", "/api/info", headers={"Authorization": f"Bearer {old}"}).status == 401
    assert running.request("GET", "/api/info", headers={"Authorization": f"Bearer {new}"}).status == 200
    running.advance(31)
    wait_for(
        "the last use of both",
        5.0,
        lambda: all(key["last_used"] != "never" for key in running.installation.cli("keys", "list", "turning")),
    )


# -- 6.2 fields


def test_the_sample_answer(running: Running) -> None:
    """15,000 IQD, one part of 200: the seed's numbers. The text is the template with the client's code."""
    first = Project(running, "first")
    answer = first.verification("964750123456", senderId="OTPIQ")
    assert answer.status == 200
    assert SMS_ID.fullmatch(answer.json["smsId"])
    assert answer.json == {
        "message": "SMS task created successfully",
        "smsId": answer.json["smsId"],
        "remainingCredit": 14800,
        "cost": 200,
        "canCover": True,
        "paymentType": "prepaid",
    }
    assert isinstance(answer.json["remainingCredit"], int)
    assert isinstance(answer.json["cost"], int)
    assert running.sent_to("964750123456")[0].sender == "OTPIQ"
    assert text_to(running, "964750123456") == "Your verification code is: 123456"


def bare(**fields: Any) -> dict[str, Any]:
    """A whole verification with other fields; None takes one out."""
    whole = {"phoneNumber": "9647500000000", "smsType": "verification", "verificationCode": "1"} | fields
    return {name: value for name, value in whole.items() if value is not None}


WRONG: Final[list[tuple[dict[str, Any], str]]] = [
    (bare(phoneNumber=None), "phoneNumber is required"),
    (bare(phoneNumber=""), "phoneNumber is required"),
    (bare(phoneNumber=964750123456), "phoneNumber must be a string"),
    (bare(phoneNumber="+964750123456"), "Invalid phone number format"),
    (bare(phoneNumber="964750 123456"), "Invalid phone number format"),
    (bare(phoneNumber="123456789"), "Invalid phone number format"),
    (bare(phoneNumber="1234567890123456"), "Invalid phone number format"),
    (bare(phoneNumber="0647501234"), "Invalid phone number format"),
    (bare(phoneNumber="٩٦٤٧٥٠١٢٣٤"), "Invalid phone number format"),
    (bare(smsType=None), "smsType is required"),
    (bare(smsType="marketing"), "Invalid smsType"),
    (bare(verificationCode=None), "verificationCode is required"),
    (bare(verificationCode=""), "verificationCode must be between 1 and 20 characters"),
    (bare(verificationCode="1" * 21), "verificationCode must be between 1 and 20 characters"),
    (bare(verificationCode=123456), "verificationCode must be a string"),
    (bare(smsType="custom"), "customMessage is required"),
    (bare(smsType="custom", customMessage=""), "customMessage must be between 1 and 1000 characters"),
    (bare(smsType="custom", customMessage="x" * 1001), "customMessage must be between 1 and 1000 characters"),
    (bare(senderId="TWELVE CHARS"), "SenderID must be at most 11 characters"),
    (bare(senderId=5), "SenderID must be a string"),
    (bare(provider="pigeon"), "Invalid provider"),
    (bare(provider=1), "Invalid provider"),
    (bare(provider="whatsapp"), "WhatsApp channel is not configured"),
    (bare(provider="telegram"), "Telegram channel is not configured"),
    (bare(smsType="whatsapp-template", templateName="t"), "WhatsApp channel is not configured"),
    (bare(smsType="whatsapp-template", provider="sms"), "WhatsApp channel is not configured"),
    (bare(deliveryReport="https://example.com"), "deliveryReport must be an object"),
    (bare(deliveryReport={}), "webhookUrl is required"),
    (bare(deliveryReport={"webhookUrl": "http://example.com/"}), "webhookUrl must be a valid HTTPS URL"),
    (bare(deliveryReport={"webhookUrl": "https://"}), "webhookUrl must be a valid HTTPS URL"),
    (bare(deliveryReport={"webhookUrl": "ftp://example.com/"}), "webhookUrl must be a valid HTTPS URL"),
    (bare(deliveryReport={"webhookUrl": 7}), "webhookUrl must be a valid HTTPS URL"),
    (bare(deliveryReport={"webhookUrl": "https://example.com/", "deliveryReportType": "some"}), "Invalid deliveryReportType"),
    (
        bare(deliveryReport={"webhookUrl": "https://example.com/", "webhookSecret": "a\nb"}),
        "webhookSecret must be at most 256 printable ASCII characters",
    ),
]


@pytest.mark.parametrize(("body", "words"), WRONG)
def test_wrong_fields(project: Project, body: dict[str, Any], words: str) -> None:
    """400 under `error`, and only errors about senders and trials hold the words that clients look for."""
    answer = project.request("POST", "/api/sms", body)
    assert (answer.status, answer.json) == (400, {"error": words})
    assert "trial mode" not in words
    assert ("SenderID" in words) == ("senderId" in body)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"x"', b"{", b"{'a':1}", b'{"phoneNumber":"\xff"}', b"[" * 100_000])
def test_no_object(project: Project, body: bytes) -> None:
    """What is no JSON object is a 400, whatever it calls itself."""
    answer = project.request("POST", "/api/sms", body, Content_Type="text/plain")
    assert (answer.status, answer.json) == (400, {"error": "Request body must be a JSON object"})


def test_limits_of_fields(running: Running, project: Project) -> None:
    """The longest and shortest that pass; nulls are absent; unknown keys and WhatsApp's are ignored; the last key wins."""
    fine: list[dict[str, Any]] = [
        {"verificationCode": "1" * 20, "phoneNumber": "9647511111"},
        {"senderId": "ELEVENCHARS", "phoneNumber": "964751111111111"},
        {"senderId": None, "provider": None, "deliveryReport": None},
        {"senderId": "", "whatsappAccountId": "a", "whatsappPhoneId": "b", "templateName": "c", "extra": [1]},
        {"deliveryReport": {"webhookUrl": "https://example.com/hook", "deliveryReportType": None, "webhookSecret": None}},
    ]
    for fields in fine:
        body = {"phoneNumber": "9647512345678", "smsType": "verification", "verificationCode": "1"} | fields
        assert project.request("POST", "/api/sms", body).status == 200, fields
    double = b'\xef\xbb\xbf{"phoneNumber":"9647512000001","smsType":"no","smsType":"verification","verificationCode":"77"}'
    assert project.request("POST", "/api/sms", double, Content_Type="text/plain").status == 200
    assert text_to(running, "9647512000001").endswith(" 77")


def test_custom_messages(running: Running, project: Project) -> None:
    """They go by SMS whatever `provider` holds, long ones in parts that each cost; without any sender they are refused."""
    for number, provider in enumerate(("auto", "whatsapp", "telegram", "whatsapp-sms", "sms"), 1):
        assert project.custom(f"964752000000{number}", f"Hello {number}", provider=provider).status == 200
        assert text_to(running, f"964752000000{number}") == f"Hello {number}"
        assert running.sent_to(f"964752000000{number}")[0].sender == "OTPIQ", "the account's own, as none is named"
    answer = project.custom("9647520000010", "x" * 1000)
    assert (answer.status, answer.json["cost"]) == (200, 1400)
    assert len(running.sent_to("9647520000010", 7)) == 7
    nobody = Project(running, "nobody")
    answer = nobody.custom("9647520000011")
    assert (answer.status, answer.json) == (400, {"error": "SenderID is required for custom messages"})
    assert nobody.custom("9647520000011", senderId="Shop").status == 200
    assert running.sent_to("9647520000011")[0].sender == "Shop"
    assert project.custom("9647520000012").json.keys() == project.verification("9647520000012").json.keys()


def test_senders(running: Running) -> None:
    """A list of senders is kept to; the account's own is always one of them."""
    strict = Project(running, "strict", "15000", "--sender", "Strict", "--sender-allowed", "Other")
    for sender in ("Strict", "Other", None):
        assert strict.verification("9647530000001", senderId=sender).status == 200
    for sender in ("Third", "strict", "Bäcker"):
        answer = strict.verification("9647530000001", senderId=sender)
        assert (answer.status, answer.json) == (400, {"error": "SenderID not found"}), sender


def test_chains_of_channels(running: Running, project: Project) -> None:
    """A chain that ends in sms is sent by SMS; tracking shows the others as not tried."""
    chains = {
        "auto": ["sms"],
        "sms": ["sms"],
        "whatsapp-sms": ["whatsapp", "sms"],
        "telegram-sms": ["telegram", "sms"],
        "whatsapp-telegram-sms": ["whatsapp", "telegram", "sms"],
    }
    for number, (provider, chain) in enumerate(chains.items()):
        sms_id = project.verification(f"964754000100{number}", provider=provider).json["smsId"]
        found = project.ended(sms_id)
        flow = [{"channel": name, "tried": False} for name in chain[:-1]]
        assert found == {
            "smsId": sms_id,
            "phoneNumber": f"964754000100{number}",
            "status": "delivered",
            "cost": 200,
            "isFinalStatus": True,
            "lastChannel": "sms",
            "channelFlow": [*flow, {"channel": "sms", "tried": True, "success": True}],
        }
    before = running.available("project")
    assert project.verification("9647540000009", provider="whatsapp").status == 400
    assert running.available("project") == before
    assert running.never_sent_to("9647540000009")


# -- money, trial, limits


def test_credit_too_low(running: Running) -> None:
    """400 with the credit and what is needed; nothing is charged or sent."""
    poor = Project(running, "poor", "300.5")
    assert poor.verification("9647550000101").json["remainingCredit"] == 100.5
    answer = poor.verification("9647550000102")
    assert answer.status == 400
    assert answer.json == {
        "error": "Insufficient credit, please add more credit",
        "yourCredit": 100.5,
        "requiredCredit": 200,
        "canCover": False,
    }
    assert running.available("poor") == "100.50"
    assert running.never_sent_to("9647550000102")


def test_the_last_credit_is_spent_once(running: Running) -> None:
    """Of twelve requests at once with money for five, five are accepted."""
    tight = Project(running, "tight", "1000")
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: tight.verification(f"96475600005{n:02}"), range(12)))
    assert sorted(a.status for a in answers) == [200] * 5 + [400] * 7
    assert running.available("tight") == "0.00"


def test_postpaid(running: Running) -> None:
    """The credit is what is left of the limit, here and in info."""
    later = Project(running, "later", "", "--payment", "postpaid", "--floor", "-1000", "--project", "My SMS Project")
    answer = later.verification("9647570000100")
    assert (answer.json["remainingCredit"], answer.json["paymentType"]) == (800, "postpaid")
    assert later.request("GET", "/api/info").json == {"projectName": "My SMS Project", "credit": 800}
    assert [later.verification(f"964757000020{n}").status for n in range(5)] == [200] * 4 + [400]
    assert later.verification("9647570000109").json["yourCredit"] == 0


def test_trial_accounts(running: Running) -> None:
    """They send to their own number only."""
    trial = Project(running, "trial", "15000", "--trial-number", "9647580000001")
    answer = trial.verification("9647580000002")
    words = (
        "Account is in trial mode, you can only send sms to your own phone number for verification, "
        "add credit to send to other numbers"
    )
    assert (answer.status, answer.json) == (400, {"error": words})
    assert trial.verification("9647580000001").status == 200


def test_a_spending_threshold(running: Running) -> None:
    """What the account may spend in a day; clients know it by `spendingThreshold`."""
    capped = Project(running, "capped", "15000", "--spend-cap", "500")
    assert [capped.verification(f"964759100001{n}").status for n in range(2)] == [200, 200]
    answer = capped.verification("9647591000009")
    words = {"error": "Spending threshold reached", "currentSpending": 400, "spendingThreshold": 500, "cost": 200}
    assert (answer.status, answer.json) == (400, words)
    assert running.available("capped") == "14600.00"


def test_the_limit_per_number_and_key(running: Running) -> None:
    """Ten in ten minutes, then 429 with the minutes to wait; another number is free; custom messages are not counted."""
    busy = Project(running, "busy", "100000", "--sender", "Busy")
    assert [busy.verification("9647600000001").status for _ in range(10)] == [200] * 10
    running.advance(130)
    answer = busy.verification("9647600000001")
    assert answer.status == 429
    assert answer.json == {
        "message": "Rate limit exceeded. Please try again in 8 minutes.",
        "waitMinutes": 8,
        "maxRequests": 10,
        "timeWindowMinutes": 10,
    }
    assert 0 < int(answer.headers["retry-after"]) <= 480
    assert busy.verification("9647600000002").status == 200
    running.import_key("busy", "otpiq", "sk_live_of_busy_too")
    other = {"Authorization": "Bearer sk_live_of_busy_too"}
    assert running.request("POST", "/api/sms", bare(phoneNumber="9647600000001"), other).status == 200, "the limit is a key's"
    assert busy.custom("9647600000001").status == 200
    running.advance(480)
    assert busy.verification("9647600000001").status == 200


# -- 6.3 tracking


@pytest.mark.parametrize("number", ["9647700000001", "9647700000002", "9647700007702"])
def test_tracking_a_failure(project: Project, number: str) -> None:
    """A carrier's refusal, a receipt that says no, and one that says too late are `failed`, and final."""
    found = project.ended(project.verification(number).json["smsId"])
    assert (found["status"], found["channelFlow"]) == ("failed", [{"channel": "sms", "tried": True, "success": False}])


def test_tracking_what_no_carrier_has(running: Running, project: Project) -> None:
    """`pending`, not tried, not final, while the carrier is away; then it goes its way."""
    with running.carrier_away():
        sms_id = project.custom("9647700000100", provider="whatsapp-sms").json["smsId"]
        assert project.track(sms_id).json == {
            "smsId": sms_id,
            "phoneNumber": "9647700000100",
            "status": "pending",
            "cost": 200,
            "isFinalStatus": False,
            "lastChannel": "sms",
            "channelFlow": [{"channel": "sms", "tried": False}],
        }
    running.sent_to("9647700000100", seconds=20)
    assert project.ended(sms_id)["status"] == "delivered"


def test_refunds(running: Running) -> None:
    """What no carrier took is given back."""
    back = Project(running, "back", "1000")
    back.ended(back.verification("9647710000002").json["smsId"])
    wait_for("the refund", 5.0, lambda: running.available("back") == "1000.00")


CONFIG: Final = """
[receipts]
sweep_s = 0.5
[otpiq]
text = "{code} opens it"
sends_max = 2
window_minutes = 5
"""


@pytest.fixture(scope="module")
def configured() -> Iterator[Running]:
    """An installation with settings of its own."""
    with started(config=CONFIG) as found:
        yield found


def test_settings(configured: Running) -> None:
    """The text of codes and the limit per number as configured; an account's own text comes first."""
    brief = Project(configured, "brief")
    assert [brief.verification("9647720000001", "77").status for _ in range(2)] == [200, 200]
    assert text_to(configured, "9647720000001") == "77 opens it"
    answer = brief.verification("9647720000001")
    assert (answer.status, answer.json["maxRequests"], answer.json["timeWindowMinutes"]) == (429, 2, 5)
    wordy = Project(configured, "wordy", "15000", "--text", "en=Use {code} here")
    assert wordy.verification("9647720000002", "78").status == 200
    assert text_to(configured, "9647720000002") == "Use 78 here"


def test_no_receipt_in_time(configured: Running) -> None:
    """`sent` and not final until the deadline of receipts has passed, then `sent` and final; success stays open."""
    silent = Project(configured, "silent")
    sms_id = silent.verification("9647720000003").json["smsId"]
    configured.sent_to("9647720000003")
    wait_for("sent", 5.0, lambda: silent.track(sms_id).json["status"] == "sent")
    assert silent.track(sms_id).json["isFinalStatus"] is False
    configured.advance(3700)
    found = silent.ended(sms_id)
    assert (found["status"], found["channelFlow"]) == ("sent", [{"channel": "sms", "tried": True}])


def test_tracking_what_is_not_ours(running: Running, project: Project) -> None:
    """Unknown ids, other accounts' and impossible ones: 404 under `message`."""
    foreign = Project(running, "foreign").verification("9647730000001").json["smsId"]
    for sms_id in (foreign, "sms-1234567890abcdef123456", "sms_0123456789abcdef", "x" * 64, "x" * 65, "a%2Fb", "%00", "%C3%A9"):
        answer = project.track(sms_id)
        assert (answer.status, answer.json) == (
            404,
            {"message": "SMS not found"} if "%2F" not in sms_id else {"message": "Not found"},
        )


# -- 6.4 info and senders


def test_info_and_senders(running: Running) -> None:
    """The account's name without a project; each sender it may name with its prices."""
    shown = Project(running, "shown", "15000", "--sender", "OTPIQ", "--sender-allowed", "Second", "--sender-allowed", "OTPIQ")
    assert shown.request("GET", "/api/info").json == {"projectName": "shown", "credit": 15000}
    answer = shown.request("GET", "/api/sender-ids")
    assert answer.status == 200
    assert answer.json["success"] is True
    prices = {"korekTelecom": 200, "asiaCell": 200, "zainIraq": 200, "others": 200}
    assert [(s["senderId"], s["status"], s["pricePerSms"]) for s in answer.json["data"]] == [
        ("OTPIQ", "accepted", prices),
        ("Second", "accepted", prices),
    ]
    ids = [sender["_id"] for sender in answer.json["data"]]
    assert all(re.fullmatch("[0-9a-f]{24}", name) for name in ids)
    assert len(set(ids)) == 2
    assert ids == [sender["_id"] for sender in shown.request("GET", "/api/sender-ids").json["data"]]


def test_not_implemented(project: Project) -> None:
    """The vendor's further endpoints are 404."""
    for path in ("/api/sms/pricing", "/api/sms/track", "/api/smsx", "/api/sms/track/a/b"):
        answer = project.request("GET", path)
        assert (answer.status, answer.json) == (404, {"message": "Not found"}), path


# -- 6.5, where it needs no receiver


def test_addresses_that_may_not_be_called(running: Running) -> None:
    """Unless the operator allows it, https:// to this machine is accepted and never called."""
    inside = Project(running, "inside")
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        blocked = 'dispatcher_webhooks_total{result="blocked"}'
        before = running.installation.scrape().get(blocked, 0)
        report = {"webhookUrl": f"https://127.0.0.1:{door.getsockname()[1]}/hook"}
        sms_id = inside.verification("9647780001000", deliveryReport=report).json["smsId"]
        assert inside.ended(sms_id)["status"] == "delivered"
        wait_for("it is refused", 15.0, lambda: running.installation.scrape().get(blocked, 0) > before)
        with pytest.raises(BlockingIOError):
            door.accept()


# -- the printed sample


@pytest.mark.parametrize("stand_ins", [False, True])
def test_the_printed_sample(running: Running, project: Project, stand_ins: bool) -> None:
    """curl as printed, with our address, a token, and something in each placeholder. The stand-in for curl does the same."""
    number = f"964774000000{1 + stand_ins}"
    sample = running.localise((Path(__file__).with_name("samples_otpiq") / "send.sh").read_text(), "https://api.otpiq.com")
    sample = sample.replace("<token>", project.key)
    for value in (number, "verification", "9182", "OTPIQ", "w", "w", "t", "https://example.com/hook", "whsecret"):
        sample = sample.replace("<string>", value, 1)
    done = shell(sample, stand_ins=stand_ins)
    assert json.loads(done.stdout)["message"] == "SMS task created successfully"
    assert text_to(running, number) == "Your verification code is: 9182"
