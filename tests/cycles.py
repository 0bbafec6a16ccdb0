"""What only a collection of cycles would free: processes collect rarely (ops/roles), so what is big must not wait for one.

It refuses to know what was run, and whether a cycle is anybody's fault: small ones of the libraries are left alone.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_OURS = ("dispatcher", "smpp", "accounting")


@contextmanager
def none_of_ours(*kinds: type) -> Iterator[None]:
    """Fails when what the block left in cycles holds a frame or an object of ours, of these kinds where some are given. No
    collection runs within the block."""
    gc.collect()
    gc.disable()
    try:
        yield
        found = _held(kinds)
    finally:
        gc.enable()
    assert not found, f"held by cycles: {dict(found)}"


def _held(kinds: tuple[type, ...]) -> Counter[str]:
    """Frames and objects of ours in cycles, and next to them, by name."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
    finally:
        gc.set_debug(0)
    garbage, gc.garbage[:] = list(gc.garbage), []
    found: Counter[str] = Counter()
    for held in garbage:
        near = [one for one in (held, *_untracked(held)) if not kinds or isinstance(one, kinds)]
        found.update(name for one in near if (name := _name_of(one)))
    return found


def _untracked(held: Any) -> list[Any]:
    return [one for one in gc.get_referents(held) if not gc.is_tracked(one)]


def _name_of(one: Any) -> str:
    if isinstance(one, FrameType):
        module, name = one.f_globals.get("__name__", ""), one.f_code.co_qualname
    elif isinstance(one, type):
        return ""
    else:
        module, name = type(one).__module__, type(one).__qualname__
    return f"{module}.{name}" if module.partition(".")[0] in _OURS else ""
