"""Logs: JSON lines that carry nothing private, whatever is thrown at them (promise P7)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from dispatcher.ops import logs


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    """A configured log over a buffer; the standard library's handlers are put back."""
    root = logging.getLogger()
    before, level = root.handlers, root.level
    buffer = io.BytesIO()
    logs.configure("engine-0", buffer)
    yield buffer
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


def _lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_time_level_process_and_event(stream: io.BytesIO) -> None:
    """What is allowed is kept as it is."""
    structlog.get_logger().info("bound", carrier="mattel", bind="main", count=3)
    line = _lines(stream)[0]
    assert line.pop("at").endswith("Z")
    assert line == {"level": "info", "process": "engine-0", "event": "bound", "carrier": "mattel", "bind": "main", "count": 3}


@pytest.mark.parametrize(
    "field", ["text", "to", "number_e164", "password", "key", "secret", "otp", "code", "body", "value", "url"]
)
def test_a_field_nobody_allowed_is_left_out(stream: io.BytesIO, field: str) -> None:
    """Only its name is shown."""
    structlog.get_logger().warning("x", **{field: "Your code is 123456"})
    assert b"Your code" not in stream.getvalue()
    assert _lines(stream)[0]["left_out"] == [field]


@pytest.mark.parametrize(
    "value",
    [
        "call +22241234567 now",
        ["+22241234567"],
        ("a", "22241234567"),
        {"to": "+22241234567"},
        ValueError("+22241234567"),
        b"22241234567",
    ],
)
def test_numbers_do_not_leave_through_allowed_fields(stream: io.BytesIO, value: object) -> None:
    """Runs of digits, nested values, exceptions and bytes are reduced."""
    structlog.get_logger().error("x", reason=value)
    assert b"22241234567" not in stream.getvalue()


def test_an_exception_shows_class_and_place_only(stream: io.BytesIO) -> None:
    """Its words may hold anything a customer wrote."""

    def break_here() -> None:
        raise ValueError("text of a message")

    try:
        break_here()
    except ValueError:
        structlog.get_logger().exception("failed")
    line = _lines(stream)[0]
    assert (line["level"], line["error"], line["place"].partition(":")[0]) == ("error", "ValueError", "break_here")
    assert b"text of a message" not in stream.getvalue()


def test_library_records_lose_their_words(stream: io.BytesIO) -> None:
    """A library's message is formatted from anything; its logger and place are enough to find it."""
    logging.getLogger("uvicorn.error").error("bad request: %s", "+22241234567 password")
    line = _lines(stream)[0]
    assert (line["event"], line["logger"], line["level"]) == ("library", "uvicorn.error", "error")
    assert b"password" not in stream.getvalue()


def test_debug_is_silent(stream: io.BytesIO) -> None:
    """Nothing below info is rendered."""
    structlog.get_logger().debug("x")
    assert stream.getvalue() == b""
