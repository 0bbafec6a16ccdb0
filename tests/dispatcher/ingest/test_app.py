"""The application as a whole: its document, its page, what it logs, and how it stands hostile connections."""

from __future__ import annotations

import asyncio
import json
import re

import httpx
import msgspec

from dispatcher.core.model import Refusal, Send
from dispatcher.ingest.problems import KINDS
from dispatcher.store.memory import MemoryStore
from tests.dispatcher.ingest.world import NUMBER, TEXT, World, problem, world

CANARIES = {"text": "canary-text-7f3a", "number": "+491715550142", "key": "canary-key-91"}


async def document(w: World) -> dict[str, object]:
    """The OpenAPI document."""
    answer = await w.http.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, object] = json.loads(answer.content)
    return found


def test_the_document_describes_every_route_also_the_raw_ones() -> None:
    """OpenAPI 3.1 with all paths, security, and every reference resolved."""

    async def scenario() -> None:
        async with world() as w:
            told = await document(w)
            assert str(told["openapi"]).startswith("3.1")
            paths: dict[str, dict[str, dict[str, object]]] = told["paths"]  # type: ignore[assignment]
            frame = w.app._dialects
            places = [*frame._fixed.values(), *frame._patterns.values()]
            pages = {("/api/v2", "get"), ("/api/oauth2-callback", "get")}
            dialects = {(r.pattern, name.lower()) for place in places for name, r in place.routes.items()} - pages
            assert len(dialects) > 15
            assert {(path, method) for path, item in paths.items() for method in item} == dialects | {
                ("/v1/messages", "post"),
                ("/v1/messages", "get"),
                ("/v1/messages/batch", "post"),
                ("/v1/messages/preview", "post"),
                ("/v1/messages/{message_id}", "get"),
                ("/v1/messages/{message_id}", "delete"),
                ("/v1/messages/{message_id}/feedback", "post"),
                ("/v1/inbound", "get"),
                ("/v1/groups/{group_id}", "get"),
                ("/v1/balance", "get"),
                ("/healthz", "get"),
                ("/readyz", "get"),
            }
            components: dict[str, dict[str, object]] = told["components"]  # type: ignore[assignment]
            references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(told)))
            assert references <= set(components["schemas"])
            assert {"Send", "Accepted", "BatchAccepted", "MessageView", "ProblemDocument"} <= references
            assert set(paths["/v1/messages"]["post"]["responses"]) == {  # type: ignore[call-overload]
                "202", "401", "402", "403", "408", "409", "413", "415", "422", "429", "503",
            }  # fmt: skip
            fields = components["schemas"]["Send"]["properties"]  # type: ignore[index]
            assert set(fields) == {f.encode_name for f in msgspec.structs.fields(Send)}
            operations = [op["operationId"] for item in paths.values() for op in item.values()]
            assert len(operations) == len(set(operations))

    asyncio.run(scenario())


def test_the_page_is_readable_without_scripts_and_without_the_internet() -> None:
    """Every path and schema is in it; nothing is loaded from anywhere."""

    async def scenario() -> None:
        async with world() as w:
            page = (await w.http.get("/docs")).text
            assert not re.search(r"<script|<link|src=|https?://|@import|url\(", page)
            told = await document(w)
            for path in told["paths"]:  # type: ignore[attr-defined]
                assert path in page
            assert "max_segments" in page

    asyncio.run(scenario())


def test_answers_have_the_shape_that_the_document_says() -> None:
    """Keys of real answers are those of their schemas."""

    async def scenario() -> None:
        async with world() as w:
            schemas: dict[str, dict[str, dict[str, object]]] = (await document(w))["components"]["schemas"]  # type: ignore[index]
            sent = (await w.send(key="k", ref="r")).json()
            answers = {
                "Accepted": sent,
                "MessageView": (await w.http.get(f"/v1/messages/{sent['id']}")).json(),
                "BalanceView": (await w.http.get("/v1/balance")).json(),
                "Ready": (await w.http.get("/readyz")).json(),
                "ProblemDocument": (await w.http.get("/v1/messages/x")).json(),
                "Preview": (await w.http.post("/v1/messages/preview", json={"to": NUMBER, "text": TEXT})).json(),
            }
            for name, answer in answers.items():
                assert set(answer) <= set(schemas[name]["properties"]), name
                assert set(schemas[name].get("required", ())) <= set(answer), name

    asyncio.run(scenario())


def test_every_refusal_has_a_status() -> None:
    """A reason that admission can give is never an unknown problem here."""
    assert {str(r) for r in Refusal} <= {str(k) for k in KINDS}


def test_no_text_number_or_key_in_logs_errors_or_metrics() -> None:
    """Good sends, refused ones and a crash of ours: no canary in any byte of log, error answer or metric (P7)."""
    crash = [False]

    async def hook(moment: str, method: str) -> None:
        if crash[0] and method == "admit" and moment == "before":
            raise RuntimeError(f"{CANARIES}")

    async def scenario() -> None:
        async with world(MemoryStore(hook=hook)) as w:
            send = {"to": CANARIES["number"], "text": CANARIES["text"], "key": CANARIES["key"]}
            answers = [
                await w.http.post("/v1/messages", json=send | wrong)
                for wrong in (
                    {},
                    {"text": CANARIES["text"] * 200},
                    {"to": CANARIES["number"] + "99999999999"},
                    {"from": CANARIES["text"]},
                    {"class": CANARIES["text"]},
                    {"encoding": "gsm7", "text": CANARIES["text"] + "✓"},
                    {"validity_s": CANARIES["number"]},
                )
            ]
            crash[0] = True
            answers.append(await w.http.post("/v1/messages", json=send | {"key": "other"}))
            assert [a.status_code for a in answers] == [202, 422, 422, 422, 422, 422, 422, 500]
            read = await w.http.get(f"/v1/messages/{answers[0].json()['id']}")
            everything = [*w.log.lines, repr(w.counters.snapshot()), *(a.text for a in answers)]
            for canary in (CANARIES["text"], CANARIES["number"][1:], w.http.headers["authorization"].partition(".")[2]):
                assert not [e for e in everything if canary in e]
                assert canary not in read.text

    asyncio.run(scenario())


async def raw(port: int, *parts: bytes, pause_s: float = 0.0, wait_s: float = 3.0) -> bytes:
    """Writes the parts with pauses between them and returns all that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_s)
        return await asyncio.wait_for(reader.read(), wait_s)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_a_body_that_does_not_arrive_is_408() -> None:
    """A caller who stops in the middle of a body gets an answer and loses the connection."""

    async def scenario() -> None:
        async with world(body_timeout_s=0.2) as w:
            key = w.http.headers["authorization"]
            head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\ncontent-length: 100\r\n\r\n{{"
            answer = await raw(w.port, head.encode())
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"body_too_slow" in answer

    asyncio.run(scenario())


def test_a_head_that_does_not_arrive_is_cut() -> None:
    """A silent connection, and one that sends a byte now and then, are closed after header_timeout_s."""

    async def scenario() -> None:
        async with world(header_timeout_s=0.3) as w:
            started = asyncio.get_running_loop().time()
            silent, slow = await asyncio.gather(
                raw(w.port), raw(w.port, *(bytes([b]) for b in b"GET /healthz HT"), pause_s=0.05)
            )
            assert (silent, slow) == (b"", b"")
            assert asyncio.get_running_loop().time() - started < 2
            # A kept connection is held to it as well, from the first byte of its next request.
            again = await raw(w.port, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /hea", pause_s=0.05)
            assert again.count(b"HTTP/1.1 200") == 1

    asyncio.run(scenario())


def test_connections_are_bounded() -> None:
    """The one beyond connections_max is answered 503 with Retry-After and closed; those within it are served, and when one
    of them leaves there is room again."""

    async def scenario() -> None:
        async with world(connections_max=3) as w:
            assert (await w.http.get("/healthz")).status_code == 200
            held = [await asyncio.open_connection("127.0.0.1", w.port) for _ in range(2)]
            await asyncio.sleep(0.02)
            ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
            answer = await raw(w.port, ask)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1" in answer
            assert b"urn:dispatcher:problem:overloaded" in answer
            assert (await w.http.get("/healthz")).status_code == 200
            held[0][1].close()
            await asyncio.sleep(0.05)
            assert (await raw(w.port, ask.replace(b"host", b"connection: close\r\nhost"))).startswith(b"HTTP/1.1 200 ")
            held[1][1].close()

    asyncio.run(scenario())


def test_a_head_without_end_is_cut() -> None:
    """More than 32 KiB of headers are nobody's."""

    async def scenario() -> None:
        async with world() as w:
            head = b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + b"x-filler: y\r\n" * 200
            assert await raw(w.port, *([head] + [b"x-filler: y\r\n" * 200] * 20), pause_s=0.005) == b""
            assert (await w.http.get("/healthz")).status_code == 200

    asyncio.run(scenario())


def test_a_stated_length_beyond_the_limit_is_refused_before_the_body() -> None:
    """413 without reading a byte of a body that will not be taken."""

    async def scenario() -> None:
        async with world(body_bytes_max=1000) as w:
            key = w.http.headers["authorization"]
            head = f"POST /v1/messages/batch HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\ncontent-length: 99999999\r\n\r\n"
            answer = await raw(w.port, head.encode())
            assert answer.startswith(b"HTTP/1.1 413 ")

    asyncio.run(scenario())


def test_chunks_without_end_are_refused_at_the_limit() -> None:
    """A chunked body is not read on beyond its limit to see whether it ends: 413 at once, not 408 later."""

    async def scenario() -> None:
        async with world(body_bytes_max=1000, body_timeout_s=2.5) as w:
            key = w.http.headers["authorization"]
            head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\ntransfer-encoding: chunked\r\n\r\n"
            chunk = b"64\r\n" + b" " * 100 + b"\r\n"
            answer = await raw(w.port, head.encode() + chunk * 11)
            assert answer.startswith(b"HTTP/1.1 413 ")

    asyncio.run(scenario())


def test_a_caller_that_leaves_in_the_middle_hurts_nobody() -> None:
    """A connection closed within its body leaves no error in the log, and the next caller is served."""

    async def scenario() -> None:
        async with world() as w:
            key = w.http.headers["authorization"]
            head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\ncontent-length: 100\r\n\r\n{{"
            _, writer = await asyncio.open_connection("127.0.0.1", w.port)
            writer.write(head.encode())
            await asyncio.sleep(0.05)
            writer.close()
            await asyncio.sleep(0.05)
            assert (await w.send()).status_code == 202
            assert not [line for line in w.log.lines if "http_failed" in line]

    asyncio.run(scenario())


def test_red_until_the_first_look_at_the_settings() -> None:
    """A judge that fails is not a judge that agrees."""

    def broken(_: object) -> list[str]:
        raise KeyError("appendonly")

    async def scenario() -> None:
        async with world(judge=broken) as w:
            answer: httpx.Response = await w.send()
            assert problem(answer) == (503, "promise_not_kept")
            assert answer.json()["reasons"] == ["the server's settings could not be judged (KeyError)"]

    asyncio.run(scenario())


def test_every_answer_has_a_request_id_of_its_own() -> None:
    """Native ones of either half, good and bad: 16 hex digits, never the same."""

    async def scenario() -> None:
        async with world() as w:
            answers = [
                await w.send(),
                await w.send(to="1"),
                await w.http.get("/healthz"),
                await w.http.get("/v1/balance"),
                await w.http.get("/v1/nothing"),
                await w.http.delete("/v1/balance"),
            ]
            assert [a.status_code for a in answers] == [202, 422, 200, 200, 404, 405]
            ids = [a.headers.get_list("x-request-id") for a in answers]
            assert all(len(each) == 1 and re.fullmatch("[0-9a-f]{16}", each[0]) for each in ids), ids
            assert len({each[0] for each in ids}) == len(ids)

    asyncio.run(scenario())
