"""A finding: one thing wrong in the configuration, with the place, the value and what to do about it.

It refuses to know how findings are found (shape.py, rules.py) and never shows a secret: values of keys that hold one
are masked here, once, for every caller.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, Literal

import msgspec

from dispatcher.ops.errors import OpsError
from dispatcher.ops.toml_lines import Path

MASK = "***"
SECRET_KEYS = frozenset({"password"})
_VALUE_CHARS_MAX = 60


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`line` is 1-based, 0 when the file has no such place (a missing file). A warning does not stop a start."""

    file: str
    line: int
    key: str
    value: str
    problem: str
    remedy: str
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        what = f"{self.key} = {self.value}" if self.value else self.key
        return f"{place}: {self.level}: {what + ': ' if what else ''}{self.problem}; {self.remedy}"


class ConfigError(OpsError):
    """The configuration file was refused. `findings` holds all of them, in the file's order."""

    def __init__(self, findings: list[Finding]) -> None:
        count = len([finding for finding in findings if finding.level == "error"])
        super().__init__("\n".join(map(str, findings)), f"correct {'this' if count == 1 else f'these {count}'} and try again")
        self.findings = findings


class Report:
    """Collects findings about one file. `lines` is what toml_lines.locate() found; `data` the parsed text."""

    def __init__(self, file: str, lines: dict[Path, int], data: dict[str, Any]) -> None:
        self.file = file
        self.lines = lines
        self.data = data
        self.findings: list[Finding] = []

    def add(
        self, path: Path, problem: str, remedy: str, *, value: Any = None, level: Literal["error", "warning"] = "error"
    ) -> None:
        """Notes a finding at `path`, or at the nearest table around it when it is not in the file."""
        where = path
        while where and where not in self.lines:
            where = where[:-1]
        self.findings.append(
            Finding(
                file=self.file,
                line=self.lines.get(where, 0),
                key=self._name(path),
                value=shown(path, value),
                problem=problem,
                remedy=remedy,
                level=level,
            )
        )

    def _name(self, path: Path) -> str:
        """`carrier[mattel].bind[0].port`: elements of arrays by their name where they have one."""
        name, here = "", self.data
        for part in path:
            here = _child(here, part)
            if isinstance(part, int):
                own = here.get("name") if isinstance(here, dict) else None
                name += f"[{own if isinstance(own, str) and own else part}]"
            else:
                name += f"{'.' if name else ''}{part}"
        return name


def shown(path: Path, value: Any) -> str:
    """A value as a finding shows it: secrets masked, long ones cut."""
    if value is None:
        return ""
    if path and path[-1] in SECRET_KEYS:
        return MASK
    text = repr(mask_url(value)) if isinstance(value, str) else str(value)
    text = {"True": "true", "False": "false"}.get(text, text)
    return text if len(text) <= _VALUE_CHARS_MAX else text[: _VALUE_CHARS_MAX - 3] + "..."


def mask_url(text: str) -> str:
    """The text with the password of a URL replaced."""
    return re.sub(r"(://[^:/@\s]*:)[^@/\s]+@", rf"\1{MASK}@", text)


def did_you_mean(word: str, known: list[str]) -> str:
    """The remedy for an unknown word: its nearest neighbour, else all there is."""
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"use one of {', '.join(known)}" if known else "remove it"


def _child(value: Any, part: str | int) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return None
