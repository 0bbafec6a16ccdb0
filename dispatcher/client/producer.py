"""Writes sends to the `sends` stream.

This module refuses to know what admission thinks of a send: a refused one appears in `rejects`, never as an exception
here. What it does check is the shape, because a misspelt key is cheaper to learn of now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, cast

import msgspec
import redis

from dispatcher.core.model import Send

CHUNK_SENDS_MAX = 1000
"""Sends in one entry of the stream."""


class Producer:
    """Hands sends to the dispatcher. A context manager; one thread at a time.

    A send is accepted when intake has acknowledged its entry; give it a `key` when you may have to repeat it after an
    error, because an error of `redis` leaves open whether the entry was written.
    """

    def __init__(self, url: str, prefix: str = "sms:", encoding: Literal["json", "msgpack"] = "msgpack") -> None:
        self._redis = redis.Redis.from_url(url)
        self._stream = f"{prefix}sends"
        self._encoding = encoding
        self._encode = msgspec.json.encode if encoding == "json" else msgspec.msgpack.encode

    def send(self, send: Send | Mapping[str, Any]) -> str:
        """Appends one send; returns its entry's id. Raises msgspec.ValidationError, which names the path, when it is not
        the shape of a Send (nothing was written), and redis.RedisError."""
        return self._append(self._encode(_typed(send)))

    def send_chunk(self, sends: Iterable[Send | Mapping[str, Any]]) -> str:
        """Appends up to 1,000 sends as one entry, which is several times cheaper than one by one; returns its id. Raises
        as `send` does, and ValueError for none or too many."""
        typed = [_typed(send) for send in sends]
        if not 1 <= len(typed) <= CHUNK_SENDS_MAX:
            raise ValueError(f"a chunk holds 1 to {CHUNK_SENDS_MAX} sends, not {len(typed)}")
        return self._append(self._encode({"sends": typed}))

    def _append(self, payload: bytes) -> str:
        return cast(bytes, self._redis.xadd(self._stream, {self._encoding: payload})).decode()

    def close(self) -> None:
        """Closes the connection."""
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _typed(send: Send | Mapping[str, Any]) -> Send:
    # Converted also when it is a Send already: Structs do not check what their constructor is given.
    return msgspec.convert(msgspec.to_builtins(send) if isinstance(send, Send) else dict(send), Send)
