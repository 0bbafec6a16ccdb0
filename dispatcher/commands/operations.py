"""Commands of the person on duty: binds, queue, doctor."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from dispatcher.commands.frame import EXIT_FINDING, EXIT_OK, Context, arg, command, family, table
from dispatcher.ops.errors import OpsError
from dispatcher.ops.run_dir import run_dir

if TYPE_CHECKING:
    from dispatcher.core.counters import Snapshot
    from dispatcher.core.ports import Store
    from dispatcher.core.settings import Settings

DOCTOR_CONNECT_S = 3.0


def register(commands: Any) -> None:
    """Adds binds, queue and doctor."""
    own = family(commands, "binds", "look at carrier binds and hold them back")
    command(own, "list", "show every bind: sessions, state, window, allowed rate", "binds list", _list)
    one = (arg("carrier", metavar="CARRIER"), arg("bind", metavar="BIND"))
    command(own, "pause", "submit nothing over a bind until it is resumed", "binds pause mattel main", _control("pause"), *one)
    command(own, "resume", "lift a pause", "binds resume mattel main", _control("resume"), *one)
    queues = family(commands, "queue", "look at the queues")
    command(queues, "list", "show what waits, by route and class", "queue list", _queues)
    command(
        commands, "doctor", "check configuration, server, promise, processes, binds, queues, money in one go", "doctor", _doctor
    )


def _counts(settings: Settings) -> Snapshot:
    from dispatcher.ops.metrics import merge, read

    fresh, stale = read(run_dir(settings) / "metrics")
    return merge("", fresh, stale)


def _gauges(counts: Snapshot, name: str) -> dict[tuple[str, ...], float]:
    return {tuple(labels): value for labels, value in counts.values.get(name, [])}


def _list(context: Context, _: argparse.Namespace) -> int:
    settings = context.settings

    async def work(store: Store) -> dict[tuple[str, str], str]:
        return dict(await store.controls())

    wishes = context.with_store(work)
    counts = _counts(settings)
    states = _gauges(counts, "dispatcher_bind_state")
    used, rate = _gauges(counts, "dispatcher_bind_window_used"), _gauges(counts, "dispatcher_bind_rate_limit")
    learned = {carrier: form for (carrier, form), value in _gauges(counts, "dispatcher_receipt_ids").items() if value}
    header = ["carrier", "bind", "address", "sessions", "state", "window", "rate", "ids", "wish"]
    rows = []
    for carrier in settings.carrier:
        for bind in carrier.bind:
            key = (carrier.name, bind.name)
            state = ",".join(sorted(labels[2] for labels, value in states.items() if labels[:2] == key and value)) or "unknown"
            window = f"{used.get(key, 0):g}/{bind.window * bind.sessions}"
            wish = wishes.get(key, "")
            address = f"{bind.host}:{bind.port}"
            ids: str = carrier.quirks.ids
            if ids == "auto":
                ids = {"auto": "auto: not yet learned"}.get(form := learned.get(carrier.name, ids), f"auto: {form}")
            wish = "" if wish == "resume" else wish
            rows.append([*key, address, bind.sessions, state, window, f"{rate.get(key, 0):g}", ids, wish])
    context.show([dict(zip(header, row, strict=True)) for row in rows], lambda: table(rows, header))
    return EXIT_OK


def _control(wish: str) -> Any:
    def run(context: Context, options: argparse.Namespace) -> int:
        binds = {(carrier.name, bind.name) for carrier in context.settings.carrier for bind in carrier.bind}
        if (options.carrier, options.bind) not in binds:
            known = ", ".join(" ".join(pair) for pair in sorted(binds)) or "none"
            raise OpsError(f"there is no bind {options.carrier} {options.bind}", f"use one of: {known}")

        async def work(store: Store) -> None:
            await store.control(options.carrier, options.bind, wish)

        context.with_store(work)
        value = {"carrier": options.carrier, "bind": options.bind, "wish": wish}
        context.show(value, f"{wish} recorded for {options.carrier} {options.bind}; engines follow within a few seconds")
        return EXIT_OK

    return run


def _queues(context: Context, _: argparse.Namespace) -> int:
    async def work(store: Store) -> list[list[Any]]:
        depths = await store.depths()
        return sorted(([q.route, q.lane.wire, depth] for q, depth in depths.items() if depth), key=lambda row: (row[0], row[1]))

    rows = context.with_store(work)
    header = ["route", "class", "waiting"]
    context.show(
        [dict(zip(header, row, strict=True)) for row in rows], lambda: table(rows, header) if rows else "nothing waits"
    )
    return EXIT_OK


# -- doctor ------------------------------------------------------------------------------------------------------------


def _doctor(context: Context, _: argparse.Namespace) -> int:
    """Each check is (name, well, what was seen)."""
    from dispatcher.ops.config import inspect

    settings, findings = inspect(context.config_path)
    checks: list[tuple[str, bool, str]] = [("configuration", settings is not None, "; ".join(map(str, findings)) or "in order")]
    if settings is not None:
        try:
            checks += context.with_store(lambda store: _store_checks(store, settings))
        except OpsError as error:
            checks.append(("store", False, str(error)))
        checks += _process_checks(settings)
        checks += _bind_checks(settings)
    value = [{"check": name, "ok": well, "seen": seen} for name, well, seen in checks]
    width = max(len(name) for name, _, _ in checks) + 2
    context.show(value, "\n".join(f"{'ok  ' if well else 'FAIL'}  {name:<{width}}{seen}" for name, well, seen in checks))
    return EXIT_OK if all(well for _, well, _ in checks) else EXIT_FINDING


async def _store_checks(store: Store, settings: Settings) -> list[tuple[str, bool, str]]:
    from dispatcher.ops.preflight import judge

    server = await store.server_settings()
    objections = judge(server, settings.server.durability, settings.retention.store_bytes_max)
    seen = "; ".join(map(str, objections)) or f"kept ({settings.server.durability})"
    accounts = await store.accounts()
    names = {tariff.name for tariff in settings.tariff}
    lost = [account.name for account in accounts if account.tariff and account.tariff not in names]
    unknown = sorted({entry.account for entry in settings.inbound} - {account.name for account in accounts})
    told = f"; [[inbound]] names accounts that do not exist: {', '.join(unknown)}" if unknown else ""
    depths = await store.depths()
    engines = await store.engines()
    waiting = sum(engine.in_flight for engine in engines if not engine.alive)
    return [
        ("store", True, f"version {server.get('version', '?')}, {server.get('used_memory', '?')} bytes"),
        ("promise", not objections, seen),
        (
            "accounts",
            not lost and not unknown,
            f"{len(accounts)}" + (f"; their tariff is not configured: {', '.join(lost)}" if lost else "") + told,
        ),
        ("queues", True, f"{sum(depths.values())} waiting"),
        ("leases", True, f"{', '.join(e.name for e in engines if e.alive) or 'none'}; {waiting} messages of dead engines"),
    ]


def _process_checks(settings: Settings) -> list[tuple[str, bool, str]]:
    checks = []
    files = sorted(run_dir(settings).glob("*.pid"))
    if not files:
        return [("processes", False, "no dispatcher runs here; start `dispatcher run`")]
    for path in files:
        try:
            pid = int(path.read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            checks.append((path.stem, False, f"is not running; its pid file {path} is left over"))
        else:
            checks.append((path.stem, True, f"pid {pid}"))
    return checks


def _bind_checks(settings: Settings) -> list[tuple[str, bool, str]]:
    import socket

    states = _gauges(_counts(settings), "dispatcher_bind_state")
    checks = []
    for carrier in settings.carrier:
        for bind in carrier.bind:
            name = f"{carrier.name}/{bind.name}"
            held = [labels[2] for labels, value in states.items() if labels[:2] == (carrier.name, bind.name) and value]
            if "bound" in held or "paused" in held:
                checks.append((name, True, ",".join(held)))
                continue
            try:
                socket.create_connection((bind.host, bind.port), DOCTOR_CONNECT_S).close()
            except OSError as error:
                why = (error.strerror or type(error).__name__).lower()
                checks.append((name, False, f"{bind.host}:{bind.port} does not answer ({why})"))
            else:
                checks.append((name, False, f"{bind.host}:{bind.port} answers, but no engine is bound"))
    return checks
