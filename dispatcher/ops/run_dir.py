"""The run directory of an installation: where it is, and how its small files are written.

It refuses to know what lies in it: pid files (supervisor), counts (metrics), the last reload's outcome (reload).
"""

from __future__ import annotations

from pathlib import Path

from dispatcher.core.settings import Settings


def run_dir(settings: Settings, named: str | Path = "") -> Path:
    """The directory, absolute; `named`: another one than that in server.data_dir."""
    return Path(named or Path(settings.server.data_dir) / "run").resolve()


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file of which a reader sees the old content or the new, never half."""
    draft = path.with_suffix(".draft")
    draft.write_bytes(data)
    draft.replace(path)
