"""Commands about webhooks that were given up: list, requeue. Never shows a URL's path or query, nor a secret."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, cast

from dispatcher.commands.frame import EXIT_OK, Context, arg, command, family, moment, table
from dispatcher.ops.errors import OpsError

if TYPE_CHECKING:
    from dispatcher.core.notices import NoticeStore, Parked
    from dispatcher.core.ports import Store

PAGE = 500


def register(commands: Any) -> None:
    """Adds webhooks."""
    own = family(commands, "webhooks", "look at events that no webhook took, and try them again")
    account = arg("--account", default="", metavar="NAME", help="only this account's")
    command(
        own,
        "list",
        "show events that were given up, oldest first, and how many wait",
        "webhooks list --account acme",
        _list,
        account,
        arg("--first", type=int, default=50, metavar="N", help="so many (default 50)"),
    )
    command(
        own,
        "requeue",
        "try given-up events again, each under the id it had",
        "webhooks requeue --account acme",
        _requeue,
        arg("ids", nargs="*", metavar="ID", help="ids of events, as `webhooks list` shows them"),
        account,
        arg("--all", action="store_true", dest="every", help="all of them, or with --account all of that account"),
    )


def _list(context: Context, options: argparse.Namespace) -> int:
    async def work(opened: Store) -> tuple[tuple[int, int], list[Parked]]:
        store = cast("NoticeStore", opened)
        return await store.notice_counts(), await store.parked_notices(max(1, options.first), options.account)

    (waiting, parked), found = context.with_store(work)
    from dispatcher.core.notices import origin_of

    header = ["id", "message", "account", "host", "tries", "parked_at"]
    rows = [[n.id, n.message_id, n.account, origin_of(n.url).text, n.tries, moment(at)] for n, at in found]
    value = {"waiting": waiting, "parked": parked, "events": [dict(zip(header, row, strict=True)) for row in rows]}
    words = f"{waiting} wait, {parked} were given up"
    context.show(value, lambda: f"{table(rows, header)}\n{words}" if rows else words)
    return EXIT_OK


def _requeue(context: Context, options: argparse.Namespace) -> int:
    if bool(options.ids) == bool(options.every or options.account):
        raise OpsError("which events?", "name their ids, or --account NAME, or --all")

    async def work(opened: Store) -> int:
        store = cast("NoticeStore", opened)
        if options.ids:
            return await store.requeue_notices(options.ids)
        count = 0
        while found := await store.parked_notices(PAGE, options.account):
            count += await store.requeue_notices([parked.notice.id for parked in found])
        return count

    count = context.with_store(work)
    context.show({"requeued": count}, f"{count} requeued; they are tried as soon as a webhook process runs")
    return EXIT_OK
