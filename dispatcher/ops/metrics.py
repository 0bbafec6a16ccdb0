"""Metrics exposition: every process writes its counts to a file once a second, the supervisor serves their sum.

Counting costs the hot path an addition (core/counters.py); this module turns snapshots into Prometheus' format when it
is asked. Counters and histograms are summed over processes, and what a dead process had counted stays counted: its
last snapshot is folded into a base, so that a restart never makes a counter go back. Gauges come from living processes only.
"""

from __future__ import annotations

import contextlib
import operator
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from dispatcher.core.counters import BY_NAME, METRICS, Snapshot
from dispatcher.ops.errors import OpsError
from dispatcher.ops.run_dir import write_whole

SUFFIX = ".msgpack"
BASE = "_before"
FRESH_S = 10.0
"""A gauge of a process that has not written for so long is not shown: it would be a lie about now."""
_BIND_STATES = ("bound", "paused", "connecting", "down")
"""From best to worst."""
_GAUGES: dict[str, Callable[[float, float], float]] = {
    "dispatcher_promise_kept": min,  # broken for one is broken
    "dispatcher_conversions": max,  # a process that has just begun judges none yet
    "dispatcher_bind_state": max,
    "dispatcher_receipt_ids": max,
    "dispatcher_bind_rate_limit": operator.add,  # each has its part
    "dispatcher_bind_window_used": operator.add,  # sessions of one bind may belong to several engines
}
"""How a gauge that several processes show under the same labels becomes one. Others measure the same thing: any will do."""
_decoder = msgspec.msgpack.Decoder(Snapshot)


def write(directory: Path, snapshot: Snapshot) -> None:
    """Puts a process' counts where the supervisor finds them; a reader sees the old file or the new one, never half."""
    write_whole(directory / (snapshot.process + SUFFIX), msgspec.msgpack.encode(snapshot))


def read(directory: Path, now: float | None = None) -> tuple[list[Snapshot], list[Snapshot]]:
    """(snapshots of processes that wrote lately, older ones). A file that vanishes or is foreign is passed over."""
    fresh: list[Snapshot] = []
    stale: list[Snapshot] = []
    for path in sorted(directory.glob("*" + SUFFIX)):
        try:
            snapshot = _decoder.decode(path.read_bytes())
            age_s = (time.time() if now is None else now) - path.stat().st_mtime
        except (OSError, msgspec.DecodeError):
            continue
        (fresh if age_s <= FRESH_S and snapshot.process != BASE else stale).append(snapshot)
    return fresh, stale


def retire(directory: Path, process: str) -> None:
    """Folds the last counts of an ended process into the base, so that its successor may start at 0."""
    path = directory / (process + SUFFIX)
    try:
        ended = _decoder.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return
    before: list[Snapshot] = []
    with contextlib.suppress(OSError, msgspec.DecodeError):
        before.append(_decoder.decode((directory / (BASE + SUFFIX)).read_bytes()))
    write(directory, merge(BASE, [], [*before, ended]))
    path.unlink(missing_ok=True)


def merge(process: str, fresh: Iterable[Snapshot], stale: Iterable[Snapshot]) -> Snapshot:
    """Sums: counters and histograms of all, gauges of the fresh ones (same labels: see _GAUGES)."""
    values: dict[str, dict[tuple[str, ...], float]] = {}
    histograms: dict[str, dict[tuple[str, ...], tuple[list[int], float]]] = {}
    for living, snapshots in ((False, stale), (True, fresh)):
        for snapshot in snapshots:
            for name, series in snapshot.values.items():
                metric = BY_NAME.get(name)
                if metric is None or (metric.kind == "gauge" and not living):
                    continue
                slot = values.setdefault(name, {})
                joined = operator.add if metric.kind == "counter" else _GAUGES.get(name, max)
                for labels, value in series:
                    key = tuple(labels)
                    slot[key] = joined(slot[key], value) if key in slot else value
            for name, rows in snapshot.histograms.items():
                if name not in BY_NAME:
                    continue
                table = histograms.setdefault(name, {})
                for labels, counts, total in rows:
                    before, seconds = table.get(tuple(labels), ([0] * len(counts), 0.0))
                    table[tuple(labels)] = ([a + b for a, b in zip(before, counts, strict=True)], seconds + total)
    if "dispatcher_bind_state" in values:
        _settle_bind_states(values["dispatcher_bind_state"])
    return Snapshot(
        process,
        {name: [(list(key), value) for key, value in slot.items()] for name, slot in values.items()},
        {name: [(list(key), counts, total) for key, (counts, total) in table.items()] for name, table in histograms.items()},
    )


def _settle_bind_states(states: dict[tuple[str, ...], float]) -> None:
    """A bind is in its best state: an engine whose fellow holds the session sees it down, and that is no news."""
    for carrier, bind in {labels[:2] for labels in states}:
        held = [state for state in _BIND_STATES if states.get((carrier, bind, state))]
        for state in held[1:]:
            states[carrier, bind, state] = 0


class Collector:
    """Prometheus collector over the snapshots of a directory, and of this process when `own` is given."""

    def __init__(self, directory: Path, own: Callable[[], Snapshot] | None = None) -> None:
        self._directory = directory
        self._own = own

    def collect(self) -> Iterator[Any]:
        """Every declared metric; one that nobody has counted yet has no samples but its HELP and TYPE."""
        fresh, stale = read(self._directory)
        if self._own is not None:
            fresh.append(self._own())
        total = merge("", fresh, stale)
        for metric in METRICS:
            if metric.kind == "histogram":
                family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
                bounds = [*(f"{bound:g}" for bound in metric.buckets), "+Inf"]
                for labels, counts, seconds in total.histograms.get(metric.name, []):
                    family.add_metric(labels, list(zip(bounds, _cumulative(counts), strict=True)), seconds)
                yield family
                continue
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            plain = kind(metric.name, metric.meaning, labels=metric.labels)
            for labels, value in total.values.get(metric.name, []):
                plain.add_metric(labels, value)
            yield plain


def exposition(directory: Path, own: Callable[[], Snapshot] | None = None) -> bytes:
    """What a scrape gets."""
    registry = CollectorRegistry()
    registry.register(Collector(directory, own))
    return generate_latest(registry)


class Exposer:
    """The HTTP server of /metrics, in a thread of its own: a scrape takes milliseconds that no event loop should lose."""

    def __init__(self, listen: str, directory: Path, own: Callable[[], Snapshot] | None = None) -> None:
        """Binds `listen` (host:port, port 0 for a free one). Raises OpsError when the address is taken."""

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                known = self.path.partition("?")[0] in ("/metrics", "/")
                body = exposition(directory, own) if known else b"not found\n"
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", CONTENT_TYPE_LATEST if known else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name http.server gives it
                """Scrapes are not news."""

        host, _, port = listen.rpartition(":")
        try:
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise OpsError(f"metrics.listen = {listen!r} cannot be used ({why})", "choose another host:port") from None
        self._server.daemon_threads = True
        self.listen = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving and frees the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def prepare(run_dir: Path) -> Path:
    """The directory of the snapshots, empty: what an earlier supervisor's processes counted is Prometheus' memory."""
    directory = run_dir / "metrics"
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            path.unlink()
    return directory


def _cumulative(counts: list[int]) -> list[int]:
    total, sums = 0, []
    for count in counts:
        total += count
        sums.append(total)
    return sums
