"""Every case runs against each kind of store."""

from __future__ import annotations

import pytest

from tests.conformance.world import AsyncioWorld, MemoryWorld, TrioWorld, World


@pytest.fixture(params=["memory", "trio", "asyncio", "whole"])
def world(request: pytest.FixtureRequest) -> World:
    """One kind of store."""
    if request.param == "memory":
        return MemoryWorld()
    url = request.getfixturevalue("server").url
    return AsyncioWorld(url) if request.param == "asyncio" else TrioWorld(url, whole_commits=request.param == "whole")
