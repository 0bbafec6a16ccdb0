"""The command line `dispatcher`: finds the command, runs it, and turns every expected error into one sentence.

It refuses to know what commands do (commands/). Exit codes: 0 well, 1 a finding or a refusal, 2 a usage error. An
expected error names the setting, its value and the remedy; only what nobody foresaw shows a traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from dispatcher import __version__
from dispatcher.commands import (
    accounts,
    configuration,
    fraud,
    keys,
    messages,
    money,
    operations,
    optouts,
    service,
    streams,
    webhooks,
)
from dispatcher.commands.frame import EXIT_FINDING, EXIT_OK, Context, expected, report_error
from dispatcher.commands.load import command as load

FAMILIES = (service, messages, streams, accounts, keys, money, webhooks, optouts, fraud, configuration, operations, load)


def build_parser() -> argparse.ArgumentParser:
    """The whole command tree; docs/commands.md is generated from it."""
    parser = argparse.ArgumentParser(
        prog="dispatcher",
        description="SMS dispatcher: sends in over Redis streams or HTTP, segments out over SMPP binds.",
        epilog="`dispatcher COMMAND --help` shows options and an example. Exit codes: 0 well, 1 a finding, 2 usage.",
    )
    parser.add_argument("--version", action="version", version=f"dispatcher {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for family in FAMILIES:
        family.register(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    context = Context(options.config, options.json)
    try:
        code = int(options.run(context, options))
        sys.stdout.flush()
    except BrokenPipeError:  # `dispatcher events tail | head`: the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        return EXIT_OK
    except BaseException as error:
        known = expected(error)
        if known is None:
            raise
        report_error(context, known)
        return EXIT_FINDING
    return code
