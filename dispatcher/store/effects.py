"""Effects as commands: what S5, S6, S7 and the takeover write, in one place. Knows keys and values, no connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dispatcher.core.ports import Due, Effects, VersionedHead
from dispatcher.store import records, resp
from dispatcher.store.accounts import by_bucket
from dispatcher.store.keys import Keys, family_of


class Bucket(NamedTuple):
    """Heads that share a hash: its key, ids, values with version, and the versions they must replace, packed."""

    key: bytes
    ids: list[str]
    values: list[bytes]
    expected: bytes


def buckets(keys: Keys, heads: Sequence[VersionedHead]) -> list[Bucket]:
    """Heads by bucket, encoded once."""
    encode = records.encode_head
    version = records.version_bytes
    return [
        Bucket(
            keys.head_ + bucket.encode(),
            [h[0] for h in some],
            [encode(h[1], h[2]) for h in some],
            b"".join([version(h[1] - 1) for h in some]),
        )
        for bucket, some in _grouped(heads).items()
    ]


def _grouped(heads: Sequence[VersionedHead]) -> dict[str, list[VersionedHead]]:
    groups: dict[str, list[VersionedHead]] = {}
    for head in heads:
        bucket = head[0][:6]
        if bucket in groups:
            groups[bucket].append(head)
        else:
            groups[bucket] = [head]
    return groups


def head_commands(keys: Keys, heads: Sequence[VersionedHead]) -> list[bytes]:
    """HSET of heads, one per bucket: nearly always one in all, written in one pass."""
    if not heads:
        return []
    ids = [h[0] for h in heads]
    bucket = min(ids)[:6]
    if bucket != max(ids)[:6]:
        return [resp.hset_ids(b.key, b.ids, b.values) for b in buckets(keys, heads)]
    key = keys.head_ + bucket.encode()
    parts = [b"*%d\r\n$4\r\nHSET" % (2 * len(heads) + 2), resp.length(key), key]
    pack, versions, between, lengths = records.pack, records.VERSIONS, resp.ID, resp.LENGTHS
    many = len(versions)
    for message_id, version, head in heads:
        packed = pack(head)
        n = len(packed) + 2
        parts += (
            between,
            message_id.encode(),
            lengths[n] if n < resp.LENGTHS_MAX else b"\r\n$%d\r\n" % n,
            versions[version] if 0 <= version < many else records.version_bytes(version),
            packed,
        )
    parts.append(b"\r\n")
    return [b"".join(parts)]


def expected(keys: Keys, heads: Sequence[VersionedHead]) -> tuple[list[bytes], list[bytes]]:
    """What guard.lua compares: the buckets' keys; and for each the number of its ids, their versions as they must be now, and
    the ids."""
    found: list[bytes] = []
    arguments: list[bytes] = []
    version_bytes = records.version_bytes
    for bucket, some in _grouped(heads).items():
        found.append(keys.head_ + bucket.encode())
        arguments += (b"%d" % len(some), b"".join([version_bytes(h[1] - 1) for h in some]))
        arguments += [h[0].encode() for h in some]
    return found, arguments


def member(due: Due) -> bytes:
    """A member of the due set."""
    return f"{family_of(due.route, due.lane)}:{due.account}:{due.id}".encode()


def commands(keys: Keys, effects: Effects) -> list[bytes]:
    """Everything but heads, correlations and `settled`."""
    wire: list[bytes] = []
    if effects.erase:
        for bucket, ids in by_bucket(effects.erase).items():
            wire.append(resp.with_ids(b"HDEL", keys.body_ + bucket.encode(), ids))
    if effects.facts:
        wire.append(resp.rows(keys.charges, records.COLUMNS["charges"], records.pack(effects.facts)))
    if effects.events:
        wire.append(resp.rows(keys.events, records.COLUMNS["events"], records.pack(effects.events)))
    if effects.undue:
        wire.append(resp.command(b"ZREM", keys.due, *(member(d) for d in effects.undue)))
    if effects.due:
        pairs = [part for d in effects.due for part in (b"%d" % d.at, member(d))]
        wire.append(resp.command(b"ZADD", keys.due, *pairs))
    for account, (available, reserved) in effects.money.items():
        key = keys.acct_ + account.encode()
        if available:
            wire.append(resp.command(b"HINCRBY", key, b"avail", b"%d" % available))
        if reserved:
            wire.append(resp.command(b"HINCRBY", key, b"reserved", b"%d" % reserved))
    for group_id, counts in effects.group_finals.items():
        key = keys.group_ + group_id.encode()
        for state, count in counts.items():
            wire.append(resp.command(b"HINCRBY", key, f"f:{state}".encode(), b"%d" % count))
    return wire
