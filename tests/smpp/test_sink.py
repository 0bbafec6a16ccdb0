"""The carrier that costs nothing does what a measurement counts on: an answer and a receipt for each submit, true counts."""

from __future__ import annotations

import socket
import threading
from struct import pack, unpack_from

from smpp.receipts import parse
from smpp.sink import Sink, ceiling


def _submit(sequence: int, to: bytes) -> bytes:
    body = b"\0\1\1Acme\0\1\1" + to + b"\0" + bytes(6) + b"\1\0\0\0\5hello"
    return pack(">IIII", 16 + len(body), 4, 0, sequence) + body


def _pdus(client: socket.socket, count: int) -> list[bytes]:
    data, found = b"", []
    while len(found) < count:
        data += client.recv(65_536)
        while len(data) >= 4 and len(data) >= (size := unpack_from(">I", data)[0]):
            found.append(data[:size])
            data = data[size:]
    return found


def test_every_submit_is_answered_and_receipted_once() -> None:
    """Split anywhere: as many answers and receipts as submits, each receipt for an id that was answered; all noted in order."""
    from smpp.codec import decode_deliver_sm

    sink = Sink(0, 0.0, note=True)
    thread = threading.Thread(target=sink.serve)
    thread.start()
    try:
        with socket.create_connection(("127.0.0.1", sink.port)) as client:
            client.settimeout(10)
            port = client.getsockname()[1]
            numbers = [b"447900000001", b"447800000001", b"447900000002"]
            wire = b"".join(_submit(n, to) for n, to in enumerate(numbers, 1))
            client.sendall(wire[:50])
            client.sendall(wire[50:])
            found = _pdus(client, 6)
    finally:
        sink.running = False
        thread.join()
        sink.close()
    answers = [pdu for pdu in found if unpack_from(">I", pdu, 4)[0] == 0x80000004]
    receipts = [parse(decode_deliver_sm(pdu)) for pdu in found if unpack_from(">I", pdu, 4)[0] == 5]
    assert [unpack_from(">I", pdu, 12)[0] for pdu in answers] == [1, 2, 3]
    assert [receipt.state for receipt in receipts if receipt] == ["DELIVRD"] * 3
    ids = [pdu[16:-1].decode() for pdu in answers]
    assert sorted(receipt.id for receipt in receipts if receipt) == sorted(ids)
    assert (sink.counts["submits"], sink.counts["receipts"]) == (3, 3)
    assert [arrival.to.encode() for arrival in sink.arrivals] == numbers
    assert [arrival.at_s for arrival in sink.arrivals] == sorted(arrival.at_s for arrival in sink.arrivals)
    assert [(arrival.port, arrival.offset) for arrival in sink.arrivals] == [(port, n * len(wire) // 3) for n in range(3)]


def test_its_own_ceiling_counts_every_message() -> None:
    """The measurement of itself took as many as were sent."""
    assert ceiling(1000, 100)["messages"] == 1000
