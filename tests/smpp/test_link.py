"""The link over real sockets: order, pace, byte counts, ends. The peer is a Session in the other role, or a bare socket."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from smpp import codec
from smpp.events import Events
from smpp.link import Link
from smpp.server import Server, ServerSettings
from smpp.session import Login, Session, SessionSettings
from tests.smpp.binder import Binder
from tests.smpp.pair import BODY, LOGIN, submits
from tests.smpp.smscs import Echo

LINK_SETTINGS = SessionSettings(window=10, drain_s=0.2, unbind_timeout_s=0.2, response_timeout_s=30)


async def pair_of_streams() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Two ends of one TCP connection over loopback, with small buffers."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    ours = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
    theirs = await listener.accept()
    await listener.aclose()
    for stream in (ours, theirs):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return ours, theirs


class Client:
    """A link whose events are gathered."""

    def __init__(self, stream: trio.abc.Stream, settings: SessionSettings = LINK_SETTINGS, **options: object) -> None:
        self.answers: list[tuple[str, int, str]] = []
        self.bound = trio.Event()
        self.changed = trio.Event()
        self.ended_at = 0.0
        session: Session[str] = Session(settings, LOGIN)
        self.link = Link(stream, session, on_events=self.on_events, tick_s=0.02, **options)  # type: ignore[arg-type]

    def on_events(self, events: Events[str]) -> None:
        self.answers += events.answers
        if events.bound:
            self.bound.set()
        self.changed.set()
        self.changed = trio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self.changed.wait()


def run_with_server(test: Callable[[Client, Echo, Server, trio.Nursery], Awaitable[None]], **options: object) -> Client:
    """Runs `test` with a bound client on a real server."""
    clients: list[Client] = []

    async def main() -> None:
        handler = Echo()
        server = Server(ServerSettings(tick_s=0.02), handler)
        ours, theirs = await pair_of_streams()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve_stream, theirs)
            client = Client(ours, **options)  # type: ignore[arg-type]
            clients.append(client)
            nursery.start_soon(client.link.run)
            with trio.fail_after(5):
                await client.bound.wait()
                await test(client, handler, server, nursery)
            nursery.cancel_scope.cancel()

    trio.run(main)
    return clients[0]


def test_queue_beyond_the_window_is_sent_in_order() -> None:
    """What is queued leaves in order, never more than the window unanswered, and every token comes back once."""

    async def test(client: Client, handler: Echo, server: Server, nursery: trio.Nursery) -> None:
        client.link.queue(submits(*map(str, range(1000))))
        await client.until(lambda: len(client.answers) == 1000)
        assert [str(n) for n in range(1000)] == [token for token, _, _ in client.answers]
        assert handler.most_owed <= 10
        assert client.link.queued == 0

    run_with_server(test)


def test_what_is_urgent_leaves_before_what_waits() -> None:
    """Urgent requests pass all that has not been given to the session yet and keep their own order; whoever queues them later
    does not pass earlier ones."""

    async def test(client: Client, handler: Echo, server: Server, nursery: trio.Nursery) -> None:
        client.link.queue(submits(*map(str, range(100))))
        await client.until(lambda: len(client.answers) >= 1)
        before = len(client.answers) + LINK_SETTINGS.window
        client.link.queue(submits("a", "b"), urgent=True)
        client.link.queue(submits("c"), urgent=True)
        assert client.link.queued > 3
        await client.until(lambda: len(client.answers) == 103)
        order = [token for token, _, _ in client.answers]
        assert order.index("c") < before + 3
        assert order[order.index("a") :][:3] == ["a", "b", "c"]
        assert [token for token in order if token.isdecimal()] == [str(n) for n in range(100)]

    run_with_server(test)


def test_pace_is_asked_when_writing() -> None:
    """Nothing leaves that the pace has not granted; the writer sleeps until the time it was told."""
    granted: list[tuple[int, float]] = []

    def pace(wanted: int, now: float) -> tuple[int, float]:
        if granted and now < granted[-1][1] + 0.05:
            return 0, granted[-1][1] + 0.05
        granted.append((min(wanted, 3), now))
        return min(wanted, 3), now + 0.05

    async def test(client: Client, handler: Echo, server: Server, nursery: trio.Nursery) -> None:
        client.link.queue(submits(*"abcdefgh"))
        await client.until(lambda: len(client.answers) == 8)
        assert [count for count, _ in granted] == [3, 3, 2]
        assert granted[2][1] - granted[0][1] >= 0.1

    run_with_server(test, pace=pace)


def test_what_is_held_is_passed_by_others_and_keeps_its_order() -> None:
    """Requests that must wait stay in their order; those behind them leave, as many as the pace grants; what the pace did not
    grant is given back."""

    class Holding:
        def __init__(self) -> None:
            self.open_at = float("inf")
            self.counted: list[str] = []

        def free(self, token: str, now: float) -> float:
            if token.startswith("held") and now < self.open_at:
                return min(self.open_at, now + 0.02)
            self.counted.append(token)
            return 0.0

        def back(self, token: str, now: float) -> None:
            self.counted.remove(token)

    holding = Holding()

    async def test(client: Client, handler: Echo, server: Server, nursery: trio.Nursery) -> None:
        tokens = ["a", "held2", "b", "c", "d", "e"]
        client.link.queue([(BODY, token) for token in tokens])
        client.link.queue([(BODY, "held1")], urgent=True)
        await client.until(lambda: len(client.answers) == 5)
        assert [token for token, _, _ in client.answers] == ["a", "b", "c", "d", "e"]
        assert (client.link.queued, client.link.held) == (2, 2)
        assert holding.counted == ["a", "b", "c", "d", "e"]
        holding.open_at = trio.current_time()
        await client.until(lambda: len(client.answers) == 7)
        assert [token for token, _, _ in client.answers][5:] == ["held1", "held2"]
        assert client.link.held == 0
        holding.open_at = float("inf")
        client.link.queue([(BODY, "held3"), (BODY, "f")])
        await client.until(lambda: len(client.answers) == 8)
        assert client.link.held == 1
        assert client.link.unqueue() == ["held3"]
        assert client.link.held == 0

    run_with_server(test, holds=holding, pace=lambda wanted, now: (min(2, wanted), now + 0.01))


def test_on_written_names_what_left() -> None:
    """Every token is reported as written exactly once."""
    written: list[str] = []

    async def test(client: Client, handler: Echo, server: Server, nursery: trio.Nursery) -> None:
        client.link.queue(submits(*"abc"))
        await client.until(lambda: len(client.answers) == 3)
        assert written == ["a", "b", "c"]

    run_with_server(test, on_written=lambda tokens, now: written.extend(tokens))


def test_close_is_polite() -> None:
    """close() waits for the answers under way, unbinds, and gives back what was still queued as not sent."""

    async def test(client: Client, handler: Echo, server: Server, nursery: trio.Nursery) -> None:
        handler.hold = True
        client.link.queue(submits(*map(str, range(12))))
        await handler.until(lambda: len(handler.held) == 10)
        nursery.start_soon(handler.release_after, 0.05)
        await client.link.close()
        assert len(client.answers) == 10
        ended = client.link.ended
        assert ended is not None
        assert tuple(ended) == ("unbound", [], ["10", "11"])

    run_with_server(test)


def test_killed_peer_leaves_unknown_and_not_sent() -> None:
    """A cut link gives back every token: unanswered ones that left are unknown, queued ones are not sent."""

    async def test(client: Client, handler: Echo, server: Server, nursery: trio.Nursery) -> None:
        handler.hold = True
        client.link.queue(submits(*map(str, range(12))))
        await handler.until(lambda: len(handler.held) == 10)
        await server.drop_all()
        await client.link.done()
        ended = client.link.ended
        assert ended is not None
        assert [str(n) for n in range(10)] == ended.unknown
        assert ended.not_sent == ["10", "11"]
        assert ended.reason in ("peer_closed", "connection_lost")
        with pytest.raises(RuntimeError):
            client.link.queue(submits("late"))

    run_with_server(test)


def test_partial_write_is_not_sent() -> None:
    """A peer that stops reading: what the operating system did not take is provably not sent, and cancelling does not hang."""

    async def main() -> None:
        ours, theirs = await pair_of_streams()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        handler = Echo()
        server = Server(ServerSettings(tick_s=0.02), handler)
        client = Client(ours, SessionSettings(window=50_000, response_timeout_s=30))
        big = (BODY + b"\x04\x24" + (40_000).to_bytes(2, "big") + bytes(40_000), "big")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.link.run)
            async with trio.open_nursery() as serving:
                serving.start_soon(_bind_only, server, theirs, client)
            client.link.queue([big] * 500)
            with trio.move_on_after(0.3):
                await client.link.done()
            nursery.cancel_scope.cancel()
        ended = client.link.ended
        assert ended is not None
        assert ended.reason == "cancelled"
        assert len(ended.unknown) + len(ended.not_sent) == 500
        assert ended.not_sent
        taken = 0
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while data := await theirs.receive_some(1 << 20):
            taken += len(data)
        assert taken // (16 + len(big[0])) == len(ended.unknown)
        await theirs.aclose()

    trio.run(main)


async def _bind_only(server: Server, stream: trio.SocketStream, client: Client) -> None:
    """Answers the bind by hand, then reads no more."""
    session: Session[str] = Session(SessionSettings())
    while session.receive(await stream.receive_some(4096), 0.0).login is None:
        pass
    session.accept_bind("SMSC", 0.0)
    await stream.send_all(session.outgoing())
    await client.bound.wait()


def test_silent_peer_is_closed() -> None:
    """A half-open link ends by enquire_link's timers without anybody's help."""

    async def main() -> None:
        ours, theirs = await pair_of_streams()
        client = Client(ours, SessionSettings(enquire_link_s=0.05, enquire_answer_s=0.05))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_bind_only, Server(ServerSettings(), Echo()), theirs, client)
            with trio.fail_after(3):
                assert (await client.link.run()).reason == "peer_dead"
        await theirs.aclose()

    trio.run(main)


def test_bind_refusal_ends_the_link() -> None:
    """The status is an event and the reason says so."""

    async def main() -> None:
        ours, theirs = await pair_of_streams()
        events: list[Events[str]] = []
        session: Session[str] = Session(LINK_SETTINGS, Login("nobody", "x"))
        link = Link(ours, session, on_events=events.append)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Server(ServerSettings(), Echo()).serve_stream, theirs)
            with trio.fail_after(3):
                assert (await link.run()).reason == "bind_refused"
        assert [each.refused for each in events] == [0x0F]

    trio.run(main)


def test_callback_error_comes_out_plain() -> None:
    """A bug in the owner ends the link with all tokens accounted for, and is raised as it was."""

    def broken(events: Events[str]) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        ours, theirs = await pair_of_streams()
        session: Session[str] = Session(LINK_SETTINGS, LOGIN)
        link = Link(ours, session, on_events=broken)
        link.queue(submits("a"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Server(ServerSettings(), Echo()).serve_stream, theirs)
            with pytest.raises(ZeroDivisionError):
                await link.run()
        assert link.ended is not None
        assert tuple(link.ended) == ("failed", [], ["a"])

    trio.run(main)


def test_other_streams_count_what_is_handed_over() -> None:
    """Where nobody counts bytes (TLS, memory), a submit that was handed over is unknown, never not sent."""

    async def main() -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        client = Client(ours)
        handler = Echo()
        handler.hold = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Server(ServerSettings(), handler).serve_stream, theirs)
            nursery.start_soon(client.link.run)
            await client.bound.wait()
            client.link.queue(submits("a"))
            await handler.until(lambda: bool(handler.held))
            client.link.drop()
            await client.link.done()
            nursery.cancel_scope.cancel()
        assert client.link.ended is not None
        assert tuple(client.link.ended) == ("dropped", ["a"], [])

    trio.run(main)


class Gate(Binder):
    """A stream whose peer binds us, and then takes `bites` bytes at a time, one bite a second; 0: nothing any more. It may
    still talk: `say`."""

    def __init__(self, bites: int) -> None:
        super().__init__()
        self.bites = bites
        self.taken = 0

    async def take(self, data: memoryview) -> int:
        await trio.sleep(1.0)
        if not self.bites:
            await trio.sleep_forever()
        self.taken += min(self.bites, len(data))
        return min(self.bites, len(data))


def with_gate(gate: Gate, test: Callable[[Client], Awaitable[None]]) -> tuple[Client, float]:
    """Runs `test` on a bound link over the gate until the link ends, under a clock that jumps; returns it and when it ended."""
    clients: list[Client] = []

    async def main() -> None:
        client = Client(gate, SessionSettings(window=10, enquire_link_s=0, enquire_answer_s=5, response_timeout_s=600))
        clients.append(client)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.link.run)
            await client.bound.wait()
            await test(client)
            with trio.move_on_after(300):
                await client.link.done()
            clients[0].ended_at = trio.current_time()
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return clients[0], clients[0].ended_at


def test_a_peer_that_takes_nothing_is_given_up() -> None:
    """A write of which no byte is taken for `enquire_answer_s` ends the link, long before any answer is due; no byte left, so
    nothing is in doubt."""

    async def test(client: Client) -> None:
        client.link.queue(submits("a", "b"))

    client, ended_at = with_gate(Gate(0), test)
    assert client.link.ended == ("peer_does_not_read", [], ["a", "b"])
    assert 5.0 <= ended_at <= 5.2


def test_the_bytes_that_left_decide_what_a_given_up_write_was() -> None:
    """It took one PDU whole and a piece of the next, then nothing more: the first is unknown, the others were not sent."""

    async def test(client: Client) -> None:
        client.link.queue(submits("a", "b", "c"))
        await trio.sleep(1.5)
        gate.bites = 0

    gate = Gate(16 + len(BODY) + 5)
    client, ended_at = with_gate(gate, test)
    assert client.link.ended == ("peer_does_not_read", ["a"], ["b", "c"])
    assert 6.0 <= ended_at <= 6.2  # five seconds after the last byte


def test_a_slow_peer_is_not_given_up() -> None:
    """Three bytes a second are slow, not dead: the link lives on for minutes, until all is written."""

    async def test(client: Client) -> None:
        client.link.queue(submits(*map(str, range(10))))

    gate = Gate(3)
    client, _ = with_gate(gate, test)
    assert client.link.ended is not None
    assert client.link.ended.reason == "cancelled"
    assert gate.taken == 10 * (16 + len(BODY))


def test_a_peer_that_talks_and_does_not_read_is_given_up() -> None:
    """It asks whether we live and never takes the answer: life that is heard does not keep a link whose writes stand."""

    async def test(client: Client) -> None:
        for n in range(1, 20):
            if client.link.ended is None:
                gate.say(codec.enquire_link(n))
                await trio.sleep(1.0)

    gate = Gate(0)
    client, ended_at = with_gate(gate, test)
    assert client.link.ended == ("peer_does_not_read", [], [])
    assert ended_at < 21


def test_some_of_what_is_queued_is_taken_back() -> None:
    """`unqueue` with a choice takes what is unwanted; the rest stays queued in its order."""
    link: Link[str] = Link(trio.testing.memory_stream_pair()[0], Session(LINK_SETTINGS, LOGIN), on_events=lambda events: None)
    link.queue(submits(*"abcde"))
    link.queue(submits(*"uv"), urgent=True)
    assert link.unqueue(lambda token: token in "bdu") == ["u", "b", "d"]
    assert link.unqueue(lambda token: token == "x") == []
    assert link.unqueue() == ["v", "a", "c", "e"]
    assert link.queued == 0
