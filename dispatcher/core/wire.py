"""Sends off the wire: bytes of one `json` or `msgpack` field into Sends, or into why not, one verdict per send.

Refuses to know what a Send means; that is admission's. A payload is one Send or a chunk {"sends": [...]}. Every send is
judged alone: a bad one in a chunk refuses only itself. Theory of the speed: a good chunk is one typed decode of the whole;
only when that fails is it taken apart, and only a send that fails alone pays for its own error text.

JSON can spell half a surrogate pair (a backslash, u, d83d), which no carrier can be sent. msgspec refuses the whole payload for
it, so such a payload goes through the standard library, which keeps the half, and each send is then judged alone again.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from dispatcher.core.model import Refusal, Send
from dispatcher.core.refusal import Refused

SENDS_MAX = 1000
"""Sends in one chunk."""
PAYLOAD_BYTES_MAX = 4_194_304
"""Bytes of one entry's field: room for 1,000 sends of ten segments each."""
SEND_FIELDS = tuple(field.encode_name for field in msgspec.structs.fields(Send))


class _Chunk(msgspec.Struct, forbid_unknown_fields=True):
    sends: list[Send]


class _RawChunk(msgspec.Struct, forbid_unknown_fields=True):
    sends: list[msgspec.Raw]


_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MISSHAPEN = msgspec.ValidationError
_JSON = (msgspec.json.Decoder(Send), msgspec.json.Decoder(_Chunk), msgspec.json.Decoder(_RawChunk))
_MSGPACK = (msgspec.msgpack.Decoder(Send), msgspec.msgpack.Decoder(_Chunk), msgspec.msgpack.Decoder(_RawChunk))
_ONE = {"json": _JSON[0].decode, "msgpack": _MSGPACK[0].decode}
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`(?: - at `\$(.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*?)`", re.DOTALL)
_PLACE = re.compile(r"(.*) - at `(?:key in )?\$\.?([^`]*)`", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_one(kind: str, payload: bytes) -> Send | None:
    """The one send of a field that holds a good one; None: ask `decode_sends`."""
    decode = _ONE.get(kind)
    if decode is None or len(payload) > PAYLOAD_BYTES_MAX:
        return None
    try:
        return decode(payload)
    except _BROKEN:
        return None


def decode_sends(kind: str, payload: bytes) -> list[Send | Refused]:
    """The sends of an entry's field `kind` ("json" or "msgpack"), each a Send or a Refused, in order and never empty.

    A payload that is no send at all (malformed, too large, more than 1,000 sends, none) is one Refused. Raises nothing.

    Errors are kept without their traceback: it would hold this frame, which holds the error, and so the payload of every chunk
    until a collection of cycles, which an engine hardly ever makes.
    """
    if kind not in {"json", "msgpack"}:
        return [
            Refused(Refusal.MALFORMED, "", "the entry has neither a field json nor a field msgpack; write exactly one of them")
        ]
    if len(payload) > PAYLOAD_BYTES_MAX:
        return [Refused(Refusal.MALFORMED, "", f"{len(payload)} bytes; at most {PAYLOAD_BYTES_MAX}: write smaller chunks")]
    one, chunk, raw = _JSON if kind == "json" else _MSGPACK
    try:
        return [one.decode(payload)]
    except _BROKEN as error:
        as_one = error.with_traceback(None)
    try:
        return _bounded(chunk.decode(payload).sends)
    except _BROKEN:
        pass
    try:
        return _bounded([_alone(one, item) for item in raw.decode(payload).sends])
    except _BROKEN as error:
        as_chunk = error.with_traceback(None)
    if kind == "json" and not (isinstance(as_one, _MISSHAPEN) and isinstance(as_chunk, _MISSHAPEN)):
        halves = _with_halves(payload)
        if halves is not None:
            return halves
    why = _why(as_one)
    return [why if why[:2] != (Refusal.UNKNOWN_FIELD, "sends") else _why(as_chunk)]


def _bounded(sends: Iterable[Send | Refused]) -> list[Send | Refused]:
    found = list(sends)
    if not found:
        return [Refused(Refusal.MALFORMED, "sends", "the chunk is empty; write 1 to 1000 sends")]
    if len(found) > SENDS_MAX:
        return [Refused(Refusal.MALFORMED, "sends", f"{len(found)} sends in one chunk; at most {SENDS_MAX}: write more chunks")]
    return found


def _alone(decoder: Any, item: msgspec.Raw) -> Send | Refused:
    try:
        send: Send = decoder.decode(item)
        return send
    except _BROKEN as error:
        if isinstance(decoder, msgspec.json.Decoder) and _unreadable(error) and (halves := _with_halves(bytes(item))):
            return halves[0]
        return _why(error)


def _unreadable(error: Exception) -> bool:
    """Whether a text was not UTF-8: msgspec has a DecodeError for it since 0.23, before that it was Python's own error."""
    return isinstance(error, UnicodeDecodeError) or str(error).startswith("Invalid UTF-8")


def _with_halves(payload: bytes) -> list[Send | Refused] | None:
    """The sends of JSON that holds half surrogate pairs or broken UTF-8; None when it is not even that."""
    try:
        value = json.loads(payload.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and value.keys() == {"sends"} and isinstance(value["sends"], list):
        return _bounded([_whole(item) for item in value["sends"]])
    return [_whole(value)]


def _whole(value: Any) -> Send | Refused:
    try:
        return _halves_of(value) or msgspec.convert(value, Send)
    except (msgspec.ValidationError, RecursionError) as error:
        return _why(error)


def _halves_of(value: Any) -> Refused | None:
    """The field of a send that holds half a character; None when none does."""
    said = "holds half a surrogate pair or broken UTF-8; write whole characters"
    for name, item in value.items() if isinstance(value, dict) else ():
        if _halved(name) or _halved(item):
            reason = Refusal.TEXT_INVALID if name == "text" else Refusal.MALFORMED
            return Refused(reason, name if name in SEND_FIELDS else "", said)
    return None


def _halved(value: Any) -> bool:
    if isinstance(value, str):
        return _SURROGATE.search(value) is not None
    if isinstance(value, dict):
        return any(_halved(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(map(_halved, value))


def _why(error: Exception) -> Refused:
    """msgspec's words as a Refused that names the field and never quotes a value."""
    words = str(error)
    if _unreadable(error):
        return Refused(Refusal.TEXT_INVALID, "", "holds a text that is not UTF-8")
    if isinstance(error, RecursionError):
        return Refused(Refusal.MALFORMED, "", "is nested too deeply")
    if (unknown := _UNKNOWN.fullmatch(words)) is not None:
        name = unknown[1][:64]
        near = difflib.get_close_matches(name, SEND_FIELDS, 1)
        hint = f'; did you mean "{near[0]}"?' if near else f"; known: {', '.join(SEND_FIELDS)}"
        return Refused(Refusal.UNKNOWN_FIELD, name, f"is not a key of a send{hint}")
    if (missing := _MISSING.match(words)) is not None:
        return Refused(Refusal.MALFORMED, missing[1], "is missing")
    place = _PLACE.fullmatch(words)
    field = place[2] if place is not None else ""
    said = place[1] if place is not None else words
    if said.startswith("Invalid enum value"):
        said = f"must be one of {', '.join(_choices(field))}"
    return Refused(Refusal.MALFORMED, field.partition("[")[0].partition(".")[0], said.replace("`", "").lower())


def _choices(field: str) -> list[str]:
    shape = next((f.type for f in msgspec.structs.fields(Send) if f.encode_name == field), None)
    schema = msgspec.json.schema(shape) if shape is not None else {}
    return [v for part in (schema, *schema.get("anyOf", ())) for v in part.get("enum", ()) if v is not None]
