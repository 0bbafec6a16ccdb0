"""The server: binds are judged, batches handed over, links bounded; over real sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
import trio.testing

from smpp import constants as c
from smpp.codec import deliver_sm_body
from smpp.events import Events
from smpp.link import Ended, Link
from smpp.server import Server, ServerSettings
from smpp.session import Login, Session, SessionSettings
from tests.smpp.pair import LOGIN, submits
from tests.smpp.smscs import Echo, eventually

RECEIPT = deliver_sm_body("447700900001", "Sender", b"id:1 stat:DELIVRD")


def play(
    test: Callable[[Server, Echo, Callable[..., Awaitable[Link[str]]]], Awaitable[None]],
    settings: ServerSettings | None = None,
) -> list[Events[str]]:
    """Runs `test` with a listening server; the third argument connects a client. Returns all clients' events."""
    seen: list[Events[str]] = []

    async def main() -> None:
        handler = Echo()
        server = Server(settings or ServerSettings(tick_s=0.02), handler)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve, listeners)

            async def connect(login: Login = LOGIN) -> Link[str]:
                stream = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
                session: Session[str] = Session(SessionSettings(drain_s=0.1), login)
                link = Link(stream, session, on_events=seen.append, tick_s=0.02)
                nursery.start_soon(link.run)
                return link

            with trio.fail_after(5):
                await test(server, handler, connect)
            nursery.cancel_scope.cancel()

    trio.run(main)
    return seen


def test_bind_submit_deliver_unbind() -> None:
    """The whole life of a link; the handler sees its polite end."""

    async def test(server: Server, handler: Echo, connect: Callable[..., Awaitable[Link[str]]]) -> None:
        link = await connect()
        await handler.until(lambda: len(server.bound_as("shop")) == 1)
        link.queue(submits("a", "b"))
        (peer,) = server.bound_as("shop")
        peer.deliver([(RECEIPT, "r")])
        await eventually(lambda: link.session.owed == 1)
        link.answer([1])
        await handler.until(lambda: handler.receipts == [("r", c.ESME_ROK, "")])
        await link.close()
        await handler.until(lambda: bool(handler.endings))
        assert handler.endings == [Ended("peer_unbound", [], [])]
        assert server.peers == {}

    seen = play(test)
    assert [(token, status) for events in seen for token, status, _ in events.answers] == [("a", 0), ("b", 0)]


def test_refused_login_is_told_why() -> None:
    """The client reads the status before the link closes, and never counts as bound."""

    async def test(server: Server, handler: Echo, connect: Callable[..., Awaitable[Link[str]]]) -> None:
        await (await connect(Login("nobody", "x"))).done()
        assert server.bound_as("nobody") == []

    assert [events.refused for events in play(test) if events.refused] == [c.ESME_RINVSYSID]


def test_a_receipt_that_a_link_took_with_it_comes_back() -> None:
    """Unanswered deliver_sm are in the link's end, so that the owner may send them over another."""

    async def test(server: Server, handler: Echo, connect: Callable[..., Awaitable[Link[str]]]) -> None:
        link = await connect()
        await handler.until(lambda: len(server.bound_as("shop")) == 1)
        server.bound_as("shop")[0].deliver([(RECEIPT, "r")])
        await eventually(lambda: link.session.owed == 1)
        link.drop()
        await handler.until(lambda: bool(handler.endings))
        assert handler.endings[0].unknown == ["r"]

    play(test)


def test_links_are_bounded() -> None:
    """links_max links are served, the next is closed at once."""

    async def test(server: Server, handler: Echo, connect: Callable[..., Awaitable[Link[str]]]) -> None:
        first = await connect()
        await handler.until(lambda: len(server.bound_as("shop")) == 1)
        second = await connect()
        await second.done()
        assert second.ended is not None
        assert second.ended.reason in ("peer_closed", "connection_lost")
        assert first.ended is None

    play(test, ServerSettings(links_max=1))


def test_a_link_that_never_binds_is_closed() -> None:
    """bind_timeout_s bounds how long a stranger may hold a place."""

    async def test(server: Server, handler: Echo, connect: Callable[..., Awaitable[Link[str]]]) -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve_stream, theirs)
            assert await ours.receive_some(100) == b""
        assert [ended.reason for ended in handler.endings] == ["bind_timeout"]

    play(test, ServerSettings(session=SessionSettings(bind_timeout_s=0.05), tick_s=0.02))
