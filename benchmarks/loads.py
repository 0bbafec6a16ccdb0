"""What only a whole installation answers, each by a load of `dispatcher load --own`: paced, and everything from POST on.

`python -m benchmarks.loads [paced|posted] [--seconds 20] [--messages 20000]`

paced: 1,000 one-segment messages a second over the stream; added latency from accepted to the carrier's socket (p99 of all
behind the warm-up), the engine's share of a core. Accepted is the instant of the event `queued`, which admission took
before its own durable write: that one, the claim's and the write-ahead's are in it. The event `submitted` is written
when the carrier's answer is recorded, which may wait 20 ms for company at this rate; its latency stands beside.
posted: one `POST /v1/messages` a message, flat out; CPU of every process together.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from benchmarks.installation import Durability
from dispatcher.cli import build_parser
from dispatcher.client import Reader
from dispatcher.commands.frame import now_ms
from dispatcher.commands.load.command import play_in
from dispatcher.commands.load.own import Own, Wish, own
from dispatcher.commands.load.report import as_json
from smpp.sink import Arrival

PACE = 1000


def load(wish: Wish, *words: str) -> tuple[dict[str, Any], list[float]]:
    """The figures of a load in an installation of its own, and with `wish.arrivals` how long each measured message took from
    accepted to the carrier's socket, sorted (ms). Raises AssertionError when a message was lost or doubled."""
    options = build_parser().parse_args(["load", "--own", "--json", *words])
    with own(wish) as installed:
        found = as_json(play_in(installed, options), now_ms())
        took = _to_carrier(installed, found["carrier"]["arrivals"], found["plan"]["warm_up"]) if wish.arrivals else []
    assert found["ok"], {name: found[name] for name in ("accepted", "states", "lost", "doubled", "unknown", "failed")}
    assert found["carrier"]["charged"] == found["segments"], (found["carrier"]["charged"], found["segments"])
    assert not wish.arrivals or len(took) == found["measured"], f"{len(took)} of {found['measured']} came to the carrier"
    return found, took


def _to_carrier(installed: Own, arrivals: list[Arrival], warm_up: int) -> list[float]:
    """A message's number is that of its destination, counted from the first one, and stands in its reference."""
    came = {int(arrival.to): arrival.at_s * 1000 for arrival in arrivals}
    first = min(came)
    with Reader(installed.context.url, follow=False) as reader:
        queued = [row.map for row in reader if row.map["state"] == "queued"]
    numbered = [(int(row["ref"].split(".")[1]), row["at"]) for row in queued]
    return sorted(came[first + number] - at for number, at in numbered if number >= warm_up and first + number in came)


def paced(seconds: float, durability: Durability = "fsync") -> dict[str, Any]:
    """At 1,000 a second."""
    wish = Wish(durability=durability, arrivals=True)
    found, took = load(wish, "--rate", str(PACE), "--for", str(seconds), "--warm-up", "2000")
    return {
        "to_carrier_p50_ms": round(took[len(took) // 2], 1),
        "to_carrier_p99_ms": round(took[len(took) * 99 // 100], 1),
        "submitted_p50_ms": found["latency_ms"]["submit"]["p50"],
        "submitted_p99_ms": found["latency_ms"]["submit"]["p99"],
        "accept_p99_ms": found["latency_ms"]["accept"]["p99"],
        "deliver_p99_ms": found["latency_ms"]["deliver"]["p99"],
        "engine_core_percent": found["core_percent"]["engine-0"],
        "server_core_percent": found["core_percent"]["server-0"],
        "generator_late_ms": found["generator_late_ms"],
        "per_s": found["per_s"],
    }


def posted(messages: int, durability: Durability = "fsync") -> dict[str, Any]:
    """One by one over HTTP, to delivered and charged."""
    found, _ = load(Wish(durability=durability), "--door", "http", "--flat-out", "--count", str(messages), "--warm-up", "2000")
    return {"together_us": found["cpu_us"].pop("together"), **found["cpu_us"], "per_s": found["per_s"]}


def main() -> int:
    """Command line: one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("paced", "posted"), default="")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--durability", choices=("fsync", "everysec"), default="fsync")
    a = parser.parse_args()
    if a.what in {"", "paced"}:
        print(json.dumps({"paced": paced(a.seconds, a.durability)}))
    if a.what in {"", "posted"}:
        print(json.dumps({"posted": posted(a.messages, a.durability)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
