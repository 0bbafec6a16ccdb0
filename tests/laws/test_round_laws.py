"""Whatever receivers do, and however loading and landing interleave: nobody is forgotten, limits hold, counts agree."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core.notices import Notice
from dispatcher.notices.targets import LOADED_TIMES, Round, Target

CONCURRENCY, TARGET_CONCURRENCY = 12, 4
START = 1_790_000_000_000


class Model:
    """A round, and what waits in the store for each of its targets."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.round = Round(CONCURRENCY, TARGET_CONCURRENCY)
        self.now = START
        self.luck = self.chance.choice((0.0, 0.2, 0.6))
        self.waiting: dict[str, list[Notice]] = {}
        for account in range(self.chance.randint(1, 3)):
            for host in range(self.chance.randint(1, 3)):
                name = f"a{account} h{host}"
                count = self.chance.randrange(2, 12)
                ones = [f"{name}.{n}" for n in range(count)]
                self.waiting[name] = [Notice(i, i, f"a{account}", "https://x/", "", "standard", True, b"", START) for i in ones]
        self.asked: list[tuple[Target, list[Notice]]] = []
        self.flying: list[tuple[Target, Notice, int]] = []
        self.delivered: list[str] = []

    def ask(self) -> None:
        """The store is asked; the answer comes later."""
        self.ask_for(self.chance.choice(sorted(self.waiting)))

    def ask_for(self, name: str) -> None:
        """The same for one target, if it wants any."""
        target = self.round.target(name)
        if room := self.round.room(target, self.now):
            self.asked.append((target, self.waiting[name][: len(target.held) + room]))

    def answer(self) -> None:
        """An answer of the store comes."""
        if self.asked:
            target, notices = self.asked.pop(0)
            self.round.load(target, [n for n in notices if n in self.waiting[target.name]], self.now)

    def pick(self) -> None:
        """Everything that may be called is called."""
        for target, notice in self.round.picks(self.now):
            assert self.now >= target.open_until
            assert notice.id not in {n.id for _, n, _ in self.flying}
            self.flying.append((target, notice, self.now))
        assert len(self.flying) == self.round.flying <= CONCURRENCY
        by_target = {t.name: sum(f is t for f, _, _ in self.flying) for t in self.round.targets.values()}
        assert by_target == {t.name: t.flying for t in self.round.targets.values()}
        assert max(by_target.values(), default=0) <= TARGET_CONCURRENCY

    def land(self, *, well: bool | None = None) -> None:
        """A call ends and is settled."""
        if not self.flying:
            return
        target, notice, began = self.flying.pop(self.chance.randrange(len(self.flying)))
        well = self.chance.random() < self.luck if well is None else well
        took_s = self.chance.choice((0.1, 3.0))
        wait_s = self.chance.choice((0, 0, 30.0))
        self.round.landed(target, well=well, took_s=took_s, began=began, now=self.now, retry_after_s=0 if well else wait_s)
        if well:
            self.waiting[target.name].remove(notice)
            self.delivered.append(notice.id)
        self.round.release(target.name, notice.message_id)

    def bounded(self) -> None:
        """What is loaded stays within twice the calls."""
        for target in self.round.targets.values():
            assert len(target.ready) <= LOADED_TIMES * TARGET_CONCURRENCY
            assert target.held >= {n.message_id for n in target.ready}


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 120))
def test_nobody_is_forgotten(seed: int, steps: int) -> None:
    """After any history, once receivers work and time passes, everything is delivered, once."""
    model = Model(seed)
    total = sum(map(len, model.waiting.values()))
    for _ in range(steps):
        model.chance.choice((model.ask, model.answer, model.pick, model.land))()
        model.now += model.chance.choice((0, 10, 2_000))
        model.bounded()
    for _ in range(400):
        if not any(model.waiting.values()):
            break
        model.now += 5_000
        for name in model.waiting:
            model.ask_for(name)
        while model.asked:
            model.answer()
        model.pick()
        while model.flying:
            model.land(well=True)
        model.round.forget_idle(model.now)
    assert sorted(model.delivered) == sorted(set(model.delivered))
    assert len(model.delivered) == total
    assert model.round._accounts == {}
    assert model.round._slow == model.round.flying == 0
