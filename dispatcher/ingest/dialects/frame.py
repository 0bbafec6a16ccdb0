"""What a dialect is, and the frame that serves all of them: routing before authentication, bodies within limits, request
ids, answers repeated under the same Idempotency-Key, and words of each dialect for whatever goes wrong.

This module refuses to know what any dialect means. A dialect is a list of routes and two functions that word things; it
reaches the store only through the desk. Nothing of a request is logged, its path neither: some carry keys in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

import msgspec

from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects.forms import NotText, form_pairs, media_type
from dispatcher.ingest.problems import Problem

if TYPE_CHECKING:
    from dispatcher.core.front import Ticket
    from dispatcher.ingest.door import Caller

BODY_BYTES_MAX = 1_048_576
BOM = b"\xef\xbb\xbf"
_decode = msgspec.json.Decoder().decode
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class NotAnObject(Exception):
    """The body is not a JSON object in UTF-8, or a form is not UTF-8. The dialect words it (400)."""


class Request:
    """One HTTP request, its body read within limits.

    `path` is the path within the dialect (without mount prefix and trailing slash), `query` the raw query string,
    `client` the peer's address, `names` the path parameters. `caller` is who asks, set by `Desk.credential`'s caller or by
    the route's `first`. `allowed` names a path's methods when a 405 is worded. `replayed`: the answer repeats an earlier one.
    """

    __slots__ = ("allowed", "body", "caller", "client", "headers", "kept", "method", "names", "path", "query", "replayed")

    def __init__(
        self,
        method: str,
        path: str,
        query: bytes = b"",
        headers: Mapping[bytes, bytes] | None = None,
        body: bytes = b"",
        client: str = "",
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers: Mapping[bytes, bytes] = headers or {}
        self.body = body
        self.client = client
        self.names: Mapping[str, str] = names or {}
        self.allowed: tuple[str, ...] = ()
        self.caller: Caller | None = None
        self.kept: tuple[str, Ticket] | None = None
        self.replayed = False

    def header(self, name: bytes) -> str:
        """A header's value, "" when absent; `name` in lower case."""
        return self.headers.get(name, b"").decode("latin-1")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object, whatever its Content-Type; of equal keys the last wins. Raises NotAnObject."""
        try:
            found = _decode(self.body.removeprefix(BOM))
        except _BROKEN:
            raise NotAnObject from None
        if not isinstance(found, dict):
            raise NotAnObject
        return found

    def query_pairs(self) -> list[tuple[str, str]]:
        """The query's parameters in order; blank values and names without `=` are kept. Raises NotAnObject when not UTF-8."""
        try:
            return parse_qsl(self.query.decode(), keep_blank_values=True, errors="strict")
        except ValueError:
            raise NotAnObject from None

    def body_pairs(self) -> list[tuple[str, str]]:
        """The body's parameters: form, multipart, or a JSON object's scalars (numbers as written, true and false, null as
        ""). Raises NotAnObject."""
        if not self.body:
            return []
        kind = media_type(self.header(b"content-type"))
        if kind.endswith("json") or (not kind and self.body.removeprefix(BOM).lstrip()[:1] == b"{"):
            return [(name, text) for name, value in self.json().items() if (text := _scalar(value)) is not None]
        try:
            return form_pairs(self.header(b"content-type"), self.body)
        except NotText:
            raise NotAnObject from None

    def parameters(self) -> dict[str, str]:
        """Query and body merged: the body wins, of equal names the last. Raises NotAnObject."""
        return dict(self.query_pairs() + self.body_pairs())


def _scalar(value: object) -> str | None:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    return None


Handler = Callable[[Request], Awaitable[Answer]]


class Route(NamedTuple):
    """One path of a dialect. `pattern`: `/api/v2/bulk/status/{batchId}`, a name matches one segment. `sends`: GET changes
    things here, so HEAD is a 405. `first`, where it can decide by the head alone, is asked before the body is read (with
    an empty body): its Caller is put into `request.caller`, and the Problems it raises are worded at once.
    """

    methods: tuple[str, ...]
    pattern: str
    handler: Handler
    body_bytes_max: int = BODY_BYTES_MAX
    sends: bool = False
    first: Callable[[Request], Awaitable[Caller]] | None = None


class Dialect(Protocol):
    """One public API. Handlers answer or raise: Problem (worded by `word`), NotAnObject (worded as Problem "malformed"),
    Replayed (answered as it is)."""

    @property
    def name(self) -> str:
        """chinqit, chinqit_bulk, laravel, smskit or otpiq: in configuration and metrics."""

    @property
    def routes(self) -> Sequence[Route]:
        """Its paths."""

    def word(self, problem: Problem, request: Request) -> Answer:
        """Whatever the frame, the desk or admission raises, in the dialect's shape. `problem.kind` is a Refusal or a kind of
        problems.KINDS; for 405 `request.allowed` holds the methods. Retry-After, Allow and Connection are added by the frame."""

    def finish(self, answer: Answer, request: Request) -> Answer:
        """Headers that every answer of the dialect has."""


class Replayed(Exception):
    """The request was answered before, under the same Idempotency-Key."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("replayed")
        self.answer = answer
