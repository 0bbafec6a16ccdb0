"""SMSKit against a running dispatcher: every action, every refusal at status 200, strings everywhere, the printed answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode

import pytest

from tests.contract.ground import Running, started
from tests.contract.smskit_shop import ACTIONS, CHANNELS, DATE, FORM, FORMAT, PRICE, SAMPLES, Kit, error, said
from tests.process.installation import wait_for

_CONFIG: Final = """
[[inbound]]
number = "2347015272"
account = "kit"
[[inbound]]
number = "2347015273"
account = "popular"
[receipts]
sweep_s = 0.5
[retry]
temporary_s = 100.0
jitter = 0.0
"""
"""Numbers for handsets; missing receipts are looked for all the time; what was refused for now waits for a test to move on."""


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A dispatcher with numbers for handsets."""
    with started(config=_CONFIG) as installation:
        yield installation


@pytest.fixture(scope="module")
def kit(running: Running) -> Kit:
    """A customer."""
    return Kit(running, "kit")


# -- 5.1


def test_the_action_is_a_name_in_the_query(running: Running, kit: Kit) -> None:
    """With or without a value, wherever it stands; else in the body; by GET and POST alike."""
    login = urlencode(kit.login)
    for query in ("balance", "balance=", "balance=null", f"balance&{login}", f"{login}&balance", f"x=1&balance&{login}"):
        for method in ("GET", "POST"):
            body = None if "apikey" in query or method == "GET" else login
            full = query if "apikey" in query or method == "POST" else f"{query}&{login}"
            answer = running.request(method, f"/smsAPI?{full}", body, FORM if body else None)
            assert said(answer).keys() == {"balance"}, (method, full)
    assert said(running.request("POST", "/smsAPI", f"balance&{login}", FORM)).keys() == {"balance"}
    assert said(running.request("POST", "/smsAPI", kit.login | {"balance": None})).keys() == {"balance"}
    assert said(running.request("POST", "/smsAPI/?balance", kit.login)).keys() == {"balance"}


def test_the_first_known_action_counts(running: Running, kit: Kit) -> None:
    """In the query before the body."""
    login = urlencode(kit.login)
    assert said(running.request("GET", f"/smsAPI?nonsense&listchannel&balance&{login}"))["request"] == "listchannel"
    assert said(running.request("POST", "/smsAPI?listchannel", f"{login}&balance", FORM))["request"] == "listchannel"


@pytest.mark.parametrize("query", ["", "?", "?nonsense", "?Balance", "?x=balance"])
def test_no_action(running: Running, query: str) -> None:
    """Invalid request, before any credential."""
    for method in ("GET", "POST"):
        assert said(running.request(method, f"/smsAPI{query}")) == error("", "Invalid request")


@pytest.mark.parametrize("action", ACTIONS)
def test_credentials(running: Running, kit: Kit, action: str) -> None:
    """Both with every action; absent, empty and wrong are one answer, before any parameter is looked at."""
    for wrong in ({}, {"apikey": kit.login["apikey"]}, {"apitoken": kit.login["apitoken"]}, kit.login | {"apikey": ""}):
        assert said(running.request("GET", f"/smsAPI?{action}&{urlencode(wrong)}")) == error(action, "Invalid user")
    for wrong in ({"apikey": "other"}, {"apitoken": "other"}, {"apitoken": kit.login["apikey"]}):
        assert said(kit.post(action, **wrong)) == error(action, "Invalid user")


def test_a_suspended_account(running: Running) -> None:
    """It answers like an invalid key."""
    held = Kit(running, "held")
    assert held.balance() == "100"
    running.installation.cli("accounts", "suspend", "held")
    running.advance(10)
    assert said(held.get("balance")) == error("balance", "Invalid user")


def test_what_keeps_its_status(running: Running) -> None:
    """405 and 413, with the error's body; HEAD can send here, so it is a 405."""
    answer = running.request("PUT", "/smsAPI?sendsms")
    assert (answer.status, answer.json) == (405, error("sendsms", "Method not allowed"))
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST"}
    assert running.request("HEAD", "/smsAPI?balance").status == 405
    announced = running.request("POST", "/smsAPI?sendsms", "", FORM | {"Content-Length": "1048577"})
    assert (announced.status, announced.json) == (413, error("sendsms", "Request body too large"))
    assert running.request("GET", "/smsapi?balance").status == 404
    assert running.request("OPTIONS", "/smsAPI").status == 405


def test_a_body_that_cannot_be_read(running: Running) -> None:
    """Neither JSON nor UTF-8: an error like any other."""
    json_type = {"Content-Type": "application/json"}
    for body, headers in ((b"{", json_type), (b"[]", json_type), (b"a=\xff", FORM)):
        assert said(running.request("POST", "/smsAPI?balance", body, headers)) == error("balance", "Invalid request")


# -- 5.2


def test_sendsms(running: Running, kit: Kit) -> None:
    """The printed success: a decimal group, the date of acceptance; one part charged; the text arrives as it was."""
    before = Decimal(kit.balance())
    body = said(kit.send("4915120000011", "a+b c & d"))
    assert body.keys() == {"request", "status", "group_id", "date"}
    assert (body["request"], body["status"]) == ("sendsms", "queued")
    assert body["group_id"].isdigit()
    assert DATE.fullmatch(body["date"])
    assert before - Decimal(kit.balance()) == PRICE
    assert bytes.fromhex(running.sent_to("4915120000011")[0].text) == b"a+b c & d"


def test_plus_is_a_space_in_a_query(running: Running, kit: Kit) -> None:
    """As published clients send it: the text in the URL, blanks as +, and the number's own + unescaped."""
    login = urlencode(kit.login)
    answer = running.request("GET", f"/smsAPI?sendsms&{login}&type=sms&from=Shop&to=+4915120000012&text=one+two%2Bthree")
    assert said(answer)["status"] == "queued"
    assert bytes.fromhex(running.sent_to("4915120000012")[0].text) == b"one two+three"


def test_parameters_from_json_and_the_body_wins(running: Running, kit: Kit) -> None:
    """Query, form and JSON; what stands in both is the body's."""
    query = urlencode(kit.login | {"from": "Shop", "to": "1", "text": "query"})
    answer = running.request("POST", f"/smsAPI?sendsms&{query}", {"to": "4915120000013", "text": "body"})
    assert said(answer)["status"] == "queued"
    assert bytes.fromhex(running.sent_to("4915120000013")[0].text) == b"body"


@pytest.mark.parametrize("name", ["from", "to", "text"])
def test_missing_parameters(kit: Kit, name: str) -> None:
    """Each by its name; absent and empty alike; nothing charged."""
    before = kit.balance()
    given = {"from": "Shop", "to": "4915120000014", "text": "x"}
    for changed in (given | {name: ""}, {k: v for k, v in given.items() if k != name}):
        assert said(kit.post("sendsms", **changed)) == error("sendsms", f"Missing parameter: {name}")
    assert kit.balance() == before


def test_types(running: Running, kit: Kit) -> None:
    """sms (also when none is named) by content, unicode always UCS-2, flash as class 0, a file ignored for all of them; what
    needs another provider is refused, and so is nonsense."""
    before = Decimal(kit.balance())
    for to, kind, text, raw, coding in (
        ("4915120000021", "sms", "plain", b"plain", 0),
        ("4915120000029", "", "plain", b"plain", 0),
        ("4915120000022", "sms", "жук", "жук".encode("utf-16-be"), 8),
        ("4915120000023", "unicode", "plain", "plain".encode("utf-16-be"), 8),
        ("4915120000024", "flash", "plain", b"plain", 0x10),
    ):
        assert said(kit.send(to, text, type=kind, file="https://files.example/a", duration="7"))["status"] == "queued"
        (sent,) = running.sent_to(to)
        assert (bytes.fromhex(sent.text), sent.data_coding, sent.sender) == (raw, coding, "Shop")
    assert before - Decimal(kit.balance()) == 5 * PRICE
    before = Decimal(kit.balance())
    for kind in ("voice", "mms", "whatsapp"):
        refused = said(kit.post("sendsms", type=kind, to="4915120000025", file="https://files.example/a", **{"from": "Shop"}))
        assert refused == error("sendsms", f"Message type not supported: {kind}")
    assert said(kit.send("4915120000025", type="fax")) == error("sendsms", "Invalid message type")
    assert Decimal(kit.balance()) == before
    assert running.never_sent_to("4915120000025")


def test_unicode_is_charged_by_its_own_parts(kit: Kit) -> None:
    """71 plain characters: one part as sms, two as unicode."""
    before = Decimal(kit.balance())
    kit.group("4915120000026", "x" * 71)
    kit.group("4915120000026", "x" * 71, type="unicode")
    assert before - Decimal(kit.balance()) == 3 * PRICE
    assert said(kit.send("4915120000026", "x" * 1531)) == error("sendsms", "Message too long")


def test_a_sender_that_is_not_allowed(running: Running) -> None:
    """The printed error."""
    strict = Kit(running, "strict", "10", "--sender-allowed", "Other")
    assert said(strict.send("4915120000027")) == json.loads((SAMPLES / "sendsms.error.txt").read_text())
    assert said(strict.send("4915120000027,4915120000028")) == error("sendsms", "Sender ID not allowed")
    assert said(strict.send("4915120000027", **{"from": "Other"}))["status"] == "queued"
    assert said(strict.send("4915120000027", **{"from": "much too long a sender"})) == error("sendsms", "Sender ID not allowed")


def test_a_list_with_bad_numbers(running: Running, kit: Kit) -> None:
    """Bad ones are recipients that failed, uncharged, behind the others; each number once; seven digits are enough."""
    before = Decimal(kit.balance())
    group = kit.group(" 4915120000031, 12,+4915120000032,, 0151200000, 1234567,4915120000031,12345678901234567,x,")
    good = ["4915120000031", "4915120000032", "1234567"]
    rows = kit.status(group)["recipients"]
    bad = ["12", "0151200000", "12345678901234567", "x"]
    assert [row["to"] for row in rows] == good + bad
    assert before - Decimal(kit.balance()) == 3 * PRICE
    for number in good:
        running.sent_to(number)
    assert [to for to, status in kit.recipients(group) if status == "failed"] == bad
    ids = [int(row["id"]) for row in rows]
    assert ids == list(range(ids[0], ids[0] + 7))
    only = kit.group("12,4915120000033")
    assert [to for to, _ in kit.recipients(only)] == ["4915120000033", "12"]


BAD_NUMBERS: Final = (
    "12",
    "12,0151200000",
    ",",
    "abc",
    "+",
    "123456",
    "1234567890123456",
    "++4915120000034",
    "49151 20000034",
    "00491512000034",
)


def test_no_good_number(kit: Kit) -> None:
    """Nothing recorded, nothing charged. 7 to 15 digits that do not begin with 0."""
    before = kit.balance()
    for to in BAD_NUMBERS:
        assert said(kit.send(to)) == error("sendsms", "Invalid destination number"), to
    assert kit.balance() == before
    kit.group("+4915120000034,123456789012345")


def test_fifty_thousand_numbers(running: Running) -> None:
    """No more in one list; the money is looked at after that."""
    poor = Kit(running, "poorer", "0.07")
    numbers = ",".join(f"49151{n:08d}" for n in range(50_000))
    assert said(poor.send(numbers)) == error("sendsms", "Insufficient balance")
    assert said(poor.send(f"{numbers},4915299999999")) == error("sendsms", "Too many recipients: at most 50000")
    assert poor.balance() == "0.07"


def test_groups_are_counted(kit: Kit) -> None:
    """The next one's number is higher, whether of one recipient or of several."""
    groups = [int(kit.group(to)) for to in ("4915120000035", "4915120000035,4915120000036", "4915120000035")]
    assert groups == sorted(set(groups))


def test_a_poor_account(running: Running) -> None:
    """The whole group or nothing."""
    poor = Kit(running, "poor", "0.07")
    assert said(poor.send("4915120000041,4915120000042,4915120000043")) == error("sendsms", "Insufficient balance")
    assert poor.balance() == "0.07"
    poor.group("4915120000044,4915120000045")
    assert poor.balance() == "0"
    assert said(poor.send("4915120000041")) == error("sendsms", "Insufficient balance")
    running.sent_to("4915120000045")
    assert running.never_sent_to("4915120000041")


def test_parallel_sends_never_both_spend_the_last_credit(running: Running) -> None:
    """Ten at once on money for three."""
    last = Kit(running, "last", "0.105")
    with ThreadPoolExecutor(10) as pool:
        answers = [said(call.result()) for call in [pool.submit(last.send, "4915120000046") for _ in range(10)]]
    assert sorted(answer["status"] for answer in answers) == ["error"] * 7 + ["queued"] * 3


def test_schedules(running: Running, kit: Kit) -> None:
    """UTC; the past is at once; later waits for its time, and is queued until then; unreadable or a month ahead is refused."""
    now = datetime.strptime(said(kit.send("4915120000051"))["date"], FORMAT).replace(tzinfo=UTC)
    spans = timedelta(hours=1), timedelta(days=30, minutes=-1), timedelta(days=30, minutes=1)
    hour, month, late = ((now + span).strftime(FORMAT) for span in spans)
    kit.group("4915120000052", scheduledate="2018-04-24 12:25:23")
    running.sent_to("4915120000052")
    body = said(kit.send("4915120000080", scheduledate=month))
    assert (body.keys(), body["status"]) == ({"request", "status", "group_id", "date"}, "queued")
    accepted = datetime.strptime(body["date"], FORMAT).replace(tzinfo=UTC)
    assert accepted - now < timedelta(minutes=1), "the date is that of the acceptance"
    one, two = (kit.group(to, scheduledate=hour) for to in ("4915120000053", "4915120000054,4915120000055"))
    for bad in (late, "tomorrow", "2026-02-30 00:00:00", "1"):
        assert said(kit.send("4915120000056", scheduledate=bad)) == error("sendsms", "Invalid schedule date")
    assert running.never_sent_to("4915120000053")
    assert [kit.status(group)["group_status"] for group in (one, two)] == ["queued", "queued"]
    running.advance(3600)
    for number in ("4915120000053", "4915120000054", "4915120000055"):
        running.sent_to(number)


def test_an_account_in_a_zone_of_its_own(running: Running, kit: Kit) -> None:
    """Its dates are local, those it reads and those it writes."""
    nairobi = Kit(running, "nairobi", "10", "--zone", "Africa/Nairobi")
    group = nairobi.group("4915120000081")
    local = datetime.strptime(nairobi.status(group)["date"], FORMAT).replace(tzinfo=UTC)
    utc = datetime.strptime(said(kit.send("4915120000082"))["date"], FORMAT).replace(tzinfo=UTC)
    assert timedelta(hours=3, minutes=-1) < local - utc < timedelta(hours=3, minutes=1)
    later = nairobi.group("4915120000083", scheduledate=(local + timedelta(hours=1)).strftime(FORMAT))
    assert running.never_sent_to("4915120000083")
    running.advance(3570)
    assert nairobi.status(later)["group_status"] == "queued"
    running.advance(60)
    running.sent_to("4915120000083")


def test_routes(running: Running, kit: Kit) -> None:
    """0 is the default, a configured one is taken, an unknown one ignored."""
    for route in ("0", "all", "nowhere", "7"):
        kit.group("4915120000057", route=route)
    running.sent_to("4915120000057", 4)


def test_idempotency(running: Running, kit: Kit) -> None:
    """The same key and body give the stored answer; another body is an error, at status 200."""
    sent = {"from": "Shop", "to": "4915120000058,4915120000059", "text": "once"}
    first, again = (kit.post("sendsms", {"Idempotency-Key": "k1"}, **sent) for _ in range(2))
    assert said(first)["status"] == "queued"
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
    other = kit.post("sendsms", {"Idempotency-Key": "k1"}, **sent | {"text": "twice"})
    assert said(other) == error("sendsms", "Idempotency key reused with a different request")
    assert len(running.sent_to("4915120000059")) == 1


# -- 5.3


def test_groupstatus(running: Running, kit: Kit) -> None:
    """The printed keys; sent and failed as the carrier said; by `groupid` and by `group_id`."""
    group = kit.group("4915120000061,4915120000002,12")
    wait_for("the refusal", 10, lambda: kit.recipients(group)[1][1] == "failed" and kit.recipients(group)[0][1] == "sent")
    body = kit.status(group)
    assert body.keys() == {"request", "status", "group_id", "group_status", "recipients", "date"}
    assert (body["request"], body["status"], body["group_id"], body["group_status"]) == (
        "groupstatus",
        "success",
        group,
        "sent",
    )
    assert DATE.fullmatch(body["date"])
    assert all(row.keys() == {"id", "to", "status"} and row["id"].isdigit() for row in body["recipients"])
    assert kit.recipients(group) == [("4915120000061", "sent"), ("4915120000002", "failed"), ("12", "failed")]
    assert said(kit.get("groupstatus", group_id=group)) == body
    single = kit.group("4915120000062")
    wait_for("it is sent", 10, lambda: kit.recipients(single) == [("4915120000062", "sent")])
    lost = kit.group("4915120000002")
    wait_for("it has failed", 10, lambda: kit.status(lost)["group_status"] == "failed")
    assert kit.recipients(lost) == [("4915120000002", "failed")]


def test_a_groups_date_is_that_of_its_acceptance(running: Running, kit: Kit) -> None:
    """Of one recipient and of several, as sendsms told it, however much later it is asked for."""
    sent = [said(kit.send(to)) for to in ("4915120000065", "4915120000065,4915120000066")]
    running.advance(5)
    assert [kit.status(each["group_id"])["date"] for each in sent] == [each["date"] for each in sent]


def test_the_printed_group(running: Running, kit: Kit) -> None:
    """One failed, one sent, one queued because the carrier refused it for now: the group is sent. Then that one is sent."""
    group = kit.group("4915120000002,4915120000067,4915120000004")
    mixed = ["failed", "sent", "queued"]
    wait_for("all three", 10, lambda: [status for _, status in kit.recipients(group)] == mixed)
    assert kit.status(group)["group_status"] == "sent"
    assert len(running.sent_to("4915120000004")) == 1
    running.advance(101)
    wait_for("the last", 10, lambda: kit.recipients(group)[2] == ("4915120000004", "sent"))


def test_every_state_in_three_words(running: Running, kit: Kit) -> None:
    """queued while no carrier has it; sent without a receipt, and for good; failed when expired, undelivered or cancelled."""
    now = datetime.strptime(said(kit.send("4915120000089"))["date"], FORMAT).replace(tzinfo=UTC)
    with running.carrier_away():
        held = kit.group("4915120000068", scheduledate=(now + timedelta(hours=1)).strftime(FORMAT))
        group = kit.group("4915120000003,4915120007702,4915120000001")
        assert kit.status(group)["group_status"] == kit.status(held)["group_status"] == "queued"
        assert {status for _, status in kit.recipients(group)} == {"queued"}
        running.installation.cli("cancel", held)
        assert kit.recipients(held) == [("4915120000068", "failed")]
    ended = ["sent", "failed", "failed"]
    wait_for("they are out", 20, lambda: [status for _, status in kit.recipients(group)] == ended)
    assert running.never_sent_to("4915120000068")
    running.advance(259_300)
    wait_for("nobody knows", 10, lambda: "unknown" in {row["state"] for row in running.installation.rows("events")[-3:]})
    assert [status for _, status in kit.recipients(group)] == ended


def test_groups_that_are_not_there(running: Running, kit: Kit) -> None:
    """Unknown, foreign, and no number at all."""
    other = Kit(running, "other")
    for group in (
        "999999999",
        "0",
        "-1",
        "x",
        other.group("4915120000063"),
        other.group("4915120000063,4915120000064"),
        "9" * 40,
    ):
        assert said(kit.post("groupstatus", groupid=group)) == error("groupstatus", "Group not found")
    assert said(kit.post("groupstatus")) == error("groupstatus", "Missing parameter: groupid")


def test_ids_belong_to_one_recipient_only(kit: Kit) -> None:
    """Groups and recipients drawn in parallel never share a number."""
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(kit.group, f"49151200001{n:02d},49151200002{n:02d}") for n in range(24)]
        groups = [call.result() for call in calls]
    rows = [row["id"] for group in groups for row in kit.status(group)["recipients"]]
    assert len(set(groups)) == 24
    assert len(set(rows)) == 48


# -- 5.4


def test_the_inbox(running: Running, kit: Kit) -> None:
    """Empty at first; then oldest first, in the printed shape; read once; `all` shows them again; nobody else's."""
    assert said(kit.get("getinbox")) == {"request": "getinbox", "status": "success", "inbox": []}
    carrier = running.installation.carriers["sim"]
    for number, text in (("123456789", "Hi. This is message 1"), ("447882892", "Hi again. This is message 2")):
        carrier.say(f"inbound sim {number} 2347015272 {text}")
        wait_for("it is in", 10, lambda text=text: text in json.dumps(said(kit.get("getinbox", list="all"))))
    running.account("deaf", "EUR", "1")
    shown = said(kit.get("getinbox", list="all"))["inbox"]
    assert [each["message"] for each in shown] == ["Hi. This is message 1", "Hi again. This is message 2"]
    printed = json.loads((SAMPLES / "getinbox.success.txt").read_text())["inbox"]
    strip = [{k: v for k, v in each.items() if k not in {"id", "date"}} for each in shown]
    assert strip == [{k: v for k, v in each.items() if k not in {"id", "date"}} for each in printed]
    assert all(each["id"].isdigit() and DATE.fullmatch(each["date"]) for each in shown)
    assert said(kit.get("getinbox"))["inbox"] == []
    carrier.say("inbound sim 123456789 2347015272 third")
    wait_for("the third", 10, lambda: said(kit.get("getinbox"))["inbox"])
    assert said(kit.get("getinbox", list="unread"))["inbox"] == []
    assert len(said(kit.post("getinbox", list="all"))["inbox"]) == 3
    assert said(Kit(running, "stranger").get("getinbox", list="all"))["inbox"] == []


def test_a_thousand_messages_at_a_time(running: Running) -> None:
    """The oldest first, then the rest; each once. Receipts are no messages."""
    popular = Kit(running, "popular")
    popular.group("4915120000069")
    running.sent_to("4915120000069")
    assert said(popular.get("getinbox"))["inbox"] == []
    carrier = running.installation.carriers["sim"]
    for n in range(1003):
        carrier.say(f"inbound sim 447882892 2347015273 {n}")
    wait_for(
        "all are in", 30, lambda: len([r for r in running.installation.rows("inbound") if r["account"] == "popular"]) == 1003
    )
    shown = [[int(each["message"]) for each in said(popular.get("getinbox"))["inbox"]] for _ in range(3)]
    assert [len(some) for some in shown] == [1000, 3, 0]
    assert sorted(shown[0] + shown[1]) == list(range(1003))
    newest = said(popular.get("getinbox", list="all"))["inbox"]
    assert len(newest) == 1000
    ids = [int(each["id"]) for each in newest]
    assert ids == sorted(ids)
    assert int(newest[-1]["message"]) == shown[1][-1]


# -- 5.5, 5.6


def test_balance(running: Running) -> None:
    """Without request and status; whole when whole."""
    whole, part = Kit(running, "whole", "12345"), Kit(running, "part", "0.5")
    assert said(whole.get("balance")) == json.loads((SAMPLES / "balance.success.txt").read_text())
    assert said(part.post("balance")) == {"balance": "0.5"}


def test_channels(kit: Kit) -> None:
    """None are there, and none can be."""
    listed = {"request": "listchannel", "status": "success", "channels": [], "channel_count": "0"}
    assert said(kit.get("listchannel")) == said(kit.post("listchannel")) == listed
    for action in CHANNELS:
        assert said(kit.post(action, channelid="1")) == error(action, "WhatsApp channels are not available")


# -- what the document prints


def test_printed_answers(running: Running, kit: Kit) -> None:
    """Our answers have the printed keys, on every level; the document's commas apart, which are not always JSON."""
    group = kit.group("231235433,4471235433,1871235433")
    for action, answer in (
        ("sendsms", kit.send("231235433")),
        ("groupstatus", kit.post("groupstatus", groupid=group)),
        ("balance", kit.get("balance")),
        ("getinbox", kit.get("getinbox", list="all")),
    ):
        printed = json.loads((SAMPLES / f"{action}.success.txt").read_text())
        ours = said(answer)
        assert list(ours) == list(printed)
        for name, value in printed.items():
            if isinstance(value, list) and ours[name]:
                assert list(ours[name][0]) == list(value[0])
    assert len(list(SAMPLES.iterdir())) == 22
    for action in ACTIONS:
        mended = re.sub(r",\s*}", "}", (SAMPLES / f"{action}.error.txt").read_text())
        assert list(json.loads(mended)) == ["request", "status", "message"]
        assert list(said(running.request("GET", f"/smsAPI?{action}"))) == ["request", "status", "message"]
    assert [to for to, _ in kit.recipients(group)] == ["231235433", "4471235433", "1871235433"]


def test_nothing_private_is_logged(running: Running, kit: Kit) -> None:
    """Neither key nor token nor number nor text, also where the URL carries them."""
    kit.get("sendsms", **{"from": "Shop", "to": "4915120000071", "text": "unheard-of"})
    logged = json.dumps(running.installation.log())
    for secret in (*kit.login.values(), "4915120000071", "unheard-of"):
        assert secret not in logged
