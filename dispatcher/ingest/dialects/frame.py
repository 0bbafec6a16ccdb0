"""What a dialect is, and the frame that serves all of them: routing before authentication, bodies within limits, request
ids, answers repeated under the same Idempotency-Key, and words of each dialect for whatever goes wrong.

This module refuses to know what any dialect means. A dialect is a list of routes and two functions that word things; it
reaches the store only through the desk. Nothing of a request is logged, its path neither: some carry keys in it.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

import msgspec

from dispatcher.ingest.answers import Answer, Disconnected, Receive, Scope
from dispatcher.ingest.dialects.forms import NotText, form_pairs, media_type
from dispatcher.ingest.problems import Problem

if TYPE_CHECKING:
    from dispatcher.core.front import Ticket
    from dispatcher.ingest.door import Caller, Door

BODY_BYTES_MAX = 1_048_576
BOM = b"\xef\xbb\xbf"
_decode = msgspec.json.Decoder().decode
_AREAS = (
    ("/messages/", "chinqit"),
    ("/otp/", "chinqit"),
    ("/api/v2/bulk/", "chinqit_bulk"),
    ("/api/sms", "otpiq"),
    ("/v1/sms/", "laravel"),
    ("/api/", "laravel"),
)
"""Beginnings of paths (a slash is put behind a path that has none) whose unknown ones a dialect words; first hit."""
_NATIVE = ("/v1/", "/healthz/", "/readyz/", "/docs/", "/openapi.json/")
NOBODY = "none"
"""The door, in metrics, of paths that nobody has."""
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class NotAnObject(Exception):
    """The body is not a JSON object in UTF-8, or a form is not UTF-8. The dialect words it (400)."""


class Request:
    """One HTTP request, its body read within limits.

    `path` is the path within the dialect (without mount prefix and trailing slash), `query` the raw query string,
    `client` the peer's address, `names` the path parameters. `caller` is who asks, set by `Desk.credential`'s caller or by
    the route's `first`. `allowed` names a path's methods when a 405 is worded. `replayed`: the answer repeats an earlier one.
    `answer_headers` is a dialect's own scratch for its `finish`. `kept`: what was submitted, whose answer is to be remembered.
    """

    __slots__ = (
        "allowed", "answer_headers", "body", "caller", "client", "headers", "kept", "method", "names", "path", "query",
        "replayed",
    )  # fmt: skip

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
        self.answer_headers: list[tuple[bytes, bytes]] = []

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
Remember = Callable[[str, "Ticket", Answer], Awaitable[None]]


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
        problems.KINDS; for 405 `request.allowed` holds the methods. The frame adds Retry-After, Allow and Connection."""

    def finish(self, answer: Answer, request: Request) -> Answer:
        """Headers that every answer of the dialect has."""


class Replayed(Exception):
    """The request was answered before, under the same Idempotency-Key."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("replayed")
        self.answer = answer


class _Place(NamedTuple):
    """A path: whose, by which methods, and how much of its front is mount prefix."""

    dialect: Dialect
    routes: dict[str, Route]
    mount_chars: int

    def allowed(self) -> tuple[str, ...]:
        """Its methods as a 405 names them."""
        get = self.routes.get("GET")
        return (*self.routes, "HEAD") if get is not None and not get.sends else tuple(self.routes)


class Frame:
    """Serves the dialects that are switched on, each under its mount prefix (`mounts`, by name; mostly none)."""

    def __init__(self, door: Door, remember: Remember, dialects: Sequence[Dialect], mounts: Mapping[str, str]) -> None:
        """`remember` keeps an answer for its repetition (Desk.remember). Raises ValueError when two dialects want one path."""
        self._door = door
        self._remember = remember
        self._fixed: dict[str, _Place] = {}
        self._patterns: dict[tuple[str, ...], _Place] = {}
        by_name = {dialect.name: dialect for dialect in dialects}
        for dialect in dialects:
            for route in dialect.routes:
                self._add(dialect, route, mounts.get(dialect.name, ""))
        self._areas = [(mounts.get(name, "") + area, by_name[name]) for area, name in _AREAS if name in by_name]

    def _add(self, dialect: Dialect, route: Route, mount: str) -> None:
        path = mount + route.pattern
        fresh = _Place(dialect, {}, len(mount))
        parts = tuple(path.split("/"))
        place = self._patterns.setdefault(parts, fresh) if "{" in path else self._fixed.setdefault(path, fresh)
        for method in route.methods:
            if place.dialect is not dialect or method in place.routes:
                raise ValueError(f"{method} {path} is both {place.dialect.name}'s and {dialect.name}'s: mount one elsewhere")
            place.routes[method] = route

    def takes(self, path: str) -> bool:
        """True for every path but the native API's own."""
        whole = path + "/"
        if not whole.startswith(_NATIVE) or whole.startswith("/v1/sms/"):
            return True
        return self._find(_trimmed(path)) is not None or any(whole.startswith(area) for area, _ in self._areas)

    async def serve(self, scope: Scope, receive: Receive) -> tuple[str, Answer]:
        """The door's name for metrics, and the answer. Raises Disconnected, and nothing else."""
        path = _trimmed(scope["path"])
        peer = scope.get("client")
        request = Request(scope["method"], path, scope["query_string"], dict(scope["headers"]), client=peer[0] if peer else "")
        found = self._find(path)
        if found is None:
            dialect = next((d for area, d in self._areas if (path + "/").startswith(area)), None)
            if dialect is None:
                return NOBODY, _stamped(Answer(404, b'{"error":"Not found"}'))
            return dialect.name, _stamped(dialect.finish(dialect.word(Problem("not_found"), request), request))
        place, request.names = found
        request.path = path[place.mount_chars :]
        answer = await self._answer(place, request, receive)
        if request.replayed:
            answer = _with(answer, (b"idempotent-replayed", b"true"))
        return place.dialect.name, _stamped(place.dialect.finish(answer, request))

    async def _answer(self, place: _Place, request: Request, receive: Receive) -> Answer:
        try:
            return await self._handle(place, request, receive)
        except Replayed as replayed:
            request.replayed = True
            return replayed.answer
        except NotAnObject:
            return _refusal(place, request, Problem("malformed", "not a JSON object, or not UTF-8"))
        except Problem as problem:
            return _refusal(place, request, problem)
        except Disconnected:
            raise
        except Exception as error:  # the last line of defence: 500, naming class and place
            return _refusal(place, request, self._door.unforeseen(error))

    async def _handle(self, place: _Place, request: Request, receive: Receive) -> Answer:
        if request.method == "OPTIONS" and place.dialect.name == "laravel":
            return Answer(204, b"", [(b"allow", ", ".join(place.allowed()).encode())])
        route = place.routes.get("GET" if request.method == "HEAD" else request.method)
        if route is None or (request.method == "HEAD" and route.sends):
            request.allowed = place.allowed()
            raise Problem("method_not_allowed")
        if request.method == "HEAD":
            request.method = "GET"
        if route.first is not None:
            request.caller = await route.first(request)
        request.body = await self._door.bodies.read(request.headers, receive, route.body_bytes_max)
        with self._door.bodies.holding(len(request.body)):
            answer = await route.handler(request)
        if request.kept is not None and not request.replayed:
            await self._remember(*request.kept, answer)
        return answer

    def _find(self, path: str) -> tuple[_Place, Mapping[str, str]] | None:
        place = self._fixed.get(path)
        if place is not None:
            return place, {}
        parts = path.split("/")
        for pattern, place in self._patterns.items():
            if len(pattern) == len(parts) and (names := _match(pattern, parts)) is not None:
                return place, names
        return None


def _trimmed(path: str) -> str:
    """Without one trailing slash."""
    return path.removesuffix("/")


def _match(pattern: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    names: dict[str, str] = {}
    for wanted, part in zip(pattern, parts, strict=True):
        if wanted.startswith("{") and part:
            names[wanted[1:-1]] = part
        elif wanted != part:
            return None
    return names


def _refusal(place: _Place, request: Request, problem: Problem) -> Answer:
    """A problem in its dialect's words. By a function of its own: whoever caught it must not keep it in a local, which its
    traceback holds, or the request stays until a collection of cycles."""
    answer = place.dialect.word(problem, request)
    for name, value in problem.headers():
        if name != "www-authenticate":  # no seed shows one
            answer = _with(answer, (name.encode(), value.encode()))
    return _with(answer, (b"allow", ", ".join(request.allowed).encode())) if request.allowed else answer


def _with(answer: Answer, header: tuple[bytes, bytes]) -> Answer:
    """The answer with a further header, unless it has one of that name."""
    if any(name.lower() == header[0] for name, _ in answer.headers):
        return answer
    return answer._replace(headers=(*answer.headers, header))


def _stamped(answer: Answer) -> Answer:
    return _with(answer, (b"x-request-id", secrets.token_hex(8).encode()))
