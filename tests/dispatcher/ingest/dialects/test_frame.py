"""The frame around dialects that a test makes up: routing, bodies, slow callers, our own failures, repetitions, metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects.desk import Desk
from dispatcher.ingest.dialects.frame import Frame, NotAnObject, Replayed, Request, Route
from dispatcher.ingest.door import Caller
from dispatcher.ingest.problems import Problem
from tests.dispatcher.ingest.world import World, world

SECRET = "4915199887766"


def run(case: Callable[[], Awaitable[None]]) -> None:
    """A test's coroutine, to its end."""
    asyncio.run(case())  # type: ignore[arg-type]


def said(**body: Any) -> Answer:
    """200 of JSON."""
    return Answer(200, json.dumps(body).encode())


class Made:
    """A dialect of a test. Its words are the problem's kind."""

    def __init__(self, name: str, desk: Desk, routes: tuple[Route, ...] = ()) -> None:
        self.name = name
        self.desk = desk
        self.seen: list[Request] = []
        self.routes = routes or (
            Route(("POST",), "/made/echo", self.echo, 100, sends=True),
            Route(("GET",), "/made/{first}/of/{second}", self.echo),
            Route(("POST",), "/made/fails", self.fails),
            Route(("POST",), "/made/first", self.echo, 100, first=self.first),
            Route(("POST",), "/made/again", self.again),
        )

    def word(self, problem: Problem, request: Request) -> Answer:
        return Answer(problem.status, json.dumps({"kind": problem.kind, "path": request.path}).encode())

    def finish(self, answer: Answer, request: Request) -> Answer:
        return answer._replace(headers=[*answer.headers, *request.answer_headers, (b"x-made", b"yes")])

    async def echo(self, request: Request) -> Answer:
        self.seen.append(request)
        return said(path=request.path, body=request.body.decode(), names=dict(request.names), client=request.client)

    async def fails(self, request: Request) -> Answer:
        if request.body == b"object":
            raise NotAnObject
        if request.body == b"wait":
            raise Problem("overloaded", retry_after_s=7)
        raise ZeroDivisionError(SECRET)

    async def first(self, request: Request) -> Caller:
        assert request.body == b""
        request.answer_headers.append((b"x-first", b"1"))
        raise Problem("unauthorized")

    async def again(self, request: Request) -> Answer:
        raise Replayed(Answer(202, b'{"once": 1}'))


@asynccontextmanager
async def framed(*names: str, mounts: dict[str, str] | None = None, **http: Any) -> AsyncIterator[tuple[World, Made]]:
    """A world whose frame holds made dialects, the first of which is returned."""
    async with world(**http) as made:
        desk = Desk(made.app.door)
        dialects = [Made(name, desk) for name in names or ("chinqit",)]
        made.app._dialects = Frame(made.app.door, desk.remember, dialects, mounts or {})
        yield made, dialects[0]


def test_a_request_as_a_handler_sees_it() -> None:
    """Path without slash and query, parameters of the path, body, the caller's address."""

    async def case() -> None:
        async with framed() as (w, dialect):
            answer = await w.http.post("/made/echo/?a=1&b=%20&c", content=b"body")
            assert answer.json() == {"path": "/made/echo", "body": "body", "names": {}, "client": "127.0.0.1"}
            assert dialect.seen[0].query_pairs() == [("a", "1"), ("b", " "), ("c", "")]
            found = (await w.http.get("/made/a%20b/of/c.d")).json()
            assert found["names"] == {"first": "a b", "second": "c.d"}
            for path in ("/made//of/x", "/made/a/of/", "/made/a/b/of/c", "/made/a/of"):
                assert (await w.http.get(path)).status_code == 404, path
            assert answer.headers["x-made"] == "yes"

    run(case)


@pytest.mark.parametrize(("size", "status"), [(99, 200), (100, 200), (101, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_route_s_body_limit(size: int, status: int, chunked: bool) -> None:
    """To the byte, whether the length is announced or not; beyond it the connection ends."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(size):
            yield b"x"

    async def case() -> None:
        async with framed() as (w, _):
            answer = await w.http.post("/made/echo", content=parts() if chunked else b"x" * size)
            assert answer.status_code == status
            if status == 413:
                assert (answer.json()["kind"], answer.headers["connection"]) == ("body_too_large", "close")
            assert w.app.door.bodies._held_bytes == 0

    run(case)


def test_a_slow_body_is_told_so() -> None:
    """408 in the dialect's shape, and the connection ends."""

    async def case() -> None:
        async with framed(body_timeout_s=0.2) as (w, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
            writer.write(b"POST /made/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc")
            answer = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408")
            assert json.loads(body)["kind"] == "body_too_slow"

    run(case)


def test_who_leaves_is_not_answered() -> None:
    """A caller that goes away in its body is no error of ours."""

    async def case() -> None:
        async with framed() as (w, dialect):
            _, writer = await asyncio.open_connection("127.0.0.1", w.port)
            writer.write(b"POST /made/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc")
            await writer.drain()
            writer.close()
            await asyncio.sleep(0.2)
            assert (dialect.seen, w.log.lines[-1:]) == ([], [line for line in w.log.lines[-1:] if "promise" in line])

    run(case)


def test_the_head_decides_before_the_body() -> None:
    """Who is refused by headers is told at once, though 100 bytes are the most and a gigabyte is announced."""

    async def case() -> None:
        async with framed() as (w, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
            writer.write(b"POST /made/first HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            writer.close()
            assert head.startswith(b"HTTP/1.1 401")
            assert b"x-first: 1" in head
            assert b"www-authenticate" not in head

    run(case)


def test_our_failures_are_worded_and_say_nothing() -> None:
    """500 in the dialect's shape; the log names class and place, never the words, the path or a header."""

    async def case() -> None:
        async with framed() as (w, _):
            answer = await w.http.post(f"/made/fails?apikey={SECRET}", headers={"x-api-key": SECRET}, content=SECRET)
            assert (answer.status_code, answer.json()["kind"]) == (500, "internal")
            assert "ZeroDivisionError" in w.log.lines[-1]
            assert SECRET not in answer.text + "".join(w.log.lines)
            wait = await w.http.post("/made/fails", content=b"wait")
            assert (wait.status_code, wait.headers["retry-after"]) == (503, "7")
            broken = await w.http.post("/made/fails", content=b"object")
            assert (broken.status_code, broken.json()["kind"]) == (422, "malformed")

    run(case)


def test_replayed_answers_say_so() -> None:
    """With the status and body of old, an id of their own, and the dialect's headers."""

    async def case() -> None:
        async with framed() as (w, _):
            answer = await w.http.post("/made/again")
            assert (answer.status_code, answer.text, answer.headers["idempotent-replayed"]) == (202, '{"once": 1}', "true")
            assert len(answer.headers["x-request-id"]) == 16
            assert answer.headers["x-made"] == "yes"

    run(case)


def test_metrics_by_door() -> None:
    """Each dialect counts as a door of its own; paths of nobody as `none`; labels never come from a caller."""

    async def case() -> None:
        async with framed("chinqit") as (w, _):
            for path in ("/made/echo", "/otp/x", "/secret/path", "/v1/nothing"):
                await w.http.post(path)
            assert {labels: n for labels, n in w.count("dispatcher_http_requests_total").items() if labels[0] != "native"} == {
                ("chinqit", "200"): 1,
                ("chinqit", "404"): 1,
                ("none", "404"): 1,
            }
            assert w.count("dispatcher_http_requests_total")["native", "404"] == 1

    run(case)


def test_two_dialects_on_one_path_are_refused() -> None:
    """Where both would be asked, the configuration must mount one elsewhere."""

    async def case() -> None:
        async with world() as w:
            desk = Desk(w.app.door)
            two = [Made("chinqit", desk), Made("otpiq", desk)]
            with pytest.raises(ValueError, match="mount one elsewhere"):
                Frame(w.app.door, desk.remember, two, {})
            Frame(w.app.door, desk.remember, two, {"otpiq": "/old"})

    run(case)


def test_a_mounted_dialect() -> None:
    """Its paths and its 404 are behind the prefix, its handlers see none of it."""

    async def case() -> None:
        async with framed("chinqit", mounts={"chinqit": "/v1/old"}) as (w, _):
            assert (await w.http.post("/v1/old/made/echo")).json()["path"] == "/made/echo"
            assert (await w.http.post("/made/echo")).json() == {"error": "Not found"}
            assert (await w.http.post("/v1/old/otp/x")).headers["x-made"] == "yes"
            assert (await w.http.get("/v1/oldx")).headers["content-type"] == "application/problem+json"

    run(case)


def test_headers_of_our_own_come_once() -> None:
    """What a dialect says of Retry-After or a request's id stands."""

    async def case() -> None:
        async with framed() as (w, dialect):

            async def own(request: Request) -> Answer:
                return Answer(200, b"{}", [(b"X-Request-Id", b"mine")])

            routes = (Route(("GET",), "/made/own", own),)
            w.app._dialects = Frame(w.app.door, dialect.desk.remember, [Made("otpiq", dialect.desk, routes)], {})
            answer = await w.http.get("/made/own")
            assert answer.headers.get_list("x-request-id") == ["mine"]

    run(case)


FORM = "application/x-www-form-urlencoded"
MULTI = "multipart/form-data; boundary=X"


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (FORM, b"a=1&b=a+b%2B&c=&d", {"a": "1", "b": "a b+", "c": "", "d": ""}),
        (FORM + "; charset=UTF-8", "a=ä".encode(), {"a": "ä"}),
        ("", b"a=1", {"a": "1"}),
        (
            "",
            b'{"a": 1, "b": 1.5, "c": true, "d": null, "e": [1], "f": "x"}',
            {"a": "1", "b": "1.5", "c": "true", "d": "", "f": "x"},
        ),
        ("application/json", b'\xef\xbb\xbf{"a":"1","a":"2"}', {"a": "2"}),
        ("application/vnd.x+json", b'{"a":"1"}', {"a": "1"}),
        (MULTI, b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n2\r\n--X--\r\n', {"a": "1\r\n2"}),
        (
            MULTI,
            b'--X\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nfile\r\n'
            b"--X\r\ncontent-disposition: form-data; name=b\r\nContent-Type: text/plain\r\n\r\n\r\n--X--",
            {"b": ""},
        ),
        (FORM, b"", {}),
    ],
)
def test_parameters(content_type: str, body: bytes, expected: dict[str, str]) -> None:
    """Forms, multipart and JSON, blank values kept; the body wins over the query."""
    request = Request("POST", "/x", b"a=query&q=1", {b"content-type": content_type.encode()}, body)
    assert request.parameters() == {"a": "query", "q": "1"} | expected


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(FORM, b"a=%ff"), (FORM, b"\xff"), ("application/json", b"[1]"), ("multipart/form-data", b"x"), (MULTI, b"no boundary"),
     (MULTI, b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--X--')],
)  # fmt: skip
def test_what_is_no_form(content_type: str, body: bytes) -> None:
    """UTF-8 only, and what calls itself something must be it."""
    request = Request("POST", "/x", b"", {b"content-type": content_type.encode()}, body)
    with pytest.raises(NotAnObject):
        request.parameters()


def test_a_query_that_is_not_utf_8() -> None:
    """Neither percent-encoded nor raw."""
    for query in (b"a=%ff", b"a=\xff"):
        with pytest.raises(NotAnObject):
            Request("GET", "/x", query).parameters()


def test_httpx_multipart() -> None:
    """As a real client writes it."""
    made = httpx.Request("POST", "http://x/", data={"a": "1", "ü": "ü"}, files={"f": b"file"})
    body = made.read()
    headers = {name.lower(): value for name, value in made.headers.raw}
    assert Request("POST", "/x", b"", headers, body).parameters()["a"] == "1"
