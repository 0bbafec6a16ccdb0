"""A deliver_sm read as a delivery receipt, whatever form the carrier gives it.

This module refuses to know which submission a receipt belongs to and what its state means for a message; ids are
handed on exactly as they came (core/matching.py knows about hex and decimal).

How a receipt is known
----------------------
By esm_class (bit 0x04, or the intermediate notification 0x20, whatever the other bits are), or by a TLV that only
receipts have. Text alone never makes one: a handset can type "id:... stat:DELIVRD" and would forge a delivery.

What is read, and from where
----------------------------
TLV first, text second, each field by itself, since carriers send all mixtures (tests/golden/receipts.toml):

| Field | TLV | text (SMPP 3.4, appendix B) |
|---|---|---|
| id | receipted_message_id 0x001E | id: |
| state | message_state 0x0427 | stat: |
| code | network_error_code 0x0423, when the text has none | err: |

Text fields come in any order and case, some are missing, dates have 10, 12 or 14 digits, err has letters. `text:`
holds the first characters of the message itself, which its sender wrote: what looks like a field behind `text:` counts
only when neither an id nor a state stands before it.

| state | number | words seen |
|---|---|---|
| DELIVRD | 2 | DELIVRD, DELIVERED, ESME_ROK |
| UNDELIV | 5, 9 | UNDELIV, UNDELIVERABLE, SKIPPED |
| EXPIRED | 3 | EXPIRED |
| DELETED | 4 | DELETED, CANCELLED |
| REJECTD | 8 | REJECTD, REJECTED, DND_REJECTED, BLOCKED |
| FAILED | - | FAILED |
| UNKNOWN | 7 | UNKNOWN, anything else, nothing |
| ACCEPTD | 6 | ACCEPTD, ACKED |
| ENROUTE | 1 | ENROUTE, SENT, SUBMITD, PENDING |
| BUFFRED | - | BUFFRED, BUFFERD |
| SCHEDULED | 0 | SCHEDULED, SCHEDLD |
"""

from __future__ import annotations

import re
from typing import NamedTuple

import smpp.constants as c
from smpp.codec import BODY_UNGROUPED, MESSAGE_ID_CHARS_MAX, ShortMessage
from smpp.framing import HEADER_BYTES


class Receipt(NamedTuple):
    """What a receipt says. `state` is one of STATES; everything else is as it came.

    `id` is "" when there is none to match by. `code` is the err text, else the number of network_error_code, else "".
    `network_error` is the raw TLV: a type octet and a number, or three ASCII digits. `raw_state` is the carrier's own
    word. `reference` is user_message_reference, which some carriers echo. `sequence` is the deliver_sm's.
    """

    id: str
    state: str
    code: str = ""
    network_error: bytes | None = None
    raw_state: str = ""
    reference: int | None = None
    sequence: int = 0


STATES = frozenset(
    {
        *("DELIVRD", "UNDELIV", "EXPIRED", "DELETED", "REJECTD", "UNKNOWN"),
        *("ACCEPTD", "ENROUTE", "BUFFRED", "SCHEDULED", "FAILED"),
    }
)
"""Every value of Receipt.state: those of SMPP's appendix B, and three that carriers made up and many use."""

_BY_NUMBER = ("SCHEDULED", "ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD", "UNDELIV")
# 9 is SMPP 5's SKIPPED: the carrier did not try, so nothing was delivered.

_BY_WORD: dict[str, str] = {state: state for state in STATES} | {
    "ACKED": "ACCEPTD",  # Kannel's list: the carrier has it, the handset not yet
    "SENT": "ENROUTE",
    "SUBMITD": "ENROUTE",
    "SUBMITTED": "ENROUTE",
    "PENDING": "ENROUTE",
    "SKIPPED": "UNDELIV",
    "CANCELD": "DELETED",
    "BLOCKED": "REJECTD",
    "ESME_ROK": "DELIVRD",
}
_BY_BEGINNING = (
    ("UNDEL", "UNDELIV"),
    ("NOTDELIV", "UNDELIV"),
    ("NONDELIV", "UNDELIV"),
    ("DELIV", "DELIVRD"),
    ("EXPIR", "EXPIRED"),
    ("DELET", "DELETED"),
    ("CANCEL", "DELETED"),
    ("REJ", "REJECTD"),
    ("ACCEPT", "ACCEPTD"),
    ("ENROUT", "ENROUTE"),
    ("BUFF", "BUFFRED"),
    ("SCHED", "SCHEDULED"),
    ("FAIL", "FAILED"),
)

STATE_CHARS_MAX = 32
"""Of raw_state and code: longer ones are cut, so that no carrier can fill a store with them."""
_SHORT = {"sta": "stat", "err": "err"}

_standard = re.compile(
    r"id:(\S+) sub:\d+ dlvrd:\d+ submit date:\d+ done date:\d+ stat:([A-Z]{1,32}) err:([0-9A-Za-z]{1,32})(?: |$)"
).match
_PLAIN = (
    rb"id:([!-~]++) sub:[0-9]++ dlvrd:[0-9]++ submit date:[0-9]++ done date:[0-9]++ "
    rb"stat:([A-Z]{7}) err:([0-9A-Za-z]{1,32})(?: |$)"
)
# The same before any decoding, in ASCII: what most receipts are. tests/laws/test_receipt_laws.py proves that it adds nothing.
_plain = re.compile(_PLAIN).match
_glance = re.compile(BODY_UNGROUPED + _PLAIN, re.DOTALL).match
_looks = re.compile(r"\s*id:\s*\S+\s.*\bstat:\s*[A-Za-z]", re.IGNORECASE | re.DOTALL | re.ASCII).match
_BY_OCTETS = {state.encode(): state for state in STATES}
_RECEIPT, _TYPE, _INTERMEDIATE = c.ESM_RECEIPT, c.ESM_TYPE_MASK, c.ESM_INTERMEDIATE
_new = tuple.__new__  # a Receipt without the detour through its named constructor
_keys = re.compile(
    r"(?<![A-Za-z])(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat(?:us)?|err(?:or)?(?:[ _]?code)?|text)[ \t]*[:=]",
    re.IGNORECASE | re.ASCII,
).finditer


def parse(deliver: ShortMessage, *, by_text: bool = False) -> Receipt | None:
    """The receipt in `deliver`, or None when it is a handset's message. Never raises: what cannot be read is "" or UNKNOWN.

    `by_text`: for carriers that mark their receipts in no way (tests/golden/quirks/16): one whose text begins with an id and
    has a state is a receipt, although a handset may have typed it.
    """
    esm_class = deliver.esm_class
    tlvs = deliver.tlvs
    by_type = esm_class & c.ESM_RECEIPT or esm_class & c.ESM_TYPE_MASK == c.ESM_INTERMEDIATE
    marked = by_type or c.TLV_RECEIPTED_MESSAGE_ID in tlvs or c.TLV_MESSAGE_STATE in tlvs
    if not marked and (not by_text or _looks(_text(deliver.short_message)) is None):
        return None
    if not tlvs and (quick := _plain(deliver.short_message)) is not None:
        raw_id, raw_state, raw_code = quick.groups()
        if len(raw_id) <= MESSAGE_ID_CHARS_MAX and (state := _BY_OCTETS.get(raw_state, "")):
            code = raw_code.decode("ascii")
            return _new(Receipt, (raw_id.decode("ascii"), state, code, None, state, None, deliver.sequence))
    text = _text(deliver.short_message)
    matched = _standard(text)
    receipt_id, word, code = matched.groups() if matched else _fields(text)
    state = _state(word)
    if not tlvs:
        return Receipt(_bounded(receipt_id), state, code, None, word, None, deliver.sequence)
    own_id = tlvs.get(c.TLV_RECEIPTED_MESSAGE_ID, b"").rstrip(b"\0 ").decode("latin-1")
    number = tlvs.get(c.TLV_MESSAGE_STATE)
    if number is not None:
        state = _numbered(number) or state
    network_error = tlvs.get(c.TLV_NETWORK_ERROR_CODE)
    reference = tlvs.get(c.TLV_USER_MESSAGE_REFERENCE)
    echoed = int.from_bytes(reference, "big") if reference is not None and len(reference) == 2 else None
    code = code or _network_code(network_error)
    return _new(Receipt, (_bounded(own_id or receipt_id), state, code, network_error, word, echoed, deliver.sequence))


def glance(pdu: bytes, sequence: int) -> Receipt | None:
    """The receipt in a deliver_sm's PDU when it is one of the form that most carriers use, without TLVs: what `parse` says of
    it decoded, for half the time. None says nothing: decode it. Raises nothing."""
    matched = _glance(pdu, HEADER_BYTES)
    if matched is None:
        return None
    kind, size, raw_id, raw_state, raw_code = matched.groups()
    esm_class, state = kind[0], _BY_OCTETS.get(raw_state)
    if (
        state is None
        or size[0] != len(pdu) - matched.end(2)  # else TLVs follow, or the length is wrong
        or len(raw_id) > MESSAGE_ID_CHARS_MAX
        or not (esm_class & _RECEIPT or esm_class & _TYPE == _INTERMEDIATE)
    ):
        return None
    return _new(Receipt, (raw_id.decode(), state, raw_code.decode(), None, state, None, sequence))


def _bounded(receipt_id: str) -> str:
    # No answer can have given a longer id; keeping it would only let a carrier fill the store.
    return receipt_id if len(receipt_id) <= MESSAGE_ID_CHARS_MAX else ""


def _text(data: bytes) -> str:
    # Receipts are ASCII, so every other byte of a UTF-16 one is NUL, whatever data_coding says.
    if data[0:8:2] == b"\0\0\0\0":
        return data.decode("utf-16-be", "replace").rstrip("\0 ")
    if data[1:8:2] == b"\0\0\0\0":
        return data.decode("utf-16-le", "replace").rstrip("\0 ")
    return data.decode("latin-1").rstrip("\0 ")


def _fields(text: str) -> tuple[str, str, str]:
    """id, stat and err by name. A field's value reaches to the next field's name; of id and err the first word counts."""
    before: dict[str, str] = {}
    behind: dict[str, str] = {}
    found = list(_keys(text))
    into = before
    for i, key in enumerate(found):
        name = key[1].lower()
        if name == "text":
            into = behind
            continue
        end = found[i + 1].start() if i + 1 < len(found) else len(text)
        into.setdefault(_SHORT.get(name[:3], name), text[key.end() : end].strip(" \t\r\n\0,;"))
    chosen = before if "id" in before or "stat" in before else behind
    return _word(chosen.get("id", "")), chosen.get("stat", "")[:STATE_CHARS_MAX], _word(chosen.get("err", ""))[:STATE_CHARS_MAX]


def _word(value: str) -> str:
    words = value.split(None, 1)
    return words[0].rstrip("\0,;") if words else ""


def _state(value: str) -> str:
    """The canonical state for a carrier's words, number or misspelling; UNKNOWN for what says nothing."""
    state = _BY_WORD.get(value) or _stated(value)
    return _stated(_word(value)) if state == "UNKNOWN" else state


def _stated(word: str) -> str:
    word = word.upper()
    if word.isascii() and word.isdigit():
        return _BY_NUMBER[int(word)] if len(word) <= 3 and int(word) < len(_BY_NUMBER) else "UNKNOWN"
    known = _BY_WORD.get(word)
    if known is not None:
        return known
    letters = "".join([character for character in word if "A" <= character <= "Z"])
    for beginning, state in _BY_BEGINNING:
        if letters.startswith(beginning):
            return state
    return "REJECTD" if "REJECT" in letters else "UNKNOWN"  # DND_REJECTED and its kin


def state_of(message_state: int) -> str:
    """The state for SMPP's message_state (5.2.28), as query_sm_resp has it; "" for a number that means nothing."""
    return _BY_NUMBER[message_state] if 0 <= message_state < len(_BY_NUMBER) else ""


def _numbered(value: bytes) -> str:
    """The state for a message_state TLV, "" where the number means nothing (then the text's state stands)."""
    if len(value) != 1:
        return ""
    number = value[0] - 0x30 if 0x30 <= value[0] <= 0x39 else value[0]  # an ASCII digit has been taken for the number
    return _BY_NUMBER[number] if number < len(_BY_NUMBER) else ""


def _network_code(value: bytes | None) -> str:
    if value is None or len(value) != 3:
        return ""
    if value.isdigit():
        return value.decode("ascii")
    return f"{int.from_bytes(value[1:], 'big'):03d}"
