"""What a soak samples: memory of every process by name, the server's own figures, and which kinds of keys hold how much.

It refuses to know what is too much.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import redis

from benchmarks.soak.levels import Sample
from dispatcher.commands.load import processes
from dispatcher.commands.load.play import named
from tests.process.installation import Installation

_OWN: Final = ("supervisor", "server", "engine", "http", "notices")


class Gauge:
    """Keeps all samples. `levels`: (at_s, bytes of the data set); `used`: the same of all that the server uses."""

    def __init__(self, place: Installation) -> None:
        self._place = place
        self._run = Path(place.directory) / "var" / "run"
        self.processes: dict[str, list[Sample]] = {}
        self.levels: list[tuple[float, float]] = []
        self.used: list[tuple[float, float]] = []

    def sample(self, at_s: float) -> None:
        """One of each. A server that does not answer gives none of its own."""
        for name, spent in processes.look(named(self._run, self._place.url)).items():
            if name.startswith(_OWN):
                self.processes.setdefault(name, []).append(Sample(at_s, spent.pid, spent.rss_mb))
        try:
            memory: Any = self._place.redis.info("memory")
        except redis.RedisError:
            return
        self.levels.append((at_s, float(memory["used_memory_dataset"])))
        self.used.append((at_s, float(memory["used_memory"])))

    def keys(self) -> Counter[str]:
        """Bytes by kind of key, the largest first: what to look at when the data set grows."""
        server, sizes = self._place.redis, Counter[str]()
        keys = list(server.scan_iter("sms:*", count=1000))
        pipe = server.pipeline(transaction=False)
        for key in keys:
            pipe.memory_usage(key, samples=20)
        for key, size in zip(keys, pipe.execute(), strict=True):
            sizes[kind(key.decode())] += size or 0
        return sizes


def kind(key: str) -> str:
    """`sms:{p0}:head:01ABCD` is a head, whatever its bucket."""
    tag, _, rest = key.removeprefix("sms:").rpartition("}:")
    words = rest.split(":")
    return ("carrier " if "c:" in tag else "") + (":".join(words[:2]) if words[0] in {"notices", "cursor"} else words[0])
