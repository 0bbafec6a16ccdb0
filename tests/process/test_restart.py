"""What an operator changes in the file is at work after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.process.installation import ONE_CARRIER, Carrier, Installation, wait_for

pytestmark = pytest.mark.process

SCENARIO = """
answer_ms = [20, 40]
[[login]]
system_id = "first"
password = "demo"
[[login]]
system_id = "second"
password = "demo"
"""
BIND = """
[[carrier.bind]]
name = "{name}"
host = "127.0.0.1"
port = {port}
system_id = "{name}"
password = "demo"
password_plain = true
window = 20
"""
CONFIG = ONE_CARRIER + BIND.format(name="first", port="{north}")


def test_a_bind_added_to_the_file_carries_traffic_after_a_restart(tmp_path: Path) -> None:
    """Half of a batch goes over the new login; before the restart there was none."""
    carrier = Carrier(tmp_path, "north", SCENARIO)
    with Installation(tmp_path, [carrier], CONFIG) as installation:
        installation.account("shop", "--tariff", "retail")
        submitted = 'dispatcher_segments_submitted_total{bind="%s",carrier="north",outcome="accepted"}'

        def send(count: int, first: int) -> None:
            sends = [{"account": "shop", "from": "Shop", "to": f"+49151{first + i:07d}", "text": "Hello"} for i in range(count)]
            installation.xadd(sends)

        def accepted(bind: str) -> float:
            return installation.scrape().get(submitted % bind, 0.0)

        send(40, 1)
        wait_for("the first bind has carried 40", 15, lambda: accepted("first") == 40)
        assert accepted("second") == 0
        addition = BIND.format(name="second", port=carrier.port)
        installation.config.write_text(installation.config.read_text() + addition)
        installation.restart()
        send(200, 1000)
        wait_for("200 more are accepted", 20, lambda: accepted("first") + accepted("second") >= 200)
        assert accepted("second") >= 40
