"""Which action a request to SMSKit asks for, with which numbers, and when."""

from __future__ import annotations

import pytest

from dispatcher.ingest.dialects.smskit_rules import (
    ACTIONS,
    DAY_MS,
    Misread,
    action_of,
    asked,
    date,
    group_status,
    number,
    required,
    schedule,
    shown,
)

NOW = 1_795_600_800_000
SEND = {"from": "Shop", "to": "231235433", "text": "hi"}


@pytest.mark.parametrize(
    ("query", "names", "action"),
    [
        (b"sendsms", (), "sendsms"),
        (b"sendsms=", (), "sendsms"),
        (b"sendsms=null&apikey=k", (), "sendsms"),
        (b"apikey=k&groupstatus&groupid=1", (), "groupstatus"),
        (b"balance&sendsms", (), "balance"),
        (b"sendsms&balance", (), "sendsms"),
        (b"", ("apikey", "getinbox"), "getinbox"),
        (b"balance", ("sendsms",), "balance"),
        (b"", (), ""),
        (b"SendSMS", (), ""),
        (b"apikey=sendsms", (), ""),
        (b"\xff%ff&balance", (), "balance"),
    ],
)
def test_the_action_is_the_first_known_name(query: bytes, names: tuple[str, ...], action: str) -> None:
    """In the query, with or without value, wherever it stands; else in the body."""
    assert action_of(query, names) == action


def test_every_documented_action_is_known() -> None:
    """The eleven of the source document."""
    assert len(set(ACTIONS)) == 11


@pytest.mark.parametrize("item", ["1234567", "+1234567", "123456789012345", "231235433", "4471235433"])
def test_numbers_that_are_taken(item: str) -> None:
    """An optional `+` and 7 to 15 digits."""
    assert number(item) == item.removeprefix("+")


@pytest.mark.parametrize("item", ["", "123456", "1234567890123456", "0231235433", "+", "12 34567", "1234567x", "١٢٣٤٥٦٧"])
def test_numbers_that_are_refused(item: str) -> None:
    """Too short, too long, a national 0, anything but digits."""
    assert number(item) is None


def test_a_bad_number_is_listed_as_it_came_but_never_at_length() -> None:
    """Without `+`, and cut: it may be anything."""
    assert shown("+12") == "12"
    assert shown("x" * 100) == "x" * 32


def test_type_sms_is_the_default_and_route_0_none() -> None:
    """The page says both "default is sms" and "required"; the default wins."""
    assert asked(SEND, NOW) == ("sms", "Shop", "231235433", "hi", 0, "")
    assert asked(SEND | {"type": "flash", "route": "0"}, NOW).kind == "flash"
    assert asked(SEND | {"route": "3"}, NOW).route == "3"


@pytest.mark.parametrize("name", ["from", "to", "text"])
def test_what_is_required_is_named(name: str) -> None:
    """Absent and empty alike."""
    for parameters in ({k: v for k, v in SEND.items() if k != name}, SEND | {name: ""}):
        with pytest.raises(Misread) as refused:
            asked(parameters, NOW)
        assert refused.value.words == f"Missing parameter: {name}"


def test_other_types_need_no_text() -> None:
    """What they need is of no account: they cannot be sent."""
    assert asked({"from": "a", "to": "1", "type": "mms"}, NOW).kind == "mms"
    with pytest.raises(Misread, match="Invalid message type"):
        asked(SEND | {"type": "fax"}, NOW)


def test_groupid_has_a_second_name() -> None:
    """The error names the documented one."""
    assert required({"group_id": "12"}, "groupid", "group_id") == "12"
    with pytest.raises(Misread, match="Missing parameter: groupid"):
        required({}, "groupid", "group_id")


def test_a_schedule_is_utc_and_the_past_is_now() -> None:
    """Up to 30 days ahead, to the second."""
    assert schedule("", NOW) == 0
    assert schedule("2026-11-25 10:00:01", NOW) == NOW + 1000
    assert schedule("2026-11-25 10:00:00", NOW) == 0
    assert schedule("2018-04-24 12:25:23", NOW) == 0
    assert schedule(date(NOW + 30 * DAY_MS), NOW) == NOW + 30 * DAY_MS
    for bad in (date(NOW + 30 * DAY_MS + 1000), "tomorrow", "2026-13-01 00:00:00", "2026-11-25T10:00:00", "2026-11-25"):
        with pytest.raises(Misread, match="Invalid schedule date"):
            schedule(bad, NOW)


def test_dates_are_written_as_in_the_document() -> None:
    """YYYY-MM-DD HH:MM:SS."""
    assert date(1_524_572_723_000) == "2018-04-24 12:25:23"


def test_dates_in_the_accounts_zone() -> None:
    """Both ways; summer time as the zone has it; an unknown zone is UTC."""
    nairobi = "Africa/Nairobi"
    assert date(NOW, nairobi) == "2026-11-25 13:00:00"
    assert schedule("2026-11-25 13:00:01", NOW, nairobi) == NOW + 1000
    assert schedule("2026-11-25 12:59:59", NOW, nairobi) == 0
    assert [date(at, "Europe/Berlin")[11:13] for at in (NOW, NOW - 180 * DAY_MS)] == ["11", "12"]
    assert date(NOW, "Nowhere/Atall") == date(NOW)
    assert date(schedule("2026-12-01 08:30:00", NOW, nairobi), nairobi) == "2026-12-01 08:30:00"


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (("failed", "sent", "queued"), "sent"),
        (("failed", "queued"), "queued"),
        (("failed", "failed"), "failed"),
        (("queued",), "queued"),
    ],
)
def test_a_group_is_sent_as_soon_as_one_is(statuses: tuple[str, ...], status: str) -> None:
    """The document's sample holds one of each and is sent."""
    assert group_status(statuses) == status
