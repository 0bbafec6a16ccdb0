"""The PDUs of the hot path as values: submit_sm, deliver_sm, data_sm, enquire_link and their responses.

This module refuses to know what a message means (text.py, segments.py, receipts.py), who may send which PDU when
(session.py) and how bytes travel (link.py). The PDUs of opening and closing a link are control.py's.

A PDU in half a page (SMPP 3.4, 3.2 and 4.4)
--------------------------------------------
Sixteen bytes of header, four big-endian words: command_length, command_id, command_status, sequence_number. Then the
mandatory fields in fixed order, then any number of TLVs (tag, length, value). submit_sm and deliver_sm share one body:

    service_type 0 | ton npi source_addr 0 | ton npi destination_addr 0 | esm_class protocol_id priority_flag
    | schedule_delivery_time 0 | validity_period 0 | registered_delivery replace_if_present data_coding
    sm_default_msg_id sm_length | short_message | TLVs

Strings end with a NUL and have a longest length; integers are one byte. So of a body that goes to a thousand numbers
only destination_addr and short_message change: `SubmitTemplate` writes the rest once (0.5 us a body where smpplib
needs 64). Decoding matches the mandatory part with one compiled pattern, which checks every bound on the way; only
when it does not match does a slow, plain twin walk the fields to name the one that is wrong.

What decoding promises
----------------------
Any bytes give a value or a BadPdu naming the field; no other exception. TLVs nobody knows are kept as raw bytes. What
carriers are known to do and what happens:

| Carrier's habit | Here |
|---|---|
| error response without body, or with one, or with rubbish after it | status counts, an id is read if there is one |
| accepted with an empty message_id or none at all | message_id "" |
| message_id of any shape and case up to 64 characters | latin-1 text, never changed |
| text in message_payload, short_message empty | folded into short_message |
| a stray NUL between short_message and the TLVs or the end | dropped |
| a TLV of a deliver_sm that is longer than the PDU | it and what follows is dropped, the rest is read |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from struct import Struct, error
from typing import NoReturn, TypeVar

import smpp.constants as c
from smpp.errors import BadPdu, LocalProtocolError
from smpp.fields import (
    bad_pdu,
    decode_header,
    decode_tlvs,
    encode_tlvs,
    read_c_string,
    read_plan,
    read_tlvs,
    skip,
    unpack_header,
    whole_tlvs,
    write_c_string,
)
from smpp.framing import HEADER_BYTES
from smpp.messages import NO_TLVS, DeliverSm, ShortMessage, SubmitSm

__all__ = [
    "DeliverSm",
    "ShortMessage",
    "SubmitSm",
    "SubmitTemplate",
    "data_sm_resp",
    "decode_data_sm",
    "decode_deliver_sm",
    "decode_header",
    "decode_message_id",
    "decode_submit_sm",
    "decode_submit_sm_resp",
    "decode_submit_sm_resp_tlvs",
    "deliver_sm_body",
    "deliver_sm_resp",
    "enquire_link",
    "enquire_link_resp",
    "pdu",
    "submit_sm_resp",
]

ADDRESS_CHARS_MAX = 20
SERVICE_TYPE_CHARS_MAX = 5
TIME_CHARS_MAX = 16
MESSAGE_ID_CHARS_MAX = 64
SHORT_MESSAGE_BYTES_MAX = 254
PAYLOAD_BYTES_MAX = 65_535
DATA_SM_ADDRESS_CHARS_MAX = 64

_pack_header = Struct(">IIII").pack
_pack_header_nul = Struct(">IIIIx").pack
_tlv = Struct(">HH")
_OCTET = tuple(bytes((n,)) for n in range(256))


_Message = TypeVar("_Message", bound=ShortMessage)
_new = tuple.__new__  # a message without the detour through its named constructor, which takes three times as long


# --- encoding ---------------------------------------------------------------------------------------------------


class SubmitTemplate:
    """Everything of a submit_sm (or deliver_sm) body but the destination and the message, written once.

    `source` is at most 20 latin-1 characters; TON, NPI, `esm_class`, `data_coding`, `registered_delivery`, `priority` and
    `protocol_id` are single bytes; `schedule` and `validity` are SMPP times ("" or 16 characters); `tlvs` go behind
    every body. Raises LocalProtocolError, naming the field, for what does not fit.
    """

    __slots__ = ("_after", "_before", "_suffix")

    def __init__(
        self,
        source: str,
        *,
        source_ton: int,
        source_npi: int,
        dest_ton: int,
        dest_npi: int,
        service_type: str = "",
        esm_class: int = 0,
        data_coding: int = 0,
        schedule: str = "",
        validity: str = "",
        registered_delivery: int = 1,
        replace_if_present: int = 0,
        priority: int = 0,
        protocol_id: int = 0,
        default_message_id: int = 0,
        tlvs: Mapping[int, bytes] | None = None,
    ) -> None:
        try:
            self._before = b"%b%c%c%b%c%c" % (
                write_c_string("service_type", service_type, SERVICE_TYPE_CHARS_MAX),
                source_ton,
                source_npi,
                write_c_string("source_addr", source, ADDRESS_CHARS_MAX),
                dest_ton,
                dest_npi,
            )
            self._after = b"\0%c%c%c%b%b%c%c%c%c" % (
                esm_class,
                protocol_id,
                priority,
                write_c_string("schedule_delivery_time", schedule, TIME_CHARS_MAX),
                write_c_string("validity_period", validity, TIME_CHARS_MAX),
                registered_delivery,
                replace_if_present,
                data_coding,
                default_message_id,
            )
        except OverflowError:
            raise LocalProtocolError("a one-byte field is outside 0..255") from None
        self._suffix = encode_tlvs(tlvs) if tlvs else b""

    def body(self, dest: str, message: bytes) -> bytes:
        """All that follows the header, for one destination (at most 20 characters) and one message.

        `message` is the user data with its UDH, if any. Beyond 254 bytes it goes into message_payload with
        sm_length 0. Raises LocalProtocolError for a destination or message that does not fit.
        """
        length = len(message)
        address = dest.encode()
        if len(address) > ADDRESS_CHARS_MAX or not address.isalnum():
            address = _rare_address(dest)
        if length <= SHORT_MESSAGE_BYTES_MAX:
            return b"".join((self._before, address, self._after, _OCTET[length], message, self._suffix))
        if length > PAYLOAD_BYTES_MAX:
            raise LocalProtocolError(f"short_message: {length} bytes, at most {PAYLOAD_BYTES_MAX}")
        payload = _tlv.pack(c.TLV_MESSAGE_PAYLOAD, length) + message
        return b"".join((self._before, address, self._after, b"\0", payload, self._suffix))

    def parts(self, dest: str, stem: bytes, parts: Sequence[bytes], numbers: Iterable[int]) -> list[bytes]:
        """`body` for each of the 1-based `numbers` of `parts`, all to one destination: `stem`, an octet with the number, and
        the part. Raises as it does."""
        address = dest.encode()
        if len(address) > ADDRESS_CHARS_MAX or not address.isalnum():
            address = _rare_address(dest)
        front, suffix, size, octets = b"".join((self._before, address, self._after)), self._suffix, len(stem) + 1, _OCTET
        found: list[bytes] = []
        for number in numbers:
            part = parts[number - 1]
            length = size + len(part)
            if length > SHORT_MESSAGE_BYTES_MAX:
                found.append(self.body(dest, b"".join((stem, octets[number], part))))
            else:
                found.append(b"".join((front, octets[length], stem, octets[number], part, suffix)))
        return found


def _rare_address(dest: str) -> bytes:
    """A destination that is not just digits and letters: '+', '#', '*' pass, NUL raises."""
    return write_c_string("destination_addr", dest, ADDRESS_CHARS_MAX)[:-1]


def deliver_sm_body(
    source: str,
    dest: str,
    short_message: bytes,
    *,
    source_ton: int = 1,
    source_npi: int = 1,
    dest_ton: int = 1,
    dest_npi: int = 1,
    service_type: str = "",
    esm_class: int = 0,
    data_coding: int = 0,
    protocol_id: int = 0,
    priority: int = 0,
    tlvs: Mapping[int, bytes] | None = None,
) -> bytes:
    """The body of one deliver_sm, as an SMSC sends it. Raises LocalProtocolError for a field that does not fit."""
    template = SubmitTemplate(
        source,
        source_ton=source_ton,
        source_npi=source_npi,
        dest_ton=dest_ton,
        dest_npi=dest_npi,
        service_type=service_type,
        esm_class=esm_class,
        data_coding=data_coding,
        registered_delivery=0,
        priority=priority,
        protocol_id=protocol_id,
        tlvs=tlvs,
    )
    return template.body(dest, short_message)


def pdu(command_id: int, status: int, sequence: int, body: bytes = b"") -> bytes:
    """A whole PDU: the header for `body`, then `body`. Raises LocalProtocolError for a word beyond 32 bits."""
    try:
        return _pack_header(HEADER_BYTES + len(body), command_id, status, sequence) + body
    except error:
        raise LocalProtocolError("command_id, status or sequence is outside 32 bits") from None


def submit_sm_resp(sequence: int, status: int, message_id: str, tlvs: bytes = b"") -> bytes:
    """submit_sm_resp; an error without an id has no body (4.4.2). `tlvs` are written already; SMPP 5 has some, carriers their
    own. Raises LocalProtocolError for an id that does not fit."""
    if status and not message_id:
        return pdu(c.SUBMIT_SM_RESP, status, sequence)
    return pdu(c.SUBMIT_SM_RESP, status, sequence, write_c_string("message_id", message_id, MESSAGE_ID_CHARS_MAX) + tlvs)


def deliver_sm_resp(sequence: int, status: int = 0) -> bytes:
    """deliver_sm_resp with its message_id, which SMPP leaves unused and wants to be a NUL (4.6.2)."""
    return _pack_header_nul(17, c.DELIVER_SM_RESP, status, sequence)


def data_sm_resp(sequence: int, status: int = 0) -> bytes:
    """data_sm_resp with an empty message_id (4.7.2)."""
    return _pack_header_nul(17, c.DATA_SM_RESP, status, sequence)


def enquire_link(sequence: int) -> bytes:
    """enquire_link (4.11.1): is the other end still there?"""
    return _pack_header(HEADER_BYTES, c.ENQUIRE_LINK, 0, sequence)


def enquire_link_resp(sequence: int, status: int = 0) -> bytes:
    """enquire_link_resp (4.11.2)."""
    return _pack_header(HEADER_BYTES, c.ENQUIRE_LINK_RESP, status, sequence)


# --- decoding ---------------------------------------------------------------------------------------------------


def decode_submit_sm_resp(data: bytes) -> tuple[int, int, str]:
    """(command_status, sequence_number, message_id) of a submit_sm_resp.

    An answer must always settle its segment, so a body can be absent, cut off or too long without raising: an id
    that is absent, or longer than the 64 characters any receipt could give back, is "". Raises BadPdu only where there
    is no header.
    """
    _, _, status, sequence = decode_header(data)
    return status, sequence, decode_message_id(data)


def decode_message_id(data: bytes) -> str:
    """The message_id alone, of a PDU that is known to be a submit_sm_resp. Raises nothing."""
    end = data.find(b"\0", 16)
    message_id = data[16:] if end < 0 else data[16:end]
    if len(message_id) > MESSAGE_ID_CHARS_MAX:
        return ""
    return message_id.decode() if message_id.isascii() else message_id.decode("latin-1")  # to name it costs more than to do it


def decode_submit_sm_resp_tlvs(data: bytes) -> dict[int, bytes]:
    """The TLVs behind message_id, where a carrier adds some (SMPP 5, 4.2.3); {} when there are none or none can be read."""
    end = data.find(b"\0", HEADER_BYTES)
    return (read_tlvs(data, end + 1) if end > 0 else None) or {}


_match_body = re.compile(
    rb"([^\0]{0,5})\0(..)([^\0]{0,20})\0(..)([^\0]{0,20})\0(...)([^\0]{0,16})\0([^\0]{0,16})\0(.....)", re.DOTALL
).match
BODY_UNGROUPED = rb"[^\0]{0,5}+\0..[^\0]{0,20}+\0..[^\0]{0,20}+\0(.)..[^\0]{0,16}+\0[^\0]{0,16}+\0....(.)"
"""The same for who wants esm_class and sm_length only, and looks on into short_message (receipts.py); with re.DOTALL."""
# {0,n} bounds and the \0 after them make each field end where a plain walk would end it: there is one way to match.


def _decode(data: bytes, kind: type[_Message]) -> _Message:
    try:
        _, _, status, sequence = unpack_header(data)
    except error:
        decode_header(data)
        raise
    matched = _match_body(data, 16)
    if matched is None:
        _blame(data)
    service_type, source_plan, source, dest_plan, dest, modes, schedule, validity, tail = matched.groups()
    start = matched.end()
    length = tail[4]
    end = start + length
    if end > len(data):
        bad_pdu(data, "short_message", f"sm_length {length}, {len(data) - start} bytes left", c.ESME_RINVMSGLEN)
    message = data[start:end]
    tlvs = NO_TLVS
    if end < len(data):
        try:
            found = decode_tlvs(data, end)
        except BadPdu:
            if kind is not DeliverSm:
                raise
            found = whole_tlvs(data, end)  # a receipt that is refused comes again and again
        if not message and c.TLV_MESSAGE_PAYLOAD in found:
            message = found.pop(c.TLV_MESSAGE_PAYLOAD)
        tlvs = found
    return _new(
        kind,
        (
            service_type.decode("latin-1") if service_type else "",
            source_plan[0], source_plan[1], source.decode("latin-1"),
            dest_plan[0], dest_plan[1], dest.decode("latin-1"),
            modes[0], modes[1], modes[2],
            schedule.decode("latin-1") if schedule else "",
            validity.decode("latin-1") if validity else "",
            tail[0], tail[1], tail[2], tail[3],
            message, tlvs, sequence, status,
        ),
    )  # fmt: skip


def decode_submit_sm(data: bytes) -> SubmitSm:
    """A submit_sm from its PDU. Raises BadPdu naming the first field that is cut off, unended or too long."""
    return _decode(data, SubmitSm)


def decode_deliver_sm(data: bytes) -> DeliverSm:
    """A deliver_sm from its PDU. Raises BadPdu naming the first field that is cut off, unended or too long."""
    return _decode(data, DeliverSm)


def decode_data_sm(data: bytes) -> DeliverSm:
    """A data_sm (4.7.1) in the shape of a deliver_sm, because some carriers send receipts that way. Raises BadPdu."""
    _, _, status, sequence = decode_header(data)
    position = HEADER_BYTES
    service_type, position = read_c_string(data, position, "service_type", SERVICE_TYPE_CHARS_MAX, c.ESME_RINVSERTYP)
    source_ton, source_npi, position = read_plan(data, position, "source_addr_ton")
    source, position = read_c_string(data, position, "source_addr", DATA_SM_ADDRESS_CHARS_MAX, c.ESME_RINVSRCADR)
    dest_ton, dest_npi, position = read_plan(data, position, "dest_addr_ton")
    dest, position = read_c_string(data, position, "destination_addr", DATA_SM_ADDRESS_CHARS_MAX, c.ESME_RINVDSTADR)
    if position + 3 > len(data):
        bad_pdu(data, "esm_class", "the body ends before it", c.ESME_RINVCMDLEN)
    esm_class, registered_delivery, data_coding = data[position : position + 3]
    tlvs = decode_tlvs(data, position + 3)
    return DeliverSm(
        service_type=service_type,
        source_addr_ton=source_ton,
        source_addr_npi=source_npi,
        source_addr=source,
        dest_addr_ton=dest_ton,
        dest_addr_npi=dest_npi,
        destination_addr=dest,
        esm_class=esm_class,
        registered_delivery=registered_delivery,
        data_coding=data_coding,
        short_message=tlvs.pop(c.TLV_MESSAGE_PAYLOAD, b""),
        tlvs=tlvs,
        sequence=sequence,
        status=status,
    )


def _blame(data: bytes) -> NoReturn:
    """Walk the shared body field by field until the one that is wrong."""
    _, position = read_c_string(data, HEADER_BYTES, "service_type", SERVICE_TYPE_CHARS_MAX, c.ESME_RINVSERTYP)
    position = skip(data, position, 2, "source_addr_ton")
    _, position = read_c_string(data, position, "source_addr", ADDRESS_CHARS_MAX, c.ESME_RINVSRCADR)
    position = skip(data, position, 2, "dest_addr_ton")
    _, position = read_c_string(data, position, "destination_addr", ADDRESS_CHARS_MAX, c.ESME_RINVDSTADR)
    position = skip(data, position, 3, "esm_class")
    _, position = read_c_string(data, position, "schedule_delivery_time", TIME_CHARS_MAX, c.ESME_RINVSCHED)
    _, position = read_c_string(data, position, "validity_period", TIME_CHARS_MAX, c.ESME_RINVEXPIRY)
    skip(data, position, 5, "registered_delivery")
    bad_pdu(data, "body", "the pattern and the walk disagree", c.ESME_RSYSERR)  # never: tests/laws/test_codec_laws.py
