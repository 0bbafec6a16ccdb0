"""Bytes of a stream in, whole PDUs out.

This module refuses to know what is in a PDU beyond its first four bytes, and never does IO.

Theory (SMPP 3.4, 3.2): each PDU begins with command_length, a big-endian unsigned 32-bit count of all its bytes, the
sixteen of the header included. There is no marker to find the next PDU by, so one unbelievable length ends the
stream. Law: however the stream is cut into reads, the same PDUs come out (tests/laws/test_framing_laws.py).
"""

from __future__ import annotations

from struct import Struct

from smpp.errors import FramingLost

HEADER_BYTES = 16
PDU_BYTES_MAX = 65_536

_length_at = Struct(">I").unpack_from


class Framer:
    """Cuts a byte stream into PDUs. Keeps at most one incomplete PDU, so its memory is bounded by `pdu_bytes_max`
    plus one read."""

    __slots__ = ("_broken", "_needed_bytes", "_pending", "pdu_bytes_max")

    def __init__(self, pdu_bytes_max: int = PDU_BYTES_MAX) -> None:
        self.pdu_bytes_max = pdu_bytes_max
        self._pending = bytearray()
        self._needed_bytes = 4  # of _pending, before looking at it is worth the while
        self._broken = ""

    @property
    def fresh(self) -> bool:
        """Does what comes next begin with a PDU? Not where one has begun, nor where the stream cannot be trusted."""
        return not self._pending and not self._broken

    @property
    def pending_bytes(self) -> int:
        """Bytes of a PDU that is not whole yet."""
        return len(self._pending)

    def feed(self, data: bytes) -> list[bytes]:
        """Take one read and return the PDUs that are now whole, header included, in order.

        Raises FramingLost for a command_length below 16 or above `pdu_bytes_max`; the whole PDUs before it are in
        the error's `pdus`. From then on every call raises: the stream cannot be trusted again.
        """
        if self._broken:
            raise FramingLost(self._broken)
        pending = self._pending
        if pending:
            # A bytearray grows in place; joining bytes on each read would be quadratic for a peer that drips.
            pending += data
            if len(pending) < self._needed_bytes:
                return []
            data = bytes(pending)
            pending.clear()
        pdus: list[bytes] = []
        append = pdus.append
        position, end, longest = 0, len(data), self.pdu_bytes_max
        while end - position >= 4:
            length: int = _length_at(data, position)[0]
            if length < HEADER_BYTES or length > longest:
                self._broken = f"command_length {length} is outside 16..{longest}"
                raise FramingLost(self._broken, pdus)
            stop = position + length
            if stop > end:
                self._needed_bytes = length
                pending += data[position:]
                return pdus
            append(data[position:stop])
            position = stop
        if position < end:
            self._needed_bytes = 4
            pending += data[position:]
        return pdus
