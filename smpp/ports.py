"""Messages for a program on the handset rather than for reading: port numbers in the header, and a WAP push: a link and words.

This module refuses to know how octets travel: what it makes goes out as a binary message with its own header. Sources: 3GPP TS
23.040, 9.2.3.24.3 and .4 (ports); WAP-235 (push over WSP), WAP-167 (service indication), WAP-192 (binary XML).
"""

from __future__ import annotations

from typing import Final

from smpp.errors import LocalProtocolError

WAP_PUSH_PORT: Final = 2948
"""Connectionless push, unsecured."""
WAP_SOURCE_PORT: Final = 9200
_SCHEMES: Final = (("http://www.", 0x0D), ("https://www.", 0x0F), ("http://", 0x0C), ("https://", 0x0E))
_ENDINGS: Final = ((".com/", 0x85), (".edu/", 0x86), (".net/", 0x87), (".org/", 0x88))
_HREF: Final = 0x0B
_ACTIONS: Final = {"none": 0x05, "low": 0x06, "medium": 0x07, "high": 0x08, "delete": 0x09}


def ported(destination: int, source: int = 0, *, wide: bool = True) -> bytes:
    """A user data header with the ports of two programs, of 16 bits, or of 8 with `wide` False. Raises LocalProtocolError."""
    most = 0xFFFF if wide else 0xFF
    if not (0 <= destination <= most and 0 <= source <= most):
        raise LocalProtocolError(f"port: beyond {most}")
    if wide:
        return bytes((6, 0x05, 4)) + destination.to_bytes(2, "big") + source.to_bytes(2, "big")
    return bytes((4, 0x04, 2, destination, source))


def wap_push(href: str, words: str, action: str = "medium", transaction: int = 1) -> tuple[bytes, bytes]:
    """Header and octets of a service indication: `words` that lead to `href`. `action`: how loudly (none, low, medium, high,
    delete). The octets may need several parts. Raises LocalProtocolError."""
    if action not in _ACTIONS:
        raise LocalProtocolError(f"action: write one of {', '.join(_ACTIONS)}")
    if "\0" in href + words or not href:
        raise LocalProtocolError("href: is empty, or a NUL would end it early")
    document = bytes((0x02, 0x05, 0x6A, 0x00))  # WBXML 1.2, SI 1.0, UTF-8, no string table
    document += bytes((0x45, 0xC6)) + _link(href) + bytes((_ACTIONS[action], 0x01))  # si, indication with attributes
    document += b"\x03" + words.encode() + b"\0" + bytes((0x01, 0x01))
    push = bytes((transaction & 0xFF, 0x06, 0x01, 0xAE))  # push; one octet of headers: application/vnd.wap.sic
    return ported(WAP_PUSH_PORT, WAP_SOURCE_PORT), push + document


def _link(href: str) -> bytes:
    """The attribute href, its beginning and its ending by token where there is one."""
    token, rest = next(((code, href[len(begin) :]) for begin, code in _SCHEMES if href.startswith(begin)), (_HREF, href))
    for ending, code in _ENDINGS:
        before, found, after = rest.partition(ending)
        if found:
            return bytes((token,)) + _inline(before) + bytes((code,)) + _inline(after)
    return bytes((token,)) + _inline(rest)


def _inline(text: str) -> bytes:
    return b"\x03" + text.encode() + b"\0" if text else b""
