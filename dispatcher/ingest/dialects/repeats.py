"""Repetitions under the same Idempotency-Key (1.7): the key of a request, the answer kept with the ticket, and given again.

This module refuses to know what a request asks for. Two requests are the same when path, query and body are, octet by
octet. The header is kept as a hash only; it goes into the Send's key, so that the store tells repetitions apart atomically.
"""

from __future__ import annotations

import asyncio
import hashlib

import msgspec

from dispatcher.core.front import Answered, FrontStore, Ticket
from dispatcher.core.model import Refusal
from dispatcher.core.options import DIGEST_BYTES
from dispatcher.core.ports import StoreUnavailable
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects.frame import Replayed, Request
from dispatcher.ingest.door import Door
from dispatcher.ingest.problems import FieldError, Problem, invalid

KEY_CHARS_MAX = 128
KEY_HEX_CHARS = 48
ANSWER_LOOKS = 20
ANSWER_PAUSE_S = 0.05
"""How often, and how far apart, a repetition looks for the first answer while that is still being given."""
ANSWER_BYTES_MAX = 65_536
"""Of an answer that is kept."""
_NOT_KEPT = Answered(0, b"")
REQUEST = "request"
"""In a ticket's note: the digest of the request that made it, hex."""


def key_of(request: Request) -> tuple[str, bytes]:
    """The Send's key and the digest, of a POST that carries an Idempotency-Key; else nothing. Raises Problem option_invalid."""
    presented = request.headers.get(b"idempotency-key", b"")
    if request.method != "POST" or not presented:
        return "", b""
    if len(presented) > KEY_CHARS_MAX or not presented.isascii() or not presented.decode("ascii").isprintable():
        raise invalid([FieldError("Idempotency-Key", Refusal.OPTION, f"1 to {KEY_CHARS_MAX} printable characters")])
    whole = f"{request.path}?".encode() + request.query + b"\n" + request.body
    return f"d:{hashlib.sha256(presented).hexdigest()[:KEY_HEX_CHARS]}", hashlib.sha256(whole).digest()[:DIGEST_BYTES]


def marked(ticket: Ticket, digest: bytes) -> Ticket:
    """The ticket with the digest of its request in the note; the same without one."""
    return msgspec.structs.replace(ticket, note={**ticket.note, REQUEST: digest.hex()}) if digest else ticket


async def remember(door: Door, front: FrontStore, submitted_id: str, ticket: Ticket, answer: Answer) -> None:
    """Stores the answer with the ticket; when that cannot be done now, or it is a large one (a batch that tells of thousands
    of bad numbers), a repetition will be worded anew."""
    small = len(answer.body) <= ANSWER_BYTES_MAX
    answered = Answered(answer.status, answer.body) if small else _NOT_KEPT
    try:
        async with asyncio.timeout(door.settings.server.timeout_s):
            await front.put_ticket(submitted_id, msgspec.structs.replace(ticket, answer=answered))
    except (StoreUnavailable, TimeoutError):
        door.log.warning("answer_not_remembered")


async def replay(door: Door, front: FrontStore, submitted_id: str, digest: bytes, request: Request) -> Ticket | None:
    """Raises Replayed with the answer that was given, or Problem key_conflict when that was to another request. Returns the
    ticket when no answer came to be stored, which is a process that died in between."""
    ticket: Ticket | None = None
    for look in range(ANSWER_LOOKS):
        if look:
            await asyncio.sleep(ANSWER_PAUSE_S)
        ticket = (await door.within(front.tickets([submitted_id])))[0]
        if ticket is None:
            break
        if ticket.note.get(REQUEST) != digest.hex():
            raise Problem(Refusal.KEY_CONFLICT)
        if ticket.answer == _NOT_KEPT:
            break
        if ticket.answer is not None:
            raise Replayed(Answer(ticket.answer.status, ticket.answer.body))
    request.replayed = True
    return ticket
