"""Clients of the crash rounds: producers and callers that go on while everything around them dies.

What each may conclude is the point. A stream entry whose XADD was answered is accepted. One whose XADD failed may or may not
be there: with a key it is added again, without one its sends are *doubtful* (they may come to be, once) and new ones are
made instead. An HTTP call is repeated with the same key until it is answered 202.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

CHUNK_SENDS = 50
CALLERS = 4
PATIENCE_S = 100.0
"""How long a client repeats one call: longer than the store keeps money of an admission that died half-way (60 s)."""
_LONG = "This text is long enough to need two segments of the default alphabet. " * 4
_CLASSES = ("otp", "transactional", "bulk")


@dataclass
class Plan:
    """How many sends of which kind, over how many seconds; `first` is the first phone number."""

    chunked: int
    keyed: int
    called: int
    batched: int
    seconds: float
    first: int

    @property
    def total(self) -> int:
        """Sends that shall be accepted."""
        return self.chunked + self.keyed + self.called + self.batched


@dataclass
class Sent:
    """What the clients know. `accepted`, `doubtful` ref -> number; `ids` ref -> id, where an answer told it; `held` ref ->
    whether a segment whose outcome is unknown must not be sent again. `held` has every ref that was ever made."""

    accepted: dict[str, str] = field(default_factory=dict)
    doubtful: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    held: dict[str, bool] = field(default_factory=dict)
    again: int = 0
    errors: list[str] = field(default_factory=list)
    seconds: Counter[int] = field(default_factory=Counter)

    def fastest(self) -> int:
        """Most sends accepted within one second of the clock."""
        return max(self.seconds.values(), default=0)


class Traffic:
    """Runs a plan in threads. `sent` may be read at any time."""

    def __init__(self, plan: Plan, label: str, server_port: int, http_port: int, key: str, account: str) -> None:
        self.plan = plan
        self.sent = Sent()
        self._label = label
        self._server_port = server_port
        self._http_port = http_port
        self._key = key
        self._account = account
        self._lock = threading.Lock()
        self._number = plan.first
        self._chance = random.Random(label)
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts the clients."""
        plan = self.plan
        works: list[Callable[[], None]] = [self._chunks, self._keyed, self._batch]
        works += [partial(self._call, _share(plan.called, CALLERS, caller)) for caller in range(CALLERS)]
        for work in works:
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self, seconds: float) -> None:
        """Waits for all clients. Raises TimeoutError."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                raise TimeoutError(f"a client has not ended within {seconds:g} s")

    @property
    def ended(self) -> bool:
        """Everything has been accepted, or a client has given up."""
        return not any(thread.is_alive() for thread in self._threads)

    # -- clients

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.sent.errors.append(f"{type(error).__name__}: {error}")

    def _make(self, kind: str, lane: str = "") -> dict[str, Any]:
        """A send with a number and a ref of its own."""
        with self._lock:
            self._number += 1
            number = str(self._number)
            chance = self._chance.random()
        ref = f"{self._label}-{kind}-{number}"
        lane = lane or _CLASSES[int(number) % 3]
        send = {"to": f"+{number}", "text": _LONG, "ref": ref, "class": lane}
        if chance > 0.05:
            send["text"] = f"Parcel {number} is on its way"
        # Bulk waits behind the other classes and is rarely in flight when the engine dies, so others are held too.
        if chance > 0.75 or (chance > 0.6 and lane == "bulk"):
            send["on_unknown"] = "resend" if lane == "bulk" else "hold"
        self.sent.held[ref] = send.get("on_unknown", "hold" if lane == "bulk" else "resend") == "hold"
        return send

    def _accept(self, sends: list[dict[str, Any]]) -> None:
        for send in sends:
            self.sent.accepted[send["ref"]] = send["to"][1:]
        with self._lock:
            self.sent.seconds[int(time.monotonic())] += len(sends)

    def _pace(self, count: int) -> float:
        return self.plan.seconds / max(count, 1)

    def _server(self) -> redis.Redis:
        return redis.Redis(port=self._server_port, socket_timeout=3.0, retry=Retry(NoBackoff(), 0))

    def _chunks(self) -> None:
        """Chunks without keys: never added twice."""
        pause_s = self._pace(self.plan.chunked // CHUNK_SENDS)
        left = self.plan.chunked
        with self._server() as server:
            while left:
                sends = [{"account": self._account, **self._make("chunk")} for _ in range(min(CHUNK_SENDS, left))]
                try:
                    server.xadd("sms:sends", {"json": json.dumps({"sends": sends})})
                except redis.RedisError:
                    for send in sends:
                        self.sent.doubtful[send["ref"]] = send["to"][1:]
                    self.sent.again += 1
                    time.sleep(0.2)
                    continue
                self._accept(sends)
                left -= len(sends)
                time.sleep(pause_s)

    def _keyed(self) -> None:
        """Single entries with keys: added again until the server answers."""
        pause_s = self._pace(self.plan.keyed)
        with self._server() as server:
            for _ in range(self.plan.keyed):
                send = {"account": self._account, **self._make("keyed")}
                send["key"] = send["ref"]
                entry = {"json": json.dumps(send)}
                self._insist(lambda entry=entry: bool(server.xadd("sms:sends", entry)))  # type: ignore[misc]
                self._accept([send])
                time.sleep(pause_s)

    def _call(self, count: int) -> None:
        """HTTP singles with an Idempotency-Key."""
        pause_s = self._pace(count)
        line = Line(self._http_port, self._key)
        for _ in range(count):
            send = self._make("http")

            def once(send: dict[str, Any] = send) -> bool:
                status, answer = line.post("/v1/messages", send, send["ref"])
                if status == 202:
                    self.sent.ids[send["ref"]] = answer["id"]
                return self._answered(status, answer)

            self._insist(once)
            self._accept([send])
            time.sleep(pause_s)
        line.close()

    def _batch(self) -> None:
        """One HTTP batch, in the middle of it all."""
        time.sleep(self.plan.seconds / 4)
        sends = [self._make("batch", "bulk") for _ in range(self.plan.batched)]
        line = Line(self._http_port, self._key)

        def once() -> bool:
            status, answer = line.post("/v1/messages/batch", sends, f"{self._label}-batch")
            return self._answered(status, answer)

        self._insist(once)
        self._accept(sends)
        line.close()

    def _answered(self, status: int, answer: Any) -> bool:
        """True for 202; False for what is to be repeated. Raises for an answer that must not be."""
        if status == 202:
            return True
        if status in {0, 408, 409, 429, 503}:
            return False
        raise AssertionError(f"answered {status}: {answer}")

    def _insist(self, once: Callable[[], bool]) -> None:
        """Repeats until it succeeded. Raises TimeoutError."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                if once():
                    return
            except redis.RedisError:
                pass
            with self._lock:
                self.sent.again += 1
            if time.monotonic() > end:
                raise TimeoutError(f"not accepted within {PATIENCE_S:g} s")
            time.sleep(0.1)


class Line:
    """One HTTP connection, opened again when it broke."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        self._key = key

    def post(self, path: str, body: Any, idempotency_key: str) -> tuple[int, Any]:
        """(status, JSON); status 0 when the connection broke: whether it was accepted is not known."""
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key,
        }
        try:
            self._connection.request("POST", path, json.dumps(body), headers)
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            self._connection.close()
            return 0, None

    def close(self) -> None:
        """Closes it."""
        self._connection.close()


def _share(count: int, parts: int, part: int) -> int:
    return count // parts + (part < count % parts)
