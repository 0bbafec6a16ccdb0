"""Commands about the books: ledger balance, ledger audit."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dispatcher.commands.frame import EXIT_FINDING, EXIT_OK, Context, arg, command, family, table
from dispatcher.ops.errors import OpsError

if TYPE_CHECKING:
    from accounting.ledger import Fact
    from dispatcher.core.customer import Balance
    from dispatcher.core.ports import Store

PAGE_ENTRIES = 1000
QUIET_TRIES = 20


def register(commands: Any) -> None:
    """Adds ledger."""
    own = family(commands, "ledger", "show balances and check that the books balance")
    command(
        own,
        "balance",
        "show money per account",
        "ledger balance acme",
        _balance,
        arg("account", metavar="ACCOUNT", nargs="?", default=""),
    )
    command(
        own,
        "audit",
        "replay every money fact and compare with the balances",
        "ledger audit",
        _audit,
        arg("--reservations", action="store_true", help="the stream holds reserve and void rows from its beginning on"),
    )


async def _holds(store: Store) -> dict[str, int]:
    """Money of admissions that have reserved and not yet enqueued: taken, but without a fact."""
    look = getattr(store, "open_holds", None)
    return dict(await look()) if look is not None else {}


async def _balances(store: Store, only: str = "") -> list[Balance]:
    names = [only] if only else [account.name for account in await store.accounts()]
    found = [balance for name in names if (balance := await store.balance(name)) is not None]
    if only and not found:
        raise OpsError(f"there is no account {only!r}", "see `dispatcher accounts list`")
    return found


def _balance(context: Context, options: argparse.Namespace) -> int:
    from accounting.money import to_decimal

    header = ["account", "available", "reserved", "floor", "currency"]
    found = context.with_store(lambda store: _balances(store, options.account))
    rows = [[b.account, to_decimal(b.available), to_decimal(b.reserved), to_decimal(b.floor), b.currency] for b in found]
    context.show([dict(zip(header, row, strict=True)) for row in rows], lambda: table(rows, header))
    return EXIT_OK


async def read_facts(store: Store) -> list[Fact]:
    """Every fact of the charges stream, oldest first."""
    import msgspec

    from accounting.ledger import Fact

    facts: list[Fact] = []
    after = ""
    while True:
        rows = await store.read_stream("charges", after, PAGE_ENTRIES)
        if not rows:
            return facts
        after = rows[-1][0]
        for _, row in rows:
            facts.append(msgspec.convert([row[field] for field in Fact.__struct_fields__], Fact, strict=False))


def _audit(context: Context, options: argparse.Namespace) -> int:
    from accounting.audit import audit
    from accounting.money import to_decimal

    async def work(store: Store) -> tuple[list[Fact], list[Balance], dict[str, int]]:
        # Facts and balances are several reads: while money moves they differ. Both readings agree when nothing moved.
        for _ in range(QUIET_TRIES):
            before = await _balances(store), await _holds(store)
            facts = await read_facts(store)
            if (await _balances(store), await _holds(store)) == before:
                break
        else:
            raise OpsError(f"money moved during each of {QUIET_TRIES} readings", "pause the senders for a moment and try again")
        return facts, *before

    facts, balances, holds = context.with_store(work)
    result = audit(
        facts,
        {b.account: (b.available, b.reserved) for b in balances},
        holds,
        reservations=options.reservations or context.settings.charges.reservations,
        floors={b.account: b.floor for b in balances},
    )
    kinds = ("credit", "adjust", "post", "refund", "cost")
    rows = [
        [currency, *(to_decimal(getattr(line, kind)) for kind in kinds)] for currency, line in sorted(result.totals.items())
    ]
    first = result.first
    verdict = (
        f"audit: {'PASS' if result.ok else 'FAIL'} facts={result.facts} accounts={len(balances)} misfits={result.misfit_count}"
    )
    text = table(rows, ["currency", *kinds]) + "\n"
    if first is not None:
        text += f"first misfit: fact {first.position} {first.fact} account {first.account}: {first.rule}, {first.why}\n"
    value = {"ok": result.ok, "facts": result.facts, "misfits": result.misfits, "totals": result.totals}
    context.show(value, text + verdict)
    return EXIT_OK if result.ok else EXIT_FINDING
