"""Commands as bytes, and what the server's errors mean.

Knows the protocol (RESP2) and no key. Formatting is the largest single cost of a client (store.md 8), so the builders for
bulk data take whole columns, use length prefixes made once, and join once per batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import hiredis

from dispatcher.core.ports import CorruptRecord, StoreUnavailable

LENGTHS_MAX = 4096
LENGTHS = [b"\r\n$%d\r\n" % n for n in range(LENGTHS_MAX)]
ID = b"\r\n$26\r\n"
"""What stands before a value of n bytes, and before a message id."""
MULTI = b"*1\r\n$5\r\nMULTI\r\n"
EXEC = b"*1\r\n$4\r\nEXEC\r\n"
_AWAY = (
    "OOM",
    "MISCONF",
    "LOADING",
    "READONLY",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "NOREPLICAS",
    "BUSY",
    "NOAUTH",
    "WRONGPASS",
    "TRYAGAIN",
)


def length(value: bytes) -> bytes:
    """What stands between the argument before and `value`."""
    n = len(value)
    return LENGTHS[n] if n < LENGTHS_MAX else b"\r\n$%d\r\n" % n


def command(*arguments: bytes) -> bytes:
    """One command."""
    parts = [b"*%d" % len(arguments)]
    for argument in arguments:
        parts += (length(argument), argument)
    parts.append(b"\r\n")
    return b"".join(parts)


def of(*arguments: str | int | bytes) -> bytes:
    """One command from mixed arguments; for what is rare or once per batch."""
    return command(*(a if isinstance(a, bytes) else str(a).encode() for a in arguments))


def with_ids(name: bytes, key: bytes, ids: Sequence[str]) -> bytes:
    """HMGET, HDEL, RPUSH and the like: a key and message ids."""
    start = b"".join((b"*%d" % (len(ids) + 2), length(name), name, length(key), key, ID))
    return b"".join((start, "\r\n$26\r\n".join(ids).encode(), b"\r\n"))


def hset_ids(key: bytes, ids: Sequence[str], values: Sequence[bytes]) -> bytes:
    """HSET of one value per message id."""
    parts = [b"*%d\r\n$4\r\nHSET" % (2 * len(ids) + 2), length(key), key]
    lengths = LENGTHS
    for message_id, value in zip(ids, values, strict=True):
        n = len(value)
        parts += (ID, message_id.encode(), lengths[n] if n < LENGTHS_MAX else length(value), value)
    parts.append(b"\r\n")
    return b"".join(parts)


def rows(stream: bytes, columns: str, packed: bytes) -> bytes:
    """XADD of one entry with rows."""
    return command(b"XADD", stream, b"*", b"v", b"1", b"cols", columns.encode(), b"rows", packed)


def arguments_of(wire: Iterable[bytes]) -> list[bytes]:
    """Commands back into counted argument lists, as commit.lua takes them (RESP's own framing, without its lengths)."""
    out: list[bytes] = []
    reader = hiredis.Reader()
    for one in wire:
        reader.feed(one)
        arguments = reader.gets()
        out.append(b"%d" % len(arguments))
        out += arguments
    return out


def is_noscript(reply: Any) -> bool:
    """True when the server does not know a script by its digest."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT")


def is_error(reply: Any) -> bool:
    """True for an error as a value."""
    return isinstance(reply, hiredis.ReplyError)


def is_refusal(reply: Any) -> bool:
    """True when the server cannot do it for now; it has not done it."""
    return isinstance(reply, hiredis.ReplyError) and _refuses(str(reply))


def _refuses(text: str) -> bool:
    return text.startswith(_AWAY) or any(f" {word}" in text or f"-{word}" in text for word in _AWAY)


def checked(reply: Any) -> Any:
    """The reply itself. Raises StoreUnavailable where the server refuses for now, CorruptRecord where it never will not."""
    if not isinstance(reply, hiredis.ReplyError):
        return reply
    text = str(reply)
    if _refuses(text):
        raise StoreUnavailable(f"server refuses: {text.split(' ', 1)[0]}")
    raise CorruptRecord("server", text[:120])
