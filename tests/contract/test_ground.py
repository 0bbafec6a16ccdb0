"""The contract tests' own ground: a message goes through, and the clock moves as a test wishes."""

from __future__ import annotations

import time

from tests.contract.ground import Running


def test_a_message_reaches_the_carrier(running: Running) -> None:
    """HTTP in, SMPP out, money taken."""
    running.account("plain", "EUR", "10")
    key = running.installation.cli("keys", "create", "plain")["key"]
    answer = running.request(
        "POST", "/v1/messages", {"to": "+491711234567", "text": "hello"}, {"Authorization": f"Bearer {key}"}
    )
    assert answer.status == 202, answer.body
    assert running.sent_to("491711234567")[0].text == b"hello".hex()
    assert running.available("plain") == "9.965"


def test_the_clock_moves_in_every_process(running: Running) -> None:
    """An hour passes at once: a key with a day to live is dead after two, and events carry the moved time."""
    key = running.installation.cli("keys", "create", "plain", "--days", "1")["key"]
    headers = {"Authorization": f"Bearer {key}"}
    assert running.request("GET", "/v1/balance", headers=headers).status == 200
    running.advance(2 * 86_400)
    assert running.request("GET", "/v1/balance", headers=headers).status == 401
    other = running.installation.cli("keys", "create", "plain")["key"]
    sent = running.request(
        "POST", "/v1/messages", {"to": "+491711234568", "text": "later"}, {"Authorization": f"Bearer {other}"}
    )
    assert sent.status == 202
    running.sent_to("491711234568")
    row = running.installation.rows("events")[-1]
    assert row["at"] / 1000 - time.time() > 86_400
