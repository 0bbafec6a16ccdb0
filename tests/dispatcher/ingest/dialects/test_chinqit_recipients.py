"""A batch's recipients: what makes the whole batch invalid, what only leaves a recipient out, and that the loop goes on."""

from __future__ import annotations

import asyncio
import json
import random
import time
import tracemalloc
from typing import Any

import pytest

from dispatcher.ingest.dialects.chinqit_recipients import RECIPIENTS_MAX, Recipient, read, sort
from dispatcher.ingest.dialects.frame import NotAnObject


def issues(body: Any) -> list[tuple[list[str | int], str]]:
    """What is wrong with a body (bytes as they are, else as JSON)."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return [(list(issue.path), issue.message) for issue in asyncio.run(read(raw))[1]]


ONE = {"phone": "+22238089336", "message": "Hello!"}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"null", b'{"recipients":[]}\xff', b"1", b'{"recipients":[1], "x": }']
)
def test_not_an_object(body: bytes) -> None:
    """Whatever is no JSON object in UTF-8."""
    with pytest.raises(NotAnObject):
        asyncio.run(read(body))


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({}, ["recipients"], "Required"),
        ({"recipients": None}, ["recipients"], "Expected array, received null"),
        ({"recipients": {}}, ["recipients"], "Expected array, received object"),
        ({"recipients": []}, ["recipients"], "Array must contain at least 1 element(s)"),
        ({"recipients": ["x"]}, ["recipients", 0], "Expected object, received string"),
        ({"recipients": [ONE, {"phone": "1"}]}, ["recipients", 1, "message"], "Required"),
        ({"recipients": [ONE, {"message": "1"}]}, ["recipients", 1, "phone"], "Required"),
        ({"recipients": [ONE | {"phone": 38089336}]}, ["recipients", 0, "phone"], "Expected string, received number"),
        (
            {"recipients": [ONE, ONE | {"message": ""}]},
            ["recipients", 1, "message"],
            "String must contain at least 1 character(s)",
        ),
        ({"recipients": [ONE] * (RECIPIENTS_MAX + 1)}, ["recipients"], "Array must contain at most 50000 element(s)"),
    ],
)
def test_whole_batch_refused(body: Any, path: list[str | int], message: str) -> None:
    """Each thing that the form can lack, by its path."""
    assert issues(body) == [(path, message)]


def test_all_problems_in_order() -> None:
    """Entries of both ways of being wrong, typed and not."""
    assert issues({"recipients": [{"phone": 1, "message": ""}, {}, ONE, 5]}) == [
        (["recipients", 0, "phone"], "Expected string, received number"),
        (["recipients", 0, "message"], "String must contain at least 1 character(s)"),
        (["recipients", 1, "phone"], "Required"),
        (["recipients", 1, "message"], "Required"),
        (["recipients", 3], "Expected object, received number"),
    ]


def test_good_ones() -> None:
    """The limit itself, a byte-order mark, unknown keys, the last of equal keys, a shape of number nobody asks about here."""
    assert issues({"recipients": [ONE] * RECIPIENTS_MAX, "name": "summer"}) == []
    raw = b'\xef\xbb\xbf{"recipients":[{"phone":"x","phone":"y","message":"m","extra":{}}]}'
    assert asyncio.run(read(raw)) == ([Recipient("y", "m")], [])


def test_sorted_by_shape() -> None:
    """The badly shaped ones are left out with what was sent, the others go in request order; duplicates stay."""
    phones = ["+22238089336", "invalid", "22238089337", "38089336", "", "+1234567890"]
    found = asyncio.run(sort([Recipient(phone, f"m{n}") for n, phone in enumerate(phones)], mauritania_only=False))
    assert [(order.to, order.text, order.lane) for order in found.orders] == [
        ("22238089336", "m0", "bulk"),
        ("22238089337", "m2", "bulk"),
        ("22238089336", "m3", "bulk"),
        ("1234567890", "m5", "bulk"),
    ]
    assert found.places == [0, 2, 3, 5]
    assert found.invalid == [(1, "invalid"), (4, "")]
    assert len(asyncio.run(sort([Recipient("+1234567890", "m")], mauritania_only=True)).orders) == 0


def test_a_long_phone_is_cut() -> None:
    """What is kept of nonsense is bounded."""
    assert asyncio.run(sort([Recipient("x" * 1000, "m")], mauritania_only=False)).invalid == [(0, "x" * 64)]


def test_the_loop_goes_on() -> None:
    """Looking through 50,000 recipients leaves the loop often enough (decoding itself is one step)."""
    recipients = [Recipient(f"+222380{n:05d}", "Hello!") for n in range(RECIPIENTS_MAX)]
    raw = json.dumps({"recipients": [{"phone": r.phone, "message": r.message} for r in recipients]}).encode()

    async def measured() -> int:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        other = asyncio.create_task(others())
        began = time.perf_counter()
        await read(raw)
        found = await sort(recipients, mauritania_only=False)
        assert time.perf_counter() - began < 5
        assert len(found.orders) == RECIPIENTS_MAX
        other.cancel()
        return turns

    assert asyncio.run(measured()) >= 90


@pytest.mark.parametrize("crumb", [b"{}", b'{"phone":"","message":""}', b"1", b"[[]]"])
def test_a_body_of_millions_of_crumbs_is_not_taken_apart(crumb: bytes) -> None:
    """Too many recipients are told in Zod's words, anything else as no object; in memory far below what all would take."""
    body = b'{"recipients":[' + (crumb + b",") * 1_200_000 + crumb + b"]}"
    tracemalloc.start()
    try:
        if crumb.startswith(b"{"):
            assert issues(body) == [(["recipients"], "Array must contain at most 50000 element(s)")]
        else:
            with pytest.raises(NotAnObject):
                asyncio.run(read(body))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 5_000_000


def test_commas_in_messages_are_no_crumbs() -> None:
    """A batch with millions of them is read like any other."""
    one = Recipient("+22238089336", "," * 1_000)
    body = json.dumps({"recipients": [{"phone": one.phone, "message": one.message}] * 1_100}).encode()
    assert asyncio.run(read(body)) == ([one] * 1_100, [])


def _anything(chance: random.Random, depth: int = 0) -> Any:
    """Some JSON value."""
    return chance.choice([
        None, True, -1, 10**400, 1.5, "", "+22238089336", "\ud800", "\0", "é😀",
        {} if depth > 2 else {name: _anything(chance, depth + 1) for name in ("phone", "message", "x")},
        [] if depth > 2 else [_anything(chance, depth + 1) for _ in range(chance.randrange(3))],
    ])  # fmt: skip


def test_no_body_surprises() -> None:
    """Whatever comes is read, said to be wrong, or no object: nothing else is ever raised."""
    chance = random.Random(7)
    for _ in range(2000):
        entries = [chance.choice([ONE, _anything(chance)]) for _ in range(chance.randrange(4))]
        raw = bytearray(json.dumps({"recipients": chance.choice([entries, _anything(chance)])}).encode())
        for _ in range(chance.choice([0, 0, 1, 3])):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        try:
            found, wrong = asyncio.run(read(bytes(raw)))
        except NotAnObject:
            continue
        assert wrong or all(recipient.message for recipient in found)
