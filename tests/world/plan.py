"""What a seed stands for: the installation, the sends, the faults and their instants, all drawn before anything runs.

It refuses to know how any of it is carried out. Each seed draws its own mixture: most kinds of fault are absent from most
seeds, so that each is also met without the noise of all the others.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from dispatcher.core.settings import Settings
from tests.world.clock import chance

PRICE = 35_000
MONEY = 50_000_000
NUMBER = 491711000000
ACCOUNTS: dict[str, dict[str, Any]] = {
    "shop": {},
    "care": {"refund_on": ("failed", "rejected", "undelivered", "expired"), "unknown": "void", "bulk_receipt_retries": True},
    "thin": {},
}
COSTS = {"none": 0, "cheap": 10_000, "dear": 30_000}
STEPS = (
    "admit", "admit", "cursor", "read_sends", "publish_rejects", "trim_sends", "pop", "pop", "pop", "write_ahead",
    "write_ahead", "write_ahead", "settle", "settle", "settle", "settle", "commit_receipts", "commit_receipts", "commit",
    "correlate", "heads", "messages", "park_early", "drop_early", "drop_correlations", "move_due", "take_lease",
    "renew_lease", "orphans", "take_over", "expand_groups", "overdue_correlations", "early", "keep_correlations",
)  # fmt: skip
"""Steps of the store at which an engine may die, wait or lose a reply; what matters more stands here more often."""


class Fault(NamedTuple):
    """At `at` seconds: `kind` befalls `whom` (an engine's or carrier's index). `step`: the store's next such step, "" any that
    comes at `moment`; `moment`: as soon as the engine is there; `much`: seconds, bytes."""

    at: float
    kind: str
    whom: int
    step: str
    moment: str
    much: float


class Order(NamedTuple):
    """At `at` seconds sends come through a door: stream (one entry), http (one request) or group. `numbers`: of the sends."""

    at: float
    door: str
    numbers: tuple[int, ...]


@dataclass
class Wanted:
    """One send. `twin`: it repeats that one's key, with the same body or, `other`, with another. `cancel_at`: seconds."""

    number: int
    fields: dict[str, Any]
    account: str
    twin: int = -1
    other: bool = False
    cancel_at: float = 0.0


@dataclass
class Temper:
    """What a carrier does, as probabilities, and how long things take, seconds. `late_s`: how long a late answer takes."""

    answer_s: tuple[float, float]
    late_s: tuple[float, float]
    receipt_s: tuple[float, float]
    odds: dict[str, float]
    states: tuple[tuple[str, str, float], ...]
    ids: str


@dataclass
class Plan:
    """Everything about one seed."""

    seed: int
    settings: Settings
    engines: int
    tempers: list[Temper]
    wanted: list[Wanted]
    orders: list[Order]
    faults: list[Fault]
    heal_at: float
    latency_s: tuple[float, float]
    names: dict[str, float] = field(default_factory=dict)


KINDS = {
    "crash": 3, "crash before": 6, "crash after": 6, "reset": 4, "half-open": 3, "partial write": 3, "no reading": 3,
    "store away": 2, "store away for one": 2, "store slow for one": 3, "reply lost": 5, "binds refused": 2,
    "carrier down": 1, "throttled": 3, "queue full": 2, "clock jump": 2, "deaf": 1, "restart": 2,
}  # fmt: skip
ODDS = (
    "answer lost", "answer late", "answer doubled", "answers swapped", "answer without id", "stray answer", "temporary",
    "permanent", "receipt before answer", "receipt doubled", "receipts reordered", "receipt foreign", "receipt never",
    "receipt elsewhere", "receipt contradicted", "unbind answered late",
)  # fmt: skip
_STATES = (
    ("DELIVRD", "000", 12.0), ("UNDELIV", "027", 2.0), ("UNDELIV", "009", 0.7), ("UNDELIV", "555", 0.7),
    ("EXPIRED", "000", 0.4), ("REJECTD", "000", 0.4), ("UNKNOWN", "000", 0.3), ("DELETED", "000", 0.2), ("FAILED", "034", 0.6),
)  # fmt: skip
_AGAIN = (("DELIVRD", "000", 1.0), ("UNDELIV", "027", 1.0), ("UNDELIV", "009", 1.0), ("FAILED", "034", 1.0))
"""A carrier most of whose failures heal by themselves."""


def draw(seed: int, size: int = 200) -> Plan:
    """The plan of a seed, with about `size` sends."""
    rng = chance(seed, "plan")
    heal_at = rng.uniform(12.0, 22.0)
    count = rng.choice((1, 1, 2, 2, 3))
    settings = _settings(rng, count)
    wanted, orders = _sends(rng, size, heal_at * 0.85)
    engines = rng.choice((1, 2))
    tempers = [_temper(rng, carrier.bind[0].response_timeout_s) for carrier in settings.carrier]
    if chance(seed, "both accepted").random() < _BOTH_ACCEPTED:
        settings = _both_accepted(settings, tempers, wanted)
    return Plan(
        seed,
        settings,
        engines,
        tempers,
        wanted,
        orders,
        _faults(rng, heal_at, count),
        heal_at,
        rng.choice(((0.0005, 0.002), (0.005, 0.03), (0.02, 0.15))),
    )


def _faults(rng: random.Random, heal_at: float, carriers: int) -> list[Fault]:
    enabled = [k for k in KINDS if rng.random() < 0.45] or ["crash after"]
    weights = [KINDS[k] * rng.uniform(0.3, 2.0) for k in enabled]
    faults = []
    for _ in range(rng.randint(4, 30)):
        kind = rng.choices(enabled, weights)[0]
        whom = rng.randrange(12)
        much = rng.uniform(0.1, 5.0) if kind != "clock jump" else rng.choice((-1, 1)) * rng.uniform(0.5, 12.0)
        at = rng.uniform(0.2, heal_at - 0.5)
        step = rng.choice(STEPS) if rng.random() < 0.7 else ""
        moment = rng.choice("IABCDEFGH")
        if kind == "crash before" and rng.random() < 0.25:
            step, moment = "", "B"  # few calls are made when a message is written ahead and no byte has left
        faults.append(Fault(at, kind, whom, step, moment, much))
    return sorted(faults)


_THEMES: tuple[dict[str, float], ...] = (
    {"temporary": 0.9}, {"answer late": 0.5, "unbind answered late": 0.9},
    {"answer late": 0.3, "unbind answered late": 0.9}, {"answer late": 0.4, "temporary": 0.4}, {"receipt before answer": 0.7},
    {"answer lost": 0.3, "temporary": 0.3}, {"receipts reordered": 0.6}, {"receipt contradicted": 0.6},
    {"answers swapped": 0.7},
)  # fmt: skip
"""What some carriers do most of the time; what needs several odd things in a row is met only there."""


def _temper(rng: random.Random, timeout_s: float) -> Temper:
    most = rng.choice((0.0, 0.02, 0.08, 0.2))
    odds = {name: rng.uniform(0, most) if rng.random() < 0.5 else 0.0 for name in ODDS}
    odds["answer lost"] *= 0.3
    theme: dict[str, float] = rng.choice(_THEMES) if rng.random() < 0.3 else {}
    odds |= theme
    again = 8 if "answer late" in theme else 3  # answered late and failed: the next attempt is under way already
    slow = rng.choice((0.05, 0.3, 1.5))
    return Temper(
        (0.001, slow),
        (timeout_s - 0.3, timeout_s + 1.8),
        (0.001, rng.choice((0.05, 0.5, 4.0))),
        odds,
        rng.choices((_STATES, (("DELIVRD", "000", 1.0),), _AGAIN), (5, 2, again))[0],
        rng.choice(("decimal", "hex", "case", "padded")),
    )


_BOTH_ACCEPTED: Final = 0.1
"""So many of the seeds are given to what needs two accepted attempts of one segment at once."""


def _both_accepted(settings: Settings, tempers: list[Temper], wanted: list[Wanted]) -> Settings:
    """What is answered late is sent again meanwhile over another session, so that both attempts are accepted; receipts take
    their time, so that one often fails while the other is undecided."""
    for temper in tempers:
        timeout_s = temper.late_s[0]
        temper.odds = dict.fromkeys(ODDS, 0.0) | {"answer late": 0.3, "unbind answered late": 1.0}
        temper.answer_s, temper.late_s = (0.001, 0.05), (timeout_s + 0.7, timeout_s + 2.0)
        temper.receipt_s, temper.states = (0.001, 6.0), _AGAIN
    for one in wanted:
        one.fields["on_unknown"] = "resend"
    replace = msgspec.structs.replace
    return replace(
        settings,
        receipts=replace(settings.receipts, grace_s=0.2),
        retry=replace(settings.retry, retry_cost_max=50.0, retry_cost_max_otp=50.0),
        carrier=[replace(each, bind=[replace(bind, sessions=4) for bind in each.bind]) for each in settings.carrier],
    )


def _settings(rng: random.Random, count: int) -> Settings:
    carriers = []
    for i in range(count):
        bind: dict[str, Any] = {
            "host": f"c{i}", "name": "main", "system_id": "demo", "password": "demo", "password_plain": True,
            "window": rng.choice((1, 3, 10, 30)), "sessions": rng.choice((1, 1, 2)), "enquire_link_s": 3.0,
            "response_timeout_s": rng.choice((2.0, 4.0)), "connect_timeout_s": 2.0, "reconnect_s": 0.2, "reconnect_max_s": 2.0,
        }  # fmt: skip
        carrier: dict[str, Any] = {"name": f"c{i}", "bind": [bind], "throttle_pause_s": 0.4}
        if rng.random() < 0.4:
            carrier["rate"] = float(rng.choice((15, 30, 60)))
        if rng.random() < 0.5:
            carrier["cost"] = rng.choice(("cheap", "dear"))
        if rng.random() < 0.2:
            carrier["quirks"] = {"concat": "udh16"}
        carriers.append(carrier)
    groups = [{"carriers": [{"name": f"c{i}", "weight": i + 1} for i in range(count)]}]
    if count > 1 and rng.random() < 0.5:
        groups = [{"carriers": [{"name": "c0"}]}, {"carriers": [{"name": f"c{i}"} for i in range(1, count)]}]
    table = {
        "engine": {
            "poll_ms": rng.choice((50.0, 150.0)), "flush_ms": rng.choice((5.0, 20.0)), "lease_s": 2.0, "drain_s": 2.0,
            "ahead_segments_max": rng.choice((1, 10, 500)), "intake_entries_max": rng.choice((1, 3, 500)),
        },
        "retry": {
            "temporary_s": rng.uniform(0.3, 1.5), "temporary_max_s": 4.0, "absent_s": [0.8, 1.5, 3.0], "otp_s": [0.4, 1.0, 2.0],
            "retry_cost_max": rng.choice((1.0, 50.0)), "retry_cost_max_otp": rng.choice((2.0, 50.0)),
            "multipart_retry_s": rng.choice((2.0, 10.0)),
        },
        "receipts": {
            "deadline_s": 20.0, "deadline_otp_s": 12.0, "grace_s": rng.choice((0.2, 0.5, 2.0)), "early_s": 8.0, "sweep_s": 2.0,
        },
        "lanes": {
            "validity_otp_s": rng.choice((8, 20)), "validity_transactional_s": rng.choice((15, 40)), "validity_bulk_s": 40,
            "validity_max_s": 60,
        },
        "charges": {"reservations": True},
        "carrier": carriers,
        "route": [{"name": "main", "group": groups}],
        "tariff": [
            {"name": "retail", "currency": "EUR", "prices": {"": "0.035"}},
            {"name": "cheap", "currency": "EUR", "prices": {"": "0.01"}},
            {"name": "dear", "currency": "EUR", "prices": {"": "0.03"}},
        ],
    }  # fmt: skip
    return msgspec.convert(table, Settings)


def _sends(rng: random.Random, size: int, until: float) -> tuple[list[Wanted], list[Order]]:
    wanted: list[Wanted] = []
    orders: list[Order] = []
    groups = keys = 0
    while len(wanted) < size:
        at = rng.uniform(0.0, until)
        door = rng.choices(("stream", "http", "group"), (6, 3, 1))[0]
        left = size - len(wanted)
        if door == "group":
            account, lane = rng.choice(("shop", "care")), rng.choice(("transactional", "bulk"))
            some = [_send(rng, len(wanted) + i, account, lane) for i in range(min(left, rng.randint(2, 30)))]
            groups += 1
        else:
            some = [_send(rng, len(wanted) + i) for i in range(min(left, rng.choice((1, 1, 1, 2, 8, 25))))]
            for one in some:
                if rng.random() < 0.2:
                    keys += 1
                    one.fields["key"] = f"key-{keys}"
                if door == "stream" and rng.random() < 0.02:
                    one.fields["to"] = "12"  # no number
                if rng.random() < 0.12:
                    one.cancel_at = at + (rng.expovariate(0.5) if rng.random() < 0.4 else rng.uniform(0.0, 0.25))
        orders.append(Order(at, door, tuple(w.number for w in some)))
        wanted += some
    for one in [w for w in wanted if "key" in w.fields]:
        if rng.random() < 0.5:
            again = Wanted(len(wanted), dict(one.fields), one.account, one.number, rng.random() < 0.3)
            if again.other:
                again.fields["text"] = "Another text under the same key"
            door = next(o for o in orders if one.number in o.numbers)
            wanted.append(again)
            orders.append(Order(door.at + rng.uniform(0.0, 5.0), rng.choice(("stream", "http")), (again.number,)))
    return wanted, sorted(orders)


def _send(rng: random.Random, number: int, account: str = "", lane: str = "") -> Wanted:
    account = account or rng.choices(("shop", "care", "thin"), (6, 3, 1))[0]
    lane = lane or rng.choice(("otp", "transactional", "transactional", "bulk"))
    text = f"No {number} "
    parts = rng.choices((1, 2, 3), (8, 1, 1))[0]
    if rng.random() < 0.15:
        text = (text + "Ω" * (70 * parts))[: 67 * parts if parts > 1 else 60]
    elif parts > 1:
        text = (text + "lorem ipsum dolor sit amet " * 30)[: 150 * parts]
    fields: dict[str, Any] = {"account": account, "from": "Shop", "to": str(NUMBER + number), "text": text, "class": lane}
    fields["ref"] = f"s{number}"
    if rng.random() < 0.3:
        fields["on_unknown"] = rng.choice(("hold", "resend"))
    if rng.random() < 0.1:
        fields["validity_s"] = rng.choice((2, 5, 12))
    if rng.random() < 0.05:
        fields["not_before_in_s"] = rng.uniform(0.5, 8.0)
    return Wanted(number, fields, account)
