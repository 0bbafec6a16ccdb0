"""Metrics over processes: sums that never go back, gauges of the living, and a scrape that Prometheus can read."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dispatcher.core.counters import METRICS, Counters
from dispatcher.ops import metrics
from dispatcher.ops.errors import OpsError

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _samples(directory: Path) -> Samples:
    text = metrics.exposition(directory).decode()
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in text_string_to_metric_families(text) for s in f.samples}


def _counters(process: str, finals: int, submit_s: float, used: float) -> Counters:
    counters = Counters(process)
    counters.add("dispatcher_final_total", ("delivered", "otp"), finals)
    counters.observe("dispatcher_submit_seconds", ("mattel",), submit_s)
    counters.put("dispatcher_bind_window_used", ("mattel", process), used)
    return counters


FINAL = ("dispatcher_final_total", (("class", "otp"), ("state", "delivered")))


def test_counters_and_histograms_are_summed_over_processes(tmp_path: Path) -> None:
    """Two engines: one sum, cumulative buckets, each its own gauges."""
    metrics.write(tmp_path, _counters("engine-0", 3, 0.005, 1).snapshot())
    metrics.write(tmp_path, _counters("engine-1", 4, 0.02, 2).snapshot())
    found = _samples(tmp_path)
    assert found[FINAL] == 7

    def bucket(le: str) -> float:
        return found["dispatcher_submit_seconds_bucket", (("carrier", "mattel"), ("le", le))]

    assert [bucket(le) for le in ("0.002", "0.005", "0.01", "0.025", "+Inf")] == [0, 1, 1, 2, 2]
    assert found["dispatcher_submit_seconds_sum", (("carrier", "mattel"),)] == pytest.approx(0.025)
    assert found["dispatcher_bind_window_used", (("bind", "engine-1"), ("carrier", "mattel"))] == 2


def test_gauges_of_the_same_thing_become_one(tmp_path: Path) -> None:
    """A promise broken for one is broken; windows of one bind's sessions add up; a bind bound anywhere is bound."""
    for number, (kept, used, bound) in enumerate([(1, 3, 1), (0, 4, 0), (1, 5, 0)]):
        counters = Counters(f"engine-{number}")
        counters.put("dispatcher_promise_kept", ("P1",), kept)
        counters.put("dispatcher_bind_window_used", ("mattel", "main"), used)
        counters.put("dispatcher_bind_state", ("mattel", "main", "bound"), bound)
        counters.put("dispatcher_bind_state", ("mattel", "main", "down"), 1 - bound)
        metrics.write(tmp_path, counters.snapshot())
    found = _samples(tmp_path)
    assert found["dispatcher_promise_kept", (("promise", "P1"),)] == 0
    assert found["dispatcher_bind_window_used", (("bind", "main"), ("carrier", "mattel"))] == 12
    assert found["dispatcher_bind_state", (("bind", "main"), ("carrier", "mattel"), ("state", "bound"))] == 1
    assert found["dispatcher_bind_state", (("bind", "main"), ("carrier", "mattel"), ("state", "down"))] == 0


def test_a_restarted_process_does_not_make_a_counter_go_back(tmp_path: Path) -> None:
    """What the dead one had counted stays counted, twice over, and its gauges go."""
    for round_ in (1, 2, 3):
        metrics.write(tmp_path, _counters("engine-0", 5, 0.005, 1).snapshot())
        assert _samples(tmp_path)[FINAL] == 5 * round_
        metrics.retire(tmp_path, "engine-0")
        found = _samples(tmp_path)
        assert found[FINAL] == 5 * round_
        assert not [name for name, _ in found if name == "dispatcher_bind_window_used"]


def test_a_silent_process_loses_its_gauges_and_keeps_its_counts(tmp_path: Path) -> None:
    """A gauge ten seconds old would be a lie about now."""
    metrics.write(tmp_path, _counters("engine-0", 5, 0.005, 1).snapshot())
    old = time.time() - metrics.FRESH_S - 1
    os.utime(tmp_path / "engine-0.msgpack", (old, old))
    found = _samples(tmp_path)
    assert found[FINAL] == 5
    assert not [name for name, _ in found if name == "dispatcher_bind_window_used"]


def test_half_a_file_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    """A scrape never fails because of a file."""
    (tmp_path / "engine-0.msgpack").write_bytes(b"\x93\xa1")
    (tmp_path / "engine-1.draft").write_bytes(b"")
    metrics.write(tmp_path, _counters("engine-2", 1, 0.1, 0).snapshot())
    assert _samples(tmp_path)[FINAL] == 1


def test_every_declared_metric_has_its_help(tmp_path: Path) -> None:
    """HELP is the declaration's meaning, also before anything was counted."""
    text = metrics.exposition(tmp_path).decode()
    for metric in METRICS:
        assert f"# HELP {metric.name} {metric.meaning}" in text


def test_a_scrape_over_http(tmp_path: Path) -> None:
    """The exposer answers /metrics, nothing else, and names an address that is taken."""
    metrics.write(tmp_path, _counters("engine-0", 2, 0.1, 0).snapshot())
    exposer = metrics.Exposer("127.0.0.1:0", tmp_path)
    try:
        with urllib.request.urlopen(f"http://{exposer.listen}/metrics", timeout=5) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert b'dispatcher_final_total{class="otp",state="delivered"} 2.0' in answer.read()
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://{exposer.listen}/other", timeout=5)
        caught.value.close()
        assert caught.value.code == 404
        with pytest.raises(OpsError, match=r"metrics\.listen = .* cannot be used"):
            metrics.Exposer(exposer.listen, tmp_path)
    finally:
        exposer.close()


def test_a_truth_value_is_a_number_for_everybody(tmp_path: Path) -> None:
    """A gauge that was put as True reads 1 in another process: one value that did not decode hid a whole process."""
    counters = Counters("engine-0")
    counters.put("dispatcher_promise_kept", ("P1",), value=True)
    metrics.write(tmp_path, counters.snapshot())
    assert _samples(tmp_path)["dispatcher_promise_kept", (("promise", "P1"),)] == 1
