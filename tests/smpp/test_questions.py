"""query_sm and cancel_sm: beside the window, each ending once; and what the simulator knows of messages."""

from __future__ import annotations

import pytest
import trio

from smpp import codec
from smpp import constants as c
from smpp.constants import Command
from smpp.errors import LocalProtocolError
from smpp.events import Events
from smpp.link import Link
from smpp.pdus import Pdu, encode
from smpp.receipts import parse
from smpp.session import Login, Session, SessionSettings
from smpp.simulator.scenario import Account, Fate, Outcome, Rule, Scenario
from smpp.simulator.smsc import Simulator, serve
from tests.smpp.pair import BODY, LOGIN, TEMPLATE, ConnectionPair, submits
from tests.smpp.smscs import eventually

QUERY = Pdu(Command.QUERY_SM, {"message_id": "4f", "source_addr": "Sender", "source_addr_ton": 5})
CANCEL = Pdu(Command.CANCEL_SM, {"message_id": "4f", "source_addr": "Sender", "destination_addr": "447700900001"})


def test_an_answer_comes_back_with_its_token() -> None:
    """Asked in the peer's events, answered under its number, told with fields, status and token; nothing owed or open after."""
    pair = ConnectionPair().bind()
    pair.esme.ask(QUERY, "q", 1.0)
    pair.esme.ask(CANCEL, "c", 1.0)
    events = pair.smsc.receive(pair.esme.outgoing(), 1.0)
    assert [(each.command, each["message_id"]) for each in events.asked] == [
        (Command.QUERY_SM, "4f"),
        (Command.CANCEL_SM, "4f"),
    ]
    assert pair.smsc.owed == 2
    query, cancel = events.asked
    pair.smsc.answer_question(Pdu(Command.CANCEL_SM_RESP, {}, (), cancel.sequence, 0x11))
    pair.smsc.answer_question(Pdu(Command.QUERY_SM_RESP, {"message_id": "4f", "message_state": 2}, (), query.sequence))
    told = pair.esme.receive(pair.smsc.outgoing(), 1.0).told
    assert [(each.token, each.pdu and each.pdu.status) for each in told] == [("c", 0x11), ("q", 0)]
    assert told[1].pdu is not None
    assert told[1].pdu["message_state"] == 2
    assert (pair.smsc.owed, pair.esme.questions.room) == (0, SessionSettings().questions)


@pytest.mark.parametrize("asked", [2, 3])
def test_the_budget_is_its_own(asked: int) -> None:
    """Questions take no room of the window, and a full window none of theirs; one beyond the budget raises and is not sent."""
    pair = ConnectionPair(SessionSettings(window=1, questions=3)).bind()
    pair.esme.submit(submits("a"), 0.0)
    for number in range(asked):
        pair.esme.ask(QUERY, number, 0.0)
    assert (pair.esme.room, pair.esme.questions.room) == (0, 3 - asked)
    pair.esme.outgoing()
    if asked == 3:
        with pytest.raises(LocalProtocolError):
            pair.esme.ask(QUERY, "beyond", 0.0)
        assert not pair.esme.has_outgoing


def test_what_is_open_when_the_link_dies_is_handed_back_once() -> None:
    """Asked and not answered, written or not, in the order of asking; a second look finds nothing."""
    pair = ConnectionPair().bind()
    for token in ("answered", "written"):
        pair.esme.ask(QUERY, token, 0.0)
    answered, _ = pair.smsc.receive(pair.esme.outgoing(), 0.0).asked
    pair.smsc.answer_question(Pdu(Command.QUERY_SM_RESP, {"message_id": "4f", "message_state": 2}, (), answered.sequence))
    pair.esme.receive(pair.smsc.outgoing(), 0.0)
    pair.esme.ask(CANCEL, "not written", 0.0)
    pair.esme.lost()
    assert (pair.esme.questions.lost(), pair.esme.questions.lost()) == (["written", "not written"], [])


def test_silence_costs_the_question_only() -> None:
    """After question_timeout_s it is told as such, once; the session stays; the answer after all is an answer to nothing."""
    pair = ConnectionPair(SessionSettings(question_timeout_s=5, enquire_link_s=0)).bind()
    pair.esme.ask(QUERY, "q", 1.0)
    (asked,) = pair.smsc.receive(pair.esme.outgoing(), 1.0).asked
    assert not pair.esme.tick(5.9).told
    assert pair.esme.tick(6.0).told == [("q", None)]
    assert pair.esme.tick(7.0).told == []
    pair.smsc.answer_question(Pdu(Command.QUERY_SM_RESP, {"message_id": "4f"}, (), asked.sequence))
    assert not pair.esme.receive(pair.smsc.outgoing(), 7.0).told
    assert (pair.esme.strays, pair.esme.close_reason) == (1, None)


@pytest.mark.parametrize("status", [3, 0])
def test_a_nack_is_an_answer(status: int) -> None:
    """A carrier without query_sm says so by generic_nack; it settles the question and no submit, and never reads as success."""
    pair = ConnectionPair().bind()
    pair.esme.submit(submits("a"), 0.0)
    pair.esme.ask(QUERY, "q", 0.0)
    (asked,) = pair.smsc.receive(pair.esme.outgoing(), 0.0).asked
    (told,) = pair.esme.receive(encode(Pdu(Command.GENERIC_NACK, {}, (), asked.sequence, status)), 0.0).told
    assert told.pdu is not None
    assert (told.token, told.pdu.command, told.pdu.status) == ("q", Command.GENERIC_NACK, status or c.ESME_RUNKNOWNERR)
    assert pair.esme.in_flight == 1


def test_an_answer_that_cannot_be_read_is_one_without_fields() -> None:
    """Its header settles the question."""
    pair = ConnectionPair().bind()
    pair.esme.ask(QUERY, "q", 0.0)
    (asked,) = pair.smsc.receive(pair.esme.outgoing(), 0.0).asked
    events = pair.esme.receive(codec.pdu(c.Command.QUERY_SM_RESP, 0, asked.sequence, b"no end"), 0.0)
    assert [(each.token, each.pdu and dict(each.pdu.fields)) for each in events.told] == [("q", {})]
    assert not events.bad


def test_only_who_is_bound_to_send_asks() -> None:
    """Before the bind and as a receiver it raises; a receiver's peer refuses it with "wrong bind status"."""
    early = ConnectionPair()
    with pytest.raises(LocalProtocolError):
        early.esme.ask(QUERY, "q", 0.0)
    receiver = ConnectionPair(login=Login(LOGIN.system_id, LOGIN.password, "rx")).bind()
    with pytest.raises(LocalProtocolError):
        receiver.esme.ask(QUERY, "q", 0.0)
    assert not receiver.smsc.receive(encode(QUERY), 0.0).asked
    assert codec.decode_header(receiver.smsc.outgoing())[1:3] == (Command.QUERY_SM_RESP, c.ESME_RINVBNDSTS)


@pytest.mark.parametrize("unanswered", [1, 2])
def test_questions_count_among_what_is_owed(unanswered: int) -> None:
    """A peer that asks and asks is told "busy" beyond unanswered_max."""
    pair = ConnectionPair(SessionSettings(unanswered_max=2)).bind()
    pair.esme.submit(submits(*"ab"[:unanswered]), 0.0)
    pair.esme.ask(QUERY, "q", 0.0)
    events = pair.smsc.receive(pair.esme.outgoing(), 0.0)
    assert len(events.asked) == 2 - unanswered
    assert pair.smsc.owed == 2


# -- the simulator -----------------------------------------------------------------------------------------------------


class Customer:
    """An ESME that submits one message, asks about it, and keeps what it is told."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.told: list[tuple[int, int, int]] = []
        self.silent = 0
        self.receipts: list[str] = []
        self.link: Link[str]

    async def run(self, port: int) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        session: Session[str] = Session(SessionSettings(question_timeout_s=0.1), LOGIN)
        self.link = Link(stream, session, on_events=self._on_events, tick_s=0.02)
        self.link.queue([(BODY, "a")])
        await self.link.run()

    def _on_events(self, events: Events[str]) -> None:
        self.ids += [message_id for _, _, message_id in events.answers]
        for told in events.told:
            if told.pdu is None:
                self.silent += 1
            else:
                state = told.pdu.fields.get("message_state", -1)
                assert isinstance(state, int)
                self.told.append((told.pdu.command, told.pdu.status, state))
        self.receipts += [receipt.state for each in events.delivers if (receipt := parse(each)) is not None]
        self.link.answer([each.sequence for each in events.delivers])

    async def ask(self, command: Command, message_id: str = "", sender: str = "Sender") -> tuple[int, int]:
        """(status, message_state or -1) of the answer."""
        before = len(self.told)
        fields = {"message_id": message_id or self.ids[0], "source_addr": sender, "source_addr_ton": 5}
        self.link.ask(Pdu(command, fields), "q")
        await eventually(lambda: len(self.told) > before)
        return self.told[-1][1:]


async def _scene(customer: Customer, nursery: trio.Nursery, **more: object) -> Simulator:
    values: dict[str, object] = {"accounts": (Account("shop", "secret"),), "listen": "127.0.0.1:0"}
    scenario = Scenario(**values | more)  # type: ignore[arg-type]
    smsc: Simulator = await nursery.start(lambda **kw: serve(scenario, record=True, **kw))
    nursery.start_soon(customer.run, smsc.port)
    await eventually(lambda: len(customer.ids) == 1)
    return smsc


def test_the_simulator_knows_what_became_of_a_message() -> None:
    """ENROUTE until the receipt is due, then its state; strange ids and senders are refused; the journal has all."""

    async def main() -> None:
        customer = Customer()
        async with trio.open_nursery() as nursery:
            smsc = await _scene(customer, nursery, query="answer", receipt_ms=(100, 100))
            assert await customer.ask(Command.QUERY_SM) == (0, 1)
            await eventually(lambda: customer.receipts == ["DELIVRD"])
            assert await customer.ask(Command.QUERY_SM) == (0, 2)
            assert await customer.ask(Command.QUERY_SM, "nobody's") == (c.ESME_RINVMSGID, -1)
            assert await customer.ask(Command.QUERY_SM, sender="Other") == (0x67, -1)
            assert (smsc.stats.queries, [each.answer is not None for each in smsc.questions]) == (4, [True] * 4)
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_the_simulator_cancels_what_is_under_way_only() -> None:
    """A cancelled message's receipt says DELETED and no other comes; a second cancel, or one too late, fails."""

    async def main() -> None:
        customer = Customer()
        async with trio.open_nursery() as nursery:
            smsc = await _scene(customer, nursery, query="answer", cancel="answer", receipt_ms=(150, 150))
            assert await customer.ask(Command.CANCEL_SM) == (0, -1)
            assert await customer.ask(Command.QUERY_SM) == (0, 4)
            await trio.sleep(0.3)
            assert customer.receipts == ["DELETED"]
            assert await customer.ask(Command.CANCEL_SM) == (0x11, -1)
            customer.link.queue([(TEMPLATE.body("447700900002", b"late"), "b")])
            await eventually(lambda: customer.receipts == ["DELETED", "DELIVRD"])
            assert await customer.ask(Command.CANCEL_SM, customer.ids[1]) == (0x11, -1)
            assert (smsc.stats.cancels, smsc.stats.cancelled) == (3, 1)
            nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.parametrize(("way", "status"), [("no", c.ESME_RINVCMDID), ("refuse", 0x67), ("silent", None)])
def test_the_simulator_may_not_want_to_say(way: str, status: int | None) -> None:
    """Without query_sm, refusing it, and silent about it, as the scenario says; messages go on as ever."""

    async def main() -> None:
        customer = Customer()
        rules = (Rule(Fate(Outcome.NO_RECEIPT, truth="UNDELIV"), number="447700900001"),)
        async with trio.open_nursery() as nursery:
            await _scene(customer, nursery, query=way, rules=rules)
            if status is None:
                customer.link.ask(Pdu(Command.QUERY_SM, {"message_id": customer.ids[0], "source_addr": "Sender"}), "q")
                await eventually(lambda: customer.silent == 1)
            else:
                assert await customer.ask(Command.QUERY_SM) == (status, -1)
            customer.link.queue([(TEMPLATE.body("447700900002", b"more"), "b")])
            await eventually(lambda: customer.receipts == ["DELIVRD"])
            nursery.cancel_scope.cancel()

    trio.run(main)
