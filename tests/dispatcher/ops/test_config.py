"""Configuration files: what is accepted, and that every mistake is named with file, line, key, value and remedy."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import inspect as inspection

from dispatcher.core.settings import Settings
from dispatcher.ops import config, shape
from dispatcher.ops.config import inspect, load, load_tariffs, masked
from dispatcher.ops.findings import ConfigError, Finding, Report
from dispatcher.ops.toml_lines import locate

ROOT = Path(__file__).parents[3]
BIND = '[[carrier.bind]]\nhost = "::1"\nsystem_id = "s"\npassword = "p"\npassword_plain = true\n'
ROUTE = '[[route]]\nname = "r"\n[[route.group]]\ncarriers = [{ name = "one" }]\n'

TEN_MISTAKES = """\
[[carrier]]
name = "one"
rate = 0
[[carrier.bind]]
host = "localhost"
prot = 2775
system_id = "a-system-id-too-long"
password = "hunter2"
window = "fifty"
mode = "tr"
[[carrier.bind]]
host = "localhost"
port = 99999
system_id = "second"
password_file = "one"
password_env = "TWO"
sessions = 0
[[carrier]]
name = "One"
cost = "nothing"
[[carrier.bind]]
system_id = "third"
password_env = "SMSC_THIRD_PASSWORD"
"""
TEN_EXPECTED = [
    (3, "carrier[one].rate", "0", 'write a number above 0 and at most 100000 or "auto"'),
    (6, "carrier[one].bind[0].prot", "2775", 'did you mean "port"?'),
    (7, "carrier[one].bind[0].system_id", "'a-system-id-too-long'", "write a text in quotes of 1 to 15 characters"),
    (8, "carrier[one].bind[0].password", "***", "move it to a file and set password_file"),
    (9, "carrier[one].bind[0].window", "'fifty'", "write a whole number from 1 to 10000"),
    (10, "carrier[one].bind[0].mode", "'tr'", 'did you mean "trx"?'),
    (13, "carrier[one].bind[1].port", "99999", "write a whole number from 1 to 65535"),
    (15, "carrier[one].bind[1].password_file", "'one'", "keep exactly one"),
    (17, "carrier[one].bind[1].sessions", "0", "write a whole number from 1 to 64"),
    (19, "carrier[One].name", "'One'", "1-32 of a-z 0-9 _ -"),
    (20, "carrier[One].cost", "'nothing'", "add a [[tariff]] of this name"),
    (21, "carrier[One].bind[0].host", "", "add host = ..."),
]


def _numbers(info: inspection.Type, key: str = "") -> Iterator[tuple[str, Callable[[float], Any]]]:
    """Each key that takes a float, and what stands in the file for a number there."""
    match info:
        case inspection.Metadata():
            yield from _numbers(info.type, key)
        case inspection.FloatType():
            yield key, lambda number: number
        case inspection.UnionType():
            for kind in info.types:
                yield from _numbers(kind, key)
        case inspection.StructType():
            for field in info.fields:
                name = field.encode_name
                for place, put in _numbers(field.type, f"{key}.{name}" if key else name):
                    yield place, lambda number, name=name, put=put: {name: put(number)}
        case inspection.VarTupleType():
            row = f"{key}[0]" if isinstance(info.item_type, inspection.StructType) else key
            for place, put in _numbers(info.item_type, row):
                yield place, lambda number, put=put: [put(number)]
        case inspection.TupleType():
            assert not any(list(_numbers(kind)) for kind in info.item_types), "teach this walk lists of several kinds"
        case inspection.DictType():
            assert not list(_numbers(info.value_type)), "teach this walk tables of numbers"


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "d.toml"
    path.write_text(text)
    return path


def _errors(tmp_path: Path, text: str) -> list[Finding]:
    return [finding for finding in inspect(_write(tmp_path, text))[1] if finding.level == "error"]


def test_ten_planted_mistakes_are_all_named_at_once(tmp_path: Path) -> None:
    """Each mistake in carriers and binds is reported in one run with file, line, key, value and remedy."""
    path = _write(tmp_path, TEN_MISTAKES)
    with pytest.raises(ConfigError) as caught:
        load(path)
    found = {(f.line, f.key): f for f in caught.value.findings if f.level == "error"}
    for line, key, value, remedy in TEN_EXPECTED:
        finding = found[line, key]
        assert (finding.file, finding.value) == (str(path), value)
        assert remedy in finding.remedy
        assert f"{path}:{line}: error: {key}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_example_is_accepted_and_complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """deploy/dispatcher.toml passes without any finding; its files are found from any working directory."""
    monkeypatch.chdir(tmp_path)
    settings, findings = inspect(ROOT / "deploy" / "dispatcher.toml")
    assert findings == []
    assert settings is not None
    assert settings.server.data_dir == str(tmp_path / "var")
    prices = {tariff.name: tariff.price("22222123456") for tariff in load_tariffs(settings)}
    assert prices["standard"] is not None
    assert (prices["standard"].micro, prices["standard"].mccmnc) == (32_000, "60901")


@pytest.mark.parametrize(
    ("text", "line", "key", "remedy"),
    [
        ("[sever]\n", 1, "sever", 'did you mean "server"?'),
        ("[server]\nurl = 5\n", 2, "server.url", "write a text in quotes"),
        ('[server]\nurl = "localhost:6379"\n', 2, "server.url", 'write "redis://HOST:PORT"'),
        ('[server]\nprefix = "a{b"\n', 2, "server.prefix", "write letters"),
        ('[server]\npassword_file = "none"\n', 2, "server.password_file", "set server.url"),
        ('[http]\nlisten = "8080"\n', 2, "http.listen", 'write it like "127.0.0.1:8080"'),
        ('[http]\nlisten = "0.0.0.0:9464"\n', 0, "metrics.listen", "choose another port"),
        ("[retry]\ntemporary_s = 400\n", 2, "retry.temporary_s", "lower it"),
        ("[lanes]\nvalidity_max_s = 500\n", 0, "lanes.validity_otp_s", "lower it or raise validity_max_s"),
        ("[engine]\nlease_s = inf\n", 2, "engine.lease_s", "write a number above 0 and at most 315360000"),
        ("[http]\nkey_requests_per_s = 1e999\n", 2, "http.key_requests_per_s", "write a number at least 0"),
        ("[retry]\nabsent_s = [60, -5]\n", 2, "retry.absent_s", "each a number above 0"),
        ("[retention]\nstreams_s = 315_360_001\n", 2, "retention.streams_s", "write a whole number from 1 to 315360000"),
        ("[retry]\nattempts_max = 6\n", 2, "retry.attempts_max", "from 1 to 5"),
        ('carrier = "x"\n', 1, "carrier", "write [[carrier]] in front of each"),
        ('[[carrier]]\nname = "one"\n', 1, "carrier[one].bind", "add bind"),
        (f'[[carrier]]\nname = "one"\n{BIND}mode = "rx"\n{ROUTE}', 3, "carrier[one].bind", "add a bind of mode"),
        (f'[[carrier]]\nname = "one"\n{BIND}{BIND}{ROUTE}', 10, "carrier[one].bind[1].system_id", "raise sessions"),
        (f'[[carrier]]\nname = "one"\n{BIND}tls_ca_file = "ca"\n{ROUTE}', 8, "carrier[one].bind[0].tls_ca_file", "tls = true"),
        (f'[[carrier]]\nname = "one"\n{BIND}[carrier.tlvs]\n1400 = "x"\n{ROUTE}', 9, "carrier[one].tlvs.1400", '"0x1400"'),
        (
            f'[[carrier]]\nname = "one"\n{BIND}[carrier.quirks]\nstatuses = {{"0x58" = "throtled"}}\n{ROUTE}',
            9,
            "carrier[one].quirks.statuses.0x58",
            'did you mean "throttled"?',
        ),
        (f'[[carrier]]\nname = "ane"\n{BIND}{ROUTE}', 11, "route[r].group[0].carriers[one].name", 'did you mean "ane"?'),
        (f'[[carrier]]\nname = "one"\n{BIND}{ROUTE}{ROUTE}', 13, "route[r].name", "rename one"),
        (
            f'[[carrier]]\nname = "one"\n{BIND}{ROUTE}[route.match]\nprefix = ["+44"]\n',
            13,
            "route[r].match.prefix[0]",
            "without +",
        ),
        ('[[tariff]]\nname = "t"\ncurrency = "EUR"\n', 1, "tariff[t]", "add file"),
        ('[[tariff]]\nname = "t"\ncurrency = "eur"\nfile = "x"\n', 3, "tariff[t].currency", "write a text in quotes"),
        ('[[tariff]]\nname = "t"\ncurrency = "EUR"\nfile = "x"\n', 4, "tariff[t].file", "create"),
        ('[[tariff]]\nname = "t"\ncurrency = "EUR"\nprices = {"44" = "1,5"}\n', 4, "price", ""),
        (
            '[[tariff]]\nname = "t"\ncurrency = "EUR"\nprices = {"" = "1"}\nvalid_from = "soon"\n',
            5,
            "tariff[t].valid_from",
            "RFC",
        ),
        ("[server\n", 1, "[server", "correct this line"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, text: str, line: int, key: str, remedy: str) -> None:
    """Unknown keys, wrong types, bounds, names that do not exist and impossible combinations, each with its line."""
    found = [f for f in _errors(tmp_path, text) if f.key == key]
    assert [(f.line or 0) for f in found] == [line] or (line == 0 and found)
    assert remedy in found[0].remedy


def test_no_number_is_infinite() -> None:
    """Every key that takes a float refuses what is not finite, and seconds what no clock could add, with key and remedy."""
    places = dict(_numbers(inspection.type_info(Settings)))
    assert {"engine.lease_s", "retry.absent_s", "carrier[0].rate", "carrier[0].bind[0].rate", "limit[0].rate"} <= places.keys()
    assert len(places) > 40
    for key, put in places.items():
        seconds = key.endswith("_s") and not key.endswith("_per_s")
        for number in (math.inf, -math.inf, math.nan, *[1e308, 315_360_000.5] * seconds):
            report = Report("d.toml", {}, put(number))
            shape.check(report, Settings)
            (found,) = [finding for finding in report.findings if finding.key == key]
            assert (found.level, found.value.strip("[]")) == ("error", str(number)), found
            assert "number" in found.remedy


ONE = f'[[carrier]]\nname = "one"\n{BIND}'
NO_SOURCE = BIND.replace('password = "p"\npassword_plain = true\n', "")


@pytest.mark.parametrize(
    ("text", "line", "key", "problem"),
    [
        (f'{ONE}{ROUTE}[[limit]]\nname = "l"\n', 12, "limit[l]", "limits nothing"),
        (f'{ONE}{ROUTE}[[limit]]\nname = "l"\nrate = 1\ncountry = ["de"]\n', 15, "limit[l].country[0]", "is not usable"),
        (f'{ONE}{ROUTE}[[limit]]\nname = "l"\nrate = 1\nnetwork = ["1"]\n', 15, "limit[l].network[0]", "is not usable"),
        (f"{ONE}window_min = 11\n{ROUTE}", 8, "carrier[one].bind[0].window_min", "is above window (10)"),
        (f"{ONE}reconnect_s = 90\n{ROUTE}", 8, "carrier[one].bind[0].reconnect_s", "is above reconnect_max_s (60)"),
        (
            f"{ONE}{ROUTE.replace('}]', '}, {name = ' + chr(34) + 'one' + chr(34) + '}]')}",
            11,
            "route[r].group[0].carriers[one].name",
            "is in this group twice",
        ),
        (
            f"{ONE}{ROUTE}{ROUTE.replace(chr(34) + 'r', chr(34) + 's')}",
            12,
            "route[s].match",
            "is the same as that of the route in line 8",
        ),
        (
            '[[tariff]]\nname = "t"\ncurrency = "EUR"\nfile = "d.toml"\nprices = {"" = "1"}\n',
            4,
            "tariff[t].file",
            "and prices are both given",
        ),
        ('[privacy]\nhash_key_file = "short"\n', 2, "privacy.hash_key_file", "holds only 5 bytes"),
        (
            '[notices]\nallow_networks = ["10.0.0.0/8", "10.0.0.1/8"]\n',
            2,
            "notices.allow_networks[1]",
            "is neither an address nor a network",
        ),
        (
            f'[[carrier]]\nname = "one"\n{NO_SOURCE}password_plain = true\npassword_file = "short"\n{ROUTE}',
            6,
            "carrier[one].bind[0].password_plain",
            "has no effect without password",
        ),
        (
            f'[[carrier]]\nname = "one"\n{NO_SOURCE}password_env = "NOT_SET_ANYWHERE"\n{ROUTE}',
            6,
            "carrier[one].bind[0].password_env",
            "is not set in the environment",
        ),
        (
            f'[[carrier]]\nname = "one"\n{NO_SOURCE}{ROUTE}',
            3,
            "carrier[one].bind[0].password_file",
            "is missing: the bind has no password",
        ),
        (
            f'[[carrier]]\nname = "one"\n{NO_SOURCE}password_file = "empty"\n{ROUTE}',
            6,
            "carrier[one].bind[0].password_file",
            "is an empty file",
        ),
        (
            ONE + BIND.replace("::1", "127.0.0.2") + 'name = "x"\n' + BIND.replace("::1", "127.0.0.3") + f'name = "x"\n{ROUTE}',
            19,
            "carrier[one].bind[x].name",
            "is already the name of a bind in line 13",
        ),
        ("[server]\nembedded_port = 8080\n", 2, "server.embedded_port", "is already the address of http.listen"),
        (f"{ONE}[carrier.quirks]\nencodings = []\n{ROUTE}", 9, "carrier[one].quirks.encodings", "is empty"),
        (
            f"{ONE}[carrier.quirks]\nsource_ton_npi = [40, 1]\n{ROUTE}",
            9,
            "carrier[one].quirks.source_ton_npi",
            "is out of range",
        ),
        (
            ONE.replace("::1", "smsc.example") + ROUTE,
            3,
            "carrier[one].bind[0].tls",
            "is not said, and the host is another machine",
        ),
        (f'{ONE}tls = true\ntls_key_file = "short"\n{ROUTE}', 9, "carrier[one].bind[0].tls_key_file", "has no certificate"),
        (
            f'{ONE}tls = true\ntls_cert_file = "short"\n{ROUTE}',
            9,
            "carrier[one].bind[0].tls_cert_file",
            "holds no PEM certificate with its key",
        ),
        (
            f'{ONE}tls = false\ntls_server_name = "x"\n{ROUTE}',
            9,
            "carrier[one].bind[0].tls_server_name",
            "has no effect without tls",
        ),
        (
            f'[[carrier]]\nname = "one"\nkeep_tlvs = ["0x1401", "what"]\n{BIND}{ROUTE}',
            3,
            "carrier[one].keep_tlvs[1]",
            "is no TLV",
        ),
        (f'{ONE}tls = true\ntls_ca_file = "none"\n{ROUTE}', 9, "carrier[one].bind[0].tls_ca_file", "is not there"),
    ],
)
def test_impossible_combinations_are_refused(tmp_path: Path, text: str, line: int, key: str, problem: str) -> None:
    """Exactly one error, at the line that causes it."""
    for name, content in (("short", "abcde"), ("empty", "")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    assert [(f.line, f.key, f.problem) for f in _errors(tmp_path, text)] == [(line, key, problem)]


@pytest.mark.parametrize("host", ["::1", "127.0.0.1", "127.1.2.3", "localhost", "smsc.example"])
def test_plain_text_is_a_choice(tmp_path: Path, host: str) -> None:
    """On this machine it need not be said; to another one `tls = false` says it."""
    said = "tls = false\n" if host == "smsc.example" else ""
    assert _errors(tmp_path, ONE.replace("::1", host) + said + ROUTE) == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f'[[carrier]]\nname = "one"\nrate = 5\n{BIND}rate = 6\n{ROUTE}', "carrier[one].bind[0].rate"),
        (f'[[carrier]]\nname = "one"\nper_day = 5\n{BIND}per_day = 6\n{ROUTE}', "carrier[one].bind[0].per_day"),
        (f'{ONE}mode = "tx"\n{ROUTE}', "carrier[one].bind"),
        (ONE, "carrier[one].name"),
    ],
)
def test_doubtful_settings_are_warned_of_and_accepted(tmp_path: Path, text: str, key: str) -> None:
    """Each may be meant; none stops a start."""
    settings, findings = inspect(_write(tmp_path, text))
    assert settings is not None
    assert [(f.level, f.key) for f in findings] == [("warning", key)]


def test_secrets_come_from_files_and_environment_and_stay_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password reaches the bind, and neither a representation nor `config show` nor a warning shows it."""
    (tmp_path / "secret").write_text("from-file\n")
    (tmp_path / "secret").chmod(0o644)
    monkeypatch.setenv("SMSC_PASSWORD", "from-env")
    text = (
        '[server]\nurl = "redis://user:from-url@h:1"\n[[carrier]]\nname = "one"\n'
        '[[carrier.bind]]\nhost = "::1"\nsystem_id = "a"\npassword_file = "secret"\n'
        '[[carrier.bind]]\nhost = "::1"\nsystem_id = "b"\npassword_env = "SMSC_PASSWORD"\n' + ROUTE
    )
    settings, findings = inspect(_write(tmp_path, text))
    assert settings is not None
    assert [bind.password for bind in settings.carrier[0].bind] == ["from-file", "from-env"]
    assert [bind.name for bind in settings.carrier[0].bind] == ["::1-1", "::1-2"]
    assert [(f.level, f.key, f.problem) for f in findings] == [
        ("warning", "server.url", "holds a password"),
        ("warning", "carrier[one].bind[0].password_file", "is readable by others"),
    ]
    shown = repr(settings.carrier) + str(masked(settings)) + "".join(map(str, findings))
    for secret in ("from-file", "from-env", "from-url"):
        assert secret not in shown


def test_a_tariff_names_its_own_file_and_line(tmp_path: Path) -> None:
    """A bad row of a CSV is reported in the CSV, not in the configuration."""
    (tmp_path / "t.csv").write_text("44,0.03\n33,free\n")
    found = _errors(tmp_path, '[[tariff]]\nname = "t"\ncurrency = "EUR"\nfile = "t.csv"\n')
    assert [(f.file, f.line, f.key, f.value) for f in found] == [(str(tmp_path / "t.csv"), 2, "price", "'free'")]


def test_a_missing_file_says_how_to_name_it(tmp_path: Path) -> None:
    """No configuration: the remedy names the option and the environment variable."""
    with pytest.raises(ConfigError, match=r"cannot be read .*--config or DISPATCHER_CONFIG"):
        load(tmp_path / "none.toml")


def test_every_key_of_a_valid_text_has_its_line() -> None:
    """The scanner finds each path that tomllib finds, whatever the way it was written."""
    text = (
        'a = 1\nb.c = """\nx = 1\n\\"""\n"""""\n[t]\n"q.\\u0041" = [1, # one\n  {z = 3}, \'\'\'\n]\'\'\']\n'
        "[[u]]\n[u.v]\nw = 2026-01-01 10:00:00\n[[u.x]]\ny='='\n[[u.x]]\n[[u]]\nx = [{y = 1}]\n"
    )
    lines = locate(text)

    def walk(value: object, path: tuple[str | int, ...]) -> list[tuple[str | int, ...]]:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [path, *(found for key, item in items for found in walk(item, (*path, key)))]

    assert sorted(walk(tomllib.loads(text), ()), key=str) == sorted(lines, key=str)
    assert (lines["b", "c"], lines["t", "q.A", 1, "z"], lines["u", 0, "x", 1], lines["u", 1, "x", 0, "y"]) == (2, 8, 15, 17)


def test_the_environment_variable_and_default_are_what_the_documents_say() -> None:
    """Names that deployments rely on."""
    assert (config.DEFAULT_FILE, config.ENVIRONMENT) == ("dispatcher.toml", "DISPATCHER_CONFIG")
