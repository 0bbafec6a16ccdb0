"""The documents are true: links lead somewhere, commands and keys exist, named tests exist, generated pages are current."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest

from dispatcher.cli import build_parser
from dispatcher.commands import contracts, pages
from dispatcher.core.model import EVENT_COLUMNS, INBOUND_COLUMNS, Send
from dispatcher.ops.config import inspect
from dispatcher.store.records import REJECT_COLUMNS
from smpp.simulator.scenario import parse
from tests.house.tree import ROOT

FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED_TEST = re.compile(r"`([\w/]+)::(test_\w+)`")
EXAMPLE_HOSTS = re.compile(r"^(localhost|127\.0\.0\.1|0\.0\.0\.0|redis|smsc|([a-z0-9-]+\.)*example(\.(com|org|net))?)$")
PUBLIC_HOSTS = {
    "docs.docker.com",
    "github.com",
    "grafana.com",
    "keepachangelog.com",
    "prometheus.io",
    "smpp.org",
    "www.rfc-editor.org",
}
URL_HOST = re.compile(r"\b(?:https?|rediss?|smpp)://([\w.@-]+)")


def _pages() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return sorted(name for name in listed.stdout.split() if (ROOT / name).is_file())


PAGES = _pages()


@cache
def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _fences(name: str, *languages: str) -> Iterator[str]:
    for language, body in FENCE.findall(_text(name)):
        if language in languages:
            yield body


def _anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as web front ends make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    """A link to a file or heading that is not there is a promise broken on the first click."""
    broken = []
    for target in LINK.findall(FENCE.sub("", _text(name))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        if not path.exists() or (anchor and anchor not in _anchors(path)):
            broken.append(target)
    assert broken == []


def _leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return {k: v for word, child in action.choices.items() for k, v in _leaves(child, (*words, word)).items()}
    return {words: parser}


def _commands(body: str) -> Iterator[list[str]]:
    """The words of each `dispatcher ...` in a shell block, also inside $(...) and behind `&`."""
    for line in body.replace("\\\n", " ").splitlines():
        for part in re.split(r"\$\(|[;|&)]", line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue
            if words and Path(words[0]).name == "dispatcher":
                yield words[1:]


def _problem(words: list[str]) -> str:
    """Why `dispatcher WORDS` is not a command with these options; "" when it is."""
    leaves = _leaves(build_parser())
    found = next((leaf for leaf in (tuple(words[:2]), tuple(words[:1])) if leaf in leaves), None)
    if found is None:
        return f"no command dispatcher {' '.join(words)}"
    known = {option for action in leaves[found]._actions for option in action.option_strings}
    wrong = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    return f"dispatcher {' '.join(found)} has no {wrong}" if wrong else ""


@pytest.mark.parametrize("name", PAGES)
def test_every_command_in_a_shell_block_exists(name: str) -> None:
    """Whoever copies a line gets no usage error: command and options are argparse's."""
    assert [p for body in _fences(name, "sh", "console") for words in _commands(body) if (p := _problem(words))] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_command_in_the_text_exists(name: str) -> None:
    """`dispatcher X Y` in a sentence names a command, too."""
    spans = re.findall(r"`dispatcher ([a-z]+[^`]*)`", FENCE.sub("", _text(name)))
    families = {leaf[0] for leaf in _leaves(build_parser())}
    wrong = []
    for span in spans:
        words = re.split(r"[\s|]+", span)
        if words[0] not in families or (
            len(words) > 1 and words[1].islower() and (p := _problem(words[:2])) and len(words[1]) > 1
        ):
            wrong.append(span if words[0] not in families else p)
    assert wrong == []


def test_the_command_check_can_fail() -> None:
    """The two tests above see through pipes, substitutions and background jobs."""
    body = "KEY=$(dispatcher keys make demo)\ndispatcher smsc & dispatcher run --rolle engine | head\n"
    assert [_problem(words) for words in _commands(body)] == [
        "no command dispatcher keys make demo",
        "",
        "dispatcher run has no ['--rolle']",
    ]


@pytest.mark.parametrize("name", PAGES)
def test_every_make_target_exists(name: str) -> None:
    """`make x` in a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", _text_of("Makefile"), re.MULTILINE))
    shown = re.findall(r"`make ([a-z]+)[^`]*`", _text(name))
    shown += [target for body in _fences(name, "sh", "console") for target in re.findall(r"^make ([a-z]+)", body, re.MULTILINE)]
    assert set(shown) - targets == set()


def _text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


SCENARIOS = "docs/scenarios.md"


def test_every_scenario_block_is_accepted() -> None:
    """Its TOML is the simulated carrier's, not the dispatcher's."""
    blocks = list(_fences(SCENARIOS, "toml"))
    assert [len(parse(body).accounts) for body in blocks] == [1]


@pytest.mark.parametrize("name", [page for page in PAGES if page != SCENARIOS])
def test_every_configuration_block_is_accepted(name: str, tmp_path: Path) -> None:
    """A TOML block holds only keys that exist, of the right type. Names it leaves to the rest of a file may be missing."""
    elsewhere = re.compile(r"is not the name of a|cannot be read|is not there|is not set in the environment")
    for number, body in enumerate(_fences(name, "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(body, encoding="utf-8")
        _, findings = inspect(str(path))
        assert [str(f) for f in findings if f.level == "error" and not elsewhere.search(str(f))] == [], body


def test_the_configuration_check_can_fail(tmp_path: Path) -> None:
    """A misspelt key in a block would be an error that the test above does not forgive."""
    path = tmp_path / "c.toml"
    path.write_text(
        '[[carrier]]\nname = "north"\nrates = 100\n[[carrier.bind]]\nhost = "h.example"\nsystem_id = "a"\n', encoding="utf-8"
    )
    assert any("rates" in str(finding) for finding in inspect(str(path))[1])


def test_named_tests_exist() -> None:
    """Each test that a page names is there under that name."""
    missing = []
    named = [(page, file, test) for page in PAGES for file, test in NAMED_TEST.findall(_text(page))]
    for page, file, test in named:
        path = ROOT / "tests" / f"{file}.py"
        if not path.is_file() or not re.search(rf"^(async )?def {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            missing.append(f"{page}: {file}::{test}")
    assert missing == []
    assert len(named) >= 80


def test_promises_and_invariants_are_all_there() -> None:
    """P1-P7 have a section, I1-I19 a line, and each says what breaks."""
    text = _text("docs/promises.md")
    assert re.findall(r"^## (P\d)\.", text, re.MULTILINE) == [f"P{n}" for n in range(1, 8)]
    lines = dict(re.findall(r"^\| (I\d+) \| [^|]+ \| (.+) \|$", text, re.MULTILINE))
    assert list(lines) == [f"I{n}" for n in range(1, 20)]
    assert [name for name, breaks in lines.items() if len(breaks) < 10] == []


def test_decisions_are_whole_and_listed() -> None:
    """Each page has its four parts, stays within half a page, and is in the list under its own title."""
    listed = dict(re.findall(r"^\| \d+ \| \[([^\]]+)\]\(([^)]+)\) \|$", _text("docs/decisions/README.md"), re.MULTILINE))
    pages = sorted(path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert list(listed.values()) == pages
    for title, name in listed.items():
        text = _text(f"docs/decisions/{name}")
        assert text.startswith(f"# {int(name[:4])}. {title}\n"), name
        parts = re.findall(r"^\*\*(Context|Options|Choice|Consequence)\.\*\*", text, re.MULTILINE)
        assert parts == ["Context", "Options", "Choice", "Consequence"], name
        assert len(text.splitlines()) <= 30, name


def test_generated_pages_are_current() -> None:
    """`make docs` would change nothing."""
    assert pages.differences() == []
    assert pages.main(["--check"]) == 0


def test_schemas_have_the_announced_columns() -> None:
    """A row's schema names its columns in the order of `cols`, and the Send's all of its keys."""
    files = contracts.schemas()
    for name, columns in (("events", EVENT_COLUMNS), ("inbound", INBOUND_COLUMNS), ("rejects", REJECT_COLUMNS)):
        row = next(iter(msgspec.json.decode(files[f"{name}.json"])["$defs"].values()))
        assert [item["title"] for item in row["prefixItems"]] == columns.split(",")
    send = msgspec.json.decode(files["send.json"])["$defs"]["Send"]
    assert list(send["properties"]) == [field.encode_name for field in msgspec.structs.fields(Send)]
    assert send["additionalProperties"] is False


def test_no_sentence_without_a_name_nor_name_without_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new field cannot stay undescribed, a removed one cannot stay described."""
    monkeypatch.delitem(contracts.SEND_WORDS, "to")
    with pytest.raises(LookupError, match="'to' has no sentence"):
        contracts.page("")
    monkeypatch.setitem(contracts.SEND_WORDS, "to", "number")
    monkeypatch.setitem(contracts.SEND_WORDS, "tto", "number")
    with pytest.raises(LookupError, match="tto"):
        contracts.page("")


def test_deployment_files_name_what_exists() -> None:
    """What compose mounts or builds from is here (secrets apart), and the unit's command parses."""
    compose = _text_of("deploy/compose.yaml")
    mounted = re.findall(r"^\s+- (\.{1,2}/[^:]+):", compose, re.MULTILINE) + re.findall(r"dockerfile: ([^}]+)}", compose)
    assert len(mounted) >= 8
    places = [ROOT / "deploy" / name if name.startswith(".") else ROOT / name for name in mounted if name != "./secrets"]
    assert [str(place) for place in places if not place.exists()] == []
    copied = [
        word
        for line in re.findall(r"^COPY (?!--)(.+) \S+$", _text_of("deploy/Containerfile"), re.MULTILINE)
        for word in line.split()
    ]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    started = re.findall(r"^ExecStart=\S+/dispatcher (.+)$", _text_of("deploy/dispatcher.service"), re.MULTILINE)
    assert [_problem(words.split()) for words in started] == [""]


@pytest.mark.parametrize("name", PAGES)
def test_hosts_are_examples_or_well_known(name: str) -> None:
    """No page names a host of somebody's own."""
    hosts = {host.rpartition("@")[2].lower() for host in URL_HOST.findall(_text(name))}
    assert {h for h in hosts if not EXAMPLE_HOSTS.match(h) and h not in PUBLIC_HOSTS} == set()


def test_the_readme_has_its_parts() -> None:
    """What a visitor looks for on the first screen is there, in this order, and filled."""
    text = _text("README.md")
    parts = ["```text", "make demo", "make test", "<!-- measured -->", "<!-- demo -->", "<!-- /demo -->", "<!-- first-send -->"]
    parts += ["<!-- /first-send -->", "## What it promises", "## How it compares", "## Where to go next", "## Not there yet"]
    positions = [text.find(part) for part in parts]
    assert [part for part, position in zip(parts, positions, strict=True) if position < 0] == []
    assert positions == sorted(positions)
    shown = text[text.index("<!-- demo -->") : text.index("<!-- /demo -->")]
    assert "demo: PASS" in shown, "paste what `make demo` really prints"
    assert len(shown.splitlines()) <= 46
