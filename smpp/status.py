"""What a command_status says about trying again.

This module refuses to know what a retry costs or when it is due (the dispatcher's retry rules); it holds the table of
SMPP 3.4 (5.1.3) and SMPP 5 (4.7.6) statuses, each with its class and a short reason.

| Class | Means | Examples |
|---|---|---|
| OK | accepted | 0x00 |
| THROTTLED | the message is fine, the pace or the queue is not; not an attempt | 0x58, 0x14 |
| TEMPORARY | the carrier's trouble: the same message may pass later or elsewhere | 0x08, 0x64 |
| PERMANENT | the same message will be refused again | 0x0B, 0x65 |

Why a status that nobody knows is TEMPORARY: retries are few and bounded, a message thrown away is gone. Carriers
differ, so `overrides` goes before the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class StatusClass(Enum):
    """What to do with the message a status answers."""

    OK = "ok"
    THROTTLED = "throttled"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"


class Status(NamedTuple):
    """One row: the specification's name, the class, and a reason short enough for an error message."""

    name: str
    kind: StatusClass
    reason: str


_OK, _THROTTLED, _TEMPORARY, _PERMANENT = StatusClass

STATUSES: Mapping[int, Status] = {
    0x00000000: Status("ESME_ROK", _OK, "accepted"),
    0x00000001: Status("ESME_RINVMSGLEN", _PERMANENT, "message length is invalid"),
    0x00000002: Status("ESME_RINVCMDLEN", _PERMANENT, "command length is invalid"),
    0x00000003: Status("ESME_RINVCMDID", _PERMANENT, "command is unknown to the carrier"),
    0x00000004: Status("ESME_RINVBNDSTS", _TEMPORARY, "the bind may not send this now"),
    0x00000005: Status("ESME_RALYBND", _TEMPORARY, "already bound"),
    0x00000006: Status("ESME_RINVPRTFLG", _PERMANENT, "priority is invalid"),
    0x00000007: Status("ESME_RINVREGDLVFLG", _PERMANENT, "registered_delivery is invalid"),
    0x00000008: Status("ESME_RSYSERR", _TEMPORARY, "the carrier's system failed"),
    0x0000000A: Status("ESME_RINVSRCADR", _PERMANENT, "sender is invalid"),
    0x0000000B: Status("ESME_RINVDSTADR", _PERMANENT, "destination is invalid"),
    0x0000000C: Status("ESME_RINVMSGID", _PERMANENT, "message id is invalid"),
    0x0000000D: Status("ESME_RBINDFAIL", _TEMPORARY, "bind failed"),
    0x0000000E: Status("ESME_RINVPASWD", _PERMANENT, "password is wrong"),
    0x0000000F: Status("ESME_RINVSYSID", _PERMANENT, "system_id is wrong"),
    0x00000011: Status("ESME_RCANCELFAIL", _PERMANENT, "cancel_sm failed"),
    0x00000013: Status("ESME_RREPLACEFAIL", _PERMANENT, "replace_sm failed"),
    0x00000014: Status("ESME_RMSGQFUL", _THROTTLED, "the carrier's queue is full"),
    0x00000015: Status("ESME_RINVSERTYP", _PERMANENT, "service type is invalid"),
    0x00000033: Status("ESME_RINVNUMDESTS", _PERMANENT, "number of destinations is invalid"),
    0x00000034: Status("ESME_RINVDLNAME", _PERMANENT, "distribution list is unknown"),
    0x00000040: Status("ESME_RINVDESTFLAG", _PERMANENT, "destination flag is invalid"),
    0x00000042: Status("ESME_RINVSUBREP", _PERMANENT, "submit with replace is invalid"),
    0x00000043: Status("ESME_RINVESMCLASS", _PERMANENT, "esm_class is invalid"),
    0x00000044: Status("ESME_RCNTSUBDL", _PERMANENT, "cannot submit to a distribution list"),
    0x00000045: Status("ESME_RSUBMITFAIL", _TEMPORARY, "submit failed, no reason given"),
    0x00000048: Status("ESME_RINVSRCTON", _PERMANENT, "sender TON is invalid"),
    0x00000049: Status("ESME_RINVSRCNPI", _PERMANENT, "sender NPI is invalid"),
    0x00000050: Status("ESME_RINVDSTTON", _PERMANENT, "destination TON is invalid"),
    0x00000051: Status("ESME_RINVDSTNPI", _PERMANENT, "destination NPI is invalid"),
    0x00000053: Status("ESME_RINVSYSTYP", _PERMANENT, "system_type is invalid"),
    0x00000054: Status("ESME_RINVREPFLAG", _PERMANENT, "replace flag is invalid"),
    0x00000055: Status("ESME_RINVNUMMSGS", _PERMANENT, "number of messages is invalid"),
    0x00000058: Status("ESME_RTHROTTLED", _THROTTLED, "too fast for the carrier's limit"),
    0x00000061: Status("ESME_RINVSCHED", _PERMANENT, "scheduled time is invalid"),
    0x00000062: Status("ESME_RINVEXPIRY", _PERMANENT, "validity period is invalid"),
    0x00000063: Status("ESME_RINVDFTMSGID", _PERMANENT, "predefined message is unknown"),
    0x00000064: Status("ESME_RX_T_APPN", _TEMPORARY, "the receiving application failed for now"),
    0x00000065: Status("ESME_RX_P_APPN", _PERMANENT, "the receiving application failed for good"),
    0x00000066: Status("ESME_RX_R_APPN", _PERMANENT, "the receiving application refused"),
    0x00000067: Status("ESME_RQUERYFAIL", _PERMANENT, "query_sm failed"),
    0x000000C0: Status("ESME_RINVOPTPARSTREAM", _PERMANENT, "optional part is malformed"),
    0x000000C1: Status("ESME_ROPTPARNOTALLWD", _PERMANENT, "an optional parameter is not allowed"),
    0x000000C2: Status("ESME_RINVPARLEN", _PERMANENT, "a parameter's length is invalid"),
    0x000000C3: Status("ESME_RMISSINGOPTPARAM", _PERMANENT, "an expected optional parameter is missing"),
    0x000000C4: Status("ESME_RINVOPTPARAMVAL", _PERMANENT, "an optional parameter's value is invalid"),
    0x000000FE: Status("ESME_RDELIVERYFAILURE", _TEMPORARY, "delivery failed"),
    0x000000FF: Status("ESME_RUNKNOWNERR", _TEMPORARY, "unknown error"),
    # SMPP 5
    0x00000100: Status("ESME_RSERTYPUNAUTH", _PERMANENT, "not authorised for this service type"),
    0x00000101: Status("ESME_RPROHIBITED", _PERMANENT, "not allowed to do this"),
    0x00000102: Status("ESME_RSERTYPUNAVAIL", _TEMPORARY, "service type is unavailable now"),
    0x00000103: Status("ESME_RSERTYPDENIED", _PERMANENT, "service type is denied"),
    0x00000104: Status("ESME_RINVDCS", _PERMANENT, "data coding is invalid"),
    0x00000105: Status("ESME_RINVSRCADDRSUBUNIT", _PERMANENT, "source subunit is invalid"),
    0x00000106: Status("ESME_RINVDSTADDRSUBUNIT", _PERMANENT, "destination subunit is invalid"),
    0x00000107: Status("ESME_RINVBCASTFREQINT", _PERMANENT, "broadcast frequency is invalid"),
    0x00000108: Status("ESME_RINVBCASTALIAS_NAME", _PERMANENT, "broadcast alias is invalid"),
    0x00000109: Status("ESME_RINVBCASTAREAFMT", _PERMANENT, "broadcast area format is invalid"),
    0x0000010A: Status("ESME_RINVNUMBCAST_AREAS", _PERMANENT, "number of broadcast areas is invalid"),
    0x0000010B: Status("ESME_RINVBCASTCNTTYPE", _PERMANENT, "broadcast content type is invalid"),
    0x0000010C: Status("ESME_RINVBCASTMSGCLASS", _PERMANENT, "broadcast message class is invalid"),
    0x0000010D: Status("ESME_RBCASTFAIL", _PERMANENT, "broadcast_sm failed"),
    0x0000010E: Status("ESME_RBCASTQUERYFAIL", _PERMANENT, "query_broadcast_sm failed"),
    0x0000010F: Status("ESME_RBCASTCANCELFAIL", _PERMANENT, "cancel_broadcast_sm failed"),
    0x00000110: Status("ESME_RINVBCAST_REP", _PERMANENT, "number of repeated broadcasts is invalid"),
    0x00000111: Status("ESME_RINVBCASTSRVGRP", _PERMANENT, "broadcast service group is invalid"),
    0x00000112: Status("ESME_RINVBCASTCHANIND", _PERMANENT, "broadcast channel indicator is invalid"),
}

_NO_OVERRIDES: Mapping[int, StatusClass] = {}


def classify(status: int, overrides: Mapping[int, StatusClass] = _NO_OVERRIDES) -> StatusClass:
    """The class of `status`: the carrier's own (`overrides`) first, then the table, else TEMPORARY.

    0 is OK whatever `overrides` says: an accepted message cannot be refused by configuration.
    """
    if status == 0:
        return _OK
    own = overrides.get(status)
    if own is not None:
        return own
    row = STATUSES.get(status)
    return row.kind if row is not None else _TEMPORARY


def name(status: int) -> str:
    """The specification's name, for example ESME_RTHROTTLED; ESME_0x00000411 where it has none (0x400..0x4FF are the
    carrier's own)."""
    row = STATUSES.get(status)
    return row.name if row is not None else f"ESME_0x{status:08X}"


def reason(status: int) -> str:
    """A short reason in English for people; "" where there is none."""
    row = STATUSES.get(status)
    return row.reason if row is not None else ""
