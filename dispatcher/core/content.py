"""Content: which encoding a text takes, into how many segments it is cut, or which octets a binary send holds.

Refuses to know prices, senders and times. A text is judged for a route: it is cut once, for the narrowest encoding that
every carrier of the route takes or, where none of those can hold it, that at least one takes (the others are then not
eligible), and for the widest concatenation header among them, whose smaller parts fit the narrower header too.
What plain GSM 7-bit cannot hold goes by a national language's tables where that takes fewer segments and every carrier hands
them through; rather than transliterated, where both take as few.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from dispatcher.core import options as rare
from dispatcher.core.model import PlainSend, Refusal, Send
from dispatcher.core.refusal import Objection
from dispatcher.core.routing import ENCODING_BY_NAME, RouteFacts
from smpp.errors import LocalProtocolError
from smpp.national import shifts
from smpp.segments import SEGMENTS_MAX, count, count_bytes, room
from smpp.text import Encoding, gsm7, narrowest, transliterate

GSM7_SINGLE_CHARS = 160
_NO_FLASH: frozenset[Encoding] = frozenset({Encoding.LATIN1})
"""The classes of 23.038 know the default alphabet, octets and UCS-2 only. Neither may a plain send have it."""
_SEVEN_BITS = frozenset({Encoding.GSM7, Encoding.ASCII})
_CONCATENATION = frozenset({0x00, 0x08})
_SURROGATE = re.compile("[\ud800-\udfff]").search


class Content(NamedTuple):
    """A text or octets as they will be sent. `text` is the transliterated one where that was asked for and saved parts;
    `shift` the national tables of a GSM 7-bit text that needs some (smpp.national.shift_of)."""

    encoding: Encoding
    segments: int
    text: str
    binary: bytes = b""
    udh: bytes = b""
    shift: int = 0


def text_content(send: Send, text: str, route: RouteFacts) -> Content:
    """How `text` will be sent over `route`. Raises Objection: empty, too long, invalid, or in no encoding."""
    most = _segments_max(send)
    if not text:
        raise Objection(Refusal.TEXT_EMPTY, "text", "is empty")
    if len(text) > most * GSM7_SINGLE_CHARS:
        raise _too_long(f"{len(text)} characters", most)
    wanted = send.encoding
    if wanted == "binary":
        raise Objection(Refusal.ENCODING, "encoding", "binary is for the field binary; a text has auto, gsm7, latin1 or ucs2")
    if wanted == "auto":
        if Encoding.GSM7 in route.common:
            septets = gsm7(text)
            if septets is not None and len(septets) <= GSM7_SINGLE_CHARS:
                return Content(Encoding.GSM7, 1, text)
        plain = isinstance(send, PlainSend)
        never = _NO_FLASH if plain or send.flash else frozenset()
        choices = (route.common - never, route.any_ - never)
        encoding, sent = _best(text, choices, send.smart, route.wide)
        if (
            route.national and not plain and Encoding.GSM7 in route.common
            and (encoding not in _SEVEN_BITS or sent != text)
        ):  # fmt: skip
            segments = SEGMENTS_MAX if encoding is None else count(sent, encoding, route.wide)
            found = _national(text, segments + (sent != text or encoding is None), route)
            if found is not None:
                return _bounded(found, most)
        text = sent
    else:
        only = ENCODING_BY_NAME[wanted]
        if only not in route.any_:
            raise Objection(Refusal.ENCODING, "encoding", f"no carrier of route {route.name} takes {wanted}; write auto")
        if send.flash and only in _NO_FLASH:
            raise Objection(Refusal.ENCODING, "encoding", f"there is no flash message in {wanted}; write auto")
        encoding, text = _best(text, ((only,),), send.smart, route.wide)
    if encoding is None:
        if _SURROGATE(text):
            raise Objection(Refusal.TEXT_INVALID, "text", "holds half a surrogate pair; write whole characters")
        what = f"the encoding {wanted}" if wanted != "auto" else f"any encoding that a carrier of route {route.name} takes"
        raise Objection(Refusal.ENCODING, "text", f"holds characters outside {what}")
    return _bounded(Content(encoding, count(text, encoding, route.wide), text), most)


def _bounded(content: Content, most: int) -> Content:
    if content.segments > most:
        raise _too_long(f"{content.segments} segments", most)
    return content


def _national(text: str, fewest: int, route: RouteFacts) -> Content | None:
    """`text` in seven bits by the tables of one language, when that takes fewer segments than `fewest`."""
    best: tuple[int, int, int] | None = None
    for shift, septets in shifts(text, route.national):
        # in the order of shift: single before locking before both, a language after another
        if len(septets) <= room(Encoding.GSM7, 1, route.wide, shift):
            segments = 1
        else:
            segments = count(text, Encoding.GSM7, route.wide, shift)
        if segments < fewest and (best is None or (segments, len(septets)) < best[:2]):
            best = (segments, len(septets), shift)
    return None if best is None else Content(Encoding.GSM7, best[0], text, shift=best[2])


def _best(text: str, choices: Iterable[Collection[Encoding]], smart: bool, wide: bool) -> tuple[Encoding | None, str]:
    """The narrowest encoding by the first of `choices` that has one; with `smart`, of the text that takes fewer segments."""
    for allowed in choices:
        encoding = narrowest(text, allowed)
        if smart and encoding != Encoding.GSM7 and Encoding.GSM7 in allowed:
            plain = transliterate(text)
            other = narrowest(plain, allowed) if plain else None
            if other is not None and (encoding is None or count(plain, other, wide) < count(text, encoding, wide)):
                return other, plain
        if encoding is not None:
            return encoding, text
    return None, text


def binary_content(send: Send, route: RouteFacts) -> Content:
    """How the binary payload will be sent. Raises Objection, also for a wrong combination of text, binary and udh."""
    most = _segments_max(send)
    if send.binary is None:
        if send.text is None:
            raise Objection(Refusal.TEXT_EMPTY, "text", "is missing; write text or binary")
        raise Objection(Refusal.OPTION, "udh", "goes with binary only; for a text leave it out")
    if send.text is not None:
        raise Objection(Refusal.OPTION, "binary", "stands beside text; write one of them")
    if send.encoding not in {"auto", "binary"}:
        raise Objection(Refusal.ENCODING, "encoding", f"{send.encoding} is for texts; leave it out with binary")
    if Encoding.BINARY not in route.any_:
        raise Objection(Refusal.ENCODING, "binary", f"no carrier of route {route.name} takes binary")
    data = rare.octets("binary", send.binary)
    if not data:
        raise Objection(Refusal.TEXT_EMPTY, "binary", "is empty")
    udh = b"" if send.udh is None else rare.udh_octets(send.udh)
    segments = count_bytes(len(data), 0, route.wide)
    if udh and len(udh) + len(data) > rare.UDH_BYTES_MAX:
        if _is_part(udh):
            why = f"{len(udh) + len(data)} octets with udh, which says it is one part; at most {rare.UDH_BYTES_MAX}"
            raise Objection(Refusal.TEXT_TOO_LONG, "binary", why)
        segments = _with_header(len(data), len(udh), route.wide)
    if segments > most:
        raise _too_long(f"{segments} segments", most)
    return Content(Encoding.BINARY, segments, "", data, udh)


def _is_part(udh: bytes) -> bool:
    """Does a sender's header say which part of a message this is?"""
    at = 1
    while at + 1 < len(udh):
        if udh[at] in _CONCATENATION:
            return True
        at += 2 + udh[at + 1]
    return False


def _with_header(octets: int, udh_octets: int, wide: bool) -> int:
    try:
        return count_bytes(octets, udh_octets, wide)
    except LocalProtocolError:
        raise Objection(Refusal.TEXT_TOO_LONG, "udh", "leaves no room for data in a part; shorten it") from None


def _segments_max(send: Send) -> int:
    if not 1 <= send.max_segments <= SEGMENTS_MAX:
        raise Objection(Refusal.OPTION, "max_segments", f"{send.max_segments}; write 1 to {SEGMENTS_MAX}")
    return send.max_segments


def _too_long(what: str, most: int) -> Objection:
    return Objection(
        Refusal.TEXT_TOO_LONG, "text", f"{what}, but max_segments allows {most} segments; shorten it or raise that"
    )
