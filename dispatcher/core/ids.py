"""Message ids: 26 characters of Crockford base 32, sortable by time, 122 bits.

48 bits of ms since 1970, 74 bits of chance, 8 zero bits. So the first 6 characters are the top 30 bits of the time: a
bucket of 2**18 ms (4.4 minutes), which is how an id alone finds its record (store.md 2).

Layout of a group's member: group time (48 bits), group number (58 bits of chance), index (16 bits), 8 zero bits.
"""

from __future__ import annotations

import re
from collections.abc import Callable

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
BUCKET_CHARS = 6
BUCKET_MS = 1 << 18
INDEX_BITS = 16
_PAIRS = [a + b for a in ALPHABET for b in ALPHABET]
_VALUES = {c: i for i, c in enumerate(ALPHABET)}
_ID = re.compile(f"[{ALPHABET}]{{26}}").fullmatch
_TAILS = [a + b for a in _PAIRS for b in _PAIRS[::256]]
"""The last four characters of an id, by the low 12 bits of its chance; the 8 bits behind those are zero."""
_LOWS = {tail: low for low, tail in enumerate(_TAILS)}
_UUID4 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def encode(time_ms: int, chance: int) -> str:
    """The id of `time_ms` (48 bits) and `chance` (74 bits). Raises ValueError outside those ranges."""
    if not 0 <= time_ms < 1 << 48 or not 0 <= chance < 1 << 74:
        raise ValueError(f"id parts out of range: time {time_ms}, chance {chance}")
    v = ((time_ms << 74) | chance) << 8
    pairs = _PAIRS
    return "".join([pairs[(v >> shift) & 1023] for shift in range(120, -1, -10)])


def in_a_row(time_ms: int, chance: int, count: int) -> list[str]:
    """`count` ids of `time_ms`, their chance counting up from `chance`. Raises ValueError as `encode` does."""
    found: list[str] = []
    while len(found) < count:
        stem = encode(time_ms, chance)[:-4]
        low = chance & 0xFFF
        tails = _TAILS[low : low + count - len(found)]
        found += [stem + tail for tail in tails]
        chance += len(tails)
    return found


def time_of(message_id: str) -> int:
    """The ms since 1970 UTC in an id. Raises ValueError for what is not one."""
    if len(message_id) != 26:
        raise ValueError(f"not a message id: {len(message_id)} characters, 26 expected")
    try:
        head = 0
        for c in message_id[:10]:
            head = (head << 5) | _VALUES[c]
    except KeyError as error:
        raise ValueError("not a message id: characters outside Crockford base 32") from error
    return head >> 2


def bucket_of(message_id: str) -> str:
    """The bucket (first 6 characters) whose hashes hold the record."""
    return message_id[:BUCKET_CHARS]


def is_id(text: str) -> bool:
    """True for 26 characters of our alphabet."""
    return _ID(text) is not None


def to_uuid(message_id: str) -> str:
    """The id's 122 bits as a UUID v4 in lower case: 48, 12 and 62 of them around version and variant. Raises ValueError."""
    if not is_id(message_id):
        raise ValueError("not a message id")
    v = 0
    for c in message_id:
        v = (v << 5) | _VALUES[c]
    v >>= 8
    bits = (v >> 74) << 80 | 4 << 76 | (v >> 62 & 0xFFF) << 64 | 2 << 62 | (v & (1 << 62) - 1)
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def from_uuid(text: str) -> str | None:
    """The id that `to_uuid` rendered so, in either case of letters; None for what is not a UUID v4."""
    if not _UUID4.fullmatch(text):
        return None
    bits = int(text.replace("-", ""), 16)
    return encode(bits >> 80, (bits >> 64 & 0xFFF) << 62 | bits & (1 << 62) - 1)


class RandomIds:
    """Ids port over a source of random bytes (os.urandom in production): one draw per batch, then counted up."""

    def __init__(self, urandom: Callable[[int], bytes]) -> None:
        self._urandom = urandom

    def make(self, at: int, count: int) -> list[str]:
        """`count` ids of time `at` (ms), ascending."""
        start = int.from_bytes(self._urandom(10), "big") % ((1 << 74) - (1 << INDEX_BITS))
        return in_a_row(at, start, count)


def group_of(message_id: str) -> str:
    """The id of the group that `message_id` would belong to: the same with index 0. Raises KeyError for what is not an id."""
    if not is_id(message_id):
        raise KeyError(message_id)
    # The last five characters are one bit of the group's own, 16 bits of index, and 8 that are always 0.
    return message_id[:21] + ("G0000" if message_id[21] >= "G" else "00000")


def _group_parts(message_id: str) -> tuple[int, int]:
    """Time and chance of a member's group."""
    v = 0
    for c in message_id:
        v = (v << 5) | _VALUES[c]
    v >>= 8
    return v >> 74, v & ((1 << 74) - 1) & ~((1 << INDEX_BITS) - 1)


def index_in_group(message_id: str) -> int:
    """The index (from 1; 0 is the group itself) of a group's member. Raises KeyError for what is not an id."""
    low = _LOWS.get(message_id[-4:])
    if low is not None:  # the common case, for batches: their 8 last bits are zero
        return (_VALUES[message_id[-5]] & 15) << 12 | low
    v = 0
    for c in message_id[-5:]:
        v = (v << 5) | _VALUES[c]
    return (v >> 8) & ((1 << INDEX_BITS) - 1)


def group_members(group_id: str, count: int, start: int = 1) -> list[str]:
    """Ids of a group's members from index `start` on: the group's own time and chance with its low 16 bits counting.

    The group's id itself has index 0. Deterministic, so a repeated expansion writes the same fields.
    """
    if not 0 <= start + count - 1 < 1 << INDEX_BITS:
        raise ValueError(f"group of {count} messages: at most {(1 << INDEX_BITS) - 1}")
    time_ms, chance = _group_parts(group_id)
    return in_a_row(time_ms, chance + start, count)
