"""API keys: their strength, their form, and that wrong ones all look alike."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time

import pytest

from dispatcher.core.customer import ApiKey
from dispatcher.ingest import keys


def test_an_issued_key_verifies_and_only_its_hash_is_kept() -> None:
    """256 bits of secret; the record holds SHA-256 of it and not the secret."""
    text, record = keys.issue("shop", 1)
    parts = keys.parse(text)
    assert parts is not None
    key_id, secret = parts
    assert key_id == record.id
    assert len(base64.urlsafe_b64decode(secret + "=")) * 8 >= 256
    assert record.secret_hash == hashlib.sha256(secret.encode()).digest()
    assert secret not in repr(record)
    assert keys.verify(secret, record, 2)


def test_keys_never_repeat() -> None:
    """Ids and secrets are random."""
    assert len({keys.issue("shop", 1)[0] for _ in range(200)}) == 200


def test_unknown_scope_is_refused() -> None:
    """A scope that does not exist would be a right nobody checks."""
    with pytest.raises(ValueError, match="admin"):
        keys.issue("shop", 1, ("admin",))


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".b", "a.b", "id.sec ret" + "x" * 20, "i.d." + "x" * 20, "id." + "x" * 257, "ä." + "x" * 20]
)
def test_what_has_not_the_form_of_a_key_is_none(text: str) -> None:
    """One dot, two bounded words of the URL-safe alphabet."""
    assert keys.parse(text) is None


def test_expiry_and_revocation_end_a_key() -> None:
    """A key is good until the instant before `expires_at`; 0 is never; revoked is at once."""
    text, record = keys.issue("shop", 1, expires_at=100)
    secret = text.partition(".")[2]
    assert [keys.verify(secret, record, now) for now in (99, 100, 101)] == [True, False, False]
    record.expires_at, record.revoked = 0, True
    assert not keys.verify(secret, record, 5)


def test_unknown_and_wrong_keys_do_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown id costs one hash and one constant-time comparison, as a wrong secret does."""
    work: list[tuple[str, int]] = []
    real_hash, real_compare = keys.hash_secret, keys.hmac.compare_digest

    def hashed(secret: str) -> bytes:
        work.append(("hash", len(secret)))
        return real_hash(secret)

    def compared(a: bytes, b: bytes) -> bool:
        work.append(("compare", len(a) + len(b)))
        return real_compare(a, b)

    monkeypatch.setattr(keys, "hash_secret", hashed)
    monkeypatch.setattr(keys.hmac, "compare_digest", compared)
    _, record = keys.issue("shop", 1)
    wrong = "w" * 43
    assert not keys.verify(wrong, record, 2)
    for_wrong, work[:] = list(work[1:]), []  # the first hash was issue's own
    assert not keys.verify(wrong, None, 2)
    assert work == for_wrong == [("hash", 43), ("compare", 64)]


def test_recent_asks_once_for_presence_and_for_absence_and_stays_bounded() -> None:
    """The store is asked again only after the TTL; made-up names push out only each other."""
    asked: list[str] = []
    now = [0.0]

    async def fetch(name: str) -> ApiKey | None:
        asked.append(name)
        return ApiKey(id=name, account="shop", secret_hash=b"") if name == "real" else None

    async def scenario() -> None:
        recent = keys.Recent(fetch, lambda: now[0], ttl_s=3, entries_max=10)
        for _ in range(3):
            assert (await recent.get("real")) is not None
            assert (await recent.get("none")) is None
        assert asked == ["real", "none"]
        for i in range(50):
            await recent.get(f"made-up-{i}")
        assert len(recent) == 11
        assert await recent.get("real") is not None
        assert asked.count("real") == 1
        now[0] = 3.5
        await recent.get("real")
        assert asked.count("real") == 2

    asyncio.run(scenario())


def test_recent_remembers_nothing_of_a_failure() -> None:
    """A store that was away for a moment does not lock anybody out for longer."""
    failures = [OSError("away")]

    async def fetch(name: str) -> str | None:
        if failures:
            raise failures.pop()
        return name

    async def scenario() -> None:
        recent = keys.Recent(fetch, time.monotonic, ttl_s=3, entries_max=10)
        with pytest.raises(OSError, match="away"):
            await recent.get("k")
        assert await recent.get("k") == "k"

    asyncio.run(scenario())
