"""Values as bytes: what goes in comes out, and what is not ours is named, never shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core.model import Attempt, Options, Segment, State
from dispatcher.core.ports import CorruptRecord, RejectRow
from dispatcher.store import records
from tests.conformance.world import T0, admission, body, group, head


@given(version=st.integers(0, 65_535))
def test_a_head_keeps_its_version(version: int) -> None:
    """Two bytes, big-endian, before the record; every version the two bytes can hold."""
    written = head(body(), State.SUBMITTED)
    written.segments = [Segment(State.SUBMITTED, [Attempt(1, "mattel", "b1", T0, 1, 0, "id", T0, 9000)], posted=True)]
    raw = records.encode_head(version, written)
    assert int.from_bytes(raw[:2], "big") == version
    assert records.decode_head(raw, "here") == (version, written)


def test_versions_end_at_two_bytes() -> None:
    """65,535 fits, 65,536 does not."""
    assert records.version_bytes(65_535) == b"\xff\xff"
    with pytest.raises(ValueError, match="65536"):
        records.version_bytes(65_536)


@given(raw=st.binary(max_size=60))
def test_foreign_bytes_are_corrupt_not_fatal(raw: bytes) -> None:
    """Whatever stands there, decoding answers a record or CorruptRecord naming the place."""
    for decode in (records.decode_head, records.decode_body, records.decode_correlation, records.decode_account):
        try:
            decode(raw, "key field")
        except CorruptRecord as error:
            assert error.where == "key field"  # noqa: PT017 - whether it raises is up to the bytes


def test_a_blob_gives_back_its_messages() -> None:
    """Shared columns are written once: 500 messages with one text stay below 30 bytes each."""
    plan, members = group(500)
    members[3] = members[3]._replace(due_at=T0 + 5)
    members[4].body.options = Options(flash=True)
    raw = records.encode_blob(plan.id, members)
    assert len(raw) < 500 * 30
    assert records.decode_blob(raw, "stage") == [(m.id, m.body, m.due_at) for m in members]


def test_rejects_have_room_for_a_thousand_sends() -> None:
    """The entry's own id makes the row's, so a repeat is recognised."""
    assert records.reject_id(RejectRow("17-3", 999, "", "", b"", 0)) == "17-3999"
    assert records.reject_id(RejectRow("17-4", 0, "", "", b"", 0)) == "17-4000"


def test_the_first_event_hides_the_number() -> None:
    """The queued row shows the hash."""
    item = admission()
    row = records.queued_event(item.id, item.body, T0)
    assert (row.to, row.state, row.lane) == (item.body.to_hash, "queued", "transactional")
