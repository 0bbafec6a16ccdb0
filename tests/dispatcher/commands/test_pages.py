"""Reference pages are what their definitions say."""

from __future__ import annotations

import dataclasses

import dispatcher
from dispatcher.commands import pages
from dispatcher.core.counters import METRICS
from smpp.simulator import scenario
from smpp.simulator.forms import ReceiptForm


def test_generated_pages_have_not_drifted() -> None:
    """docs/configuration, metrics, commands and state-machine are up to date (run `make docs`)."""
    assert pages.differences() == []


def test_every_metric_and_key_is_on_its_page() -> None:
    """Nothing declared is missing."""
    page = pages.metrics()
    assert [metric.name for metric in METRICS if f"`{metric.name}`" not in page] == []
    assert "## `[[carrier.bind]]`" in pages.configuration()
    assert "`dispatcher binds pause CARRIER BIND`" in pages.commands()


def test_every_key_says_what_it_means() -> None:
    """No key of the configuration has an empty last column."""
    keys = [line for line in pages.configuration().splitlines() if line.startswith("| `")]
    assert len(keys) > 100
    assert [line for line in keys if line.endswith("|  |")] == []


def test_every_outcome_and_key_of_a_scenario_says_what_it_means() -> None:
    """The simulated carrier's page has each outcome and each key that a file may set."""
    page = pages.scenarios()
    assert set(scenario.MEANINGS) == set(scenario.Outcome)
    keys = {f.name for kind in (scenario.Account, scenario.Fate, ReceiptForm) for f in dataclasses.fields(kind)}
    keys |= {f.name for f in dataclasses.fields(scenario.Scenario)} - {"accounts", "rules", "mix", "receipt"}
    assert [key for key in sorted(keys) if f"| `{key}` |" not in page] == []


def test_the_version_is_the_package_s() -> None:
    """`dispatcher --version` and pyproject.toml agree."""
    assert f'version = "{dispatcher.__version__}"' in (pages.ROOT / "pyproject.toml").read_text(encoding="utf-8")
