"""Uses of limits over a server, and what admission checks of each send before it takes money: limits, STOP.

The counting is take.lua's; this module only cuts calls into steps that do not hold the server, and reads answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dispatcher.core.front import Take, Taken
from dispatcher.core.ports import Admission, StoreUnavailable, Verdict
from dispatcher.store import resp
from dispatcher.store.front import Front, glob
from dispatcher.store.verdicts import key_field, known_verdict, limited, takes_of

TAKES = "takes"
STEP_COST_MAX = 400
"""What one call may cost the server, in members written and counters read: 400 hold it for about a millisecond."""
LOG_LIMIT_MAX = 1000


class Windows(Front):
    """Takes, and the checks of an admission that are not about money."""

    _stopping: set[str]
    """Accounts known to have opt-outs: asked before the money is, which saves a refusal."""

    async def take(self, takes: Sequence[Take], at: int) -> list[Taken]:
        return [taken for _, taken in await self.take_together([(take,) for take in takes], at)]

    async def take_together(self, sends: Sequence[Sequence[Take]], at: int) -> list[tuple[int, Taken]]:
        out: list[tuple[int, Taken]] = []
        for some in _steps(sends):
            arguments = [b"%d" % at, self.k.base]
            for takes in some:
                arguments.append(b"%d" % len(takes))
                arguments += _arguments(takes)
            out += map(_answer, (await self.once(TAKES, "take", [], arguments)).split())
        return out

    async def give_back(self, takes: Sequence[Take], at: int) -> None:
        for some in _steps([(take,) for take in takes]):
            arguments = _arguments([take for takes in some for take in takes])
            await self.once(TAKES, "untake", [], [b"%d" % at, self.k.base, *arguments])

    async def summed(self, subject: str, span_s: int) -> int:
        total = (await self.ask(TAKES, resp.of("HGET", self.k.sums_ + subject.encode(), f"{span_s}t"), 1))[0]
        return int(total or 0)

    async def forget_windows(self, beginning: str) -> int:
        subjects: set[bytes] = set()
        for kind in (self.k.uses_, self.k.sums_, self.k.calls_):
            async for key in self.scan(glob(kind + beginning.encode()) + b"*"):
                subjects.add(key[len(kind) :])
                await self.ask(TAKES, resp.command(b"UNLINK", key), 1)
        return len(subjects)

    # -- for an admission
    async def over_limit(self, takes: Mapping[int, Sequence[Take]], at: int) -> dict[int, Verdict]:
        """Takes what the sends take; who is over a limit, by index. A process that dies before its admission leaves its
        takes counted: too careful, never too generous."""
        answers = await self.take_together(list(takes.values()), at)
        return {
            i: limited(takes[i][refused], taken)
            for i, (refused, taken) in zip(takes, answers, strict=True)
            if not taken.granted
        }

    async def stopped(self, batch: Sequence[Admission], todo: Iterable[int], accounts: set[str]) -> set[int]:
        """Which of these sends go to numbers that said STOP, of those under `accounts`."""
        asked: dict[str, list[int]] = {}
        for i in todo:
            if batch[i].body.account in accounts:
                asked.setdefault(batch[i].body.account, []).append(i)
        pairs = {a: [(batch[i].body.sender, batch[i].body.to_hash) for i in some] for a, some in asked.items()}
        found: set[int] = set()
        for account, (has_any, refused) in (await self.refusals(pairs) if pairs else {}).items():
            (self._stopping.add if has_any else self._stopping.discard)(account)
            found.update(i for i, no in zip(asked[account], refused, strict=True) if no)
        return found

    async def passed(
        self, batch: Sequence[Admission], todo: Sequence[int], at: int, no: dict[int, Verdict]
    ) -> tuple[Sequence[int], dict[int, tuple[Take, ...]], set[str]]:
        """What comes before the money: gives verdicts to those over a limit, and to the opted out of accounts known to have
        such. The rest; what was taken, by index; the accounts whose opt-outs were looked at."""
        takes = takes_of(batch, todo)
        refused = await self.over_limit(takes, at) if takes else {}
        taken = {i: some for i, some in takes.items() if i not in refused}
        accounts = self._stopping & {batch[i].body.account for i in todo} if self._stopping else set()
        if accounts:
            some = await self.stopped(batch, [i for i in todo if i not in refused], accounts)
            refused |= dict.fromkeys(some, Verdict("opted_out", ""))
        if refused:
            no |= refused | await self._known(batch, [i for i in refused if batch[i].body.key], at)
            todo = [i for i in todo if i not in refused]
        return todo, taken, accounts

    async def _known(self, batch: Sequence[Admission], keyed: Sequence[int], at: int) -> dict[int, Verdict]:
        """Of refused sends those whose key is known: a repeat is no new send."""
        if not keyed:
            return {}
        fields = [key_field(batch[i]) for i in keyed]
        wire = b"".join(resp.command(b"HMGET", self.k.idem(at, back), *fields) for back in range(2))
        today, earlier = await self.ask(TAKES, wire, 2)
        found = [a if a is not None else b for a, b in zip(today, earlier, strict=True)]
        return {i: known_verdict(f, batch[i].digest) for i, f in zip(keyed, found, strict=True) if f is not None}

    async def return_takes(self, takes: Sequence[Take], at: int) -> None:
        """Gives back what refused sends had taken. A server that goes away now leaves them counted: the verdicts stand."""
        try:
            await self.give_back(takes, at)
        except StoreUnavailable:
            return


def _steps(sends: Sequence[Sequence[Take]]) -> Iterable[Sequence[Sequence[Take]]]:
    """Sends by calls, none of which holds the server for long."""
    step: list[Sequence[Take]] = []
    cost = 0
    for takes in sends:
        price = sum(_cost(take) for take in takes)
        if step and cost + price > STEP_COST_MAX:
            yield step
            step, cost = [], 0
        step.append(takes)
        cost += price
    if step:
        yield step


def _cost(take: Take) -> int:
    small = sum(limit <= LOG_LIMIT_MAX for _, limit in take.spans)
    members = min(take.amount, LOG_LIMIT_MAX) // 2 if small else 0
    return 2 + members + 2 * small + 12 * (len(take.spans) - small)


def _arguments(takes: Iterable[Take]) -> list[bytes]:
    out: list[bytes] = []
    for take in takes:
        out += (take.subject.encode(), take.token.encode(), b"%d" % take.amount, b"%d" % len(take.spans))
        out += [b"%d" % part for span in take.spans for part in span]
    return out


def _answer(word: bytes) -> tuple[int, Taken]:
    if word == b".":
        return -1, Taken(granted=True)
    index, wait, span_s = map(int, word.split(b","))
    return index, Taken(granted=False, retry_after_ms=wait, span_s=span_s)
