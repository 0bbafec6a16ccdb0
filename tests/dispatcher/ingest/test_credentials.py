"""Credentials of every kind: who is let in, what wrong ones cost, and that nothing tells which exist."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dispatcher.core.customer import ApiKey
from dispatcher.core.hashing import NumberHash
from dispatcher.ingest import keys
from dispatcher.ingest.credentials import PASSWORDS_WAITING_MAX, Credentials
from dispatcher.ingest.problems import Problem

KEYED = NumberHash(b"k" * 32).digest
NOW = 1_790_000_000_000
Presented = str | tuple[str, str] | None


class Shelf:
    """Records, and a clock that a test moves."""

    def __init__(self) -> None:
        self.records: dict[str, ApiKey] = {}
        self.at = NOW
        self.credentials = Credentials(self._fetch, KEYED, self)

    async def _fetch(self, key_id: str) -> ApiKey | None:
        return self.records.get(key_id)

    def now_ms(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return self.at / 1000

    def put(self, dialect: str, identifier: str, secret: str | None = None, **more: Any) -> ApiKey:
        """Imports a credential, with other fields."""
        record = msgspec.structs.replace(keys.imported(KEYED, "shop", dialect, identifier, secret, NOW), **more)
        self.records[record.id] = record
        return record

    def ask(self, dialect: str, presented: Presented) -> str:
        """The key's id, or the problem's kind; "" is the dialect of our own keys."""
        try:
            if not dialect:
                return asyncio.run(self.credentials.native(str(presented))).id
            return asyncio.run(self.credentials.dialect(dialect, presented)).id
        except Problem as problem:
            return problem.kind

    def cost(self, call: Callable[[], object]) -> tuple[int, ...]:
        """Hashes, comparisons, reads and password hashes of a call."""
        before = self.credentials.work.all()
        call()
        return tuple(b - a for a, b in zip(before, self.credentials.work.all(), strict=True))


@pytest.fixture
def shelf() -> Shelf:
    """A new one."""
    return Shelf()


FORMS: list[tuple[str, Presented, Presented, Presented]] = [
    ("chinqit", "right-key-0123456789", "wrong-key-0123456789", "other-key-0123456789"),
    ("otpiq", "sk_live_right", "sk_live_wrong", "sk_live_other"),
    ("laravel", "right" * 8, "wrong" * 8, "other" * 8),
    ("laravel", ("user", "right"), ("user", "wrong"), ("nobody", "wrong")),
    ("smskit", ("key", "right"), ("key", "wrong"), ("none", "wrong")),
]


@pytest.mark.parametrize(("dialect", "right", "wrong", "unknown"), FORMS)
def test_right_wrong_and_unknown(shelf: Shelf, dialect: str, right: Presented, wrong: Presented, unknown: Presented) -> None:
    """The right one is known, the others are told the same, and what nobody presented is told so."""
    record = shelf.put(dialect, *(right if isinstance(right, tuple) else (str(right), None)))
    assert shelf.ask(dialect, right) == record.id
    assert shelf.ask(dialect, wrong) == shelf.ask(dialect, unknown) == "unauthorized"
    nothing: list[Presented] = [("", "x"), ("x", ""), ("", "")] if isinstance(right, tuple) else [None, ""]
    assert {shelf.ask(dialect, each) for each in nothing} == {"unauthorized_missing"}


@pytest.mark.parametrize(("dialect", "right", "wrong", "unknown"), FORMS)
def test_unknown_and_wrong_cost_the_same(
    shelf: Shelf, dialect: str, right: Presented, wrong: Presented, unknown: Presented
) -> None:
    """Must show 4: hashes, comparisons, reads of the store and password hashes are counted, first and again."""
    shelf.put(dialect, *(right if isinstance(right, tuple) else (str(right), None)))
    for _ in range(2):
        costs = []
        for presented in (wrong, unknown):
            fresh = shelf.credentials = Credentials(shelf._fetch, KEYED, shelf)
            first, again = (shelf.cost(lambda p=presented: shelf.ask(dialect, p)) for _ in range(2))  # type: ignore[misc]
            costs.append((first, again))
            assert fresh.work.all()[1] > 0
        assert costs[0] == costs[1]
        assert costs[0][0][:3] >= (2, 1, 1)


def test_our_own_unknown_and_wrong_keys_cost_the_same(shelf: Shelf) -> None:
    """The same of `id.secret`."""
    text, record = keys.issue("shop", NOW)
    shelf.records[record.id] = record
    key_id, _, secret = text.partition(".")
    assert shelf.ask("", text) == key_id
    for wrong in (f"{key_id}.{'x' * 43}", f"{'0' * 16}.{secret}"):
        shelf.credentials = Credentials(shelf._fetch, KEYED, shelf)
        assert [shelf.cost(lambda p=wrong: shelf.ask("", p)) for _ in range(2)] == [(1, 1, 1, 0), (1, 1, 0, 0)]  # type: ignore[misc]


def test_kinds_do_not_mix(shelf: Shelf) -> None:
    """A key of one service is none of another's, a user name is no key, and a dialect's record is no key of ours."""
    record = shelf.put("chinqit", "shared-key-0123456789")
    for dialect in ("otpiq", "laravel"):
        assert shelf.ask(dialect, "shared-key-0123456789") == "unauthorized"
    shelf.put("laravel", "name", "password")
    assert shelf.ask("laravel", "name") == shelf.ask("smskit", ("name", "password")) == "unauthorized"
    assert shelf.ask("", f"{record.id}.shared-key-0123456789") == "unauthorized"
    with pytest.raises(ValueError, match="two parts"):
        keys.dialect_id(KEYED, "otpiq", "x", pair=True)


def test_nothing_presented_is_kept(shelf: Shelf) -> None:
    """Records hold no part of a key but its last four characters, and no password; a user's name is shown."""
    for record, secrets in (
        (shelf.put("chinqit", "ABCDEFGHIJKLMNOP-abcd"), ["ABCDEFGHIJ"]),
        (shelf.put("smskit", "short-key", "token-token"), ["short-key", "token-token"]),
        (shelf.put("laravel", "anna", "my password"), ["my password"]),
    ):
        written = msgspec.json.encode(record) + record.secret_hash
        assert not [secret for secret in secrets if secret.encode() in written]
    assert [r.label for r in shelf.records.values()] == ["...abcd", "", "anna"]


def test_expiry_and_revocation(shelf: Shelf) -> None:
    """Valid while now < expiry. Only Laravel's keys say that they have expired, and only to who has the right one."""
    for dialect, presented in (("chinqit", "k" * 20), ("laravel", "k" * 40), ("otpiq", "k" * 20)):
        shelf.put(dialect, presented, expires_at=NOW + 10_000)
        assert len(shelf.ask(dialect, presented)) == 33
    shelf.at = NOW + 10_000
    assert shelf.ask("chinqit", "k" * 20) == shelf.ask("otpiq", "k" * 20) == "unauthorized"
    assert (shelf.ask("laravel", "k" * 40), shelf.ask("laravel", "x" * 40)) == ("expired_key", "unauthorized")
    shelf.put("laravel", "k" * 40, revoked=True, expires_at=NOW)
    assert shelf.ask("laravel", "k" * 40) == "unauthorized"


def test_a_laravel_key_stops_at_once_and_others_within_seconds(shelf: Shelf) -> None:
    """Replaced through HTTP, so always looked up; the others are remembered for three seconds."""
    for dialect in ("laravel", "chinqit"):
        shelf.put(dialect, "k" * 40)
        assert len(shelf.ask(dialect, "k" * 40)) == 33
        shelf.put(dialect, "k" * 40, revoked=True)
    assert shelf.ask("laravel", "k" * 40) == "unauthorized"
    assert len(shelf.ask("chinqit", "k" * 40)) == 33
    shelf.at += 3001
    assert shelf.ask("chinqit", "k" * 40) == "unauthorized"


def test_a_password_is_hashed_once_in_a_while(shelf: Shelf) -> None:
    """Its verdict is remembered for seconds, for this record only: a changed password is asked anew."""
    shelf.put("laravel", "anna", "first")
    assert shelf.cost(lambda: shelf.ask("laravel", ("anna", "first")))[3] == 1
    assert shelf.cost(lambda: shelf.ask("laravel", ("anna", "first")))[3] == 0
    shelf.at += 3001
    shelf.put("laravel", "anna", "second")
    assert shelf.ask("laravel", ("anna", "first")) == "unauthorized"
    assert len(shelf.ask("laravel", ("anna", "second"))) == 33


def test_passwords_do_not_hold_up_the_loop(shelf: Shelf) -> None:
    """A flood of them: two at a time in threads, the loop goes on, those beyond the limit are told 503."""

    async def flood() -> tuple[list[str], float]:
        async def one(number: int) -> str:
            try:
                await shelf.credentials.dialect("laravel", ("nobody", f"guess {number}"))
            except Problem as problem:
                return problem.kind
            return "?"

        calls = [asyncio.ensure_future(one(n)) for n in range(PASSWORDS_WAITING_MAX + 5)]
        longest, before = 0.0, time.monotonic()
        while not all(call.done() for call in calls):
            await asyncio.sleep(0.001)
            now = time.monotonic()
            longest, before = max(longest, now - before), now
        return [call.result() for call in calls], longest

    kinds, longest = asyncio.run(flood())
    assert kinds.count("overloaded") == 5
    assert kinds.count("unauthorized") == PASSWORDS_WAITING_MAX
    assert longest < 0.25


def test_last_uses(shelf: Shelf) -> None:
    """Kept until they are asked for, put back when they could not be written; a wrong key is no use."""
    record = shelf.put("chinqit", "k" * 20)
    shelf.ask("chinqit", "k" * 20)
    shelf.ask("chinqit", "x" * 20)
    uses = shelf.credentials.uses()
    assert (uses, shelf.credentials.uses()) == ({record.id: NOW}, {})
    shelf.at += 5
    shelf.ask("chinqit", "k" * 20)
    shelf.credentials.put_back(uses)
    assert shelf.credentials.uses() == {record.id: NOW + 5}


@pytest.mark.parametrize("presented", ["x" * 3000, "\0", "ü", "a\nb", "a" * 1024])
def test_odd_keys(shelf: Shelf, presented: str) -> None:
    """Whatever is presented, the answer is a verdict."""
    assert shelf.ask("chinqit", presented) == "unauthorized"
