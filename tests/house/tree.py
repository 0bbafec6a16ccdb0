"""What the house tests look at: the source files of the three packages, parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("smpp", "accounting", "dispatcher")


class Modules(Mapping[str, ast.Module]):
    """Modules by dotted name, parsed when somebody looks at one: names alone are what tests are collected by."""

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {}
        for package in PACKAGES:
            for path in sorted((ROOT / package).rglob("*.py")):
                dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                self._paths[dotted] = path
        self._parsed: dict[str, ast.Module] = {}

    def __getitem__(self, module: str) -> ast.Module:
        if module not in self._parsed:
            path = self._paths[module]
            self._parsed[module] = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        return self._parsed[module]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


@cache
def modules() -> Modules:
    """Every module of the product by its dotted name."""
    return Modules()


def path_of(module: str) -> Path:
    """The file of a dotted module name."""
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def imports_of(tree: ast.Module) -> set[str]:
    """Every dotted name that a module imports, `from a import b` as both `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names
