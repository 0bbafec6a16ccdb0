"""A listener between the dispatcher and a carrier that passes bytes on and notes every PDU with its time, and a decoder of
submit_sm written from the SMPP 3.4 specification alone: it shares no code with smpp/.

Times are monotonic seconds of this process, taken when the bytes have been read.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import NamedTuple

BIND = frozenset({0x01, 0x02, 0x09})
SUBMIT, SUBMIT_RESP = 0x04, 0x80000004


class Submit(NamedTuple):
    """A submit_sm, field by field (SMPP 3.4, 4.4.1). `payload` is sm_length octets, or message_payload's."""

    at: float
    sequence: int
    source_ton: int
    source_npi: int
    source: str
    dest_ton: int
    dest_npi: int
    dest: str
    esm_class: int
    validity: str
    registered_delivery: int
    data_coding: int
    payload: bytes
    tlvs: dict[int, bytes]

    @property
    def header(self) -> tuple[int, int, int] | None:
        """Concatenation: reference, total, number; None without a user data header."""
        if not self.esm_class & 0x40:
            return None
        assert self.payload[:3] == b"\x05\x00\x03"
        return self.payload[3], self.payload[4], self.payload[5]

    @property
    def text(self) -> str:
        """Of the default alphabet where it agrees with ASCII, or of UCS-2."""
        body = self.payload[1 + self.payload[0] :] if self.esm_class & 0x40 else self.payload
        return body.decode("utf-16-be" if self.data_coding == 8 else "ascii")


def decode(pdu: bytes, at: float) -> Submit:
    """One submit_sm PDU. Asserts what the specification demands of it."""
    length, command, status, sequence = struct.unpack(">IIII", pdu[:16])
    assert (length, command, status) == (len(pdu), SUBMIT, 0)
    place = 16

    def text() -> str:
        nonlocal place
        end = pdu.index(b"\0", place)
        found, place = pdu[place:end].decode("ascii"), end + 1
        return found

    def octet() -> int:
        nonlocal place
        place += 1
        return pdu[place - 1]

    assert text() == ""  # service_type
    source = octet(), octet(), text()
    dest = octet(), octet(), text()
    esm_class = octet()
    octet()  # protocol_id
    octet()  # priority_flag
    assert text() == ""  # schedule_delivery_time
    validity, registered, _, coding, _ = text(), octet(), octet(), octet(), octet()
    size = octet()
    assert size <= 254
    payload = pdu[place : place + size]
    assert len(payload) == size
    place += size
    tlvs: dict[int, bytes] = {}
    while place < length:
        tag, width = struct.unpack(">HH", pdu[place : place + 4])
        tlvs[tag] = pdu[place + 4 : place + 4 + width]
        assert len(tlvs[tag]) == width
        place += 4 + width
    payload = payload or tlvs.get(0x0424, b"")
    assert coding == 0 or len(payload) <= 140
    assert len(payload) <= 160
    return Submit(at, sequence, *source, *dest, esm_class, validity, registered, coding, payload, tlvs)


@dataclass
class Session:
    """One connection as it was seen. `open` is the number of submits unanswered; `open_peak` the most there ever were."""

    system_id: str = ""
    began: float = 0.0
    ended: float = 0.0
    open: int = 0
    open_peak: int = 0
    submits: list[tuple[float, bytes]] = field(default_factory=list)


class Tap:
    """Listens on `port` and passes everything on to `target`. A context manager."""

    def __init__(self, target: int) -> None:
        self.sessions: list[Session] = []
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        with self._lock:
            for each in self._sockets:
                each.close()

    def of(self, *system_ids: str) -> list[Session]:
        """Sessions that logged in under these names."""
        return [session for session in self.sessions if session.system_id in system_ids]

    def submits(self, *system_ids: str) -> list[Submit]:
        """Decoded submits of these logins, in order of time."""
        found = [decode(pdu, at) for session in self.of(*system_ids) for at, pdu in list(session.submits)]
        return sorted(found, key=lambda submit: submit.at)

    def peak(self, seconds: float, *system_ids: str) -> int:
        """Most submits of these logins within any `seconds`."""
        times = sorted(at for session in self.of(*system_ids) for at, _ in list(session.submits))
        return max((bisect_right(times, at + seconds) - i for i, at in enumerate(times)), default=0)

    # -- inside

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            session = Session(began=time.monotonic())
            with self._lock:
                self._sockets += [near, far]
                self.sessions.append(session)
            for source, sink, outward in ((near, far, True), (far, near, False)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass, args=(session, source, sink, outward), daemon=True).start()

    def _pass(self, session: Session, source: socket.socket, sink: socket.socket, outward: bool) -> None:
        pending = b""
        try:
            while data := source.recv(65536):
                at = time.monotonic()
                pending = self._note(session, pending + data, at, outward)
                sink.sendall(data)
        except OSError:
            pass
        session.ended = time.monotonic()
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _note(self, session: Session, data: bytes, at: float, outward: bool) -> bytes:
        """Notes whole PDUs; returns what is left of the last one."""
        place = 0
        while len(data) - place >= 16:
            length, command = struct.unpack(">II", data[place : place + 8])
            if not 16 <= length <= 65536:
                return b""  # a carrier that talks nonsense
            if len(data) - place < length:
                break
            pdu = data[place : place + length]
            place += length
            if outward and command in BIND:
                session.system_id = pdu[16 : pdu.index(b"\0", 16)].decode("ascii")
            with self._lock:
                if outward and command == SUBMIT:
                    session.submits.append((at, pdu))
                    session.open += 1
                    session.open_peak = max(session.open_peak, session.open)
                elif not outward and command == SUBMIT_RESP:
                    session.open -= 1
        return data[place:]
