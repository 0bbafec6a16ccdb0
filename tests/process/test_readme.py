"""What the README and the producers' guide show works as it stands: their very lines, given to a shell and to Python."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounting.money import to_micro
from dispatcher.commands.demo.play import ACCOUNT
from dispatcher.commands.demo.world import DEFAULTS
from dispatcher.core.notices import Notice
from dispatcher.notices import forms
from tests.process.installation import ROOT, Carrier, Installation, wait_for
from tests.shell import shell

pytestmark = pytest.mark.process

CONFIG = """
[[carrier]]
name = "alpha"
[[carrier.bind]]
host = "127.0.0.1"
port = {alpha}
system_id = "demo"
password = "demo"
password_plain = true
[[route]]
name = "default"
[[route.group]]
carriers = [{ name = "alpha" }]
[[tariff]]
name = "standard"
currency = "EUR"
prices = { 44 = "0.0380" }
"""


def first_send() -> str:
    """The shell lines between the README's markers."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- first-send -->\n```sh\n(.*?)```\n<!-- /first-send -->", text, re.DOTALL)
    assert found is not None
    return found[1]


def _here(text: str, installation: Installation) -> str:
    """The same lines with this installation's ports."""
    return text.replace("6390", str(installation.server_port)).replace("8080", str(installation.http_port))


def _shell(lines: str, **variables: str) -> str:
    """What the lines print. Any command that fails ends them."""
    done = shell(lines, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _states(installation: Installation) -> dict[str, str]:
    """Each message's last state."""
    return {row["id"]: row["state"] for row in installation.rows("events")}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, str]]:
    """An installation as the demo leaves it: account demo, one key."""
    directory = tmp_path_factory.mktemp("readme")
    with Installation(directory, [Carrier(directory, "alpha", "")], CONFIG) as installation:
        key = installation.account(ACCOUNT.name, "--sender", ACCOUNT.sender, money="10")
        wait_for("the engine is bound", 20, lambda: 1 in _bound(installation))
        yield installation, key


def _bound(installation: Installation) -> list[float]:
    return [
        value for name, value in installation.scrape().items() if name.startswith("dispatcher_bind_state") and "bound" in name
    ]


def test_the_first_send_of_the_readme(running: tuple[Installation, str]) -> None:
    """Five lines, copied: the stream's send is found by its key, HTTP answers 202's body, and both are delivered and paid."""
    installation, key = running
    before = set(_states(installation))
    paid = _available(installation, key)
    lines = first_send()
    assert len(lines.splitlines()) == 5
    lines = _here(lines, installation).replace("'the key that the demo printed'", f"'{key}'")
    asking = lines.splitlines()[2]  # a person asks again until it is there
    lines = lines.replace(asking, f"until {asking.replace('curl -s', 'curl -sf')}; do sleep 0.2; done")
    shown = [json.loads(line) for line in _shell(lines).splitlines() if line.startswith("{")]
    message, accepted, balance = shown
    assert (message["account"], message["key"]) == ("demo", "first")
    assert (accepted["state"], accepted["price"], accepted["currency"]) == ("queued", "0.038", "EUR")
    assert balance["account"] == "demo"
    both = {message["id"]: "delivered", accepted["id"]: "delivered"}
    wait_for("both are delivered", 10, lambda: _new(installation, before) == both)
    assert paid - _available(installation, key) == 2 * to_micro("0.038")


def test_the_examples_of_the_producers_guide(running: tuple[Installation, str], tmp_path: Path) -> None:
    """Each shell and Python block of docs/producers.md does what the text around it says: six more sends, all delivered."""
    installation, key = running
    before = set(_states(installation))
    text = _here((ROOT / "docs/producers.md").read_text(encoding="utf-8"), installation)
    shown = [_shell(block, KEY=key) for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
    assert len(shown) == 3
    assert json.loads(shown[1])["state"] == "queued"
    batch = json.loads(shown[2].partition("}{")[0] + "}")
    assert (batch["accepted"], [item["index"] for item in batch["rejected"]]) == (1, [1])
    sending, reading, verifying = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    subprocess.run([sys.executable, "-c", sending], cwd=tmp_path, check=True, timeout=20)
    wait_for("six more are delivered", 10, lambda: list(_new(installation, before).values()) == ["delivered"] * 6)
    assert "stream=" in reading
    ends = reading.replace('stream="events")', 'stream="events", follow=False)')
    told = subprocess.run([sys.executable, "-c", ends], cwd=tmp_path, check=True, timeout=20, capture_output=True, text=True)
    assert told.stdout.count(" delivered None ") == len(before) + 6
    assert "def verify(" in verifying


@pytest.mark.parametrize("secret", ["plain words", "whsec_" + base64.b64encode(b"k" * 24).decode()])
def test_the_guide_verifies_what_we_sign(secret: str) -> None:
    """Its lines take our signature, with either kind of secret; not another body's, another secret's, or an old one."""
    text = (ROOT / "docs/producers.md").read_text(encoding="utf-8")
    (verifying,) = (
        block for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "verify" in block
    )
    guide: dict[str, Any] = {}
    exec(compile(verifying, "docs/producers.md", "exec"), guide)
    verify = guide["verify"]
    now = int(time.time())
    for at, good in ((now, True), (now - 301, False)):
        notice = Notice("m", "M", "demo", "https://example.com/", secret, "standard", False, b"{}", 0)
        headers = {name.lower(): value for name, value in forms.headers(notice, secret, at * 1000)}
        assert verify(secret, headers, b"{}") is good
        assert not verify(secret, headers, b"{ }")
        assert not verify(secret + "BBBB", headers, b"{}")


def _available(installation: Installation, key: str) -> int:
    return to_micro(installation.http("GET", "/v1/balance", key=key).body["available"])


def _new(installation: Installation, before: set[str]) -> dict[str, str]:
    return {name: state for name, state in _states(installation).items() if name not in before}


def test_the_keep_lines_name_the_readmes_addresses() -> None:
    """The README's ports are those that `make demo KEEP=1` prefers."""
    assert f"redis-cli -p {DEFAULTS.server} " in first_send()
    assert f"http://127.0.0.1:{DEFAULTS.http}/" in first_send()
