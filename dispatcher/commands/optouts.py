"""Commands of opt-outs: who wants nothing more from whom. Numbers are kept as keyed hashes, so a list shows no number."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dispatcher.commands.frame import EXIT_OK, Context, arg, command, family, now_ms, table
from dispatcher.ops.errors import OpsError

if TYPE_CHECKING:
    from dispatcher.core.inbox import OptOut
    from dispatcher.core.ports import Store

LIST_MAX = 10_000


def register(commands: Any) -> None:
    """Adds optouts."""
    own = family(commands, "optouts", "look at who wants nothing more, and correct it")
    account = arg("account", metavar="ACCOUNT")
    number = arg("number", metavar="NUMBER", help="E.164, with or without +")
    sender = arg("--sender", default="", metavar="SENDER", help="only this sender; without it every one of the account")
    command(
        own,
        "list",
        f"show an account's opt-outs, at most {LIST_MAX:,}",
        "optouts list acme --number +22236000001",
        _list,
        account,
        arg("--number", default="", metavar="NUMBER", help="only those of this number"),
    )
    command(own, "add", "a number wants nothing more", "optouts add acme +22236000001", _change, account, number, sender)
    command(
        own,
        "remove",
        "a number may be written to again",
        "optouts remove acme +22236000001",
        _change,
        account,
        number,
        sender,
    )


def _hashes(context: Context, number: str) -> list[str]:
    """As sends to it bear them. Raises OpsError for what is no number."""
    from dispatcher.core.hashing import NumberHash
    from dispatcher.core.inbox import forms_of
    from dispatcher.core.numbers import NumberBook
    from dispatcher.ops.secret_key import server_key

    digits = number.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise OpsError(f"{number!r} is not a number", "write it in E.164, like +22236000001")
    hashed = NumberHash(server_key(context.settings))
    return [hashed(form) for form in forms_of(digits, NumberBook())]


async def _known(store: Store, account: str) -> None:
    if await store.account(account) is None:
        raise OpsError(f"there is no account {account}", "see `dispatcher accounts list`")


def _list(context: Context, options: argparse.Namespace) -> int:
    wanted = set(_hashes(context, options.number)) if options.number else set()

    async def work(store: Store) -> list[OptOut]:
        await _known(store, options.account)
        found = await store.opt_outs(options.account, LIST_MAX)
        return sorted(one for one in found if not wanted or one.to_hash in wanted)

    found = context.with_store(work)
    value = [{"to": one.to_hash, "sender": one.sender} for one in found]
    rows = [[one.to_hash, one.sender or "(every one)"] for one in found]
    context.show(value, lambda: table(rows, ["to", "sender"]) if rows else "nobody has opted out")
    return EXIT_OK


def _change(context: Context, options: argparse.Namespace) -> int:
    out = options.subcommand == "add"
    hashes = _hashes(context, options.number)

    async def work(store: Store) -> bool:
        await _known(store, options.account)
        changed = False
        for to_hash in hashes:
            if out:
                changed |= await store.opt_out(options.account, options.sender, to_hash, now_ms())
            else:
                changed |= await store.opt_in(options.account, options.sender, to_hash)
        return changed

    changed = context.with_store(work)
    value = {"account": options.account, "sender": options.sender, "out": out, "changed": changed}
    words = "wants nothing more" if out else "may be written to again"
    context.show(value, f"the number {words}" if changed else f"it was so before: the number {words}")
    return EXIT_OK
