"""Request bodies into Sends; and when one does not fit, everything that is wrong with it, each with its path.

This module refuses to know what admission thinks of a Send. The common case is one typed decode; only what fails is
taken apart key by key, so the dearer path is paid by those who need its answer. Errors never repeat a value: it may be a
text or a number.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from itertools import islice
from typing import Any, ClassVar, Literal, get_args, get_origin

import msgspec

from dispatcher.core.model import Refusal, Send
from dispatcher.core.refusal import Refused
from dispatcher.core.wire import decode_sends
from dispatcher.ingest.problems import FieldError, Problem, invalid

JSON_TYPES = ("application/json", "")
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")

_send = msgspec.json.Decoder(Send)
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_anything = msgspec.json.Decoder()
_FIELDS = {field.encode_name: field for field in msgspec.structs.fields(Send)}
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SLICE_MESSAGES = 500
"""Decoded between two turns of the loop: about 0.3 ms."""
_ITEM_BYTES_MAX = 65_536
"""One message; 10 segments of text with every option need less than 8 KiB."""
_LINE = re.compile(rb"[^\n]+")
_COMMAS_OF_ONE = 20
"""An array with more commas for each message it may hold is counted before each element becomes an object: 33 MB of `1,` would
be 16 million of them, which takes seconds and most of a gigabyte."""


class Beyond(Exception):
    """More elements than a batch may hold."""


class Counted(msgspec.Struct):
    """An object of an array, of which only is known that it came."""

    left: ClassVar[int] = 0

    def __post_init__(self) -> None:
        Counted.left -= 1
        if Counted.left < 0:
            raise Beyond


_counted = msgspec.json.Decoder(list[Counted]).decode


def message(body: bytes) -> Send:
    """One Send. Raises Problem with every error of its shape."""
    found = one(body, "$")
    if isinstance(found, Send):
        return found
    raise invalid(found)


async def batch(body: bytes, *, lines: bool, messages_max: int) -> list[Send | list[FieldError]]:
    """The messages of a batch, each a Send or what is wrong with it: a JSON array, or with `lines` NDJSON (empty lines
    are skipped). In slices between which the loop serves others. Raises Problem when the whole is no batch, or a larger
    one than `messages_max`."""
    items: list[Any]
    if lines:
        found_lines = [line[0] for line in islice(_LINE.finditer(body), 2 * messages_max + 1)]
        items = [line for line in found_lines if not line.isspace()]
        if len(found_lines) > 2 * messages_max:
            raise _too_large("too many lines", messages_max)
    else:
        try:
            if is_vast(body, messages_max) and holds_more(_counted, body, messages_max):
                raise _too_large(f"more than {messages_max} messages", messages_max)
            items = _raw_list.decode(body)
        except _BROKEN as error:
            raise invalid([_malformed("$", error)]) from None
    _bounded(len(items), messages_max)
    found: list[Send | list[FieldError]] = []
    for start in range(0, len(items), _SLICE_MESSAGES):
        await asyncio.sleep(0)
        found += _each(items[start : start + _SLICE_MESSAGES], start)
    return found


def one(body: bytes | msgspec.Raw, path: str) -> Send | list[FieldError]:
    """A Send, or everything wrong with its shape. Paths begin with `path`."""
    try:
        return _send.decode(body)
    except _BROKEN:
        pass
    try:
        value = _anything.decode(body)
    except _BROKEN as error:
        return [_half_a_pair(body, path) or _malformed(path, error)]
    if not isinstance(value, dict):
        return [FieldError(path, Refusal.MALFORMED, "must be an object")]
    return _shape(value, path)


def _half_a_pair(body: bytes | msgspec.Raw, path: str) -> FieldError | None:
    """JSON can spell half a surrogate pair. What the stream's decoder says of it is said here too: both doors alike."""
    found = decode_sends("json", bytes(body))[0]
    if isinstance(found, Refused) and found.reason is Refusal.TEXT_INVALID:
        return FieldError(f"{path}.{found.field}" if found.field else path, found.reason, found.detail)
    return None


def _each(items: list[Any], first: int) -> list[Send | list[FieldError]]:
    try:
        if not isinstance(items[0], bytes) or max(map(len, items)) <= _ITEM_BYTES_MAX:
            return [_send.decode(item) for item in items]
    except _BROKEN:
        pass
    return [
        one(item, f"$[{index}]")
        if len(bytes(item)) <= _ITEM_BYTES_MAX
        else [FieldError(f"$[{index}]", Refusal.MALFORMED, f"larger than {_ITEM_BYTES_MAX} bytes")]
        for index, item in enumerate(items, first)
    ]


def is_vast(body: bytes, most: int) -> bool:
    """Could an array of it hold far more than `most` elements? Then it is to be counted first."""
    return body.count(b",") > _COMMAS_OF_ONE * most


def holds_more(decode: Callable[[bytes], object], body: bytes, most: int) -> bool:
    """Looks whether the array holds more objects than `most`, and no further. `decode` makes a Counted of each; what it raises
    where it finds something else comes out of here."""
    Counted.left = most
    try:
        decode(body)
    except Beyond:
        return True
    return False


def _too_large(what: str, messages_max: int) -> Problem:
    return Problem("batch_too_large", f"{what}; at most {messages_max}")


def _bounded(count: int, messages_max: int) -> None:
    if count > messages_max:
        raise _too_large(f"{count} messages", messages_max)
    if count == 0:
        raise invalid([FieldError("$", Refusal.MALFORMED, "must hold at least one message")])


def _shape(value: dict[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, item in value.items():
        field = _FIELDS.get(name)
        if field is None:
            errors.append(FieldError(f"{path}.{name[:64]}", Refusal.UNKNOWN_FIELD, "is not a key of a send"))
            continue
        try:
            msgspec.convert(item, field.type)
        except msgspec.ValidationError as error:
            deeper = str(error).partition(" - at `$")[2].rstrip("`")
            errors.append(FieldError(f"{path}.{name}{deeper}", Refusal.MALFORMED, _rule(field.type, error)))
    errors.extend(
        FieldError(f"{path}.{name}", Refusal.MALFORMED, "is required")
        for name, field in _FIELDS.items()
        if field.required and name not in value
    )
    return errors or [FieldError(path, Refusal.MALFORMED, "is not a send")]


def _rule(expected: Any, error: msgspec.ValidationError) -> str:
    """The rule in words; msgspec's own words except where they quote the value."""
    literals = [v for part in (expected, *get_args(expected)) if get_origin(part) is Literal for v in get_args(part)]
    if literals:
        return "must be one of " + ", ".join(literals)
    return str(error).partition(" - at ")[0].replace("`", "").lower()


def _malformed(path: str, error: Exception) -> FieldError:
    """Not JSON at all; msgspec says at which byte, and never quotes the body there."""
    words = "nested too deeply" if isinstance(error, RecursionError) else "not valid JSON"
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        place = str(error).rpartition("(")[2].rstrip(")")
        if place.startswith("byte "):
            words += f" at {place}"
    if isinstance(error, msgspec.ValidationError):
        words = "must be an array of objects"
    return FieldError(path, Refusal.MALFORMED, words)
