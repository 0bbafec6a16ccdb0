"""Dashboards, alert rules and declarations agree: no metric is named that does not exist, none is shown nowhere."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

from dispatcher.core.counters import BY_NAME
from tests.house.tree import ROOT


def _build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grafana_build", ROOT / "grafana" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_metric_is_on_a_panel_and_every_panel_names_declared_ones() -> None:
    """Each declared metric appears on the dashboard, and the dashboard names no other."""
    assert _build().problems() == []


def test_the_dashboard_is_the_one_built() -> None:
    """grafana/dashboards/overview.json is what build.py writes (run `make docs`)."""
    assert (ROOT / "grafana/dashboards/overview.json").read_text(encoding="utf-8") == _build().rendered()


def test_alert_rules_name_declared_metrics() -> None:
    """An alert on a metric that nobody exports never fires."""
    text = (ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
    names = set(re.findall(r"\bdispatcher_[a-z_]+", text))
    assert names
    assert names - set(BY_NAME) == set()


def test_every_alert_has_a_runbook_section() -> None:
    """Whoever is woken finds the page."""
    alerts = re.findall(r"- alert: (\w+)", (ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
    runbook = (ROOT / "deploy/runbook.md").read_text(encoding="utf-8")
    assert len(alerts) == 8
    assert [a for a in alerts if f"## {a}" not in runbook] == []
