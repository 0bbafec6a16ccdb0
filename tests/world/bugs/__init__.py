"""Planted bugs: known-bad variants of the engine, each a small patch; an auditor that does not catch them is blind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

Plant = Callable[[Callable[[Any, str, Any], None]], None]
BUGS: dict[str, Plant] = {}


def bug(function: Plant) -> Plant:
    """Registers a bug under its function's name. It is given `put(owner, name, value)`, which is undone afterwards."""
    BUGS[function.__name__.replace("_", "-")] = function
    return function


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Inside it the bug is there."""
    with ExitStack() as stack:
        BUGS[name](lambda owner, what, value: stack.enter_context(mock.patch.object(owner, what, value)))
        yield


from tests.world.bugs import doors, receiving, sending  # noqa: E402 - they register themselves

__all__ = ["BUGS", "doors", "planted", "receiving", "sending"]
