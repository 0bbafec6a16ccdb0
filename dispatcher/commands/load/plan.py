"""What a load consists of and when each message is due: a value that the door's process reads as JSON.

It refuses to know doors, clocks and what becomes of messages. Every message has a number, counted from 0; number, run and the
moment it was handed in travel in its `ref`, which every event repeats: whoever follows needs no table of what was sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from dispatcher.ops.errors import OpsError

COUNT_MAX: Final = 10_000_000
"""Following costs 9 bytes a message."""
WEIGHT_MAX: Final = 1000
NUMBERS: Final = 10_000_000
"""Destinations before they come round again."""
PRESETS: Final = {
    "plain": "1:gsm1",
    "mixed": "55:gsm1,15:gsm2:bulk,5:gsm3:bulk,15:gsm1:otp,5:ucs1:otp,5:ucs2",
}
_FILL: Final = {
    "gsm": "The quick brown fox jumps over the lazy dog and runs away through the gate, far into the wood. " * 5,
    "ucs": "نص قصير للقياس لا يقرؤه أحد ولا يراه إلا من يعد الرسائل واحدة بعد واحدة حتى النهاية. " * 5,
}
_CHARS: Final = {"gsm": (150, 290, 440), "ucs": (65, 130, 195)}
_NUMBER_CHARS: Final = 9
"""Of a text: eight digits and a space in front, so that no two are equal."""
_PART: Final = re.compile(r"(\d+):(gsm|ucs)([123])(?::(otp|transactional|bulk))?")

Door = Literal["stream", "http"]


class Part(msgspec.Struct, frozen=True):
    """One kind of message and its weight in the mix."""

    weight: int
    alphabet: str
    segments: int
    lane: str

    @property
    def text(self) -> str:
        """What follows the number in its texts."""
        return _FILL[self.alphabet][: _CHARS[self.alphabet][self.segments - 1] - _NUMBER_CHARS]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole load. `rate` messages a second (0: as fast as `open_max` unfinished ones allow), reached after `ramp_s`; it ends
    after `for_s` seconds or `count` messages, whichever is first (0: no such end). `warm_up` messages go before and are
    followed, but not measured. `accounts` and, for http, `keys` take turns."""

    run: str
    door: Door
    url: str
    prefix: str
    http: str
    accounts: tuple[str, ...]
    keys: tuple[str, ...]
    parts: tuple[Part, ...]
    sender: str
    numbers: str
    rate: float
    ramp_s: float
    for_s: float
    count: int
    warm_up: int
    open_max: int
    chunk: int
    connections: int

    @property
    def total_max(self) -> int:
        """No more than so many are sent, warm-up included."""
        wanted = self.count or COUNT_MAX
        if self.rate and self.for_s:
            wanted = min(wanted, due(self.rate, self.ramp_s, self.for_s))
        return min(wanted + self.warm_up, COUNT_MAX)


def due(rate: float, ramp_s: float, elapsed_s: float) -> int:
    """How many messages should have gone by now: the rate rises evenly during the ramp, then stays."""
    if elapsed_s < ramp_s:
        return math.floor(rate * elapsed_s * elapsed_s / (2 * ramp_s))
    return math.floor(rate * (elapsed_s - ramp_s / 2) + 1e-6)


def parse_mix(text: str) -> tuple[Part, ...]:
    """The parts of `WEIGHT:TEXT[:CLASS],...` or of a preset. Raises OpsError, which names the part."""
    parts = []
    for piece in PRESETS.get(text, text).split(","):
        found = _PART.fullmatch(piece.strip())
        if found is None or not 1 <= int(found[1]) <= WEIGHT_MAX:
            names = ", ".join(PRESETS)
            raise OpsError(
                f"--mix {piece!r}",
                f"write WEIGHT:TEXT[:CLASS] with a weight of 1 to {WEIGHT_MAX}, TEXT gsm1 to gsm3 or ucs1 to ucs3, CLASS otp,"
                f" transactional or bulk, parts with commas between, or one of: {names}",
            )
        parts.append(Part(int(found[1]), found[2], int(found[3]), found[4] or "transactional"))
    return tuple(parts)


def turns(parts: tuple[Part, ...]) -> list[int]:
    """Indices of the parts in the order in which messages take them: each as often as its weight, evenly spread."""
    total = sum(part.weight for part in parts)
    credit = [0.0] * len(parts)
    order = []
    for _ in range(total):
        for index, part in enumerate(parts):
            credit[index] += part.weight
        best = max(range(len(parts)), key=credit.__getitem__)
        credit[best] -= total
        order.append(best)
    return order


def writer(plan: Plan) -> Callable[[int, int], bytes]:
    """A function from a message's number and the moment (ms) to its JSON. The text's digits keep texts apart."""
    order = turns(plan.parts)
    base = int(re.sub(r"\D", "", plan.numbers))
    accounts = plan.accounts if plan.door == "stream" else ("",)

    def head(account: str, part: Part) -> str:
        fixed: dict[str, str] = {"class": part.lane, "text": "@"}
        fixed |= {"account": account} if account else {}
        fixed |= {"from": plan.sender} if plan.sender else {}
        written = msgspec.json.encode(fixed).decode()
        before, _, after = written[:-1].partition('"@"')
        text = msgspec.json.encode(part.text).decode()[1:-1]
        return f'{before}"%08d {text}"{after},"to":"+%d","ref":"{plan.run}.%d.%d"}}'

    heads = [[head(account, part).encode() for part in plan.parts] for account in accounts]

    def write(number: int, at: int) -> bytes:
        chosen = heads[number % len(heads)][order[number // len(heads) % len(order)]]
        return chosen % (number, base + number % NUMBERS, number, at)

    return write
