"""Every PDU of SMPP 3.4 and 5.0 as a value, encoded and decoded by one table.

This module refuses to know who may send which PDU when (session.py), and it is not the hot path: submit_sm, deliver_sm and
their responses have codec.py for that, binds control.py. Here they are once more, plainly; tests/laws/test_pdu_laws.py proves
all three equal, and equal to smpplib wherever smpplib is right.

    from smpp.pdus import Pdu, decode, encode
    wire = encode(Pdu(Command.QUERY_SM, {"message_id": "4f", "source_addr": "Bank", "source_addr_ton": 5}, sequence=7))
    answer = decode(their_bytes)
    answer["message_state"], answer.tlv("network_error_code")

The table
---------
`BODIES` holds for each command its mandatory fields in their order. A field that is not given is 0, "" or empty. Encoding
checks every bound and raises LocalProtocolError; decoding checks every bound and raises BadPdu; both name the field by
its path: `source_addr`, `dest_address[3].destination_addr`, `tlvs[2]`, `tlvs.message_state`. Nothing else is raised.

What decoding forgives, since carriers do it
--------------------------------------------
| Habit | Here |
|---|---|
| an answer without a body, whatever its status (quirk 26) | fields and TLVs are empty |
| an error answer with a body that cannot be read (quirk 26) | the same: its status is what counts |
| a stray NUL before the TLVs (quirk 13) | dropped |
| TLVs unknown, repeated or malformed | kept as octets; only who asks for one is told |
| passwords above 8 characters, up to 32 (quirk 36) | taken |
| bytes behind a PDU that should have no body (SMPP 3.3 peers) | read as TLVs, else BadPdu |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

import smpp.constants as c
import smpp.tlvs as t
from smpp.constants import Command
from smpp.errors import BadPdu, LocalProtocolError
from smpp.fields import unpack_header, write_c_string
from smpp.framing import HEADER_BYTES, PDU_BYTES_MAX
from smpp.tlvs import Pairs, TlvType, Value

_pack_header = Struct(">IIII").pack
_SECRET: Final = frozenset({"password", "short_message"})
DESTINATIONS_MAX: Final = 255


class Int(NamedTuple):
    """An unsigned big-endian integer."""

    name: str
    octets: int = 1


class Text(NamedTuple):
    """A NUL-ended latin-1 string. `status`: what a bad one is answered with."""

    name: str
    chars_max: int
    status: int = c.ESME_RINVCMDLEN


class Counted(NamedTuple):
    """Octets behind one octet that counts them (sm_length, short_message)."""

    name: str


class Many(NamedTuple):
    """Records behind one octet that counts them. `flags`: each begins with an octet that says which row it has."""

    name: str
    rows: Mapping[int, tuple[Int | Text, ...]]
    flags: bool


Field: TypeAlias = Int | Text | Counted | Many
Record: TypeAlias = Mapping[str, int | str]
FieldValue: TypeAlias = int | str | bytes | tuple[Record, ...]


def _address(kind: str, chars_max: int, status: int, name: str = "") -> tuple[Int | Text, ...]:
    return (Int(f"{kind}_ton"), Int(f"{kind}_npi"), Text(name or kind, chars_max, status))


_SERVICE: Final = Text("service_type", 5, c.ESME_RINVSERTYP)
_ID: Final = Text("message_id", 64, c.ESME_RINVMSGID)
_SOURCE: Final = _address("source_addr", 20, c.ESME_RINVSRCADR)
_DEST: Final = _address("dest_addr", 20, c.ESME_RINVDSTADR, "destination_addr")
_TIMES: Final = (Text("schedule_delivery_time", 16, c.ESME_RINVSCHED), Text("validity_period", 16, c.ESME_RINVEXPIRY))
_BIND: Final = (
    Text("system_id", 15, c.ESME_RINVSYSID),
    Text("password", 32, c.ESME_RINVPASWD),
    Text("system_type", 12, c.ESME_RINVSYSTYP),
    Int("interface_version"),
    Int("addr_ton"),
    Int("addr_npi"),
    Text("address_range", 40),
)
_BIND_RESP: Final = (Text("system_id", 15),)
_MESSAGE: Final = (
    *(Int("esm_class"), Int("protocol_id"), Int("priority_flag"), *_TIMES, Int("registered_delivery")),
    *(Int("replace_if_present_flag"), Int("data_coding"), Int("sm_default_msg_id"), Counted("short_message")),
)
_SHORT_MESSAGE: Final = (_SERVICE, *_SOURCE, *_DEST, *_MESSAGE)
_TO_SME, _TO_LIST = 1, 2
_DESTINATIONS: Final = Many("dest_address", {_TO_SME: _DEST, _TO_LIST: (Text("dl_name", 20, c.ESME_RINVDSTADR),)}, flags=True)
_UNSUCCESS: Final = Many("unsuccess_sme", {0: (*_DEST, Int("error_status_code", 4))}, flags=False)

BODIES: Final[Mapping[Command, tuple[Field, ...]]] = {
    Command.GENERIC_NACK: (),
    Command.BIND_RECEIVER: _BIND,
    Command.BIND_RECEIVER_RESP: _BIND_RESP,
    Command.BIND_TRANSMITTER: _BIND,
    Command.BIND_TRANSMITTER_RESP: _BIND_RESP,
    Command.BIND_TRANSCEIVER: _BIND,
    Command.BIND_TRANSCEIVER_RESP: _BIND_RESP,
    Command.OUTBIND: (Text("system_id", 15, c.ESME_RINVSYSID), Text("password", 32, c.ESME_RINVPASWD)),
    Command.UNBIND: (),
    Command.UNBIND_RESP: (),
    Command.ENQUIRE_LINK: (),
    Command.ENQUIRE_LINK_RESP: (),
    Command.ALERT_NOTIFICATION: (
        *_address("source_addr", 64, c.ESME_RINVSRCADR),
        *_address("esme_addr", 64, c.ESME_RINVDSTADR),
    ),
    Command.SUBMIT_SM: _SHORT_MESSAGE,
    Command.SUBMIT_SM_RESP: (_ID,),
    Command.DELIVER_SM: _SHORT_MESSAGE,
    Command.DELIVER_SM_RESP: (_ID,),
    Command.SUBMIT_MULTI: (_SERVICE, *_SOURCE, _DESTINATIONS, *_MESSAGE),
    Command.SUBMIT_MULTI_RESP: (_ID, _UNSUCCESS),
    Command.DATA_SM: (
        *(_SERVICE, *_address("source_addr", 64, c.ESME_RINVSRCADR)),
        *_address("dest_addr", 64, c.ESME_RINVDSTADR, "destination_addr"),
        *(Int("esm_class"), Int("registered_delivery"), Int("data_coding")),
    ),
    Command.DATA_SM_RESP: (_ID,),
    Command.QUERY_SM: (_ID, *_SOURCE),
    Command.QUERY_SM_RESP: (_ID, Text("final_date", 16), Int("message_state"), Int("error_code")),
    Command.CANCEL_SM: (_SERVICE, _ID, *_SOURCE, *_DEST),
    Command.CANCEL_SM_RESP: (),
    Command.REPLACE_SM: (
        *(_ID, *_SOURCE, *_TIMES),
        *(Int("registered_delivery"), Int("sm_default_msg_id"), Counted("short_message")),
    ),
    Command.REPLACE_SM_RESP: (),
    # SMPP 5.0 (4.4)
    Command.BROADCAST_SM: (
        *(_SERVICE, *_SOURCE, _ID, Int("priority_flag"), *_TIMES),
        *(Int("replace_if_present_flag"), Int("data_coding"), Int("sm_default_msg_id")),
    ),
    Command.BROADCAST_SM_RESP: (_ID,),
    Command.QUERY_BROADCAST_SM: (_ID, *_SOURCE),
    Command.QUERY_BROADCAST_SM_RESP: (_ID,),
    Command.CANCEL_BROADCAST_SM: (_SERVICE, _ID, *_SOURCE),
    Command.CANCEL_BROADCAST_SM_RESP: (),
}


@dataclass(frozen=True, slots=True)
class Pdu:
    """One PDU. `fields` by the specification's names (texts are str, short_message is bytes, records are mappings); `tlvs` raw
    pairs of tag and octets, best made by `smpp.tlvs.pairs`. Neither texts nor passwords are in its repr."""

    command: Command
    fields: Mapping[str, FieldValue]
    tlvs: Pairs = ()
    sequence: int = 1
    status: int = 0

    def __getitem__(self, name: str) -> FieldValue:
        """A mandatory field. Raises KeyError where an answer came without its body."""
        return self.fields[name]

    def tlv(self, key: str | int, own: Iterable[TlvType] = ()) -> Value | None:
        """The typed value of a TLV (of a repeated one the last), None where it is absent or its name is unknown. Raises BadPdu,
        naming it, when its octets are no value of its type."""
        row = t.type_of(key, own)
        tag = row.tag if row is not None else key
        found = [data for each, data in self.tlvs if each == tag]
        if not found or isinstance(tag, str):
            return None
        try:
            return t.typed(tag, found[-1], own)
        except t.MalformedTlv as bad:
            raise BadPdu(self.command, self.sequence, bad.name, bad.why, c.ESME_RINVOPTPARSTREAM) from None

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.fields.items() if name not in _SECRET)
        tags = ", ".join(t.name_of(tag) for tag, _ in self.tlvs)
        return f"Pdu({self.command.name}, {shown}, tlvs=[{tags}], sequence={self.sequence}, status=0x{self.status:08x})"


# --- encoding ---------------------------------------------------------------------------------------------------


def encode(pdu: Pdu) -> bytes:
    """The whole PDU, header included. An answer without fields has no body. Raises LocalProtocolError naming the field."""
    if pdu.command not in BODIES:
        raise LocalProtocolError(f"command_id: 0x{pdu.command:08x} is no command of SMPP 3.4 or 5.0")
    body = BODIES[pdu.command]
    unknown = pdu.fields.keys() - {field.name for field in body}
    if unknown:
        raise LocalProtocolError(f"{min(unknown)}: {pdu.command.name} has no such field")
    for name, word in (("command_status", pdu.status), ("sequence_number", pdu.sequence)):
        if not 0 <= word <= 0xFFFFFFFF:
            raise LocalProtocolError(f"{name}: {word} is outside 32 bits")
    parts: list[bytes] = []
    if pdu.fields or pdu.tlvs or not pdu.command & c.RESPONSE:
        parts = [_write(field, pdu.fields.get(field.name), field.name) for field in body]
    parts.append(t.write(pdu.tlvs))
    data = b"".join(parts)
    if HEADER_BYTES + len(data) > 0xFFFFFFFF:
        raise LocalProtocolError("command_length: outside 32 bits")
    return _pack_header(HEADER_BYTES + len(data), pdu.command, pdu.status, pdu.sequence) + data


def _write(field: Field, value: FieldValue | None, path: str) -> bytes:
    match field:
        case Int(_, octets):
            number = 0 if value is None else value
            if not isinstance(number, int) or not 0 <= number < 1 << 8 * octets:
                raise LocalProtocolError(f"{path}: {_shown(number)} is outside 0..{(1 << 8 * octets) - 1}")
            return number.to_bytes(octets, "big")
        case Text(_, chars_max):
            text = "" if value is None else value
            if not isinstance(text, str):
                raise LocalProtocolError(f"{path}: a {type(text).__name__} is no text")
            return write_c_string(path, text, chars_max)
        case Counted():
            octets_ = b"" if value is None else value
            if not isinstance(octets_, bytes) or len(octets_) > 255:
                raise LocalProtocolError(f"{path}: not bytes, or more than 255 of them; longer ones go into message_payload")
            return bytes((len(octets_),)) + octets_
        case Many():
            return _write_many(field, value, path)


def _write_many(field: Many, value: FieldValue | None, path: str) -> bytes:
    records = () if value is None else value
    if not isinstance(records, tuple) or len(records) > DESTINATIONS_MAX:
        raise LocalProtocolError(f"{path}: not a tuple of at most {DESTINATIONS_MAX} records")
    parts = [bytes((len(records),))]
    for number, record in enumerate(records):
        where = f"{path}[{number}]"
        flag = (_TO_LIST if "dl_name" in record else _TO_SME) if field.flags else 0
        row = field.rows[flag]
        unknown = record.keys() - {each.name for each in row}
        if unknown:
            raise LocalProtocolError(f"{where}.{min(unknown)}: no such field")
        if field.flags:
            parts.append(bytes((flag,)))
        parts += [_write(each, record.get(each.name), f"{where}.{each.name}") for each in row]
    return b"".join(parts)


def _shown(value: object) -> str:
    return str(value) if isinstance(value, int) else f"a {type(value).__name__}"


# --- decoding ---------------------------------------------------------------------------------------------------


class _Cursor:
    """A body being read: where we are, and whose body it is, for errors."""

    __slots__ = ("command", "data", "position", "sequence")

    def __init__(self, data: bytes, command: int, sequence: int) -> None:
        self.data, self.command, self.sequence = data, command, sequence
        self.position = HEADER_BYTES

    def bad(self, path: str, why: str, status: int = c.ESME_RINVCMDLEN) -> BadPdu:
        return BadPdu(self.command, self.sequence, path, why, status)

    def take(self, octets: int, path: str, status: int = c.ESME_RINVCMDLEN) -> bytes:
        left = len(self.data) - self.position
        if left < octets:
            raise self.bad(path, f"{octets} octets are wanted, {left} are left", status)
        self.position += octets
        return self.data[self.position - octets : self.position]

    def text(self, field: Text, path: str) -> str:
        end = self.data.find(b"\0", self.position, self.position + field.chars_max + 1)
        if end < 0:
            if len(self.data) - self.position > field.chars_max:
                raise self.bad(path, f"no NUL within {field.chars_max + 1} octets", field.status)
            raise self.bad(path, "the body ends before its NUL")
        found = self.data[self.position : end].decode("latin-1")
        self.position = end + 1
        return found


def decode(data: bytes) -> Pdu:
    """The PDU in `data`, which must be one whole PDU as smpp.framing cuts them.

    Raises BadPdu with the path of the field, for a command that neither SMPP 3.4 nor 5.0 has too (ESME_RINVCMDID).
    """
    if len(data) < HEADER_BYTES:
        raise BadPdu(0, 0, "command_length", f"{len(data)} bytes hold no header", c.ESME_RINVCMDLEN)
    length, command_id, status, sequence = unpack_header(data)
    cursor = _Cursor(data, command_id, sequence)
    if length != len(data) or length > PDU_BYTES_MAX:
        raise cursor.bad("command_length", f"{length} is told, {len(data)} bytes are there, at most {PDU_BYTES_MAX} may be")
    try:
        command = Command(command_id)
    except ValueError:
        raise cursor.bad("command_id", "no command of SMPP 3.4 or 5.0", c.ESME_RINVCMDID) from None
    answer = command_id & c.RESPONSE
    if answer and length == HEADER_BYTES:
        return Pdu(command, {}, (), sequence, status)
    try:
        fields = {field.name: _read(field, cursor, field.name) for field in BODIES[command]}
        try:
            pairs = t.read(data, cursor.position)
        except t.MalformedTlv as bad:
            raise cursor.bad(bad.name, bad.why, c.ESME_RINVOPTPARSTREAM) from None
    except BadPdu:
        if not (answer and status):
            raise
        return Pdu(command, {}, (), sequence, status)
    return Pdu(command, fields, pairs, sequence, status)


def _read(field: Field, cursor: _Cursor, path: str) -> FieldValue:
    match field:
        case Int(_, octets):
            return int.from_bytes(cursor.take(octets, path), "big")
        case Text():
            return cursor.text(field, path)
        case Counted():
            return cursor.take(cursor.take(1, "sm_length")[0], path, c.ESME_RINVMSGLEN)
        case Many(_, rows, flags):
            records: list[Record] = []
            for number in range(cursor.take(1, path)[0]):
                where = f"{path}[{number}]"
                row = rows.get(cursor.take(1, f"{where}.dest_flag")[0] if flags else 0)
                if row is None:
                    raise cursor.bad(f"{where}.dest_flag", "neither 1 (address) nor 2 (list)", 0x40)
                records.append({each.name: _plain(each, cursor, f"{where}.{each.name}") for each in row})
            return tuple(records)


def _plain(field: Int | Text, cursor: _Cursor, path: str) -> int | str:
    return cursor.text(field, path) if isinstance(field, Text) else int.from_bytes(cursor.take(field.octets, path), "big")
