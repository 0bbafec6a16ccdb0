"""docs/contracts.md and docs/schemas/: what outsiders hold in their hands, printed from the definitions themselves.

It refuses to know anything twice: names, types, defaults, statuses and column orders come from the code. Only the
sentences stand here, one for each name, and a name without a sentence, or a sentence without a name, is an error.
"""

# ruff: noqa: E501 - sentences of the page are kept as they will be read

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from accounting.ledger import COLUMNS as CHARGE_COLUMNS
from accounting.ledger import Fact, Kind
from dispatcher.commands.frame import EXIT_FINDING, EXIT_OK, EXIT_USAGE
from dispatcher.core.model import EVENT_COLUMNS, INBOUND_COLUMNS, EventRow, InboundRow, Refusal, Send, State
from dispatcher.core.wire import PAYLOAD_BYTES_MAX, SENDS_MAX
from dispatcher.ingest import document, reads
from dispatcher.ingest.problems import KINDS, TYPE_PREFIX, ProblemDocument
from dispatcher.store.keys import Keys
from dispatcher.store.records import REJECT_COLUMNS

RejectRow = msgspec.defstruct(
    "RejectRow",
    [("entry", str), ("index", int), ("reason", Refusal), ("detail", str), ("send", bytes), ("at", int)],
    array_like=True,
)


class Stream(NamedTuple):
    """An out stream: its row's Struct, the columns it announces, and a sentence for each."""

    name: str
    row: Any
    columns: str
    about: str
    words: Mapping[str, str]


_ID = "our message id"
_AT = "ms since 1970 UTC"
_TO_HASH = "keyed hash of the number: the first 16 hex digits of HMAC-SHA256(server key, E.164 digits)"

STREAMS: tuple[Stream, ...] = (
    Stream(
        "events",
        EventRow,
        EVENT_COLUMNS,
        "One row per change of a message's state, from `queued` on. `id`, `state` and `attempt` together tell a repeat.",
        {
            "id": _ID,
            "key": "the caller's key, empty without one",
            "ref": "the caller's `ref`, echoed",
            "account": "who pays",
            "to": _TO_HASH,
            "class": "otp, transactional or bulk",
            "state": f"{', '.join(state.wire for state in State if state is not State.SUBMITTING)}",
            "segments": "how many",
            "carrier": "that of the last attempt, empty before the first",
            "error": "none, or (source, code, name, class): source submit, receipt, timeout or operator; code as the carrier wrote it; name a status name or receipt cause; class throttled, temporary, permanent, doubt or expired",
            "attempt": "number of the last attempt, 0 before the first",
            "refined": "true for a later word on an `unknown`",
            "tlvs": "of the last attempt's answer and receipts, those that its carrier's `keep_tlvs` names: word to text, or to `0x` and hex; else none",
            "at": _AT,
        },
    ),
    Stream(
        "charges",
        Fact,
        CHARGE_COLUMNS,
        f"One row per money fact ({', '.join(Kind)}). `reserve` and `void` rows only with `charges.reservations = true`. `fact` is unique and stable: a reader that sees it twice drops the second.",
        {
            "fact": "`<id>.<segment>.<attempt>.<kind>`",
            "id": f"{_ID}; of a credit or an adjustment the credit's id, of a batch's reserve the group's",
            "account": "whose books",
            "segment": "from 1; 0: the message, batch, credit or adjustment as a whole",
            "of": "segments of the message",
            "kind": "what it does: post charges a segment, refund gives it back, cost is ours to the carrier, credit and adjust are by hand",
            "amount": "micro-units (1e-6 of the currency), negative only for adjust",
            "currency": "ISO 4217; of a cost the carrier's",
            "unit_price": "price of one segment, micro-units",
            "tariff": "by which it was priced",
            "carrier": "that of the attempt",
            "carrier_id": "the carrier's message id",
            "country": "ISO 3166 alpha-2 of the number",
            "mccmnc": "mobile network, where the tariff says so",
            "sender": "as sent",
            "to": _TO_HASH,
            "attempt": "the accepting one; of void and refund the segment's last",
            "at": _AT,
            "tlvs": "of a cost: those of the answer that its carrier's `keep_tlvs` names; else none",
        },
    ),
    Stream(
        "inbound",
        InboundRow,
        INBOUND_COLUMNS,
        "One row per message from a handset (a deliver_sm or data_sm that is no receipt), its parts put together in whatever order they came. One whose parts did not all come is given out as it is, with `parts` below `total`. A single-part message that a carrier delivers twice is two rows: nothing tells it from a new one.",
        {
            "id": "ours",
            "from": "the handset's number, digits without +",
            "to": "the number or code it was sent to",
            "text": "none where it is binary",
            "binary": "octets of what is not text: of a single part with its header, of several without; none where it is text",
            "carrier": "that brought it",
            "parts": "how many parts the row holds",
            "at": f"{_AT}; when it was put together",
            "total": "how many parts the message has",
            "account": "whose number it was sent to (`[[inbound]]`); empty without one",
            "keyword": "of the `[[inbound]]` entry, empty without one",
            "word": "stop, start or help, where it says that; else empty",
            "reference": "the sender's reference of its parts; none for one that came whole",
        },
    ),
    Stream(
        "rejects",
        RejectRow,
        REJECT_COLUMNS,
        "One row per send of the stream that was refused. Repeating the refusal after a crash adds nothing.",
        {
            "entry": "id of the stream entry it came in",
            "index": "its place within the entry, from 0",
            "reason": "from the closed list below",
            "detail": "what is wrong and what to do; never a number, text or secret",
            "send": "the send as it was written, JSON or msgpack; the first 16 KiB of a longer one",
            "at": _AT,
        },
    ),
)

SEND_WORDS: dict[str, str] = {
    "to": "number in E.164, with or without `+`",
    "text": "the message; this or `binary`",
    "binary": "payload in base64",
    "udh": "user data header of `binary`, base64, its length octet first",
    "key": "1-64 of `A-Z a-z 0-9 . _ : -`: same body within 24 h is an acknowledged duplicate, another body `key_conflict`",
    "account": "who pays; needed on the stream, over HTTP the key's",
    "from": "1-11 GSM characters or 3-15 digits; without it the account's, then that of the carrier chosen",
    "class": "lane, validity, retries and doubt policy",
    "encoding": "auto: the narrowest that holds the text",
    "smart": "transliterate when that saves segments",
    "flash": "message class 0",
    "validity_s": "how long we try, seconds; default by class",
    "not_before": "ms since 1970 UTC, or RFC 3339 with a zone; at most 35 days ahead",
    "max_segments": "refuse rather than send more; 1-255",
    "max_price": "refuse when dearer in total; decimal, in the account's currency",
    "on_unknown": "may it be sent again when an answer was lost? default by class",
    "route": "a named route instead of the one that matches",
    "tlvs": "`0x1400` or a standard tag's name to text, or to `0x` and hex; at most 16",
    "entity": "regulatory entity id, sent as TLV 0x1400",
    "template": "regulatory template id, sent as TLV 0x1401",
    "ref": "opaque, at most 256 characters, echoed in every event",
    "group": "a label of yours",
    "client_ip": "for your own records; checked for its form",
    "callback": "`{url, secret, events}`: where its events go; url https, events `all` (default) or `final`; [producers.md](producers.md#webhooks)",
}

REFUSAL_WORDS: dict[Refusal, str] = {
    Refusal.MALFORMED: "not JSON or msgpack, not an object, a wrong type, too large",
    Refusal.UNKNOWN_FIELD: "a field that does not exist, named",
    Refusal.UNKNOWN_ACCOUNT: "no such account, or not the key's",
    Refusal.SUSPENDED: "an operator suspended the account",
    Refusal.NUMBER_INVALID: "the account's number check refused it",
    Refusal.TEXT_EMPTY: "nothing to send",
    Refusal.TEXT_TOO_LONG: "more than `max_segments`",
    Refusal.TEXT_INVALID: "half a surrogate pair",
    Refusal.ENCODING: "no encoding that a carrier of the route takes can hold it",
    Refusal.SENDER_INVALID: "not 1-11 GSM characters or 3-15 digits",
    Refusal.SENDER_REQUIRED: "neither send, account nor every carrier of the route has one",
    Refusal.NO_ROUTE: "no route matches, or none has that name",
    Refusal.NO_PRICE: "no tariff in force, or none for this destination",
    Refusal.PRICE_TOO_HIGH: "dearer than `max_price`",
    Refusal.BALANCE: "the balance would pass its floor",
    Refusal.KEY_CONFLICT: "the key was used with another body",
    Refusal.KEY_PENDING: "a send with this key is being written",
    Refusal.VALIDITY: "outside 1 second to `lanes.validity_max_s`",
    Refusal.NOT_BEFORE: "not an instant, too far ahead, or more than a day past",
    Refusal.OPTION: "a rare field is not of its form",
    Refusal.SENDER_NOT_ALLOWED: "the account may not use this sender",
    Refusal.DESTINATION: "the account may not send there, or the range is premium or satellite",
    Refusal.VELOCITY: "too many sends to this 7-digit prefix, to this country or of this account (429)",
    Refusal.SPEND_CAP: "the account's spend cap of 24 hours is reached (429)",
    Refusal.CONVERSION: "too few of the account's codes to this country were used: paused (429)",
    Refusal.OPTED_OUT: "the recipient said STOP to this sender",
    Refusal.LIMIT: "another limit of the account or its door (429)",
}

EXIT_WORDS = {
    EXIT_OK: "done, or all is well",
    EXIT_FINDING: "a finding or a refusal; an expected error, in one line with its remedy",
    EXIT_USAGE: "not a command, or not its arguments",
}


def page(note: str) -> str:
    """docs/contracts.md."""
    keys = Keys("sms:", "p0")
    parts = [
        note,
        "# Contracts: what outsiders hold in their hands\n",
        "Names on this page are public; changing one is a breaking change. Times are whole milliseconds since 1970 UTC in streams and\n"
        "RFC 3339 with Z in HTTP; money is micro-units (1e-6 of the currency) in streams and decimal strings in HTTP. Message ids are 26\n"
        "characters, sortable by time. `sms:` is `server.prefix`. Commands: [commands.md](commands.md). Settings:\n"
        "[configuration.md](configuration.md). Metrics: [metrics.md](metrics.md).\n",
        f"## `{keys.sends.decode()}`: the way in\n",
        f'An entry has one field, `json` or `msgpack`: a Send, or a chunk `{{"sends": [...]}}` of up to {SENDS_MAX:,}, at most {PAYLOAD_BYTES_MAX:,} bytes.\n'
        "Unknown fields are refused by name. Schema: [schemas/send.json](schemas/send.json).\n",
        _table(("Field", "Value", "Default", "Meaning"), _send_rows()),
        "## Out streams\n",
        "Every entry has `v` = 1, `cols` (the column names, comma-separated) and `rows` (a msgpack array of arrays).\n"
        "`dispatcher.client.Reader` and `dispatcher events tail` show rows as maps. New columns may be added at the end: read by name.\n",
    ]
    for stream in STREAMS:
        parts.append(
            f"### `{keys.stream(stream.name).decode()}`\n\n{stream.about} Schema: [schemas/{stream.name}.json](schemas/{stream.name}.json).\n"
        )
        parts.append(_table(("Column", "Value", "Meaning"), _column_rows(stream)))
    reasons = ((f"`{r}`", _sentence(REFUSAL_WORDS, r), str(KINDS[r][0])) for r in Refusal)
    parts += [
        "## Reasons for a refusal\n",
        "The whole list. A send is refused for one of these, on `rejects`, in a batch's answer or as an HTTP problem.\n",
    ]
    parts.append(_table(("Reason", "Meaning", "HTTP"), reasons))
    parts += ["## HTTP\n", _HTTP]
    parts.append(_table(("Method and path", "Does", "Answers"), _route_rows()))
    others = ((f"`{kind}`", title, str(status)) for kind, (status, title) in KINDS.items() if kind not in set(Refusal))
    parts += [f"Problem types: `{TYPE_PREFIX}` and a refusal's reason, or one of these.\n"]
    parts.append(_table(("Type", "Title", "Status"), others))
    parts += ["## Exit codes of `dispatcher`\n"]
    parts.append(_table(("Code", "Meaning"), ((str(code), words) for code, words in sorted(EXIT_WORDS.items()))))
    return "\n".join(parts)


_HTTP = (
    "Keys are `id.secret`, in `Authorization: Bearer` or `X-API-Key`. The header `Idempotency-Key` is the Send's `key`. Errors are\n"
    "`application/problem+json` ([schemas/problem.json](schemas/problem.json)); 429 and 503 carry `Retry-After`. `GET /openapi.json` has every\n"
    "shape, `GET /docs` the same to read.\n"
)


def _sentence(words: Mapping[Any, str], name: Any) -> str:
    if name not in words:
        raise LookupError(f"{name!r} has no sentence in dispatcher/commands/contracts.py; write one")
    return words[name]


def _exactly(words: Iterable[str], names: Iterable[str]) -> None:
    if left := set(words) - set(names):
        raise LookupError(f"{sorted(left)} have a sentence in dispatcher/commands/contracts.py and do not exist; remove them")


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [
        " | ".join(header),
        "|".join("---" for _ in header),
        *(" | ".join(c.replace("|", "\\|") for c in row) for row in rows),
    ]
    return "\n".join(f"| {line} |" if "-|-" not in line else f"|{line}|" for line in lines) + "\n"


def _send_rows() -> Iterable[tuple[str, str, str, str]]:
    fields = msgspec.structs.fields(Send)
    _exactly(SEND_WORDS, (field.encode_name for field in fields))
    for field in fields:
        default = (
            "required"
            if field.required
            else "none"
            if field.default is None
            else f"`{msgspec.json.encode(_default(field)).decode()}`"
        )
        yield f"`{field.encode_name}`", _kind(inspect.type_info(field.type)), default, _sentence(SEND_WORDS, field.encode_name)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def _column_rows(stream: Stream) -> Iterable[tuple[str, str, str]]:
    columns = stream.columns.split(",")
    _exactly(stream.words, columns)
    for name, field in zip(columns, msgspec.structs.fields(stream.row), strict=True):
        yield f"`{name}`", _kind(inspect.type_info(field.type)), _sentence(stream.words, name)


def _kind(kind: inspect.Type) -> str:
    """A type in the words of JSON and msgpack."""
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_kind(one) for one in kind.types)
    if isinstance(kind, inspect.LiteralType):
        return " ".join(f"`{value}`" for value in kind.values)
    words = {
        inspect.StrType: "text",
        inspect.IntType: "integer",
        inspect.BoolType: "true or false",
        inspect.BytesType: "bytes",
        inspect.NoneType: "none",
        inspect.DictType: "map",
        inspect.TupleType: "array",
        inspect.EnumType: "text",
    }
    return words[type(kind)]


def openapi() -> dict[str, Any]:
    """The document that /openapi.json serves."""
    return document.complete(document._litestars(reads.ROUTES))


def _route_rows() -> Iterable[tuple[str, str, str]]:
    for path, item in openapi()["paths"].items():
        for method, operation in item.items():
            yield f"`{method.upper()} {path}`", operation["summary"], " ".join(sorted(operation["responses"]))
    yield "`GET /openapi.json`", "The OpenAPI 3.1 document", "200"
    yield "`GET /docs`", "The same as a page, without scripts", "200"


# -- schemas -----------------------------------------------------------------------------------------------------------


def schemas() -> dict[str, str]:
    """File name -> JSON Schema of the Send, of the error answer, and of a row of each out stream (an array, as on the wire)."""
    found = {"send.json": _schema(Send, ()), "problem.json": _schema(ProblemDocument, ())}
    for stream in STREAMS:
        found[f"{stream.name}.json"] = _schema(stream.row, stream.columns.split(","))
    return found


def _schema(kind: Any, columns: Sequence[str]) -> str:
    schema = msgspec.json.schema(kind)
    own = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    for part in schema["$defs"].values():  # docstrings: msgspec gives them as they stand before 0.23, without indent since
        if "description" in part:
            part["description"] = cleandoc(part["description"])
    if columns:
        own["prefixItems"] = [{"title": name, **item} for name, item in zip(columns, own["prefixItems"], strict=True)]
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n"
