"""Message ids: their layout, their order, and a group's members against the slow way of making them."""

from __future__ import annotations

import os
import random
import uuid

import pytest

from dispatcher.core import ids

TIME = 1_790_000_000_123


def slow_member(group_id: str, index: int) -> str:
    """A member's id by the definition: the group's time and chance, its low 16 bits replaced."""
    value = 0
    for c in group_id:
        value = value << 5 | ids.ALPHABET.index(c)
    value >>= 8
    return ids.encode(value >> 74, (value & ((1 << 74) - 1)) & ~0xFFFF | index)


@pytest.mark.parametrize("chance", [0, 1, 0xFFFF, 0x10000, 0x1FFFF, (1 << 74) - 1, 0x2A5 << 60])
def test_members_are_what_the_definition_says(chance: int) -> None:
    """The fast way changes five characters; it gives the same ids from the first index to the last possible."""
    group = ids.group_of(ids.encode(TIME, chance))
    for start, count in ((1, 300), (65_000, 536), (65_535, 1), (7, 0)):
        assert ids.group_members(group, count, start) == [slow_member(group, start + i) for i in range(count)]


def test_a_member_leads_to_its_group_and_index() -> None:
    """group_of and index_in_group undo group_members; the group itself has index 0."""
    made = ids.RandomIds(os.urandom).make(TIME, 1)[0]
    group = ids.group_of(made)
    assert (ids.index_in_group(group), ids.group_of(group), ids.time_of(group)) == (0, group, TIME)
    for index in (1, 2, 255, 256, 50_000, 65_535):
        member = ids.group_members(group, 1, index)[0]
        assert (ids.group_of(member), ids.index_in_group(member), ids.time_of(member)) == (group, index, TIME)


@pytest.mark.parametrize(
    ("count", "start", "fine"), [(65_535, 1, True), (65_536, 1, False), (2, 65_534, True), (2, 65_535, False)]
)
def test_a_group_has_at_most_65535_members(count: int, start: int, fine: bool) -> None:
    """The index has 16 bits and 0 is the group."""
    group = ids.group_of(ids.encode(TIME, 5))
    if fine:
        assert len(set(ids.group_members(group, count, start))) == count
    else:
        with pytest.raises(ValueError, match="at most"):
            ids.group_members(group, count, start)


def test_ids_sort_by_time_and_within_a_draw() -> None:
    """Later is greater, as text; all of one draw differ and ascend."""
    source = ids.RandomIds(os.urandom)
    made = [*source.make(TIME, 100), *source.make(TIME + 1, 100)]
    assert made == sorted(set(made))
    assert all(ids.is_id(i) and ids.bucket_of(i) == i[:6] for i in made)


@pytest.mark.parametrize("text", ["", "0" * 25, "0" * 27, "I" * 26, "0" * 25 + "u"])
def test_what_is_no_id(text: str) -> None:
    """Wrong length, letters outside the alphabet, lower case."""
    assert not ids.is_id(text)
    with pytest.raises(ValueError, match="not a message id"):
        ids.time_of(text + "I" if len(text) == 26 else text)


@pytest.mark.parametrize("chance", [0, 1, 4095, 4096, (1 << 74) - 9_000, 0x2A5 << 60 | 0xFFE])
def test_ids_in_a_row_are_what_encode_says(chance: int) -> None:
    """Counting up by the table of tails gives what one by one gives, over its ends too; beyond 74 bits it raises."""
    for count in (0, 1, 2, 4096, 9000):
        assert ids.in_a_row(TIME, chance, count) == [ids.encode(TIME, chance + i) for i in range(count)]
    with pytest.raises(ValueError, match="out of range"):
        ids.in_a_row(TIME, (1 << 74) - 1, 2)


@pytest.mark.parametrize("chance", [0, 1, 0xFFFF, 1 << 62, (1 << 62) - 1, (1 << 74) - 1, 0x2A5 << 60])
@pytest.mark.parametrize("time_ms", [0, 1, TIME, (1 << 48) - 1])
def test_a_uuid_renders_the_same_bits(time_ms: int, chance: int) -> None:
    """Version 4, variant 1, small letters; and back, from either case."""
    made = ids.encode(time_ms, chance)
    text = ids.to_uuid(made)
    parsed = uuid.UUID(text)
    assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)
    assert ids.from_uuid(text) == ids.from_uuid(text.upper()) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "aaf2a054-e6e8-11f1-a9f9-02fc00000001",
        uuid.UUID(int=0).hex,
        str(uuid.UUID(int=0)),
        "48bd0cf4-b223-4b16-a011-dc110742cde10",
        "{eb829e3e-d83c-498d-8926-ab2d89c188c6",
    ],
)
def test_what_is_no_uuid_of_ours(text: str) -> None:
    """Other versions, other forms and anything else lead nowhere."""
    assert ids.from_uuid(text) is None


def test_the_group_of_an_id_is_the_id_with_its_index_gone() -> None:
    """By its characters as by its bits."""
    chance = random.Random(7)
    for _ in range(500):
        made = ids.encode(chance.randrange(1 << 45), chance.randrange(1 << 74))
        assert ids.group_of(made) == ids.encode(*ids._group_parts(made))
    for wrong in ("", "x" * 26, made[:-1], made + "0", made[:-1] + "U", made[:-1] + "\n"):
        with pytest.raises(KeyError):
            ids.group_of(wrong)
