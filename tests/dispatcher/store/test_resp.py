"""Commands as bytes: what the fast builders write is what hiredis' own packer writes."""

from __future__ import annotations

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.ports import CorruptRecord, StoreUnavailable
from dispatcher.store import resp
from dispatcher.store.keys import check_name
from dispatcher.store.transport import parse_url
from tests.conformance.world import new_id


@given(arguments=st.lists(st.binary(max_size=5000), min_size=1, max_size=6))
def test_a_command_is_framed(arguments: list[bytes]) -> None:
    """Counted, length-prefixed arguments, beyond the precomputed lengths too."""
    assert resp.command(*arguments) == hiredis.pack_command(tuple(arguments))


@given(values=st.lists(st.binary(max_size=4200), min_size=1, max_size=5))
def test_bulk_builders_write_the_same(values: list[bytes]) -> None:
    """One join per batch changes nothing on the wire."""
    ids = [new_id() for _ in values]
    pairs = [part for pair in zip(ids, values, strict=True) for part in pair]
    assert resp.hset_ids(b"key", ids, values) == hiredis.pack_command(("HSET", "key", *pairs))
    assert resp.with_ids(b"HMGET", b"key", ids) == hiredis.pack_command(("HMGET", "key", *ids))
    assert resp.arguments_of([resp.with_ids(b"HDEL", b"key", ids)]) == [
        b"%d" % (len(ids) + 2),
        b"HDEL",
        b"key",
        *(i.encode() for i in ids),
    ]


@pytest.mark.parametrize("text", ["OOM command not allowed", "LOADING", "MISCONF errors", "READONLY You can't write"])
def test_a_server_that_cannot_now_is_unavailable(text: str) -> None:
    """What passes by itself is StoreUnavailable; what does not is CorruptRecord."""
    with pytest.raises(StoreUnavailable):
        resp.checked(hiredis.ReplyError(text))
    with pytest.raises(CorruptRecord):
        resp.checked(hiredis.ReplyError("WRONGTYPE Operation"))


def test_urls() -> None:
    """host, port, database, login; or a socket. A bad one is refused without showing its password."""
    assert parse_url("redis://h")[:4] == ("h", 6379, "", 0)
    assert parse_url("rediss://u:p%40@h:1/2") == ("h", 1, "", 2, "u", "p@", True)
    assert parse_url("unix:///tmp/s?db=3&password=x") == ("", 0, "/tmp/s", 3, "", "x", False)
    for bad in ("http://h", "redis://:secret@h:x", "redis://:secret@h/y", ""):
        with pytest.raises(ValueError, match="server url") as caught:
            parse_url(bad)
        assert "secret" not in str(caught.value)


def test_names_that_would_break_a_key_apart_are_refused() -> None:
    """Colons, braces, blanks, wildcards, emptiness, 65 characters."""
    assert check_name("a" * 64) == "a" * 64
    for bad in ("", "a:b", "{a}", "a b", "a*", "a" * 65, "a\n"):
        with pytest.raises(ValueError, match="name"):
            check_name(bad)
