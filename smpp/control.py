"""PDUs that open and close a link: bind, unbind, their responses, generic_nack.

This module refuses to know when they are due (session.py). Encoding is smpplib's; its habits that would bite are
undone here, each once:

| smpplib 2.2 | Here |
|---|---|
| `make_pdu(sequence=...)` is ignored, the sequence comes from a client object | set as an attribute after making |
| interface_version is always overwritten with 0x34 | set as an attribute after making |
| strings that are too long are cut without a word | refused with LocalProtocolError |
| passwords end at 8 characters | up to 32 are let through, since carriers issue them (Infobip) |

Decoding a bind is ours: smpplib takes a missing NUL for a string that ends one byte before the last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from smpplib import smpp as smpplib_smpp
from smpplib.command import Param

import smpp.constants as c
from smpp.errors import BadPdu, LocalProtocolError
from smpp.fields import decode_header, decode_tlvs, read_c_string
from smpp.framing import HEADER_BYTES

SYSTEM_ID_CHARS_MAX = 15
PASSWORD_CHARS_MAX = 32
SYSTEM_TYPE_CHARS_MAX = 12
ADDRESS_RANGE_CHARS_MAX = 40


class BindMode(IntEnum):
    """What a link carries; the value is the bind's command_id."""

    RECEIVER = c.BIND_RECEIVER
    TRANSMITTER = c.BIND_TRANSMITTER
    TRANSCEIVER = c.BIND_TRANSCEIVER

    @property
    def short(self) -> str:
        """rx, tx or trx, as configuration files have it."""
        return {1: "rx", 2: "tx", 9: "trx"}[self]

    @classmethod
    def of(cls, short: str) -> BindMode:
        """The mode written as rx, tx or trx. Raises LocalProtocolError for anything else."""
        for mode in cls:
            if mode.short == short:
                return mode
        raise LocalProtocolError(f"bind mode {short!r} is not rx, tx or trx")


@dataclass(slots=True)
class Bind:
    """A bind request as it came. The password is never in its repr."""

    mode: BindMode
    sequence: int
    system_id: str
    password: str = field(repr=False)
    system_type: str
    version: int
    addr_ton: int
    addr_npi: int
    address_range: str


def _make(name: str, sequence: int, status: int, **fields: Any) -> bytes:
    made = smpplib_smpp.make_pdu(name, status=status, sequence=sequence, **fields)
    made.sequence = sequence
    for field_name, value in fields.items():
        setattr(made, field_name, value)
    if "password" in fields:
        made.params = {**made.params, "password": Param(type=str, max=PASSWORD_CHARS_MAX + 1)}
    generated: bytes = made.generate()
    return generated


def _check(name: str, text: str, chars_max: int) -> None:
    if len(text) > chars_max:
        raise LocalProtocolError(f"{name}: {len(text)} characters, at most {chars_max}")
    if any(not 0 < ord(character) < 256 for character in text):
        raise LocalProtocolError(f"{name}: NUL or a character outside latin-1")


def bind(
    mode: BindMode,
    system_id: str,
    password: str,
    *,
    system_type: str = "",
    version: int = c.VERSION_34,
    sequence: int = 1,
    addr_ton: int = 0,
    addr_npi: int = 0,
    address_range: str = "",
) -> bytes:
    """bind_receiver, bind_transmitter or bind_transceiver (4.1). Raises LocalProtocolError for a field that does not fit."""
    _check("system_id", system_id, SYSTEM_ID_CHARS_MAX)
    _check("password", password, PASSWORD_CHARS_MAX)
    _check("system_type", system_type, SYSTEM_TYPE_CHARS_MAX)
    _check("address_range", address_range, ADDRESS_RANGE_CHARS_MAX)
    return _make(
        f"bind_{mode.name.lower()}",
        sequence,
        0,
        system_id=system_id,
        password=password,
        system_type=system_type,
        interface_version=version,
        addr_ton=addr_ton,
        addr_npi=addr_npi,
        address_range=address_range,
    )


def bind_resp(mode: BindMode, status: int, sequence: int, system_id: str = "", version: int | None = c.VERSION_34) -> bytes:
    """The response to a bind (4.1.2). An error has no TLV; `version` None leaves sc_interface_version out."""
    _check("system_id", system_id, SYSTEM_ID_CHARS_MAX)
    sent_version = None if status else version
    name = f"bind_{mode.name.lower()}_resp"
    return _make(name, sequence, status, system_id=system_id, sc_interface_version=sent_version)


def unbind(sequence: int) -> bytes:
    """unbind (4.2.1): no more requests will come over this link."""
    return _make("unbind", sequence, 0)


def unbind_resp(sequence: int, status: int = 0) -> bytes:
    """unbind_resp (4.2.2)."""
    return _make("unbind_resp", sequence, status)


def generic_nack(sequence: int, status: int) -> bytes:
    """generic_nack (4.3.1): the answer to a PDU that is no PDU we know. `sequence` is 0 when it could not be read."""
    return _make("generic_nack", sequence, status)


def decode_bind(data: bytes) -> Bind:
    """A bind request of any mode. Raises BadPdu naming the field; missing trailing fields are errors too."""
    _, command_id, _, sequence = decode_header(data)
    try:
        mode = BindMode(command_id)
    except ValueError:
        raise BadPdu(command_id, sequence, "command_id", "not a bind", c.ESME_RINVCMDID) from None
    position = HEADER_BYTES
    system_id, position = read_c_string(data, position, "system_id", SYSTEM_ID_CHARS_MAX, c.ESME_RINVSYSID)
    password, position = read_c_string(data, position, "password", PASSWORD_CHARS_MAX, c.ESME_RINVPASWD)
    system_type, position = read_c_string(data, position, "system_type", SYSTEM_TYPE_CHARS_MAX, c.ESME_RINVSYSTYP)
    if position + 3 > len(data):
        raise BadPdu(command_id, sequence, "interface_version", "the body ends before it", c.ESME_RINVCMDLEN)
    version, addr_ton, addr_npi = data[position : position + 3]
    address_range, _ = read_c_string(data, position + 3, "address_range", ADDRESS_RANGE_CHARS_MAX, c.ESME_RINVCMDLEN)
    return Bind(mode, sequence, system_id, password, system_type, version, addr_ton, addr_npi, address_range)


def decode_bind_resp(data: bytes) -> tuple[int, int, str, int | None]:
    """(command_status, sequence_number, system_id, sc_interface_version or None) of a bind response.

    A bind must get its answer, so only a missing header raises BadPdu: an absent or unended system_id is what there
    is of it, unreadable TLVs count as absent.
    """
    _, _, status, sequence = decode_header(data)
    end = data.find(b"\0", HEADER_BYTES)
    if end < 0:
        return status, sequence, data[HEADER_BYTES:].decode("latin-1"), None
    try:
        version = decode_tlvs(data, end + 1).get(c.TLV_SC_INTERFACE_VERSION, b"")
    except BadPdu:
        version = b""
    return status, sequence, data[HEADER_BYTES:end].decode("latin-1"), version[0] if len(version) == 1 else None
