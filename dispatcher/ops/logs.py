"""Logs: one JSON object a line on stderr, made only of fields that are known to be harmless (promise P7).

An allow-list, not a block-list: a field nobody has thought about is left out and its name shown in `left_out`, so that
no message text, number, password, key or code can leave through a log line written in a hurry. Texts are also stripped
of long runs of digits, exceptions of their words. Never one line per message: performance.md.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, BinaryIO

import msgspec
import structlog

_WORDS = """
at level event process error place left_out logger
engine fence waited lease engines owner requeued doubts settled taken_over dead partition
carrier bind session state reason status command window rate limit per_day wait_s mode attempt retry_s host port peer in_flight
not_sent unknown messages left
step count entries entry rejected orphaned expired overdue swept trimmed repaired expanded moved depth
promise reasons durability setting wanted finding remedy line file
role number pid exit_status restart_s adopted listen version signal seconds lag_s
account currency id route lane class kind name result
"""
FIELDS = frozenset(_WORDS.split())
TEXT_CHARS_MAX = 300
_DIGITS = re.compile(r"\+?\d{7,}")
_LEVELS = {"warn": "warning", "exception": "error", "fatal": "critical"}


def configure(process: str, stream: BinaryIO | None = None) -> Any:
    """Sets up structlog and the standard library's logging for this process; returns its logger. `stream` is stderr."""
    target = stream or sys.stderr.buffer
    structlog.configure(
        processors=[_stamp(process), clean, _render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Foreign()]
    root.setLevel(logging.WARNING)
    return structlog.get_logger()


def clean(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: keeps allowed fields, reduces exceptions to class and place, texts to harmless ones."""
    exc_info = event.pop("exc_info", None)
    if exc_info:
        error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
        if error is not None:
            event.setdefault("error", type(error).__name__)
            event.setdefault("place", place(error))
    kept = {name: harmless(name, value) for name, value in event.items() if name in FIELDS}
    left_out = sorted(name for name in event if name not in FIELDS)
    if left_out:
        kept["left_out"] = [harmless("left_out", name) for name in left_out]
    return kept


def harmless(name: str, value: Any) -> Any:
    """The value as it may be logged: numbers as they are, texts short and without runs of seven digits or more."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, (list, tuple, set, frozenset)):
        return [harmless(name, item) for item in list(value)[:50]]
    if isinstance(value, str):
        return value if name == "at" else _DIGITS.sub("#", value)[:TEXT_CHARS_MAX]
    return type(value).__name__


def place(error: BaseException) -> str:
    """Function and line where an exception arose: enough to find it, without its words."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].name}:{frames[-1].lineno}" if frames else ""


def _stamp(process: str) -> Any:
    def stamp(_: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"at": now, "level": _LEVELS.get(method, method), "process": process, **event}

    return stamp


def _render(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    return msgspec.json.encode(event)


class _Foreign(logging.Handler):
    """Libraries' own log records: who, how bad and which exception, never their words."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name, "place": f"{record.funcName}:{record.lineno}"}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= {"error": type(record.exc_info[1]).__name__, "place": place(record.exc_info[1])}
        log = structlog.get_logger()
        (log.error if record.levelno >= logging.ERROR else log.warning)("library", **fields)
