"""Effects as commands: what S5, S6, S7 and the takeover write, in one place. Knows keys and values, no connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dispatcher.core.ports import Due, Effects, VersionedHead
from dispatcher.store import records, resp
from dispatcher.store.accounts import by_bucket
from dispatcher.store.keys import Keys, family_of

_VERSION_TEXTS = [version.decode("latin-1") for version in records.VERSIONS]


class Bucket(NamedTuple):
    """Heads that share a hash: its key, ids, values with version, and the versions they must replace, packed."""

    key: bytes
    ids: list[str]
    values: list[bytes]
    expected: bytes


def buckets(keys: Keys, heads: Sequence[VersionedHead]) -> list[Bucket]:
    """Heads by bucket, encoded once."""
    version, head_bytes = records.version_bytes, records.head_bytes
    return [
        Bucket(
            keys.head_ + bucket.encode(),
            [h.id for h in some],
            [version(h.version) + head_bytes(h) for h in some],
            b"".join([version(h.version - 1) for h in some]),
        )
        for bucket, some in _grouped(heads).items()
    ]


def _grouped(heads: Sequence[VersionedHead]) -> dict[str, list[VersionedHead]]:
    groups: dict[str, list[VersionedHead]] = {}
    for head in heads:
        bucket = head.id[:6]
        if bucket in groups:
            groups[bucket].append(head)
        else:
            groups[bucket] = [head]
    return groups


def head_commands(keys: Keys, heads: Sequence[VersionedHead]) -> list[bytes]:
    """HSET of heads, one per bucket: nearly always one in all, written in one pass."""
    if not heads:
        return []
    ids = [h.id for h in heads]
    bucket = min(ids)[:6]
    if bucket != max(ids)[:6]:
        return [resp.hset_ids(b.key, b.ids, b.values) for b in buckets(keys, heads)]
    key = keys.head_ + bucket.encode()
    pack, texts, size, length = records.pack, _VERSION_TEXTS, -1, ""
    many = len(texts)
    lines: list[str] = []
    for written in heads:
        version = written.version
        own = written.text or pack(written.head).decode("latin-1")
        if len(own) != size:
            size = len(own)
            length = f"\r\n${size + 2}\r\n"
        mark = texts[version] if 0 <= version < many else records.version_bytes(version).decode("latin-1")
        lines.append(f"\r\n$26\r\n{written.id}{length}{mark}{own}")
    start = b"*%d\r\n$4\r\nHSET%b%b" % (2 * len(heads) + 2, resp.length(key), key)
    return [b"".join((start, "".join(lines).encode("latin-1"), b"\r\n"))]


def expected(keys: Keys, heads: Sequence[VersionedHead]) -> tuple[list[bytes], list[bytes]]:
    """What guard.lua compares: the buckets' keys; and for each the number of its ids, their versions as they must be now, and
    the ids."""
    found: list[bytes] = []
    arguments: list[bytes] = []
    for bucket, ids, versions in _versions(heads):
        found.append(keys.head_ + bucket.encode())
        arguments += (b"%d" % len(ids), versions)
        arguments += "\0".join(ids).encode().split(b"\0")
    return found, arguments


def _versions(heads: Sequence[VersionedHead]) -> Iterator[tuple[str, Sequence[str], bytes]]:
    """Buckets, each with its ids and the versions that they must have now."""
    version_bytes = records.version_bytes
    ids, versions = [h.id for h in heads], [h.version for h in heads]
    if ids and min(ids)[:6] == (bucket := max(ids)[:6]):
        if len(set(versions)) == 1:
            yield bucket, ids, version_bytes(versions[0] - 1) * len(ids)
        else:
            yield bucket, ids, b"".join([version_bytes(v - 1) for v in versions])
        return
    for bucket, some in _grouped(heads).items():
        yield bucket, [h.id for h in some], b"".join([version_bytes(h.version - 1) for h in some])


def member(due: Due) -> bytes:
    """A member of the due set."""
    return f"{family_of(due.route, due.lane)}:{due.account}:{due.id}".encode()


def commands(keys: Keys, effects: Effects) -> list[bytes]:
    """Everything but heads, correlations and `settled`."""
    wire: list[bytes] = []
    if effects.erase:
        for bucket, ids in by_bucket(effects.erase).items():
            wire.append(resp.with_ids(b"HDEL", keys.body_ + bucket.encode(), ids))
    if effects.facts or effects.fact_lines:
        rows = records.rows_of(effects.facts, effects.fact_lines)
        wire.append(resp.rows(keys.charges, records.COLUMNS["charges"], rows))
    if effects.events or effects.event_lines:
        rows = records.rows_of(effects.events, effects.event_lines)
        wire.append(resp.rows(keys.events, records.COLUMNS["events"], rows))
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
