"""SMPP as the carriers of this world speak it: read and written by hand, so that a mistake of smpp/ is not made twice.

It refuses to know sessions and messages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

BINDS = {0x00000001: "rx", 0x00000002: "tx", 0x00000009: "trx"}
SUBMIT, DELIVER, UNBIND, ENQUIRE, NACK = 0x00000004, 0x00000005, 0x00000006, 0x00000015, 0x80000000
RESPONSE = 0x80000000
OK, RALYBND, RSYSERR, RINVPASWD, RBINDFAIL = 0x00, 0x05, 0x08, 0x0E, 0x0D
THROTTLED, QUEUE_FULL = 0x58, 0x14
_HEADER = struct.Struct(">IIII")


class Head(NamedTuple):
    """The header of a PDU."""

    length: int
    command: int
    status: int
    sequence: int


class Submitted(NamedTuple):
    """What a submit_sm says: to whom, and the part it is. `reference` 0 and `total` 1 for an unsplit message."""

    to: str
    coding: int
    reference: int
    part: int
    total: int
    payload: bytes


def head(pdu: bytes | memoryview, at: int = 0) -> Head:
    """The header at this place."""
    return Head(*_HEADER.unpack_from(pdu, at))


def each(data: bytes | memoryview) -> Iterator[tuple[Head, int, int]]:
    """Every whole PDU in `data`: its header, where it begins and where it ends."""
    at, size = 0, len(data)
    while at + 16 <= size:
        header = Head(*_HEADER.unpack_from(data, at))
        if at + header.length > size:
            return
        yield header, at, at + header.length
        at += header.length


def make(command: int, status: int, sequence: int, body: bytes = b"") -> bytes:
    """A PDU."""
    return _HEADER.pack(16 + len(body), command, status, sequence) + body


def text_at(pdu: bytes, at: int) -> tuple[str, int]:
    """A C octet string and the place behind it."""
    end = pdu.index(0, at)
    return pdu[at:end].decode("latin-1"), end + 1


def submitted(pdu: bytes) -> Submitted:
    """A submit_sm, read."""
    _, at = text_at(pdu, 16)
    _, at = text_at(pdu, at + 2)
    to, at = text_at(pdu, at + 2)
    esm_class = pdu[at]
    _, at = text_at(pdu, at + 3)
    _, at = text_at(pdu, at)
    coding, length = pdu[at + 2], pdu[at + 4]
    message = pdu[at + 5 : at + 5 + length]
    if not esm_class & 0x40:
        return Submitted(to, coding, 0, 1, 1, message)
    udh, payload = message[1 : 1 + message[0]], message[1 + message[0] :]
    if udh[0] == 0:  # an 8-bit reference
        return Submitted(to, coding, udh[2], udh[4], udh[3], payload)
    return Submitted(to, coding, int.from_bytes(udh[2:4], "big"), udh[5], udh[4], payload)


def deliver(sequence: int, source: str, to: str, text: str, esm_class: int = 4, tlvs: bytes = b"") -> bytes:
    """A deliver_sm; by default one that carries a receipt."""
    message = text.encode("latin-1")
    body = b"\0\x01\x01" + source.encode() + b"\0\x01\x01" + to.encode() + b"\0"
    body += bytes([esm_class, 0, 0]) + b"\0\0" + bytes([0, 0, 0, 0, len(message)]) + message + tlvs
    return make(DELIVER, OK, sequence, body)


def tlv(tag: int, value: bytes) -> bytes:
    """An optional parameter."""
    return struct.pack(">HH", tag, len(value)) + value
