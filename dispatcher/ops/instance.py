"""The name of an engine among all engines of one store, on whatever machines they run.

It refuses to know leases. A name outlives its process, so that a restarted engine finds its own work again, and it is no
other engine's: two installations may run on one host, and two hosts may have one name.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

INSTANCE_FILE: Final = "instance"


def engine_name(run_dir: str | Path, process: str) -> str:
    """Host, what is peculiar to the run directory (made once and kept in it), process. Raises OSError."""
    return f"{socket.gethostname().partition('.')[0]}-{_instance(Path(run_dir))}-{process}"


def _instance(run_dir: Path) -> str:
    path = run_dir / INSTANCE_FILE
    if not path.exists():
        run_dir.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{INSTANCE_FILE}.{os.getpid()}")
        draft.write_text(os.urandom(3).hex())
        try:
            os.link(draft, path)  # of engines that start at once the first one names them all
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
