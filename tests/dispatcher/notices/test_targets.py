"""Whose turn it is: circuits, slots, fair rounds, and what is loaded stays bounded."""

from __future__ import annotations

from dispatcher.core.notices import Notice
from dispatcher.notices.targets import FAILURES_MAX, PAUSE_FIRST_MS, PAUSE_MAX_MS, Round, Target
from tests.dispatcher.notices.world import T0


def notices(count: int, account: str = "acme", host: str = "a") -> list[Notice]:
    """First notices of so many messages."""
    return [
        Notice(f"e{host}{n}", f"{account}{host}{n}", account, f"https://{host}/", "", "standard", True, b"", T0)
        for n in range(count)
    ]


def loaded(whole: Round, name: str, count: int = 100) -> Target:
    """A target with as much as it wants."""
    account, _, host = name.partition(" ")
    target = whole.target(name)
    whole.load(target, notices(count, account, host)[: whole.room(target, T0)], T0)
    return target


def land(whole: Round, target: Target, *, well: bool, now: int = T0, began: int = T0, took_s: float = 0.01) -> bool:
    """One call ends, and what became of it is written."""
    return whole.landed(target, well=well, took_s=took_s, began=began, now=now)


def test_a_target_earns_its_slots() -> None:
    """One call, then one more with each success, up to the limit; loaded is at most four times that."""
    whole = Round(100, 3)
    target = loaded(whole, "acme a")
    assert len(target.ready) == 4
    for slots in (1, 2, 3, 3):
        picked = list(whole.picks(T0))
        assert target.flying == slots
        assert len(picked) == slots
        for _, notice in picked:
            assert not land(whole, target, well=True)
            whole.release("acme a", notice.message_id)
            target.slots = min(target.slots, slots + 1)
        target.held.difference_update(n.message_id for n in target.ready)
        target.ready.clear()
        assert whole.room(target, T0) == 4 * target.slots
        loaded(whole, "acme a")


def test_three_failures_open_the_circuit_and_one_call_tries_it() -> None:
    """Doubling pauses up to a minute; what was loaded goes back; calls begun before it say nothing new."""
    whole = Round(100, 8)
    target = loaded(whole, "acme a")
    pauses = []
    now = T0
    for number in range(1, 10):
        loaded_now = whole.room(target, now)
        whole.load(target, notices(50, "acme", "a")[:loaded_now], now)
        ((_, notice),) = list(whole.picks(now))
        opened = whole.landed(target, well=False, took_s=0.01, began=now, now=now)
        whole.release("acme a", notice.message_id)
        assert opened == (number >= FAILURES_MAX)
        if opened:
            pauses.append(target.open_until - now)
            assert not target.ready
            assert not target.held
            assert whole.room(target, target.open_until - 1) == 0
            assert list(whole.picks(target.open_until - 1)) == []
            now = target.open_until
            assert whole.room(target, now) > 0
    assert pauses == [min(PAUSE_FIRST_MS << n, PAUSE_MAX_MS) for n in range(7)]
    target.flying, whole.flying, whole._accounts["acme"] = 1, 1, 1
    assert not whole.landed(target, well=False, took_s=0.01, began=target.opened_at - 1, now=now)
    whole.load(target, notices(9)[: whole.room(target, now)], now)
    assert len(list(whole.picks(now))) == 1
    assert whole.room(target, now) == 0
    land(whole, target, well=True, now=now, began=now)
    assert not target.failing
    assert target.slots == 2


def test_an_opened_circuit_costs_the_slots() -> None:
    """After it, one call at a time again."""
    whole = Round(100, 8)
    target = whole.target("acme a")
    target.slots = 8
    whole.load(target, notices(3), T0)
    assert len(list(whole.picks(T0))) == 3
    assert [land(whole, target, well=False) for _ in range(3)] == [False, False, True]
    assert target.slots == 1


def test_what_was_asked_for_before_the_circuit_opened_is_not_taken() -> None:
    """It would stand ready for ever: nobody lines up a target whose circuit is open."""
    whole = Round(100, 8)
    target = loaded(whole, "acme a")
    target.failures = FAILURES_MAX - 1
    ((_, notice),) = list(whole.picks(T0))
    assert land(whole, target, well=False)
    whole.release("acme a", notice.message_id)
    assert whole.load(target, notices(5), T0) == 0
    assert whole.room(target, target.open_until) == 4
    assert whole.load(target, notices(5)[:4], target.open_until) == 4
    assert len(list(whole.picks(target.open_until))) == 1


def test_retry_after_pauses_the_target() -> None:
    """After the first such answer already, at most an hour."""
    whole = Round(100, 8)
    target = loaded(whole, "acme a")
    list(whole.picks(T0))
    assert whole.landed(target, well=False, took_s=0.01, began=T0, now=T0, retry_after_s=1e9)
    assert target.open_until == T0 + 3_600_000


def test_calls_go_round_the_targets() -> None:
    """One with much to do waits for each other's turn."""
    whole = Round(100, 8)
    many, few = whole.target("acme a"), whole.target("acme b")
    many.slots = few.slots = 4
    whole.load(many, notices(8, "acme", "a"), T0)
    whole.load(few, notices(2, "acme", "b"), T0)
    order = [target.name[-1] for target, _ in whole.picks(T0)]
    assert order == ["a", "b", "a", "b", "a", "a"]


def test_shares_of_an_account_and_of_slow_targets() -> None:
    """A quarter of all calls per account, half for what is slow; the rest goes on."""
    whole = Round(16, 16)
    for n in range(8):
        target = whole.target(f"bad h{n}")
        target.slots = 4
        whole.load(target, notices(8, "bad", f"h{n}"), T0)
    good = whole.target("good g")
    whole.load(good, notices(3, "good", "g"), T0)
    picked = [target.account for target, _ in whole.picks(T0)]
    assert picked.count("bad") == 4
    assert picked.count("good") == 1
    whole = Round(16, 16)
    for n in range(16):
        target = whole.target(f"a{n} h")
        target.slow = True
        whole.load(target, notices(4, f"a{n}", "h"), T0)
    quick = whole.target("quick h")
    whole.load(quick, notices(1, "quick", "h"), T0)
    picked = [target.account for target, _ in whole.picks(T0)]
    assert len(picked) == 9
    assert "quick" in picked


def test_slowness_is_noticed_and_forgiven() -> None:
    """The count of slow calls under way follows the target."""
    whole = Round(16, 4)
    target = whole.target("acme a")
    target.slots = 3
    whole.load(target, notices(6), T0)
    list(whole.picks(T0))
    land(whole, target, well=True, took_s=2.0)
    assert (target.slow, whole._slow) == (True, 2)
    land(whole, target, well=True, took_s=0.1)
    assert (target.slow, whole._slow) == (False, 0)
    land(whole, target, well=True, took_s=2.0)
    assert (target.slow, whole._slow) == (True, 0)


def test_nothing_is_called_twice_and_idle_targets_are_forgotten() -> None:
    """What is held is not loaded again; a target without work or trouble takes no memory."""
    whole = Round(16, 4)
    target = whole.target("acme a")
    assert whole.load(target, notices(2), T0) == 2
    assert whole.load(target, notices(2), T0) == 0
    whole.forget_idle(T0)
    assert "acme a" in whole.targets
    for number in range(2):
        ((_, notice),) = list(whole.picks(T0))
        land(whole, target, well=False)
        whole.release("acme a", notice.message_id)
        assert target.failures == number + 1
    assert list(whole.picks(T0)) == []
    whole.forget_idle(target.open_until + 599_999)
    assert "acme a" in whole.targets
    whole.forget_idle(T0 + 600_000)
    assert whole.targets == {}
