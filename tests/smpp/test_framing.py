"""Framing: limits of command_length, and nothing lost before a break."""

from __future__ import annotations

import pytest

from smpp.codec import enquire_link, pdu
from smpp.errors import FramingLost
from smpp.framing import Framer


def test_whole_and_incomplete() -> None:
    """A read may hold several PDUs and the beginning of another."""
    framer = Framer()
    first, second = enquire_link(1), pdu(4, 0, 2, b"body")
    assert [first] == framer.feed(first + second[:19])
    assert framer.pending_bytes == 19
    assert framer.feed(b"") == []
    assert [second] == framer.feed(second[19:])
    assert framer.pending_bytes == 0


@pytest.mark.parametrize("length", [16, 99, 100])
def test_lengths_within(length: int) -> None:
    """From the bare header up to the limit, both included."""
    whole = length.to_bytes(4, "big") + bytes(length - 4)
    assert [whole] == Framer(pdu_bytes_max=100).feed(whole)


@pytest.mark.parametrize("length", [0, 15, 101, 0xFFFFFFFF])
def test_lengths_outside(length: int) -> None:
    """Below a header or above the limit nothing can be trusted: refused from four bytes on, without waiting for the rest."""
    framer = Framer(pdu_bytes_max=100)
    with pytest.raises(FramingLost, match="command_length"):
        framer.feed(length.to_bytes(4, "big"))
    with pytest.raises(FramingLost):
        framer.feed(enquire_link(1))


def test_what_came_before_the_break_is_kept() -> None:
    """Good PDUs in the read that breaks are in the error: answers that did arrive must not count as lost."""
    with pytest.raises(FramingLost) as caught:
        Framer().feed(enquire_link(1) + enquire_link(2) + b"\0\0\0\x01")
    assert [enquire_link(1), enquire_link(2)] == caught.value.pdus


def test_pending_is_bounded() -> None:
    """A peer that announces the longest PDU and drips cannot make us keep more than that."""
    framer = Framer(pdu_bytes_max=1000)
    framer.feed((1000).to_bytes(4, "big"))
    for _ in range(995):
        framer.feed(b"x")
    assert framer.pending_bytes == 999
    assert len(framer.feed(b"x")[0]) == 1000
