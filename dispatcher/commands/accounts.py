"""Commands about customers: accounts and their API keys."""

from __future__ import annotations

import argparse
import re
import secrets
from typing import TYPE_CHECKING, Any

from dispatcher.commands.frame import EXIT_OK, Context, arg, command, family, moment, now_ms, table
from dispatcher.ops.errors import OpsError

if TYPE_CHECKING:
    from dispatcher.core.customer import Account, Balance
    from dispatcher.core.ports import Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DAY_MS = 86_400_000


def register(commands: Any) -> None:
    """Adds accounts and keys."""
    own = family(commands, "accounts", "create, credit and show accounts")
    name = arg("name", metavar="NAME")
    command(
        own,
        "add",
        "create an account, or change the given settings of one",
        "accounts add acme --currency EUR --tariff standard",
        _add,
        name,
        arg("--currency", help="ISO 4217 code (needed for a new account)"),
        arg("--tariff", help="name of a [[tariff]]"),
        arg("--sender", help="where a send names none"),
        arg("--floor", help="lowest available balance, decimal (negative: credit line)"),
        arg("--number-check", choices=("possible", "valid", "shape")),
        arg("--refund-on", help="final states that are refunded, comma-separated (default failed,rejected)"),
        arg("--unknown", choices=("post", "void"), help="money of messages whose outcome stays unknown"),
        arg("--show-numbers", action=argparse.BooleanOptionalAction, help="numbers instead of hashes in its HTTP answers"),
    )
    command(own, "list", "show all accounts with their balances", "accounts list", _list)
    command(
        own,
        "credit",
        "add money (negative: take it back), once per id",
        "accounts credit acme 100.00 --id invoice-17",
        _credit,
        name,
        arg("amount", metavar="AMOUNT", help="decimal, in the account's currency"),
        arg("--id", default="", help="makes it idempotent: the same id is credited once"),
    )
    command(own, "show", "show one account's settings and money", "accounts show acme", _show, name)
    command(
        own,
        "suspend",
        "refuse an account's sends, or let them in again",
        "accounts suspend acme",
        _suspend,
        name,
        arg("--resume", action="store_true", help="lift the suspension"),
    )
    keys = family(commands, "keys", "create, list and revoke API keys")
    command(
        keys,
        "create",
        "create an API key; its text is shown once and never kept",
        "keys create acme",
        _create_key,
        arg("account", metavar="ACCOUNT"),
        arg("--scope", action="append", choices=("send", "read"), help="may be repeated (default: both)"),
        arg("--days", type=int, default=0, help="expires after so many days (default: never)"),
    )
    command(
        keys,
        "list",
        "show keys without their secrets",
        "keys list acme",
        _list_keys,
        arg("account", metavar="ACCOUNT", nargs="?", default=""),
    )
    command(keys, "revoke", "revoke a key", "keys revoke 0123456789abcdef", _revoke_key, arg("id", metavar="ID"))


async def _known(store: Store, name: str) -> Account:
    account = await store.account(name)
    if account is None:
        raise OpsError(f"there is no account {name!r}", f"create it: dispatcher accounts add {name} --currency EUR")
    return account


def _add(context: Context, options: argparse.Namespace) -> int:
    import msgspec

    from accounting.money import to_micro
    from dispatcher.core.customer import Account

    if not _NAME.fullmatch(options.name):
        raise OpsError(f"the name {options.name!r} is not usable", "write 1 to 64 of A-Z a-z 0-9 . _ -")
    tariffs = {tariff.name: tariff.currency for tariff in context.settings.tariff}
    if options.tariff and options.tariff not in tariffs:
        raise OpsError(f"--tariff {options.tariff!r} is not in the configuration", f"use one of {', '.join(tariffs) or 'none'}")
    changes = {
        "currency": options.currency,
        "tariff": options.tariff,
        "sender": options.sender,
        "floor": None if options.floor is None else to_micro(options.floor),
        "number_check": options.number_check,
        "refund_on": None if options.refund_on is None else _refund_on(options.refund_on),
        "unknown": options.unknown,
        "show_numbers": options.show_numbers,
    }
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}

    async def work(store: Store) -> Account:
        known = await store.account(options.name)
        if known is None:
            currency = given.get("currency") or tariffs.get(options.tariff or "", "")
            if not re.fullmatch("[A-Z]{3}", currency):
                raise OpsError(f"--currency {currency!r} is not a currency", "write an ISO 4217 code, like EUR")
            account = Account(**{"name": options.name, "created_at": now_ms(), **given, "currency": currency})
        else:
            if options.currency and options.currency != known.currency:
                raise OpsError(f"{known.name} is kept in {known.currency}", "create another account for another currency")
            account = msgspec.structs.replace(known, **given)
        if account.tariff and tariffs.get(account.tariff, account.currency) != account.currency:
            raise OpsError(f"tariff {account.tariff} is in {tariffs[account.tariff]}", f"choose one in {account.currency}")
        await store.put_account(account)
        return account

    account = context.with_store(work)
    context.show(account, f"account {account.name}, {account.currency}, tariff {account.tariff or '(default)'}")
    return EXIT_OK


def _refund_on(text: str) -> tuple[str, ...]:
    from dispatcher.core.model import State

    states = tuple(part.strip() for part in text.split(",") if part.strip())
    allowed = [state.wire for state in State if state.final and state not in (State.DELIVERED, State.UNKNOWN)]
    for state in states:
        if state not in allowed:
            raise OpsError(f"--refund-on {state!r} is not possible", f"use {', '.join(allowed)}")
    return states


def _money(balance: Balance | None) -> tuple[str, str, str]:
    from accounting.money import to_decimal

    if balance is None:
        return "0", "0", "0"
    return to_decimal(balance.available), to_decimal(balance.reserved), to_decimal(balance.floor)


def _list(context: Context, _: argparse.Namespace) -> int:
    async def work(store: Store) -> list[list[str]]:
        rows = []
        for account in await store.accounts():
            available, reserved, floor = _money(await store.balance(account.name))
            state = "suspended" if account.suspended else "active"
            rows.append([account.name, state, account.tariff or "(default)", available, reserved, floor, account.currency])
        return rows

    header = ["account", "state", "tariff", "available", "reserved", "floor", "currency"]
    rows = context.with_store(work)
    context.show([dict(zip(header, row, strict=True)) for row in rows], lambda: table(rows, header))
    return EXIT_OK


def _show(context: Context, options: argparse.Namespace) -> int:
    import msgspec

    async def work(store: Store) -> dict[str, Any]:
        account = await _known(store, options.name)
        available, reserved, _ = _money(await store.balance(options.name))
        shown = {name: getattr(account, name) for name in account.__struct_fields__}
        shown["floor"] = _money(await store.balance(options.name))[2]
        return msgspec.to_builtins({**shown, "available": available, "reserved": reserved})  # type: ignore[no-any-return]

    value = context.with_store(work)
    context.show(value, "\n".join(f"{key:<21}{item}" for key, item in value.items()))
    return EXIT_OK


def _credit(context: Context, options: argparse.Namespace) -> int:
    from accounting.money import to_micro

    amount = to_micro(options.amount)
    credit_id = options.id or f"cli-{secrets.token_hex(8)}"

    async def work(store: Store) -> tuple[str, str, str, str]:
        account = await _known(store, options.name)
        balance = await store.credit(options.name, credit_id, amount, now_ms())
        return (*_money(balance), account.currency)

    available, reserved, _, currency = context.with_store(work)
    value = {"account": options.name, "id": credit_id, "available": available, "reserved": reserved, "currency": currency}
    context.show(value, f"{options.name}: {available} {currency} available, {reserved} reserved")
    return EXIT_OK


def _suspend(context: Context, options: argparse.Namespace) -> int:
    import msgspec

    async def work(store: Store) -> None:
        account = await _known(store, options.name)
        await store.put_account(msgspec.structs.replace(account, suspended=not options.resume))

    context.with_store(work)
    state = "active" if options.resume else "suspended"
    context.show({"account": options.name, "state": state}, f"account {options.name} is {state}")
    return EXIT_OK


# -- keys --------------------------------------------------------------------------------------------------------------


def _create_key(context: Context, options: argparse.Namespace) -> int:
    from dispatcher.ingest.keys import issue

    at = now_ms()
    scopes = tuple(dict.fromkeys(options.scope)) if options.scope else ("send", "read")
    text, record = issue(options.account, at, scopes, at + options.days * _DAY_MS if options.days else 0)

    async def work(store: Store) -> None:
        await _known(store, options.account)
        await store.put_key(record)

    context.with_store(work)
    context.show({"key": text, "id": record.id, "account": options.account, "scopes": scopes}, text)
    return EXIT_OK


def _list_keys(context: Context, options: argparse.Namespace) -> int:
    header = ["id", "account", "scopes", "created", "expires", "state"]

    async def work(store: Store) -> list[list[str]]:
        at = now_ms()
        return [
            [
                key.id,
                key.account,
                ",".join(key.scopes),
                moment(key.created_at),
                moment(key.expires_at) or "never",
                "revoked" if key.revoked else "expired" if 0 < key.expires_at <= at else "valid",
            ]
            for key in await store.keys(options.account)
        ]

    rows = context.with_store(work)
    context.show([dict(zip(header, row, strict=True)) for row in rows], lambda: table(rows, header))
    return EXIT_OK


def _revoke_key(context: Context, options: argparse.Namespace) -> int:
    import msgspec

    async def work(store: Store) -> None:
        key = await store.key(options.id.partition(".")[0])
        if key is None:
            raise OpsError("there is no key of this id", "see `dispatcher keys list`")
        await store.put_key(msgspec.structs.replace(key, revoked=True))

    context.with_store(work)
    shown = options.id.partition(".")[0]
    context.show({"id": shown, "state": "revoked"}, f"key {shown} is revoked")
    return EXIT_OK
