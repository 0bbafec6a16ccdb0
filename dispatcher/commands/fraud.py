"""Commands about fraud guards: what the conversion of codes looks like, and what is paused for it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dispatcher.commands.frame import EXIT_FINDING, EXIT_OK, Context, arg, command, family, moment, now_ms, table

if TYPE_CHECKING:
    from dispatcher.core.ports import Store

_NOWHERE = "-"
"""How numbers of no country are written here."""


def register(commands: Any) -> None:
    """Adds fraud."""
    own = family(commands, "fraud", "see how many codes are used, and what is paused for it")
    command(own, "list", "show codes sent and used per account and country, and what is paused", "fraud list", _list)
    command(
        own,
        "resume",
        "let an account's codes into a country again; they are judged anew",
        "fraud resume acme MR",
        _resume,
        arg("account", metavar="ACCOUNT"),
        arg("country", metavar="COUNTRY", help=f"ISO 3166 code as `fraud list` shows it ({_NOWHERE}: numbers of no country)"),
    )


def _list(context: Context, _: argparse.Namespace) -> int:
    from dispatcher.core.front import Conversion

    fraud = context.settings.fraud

    async def work(store: Store) -> list[list[Any]]:
        at = now_ms()
        counts = await store.conversions(at, fraud.conversion_hours)
        paused = await store.paused_conversions(at)
        rows = []
        for name in sorted({*counts, *paused}):
            account, _, country = name.rpartition(":")
            count = counts.get(name, Conversion(0, 0))
            part = f"{count.used / count.sent:.1%}" if count.sent else ""
            rows.append([account, country or _NOWHERE, count.sent, count.used, part, moment(paused.get(name, 0))])
        return rows

    header = ["account", "country", "sent", "used", "part", "paused_until"]
    rows = context.with_store(work)
    context.show([dict(zip(header, row, strict=True)) for row in rows], lambda: table(rows, header))
    return EXIT_OK


def _resume(context: Context, options: argparse.Namespace) -> int:
    from dispatcher.core.guards import conversion_of

    country = "" if options.country == _NOWHERE else options.country
    name = conversion_of(options.account, country)

    async def work(store: Store) -> bool:
        known = name in await store.paused_conversions(now_ms())
        if known:
            await store.pause_conversion(name, 0)
        return known

    known = context.with_store(work)
    state = "resumed" if known else "not paused"
    context.show({"account": options.account, "country": options.country, "state": state}, f"{name} {state}")
    return EXIT_OK if known else EXIT_FINDING
