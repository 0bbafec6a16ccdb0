"""Builds the overview dashboard from the metric declarations: `python grafana/build.py` writes dashboards/overview.json.

Each panel answers one question, which is its description. Every declared metric must be on a panel and no panel may name
one that is not declared: both are checked here, and tests/house/test_grafana.py checks that the file is the one built.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from dispatcher.core.counters import BY_NAME, METRICS

HERE = Path(__file__).resolve().parent
OUT = HERE / "dashboards" / "overview.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Panel(NamedTuple):
    """One panel: `queries` are (PromQL, legend); `unit` is Grafana's name of it; `width` in 24ths."""

    title: str
    question: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8


def _rate(metric: str, by: str, seconds: str = "1m") -> str:
    return f"sum by ({by}) (rate({metric}[{seconds}]))"


def _quantile(q: float, metric: str, by: str) -> str:
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket[5m])))"


def _latency(metric: str, by: str) -> tuple[tuple[str, str], ...]:
    return ((_quantile(0.5, metric, by), f"p50 {{{{{by}}}}}"), (_quantile(0.99, metric, by), f"p99 {{{{{by}}}}}"))


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Is it well?",
        (
            Panel(
                "Promise kept",
                "Do the server's settings keep what a 202 promises?",
                (("min by (promise) (dispatcher_promise_kept)", "{{promise}}"),),
                kind="stat",
                width=4,
            ),
            Panel(
                "Binds",
                "How many sessions are in which state?",
                (("sum by (state) (dispatcher_bind_state)", "{{state}}"),),
                kind="stat",
                width=8,
            ),
            Panel(
                "Waiting",
                "How much work waits?",
                (("sum by (lane) (dispatcher_queue_depth)", "{{lane}}"),),
                kind="stat",
                width=6,
            ),
            Panel(
                "Build",
                "Which build runs here?",
                (("dispatcher_build_info", "{{version}} on Python {{python}}"),),
                kind="stat",
                width=6,
            ),
        ),
    ),
    (
        "Traffic",
        (
            Panel(
                "Sends by verdict",
                "What do producers ask for, and what is refused and why?",
                ((_rate("dispatcher_sends_total", "result"), "{{result}}"),),
                "ops",
            ),
            Panel("Final states", "How do messages end?", ((_rate("dispatcher_final_total", "state"), "{{state}}"),), "ops"),
            Panel(
                "Accept to first submission",
                "How long does an accepted message wait for us?",
                _latency("dispatcher_queue_seconds", "class"),
                "s",
            ),
            Panel(
                "Queue depth", "Which queue grows?", (("sum by (route, lane) (dispatcher_queue_depth)", "{{route}} {{lane}}"),)
            ),
            Panel(
                "Oldest turn",
                "Which queue does not move?",
                (("max by (route, lane) (dispatcher_queue_oldest_seconds)", "{{route}} {{lane}}"),),
                "s",
            ),
            Panel(
                "Stream lag",
                "Does intake keep up with producers?",
                (("sum by (stream, group) (dispatcher_stream_lag_entries)", "{{stream}} {{group}}"),),
            ),
        ),
    ),
    (
        "Carriers",
        (
            Panel(
                "Submissions by answer",
                "What do the carriers answer?",
                ((_rate("dispatcher_segments_submitted_total", "carrier, outcome"), "{{carrier}} {{outcome}}"),),
                "ops",
            ),
            Panel(
                "Submissions by bind",
                "How is the load shared?",
                ((_rate("dispatcher_segments_submitted_total", "carrier, bind"), "{{carrier}} {{bind}}"),),
                "ops",
            ),
            Panel(
                "Window used",
                "Which bind is full?",
                (("max by (carrier, bind) (dispatcher_bind_window_used)", "{{carrier}} {{bind}}"),),
            ),
            Panel(
                "Allowed rate",
                "Has a bind been slowed down?",
                (("min by (carrier, bind) (dispatcher_bind_rate_limit)", "{{carrier}} {{bind}}"),),
                "ops",
            ),
            Panel(
                "Held back by limits",
                "Which limit of a sender, country or network makes messages wait?",
                ((_rate("dispatcher_held_back_total", "limit, by"), "{{limit}} by {{by}}"),),
                "ops",
            ),
            Panel("Answer time", "How fast does each carrier answer?", _latency("dispatcher_submit_seconds", "carrier"), "s"),
            Panel(
                "Bind state",
                "Which bind is down, and since when?",
                (("sum by (carrier, bind, state) (dispatcher_bind_state)", "{{carrier}} {{bind}} {{state}}"),),
            ),
        ),
    ),
    (
        "Receipts, retries, doubt",
        (
            Panel(
                "Receipts by state",
                "What do the receipts say?",
                ((_rate("dispatcher_receipts_total", "carrier, state"), "{{carrier}} {{state}}"),),
                "ops",
            ),
            Panel(
                "Submission to receipt", "How long does delivery take?", _latency("dispatcher_delivery_seconds", "carrier"), "s"
            ),
            Panel(
                "Questions to carriers",
                "What do carriers say of receipts that did not come, and of what we cancel?",
                ((_rate("dispatcher_questions_total", "carrier, kind, result"), "{{carrier}} {{kind}} {{result}}"),),
                "ops",
            ),
            Panel(
                "Retries",
                "What has to be sent again, and why?",
                ((_rate("dispatcher_retries_total", "carrier, error_class"), "{{carrier}} {{error_class}}"),),
                "ops",
            ),
            Panel(
                "Unknown outcomes",
                "Where do we not know what became of it?",
                ((_rate("dispatcher_unknown_total", "carrier, policy"), "{{carrier}} {{policy}}"),),
                "ops",
                width=12,
            ),
            Panel(
                "Orphaned receipts",
                "Which carrier's ids do we not recognise?",
                (
                    (_rate("dispatcher_receipts_orphaned_total", "carrier"), "{{carrier}}"),
                    ("max by (carrier) (dispatcher_receipts_parked)", "{{carrier}}: parked"),
                    ("max by (carrier, form) (dispatcher_receipt_ids) == 1", "{{carrier}}: ids {{form}}"),
                ),
                "ops",
                width=12,
            ),
        ),
    ),
    (
        "Handsets",
        (
            Panel(
                "Messages from handsets",
                "What do handsets write, and does it arrive in one piece?",
                ((_rate("dispatcher_inbound_total", "carrier, result"), "{{carrier}} {{result}}"),),
                "ops",
            ),
            Panel(
                "STOP, START, HELP",
                "How many want nothing more, or want it again?",
                ((_rate("dispatcher_inbound_words_total", "word", "5m"), "{{word}}"),),
                "ops",
            ),
            Panel(
                "Parts that wait",
                "Do messages stay incomplete?",
                (("max(dispatcher_inbound_parts_waiting)", "parts"),),
            ),
        ),
    ),
    (
        "Fraud",
        (
            Panel(
                "Refused by guards",
                "Does somebody pump, and where do limits bite?",
                (
                    (
                        'sum by (class, result) (rate(dispatcher_sends_total{result=~"velocity|spend_cap|conversion_paused|'
                        'destination_not_allowed|sender_not_allowed|opted_out"}[1m]))',
                        "{{class}} {{result}}",
                    ),
                ),
                "ops",
                width=12,
            ),
            Panel(
                "Codes too few of which are used",
                "Whose codes are asked for by nobody who needs them?",
                (("max by (state) (dispatcher_conversions)", "{{state}}"),),
                width=12,
            ),
        ),
    ),
    (
        "Money",
        (
            Panel(
                "Charges",
                "What is earned, refunded and paid, in currency units a second?",
                (("sum by (currency, kind) (rate(dispatcher_charges_micro_total[5m])) / 1e6", "{{kind}} {{currency}}"),),
                width=12,
            ),
            Panel(
                "Today",
                "What was posted, refunded and paid in 24 hours?",
                (("sum by (currency, kind) (increase(dispatcher_charges_micro_total[24h])) / 1e6", "{{kind}} {{currency}}"),),
                kind="stat",
                width=12,
            ),
        ),
    ),
    (
        "Doors, store, process",
        (
            Panel(
                "HTTP answers",
                "What do HTTP callers get?",
                ((_rate("dispatcher_http_requests_total", "door, status"), "{{door}} {{status}}"),),
                "ops",
            ),
            Panel("HTTP time", "How long does an answer take?", _latency("dispatcher_http_seconds", "door"), "s"),
            Panel(
                "Webhook calls",
                "What do customers' receivers answer?",
                ((_rate("dispatcher_webhooks_total", "result"), "{{result}}"),),
                "ops",
            ),
            Panel(
                "Webhook backlog",
                "How many events wait for a receiver, how many were given up?",
                (("max(dispatcher_webhook_backlog)", "waiting"), ("max(dispatcher_webhooks_parked)", "given up")),
            ),
            Panel("Store steps", "Which step of the store is slow?", _latency("dispatcher_store_seconds", "step"), "s"),
            Panel("Store memory", "Is the store filling up?", (("max(dispatcher_store_bytes)", "used"),), "bytes", width=12),
            Panel(
                "Loop lag",
                "Does an event loop fall behind?",
                (("max by (process) (dispatcher_loop_lag_seconds)", "{{process}}"),),
                "s",
                width=12,
            ),
        ),
    ),
)


def metrics_in(expression: str) -> set[str]:
    """Declared names of the metrics in a PromQL expression (histogram suffixes removed)."""
    names = set(re.findall(r"\bdispatcher_[a-z_]+", expression))
    return {re.sub(r"_(bucket|sum|count)$", "", n) if n not in BY_NAME else n for n in names}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row, members in ROWS:
        panels.append(
            {
                "type": "row",
                "title": row,
                "id": len(panels) + 1,
                "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
                "collapsed": False,
                "panels": [],
            }
        )
        y, x = y + 1, 0
        height = 4 if all(p.kind == "stat" for p in members) else 8
        for panel in members:
            if x + panel.width > 24:
                x, y = 0, y + height
            panels.append(_panel(panel, len(panels) + 1, {"h": height, "w": panel.width, "x": x, "y": y}))
            x += panel.width
        y += height
    return {
        "title": "SMS dispatcher: overview",
        "uid": "sms-dispatcher-overview",
        "tags": ["sms-dispatcher"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]},
        "panels": panels,
    }


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.question,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}}
        if panel.kind == "timeseries"
        else {"reduceOptions": {"calcs": ["lastNotNull"]}},
        "targets": [
            {"refId": chr(ord("A") + i), "expr": expression, "legendFormat": legend, "datasource": SOURCE}
            for i, (expression, legend) in enumerate(panel.queries)
        ],
    }


def problems() -> list[str]:
    """What is wrong between panels and declarations; empty when all fits."""
    used = {
        name for _, members in ROWS for panel in members for expression, _ in panel.queries for name in metrics_in(expression)
    }
    declared = {m.name for m in METRICS}
    return [f"not declared: {n}" for n in sorted(used - declared)] + [f"on no panel: {n}" for n in sorted(declared - used)]


def rendered() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    found = problems()
    if found:
        sys.exit("\n".join(found))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(rendered(), encoding="utf-8")
