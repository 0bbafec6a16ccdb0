"""Delivery receipts as an SMSC writes them: text of SMPP 3.4 appendix B, and the TLVs beside it.

It refuses to know when they are due. Hot: one join for each receipt, the sender's part is written once; the tests
prove it equal to codec.deliver_sm_body.
"""

from __future__ import annotations

import time
from typing import Final

from smpp import constants as c
from smpp.codec import SubmitSm
from smpp.simulator.forms import STATES

SENDERS_MAX: Final = 1_000


class ReceiptWriter:
    """Writes receipt bodies; remembers the fixed parts per sender, and the minute's date text."""

    __slots__ = ("_date", "_minute", "_senders")

    def __init__(self) -> None:
        self._senders: dict[tuple[int, int, str], bytes] = {}
        self._minute = -1
        self._date = ""

    def body(self, submit: SubmitSm, message_id: str, state: str, code: str, wall_s: float) -> bytes:
        """The deliver_sm body of the receipt for `submit`; from the handset's number to the sender."""
        minute = int(wall_s) // 60
        if minute != self._minute:
            self._minute, self._date = minute, time.strftime("%y%m%d%H%M", time.gmtime(wall_s))
        date, delivered = self._date, "001" if state == "DELIVRD" else "000"
        text = (
            f"id:{message_id} sub:001 dlvrd:{delivered} submit date:{date} done date:{date} stat:{state} err:{code} text:"
        ).encode("latin-1")
        key = (submit.source_addr_ton, submit.source_addr_npi, submit.source_addr)
        to_sender = self._senders.get(key) or self._sender(key)
        identity = message_id.encode("latin-1") + b"\0"
        return b"".join(
            (
                b"\0",
                bytes((submit.dest_addr_ton, submit.dest_addr_npi)),
                submit.destination_addr.encode("latin-1"),
                to_sender,
                bytes((len(text),)),
                text,
                c.TLV_RECEIPTED_MESSAGE_ID.to_bytes(2, "big"),
                len(identity).to_bytes(2, "big"),
                identity,
                b"\x04\x27\x00\x01",
                bytes((STATES.get(state, 7),)),
            )
        )

    def _sender(self, key: tuple[int, int, str]) -> bytes:
        ton, npi, sender = key
        if len(self._senders) >= SENDERS_MAX:
            self._senders.clear()
        part = b"\0" + bytes((ton, npi)) + sender.encode("latin-1") + b"\0" + bytes((c.ESM_RECEIPT, 0, 0)) + b"\0\0\0\0\0\0"
        self._senders[key] = part
        return part
