"""The command `load`: reads its options into a plan, refuses what nobody can have meant, shows what came of it."""

from __future__ import annotations

import argparse
import ipaddress
import json
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dispatcher.commands.frame import EXIT_FINDING, EXIT_OK, Context, arg, command, now_ms
from dispatcher.ops.errors import OpsError

if TYPE_CHECKING:
    from dispatcher.commands.load.own import Own
    from dispatcher.commands.load.plan import Plan
    from dispatcher.commands.load.play import Moment, Result

PLAIN_EVERY_S = 2.0


_MOST = {"rate": 1_000_000, "carrier_rate": 1_000_000, "ramp": 86_400, "for_s": 604_800, "patience": 86_400}
"""Of the numbers that may have a fraction."""


def register(commands: Any) -> None:
    """Adds load."""
    command(
        commands,
        "load",
        "send a planned load, count what is lost or doubled, and measure latency and CPU",
        "load --own --rate 1000 --for 30",
        _load,
        arg("--own", action="store_true", help="start a whole dispatcher and a carrier of its own for this load"),
        arg("--door", choices=("stream", "http"), default="stream", help="how it is handed in (default stream)"),
        arg("--rate", type=float, default=0.0, metavar="N", help="messages a second"),
        arg("--flat-out", action="store_true", help="as fast as it goes (see --open)"),
        arg("--ramp", type=float, default=0.0, metavar="S", help="seconds in which the rate rises from 0"),
        arg("--for", dest="for_s", type=float, default=0.0, metavar="S", help="end after so many seconds"),
        arg("--count", type=int, default=0, metavar="N", help="end after so many messages"),
        arg(
            "--mix",
            default="plain",
            metavar="MIX",
            help="WEIGHT:TEXT[:CLASS],... with TEXT gsm1-gsm3 or ucs1-ucs3 (segments); or plain, mixed",
        ),
        arg("--account", default="", metavar="NAMES", help="whose messages, with commas between; they take turns"),
        arg("--key-file", default="", metavar="FILE", help="for http: one key a line; they take turns"),
        arg("--from", dest="sender", default="", metavar="SENDER", help="sender (default: the account's)"),
        arg("--numbers", default="+447900000000", metavar="E164", help="first destination; the others count up from it"),
        arg("--open", type=int, default=5_000, metavar="N", help="unfinished messages at once (default 5000)"),
        arg("--warm-up", type=int, default=-1, metavar="N", help="messages before the measured ones (default: 500 with --own)"),
        arg("--chunk", type=int, default=1, metavar="N", help="stream: sends in an entry (default 1)"),
        arg("--connections", type=int, default=64, metavar="N", help="http: connections at once (default 64)"),
        arg("--http", default="", metavar="HOST:PORT", help="http: where (default: http.listen)"),
        arg("--patience", type=float, default=30.0, metavar="S", help="silence after which the rest is lost (default 30)"),
        arg("--real-carriers", action="store_true", help="allow carriers that are not on this machine: it costs real money"),
        arg("--workers", type=int, default=1, metavar="N", help="own: engine processes"),
        arg("--durability", choices=("fsync", "everysec"), default="fsync", help="own: of the server"),
        arg("--carrier-rate", type=float, default=0.0, metavar="N", help="own: the carrier's rate, segments a second"),
        arg("--scenario", default="", metavar="FILE", help="own: a simulated carrier with a temper instead of the fast one"),
        arg("--out", default="", metavar="NAME", help="write NAME.json and NAME.svg"),
    )


def _load(context: Context, options: argparse.Namespace) -> int:
    from dispatcher.commands.demo.world import Failed
    from dispatcher.commands.load import report

    _check(options)
    try:
        result = _in_own(options) if options.own else _in_running(context, options)
    except Failed as error:
        print("\n".join(error.log), file=sys.stderr)
        raise
    value = report.as_json(result, now_ms())
    if options.out:
        from dispatcher.commands.load.plot import picture

        Path(f"{options.out}.json").write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
        Path(f"{options.out}.svg").write_text(picture(result), encoding="utf-8")
    context.show(value, lambda: "\n".join(report.lines(result)))
    return EXIT_OK if result.ok else EXIT_FINDING


def _check(options: argparse.Namespace) -> None:
    """Refuses what contradicts itself. Raises OpsError."""
    from dispatcher.commands.load.plan import COUNT_MAX

    for name, most in _MOST.items():
        value = getattr(options, name)
        if not 0 <= value <= most:  # nan and inf too
            raise OpsError(f"--{'for' if name == 'for_s' else name.replace('_', '-')} {value:g}", f"0 to {most:,} are allowed")
    if (options.rate > 0) == options.flat_out:
        raise OpsError(f"--rate {options.rate:g}{' with --flat-out' * options.flat_out}", "give --rate N or --flat-out")
    if options.for_s <= 0 and options.count <= 0:
        raise OpsError("the load has no end", "give --for SECONDS or --count N")
    if options.ramp and (options.flat_out or 0 < options.for_s < options.ramp):
        raise OpsError(f"--ramp {options.ramp:g}", "a ramp needs --rate, and a --for that is not shorter")
    bounds = {"count": (0, COUNT_MAX), "open": (1, 1_000_000), "chunk": (1, 1000), "connections": (1, 1000), "workers": (1, 64)}
    for name, (least, most) in bounds.items():
        if not least <= getattr(options, name) <= most:
            raise OpsError(f"--{name} {getattr(options, name)}", f"{least} to {most} are allowed")
    if not options.own and (options.scenario or options.carrier_rate):
        raise OpsError("--scenario and --carrier-rate are for a carrier of our own", "add --own")


def plan_of(options: argparse.Namespace, url: str, prefix: str, http: str, accounts: list[str], keys: list[str]) -> Plan:
    """The plan that the options describe. Raises OpsError."""
    from dispatcher.commands.load.plan import Plan, parse_mix

    warm_up = options.warm_up if options.warm_up >= 0 else 500 * options.own
    return Plan(
        run=f"load-{secrets.token_hex(4)}",
        door=options.door,
        url=url,
        prefix=prefix,
        http=http,
        accounts=tuple(accounts),
        keys=tuple(keys),
        parts=parse_mix(options.mix),
        sender=options.sender,
        numbers=options.numbers,
        rate=options.rate,
        ramp_s=options.ramp,
        for_s=options.for_s,
        count=options.count,
        warm_up=warm_up,
        open_max=max(options.open, warm_up),
        chunk=options.chunk,
        connections=options.connections,
    )


def _in_running(context: Context, options: argparse.Namespace) -> Result:
    from dispatcher.commands.load.play import Play, named
    from dispatcher.ops.run_dir import run_dir

    settings = context.settings
    if not options.real_carriers:
        _only_loopback([(c.name, bind.host) for c in settings.carrier for bind in c.bind])
    accounts, keys = [name for name in options.account.split(",") if name], []
    if options.door == "http":
        if not options.key_file:
            raise OpsError("--door http without a key", "give --key-file FILE (see `dispatcher keys create`)")
        keys = Path(options.key_file).read_text(encoding="utf-8").split()
    elif not accounts:
        raise OpsError("--door stream without an account", "give --account NAME (see `dispatcher accounts list`)")
    plan = plan_of(options, context.url, context.prefix, options.http or settings.http.listen, accounts, keys)
    context.with_store(lambda store: _known(store, accounts))
    play = Play(plan, lambda: named(run_dir(settings), context.url), options.patience)
    with _shown(plan, quiet=context.as_json) as progress:
        return play.run(progress)


async def _known(store: Any, accounts: list[str]) -> None:
    """Also says at once whether the store is there."""
    names = {account.name for account in await store.accounts()}
    if missing := [name for name in accounts if name not in names]:
        raise OpsError(f"there is no account {missing[0]}", f"use one of: {', '.join(sorted(names)) or 'none yet'}")


def _only_loopback(hosts: list[tuple[str, str]]) -> None:
    """Raises OpsError for the first carrier that is not on this machine."""
    for carrier, host in hosts:
        try:
            found = {str(each[4][0]) for each in socket.getaddrinfo(host, None)}
        except OSError:
            found = set()
        if not found or not all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found):
            raise OpsError(
                f"the carrier {carrier} ({host}) is not on this machine: a load would cost real money",
                "use --own, or a simulated carrier, or say --real-carriers",
            )


def _in_own(options: argparse.Namespace) -> Result:
    from dispatcher.commands.load.own import Wish, own

    wish = Wish(workers=options.workers, durability=options.durability, rate=options.carrier_rate, scenario=options.scenario)
    with own(wish) as installed:
        return play_in(installed, options)


def play_in(installed: Own, options: argparse.Namespace) -> Result:
    """A load in an installation of our own, with what its carrier and its books say."""
    from dispatcher.commands.load.own import ACCOUNT
    from dispatcher.commands.load.play import Play, named
    from dispatcher.ops.run_dir import run_dir

    context, ports = installed.context, installed.world.ports
    plan = plan_of(options, context.url, context.prefix, f"127.0.0.1:{ports.http}", [ACCOUNT], [installed.key])
    run = run_dir(context.settings)
    play = Play(plan, lambda: named(run, context.url) | {"carrier": installed.carrier_pid}, options.patience)
    with _shown(plan, quiet=options.json) as progress:
        result = play.run(progress)
    charged = installed.charged()
    result.carrier = installed.carrier() | {"charged": charged}
    taken = result.carrier["taken"]
    meant = installed.submitted(taken) if installed.wish.scenario else result.segments  # a carrier with a temper causes retries
    result.doubled += max(0, taken - meant)
    result.lost = max(result.lost, result.states.get("delivered", 0) - taken)
    return result


@contextmanager
def _shown(plan: Plan, *, quiet: bool) -> Iterator[Callable[[Moment], None]]:
    """A bar on a terminal, a line every two seconds elsewhere, nothing for JSON."""
    if quiet:
        yield lambda _: None
        return
    if not sys.stdout.isatty():
        last = [-PLAIN_EVERY_S]

        def tell(now: Moment) -> None:
            if now.at_s - last[0] >= PLAIN_EVERY_S:
                last[0] = now.at_s
                print(f"{now.at_s:7.1f} s  {_words(now)}", flush=True)

        yield tell
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    total = plan.total_max if plan.count or plan.rate else None
    with Progress(BarColumn(bar_width=24), TimeElapsedColumn(), TextColumn("{task.description}"), transient=True) as bar:
        task = bar.add_task("starting", total=total)
        before: list[Moment] = []

        def draw(now: Moment) -> None:
            was = before.pop() if before else now._replace(at_s=0.0, finals=0)
            before.append(now)
            rate = (now.finals - was.finals) / max(0.1, now.at_s - was.at_s)
            words = f"{now.sent:,} in  {now.finals:,} final  {max(0, now.queued - now.finals):,} open"
            bar.update(task, completed=now.finals, description=f"{words}  {rate:,.0f}/s")

        yield draw


def _words(now: Moment) -> str:
    return (
        f"{now.sent:,} handed in, {now.queued:,} accepted, {now.submitted:,} submitted, {now.finals:,} final,"
        f" {max(0, now.queued - now.finals):,} open"
    )
