"""Where in a TOML text each key stands: tomllib gives values without lines, and an error without its line is half one.

It refuses to judge the text: tomllib has parsed it before, so this scanner only walks over what is known to be valid
(tables, arrays of tables, dotted and quoted keys, inline tables, arrays, all four kinds of strings).
"""

from __future__ import annotations

import re
from bisect import bisect_right

Path = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}\n#]*")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}


def locate(text: str) -> dict[Path, int]:
    """Line (from 1) of every table, array element and key of a valid TOML text, by its path."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.lines: dict[Path, int] = {(): 1}
        self.counts: dict[Path, int] = {}

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self._gap():
            line = self._line()
            if self.text.startswith("[[", self.at):
                table = self._array_header(line)
            elif self.text[self.at] == "[":
                self.at += 1
                table = self._resolve(self._key())
                self._skip("]")
                self._note(table, line)
            else:
                self._pair(table)
        return self.lines

    def _array_header(self, line: int) -> Path:
        self.at += 2
        *parents, last = self._key()
        self._skip("]]")
        base = (*self._resolve(parents), last)
        index = self.counts.get(base, 0)
        self.counts[base] = index + 1
        self._note(base, line)
        self._note((*base, index), line)
        return (*base, index)

    def _resolve(self, parts: list[str]) -> Path:
        """The path a header means: an array of tables stands for its last element."""
        path: Path = ()
        for part in parts:
            path = (*path, part)
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for part in self._key():
            path = (*path, part)
            self._note(path, line)
        self._skip("=")
        self._value(path)

    def _value(self, path: Path) -> None:
        self._blank()
        opening = self.text[self.at]
        if opening in "\"'":
            self._string()
        elif opening == "[":
            self.at += 1
            index = 0
            while self._gap() and self.text[self.at] != "]":
                self._note((*path, index), self._line())
                self._value((*path, index))
                index += 1
                self._comma()
            self.at += 1
        elif opening == "{":
            self.at += 1
            while self._gap() and self.text[self.at] != "}":
                self._pair(path)
                self._comma()
            self.at += 1
        else:
            self.at = self._match(_SCALAR)

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._blank()
            if self.text[self.at] in "\"'":
                parts.append(self._string())
            else:
                end = self._match(_BARE)
                parts.append(self.text[self.at : end])
                self.at = end
            self._blank()
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _string(self) -> str:
        quote = self.text[self.at]
        wide = self.text.startswith(quote * 3, self.at)
        end = quote * 3 if wide else quote
        self.at += len(end)
        start = self.at
        while not self.text.startswith(end, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        inside = self.text[start : self.at]
        self.at += len(end)
        while wide and self.text.startswith(quote, self.at):  # a wide string may end in one or two quotes of its own
            self.at += 1
        if quote == "'" or "\\" not in inside:
            return inside
        return re.sub(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|x[0-9A-Fa-f]{2}|.)", _unescape, inside, flags=re.DOTALL)

    def _gap(self) -> bool:
        """Over white space, comments and line ends; False at the end of the text."""
        self.at = self._match(_GAP)
        return self.at < len(self.text)

    def _comma(self) -> None:
        if self._gap() and self.text[self.at] == ",":
            self.at += 1

    def _blank(self) -> None:
        self.at = self._match(_BLANK)

    def _skip(self, token: str) -> None:
        self._blank()
        self.at += len(token)

    def _match(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self.at)
        return found.end() if found else self.at

    def _line(self) -> int:
        return bisect_right(self.starts, self.at)

    def _note(self, path: Path, line: int) -> None:
        self.lines.setdefault(path, line)


def _unescape(match: re.Match[str]) -> str:
    what = match[1]
    return chr(int(what[1:], 16)) if len(what) > 1 else _ESCAPES.get(what, what)
