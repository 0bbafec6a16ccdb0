"""What all commands share: where the configuration is, how results are shown, how the store is reached, which errors
are expected. It refuses to know any command.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from dispatcher.ops import config
from dispatcher.ops.connection import store_url
from dispatcher.ops.errors import OpsError
from dispatcher.ops.findings import ConfigError, mask_url

if TYPE_CHECKING:
    from dispatcher.core.ports import Store
    from dispatcher.core.settings import Settings

EXIT_OK, EXIT_FINDING, EXIT_USAGE = 0, 1, 2
T = TypeVar("T")
Run = Callable[["Context", argparse.Namespace], int]
Argument = tuple[tuple[str, ...], dict[str, Any]]


class Context:
    """One invocation: its configuration file and whether it answers in JSON."""

    def __init__(self, config_path: str, as_json: bool) -> None:
        self.config_path = config_path
        self.as_json = as_json
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The configuration, read once. Raises ConfigError."""
        if self._settings is None:
            self._settings = config.load(self.config_path)
        return self._settings

    @property
    def url(self) -> str:
        """The store's address, with its password."""
        return store_url(self.settings)

    @property
    def prefix(self) -> str:
        """In front of every key."""
        return self.settings.server.prefix

    def with_store(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """Runs `work` over an open store and closes it. Raises OpsError when the server is away, and what `work` raises."""
        import trio

        from dispatcher.core.ports import StoreUnavailable
        from dispatcher.store.redis import open_trio_store

        url, prefix, keys_s = self.url, self.prefix, self.settings.retention.keys_s

        async def run() -> T:
            store = await open_trio_store(url, prefix, keys_s=keys_s)
            try:
                return await work(store)
            finally:
                await store.close()

        try:
            return trio.run(run)
        except (StoreUnavailable, OSError, trio.BrokenResourceError) as error:
            raise away(url, error) from None

    def show(self, value: Any, text: str | Callable[[], str] = "") -> None:
        """Prints a result: as JSON, or as `text` for people."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False, default=plain))
        else:
            print(text if isinstance(text, str) else text())

    def line(self, value: Any, text: str) -> None:
        """One of many results, at once: a JSON line, or a line of text."""
        self.show(value, text)
        sys.stdout.flush()


def away(url: str, error: BaseException) -> OpsError:
    """The error for a server that does not answer."""
    why = type(error).__name__
    return OpsError(
        f"the store at {mask_url(url)} does not answer ({why})",
        "start `dispatcher run`, or correct server.url or server.embedded_port",
    )


def command(parent: Any, name: str, words: str, example: str, run: Run, *arguments: Argument) -> argparse.ArgumentParser:
    """Adds a command with the options that all have. `example` follows `dispatcher `."""
    parser: argparse.ArgumentParser = parent.add_parser(
        name,
        help=words,
        description=words[0].upper() + words[1:] + ".",
        epilog=f"example:\n  dispatcher {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for names, options in arguments:
        parser.add_argument(*names, **options)
    default = os.environ.get(config.ENVIRONMENT, config.DEFAULT_FILE)
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=default,
        help=f"configuration (default: ${config.ENVIRONMENT}, else {config.DEFAULT_FILE})",
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    parser.set_defaults(run=run)
    return parser


def family(commands: Any, name: str, words: str) -> Any:
    """Adds a command that has commands of its own."""
    parser = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
    return parser.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)


def arg(*names: str, **options: Any) -> Argument:
    """An argument or option of a command, as add_argument takes it."""
    return names, options


def expected(error: BaseException) -> OpsError | None:
    """The error as one that a person can act on; None when nobody foresaw it."""
    import redis

    from accounting.money import MoneyError
    from accounting.tariff import TariffError
    from dispatcher.core.ports import StoreError
    from smpp.simulator.scenario import ScenarioError

    if isinstance(error, BaseExceptionGroup):
        return expected(error.exceptions[0]) if len(error.exceptions) == 1 else None
    if isinstance(error, OpsError):
        return error
    if isinstance(error, TariffError):
        return OpsError(f"{error.source}, line {error.line}: {error.column} {error.value!r}", error.remedy)
    if isinstance(error, ScenarioError):
        return OpsError(error.what, error.remedy)
    if isinstance(error, MoneyError):
        return OpsError(str(error), "write a decimal number, like 12.50")
    if isinstance(error, redis.RedisError | StoreError):
        return OpsError(f"the store does not do it ({type(error).__name__})", "see `dispatcher doctor`")
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return OpsError(f"{error.filename}: {(error.strerror or '').lower()}", "correct the name or its mode")
    return None


def report_error(context: Context, error: OpsError) -> None:
    """Prints an expected error where it belongs."""
    if context.as_json:
        import msgspec

        findings = msgspec.to_builtins(error.findings) if isinstance(error, ConfigError) else []
        print(json.dumps({"error": error.what, "remedy": error.remedy, "findings": findings}, ensure_ascii=False))
    elif isinstance(error, ConfigError):
        print(f"{error.what}\n{error.remedy}", file=sys.stderr)
    else:
        print(f"error: {error.what}; {error.remedy}", file=sys.stderr)


def table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """Columns as wide as they must be; numbers to the right."""
    lines = [[*header], *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    right = [bool(rows) and all(isinstance(row[column], (int, float)) for row in rows) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def now_ms() -> int:
    """Wall time, ms since 1970 UTC."""
    return time.time_ns() // 1_000_000


def moment(at: int) -> str:
    """RFC 3339 with Z of ms since 1970 UTC, "" for 0."""
    if not at:
        return ""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """JSON for what json does not know."""
    import msgspec

    if isinstance(value, bytes):
        return value.hex()
    return msgspec.to_builtins(value, enc_hook=str)
