"""Commands about credentials: our own API keys, and those that customers of the dialects hold already."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dispatcher.commands.accounts import known, read_secret
from dispatcher.commands.frame import EXIT_OK, Context, arg, command, family, moment, now_ms, table
from dispatcher.ops.errors import OpsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatcher.core.customer import ApiKey
    from dispatcher.core.ports import Store

_DAY_MS = 86_400_000
_DIALECTS = ("chinqit", "laravel", "smskit", "otpiq")
_TRIES = 5
CHINQIT_REFUNDS = ("failed", "rejected", "undelivered", "expired")
"""Chinqit gives money back for every final failure (dialects.md 1.5); other services only for what no carrier took."""


def register(commands: Any) -> None:
    """Adds keys."""
    own = family(commands, "keys", "create, import, rotate, list and revoke credentials")
    account = arg("account", metavar="ACCOUNT")
    dialect = arg("--dialect", choices=_DIALECTS, help="whose form it has (chinqit: REST and Bulk)")
    days = arg("--days", type=int, default=0, help="expires after so many days (default: never)")
    user = arg("--user", metavar="NAME", help="user name, for a password of the dialect laravel")
    command(
        own,
        "create",
        "create a credential; its text is shown once and never kept",
        "keys create acme",
        _create,
        account,
        arg("--scope", action="append", choices=("send", "read"), help="of our own keys, may be repeated (default: both)"),
        dialect,
        user,
        days,
    )
    command(
        own,
        "import",
        "take over a credential that a customer has already, so that it changes nothing",
        "keys import acme --dialect otpiq --value-file key.txt",
        _import,
        account,
        arg("--dialect", choices=_DIALECTS, required=True, help="whose it is (chinqit: REST and Bulk)"),
        arg("--value-file", metavar="FILE", required=True, help="holds the key, with --user the password"),
        arg("--secret-file", metavar="FILE", help="holds the token (smskit)"),
        user,
        days,
    )
    command(
        own,
        "rotate",
        "create the successor of a key; the old one is good for a while longer",
        "keys rotate 0123456789abcdef --overlap-s 86400",
        _rotate,
        arg("id", metavar="ID"),
        arg("--overlap-s", type=int, default=86_400, help="how long both are good (default: a day)"),
    )
    command(
        own,
        "list",
        "show keys without their secrets",
        "keys list acme",
        _list,
        arg("account", metavar="ACCOUNT", nargs="?", default=""),
    )
    command(own, "revoke", "revoke a key", "keys revoke 0123456789abcdef", _revoke, arg("id", metavar="ID"))


def _create(context: Context, options: argparse.Namespace) -> int:
    import secrets

    from dispatcher.ingest import keys

    at = now_ms()
    until = at + options.days * _DAY_MS if options.days else 0
    token: str | None = None
    if options.dialect is None:
        scopes = tuple(dict.fromkeys(options.scope)) if options.scope else keys.SCOPES
        text, record = keys.issue(options.account, at, scopes, until)
    elif options.user:
        text = secrets.token_urlsafe(18)
        record = _record(context, options, options.user, text, at, until)
    else:
        text, token, record = keys.issue_for(_keyed(context), options.account, options.dialect, at, until)
    refunds = _put(context, record, fresh=True)
    value = {"key": text, "id": record.id, "account": record.account, "scopes": record.scopes}
    value |= {"token": token} if token else {}
    shown = text if token is None else f"key    {text}\ntoken  {token}"
    context.show(value | refunds, shown + _words_of(record.account, refunds))
    return EXIT_OK


def _import(context: Context, options: argparse.Namespace) -> int:
    at = now_ms()
    until = at + options.days * _DAY_MS if options.days else 0
    value = read_secret(options.value_file)
    if options.user:
        record = _record(context, options, options.user, value, at, until)
    else:
        secret = read_secret(options.secret_file) if options.secret_file else None
        record = _record(context, options, value, secret, at, until)
    refunds = _put(context, record, fresh=False)
    shown = {"id": record.id, "account": record.account, "dialect": record.dialect, "label": record.label}
    context.show(
        shown | refunds, f"{record.dialect} credential {record.id} of {record.account}" + _words_of(record.account, refunds)
    )
    return EXIT_OK


def _record(context: Context, options: argparse.Namespace, identifier: str, secret: str | None, at: int, until: int) -> ApiKey:
    from dispatcher.ingest import keys

    try:
        return keys.imported(_keyed(context), options.account, options.dialect, identifier, secret, at, until)
    except ValueError as error:
        remedy = "laravel: --user NAME, or a key alone; smskit: --secret-file with the token; else a key alone"
        raise OpsError(str(error), remedy) from None


def _keyed(context: Context) -> Callable[[str], bytes]:
    from dispatcher.core.hashing import NumberHash
    from dispatcher.ops.secret_key import server_key

    return NumberHash(server_key(context.settings)).digest


def _put(context: Context, record: ApiKey, *, fresh: bool) -> dict[str, Any]:
    """Stores it. What else that changed in the account: what is promised by the dialects' services and was not asked for yet
    (four retries of every class; Chinqit's refunds, where they were still the default)."""
    import msgspec

    from dispatcher.core.customer import Account

    default = msgspec.structs.fields(Account)[Account.__struct_fields__.index("refund_on")].default

    async def work(store: Store) -> dict[str, Any]:
        account = await known(store, record.account)
        before = await store.key(record.id)
        if before is not None and (fresh or before.account != record.account) and not before.revoked:
            raise OpsError("this credential exists already", "see `dispatcher keys list`; revoke it first")
        await store.put_key(record)
        changes: dict[str, Any] = {}
        if record.dialect and not account.bulk_receipt_retries:
            changes["bulk_receipt_retries"] = True
        if record.dialect == "chinqit" and account.refund_on in ((), default):
            changes["refund_on"] = CHINQIT_REFUNDS
        if changes:
            await store.put_account(msgspec.structs.replace(account, **changes))
        return changes

    return context.with_store(work)


def _words_of(account: str, changes: dict[str, Any]) -> str:
    """What a person is told of an account's changes."""
    words = ""
    if "bulk_receipt_retries" in changes:
        words += f"\n{account}'s bulk messages are retried from now on as others are: up to four times"
    if "refund_on" in changes:
        words += f"\n{account} is refunded from now on as Chinqit's customers are: {', '.join(changes['refund_on'])}"
    return words


def _rotate(context: Context, options: argparse.Namespace) -> int:
    import msgspec

    from dispatcher.ingest import keys

    at = now_ms()
    ends_at = at + max(0, options.overlap_s) * 1000

    async def work(store: Store) -> tuple[str, str | None, ApiKey]:
        for _ in range(_TRIES):
            old = await _key(store, options.id)
            if old.revoked or 0 < old.expires_at <= at:
                raise OpsError("this key is not valid any more", f"create another: dispatcher keys create {old.account}")
            if old.hashing == "scrypt":
                raise OpsError("a password has no successor", "import the new one with `dispatcher keys import`")
            version, _ = await store.account_keys(old.account)
            token: str | None = None
            if old.dialect:
                text, token, new = keys.issue_for(_keyed(context), old.account, old.dialect, at)
            else:
                text, new = keys.issue(old.account, at, old.scopes)
            until = min(ends_at, old.expires_at) if old.expires_at else ends_at
            ending = msgspec.structs.replace(old, expires_at=until)
            if await store.change_keys(old.account, version, [ending, new]):
                return text, token, new
        raise OpsError("the account's keys are being changed by somebody else", "try again")

    text, token, new = context.with_store(work)
    value = {"key": text, "id": new.id, "account": new.account, "old": options.id, "old_expires_at": moment(ends_at)}
    value |= {"token": token} if token else {}
    context.show(value, text if token is None else f"key    {text}\ntoken  {token}")
    return EXIT_OK


async def _key(store: Store, shown: str) -> ApiKey:
    key = await store.key(shown.partition(".")[0])
    if key is None:
        raise OpsError("there is no key of this id", "see `dispatcher keys list`")
    return key


def _list(context: Context, options: argparse.Namespace) -> int:
    header = ["id", "account", "dialect", "label", "scopes", "created", "expires", "last_used", "state"]

    async def work(store: Store) -> list[list[str]]:
        at = now_ms()
        uses = await store.key_uses()
        return [
            [
                key.id,
                key.account,
                key.dialect or "native",
                key.label,
                ",".join(key.scopes),
                moment(key.created_at),
                moment(key.expires_at) or "never",
                moment(uses.get(key.id, 0)) or "never",
                "revoked" if key.revoked else "expired" if 0 < key.expires_at <= at else "valid",
            ]
            for key in await store.keys(options.account)
        ]

    rows = context.with_store(work)
    context.show([dict(zip(header, row, strict=True)) for row in rows], lambda: table(rows, header))
    return EXIT_OK


def _revoke(context: Context, options: argparse.Namespace) -> int:
    import msgspec

    async def work(store: Store) -> str:
        key = await _key(store, options.id)
        await store.put_key(msgspec.structs.replace(key, revoked=True))
        return key.id

    shown = context.with_store(work)
    context.show({"id": shown, "state": "revoked"}, f"key {shown} is revoked")
    return EXIT_OK
