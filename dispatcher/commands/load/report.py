"""What `dispatcher load` says at its end: the same figures as lines for people and as one JSON object."""

from __future__ import annotations

from typing import Any

from dispatcher.commands.frame import moment, table
from dispatcher.commands.load.play import Result

_NOT_OURS = ("carrier", "supervisor")
"""Not part of the sum: the other side, and what only watches."""
_LATENCY = {"accept": "handed in -> accepted", "submit": "accepted -> submitted", "deliver": "accepted -> delivered"}


def cpu(result: Result) -> dict[str, float]:
    """CPU microseconds a message of every process, and of all that belong to the dispatcher."""
    each = {name: round(spent.cpu_s / max(1, result.measured) * 1e6, 1) for name, spent in result.spent.items()}
    return each | {"together": round(sum(us for name, us in each.items() if name not in _NOT_OURS), 1)}


def as_json(result: Result, at: int) -> dict[str, Any]:
    """All figures, without the curves."""
    plan = result.plan
    return {
        "at": moment(at),
        "ok": result.ok,
        "plan": {
            "door": plan.door,
            "rate": plan.rate,
            "mix": [[part.weight, f"{part.alphabet}{part.segments}", part.lane] for part in plan.parts],
            "ramp_s": plan.ramp_s,
            "for_s": plan.for_s,
            "count": plan.count,
            "warm_up": plan.warm_up,
            "open_max": plan.open_max,
            "chunk": plan.chunk,
            "connections": plan.connections,
        },
        "sent": result.sent,
        "accepted": result.accepted,
        "refused": result.refused,
        "states": result.states,
        "segments": result.segments,
        "lost": result.lost,
        "doubled": result.doubled,
        "unknown": result.unknown,
        "repeated_events": result.repeated,
        "carrier": result.carrier,
        "failed": result.failed,
        "measured": result.measured,
        "took_s": result.took_s,
        "per_s": per_s(result),
        "generator_late_ms": result.late_ms,
        "latency_ms": result.latency,
        "cpu_us": cpu(result),
        "core_percent": core_percent(result),
        "rss_mb": {name: round(spent.rss_mb, 1) for name, spent in result.spent.items()},
        "moments": [list(each) for each in result.moments],
    }


def per_s(result: Result) -> float:
    """Messages that became final in a second, over the measured part."""
    return round(result.measured / result.took_s, 1) if result.took_s else 0.0


def core_percent(result: Result) -> dict[str, float]:
    """Share of one core that each process took."""
    return {name: round(spent.cpu_s / max(result.took_s, 0.01) * 100, 1) for name, spent in result.spent.items()}


def lines(result: Result) -> list[str]:
    """At most some thirty lines."""
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(result.states.items(), key=lambda s: -s[1])) or "none"
    told = [f"accepted   {result.accepted:,} messages ({result.segments:,} segments) of {result.sent:,} handed in"]
    if result.refused:
        told.append("refused    " + ", ".join(f"{count:,} {reason}" for reason, count in result.refused.items()))
    told.append(f"final      {states}")
    if result.carrier:
        told.append(f"carrier    took {result.carrier['taken']:,} segments; charged {result.carrier['charged']:,}")
    silent = " (accepted, and no final state was told)" if result.lost else ""
    told.append(f"lost {result.lost:,}{silent}  doubled {result.doubled:,}  unknown {result.unknown:,}")
    if result.failed:
        told.append(f"stopped    {result.failed}")
    told += ["", f"rate       {per_s(result):,} messages/s over {result.took_s:.1f} s"]
    if result.plan.rate and result.late_ms > 5:
        told.append(f"           the generator itself was up to {result.late_ms:g} ms late")
    told += ["", table(_latency_rows(result), ["latency, ms", "p50", "p90", "p99", "p99.9", "max"])]
    if result.spent:
        share, micro = core_percent(result), cpu(result)
        rows = [[name, micro[name], f"{share[name]:.1f} %", round(spent.rss_mb)] for name, spent in result.spent.items()]
        rows.append(["together", micro["together"], "", ""])
        told += ["", table([[str(cell) for cell in row] for row in rows], ["process", "CPU us/message", "of a core", "MB"])]
    return told


def _latency_rows(result: Result) -> list[list[Any]]:
    return [
        [words, *(f"{result.latency[name][key]:g}" for key in ("p50", "p90", "p99", "p999", "max"))]
        for name, words in _LATENCY.items()
        if result.latency[name]["count"]
    ]
