"""The simulated SMSC: scenario files, limits, fates, controls; over real sockets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from smpp import constants as c
from smpp.codec import SubmitSm, SubmitTemplate, decode_deliver_sm, decode_submit_sm, deliver_sm_body, pdu
from smpp.events import Events
from smpp.link import Ended, Link
from smpp.receipts import parse as parse_receipt
from smpp.session import Login, Session, SessionSettings
from smpp.simulator import forms
from smpp.simulator.control import obey, serve_control
from smpp.simulator.meter import SlidingCount
from smpp.simulator.receipts import ReceiptWriter
from smpp.simulator.scenario import Account, Fate, Outcome, Rule, Scenario, ScenarioError, Weighted, load, parse
from smpp.simulator.smsc import Simulator, serve
from smpp.simulator.temper import Temper
from smpp.simulator.wheel import Wheel
from tests.smpp.smscs import eventually

TEMPLATE = SubmitTemplate("Sender", source_ton=5, source_npi=0, dest_ton=1, dest_npi=1)
PLAIN = Scenario(accounts=(Account("shop", "secret", sessions_max=2),), listen="127.0.0.1:0")


class Customer:
    """An ESME that gathers answers and receipts, and answers the latter."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, str]] = {}
        self.receipts: list[tuple[str, str]] = []
        self.order: list[str] = []
        self.refused: int | None = None
        self.ended: Ended[str] | None = None
        self.bound = False
        self.receipt_status = 0  # what receipts are answered with; -1: nothing
        self.link: Link[str]
        self._changed = trio.Event()

    async def run(self, port: int, login: Login) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        session: Session[str] = Session(SessionSettings(window=2000, drain_s=0.1), login)
        self.link = Link(stream, session, on_events=self._on_events, tick_s=0.02)
        self.ended = await self.link.run()
        self._change()

    def _on_events(self, events: Events[str]) -> None:
        self.bound |= events.bound
        self.refused = events.refused if events.refused is not None else self.refused
        for token, status, message_id in events.answers:
            self.answers[token] = (status, message_id)
            self.order.append("answer")
        for deliver in events.delivers:
            receipt = parse_receipt(deliver)
            if receipt is not None:
                self.receipts.append((receipt.id, receipt.state))
                self.order.append("receipt")
        if self.receipt_status >= 0:
            self.link.answer([deliver.sequence for deliver in events.delivers], self.receipt_status)
        self._change()

    def send(self, *numbers: str, text: bytes = b"hello") -> None:
        """One submit to each number; the number is the token."""
        self.link.queue([(TEMPLATE.body(number, text), number) for number in numbers])

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        with trio.fail_after(5):
            while not holds():
                await self._changed.wait()


async def join(nursery: trio.Nursery, smsc: Simulator, login: Login | None = None) -> Customer:
    """A customer whose bind has been answered."""
    customer = Customer()
    nursery.start_soon(customer.run, smsc.port, login or Login("shop", "secret"))
    await customer.until(lambda: customer.bound or customer.refused is not None)
    return customer


def play(
    test: Callable[[Simulator, Customer, trio.Nursery], Awaitable[None]], scenario: Scenario = PLAIN, **options: bool
) -> None:
    """Runs `test` with a simulator and one bound customer."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:

            async def start(task_status: trio.TaskStatus[Simulator] = trio.TASK_STATUS_IGNORED) -> None:
                await serve(scenario, record=options.get("record", False), task_status=task_status)

            smsc: Simulator = await nursery.start(start)
            await test(smsc, await join(nursery, smsc), nursery)
            nursery.cancel_scope.cancel()

    trio.run(main)


def fated(**fates: Fate) -> Scenario:
    """A scenario with one fate for each number n<digits>."""
    return replace(PLAIN, rules=tuple(Rule(fate, number=name[1:]) for name, fate in fates.items()))


# -- fates ---------------------------------------------------------------------------------------------------------------


def test_delivered() -> None:
    """Every submit is accepted under its own id and gets a DELIVRD receipt for it; all are counted and answered."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        customer.send(*map(str, range(500)))
        await customer.until(lambda: len(customer.receipts) == 500)
        ids = {message_id for status, message_id in customer.answers.values() if status == 0}
        assert len(ids) == 500
        assert {(message_id, "DELIVRD") for message_id in ids} == set(customer.receipts)
        await customer.link.close()
        assert (smsc.stats.submits, smsc.stats.accepted, smsc.stats.receipts_answered) == (500, 500, 500)

    play(test)


def test_ids_are_new_after_a_restart() -> None:
    """Two starts never give the same id."""
    assert Simulator(PLAIN)._ids // 10**9 != Simulator(PLAIN)._ids // 10**9


@pytest.mark.parametrize(
    ("fate", "status", "states"),
    [
        (Fate(Outcome.UNDELIVERED, state="REJECTD", code="007"), 0, ["REJECTD"]),
        (Fate(Outcome.TEMPORARY), c.ESME_RSYSERR, []),
        (Fate(Outcome.PERMANENT), c.ESME_RINVDSTADR, []),
        (Fate(Outcome.PERMANENT, status=0x45), 0x45, []),
        (Fate(Outcome.THROTTLED), c.ESME_RTHROTTLED, []),
        (Fate(Outcome.THROTTLED_WITH_ID), c.ESME_RTHROTTLED, ["DELIVRD"]),
        (Fate(Outcome.NO_RECEIPT), 0, []),
        (Fate(Outcome.RECEIPT_TWICE), 0, ["DELIVRD", "DELIVRD"]),
        (Fate(Outcome.NO_ID), 0, ["DELIVRD"]),
    ],
)
def test_fates(fate: Fate, status: int, states: list[str]) -> None:
    """Answer and receipts are those of the number's fate; the next number is not touched by it."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        customer.send("1", "2")
        await customer.until(lambda: len(customer.answers) == 2 and len(customer.receipts) == len(states) + 1)
        assert customer.answers["1"][0] == status
        assert [state for _, state in customer.receipts[: len(states)]] == states
        has_id = (status == 0 or bool(states)) and fate.outcome is not Outcome.NO_ID
        assert bool(customer.answers["1"][1]) is has_id
        assert customer.answers["2"][0] == 0

    play(test, fated(n1=fate))


def test_times_are_counted_per_number_and_text() -> None:
    """`times` refusals, then it goes through; another text or number starts anew; a new UDH reference does not."""
    temper = Temper(fated(n1=Fate(Outcome.TEMPORARY, times=2), n2=Fate(Outcome.UNDELIVERED, times=1)))

    def judge(number: str, text: bytes, esm_class: int = 0) -> tuple[int, list[str]]:
        template = SubmitTemplate("S", source_ton=5, source_npi=0, dest_ton=1, dest_npi=1, esm_class=esm_class)
        verdict = temper.judge(decode_submit_sm(pdu(c.SUBMIT_SM, 0, 1, template.body(number, text))))
        return verdict.status, [state for state, _ in verdict.receipts]

    assert [judge("1", b"a")[0] for _ in range(3)] == [8, 8, 0]
    assert judge("+1", b"b")[0] == 8
    assert [judge("1", bytes((5, 0, 3, n, 2, 1)) + b"part", 0x40)[0] for n in range(3)] == [8, 8, 0]
    assert judge("1", bytes((5, 0, 3, 9, 2, 2)) + b"part", 0x40)[0] == 8
    assert [judge("2", b"a")[1] for _ in range(2)] == [["UNDELIV"], ["DELIVRD"]]


def test_receipt_overtakes_the_answer() -> None:
    """receipt_first: the receipt is there before the answer."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        customer.send("1")
        await customer.until(lambda: len(customer.order) == 2)
        assert customer.order == ["receipt", "answer"]

    play(test, fated(n1=Fate(Outcome.RECEIPT_FIRST)))


@pytest.mark.parametrize("outcome", [Outcome.DROP, Outcome.GARBAGE])
def test_links_that_break(outcome: Outcome) -> None:
    """drop cuts the link with its `times`-th submit, garbage ends it by lost framing; the submit stays unknown."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        customer.send("1")
        await customer.until(lambda: customer.ended is not None)
        assert customer.ended is not None
        assert customer.ended.unknown == ["1"]
        again = await join(nursery, smsc)
        again.send("2")
        await again.until(lambda: again.answers["2"][0] == 0 if again.answers else False)

    play(test, fated(n1=Fate(outcome)))


def test_no_answer_is_not_settled() -> None:
    """no_answer leaves the submit in flight although its receipt comes."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        customer.send("1")
        await customer.until(lambda: len(customer.receipts) == 1)
        assert (customer.link.session.in_flight, smsc.stats.unanswered) == (1, 1)

    play(test, fated(n1=Fate(Outcome.NO_ANSWER)))


def test_mix_follows_its_weights_and_its_seed() -> None:
    """Numbers without a rule are shared out by weight, the same way for the same seed."""
    scenario = replace(PLAIN, mix=(Weighted(Fate(), 9), Weighted(Fate(Outcome.PERMANENT), 1)))
    submit = decode_submit_sm(pdu(c.SUBMIT_SM, 0, 1, TEMPLATE.body("1", b"")))
    one, other = ([temper.judge(submit).status for _ in range(50)] for temper in (Temper(scenario), Temper(scenario)))
    assert one == other
    temper = Temper(scenario)
    refused = sum(temper.judge(submit).status != 0 for _ in range(2000))
    assert 140 < refused < 260


# -- limits --------------------------------------------------------------------------------------------------------------


def test_rate_in_any_sliding_second() -> None:
    """Exactly `rate` submits pass within the second, the others are answered 0x58 and counted."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        customer.send(*map(str, range(8)))
        await customer.until(lambda: len(customer.answers) == 8)
        assert [status for status, _ in customer.answers.values()] == [0] * 5 + [c.ESME_RTHROTTLED] * 3
        assert (smsc.stats.throttled, smsc.stats.submits_per_second_peak) == (3, 8)

    play(test, replace(PLAIN, rate=5))


def test_a_rate_follows_its_curve_and_is_answered_as_the_scenario_says() -> None:
    """Three a second, after half a second one; beyond it queue full."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        customer.send("1", "2", "3", "4")
        await customer.until(lambda: len(customer.answers) == 4)
        assert [status for status, _ in customer.answers.values()] == [0, 0, 0, c.ESME_RMSGQFUL]
        assert (smsc.stats.throttled, smsc.rate(trio.current_time())) == (1, 3)
        await trio.sleep(1.1)
        customer.send("5", "6")
        await customer.until(lambda: len(customer.answers) == 6)
        assert [status for status, _ in customer.answers.values()][4:] == [0, c.ESME_RMSGQFUL]

    play(test, replace(PLAIN, rate_curve=((0.0, 3), (0.5, 1)), over_rate=c.ESME_RMSGQFUL))


def test_window() -> None:
    """Submits beyond the window get 0x14; the highest number seen is kept."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        customer.send("1", "2", "3", "4")
        await customer.until(lambda: len(customer.answers) == 4)
        assert sorted(status for status, _ in customer.answers.values()) == [0, 0, 0, c.ESME_RMSGQFUL]
        assert (smsc.stats.window_exceeded, smsc.stats.window_peak) == (1, 4)

    play(test, replace(PLAIN, window=3, answer_ms=(50, 50)))


@pytest.mark.parametrize(
    ("login", "status"),
    [(Login("shop", "wrong"), c.ESME_RINVPASWD), (Login("nobody", "secret"), c.ESME_RINVSYSID)],
)
def test_wrong_logins(login: Login, status: int) -> None:
    """Unknown names and wrong passwords are refused with their status."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        assert (await join(nursery, smsc, login)).refused == status
        assert smsc.stats.binds_refused == 1

    play(test)


def test_session_cap() -> None:
    """sessions_max sessions bind, one more is refused, and a place that became free can be taken."""

    async def test(smsc: Simulator, first: Customer, nursery: trio.Nursery) -> None:
        await join(nursery, smsc)
        assert (await join(nursery, smsc)).refused == c.ESME_RALYBND
        await first.link.close()
        await eventually(lambda: len(smsc.server.bound_as("shop")) == 1)
        assert (await join(nursery, smsc)).bound
        assert smsc.stats.sessions_peak["shop"] == 2

    play(test)


def test_receipts_go_to_a_session_that_receives() -> None:
    """A transmitter's receipts come over the receiver of the same system_id, also one that binds later."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        await customer.link.close()
        sender = await join(nursery, smsc, Login("shop", "secret", "tx"))
        sender.send("1")
        await sender.until(lambda: len(sender.answers) == 1)
        assert smsc.snapshot()["receipts_waiting"] == 1
        receiver = await join(nursery, smsc, Login("shop", "secret", "rx"))
        await receiver.until(lambda: len(receiver.receipts) == 1)

    play(test)


def test_receipts_that_nobody_took_come_again() -> None:
    """A receipt refused, or unanswered when its link died, is sent again until it is answered well."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        customer.receipt_status = c.ESME_RX_T_APPN
        customer.send("1")
        await customer.until(lambda: len(customer.receipts) == 2)
        customer.receipt_status = -1
        await customer.until(lambda: len(customer.receipts) == 3)
        customer.link.drop()
        again = await join(nursery, smsc)
        await again.until(lambda: len(again.receipts) == 1)
        await eventually(lambda: smsc.stats.receipts_answered == 1)
        assert set(customer.receipts) == set(again.receipts)

    play(test, replace(PLAIN, receipt_retry_ms=20))


# -- controls ------------------------------------------------------------------------------------------------------------


def test_down_and_up() -> None:
    """down cuts every link and refuses connections; up listens on the same port."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        await smsc.down()
        await customer.until(lambda: customer.ended is not None)
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream("127.0.0.1", smsc.port)
        await smsc.up()
        assert (await join(nursery, smsc)).bound

    play(test)


def test_stalled_holds_and_releases() -> None:
    """While stalled nothing is answered; afterwards everything is."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        smsc.stall(True)
        customer.send("1", "2")
        with trio.move_on_after(0.1):
            await customer.until(lambda: bool(customer.order))
        assert customer.order == []
        smsc.stall(False)
        await customer.until(lambda: len(customer.answers) == 2 == len(customer.receipts))

    play(test)


def test_record_keeps_what_came() -> None:
    """With record, every submit is there with its fields, session and answer."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        customer.send("447700900001", text=b"hi")
        await customer.until(lambda: len(customer.answers) == 1)
        (received,) = smsc.received
        assert (received.submit.destination_addr, received.submit.short_message) == ("447700900001", b"hi")
        assert (received.status, received.message_id) == customer.answers["447700900001"]
        smsc.reset()
        assert (len(smsc.received), smsc.stats.submits) == (0, 0)

    play(test, record=True)


def test_control_lines(tmp_path: Path) -> None:
    """The control socket answers each line with one line, unknown ones with what there is."""

    async def test(smsc: Simulator, customer: Customer, nursery: trio.Nursery) -> None:
        path = trio.Path(tmp_path / "control")
        nursery.start_soon(serve_control, smsc, f"unix:{path}")
        for _ in range(500):
            if await path.is_socket():
                break
            await trio.sleep(0.01)
        stream = await trio.open_unix_socket(str(path))
        await stream.send_all(b"stats\nnonsense\ndrop\n")
        answer = b""
        while answer.count(b"\n") < 3:
            answer += await stream.receive_some()
        lines = answer.decode().splitlines()
        assert lines[0].startswith('ok {"binds": 1')
        assert lines[1].startswith("error unknown command; one of: stats")
        assert lines[2] == "ok 1"
        await customer.until(lambda: customer.ended is not None)
        assert await obey(smsc, "stalled on") == "ok"
        assert smsc.stalled
        await stream.aclose()

    play(test)


# -- parts ---------------------------------------------------------------------------------------------------------------


def test_receipt_writer_equals_the_codec() -> None:
    """The hot writer's bytes are what codec.deliver_sm_body writes."""
    submit = decode_submit_sm(pdu(c.SUBMIT_SM, 0, 1, TEMPLATE.body("447700900001", b"x")))
    body = ReceiptWriter().body(submit, "123", "UNDELIV", "011", 1_700_000_000.0)
    text = b"id:123 sub:001 dlvrd:000 submit date:2311142213 done date:2311142213 stat:UNDELIV err:011 text:"
    expected = deliver_sm_body(
        "447700900001", "Sender", text, dest_ton=5, dest_npi=0, esm_class=4, tlvs={0x1E: b"123\0", 0x427: b"\x05"}
    )
    assert body == expected
    receipt = parse_receipt(decode_deliver_sm(pdu(c.DELIVER_SM, 0, 1, body)))
    assert receipt is not None
    assert (receipt.id, receipt.state, receipt.code) == ("123", "UNDELIV", "011")


@pytest.mark.parametrize("state", ["DELIVRD", "UNDELIV", "DND_REJECTED"])
def test_receipt_forms_begin_as_the_plain_one(state: str) -> None:
    """The writer of all forms, told nothing, writes what the fast one writes."""
    submit = SubmitSm(source_addr="Shop", source_addr_ton=5, destination_addr="4915112345678", dest_addr_ton=1, dest_addr_npi=1)
    plain = ReceiptWriter().body(submit, "77", state, "001", 1_700_000_000.0)
    assert forms.FormWriter(forms.PLAIN).body(submit, "77", state, "001", 1_700_000_000.0) == plain


def test_wheel() -> None:
    """Nothing comes before its time; what is due comes by key, in order."""
    wheel: Wheel[str, int] = Wheel()
    for at, key, value in ((1.0, "a", 1), (0.5, "b", 2), (1.0, "a", 3)):
        wheel.add(at, key, value)
    assert (wheel.next_at, wheel.waiting) == (0.5, 3)
    assert wheel.due(0.499) == []
    assert wheel.due(1.0) == [("b", [2]), ("a", [1, 3])]
    assert wheel.next_at is None


def test_sliding_count() -> None:
    """A second is over exactly one second later."""
    count = SlidingCount()
    assert [count.add(2, 0.0), count.add(1, 0.999), count.at(1.0)] == [2, 3, 1]


GOOD = '[[login]]\nsystem_id = "shop"\npassword = "secret"\n'


def test_scenario_file(tmp_path: Path) -> None:
    """Every kind of entry is read."""
    path = tmp_path / "scenario.toml"
    path.write_text(
        'listen = "127.0.0.1:0"\nrate = 500\nrate_curve = [[0, 100], [1.5, 40]]\nanswer_ms = [5, 20]\nreceipt_ms = 7\n'
        + GOOD
        + '[[rule]]\nsuffix = "01"\noutcome = "temporary"\nstatus = "0x08"\ntimes = 2\n'
        + '[[mix]]\nweight = 3\noutcome = "undelivered"\ncode = "011"\n'
    )
    scenario = load(path)
    assert scenario.rate_curve == ((0.0, 100), (1.5, 40))
    assert (scenario.rate, scenario.answer_ms, scenario.receipt_ms) == (500, (5.0, 20.0), (7.0, 7.0))
    assert scenario.accounts == (Account("shop", "secret"),)
    assert scenario.rules == (Rule(Fate(Outcome.TEMPORARY, 8, times=2), suffix="01"),)
    assert scenario.mix == (Weighted(Fate(Outcome.UNDELIVERED, code="011"), 3.0),)
    assert "secret" not in repr(scenario)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "login: there is none; add"),
        ("listen = 5\n" + GOOD, "listen: 5 is not text; put it in quotes"),
        ('listen = "here"\n' + GOOD, "listen: 'here' is not host:port; write"),
        ("ratte = 5\n" + GOOD, "ratte: unknown key; one of"),
        ('[[login]]\nsystem_id = "x"\n', "login 1: password: missing; add it"),
        ("rate_curve = [[5, 9], [1, 3]]\n" + GOOD, r"rate_curve: .* is not \[\[seconds, rate\], ...\] in order"),
        ("rate_curve = [5]\n" + GOOD, "rate_curve: .* is not"),
        ("answer_ms = [9, 1]\n" + GOOD, r"answer_ms: \[9, 1\] is not \[least, most\]"),
        (GOOD + '[[rule]]\nnumber = "1"\noutcome = "lost"\n', "rule 1: outcome 'lost' is unknown; one of delivered"),
        (GOOD + '[[rule]]\noutcome = "delivered"\n', "rule 1: 0 of number, suffix, prefix; give exactly one"),
        (GOOD + '[[rule]]\nnumber = "1"\nstatus = "bad"\n', "rule 1: status 'bad' is no number"),
        (GOOD + "[[mix]]\nweight = 0\n", "mix 1: weight 0.0 is not positive; leave"),
        ("=", "not TOML"),
        ('receipt_per = "part"\n' + GOOD, "receipt_per: 'part' is unknown; one of segment"),
        ('query = "yes"\n' + GOOD, "query: 'yes' is unknown; one of no, answer"),
        ('cancel = "yes"\n' + GOOD, "cancel: 'yes' is unknown; one of no, answer"),
        ('answer_ids = "oct"\n' + GOOD, "answer_ids: 'oct' is unknown; one of dec"),
        (GOOD + '[receipt]\ntlvs = "some"\n', "receipt: tlvs: 'some' is unknown; one of both"),
        (GOOD + '[receipt]\ntext = "{nothing}"\n', "receipt: text: KeyError; only id"),
        (GOOD + "[receipt]\nnul = 1\n", "receipt: nul: 1 is neither true nor false"),
        ("receipt = 5\n" + GOOD, "receipt: not a table"),
        ("rate_curve = [[0, inf]]\n" + GOOD, r"rate_curve: \[\[0, inf\]\] is not \[\[seconds, rate\], ...\] in order"),
        ("answer_ms = nan\n" + GOOD, r"answer_ms: nan is not \[least, most\]"),
    ],
)
def test_scenario_errors_name_key_and_remedy(text: str, complaint: str) -> None:
    """What cannot be meant so is refused by name."""
    with pytest.raises(ScenarioError, match=complaint) as caught:
        parse(text)
    assert caught.value.remedy


def test_a_scenario_error_holds_what_is_wrong_and_the_remedy_apart(tmp_path: Path) -> None:
    """Whatever stands in the value; the file's name belongs to what is wrong."""
    file = tmp_path / "scenario.toml"
    file.write_text(f'{GOOD}[[rule]]\nprefix = "1"\nstatus = "a; b"\n')
    with pytest.raises(ScenarioError) as caught:
        load(file)
    assert caught.value.what == f"{file}: rule 1: status 'a; b' is no number"
    assert caught.value.remedy == 'write for example "0x58"'
    assert str(caught.value) == f"{caught.value.what}; {caught.value.remedy}"


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """Named, with its remedy; no traceback."""
    file = tmp_path / "scenario.toml"
    file.write_bytes(f"# caf\xe9\n{GOOD}".encode("latin-1"))
    with pytest.raises(ScenarioError, match="octet 5 is not UTF-8; save it as UTF-8"):
        load(file)


def test_as_a_process(tmp_path: Path) -> None:
    """It says where it listens in one line, ends well on SIGTERM, and refuses a bad scenario with 2 and a reason."""
    command = [sys.executable, "-m", "smpp.simulator", "--scenario", str(tmp_path / "scenario.toml")]
    (tmp_path / "scenario.toml").write_text(GOOD)
    with subprocess.Popen([*command, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["port"] > 0
        process.terminate()
        assert process.wait(5) == 0
    (tmp_path / "scenario.toml").write_text("rate = 5")
    refused = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert refused.returncode == 2
    assert "scenario.toml: login: there is none" in refused.stderr
