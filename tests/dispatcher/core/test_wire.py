"""core/wire.py: one verdict per send, whatever the bytes."""

from __future__ import annotations

import json
import random

import msgspec
import pytest

from dispatcher.core.model import Refusal, Send
from dispatcher.core.refusal import Refused
from dispatcher.core.wire import PAYLOAD_BYTES_MAX, SENDS_MAX, decode_sends
from tests.cycles import none_of_ours

GOOD = {"to": "+22238000000", "text": "hello", "from": "ACME", "class": "otp"}


def packed(kind: str, value: object) -> bytes:
    """The value as a producer writes it."""
    return msgspec.json.encode(value) if kind == "json" else msgspec.msgpack.encode(value)


def only(kind: str, payload: bytes) -> Send | Refused:
    """The one verdict of a payload."""
    found = decode_sends(kind, payload)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_a_send_and_a_chunk(kind: str) -> None:
    """Both forms, both encodings, the same Sends."""
    send = Send(to="+22238000000", text="hello", sender="ACME", lane="otp")
    assert [send] == decode_sends(kind, packed(kind, GOOD))
    assert [send, send] == decode_sends(kind, packed(kind, {"sends": [GOOD, GOOD]}))


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_one_bad_send_refuses_only_itself(kind: str) -> None:
    """Its neighbours are sends, in their places."""
    found = decode_sends(kind, packed(kind, {"sends": [GOOD, {"to": 5}, GOOD, {"text": "x"}, 7, {**GOOD, "colour": 1}]}))
    assert [isinstance(one, Send) for one in found] == [True, False, True, False, False, False]
    reasons = [(one.reason, one.field) for one in found if isinstance(one, Refused)]
    assert reasons == [("malformed", "to"), ("malformed", "to"), ("malformed", ""), ("unknown_field", "colour")]


@pytest.mark.parametrize(
    ("change", "reason", "field", "detail"),
    [
        ({"form": "x"}, Refusal.UNKNOWN_FIELD, "form", 'did you mean "from"?'),
        ({"zzzz": 1}, Refusal.UNKNOWN_FIELD, "zzzz", "known: to, text"),
        ({"text": 5}, Refusal.MALFORMED, "text", "expected str"),
        ({"class": "urgent"}, Refusal.MALFORMED, "class", "one of bulk, otp, transactional"),
        ({"on_unknown": "x"}, Refusal.MALFORMED, "on_unknown", "one of hold, resend"),
        ({"tlvs": {"0x1400": 1}}, Refusal.MALFORMED, "tlvs", "expected str"),
        ({"validity_s": "60"}, Refusal.MALFORMED, "validity_s", "expected int"),
    ],
)
@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_what_is_wrong_is_named(kind: str, change: dict[str, object], reason: Refusal, field: str, detail: str) -> None:
    """Reason, field by its name on the wire, and the remedy."""
    found = only(kind, packed(kind, {**GOOD, **change}))
    assert isinstance(found, Refused)
    assert (reason, field) == (found.reason, found.field)
    assert detail in found.detail


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("json", b""),
        ("json", b"{"),
        ("json", b"[]"),
        ("json", b"null"),
        ("json", b'{"to":"1"} x'),
        ("msgpack", b"\xc1"),
        ("msgpack", b""),
    ],
)
def test_what_is_no_send_at_all(kind: str, payload: bytes) -> None:
    """One refusal, reason malformed."""
    found = only(kind, payload)
    assert isinstance(found, Refused)
    assert found.reason == Refusal.MALFORMED


def test_an_entry_without_a_known_field() -> None:
    """Neither json nor msgpack: told so."""
    found = only("", b"")
    assert isinstance(found, Refused)
    assert "neither a field json nor a field msgpack" in found.detail


def test_a_thousand_sends_and_not_one_more() -> None:
    """Limit - 1, limit, limit + 1; and an empty chunk is a refusal, not nothing."""
    for count, verdicts in [(SENDS_MAX - 1, SENDS_MAX - 1), (SENDS_MAX, SENDS_MAX), (SENDS_MAX + 1, 1), (0, 1)]:
        found = decode_sends("json", packed("json", {"sends": [GOOD] * count}))
        assert verdicts == len(found)
        assert isinstance(found[0], Refused) == (verdicts == 1)


def test_the_payloads_size() -> None:
    """Limit - 1, limit, limit + 1 bytes."""
    for size in (PAYLOAD_BYTES_MAX - 1, PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX + 1):
        payload = packed("json", GOOD).ljust(size)
        assert isinstance(only("json", payload), Send) == (size <= PAYLOAD_BYTES_MAX)


@pytest.mark.parametrize("half", ["\\ud83d", "\\udc00", "\\udc00\\ud83d"])
def test_half_a_character_spoils_its_own_send_only(half: str) -> None:
    """A lone surrogate in JSON is text_invalid for that send; the rest of the chunk is accepted."""
    bad = json.dumps({**GOOD, "text": "HALF"}).replace("HALF", half).encode()
    found = only("json", bad)
    assert isinstance(found, Send) or found[:2] == (Refusal.TEXT_INVALID, "text")
    chunk = b'{"sends":[' + json.dumps(GOOD).encode() + b"," + bad + b"," + json.dumps(GOOD).encode() + b"]}"
    verdicts = decode_sends("json", chunk)
    assert len(verdicts) == 3
    assert isinstance(verdicts[0], Send)
    assert isinstance(verdicts[2], Send)


def test_broken_utf8_spoils_its_own_send_only() -> None:
    """In JSON and in msgpack."""
    text = b'{"sends":[{"to":"1","text":"ok"},{"to":"1","text":"\xff"}]}'
    first, second = decode_sends("json", text)
    assert isinstance(first, Send)
    assert isinstance(second, Refused)
    assert second[:2] == (Refusal.TEXT_INVALID, "text")
    chunk = msgspec.msgpack.encode({"sends": [{"to": "1"}, {"to": "1", "text": "QQ"}]}).replace(b"QQ", b"\xff\xfe")
    first, second = decode_sends("msgpack", chunk)
    assert isinstance(first, Send)
    assert isinstance(second, Refused)
    assert second.reason == Refusal.TEXT_INVALID


@pytest.mark.parametrize("kind", ["json", "msgpack"])
def test_nothing_of_a_payload_stays_behind(kind: str) -> None:
    """I15: each payload is let go at once, a good chunk and any kind of bad one. 200 bytes a queued message were not."""
    good = {"sends": [GOOD, GOOD]}
    for value in (GOOD, good, {"sends": [GOOD, {"to": 5}]}, {"sends": []}, {"send": 1}, 7):
        with none_of_ours():
            decode_sends(kind, packed(kind, value))
    for broken in (b"\xc1", packed(kind, good)[:-1], packed(kind, good).replace(b"hello", b"\xff\xfehel")):
        with none_of_ours():
            decode_sends(kind, broken)


def test_no_bytes_make_it_raise() -> None:
    """Random damage to good payloads gives verdicts, never an exception."""
    rng = random.Random(5)
    for kind in ("json", "msgpack"):
        good = packed(kind, {"sends": [{**GOOD, "tlvs": {"0x1400": "1"}, "callback": {"url": "http://x"}}] * 3})
        for _ in range(1500):
            damaged = bytearray(good)
            for _ in range(rng.randint(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            assert decode_sends(kind, bytes(damaged[: rng.randint(1, len(damaged))]))


def test_depth_is_no_weapon() -> None:
    """A hundred thousand brackets are a refusal."""
    for payload in (b'{"callback":' + b"[" * 100_000, b"[" * 100_000, b'{"to":"\xff","callback":' + b'{"a":' * 100_000):
        assert isinstance(only("json", payload), Refused)


def test_a_refusal_quotes_no_value() -> None:
    """Neither text nor number stands in the detail (P7)."""
    found = only("json", b'{"to":"22238000000","text":"secret 1234","class":"22238000000"}')
    assert isinstance(found, Refused)
    assert "22238000000" not in found.detail
    assert "secret" not in found.detail


def test_depth_with_half_a_character_is_no_weapon_either() -> None:
    """Every depth that the standard library still reads gets a verdict."""
    for depth in range(50, 1200, 50):
        payload = b'{"to":"\xff","callback":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        assert isinstance(only("json", payload), Refused)
