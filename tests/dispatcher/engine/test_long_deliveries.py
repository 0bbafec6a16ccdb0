"""Receipts of a long message, one behind the other in one read: applied at once, with the same effects as by any other way."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import msgpack

from dispatcher.core import alike
from dispatcher.core.lifecycle import Answer
from dispatcher.core.model import Correlation, Message, Outcome, State
from dispatcher.core.ports import Effects
from dispatcher.engine.deliveries import Item, Read, delivered
from dispatcher.engine.works import Works
from dispatcher.store import records
from smpp.receipts import Receipt
from tests.dispatcher.core.lives import SETTINGS, T0, Life
from tests.dispatcher.engine.test_deliveries import works

SIZES = (3, 3, 2, 1)
"""Segments of the messages that are remembered."""
CARRIER = "alpha"


def message_id(number: int) -> str:
    """Ours."""
    return f"{50 + number:026}"


def carrier_id(number: int, segment: int) -> str:
    """The carrier's, of one segment."""
    return f"m{number}s{segment}"


def remembering(*, alike_ones: bool) -> Works:
    """An engine that has settled messages of these sizes, as ones alike or each for itself."""
    made = works()
    for number, size in enumerate(SIZES):
        batch = alike.Batch({}, T0)
        body = Life(segments=size).body
        body.key = body.ref = ""
        stages = [batch.start(body, CARRIER, "b0", 0, "") for _ in range(alike.SEEN_BEFORE + 1)]
        message = Message(message_id(number), 1, None, body)
        message.moved(stages[-1], (5 + number, ()) if size > 1 else "")
        answers = [Answer(n, int(Outcome.ACCEPTED), 0, carrier_id(number, n), T0 + 5, 0) for n in range(1, size + 1)]
        accepted = (
            alike.accept_all(Effects(), message, answers, made.rules, T0 + 5)
            if size > 1
            else alike.accept(Effects(), message, answers[0], made.rules, T0 + 5)
        )
        assert accepted is not None
        if not alike_ones:
            message.head = message.head
        rows = [(answer.carrier_id, Correlation("p0", message.id, answer.segment, 1, T0 + 9)) for answer in answers]
        made.recent.keep([message], {CARRIER: rows})
    return made


def read_at(at: int, carrier: str = CARRIER) -> Read:
    """A read so many ms after another."""
    return Read(carrier, SETTINGS.carrier[0].quirks, None, T0 + 6 + at, 100.0)


def receipt(read: Read, number: int, segment: int, code: str = "000", state: str = "DELIVRD") -> Item:
    """A receipt as it came."""
    told = carrier_id(number, segment)
    return Item(read, Receipt(told, state, code, None), (told,), 10 * number + segment)


def whole(read: Read, number: int, code: str = "000") -> list[Item]:
    """Those of all segments, in their order."""
    return [receipt(read, number, segment, code) for segment in range(1, SIZES[number] + 1)]


def told(effects: Effects) -> dict[str, Any]:
    """What a commit would write."""
    return {
        "heads": sorted((head.id, head.version, msgpack.decode(records.head_bytes(head))) for head in effects.heads),
        "events": sorted(map(repr, msgpack.decode(records.rows_of(effects.events, effects.event_lines)))),
        "facts": sorted(map(repr, msgpack.decode(records.rows_of(effects.facts, effects.fact_lines)))),
        "erase": sorted(effects.erase),
        "others": (effects.money, effects.due, effects.undue, effects.settled, effects.group_finals),
    }


def outcome(made: Works, items: list[Item]) -> dict[str, Any]:
    """All that becomes of a batch; items by their places."""
    found = delivered(made, items)
    place = {id(item): i for i, item in enumerate(items)}
    done, rest, strangers = ([place[id(item)] for item in some] for some in (found.done, found.rest, found.strangers))
    assert (rest, strangers) == (sorted(rest), sorted(strangers))
    return told(found.effects) | {
        "done": sorted(done),
        "left": sorted([*rest, *strangers]),  # behind a row that was applied at once its message is not known any more
        "partly": {name: msgpack.encode(message.head) for name, message in found.partly.items()},
        "matched": [(item.key, item.correlation) for item in items],
        "messages": sorted(made.recent.messages),
        "correlations": sorted(made.recent.correlations[CARRIER].items()),
    }


def test_a_row_is_applied_at_once() -> None:
    """Before what stands behind it, as lines that messages alike share; it is no longer remembered, and each item knows its
    segment."""
    made, read = remembering(alike_ones=True), read_at(0)
    items = [receipt(read, 3, 1), *whole(read, 0), *whole(read, 2), *whole(read, 1)]
    found = delivered(made, items)
    assert (found.done, found.rest, found.strangers, found.partly) == (items, [], [], {})
    ids = [message_id(number) for number in (3, 0, 2, 1)]
    assert [(head.id, head.version, head.head.state) for head in found.effects.heads] == [
        (each, 3, State.DELIVERED) for each in ids
    ]
    assert all(head.text for head in found.effects.heads)
    assert (found.effects.erase, len(found.effects.event_lines), found.effects.events) == (ids, 4, [])
    assert [item.correlation.segment for item in items] == [1, 1, 2, 3, 1, 2, 1, 2, 3]
    assert [item.key for item in items] == [item.receipt.id for item in items]
    assert not set(ids) & set(made.recent.messages)
    assert sorted(made.recent.correlations[CARRIER]) == ["c0", "c1", "c2"]


def broken_rows() -> dict[str, list[Item]]:
    """Rows of message 0 that are none, before one of message 3."""
    read, later = read_at(0), read_at(4)
    kept = whole(read, 0)
    kept[1].tlvs = {"0x1401": "x"}
    doubtful = whole(read, 0)
    doubtful[2].keys = ("x", doubtful[2].keys[0])
    rows = {
        "order": [receipt(read, 0, n) for n in (2, 1, 3)],
        "last first": [receipt(read, 0, n) for n in (3, 1, 2)],
        "code": [receipt(read, 0, 1), receipt(read, 0, 2, "001"), receipt(read, 0, 3)],
        "state": [receipt(read, 0, 1), receipt(read, 0, 2, state="ACCEPTD"), receipt(read, 0, 3)],
        "missing": whole(read, 0)[:2],
        "missing first": whole(read, 0)[1:],
        "repeated": [receipt(read, 0, n) for n in (1, 2, 2, 3)],
        "repeated first": [receipt(read, 0, n) for n in (1, 1, 2, 3)],
        "repeated last": [receipt(read, 0, n) for n in (1, 2, 3, 3)],
        "another's": [receipt(read, 0, 1), receipt(read, 1, 2), receipt(read, 0, 3)],
        "between": [receipt(read, 0, 1), receipt(read, 0, 2), receipt(read, 1, 1), receipt(read, 0, 3)],
        "stranger": [receipt(read, 0, 1), receipt(read, 0, 2), receipt(read, 9, 3)],
        "two reads": [receipt(read, 0, 1), receipt(read, 0, 2), receipt(later, 0, 3)],
        "kept": kept,
        "doubtful": doubtful,
        "behind": [receipt(read, 0, 2, state="UNDELIV"), *whole(read, 0)],
    }
    return {name: [*row, receipt(row[-1].read, 3, 1)] for name, row in rows.items()}


@pytest.mark.parametrize("name", broken_rows())
def test_what_is_no_row_is_the_same_as_ever(name: str) -> None:
    """Mixed, with other codes or words, with a segment missing or repeated, in two reads: as for messages each for itself."""
    assert outcome(remembering(alike_ones=True), broken_rows()[name]) == outcome(
        remembering(alike_ones=False), broken_rows()[name]
    )


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
@pytest.mark.parametrize("reads", [(0, 0, 0), (0, 0, 1), (0, 1, 1)])
def test_any_order_is_the_same_in_the_end(order: tuple[int, ...], reads: tuple[int, ...]) -> None:
    """One head, one event, one erasure and every item done, in whatever order and in however many reads of one instant."""
    row = remembering(alike_ones=True)
    expected = told(delivered(row, whole(read_at(0), 0)).effects)
    both = read_at(0), read_at(0)
    made = remembering(alike_ones=True)
    items = [receipt(both[which], 0, segment) for segment, which in zip(order, reads, strict=True)]
    found = delivered(made, items)
    assert told(found.effects) == expected
    assert (len(found.done), found.rest, found.strangers, found.partly) == (3, [], [], {})
    assert made.recent.messages.keys() == row.recent.messages.keys()
    assert made.recent.correlations == row.recent.correlations


def test_what_stands_behind_a_row_is_asked_of_the_store() -> None:
    """Its message is not remembered any more: a repetition, and another word, are left for who asks, in their order."""
    made, read = remembering(alike_ones=True), read_at(0)
    items = [*whole(read, 0), receipt(read, 0, 3), receipt(read, 0, 2, state="UNDELIV"), receipt(read, 3, 1)]
    found = delivered(made, items)
    assert (found.done, found.rest, found.strangers) == ([*items[:3], items[5]], [], items[3:5])


def test_a_row_at_the_end_of_a_batch_may_be_cut_off() -> None:
    """The rest of it comes with the next batch: the message is awaited meanwhile."""
    made, read = remembering(alike_ones=True), read_at(0)
    first, second = whole(read, 0)[:2], whole(read, 0)[2:]
    found = delivered(made, first)
    assert (found.done, list(found.partly)) == (first, [message_id(0)])
    made.recent.moved_on(found.effects.heads, found.partly)
    found = delivered(made, second)
    assert [(head.version, head.head.state) for head in found.effects.heads] == [(4, State.DELIVERED)]
    assert (found.done, found.rest) == (second, [])


Drawn = tuple[int, int, str, str, bool, str]
one = st.tuples(
    st.integers(0, len(SIZES)),
    st.integers(1, 3),
    st.sampled_from(["000", "000", "000", "001"]),
    st.sampled_from(["DELIVRD"] * 6 + ["UNDELIV", "ENROUTE"]),
    st.sampled_from([False] * 5 + [True]),
    st.sampled_from([""] * 8 + ["kept", "doubtful", "elsewhere"]),
)
rows = st.builds(
    lambda number, code, apart: [(number, n, code, "DELIVRD", apart and n == 1, "") for n in range(1, SIZES[number] + 1)],
    st.integers(0, len(SIZES) - 1),
    st.sampled_from(["000", "000", "001"]),
    st.booleans(),
)
batches = st.lists(st.one_of(rows, rows, st.lists(one, max_size=3)), max_size=8).map(
    lambda lists: [each for some in lists for each in some]
)


def items_of(drawn: list[Drawn]) -> list[Item]:
    """A batch; what is `apart` begins another read."""
    items: list[Item] = []
    read = read_at(0)
    for i, (number, segment, code, state, apart, how) in enumerate(drawn):
        if apart:
            read = read_at(i)
        item = receipt(read if how != "elsewhere" else read_at(i, "beta"), number, segment, code, state)
        if how == "kept":
            item.tlvs = {"0x1401": "x"}
        elif how == "doubtful":
            item.keys = ("x", *item.keys)
        items.append(item)
    return items


@settings(max_examples=400, deadline=None)
@given(st.one_of(batches, batches.flatmap(st.permutations)))
@example([(0, n, "000", "DELIVRD", False, "") for n in (1, 2, 3, 1, 2, 3)])
@example([(2, 1, "000", "DELIVRD", False, ""), (2, 2, "000", "DELIVRD", True, "")])
def test_a_batch_is_the_same_by_either_way(drawn: list[Drawn]) -> None:
    """Whatever a batch holds: the same heads, rows, items done and left in their order, and the same remembered afterwards."""
    fast, slow = outcome(remembering(alike_ones=True), items_of(drawn)), outcome(remembering(alike_ones=False), items_of(drawn))
    assert fast == slow
