"""Inputs without coverage: seeds mutated by a generator whose seed says which. The same inputs in every process.

It refuses to know what becomes of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

_TELLING = (b"\0", b"\xff", b"\x7f", b"\x80", b"\x1b", b"\0\0\0\x10", b"\xff\xff", b"\x04\x24\0\5", b"id:", b" stat:")
"""What decoders look out for: ends, signs, escapes, lengths, a message_payload, names of fields."""


def inputs(seeds: Sequence[bytes], longest: int, count: int, seed: int) -> Iterator[bytes]:
    """`count` inputs of at most `longest` octets: nothing, the seeds themselves, then mutations."""
    chance = random.Random(seed)
    first = [b"", *seeds][:count]
    yield from first
    for _ in range(count - len(first)):
        data = bytearray(chance.choice(seeds))
        for _ in range(1 + int(chance.expovariate(0.7))):
            chance.choice(MUTATIONS)(data, chance, seeds)
        yield bytes(data[:longest])


def _flip(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _change(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _insert(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(_TELLING)


def _overwrite(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at, telling = chance.randrange(len(data) + 1), chance.choice(_TELLING)
    data[at : at + len(telling)] = telling


def _drop(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    del data[at : at + chance.randrange(1, 9)]


def _end(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _repeat(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = data[at : at + chance.randrange(1, 33)] * chance.randrange(1, 9)


def _splice(data: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    other = chance.choice(seeds)
    data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]


MUTATIONS: tuple[Callable[[bytearray, random.Random, Sequence[bytes]], None], ...] = (
    *(_flip, _change, _insert, _overwrite),
    *(_drop, _end, _repeat, _splice),
)
