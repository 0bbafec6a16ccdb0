"""Commands about customers: their settings and their money. Their credentials are in keys.py."""

from __future__ import annotations

import argparse
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dispatcher.commands.frame import EXIT_OK, Context, arg, command, family, now_ms, table
from dispatcher.ops.errors import OpsError

if TYPE_CHECKING:
    from dispatcher.core.customer import Account, Balance
    from dispatcher.core.ports import Store

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LIMITS = (
    arg("--sender-allowed", action="append", metavar="SENDER", help="a send may name it; may be repeated (none given: any)"),
    arg("--country", action="append", metavar="CC", help="ISO 3166 code it may send to; may be repeated (none: every priced)"),
    arg("--premium", action=argparse.BooleanOptionalAction, help="premium and satellite ranges too"),
    arg("--velocity", metavar="S:N,...", help="at most N sends in S seconds per 7-digit prefix, every class (60:30,3600:100)"),
    arg("--velocity-account", metavar="S:N,...", help="the same over all of its sends"),
    arg("--velocity-country", metavar="S:N,...", help="the same over its sends to one country"),
    arg("--spend-cap", metavar="AMOUNT", help="decimal, most that it spends in 24 hours (0: no limit)"),
    arg("--bulk-retries", action=argparse.BooleanOptionalAction, help="failed receipts of bulk messages are retried too"),
    arg("--feedback", action=argparse.BooleanOptionalAction, help="it reports which of its codes were used, all of them"),
    arg("--payment", choices=("prepaid", "postpaid"), help="as dialects show it; postpaid: give a --floor too"),
    arg("--country-code", metavar="DIGITS", help="of numbers written in national form, where a dialect takes such"),
    arg("--zone", metavar="NAME", help="IANA time zone of dates that name none, where a dialect has such (empty: UTC)"),
    arg("--text", action="append", metavar="LANG=TEXT", help="of one-time passwords, with {code}; may be repeated"),
    arg("--project", help="its project's name, as a dialect shows it"),
    arg("--trial-number", metavar="DIGITS", help="the only number a trial account may send to (empty: no trial)"),
    arg("--callback-secret-file", metavar="FILE", help="holds what signs its callbacks that name no secret of their own"),
)
"""Options of `accounts add`; lists are replaced as a whole, one empty value empties them."""


def register(commands: Any) -> None:
    """Adds accounts."""
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
        *_LIMITS,
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


async def known(store: Store, name: str) -> Account:
    """The account. Raises OpsError."""
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
        **_limits(options),
    }
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}

    async def work(store: Store) -> Account:
        before = await store.account(options.name)
        if before is None:
            currency = given.get("currency") or tariffs.get(options.tariff or "", "")
            if not re.fullmatch("[A-Z]{3}", currency):
                raise OpsError(f"--currency {currency!r} is not a currency", "write an ISO 4217 code, like EUR")
            account = Account(**{"name": options.name, "created_at": now_ms(), **given, "currency": currency})
        else:
            if options.currency and options.currency != before.currency:
                raise OpsError(f"{before.name} is kept in {before.currency}", "create another account for another currency")
            account = msgspec.structs.replace(before, **given)
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


def _limits(options: argparse.Namespace) -> dict[str, Any]:
    from accounting.money import to_micro

    for code in options.country or ():
        if code and not re.fullmatch("[A-Z]{2}", code):
            raise OpsError(f"--country {code!r} is no ISO 3166 code", "write two capital letters, like MR")
    for name, digits in (("--country-code", options.country_code), ("--trial-number", options.trial_number)):
        if digits and not re.fullmatch("[1-9][0-9]{0,14}", digits):
            raise OpsError(f"{name} must be digits without +", "write it like 254")
    if options.spend_cap is not None and to_micro(options.spend_cap) < 0:
        raise OpsError(f"--spend-cap {options.spend_cap} is negative", "write 0 for no limit")
    return {
        "senders": _all(options.sender_allowed),
        "countries": _all(options.country),
        "premium": options.premium,
        "velocity": _spans("--velocity", options.velocity),
        "velocity_account": _spans("--velocity-account", options.velocity_account),
        "velocity_country": _spans("--velocity-country", options.velocity_country),
        "spend_cap": None if options.spend_cap is None else to_micro(options.spend_cap),
        "feedback": options.feedback,
        "bulk_receipt_retries": options.bulk_retries,
        "payment": options.payment,
        "country_code": options.country_code,
        "texts": None if options.text is None else dict(_text(text) for text in options.text if text),
        "zone": None if options.zone is None else _zone(options.zone),
        "project": options.project,
        "trial_number": options.trial_number,
        "callback_secret": None if options.callback_secret_file is None else read_secret(options.callback_secret_file),
    }


def read_secret(path: str) -> str:
    """A file's content without the line end that editors put behind it. Raises OpsError, OSError."""
    try:
        return Path(path).read_bytes().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise OpsError(f"{path} is not UTF-8", "write the secret alone into it") from None


def _all(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(dict.fromkeys(value for value in values if value))


def _spans(name: str, text: str | None) -> tuple[tuple[int, int], ...] | None:
    if text is None:
        return None
    spans = [re.fullmatch("([1-9][0-9]{0,8}):([0-9]{1,9})", part.strip()) for part in text.split(",") if part.strip()]
    found = tuple((int(span[1]), int(span[2])) for span in spans if span is not None)
    if len(found) != len(spans):
        raise OpsError(f"{name} {text!r} is not usable", "write seconds:sends, like 60:30,3600:100")
    return found


def _zone(name: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise OpsError(f"--zone {name!r} is no time zone", "write an IANA name, like Africa/Nairobi") from None
    return name


def _text(text: str) -> tuple[str, str]:
    language, equals, words = text.partition("=")
    if not equals or not re.fullmatch("[a-z]{2}", language) or "{code}" not in words:
        raise OpsError(f"--text of {language!r} is not usable", "write it like en='Your code is {code}'")
    return language, words


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

    from accounting.money import to_decimal

    async def work(store: Store) -> dict[str, Any]:
        account = await known(store, options.name)
        available, reserved, _ = _money(await store.balance(options.name))
        shown = {name: getattr(account, name) for name in account.__struct_fields__}
        shown["callback_secret"] = "set" if account.callback_secret else ""
        shown["spend_cap"] = to_decimal(account.spend_cap)
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
        account = await known(store, options.name)
        balance = await store.credit(options.name, credit_id, amount, now_ms())
        return (*_money(balance), account.currency)

    available, reserved, _, currency = context.with_store(work)
    value = {"account": options.name, "id": credit_id, "available": available, "reserved": reserved, "currency": currency}
    context.show(value, f"{options.name}: {available} {currency} available, {reserved} reserved")
    return EXIT_OK


def _suspend(context: Context, options: argparse.Namespace) -> int:
    import msgspec

    async def work(store: Store) -> None:
        account = await known(store, options.name)
        await store.put_account(msgspec.structs.replace(account, suspended=not options.resume))

    context.with_store(work)
    state = "active" if options.resume else "suspended"
    context.show({"account": options.name, "state": state}, f"account {options.name} is {state}")
    return EXIT_OK
