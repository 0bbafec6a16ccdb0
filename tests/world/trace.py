"""What happened, in order: a digest to compare two runs by, and the lines of it where somebody wants to read them.

It refuses to judge anything.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Line(NamedTuple):
    """`at` seconds; `who`: plan, store, carrier and so on; `send`: the number of the send it is about, -1 none."""

    at: float
    who: str
    what: str
    send: int


class Trace:
    """The digest of all lines, and with `keep` the lines."""

    def __init__(self, *, keep: bool = False) -> None:
        self.lines: list[Line] = []
        self.keep = keep
        self._hash = hashlib.blake2b(digest_size=8)
        self._waiting: list[str] = []

    def note(self, at: float, who: str, what: str, send: int = -1) -> None:
        """One line."""
        waiting = self._waiting
        waiting.append(f"{at:.6f} {who} {what} {send}\n")
        if len(waiting) > 500:
            self._absorb()
        if self.keep:
            self.lines.append(Line(at, who, what, send))

    def _absorb(self) -> None:
        self._hash.update("".join(self._waiting).encode())
        self._waiting.clear()

    @property
    def digest(self) -> str:
        """Equal for equal histories."""
        self._absorb()
        return self._hash.hexdigest()


def columns(lines: list[Line], send: int) -> list[str]:
    """The life of one send as a log in columns: what its door, the engines, the carriers and its rows did, and in between the
    faults that struck everybody."""
    heads = ("door", "engine", "carrier", "rows")
    width = 44
    out = [f"{'at':>10}  " + "".join(f"{h:<{width}}" for h in heads)]
    for line in lines:
        if line.send not in (send, -1):
            continue
        if line.send == -1:
            out.append(f"{line.at:>10.3f}  -- {line.who}: {line.what}")
            continue
        place = heads.index(line.who) if line.who in heads else 1
        out.append(f"{line.at:>10.3f}  " + " " * (width * place) + line.what)
    return out
