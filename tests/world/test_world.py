"""A hundred seeds of the simulated world; its own determinism; and that its auditor is not blind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world import bugs, world

ROOT = Path(__file__).resolve().parents[2]
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


def digests(hash_seed: str) -> str:
    """Of some seeds, in a process of their own."""
    command = [sys.executable, "-m", "tests.world", "--seeds", "11-13", "--size", str(SMALL), "--digest"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return "\n".join(done.stdout.splitlines()[:3])


def test_a_seed_is_the_same_in_another_process() -> None:
    """Two fresh processes with other hash seeds make the same histories, to the last line."""
    one = digests("1")
    assert one == digests("2")
    assert len(one.split()) == 6


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
    """At least thirty that were caught, and those that were not are named."""
    assert len(bugs.BUGS.keys() - bugs.OWED) >= 30
    assert bugs.BUGS.keys() >= bugs.OWED
