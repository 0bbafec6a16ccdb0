"""Calls counted in fixed windows, and keys of one account changed by one of many: every store alike."""

from __future__ import annotations

from dispatcher.core.customer import ApiKey
from dispatcher.core.front import Counted
from tests.conformance.world import T0, AnyStore, World


def _key(name: str, account: str = "shop", *, revoked: bool = False) -> ApiKey:
    return ApiKey(id=name, account=account, secret_hash=b"h" * 32, dialect="laravel", revoked=revoked)


def test_a_window_begins_with_its_first_call_and_ends_whole(world: World) -> None:
    """60 s from the first call, not from the last; at the end it is empty, not sliding. Subjects are apart."""

    async def case(store: AnyStore) -> None:
        for used, after_ms in enumerate((0, 59_000, 59_999), 1):
            assert await store.count_call("a", 60, T0 + after_ms) == Counted(used, T0 + 60_000)
        assert await store.count_call("b", 60, T0 + 59_999) == Counted(1, T0 + 119_999)
        assert await store.count_call("a", 60, T0 + 60_000) == Counted(1, T0 + 120_000)

    world.run(case)


def test_a_window_from_the_future_is_none(world: World) -> None:
    """A clock that was wrong and is put right does not shut a subject out."""

    async def case(store: AnyStore) -> None:
        await store.count_call("a", 60, T0 + 3_600_000)
        assert await store.count_call("a", 60, T0) == Counted(1, T0 + 60_000)

    world.run(case)


def test_windows_are_forgotten_by_how_their_subjects_begin(world: World) -> None:
    """As the takes' are."""

    async def case(store: AnyStore) -> None:
        for subject in ("laravel:a", "laravel:b", "other:a"):
            await store.count_call(subject, 60, T0)
        assert await store.forget_windows("laravel:") == 2
        assert [(await store.count_call(s, 60, T0)).used for s in ("laravel:a", "laravel:b", "other:a")] == [1, 1, 2]

    world.run(case)


def test_keys_change_only_as_they_were_seen(world: World) -> None:
    """Whoever looked before somebody else's change writes nothing; another account's change does not matter."""

    async def case(store: AnyStore) -> None:
        await store.put_key(_key("k1"))
        await store.put_key(_key("k9", "other"))
        version, found = await store.account_keys("shop")
        assert found == [_key("k1")]
        await store.put_key(_key("k8", "other"))
        assert await store.change_keys("shop", version, [_key("k1", revoked=True), _key("k2")])
        assert not await store.change_keys("shop", version, [_key("k3")])
        version, found = await store.account_keys("shop")
        assert found == [_key("k1", revoked=True), _key("k2")]
        await store.put_key(_key("k4"))
        assert not await store.change_keys("shop", version, [_key("k3")])
        assert await store.key("k3") is None
        version, _ = await store.account_keys("shop")
        assert await store.change_keys("shop", version, [_key("k6")], gone=["k1", "k2", "nothing"])
        assert [key.id for key in (await store.account_keys("shop"))[1]] == ["k4", "k6"]
        assert not await store.change_keys("shop", version, [], gone=["k4"])
        assert await store.key("k4") is not None
        assert (await store.account_keys("nobody"))[1] == []
        assert await store.change_keys("nobody", (await store.account_keys("nobody"))[0], [_key("k5", "nobody")])

    world.run(case)
