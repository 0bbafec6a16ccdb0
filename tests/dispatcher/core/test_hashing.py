"""core/hashing.py: the prepared HMAC is HMAC."""

from __future__ import annotations

import hashlib
import hmac
import random

import pytest

from dispatcher.core.hashing import KEY_BYTES_MAX, KEY_BYTES_MIN, NumberHash


def test_it_is_hmac_sha256() -> None:
    """The first 16 hex digits of the standard library's HMAC, for keys and numbers of every length."""
    rng = random.Random(3)
    for length in range(KEY_BYTES_MIN, KEY_BYTES_MAX + 1):
        key = rng.randbytes(length)
        number = "".join(rng.choices("0123456789", k=rng.randint(1, 15)))
        assert hmac.new(key, number.encode(), hashlib.sha256).hexdigest()[:16] == NumberHash(key)(number)


def test_it_is_repeatable_and_depends_on_the_key() -> None:
    """The same number under the same key is the same hash, also on the second call; under another key another."""
    one, two = NumberHash(b"1" * 32), NumberHash(b"2" * 32)
    assert one("22238000000") == one("22238000000") != two("22238000000")


@pytest.mark.parametrize(("length", "fine"), [(15, False), (16, True), (17, True), (63, True), (64, True), (65, False)])
def test_key_lengths(length: int, fine: bool) -> None:
    """A short key is guessable; a longer one than a block would need hashing first."""
    if fine:
        NumberHash(b"k" * length)
    else:
        with pytest.raises(ValueError, match="16 to 64"):
            NumberHash(b"k" * length)
