"""A hundred seeds of the simulated world; its own determinism; and that its auditor is not blind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.world import bugs, world
from tests.world.__main__ import digest, recall
from tests.world.coverage import ANY_TIME, BY_NATURE, MOMENTS, POSSIBLE, thin

SMALL = 25
"""Sends in a seed here; `python -m tests.world` takes 200."""
CAUGHT_SOON = (
    "answered-before-durable",
    "cursor-before-record",
    "intake-from-the-end",
    "refunded-twice",
    "resend-under-hold",
    "write-before-write-ahead",
)


@pytest.mark.parametrize("first", range(1, 101, 10))
def test_seeds(first: int) -> None:
    """Whatever befalls engines, carriers, connections and store, every promise is kept (I1 to I16). To replay one:
    `python -m tests.world --seed N --size 25`."""
    for seed in range(first, first + 10):
        result = world.run(seed, SMALL)
        assert result.breaches == [], f"python -m tests.world --seed {seed} --size {SMALL}"
        assert result.accepted > 0


def test_a_seed_is_the_same_in_another_process() -> None:
    """Two fresh processes with other hash seeds make the same histories, to the last line; another seed makes another.
    `python -m tests.world --seeds 1-3000 --twice` does so for every hundredth."""
    one = digest(11, SMALL, "1")
    assert one == digest(11, SMALL, "2")
    assert one.split()[1] != digest(12, SMALL, "1").split()[1]


def test_cells_that_are_met_too_seldom_are_named() -> None:
    """Every fault has its possible moments; a cell below the limit is named, and one that nobody has listed too."""
    enough = dict.fromkeys(POSSIBLE, 20)
    assert len(POSSIBLE) == len(ANY_TIME) * len(MOMENTS) + len(BY_NATURE)
    assert thin(enough, 20) == []
    assert thin(enough | {("reset", "B"): 19}, 20) == ["reset at B: 19"]
    assert thin(enough | {("answer late", "H"): 1}, 20) == ["answer late at H: 1, and it is not listed"]


def test_a_tally_adds_up(tmp_path: Path) -> None:
    """What an instalment has counted is added to the next."""
    path = tmp_path / "tally.json"
    path.write_text('{"hits": [["reset", "B", 3]], "sums": {"seeds": 5}, "finals": {"delivered": 7}}')
    hits, sums, finals = Counter({("reset", "B"): 1}), Counter({"seeds": 2}), Counter[str]()
    recall(path, hits, sums, finals)
    assert (hits["reset", "B"], sums["seeds"], finals["delivered"]) == (4, 7, 7)


def test_a_seed_meets_faults_at_their_moment() -> None:
    """Faults that wait for a short moment meet it: bytes not gone yet, recorded and nobody told."""
    hits: Counter[str] = Counter()
    for seed in range(1, 13):
        hits.update({moment: n for (fault, moment), n in world.run(seed, SMALL).hits.items() if fault in ANY_TIME})
    assert min(hits[moment] for moment in "ABDE") >= 2


def test_a_seed_is_the_same_again_in_one_process() -> None:
    """Also behind other seeds, and where something has been imported that changes Trio's scheduler (hypothesis does)."""
    first = world.run(7, SMALL).digest
    assert world.run(8, SMALL).digest != first
    assert world.run(7, SMALL).digest == first


@pytest.mark.parametrize("name", CAUGHT_SOON)
def test_planted_bugs_are_caught(name: str) -> None:
    """The auditor sees them; `python -m tests.world --hunt 60` looks for all of them."""
    with bugs.planted(name):
        assert any(world.run(seed, 120).breaches for seed in range(1, 13))


def test_there_are_enough_planted_bugs() -> None:
    """At least forty; each says in a sentence what it does wrong."""
    assert len(bugs.BUGS) >= 40
    assert all(plant.__doc__ for plant in bugs.BUGS.values())
