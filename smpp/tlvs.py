"""Optional parameters (TLVs) by name and number: all of SMPP 3.4 (5.3.2) and 5.0 (4.8.4), and carriers' own.

This module refuses to know which PDU may carry which of them: carriers do not keep to those lists either. Raw is how TLVs are
kept, as pairs of tag and octets in the order in which they came, repeated ones included; typed is how they are asked for. So
one that is malformed, or that nobody knows, costs only whoever asks for it.

| Kind | Value in Python | On the wire |
|---|---|---|
| INT | int | big-endian, of the octets in the table |
| TEXT | str, latin-1 | with a NUL behind it; one that lacks it is read all the same |
| OCTETS | bytes | as they are |
| FLAG | True | no octets; some peers send one, which is not looked at |

Tags 0x1400 to 0x3FFF belong to vendors: a `TlvType` of your own in `own` gives such a tag its name, without one it is bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from smpp.errors import LocalProtocolError

Value: TypeAlias = int | str | bytes
Pairs: TypeAlias = tuple[tuple[int, bytes], ...]

VENDOR_TAGS: Final = range(0x1400, 0x4000)
VALUE_OCTETS_MAX: Final = 65_535
_header = Struct(">HH")


class Kind(Enum):
    """How a value is written."""

    INT = "integer"
    TEXT = "C-octet string"
    OCTETS = "octet string"
    FLAG = "no value"


class TlvType(NamedTuple):
    """One row: `octets_min` to `octets_max` are the value's on the wire, a TEXT's NUL included. `since` is the version."""

    tag: int
    name: str
    kind: Kind
    octets_min: int
    octets_max: int
    since: int = 0x34


_INT, _TEXT, _OCTETS, _FLAG = Kind

TLVS: Final = (
    TlvType(0x0005, "dest_addr_subunit", _INT, 1, 1),
    TlvType(0x0006, "dest_network_type", _INT, 1, 1),
    TlvType(0x0007, "dest_bearer_type", _INT, 1, 1),
    TlvType(0x0008, "dest_telematics_id", _INT, 2, 2),
    TlvType(0x000D, "source_addr_subunit", _INT, 1, 1),
    TlvType(0x000E, "source_network_type", _INT, 1, 1),
    TlvType(0x000F, "source_bearer_type", _INT, 1, 1),
    TlvType(0x0010, "source_telematics_id", _INT, 1, 2),  # one octet by the specification, two as dest_telematics_id has
    TlvType(0x0017, "qos_time_to_live", _INT, 4, 4),
    TlvType(0x0019, "payload_type", _INT, 1, 1),
    TlvType(0x001D, "additional_status_info_text", _TEXT, 1, 256),
    TlvType(0x001E, "receipted_message_id", _TEXT, 1, 65),
    TlvType(0x0030, "ms_msg_wait_facilities", _INT, 1, 1),
    TlvType(0x0201, "privacy_indicator", _INT, 1, 1),
    TlvType(0x0202, "source_subaddress", _OCTETS, 2, 23),
    TlvType(0x0203, "dest_subaddress", _OCTETS, 2, 23),
    TlvType(0x0204, "user_message_reference", _INT, 2, 2),
    TlvType(0x0205, "user_response_code", _INT, 1, 1),
    TlvType(0x020A, "source_port", _INT, 2, 2),
    TlvType(0x020B, "destination_port", _INT, 2, 2),
    TlvType(0x020C, "sar_msg_ref_num", _INT, 2, 2),
    TlvType(0x020D, "language_indicator", _INT, 1, 1),
    TlvType(0x020E, "sar_total_segments", _INT, 1, 1),
    TlvType(0x020F, "sar_segment_seqnum", _INT, 1, 1),
    TlvType(0x0210, "sc_interface_version", _INT, 1, 1),
    TlvType(0x0302, "callback_num_pres_ind", _INT, 1, 1),
    TlvType(0x0303, "callback_num_atag", _OCTETS, 0, 65),
    TlvType(0x0304, "number_of_messages", _INT, 1, 1),
    TlvType(0x0381, "callback_num", _OCTETS, 4, 19),
    TlvType(0x0420, "dpf_result", _INT, 1, 1),
    TlvType(0x0421, "set_dpf", _INT, 1, 1),
    TlvType(0x0422, "ms_availability_status", _INT, 1, 1),
    TlvType(0x0423, "network_error_code", _OCTETS, 3, 3),
    TlvType(0x0424, "message_payload", _OCTETS, 0, VALUE_OCTETS_MAX),
    TlvType(0x0425, "delivery_failure_reason", _INT, 1, 1),
    TlvType(0x0426, "more_messages_to_send", _INT, 1, 1),
    TlvType(0x0427, "message_state", _INT, 1, 1),
    TlvType(0x0428, "congestion_state", _INT, 1, 1, 0x50),
    TlvType(0x0501, "ussd_service_op", _OCTETS, 1, 1),
    TlvType(0x0600, "broadcast_channel_indicator", _INT, 1, 1, 0x50),
    TlvType(0x0601, "broadcast_content_type", _OCTETS, 3, 3, 0x50),
    TlvType(0x0602, "broadcast_content_type_info", _OCTETS, 1, 255, 0x50),
    TlvType(0x0603, "broadcast_message_class", _INT, 1, 1, 0x50),
    TlvType(0x0604, "broadcast_rep_num", _INT, 2, 2, 0x50),
    TlvType(0x0605, "broadcast_frequency_interval", _OCTETS, 3, 3, 0x50),
    TlvType(0x0606, "broadcast_area_identifier", _OCTETS, 1, VALUE_OCTETS_MAX, 0x50),
    TlvType(0x0607, "broadcast_error_status", _INT, 4, 4, 0x50),
    TlvType(0x0608, "broadcast_area_success", _INT, 1, 1, 0x50),
    TlvType(0x0609, "broadcast_end_time", _TEXT, 1, 17, 0x50),
    TlvType(0x060A, "broadcast_service_group", _OCTETS, 1, 255, 0x50),
    TlvType(0x060B, "billing_identification", _OCTETS, 1, 1024, 0x50),
    TlvType(0x060D, "source_network_id", _TEXT, 7, 66, 0x50),
    TlvType(0x060E, "dest_network_id", _TEXT, 7, 66, 0x50),
    TlvType(0x060F, "source_node_id", _OCTETS, 6, 6, 0x50),
    TlvType(0x0610, "dest_node_id", _OCTETS, 6, 6, 0x50),
    TlvType(0x0611, "dest_addr_np_resolution", _INT, 1, 1, 0x50),
    TlvType(0x0612, "dest_addr_np_information", _OCTETS, 10, 10, 0x50),
    TlvType(0x0613, "dest_addr_np_country", _OCTETS, 1, 5, 0x50),
    TlvType(0x1201, "display_time", _INT, 1, 1),
    TlvType(0x1203, "sms_signal", _INT, 2, 2),
    TlvType(0x1204, "ms_validity", _INT, 1, 4),  # 5.0 adds a unit and a number, three octets, behind the first
    TlvType(0x130C, "alert_on_message_delivery", _FLAG, 0, 1),
    TlvType(0x1380, "its_reply_type", _INT, 1, 1),
    TlvType(0x1383, "its_session_info", _OCTETS, 2, 2),
)
BY_TAG: Final[Mapping[int, TlvType]] = {each.tag: each for each in TLVS}
BY_NAME: Final[Mapping[str, TlvType]] = {each.name: each for each in TLVS}


class MalformedTlv(ValueError):
    """The octets of a TLV are not a value of its type. `name` is its path, `why` an English reason without content."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


def type_of(key: str | int, own: Iterable[TlvType] = ()) -> TlvType | None:
    """The row of a tag or a name, `own` rows before the standard's; None where there is none."""
    for each in own:
        if key in (each.tag, each.name):
            return each
    return BY_NAME.get(key) if isinstance(key, str) else BY_TAG.get(key)


def name_of(tag: int, own: Iterable[TlvType] = ()) -> str:
    """The name of a tag, or the tag in hexadecimal where it has none: `0x1400`."""
    row = type_of(tag, own)
    return row.name if row is not None else f"0x{tag:04x}"


def typed(tag: int, raw: bytes, own: Iterable[TlvType] = ()) -> Value:
    """The value that `raw` is for this tag; bytes where nobody knows the tag. Raises MalformedTlv."""
    row = type_of(tag, own)
    if row is None or (row.kind is _OCTETS and row.octets_min <= len(raw) <= row.octets_max):
        return raw
    if row.kind is _FLAG:
        return True
    if row.kind is _TEXT:
        text = raw.split(b"\0", 1)[0]
        if len(text) >= row.octets_max:
            raise MalformedTlv(f"tlvs.{row.name}", f"{len(text)} characters, at most {row.octets_max - 1}")
        return text.decode("latin-1")
    if not row.octets_min <= len(raw) <= row.octets_max:
        raise MalformedTlv(f"tlvs.{row.name}", f"{len(raw)} octets, not {_bounds(row)}")
    return int.from_bytes(raw, "big")


def raw(key: str | int, value: Value, own: Iterable[TlvType] = ()) -> tuple[int, bytes]:
    """Tag and octets of a TLV named or numbered. Bytes are taken as they are, within the bounds of the type; a tag that nobody
    knows takes bytes only. Raises LocalProtocolError naming the TLV."""
    row = type_of(key, own)
    if row is None:
        if isinstance(key, str):
            raise LocalProtocolError(f"tlvs.{key}: no such name")
        if not 0 <= key <= 0xFFFF:
            raise LocalProtocolError(f"tlvs.{key}: a tag is outside 16 bits")
        row = TlvType(key, f"0x{key:04x}", _OCTETS, 0, VALUE_OCTETS_MAX)
    data = _octets(row, value)
    if not row.octets_min <= len(data) <= row.octets_max:
        raise LocalProtocolError(f"tlvs.{row.name}: {len(data)} octets, not {_bounds(row)}")
    return row.tag, data


def _octets(row: TlvType, value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if row.kind is _FLAG:
        return b""
    if isinstance(value, int) and row.kind is _INT:
        size = row.octets_min if value < 1 << 8 * row.octets_min else row.octets_max
        if 0 <= value < 1 << 8 * size:
            return value.to_bytes(size, "big")
        raise LocalProtocolError(f"tlvs.{row.name}: {value} does not fit into {size} octets")
    if isinstance(value, str) and row.kind is _TEXT:
        if "\0" in value:
            raise LocalProtocolError(f"tlvs.{row.name}: a NUL would end the value early")
        try:
            return value.encode("latin-1") + b"\0"
        except UnicodeEncodeError:
            raise LocalProtocolError(f"tlvs.{row.name}: a character outside latin-1") from None
    raise LocalProtocolError(f"tlvs.{row.name}: a {type(value).__name__} is no {row.kind.value}")


def _bounds(row: TlvType) -> str:
    return str(row.octets_min) if row.octets_min == row.octets_max else f"{row.octets_min} to {row.octets_max}"


def pairs(values: Mapping[str | int, Value] | Iterable[tuple[str | int, Value]], own: Iterable[TlvType] = ()) -> Pairs:
    """Typed values, by name or tag, as raw pairs; give pairs instead of a mapping for a TLV that comes more than once.

        pairs({"user_message_reference": 7, 0x1400: b"partner"})

    Raises LocalProtocolError naming the TLV that does not fit.
    """
    own = tuple(own)
    items = values.items() if isinstance(values, Mapping) else values
    return tuple(raw(key, value, own) for key, value in items)


def write(tlvs: Iterable[tuple[int, bytes]]) -> bytes:
    """Raw pairs as octets, in their order. Raises LocalProtocolError for a tag or a value beyond 16 bits."""
    parts: list[bytes] = []
    for tag, data in tlvs:
        if not 0 <= tag <= 0xFFFF or len(data) > VALUE_OCTETS_MAX:
            raise LocalProtocolError(f"tlvs.0x{tag:04x}: tag or length beyond 65535")
        parts += (_header.pack(tag, len(data)), data)
    return b"".join(parts)


def read(data: bytes, position: int = 0) -> Pairs:
    """Raw pairs from `position` to the end. A stray NUL before them is dropped: it has been seen behind short_message (peers'
    quirk 13). Raises MalformedTlv whose name says which one, counted from 0, is cut off."""
    try:
        return _read(data, position)
    except MalformedTlv:
        if data[position] != 0:
            raise
        try:
            return _read(data, position + 1)
        except MalformedTlv:
            pass
        raise


def _read(data: bytes, position: int) -> Pairs:
    found: list[tuple[int, bytes]] = []
    end = len(data)
    while position < end:
        if position + 4 > end:
            raise MalformedTlv(f"tlvs[{len(found)}]", f"{end - position} octets are no tag and length")
        tag, length = _header.unpack_from(data, position)
        position += 4 + length
        if position > end:
            raise MalformedTlv(f"tlvs[{len(found)}]", f"{length} octets are told, {length - position + end} are there")
        found.append((tag, data[position - length : position]))
    return tuple(found)


def named(tlvs: Iterable[tuple[int, bytes]], own: Iterable[TlvType] = ()) -> dict[str, Value]:
    """Raw pairs by name, typed where that can be, as octets where not; of a repeated one the last. Raises nothing."""
    own = tuple(own)
    found: dict[str, Value] = {}
    for tag, data in tlvs:
        try:
            found[name_of(tag, own)] = typed(tag, data, own)
        except MalformedTlv:
            found[name_of(tag, own)] = data
    return found
