"""The demo from curtain to curtain: start, send, kill, wait, check, stop, tell.

It refuses to know how each is done. Whatever happens, everything that was started is ended; the directory is kept only
when something failed.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from accounting.money import to_micro
from dispatcher.commands.demo import proof, report, rows
from dispatcher.commands.demo.doors import Sender
from dispatcher.commands.demo.oddities import oddest
from dispatcher.commands.demo.report import Result
from dispatcher.commands.demo.rows import Row
from dispatcher.commands.demo.watch import VICTIM, Progress, Watch
from dispatcher.commands.demo.world import Failed, World
from dispatcher.commands.frame import EXIT_FINDING, EXIT_OK, Context, now_ms
from dispatcher.commands.money import read_facts
from dispatcher.core.customer import Account
from dispatcher.core.hashing import NumberHash
from dispatcher.core.model import Head, State
from dispatcher.ingest.keys import issue
from dispatcher.ops.errors import OpsError
from dispatcher.ops.secret_key import server_key

if TYPE_CHECKING:
    from accounting.ledger import Fact
    from dispatcher.core.customer import Balance
    from dispatcher.core.ports import Store

ACCOUNT = Account(name="demo", currency=report.CURRENCY, tariff="standard", sender="DEMO")
CREDIT = "250.00"
READ_AT_ONCE = 500
ABOUT_S = 30


class Records(NamedTuple):
    """What the store holds at the end."""

    heads: dict[str, Head | None]
    kept_bodies: int
    facts: list[Fact]
    balance: Balance


def main(*, keep: bool = False, data: str = "", as_json: bool = False) -> int:
    """Plays the demo; returns the exit code. Raises OpsError for a file that cannot be used, and for whatever stopped it."""
    began = time.monotonic()
    lines = rows.load(rows.find(data))
    if not as_json:
        print(f"{len(lines):,} sends over two doors to three simulated carriers; this takes about {ABOUT_S} s", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="dispatcher-demo-"))
    spare = True
    try:
        with _interrupts(), World(directory, prefer_defaults=keep) as world:
            play = Play(world, lines, quiet=as_json)
            result = play.run(began)
            if keep:
                _tell(result, as_json)
                _leave_running(world, play.key)
            stopped = time.monotonic()
            statuses = world.stop()
            result.seconds["stop"] = time.monotonic() - stopped
            result.seconds["total"] = time.monotonic() - began
            result.checks.append(_clean(statuses))
        if not keep:
            _tell(result, as_json)
        spare = not result.ok
    except KeyboardInterrupt:
        spare = False
        print("interrupted: everything the demo had started is ended", file=sys.stderr)
        return EXIT_FINDING
    except BrokenPipeError:  # nobody reads any more; cli.py ends it quietly
        spare = False
        raise
    except Failed as error:
        print("\n".join(error.log), file=sys.stderr)
        raise OpsError(error.what, f"{error.remedy}; all logs are in {directory}") from None
    finally:
        if not spare:
            shutil.rmtree(directory, ignore_errors=True)
    if spare:
        print(f"logs and data are kept in {directory}", file=sys.stderr)
    return EXIT_OK if result.ok else EXIT_FINDING


class Play:
    """One performance in a World. `key` is the account's API key once `run` has opened the account."""

    def __init__(self, world: World, lines: list[Row], *, quiet: bool) -> None:
        self.key = ""
        self._world, self._lines, self._quiet = world, lines, quiet
        self._context = Context(str(world.config_path), as_json=False)

    def run(self, began: float) -> Result:
        """Everything but the stop. Raises Failed, OpsError, and what a door raised."""
        world = self._world
        world.start_carriers()
        world.configure()
        world.start_service()
        self._open_account()
        started = time.monotonic()
        url = self._context.url
        sender = Sender(self._lines, store_url=url, http_port=world.ports.http, account=ACCOUNT.name, key=self.key)
        watch = Watch(world, sender, url, len(self._lines))
        sender.start()
        try:
            with self._progress() as progress:
                watch.run(progress)
        finally:
            watch.close()
        final = time.monotonic()
        result = self._check(sender, watch)
        result.seconds.update(start=started - began, sends=watch.sent_s, final=final - started)
        result.seconds.update(stop=0.0, total=time.monotonic() - began)
        return result

    def _open_account(self) -> None:
        at = now_ms()
        self.key, record = issue(ACCOUNT.name, at)

        async def work(store: Store) -> None:
            await store.put_account(ACCOUNT)
            await store.credit(ACCOUNT.name, "opening", to_micro(CREDIT), at)
            await store.put_key(record)

        self._context.with_store(work)

    @contextmanager
    def _progress(self) -> Iterator[Progress]:
        """A bar of finals on a terminal; silence in a pipe."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        console = Console(width=None if sys.stdout.isatty() else report.COLUMNS_MAX)
        columns = (
            TextColumn("final"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Bar(*columns, console=console, transient=True, disable=self._quiet or not console.is_terminal) as bar:
            task = bar.add_task("", total=len(self._lines))
            yield lambda finals, expected, words: bar.update(task, completed=finals, total=expected, description=words)

    # -- the end of the play

    def _check(self, sender: Sender, watch: Watch) -> Result:
        accepted = sorted({*sender.accepted, *watch.state})
        records = self._context.with_store(lambda store: _records(store, accepted))
        heads = {i: head for i, head in records.heads.items() if head is not None}
        row_of = self._rows_by_head()
        finals = sum(head.state >= _FINAL for head in heads.values())
        sample = self._world.counts(lambda sample: sample("dispatcher_final") == finals)
        evidence = proof.Evidence(
            accepted=accepted,
            expected=len(self._lines) - watch.rejects.total() - sender.refused.total(),
            refused=watch.rejects + sender.refused,
            told=watch.state,
            ends=watch.ends,
            heads=records.heads,
            kept_bodies=records.kept_bodies,
            facts=records.facts,
            account=ACCOUNT,
            balance=records.balance,
            credit=to_micro(CREDIT),
            price_of=self._price_of(row_of),
            finals_counted=sample("dispatcher_final"),
        )
        checks, audit, money = proof.prove(evidence)
        return Result(
            sent={_DOORS[door]: len(some) for door, some in sender.rows.items()},
            tally=report.tally(heads.values()),
            refused=evidence.refused,
            counted={
                "throttled": sample("dispatcher_segments_submitted", outcome="throttled"),
                "receipts": sample("dispatcher_receipts"),
                "orphaned": sample("dispatcher_receipts_orphaned"),
            },
            money=money,
            audit=audit,
            checks=checks,
            odd=oddest(heads, row_of),
            kill=f"{VICTIM} killed at {watch.killed_s:.1f} s with {watch.unanswered} submits unanswered, "
            f"back at {watch.revived_s:.1f} s",
            peaks=self._peaks(),
            seconds={},
        )

    def _peaks(self) -> str:
        rates = {carrier.name: carrier.rate for carrier in self._context.settings.carrier}
        seen = {name: carrier.stats()["submits_per_second_peak"] for name, carrier in self._world.carriers.items()}
        return "busiest second: " + ", ".join(f"{name} {peak} of {rates[name]:g}" for name, peak in seen.items())

    def _rows_by_head(self) -> Callable[[Head], Row | None]:
        """Finds the row of a head: by its key, else by the keyed hash of the number."""
        digits = NumberHash(server_key(self._context.settings))
        by_key = {row.key: row for row in self._lines if row.key}
        by_hash = {digits(re.sub(r"\D", "", row.to)): row for row in self._lines}
        return lambda head: by_key.get(head.key) or by_hash.get(head.to_hash)

    def _price_of(self, row_of: Callable[[Head], Row | None]) -> Callable[[Head], int | None]:
        """The tariff's price, found the slow and obvious way."""
        tariff = next(tariff for tariff in self._context.settings.tariff if tariff.name == ACCOUNT.tariff)
        prices = {prefix: to_micro(text) for prefix, text in tariff.prices.items()}

        def price(head: Head) -> int | None:
            row = row_of(head)
            number = re.sub(r"\D", "", row.to) if row is not None else ""
            fitting = [prefix for prefix in prices if number.startswith(prefix)]
            return prices[max(fitting, key=len)] if fitting and number else None

        return price


_FINAL = int(State.DELIVERED)
"""The least of the final states."""
_DOORS = {"stream": "stream entries", "chunk": "in chunks", "http": "HTTP requests", "batch": "in one HTTP batch"}


async def _records(store: Store, ids: list[str]) -> Records:
    heads: dict[str, Head | None] = {}
    kept_bodies = 0
    for start in range(0, len(ids), READ_AT_ONCE):
        some = ids[start : start + READ_AT_ONCE]
        for message_id, message in zip(some, await store.messages(some), strict=True):
            heads[message_id] = message.head if message is not None else None
            kept_bodies += message is not None and message.body is not None
    balance = await store.balance(ACCOUNT.name)
    if balance is None:
        raise Failed(f"the account {ACCOUNT.name} is gone", "see the server's log")
    return Records(heads, kept_bodies, await read_facts(store), balance)


def _clean(statuses: dict[str, int]) -> proof.Check:
    unclean = ", ".join(f"{name} with {status}" for name, status in statuses.items() if status)
    return proof.Check("stop", not unclean, unclean or f"{len(statuses)} processes ended with status 0")


def _tell(result: Result, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.as_json(result), ensure_ascii=False))
    else:
        print("\n".join(report.lines(result)), flush=True)


def _leave_running(world: World, key: str) -> None:
    """Prints what a visitor may copy, and waits for Ctrl-C. Raises Failed when a process ends by itself."""
    ports = world.ports
    send = '{"account":"demo","to":"+447911123456","text":"Hello from a stream"}'
    print(
        f"""
http     http://127.0.0.1:{ports.http}/docs
metrics  http://127.0.0.1:{ports.metrics}/metrics
store    redis://127.0.0.1:{ports.server}
key      {key}

redis-cli -p {ports.server} XADD sms:sends '*' json \\
  '{send}'
curl -s http://127.0.0.1:{ports.http}/v1/messages -H 'Content-Type: application/json' \\
  -H 'X-API-Key: {key}' \\
  -d '{{"to":"+447911123456","text":"Hello from HTTP"}}'
dispatcher events tail --config {world.config_path}

running until Ctrl-C""",
        flush=True,
    )
    try:
        while True:
            world.check()
            time.sleep(0.2)
    except KeyboardInterrupt:
        print("stopping", flush=True)


@contextmanager
def _interrupts() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
