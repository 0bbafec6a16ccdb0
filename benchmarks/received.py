"""How many bytes each connection of a local port has received, whether its process has read them or not.

The kernel counts them (`tcpi_bytes_received`, tcp(7)) and tells them over netlink (sock_diag(7)) in 0.2 ms, so a benchmark can
say what had left a sender at an instant although the receiver has not come to it yet. Linux only.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from struct import Struct
from typing import Final

_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3
_INFO: Final = 2
"""INET_DIAG_INFO: a socket's tcp_info is asked for and comes as an attribute of this number."""
_ESTABLISHED: Final = 1
_HEADER = Struct("=IHHII")
_ASKED = Struct("=BBBxI")
_PORTS = Struct(">HH")
_ATTRIBUTE = Struct("=HH")
_MESSAGE_BYTES: Final = 72
"""inet_diag_msg: family to retransmits, the socket's id of 48 bytes with the ports first, five counters."""
_RECEIVED = Struct("=Q")
_RECEIVED_AT: Final = 128
"""Where tcp_info has tcpi_bytes_received."""


def received(port: int) -> dict[int, int]:
    """Bytes since it was opened, by the other end's port, of every open connection to local `port` (IPv4). Raises OSError."""
    asked = _ASKED.pack(socket.AF_INET, socket.IPPROTO_TCP, 1 << (_INFO - 1), 1 << _ESTABLISHED)
    asked += _PORTS.pack(port, 0) + bytes(36) + b"\xff" * 8
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.send(_HEADER.pack(_HEADER.size + len(asked), _BY_FAMILY, _REQUEST | _DUMP, 1, 0) + asked)
        return {
            there: _RECEIVED.unpack_from(info, _RECEIVED_AT)[0]
            for message in _messages(kernel)
            for here, there in (_PORTS.unpack_from(message, 4),)
            if here == port
            for info in _infos(message)
        }


def _messages(kernel: socket.socket) -> Iterator[bytes]:
    """Those of one answer, without their headers."""
    while True:
        data, at = kernel.recv(1 << 16), 0
        while at < len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            message = data[at + _HEADER.size : at + length]
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -int.from_bytes(message[:4], "little", signed=True)
                raise OSError(code, os.strerror(code))
            yield message
            at += _padded(length)


def _infos(message: bytes) -> Iterator[bytes]:
    at = _MESSAGE_BYTES
    while at < len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == _INFO:
            yield message[at + _ATTRIBUTE.size : at + length]
        at += _padded(length)


def _padded(length: int) -> int:
    return (length + 3) & ~3
