"""Commands that read streams: events, charges, inbound, rejects."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dispatcher.commands.frame import EXIT_OK, Context, arg, away, command, family, moment, table
from dispatcher.ops.errors import OpsError

if TYPE_CHECKING:
    from dispatcher.core.ports import Store

_SHOWN = {
    "events": ("id", "account", "state", "carrier", "attempt", "error"),
    "charges": ("fact", "account", "kind", "amount", "currency", "carrier"),
    "inbound": ("id", "account", "from", "to", "carrier", "parts", "total", "word"),
}


def register(commands: Any) -> None:
    """Adds events, charges, inbound and rejects."""
    for stream in _SHOWN:
        own = family(commands, stream, f"follow the {stream} stream")
        parser = command(
            own,
            "tail",
            f"show rows of {stream} as they come",
            f"{stream} tail --from-start --no-follow",
            _tail,
            arg("--from-start", action="store_true", help="all that is kept, not only what comes now"),
            arg("--after", default="", metavar="POSITION", help="rows after this position"),
            arg("--no-follow", action="store_true", help="end where the stream ends now"),
        )
        parser.set_defaults(stream=stream)
    own = family(commands, "rejects", "look at sends of the stream that were refused")
    command(
        own, "list", "show refused sends", "rejects list --last 20", _list, arg("--last", type=int, default=50, metavar="N")
    )
    position = (arg("entry", metavar="ENTRY", help="as `rejects list` shows it"), arg("--index", type=int, default=0))
    text = arg("--text", action="store_true", help="show the message's text too (never for otp)")
    command(own, "show", "show one refused send, its text hidden", "rejects show 1700000000000-0", _show, *position, text)
    command(
        own,
        "requeue",
        "hand a refused send over again, after its cause is gone",
        "rejects requeue 1700000000000-0",
        _requeue,
        *position,
    )


def _tail(context: Context, options: argparse.Namespace) -> int:
    import redis

    from dispatcher.client.reader import Reader

    stream = options.stream
    after = options.after
    try:
        if not after and not options.from_start:
            after = _end(context, stream)
        with Reader(context.url, context.prefix, stream, after=after, follow=not options.no_follow) as reader:
            for row in reader:
                value = row.map
                words = "  ".join(f"{key}={_short(value[key])}" for key in _SHOWN[stream] if value.get(key) not in (None, ""))
                context.line({"position": row.position, **value}, f"{moment(int(value.get('at', 0)))}  {words}")
    except redis.ConnectionError as error:
        raise away(context.url, error) from None
    return EXIT_OK


def _end(context: Context, stream: str) -> str:
    """The id of the stream's last entry, so that only later rows are shown."""
    import redis

    with redis.Redis.from_url(context.url) as client:
        last: Any = client.xrevrange(f"{context.prefix}{{p0}}:{stream}", count=1)
    return last[0][0].decode() if last else "0-0"


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "/".join(str(part) for part in value if part)
    return value.hex() if isinstance(value, bytes) else str(value)


async def _rejects(store: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    after = ""
    while page := await store.read_stream("rejects", after, 1000):
        after = page[-1][0]
        rows += [
            {
                key: value.decode(errors="replace") if isinstance(value, bytes) and key != "send" else value
                for key, value in row.items()
            }
            for _, row in page
        ]
    return rows


def _list(context: Context, options: argparse.Namespace) -> int:
    rows = context.with_store(_rejects)[-options.last :]
    keys = ("entry", "index", "reason", "detail")
    value = [{key: row.get(key) for key in keys} for row in rows]
    context.show(value, lambda: table([[row[key] for key in keys] for row in value], keys) if value else "nothing was refused")
    return EXIT_OK


def _find(context: Context, options: argparse.Namespace) -> dict[str, Any]:
    for row in context.with_store(_rejects):
        if row.get("entry") == options.entry and int(row.get("index", 0)) == options.index:
            return row
    raise OpsError(f"no refused send {options.entry}, index {options.index}", "see `dispatcher rejects list`")


def _show(context: Context, options: argparse.Namespace) -> int:
    row = _find(context, options)
    value = {**row, "send": _hidden(_decoded(row["send"]), options.text)}
    context.show(value, "\n".join(f"{key:<8}{item}" for key, item in value.items()))
    return EXIT_OK


def _hidden(send: Any, with_text: bool) -> Any:
    """A send for a person's eyes. A code sent as otp is shown to nobody; what does not decode might hold one."""
    if not isinstance(send, dict):
        return f"({len(send)} octets that do not decode)" if isinstance(send, bytes) else "(not a send)"
    if with_text and send.get("class") in (None, "transactional", "bulk"):
        return send
    return {key: f"({len(str(value))} characters)" if key in ("text", "binary") else value for key, value in send.items()}


def _requeue(context: Context, options: argparse.Namespace) -> int:
    import msgspec

    from dispatcher.client.producer import Producer

    send = _decoded(_find(context, options)["send"])
    if not isinstance(send, dict):
        raise OpsError("this entry does not decode: it cannot be handed over as it is", "have its producer send it again")
    try:
        with Producer(context.url, context.prefix) as producer:
            entry = producer.send(send)
    except msgspec.ValidationError as error:
        raise OpsError(f"this entry is not a send ({error})", "have its producer correct and send it again") from None
    context.show({"entry": entry}, f"handed over again as entry {entry}")
    return EXIT_OK


def _decoded(payload: bytes | str) -> Any:
    import msgspec

    raw = payload.encode() if isinstance(payload, str) else payload
    for decode in (msgspec.json.decode, msgspec.msgpack.decode):
        try:
            return decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return raw
