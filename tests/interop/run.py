"""`make interop`: foreign programs against a running dispatcher. promtool reads the shipped configuration and rules and tests
each alert, Debian's redis-cli sends as the documents say, and a Prometheus scrapes: each dashboard query runs, and every
metric on a dashboard has samples. Node and PHP run the samples that the dialects' documents print; a browser renders our pages.

The last line is `interop: PASS ...`, or `interop: FAIL ...` with what did not fit; exit code 1 then.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.contract.ground import started
from tests.interop.foreign import Missing, environment, program
from tests.interop.pages import show_pages
from tests.interop.samples import run_samples
from tests.interop.tshark import tshark_checks
from tests.process.installation import ROOT, Carrier, Installation, wait_for
from tests.process.ports import free_ports

SHIPPED = ROOT / "deploy" / "prometheus"
DASHBOARDS = ROOT / "grafana" / "dashboards"
DOCUMENTS = ("README.md", "docs/producers.md")
SCENARIO = """
answer_ms = [5, 20]
receipt_ms = [20, 100]
query = "answer"
[[rule]]
suffix = "01"
outcome = "temporary"
times = 1
[[rule]]
suffix = "02"
outcome = "no_id"
[[rule]]
number = "4915112300006"
outcome = "no_receipt"
[[rule]]
number = "4915112300005"
outcome = "drop"
"""
"""Outcomes for all counters: a retry, a receipt that nobody knows, one that must be asked for, a doubt (of a bulk
message, which is not sent again)."""


def check(name: str, well: bool, why: str, faults: list[str]) -> None:
    """Prints one check; notes it when it failed."""
    print(f"{'ok  ' if well else 'FAIL'}  {name}{'' if well else ': ' + why}", flush=True)
    if not well:
        faults.append(name)


def promtool_checks(promtool: str, directory: Path, faults: list[str]) -> None:
    """The shipped files as promtool sees them, and each alert's own test."""
    for path in SHIPPED.iterdir():
        shutil.copy(path, directory)
    shutil.copy(Path(__file__).with_name("alerts_test.yml"), directory)
    for command in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ):
        ended = subprocess.run([promtool, *command], cwd=directory, capture_output=True, text=True, check=False)
        check(f"promtool {' '.join(command)}", ended.returncode == 0, (ended.stderr + ended.stdout).strip(), faults)


def config() -> str:
    """The shipped example, but for its addresses and timings that suit a short run."""
    text = (ROOT / "deploy" / "dispatcher.toml").read_text()
    text = text[text.index("[[carrier]]") :].replace("port = 2775", "port = {simulator}").replace('"as_is"', '"auto"')
    text = text.replace("[carrier.quirks]", "[carrier.questions]\nquery_after_s = 1.0\n\n[carrier.quirks]", 1)
    doors = '[notices]\nallow_insecure = true\nallow_networks = ["127.0.0.0/8"]\n'
    doors += '[[inbound]]\nnumber = "447700900999"\naccount = "demo"\n'
    doors += '[[limit]]\nname = "slow"\nsender = ["Slow"]\nrate = 2'
    return f"[receipts]\ngrace_s = 1.0\nearly_s = 1.0\nsweep_s = 0.5\n\n[retry]\ntemporary_s = 0.5\n\n{doors}\n\n{text}"


def documented() -> list[list[str]]:
    """The redis-cli commands that the documents tell people to type."""
    lines = [line for name in DOCUMENTS for line in (ROOT / name).read_text().splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("redis-cli ")]


def send_as_documented(redis_cli: str, installation: Installation, faults: list[str]) -> None:
    """Each documented XADD, typed into Debian's redis-cli, ends in delivered messages."""
    commands = [words for words in documented() if "XADD" in words]
    check("the documents show how to send with redis-cli", bool(commands), f"none in {DOCUMENTS}", faults)
    for words in commands:
        before = _delivered(installation)
        typed = [str(installation.server_port) if word == "6390" else word for word in words[1:]]
        ended = subprocess.run([redis_cli, *typed], capture_output=True, text=True, env=environment(), check=False)
        entry = ended.stdout.strip()
        check(f"redis-cli XADD answers {entry}", bool(re.fullmatch(r"\d+-\d+", entry)), ended.stderr or entry, faults)
        sends = json.loads(typed[-1])
        wanted = len(sends["sends"]) if "sends" in sends else 1
        try:
            wait_for("delivered", 10, lambda before=before, wanted=wanted: _delivered(installation) >= before + wanted)  # type: ignore[misc]
        except TimeoutError as error:
            check(f"its {wanted} sends are delivered", False, f"{error}; rejects: {installation.rows('rejects')[-2:]}", faults)
        else:
            check(f"its {wanted} sends are delivered", True, "", faults)
    shown = subprocess.run(
        [redis_cli, "-p", str(installation.server_port), "XINFO", "STREAM", "sms:{p0}:events"],
        capture_output=True,
        text=True,
        errors="replace",
        env=environment(),
        check=False,
    )
    check("redis-cli reads the events stream", "last-generated-id" in shown.stdout, shown.stderr or shown.stdout, faults)


def _delivered(installation: Installation) -> int:
    return sum(row["state"] == "delivered" for row in installation.rows("events"))


def traffic(installation: Installation) -> None:
    """A bit of everything, over both doors."""
    key = installation.account("demo")
    sends = [
        {"account": "demo", "to": f"+4915112300{n:03}", "text": "Hello", "class": ("otp", "transactional", "bulk")[n % 3]}
        for n in range(60)
    ]
    installation.xadd(sends)
    installation.xadd([each | {"to": f"{each['to'][:-4]}9{n:03}", "from": "Slow"} for n, each in enumerate(sends[:6])])
    for n in range(10):
        answer = installation.http("POST", "/v1/messages", {"to": f"+4915112310{n:03}", "text": "Hello"}, key)
        assert answer.status == 202, answer
    callback = {"url": f"http://127.0.0.1:{free_ports(1)[0]}/nobody-listens"}
    told = {"to": "+4915112320001", "text": "Hello", "callback": callback}
    assert installation.http("POST", "/v1/messages", told, key).status == 202
    installation.carriers["simulator"].say("inbound demo 447700900123 447700900999 STOP")


def queries(value: Any) -> Iterator[str]:
    """Every expression of a dashboard."""
    if isinstance(value, dict):
        if isinstance(value.get("expr"), str):
            yield value["expr"]
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from queries(each)


@contextlib.contextmanager
def prometheus(binary: str, directory: Path, target: int) -> Iterator[str]:
    """A Prometheus with the shipped configuration, but for target and interval; its address."""
    path = directory / "prometheus.yml"
    text = path.read_text().replace("dispatcher:9464", f"127.0.0.1:{target}")
    path.write_text(re.sub(r"_interval: \d+s", "_interval: 1s", text))
    port = free_ports(1)[0]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={path}",
                f"--storage.tsdb.path={directory}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def ask(address: str, path: str, **arguments: str) -> Any:
    """The `data` of one answer of Prometheus' API; None while it does not answer."""
    try:
        with urllib.request.urlopen(f"{address}{path}?{urllib.parse.urlencode(arguments)}", timeout=10) as answer:
            return json.loads(answer.read())["data"]
    except OSError:
        return None


def scrape_checks(address: str, faults: list[str]) -> int:
    """Target up, rules healthy, each dashboard query runs, each metric on a dashboard is there. Returns how many queries."""

    def up() -> Any:
        targets = (ask(address, "/api/v1/targets") or {}).get("activeTargets", [])
        return bool(targets) and all(target["health"] == "up" for target in targets)

    wait_for("Prometheus scrapes", 30, up, 0.2)
    time.sleep(4)  # rates need several scrapes
    rules = ask(address, "/api/v1/rules")["groups"]
    sick = [rule["name"] for group in rules for rule in group["rules"] if rule["health"] != "ok"]
    check("every alert rule evaluates", bool(rules) and not sick, ", ".join(sick) or "no rules", faults)
    shown = {path.name: list(queries(json.loads(path.read_text()))) for path in sorted(DASHBOARDS.glob("*.json"))}
    count = 0
    for name, expressions in shown.items():
        count += len(expressions)
        failed = [
            each for each in expressions if ask(address, "/api/v1/query", query=each.replace("$__rate_interval", "1m")) is None
        ]
        check(f"{name}: all {len(expressions)} queries run", bool(expressions) and not failed, "; ".join(failed), faults)
    names = {name for many in shown.values() for each in many for name in re.findall(r"dispatcher_[a-z_]+", each)}
    missing = sorted(n for n in names if not ask(address, "/api/v1/query", query=f"count({n})")["result"])
    check(f"{len(names)} metrics on dashboards have samples", not missing, ", ".join(missing), faults)
    return count


def others(directory: Path, faults: list[str]) -> None:
    """Printed samples in Node and PHP, Wireshark, pages in a browser. Raises Missing."""

    def checked(name: str, well: bool, why: str) -> None:
        check(name, well, why, faults)

    run_samples(checked)
    tshark_checks(directory / "tshark", checked)
    with started() as running:
        show_pages(running, directory, checked)


def main() -> int:
    """Runs everything; 1 when anything did not fit."""
    faults: list[str] = []
    directory = Path(tempfile.mkdtemp(prefix="interop-"))
    try:
        promtool, server, redis_cli = (
            program("promtool", "prometheus"),
            program("prometheus", "prometheus"),
            program("redis-cli", "redis-tools"),
        )
    except Missing as error:
        print(f"interop: FAIL {error}")
        return 1
    promtool_checks(promtool, directory, faults)
    shutil.copy(ROOT / "deploy" / "tariff.csv", directory)
    with Installation(directory, [Carrier(directory, "simulator", SCENARIO)], config()) as installation:
        traffic(installation)
        send_as_documented(redis_cli, installation, faults)
        with prometheus(server, directory, installation.metrics_port) as address:
            count = scrape_checks(address, faults)
    try:
        others(directory, faults)
    except Missing as error:
        check("foreign programs", False, str(error), faults)
    shutil.rmtree(directory, ignore_errors=True)
    if faults:
        print(f"interop: FAIL {len(faults)} of the checks: {'; '.join(faults)}")
        return 1
    print(f"interop: PASS promtool, redis-cli, Prometheus, Node, PHP, tshark, Chromium; {count} dashboard queries")
    return 0


if __name__ == "__main__":
    sys.exit(main())
