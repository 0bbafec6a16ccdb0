"""`make crash`: engines, HTTP process, server and supervisor are killed with SIGKILL under load; nothing accepted is lost or
doubled.

    python -m tests.process.crash --rounds 3 --sends 10000 --open 5000 --workers 2
    python -m tests.process.crash --rounds 100 --kills 1 --sends 7000 --open 1500 --seconds 4 --rate 1500  # half an hour

Each round sends through every door at once (chunks without keys, single entries with keys, HTTP calls repeated with the
same Idempotency-Key, one HTTP batch; all classes; carriers that refuse, fail, forget receipts and drop links) and kills
`--kills` processes one after the other, in an order that goes on from round to round. Then everything accepted must become
final, and the verdict (verdict.py) is drawn from what outsiders saw. The last line is `crash: PASS ...` or `crash: FAIL ...`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.process.installation import Carrier, Installation, wait_for
from tests.process.traffic import Plan, Sent, Traffic
from tests.process.verdict import Verdict, finals_of, judge

OTHERS = ("http-0", "server-0", "supervisor")
"""What is killed besides the engines."""
FIRST_NUMBER = 491_511_000_000
ACCOUNT = "shop"
GAP_S = 1.5
"""Between two kills: the one before is back at work, or about to be."""
OPEN_S = 60.0
"""So many must be accepted and not final within this time, or the round fails."""
FINAL_S = 120.0
"""Everything must be final so long after the last send was accepted."""

SCENARIO = """
rate = {limit}
seed = {seed}
answer_ms = [5, 60]
receipt_ms = [50, 1500]
[[mix]]
weight = 885
outcome = "delivered"
[[mix]]
weight = 40
outcome = "temporary"
times = 1
[[mix]]
weight = 10
outcome = "permanent"
[[mix]]
weight = 20
outcome = "undelivered"
code = "001"
times = 1
[[mix]]
weight = 10
outcome = "undelivered"
code = "005"
[[mix]]
weight = 10
outcome = "no_receipt"
[[mix]]
weight = 10
outcome = "receipt_first"
[[mix]]
weight = 10
outcome = "receipt_twice"
[[mix]]
weight = 3
outcome = "throttled"
times = 1
[[mix]]
weight = 2
outcome = "drop"
times = 2
"""

_CARRIER = """
[[carrier]]
name = "{name}"
rate = RATE
cost = "cost"
sender = "CRASH"
throttle_pause_s = 0.2
throttle_floor = 0.6
[carrier.quirks.causes]
"001" = "absent"
[[carrier.bind]]
name = "main"
host = "127.0.0.1"
port = {{{name}}}
system_id = "demo"
password = "demo"
password_plain = true
sessions = 2
window = 40
reconnect_s = 0.2
reconnect_max_s = 1.0
"""

CONFIG = (
    """
[engine]
lease_s = 2.0
drain_s = 5.0

[retry]
temporary_s = 0.5
temporary_max_s = 1.0
absent_s = [0.5]
otp_s = [0.5]
retry_cost_max = 5.0
retry_cost_max_otp = 5.0

[fraud]
velocity_otp = [0, 0, 0]

[receipts]
grace_s = 1.5
deadline_s = 10.0
deadline_otp_s = 10.0
early_s = 5.0
sweep_s = 1.0
"""
    + _CARRIER.format(name="alpha")
    + _CARRIER.format(name="beta")
    + """
[[route]]
name = "all"
[[route.group]]
carriers = [{ name = "alpha", weight = 2 }, { name = "beta", weight = 1 }]

[[tariff]]
name = "retail"
currency = "EUR"
prices = { "" = "0.0300" }

[[tariff]]
name = "cost"
currency = "EUR"
prices = { "" = "0.0040" }
"""
)


def still_open(installation: Installation, traffic: Traffic) -> int:
    """Accepted and not final now, as far as can be seen while everything dies."""
    finals = finals_of(row for row in installation.rows("events") if row["ref"] in traffic.sent.held)
    return len(traffic.sent.accepted) - len(finals)


def settle(installation: Installation, sent: Sent, verdict: Verdict, notes: list[str]) -> None:
    """The end of a round of whatever kind: waits until all is final, and judges it, the stuck and the books."""

    def all_final() -> bool:
        finals = finals_of(row for row in installation.rows("events") if row["ref"] in sent.held)
        return len(finals) >= len(sent.accepted) and not installation.left_over()

    try:
        wait_for("everything is final", FINAL_S, all_final, 0.5)
    except TimeoutError as error:
        notes.append(f"{error}; left over: {installation.left_over()}")
    judge(verdict, installation, sent, notes)
    verdict.stuck = sum(installation.left_over().values()) + len(sent.errors)
    audit = installation.cli("ledger", "audit")
    verdict.unbalanced = len(audit["misfits"])
    notes += [f"audit: {misfit}" for misfit in audit["misfits"][:5]]


def one_round(installation: Installation, key: str, number: int, options: argparse.Namespace, notes: list[str]) -> Verdict:
    """Traffic, kills while at least `open` sends are accepted and not final, patience, verdict."""
    sends, backlog, seconds = options.sends, options.open, options.seconds
    batched = called = keyed = sends // 5
    plan = Plan(sends - batched - called - keyed, keyed, called, batched, seconds, FIRST_NUMBER + number * 1_000_000)
    traffic = Traffic(plan, f"r{number}", installation.server_port, installation.http_port, key, ACCOUNT)
    began = time.monotonic()
    verdict = Verdict()
    traffic.start()
    victims = [installation.engines[0], *OTHERS, *installation.engines[1:]]
    for kill in range(options.kills):
        role = victims[((number - 1) * options.kills + kill) % len(victims)]
        time.sleep(GAP_S)
        wait_for(
            f"{backlog} accepted and not final",
            OPEN_S,
            lambda: traffic.ended or still_open(installation, traffic) >= backlog,
            0.2,
        )
        amount = still_open(installation, traffic)
        at = time.monotonic()
        old = installation.kill(role)
        if role == "supervisor":
            installation.start_again()
        wait_for(f"{role} is back", 20, lambda role=role, old=old: installation.pid(role) not in (0, old))  # type: ignore[misc]
        verdict.open_at_kills.append(amount)
        print(f"  killed {role} at {at - began:.1f} s, {amount} open, back in {time.monotonic() - at:.1f} s", flush=True)
    traffic.join(120)
    accepted_s = time.monotonic() - began
    sent = traffic.sent
    notes += [f"client: {error}" for error in sent.errors]

    settle(installation, sent, verdict, notes)
    reserved = [line["reserved"] for line in installation.cli("ledger", "balance") if float(line["reserved"])]
    verdict.unbalanced += len(reserved)
    notes += [f"reserved although everything is final: {amount}" for amount in reserved]
    print(
        f"  accepted {len(sent.accepted)} in {accepted_s:.1f} s, {sent.fastest()} in the best second "
        f"({sent.again} calls repeated, {len(sent.doubtful)} doubtful), all final after {time.monotonic() - began:.1f} s",
        flush=True,
    )
    for carrier in installation.carriers.values():
        carrier.say("reset")  # what is behind us has been judged
    installation.forget_rows()
    return verdict


_COLUMNS = (
    "open",
    "accepted",
    "final",
    "delivered",
    "unknown",
    "other",
    "segments",
    "submissions",
    "throttled",
    "unknown_attempts",
    "resent",
)


def table(verdicts: Sequence[Verdict]) -> str:
    """Counts by round, one line each."""
    names = ("round", *_COLUMNS, "faults")
    rows = [
        (str(n), *(str(getattr(v, c)) for c in _COLUMNS), str(sum(getattr(v, f) for f in Verdict.FAULTS)))
        for n, v in enumerate(verdicts, 1)
    ]
    widths = [max(len(row[i]) for row in [names, *rows]) for i in range(len(names))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [names, *rows])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the rounds; 1 when anything was lost, doubled or out of balance."""
    parser = argparse.ArgumentParser(prog="python -m tests.process.crash", description="kill -9 rounds under load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sends", type=int, default=10_000, help="accepted in each round")
    parser.add_argument("--open", type=int, default=5000, help="accepted and not final at each kill, at least")
    parser.add_argument("--seconds", type=float, default=9.0, help="over which a round's sends come in")
    parser.add_argument("--workers", type=int, default=2, help="engines")
    parser.add_argument("--kills", type=int, default=3, help="in each round")
    parser.add_argument("--rate", type=int, default=200, help="of each of the two carriers, segments a second")
    parser.add_argument("--keep", action="store_true", help="leave the working directory for a look")
    options = parser.parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="crash-"))
    scenario = SCENARIO.replace("{limit}", str(options.rate * 6 // 5))
    carriers = [Carrier(directory, name, scenario.replace("{seed}", str(seed))) for seed, name in ((7, "alpha"), (11, "beta"))]
    verdicts: list[Verdict] = []
    notes: list[str] = []
    began = time.monotonic()
    with Installation(directory, carriers, CONFIG.replace("RATE", str(options.rate)), workers=options.workers) as installation:
        key = installation.account(
            ACCOUNT, "--tariff", "retail", money=str(options.rounds * options.sends)
        )  # more than it costs
        for number in range(1, options.rounds + 1):
            print(f"round {number}", flush=True)
            verdicts.append(one_round(installation, key, number, options, notes))
            if not verdicts[-1].well:
                break
    total = Verdict()
    for verdict in verdicts:
        total.add(verdict)
    well = total.well and not notes and total.accepted >= options.rounds * options.sends
    print(table(verdicts))
    for note in notes[:40]:
        print(f"  {note}")
    if well and not options.keep:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        print(f"  kept: {directory}")
    faults = " ".join(f"{name}={getattr(total, name)}" for name in Verdict.FAULTS)
    seconds = time.monotonic() - began
    print(
        f"crash: {'PASS' if well else 'FAIL'} rounds={options.rounds} accepted={total.accepted} {faults} seconds={seconds:.0f}"
    )
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
