"""The soak's own judgement: slopes with their error, levels by whole periods, faults by seed, an auditor that sees wrongs."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from typing import Any, NamedTuple

import pytest

from benchmarks.soak import scene
from benchmarks.soak.auditor import BEHIND_S, SETTLE_S, Auditor, parse
from benchmarks.soak.levels import Sample, drift, slope
from dispatcher.client.reader import Row
from dispatcher.core.model import Attempt, Message, Outcome, Segment, State
from tests.conformance.world import admission, head
from tests.process.installation import Submission
from tests.process.receiver import Call, Hooks


def climb(mb_per_h: float, *, seconds: int = 3600, pid: int = 1, start_s: int = 0, base: float = 60.0) -> list[Sample]:
    """Samples each ten seconds with a noise of 0.2 MB."""
    chance = random.Random(pid)
    times = range(start_s, start_s + seconds, 10)
    return [Sample(at, pid, base + mb_per_h * at / 3600 + chance.gauss(0, 0.2)) for at in times]


@pytest.mark.parametrize(("true", "above"), [(0.0, False), (0.8, False), (1.5, True), (20.0, True)])
def test_a_slope_is_found_within_its_error(true: float, above: bool) -> None:
    """An hour says whether it is above 1 MB/h; the warm-up does not count."""
    found = slope([Sample(at, 1, at / 10) for at in range(0, 900, 10)] + climb(true, start_s=900, seconds=2700), 900)
    assert abs(found.mb_per_h - true) <= 1.5 * found.error < 0.5
    assert found.above(1.0) is above


def test_a_restart_is_no_growth_and_no_shrinking() -> None:
    """Each life has a level of its own and its own warm-up; one that was over before is left out."""
    old, young = (
        [Sample(at, pid, 40 + (at - start_s) / 30) for at in range(start_s, start_s + 900, 10)]
        for pid, start_s in ((1, 0), (2, 1800))
    )
    short = [Sample(at, 3, 40 + (at - 3600) / 30) for at in range(3600, 4400, 10)]
    old += climb(0, start_s=900, seconds=900)
    young += climb(0, pid=2, start_s=2700, seconds=900, base=80)
    found = slope([*old, *young, *short], 900)
    assert found.lives == 2
    assert abs(found.mb_per_h) < 1.0
    assert not found.above(1.0)


def test_a_warm_up_that_ends_is_no_leak() -> None:
    """What rises and then stays differs between the halves; what goes on rising does not."""
    ends = [Sample(at, 1, 60.0 + min(at, 300) / 15) for at in range(0, 600, 10)]
    leaks = [Sample(at, 1, 60.0 + at / 15) for at in range(0, 600, 10)]
    assert not slope(ends, 0).above(1.0)
    assert slope(leaks, 0).above(200.0)


def test_steps_widen_the_error_and_few_samples_say_nothing() -> None:
    """One step in the middle is no steady growth: as likely it was the last one."""
    step = [Sample(at, 1, 60.0 + (at >= 300)) for at in range(0, 600, 10)]
    noise = [Sample(at, 1, 60.0 + 0.5 * (at // 10 % 2)) for at in range(0, 600, 10)]
    assert slope(step, 0).error > 3 * slope(noise, 0).error
    few = slope(climb(100, seconds=50), 0)
    assert math.isinf(few.error)
    assert not few.above(1.0)


def test_a_level_is_compared_by_whole_periods() -> None:
    """A saw of one period has no drift whatever its phase; one that rises by 3 % has; one period alone is not judged."""
    saw = [(float(at), 100.0 + at % 100) for at in range(0, 830, 10)]
    assert abs(drift(saw, 130, 100).part) < 0.02  # type: ignore[union-attr]
    rising = [(at, level * (1 + 0.03 * at / 400)) for at, level in saw]
    assert drift(rising, 0, 100).part > 0.02  # type: ignore[union-attr]
    assert drift(saw, 650, 100) is None


def test_a_saw_that_falls_late_is_not_one_that_grows() -> None:
    """Teeth of 80 on 110 that fall up to 30 of 260 late, later in the second half: their means differ by more than 2 %, and no
    phase does. The same that also grows by 3 % is found."""
    late = [0, 5, 2, 8, 3, 24, 30, 20, 28, 26, 0]

    def level(at: float, growth: float) -> float:
        tooth, into = divmod(at, 260)
        held = into + (260 if into < late[int(tooth)] else 0)
        return 110 + 80 * held / 260 + growth * at / 2600

    level_ones = [(float(at), level(at, 0.0)) for at in range(0, 2600, 10)]
    middle = len(level_ones) // 2
    plain = statistics.fmean(y for _, y in level_ones[middle:]) / statistics.fmean(y for _, y in level_ones[:middle]) - 1
    assert plain > 0.02
    assert abs(drift(level_ones, 0, 260).part) < 0.002  # type: ignore[union-attr]
    grown = [(float(at), level(at, 2 * 150 * 0.03)) for at in range(0, 2600, 10)]
    assert 0.025 < drift(grown, 0, 260).part < 0.035  # type: ignore[union-attr]


def test_faults_come_from_the_seed_and_spare_those_whose_slope_counts() -> None:
    """The same seed, the same faults; after the warm-up only the last engine and HTTP process are killed; all kinds come."""
    faults = scene.draw(3, 3600, 900, 20)
    assert faults == scene.draw(3, 3600, 900, 20) != scene.draw(4, 3600, 900, 20)
    assert {fault.kind for fault in faults} == {"drop", "down", "stall", "kill", "freeze"}
    assert {f.victim for f in faults if f.kind == "kill" and f.at_s >= 900} == {"engine-1", "http-1"}
    assert {"engine-0", "notices-0"} <= {f.victim for f in faults if f.kind == "kill"}
    assert all(20 <= f.at_s < 3580 for f in faults)


# -- the auditor


class Stream:
    """A reader that is fed."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def read(self, _: int) -> list[Row]:
        rows, self.rows = self.rows, []
        return [Row("", row) for row in rows]

    def close(self) -> None:
        pass


class Fed(NamedTuple):
    """An auditor of one message, accepted, and where it looks."""

    auditor: Auditor
    events: Stream
    charges: Stream
    place: Any
    hooks: Hooks
    clock: list[float]

    def event(self, state: str, message: str = "M1", **more: Any) -> None:
        at = round(self.clock[0] * 1000)
        self.events.rows.append(
            {"id": message, "ref": "r1", "class": "otp", "state": state, "refined": False, "at": at, **more}
        )

    def fact(self, kind: str, **more: Any) -> None:
        at = round(self.clock[0] * 1000)
        self.charges.rows.append({"id": "M1", "segment": 1, "kind": kind, "amount": 30, "currency": "EUR", "at": at, **more})

    def delivered(self) -> None:
        """A life as it should be."""
        self.event("queued")
        self.event("submitted")
        self.place.got.append(submission())
        self.fact("post")
        self.event("delivered")

    def judged(self) -> Auditor:
        """Looks, waits, looks again, ends."""
        for _ in range(2):
            self.auditor.look(judged=True)
            self.clock[0] += SETTLE_S + 1
        self.auditor.look(judged=True)
        self.auditor.close()
        return self.auditor


class Place:
    """What the auditor asks an installation for."""

    url = "redis://127.0.0.1:1"

    def __init__(self) -> None:
        self.got: list[Submission] = []
        self.carriers = {"one": self}
        attempt = Attempt(1, "one", "main", 1, Outcome.ACCEPTED)
        body = admission().body
        delivered = head(body, State.DELIVERED)
        delivered.segments = [Segment(State.DELIVERED, [attempt], posted=True)]
        self.record = Message("M1", 3, delivered, None)

    def drained(self) -> list[Submission]:
        got, self.got = self.got, []
        return got

    def messages(self, ids: list[str]) -> dict[str, Message]:
        return dict.fromkeys(ids, self.record)


def submission(status: int = 0) -> Submission:
    """One submit_sm of the message's only segment."""
    return Submission(1.0, "491511000001", 1, 1, 0, status, "c1", 1, "", "", 0, "")


@pytest.fixture
def fed() -> Fed:
    """Accepted and told so, its callback heard; no rows yet."""
    clock, hooks, place = [1_000.0], Hooks(), Place()
    auditor = Auditor(place, hooks, lambda: clock[0])  # type: ignore[arg-type]
    events, charges = Stream(), Stream()
    auditor._events, auditor._charges, auditor._rejects = events, charges, Stream()  # type: ignore[assignment]
    auditor.expect("r1", "491511000001", held=False, hooked=True)
    auditor.accept(["r1"], told="M1")
    hooks.calls = [Call("w1", {"id": "M1", "state": "delivered"}, True, 200)]
    return Fed(auditor, events, charges, place, hooks, clock)


def faults_of(auditor: Auditor) -> dict[str, int]:
    """Those that are not 0."""
    counts = {name: getattr(auditor.verdict, name) for name in auditor.verdict.FAULTS}
    return {name: count for name, count in counts.items() if count}


def test_a_message_as_it_should_be_is_judged_and_forgotten(fed: Fed) -> None:
    """No fault, nothing kept but its number for a while."""
    fed.delivered()
    auditor = fed.judged()
    assert (faults_of(auditor), auditor.notes, auditor.unheard) == ({}, [], 0)
    assert (auditor.unjudged, auditor.verdict.accepted, auditor.verdict.final, auditor.states) == (0, 1, 1, {"delivered": 1})


def test_what_never_ends_is_lost(fed: Fed) -> None:
    """Accepted, and never final."""
    fed.event("queued")
    assert faults_of(fed.judged()) == {"lost": 1}


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (lambda fed: fed.event("queued", "M2"), "doubled"),
        (lambda fed: fed.event("delivered"), "final_twice"),
        (lambda fed: fed.fact("post"), "mischarged"),
        (lambda fed: fed.fact("refund"), "mischarged"),
        (lambda fed: fed.place.got.append(submission()), "doubled_beyond_unknown"),
        (lambda fed: fed.place.got.clear(), "phantom"),
    ],
)
def test_a_wrong_is_seen(fed: Fed, wrong: Any, fault: str) -> None:
    """Each breaks one rule of an otherwise right life."""
    fed.delivered()
    wrong(fed)
    assert fault in faults_of(fed.judged())


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (lambda fed: fed.event("failed"), "final_twice"),
        (lambda fed: fed.fact("post"), "final_twice"),
        (lambda fed: fed.place.got.append(submission()), "doubled_beyond_unknown"),
    ],
)
def test_what_comes_after_the_judgement_is_seen_too(fed: Fed, wrong: Any, fault: str) -> None:
    """A second end, money or submission for a message that was judged and forgotten."""
    fed.delivered()
    fed.auditor.look(judged=True)
    fed.clock[0] += SETTLE_S + 1
    fed.auditor.look(judged=True)
    assert not fed.auditor.unjudged
    wrong(fed)
    assert fault in faults_of(fed.judged())


def test_a_callback_that_never_comes_is_missed(fed: Fed) -> None:
    """After its patience, not before."""
    fed.hooks.calls = []
    fed.delivered()
    fed.auditor.look(judged=True)
    fed.clock[0] += SETTLE_S + 1
    fed.auditor.look(judged=True)
    assert fed.auditor.unjudged == 1
    fed.clock[0] += 100
    assert fed.judged().unheard == 1


def test_a_callback_that_comes_while_rows_are_read_waits_for_them(fed: Fed) -> None:
    """Its message's first row may be behind what was read: it is not taken for a call of nobody."""
    calls, fed.hooks.calls = fed.hooks.calls, []
    read = fed.charges.read

    def slowly(limit: int) -> list[Row]:
        fed.hooks.calls += calls
        calls.clear()
        return read(limit)

    fed.charges.read = slowly  # type: ignore[method-assign]
    fed.auditor.look(judged=True)
    assert len(fed.hooks.calls) == 1
    fed.delivered()
    assert fed.judged().unheard == 0


def test_metrics_must_equal_the_rows_but_for_the_moments_before_a_kill(fed: Fed) -> None:
    """Equal; short by what the killed second held; short by more; and one too many."""
    fed.delivered()
    auditor = fed.judged()
    name = 'dispatcher_final_total{class="otp",state="delivered"}'
    sends = 'dispatcher_sends_total{class="otp",result="accepted"}'
    money = 'dispatcher_charges_micro_total{currency="EUR",kind="post"}'
    right = {name: 1.0, sends: 1.0, money: 30.0, "dispatcher_store_bytes": 5.0}
    assert all(m.well for m in auditor.metrics(right, []))
    assert parse(name) == ("dispatcher_final_total", (("class", "otp"), ("state", "delivered")))

    def wrong(shown: dict[str, float], dark: list[tuple[float, float]]) -> Counter[str]:
        return Counter(m.name for m in auditor.metrics(shown, dark) if not m.well)

    assert wrong(right | {name: 0.0}, []) == {"dispatcher_final_total otp delivered": 1}
    assert not wrong(right | {name: 0.0}, [(1_000.2, 1_000.9)])
    assert wrong(right | {name: 0.0}, [(1_000.3 + BEHIND_S, 1_002.0)]) == {"dispatcher_final_total otp delivered": 1}
    assert wrong(right | {name: 2.0}, [(999.0, 1_000.5)]) == {"dispatcher_final_total otp delivered": 1}
    assert wrong(right | {name.replace("delivered", "failed"): 1.0}, []) == {"dispatcher_final_total otp failed": 1}


def test_what_a_door_refused_for_now_is_counted_as_its_callers_were_told(fed: Fed) -> None:
    """No row says so; a batch counts as its sends, and a repeated call each time."""
    held = 'dispatcher_sends_total{class="bulk",result="key_pending"}'
    for _ in range(2):
        fed.auditor.refuse("bulk", "key_pending", 100)
    fed.delivered()
    auditor = fed.judged()
    (metric,) = (m for m in auditor.metrics({held: 200.0}, []) if "key_pending" in m.name)
    assert (metric.counted, metric.well) == (200, True)
    assert not any(m.well for m in auditor.metrics({held: 300.0}, []) if "key_pending" in m.name)
