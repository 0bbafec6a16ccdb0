"""The status table: classes that money and retries hang on, overrides, names."""

from __future__ import annotations

import pytest
from smpplib import consts

from smpp.status import STATUSES, StatusClass, classify, name, reason


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (0x00, StatusClass.OK),
        (0x58, StatusClass.THROTTLED),
        (0x14, StatusClass.THROTTLED),
        (0x08, StatusClass.TEMPORARY),
        (0x64, StatusClass.TEMPORARY),
        (0xFF, StatusClass.TEMPORARY),
        (0x0B, StatusClass.PERMANENT),
        (0x0A, StatusClass.PERMANENT),
        (0x65, StatusClass.PERMANENT),
        (0x0E, StatusClass.PERMANENT),
        (0x104, StatusClass.PERMANENT),
        (0x411, StatusClass.TEMPORARY),
        (0xFFFFFFFF, StatusClass.TEMPORARY),
    ],
)
def test_classes(status: int, kind: StatusClass) -> None:
    """Pace is not failure, the carrier's trouble may pass, a bad destination stays bad, the unknown gets another try."""
    assert kind is classify(status)


def test_overrides_go_first_but_never_over_ok() -> None:
    """A carrier's own meaning wins, except that an accepted message stays accepted."""
    own = {0x45: StatusClass.PERMANENT, 0x411: StatusClass.THROTTLED, 0: StatusClass.TEMPORARY}
    assert StatusClass.PERMANENT is classify(0x45, own)
    assert StatusClass.THROTTLED is classify(0x411, own)
    assert StatusClass.OK is classify(0, own)


def test_table_is_complete() -> None:
    """Every status smpplib knows is in the table under the same name, and every row has its reason."""
    known = {value: key.removeprefix("SMPP_") for key, value in vars(consts).items() if key.startswith("SMPP_ESME_")}
    assert known == {status: row.name for status, row in STATUSES.items() if status in known}
    assert all(row.reason for row in STATUSES.values())
    assert len(STATUSES) == len({row.name for row in STATUSES.values()})


def test_names() -> None:
    """Vendor statuses have a readable name too."""
    assert name(0x58) == "ESME_RTHROTTLED"
    assert name(0x411) == "ESME_0x00000411"
    assert reason(0x58) == "too fast for the carrier's limit"
    assert reason(0x411) == ""
