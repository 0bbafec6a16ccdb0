"""Packed septets against vectors of others and against a reader that goes bit by bit."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smpp.septets import fill_bits, pack, unpack


@pytest.mark.parametrize(
    ("septets", "octets"),
    [
        (b"hellohello", "e8329bfd4697d9ec37"),  # the example of many PDU manuals
        (b"How are you?", "c8f71d14969741f977fd07"),
        (b"1234567", "31d98c56b3dd1a"),  # seven: the last seven bits are CR, not @
        (b"12345678", "31d98c56b3dd70"),
        (b"", ""),
    ],
)
def test_vectors(septets: bytes, octets: str) -> None:
    """Both ways."""
    assert pack(septets).hex() == octets
    assert unpack(bytes.fromhex(octets)) == septets


def test_fill_bits() -> None:
    """The first septet begins at a boundary of septets: one bit behind six octets of header, none behind seven."""
    assert [fill_bits(size) for size in (0, 4, 6, 7, 9, 12)] == [0, 3, 1, 0, 5, 2]


@given(st.binary(max_size=160).map(lambda data: bytes(octet & 0x7F for octet in data)), st.integers(0, 6))
def test_there_and_back(septets: bytes, fill: int) -> None:
    """Any septets behind any fill; a last @ or CR may be taken for padding, as on the air."""
    found = unpack(pack(septets, fill), fill)
    assert found == septets or (septets[-1] in b"\0\r" and found == septets[:-1])


def slow_unpack(octets: bytes, fill: int) -> bytes:
    """Bit by bit."""
    bits = "".join(f"{octet:08b}"[::-1] for octet in octets)[fill:]
    found = bytes(int(bits[at : at + 7][::-1], 2) for at in range(0, len(bits) - 6, 7))
    return found[:-1] if found and len(bits) % 7 == 0 and found[-1] in b"\0\r" else found


@given(st.binary(max_size=40), st.integers(0, 6))
def test_bit_by_bit_it_is_the_same(octets: bytes, fill: int) -> None:
    """Block by block or bit by bit."""
    assert unpack(octets, fill) == slow_unpack(octets, fill)


def test_a_whole_payload_costs_what_its_length_says() -> None:
    """64 KB in message_payload, as a carrier may send them: some hundredths of a second (one big number took a whole one)."""
    began = time.process_time()
    octets = pack(b"\x25" * 70_000, 1)
    assert unpack(octets, 1) == b"\x25" * 70_000
    assert time.process_time() - began < 0.4


@given(st.binary(max_size=160), st.integers(0, 6))
def test_unpacking_never_raises(octets: bytes, fill: int) -> None:
    """Whatever came."""
    assert len(unpack(octets, fill)) <= len(octets) * 8 // 7
