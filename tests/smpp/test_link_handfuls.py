"""How much a link writes at once: answers in company, handfuls, and messages that are not parted. By a clock that jumps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from smpp import codec
from smpp import constants as c
from smpp.framing import Framer
from smpp.link import HANDFUL_S, Link
from smpp.session import Session, SessionSettings
from tests.smpp.binder import Binder
from tests.smpp.pair import LOGIN, submits


class Wire(Binder):
    """A stream that takes all it is given. Its peer binds us, then speaks when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    async def take(self, data: memoryview) -> int:
        self.writes.append(bytes(data))
        return len(data)


class Line:
    """A bound link on a wire. `left`: what each write brought of requests, and when (since it was bound)."""

    def __init__(self, window: int, **options: object) -> None:
        self.wire = Wire()
        self.left: list[tuple[float, list[str]]] = []
        self.bound = trio.Event()
        self.answered = 0
        session: Session[str] = Session(SessionSettings(window=window, enquire_link_s=0, response_timeout_s=600), LOGIN)
        self.link: Link[str] = Link(
            self.wire,
            session,
            on_events=lambda events: self.bound.set(),
            on_written=lambda tokens, now: self.left.append((now, tokens)),
            tick_s=100.0,
            **options,  # type: ignore[arg-type]
        )

    def answer(self, count: int) -> None:
        """The peer answers so many of what has left, in one read."""
        first = 2 + self.answered  # 1 was the bind
        self.wire.say(b"".join(codec.submit_sm_resp(first + i, 0, f"id{first + i}") for i in range(count)))
        self.answered += count

    async def rest(self) -> None:
        """Until everybody waits for something; no time passes."""
        await trio.testing.wait_all_tasks_blocked()

    async def flown(self, in_flight: int, answered: int) -> None:
        """So many requests leave, of which so many are answered in one read; nothing is queued then."""
        self.link.queue(submits(*(f"x{i}" for i in range(in_flight))))
        await self.rest()
        self.answer(answered)
        await self.rest()
        assert self.link.session.in_flight == in_flight - answered
        self.left.clear()


def on_a_line(test: Callable[[Line], Awaitable[None]], window: int = 20, **options: object) -> None:
    """Runs `test` with a bound link; time passes only when everybody sleeps."""

    async def main() -> None:
        line = Line(window, **options)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.link.run)
            await line.bound.wait()
            await line.rest()
            with trio.fail_after(100.0):
                await test(line)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def commands(data: bytes) -> list[int]:
    """What a write says."""
    return [int.from_bytes(pdu[4:8], "big") for pdu in Framer().feed(data)]


async def delivered(line: Line) -> None:
    """Three deliver_sm have come."""
    body = codec.deliver_sm_body("1", "2", b"x")
    line.wire.say(b"".join(codec.pdu(c.DELIVER_SM, 0, n, body) for n in (1, 2, 3)))
    await line.rest()
    assert line.link.session.owed == 3


# -- answers in company --------------------------------------------------------------------------------------------------


def test_answers_without_hurry_leave_with_the_next_submit() -> None:
    """They wake nobody; then all is one write, in its order."""

    async def test(line: Line) -> None:
        await delivered(line)
        line.link.answer([1, 2], hurry=False)
        line.link.answer([3], hurry=False)
        await trio.sleep(1.0)
        assert line.wire.writes == []
        line.link.queue(submits("a"))
        await line.rest()
        (written,) = line.wire.writes
        assert commands(written) == [c.DELIVER_SM | c.RESPONSE] * 3 + [c.SUBMIT_SM]

    on_a_line(test)


def test_answers_without_hurry_leave_when_hastened() -> None:
    """`hasten` writes them at once."""

    async def test(line: Line) -> None:
        await delivered(line)
        line.link.answer([1, 2, 3], hurry=False)
        await trio.sleep(1.0)
        line.link.hasten()
        await line.rest()
        assert list(map(commands, line.wire.writes)) == [[c.DELIVER_SM | c.RESPONSE] * 3]

    on_a_line(test)


def test_answers_in_a_hurry_leave_at_once() -> None:
    """What they always did."""

    async def test(line: Line) -> None:
        await delivered(line)
        line.link.answer([1, 2, 3])
        await line.rest()
        assert list(map(commands, line.wire.writes)) == [[c.DELIVER_SM | c.RESPONSE] * 3]

    on_a_line(test)


def test_nothing_to_hasten() -> None:
    """The writer is not even woken: it would ask the pace for what is queued."""
    asked: list[int] = []

    def pace(wanted: int, now: float) -> tuple[int, float]:
        asked.append(wanted)
        return 0, now + 1000.0

    async def test(line: Line) -> None:
        line.link.queue(submits("a"))
        await line.rest()
        assert asked == [1]
        line.link.hasten()
        await line.rest()
        assert asked == [1]
        line.link.wake()
        await line.rest()
        assert asked == [1, 1]

    on_a_line(test, pace=pace)


# -- handfuls ------------------------------------------------------------------------------------------------------------


def test_less_than_a_handful_waits_a_moment() -> None:
    """The peer answered a quarter of the window in one read: room for less than a quarter, of more that is queued, is used
    after HANDFUL_S, whether or not it has become more; and so each time."""

    async def test(line: Line) -> None:
        await line.flown(18, 5)
        assert line.link.session.room == 7
        line.link.queue(submits(*"abc"))
        await line.rest()
        line.link.queue(submits(*"defghijk"))
        began = trio.current_time()
        await trio.sleep(HANDFUL_S / 2)
        assert line.left == [(began, list("abc"))]
        await trio.sleep(HANDFUL_S)
        assert line.left[1:] == [(pytest.approx(began + HANDFUL_S), list("defg"))]
        line.answer(5)
        await line.rest()
        line.left.clear()
        line.link.queue(submits(*"lmn"))
        began = trio.current_time()
        await trio.sleep(HANDFUL_S / 2)
        assert line.left == []
        await trio.sleep(HANDFUL_S)
        assert line.left == [(pytest.approx(began + HANDFUL_S), ["l"])]

    on_a_line(test)


def test_what_becomes_a_handful_meanwhile_leaves_at_once() -> None:
    """Another read of answers makes room before the moment is over: one write of all that there is room for."""

    async def test(line: Line) -> None:
        await line.flown(18, 5)
        line.link.queue(submits(*"abc"))
        await line.rest()
        line.link.queue(submits(*"defghijklmnop"))
        await trio.sleep(HANDFUL_S / 2)
        line.answer(5)
        await line.rest()
        assert line.left[1:] == [(trio.current_time(), list("defghijkl"))]

    on_a_line(test)


def test_all_that_is_queued_leaves_at_once() -> None:
    """However little it is: nothing would come to join it."""

    async def test(line: Line) -> None:
        await line.flown(20, 5)
        line.link.queue(submits(*"ab"))
        await line.rest()
        assert line.left == [(trio.current_time(), ["a", "b"])]

    on_a_line(test)


@pytest.mark.parametrize(("answered", "waits"), [(4, False), (5, True)])
def test_a_quarter_of_the_window_is_a_handful(answered: int, waits: bool) -> None:
    """A peer that answers less in one read is written to as it comes."""

    async def test(line: Line) -> None:
        await line.flown(20, answered)
        line.link.queue(submits(*"abcde"[: answered - 2]))
        await line.rest()
        assert line.link.session.room == 2
        line.left.clear()
        line.link.queue(submits(*"vwxyz"))
        await line.rest()
        assert line.left == ([] if waits else [(trio.current_time(), ["v", "w"])])

    on_a_line(test)


def test_the_last_read_of_answers_says_how_the_peer_answers() -> None:
    """A read of few answers ends the waiting for handfuls; a read without answers says nothing."""

    async def test(line: Line) -> None:
        await line.flown(18, 5)
        line.link.queue(submits(*"abcd"))
        await delivered(line)
        assert line.link.session.room == 3
        line.left.clear()
        line.link.queue(submits(*"efghijk"))
        await line.rest()
        assert line.left == []
        line.answer(1)
        await line.rest()
        assert line.left == [(trio.current_time(), list("efgh"))]

    on_a_line(test)


def test_with_nothing_in_flight_nothing_is_waited_for() -> None:
    """No answer would make more room: a wide window's first write leaves, though it is less than a quarter."""

    async def test(line: Line) -> None:
        await line.flown(1000, 1000)
        line.link.queue(submits(*map(str, range(600))))
        await line.rest()
        assert [(at, len(tokens)) for at, tokens in line.left] == [(trio.current_time(), 500), (trio.current_time(), 100)]

    on_a_line(test, window=4000)


# -- messages that are not parted ----------------------------------------------------------------------------------------


def same_letter(token: str, other: str) -> bool:
    """Parts of one message have a letter in common."""
    return token[0] == other[0]


def parts(size: int, messages: str) -> list[str]:
    """So many parts of each message."""
    return [f"{letter}{n}" for letter in messages for n in range(1, size + 1)]


@pytest.mark.parametrize(
    ("room", "size", "written"),
    [
        (9, 3, 9),  # it ends there anyway
        (10, 3, 9),
        (11, 3, 9),
        (10, 4, 8),
        (11, 4, 11),  # three would stay free
        (8, 5, 8),  # likewise
        (8, 20, 8),
    ],
)
def test_a_write_ends_with_a_message(room: int, size: int, written: int) -> None:
    """By handfuls, up to a sixteenth of the window (2 of 32) stays free, so that the last message is not parted. Where more
    would stay free, it is parted."""

    async def test(line: Line) -> None:
        await line.flown(32, room)
        queued = parts(size, "abcde")
        line.link.queue(submits(*queued))
        await line.rest()
        assert line.left == [(trio.current_time(), queued[:written])]

    on_a_line(test, window=32, together=same_letter)


@pytest.mark.parametrize("room_comes", [True, False])
def test_what_was_not_parted_leaves_whole(room_comes: bool) -> None:
    """With the next room, if that comes within a moment; else as much of it as there is room for."""

    async def test(line: Line) -> None:
        await line.flown(32, 10)
        line.link.queue(submits(*parts(3, "abcd")))
        await line.rest()
        began = trio.current_time()
        assert line.left.pop() == (began, parts(3, "abc"))
        if room_comes:
            await trio.sleep(HANDFUL_S / 2)
            line.answer(8)
        await trio.sleep(1.5 * HANDFUL_S)
        left = (HANDFUL_S / 2, parts(3, "d")) if room_comes else (HANDFUL_S, ["d1"])
        assert line.left == [(pytest.approx(began + left[0]), left[1])]

    on_a_line(test, window=32, together=same_letter)


def test_what_is_urgent_waits_for_nothing() -> None:
    """Urgent ones leave at once, however few, and with them what room there is."""

    async def test(line: Line) -> None:
        await line.flown(32, 4)
        line.link.queue(submits(*parts(3, "abcd")))
        line.link.queue(submits("u", "v"), urgent=True)
        await line.rest()
        assert line.left == [(trio.current_time(), ["u", "v", "a1", "a2"])]

    on_a_line(test, window=32, together=same_letter)


def test_the_end_of_the_queue_is_no_cut() -> None:
    """All that is queued leaves, whatever belongs together."""

    async def test(line: Line) -> None:
        await line.flown(32, 10)
        line.link.queue(submits(*parts(10, "a")))
        await line.rest()
        assert line.left == [(trio.current_time(), parts(10, "a"))]

    on_a_line(test, window=32, together=same_letter)


@pytest.mark.parametrize(("room", "together"), [(7, same_letter), (10, None)])
def test_messages_are_parted_otherwise(room: int, together: object) -> None:
    """Where the peer does not answer by handfuls, or nobody says what belongs together, all room is used."""

    async def test(line: Line) -> None:
        await line.flown(32, room)
        queued = parts(3, "abcd")
        line.link.queue(submits(*queued))
        await line.rest()
        assert line.left == [(trio.current_time(), queued[:room])]

    on_a_line(test, window=32, together=together)
