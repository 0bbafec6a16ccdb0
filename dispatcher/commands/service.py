"""The service itself: run, reload; and what runs beside it until it is told to stop: smsc, demo."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from dispatcher.commands.frame import EXIT_OK, Context, arg, command
from dispatcher.ops.errors import OpsError
from dispatcher.ops.run_dir import run_dir

_RENEWAL_S = 40.0
"""Each process is given less to end and to come up again."""


def register(commands: Any) -> None:
    """Adds run, reload, demo and smsc."""
    command(
        commands,
        "run",
        "run the dispatcher: server, engines, HTTP, metrics",
        "run --config deploy/dispatcher.toml",
        _run,
        arg(
            "--role",
            choices=("all", "engine", "http", "notices"),
            default="all",
            help="only this role, without supervisor or server",
        ),
        arg("--workers", type=_count, default=1, metavar="N", help="engine processes (default 1)"),
        arg("--run-dir", default="", metavar="DIR", help="pid files and metrics (default: run in server.data_dir)"),
        arg(
            "--test-control",
            default="",
            metavar="unix:PATH",
            help="for tests: moves the clocks (needs DISPATCHER_TEST=1)",
        ),
    )
    command(
        commands,
        "reload",
        "have the running dispatcher read its configuration anew",
        "reload --config deploy/dispatcher.toml",
        _reload,
        arg("--run-dir", default="", metavar="DIR", help="that of `run` (default: run in server.data_dir)"),
    )
    demo = command(
        commands,
        "demo",
        "show the whole service at work with simulated carriers, and check the books",
        "demo",
        _demo,
        arg("--keep", action="store_true", help="leave it running and print addresses and a key"),
        arg("--data", default="", metavar="FILE", help="the sends, as CSV (default: benchmarks/data/demo.csv)"),
    )
    demo.set_defaults(config="")
    command(
        commands,
        "smsc",
        "run a simulated carrier (SMSC) as a server of its own",
        "smsc --listen 127.0.0.1:2775",
        _smsc,
        arg(
            "--scenario", metavar="FILE", help="TOML: logins, limits, outcomes per number (default: login demo, all delivered)"
        ),
        arg("--listen", metavar="HOST:PORT", help="instead of the scenario's address"),
        arg("--control", metavar="ADDRESS", default="", help="unix:PATH or HOST:PORT that takes commands (drop, stall, ...)"),
    )


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 64:
        raise argparse.ArgumentTypeError(f"{text} is not allowed: 1 to 64 processes")
    return number


def _run(context: Context, options: argparse.Namespace) -> int:
    from dispatcher.ops.supervisor import Supervisor

    def say(text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(text, flush=True)

    if options.role == "all":
        return Supervisor(
            context.config_path,
            workers=options.workers,
            run_dir=options.run_dir,
            test_control=options.test_control,
            say=say,
        ).run()
    if options.test_control:
        raise OpsError("--test-control with one role alone", "run --role all: the supervisor moves all its processes")
    from dispatcher.ops import metrics
    from dispatcher.ops.roles import MAINS, Role

    settings = context.settings
    directory = run_dir(settings, options.run_dir)
    if options.workers > 1:
        raise OpsError(
            f"--workers {options.workers} with --role {options.role}", "run one process per container, or --role all"
        )
    exposer = metrics.Exposer(settings.metrics.listen, metrics.prepare(directory))
    say(f"metrics  http://{exposer.listen}/metrics")
    if options.role == "http":
        say(f"http     http://{settings.http.listen}")
    role = Role(options.role, 0, context.config_path, str(directory), supervised=False)
    try:
        return MAINS[options.role](role)
    finally:
        exposer.close()


def _reload(context: Context, options: argparse.Namespace) -> int:
    from dispatcher.ops import reload

    settings = context.settings  # a file that is wrong is told here, with all that is wrong in it
    patience_s = settings.engine.drain_s + _RENEWAL_S * (settings.http.processes + settings.notices.processes + 1)
    words = reload.ask(run_dir(settings, options.run_dir), patience_s)
    context.show({"reloaded": True}, words)
    return EXIT_OK


def _demo(context: Context, options: argparse.Namespace) -> int:
    from dispatcher.commands.demo.play import main

    return main(keep=options.keep, data=options.data, as_json=context.as_json)


def _smsc(_: Context, options: argparse.Namespace) -> int:
    from smpp.simulator.__main__ import main

    arguments = [
        part
        for name in ("scenario", "listen", "control")
        if getattr(options, name)
        for part in (f"--{name}", getattr(options, name))
    ]
    return main(arguments)
