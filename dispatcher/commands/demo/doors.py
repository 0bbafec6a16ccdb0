"""Sends every row through the door that its file names, and keeps what each door answered.

It refuses to know what becomes of what was accepted. One thread per stream kind, a few for single HTTP requests.
"""

from __future__ import annotations

import http.client
import queue
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from dispatcher.client import Producer
from dispatcher.commands.demo.rows import Row, by_door
from dispatcher.core.ids import group_members

CHUNK_SENDS = 50
HTTP_THREADS = 6
TIMEOUT_S = 20.0


class Sender:
    """The doors at work. Read the results once `done` is true."""

    def __init__(self, rows: list[Row], *, store_url: str, http_port: int, account: str, key: str) -> None:
        self.rows = by_door(rows)
        self.accepted: list[str] = []
        """Ids that HTTP answered with 202, the batch's members included."""
        self.refused: Counter[str] = Counter()
        """Reasons that HTTP answered."""
        self.batch = ""
        self.error: BaseException | None = None
        self._store_url, self._http_port = store_url, http_port
        self._account, self._key = account, key
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts all doors at once."""
        singles: queue.SimpleQueue[Row] = queue.SimpleQueue()
        for row in self.rows["http"]:
            singles.put(row)
        work: list[Callable[[], None]] = [self._stream, self._chunks, self._batch]
        work += [lambda: self._singles(singles)] * HTTP_THREADS
        for each in work:
            # Daemons: an interrupted demo does not wait for a door that hangs.
            thread = threading.Thread(target=self._guarded, args=(each,), daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def done(self) -> bool:
        """True when every door has answered. Raises what a door raised."""
        if self.error is not None:
            raise self.error
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def streamed(self) -> int:
        """Sends that went over the stream, in chunks or alone."""
        return len(self.rows["stream"]) + len(self.rows["chunk"])

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # handed to the main thread, which raises it
            self.error = error

    def _stream(self) -> None:
        """One entry each; half of them in each encoding that the stream knows."""
        with (
            Producer(self._store_url, encoding="json") as plain,
            Producer(self._store_url, encoding="msgpack") as packed,
        ):
            for number, row in enumerate(self.rows["stream"]):
                (packed if number % 2 else plain).send(row.send(self._account))

    def _chunks(self) -> None:
        rows = self.rows["chunk"]
        with Producer(self._store_url) as producer:
            for start in range(0, len(rows), CHUNK_SENDS):
                producer.send_chunk([row.send(self._account) for row in rows[start : start + CHUNK_SENDS]])

    def _singles(self, rows: queue.SimpleQueue[Row]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._http_port, timeout=TIMEOUT_S)
        try:
            while True:
                try:
                    row = rows.get_nowait()
                except queue.Empty:
                    return
                status, answer = self._post(connection, "/v1/messages", row.send())
                with self._lock:
                    if status == 202:
                        self.accepted.append(answer["id"])
                    else:
                        self.refused[_reason(status, answer)] += 1
        finally:
            connection.close()

    def _batch(self) -> None:
        rows = self.rows["batch"]
        if not rows:
            return
        connection = http.client.HTTPConnection("127.0.0.1", self._http_port, timeout=TIMEOUT_S)
        try:
            status, answer = self._post(connection, "/v1/messages/batch", [row.send() for row in rows])
        finally:
            connection.close()
        with self._lock:
            if status == 202:
                self.batch = answer["group"]
                self.accepted += group_members(answer["group"], answer["accepted"])
                self.refused.update(item["error"]["reason"] for item in answer["rejected"])
            else:
                self.refused[_reason(status, answer)] += len(rows)

    def _post(self, connection: http.client.HTTPConnection, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Content-Type": "application/json", "X-API-Key": self._key}
        connection.request("POST", path, msgspec.json.encode(body), headers)
        answer = connection.getresponse()
        return answer.status, msgspec.json.decode(answer.read(), type=dict[str, Any])


def _reason(status: int, problem: dict[str, Any]) -> str:
    """The first reason of a problem document; what is no refusal shows its status."""
    errors = problem.get("errors") or [{}]
    return str(errors[0].get("reason") or f"{status} {str(problem.get('type', '')).rpartition(':')[2]}")
