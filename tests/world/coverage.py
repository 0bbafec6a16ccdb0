"""Which fault was met at which moment of a message's life, counted; and the moments' names.

It refuses to know how faults are made. The letters are those of the fault matrix, with I in front for admission.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

MOMENTS: Mapping[str, str] = {
    "I": "being admitted",
    "A": "claimed, before its write-ahead",
    "B": "written ahead, no byte has left",
    "C": "bytes gone, no answer",
    "D": "answered, not recorded",
    "E": "recorded, nobody was told",
    "F": "waiting for a receipt",
    "G": "its receipt being applied",
    "H": "nothing under way",
}

_BEFORE = {
    **dict.fromkeys(("admit", "read_sends", "cursor", "publish_rejects", "account", "trim_sends"), "I"),
    "write_ahead": "A",
    "settle": "D",
    "keep_correlations": "D",
    **dict.fromkeys(("commit_receipts", "commit", "correlate", "heads", "drop_correlations", "drop_early"), "G"),
    **dict.fromkeys(("park_early",), "G"),
}
_AFTER = {**_BEFORE, "pop": "A", "write_ahead": "B", "settle": "E"}


def moment_of_call(method: str, when: str, otherwise: str) -> str:
    """The moment at which a step of the store stands before or after its effect; `otherwise` where it is about no message."""
    return (_BEFORE if when == "before" else _AFTER).get(method, otherwise)


ANY_TIME = (
    "clock jump", "crash", "crash after", "crash before", "half-open", "no reading", "partial write", "reply lost", "reset",
    "restart", "store away", "store slow",
)  # fmt: skip
"""Faults of engines, connections and the store: they may come at every moment."""
BY_NATURE: Mapping[str, str] = {
    **dict.fromkeys(("binds refused", "carrier down"), "H"),
    **dict.fromkeys(
        ("answer doubled", "answer late", "answer lost", "answer without id", "answers swapped", "stray answer"), "C"
    ),
    **dict.fromkeys(("permanent", "temporary", "throttled", "queue full", "unbind answered late"), "C"),
    "receipt before answer": "D",
    **dict.fromkeys(("receipt at another engine", "receipt contradicted", "receipt doubled", "receipt elsewhere"), "F"),
    **dict.fromkeys(("receipt foreign", "receipt never", "receipts reordered"), "F"),
}
"""What a carrier does wrong belongs to the moment at which it does it: a late answer comes when bytes are gone and there is
none, a doubled receipt when one is awaited. Its other cells cannot be."""
POSSIBLE = frozenset({(fault, moment) for fault in ANY_TIME for moment in MOMENTS} | set(BY_NATURE.items()))


def thin(hits: Mapping[tuple[str, str], int], least: int) -> list[str]:
    """Which possible cells were met less often, and which of those that cannot be were met."""
    few = [
        f"{fault} at {moment}: {hits.get((fault, moment), 0)}"
        for fault, moment in sorted(POSSIBLE)
        if hits.get((fault, moment), 0) < least
    ]
    return few + [
        f"{fault} at {moment}: {n}, and it is not listed"
        for (fault, moment), n in sorted(hits.items())
        if (fault, moment) not in POSSIBLE
    ]


class Coverage:
    """Counts by (fault, moment)."""

    def __init__(self) -> None:
        self.hits: Counter[tuple[str, str]] = Counter()

    def hit(self, fault: str, moment: str) -> None:
        """The fault has happened then."""
        self.hits[fault, moment] += 1

    @property
    def total(self) -> int:
        """All faults."""
        return self.hits.total()


def table(hits: Mapping[tuple[str, str], int]) -> list[str]:
    """Rows are faults, columns moments; "." was never met."""
    faults = sorted({fault for fault, _ in hits})
    width = max([len(f) for f in faults] or [5])
    lines = [" " * width + "".join(f"{m:>8}" for m in MOMENTS) + f"{'all':>9}"]
    for fault in faults:
        counts = [hits.get((fault, m), 0) for m in MOMENTS]
        lines.append(f"{fault:<{width}}" + "".join(f"{c or '.':>8}" for c in counts) + f"{sum(counts):>9}")
    return lines
