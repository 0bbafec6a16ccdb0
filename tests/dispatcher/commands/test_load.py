"""`dispatcher load`: its plan is what was asked for, its counts can fail, and a whole run ends by itself with the truth."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher.cli import build_parser, main
from dispatcher.commands.load import command, plot, processes, report
from dispatcher.commands.load.door import Pace
from dispatcher.commands.load.follow import Follower
from dispatcher.commands.load.histogram import LEAST_MS, Histogram
from dispatcher.commands.load.own import Wish, own
from dispatcher.commands.load.plan import COUNT_MAX, PRESETS, Part, Plan, due, parse_mix, turns, writer
from dispatcher.commands.load.play import Moment, Result
from dispatcher.core.model import Send
from dispatcher.ops.errors import OpsError
from smpp.segments import count
from smpp.text import Encoding, gsm7
from tests.conftest import RealServer

PLAN = Plan(
    run="load-1",
    door="stream",
    url="redis://127.0.0.1:1",
    prefix="sms:",
    http="127.0.0.1:1",
    accounts=("a", "b"),
    keys=(),
    parts=parse_mix("2:gsm1,1:ucs2:otp"),
    sender="",
    numbers="+447900000000",
    rate=100.0,
    ramp_s=0.0,
    for_s=10.0,
    count=0,
    warm_up=0,
    open_max=1000,
    chunk=1,
    connections=4,
)


def _with(**changed: Any) -> Plan:
    return msgspec.structs.replace(PLAN, **changed)


# -- the plan ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ramp_s", "elapsed_s", "expected"), [(0, 0, 0), (0, 1, 100), (4, 2, 50), (4, 4, 200), (4, 5, 300), (4, 3.999, 199)]
)
def test_the_rate_rises_evenly_and_then_stays(ramp_s: float, elapsed_s: float, expected: int) -> None:
    """Half of a ramp's time has sent a quarter of what its end has, and its end half of what the full rate would have."""
    assert due(100, ramp_s, elapsed_s) == expected


@pytest.mark.parametrize("words", ["rate inf", "rate nan", "ramp -1", "for 1e9", "patience inf", "carrier-rate inf"])
def test_a_number_that_cannot_be_meant_is_refused_by_its_name(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    name, value = words.split()
    assert main(["load", "--own", "--rate", "1", "--count", "1", f"--{name}", value]) == 1
    assert f"--{name} {float(value):g}; 0 to " in capsys.readouterr().err


@pytest.mark.parametrize("text", sorted(PRESETS.values()))
def test_a_mix_is_taken_by_its_weights(text: str) -> None:
    """Each part comes as often as its weight within one round, and never all at once."""
    parts = parse_mix(text)
    order = turns(parts)
    assert [order.count(index) for index in range(len(parts))] == [part.weight for part in parts]
    assert len(parts) == 1 or any(a != b for a, b in pairwise(order))


@pytest.mark.parametrize("text", ["", "gsm1", "0:gsm1", "1001:gsm1", "1:gsm4", "1:gsm1:urgent", "1:gsm1,,1:gsm1", "nosuch"])
def test_a_mix_that_cannot_be_meant_is_refused_by_its_part(text: str) -> None:
    """The error names the part and what may be written."""
    with pytest.raises(OpsError, match="--mix"):
        parse_mix(text)


@pytest.mark.parametrize("alphabet", ["gsm", "ucs"])
@pytest.mark.parametrize("segments", [1, 2, 3])
def test_texts_have_as_many_segments_as_they_say(alphabet: str, segments: int) -> None:
    """The project's own segmentation agrees with the name of the part, and the encoding is the announced one."""
    write = writer(_with(parts=(Part(1, alphabet, segments, "bulk"),)))
    send = msgspec.json.decode(write(99_999_999, 1), type=Send)
    assert send.text is not None
    encoding = Encoding.UCS2 if gsm7(send.text) is None else Encoding.GSM7
    assert encoding.name.lower()[:3] == alphabet
    assert count(send.text, encoding) == segments


def test_messages_carry_number_account_class_and_ref() -> None:
    """Accounts and parts take turns; text, number and ref differ from message to message; it is a Send."""
    write = writer(PLAN)
    sends = [msgspec.json.decode(write(n, 1_700_000_000_000 + n), type=Send) for n in range(6)]
    assert [send.account for send in sends] == ["a", "b"] * 3
    assert [send.lane for send in sends].count("otp") == 2
    assert [send.ref for send in sends][:2] == ["load-1.0.1700000000000", "load-1.1.1700000000001"]
    assert len({send.to for send in sends}) == len({send.text for send in sends}) == 6
    assert msgspec.json.decode(writer(_with(door="http"))(0, 0), type=Send).account is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, 1000),
        ({"count": 7}, 7),
        ({"count": 7, "warm_up": 5}, 12),
        ({"rate": 0.0}, COUNT_MAX),
        ({"count": 10**9}, 1000),
    ],
)
def test_a_load_is_bounded(changed: dict[str, Any], expected: int) -> None:
    """By its count, by its time at its rate, and by what following may cost."""
    assert _with(**changed).total_max == expected


def test_pace_never_exceeds_rate_room_or_count() -> None:
    """What is due at the rate, within the room that finals leave, and no more than the count; the warm-up waits for `go`."""
    clock = [0.0]
    pace = Pace(_with(warm_up=5, count=300, open_max=120), now=lambda: clock[0])
    assert pace.may(500) == 5
    pace.sent = 5
    assert pace.may(500) == 0
    clock[0] = 50.0
    pace.hear("go\n")
    assert pace.may(500) == 0
    clock[0] = 51.0
    assert pace.may(500) == 100
    assert pace.may(30) == 30
    clock[0] = 55.0
    assert pace.may(500) == 115
    pace.hear("open 100\n")
    assert pace.may(500) == 215
    pace.hear("open 5000\n")
    assert pace.may(500) == 300
    pace.sent = 305
    assert pace.done
    assert not Pace(PLAN).done
    silent = Pace(PLAN)
    silent.hear("")
    assert silent.done


# -- counting ----------------------------------------------------------------------------------------------------------


def test_quantiles_are_good_to_two_percent() -> None:
    """Against the exact ones of a thousand values; nothing and everything are counted, too."""
    histogram = Histogram()
    for ms in range(1, 1001):
        histogram.add(float(ms))
    for part in (0.5, 0.9, 0.99, 1.0):
        assert abs(histogram.quantile(part) / (part * 1000) - 1) < 0.025
    assert Histogram().figures() == {"p50": 0.0, "p90": 0.0, "p99": 0.0, "p999": 0.0, "max": 0.0, "count": 0}
    histogram.add(0.0)
    histogram.add(1e12)
    assert histogram.count == 1002
    assert histogram.curve()[0][0] == LEAST_MS
    assert histogram.curve()[-1][1] == 1.0


@pytest.fixture
def follower(server: RealServer) -> Follower:
    """One that reads nothing yet: events are handed to it."""
    return Follower(server.url, "sms:", "load-1", warm_up=1, began_ms=1000)


def _told(follower: Follower, n: int, *states: str, message: str = "", refined: bool = False) -> None:
    for step, state in enumerate(states):
        follower.take(n, 1000, message or f"id{n}", state, 2, refined, 1010 + 10 * step)


def test_the_follower_counts_each_message_once(follower: Follower) -> None:
    """States and segments of every message; latencies only of those behind the warm-up."""
    for n in range(3):
        _told(follower, n, "queued", "submitted", "delivered")
    assert (follower.queued, follower.submitted, follower.finals, follower.segments) == (3, 3, 3, 6)
    assert (follower.doubled, follower.repeated) == (0, 0)
    assert follower.states == {"delivered": 3}
    assert [h.count for h in (follower.accept, follower.submit, follower.deliver)] == [2, 2, 2]
    assert abs(follower.deliver.quantile(0.5) - 20) < 0.5


def test_the_follower_tells_a_double_from_a_repeat(follower: Follower) -> None:
    """Another id for the same send, or a second end, is a double; the same row again is a repeat; a refinement is neither."""
    _told(follower, 0, "queued", "queued", "submitted", "submitted")
    assert (follower.doubled, follower.repeated) == (0, 1)
    _told(follower, 0, "queued", message="another")
    assert follower.doubled == 1
    _told(follower, 0, "delivered", "delivered")
    assert follower.doubled == 2
    _told(follower, 9000, "queued", "unknown")
    _told(follower, 9000, "delivered", refined=True)
    assert (follower.doubled, follower.finals) == (2, 2)
    assert +follower.states == {"delivered": 2}


def _result(**changed: Any) -> Result:
    values: dict[str, Any] = {
        "plan": PLAN,
        "sent": 10,
        "accepted": 10,
        "refused": {},
        "states": {"delivered": 10},
        "segments": 10,
        "lost": 0,
        "doubled": 0,
        "repeated": 0,
        "measured": 10,
        "took_s": 2.0,
        "late_ms": 0.0,
        "latency": {name: Histogram().figures() for name in ("accept", "submit", "deliver")},
        "curves": {"submit": [(1.0, 0.5), (300.0, 1.0)]},
        "spent": {"engine-0": processes.Spent(1, 0.5, 40.0), "carrier": processes.Spent(2, 0.1, 9.0)},
        "moments": [Moment(0.5, 5, 5, 4, 3), Moment(1.0, 10, 10, 10, 9)],
    }
    return Result(**(values | changed))


@pytest.mark.parametrize("changed", [{"lost": 1}, {"doubled": 1}, {"states": {"delivered": 9, "unknown": 1}}, {"failed": "x"}])
def test_anything_lost_doubled_or_unknown_is_no_success(changed: dict[str, Any]) -> None:
    """One message is enough."""
    assert _result().ok
    assert not _result(**changed).ok


def test_the_report_sums_only_what_is_the_dispatchers() -> None:
    """Microseconds a message of each process; the carrier's are shown and not summed."""
    assert report.cpu(_result()) == {"engine-0": 50_000.0, "carrier": 10_000.0, "together": 50_000.0}
    assert report.as_json(_result(), 0)["per_s"] == 5.0
    assert any("lost 3 (accepted, and no final state was told)" in line for line in report.lines(_result(lost=3)))


def test_the_picture_is_well_formed() -> None:
    """With figures, and with none at all."""
    for result in (_result(), _result(moments=[], curves={})):
        assert ET.fromstring(plot.picture(result)).tag.endswith("svg")


def test_cpu_of_a_replaced_process_counts_whole() -> None:
    """A process that died and came back is not a negative number."""
    before = {"engine-0": processes.Spent(7, 5.0, 1.0), "gone": processes.Spent(8, 1.0, 1.0)}
    after = {"engine-0": processes.Spent(9, 0.5, 1.0)}
    assert processes.between(before, after) == after


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "--count 5",
        "--rate 5 --flat-out --count 5",
        "--rate 5",
        "--flat-out --count 5 --ramp 2",
        "--rate 5 --for 2 --ramp 3",
        "--flat-out --count 10000001",
        "--flat-out --count 5 --chunk 1001",
        "--flat-out --count 5 --scenario x.toml",
    ],
)
def test_contradictions_are_refused(words: str) -> None:
    """Before anything is started."""
    with pytest.raises(OpsError):
        command._check(build_parser().parse_args(["load", *words.split()]))


@pytest.mark.parametrize(("host", "allowed"), [("127.0.0.1", True), ("localhost", True), ("192.0.2.1", False)])
def test_only_carriers_on_this_machine_are_loaded(host: str, allowed: bool) -> None:
    """Whoever wants to load a real carrier must say so: it costs money."""
    if allowed:
        command._only_loopback([("c", host)])
    else:
        with pytest.raises(OpsError, match="--real-carriers"):
            command._only_loopback([("c", host)])


def _load(*words: str, folder: Path) -> tuple[int, dict[str, Any]]:
    whole = [sys.executable, "-m", "dispatcher", "load", "--json", *words]
    ended = subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


@pytest.mark.process
def test_a_small_load_is_delivered_whole(tmp_path: Path) -> None:
    """Everything accepted is delivered, charged and at the carrier once; latencies and the CPU of every process are there."""
    words = ["--own", "--flat-out", "--count", "300", "--warm-up", "20", "--mix", "mixed", "--out", "x"]
    code, found = _load(*words, folder=tmp_path)
    assert (code, found["ok"]) == (0, True)
    assert found["accepted"] == found["states"]["delivered"] == 320
    assert (found["lost"], found["doubled"], found["unknown"], found["refused"]) == (0, 0, 0, {})
    assert found["segments"] == found["carrier"]["taken"] == found["carrier"]["charged"] > 320
    assert [found["latency_ms"][name]["count"] for name in ("accept", "submit", "deliver")] == [300, 300, 300]
    assert {"engine-0", "http-0", "server-0", "carrier", "together"} <= found["cpu_us"].keys()
    assert found["cpu_us"]["engine-0"] > 0
    assert json.loads((tmp_path / "x.json").read_text()) == found
    assert "<svg" in (tmp_path / "x.svg").read_text()


@pytest.mark.process
def test_a_running_dispatcher_is_loaded_over_http(tmp_path: Path) -> None:
    """With nothing but its configuration and a key; a key that nobody has is refused, which is neither lost nor a success of
    the load's."""
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with own(Wish()) as installed:
        keys = tmp_path / "keys"
        keys.write_text(installed.key + "\n", encoding="utf-8")
        words = ["--config", str(installed.world.config_path), "--door", "http", "--key-file", str(keys)]
        words += ["--rate", "100", "--ramp", "1", "--for", "2"]
        code, found = _load(*words, folder=tmp_path)
        keys.write_text("wrong.key\n", encoding="utf-8")
        wrong, refused = _load(*words, "--patience", "3", folder=tmp_path)
        charged = installed.charged()
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    assert (code, found["ok"], found["accepted"], found["states"]) == (0, True, 150, {"delivered": 150})
    assert found["latency_ms"]["accept"]["count"] == 150
    assert {"engine-0", "http-0", "server-0"} <= found["cpu_us"].keys()
    assert (wrong, refused["accepted"], refused["refused"]) == (1, 0, {"http 401": 150})
    assert charged == 150


@pytest.mark.process
def test_a_carrier_that_drops_is_not_called_a_success(tmp_path: Path) -> None:
    """Messages without a receipt end nowhere within the patience: they are reported lost, and the exit code says so."""
    scenario = tmp_path / "drops.toml"
    scenario.write_text(
        '[[login]]\nsystem_id = "x"\npassword = "x"\n[[rule]]\nsuffix = "7"\noutcome = "no_receipt"\n'
        '[[mix]]\nweight = 1\noutcome = "delivered"\n',
        encoding="utf-8",
    )
    words = ["--own", "--rate", "200", "--count", "100", "--warm-up", "0", "--patience", "4", "--scenario", str(scenario)]
    code, found = _load(*words, folder=tmp_path)
    assert (code, found["ok"]) == (1, False)
    assert (found["accepted"], found["states"], found["lost"]) == (100, {"delivered": 90}, 10)


@pytest.mark.process
def test_retries_that_a_carrier_causes_are_not_called_doubled(tmp_path: Path) -> None:
    """A handset that is absent once costs the carrier two segments and the message one."""
    scenario = tmp_path / "absent.toml"
    scenario.write_text(
        '[[login]]\nsystem_id = "x"\npassword = "x"\n[[mix]]\noutcome = "undelivered"\ncode = "001"\ntimes = 1\n',
        encoding="utf-8",
    )
    words = ["--own", "--rate", "200", "--count", "20", "--warm-up", "0", "--patience", "30", "--scenario", str(scenario)]
    code, found = _load(*words, folder=tmp_path)
    assert (code, found["doubled"], found["states"]) == (0, 0, {"delivered": 20})
    assert found["carrier"]["taken"] > found["segments"] == 20


@pytest.mark.parametrize(("command", "code"), [(["load", "--own", "--rate", "10", "--for", "1"], 1), (["smsc"], 2)])
def test_a_scenario_that_cannot_be_meant_is_told_with_its_remedy(
    command: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, key and what to do; no traceback."""
    file = tmp_path / "carrier.toml"
    file.write_text("rate = 300\n", encoding="utf-8")
    assert main([*command, "--scenario", str(file)]) == code
    told = capsys.readouterr().err
    assert told == f"error: {file}: login: there is none; add a [[login]] with system_id and password\n"
