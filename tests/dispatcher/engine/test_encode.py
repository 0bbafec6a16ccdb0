"""Bodies as carriers read them: every quirk that concerns writing."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from msgspec.structs import replace

from dispatcher.core.model import Body, Options
from dispatcher.engine.encode import TEMPLATES_MAX, Encoder, Unencodable, ton_npi
from smpp.codec import SubmitSm, decode_submit_sm, pdu
from smpp.constants import SUBMIT_SM
from smpp.text import Encoding
from tests.dispatcher.engine.world import carrier, route, settings_of

NOW = 1_700_000_000_000


def encoder(**quirks: Any) -> Encoder:
    """An encoder for one carrier, alpha, with these quirks."""
    more = {k: quirks.pop(k) for k in ("sender", "tlvs") if k in quirks}
    return Encoder(settings_of([carrier(quirks=quirks, **more)], [route({"alpha": 1})]), random.Random(7))


def body(text: str = "Hello", *, segments: int = 1, encoding: int = Encoding.GSM7, sender: str = "Shop", **more: Any) -> Body:
    """A message with an hour of validity."""
    fixed = {"account": "shop", "lane": 1, "route": "main", "unit_price": 1, "currency": "EUR", "tariff": "t", "to_hash": "h"}
    times = {"accepted_at": NOW, "deadline_at": NOW + 3_600_000, "on_unknown": 1}
    return Body(to="491711234567", text=text, sender=sender, encoding=encoding, segments=segments, **{**fixed, **times, **more})


def read(bodies: list[bytes]) -> list[SubmitSm]:
    """What a carrier decodes."""
    return [decode_submit_sm(pdu(SUBMIT_SM, 0, 1, each)) for each in bodies]


def test_one_segment_has_no_header() -> None:
    """A short text: its septets as they are, receipt requested, validity relative and rounded down."""
    (submit,) = read(encoder().bodies(body("Hi @"), "alpha", [1], 0, NOW))
    assert submit.short_message == b"Hi \x00"
    assert (submit.esm_class, submit.data_coding, submit.registered_delivery) == (0, 0, 1)
    assert (submit.source_addr, submit.source_addr_ton, submit.source_addr_npi) == ("Shop", 5, 0)
    assert (submit.destination_addr, submit.dest_addr_ton, submit.dest_addr_npi) == ("491711234567", 1, 1)
    assert submit.validity_period == "000000010000000R"


@pytest.mark.parametrize(("concat", "size"), [("udh8", 6), ("udh16", 7)])
def test_parts_share_reference_and_validity(concat: str, size: int) -> None:
    """I10: one reference, one total, numbers from 1, the same validity; a part alone is the same bytes."""
    encode = encoder(concat=concat)
    message = body("x" * 400, segments=3)
    reference = encode.reference(message, "alpha")
    whole = encode.bodies(message, "alpha", [1, 2, 3], reference, NOW)
    parts = read(whole)
    assert {p.esm_class for p in parts} == {0x40}
    assert {p.validity_period for p in parts} == {"000000010000000R"}
    assert [p.short_message[size - 1] for p in parts] == [1, 2, 3]
    assert b"".join(p.short_message[size:] for p in parts) == b"x" * 400
    assert encode.bodies(message, "alpha", [2], reference, NOW) == [whole[1]]


def test_parts_cut_for_the_wide_header_go_to_a_narrow_carrier() -> None:
    """Admitted for a route with a 16-bit carrier (three parts), sent by an 8-bit one that could do with fewer: three parts."""
    text = "x" * 306  # two parts with the short header, three with the long one
    parts = read(encoder().bodies(body(text, segments=3), "alpha", [1, 2, 3], 9, NOW))
    assert b"".join(p.short_message[6:] for p in parts) == text.encode()


def test_references_count_per_sender_and_destination() -> None:
    """Never 0, up by one each time for the same pair, bounded to one octet."""
    encode = encoder()
    seen = [encode.reference(body("x" * 400, segments=3), "alpha") for _ in range(600)]
    assert all((a % 255) + 1 == b for a, b in itertools.pairwise(seen))
    assert {min(seen), max(seen)} == {1, 255}
    assert encode.reference(body(), "alpha") == 0


def test_counters_of_references_stay_as_many_as_they_are() -> None:
    """Among messages to twenty thousand others one destination's references differ, and nothing grows."""
    encode = encoder()
    size = len(encode._references)
    one, seen = body("x" * 400, segments=3), []
    for number in range(20_000):
        encode.reference(replace(one, to=str(491_600_000_000 + number)), "alpha")
        if number % 200 == 0:
            seen.append(encode.reference(one, "alpha"))
    assert len(encode._references) == size
    assert len(set(seen)) == len(seen) == 100


@pytest.mark.parametrize(
    ("sender", "wanted"),
    [("Shop", (5, 0)), ("12345", (3, 0)), ("491711234567", (1, 1)), ("+49171", (1, 1)), ("", (0, 0))],
)
def test_ton_and_npi_by_form(sender: str, wanted: tuple[int, int]) -> None:
    """Letters, short codes, international numbers, none."""
    assert ton_npi(sender) == wanted


def test_quirks_are_written() -> None:
    """Fixed TON/NPI, service type, absolute validity, the carrier's sender and TLVs."""
    encode = encoder(
        source_ton_npi=[2, 8],
        service_type="CMT",
        validity="absolute",
        sender="Carrier",
        tlvs={"0x1400": "0x0102", "0x1401": "T1"},
    )
    (submit,) = read(encode.bodies(body(sender=""), "alpha", [1], 0, NOW))
    assert (submit.source_addr, submit.source_addr_ton, submit.source_addr_npi) == ("Carrier", 2, 8)
    assert submit.service_type == "CMT"
    assert submit.validity_period == "231114231320000+"
    assert submit.tlvs == {0x1400: b"\x01\x02", 0x1401: b"T1"}


def test_flash_binary_own_header_and_tlvs() -> None:
    """What options ask for."""
    encode = encoder(validity="none")
    options = Options(flash=True, tlvs={0x1500: b"a"}, entity="E", template="T")
    (flash,) = read(encode.bodies(body(options=options), "alpha", [1], 0, NOW))
    assert (flash.data_coding, flash.validity_period) == (0x10, "")
    assert flash.tlvs == {0x1500: b"a", 0x1400: b"E", 0x1401: b"T"}
    port = b"\x06\x05\x04\x0b\x84\x00\x00"
    (single,) = read(encode.bodies(body("", encoding=4, options=Options(binary=b"\x01" * 9, udh=port)), "alpha", [1], 0, NOW))
    assert (single.esm_class, single.data_coding, single.short_message) == (0x40, 4, port + b"\x01" * 9)
    long = body("", encoding=4, segments=2, options=Options(binary=b"\x02" * 200, udh=port))
    parts = read(encode.bodies(long, "alpha", [1, 2], 5, NOW))
    assert [p.short_message[:12] for p in parts] == [b"\x0b\x00\x03\x05\x02" + bytes([i]) + port[1:] for i in (1, 2)]
    assert b"".join(p.short_message[12:] for p in parts) == b"\x02" * 200


def test_ucs2() -> None:
    """UTF-16 and its data coding."""
    (submit,) = read(encoder().bodies(body("你好", encoding=Encoding.UCS2), "alpha", [1], 0, NOW))
    assert (submit.data_coding, submit.short_message) == (8, "你好".encode("utf-16-be"))


@pytest.mark.parametrize("message", [body("x" * 400, segments=2), body("€" * 100), body("x" * 161), body("你")])
def test_what_does_not_fit_its_price_is_refused(message: Body) -> None:
    """A text that cannot be cut into the admitted number of segments is never sent with another."""
    with pytest.raises(Unencodable):
        encoder().bodies(message, "alpha", [1], 1, NOW)


@pytest.mark.parametrize(
    ("left_s", "wanted"), [(1, "0001"), (9, "0009"), (19, "0010"), (3599, "5950"), (0, "0001"), (-5, "0001")]
)
def test_validity_is_rounded_down_and_never_zero(left_s: int, wanted: str) -> None:
    """A carrier never gets more time than is left, and never none."""
    (submit,) = read(encoder().bodies(body(deadline_at=NOW + left_s * 1000), "alpha", [1], 0, NOW))
    assert submit.validity_period == f"00000000{wanted}000R"


def test_templates_are_bounded() -> None:
    """I15: more senders than the cache holds do not make it grow."""
    encode = encoder()
    for i in range(TEMPLATES_MAX + 10):
        encode.bodies(body(sender=f"S{i}"), "alpha", [1], 0, NOW)
    assert len(encode._templates) <= TEMPLATES_MAX


@pytest.mark.parametrize("quirks", [{}, {"validity": "absolute"}, {"validity": "none"}])
def test_plain_texts_in_runs_are_what_bodies_makes_of_each(quirks: dict[str, Any]) -> None:
    """`plain` writes the same bytes as `bodies`, whatever sender, deadline and instant the message before it had."""
    one, other = encoder(**quirks), encoder(**quirks)
    chance = random.Random(3)
    seen = set()
    for _ in range(500):
        now = NOW + chance.choice([0, 0, 0, 1, 999, 61_000])
        left_ms = chance.choice([-1, 0, 900, 9_000, 10_999, 11_000, 3_599_999, 3_600_000, 86_400_123, 86_400_999])
        each = body(sender=chance.choice(["Shop", "Shop", "Bank"]), deadline_at=NOW + left_ms + chance.choice([0, 0, 1, 500]))
        expected = other.bodies(each, "alpha", [1], 0, now)
        assert [one.plain(each, "alpha", now)] == expected
        seen.add(expected[0])
    assert len(seen) >= 2
    for unlike in (
        body(encoding=Encoding.UCS2),
        body("x" * 161),
        body("\N{SNOWMAN}"),
        body(segments=2),
        body(options=Options(flash=True)),
    ):
        assert one.plain(unlike, "alpha", NOW) is None


@pytest.mark.parametrize("concat", ["udh8", "udh16"])
def test_long_texts_in_runs_are_what_a_fresh_encoder_makes_of_each(concat: str) -> None:
    """What is remembered of the last run and the last cut never reaches another message: sender, instant, text, alphabet."""
    one, chance, seen = encoder(concat=concat), random.Random(5), set()
    texts = [("x" * 400, 3, Encoding.GSM7), ("y" * 400, 3, Encoding.GSM7), ("€" * 100, 2, Encoding.GSM7)]
    texts += [
        ("ж" * 100, 2, Encoding.UCS2),
        ("你好", 1, Encoding.UCS2),
        ("x" * 400, 7, Encoding.UCS2),
        ("hello", 1, Encoding.GSM7),
    ]
    for _ in range(400):
        now = NOW + chance.choice([0, 0, 0, 999, 61_000])
        text, segments, encoding = chance.choice(texts)
        late = NOW + chance.choice([9_000, 3_600_000, 86_400_123]) + chance.choice([0, 1, 500])
        each = body(text, segments=segments, encoding=encoding, sender=chance.choice(["Shop", "Bank", ""]), deadline_at=late)
        numbers = [n for n in range(1, segments + 1) if segments == 1 or chance.random() < 0.8]
        found = one.bodies(each, "alpha", numbers, 77, now)
        assert found == encoder(concat=concat).bodies(each, "alpha", numbers, 77, now)
        seen.update(found)
    assert len(seen) > 50
