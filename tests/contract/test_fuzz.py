"""The short form of tests/contract/fuzz.py: our OpenAPI document is kept by our doors, whatever is asked."""

from __future__ import annotations

from tests.contract import fuzz
from tests.contract.ground import Running


def test_no_server_error_and_no_schema_breach(running: Running) -> None:
    """A few drawn requests per operation, the same ones each time; some of them were accepted, so more than errors is seen."""
    found = fuzz.run(running, 10, seed=1)
    assert found.faults == []
    assert found.statuses["POST /v1/messages"][202]
    assert found.statuses["POST /v1/messages/batch"][202]
    assert found.statuses["GET /v1/messages/{message_id}"][200]
    assert found.statuses["POST /messages/send"][200]
    assert found.statuses["POST /api/v2/bulk/send"][202]
    assert found.statuses["POST /api/sms"][200]
