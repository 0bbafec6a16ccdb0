"""smpp is a library of its own: its examples run, are short, and import nothing of dispatcher or accounting."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
LINES_MAX = 20


def imported(source: str) -> set[str]:
    """The packages a text imports from."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", ["esme.py", "smsc.py"])
def test_short_and_on_its_own(name: str) -> None:
    """Twenty lines behind the imports, blank ones not counted."""
    source = (EXAMPLES / name).read_text("utf-8")
    assert imported(source) == {"smpp", "trio"}
    body = [node for node in ast.parse(source).body[1:] if not isinstance(node, (ast.Import, ast.ImportFrom))]
    lines = source.splitlines()[body[0].lineno - 1 :]
    assert len([line for line in lines if line.strip()]) <= LINES_MAX


def test_they_talk_to_each_other() -> None:
    """The ESME sends a long text to the SMSC, gets an id and a receipt for each part, and unbinds."""
    run = [sys.executable, "-W", "error"]
    with subprocess.Popen([*run, EXAMPLES / "smsc.py", "0"], stdout=subprocess.PIPE, text=True, cwd=ROOT) as smsc:
        assert smsc.stdout is not None
        port = smsc.stdout.readline().strip()
        esme = subprocess.run(
            [*run, EXAMPLES / "esme.py", "127.0.0.1", port, "4915112345678", "Grüße " * 20],
            capture_output=True, text=True, timeout=20, check=False, cwd=ROOT,
        )  # fmt: skip
        smsc.terminate()
        said = smsc.stdout.read().splitlines()
    assert esme.stderr == ""
    lines = esme.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["part 1", "part 2"]
    ids = [line.rsplit(" ", 1)[1] for line in lines[:2]]
    assert sorted(lines[2:-1]) == sorted(f"{each} DELIVRD" for each in ids)
    assert lines[-1] == "unbound"
    assert said[0] == "demo is bound"
    assert said[-1] == "a link has ended: peer_unbound"


def test_every_example_of_the_page_runs() -> None:
    """What docs/smpp.md shows in Python runs as it stands, one block after the other."""
    page = (ROOT / "docs" / "smpp.md").read_text("utf-8")
    blocks = [block.split("```")[0] for block in page.split("```python\n")[1:]]
    assert len(blocks) >= 5
    names: dict[str, object] = {}
    for block in blocks:
        assert imported(block) <= {"smpp", "trio"}
        exec(compile(block, "docs/smpp.md", "exec"), names)
