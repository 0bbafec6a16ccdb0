"""The client over a real server: what producers write admission reads, what the store writes readers see, row by row."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from dispatcher.client import CHUNK_SENDS_MAX, Producer, Reader, Send
from dispatcher.client.reader import UnknownVersion
from dispatcher.core.model import EVENT_COLUMNS, EventRow
from dispatcher.core.wire import decode_sends
from dispatcher.ops.embedded import EmbeddedServer
from dispatcher.store import records

SEND = {"account": "shop", "to": "+491711234567", "text": "Grüße", "class": "otp", "from": "Shop", "key": "k1"}
STREAM = "t:{p0}:events"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One server for all tests of this module."""
    with EmbeddedServer(tmp_path_factory.mktemp("server"), durability="everysec") as running:
        yield running


@pytest.fixture
def plain(server: EmbeddedServer) -> Iterator[redis.Redis]:
    """A plain client of an empty server."""
    with server.client() as client:
        client.flushall()
        yield client


def event(number: int) -> EventRow:
    """A row that can be told from others."""
    return EventRow(f"id{number}", "", "", "shop", "hash", "otp", "queued", 1, "", None, 0, False, None, number)


def append(plain: redis.Redis, *numbers: int) -> str:
    """One entry with these rows, as the store writes it; its id."""
    rows = records.pack([event(n) for n in numbers])
    return plain.xadd(STREAM, {"v": b"1", "cols": EVENT_COLUMNS, "rows": rows}).decode()  # type: ignore[union-attr]


def numbers_of(rows: list[Any]) -> list[int]:
    """The rows by number."""
    return [row.map["at"] for row in rows]


def test_the_client_needs_neither_trio_nor_a_web_framework() -> None:
    """Importing it in a fresh interpreter loads nothing of the engine's and the HTTP side's."""
    code = (
        "import sys, dispatcher.client; "
        "print([m for m in ('trio','litestar','uvicorn','smpplib','phonenumbers','structlog') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_what_a_producer_writes_is_what_intake_reads(server: EmbeddedServer, plain: redis.Redis, encoding: Any) -> None:
    """A map and a Send are the same on the stream, one by one and in a chunk, in both encodings."""
    wanted = msgspec.convert(SEND, Send)
    with Producer(server.url, "t:", encoding) as producer:
        entry = producer.send(SEND)
        producer.send(wanted)
        producer.send_chunk([SEND, wanted])
    entries: list[Any] = plain.xrange("t:sends")  # type: ignore[assignment]
    assert entries[0][0].decode() == entry
    assert [list(fields) for _, fields in entries] == [[encoding.encode()]] * 3
    assert [decode_sends(encoding, fields[encoding.encode()]) for _, fields in entries] == [[wanted], [wanted], [wanted] * 2]


def test_a_misshapen_send_is_not_written(server: EmbeddedServer, plain: redis.Redis) -> None:
    """A misspelt key, a wrong type, an oversized chunk: an error here, nothing on the stream."""
    with Producer(server.url, "t:") as producer:
        for wrong in ({"to": "1", "txt": "x"}, {"to": 1}, Send(to=1), {"to": "1", "class": "slow"}):  # type: ignore[arg-type]
            with pytest.raises(msgspec.ValidationError):
                producer.send(wrong)
            with pytest.raises(msgspec.ValidationError):
                producer.send_chunk([SEND, wrong])
        for count in (0, CHUNK_SENDS_MAX + 1):
            with pytest.raises(ValueError, match="chunk"):
                producer.send_chunk([SEND] * count)
        assert plain.xlen("t:sends") == 0
        producer.send_chunk([SEND] * CHUNK_SENDS_MAX)


def test_rows_come_as_maps_in_order_with_positions(server: EmbeddedServer, plain: redis.Redis) -> None:
    """Columns by their names; each row has its own position."""
    first, second = append(plain, 1, 2), append(plain, 3)
    with Reader(server.url, "t:", "events", follow=False) as reader:
        rows = list(reader)
    assert [row.position for row in rows] == [f"{first}:0", f"{first}:1", f"{second}:0"]
    assert rows[0].map == dict(zip(EVENT_COLUMNS.split(","), msgspec.structs.astuple(event(1)), strict=True))


@pytest.mark.parametrize("taken", range(8))
def test_a_reader_goes_on_exactly_where_it_was(server: EmbeddedServer, plain: redis.Redis, taken: int) -> None:
    """Stopped after any row, also within an entry, a new reader sees every later row once."""
    append(plain, 1, 2, 3)
    append(plain, 4)
    append(plain, 5, 6, 7)
    with Reader(server.url, "t:", "events") as reader:
        before = reader.read(taken) if taken else []
        position = reader.position
    with Reader(server.url, "t:", "events", after=position) as reader:
        after = reader.read()
        append(plain, 8)
        assert numbers_of(reader.read()) == [8]
    assert numbers_of(before) + numbers_of(after) == [1, 2, 3, 4, 5, 6, 7]


def test_an_entry_id_alone_is_a_position_too(server: EmbeddedServer, plain: redis.Redis) -> None:
    """After an entry: all of its rows are done."""
    first = append(plain, 1, 2)
    append(plain, 3)
    with Reader(server.url, "t:", "events", after=first) as reader:
        assert numbers_of(reader.read()) == [3]


def test_more_entries_than_one_fetch_holds(server: EmbeddedServer, plain: redis.Redis) -> None:
    """Nothing is lost between fetches."""
    for start in range(0, 750, 3):
        append(plain, start, start + 1, start + 2)
    with Reader(server.url, "t:", "events", follow=False) as reader:
        assert numbers_of(reader.read(10)) == list(range(10))
        assert numbers_of(list(reader)) == list(range(10, 750))


@pytest.mark.parametrize("after", ["none", "half"])
def test_following_waits_for_what_comes(server: EmbeddedServer, plain: redis.Redis, after: str) -> None:
    """A reader that waits is woken by the next entry; one that does not wait returns at once."""
    first = append(plain, 1, 2)
    position = "" if after == "none" else f"{first}:1"
    with Reader(server.url, "t:", "events", after=position, block_ms=5000) as reader:
        if not position:
            assert numbers_of(reader.read()) == [1, 2]
        started = time.monotonic()
        assert reader.read() == []
        assert time.monotonic() - started < 0.5
        later = threading.Timer(0.1, append, (plain, 3))
        later.start()
        assert next(iter(reader)).map["at"] == 3
        later.join()
        assert time.monotonic() - started < 3


def test_another_version_is_refused_and_the_position_stays(server: EmbeddedServer, plain: redis.Redis) -> None:
    """Rows of a form that this client does not know are never guessed at."""
    append(plain, 1)
    plain.xadd(STREAM, {"v": b"2", "cols": "a", "rows": b""})
    with Reader(server.url, "t:", "events") as reader:
        with pytest.raises(UnknownVersion):
            reader.read()
        assert reader.position == ""


def test_rejects_are_read_the_same_way(server: EmbeddedServer, plain: redis.Redis) -> None:
    """The untagged stream has the same form."""
    row = ["1-0", 0, "text_empty", "is empty", b"{}", 7]
    plain.xadd("t:rejects", {"v": b"1", "cols": records.REJECT_COLUMNS, "rows": records.pack([row])})
    with Reader(server.url, "t:", "rejects") as reader:
        assert reader.read()[0].map["reason"] == "text_empty"
