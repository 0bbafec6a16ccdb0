"""The server key under which numbers are hashed: read from a file, or made once beside the data.

It refuses to make a second one over the first: events of different days could then not be compared any more.
"""

from __future__ import annotations

import os
from pathlib import Path

from dispatcher.core.settings import Settings
from dispatcher.ops.errors import OpsError

KEY_BYTES = 32
KEY_BYTES_MIN = 16
KEY_BYTES_MAX = 64
KEY_FILE = "hash.key"


def server_key(settings: Settings) -> bytes:
    """16 to 64 bytes. Made in server.data_dir when privacy.hash_key_file is empty and none is there. Raises OpsError."""
    named = settings.privacy.hash_key_file
    path = Path(named) if named else Path(settings.server.data_dir) / KEY_FILE
    try:
        if not named and not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        raise OpsError(f"the key file {path} cannot be used ({error.strerror})", "correct privacy.hash_key_file") from None
    key = key.rstrip(b"\r\n") if named else key
    if len(key) < KEY_BYTES_MIN:
        raise OpsError(f"the key file {path} holds only {len(key)} bytes", f"write at least {KEY_BYTES_MIN} into it")
    return key[:KEY_BYTES_MAX]


def _make(path: Path) -> None:
    """Two processes may do this at once: the link fails for the second one, which then reads the first one's key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(os.urandom(KEY_BYTES))
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
