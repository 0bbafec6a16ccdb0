"""Webhooks of a whole installation: killed again and again under load, they lose no event; what was given up comes back."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

import pytest

from dispatcher.core.model import State
from tests.process.installation import DEMO_BIND, ONE_CARRIER, Carrier, Installation, wait_for
from tests.process.receiver import SECRET, receiver

pytestmark = pytest.mark.process

SCENARIO = "answer_ms = [2, 10]\nreceipt_ms = [10, 200]\n"
BESIDE = """
[notices]
allow_insecure = true
allow_networks = ["127.0.0.0/8"]

[fraud]
velocity_otp = [0, 0, 0]
"""
CONFIG = BESIDE + ONE_CARRIER + DEMO_BIND + "window = 50\n"
FINALS = {state.wire for state in State if state.final}


@pytest.mark.kills
def test_killed_webhook_processes_lose_no_event(tmp_path: Path) -> None:
    """Must show 7: kill -9 of the webhook process under load, five times; every event of every message arrives at least once,
    in order per message, signed, and what comes twice has the same id. Single sends, a stream chunk, a batch."""
    with receiver() as hooks, Installation(tmp_path, [Carrier(tmp_path, "north", SCENARIO)], CONFIG) as one:
        key = one.account("shop", "--tariff", "retail")
        callback = {"url": hooks.url, "secret": SECRET}
        ids: list[str] = []
        plain = {"from": "Shop", "text": "Hello", "callback": callback}
        killed = set()
        for round_ in range(5):
            for n in range(20):
                to = f"+4915110{round_}{n:05d}"
                ids.append(one.http("POST", "/v1/messages", {**plain, "to": to}, key).body["id"])
            one.xadd([{**plain, "account": "shop", "to": f"+4915120{round_}{n:05d}"} for n in range(100)])
            batch = [{**plain, "class": "bulk", "to": f"+4915130{round_}{n:05d}"} for n in range(100)]
            assert one.http("POST", "/v1/messages/batch", batch, key).body["accepted"] == 100
            time.sleep(0.3)
            killed.add(one.kill("notices-0"))
            wait_for("it is back", 10, lambda known=frozenset(killed): one.pid("notices-0") not in known | {0})
        assert len(killed) == 5

        def told() -> dict[str, list[str]]:
            found: dict[str, list[str]] = defaultdict(list)
            for call in list(hooks.calls):
                found[call.event["id"]].append(call.event["state"])
            return found

        wait_for("all is final", 60, lambda: sum(row["state"] in FINALS for row in one.rows("events")) >= 1100)
        rows = one.rows("events")
        wait_for("all is told", 60, lambda: len({c.webhook_id for c in list(hooks.calls)}) >= len(rows), 0.2)
        expected: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            expected[row["id"]].append(row["state"])
        assert len(expected) == 1100
        assert set(ids) <= expected.keys()
        found = told()
        assert found.keys() == expected.keys()
        for message, states in expected.items():
            assert list(dict.fromkeys(found[message])) == list(dict.fromkeys(states)), message
        calls = list(hooks.calls)
        assert all(call.signed for call in calls)
        assert len({c.webhook_id for c in calls}) == len(rows) == len({(c.webhook_id, str(c.event)) for c in calls})
        assert len(calls) <= len(rows) + 5 * 512
        log = (tmp_path / "log").read_text()
        assert "hidden" not in log
        assert SECRET not in log


def test_an_event_that_nobody_took_is_shown_and_comes_back(tmp_path: Path) -> None:
    """Given up at once on 410, listed without its query, requeued under its id, counted in the metrics."""
    with receiver() as hooks, Installation(tmp_path, [Carrier(tmp_path, "north", SCENARIO)], CONFIG) as one:
        key = one.account("shop", "--tariff", "retail")
        hooks.status = 410
        callback = {"url": hooks.url, "secret": SECRET, "events": "final"}
        send = {"to": "+491511234567", "from": "Shop", "text": "Hello", "callback": callback}
        message = one.http("POST", "/v1/messages", send, key).body["id"]
        parked = wait_for("it is given up", 15, lambda: one.cli("webhooks", "list")["events"])
        assert [(p["message"], p["account"], p["tries"]) for p in parked] == [(message, "shop", 1)]
        assert "hidden" not in str(one.cli("webhooks", "list"))
        assert one.cli("webhooks", "requeue", "--account", "nobody")["requeued"] == 0
        hooks.status = 200
        assert one.cli("webhooks", "requeue", parked[0]["id"])["requeued"] == 1
        wait_for("it is taken", 15, lambda: len(hooks.calls) == 2)
        assert {c.webhook_id for c in hooks.calls} == {parked[0]["id"]}
        assert hooks.calls[-1].event["state"] == "delivered"
        result = 'dispatcher_webhooks_total{result="%s"}'
        wait_for("it is counted", 5, lambda: one.scrape().get(result % "delivered") == 1)
        counts = one.scrape()
        assert (counts[result % "gone"], counts[result % "parked"]) == (1, 1)
        left = ("dispatcher_webhooks_parked", "dispatcher_webhook_backlog")
        wait_for("nothing is left", 5, lambda: {one.scrape()[name] for name in left} == {0})
        assert one.cli("webhooks", "requeue", code=1)["remedy"]
