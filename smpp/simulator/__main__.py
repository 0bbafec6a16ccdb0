"""`python -m smpp.simulator --scenario F [--listen HOST:PORT] [--control unix:PATH]`: the simulator as a process of its own.

It prints one line of JSON when it listens ({"host": ..., "port": ...}) and runs until SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import trio

from smpp.simulator.control import serve_control
from smpp.simulator.scenario import Account, Scenario, ScenarioError, load
from smpp.simulator.smsc import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses arguments and serves. Returns 2 for a scenario that cannot be meant so, 1 for an address that is taken."""
    parser = argparse.ArgumentParser(prog="python -m smpp.simulator", description="a simulated SMSC")
    parser.add_argument("--scenario", type=Path, help="TOML file; without one every message of demo:demo is delivered")
    parser.add_argument("--listen", help="HOST:PORT instead of the scenario's")
    parser.add_argument("--control", default="", help="unix:PATH or HOST:PORT for commands")
    options = parser.parse_args(arguments)
    code = 0
    try:
        scenario = load(options.scenario) if options.scenario else Scenario(accounts=(Account("demo", "demo"),))
        if options.listen:
            scenario = replace(scenario, listen=options.listen)
        trio.run(_run, scenario, options.control)
    except* ScenarioError as group:
        code = _complain(group, 2)
    except* OSError as group:
        code = _complain(group, 1)
    return code


def _complain(group: BaseExceptionGroup[BaseException], code: int) -> int:
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    print(f"error: {first}", file=sys.stderr)  # noqa: T201  # a command line prints
    return code


async def _run(scenario: Scenario, control: str) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            simulator = await nursery.start(serve, scenario)
            if control:
                nursery.start_soon(serve_control, simulator, control)
            print(json.dumps({"host": simulator.host, "port": simulator.port}), flush=True)  # noqa: T201
            async for _ in signals:
                nursery.cancel_scope.cancel()


if __name__ == "__main__":
    sys.exit(main())
