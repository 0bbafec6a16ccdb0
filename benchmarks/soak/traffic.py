"""The senders of a soak: chunks and single entries over the stream, HTTP singles and batches, all classes, 1 to 3 segments.

They go at a rate, or, flat out, as fast as the unfinished ones allow, each door keeping its share. Each call is repeated
under its key until it was answered; a chunk has no key: when the server did not answer, its sends are doubtful and others are
made. It refuses to know what becomes of a message; the auditor is told of each before it leaves.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from benchmarks.soak.auditor import Auditor
from tests.process.receiver import SECRET
from tests.process.traffic import PATIENCE_S, Line

ACCOUNT: Final = "shop"
FIRST_NUMBER: Final = 491_511_000_000
SHARES: Final = {"chunk": 0.55, "keyed": 0.10, "http": 0.25, "batch": 0.10}
CHUNK, BATCH, CALLERS = 25, 100, 6
AHEAD: Final = 150
"""Messages that a door may be before its share, flat out."""
NAP_S: Final = 0.004
CALLBACKS: Final = 0.03
HOOKED_EACH: Final = 20
_TEXTS: Final = (
    (0.80, "Parcel {} is on its way"),
    (0.12, "Parcel {} is on its way. " + "The quick brown fox jumps over the lazy dog. " * 5),
    (0.03, "Parcel {} is on its way. " + "The quick brown fox jumps over the lazy dog. " * 8),
    (0.05, "Посылка {} уже в пути"),
)
_LANES: Final = ((0.2, "otp"), (0.5, "transactional"), (0.3, "bulk"))
_DOUBTS: Final = ((0.7, ""), (0.15, "hold"), (0.15, "resend"))


def _of(chance: random.Random, parts: tuple[tuple[float, str], ...]) -> str:
    return chance.choices([text for _, text in parts], [weight for weight, _ in parts])[0]


class Traffic:
    """Senders in threads. `rate` messages a second (0: flat out, with at most `open_max` unfinished)."""

    def __init__(
        self, auditor: Auditor, seed: int, server_port: int, http_port: int, key: str, hook: str, rate: float, open_max: int
    ) -> None:
        self._auditor, self._key, self._hook = auditor, key, hook
        self._label = f"s{seed}r{rate:.0f}"
        self._server_port, self._http_port = server_port, http_port
        self._rate, self._open_max = rate, open_max
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._sent = dict.fromkeys(SHARES, 0)
        self._chance = random.Random(self._label)
        self._began = 0.0
        self._threads: list[threading.Thread] = []
        self.errors: list[str] = []
        self.again = 0

    def start(self) -> None:
        """Starts all senders."""
        self._began = time.monotonic()
        works = [self._chunks, self._keyed, self._batches, *[self._calls] * CALLERS]
        for work in works:
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Each ends after the call that it is at."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S + 20)
            if thread.is_alive():
                self.errors.append("a sender has not ended")

    # -- pace

    def _take(self, kind: str, most: int) -> int:
        """Waits until some of this door's messages are due; how many (at most `most`), 0 at the end."""
        while not self._over.is_set():
            with self._lock:
                count = most if self._due(kind) >= most else 0
                self._sent[kind] += count
            if count:
                return count
            time.sleep(NAP_S)
        return 0

    def _due(self, kind: str) -> float:
        if self._rate:
            return SHARES[kind] * self._rate * (time.monotonic() - self._began) - self._sent[kind]
        if self._auditor.unfinished >= self._open_max:
            return 0
        total = sum(self._sent.values())
        return SHARES[kind] * (total + AHEAD) - self._sent[kind] + (AHEAD if kind == "batch" else CHUNK)

    # -- senders

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    def _make(self, kind: str, lane: str = "", hooked: bool | None = None) -> dict[str, Any]:
        """A send with a number and a ref of its own. `hooked`: with a callback or not; None: chance decides."""
        number = str(FIRST_NUMBER + next(_NUMBERS))
        with self._lock:
            chance = self._chance
            lane = lane or _of(chance, _LANES)
            text, doubt = _of(chance, _TEXTS), _of(chance, _DOUBTS)
            hooked = chance.random() < CALLBACKS if hooked is None else hooked
        ref = f"{self._label}-{kind}-{number}"
        send: dict[str, Any] = {"to": f"+{number}", "text": text.format(number), "ref": ref, "class": lane}
        if doubt:
            send["on_unknown"] = doubt
        if hooked:
            send["callback"] = {"url": self._hook, "secret": SECRET, "events": "final"}
        self._auditor.expect(ref, number, held=(doubt or ("hold" if lane == "bulk" else "resend")) == "hold", hooked=hooked)
        return send

    def _server(self) -> redis.Redis:
        return redis.Redis(port=self._server_port, socket_timeout=5.0, retry=Retry(NoBackoff(), 0))

    def _chunks(self) -> None:
        with self._server() as server:
            while count := self._take("chunk", CHUNK):
                sends = [{"account": ACCOUNT, **self._make("chunk")} for _ in range(count)]
                try:
                    server.xadd("sms:sends", {"json": json.dumps({"sends": sends})})
                except redis.RedisError:
                    self._auditor.doubt(send["ref"] for send in sends)
                    continue
                self._auditor.accept(send["ref"] for send in sends)

    def _keyed(self) -> None:
        with self._server() as server:
            while self._take("keyed", 1):
                send = {"account": ACCOUNT, **self._make("keyed")}
                entry = {"json": json.dumps({**send, "key": send["ref"]})}
                self._insist(lambda entry=entry: bool(server.xadd("sms:sends", entry)))  # type: ignore[misc]
                self._auditor.accept([send["ref"]])

    def _calls(self) -> None:
        line = Line(self._http_port, self._key)
        while self._take("http", 1):
            send = self._make("http")
            answer = self._posted(line, "/v1/messages", send, send["ref"])
            self._auditor.accept([send["ref"]], told=answer["id"])
        line.close()

    def _batches(self) -> None:
        line = Line(self._http_port, self._key)
        for number in itertools.count():
            if not self._take("batch", BATCH):
                break
            # All of a batch or none have the callback.
            sends = [self._make("batch", "bulk", hooked=number % HOOKED_EACH == 0) for _ in range(BATCH)]
            answer = self._posted(line, "/v1/messages/batch", sends, sends[0]["ref"])
            if answer["accepted"] != BATCH:
                raise AssertionError(f"of {BATCH} in a batch {answer['accepted']} were accepted: {answer}"[:1500])
            self._auditor.accept(send["ref"] for send in sends)
        line.close()

    def _posted(self, line: Line, path: str, body: Any, key: str) -> Any:
        answers: list[Any] = []
        sends = body if isinstance(body, list) else [body]

        def once() -> bool:
            status, answer = line.post(path, body, key)
            if status not in {0, 202, 408, 409, 429, 503}:
                raise AssertionError(f"answered {status}: {answer}")
            if status == 409:  # the same call, under way in a process that was killed: its key is held for up to a minute
                self._auditor.refuse(sends[0]["class"], answer["type"].rpartition(":")[2], len(sends))
            answers[:] = [answer]
            return status == 202

        self._insist(once)
        return answers[0]

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
                self.again += 1
            if time.monotonic() > end:
                raise TimeoutError(f"not accepted within {PATIENCE_S:g} s")
            time.sleep(0.1)


_NUMBERS = itertools.count(1)
"""Of the whole run: no number is used twice."""
