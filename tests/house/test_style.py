"""Style is a test: sizes, names, docstrings, and what must stand at the top of the tree."""

from __future__ import annotations

import ast
import re
import subprocess

import pytest

from tests.house.tree import ROOT, modules, path_of

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
BANNED_NAMES = re.compile(r"(^|_)(utils?|helpers?|managers?|common|misc)(_|$)")
ROOMS_THAT_STAY_UP = (
    "smpp",
    "accounting",
    *(f"dispatcher.{room}" for room in ("core", "store", "engine", "ingest", "notices")),
)
PRIVATE_PATH = re.compile(r"/(?:work|root|home/\w+)/")


@pytest.mark.parametrize("module", sorted(modules()))
def test_file_size(module: str) -> None:
    """No file above 400 lines."""
    assert len(path_of(module).read_text(encoding="utf-8").splitlines()) <= FILE_LINES_MAX


@pytest.mark.parametrize("module", sorted(modules()))
def test_function_size(module: str) -> None:
    """A function fits a screen."""
    long = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    }
    assert long == {}


@pytest.mark.parametrize("module", sorted(m for m in modules() if m.startswith(ROOMS_THAT_STAY_UP)))
def test_no_frame_keeps_the_error_that_passes_it(module: str) -> None:
    """An error's traceback holds the frames that it passed. One of them that has it in a local makes a cycle, and all that
    they hold (payloads, requests) stays until a collection: `raise made(...)`, and `error.with_traceback(None)` to keep one."""
    guilty = []
    for function in ast.walk(modules()[module]):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes = list(ast.walk(function))
            caught = {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
            guilty += [node.lineno for node in nodes if isinstance(node, ast.Assign | ast.AnnAssign) and _keeps(node, caught)]
            made = {t.id for node in nodes if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)}
            raised = [node for node in nodes if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name)]
            guilty += [node.lineno for node in raised if isinstance(node.exc, ast.Name) and node.exc.id in made - caught]
    assert guilty == []


def _keeps(node: ast.Assign | ast.AnnAssign, caught: set[str]) -> bool:
    """Does it give a caught error a name that outlives its handler?"""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return isinstance(node.value, ast.Name) and node.value.id in caught and any(isinstance(t, ast.Name) for t in targets)


@pytest.mark.parametrize("module", sorted(modules()))
def test_names_say_something(module: str) -> None:
    """No utils, helpers, managers: a module is named for what it is."""
    assert not BANNED_NAMES.search(module.rpartition(".")[2])


@pytest.mark.parametrize("module", sorted(m for m in modules() if path_of(m).name != "__init__.py"))
def test_every_module_says_what_it_is(module: str) -> None:
    """A module's docstring is a sentence, not a word."""
    assert len((ast.get_docstring(modules()[module]) or "").split()) >= 5


def test_top_of_the_tree() -> None:
    """A stranger finds the same few things at the top."""
    wanted = {"pyproject.toml", "README.md", "dispatcher", "smpp", "accounting", "tests", "benchmarks", "deploy", "grafana"}
    assert wanted - {p.name for p in ROOT.iterdir()} == set()


def test_no_private_path_in_the_project() -> None:
    """Nothing committed names a path of somebody's machine."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    guilty = []
    for name in files:
        path = ROOT / name
        if path.suffix in {".png", ".ico"} or not path.is_file() or name == "tests/house/test_style.py":
            continue
        if PRIVATE_PATH.search(path.read_text(encoding="utf-8", errors="replace")):
            guilty.append(name)
    assert guilty == []


def test_wheel_ships_neither_tests_nor_benchmarks() -> None:
    """Only the three packages are found for the wheel."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'include = ["smpp*", "accounting*", "dispatcher*"]' in text


def test_each_dependency_has_a_reason() -> None:
    """Every dependency line in pyproject.toml says in a comment why it is there and has a range."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    lines = [line.strip() for line in block.splitlines() if line.strip().startswith('"')]
    assert len(lines) >= 14
    for line in lines:
        assert re.match(r'"[^"]+>=[^"]+<[^"]+",\s+# \S+ \S+', line), line
