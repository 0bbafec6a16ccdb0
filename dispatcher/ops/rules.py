"""What the settings' types cannot say: names that must exist, values that exclude each other, files that must be there.

It reads the parsed TOML, not the finished Settings, so that a wrong type in one place does not hide a wrong name in
another; a value of the wrong type is passed over here, because shape.py has already named it. It refuses to open
sockets: whether a carrier answers is `dispatcher doctor`'s and the engine's business.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any
from urllib.parse import urlsplit

from dispatcher.core.kept import tag_of
from dispatcher.ops.door_rules import check_http, check_notices
from dispatcher.ops.findings import Report, did_you_mean
from dispatcher.ops.inbox_rules import check_inbox
from dispatcher.ops.tls_rules import check_tls
from dispatcher.ops.toml_lines import Path

Table = dict[str, Any]
SECRET_BYTES_MAX = 4096
HASH_KEY_BYTES_MIN = 16
_SENDER = re.compile(r"[0-9]{3,15}|(?=.*[^0-9])[\x20-\x7e]{1,11}")


def check(report: Report, base_dir: FilePath) -> None:
    """Adds a finding for each impossible combination. Relative files are looked for beside the configuration file."""
    data = report.data
    carriers = list(tables(data, "carrier"))
    tariffs = [t.get("name") for _, t in tables(data, "tariff")]
    _unique(report, "carrier", _name, "carrier")
    _unique(report, "route", _name, "route")
    _unique(report, "tariff", lambda t: (_name(t), text(t, "valid_from")) if _name(t) else "", "tariff")
    seen: dict[tuple[Any, ...], str] = {}
    for path, carrier in carriers:
        _carrier(report, path, carrier, tariffs)
        for bind_path, bind in tables(carrier, "bind", path):
            _bind(report, bind_path, bind, base_dir, seen)
    _unique(report, "limit", _name, "limit")
    for path, limit in tables(data, "limit"):
        _limit(report, path, limit)
    _routes(report, [c.get("name") for _, c in carriers if isinstance(c.get("name"), str)])
    for path, tariff in tables(data, "tariff"):
        _tariff(report, path, tariff, base_dir)
    _server(report, table(data, "server"), base_dir)
    _listeners(report, data)
    check_http(report, table(data, "http"), base_dir)
    check_notices(report, table(data, "notices"))
    _times(report, data)
    check_inbox(report, [c["name"] for _, c in carriers if isinstance(c.get("name"), str)])
    key_file = text(table(data, "privacy"), "hash_key_file")
    if key_file:
        key = secret_file(report, ("privacy", "hash_key_file"), key_file, base_dir)
        if key is not None and len(key) < HASH_KEY_BYTES_MIN:
            report.add(
                ("privacy", "hash_key_file"),
                f"holds only {len(key)} bytes",
                f"write at least {HASH_KEY_BYTES_MIN} random bytes into it",
                value=key_file,
            )


# -- reading what may have the wrong type ------------------------------------------------------------------------------


def table(data: Table, key: str) -> Table:
    """The table under `key`; empty when absent or no table."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def tables(data: Table, key: str, under: Path = ()) -> Iterator[tuple[Path, Table]]:
    """Path and content of each element of an array of tables."""
    for index, item in enumerate(listed(data, key)):
        if isinstance(item, dict):
            yield (*under, key, index), item


def text(data: Table, key: str, default: str = "") -> str:
    """A text, the default when absent or not a text."""
    value = data.get(key, default)
    return value if isinstance(value, str) else default


def number(data: Table, key: str, default: float) -> float:
    """A finite number, the default when absent or not one."""
    value = data.get(key, default)
    finite = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return value if finite and not isinstance(value, bool) else default


def listed(data: Table, key: str) -> list[Any]:
    """A list, an empty one when absent or not a list."""
    value = data.get(key)
    return value if isinstance(value, list) else []


def _name(data: Table) -> str:
    return text(data, "name")


def secret_file(report: Report, path: Path, name: str, base_dir: FilePath) -> bytes | None:
    """The content of a file that holds a secret, without its last line end. None, with a finding, when it cannot be used."""
    place = base_dir / name
    try:
        content = place.read_bytes()[:SECRET_BYTES_MAX].rstrip(b"\r\n")
        mode = place.stat().st_mode
    except OSError as error:
        why = (error.strerror or "cannot be read").lower()
        report.add(path, f"cannot be read ({why})", f"create {place}, mode 0600, or correct the name", value=name)
        return None
    if not content:
        report.add(path, "is an empty file", f"write the secret into {place}", value=name)
        return None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        report.add(path, "is readable by others", f"run chmod 600 {place}", value=name, level="warning")
    return content


# -- the parts ---------------------------------------------------------------------------------------------------------


def _unique(report: Report, key: str, name: Callable[[Table], Any], what: str, under: Path = (), data: Any = None) -> None:
    seen: dict[Any, int] = {}
    for path, item in tables(report.data if data is None else data, key, under):
        own = name(item)
        if not own:
            continue
        if own in seen:
            shown = own if isinstance(own, str) else own[0]
            report.add((*path, "name"), f"is already the name of a {what} in line {seen[own]}", "rename one", value=shown)
        else:
            seen[own] = report.lines.get((*path, "name"), report.lines.get(path, 0))


def _carrier(report: Report, path: Path, carrier: Table, tariffs: list[Any]) -> None:
    cost, sender = text(carrier, "cost"), text(carrier, "sender")
    if cost and cost not in tariffs:
        report.add((*path, "cost"), "is not the name of a [[tariff]]", _one_of(cost, tariffs, "tariff"), value=cost)
    if sender and not _SENDER.fullmatch(sender):
        report.add((*path, "sender"), "is not a sender", "write 1 to 11 letters and digits, or 3 to 15 digits", value=sender)
    _unique(report, "bind", _name, "bind", path, carrier)
    binds = list(tables(carrier, "bind", path))
    modes = [bind.get("mode", "trx") for _, bind in binds]
    if binds and all(mode == "rx" for mode in modes):
        report.add((*path, "bind"), "only receives", 'add a bind of mode "trx" or "tx", or set mode = "tx+rx"')
    elif binds and all(mode == "tx" for mode in modes):
        report.add(
            (*path, "bind"),
            "only transmits: no receipt can arrive",
            'set mode = "trx" or add a bind of mode "rx"',
            level="warning",
        )
    for key in ("rate", "per_day"):
        whole = number(carrier, key, 0)
        for bind_path, bind in binds:
            own = number(bind, key, 0)
            if whole and own > whole:
                why = f"is above the carrier's {key} of {whole:g}"
                report.add((*bind_path, key), why, "lower it or remove it", value=own, level="warning")
    _codes(report, path, carrier)


def _limit(report: Report, path: Path, limit: Table) -> None:
    if "rate" not in limit and "per_day" not in limit:
        report.add(path, "limits nothing", "add rate = N, segments a second, or per_day = N")
    for key, form, remedy in (
        ("country", r"[A-Z]{2}", 'write the two letters of ISO 3166, like "DE"'),
        ("network", r"[0-9]{5,6}", 'write the 5 or 6 digits of MCC and MNC, like "60901"'),
    ):
        for index, value in enumerate(listed(limit, key)):
            if isinstance(value, str) and not re.fullmatch(form, value):
                report.add((*path, key, index), "is not usable", remedy, value=value)


def _codes(report: Report, path: Path, carrier: Table) -> None:
    """Keys that are numbers in a text: command statuses and TLV tags."""
    quirks = table(carrier, "quirks")
    if quirks.get("encodings") == []:
        report.add((*path, "quirks", "encodings"), "is empty", 'name at least one, like ["gsm7", "ucs2"]')
    if quirks.get("national") and "gsm7" not in quirks.get("encodings", ["gsm7"]):
        remedy = 'add "gsm7" to encodings or remove it'
        report.add((*path, "quirks", "national"), "has no effect without GSM 7-bit", remedy, value=quirks["national"])
    for key in table(quirks, "statuses"):
        if not re.fullmatch(r"0x[0-9A-Fa-f]{1,8}", key):
            report.add((*path, "quirks", "statuses", key), "is not a command_status", 'write it like "0x58"')
    for index, word in enumerate(listed(carrier, "keep_tlvs")):
        if isinstance(word, str) and tag_of(word) is None:
            report.add((*path, "keep_tlvs", index), "is no TLV", 'write a tag like "0x1401", or a name of SMPP', value=word)
    for key, value in table(carrier, "tlvs").items():
        if not re.fullmatch(r"0x[0-9A-Fa-f]{1,4}", key):
            report.add((*path, "tlvs", key), "is not a TLV tag", 'write it like "0x1400"', value=value)
    fixed = quirks.get("source_ton_npi")
    if isinstance(fixed, list) and all(isinstance(part, int) for part in fixed) and not all(0 <= part < 32 for part in fixed):
        report.add((*path, "quirks", "source_ton_npi"), "is out of range", "write TON 0-7 and NPI 0-31", value=fixed)


def _bind(report: Report, path: Path, bind: Table, base_dir: FilePath, seen: dict[tuple[Any, ...], str]) -> None:
    _password(report, path, bind, base_dir)
    check_tls(report, path, bind, base_dir)
    low, high = number(bind, "reconnect_s", 1.0), number(bind, "reconnect_max_s", 60.0)
    if low > high:
        report.add((*path, "reconnect_s"), f"is above reconnect_max_s ({high:g})", "lower it", value=low)
    least, window = number(bind, "window_min", 1), number(bind, "window", 10)
    if least > window:
        report.add((*path, "window_min"), f"is above window ({window:g})", "lower it or raise window", value=least)
    login = (bind.get("host"), bind.get("port", 2775), bind.get("system_id"), bind.get("mode", "trx"))
    if all(isinstance(part, (str, int)) for part in login):
        line = str(report.lines.get(path, 0))
        if login in seen:
            remedy = "raise sessions of the one instead of writing it twice"
            report.add((*path, "system_id"), f"repeats the login in line {seen[login]}", remedy, value=login[2])
        seen.setdefault(login, line)


def _password(report: Report, path: Path, bind: Table, base_dir: FilePath) -> None:
    """Exactly one source; a literal only when the operator insists."""
    sources = [key for key in ("password", "password_file", "password_env") if text(bind, key)]
    plain = bind.get("password_plain") is True
    if len(sources) > 1:
        report.add(
            (*path, sources[0]),
            f"is one of {len(sources)} sources of the password ({', '.join(sources)})",
            "keep exactly one",
            value=bind[sources[0]],
        )
        return
    if not sources:
        report.add((*path, "password_file"), "is missing: the bind has no password", 'add password_file = "FILE"')
    elif sources == ["password"] and not plain:
        report.add(
            (*path, "password"),
            "is a password written in the configuration",
            "move it to a file and set password_file, or insist with password_plain = true",
            value=bind["password"],
        )
    if plain and sources and "password" not in sources:
        report.add((*path, "password_plain"), "has no effect without password", "remove it", value=True)
    if name := text(bind, "password_file"):
        secret_file(report, (*path, "password_file"), name, base_dir)
    variable = text(bind, "password_env")
    if variable and not os.environ.get(variable):
        report.add((*path, "password_env"), "is not set in the environment", f"set {variable}", value=variable)


def _routes(report: Report, carriers: list[Any]) -> None:
    used: set[str] = set()
    matches: dict[str, str] = {}
    for path, route in tables(report.data, "route"):
        match = table(route, "match")
        _match(report, (*path, "match"), match)
        same = repr(sorted((key, str(value)) for key, value in match.items()))
        if same in matches:
            report.add((*path, "match"), f"is the same as that of the route in line {matches[same]}", "change or remove one")
        matches.setdefault(same, str(report.lines.get(path, 0)))
        for group_path, group in tables(route, "group", path):
            own: set[str] = set()
            for weighted_path, weighted in tables(group, "carriers", group_path):
                name = text(weighted, "name")
                if name and name not in carriers:
                    remedy = _one_of(name, carriers, "carrier")
                    report.add((*weighted_path, "name"), "is not the name of a [[carrier]]", remedy, value=name)
                if name in own:
                    report.add((*weighted_path, "name"), "is in this group twice", "raise its weight instead", value=name)
                own.add(name)
            used |= own
    for path, carrier in tables(report.data, "carrier"):
        name = text(carrier, "name")
        if name and name not in used:
            report.add(
                (*path, "name"),
                "is in no route: nothing will be sent over it",
                "add it to a [[route]]",
                value=name,
                level="warning",
            )


def _match(report: Report, path: Path, match: Table) -> None:
    for key, form, remedy in (
        ("prefix", r"[0-9]{1,15}", 'write digits of E.164 without +, like "222"'),
        ("mcc_mnc", r"[0-9]{5,6}", 'write the 5 or 6 digits of MCC and MNC, like "60901"'),
    ):
        for index, value in enumerate(listed(match, key)):
            if isinstance(value, str) and not re.fullmatch(form, value):
                report.add((*path, key, index), "is not usable", remedy, value=value)


def _tariff(report: Report, path: Path, tariff: Table, base_dir: FilePath) -> None:
    file, prices = text(tariff, "file"), table(tariff, "prices")
    if file and prices:
        report.add((*path, "file"), "and prices are both given", "keep exactly one", value=file)
    elif not file and not prices:
        report.add(path, "has neither file nor prices", 'add file = "FILE.csv" or a table [tariff.prices]')
    if file and not (base_dir / file).is_file():
        report.add((*path, "file"), "is not there", f"create {base_dir / file} or correct the name", value=file)


def _server(report: Report, server: Table, base_dir: FilePath) -> None:
    url = text(server, "url")
    if url:
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.path):
            report.add(("server", "url"), "is not an address", 'write "redis://HOST:PORT" or "unix:///PATH"', value=url)
        if parts.password:
            remedy = "move it to a file and set server.password_file"
            report.add(("server", "url"), "holds a password", remedy, value=url, level="warning")
            if text(server, "password_file"):
                report.add(("server", "password_file"), "and server.url both give a password", "keep exactly one")
    prefix = text(server, "prefix")
    if re.search(r"[{}\s]", prefix):
        report.add(("server", "prefix"), "holds a brace or a space", 'write letters, like "sms:"', value=prefix)
    if name := text(server, "password_file"):
        if url:
            secret_file(report, ("server", "password_file"), name, base_dir)
        else:
            remedy = "set server.url or remove it"
            report.add(("server", "password_file"), "has no effect on the embedded server", remedy, value=name)


def _listeners(report: Report, data: Table) -> None:
    taken: dict[tuple[str, int], str] = {}
    for key, default in (("http", "127.0.0.1:8080"), ("metrics", "127.0.0.1:9464")):
        value = text(table(data, key), "listen", default)
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or not 0 <= int(port) <= 65_535:
            report.add((key, "listen"), "is not host:port", f'write it like "{default}"', value=value)
            continue
        if int(port):
            _take(report, taken, (host, int(port)), f"{key}.listen", (key, "listen"), value)
    server = table(data, "server")
    if not text(server, "url"):
        port_number = int(number(server, "embedded_port", 6390))
        _take(report, taken, ("127.0.0.1", port_number), "server.embedded_port", ("server", "embedded_port"), port_number)


def _take(
    report: Report, taken: dict[tuple[str, int], str], address: tuple[str, int], name: str, path: Path, value: Any
) -> None:
    for (host, port), owner in taken.items():
        if port == address[1] and (host == address[0] or {"0.0.0.0", "[::]"} & {host, address[0]}):  # noqa: S104 - only compared
            report.add(path, f"is already the address of {owner}", "choose another port", value=value)
    taken[address] = name


def _times(report: Report, data: Table) -> None:
    retry, lanes = table(data, "retry"), table(data, "lanes")
    first, most = number(retry, "temporary_s", 5.0), number(retry, "temporary_max_s", 300.0)
    if first > most:
        report.add(("retry", "temporary_s"), f"is above temporary_max_s ({most:g})", "lower it", value=first)
    top = number(lanes, "validity_max_s", 604_800)
    for key, default in (("validity_otp_s", 600), ("validity_transactional_s", 86_400), ("validity_bulk_s", 172_800)):
        value = number(lanes, key, default)
        if value > top:
            report.add(("lanes", key), f"is above validity_max_s ({top:g})", "lower it or raise validity_max_s", value=value)


def _one_of(word: str, known: list[Any], what: str) -> str:
    names = sorted(name for name in known if isinstance(name, str))
    return did_you_mean(word, names) if names else f"add a [[{what}]] of this name"
