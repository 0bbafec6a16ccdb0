"""kill -9 of the HTTP and notices processes under load: every 202 is there afterwards, repeats with their keys are not doubled,
and no event is lost on its way to a customer's webhook.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.contract.ground import Response, Running, started
from tests.process.installation import wait_for

CUSTOMERS = 8
"""Threads that send, each waiting for its answer before the next."""
KILLS = 3
SECONDS = 8.0
"""How long is sent."""


class Webhook:
    """A customer's receiver: remembers every event by message, in the order of arrival, and every Webhook-Id."""

    def __init__(self) -> None:
        self.states: dict[str, list[str]] = defaultdict(list)
        self.ids: dict[str, set[str]] = defaultdict(set)
        self.lock = threading.Lock()

    def take(self, webhook_id: str, body: dict[str, Any]) -> None:
        """One call."""
        with self.lock:
            if webhook_id not in self.ids[body["id"]]:
                self.states[body["id"]].append(body["state"])
            self.ids[body["id"]].add(webhook_id)


@contextmanager
def receiver() -> Iterator[tuple[Webhook, str]]:
    """A webhook on loopback, and its address."""
    found = Webhook()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.take(self.headers["Webhook-Id"], body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found, f"http://127.0.0.1:{server.server_address[1]}/events"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _insist(running: Running, path: str, body: Any, headers: dict[str, str], until: float) -> tuple[Response, int]:
    """Repeats one request with its key until it is answered with an acceptance; also how often it was asked."""
    asked = 0
    while True:
        asked += 1
        try:
            answer = running.request("POST", path, body, headers, timeout_s=10)
        except (OSError, http.client.HTTPException):  # it died with our request in its hands, or in the middle of its answer
            answer = Response(0, {}, b"")
        if answer.status in {200, 202}:
            return answer, asked
        assert answer.status in {0, 409, 503}, answer
        assert time.monotonic() < until, f"no acceptance: {answer}"
        time.sleep(0.05)


@pytest.mark.process
@pytest.mark.kills
def test_doors_killed_under_load() -> None:
    """Three kills of each process; native and Chinqit customers repeat what was not answered."""
    with (
        receiver() as (webhook, url),
        started(config='[notices]\nallow_insecure = true\nallow_networks = ["127.0.0.0/8"]\n') as running,
    ):
        running.account("shop", "EUR", "100000")
        key = running.installation.cli("keys", "create", "shop")["key"]
        running.account("clinic", "MRU", "100000", "--sender", "Info")
        running.import_key("clinic", "chinqit", "killed-key-0123456789")
        end = time.monotonic() + SECONDS
        wanted: dict[str, str] = {}
        native_ids: list[str] = []
        repeats = 0

        def customer(number: int) -> tuple[dict[str, str], list[str], int]:
            sent: dict[str, str] = {}
            ids: list[str] = []
            again = n = 0
            while time.monotonic() < end:
                n += 1
                to = f"4477{number:02d}{n:05d}9"  # its end has no fate of its own
                headers = {"Idempotency-Key": f"c{number}-{n}"}
                if number % 2:
                    body: dict[str, Any] = {"message": f"Hello {to}", "phoneNumber": f"+{to}"}
                    headers["X-API-Key"] = "killed-key-0123456789"
                    answer, asked = _insist(running, "/messages/send", body, headers, end + 30)
                    sent[to] = answer.json["messageId"]
                else:
                    body = {"to": f"+{to}", "text": f"Hello {to}", "callback": {"url": url}}
                    headers["Authorization"] = f"Bearer {key}"
                    answer, asked = _insist(running, "/v1/messages", body, headers, end + 30)
                    sent[to] = answer.json["id"]
                    ids.append(answer.json["id"])
                again += asked - 1
            return sent, ids, again

        with ThreadPoolExecutor(CUSTOMERS) as pool:
            working = [pool.submit(customer, number) for number in range(CUSTOMERS)]
            for _ in range(KILLS):
                time.sleep(SECONDS / (KILLS + 1) / 2)
                running.installation.kill("http-0")
                time.sleep(SECONDS / (KILLS + 1) / 2)
                running.installation.kill("notices-0")
            for each in working:
                sent, ids, again = each.result()
                wanted |= sent
                native_ids += ids
                repeats += again
        assert repeats > 0, "no request was cut: the kills proved nothing"
        carrier = running.installation.carriers["sim"]
        wait_for(
            "every acceptance reaches the carrier",
            30,
            lambda: len({r.number for r in carrier.records()} & set(wanted)) == len(wanted),
        )
        submitted: dict[str, int] = defaultdict(int)
        for each in carrier.records():
            submitted[each.number] += 1
        assert {number: count for number, count in submitted.items() if count > 1} == {}
        assert set(submitted) == set(wanted), "something was sent that nobody was told of"
        wait_for("every event arrives", 60, lambda: all("delivered" in webhook.states[each] for each in native_ids))
        order = ["queued", "submitted", "delivered"]
        for each in native_ids:
            states = webhook.states[each]
            assert states == sorted(states, key=order.index), states
            assert states[-1] == "delivered"
            assert "submitted" in states
        running.installation.cli("ledger", "audit")  # ends with 1 when the books do not balance
