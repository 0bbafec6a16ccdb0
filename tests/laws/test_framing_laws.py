"""Law: however a stream is cut into reads, the same PDUs come out of it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from smpp.errors import FramingLost
from smpp.framing import Framer

bodies = st.lists(st.binary(max_size=80), max_size=12)


def drain(framer: Framer, chunks: list[bytes]) -> tuple[list[bytes], bool]:
    """All PDUs of the chunks, and whether the stream broke."""
    pdus: list[bytes] = []
    for chunk in chunks:
        try:
            pdus += framer.feed(chunk)
        except FramingLost as lost:
            return pdus + lost.pdus, True
    return pdus, False


def cut_at(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The stream in pieces."""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


@given(bodies, st.lists(st.integers(0, 2000), max_size=30), st.booleans())
def test_split_invariance(bodies: list[bytes], cuts: list[int], byte_by_byte: bool) -> None:
    """Any cut, down to single bytes, gives the PDUs that were sent, in order."""
    pdus = [(16 + len(body)).to_bytes(4, "big") + bytes(12) + body for body in bodies]
    stream = b"".join(pdus)
    chunks = [stream[i : i + 1] for i in range(len(stream))] if byte_by_byte else cut_at(stream, cuts)
    framer = Framer()
    assert drain(framer, chunks) == (pdus, False)
    assert framer.pending_bytes == 0


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=10))
def test_any_bytes_any_cut(stream: bytes, cuts: list[int]) -> None:
    """For bytes that are no PDUs the cut does not matter either: same PDUs, same break, nothing but FramingLost raised."""
    assert drain(Framer(100), cut_at(stream, cuts)) == drain(Framer(100), [stream])


@given(bodies, st.lists(st.integers(0, 2000), max_size=10), st.sampled_from([0, 1, 15, 101, 0xFFFFFFFF]))
def test_break_keeps_what_came_before(bodies: list[bytes], cuts: list[int], length: int) -> None:
    """A bad length after good PDUs: all the good ones come out, however the bytes arrive."""
    pdus = [(16 + len(body)).to_bytes(4, "big") + bytes(12) + body for body in bodies]
    stream = b"".join(pdus) + length.to_bytes(4, "big") + b"rest"
    assert drain(Framer(100), cut_at(stream, cuts)) == (pdus, True)
