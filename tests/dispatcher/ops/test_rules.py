"""The rules look at a file whose types may all be wrong: whatever stands under a key, they raise nothing."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import inspect as types

from dispatcher.core.settings import Settings
from dispatcher.ops import rules
from dispatcher.ops.findings import Report

BIND = {"host": "::1", "system_id": "s", "password": "p", "password_plain": True}
GOOD: dict[str, Any] = {
    "carrier": [{"name": "one", "bind": [BIND]}],
    "route": [{"name": "r", "group": [{"carriers": [{"name": "one"}]}]}],
    "tariff": [{"name": "t", "currency": "EUR", "prices": {"": "0.03"}}],
}
Key = str | int


def keys(kind: types.Type, path: tuple[Key, ...] = ()) -> Iterator[tuple[Key, ...]]:
    """Every key of the configuration; 0 stands for the first of a list of tables."""
    match kind:
        case types.Metadata():
            yield from keys(kind.type, path)
        case types.StructType():
            for field in kind.fields:
                yield (*path, field.encode_name)
                yield from keys(field.type, (*path, field.encode_name))
        case types.VarTupleType():
            yield from keys(kind.item_type, (*path, 0))
        case types.UnionType():
            for each in kind.types:
                yield from keys(each, path)


def with_value(path: tuple[Key, ...], value: Any) -> dict[str, Any]:
    """The good configuration with this under that key."""
    data = copy.deepcopy(GOOD)
    here: Any = data
    for key, after in itertools.pairwise(path):
        if isinstance(key, int):
            here.extend([{}] * (not here))
            here = here[key]
        else:
            here = here.setdefault(key, [] if isinstance(after, int) else {})
    here[path[-1]] = value
    return data


@pytest.mark.parametrize(
    "wrong", [5, 10**400, True, float("nan"), float("inf"), "x", "", [], [5], ["x"], [[5]], {}, {"x": 5}, [{}], [{"name": [5]}]]
)
def test_no_value_under_any_key_breaks_them(wrong: Any, tmp_path: Path) -> None:
    """A start with a wrong type ends with a finding (shape.py), not with a traceback of the rules."""
    every = dict.fromkeys(keys(types.type_info(Settings)))
    assert {("carrier", 0, "keep_tlvs"), ("carrier", 0, "bind", 0, "window_min"), ("limit", 0, "name")} <= every.keys()
    for path in every:
        rules.check(Report("it", {}, with_value(path, wrong)), tmp_path)
