"""Reads the configuration file: TOML text to Settings, or one error that holds everything found wrong with it.

The words of the findings are made in shape.py (types) and rules.py (combinations). Secrets are read here, from files
and the environment, and wrapped so that no representation of Settings shows them. Files that the configuration names
are looked for beside it, so that it does not matter where the process was started; `server.data_dir` alone is relative
to the working directory, because it is written to and a configuration directory need not be writable.
"""

from __future__ import annotations

import os
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from accounting.tariff import Tariff, TariffError, from_dict, parse_csv
from dispatcher.core import settings as shapes
from dispatcher.core.settings import Bind, Carrier, Settings
from dispatcher.ops import rules, shape
from dispatcher.ops.findings import MASK, SECRET_KEYS, ConfigError, Finding, Report, mask_url
from dispatcher.ops.toml_lines import locate

DEFAULT_FILE = "dispatcher.toml"
ENVIRONMENT = "DISPATCHER_CONFIG"


class Secret(str):
    """A text that does not show itself in representations, so that a logged Settings gives nothing away."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


def load(path: Path | str) -> Settings:
    """The settings with secrets filled in and file names absolute. Raises ConfigError with all findings."""
    settings, findings = inspect(path)
    if settings is None:
        raise ConfigError(findings)
    return settings


def inspect(path: Path | str) -> tuple[Settings | None, list[Finding]]:
    """The settings, None when an error was found, and all findings, warnings included, in the order of the file."""
    file = Path(path)
    name = str(path)
    try:
        content = file.read_text(encoding="utf-8")
        data = tomllib.loads(content)
    except OSError as error:
        why = (error.strerror or "cannot be read").lower()
        remedy = f"name the file with --config or {ENVIRONMENT}"
        return None, [Finding(file=name, line=0, key="", value="", problem=f"cannot be read ({why})", remedy=remedy)]
    except UnicodeDecodeError:
        finding = Finding(file=name, line=0, key="", value="", problem="is not UTF-8", remedy="save it as UTF-8")
        return None, [finding]
    except tomllib.TOMLDecodeError as error:
        return None, [_syntax(name, content, str(error))]
    report = Report(name, locate(content), data)
    base_dir = file.resolve().parent
    shape.check(report, Settings)
    rules.check(report, base_dir)
    _check_tariffs(report, base_dir)
    findings = sorted(report.findings, key=lambda finding: finding.line)
    if any(finding.level == "error" for finding in findings):
        return None, findings
    return _finish(msgspec.convert(data, Settings), base_dir), findings


def load_tariffs(settings: Settings, base_dir: Path | str = ".") -> list[Tariff]:
    """Every [[tariff]] with its prices, CSV files beside the configuration. Raises TariffError, OSError."""
    return [_tariff(tariff, Path(base_dir)) for tariff in settings.tariff]


def masked(settings: Settings) -> dict[str, Any]:
    """The settings as plain values without secrets, for `config show`."""
    plain: dict[str, Any] = _mask(msgspec.to_builtins(settings, enc_hook=str))
    plain["server"]["url"] = mask_url(plain["server"]["url"])
    return plain


def schema() -> dict[str, Any]:
    """JSON Schema of the file."""
    return msgspec.json.schema(Settings)


# -- inside ------------------------------------------------------------------------------------------------------------


def _syntax(name: str, content: str, message: str) -> Finding:
    found = re.search(r"\(at line (\d+), column \d+\)", message)
    line = int(found[1]) if found else content.count("\n") + 1
    key = (content.splitlines() or [""])[min(line, content.count("\n") + 1) - 1].partition("=")[0].strip()[:40]
    problem = "is not TOML: " + re.sub(r" \(at [^)]*\)", "", message)[:120]
    return Finding(
        file=name,
        line=line,
        key=key,
        value="",
        problem=problem,
        remedy="correct this line (texts need quotes, lists need commas)",
    )


def _check_tariffs(report: Report, base_dir: Path) -> None:
    """Prices that cannot be read. Only of tariffs whose table itself is in order."""
    broken = {finding.line for finding in report.findings if finding.key.startswith("tariff")}
    for path, table in rules.tables(report.data, "tariff"):
        lines = {line for where, line in report.lines.items() if where[:2] == path}
        if lines & broken:
            continue
        try:
            _tariff(msgspec.convert(table, shapes.Tariff), base_dir)
        except TariffError as error:
            file = table.get("file")
            where = report.lines.get(
                (*path, "prices", error.value), report.lines.get((*path, "prices"), report.lines.get(path, 0))
            )
            report.findings.append(
                Finding(
                    file=str(base_dir / file) if file else report.file,
                    line=error.line if file else where,
                    key=error.column,
                    value=repr(error.value[:40]),
                    problem="cannot be used",
                    remedy=error.remedy,
                )
            )
        except ValueError as error:
            remedy = 'write RFC 3339, like "2026-01-31T00:00:00Z"'
            report.add((*path, "valid_from"), f"is not an instant ({error})", remedy, value=table.get("valid_from"))
        except OSError as error:
            why = (error.strerror or "cannot be read").lower()
            report.add((*path, "file"), f"cannot be read ({why})", "correct the name or its mode", value=table.get("file"))


def _tariff(tariff: shapes.Tariff, base_dir: Path) -> Tariff:
    start = 0
    if tariff.valid_from:
        at = datetime.fromisoformat(tariff.valid_from)
        start = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    if tariff.prices:
        source = f"tariff {tariff.name}"
        return from_dict(tariff.prices, name=tariff.name, currency=tariff.currency, source=source, valid_from=start)
    path = base_dir / tariff.file
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise TariffError(tariff.file, 0, "file", tariff.file, "save it as UTF-8") from None
    return parse_csv(content, name=tariff.name, currency=tariff.currency, source=tariff.file, valid_from=start)


def _finish(settings: Settings, base_dir: Path) -> Settings:
    """Secrets read, names of binds filled in, files absolute."""
    server = msgspec.structs.replace(
        settings.server,
        data_dir=str(Path(settings.server.data_dir).expanduser().resolve()),
        password_file=_beside(base_dir, settings.server.password_file),
    )
    tariffs = tuple(msgspec.structs.replace(t, file=_beside(base_dir, t.file)) for t in settings.tariff)
    privacy = msgspec.structs.replace(settings.privacy, hash_key_file=_beside(base_dir, settings.privacy.hash_key_file))
    carriers = tuple(_carrier(carrier, base_dir) for carrier in settings.carrier)
    http = msgspec.structs.replace(
        settings.http,
        tls_cert_file=_beside(base_dir, settings.http.tls_cert_file),
        tls_key_file=_beside(base_dir, settings.http.tls_key_file),
    )
    return msgspec.structs.replace(settings, server=server, http=http, tariff=tariffs, privacy=privacy, carrier=carriers)


def _carrier(carrier: Carrier, base_dir: Path) -> Carrier:
    taken = {bind.name for bind in carrier.bind if bind.name}
    binds = []
    for bind in carrier.bind:
        name, number = bind.name, 1
        while not name or (not bind.name and name in taken):
            name, number = f"{bind.host}-{number}", number + 1
        taken.add(name)
        binds.append(_bind(bind, name, base_dir))
    return msgspec.structs.replace(carrier, bind=tuple(binds))


def _bind(bind: Bind, name: str, base_dir: Path) -> Bind:
    password = bind.password
    if bind.password_file:
        password = (base_dir / bind.password_file).read_bytes().rstrip(b"\r\n").decode("latin-1")
    elif bind.password_env:
        password = os.environ[bind.password_env]
    return msgspec.structs.replace(
        bind,
        name=name,
        password=Secret(password),
        password_file=_beside(base_dir, bind.password_file),
        tls_ca_file=_beside(base_dir, bind.tls_ca_file),
        tls_cert_file=_beside(base_dir, bind.tls_cert_file),
        tls_key_file=_beside(base_dir, bind.tls_key_file),
    )


def _beside(base_dir: Path, name: str) -> str:
    return str(base_dir / name) if name else ""


def _mask(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {k: _mask(v, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mask(item) for item in value]
    return MASK if key in SECRET_KEYS and value else value
