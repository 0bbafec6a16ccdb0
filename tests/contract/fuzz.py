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

from tests.contract.ground import Running, started

OPEN = """
[chinqit]
batches_per_hour = 0
[otpiq]
sends_max = 0
"""
"""Limits that a flood of drawn requests would only run into."""
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


_HARD = (
    "account", "route", "binary", "udh", "encoding", "max_price", "tlvs", "not_before", "validity_s", "max_segments", "key",
    "from", "callback", "hash", "senderId", "sender", "deliveryReport", "expiry_days", "scheduledate", "type",
)  # fmt: skip
"""Keys that a drawn value nearly always makes wrong, and that may be left out."""
SECRETS = {
    "chinqit": "fuzz-chinqit-0123456789",
    "otpiq": "sk_live_fuzz0123456789",
    "laravel": "ab" * 32,
    "password": "fuzz-password-1",
}
_ID_NAMES = {"message_id": "id", "group_id": "group"}
SMSKIT = ("fuzz-smskit-key-01", "fuzz-smskit-token-01")


class Found(NamedTuple):
    """How many requests were made per operation, by status, and what was wrong with answers."""

    statuses: Mapping[str, Counter[int]]
    faults: list[str]

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(count.total() for count in self.statuses.values())


def customer(running: Running) -> Callable[[str], dict[str, str]]:
    """An account with credentials for every door; what it says of itself at a path."""
    running.account("fuzz", "EUR", "100000", "--sender", "Info")
    own = running.installation.cli("keys", "create", "fuzz")["key"]
    running.import_key("fuzz", "chinqit", SECRETS["chinqit"])
    running.import_key("fuzz", "otpiq", SECRETS["otpiq"])
    running.import_key("fuzz", "laravel", SECRETS["laravel"])
    running.import_key("fuzz", "laravel", SECRETS["password"], "--user", "fuzz")
    running.import_key("fuzz", "smskit", SMSKIT[0], "--secret-file", running.file(SMSKIT[1]))

    def headers(path: str) -> dict[str, str]:
        if path.startswith(("/messages", "/otp", "/api/v2/bulk")):
            return {"X-API-Key": SECRETS["chinqit"]}
        if path.startswith(("/api/sms", "/api/info", "/api/sender-ids")):
            return {"Authorization": f"Bearer {SECRETS['otpiq']}"}
        if path.startswith("/api/v2"):
            return {"X-API-Key": SECRETS["laravel"]}
        return {"Authorization": f"Bearer {own}"} if path.startswith("/v1/") and not path.startswith("/v1/sms") else {}

    return headers


def run(running: Running, examples: int, *, seed: int | None = None) -> Found:
    """Asks every operation of /openapi.json `examples` times; `seed` repeats a run. A minute passes between two operations,
    so that limits of a minute do not hide what is behind them."""
    headers = customer(running)
    schema = schemathesis.openapi.from_url(f"{running.base}/openapi.json", config=SchemathesisConfig())
    statuses: dict[str, Counter[int]] = {}
    faults: list[str] = []
    known: dict[str, list[str]] = {}
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in sorted(operations, key=lambda each: each.method != "post"):  # first what makes ids, then what reads them
        name = f"{operation.method.upper()} {operation.path}"
        statuses[name] = Counter()
        running.advance(61)
        try:
            _asking(operation.as_strategy(), headers(operation.path), statuses[name], known, examples, seed)()
        except BaseExceptionGroup as group:
            faults += [f"{name}: {error}" for error in group.exceptions]
        except Exception as error:
            faults.append(f"{name}: {error}")
    return Found(statuses, faults)


def _mend(case: Any, known: Mapping[str, Sequence[str]]) -> None:
    """Makes of a drawn request one that may well be accepted: a real number, a plain text, credentials, ids that exist."""
    for body in (case.body, case.query):
        _mend_fields(body)
    for name in case.path_parameters or ():
        if ids := known.get(_ID_NAMES.get(name, name)):
            case.path_parameters[name] = ids[-1 - zlib.crc32(repr(case.path_parameters).encode()) % len(ids)]
    if "Idempotency-Key" in (case.headers or {}):
        del case.headers["Idempotency-Key"]


def _mend_fields(found: Any, index: int = 0) -> None:
    if isinstance(found, list):
        for place, each in enumerate(found):
            _mend_fields(each, place)
    if not isinstance(found, dict):
        return
    digits = f"49171{1_000_000 + (zlib.crc32(repr(found).encode()) + index) % 9_000_000}"
    phone = f"+{digits}"
    good = {
        "to": phone, "phoneNumber": digits if "smsType" in found else phone, "phone": phone, "numbers": digits,
        "text": "hello", "message": "hello", "message_body": "hello", "smsType": "custom", "customMessage": "hello",
        "username": "fuzz", "password": SECRETS["password"], "apikey": SMSKIT[0], "apitoken": SMSKIT[1],
    }  # fmt: skip
    for name in _HARD:
        found.pop(name, None)
    found.update({name: good[name] for name in found if name in good})
    if "apikey" in found:
        found["from"] = "Info"
    elif "smsType" in found:
        found["customMessage"] = "hello"
    elif "to" in found:
        found["text"] = "hello"
    for value in found.values():
        _mend_fields(value)


def _ids(response: Any) -> list[tuple[str, str]]:
    try:
        body = response.json()
    except ValueError:
        return []
    names = ("id", "group", "messageId", "batchId", "smsId")
    return [(name, body[name]) for name in names if isinstance(body, dict) and isinstance(body.get(name), str)]


def _asking(
    cases: Any, headers: Mapping[str, str], counts: Counter[int], known: dict[str, list[str]], examples: int, seed: int | None
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
        for name, value in _ids(response):
            known.setdefault(name, []).append(value)
        # The one 5xx that is an answer: a channel that has no provider here.
        checks = CHECKS[1:] if response.status_code == 502 and case.operation.path == "/otp/send" else CHECKS
        case.validate_response(response, checks=list(checks))

    return cast("Callable[[], None]", ask)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=200)
    arguments = parser.parse_args()
    with started(config=OPEN) as running:
        found = run(running, arguments.examples)
    for name, counts in found.statuses.items():
        print(f"{name:50} " + " ".join(f"{status}:{count}" for status, count in sorted(counts.items())))
    for fault in found.faults:
        print(f"FAULT {fault}")
    print(f"fuzz: {'FAIL' if found.faults else 'PASS'} requests={found.requests} faults={len(found.faults)}")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
