"""Chinqit's words: Zod's sentences field by field, numbers, states, and every kind of problem in the one shape of errors."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from dispatcher.core.model import Refusal
from dispatcher.ingest.dialects import chinqit_words as words
from dispatcher.ingest.dialects.shown import Shown, ShownState
from dispatcher.ingest.problems import KINDS, FieldError, Problem, invalid


@pytest.mark.parametrize(
    ("phone", "digits"),
    [
        ("+1234567890", "1234567890"),
        ("+22238089336", "22238089336"),
        ("22238089336", "22238089336"),
        ("38089336", "22238089336"),
        ("22222222", "22222222222"),
        ("48089336", "22248089336"),
        ("+12345678", "12345678"),
        ("+1234567", None),
        ("+123456789012345", "123456789012345"),
        ("+1234567890123456", None),
        ("+0123456789", None),
        ("58089336", None),
        ("18089336", None),
        ("3808933", None),
        ("380893361", None),
        ("+22258089336", None),
        ("22258089336", None),
        ("+2223808933", None),
        ("+222380893366", None),
        ("1234567890", None),
        ("4915112345678", None),
        ("+1 234567890", None),
        ("+1-234-567-890", None),
        ("(380)89336", None),
        (" 38089336", None),
        ("38089336\n", None),
        ("+٢٢٢٣٨٠٨٩٣٣٦", None),
        ("0022238089336", None),
        ("invalid", None),
        ("", None),
        ("+", None),
    ],
)
def test_numbers(phone: str, digits: str | None) -> None:
    """+ and any country, or a Mauritanian number in one of its three forms; nothing else, no blanks."""
    assert words.phone_digits(phone) == digits


@pytest.mark.parametrize("phone", ["+22238089336", "22238089336", "38089336", "+1234567890"])
def test_mauritania_only(phone: str) -> None:
    """The operator's switch refuses foreign numbers and nothing else."""
    assert (words.phone_digits(phone, mauritania_only=True) is None) == phone.startswith("+1")


def told(body: dict[str, Any]) -> list[tuple[list[str | int], str]]:
    """What is wrong with a body that has one field of each sort, in order."""
    fields = words.Fields(body)
    fields.text("message")
    fields.phone("phoneNumber", mauritania_only=False)
    fields.choice("language", ("fr", "en", "ar"))
    fields.hash()
    fields.otp()
    return [(list(issue.path), issue.message) for issue in fields.issues]


GOOD = {"message": "m", "phoneNumber": "+1234567890", "language": "en", "hash": "ABC123XYZ45", "otp": "012345"}


def test_good_fields() -> None:
    """Nothing is wrong; unknown keys are ignored; optional ones may be absent."""
    assert told(GOOD | {"more": 1}) == []
    assert told({name: GOOD[name] for name in ("message", "phoneNumber", "otp")}) == []


def test_all_problems_are_told_in_order() -> None:
    """Each absent required field, in the order of the fields."""
    assert told({"language": "de"}) == [
        (["message"], "Required"),
        (["phoneNumber"], "Required"),
        (["language"], "Invalid enum value. Expected 'fr' | 'en' | 'ar', received 'de'"),
        (["otp"], "Required"),
    ]


@pytest.mark.parametrize(
    ("value", "received"),
    [(1, "number"), (1.5, "number"), (True, "boolean"), (None, "null"), ([], "array"), ({}, "object")],
)
@pytest.mark.parametrize("field", ["message", "phoneNumber", "language", "hash", "otp"])
def test_wrong_types(field: str, value: object, received: str) -> None:
    """Both types are named, for required and optional fields alike."""
    assert told(GOOD | {field: value}) == [([field], f"Expected string, received {received}")]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("message", "", "String must contain at least 1 character(s)"),
        ("phoneNumber", "", "Invalid phone number format"),
        ("phoneNumber", "+1 234567890", "Invalid phone number format"),
        ("hash", "", "String must contain exactly 11 character(s)"),
        ("hash", "ABC123XYZ4", "String must contain exactly 11 character(s)"),
        ("hash", "ABC123XYZ456", "String must contain exactly 11 character(s)"),
        ("hash", "ABC123XYZ4-", "Invalid"),
        ("otp", "12345", "String must contain exactly 6 character(s)"),
        ("otp", "1234567", "String must contain exactly 6 character(s)"),
        ("otp", "12345a", "Invalid"),
        ("otp", "١٢٣٤٥٦", "Invalid"),
        ("language", "", "Invalid enum value. Expected 'fr' | 'en' | 'ar', received ''"),
        ("language", "EN", "Invalid enum value. Expected 'fr' | 'en' | 'ar', received 'EN'"),
    ],
)
def test_sentences(field: str, value: str, message: str) -> None:
    """One sentence for each thing that can be wrong with a string."""
    assert told(GOOD | {field: value}) == [([field], message)]


@pytest.mark.parametrize("hash_", ["FA+9qCX9VSu", "abcDEF/1234", "ABC123XYZ45"])
def test_hashes_of_android(hash_: str) -> None:
    """Letters, digits, + and /."""
    assert told(GOOD | {"hash": hash_}) == []


@pytest.mark.parametrize(
    ("text", "tail", "most"),
    [
        ("x" * 1600, "", 1530),
        ("x" * 1600, "\nABC123XYZ45", 1518),
        ("é" * 2000 + "ت", "", 1530),
        ("ت" * 700, "", 670),
        ("€" * 1600, "", 760),
    ],
)
def test_too_long_says_how_much_would_fit(text: str, tail: str, most: int) -> None:
    """Ten parts of the text's own encoding, the tail included."""
    assert words.too_long(text, tail) == f"String must contain at most {most} character(s)"


def body_of(problem: Problem, *, sends: bool = True) -> tuple[int, dict[str, Any]]:
    """Status and body."""
    answer = words.word(problem, "phoneNumber", "message", sends=sends)
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_problem_has_the_shape(kind: str) -> None:
    """Whatever is raised anywhere ends as success false and a sentence; nobody sees a foreign document."""
    for sends in (True, False):
        status, body = body_of(Problem(kind), sends=sends)
        assert body["success"] is False
        assert body["message"]
        assert set(body) <= {"success", "message", "errors", "code", "details"}
        assert status in {400, 401, 402, 403, 404, 405, 408, 409, 413, 429, 500, 503}


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("unauthorized_missing", 401, {"message": "API key is required"}),
        ("unauthorized", 403, {"message": "Invalid API key"}),
        (Refusal.SUSPENDED, 403, {"message": "Invalid API key"}),
        ("not_found", 404, {"message": "Resource not found"}),
        ("method_not_allowed", 405, {"message": "Method not allowed"}),
        (Refusal.KEY_CONFLICT, 409, {"message": "Idempotency key reused with a different request"}),
        ("body_too_large", 413, {"message": "Request body too large"}),
        (Refusal.LIMIT, 429, {"message": "Rate limit exceeded. Please try again later."}),
        (Refusal.VELOCITY, 429, {"message": "Rate limit exceeded. Please try again later."}),
        ("rate_limited", 429, {"message": "Rate limit exceeded. Please try again later."}),
        ("internal", 500, {"message": "Internal server error"}),
        ("store_unavailable", 503, {"message": "Failed to queue message", "code": "QUEUE_ERROR"}),
        ("overloaded", 503, {"message": "Failed to queue message", "code": "QUEUE_ERROR"}),
        ("promise_not_kept", 503, {"message": "Failed to queue message", "code": "QUEUE_ERROR"}),
        (Refusal.MALFORMED, 400, {"message": "Validation failed", "errors": [{"path": [], "message": "Invalid JSON"}]}),
        (
            Refusal.NO_ROUTE,
            400,
            {"message": "Validation failed", "errors": [{"path": ["phoneNumber"], "message": "Destination is not supported"}]},
        ),
    ],
)
def test_worded(kind: str, status: int, body: dict[str, Any]) -> None:
    """The sentences of the documents."""
    assert body_of(Problem(kind)) == (status, {"success": False} | body)


def test_reading_is_not_queueing() -> None:
    """A status or a verification that cannot be answered does not speak of a queue."""
    assert body_of(Problem("store_unavailable"), sends=False) == (
        503,
        {"success": False, "message": "Service temporarily unavailable"},
    )


def test_an_account_without_a_tariff_is_a_billing_failure() -> None:
    """The customer cannot mend it, so it is no 4xx."""
    problem = invalid([FieldError("$.account", Refusal.NO_PRICE, "the account has no tariff in force")])
    assert body_of(problem) == (500, {"success": False, "message": "Billing transaction failed", "code": "BILLING_FAILED"})


def test_402() -> None:
    """As the seed prints it, with our extra code."""
    answer = words.no_credit(40_000, 2, 0)
    assert (answer.status, json.loads(answer.body)) == (
        402,
        {
            "success": False,
            "message": "Insufficient balance",
            "details": {"requiredAmount": 0.04, "validRecipients": 2, "invalidRecipients": 0},
            "code": "NO_CREDIT",
        },
    )


def test_at_most_a_hundred_issues() -> None:
    """The hundred-and-first is not told."""
    answer = words.invalid([words.Issue((n,), "Required") for n in range(150)])
    assert [issue["path"] for issue in json.loads(answer.body)["errors"]] == [[n] for n in range(100)]


def test_every_state_has_a_word() -> None:
    """All ten states, and a reason for each that shows as failed."""
    assert {state: words.STATUS[state] for state in get_args(ShownState)} == {
        "accepted": "pending",
        "queued": "queued",
        "submitted": "sent",
        "delivered": "sent",
        "unknown": "sent",
        "undelivered": "failed",
        "failed": "failed",
        "expired": "failed",
        "rejected": "failed",
        "cancelled": "failed",
    }
    codes = {state: words.why(Shown("", state, "", 0, 0))[1] for state, status in words.STATUS.items() if status == "failed"}
    assert codes == {
        "undelivered": "UNDELIVERED",
        "failed": "CARRIER_REJECTED",
        "expired": "EXPIRED",
        "rejected": "CARRIER_REJECTED",
        "cancelled": "QUEUE_ERROR",
    }


@pytest.mark.parametrize("cause", ["ESME_RINVDSTADR", "invalid_number"])
def test_bad_destination(cause: str) -> None:
    """A carrier's bad-destination answer has the seed's sentence."""
    assert words.why(Shown("", "rejected", "", 0, 0, cause=cause)) == ("Invalid destination address", "INVALID_DESTINATION")
