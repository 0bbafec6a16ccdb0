"""The short form of `python -m tests.fuzz`: every decoder, the same inputs each time; and that a run sees what is wrong."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.fuzz.decoders import DECODERS, Decoder
from tests.fuzz.plain import inputs
from tests.fuzz.run import BLOCKS_MAX, Hung, Leaked, Run, in_turn, plainly, watch
from tests.fuzz.tally import Instalments, code_of, sums

EXECUTIONS = 2_000
LONG_BYTES = 60_000
LONG_CPU_S = 0.5
"""What an input of 60,000 octets may cost; linear ones cost 0.05 at most, the quadratic unpacking that was found 0.8."""


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_any_bytes(decoder: Decoder) -> None:
    """Only typed errors, every law of the decoder, and memory that does not grow with executions."""
    assert plainly(decoder, EXECUTIONS, 1).finished


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_time_is_linear(decoder: Decoder) -> None:
    """The longest PDUs of something repeated, behind the head of packed septets and of a PDU, cost little more than reading."""
    check, _ = decoder.load()
    for head in (b"\xc8\0\0\0", b"\0\0\0\x10\x80\0\0\x04" + bytes(8)):
        for pattern in (b"\0", b"id: ", b"\x14\0\0\0"):
            data = (head + pattern * LONG_BYTES)[:LONG_BYTES]
            began = time.process_time()
            check(data)
            assert time.process_time() - began < LONG_CPU_S, (head, pattern)


def test_a_finding_is_said_with_its_input() -> None:
    """What a decoder should not raise ends the run, and the line before tells by which octets."""
    said: list[str] = []
    run = Run("x", lambda data: {b"a": 1}[data], 9, said.append)
    run(b"a")
    with pytest.raises(KeyError):
        run(b"\x00b")
    assert said[-1] == "fuzz: x FOUND after 2 executions: 0062"


def test_a_leak_is_seen() -> None:
    """One object kept in each execution is more than flat memory allows; the same run without it is not."""
    kept: list[object] = []
    count = BLOCKS_MAX * 2

    def leaks(data: bytes) -> None:
        kept.append(object())

    for check in (leaks, bytes):
        run = Run("x", check, count, lambda _: None)
        for _ in range(count - 1):
            run(b"")
        if check is leaks:
            with pytest.raises(Leaked, match="blocks"):
                run(b"")
        else:
            run(b"")
        assert run.finished


def test_a_hang_is_seen_and_a_machine_that_stands_still_is_none() -> None:
    """Time of the process counts, not that of the wall: a check that computes for ever ends with its input, one that rests does
    not."""
    said: list[str] = []

    def check(data: bytes) -> None:
        time.sleep(0.3)
        while data:
            pass

    run = Run("x", check, 3, said.append)
    watch(run, 0.05)
    try:
        run(b"")
        run(b"")
        with pytest.raises(Hung, match="CPU"):
            run(b"\x07")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    assert said[-1] == "fuzz: x FOUND after 3 executions: 07"


def test_inputs_are_the_same_in_every_run() -> None:
    """The generator's seed says which; seeds come first, and none is longer than it may be."""
    seeds = [b"0123456789", b"abc"]
    first, again = (list(inputs(seeds, 12, 500, 7)) for _ in range(2))
    assert first == again != list(inputs(seeds, 12, 500, 8))
    assert first[:3] == [b"", *seeds]
    assert len(set(first)) > 250
    assert max(map(len, first)) == 12


def test_a_tally_adds_up_runs_of_one_code(tmp_path: Path) -> None:
    """Each instalment is what is new; two runs of one code are one sum, another code or decoder is another."""
    path = tmp_path / "runs.jsonl"
    assert list(sums(path)) == []
    for decoder, code, seed in (("x", "a", 1), ("x", "b", 1), ("y", "a", 1), ("x", "a", 2)):
        run = Instalments(decoder, code, seed, path)
        for executions in (100, 300, 300):
            run.reached(executions, executions / 50, 40.0 + seed + executions / 1e6)
    assert [line.rpartition(" last=")[0].split() for line in sums(path)] == [
        ["x", "executions=600", "code=a", "a_second=50", "peak_mb=42.0"],
        ["x", "executions=300", "code=b", "a_second=50", "peak_mb=41.0"],
        ["y", "executions=300", "code=a", "a_second=50", "peak_mb=41.0"],
    ]
    assert len(path.read_bytes().splitlines()) == 8


def test_a_code_is_of_the_packages_that_are_named() -> None:
    """Each package that is named counts, and none that is not."""
    DECODERS["ids"].load()
    assert code_of({"smpp"}) == code_of({"smpp"}) != code_of({"smpp", "dispatcher"}) != code_of({"dispatcher"})
    assert code_of({"nothing"}) == code_of(())


def test_every_eighth_input_is_traced_and_the_whole_corpus() -> None:
    """libFuzzer sees the branches of all that it reads at first, then of one in eight; no input is checked twice or never."""
    plain: list[bytes] = []
    traced: list[bytes] = []
    check = in_turn(plain.append, traced.append, 5)
    drawn = [bytes((each,)) for each in range(21)]
    for data in drawn:
        check(data)
    assert traced == [*drawn[:5], drawn[5], drawn[13]]
    assert plain == [data for data in drawn if data not in traced]
