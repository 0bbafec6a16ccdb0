"""From a carrier's receipt to our words: which ids are the same, and what an error code means.

It refuses to know where correlations are kept (the store) and what is then done (the lifecycle).

Ids (tests/golden/quirks 01 to 03). Carriers write the id of an answer and of its receipt in different ways: hex and decimal,
padded with zeros, in the other letter case. `answer_key` is what is stored when the answer comes; `receipt_keys` are
the keys under which a receipt may find it, best first.

    as_is   the same text; but ids made only of hex digits and dashes (numbers, UUIDs) lose leading zeros and case,
            which mean nothing there. Every other shape is exact, for in base 64 case is information
    hex     the answer is hexadecimal, the receipt decimal
    dec     the answer is decimal, the receipt hexadecimal
    auto    the receipt is tried as it is, then as the hexadecimal, then as the decimal of what was answered, until enough
            receipts have shown which it is (id_forms.py)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from dispatcher.core.evidence import ReceiptSeen
from dispatcher.core.settings import Quirks
from smpp.receipts import Receipt

Form = Literal["as_is", "hex", "dec", "auto"]

_HEXISH = re.compile(r"[0-9a-fA-F-]+", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{1,64}", re.ASCII)
_DEC = re.compile(r"[0-9]{1,64}", re.ASCII)
_BLANKS = " \t\r\n\0"


def told_id(carrier_id: str) -> str:
    """An answer's message id as records keep it and the carrier is asked by it: its own characters, without blanks around."""
    return carrier_id.strip(_BLANKS)


def answer_key(form: Form, carrier_id: str) -> str:
    """The key of an answer's message id; "" stays "" (accepted without id)."""
    if form == "as_is" and carrier_id.isdigit() and carrier_id.isascii():  # most carriers' ids; the rest of it says the same
        return carrier_id.lstrip("0") or "0"
    text = carrier_id.strip(_BLANKS)
    if form == "hex" and _HEX.fullmatch(text):
        return str(int(text, 16))
    if form == "dec" and _DEC.fullmatch(text):
        return str(int(text))
    return _plain(text)


def receipt_keys(form: Form, carrier_id: str) -> tuple[str, ...]:
    """The keys under which a receipt's id may be stored, best first; () for an empty id."""
    if form == "as_is" and carrier_id.isdigit() and carrier_id.isascii():
        return (carrier_id.lstrip("0") or "0",)
    text = carrier_id.strip(_BLANKS)
    if not text:
        return ()
    if form == "hex" and _DEC.fullmatch(text):
        return (str(int(text)),)
    if form == "dec" and _HEX.fullmatch(text):
        return (str(int(text, 16)),)
    if form != "auto":
        return (_plain(text),)
    return tuple(dict.fromkeys(forms_of(text).values()))


def forms_of(carrier_id: str) -> dict[Form, str]:
    """For a carrier of form "auto": the key of a receipt's id if the carrier were of each of the other forms; {} for no id."""
    text = carrier_id.strip(_BLANKS)
    if not text:
        return {}
    keys: dict[Form, str] = {"as_is": _plain(text)}
    if _DEC.fullmatch(text):
        keys["hex"] = f"{int(text):x}"
    if _HEX.fullmatch(text):
        keys["dec"] = str(int(text, 16))
    return keys


def _plain(text: str) -> str:
    if _HEXISH.fullmatch(text):
        return text.lower().lstrip("0") or "0"
    return text


CAUSES: Mapping[str, str] = {
    # GSM 09.02 user errors, decimal, which many carriers pass on as `err`. 001 and the like are left out: carriers
    # use the low numbers for lists of their own, and a wrong cause is worse than none (unmapped: one retry elsewhere).
    "009": "invalid_number",  # illegal subscriber
    "011": "blocked",  # teleservice not provisioned
    "012": "blocked",  # illegal equipment
    "013": "blocked",  # call barred
    "027": "absent",  # absent subscriber
    "031": "absent",  # subscriber busy for short messages
    "033": "absent",  # message waiting list full
    "034": "network",  # system failure
}
"""err text -> cause, where the carrier's own table (quirks.causes) says nothing."""

GSM_CAUSES: Mapping[int, str] = {
    1: "invalid_number",  # unknown subscriber
    5: "invalid_number",  # unidentified subscriber
    6: "absent",  # absent subscriber, SM
    9: "invalid_number",
    11: "blocked",
    12: "blocked",
    13: "blocked",
    21: "network",  # facility not supported
    27: "absent",
    31: "absent",
    32: "memory_full",  # SM delivery failure: of its causes, memory capacity exceeded is the common one
    33: "absent",
    34: "network",
    35: "network",
    36: "network",
}
"""network_error_code of type GSM (3) -> cause: here the numbers are the standard's, also the low ones."""

_FAILURES = frozenset({"UNDELIV", "FAILED"})


def cause_of(code: str, network_error: bytes | None, causes: Mapping[str, str]) -> str:
    """Our name for why a message was not delivered: the carrier's own table, then the network's code, then the usual
    numbers; "" when nobody knows. Codes are compared as written and without leading zeros."""
    if code:
        own = causes.get(code)
        if own is None and code.strip("0") != code:
            own = causes.get(code.lstrip("0"))
        if own is not None:
            return own
    if network_error is not None and len(network_error) == 3 and network_error[0] == 3:
        return GSM_CAUSES.get(int.from_bytes(network_error[1:], "big"), "")
    return CAUSES.get(code, "")


def seen(
    receipt: Receipt, quirks: Quirks, segment: int, attempt: int, at: int, tlvs: dict[str, str] | None = None
) -> ReceiptSeen:
    """The receipt as evidence about one attempt. A carrier whose last word is ACCEPTD has delivered by it."""
    state = receipt.state
    if state == "ACCEPTD" and quirks.accepted_is_final:
        state = "DELIVRD"
    cause = cause_of(receipt.code, receipt.network_error, quirks.causes) if state in _FAILURES else ""
    return ReceiptSeen(segment, attempt, state, receipt.code, cause, at, tlvs)


class Parked(msgspec.Struct, array_like=True):
    """A receipt whose id nobody knows yet: it may have overtaken its answer (quirk 18). `keys` as in receipt_keys;
    `at` ms when it came."""

    keys: tuple[str, ...]
    state: str
    code: str
    network_error: bytes | None
    at: int
    tlvs: dict[str, str] | None = None


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Parked)


def park(receipt: Receipt, keys: tuple[str, ...], at: int, tlvs: dict[str, str] | None = None) -> bytes:
    """The receipt as bytes for the store's `early` hash."""
    return _ENCODER.encode(Parked(keys, receipt.state, receipt.code, receipt.network_error, at, tlvs))


def unpark(data: bytes) -> Parked:
    """What `park` wrote. Raises msgspec.DecodeError for anything else."""
    return _DECODER.decode(data)
