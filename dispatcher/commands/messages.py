"""Commands about one message: send, status, cancel, replay, explain."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

from dispatcher.commands.frame import EXIT_OK, Context, arg, command, moment, now_ms
from dispatcher.ops.errors import OpsError

if TYPE_CHECKING:
    from dispatcher.core.customer import Account
    from dispatcher.core.model import Message, Send
    from dispatcher.core.ports import Store

T = TypeVar("T")

SKEW_MS = 60_000
"""Clocks of the server and of whoever made the id may differ by so much when events are searched."""
EVENTS_MAX = 200_000
_POLL_S = 0.05


def register(commands: Any) -> None:
    """Adds send, status, cancel, replay, explain."""
    text = (
        arg("to", metavar="TO", help="number in E.164, like +22241234567"),
        arg("text", metavar="TEXT"),
        arg("--account", default="", help="who pays (may be left out when there is only one account)"),
        arg("--from", dest="sender", help="sender (default: the account's, else the carrier's)"),
        arg("--class", dest="lane", choices=("otp", "transactional", "bulk"), default="transactional"),
        arg("--encoding", choices=("auto", "gsm7", "ucs2", "latin1"), default="auto"),
        arg("--route", help="this route instead of the one that matches"),
        arg("--smart", action="store_true", help="transliterate when it saves segments"),
    )
    command(
        commands,
        "send",
        "hand over one message by the sends stream",
        'send +22241234567 "Hello" --account acme',
        _send,
        *text,
        arg("--key", default="", help="makes it idempotent for 24 h (default: a fresh one)"),
        arg("--wait", type=float, default=5.0, metavar="S", help="seconds to wait for its admission (default 5; 0: do not)"),
    )
    command(
        commands,
        "explain",
        "say what would become of a message: encoding, segments, route, price; sends nothing",
        'explain +22241234567 "Hello"',
        _explain,
        *text,
    )
    one = arg("id", metavar="ID", help="message id, ours or the one that a public API showed")
    command(commands, "status", "show a message's state with every segment and attempt", "status ID", _status, one)
    command(
        commands,
        "cancel",
        "cancel what has not been submitted of a message, or what its carrier takes back",
        "cancel ID",
        _cancel,
        one,
    )
    command(commands, "replay", "tell a message's life from its record and its events", "replay ID", _replay, one)


# -- send, explain -----------------------------------------------------------------------------------------------------


def _send_of(options: argparse.Namespace, account: str) -> Send:
    from dispatcher.core.model import Send

    return Send(
        to=options.to,
        text=options.text,
        account=account,
        sender=options.sender,
        lane=options.lane,
        encoding=options.encoding,
        route=options.route,
        smart=options.smart,
        key=getattr(options, "key", "") or None,
    )


async def _account(store: Store, name: str) -> Account:
    if name:
        account = await store.account(name)
        if account is None:
            raise OpsError(f"there is no account {name!r}", f"create it: dispatcher accounts add {name} --currency EUR")
        return account
    known = await store.accounts()
    if len(known) != 1:
        names = ", ".join(one.name for one in known[:10]) or "none"
        raise OpsError(f"--account is needed: there are {len(known)} accounts ({names})", "add --account NAME")
    return known[0]


def _send(context: Context, options: argparse.Namespace) -> int:
    from dispatcher.client.producer import Producer

    options.key = options.key or f"cli-{secrets.token_hex(8)}"
    account = context.with_store(lambda store: _account(store, options.account))
    with Producer(context.url, context.prefix) as producer:
        entry = producer.send(_send_of(options, account.name))
    if not options.wait:
        context.show({"entry": entry, "key": options.key}, f"entry {entry}, key {options.key}")
        return EXIT_OK

    async def outcome(store: Store) -> tuple[str, dict[str, Any]]:
        import trio

        with trio.move_on_after(options.wait):
            while True:
                found = await store.find_key(account.name, options.key, now_ms())
                if found:
                    return found, {}
                for _, row in await store.read_stream("rejects", "", 10_000):
                    if _text(row.get("entry")) == entry:
                        return "", row
                await trio.sleep(_POLL_S)
        return "", {}

    found, row = context.with_store(outcome)
    if found:
        context.show({"id": found, "entry": entry, "key": options.key}, found)
        return EXIT_OK
    if row:
        reason, detail = _text(row.get("reason")), _text(row.get("detail"))
        raise OpsError(f"refused: {reason} ({detail})", "correct it and send again")
    raise OpsError(
        f"entry {entry} has not been admitted within {options.wait:g} s",
        "it waits in the stream and is not lost; is an engine running? (`dispatcher doctor`)",
    )


def _explain(context: Context, options: argparse.Namespace) -> int:
    from dispatcher.core.admission import explain
    from dispatcher.core.customer import Account
    from dispatcher.core.refusal import Refused
    from dispatcher.ops.roles import build_book

    settings = context.settings
    if options.account:
        account = context.with_store(lambda store: _account(store, options.account))
    else:  # needs no server: the first tariff that is not only a carrier's cost
        costs = {carrier.cost for carrier in settings.carrier}
        own = [tariff for tariff in settings.tariff if tariff.name not in costs]
        if not own:
            raise OpsError("no [[tariff]] is for customers", "add one, or name an account with --account")
        account = Account(name="example", currency=own[0].currency, tariff=own[0].name)
    found = explain(_send_of(options, account.name), account, build_book(settings), now_ms())
    if isinstance(found, Refused):
        raise OpsError(f"would be refused: {found.reason.value}, {found.field}: {found.detail}", "correct it")
    lines = [
        f"to        {found.to}  {found.country} {found.mccmnc}".rstrip(),
        f"from      {found.sender or '(the carrier decides)'}",
        f"encoding  {f'{found.encoding} {found.national}'.rstrip()}, {len(found.segments)} segment"
        + ("s" if len(found.segments) != 1 else ""),
        *(f"  {number:>3}     {len(part) // 2} octets  {part}" for number, part in enumerate(found.segments, 1)),
        f"route     {found.route} -> {', '.join(found.carriers)}",
        f"price     {found.price} {found.currency} ({found.unit_price} a segment, tariff {found.tariff})",
        f"until     {moment(found.deadline_at)}, outcome unknown: {found.on_unknown}",
        *(f"rule      {rule}" for rule in found.rules),
    ]
    context.show(found, "\n".join(lines))
    return EXIT_OK


# -- status, cancel, replay --------------------------------------------------------------------------------------------


async def _id_of(store: Store, given: str) -> str:
    """Our id of a message, by that or by the id that a public API showed: a UUID renders our bits, others are aliases. Raises
    OpsError."""
    from dispatcher.core import ids

    found = given if ids.is_id(given) else ids.from_uuid(given) or await store.find_alias(given)
    if found is None:
        raise OpsError(f"{given!r} is no id of a message", "give the id that `send`, a 202 or a public API answered")
    group = await store.group(found)
    if group is not None:
        first, last = ids.group_members(found, 1)[0], ids.group_members(found, 1, group.members)[0]
        raise OpsError(f"{given} is a batch of {group.members} messages", f"give the id of one: from {first} to {last}")
    return found


async def _load(store: Store, message_id: str) -> tuple[Message, Account]:
    from dispatcher.core.customer import Account

    message = (await store.messages([message_id]))[0]
    known = (message.head or message.body) if message is not None else None
    if message is None or known is None:
        raise OpsError(f"there is no record of {message_id}", "it never was, or its retention is over")
    account = await store.account(known.account)
    return message, account or Account(name=known.account, currency=known.currency)


def _status(context: Context, options: argparse.Namespace) -> int:
    async def work(store: Store) -> dict[str, Any]:
        return _view(*await _load(store, await _id_of(store, options.id)))

    view = context.with_store(work)
    context.show(view, lambda: "\n".join(_lines(view)))
    return EXIT_OK


def _view(message: Message, account: Account) -> dict[str, Any]:
    import msgspec

    from dispatcher.ingest import views

    view: dict[str, Any] = msgspec.to_builtins(views.message(message, account))
    return view


def _lines(view: dict[str, Any]) -> list[str]:
    lines = [
        f"{view['id']}  {view['state']}  {view.get('class', '')}  account {view['account']}",
        f"accepted {view['accepted_at']}, to {view.get('to') or '(hidden)'}, {view.get('price', '?')} {view['currency']}",
    ]
    for segment in view["segments"]:
        marks = " charged" * segment["charged"] + " refunded" * segment["refunded"]
        lines.append(f"  segment {segment['segment']}: {segment['state']}{marks}")
        lines += [f"    {_attempt_words(attempt)}" for attempt in segment["attempts"]]
    return lines


def _attempt_words(attempt: dict[str, Any]) -> str:
    words = f"attempt {attempt['number']} over {attempt['carrier']}/{attempt['bind']} at {attempt['at']}: {attempt['outcome']}"
    if attempt.get("carrier_id"):
        words += f", carrier's id {attempt['carrier_id']}"
    if attempt.get("code"):
        words += f", {attempt.get('name') or attempt['code']}"
    if attempt.get("receipt"):
        words += f"; receipt {attempt['receipt']} {attempt.get('receipt_code', '')} at {attempt.get('receipt_at', '')}"
    return words + (f" ({attempt['cause']})" if attempt.get("cause") else "")


def _cancel(context: Context, options: argparse.Namespace) -> int:
    import trio

    from dispatcher.ingest import cancelling
    from dispatcher.ops.roles import build_rules

    rules, carriers = build_rules(context.settings), cancelling.takers(context.settings)

    async def work(store: Store) -> str:
        message_id = await _id_of(store, options.id)

        async def read() -> Message:
            message, account = await _load(store, message_id)
            rules.accounts[account.name] = account
            return message

        outcome = await cancelling.cancel(cancelling.Desk(store, rules, carriers, read, now_ms, trio.sleep, _at_once))
        if outcome is not cancelling.Cancelled.DONE:
            raise OpsError(f"{options.id} cannot be cancelled", outcome.value)
        return message_id

    cancelled = context.with_store(work)
    context.show({"id": cancelled, "cancelled": True}, f"cancelled {cancelled}")
    return EXIT_OK


async def _at_once(step: Awaitable[T]) -> T:
    return await step


def _replay(context: Context, options: argparse.Namespace) -> int:
    from dispatcher.core.ids import time_of

    async def work(store: Store) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        message_id = await _id_of(store, options.id)
        after, events, seen = f"{max(0, time_of(message_id) - SKEW_MS)}-0", [], 0
        while seen < EVENTS_MAX:
            rows = await store.read_stream("events", after, 1000)
            if not rows:
                break
            seen += len(rows)
            after = rows[-1][0]
            events += [row for _, row in rows if row.get("id") == message_id]
        try:
            view = _view(*await _load(store, message_id))
        except OpsError:
            if not events:
                raise
            view = None
        return view, events

    view, events = context.with_store(work)
    lines: list[tuple[str, str]] = []
    for event in events:
        error = event.get("error")
        words = f"{event['state']}" + (f" over {event['carrier']}" if event.get("carrier") else "")
        words += f", attempt {event['attempt']}" if event.get("attempt") else ""
        words += f" ({error[0]}: {error[2] or error[1]}, {error[3]})" if error else ""
        words += ", refined" if event.get("refined") else ""
        lines.append((moment(int(event["at"])), words))
    for segment in view["segments"] if view else []:
        number = segment["segment"]
        lines += [(a["at"], f"segment {number}: submitted, {_attempt_words(a)}") for a in segment["attempts"]]
    lines.sort()
    text = "\n".join(f"{at}  {words}" for at, words in lines)
    context.show({"message": view, "events": events}, text or "nothing is known but that it was accepted")
    return EXIT_OK


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
