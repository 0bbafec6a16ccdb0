"""What records look like as bytes, and the rows that the store itself writes.

Knows no keys and no server. A head is two bytes of version (big-endian, from 1) and msgpack; a body, a row, a correlation
are msgpack. Both stores go through these functions, so a value that one of them cannot carry fails in the other too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from accounting.ledger import COLUMNS as CHARGE_COLUMNS
from accounting.ledger import Fact, Kind
from dispatcher.core.customer import Account, ApiKey
from dispatcher.core.front import Ticket
from dispatcher.core.ids import encode as encode_id
from dispatcher.core.ids import index_in_group
from dispatcher.core.model import (
    EVENT_COLUMNS,
    INBOUND_COLUMNS,
    LANES,
    MESSAGE_ID_CHARS,
    Body,
    Correlation,
    EventRow,
    Head,
    InboundRow,
    Message,
    State,
)
from dispatcher.core.moulds import HASH_GAP, ID_GAP, list_of, moulded
from dispatcher.core.notices import Notice
from dispatcher.core.ports import Admission, CorruptRecord, GroupPlan, RejectRow, VersionedHead

VERSION_MAX = 65_535
NUMBERS_MAX = 5000
"""So many numbers stay within a ticket."""
REJECT_COLUMNS = "entry,index,reason,detail,send,at"
COLUMNS = {"events": EVENT_COLUMNS, "charges": CHARGE_COLUMNS, "inbound": INBOUND_COLUMNS, "rejects": REJECT_COLUMNS}

T = TypeVar("T")
_encoder = msgspec.msgpack.Encoder()
pack: Callable[[Any], bytes] = _encoder.encode
_body = msgspec.msgpack.Decoder(Body)
body_decoder: Callable[[bytes], Body] = _body.decode
"""Without an error of ours: for whole batches, of which the caller then finds the bad one."""
_head = msgspec.msgpack.Decoder(Head)
_account = msgspec.msgpack.Decoder(Account)
_api_key = msgspec.msgpack.Decoder(ApiKey)
_ticket = msgspec.msgpack.Decoder(Ticket)
_numbers = msgspec.msgpack.Decoder(list[str])
_notice = msgspec.msgpack.Decoder(Notice)
_inbound = msgspec.msgpack.Decoder(InboundRow)
_correlation = msgspec.msgpack.Decoder(Correlation)
_reject = msgspec.msgpack.Decoder(RejectRow)
_rows = msgspec.msgpack.Decoder(list[list[Any]])
_events = msgspec.msgpack.Decoder(list[EventRow])
_EVENT_NAMES = EVENT_COLUMNS.split(",")
_row = msgspec.msgpack.Decoder(list[Any])
VERSIONS = [i.to_bytes(2, "big") for i in range(1024)]


def version_bytes(version: int) -> bytes:
    """The two bytes before a head. Raises ValueError outside 0..65,535."""
    if 0 <= version < 1024:
        return VERSIONS[version]
    if 1024 <= version <= VERSION_MAX:
        return version.to_bytes(2, "big")
    raise ValueError(f"version {version}: at most {VERSION_MAX} changes of one message")


def encode_head(version: int, head: Head) -> bytes:
    """Version and head in one value."""
    return version_bytes(version) + pack(head)


def head_bytes(written: VersionedHead) -> bytes:
    """The head alone, of one that is to be written."""
    return written.text.encode("latin-1") if written.text else pack(written.head)


def _decode(decode: Callable[[Any], T], raw: bytes, where: str, entry: str = "") -> T:
    try:
        return decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptRecord(where, f"{type(error).__name__} in {len(raw)} bytes", entry) from None


def decode_head(raw: bytes, where: str) -> tuple[int, Head]:
    """Version and head. Raises CorruptRecord, which names `where` and never shows the value."""
    if len(raw) < 3:
        raise CorruptRecord(where, f"{len(raw)} bytes, a version and a head expected")
    return (raw[0] << 8) | raw[1], _decode(_head.decode, raw[2:], where)


def decode_body(raw: bytes, where: str) -> Body:
    """A body. Raises CorruptRecord."""
    return _decode(_body.decode, raw, where)


def decode_account(raw: bytes, where: str) -> Account:
    """An account's settings. Raises CorruptRecord."""
    return _decode(_account.decode, raw, where)


def decode_api_key(raw: bytes, where: str) -> ApiKey:
    """An API key. Raises CorruptRecord."""
    return _decode(_api_key.decode, raw, where)


def decode_ticket(raw: bytes, where: str) -> Ticket:
    """What a door remembers of a message or group. Raises CorruptRecord."""
    return _decode(_ticket.decode, raw, where)


def decode_notice(raw: bytes, where: str) -> Notice:
    """A webhook's event. Raises CorruptRecord."""
    return _decode(_notice.decode, raw, where)


def decode_inbound(raw: bytes, where: str) -> InboundRow:
    """A handset's message as an inbox keeps it. Raises CorruptRecord."""
    return _decode(_inbound.decode, raw, where)


def decode_numbers(raw: bytes, where: str) -> list[str]:
    """Numbers of a group, as a part of its ticket. Raises CorruptRecord."""
    return _decode(_numbers.decode, raw, where)


def decode_correlation(raw: bytes, where: str) -> Correlation:
    """Where a carrier's id leads. Raises CorruptRecord."""
    return _decode(_correlation.decode, raw, where)


def decode_rows(stream: str, entry: str, columns: bytes | None, raw: bytes | None) -> list[dict[str, Any]]:
    """The rows of one stream entry as maps; of `events` (webhooks are made of them) each value's type is checked, too. Raises
    CorruptRecord."""
    where = f"{stream} {entry}"
    if columns is None or raw is None:
        raise CorruptRecord(where, "no cols and rows", entry)
    names = columns.decode(errors="replace").split(",")
    if stream == "events":
        if names[: len(_EVENT_NAMES)] != _EVENT_NAMES:
            raise CorruptRecord(where, "other columns than an event's", entry)
        _decode(_events.decode, raw, where, entry)
    rows = _decode(_rows.decode, raw, where, entry)
    if any(len(row) != len(names) for row in rows):
        raise CorruptRecord(where, "columns and values do not match", entry)
    return [dict(zip(names, row, strict=True)) for row in rows]


def message(message_id: str, head: bytes | None, body: bytes | None, where: str) -> Message | None:
    """A message from its two values; None when there is neither. Raises CorruptRecord."""
    if head is None and body is None:
        return None
    version, decoded = decode_head(head, where) if head is not None else (0, None)
    return Message(message_id, version, decoded, decode_body(body, where) if body is not None else None)


# -- rows the store writes by itself -----------------------------------------------------------------------------------

_QUEUED = State.QUEUED.wire
_LANE_NAMES = [lane.wire for lane in LANES]


def queued_event(message_id: str, body: Body, at: int) -> EventRow:
    """The first row of a message's life. `to` is the hash: whether an account shows numbers is not known here."""
    return EventRow(
        message_id,
        body.key,
        body.ref,
        body.account,
        body.to_hash,
        _LANE_NAMES[body.lane],
        _QUEUED,
        body.segments,
        "",
        None,
        0,
        False,
        None,
        at,
    )


def queued_events(ids: Sequence[str], bodies: Sequence[Body], at: int) -> bytes:
    """The rows `queued_event` of a batch, as one list: messages that differ in id and number only share a mould."""
    lines: list[str] = []
    account, key, ref, lane, segments = "", "", "", -1, 0
    before = between = after = ""
    for message_id, body in zip(ids, bodies, strict=True):
        to = body.to_hash
        if (
            body.account != account or body.lane != lane or body.segments != segments or body.key != key or body.ref != ref
        ):  # fmt: skip
            account, lane, segments, key, ref = body.account, body.lane, body.segments, body.key, body.ref
            own = queued_event(ID_GAP, body, at)
            own.to = HASH_GAP
            before, between, after = moulded(own, ID_GAP, HASH_GAP) or ("", "", "")
        if before and len(message_id) == MESSAGE_ID_CHARS and len(to) == len(HASH_GAP) and to.isascii():
            lines.append(f"{before}{message_id}{between}{to}{after}")
        else:
            lines.append(pack(queued_event(message_id, body, at)).decode("latin-1"))
    return list_of(lines)


def row_of(line: str) -> list[Any]:
    """A row that was written by a mould."""
    return _row.decode(line.encode("latin-1"))


def rows_of(rows: Sequence[Any], lines: Sequence[str]) -> bytes:
    """Rows and lines as one list."""
    if not lines:
        return pack(rows)
    return list_of([*(pack(row).decode("latin-1") for row in rows), *lines])


def _money(kind: Kind, subject: str, account: str, amount: int, currency: str, at: int) -> Fact:
    fact = f"{subject}.0.0.{kind}"
    return Fact(fact, subject, account, 0, 0, kind, amount, currency, 0, "", "", "", "", "", "", "", 0, at)


def reserve_fact(admission: Admission, at: int) -> Fact:
    """The reserve row of one message."""
    body = admission.body
    fact = _money(Kind.RESERVE, admission.id, body.account, admission.price, body.currency, at)
    fact.of, fact.unit_price, fact.tariff, fact.to = body.segments, body.unit_price, body.tariff, body.to_hash
    fact.country, fact.mccmnc, fact.sender = body.country, body.mccmnc, body.sender
    return fact


def group_fact(plan: GroupPlan) -> Fact:
    """The one reserve row of a group."""
    return _money(Kind.RESERVE, plan.id, plan.account, plan.price, plan.currency, plan.at)


def credit_fact(account: str, credit_id: str, amount: int, currency: str, at: int) -> Fact:
    """A credit, or an adjustment where the amount is negative."""
    return _money(Kind.CREDIT if amount >= 0 else Kind.ADJUST, credit_id, account, amount, currency, at)


def reject_id(row: RejectRow) -> str:
    """The entry id of a refused send: that of its entry, with room for 1,000 sends in each."""
    ms, _, sequence = row.entry.partition("-")
    return f"{ms}-{int(sequence or 0) * 1000 + row.position}"


def unpack_reject(raw: bytes) -> RejectRow:
    """A refused send as `admit` left it. Raises CorruptRecord."""
    return _decode(_reject.decode, raw, "refused")


# -- groups: blobs that share what their messages share ----------------------------------------------------------------


def encode_blob(group_id: str, messages: Sequence[Admission]) -> bytes:
    """Up to 500 messages of a group; a column that is equal in all of them is written once.

    Ids are written as their index within the group (the low 16 bits of their chance), since the rest is the group's.
    """
    columns: list[tuple[bool, Any]] = []
    count = len(messages)
    for column in zip(*map(_astuple, [m.body for m in messages]), strict=True):
        shared = column.count(column[0]) == count
        columns.append((shared, column[0] if shared else column))
    return pack((group_id, [index_in_group(m.id) for m in messages], [m.due_at for m in messages], columns))


def decode_blob(raw: bytes, where: str) -> list[tuple[str, Body, int]]:
    """Id, body and due time (ms, 0: none) of each message of a blob. Raises CorruptRecord."""
    group_id, indices, due, columns = _decode(_blob.decode, raw, where)
    base = _number(group_id) >> 8
    time_ms, chance = base >> 74, (base & ((1 << 74) - 1)) & ~0xFFFF
    count = len(indices)
    values = [[value] * count if shared else value for shared, value in columns]
    bodies = (msgspec.convert(row, Body) for row in zip(*values, strict=True))
    return [(encode_id(time_ms, chance | i), body, at) for i, body, at in zip(indices, bodies, due, strict=True)]


_astuple = msgspec.structs.astuple
_blob = msgspec.msgpack.Decoder(tuple[str, list[int], list[int], list[tuple[bool, Any]]])
_DIGITS = {c: i for i, c in enumerate("0123456789ABCDEFGHJKMNPQRSTVWXYZ")}


def _number(message_id: str) -> int:
    value = 0
    for c in message_id:
        value = (value << 5) | _DIGITS[c]
    return value
