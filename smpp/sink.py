"""A carrier that costs nearly nothing: takes submit_sm, answers with an id, sends a DELIVRD receipt for each.

`python -m smpp.sink --port 2776 [--receipt-delay 0.3] [--arrivals]` serves until SIGTERM and then prints its counts as
JSON. It knows nothing of this project's code and of SMPP only what a measurement needs: no checks, no rate, no window. Its own
ceiling is stated by `python -m smpp.sink --ceiling`. For carriers with a temper see smpp/simulator.
"""

from __future__ import annotations

import argparse
import json
import resource
import selectors
import signal
import socket
import sys
import time
from collections import deque
from struct import Struct
from typing import Any, NamedTuple

_HEADER = Struct(">IIII")
_SUBMIT, _DELIVER, _ENQUIRE, _UNBIND = 0x4, 0x5, 0x15, 0x6
_BINDS = {0x1, 0x2, 0x9}
_TEXT_HEAD = b"id:"
_TEXT_TAIL = b" sub:001 dlvrd:001 submit date:2611221200 done date:2611221201 stat:DELIVRD err:000 text:"
_ID_CHARS = 10
_MESSAGE_BYTES = len(_TEXT_HEAD) + _ID_CHARS + len(_TEXT_TAIL)
_RECEIPT_HEAD = b"\0\1\1" + b"441\0" + b"\1\1" + b"442\0" + b"\x04\0\0\0\0\0\0\0\0" + bytes([_MESSAGE_BYTES]) + _TEXT_HEAD
ARRIVALS_MAX = 200_000
_RECEIPT_BYTES = 16 + len(_RECEIPT_HEAD) + _ID_CHARS + len(_TEXT_TAIL)


class Arrival(NamedTuple):
    """A submit: seconds since 1970 of the read that brought it, its destination, the other end's port, and how many bytes that
    connection had brought before it."""

    at_s: float
    to: str
    port: int
    offset: int


class Peer:
    """One accepted connection: the other end's port, bytes taken so far, unread and unwritten bytes, its receipt sequence."""

    __slots__ = ("inbox", "outbox", "port", "sequence", "sock", "taken")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.port = int(sock.getpeername()[1])
        self.taken = 0
        self.inbox = b""
        self.outbox = bytearray()
        self.sequence = 0


class Sink:
    """All connections and the counts. With `note` it also keeps an `Arrival` of each submit, in their order: so that one can
    say how long it took, and what went before it."""

    def __init__(self, port: int, receipt_delay_s: float, *, note: bool = False) -> None:
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.listener.setblocking(False)
        self.port = int(self.listener.getsockname()[1])
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.delay = receipt_delay_s
        self.later: deque[tuple[float, Peer, list[bytes]]] = deque()
        self.counts = {"submits": 0, "receipts": 0, "answered": 0, "sessions": 0, "first_at": 0.0, "last_at": 0.0}
        self.next_id = int(time.time()) % 1000 * 10_000_000
        self.running = True
        self.note = note
        self.arrivals: list[Arrival] = []

    def serve(self) -> None:
        """Runs until `running` is cleared."""
        while self.running:
            wait = max(0.0, self.later[0][0] - time.monotonic()) if self.later else 0.2
            for key, mask in self.selector.select(min(wait, 0.2)):
                if key.fileobj is self.listener:
                    self._accept()
                    continue
                peer: Peer = key.data
                if mask & selectors.EVENT_READ:
                    self._read(peer)
                if mask & selectors.EVENT_WRITE:
                    self._write(peer)
            now = time.monotonic()
            while self.later and self.later[0][0] <= now:
                _, peer, ids = self.later.popleft()
                self._receipts(peer, ids)
                self._write(peer)

    def close(self) -> None:
        """Closes the door and all connections."""
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self.selector.close()

    def _accept(self) -> None:
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.counts["sessions"] += 1
        try:
            peer = Peer(sock)
        except OSError:
            sock.close()
            return
        self.selector.register(sock, selectors.EVENT_READ, peer)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.sock.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if peer.sock.fileno() >= 0:
                self.selector.unregister(peer.sock)
                peer.sock.close()
            return
        ids = self._pdus(peer, peer.inbox + data)
        if ids:
            if self.delay:
                self.later.append((time.monotonic() + self.delay, peer, ids))
            else:
                self._receipts(peer, ids)
        self._write(peer)

    def _pdus(self, peer: Peer, data: bytes) -> list[bytes]:
        out, ids, at, end, answered = peer.outbox, [], 0, len(data), 0
        unpack, pack, number, note, now = _HEADER.unpack_from, _HEADER.pack, self.next_id, self.note, time.time()
        while end - at >= 16:
            length, command, _, sequence = unpack(data, at)
            if end - at < length:
                break
            if command == _SUBMIT:
                number += 1
                name = b"%010d" % number
                ids.append(name)
                if note and len(self.arrivals) < ARRIVALS_MAX:
                    self.arrivals.append(Arrival(now, _destination(data[at : at + length]), peer.port, peer.taken + at))
                out += pack(27, 0x80000004, 0, sequence) + name + b"\0"
            elif command == 0x80000005:
                answered += 1
            elif command in _BINDS:
                out += pack(21, command | 0x80000000, 0, sequence) + b"sink\0"
            elif command in {_ENQUIRE, _UNBIND}:
                out += pack(16, command | 0x80000000, 0, sequence)
            at += length
        peer.inbox = data[at:]
        peer.taken += at
        self.next_id = number
        counts = self.counts
        counts["answered"] += answered
        if ids:
            counts["submits"] += len(ids)
            counts["last_at"] = now
            counts["first_at"] = counts["first_at"] or now
        return ids

    def _receipts(self, peer: Peer, ids: list[bytes]) -> None:
        pack, sequence = _HEADER.pack, peer.sequence
        parts: list[bytes] = []
        for name in ids:
            sequence += 1
            parts += (pack(_RECEIPT_BYTES, _DELIVER, 0, sequence), _RECEIPT_HEAD, name, _TEXT_TAIL)
        peer.sequence = sequence & 0x3FFFFFFF
        peer.outbox += b"".join(parts)
        self.counts["receipts"] += len(ids)

    def _write(self, peer: Peer) -> None:
        if peer.sock.fileno() < 0:
            return
        want = selectors.EVENT_READ
        if peer.outbox:
            try:
                sent = peer.sock.send(peer.outbox)
            except BlockingIOError:
                sent = 0
            except OSError:
                return
            del peer.outbox[:sent]
            if peer.outbox:
                want |= selectors.EVENT_WRITE
        if self.selector.get_key(peer.sock).events != want:
            self.selector.modify(peer.sock, want, peer)


def _destination(submit: bytes) -> str:
    """The destination's digits: service_type, two bytes, source, two bytes, destination."""
    source = submit.index(b"\0", 16) + 3
    destination = submit.index(b"\0", source) + 3
    return submit[destination : submit.index(b"\0", destination)].decode("latin-1")


def ceiling(messages: int = 200_000, window: int = 500) -> dict[str, Any]:
    """CPU microseconds a message that the sink itself needs, driven by a client that sends ready-made bytes."""
    sink = Sink(0, 0.0)
    client = socket.create_connection(("127.0.0.1", sink.port))
    client.setblocking(False)
    body = b"\0\1\1" + b"Acme\0" + b"\1\1" + b"447911123456\0" + b"\0" * 6 + b"\1\0\0\0" + bytes([150]) + b"a" * 150
    batch = b"".join(_HEADER.pack(16 + len(body), _SUBMIT, 0, i + 1) + body for i in range(window))
    sink._accept()  # the client above is waiting in the backlog
    peer = next(k.data for k in sink.selector.get_map().values() if k.data)
    spent = 0.0
    for _ in range(messages // window):
        client.setblocking(True)
        client.sendall(batch)
        before = time.process_time()
        target = sink.counts["submits"] + window
        while sink.counts["submits"] < target:
            sink._read(peer)
        while peer.outbox:
            sink._write(peer)
            spent += time.process_time() - before
            client.setblocking(False)
            try:
                while client.recv(1 << 20):
                    pass
            except BlockingIOError:
                pass
            before = time.process_time()
        spent += time.process_time() - before
    client.close()
    sink.close()
    return {"messages": sink.counts["submits"], "cpu_us_per_message": round(spent / sink.counts["submits"] * 1e6, 2)}


def say(value: dict[str, Any]) -> None:
    """One line of JSON, for whoever started it."""
    print(json.dumps(value), flush=True)  # noqa: T201 - a command line prints


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--receipt-delay", type=float, default=0.0, help="seconds between answer and receipt")
    parser.add_argument("--arrivals", action="store_true", help="keep when each submit came, where it goes, and its place")
    parser.add_argument("--ceiling", action="store_true", help="measure the sink itself and end")
    arguments = parser.parse_args()
    if arguments.ceiling:
        say(ceiling())
        return 0
    sink = Sink(arguments.port, arguments.receipt_delay, note=arguments.arrivals)

    def stop(*_: object) -> None:
        sink.running = False

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    say({"port": sink.port})
    sink.serve()
    used = resource.getrusage(resource.RUSAGE_SELF)
    noted = {"arrivals": sink.arrivals} if sink.note else {}
    say({**sink.counts, "cpu_s": round(used.ru_utime + used.ru_stime, 3), **noted})
    return 0


if __name__ == "__main__":
    sys.exit(main())
