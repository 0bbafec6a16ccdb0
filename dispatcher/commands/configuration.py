"""Commands about configuration and price files: config, tariff."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from dispatcher.commands.frame import EXIT_FINDING, EXIT_OK, Context, arg, command, family, table


def register(commands: Any) -> None:
    """Adds config and tariff."""
    own = family(commands, "config", "check, show or describe the configuration")
    command(
        own, "check", "name everything wrong with the configuration at once", "config check --config dispatcher.toml", _check
    )
    command(own, "show", "show the settings in force, defaults included, secrets masked", "config show", _show)
    command(own, "schema", "print the JSON Schema of the configuration", "config schema > schema.json", _schema)
    tariffs = family(commands, "tariff", "check price files")
    command(
        tariffs,
        "check",
        "check the price files of the configuration, or one file",
        "tariff check prices.csv --number 22241234567",
        _tariff_check,
        arg("file", nargs="?", metavar="FILE", help="a CSV file (default: all of the configuration)"),
        arg("--currency", default="EUR", help="of FILE (default EUR)"),
        arg("--number", default="", help="also show the price to this number"),
    )


def _check(context: Context, _: argparse.Namespace) -> int:
    import msgspec

    from dispatcher.ops.config import inspect

    settings, findings = inspect(context.config_path)
    counts = (
        f"{len(settings.carrier)} carriers, {len(settings.route)} routes, {len(settings.tariff)} tariffs" if settings else ""
    )
    if context.as_json:
        context.show({"ok": settings is not None, "findings": msgspec.to_builtins(findings)})
    else:
        for finding in findings:
            print(finding, file=sys.stderr)
        if settings is not None:
            print(f"{context.config_path}: in order ({counts})")
        else:
            errors = sum(finding.level == "error" for finding in findings)
            print(f"{context.config_path}: {errors} error{'s' if errors != 1 else ''}", file=sys.stderr)
    return EXIT_OK if settings is not None else EXIT_FINDING


def _show(context: Context, _: argparse.Namespace) -> int:
    from dispatcher.ops.config import masked

    value = masked(context.settings)
    context.show(value, lambda: "\n".join(_toml(value, "")))
    return EXIT_OK


def _toml(value: dict[str, Any], under: str) -> list[str]:
    """The settings as TOML again, one key a line."""
    lines, tables = [], []
    for key, item in value.items():
        name = key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)
        if isinstance(item, dict):
            tables += ["", f"[{under}{name}]", *_toml(item, f"{under}{name}.")] if item else []
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            for one in item:
                tables += ["", f"[[{under}{name}]]", *_toml(one, f"{under}{name}.")]
        elif item is not None and (under or item != []):  # on top there are only tables, and none is none
            lines.append(f"{name} = {json.dumps(item, ensure_ascii=False)}")
    return lines + tables


def _schema(context: Context, _: argparse.Namespace) -> int:
    from dispatcher.ops.config import schema

    value = schema()
    context.show(value, lambda: json.dumps(value, indent=2))
    return EXIT_OK


def _tariff_check(context: Context, options: argparse.Namespace) -> int:
    from accounting.money import to_decimal
    from accounting.tariff import parse_csv
    from dispatcher.ops.config import load_tariffs

    if options.file:
        path = Path(options.file)
        tariffs = [parse_csv(path.read_text(encoding="utf-8"), name=path.stem, currency=options.currency, source=str(path))]
    else:
        tariffs = load_tariffs(context.settings)
    number = options.number.lstrip("+")
    rows = []
    for tariff in tariffs:
        price = tariff.price(number) if number else None
        rows.append([tariff.name, tariff.currency, len(tariff.prices), to_decimal(price.micro) if price else "-"])
    header = ["tariff", "currency", "prefixes", f"price to {number}" if number else "price"]
    context.show(
        [dict(zip(("tariff", "currency", "prefixes", "price"), row, strict=True)) for row in rows], lambda: table(rows, header)
    )
    return EXIT_OK
