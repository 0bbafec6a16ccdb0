"""Who may know whom (architecture): the import rules of the house, read from the code itself."""

from __future__ import annotations

import sys

import pytest

from tests.house.tree import imports_of, modules

SMPP_WITH_TRIO = ("smpp.bell", "smpp.link", "smpp.server", "smpp.simulator", "smpp.streams", "smpp.tls")
"""The only modules of smpp that may import trio."""
ROOMS = ("store", "engine", "ingest", "notices", "books", "client")
"""Rooms of dispatcher that know core and nobody else."""
SMPP_PURE = {
    "smpp.constants",
    "smpp.errors",
    "smpp.codec",
    "smpp.framing",
    "smpp.text",
    "smpp.parts",
    "smpp.segments",
    "smpp.national",
    "smpp.receipts",
    "smpp.status",
    "smpp.tlvs",
}
WIRING = ("dispatcher.ops.supervisor", "dispatcher.ops.roles", "dispatcher.cli", "dispatcher.commands", "dispatcher.__main__")
CORE_FORBIDDEN = {"time", "random", "secrets", "os", "socket", "trio", "asyncio", "threading", "subprocess", "pathlib", "uuid"}


def _top(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _under(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == p or module.startswith(p + ".") for p in prefixes)


def _foreign(names: set[str]) -> set[str]:
    return {_top(n) for n in names} - set(sys.stdlib_module_names) - {"__future__"}


@pytest.mark.parametrize("module", [m for m in modules() if _top(m) == "smpp"])
def test_smpp_knows_only_smpplib_and_trio_where_allowed(module: str) -> None:
    """smpp is usable as a library: standard library and smpplib, trio only in the modules that pump streams."""
    allowed = {"smpp", "smpplib"} | ({"trio"} if _under(module, SMPP_WITH_TRIO) else set())
    assert _foreign(imports_of(modules()[module])) - allowed == set()


@pytest.mark.parametrize("module", [m for m in modules() if _top(m) == "accounting"])
def test_accounting_knows_only_msgspec(module: str) -> None:
    """A charge is keyed by an opaque segment id: accounting sees neither SMPP nor the dispatcher."""
    assert _foreign(imports_of(modules()[module])) - {"accounting", "msgspec"} == set()


@pytest.mark.parametrize("module", [m for m in modules() if m.startswith("dispatcher.core")])
def test_core_is_pure(module: str) -> None:
    """core decides: no clock, chance, environment or IO, and no room of the dispatcher but itself."""
    names = imports_of(modules()[module])
    assert {_top(n) for n in names} & CORE_FORBIDDEN == set()
    assert _foreign(names) - {"dispatcher", "accounting", "smpp", "msgspec", "phonenumbers"} == set()
    assert {n for n in names if n.startswith("dispatcher.") and not n.startswith("dispatcher.core")} == set()
    assert {n for n in names if n.startswith("smpp.") and ".".join(n.split(".")[:2]) not in SMPP_PURE} == set()


@pytest.mark.parametrize("module", [m for m in modules() if m.startswith("dispatcher.") and m.split(".")[1] in ROOMS])
def test_rooms_know_core_and_no_other_room(module: str) -> None:
    """store, engine, ingest, notices, books and client import no other room."""
    room = module.split(".")[1]
    others = {n for n in imports_of(modules()[module]) if n.startswith("dispatcher.")}
    assert {n for n in others if n.split(".")[1] not in {room, "core"} and n != "dispatcher.core"} == set()


@pytest.mark.parametrize("module", [m for m in modules() if m.startswith("dispatcher.ingest.dialects")])
def test_dialects_know_nothing_of_smpp_but_texts_and_names(module: str) -> None:
    """How long a text is and what a refusal is called; nothing of sessions and PDUs."""
    known = {"smpp", "smpp.segments", "smpp.text", "smpp.status"}
    assert {n for n in imports_of(modules()[module]) if _top(n) == "smpp" and not _under(n, tuple(known - {"smpp"}))} <= {
        "smpp"
    }


@pytest.mark.parametrize("module", [m for m in modules() if m.startswith("dispatcher.ops") and not _under(m, WIRING)])
def test_ops_wires_only_in_the_supervisor(module: str) -> None:
    """Within ops only supervisor and roles bring rooms together."""
    others = {n for n in imports_of(modules()[module]) if n.startswith("dispatcher.")}
    assert {n for n in others if n.split(".")[1] in ROOMS} == set()


def test_client_needs_neither_trio_nor_a_web_framework() -> None:
    """A producer installs nothing of ours that it does not use."""
    for module, tree in modules().items():
        if module.startswith("dispatcher.client"):
            assert {_top(n) for n in imports_of(tree)} & {"trio", "litestar", "uvicorn", "smpp"} == set(), module


def test_no_import_circle() -> None:
    """Modules of the product form no circle at import time."""
    edges = {m: {n for n in imports_of(t) if n in modules() and n != m} for m, t in modules().items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module in done:
            return
        for other in sorted(edges[module]):
            visit(other, (*trail, module))
        done.add(module)

    for module in edges:
        visit(module, ())


STARTED_BY_THE_DEMO = (
    "dispatcher.commands.demo.play",
    "dispatcher.ops.supervisor",
    "dispatcher.ops.roles",
    "smpp.simulator.__main__",
)
"""The modules whose processes `make demo` starts, itself included; late imports inside functions count."""
CARD = ("smpplib", "trio", "msgspec", "redis", "prometheus_client", "structlog", "phonenumbers")


@pytest.mark.parametrize("package", CARD)
def test_each_named_package_is_imported_by_code_that_the_demo_runs(package: str) -> None:
    """None of the seven packages of the card is only listed."""
    todo, seen = list(STARTED_BY_THE_DEMO), set[str]()
    while todo:
        module = todo.pop()
        if module in seen or module not in modules():
            continue
        seen.add(module)
        todo += imports_of(modules()[module])
    assert len(seen) > 80
    assert [m for m in seen if package in {_top(n) for n in imports_of(modules()[m])}] != []
