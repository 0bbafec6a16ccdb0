"""Names of engines: kept over restarts, unlike over run directories."""

from __future__ import annotations

from pathlib import Path

from dispatcher.ops.instance import engine_name


def test_a_name_is_kept_and_is_no_other_installations(tmp_path: Path) -> None:
    """The same run directory gives the same name; another one on the same host another."""
    first = engine_name(tmp_path / "one", "engine-0")
    assert engine_name(tmp_path / "one", "engine-0") == first
    assert engine_name(tmp_path / "one", "engine-1") == first[:-1] + "1"
    assert engine_name(tmp_path / "two", "engine-0") != first
    assert [each.name for each in (tmp_path / "one").iterdir()] == ["instance"]
