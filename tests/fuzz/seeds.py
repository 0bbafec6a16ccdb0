"""Where a fuzz begins: what carriers really sent, from tests/golden, and one plain PDU of every kind.

It refuses to know what any decoder makes of it; each decoder (wire.py, words.py) puts it into the form of its own input.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from smpp import tlvs
from smpp.codec import ShortMessage, decode_deliver_sm, deliver_sm_body, pdu
from smpp.constants import DELIVER_SM, Command
from smpp.errors import BadPdu
from smpp.pdus import BODIES, Pdu, encode

GOLDEN = Path(__file__).parents[1] / "golden"
_SAMPLE = {
    "service_type": "CMT",
    "source_addr": "Shop",
    "destination_addr": "4915112345678",
    "message_id": "4f21",
    "system_id": "demo",
    "password": "secret",
    "short_message": b"Hello",
    "final_date": "221122120000000+",
    "dest_address": ({"dest_addr_ton": 1, "destination_addr": "49"}, {"dl_name": "friends"}),
    "unsuccess_sme": ({"dest_addr_ton": 1, "destination_addr": "49", "error_status_code": 11},),
}
_is_hex = re.compile(r"(?:[0-9a-fA-F]{2}\s*)+").fullmatch
_TLVS = {"message_payload": b"Hello", "sar_msg_ref_num": 7, "receipted_message_id": "4f21", 0x1400: b"x"}


def _values(found: Any) -> Iterator[tuple[str, str]]:
    """Every text of a TOML document with its key."""
    for key, value in found.items() if isinstance(found, dict) else ():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str):
                yield key, each
            else:
                yield from _values(each)


@cache
def golden() -> tuple[tuple[str, str], ...]:
    """Key and text of everything in the golden files."""
    files = [GOLDEN / "captured.toml", GOLDEN / "receipts.toml", *sorted((GOLDEN / "quirks").glob("*.toml"))]
    return tuple(pair for file in files for pair in _values(tomllib.loads(file.read_text("utf-8"))))


def captured() -> list[bytes]:
    """Octets that golden files have in hex: PDUs, streams, and messages."""
    return [bytes.fromhex(text) for key, text in golden() if key in {"pdu", "hex", "in"} and _is_hex(text)]


def texts() -> list[bytes]:
    """Texts of receipts, and octets of some that are none."""
    plain = [text.encode("latin-1", "replace") for key, text in golden() if key == "text"]
    return plain + [data for data in captured() if data[:2] != b"\0\0"]


def every_pdu() -> list[bytes]:
    """One of each command, bare of TLVs and with some, and those that were captured."""
    made = []
    for command, body in BODIES.items():
        fields = {field.name: _SAMPLE[field.name] for field in body if field.name in _SAMPLE}
        made += [encode(Pdu(command, fields, pairs)) for pairs in ((), tlvs.pairs(_TLVS))]
    return made + [data for data in captured() if data[:2] == b"\0\0"]


def pdus_of(*commands: Command) -> list[bytes]:
    """Those of every_pdu that are of these commands."""
    wanted = {command.to_bytes(4, "big") for command in commands}
    return [data for data in every_pdu() if data[4:8] in wanted]


def delivers() -> list[ShortMessage]:
    """deliver_sm as values: the captured ones, and every text of a receipt with and without TLVs of receipts."""
    found: list[ShortMessage] = []
    for wire in pdus_of(Command.DELIVER_SM):
        try:
            found.append(decode_deliver_sm(wire))
        except BadPdu:
            continue
    for text in texts():
        for own in ({}, {0x1E: b"4f21\0", 0x427: b"\2", 0x423: b"\3\0\1"}):
            body = deliver_sm_body("49151", "Shop", text[:254], esm_class=4, tlvs=own)
            found.append(decode_deliver_sm(pdu(DELIVER_SM, 0, 1, body)))
    return found
