"""The parts PDU bodies are made of: the header, C-octet strings, TLVs. Written and read, every bound checked.

This module refuses to know which PDU has which fields (codec.py, control.py). Writing raises LocalProtocolError, reading
raises BadPdu, both naming the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct, error
from typing import NoReturn

import smpp.constants as c
from smpp.errors import BadPdu, LocalProtocolError
from smpp.framing import HEADER_BYTES

unpack_header = Struct(">IIII").unpack_from
_tlv = Struct(">HH")


def write_c_string(name: str, text: str, chars_max: int) -> bytes:
    """`text` in latin-1 with its NUL. Raises LocalProtocolError when it has more than `chars_max` characters, a NUL, or a
    character outside latin-1."""
    if len(text) > chars_max:
        raise LocalProtocolError(f"{name}: {len(text)} characters, at most {chars_max}")
    if "\0" in text:
        raise LocalProtocolError(f"{name}: a NUL would end the field early")
    try:
        return text.encode("latin-1") + b"\0"
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{name}: a character outside latin-1") from None


def encode_tlvs(tlvs: Mapping[int, bytes]) -> bytes:
    """TLVs as bytes in the mapping's order. Raises LocalProtocolError for a tag or value beyond 16 bits."""
    try:
        return b"".join([_tlv.pack(tag, len(value)) + value for tag, value in tlvs.items()])
    except error:
        raise LocalProtocolError("tlvs: tag or length beyond 65535") from None


def decode_header(data: bytes) -> tuple[int, int, int, int]:
    """(command_length, command_id, command_status, sequence_number) as sent. Raises BadPdu below sixteen bytes."""
    try:
        return unpack_header(data)
    except error:
        raise BadPdu(0, 0, "command_length", f"{len(data)} bytes hold no header", c.ESME_RINVCMDLEN) from None


def decode_tlvs(data: bytes, position: int = 0) -> dict[int, bytes]:
    """TLVs from `position` to the end. A stray NUL before them is dropped (it has been seen behind short_message).

    Raises BadPdu (field "tlvs") when a header or a value is cut off.
    """
    tlvs = read_tlvs(data, position)
    if tlvs is None and data[position] == 0:
        tlvs = read_tlvs(data, position + 1)
    if tlvs is None:
        command_id, sequence = identify(data)
        raise BadPdu(command_id, sequence, "tlvs", "an optional parameter is cut off", c.ESME_RINVOPTPARSTREAM)
    return tlvs


def read_tlvs(data: bytes, position: int) -> dict[int, bytes] | None:
    """TLVs from `position` to the end, None when one is cut off."""
    tlvs: dict[int, bytes] = {}
    end = len(data)
    unpack = _tlv.unpack_from
    while position < end:
        if position + 4 > end:
            return None
        tag, length = unpack(data, position)
        position += 4 + length
        if position > end:
            return None
        tlvs[tag] = data[position - length : position]
    return tlvs


def whole_tlvs(data: bytes, position: int) -> dict[int, bytes]:
    """TLVs from `position` up to the first that is cut off. Raises nothing."""
    tlvs: dict[int, bytes] = {}
    while position + 4 <= len(data):
        tag, length = _tlv.unpack_from(data, position)
        position += 4 + length
        if position > len(data):
            break
        tlvs[tag] = data[position - length : position]
    return tlvs


def identify(data: bytes) -> tuple[int, int]:
    """command_id and sequence_number for an error, zeros where there is no header."""
    if len(data) < HEADER_BYTES:
        return 0, 0
    _, command_id, _, sequence = unpack_header(data)
    return command_id, sequence


def bad_pdu(data: bytes, name: str, why: str, status: int) -> NoReturn:
    """Raise BadPdu for the PDU `data`."""
    command_id, sequence = identify(data)
    raise BadPdu(command_id, sequence, name, why, status)


def read_c_string(data: bytes, position: int, name: str, chars_max: int, status: int) -> tuple[str, int]:
    """A NUL-ended string at `position` and the position behind its NUL.

    Raises BadPdu with `name` and `status` when there is no NUL within `chars_max` + 1 bytes.
    """
    end = data.find(b"\0", position, position + chars_max + 1)
    if end >= 0:
        return data[position:end].decode("latin-1"), end + 1
    if len(data) - position > chars_max:
        bad_pdu(data, name, f"no NUL within {chars_max + 1} bytes", status)
    bad_pdu(data, name, "the body ends before its NUL", c.ESME_RINVCMDLEN)


def read_plan(data: bytes, position: int, name: str) -> tuple[int, int, int]:
    """TON, NPI and the position behind them. Raises BadPdu with `name`."""
    if position + 2 > len(data):
        bad_pdu(data, name, "the body ends before it", c.ESME_RINVCMDLEN)
    return data[position], data[position + 1], position + 2


def skip(data: bytes, position: int, byte_count: int, name: str) -> int:
    """The position behind `byte_count` bytes. Raises BadPdu with `name` when they are not there."""
    if position + byte_count > len(data):
        bad_pdu(data, name, "the body ends before it", c.ESME_RINVCMDLEN)
    return position + byte_count
