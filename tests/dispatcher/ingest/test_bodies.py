"""Bodies into Sends: every problem named with its path, and never a value repeated."""

from __future__ import annotations

import asyncio
import tracemalloc

import msgspec
import pytest

from dispatcher.core.model import Refusal, Send
from dispatcher.ingest import bodies
from dispatcher.ingest.problems import FieldError, Problem

CANARY = "+4917100000042"


def errors_of(body: bytes) -> list[tuple[str, str]]:
    """Path and reason of each error of a body that is no send."""
    with pytest.raises(Problem) as caught:
        bodies.message(body)
    return [(e.path, e.reason) for e in caught.value.document.errors]


def test_every_problem_is_named_with_its_path() -> None:
    """Three wrong types, an unknown key and a missing one are five errors of one answer."""
    body = msgspec.json.encode({"text": 5, "class": "fast", "tlvs": {"0x1400": 1}, "colour": "red"})
    assert errors_of(body) == [
        ("$.text", "malformed"),
        ("$.class", "malformed"),
        ("$.tlvs[...]", "malformed"),
        ("$.colour", "unknown_field"),
        ("$.to", "malformed"),
    ]


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"to":"\xff"}', b"[" * 100_000, b'{"to":"\\ud800"}'])
def test_what_is_not_json_is_one_error_at_the_root(body: bytes) -> None:
    """Broken JSON, broken UTF-8, lone surrogates and endless nesting end in the same typed answer."""
    assert errors_of(body) == [("$", "malformed")]


def test_half_a_character_in_a_text_is_named() -> None:
    """JSON can spell half a surrogate pair: the field is named, with the reason that the stream gives too."""
    assert errors_of(b'{"to":"1","text":"\\ud83d oops"}') == [("$.text", "text_invalid")]


@pytest.mark.parametrize("body", [b"[]", b"3", b'"text"', b"null"])
def test_json_that_is_no_object(body: bytes) -> None:
    """The answer says that an object was expected."""
    assert errors_of(body) == [("$", "malformed")]


def test_errors_do_not_repeat_values() -> None:
    """A number or text in a wrong place does not come back in the error (P7)."""
    body = msgspec.json.encode({"to": [CANARY], "text": {CANARY: 1}, "class": CANARY, "encoding": CANARY, "on_unknown": CANARY})
    with pytest.raises(Problem) as caught:
        bodies.message(body)
    assert CANARY not in caught.value.body().decode()
    assert b"otp, transactional, bulk" in caught.value.body()
    assert b"resend, hold" in caught.value.body()


def test_batch_items_fail_alone() -> None:
    """In an array and in NDJSON a bad item is an item's error with its index; the others are Sends."""
    array = b'[{"to":"1"},{"to":2},7,{"to":"4"}]'
    lines = b'{"to":"1"}\n{"to":2}\r\n\n7\n{"to":"4"}\n'
    found = asyncio.run(bodies.batch(array, lines=False, messages_max=4))
    assert found == asyncio.run(bodies.batch(lines, lines=True, messages_max=4))
    assert [item.to if isinstance(item, Send) else item[0].path for item in found] == ["1", "$[1].to", "$[2]", "4"]


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(("count", "fine"), [(0, False), (1, True), (2, True), (3, True), (4, False)])
def test_batch_size_limit(lines: bool, count: int, fine: bool) -> None:
    """1 to `messages_max` messages."""
    item = b'{"to":"1"}'
    body = b"\n".join([item] * count) if lines else b"[" + b",".join([item] * count) + b"]"
    if fine:
        assert len(asyncio.run(bodies.batch(body, lines=lines, messages_max=3))) == count
        return
    with pytest.raises(Problem) as caught:
        asyncio.run(bodies.batch(body, lines=lines, messages_max=3))
    assert caught.value.kind == ("batch_too_large" if count else Refusal.MALFORMED)


@pytest.mark.parametrize(
    ("body", "lines", "kind"),
    [
        (b"[" + b"1," * 1_500_000 + b"1]", False, Refusal.MALFORMED),
        (b"[" + b"{}," * 1_500_000 + b"{}]", False, "batch_too_large"),
        (b"1\n" * 1_500_000, True, "batch_too_large"),
        (b" \n" * 1_500_000, True, "batch_too_large"),
        (b"\n" * 3_000_000, True, Refusal.MALFORMED),
    ],
)
def test_a_body_of_a_million_crumbs_is_not_taken_apart(body: bytes, lines: bool, kind: str) -> None:
    """What cannot be a batch is refused before each crumb of it becomes an object: in memory of its own size at most."""
    tracemalloc.start()
    try:
        with pytest.raises(Problem) as caught:
            asyncio.run(bodies.batch(body, lines=lines, messages_max=1000))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.kind == kind
    assert peak_bytes < 1_000_000


def test_a_batch_full_of_commas_is_a_batch() -> None:
    """Commas in texts make it worth counting, not wrong; at the limit it is taken, beyond it is not."""
    for count, fine in ((9, True), (10, True), (11, False)):
        body = msgspec.json.encode([{"to": CANARY, "text": "," * 1000}] * count)
        if fine:
            found = asyncio.run(bodies.batch(body, lines=False, messages_max=10))
            assert [isinstance(each, Send) for each in found] == [True] * count
        else:
            with pytest.raises(Problem) as caught:
                asyncio.run(bodies.batch(body, lines=False, messages_max=10))
            assert caught.value.kind == "batch_too_large"


def test_a_batch_that_is_no_array_is_refused_as_a_whole() -> None:
    """A single object is not a batch of one."""
    with pytest.raises(Problem) as caught:
        asyncio.run(bodies.batch(b'{"to":"1"}', lines=False, messages_max=3))
    assert caught.value.document.errors == [FieldError("$", Refusal.MALFORMED, "must be an array of objects")]
