"""Every metric, declared once, and the plain slots that count it.

Rules of the hot path (performance.md): counting is an addition in a dict, done once per batch where it can be; nothing
here knows Prometheus. ops/metrics.py exposes a snapshot at scrape time; docs and dashboards are generated from METRICS.
Label sets are closed: values come from configuration or from enumerations, never from a customer or a carrier.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Literal

import msgspec


class Metric(msgspec.Struct, frozen=True):
    """A declaration. `buckets` (seconds) only for histograms; `meaning` is the HELP line and the docs' sentence."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


_FAST = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SLOW = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)

METRICS: tuple[Metric, ...] = (
    Metric(
        "dispatcher_sends_total",
        "counter",
        ("class", "result"),
        "Sends that reached admission, by verdict (accepted, duplicate or the refusal's reason).",
    ),
    Metric(
        "dispatcher_conversions",
        "gauge",
        ("state",),
        "Accounts' codes into a country of which too few are used (low), or which are paused for it (paused).",
    ),
    Metric(
        "dispatcher_segments_submitted_total",
        "counter",
        ("carrier", "bind", "outcome"),
        "Submissions by what the carrier answered (accepted, temporary, permanent, throttled, unknown, not_sent).",
    ),
    Metric("dispatcher_receipts_total", "counter", ("carrier", "state"), "Delivery receipts applied, by their state."),
    Metric(
        "dispatcher_receipts_orphaned_total",
        "counter",
        ("carrier",),
        "Receipts whose message id nobody knew within early_s.",
    ),
    Metric(
        "dispatcher_receipts_parked",
        "gauge",
        ("carrier",),
        "Receipts kept until their message id is known, or early_s is over.",
    ),
    Metric(
        "dispatcher_questions_total",
        "counter",
        ("carrier", "kind", "result"),
        "query_sm and cancel_sm by kind (query, cancel) and result (found, nothing, done, refused, unsupported, silent).",
    ),
    Metric(
        "dispatcher_receipt_ids",
        "gauge",
        ("carrier", "form"),
        'How ids of receipts relate to those of answers, as learned of carriers with ids = "auto" (1: this form).',
    ),
    Metric(
        "dispatcher_retries_total",
        "counter",
        ("carrier", "error_class"),
        "Retries decided, by the class of the failure before.",
    ),
    Metric(
        "dispatcher_unknown_total",
        "counter",
        ("carrier", "policy"),
        "Attempts whose outcome became unknown, by doubt policy (hold, resend).",
    ),
    Metric("dispatcher_final_total", "counter", ("state", "class"), "Messages that reached their final state."),
    Metric("dispatcher_queue_depth", "gauge", ("route", "lane"), "Entries waiting in the queues."),
    Metric("dispatcher_queue_oldest_seconds", "gauge", ("route", "lane"), "Age of the oldest turn not yet taken."),
    Metric(
        "dispatcher_bind_state",
        "gauge",
        ("carrier", "bind", "state"),
        "1 for the state each bind is in (down, connecting, bound, paused).",
    ),
    Metric("dispatcher_bind_window_used", "gauge", ("carrier", "bind"), "Submits awaiting their answer."),
    Metric("dispatcher_bind_rate_limit", "gauge", ("carrier", "bind"), "Segments a second now allowed (0: unlimited)."),
    Metric(
        "dispatcher_held_back_total",
        "counter",
        ("limit", "by"),
        "Times that a message was put back because of a limit ([[limit]]; by rate or day).",
    ),
    Metric("dispatcher_submit_seconds", "histogram", ("carrier",), "From the bytes leaving to the carrier's answer.", _FAST),
    Metric("dispatcher_delivery_seconds", "histogram", ("carrier",), "From the submission to its final receipt.", _SLOW),
    Metric("dispatcher_queue_seconds", "histogram", ("class",), "From acceptance to the first submission.", _FAST),
    Metric(
        "dispatcher_inbound_total",
        "counter",
        ("carrier", "result"),
        "Handsets' messages given out (whole; joined of parts; partial, parts missing), and parts (part, repeat, conflict).",
    ),
    Metric("dispatcher_inbound_words_total", "counter", ("word",), "Handsets' messages that say stop, start or help."),
    Metric("dispatcher_inbound_parts_waiting", "gauge", (), "Parts of handsets' messages that wait for others."),
    Metric(
        "dispatcher_charges_micro_total",
        "counter",
        ("currency", "kind"),
        "Money facts, micro-units, by kind (post, refund, cost, credit, adjust).",
    ),
    Metric("dispatcher_http_requests_total", "counter", ("door", "status"), "HTTP answers by door and status."),
    Metric("dispatcher_http_seconds", "histogram", ("door",), "Time from request to answer.", _FAST),
    Metric(
        "dispatcher_webhooks_total",
        "counter",
        ("result",),
        "Webhook calls by what became of them (delivered, gone, refused, timeout, unreachable, blocked, too_large), and events "
        "given up (parked).",
    ),
    Metric("dispatcher_webhook_backlog", "gauge", (), "Events waiting to be told to a webhook."),
    Metric("dispatcher_webhooks_parked", "gauge", (), "Events that were given up and can be requeued."),
    Metric("dispatcher_store_seconds", "histogram", ("step",), "Time of the store's steps.", _FAST),
    Metric("dispatcher_store_bytes", "gauge", (), "Memory the server uses."),
    Metric(
        "dispatcher_stream_lag_entries",
        "gauge",
        ("stream", "group"),
        "Entries not yet read by a consumer of ours (sends: intake).",
    ),
    Metric("dispatcher_loop_lag_seconds", "gauge", ("process",), "How late the process' event loop woke last."),
    Metric("dispatcher_promise_kept", "gauge", ("promise",), "1 while the server's settings keep the promise, else 0."),
    Metric("dispatcher_build_info", "gauge", ("version", "python"), "Always 1; names the build."),
)
BY_NAME: dict[str, Metric] = {m.name: m for m in METRICS}

Labels = tuple[str, ...]


class Snapshot(msgspec.Struct):
    """A process' counts at one moment, as sent to whoever exposes them. Histogram values: bucket counts (last is +Inf), sum."""

    process: str
    values: dict[str, list[tuple[list[str], float]]]
    histograms: dict[str, list[tuple[list[str], list[int], float]]]


class Counters:
    """One process' slots. Not thread-safe: one loop owns it."""

    def __init__(self, process: str) -> None:
        self.process = process
        self.values: dict[str, dict[Labels, float]] = {m.name: {} for m in METRICS if m.kind != "histogram"}
        self._histograms: dict[str, dict[Labels, tuple[list[int], list[float]]]] = {
            m.name: {} for m in METRICS if m.kind == "histogram"
        }

    def add(self, name: str, labels: Labels = (), amount: float = 1) -> None:
        """Adds to a counter. Raises KeyError for an undeclared name."""
        slot = self.values[name]
        slot[labels] = slot.get(labels, 0) + amount

    def put(self, name: str, labels: Labels, value: float) -> None:
        """Sets a gauge."""
        self.values[name][labels] = value + 0  # a bool would not decode as a number elsewhere

    def drop(self, name: str) -> None:
        """Forgets all label sets of a gauge, before it is measured anew."""
        self.values[name].clear()

    def observe(self, name: str, labels: Labels, seconds: float) -> None:
        """Counts one observation into its bucket (seconds; upper bounds are inclusive, as Prometheus wants)."""
        slot = self._histograms[name].get(labels)
        buckets = BY_NAME[name].buckets
        if slot is None:
            slot = self._histograms[name][labels] = ([0] * (len(buckets) + 1), [0.0])
        slot[0][bisect_left(buckets, seconds)] += 1
        slot[1][0] += seconds

    def snapshot(self) -> Snapshot:
        """A copy that can be sent elsewhere."""
        return Snapshot(
            self.process,
            {n: [(list(k), v) for k, v in s.items()] for n, s in self.values.items() if s},
            {n: [(list(k), list(c), t[0]) for k, (c, t) in s.items()] for n, s in self._histograms.items() if s},
        )
