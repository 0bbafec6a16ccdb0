"""The command line over a real server: results, exit codes, and errors that say what to do without a traceback."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli import build_parser, main
from dispatcher.commands.pages import _leaves
from dispatcher.ops.embedded import EmbeddedServer

ROOT = Path(__file__).parents[2]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One server for the module; each test has its own prefix."""
    with EmbeddedServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def cli(server: EmbeddedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs `dispatcher ...` in this process over a configuration of its own: (exit code, stdout, stderr)."""
    text = (ROOT / "deploy" / "dispatcher.toml").read_text()
    text = text.replace("[server]\n", f'[server]\nurl = "{server.url}"\nprefix = "{tmp_path.name[-30:]}:"\n')
    path = tmp_path / "dispatcher.toml"
    path.write_text(text.replace('data_dir = "var"', f'data_dir = "{tmp_path}"'))
    (tmp_path / "tariff.csv").write_bytes((ROOT / "deploy" / "tariff.csv").read_bytes())

    def run(*arguments: str, config: Path | str = path) -> tuple[int, str, str]:
        code = main([*arguments, "--config", str(config)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def _json(cli: Cli, *arguments: str) -> Any:
    code, out, err = cli(*arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_an_account_s_life(cli: Cli) -> None:
    """Created, credited once per id, shown, suspended; the books balance."""
    assert cli("accounts", "add", "acme", "--currency", "EUR", "--tariff", "standard", "--floor", "-5")[0] == 0
    for _ in range(2):
        assert _json(cli, "accounts", "credit", "acme", "100.50", "--id", "i-1")["available"] == "100.50"
    assert _json(cli, "accounts", "credit", "acme", "-0.5", "--id", "i-2")["available"] == "100.00"
    assert cli("accounts", "suspend", "acme")[0] == 0
    shown = _json(cli, "accounts", "show", "acme")
    assert (shown["suspended"], shown["floor"], shown["tariff"]) == (True, "-5.00", "standard")
    assert cli("accounts", "suspend", "acme", "--resume")[0] == 0
    assert [row["state"] for row in _json(cli, "accounts", "list")] == ["active"]
    assert _json(cli, "ledger", "balance", "acme")[0]["available"] == "100.00"
    code, out, _ = cli("ledger", "audit")
    assert (code, out.splitlines()[-1]) == (0, "audit: PASS facts=2 accounts=1 misfits=0")


def test_changing_an_account_keeps_what_was_not_named(cli: Cli) -> None:
    """`accounts add` on an existing account changes the given settings only."""
    cli("accounts", "add", "acme", "--currency", "EUR", "--sender", "ACME", "--refund-on", "failed")
    cli("accounts", "add", "acme", "--tariff", "standard")
    shown = _json(cli, "accounts", "show", "acme")
    assert (shown["sender"], shown["tariff"], shown["refund_on"]) == ("ACME", "standard", ["failed"])


def test_an_audit_finds_money_without_a_fact(cli: Cli, server: EmbeddedServer, tmp_path: Path) -> None:
    """A balance changed behind the ledger's back: exit code 1 and the account named."""
    cli("accounts", "add", "acme", "--currency", "EUR")
    cli("accounts", "credit", "acme", "10")
    with server.client() as client:
        client.hincrby(f"{tmp_path.name[-30:]}:{{p0}}:acct:acme", "avail", 1)
    code, out, _ = cli("ledger", "audit")
    assert code == 1
    assert "audit: FAIL" in out
    assert "acme" in out


def test_a_key_s_life(cli: Cli) -> None:
    """Shown once at creation, listed without its secret, revoked."""
    cli("accounts", "add", "acme", "--currency", "EUR")
    made = _json(cli, "keys", "create", "acme", "--scope", "send")
    listed = cli("keys", "list", "acme")[1]
    assert made["key"].startswith(made["id"] + ".")
    assert made["id"] in listed
    assert made["key"].partition(".")[2] not in listed
    assert cli("keys", "revoke", made["id"])[0] == 0
    assert _json(cli, "keys", "list")[0]["state"] == "revoked"


def test_credentials_of_the_dialects(cli: Cli, tmp_path: Path) -> None:
    """Created in each service's form, or taken over as they are; listed by what an operator may see of them."""
    cli("accounts", "add", "acme", "--currency", "EUR")
    assert _json(cli, "keys", "create", "acme", "--dialect", "otpiq")["key"].startswith("sk_live_")
    assert re.fullmatch("[0-9a-f]{64}", _json(cli, "keys", "create", "acme", "--dialect", "laravel")["key"])
    pair = _json(cli, "keys", "create", "acme", "--dialect", "smskit")
    assert pair["key"] != pair["token"]
    made = _json(cli, "keys", "create", "acme", "--dialect", "laravel", "--user", "anna")
    assert len(made["key"]) >= 20
    (tmp_path / "key").write_text("an-imported-key-WXYZ\n")
    (tmp_path / "token").write_text("its-token\r\n")
    imports = [("otpiq",), ("laravel", "--user", "berta"), ("smskit", "--secret-file", str(tmp_path / "token"))]
    for dialect, *more in imports:
        for _ in range(2):  # once more changes nothing
            assert cli("keys", "import", "acme", "--dialect", dialect, "--value-file", str(tmp_path / "key"), *more)[0] == 0
    rows = _json(cli, "keys", "list", "acme")
    assert len(rows) == 7
    assert {row["label"] for row in rows} >= {"anna", "berta", "...WXYZ"}
    shown = cli("keys", "list", "acme")[1]
    assert not [text for text in ("an-imported", "its-token", pair["key"], pair["token"], made["key"]) if text in shown]


def test_importing_what_belongs_to_another(cli: Cli, tmp_path: Path) -> None:
    """A credential leads to one account; revoked there, it may come here. Parts that do not fit are named."""
    (tmp_path / "key").write_text("some-key-0123456789")
    (tmp_path / "empty").write_text("\n")
    for name in ("acme", "other"):
        cli("accounts", "add", name, "--currency", "EUR")
    use = ("--dialect", "otpiq", "--value-file", str(tmp_path / "key"))
    first = _json(cli, "keys", "import", "acme", *use)["id"]
    code, _, err = cli("keys", "import", "other", *use)
    assert (code, "exists already" in err, "some-key" in err) == (1, True, False)
    cli("keys", "revoke", first)
    assert cli("keys", "import", "other", *use)[0] == 0
    for arguments in (
        ("--dialect", "smskit", "--value-file", str(tmp_path / "key")),
        ("--dialect", "otpiq", "--value-file", str(tmp_path / "key"), "--secret-file", str(tmp_path / "key")),
        ("--dialect", "otpiq", "--value-file", str(tmp_path / "empty")),
        ("--dialect", "otpiq", "--value-file", str(tmp_path / "absent")),
    ):
        assert cli("keys", "import", "acme", *arguments)[0] == 1
    assert cli("keys", "import", "nobody", *use)[0] == 1


def test_a_chinqit_key_brings_chinqit_s_refunds(cli: Cli) -> None:
    """Where they were the default; an operator's own choice stands."""
    cli("accounts", "add", "acme", "--currency", "EUR")
    assert "is refunded from now on" in cli("keys", "create", "acme", "--dialect", "chinqit")[1]
    everything = ["failed", "rejected", "undelivered", "expired"]
    assert _json(cli, "accounts", "show", "acme")["refund_on"] == everything
    cli("accounts", "add", "acme", "--refund-on", "failed")
    assert "refund" not in cli("keys", "create", "acme", "--dialect", "chinqit")[1]
    assert _json(cli, "accounts", "show", "acme")["refund_on"] == ["failed"]


def test_a_dialect_s_key_brings_its_retries(cli: Cli) -> None:
    """The five services retry every class four times; our own accounts only where they ask for it."""
    cli("accounts", "add", "acme", "--currency", "EUR")
    cli("keys", "create", "acme")
    assert _json(cli, "accounts", "show", "acme")["bulk_receipt_retries"] is False
    assert "retried from now on" in cli("keys", "create", "acme", "--dialect", "otpiq")[1]
    assert _json(cli, "accounts", "show", "acme")["bulk_receipt_retries"] is True
    cli("accounts", "add", "acme", "--no-bulk-retries")
    assert _json(cli, "accounts", "show", "acme")["bulk_receipt_retries"] is False


def test_rotation(cli: Cli) -> None:
    """Two live keys for a while: the successor has the same scopes and form; what cannot be rotated says why."""
    cli("accounts", "add", "acme", "--currency", "EUR")
    old = _json(cli, "keys", "create", "acme", "--scope", "read", "--days", "1")
    new = _json(cli, "keys", "rotate", old["id"], "--overlap-s", "600")
    rows = {row["id"]: row for row in _json(cli, "keys", "list", "acme")}
    assert (rows[old["id"]]["state"], rows[old["id"]]["expires"]) == ("valid", new["old_expires_at"])
    assert (rows[new["id"]]["scopes"], rows[new["id"]]["expires"]) == ("read", "never")
    assert cli("keys", "rotate", new["id"], "--overlap-s", "0")[0] == 0
    assert {row["state"] for row in _json(cli, "keys", "list")} == {"valid", "expired"}
    assert cli("keys", "rotate", new["id"])[0] == 1
    user = _json(cli, "keys", "create", "acme", "--dialect", "laravel", "--user", "anna")
    assert "no successor" in cli("keys", "rotate", user["id"])[2]
    pair = _json(cli, "keys", "create", "acme", "--dialect", "smskit")
    assert set(_json(cli, "keys", "rotate", pair["id"])) >= {"key", "token"}


def test_an_account_s_limits(cli: Cli, tmp_path: Path) -> None:
    """Lists are replaced as a whole and emptied by an empty value; a secret is not shown; wrong values are named."""
    (tmp_path / "secret").write_text("whsec_abc\n")
    options = (
        *("--sender-allowed", "A", "--sender-allowed", "B", "--country", "MR", "--country", "KE", "--premium"),
        *("--velocity", "60:30,3600:100", "--spend-cap", "12.5", "--payment", "postpaid", "--country-code", "254"),
        *("--text", "en=Code {code}", "--project", "P", "--trial-number", "254700000001"),
        *("--callback-secret-file", str(tmp_path / "secret")),
    )
    assert cli("accounts", "add", "acme", "--currency", "EUR", *options)[0] == 0
    shown = _json(cli, "accounts", "show", "acme")
    assert (shown["senders"], shown["countries"], shown["premium"]) == (["A", "B"], ["MR", "KE"], True)
    assert (shown["velocity"], shown["spend_cap"], shown["payment"]) == ([[60, 30], [3600, 100]], "12.50", "postpaid")
    assert (shown["texts"], shown["callback_secret"], shown["project"]) == ({"en": "Code {code}"}, "set", "P")
    assert cli("accounts", "add", "acme", "--country", "", "--velocity", "", "--no-premium", "--spend-cap", "0")[0] == 0
    shown = _json(cli, "accounts", "show", "acme")
    assert (shown["senders"], shown["countries"], shown["velocity"], shown["premium"]) == (["A", "B"], [], [], False)
    for wrong in (
        ("--country", "mr"),
        ("--velocity", "60"),
        ("--velocity", "0:5"),
        ("--spend-cap", "-1"),
        ("--country-code", "+254"),
        ("--text", "en=no place"),
        ("--text", "english={code}"),
    ):
        code, _, err = cli("accounts", "add", "acme", *wrong)
        assert (code, wrong[0] in err) == (1, True), wrong


def test_explain_needs_no_server(cli: Cli) -> None:
    """Encoding, segments with their bytes, route, carriers and price of a text."""
    found = _json(cli, "explain", "+22241234567", "Hallo €")
    assert (found["encoding"], found["segments"], found["price"]) == ("gsm7", ["48616c6c6f201b65"], "0.035")
    assert (found["route"], found["carriers"]) == ("default", ["simulator"])


def test_send_hands_an_entry_to_the_stream(cli: Cli, server: EmbeddedServer, tmp_path: Path) -> None:
    """Without an engine the entry waits in `sends`, and the answer says so without losing it."""
    cli("accounts", "add", "acme", "--currency", "EUR")
    code, _, err = cli("send", "+22241234567", "secret text", "--wait", "0.2")
    assert code == 1
    assert "waits in the stream and is not lost" in err
    with server.client() as client:
        assert client.xlen(f"{tmp_path.name[-30:]}:sends") == 1


def test_binds_are_held_back_and_let_go(cli: Cli) -> None:
    """The wish is recorded in the store and shown."""
    assert cli("binds", "pause", "simulator", "main")[0] == 0
    assert _json(cli, "binds", "list")[0]["wish"] == "pause"
    assert _json(cli, "binds", "list")[0]["ids"] == "as_is"
    assert cli("binds", "resume", "simulator", "main")[0] == 0
    assert _json(cli, "binds", "list")[0]["wish"] == ""


def test_rejects_are_shown_and_requeued(cli: Cli, server: EmbeddedServer, tmp_path: Path) -> None:
    """A refused send can be looked at and handed over again as it was written."""
    fields = {"entry": "5-0", "index": "0", "reason": "no_route", "detail": "x", "send": '{"to":"+22241234567","text":"t"}'}
    rows = redis_rows(fields)
    with server.client() as client:
        client.xadd(f"{tmp_path.name[-30:]}:rejects", rows)
    assert [row["reason"] for row in _json(cli, "rejects", "list")] == ["no_route"]
    assert _json(cli, "rejects", "show", "5-0")["send"] == {"to": "+22241234567", "text": "(1 characters)"}
    assert _json(cli, "rejects", "show", "5-0", "--text")["send"] == {"to": "+22241234567", "text": "t"}
    assert cli("rejects", "requeue", "5-0")[0] == 0
    with server.client() as client:
        assert client.xlen(f"{tmp_path.name[-30:]}:sends") == 1
    assert cli("rejects", "show", "6-0")[0] == 1


def test_a_refused_code_is_shown_to_nobody(cli: Cli, server: EmbeddedServer, tmp_path: Path) -> None:
    """The text of an otp stays hidden, and so does what cannot be decoded."""
    for index, send in enumerate(['{"to":"+222","text":"code 4711","class":"otp"}', '{"text":"code 4711']):
        fields = {"entry": "5-0", "index": str(index), "reason": "malformed", "detail": "x", "send": send}
        with server.client() as client:
            client.xadd(f"{tmp_path.name[-30:]}:rejects", redis_rows(fields))
        code, out, _ = cli("rejects", "show", "5-0", "--index", str(index), "--text")
        assert code == 0
        assert "4711" not in out


def redis_rows(row: dict[str, str]) -> dict[str, bytes]:
    """An out entry as the store writes it."""
    import msgspec

    return {"v": b"1", "cols": ",".join(row).encode(), "rows": msgspec.msgpack.encode([list(row.values())])}


def test_doctor_names_what_is_wrong(cli: Cli) -> None:
    """No dispatcher runs and the carrier is away: exit code 1, the promise judged from the server itself."""
    code, out, _ = cli("doctor")
    assert code == 1
    assert re.search(r"^ok    promise  +kept \(fsync\)$", out, re.MULTILINE)
    assert "FAIL  processes" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("accounts", "show", "nobody"), ("there is no account 'nobody'", "accounts add nobody")),
        (("accounts", "credit", "nobody", "ten"), ("ten", "decimal")),
        (("accounts", "add", "a b", "--currency", "EUR"), ("'a b' is not usable", "write 1 to 64")),
        (("accounts", "add", "a", "--tariff", "gold"), ("'gold' is not in the configuration", "use one of standard")),
        (("accounts", "add", "a", "--currency", "euro"), ("'euro' is not a currency", "ISO 4217")),
        (("accounts", "add", "a", "--currency", "EUR", "--refund-on", "lost"), ("'lost' is not possible", "use cancelled")),
        (("keys", "revoke", "none"), ("no key of this id", "keys list")),
        (("status", "x"), ("'x' is no id of a message", "a public API answered")),
        (("status", "06H0B40AB40KX1H2KE7VS39XR0"), ("there is no record", "retention")),
        (("replay", "06H0B40AB40KX1H2KE7VS39XR0"), ("there is no record", "retention")),
        (("cancel", "06H0B40AB40KX1H2KE7VS39XR0"), ("there is no record", "retention")),
        (("binds", "pause", "simulator", "none"), ("no bind simulator none", "use one of: simulator main")),
        (("explain", "+222", "x"), ("would be refused: number_invalid", "correct")),
        (("send", "+22241234567", "x"), ("--account is needed", "add --account NAME")),
        (("tariff", "check", "none.csv"), ("none.csv", "correct the name")),
    ],
)
def test_expected_errors_say_what_to_do(cli: Cli, arguments: tuple[str, ...], words: tuple[str, str]) -> None:
    """Exit code 1, one line on stderr with the value and the remedy, also as JSON; never a traceback."""
    code, out, err = cli(*arguments)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    code, out, err = cli(*arguments, "--json")
    assert (code, err) == (1, "")
    assert words[0].split()[0].strip("'") in out
    assert json.loads(out)["remedy"]


def test_a_server_that_is_away_is_an_expected_error(cli: Cli, tmp_path: Path) -> None:
    """The address and the remedy, within the time-out."""
    path = tmp_path / "away.toml"
    path.write_text(f'[server]\nurl = "unix://{tmp_path}/nobody"\n')
    code, _, err = cli("accounts", "list", config=path)
    assert code == 1
    assert "does not answer" in err
    assert "start `dispatcher run`" in err


def test_config_check_finds_and_shows(cli: Cli, tmp_path: Path) -> None:
    """Exit code 0 for the example, 1 with the finding's place otherwise; `show` is TOML and masked; `schema` is JSON."""
    assert cli("config", "check")[0] == 0
    bad = tmp_path / "bad.toml"
    bad.write_text("[http]\nlistn = 1\n")
    code, _, err = cli("config", "check", config=bad)
    assert code == 1
    assert f'{bad}:2: error: http.listn = 1: unknown key; did you mean "listen"?' in err
    assert cli("accounts", "list", config=bad)[0] == 1
    shown = cli("config", "show")[1]
    assert 'password = "***"' in shown
    again = tmp_path / "again.toml"
    again.write_text(shown)
    assert cli("config", "check", config=again)[0] == 0
    assert "$defs" in json.loads(cli("config", "schema")[1])


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["accounts"], ["run", "--workers", "0"], ["send", "+1"]])
def test_usage_errors_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """argparse's own exit code, with the usage on stderr."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: dispatcher" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "parser"), list(_leaves(build_parser(), "dispatcher")), ids=lambda value: str(value)[:40])
def test_every_command_has_an_example_that_parses(name: str, parser: Any) -> None:
    """--help shows an example of this very command, and it is one that the parser takes."""
    import shlex

    example = parser.epilog.splitlines()[-1].strip()
    assert example.startswith(name)
    words = shlex.split(example.partition(" > ")[0])[1:]
    options = build_parser().parse_args(words)
    assert {"json", "config", "run"} <= set(vars(options))
