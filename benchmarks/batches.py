"""Batches of 50,000 and their status, natively and through Chinqit's bulk API: how long, how dear, and whom they hold up.

`python -m benchmarks.batches [--runs 3] [--durability fsync] [--json]`

1. A batch through each door: time to the 202, CPU a recipient in the HTTP process and in the server, the longest step of
   the server for the HTTP process (`own_step_ms`, its slow log) and for anyone (`longest_step_ms`, its latency monitor, whole
   ms), and what the loop of the HTTP process let others wait meanwhile. Its price must leave the account at once.
2. The same while an engine sends an earlier batch on the same cores. Codes are posted meanwhile: how long until their 202,
   and how many segments of the batches left the engine between a code's 202 and the code (`bulk_before_code`: by the order
   in which the carrier read them, less what the kernel had for it already at the 202; beyond one window, here 200, the run
   fails). A step's time is the wall's: with five processes on two cores it holds the time that others had the core.
3. Chinqit's status of a batch of which all is final: the whole of it, ten messages of it, and the same again; of one
   message of it through the native API.

`stall_ms` is how long a request waited for its answer that needs nothing but a turn of the loop (`GET /healthz`), the longest
of all that were asked one after another meanwhile. The client is this process; it takes its share of the machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.doors import _STEPS, BATCH, PRICE_MICRO, TEXT, Doors, _available, doors
from benchmarks.installation import Durability, cpu_s, machine, server_version, wait_for
from benchmarks.received import received
from benchmarks.tables import spreads
from smpp.sink import Arrival

DRAIN_S = 180
PAUSE_S = 0.005
SLOW_US = 100
CODE_S = 0.02
WINDOW = 200
"""Of the draining carrier's one session: over several it could not be said what left first."""
CODES_S = 2.0
"""So long codes are posted after the batch was accepted too, while both batches drain."""


class Cost(NamedTuple):
    """What something took. CPU in seconds; the others in ms."""

    took_s: float
    http_s: float
    server_s: float
    own_step_ms: float
    step_ms: int
    stall_ms: float


class _Stall(threading.Thread):
    """Asks for a turn of the loop again and again, over one connection."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._end = threading.Event()
        self.longest_s = 0.0

    def run(self) -> None:
        while not self._end.is_set():
            started = time.perf_counter()
            self._connection.request("GET", "/healthz")
            self._connection.getresponse().read()
            self.longest_s = max(self.longest_s, time.perf_counter() - started)
            time.sleep(PAUSE_S)

    def end(self) -> None:
        """Waits for its last answer."""
        self._end.set()
        self.join()
        self._connection.close()


@contextmanager
def _measured(found: Doors, into: list[Cost]) -> Iterator[None]:
    found.redis.config_set("latency-monitor-threshold", 1)
    found.redis.execute_command("LATENCY", "RESET")  # type: ignore[no-untyped-call]
    found.redis.config_set("slowlog-log-slower-than", SLOW_US)
    found.redis.config_set("slowlog-max-len", 50_000)
    found.redis.slowlog_reset()
    stall = _Stall(found.port)
    stall.start()
    time.sleep(0.05)
    before, started = (cpu_s(found.http_pid), cpu_s(found.server_pid)), time.perf_counter()
    yield
    took_s = time.perf_counter() - started
    http_s, server_s = cpu_s(found.http_pid) - before[0], cpu_s(found.server_pid) - before[1]
    stall.end()
    steps: Any = found.redis.execute_command("LATENCY", "LATEST")  # type: ignore[no-untyped-call]
    longest = max((int(most) for name, _, _, most, *_ in steps if name in _STEPS), default=0)
    own = _ports(found.http_pid)
    slow = [each for each in found.redis.slowlog_get(50_000) if each["client_address"].rpartition(b":")[2] in own]
    own_us = max((int(each["duration"]) for each in slow), default=SLOW_US)
    into.append(Cost(took_s, http_s, server_s, own_us / 1000, longest, stall.longest_s * 1000))


def _ports(pid: int) -> set[bytes]:
    """Local ports of a process' connections, in digits."""
    inodes = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return {b"%d" % int(row[1].partition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in inodes}


def _ask(found: Doors, path: str, headers: dict[str, str], body: bytes | None = None) -> dict[str, Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{found.port}{path}", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.loads(answer.read()))


def native(found: Doors, first: int = 0) -> str:
    """A batch of 50,000; its group's id. Raises RuntimeError when not all were accepted."""
    numbers = range(first, first + BATCH)
    body = json.dumps([{"to": f"+4478{i:08d}", "text": TEXT, "class": "bulk"} for i in numbers]).encode()
    answer = _ask(
        found, "/v1/messages/batch", {"Authorization": f"Bearer {found.key}", "Content-Type": "application/json"}, body
    )
    if answer["accepted"] != BATCH:
        raise RuntimeError(f"accepted {answer['accepted']} of {BATCH}")
    return str(answer["group"])


def _chinqit_headers(found: Doors) -> dict[str, str]:
    return {"X-API-Key": found.chinqit, "Content-Type": "application/json"}


def _bulk_body(first: int) -> bytes:
    numbers = range(first, first + BATCH)
    return json.dumps({"recipients": [{"phone": f"+4478{i:08d}", "message": TEXT} for i in numbers]}).encode()


def chinqit(found: Doors, first: int = 0, body: bytes = b"") -> str:
    """The same through Chinqit's bulk API; the batch's id. `body`: made before, as making it holds up this process' threads."""
    body = body or _bulk_body(first)
    answer = _ask(found, "/api/v2/bulk/send", _chinqit_headers(found), body)
    if answer["totalValid"] != BATCH:
        raise RuntimeError(f"accepted {answer['totalValid']} of {BATCH}")
    return str(answer["batchId"])


def _batch_row(cost: Cost) -> dict[str, float]:
    return {
        "to_202_s": round(cost.took_s, 2),
        "http_us": round(cost.http_s / BATCH * 1e6, 2),
        "server_us": round(cost.server_s / BATCH * 1e6, 2),
        "own_step_ms": round(cost.own_step_ms, 2),
        "longest_step_ms": cost.step_ms,
        "stall_ms": round(cost.stall_ms, 1),
    }


def alone(durability: Durability, send: Callable[[Doors, int], str]) -> dict[str, float]:
    """One batch with nothing else to do; a first one that is not counted has warmed everything."""
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as folder, doors(durability, Path(folder)) as found:
        send(found, 0)
        money = _available(found)
        with _measured(found, costs):
            send(found, BATCH)
        _paid(found, money, BATCH)
    return _batch_row(costs[0])


def _paid(found: Doors, before: int, messages: int) -> None:
    """Raises RuntimeError unless exactly the price of so many has left the account."""
    if before - _available(found) != messages * PRICE_MICRO:
        raise RuntimeError(f"{before - _available(found)} left the account for {messages} messages")


class _Codes(threading.Thread):
    """Posts codes one after the other, each to a range of its own. What each of the carrier's connections had received when a
    code had its 202, and how long a 202 took at most."""

    def __init__(self, found: Doors, carrier: int) -> None:
        super().__init__()
        self._found, self._carrier = found, carrier
        self._end = threading.Event()
        self.left: dict[str, dict[int, int]] = {}
        self.longest_s = 0.0

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._found.key}", "Content-Type": "application/json"}
        while not self._end.is_set() and len(self.left) < 1000:
            to, started = f"447{4000 + len(self.left)}12345", time.perf_counter()
            body = {"to": f"+{to}", "text": "Your code is 1234", "class": "otp"}
            _ask(self._found, "/v1/messages", headers, json.dumps(body).encode())
            self.left[to] = received(self._carrier)
            self.longest_s = max(self.longest_s, time.perf_counter() - started)
            time.sleep(CODE_S)

    def end(self) -> None:
        """Waits for its last answer."""
        self._end.set()
        self.join()


def bulk_before(codes: dict[str, dict[int, int]], arrivals: list[Arrival], bulk: int) -> int:
    """Of the batches' `bulk` segments those that left between a code's 202 and the code, at most. `codes`: bytes received at
    its 202, by port. Raises RuntimeError unless every message came once, when it is more than a window, and when the batches
    were through before the last code."""
    places = {arrival.to: place for place, arrival in enumerate(arrivals)}
    if len(arrivals) != bulk + len(codes) or len(places) != len(arrivals):
        raise RuntimeError(f"{len(arrivals)} segments to {len(places)} numbers came, not {bulk + len(codes)}")
    if arrivals[-1].to in codes:
        raise RuntimeError("the batches were through before the last code")
    most = max(
        sum(a.offset >= left.get(a.port, 0) for a in arrivals[: places[code]] if a.to not in codes)
        for code, left in codes.items()
    )
    if most > WINDOW:
        raise RuntimeError(f"{most} segments left before a code, with a window of {WINDOW}")
    return most


def draining(durability: Durability) -> dict[str, dict[str, float]]:
    """A batch while an engine sends an earlier one; and, when everything is final, what its status costs."""
    costs: list[Cost] = []
    sink = subprocess.Popen([sys.executable, "-m", "smpp.sink", "--arrivals"], stdout=subprocess.PIPE, text=True)
    try:
        assert sink.stdout is not None
        port = int(json.loads(sink.stdout.readline())["port"])
        with tempfile.TemporaryDirectory() as folder, doors(durability, Path(folder), sink_port=port, window=WINDOW) as found:
            native(found, 0)
            time.sleep(1.5)
            codes, money, body = _Codes(found, port), _available(found), _bulk_body(BATCH)
            codes.start()
            with _measured(found, costs):
                batch = chinqit(found, BATCH, body)
            time.sleep(CODES_S)
            codes.end()
            _paid(found, money, BATCH + len(codes.left))
            headers, path = _chinqit_headers(found), f"/api/v2/bulk/status/{batch}"

            def poll(query: str) -> dict[str, Any]:
                return dict(_ask(found, path + query, headers)["batch"])

            with _measured(found, costs):
                shown = poll("")
            if shown["validMessages"] != BATCH or len(shown["messages"]) != BATCH:
                raise RuntimeError(f"the status shows {len(shown['messages'])} of {shown['validMessages']} messages")
            message = shown["messages"][BATCH // 2]["messageId"]
            wait_for("all is final", DRAIN_S, lambda: poll("?limit=1")["progress"] == 100)
            time.sleep(2)
            for query in ("", "", "?limit=10", "?limit=10"):
                with _measured(found, costs):
                    shown = poll(query)
                if shown["successfulCount"] != BATCH:
                    raise RuntimeError(f"{shown['successfulCount']} sent of {BATCH}")
            with _measured(found, costs):
                for _ in range(100):
                    _ask(found, f"/messages/status/{message}", headers)
            sink.terminate()
            arrivals = [Arrival(*each) for each in json.loads(sink.stdout.read().splitlines()[-1])["arrivals"]]
    finally:
        sink.terminate()
        sink.wait(10)
    names = ("status_draining", "status_first", "status_again", "status_ten", "status_ten_again")
    rows = {"chinqit_draining": _batch_row(costs[0])}
    rows["chinqit_draining"]["code_to_202_ms"] = round(codes.longest_s * 1000, 1)
    rows["chinqit_draining"]["bulk_before_code"] = bulk_before(codes.left, arrivals, 2 * BATCH)
    for name, cost in zip(names, costs[1:6], strict=True):
        rows[name] = {
            "took_ms": round(cost.took_s * 1000, 1),
            "http_ms": round(cost.http_s * 1000),
            "longest_step_ms": cost.step_ms,
            "stall_ms": round(cost.stall_ms, 1),
        }
    rows["status_of_one"] = {"took_ms": round(costs[6].took_s * 10, 2), "http_ms": round(costs[6].http_s * 10, 2)}
    return rows


def measure(runs: int, durability: Durability) -> dict[str, Any]:
    """All of it, medians with least and greatest."""
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(runs):
        for name, row in (
            ("native", alone(durability, native)),
            ("chinqit", alone(durability, chinqit)),
            *draining(durability).items(),
        ):
            found.setdefault(name, []).append(row)
    return {kind: spreads(rows, 2) for kind, rows in found.items()}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--durability", choices=("fsync", "everysec"), default="fsync")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    results = measure(a.runs, a.durability)
    if a.json:
        print(json.dumps({"machine": machine(), "server": server_version(), **results}))
        return 0
    print(f"{a.durability}, {a.runs} runs; {server_version()}")
    for kind, rows in results.items():
        for name, row in rows.items():
            print(f"{kind:18} {name:16} {row['median']:>10}  ({row['min']} to {row['max']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
