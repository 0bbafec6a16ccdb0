"""Our own OpenAPI document against our own doors: generated requests, thousands of them, valid and not.

`python -m tests.contract.fuzz [--examples 200]` starts a dispatcher with a simulated carrier and ends with 0 when no answer
was a 5xx (but the documented ones) and none broke its schema; `run` is what the fast suite calls with a few examples.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import hypothesis
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


_HARD = (
    "account",
    "route",
    "binary",
    "udh",
    "encoding",
    "max_price",
    "tlvs",
    "not_before",
    "validity_s",
    "max_segments",
    "key",
)


class Found(NamedTuple):
    """How many requests were made per operation, by status, and what was wrong with answers."""

    statuses: Mapping[str, Counter[int]]
    faults: list[str]

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(count.total() for count in self.statuses.values())


def run(base: str, headers: Mapping[str, str], examples: int, *, seed: int | None = None) -> Found:
    """Asks every operation of /openapi.json `examples` times; `seed` repeats a run."""
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json", config=SchemathesisConfig())
    statuses: dict[str, Counter[int]] = {}
    faults: list[str] = []
    known: list[str] = []
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in sorted(operations, key=lambda each: each.method != "post"):  # first what makes ids, then what reads them
        name = f"{operation.method.upper()} {operation.path}"
        statuses[name] = Counter()
        try:
            _asking(operation.as_strategy(), headers, statuses[name], known, examples, seed)()
        except BaseExceptionGroup as group:
            faults += [f"{name}: {error}" for error in group.exceptions]
        except Exception as error:
            faults.append(f"{name}: {error}")
    return Found(statuses, faults)


def _mend(case: Any, known: Sequence[str]) -> None:
    """Makes of a drawn request one that may well be accepted: a real number, a plain text, ids that exist."""
    bodies = case.body if isinstance(case.body, list) else [case.body]
    for index, body in enumerate(bodies):
        if isinstance(body, dict) and "to" in body:
            for name in _HARD:
                body.pop(name, None)
            body |= {"to": f"+49171{1_000_000 + (zlib.crc32(repr(body).encode()) + index) % 9_000_000}", "text": "hello"}
    for name in case.path_parameters or ():
        if known:
            case.path_parameters[name] = known[zlib.crc32(name.encode() + bytes([len(known) % 251])) % len(known)]


def _ids(response: Any) -> list[str]:
    try:
        body = response.json()
    except ValueError:
        return []
    return [body[name] for name in ("id", "group") if isinstance(body, dict) and isinstance(body.get(name), str)]


def _asking(
    cases: Any, headers: Mapping[str, str], counts: Counter[int], known: list[str], examples: int, seed: int | None
) -> Callable[[], None]:
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=seed is not None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=cases)
    def ask(case: Any) -> None:
        if counts.total() % 2:
            _mend(case, known)
        response = case.call(headers=dict(headers))
        counts[response.status_code] += 1
        known.extend(_ids(response))
        case.validate_response(response, checks=list(CHECKS))

    return cast("Callable[[], None]", ask)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=200)
    arguments = parser.parse_args()
    from tests.contract.ground import started

    with started() as running:
        running.account("fuzz", "EUR", "100000")
        key = running.installation.cli("keys", "create", "fuzz")["key"]
        found = run(running.base, {"Authorization": f"Bearer {key}"}, arguments.examples)
    for name, counts in found.statuses.items():
        print(f"{name:50} " + " ".join(f"{status}:{count}" for status, count in sorted(counts.items())))
    for fault in found.faults:
        print(f"FAULT {fault}")
    print(f"fuzz: {'FAIL' if found.faults else 'PASS'} requests={found.requests} faults={len(found.faults)}")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
