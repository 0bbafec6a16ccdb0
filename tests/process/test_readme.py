"""The README's first send works as it stands: its very lines, copied out of it and given to a shell."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.installation import ROOT, Carrier, Installation, wait_for

pytestmark = pytest.mark.process

CONFIG = """
[[carrier]]
name = "alpha"
sender = "DEMO"
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
STAND_IN = """#!{python}
import sys, redis
_, option, port, *command = sys.argv
assert option == "-p", option
print(redis.Redis(port=int(port)).execute_command(*command).decode())
"""
"""redis-cli where a machine has none: the same arguments, the same command on the wire."""


def first_send() -> str:
    """The shell lines between the README's markers."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- first-send -->\n```sh\n(.*?)```\n<!-- /first-send -->", text, re.DOTALL)
    assert found is not None
    return found[1]


def _path(directory: Path) -> str:
    """PATH, with a stand-in for redis-cli in front where there is none."""
    if shutil.which("redis-cli") is None:
        command = directory / "redis-cli"
        command.write_text(STAND_IN.replace("{python}", sys.executable), encoding="utf-8")
        command.chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_first_send_of_the_readme(tmp_path: Path) -> None:
    """Five lines, copied: the stream's send is found by its key, HTTP answers 202's body, and both are delivered and paid."""
    lines = first_send()
    assert len(lines.splitlines()) == 5
    with Installation(tmp_path, [Carrier(tmp_path, "alpha", "")], CONFIG) as installation:
        key = installation.account("demo", money="10")
        lines = lines.replace("'the key that the demo printed'", f"'{key}'")
        lines = lines.replace("6390", str(installation.server_port)).replace("8080", str(installation.http_port))
        lines = lines.replace("\ncurl", "\nsleep 1; echo; curl", 1)  # a person needs as long for the third line
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            env={**os.environ, "PATH": _path(tmp_path)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown = [json.loads(each) for each in re.findall(r"\{.*?\}(?=\{\"|\s|$)", done.stdout.partition("\n")[2])]
        message, accepted, balance = shown
        assert (message["account"], message["key"]) == ("demo", "first")
        assert (accepted["state"], accepted["price"], accepted["currency"]) == ("queued", "0.038", "EUR")
        assert balance["account"] == "demo"

        def delivered() -> bool:
            last = {row["id"]: row["state"] for row in installation.rows("events")}
            return last == {message["id"]: "delivered", accepted["id"]: "delivered"}

        wait_for("both are delivered", 10, delivered)
        assert installation.http("GET", "/v1/balance", key=key).body["available"] == "9.924"


def test_the_keep_lines_name_the_readmes_addresses() -> None:
    """The README's ports are those that `make demo KEEP=1` prefers."""
    from dispatcher.commands.demo.world import DEFAULTS

    assert f"redis-cli -p {DEFAULTS.server} " in first_send()
    assert f"http://127.0.0.1:{DEFAULTS.http}/" in first_send()
