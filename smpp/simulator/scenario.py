"""What a simulated SMSC is like, as values, and the TOML file that says so.

It refuses to know sockets and time. A file looks like this; every table and key may be left out but one [[login]]:

    listen = "127.0.0.1:2775"
    rate = 500                        # submits in any sliding second; more are answered 0x58
    answer_ms = [5, 20]               # from submit_sm to its answer, drawn evenly
    receipt_ms = [100, 2000]          # from the answer to the receipt

    [[login]]
    system_id = "demo"
    password = "demo"

    [[rule]]                          # the first that fits a number decides; else the mix does
    suffix = "0001"
    outcome = "temporary"             # one of Outcome
    status = "0x08"
    times = 2                         # then it goes through

    [[mix]]
    weight = 97
    outcome = "delivered"
    [[mix]]
    weight = 3
    outcome = "undelivered"
    code = "011"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from math import isfinite
from pathlib import Path
from ssl import SSLContext
from typing import Annotated, Any, Final, TypeVar, get_args, get_type_hints

from smpp import constants as c
from smpp.simulator.forms import IDS, PLAIN, ReceiptForm, octets_of
from smpp.tls import server_context

D = TypeVar("D")


class ScenarioError(Exception):
    """The scenario cannot be meant like this. `what` names the key, and the file where it is known; the text is both in one."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what, self.remedy = what, remedy
        super().__init__(f"{what}; {remedy}")


class Outcome(StrEnum):
    """What becomes of a submit; MEANINGS says it of each."""

    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    THROTTLED = "throttled"
    THROTTLED_WITH_ID = "throttled_with_id"
    NO_RECEIPT = "no_receipt"
    RECEIPT_FIRST = "receipt_first"
    RECEIPT_TWICE = "receipt_twice"
    INTERIM_FIRST = "interim_first"
    INTERIM_LAST = "interim_last"
    STRAY_RECEIPT = "stray_receipt"
    NO_ANSWER = "no_answer"
    NO_ID = "no_id"
    DROP = "drop"
    GARBAGE = "garbage"


MEANINGS: Final[Mapping[Outcome, str]] = {
    Outcome.DELIVERED: "accepted, then a receipt DELIVRD",
    Outcome.UNDELIVERED: "accepted, then a receipt of `state` with `code`; with `times`: so often, then delivered",
    Outcome.TEMPORARY: "answered with `status` (0x08) `times` times, then delivered",
    Outcome.PERMANENT: "answered with `status` (0x0b)",
    Outcome.THROTTLED: "answered 0x58 `times` times, then delivered",
    Outcome.THROTTLED_WITH_ID: "answered 0x58 with an id, and delivered after all",
    Outcome.NO_RECEIPT: "accepted, then silence",
    Outcome.RECEIPT_FIRST: "the receipt overtakes the answer",
    Outcome.RECEIPT_TWICE: "the receipt comes twice",
    Outcome.INTERIM_FIRST: "a receipt ENROUTE, then the final one",
    Outcome.INTERIM_LAST: "the final receipt, then ENROUTE and ACCEPTD",
    Outcome.STRAY_RECEIPT: "delivered, and a receipt for an id that nobody was told",
    Outcome.NO_ANSWER: "never answered, delivered all the same",
    Outcome.NO_ID: "accepted without a message id; the receipt comes for an id nobody was told",
    Outcome.DROP: "every `times`-th such submit kills the link, unanswered",
    Outcome.GARBAGE: "bytes that are no PDU instead of an answer",
}
"""`times` 0 means always; where it counts, it counts per number and text."""


_STATUS: Final = {
    Outcome.TEMPORARY: c.ESME_RSYSERR,
    Outcome.PERMANENT: c.ESME_RINVDSTADR,
    Outcome.THROTTLED: c.ESME_RTHROTTLED,
    Outcome.THROTTLED_WITH_ID: c.ESME_RTHROTTLED,
}


@dataclass(frozen=True, slots=True)
class Fate:
    """An outcome with its particulars."""

    outcome: Annotated[Outcome, "one of the outcomes below"] = Outcome.DELIVERED
    status: Annotated[int, 'the command_status of a refusal, a number or `"0x58"`; -1: the outcome\'s usual one'] = -1
    state: Annotated[str, "stat of the receipt"] = "UNDELIV"
    code: Annotated[str, "err of the receipt"] = "001"
    times: Annotated[int, "0: always; else so often for a number and text"] = 0
    truth: Annotated[str, "the state that query_sm finds of a message without receipt"] = "DELIVRD"

    @property
    def refusal(self) -> int:
        """The command_status of the refusal this outcome is made of."""
        return self.status if self.status >= 0 else _STATUS.get(self.outcome, c.ESME_ROK)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which numbers a fate is for: exactly one of number, suffix, prefix; digits without +."""

    fate: Fate
    number: Annotated[str, "this number, digits without +"] = ""
    suffix: Annotated[str, "numbers that end so"] = ""
    prefix: Annotated[str, "numbers that begin so"] = ""


@dataclass(frozen=True, slots=True)
class Weighted:
    """A fate and its share of the numbers that no rule fits."""

    fate: Fate
    weight: Annotated[float, "its share"] = 1.0


@dataclass(frozen=True, slots=True)
class Account:
    """A login that is let in."""

    system_id: Annotated[str, "of the bind"]
    password: Annotated[str, "of the bind"] = field(repr=False)
    sessions_max: Annotated[int, "links at a time; more are refused"] = 16
    rate: Annotated[int, "submits a second of this login; 0: no own limit"] = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """All of it. Milliseconds are (least, most), drawn evenly."""

    accounts: tuple[Account, ...]
    listen: Annotated[str, "host:port"] = "127.0.0.1:2775"
    system_id: Annotated[str, "what bind answers say"] = "SMSC"
    window: Annotated[int, "submits a session may have unanswered; more are answered 0x14"] = 1_000
    rate: Annotated[
        int, "submits in any sliding `rate_window_ms`, by time of arrival; more are answered `over_rate`; 0: no limit"
    ] = 0
    rate_window_ms: Annotated[int, "the rate's window"] = 1_000
    rate_curve: Annotated[
        tuple[tuple[float, int], ...], "[[seconds, rate], ...] since the start or the last reset: from then on this is the rate"
    ] = ()
    over_rate: Annotated[
        int, "what is answered beyond the rate: 88 (0x58, throttled), 20 (0x14, queue full) or another status"
    ] = c.ESME_RTHROTTLED
    answer_ms: Annotated[tuple[float, float], "from submit_sm to its answer, [least, most], drawn evenly"] = (0.0, 0.0)
    receipt_ms: Annotated[tuple[float, float], "from the answer to the receipt, likewise"] = (0.0, 0.0)
    receipt_retry_ms: Annotated[float, "a receipt answered with an error is sent again after so long"] = 1_000.0
    answer_ids: Annotated[
        str, "how answers write the id: dec, hex, HEX, padded, uuid; receipts have their own way, `[receipt]` ids"
    ] = "dec"
    receipt_per: Annotated[str, "which parts of a long message get a receipt: segment (each), first, last"] = "segment"
    query: Annotated[str, "query_sm: answer, refuse, silent, or no (generic_nack, as carriers without it do)"] = "no"
    cancel: Annotated[str, "cancel_sm, likewise"] = "no"
    answer_tlvs: Annotated[str, "TLVs of every submit_sm_resp, as octets in hex"] = ""
    submits_per_session_max: Annotated[int, "so many submits, then the session is unbound; 0: never"] = 0
    enquire_link_s: Annotated[float, "how often it asks whether the client lives; 0: never"] = 60.0
    inactivity_s: Annotated[float, "a session that says nothing for so long is closed; 0: never"] = 0.0
    seed: Annotated[int, "of all that is drawn"] = 1
    tls_cert_file: Annotated[str, "the certificate (PEM) with which it speaks TLS; empty: plain text"] = ""
    tls_key_file: Annotated[str, "its key (PEM)"] = ""
    tls_client_ca_file: Annotated[str, "only clients with a certificate of this authority are let in"] = ""
    record_max: Annotated[int, "submits kept for tests"] = 100_000
    rules: tuple[Rule, ...] = ()
    mix: tuple[Weighted, ...] = (Weighted(Fate()),)
    receipt: ReceiptForm = PLAIN

    @property
    def tls(self) -> SSLContext | None:
        """The context to listen with. Raises ScenarioError for files that hold no certificate."""
        if not self.tls_cert_file:
            return None
        try:
            return server_context(self.tls_cert_file, self.tls_key_file, self.tls_client_ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ScenarioError(f"tls_cert_file: {error}", "name PEM files with a certificate and its key") from None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of `listen`. Raises ScenarioError."""
        host, colon, port = self.listen.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65_535:
            raise ScenarioError(f"listen: {self.listen!r} is not host:port", 'write for example "127.0.0.1:2775"')
        return host.strip("[]"), int(port)


def load(path: Path) -> Scenario:
    """A scenario from a TOML file. Raises ScenarioError naming file, key and remedy."""
    try:
        return parse(path.read_text("utf-8"))
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}", "name a readable file") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: octet {error.start} is not UTF-8", "save it as UTF-8") from None
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error.what}", error.remedy) from None


def parse(text: str) -> Scenario:
    """A scenario from TOML text. Raises ScenarioError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"not TOML: {error}", "correct this line (texts need quotes, lists need commas)") from None
    return of(tables)


def of(tables: Mapping[str, Any]) -> Scenario:
    """A scenario from the tables of such a text. Raises ScenarioError."""
    rest = dict(tables)
    form = rest.pop("receipt", {})
    if not isinstance(form, dict):
        raise ScenarioError("receipt: not a table", "write [receipt]")
    receipt = _build(ReceiptForm, form, "receipt")
    if complaint := receipt.complaint():
        what, remedy = complaint
        raise ScenarioError(f"receipt: {what}", remedy)
    accounts = tuple(_build(Account, each, f"login {n}") for n, each in enumerate(_tables(rest, "login"), 1))
    rules = tuple(_rule(each, f"rule {n}") for n, each in enumerate(_tables(rest, "rule"), 1))
    mix = tuple(_weighted(each, f"mix {n}") for n, each in enumerate(_tables(rest, "mix"), 1))
    if not accounts:
        raise ScenarioError("login: there is none", "add a [[login]] with system_id and password")
    scenario = _build(
        Scenario, {**rest, "accounts": accounts, "rules": rules, "receipt": receipt, **({"mix": mix} if mix else {})}, ""
    )
    ways = ("no", "answer", "refuse", "silent")
    choices = (("answer_ids", tuple(IDS)), ("receipt_per", ("segment", "first", "last")), ("query", ways), ("cancel", ways))
    for key, known in choices:
        if getattr(scenario, key) not in known:
            raise ScenarioError(f"{key}: {getattr(scenario, key)!r} is unknown", f"one of {', '.join(known)}")
    if octets_of(scenario.answer_tlvs) is None:
        raise ScenarioError(f"answer_tlvs: {scenario.answer_tlvs!r} is not octets in hex", "write tag, length and value")
    _ = scenario.address, scenario.tls
    return scenario


def _tables(rest: dict[str, Any], key: str) -> list[Mapping[str, Any]]:
    tables = rest.pop(key, [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ScenarioError(f"{key}: not a list of tables", f"write [[{key}]]")
    return tables


def _rule(table: Mapping[str, Any], where: str) -> Rule:
    matchers = {key: table[key] for key in ("number", "suffix", "prefix") if key in table}
    if len(matchers) != 1:
        raise ScenarioError(f"{where}: {len(matchers)} of number, suffix, prefix", "give exactly one")
    return _build(Rule, {**matchers, "fate": _fate({k: v for k, v in table.items() if k not in matchers}, where)}, where)


def _weighted(table: Mapping[str, Any], where: str) -> Weighted:
    weight = {key: table[key] for key in ("weight",) if key in table}
    fate = _fate({key: value for key, value in table.items() if key != "weight"}, where)
    weighted = _build(Weighted, {"fate": fate, **weight}, where)
    if weighted.weight <= 0:
        raise ScenarioError(f"{where}: weight {weighted.weight} is not positive", "leave the entry out instead")
    return weighted


def _fate(table: Mapping[str, Any], where: str) -> Fate:
    values = dict(table)
    try:
        if "outcome" in values:
            values["outcome"] = Outcome(values["outcome"])
    except ValueError:
        known = ", ".join(Outcome)
        raise ScenarioError(f"{where}: outcome {values['outcome']!r} is unknown", f"one of {known}") from None
    if isinstance(values.get("status"), str):
        try:
            values["status"] = int(values["status"], 0)
        except ValueError:
            raise ScenarioError(f"{where}: status {values['status']!r} is no number", 'write for example "0x58"') from None
    return _build(Fate, values, where)


def _build(kind: type[D], values: Mapping[str, Any], where: str) -> D:
    """A dataclass from a table: unknown, missing and mistyped keys are named."""
    dot = f"{where}: " if where else ""
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]  # every D is a dataclass
    types = get_type_hints(kind)
    for key in values:
        if key not in known:
            raise ScenarioError(f"{dot}{key}: unknown key", f"one of {', '.join(known)}")
    for name, each in known.items():
        if name not in values and each.default is MISSING and each.default_factory is MISSING:
            raise ScenarioError(f"{dot}{name}: missing", "add it")
    return kind(**{key: _typed(value, types[key], f"{dot}{key}") for key, value in values.items()})


def _typed(value: Any, kind: Any, where: str) -> Any:
    if kind == tuple[tuple[float, int], ...]:
        return _curve(value, where)
    if kind == tuple[float, float]:
        pair = value if isinstance(value, (list, tuple)) else (value, value)
        if len(pair) != 2 or not all(_is_number(each) for each in pair) or not 0 <= pair[0] <= pair[1]:
            raise ScenarioError(f"{where}: {value!r} is not [least, most] in milliseconds", "write for example [5, 20]")
        return (float(pair[0]), float(pair[1]))
    if kind in (int, float):
        if not _is_number(value) or (kind is int and not isinstance(value, int)) or value < -1:
            raise ScenarioError(f"{where}: {value!r} is not a {'whole ' if kind is int else ''}number", "write one >= 0")
        return kind(value)
    if kind is bool and not isinstance(value, bool):
        raise ScenarioError(f"{where}: {value!r} is neither true nor false", "write one of them, without quotes")
    if kind is str and not isinstance(value, str):
        raise ScenarioError(f"{where}: {value!r} is not text", f'put it in quotes, "{value}"')
    return value if get_args(kind) or not isinstance(value, (list, dict)) else _refuse(value, where)


def _curve(value: Any, where: str) -> tuple[tuple[float, int], ...]:
    points = value if isinstance(value, (list, tuple)) else [value]
    fits = all(isinstance(each, (list, tuple)) and len(each) == 2 and all(map(_is_number, each)) for each in points)
    if not fits or any(at < 0 or rate < 0 or rate != int(rate) for at, rate in points) or [*points] != sorted(points):
        raise ScenarioError(
            f"{where}: {value!r} is not [[seconds, rate], ...] in order", "write for example [[0, 100], [10, 40]]"
        )
    return tuple((float(at), int(rate)) for at, rate in points)


def _refuse(value: Any, where: str) -> Any:
    raise ScenarioError(f"{where}: {value!r} has no place here", "give one value")


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and isfinite(value)))
