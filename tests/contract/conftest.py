"""The fixture of the contract tests: one installation a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.ground import Running, started


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A dispatcher of the module's own."""
    with started() as found:
        yield found
