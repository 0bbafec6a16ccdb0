"""A simulated SMSC over smpp.server: keeps limits, answers, sends receipts, misbehaves as its scenario says, and counts.

It refuses to know who tests with it. All in one process without a task per message: a batch of submits is judged in one
loop; what is due later waits in a Wheel that one pump empties. With no latency nothing waits at all.

    async with trio.open_nursery() as nursery:
        smsc = await nursery.start(serve, Scenario(accounts=(Account("demo", "demo"),), listen="127.0.0.1:0"))
        ... connect to 127.0.0.1:smsc.port, look at smsc.stats, smsc.received, await smsc.down(), smsc.up() ...
"""

from __future__ import annotations

import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import trio

from smpp import constants as c
from smpp.codec import SubmitSm, deliver_sm_body
from smpp.link import Ended
from smpp.pdus import Pdu
from smpp.server import Peer, Server, ServerSettings
from smpp.session import Login, SessionSettings
from smpp.simulator.desk import Desk, Question
from smpp.simulator.forms import IDS, PLAIN, FormWriter, Whole
from smpp.simulator.meter import Rates, Received, SlidingCount, Stats
from smpp.simulator.receipts import ReceiptWriter
from smpp.simulator.scenario import Scenario
from smpp.simulator.temper import STRAY, Temper, Verdict, wanted_part
from smpp.simulator.wheel import Wheel
from smpp.tls import listen

GARBAGE: Final = b"HTTP/1.1 400 Bad Request\r\n\r\n"
OVERTAKE_S: Final = 0.05  # how far a receipt that comes first is ahead of its answer
BACKLOG_MAX: Final = 2_000_000

Answer = tuple[int, int, str]


class Simulator:
    """The handler of a Server, and the handle that tests hold. `received` and `questions` are filled only with `record`."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        record: bool = False,
        clock: Callable[[], float] = trio.current_time,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.scenario = scenario
        self.stats = Stats()
        self.received: deque[Received] = deque(maxlen=scenario.record_max)
        self.questions: deque[Question] = deque(maxlen=scenario.record_max)
        self.server = Server(
            ServerSettings(
                scenario.system_id,
                SessionSettings(
                    window=1_000, enquire_link_s=scenario.enquire_link_s, inactivity_s=scenario.inactivity_s, drain_s=0.5
                ),
            ),
            self,
            clock=clock,
        )
        self.host, self.port = scenario.address
        self.stalled = False
        self._record, self._clock, self._wall = record, clock, wall
        self._accounts = {each.system_id: each for each in scenario.accounts}
        self._temper = Temper(scenario)
        self._desk = Desk(scenario)
        self._chance = random.Random(scenario.seed + 1)
        self._writer = ReceiptWriter() if scenario.receipt == PLAIN else FormWriter(scenario.receipt)
        self._per_session: dict[int, int] = {}
        self._ids = (10**7 + secrets.randbelow(9 * 10**7)) * 10**9  # every start has its own: no id comes twice
        self._answers: Wheel[Peer, Answer] = Wheel()
        self._receipts: Wheel[str, bytes] = Wheel()
        self._held: list[tuple[Peer, list[Answer]]] = []
        self._backlog: dict[str, deque[bytes]] = {}
        self._turn: dict[str, int] = {}
        self._wake = trio.Event()
        self._arrivals, self._rates = SlidingCount(), Rates(scenario, 0.0)
        self._nursery: trio.Nursery | None = None
        self._accepting: trio.CancelScope | None = None

    # -- controls ------------------------------------------------------------------------------------------------------

    async def up(self) -> None:
        """Listens (again), on the same port. Does nothing when it already does."""
        if self._accepting is not None or self._nursery is None:
            return
        listeners, self.port = await listen(self.host, self.port, self.scenario.tls)
        self._accepting = trio.CancelScope()
        self._nursery.start_soon(self._accept, listeners, self._accepting)

    async def _accept(self, listeners: Sequence[trio.abc.Listener[trio.abc.Stream]], scope: trio.CancelScope) -> None:
        with scope:
            await self.server.serve(listeners)

    async def down(self) -> None:
        """Closes the listener and every link, as a crash would: connections are refused until `up`."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        await self.server.drop_all("down")

    async def drop(self) -> int:
        """Cuts every link without unbinding; returns how many."""
        links = len(self.server.peers)
        self.stats.drops += links
        await self.server.drop_all()
        return links

    def stall(self, on: bool) -> None:
        """While stalled it reads and answers enquire_link, but answers no submit and sends no receipt; then all at once."""
        self.stalled = on
        if not on:
            held, self._held = self._held, []
            for peer, answers in held:
                self._answer(peer, answers)
            for system_id in list(self._backlog):
                self._flush(system_id)
            self._wake.set()

    def reset(self) -> None:
        """Forgets counts and records; links, receipts under way and attempts stay."""
        self.stats = Stats()
        self.received.clear()
        self.questions.clear()
        self._arrivals, self._rates = SlidingCount(), Rates(self.scenario, self._clock())

    def inbound(self, system_id: str, source: str, dest: str, text: bytes, data_coding: int = 0) -> None:
        """A handset's message to a system_id, sent to one of its sessions as receipts are."""
        self._deliver(system_id, [deliver_sm_body(source, dest, text, data_coding=data_coding)])

    def inbound_over(self, system_id: str, session: int, body: bytes) -> None:
        """A deliver_sm over one of its sessions that receive, counted from 0 and round again, oldest bind first. Without any
        it waits for the next, as receipts do."""
        peers = [peer for peer in self.server.bound_as(system_id) if peer.receives]
        if not peers or self.stalled:
            self._deliver(system_id, [body])
            return
        self.stats.receipts_sent += 1
        _give(peers[session % len(peers)], [body])

    # -- what the server asks (smpp.server.Handler) ----------------------------------------------------------------------

    def judge(self, _peer: Peer, login: Login) -> int:
        """Password and session cap."""
        account = self._accounts.get(login.system_id)
        sessions = len(self.server.bound_as(login.system_id))
        if account is None:
            status = c.ESME_RINVSYSID
        elif account.password != login.password:
            status = c.ESME_RINVPASWD
        else:
            status = c.ESME_RALYBND if sessions >= account.sessions_max else c.ESME_ROK
        self.stats.binds_refused += status != c.ESME_ROK
        return status

    def bound(self, peer: Peer) -> None:
        """Counts, and sends what waited for a session."""
        system_id = _system_id(peer)
        self.stats.binds += 1
        peak = self.stats.sessions_peak
        peak[system_id] = max(peak[system_id], len(self.server.bound_as(system_id)))
        if peer.receives:
            self._flush(system_id)

    def submits(self, peer: Peer, submits: Sequence[SubmitSm]) -> None:
        """Judges a batch: limits first, then the scenario."""
        now, stats, system_id = self._clock(), self.stats, _system_id(peer)
        stats.submits += len(submits)
        stats.submits_per_second_peak = max(stats.submits_per_second_peak, self._arrivals.add(len(submits), now))
        unanswered = peer.link.session.owed
        stats.window_peak = max(stats.window_peak, unanswered)
        room = max(0, len(submits) - max(0, unanswered - self.scenario.window))
        granted = min(room, self._rates.left(system_id, now))
        answers: list[Answer] = []
        receipts: list[bytes] = []
        plain = self._temper.plain and not self._record and not self._desk.open
        if plain and self.scenario.answer_ms[1] == 0 == self.scenario.receipt_ms[1]:
            self._deliver_all(submits[:granted], answers, receipts)
        else:
            for submit in submits[:granted]:
                self._carry_out(peer, submit, self._temper.judge(submit), now, answers, receipts)
        for place, submit in enumerate(submits[granted:], granted):
            answers.append(self._beyond(peer, submit, place >= room, now))
        self._rates.count(system_id, granted, now)
        self._answer(peer, answers)
        self._deliver(system_id, receipts)
        if self.scenario.submits_per_session_max:
            taken = self._per_session[peer.number] = self._per_session.get(peer.number, 0) + len(submits)
            if taken >= self.scenario.submits_per_session_max:
                peer.link.session.start_unbind(now)
                peer.link.wake()

    def asked(self, peer: Peer, questions: Sequence[Pdu]) -> None:
        """query_sm and cancel_sm; a cancelled message's receipts are replaced by one that says DELETED."""
        now, system_id = self._clock(), _system_id(peer)
        for question in questions:
            answer, cancelled = self._desk.answer(question, system_id, now)
            self.stats.note_question(question.command, cancelled is not None)
            if self._record:
                self.questions.append(Question(now, system_id, peer.number, question, answer))
            if answer is not None:
                peer.tell(answer)
            if cancelled is not None and cancelled.submit.registered_delivery & 3:
                self._deliver(system_id, [self._desk.deleted(self._writer.body, cancelled, self._wall())])

    def delivered(self, peer: Peer, answers: Sequence[tuple[object, int, str]]) -> None:
        """Receipts that were answered; those answered with an error come again."""
        refused = [token for token, status, _ in answers if status != c.ESME_ROK]
        self.stats.receipts_answered += len(answers) - len(refused)
        self.stats.receipts_refused += len(refused)
        at = self._clock() + self.scenario.receipt_retry_ms / 1000
        for token in refused:
            if isinstance(token, bytes):
                self._receipts.add(at, _system_id(peer), token)
        if refused:
            self._wake.set()

    def ended(self, peer: Peer, ended: Ended[object]) -> None:
        """Receipts that the link took with it come again over another."""
        self._per_session.pop(peer.number, None)
        self.stats.unbinds += ended.reason == "peer_unbound"
        again = [token for token in (*ended.unknown, *ended.not_sent) if isinstance(token, bytes)]
        if again and peer.login is not None:
            self._deliver(peer.login.system_id, again)

    # -- fates -----------------------------------------------------------------------------------------------------------

    def _deliver_all(self, submits: Sequence[SubmitSm], answers: list[Answer], receipts: list[bytes]) -> None:
        """The fast way for a benchmark's scenario: everything is delivered at once."""
        wall_s, body = self._wall(), self._writer.body
        decimal, write_id = self.scenario.answer_ids == "dec", IDS[self.scenario.answer_ids]
        number = self._ids
        for submit in submits:
            number += 1
            message_id = str(number)
            answers.append((submit.sequence, c.ESME_ROK, message_id if decimal else write_id(number)))
            if submit.registered_delivery & 3:
                receipts.append(body(submit, message_id, "DELIVRD", "000", wall_s))
        self._ids = number
        self.stats.accepted += len(submits)

    def _carry_out(
        self, peer: Peer, submit: SubmitSm, verdict: Verdict, now: float, answers: list[Answer], receipts: list[bytes]
    ) -> None:
        self._ids += 1
        message_id = str(self._ids)
        told = IDS[self.scenario.answer_ids](self._ids) if verdict.with_id else ""
        self._note(peer, submit, verdict.status, told, now)
        answer_at = now + self._draw(self.scenario.answer_ms)
        receipt_at = answer_at + self._draw(self.scenario.receipt_ms)
        if verdict.receipt_first:
            receipt_at, answer_at = now, max(answer_at, now + OVERTAKE_S)
        if verdict.status < 0:
            self._break(peer, verdict.link)
        elif answer_at <= now:
            answers.append((submit.sequence, verdict.status, told))
        else:
            self._answers.add(answer_at, peer, (submit.sequence, verdict.status, told))
            self._wake.set()
        kept = None
        if self._desk.open and told and verdict.status == c.ESME_ROK:
            kept = self._desk.keep(told, self._ids, _system_id(peer), submit, verdict, receipt_at)
        if not submit.registered_delivery & 3 or not wanted_part(submit, self.scenario.receipt_per):
            return
        for state, code in verdict.receipts:
            stray = state == STRAY
            known = str(self._ids + 10**17) if stray else message_id
            body = self._writer.body(submit, known, "DELIVRD" if stray else state, code, self._wall())
            if receipt_at <= now:
                receipts.append(body)
            else:
                if kept is not None:
                    kept.receipts.append(body)
                self._receipts.add(receipt_at, _system_id(peer), body)
                self._wake.set()

    def _beyond(self, peer: Peer, submit: SubmitSm, window: bool, now: float) -> Answer:
        status = c.ESME_RMSGQFUL if window else self.scenario.over_rate
        if window:
            self.stats.window_exceeded += 1
        else:
            self.stats.throttled += 1
        self._note(peer, submit, status, "", now)
        return (submit.sequence, status, "")

    def _note(self, peer: Peer, submit: SubmitSm, status: int, message_id: str, now: float) -> None:
        if status == c.ESME_ROK:
            self.stats.accepted += 1
        elif status < 0:
            self.stats.unanswered += 1
        else:
            self.stats.refused[status] += 1
        if self._record:
            self.received.append(Received(now, _system_id(peer), peer.number, submit, status, message_id))

    def _break(self, peer: Peer, how: str) -> None:
        if how == "drop":
            self.stats.drops += 1
            peer.link.drop()
        elif how == "garbage":
            peer.link.say(GARBAGE)

    def _draw(self, span_ms: tuple[float, float]) -> float:
        least, most = span_ms
        return (least if least == most else least + (most - least) * self._chance.random()) / 1000

    # -- limits, answers, receipts ---------------------------------------------------------------------------------------

    def rate(self, now: float) -> int:
        """Submits a second that the scenario allows at this instant; 0: any number."""
        return self._rates.rate(now)

    def _answer(self, peer: Peer, answers: list[Answer]) -> None:
        if self.stalled:
            self._held.append((peer, answers))
        elif answers:
            peer.answer(answers, self._desk.answer_tlvs)

    def _deliver(self, system_id: str, bodies: Iterable[bytes]) -> None:
        backlog = self._backlog.setdefault(system_id, deque(maxlen=BACKLOG_MAX))
        backlog.extend(bodies)
        if backlog:
            self._flush(system_id)

    def _flush(self, system_id: str) -> None:
        """Gives what waits to the system_id's sessions that receive, in turns of a batch."""
        backlog = self._backlog.get(system_id)
        if not backlog or self.stalled:
            return
        peers = [peer for peer in self.server.bound_as(system_id) if peer.receives]
        if peers:
            turn = self._turn[system_id] = self._turn.get(system_id, -1) + 1
            self.stats.receipts_sent += len(backlog)
            _give(peers[turn % len(peers)], backlog)
            backlog.clear()

    async def pump(self) -> None:
        """Does what is due, when it is due."""
        while True:
            self._wake = trio.Event()
            now = self._clock()
            if not self.stalled:
                for peer, answers in self._answers.due(now):
                    self._answer(peer, answers)
                for system_id, bodies in self._receipts.due(now):
                    self._deliver(system_id, self._desk.still_wanted(bodies))
            pending = [at for at in (self._answers.next_at, self._receipts.next_at) if at is not None and not self.stalled]
            with trio.move_on_after(max(0.0, min(pending) - self._clock()) if pending else float("inf")):
                await self._wake.wait()

    def snapshot(self) -> dict[str, Any]:
        """The counters, and what is under way."""
        self.stats.receipts_waiting = self._receipts.waiting + sum(map(len, self._backlog.values()))
        return {
            **self.stats.as_dict(),
            "sessions": sum(peer.login is not None for peer in self.server.peers.values()),
            "answers_waiting": self._answers.waiting + sum(len(answers) for _, answers in self._held),
            "up": self._accepting is not None,
            "stalled": self.stalled,
        }

    async def run(self, task_status: trio.TaskStatus[Simulator] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._rates.began_at = self._clock()
            await self.up()
            nursery.start_soon(self.pump)
            task_status.started(self)
            await trio.sleep_forever()


def _give(peer: Peer, bodies: Iterable[bytes]) -> None:
    for whole in [body for body in bodies if isinstance(body, Whole)]:
        peer.link.say(whole)
    peer.deliver([(body, body) for body in bodies if not isinstance(body, Whole)])


def _system_id(peer: Peer) -> str:
    return "" if peer.login is None else peer.login.system_id


async def serve(
    scenario: Scenario,
    *,
    record: bool = False,
    clock: Callable[[], float] = trio.current_time,
    wall: Callable[[], float] = time.time,
    task_status: trio.TaskStatus[Simulator] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Runs a Simulator until cancelled; `await nursery.start(serve, scenario)` returns it, listening."""
    await Simulator(scenario, record=record, clock=clock, wall=wall).run(task_status)
