"""What the Laravel dialect takes for a number, a list, a day; and how it writes an instant."""

from __future__ import annotations

import pytest

from dispatcher.ingest.dialects.laravel_rules import (
    BAD_NUMBER,
    NUMBERS_MAX,
    TOO_MANY,
    Misread,
    Recipient,
    asked,
    digits,
    expiry_days,
    moment,
    recipients,
)


@pytest.mark.parametrize(
    ("shown", "to"),
    [
        ("0701234567", "254701234567"),
        ("+254701234567", "254701234567"),
        ("254701234567", "254701234567"),
        ("+12345678", "12345678"),
        ("+123456789012345", "123456789012345"),
        ("12345678901", "12345678901"),
        ("123456789012345", "123456789012345"),
    ],
)
def test_numbers_that_are_taken(shown: str, to: str) -> None:
    """`+` and 8 to 15 digits; ten digits with a national 0; 11 to 15 digits without."""
    assert digits(shown, "") == to


@pytest.mark.parametrize(
    "shown",
    [
        "+1234567",
        "+1234567890123456",
        "+0701234567",
        "070123456",
        "07012345678",
        "1234567890",
        "1234567890123456",
        "01234567890",
        "0701 234567",
        "0701-234567",
        "(070)1234567",
        "٠٧٠١٢٣٤٥٦٧",
        "++254701234567",
        "254701234567\n",
    ],
)
def test_numbers_that_are_refused(shown: str) -> None:
    """Everything else, also other alphabets' digits, blanks, dashes and brackets."""
    assert digits(shown, "") is None


def test_a_local_number_gets_the_accounts_country_code() -> None:
    """And 254 where the account has none."""
    assert [digits("0701234567", code) for code in ("", "255")] == ["254701234567", "255701234567"]


def test_a_list_is_trimmed_and_each_number_comes_once() -> None:
    """Blanks around commas, empty items, and the same number in two forms."""
    found = recipients(" 0701234567 , 0712345678,,+254701234567, ", "")
    assert found == [Recipient("0701234567", "254701234567"), Recipient("0712345678", "254712345678")]


@pytest.mark.parametrize("numbers", ["0701234567,12", ",", " , ,", "x"])
def test_one_bad_number_or_none_refuses_all(numbers: str) -> None:
    """The seed knows only the 400."""
    with pytest.raises(Misread) as refused:
        recipients(numbers, "")
    assert refused.value.words == BAD_NUMBER


@pytest.mark.parametrize(("count", "fits"), [(NUMBERS_MAX - 1, True), (NUMBERS_MAX, True), (NUMBERS_MAX + 1, False)])
def test_at_most_a_thousand_different_numbers(count: int, fits: bool) -> None:
    """Repeated ones are not counted."""
    numbers = ",".join(f"2547{i:08d}" for i in range(count)) + ",254700000000"
    if fits:
        assert len(recipients(numbers, "")) == count
        return
    with pytest.raises(Misread) as refused:
        recipients(numbers, "")
    assert refused.value.words == TOO_MANY


def test_v2_has_other_names_and_a_sender() -> None:
    """`to`, `message` and `sender` exist on v2 only; the documented names come first."""
    v2 = {"to": "0701234567", "message": "hi", "sender": "Shop"}
    assert asked(v2, "", v2=True) == ([Recipient("0701234567", "254701234567")], "hi", "Shop")
    with pytest.raises(Misread, match="numbers"):
        asked(v2, "", v2=False)
    both = v2 | {"numbers": "0712345678", "message_body": "documented", "sender": " "}
    assert asked(both, "", v2=True) == ([Recipient("0712345678", "254712345678")], "documented", None)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [({}, "numbers"), ({"numbers": " "}, "numbers"), ({"numbers": "x"}, "message_body"), ({"message_body": "x"}, "numbers")],
)
def test_what_is_absent_or_blank_is_required(parameters: dict[str, str], field: str) -> None:
    """Presence before form, in the order of the document."""
    with pytest.raises(Misread) as refused:
        asked(parameters, "", v2=False)
    assert refused.value.words == f"The {field} field is required."


@pytest.mark.parametrize(("value", "days"), [("1", 1), ("365", 365), (" 3 ", 3), ("", None), ("007", 7)])
def test_days_that_are_taken(value: str, days: int | None) -> None:
    """1 to 365, also as text; blank is absent."""
    assert expiry_days({"expiry_days": value}) == days
    assert expiry_days({}) is None


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("0", "be at least 1"),
        ("-3", "be at least 1"),
        ("366", "not be greater than 365"),
        ("99999999999999999", "not be greater than 365"),
        ("3.5", "be an integer"),
        ("three", "be an integer"),
        ("1e2", "be an integer"),
        ("9" * 5000, "be an integer"),
        ("٣", "be an integer"),
    ],
)
def test_days_that_are_refused(value: str, rule: str) -> None:
    """In the framework's words, with the field's name."""
    with pytest.raises(Misread) as refused:
        expiry_days({"expiry_days": value})
    assert (refused.value.words, refused.value.field) == (f"The expiry days field must {rule}.", "expiry_days")


def test_an_instant_has_six_decimals() -> None:
    """2026-11-25T10:00:00.000000Z."""
    assert moment(1_795_600_800_000) == "2026-11-25T10:00:00.000000Z"
    assert moment(1_795_600_800_123) == "2026-11-25T10:00:00.123000Z"
