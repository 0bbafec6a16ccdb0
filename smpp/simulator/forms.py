"""Receipts as carriers really write them: the `[receipt]` table of a scenario, and the writer that obeys it.

It refuses to know when a receipt is due and what it says; receipts.py writes the plain form, fast. Each key is a habit that
some carrier has (tests/golden/quirks); all of them may be mixed:

    [receipt]
    text = "id:{id} stat:{stat} err:{err}"  # also {sub} {dlvrd} {date} {date12} {date14}
    ids = "HEX"                             # dec, hex, HEX, padded, uuid
    tlvs = "only"                           # both, none, only (then the text is empty)
    network_error = "ascii"                 # none, gsm (type and number), ascii (three digits)
    esm_class = 0x44
    data_coding = 8
    encoding = "utf-16-be"                  # latin-1, utf-16-be
    place = "message_payload"               # short_message, message_payload
    nul = true                              # one behind the payload, or astray behind short_message
    pdu = "data_sm"                         # deliver_sm, data_sm
    sequence = 0xFFFFFFFF                   # instead of a sensible one
    more_tlvs = "1402 0001 07"              # octets in hex, behind the others
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Final
from uuid import UUID

from smpp import constants as c
from smpp.codec import SHORT_MESSAGE_BYTES_MAX, SubmitSm, deliver_sm_body, pdu
from smpp.pdus import Pdu, encode
from smpp.tlvs import pairs, write

STANDARD: Final = "id:{id} sub:001 dlvrd:{dlvrd} submit date:{date} done date:{date} stat:{stat} err:{err} text:"
STATES: Final[Mapping[str, int]] = {
    "ENROUTE": 1,
    "DELIVRD": 2,
    "EXPIRED": 3,
    "DELETED": 4,
    "UNDELIV": 5,
    "ACCEPTD": 6,
    "UNKNOWN": 7,
    "REJECTD": 8,
}
"""message_state of the words of SMPP 3.4, appendix B; other words have 7."""
IDS: Final[Mapping[str, Callable[[int], str]]] = {
    "dec": str,
    "hex": "{:x}".format,
    "HEX": "{:X}".format,
    "padded": "{:030d}".format,
    "uuid": lambda number: str(UUID(int=number, version=4)),
}
"""How a message's number becomes its id."""
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "ids": tuple(IDS),
    "tlvs": ("both", "none", "only"),
    "network_error": ("none", "gsm", "ascii"),
    "encoding": ("latin-1", "utf-16-be"),
    "place": ("short_message", "message_payload"),
    "pdu": ("deliver_sm", "data_sm"),
}
_FIRST_SEQUENCE: Final = 0x40000000  # far from those of the session itself


@dataclass(frozen=True, slots=True)
class ReceiptForm:
    """See the module. The default is the plain form."""

    text: Annotated[str, "its text, with {id} {sub} {dlvrd} {date} {date12} {date14} {stat} {err}"] = STANDARD
    ids: Annotated[str, "how receipts write the id: dec, hex, HEX, padded, uuid"] = "dec"
    tlvs: Annotated[str, "receipted_message_id and message_state: both, none, or only (then the text is empty)"] = "both"
    network_error: Annotated[str, "network_error_code: none, gsm (type and number), ascii (three digits)"] = "none"
    esm_class: Annotated[int, "of the receipt"] = c.ESM_RECEIPT
    data_coding: Annotated[int, "of the receipt"] = 0
    encoding: Annotated[str, "of the text: latin-1, utf-16-be"] = "latin-1"
    place: Annotated[str, "short_message or message_payload"] = "short_message"
    nul: Annotated[bool, "a NUL behind the payload, or astray behind short_message"] = False
    pdu: Annotated[str, "deliver_sm or data_sm"] = "deliver_sm"
    sequence: Annotated[int, "the sequence number instead of a sensible one; -1: sensible"] = -1
    more_tlvs: Annotated[str, "TLVs behind the others, as octets in hex"] = ""

    def complaint(self) -> tuple[str, str] | None:
        """What is wrong with it, and the remedy; None when nothing is."""
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                return f"{name}: {getattr(self, name)!r} is unknown", f"one of {', '.join(known)}"
        if octets_of(self.more_tlvs) is None:
            return f"more_tlvs: {self.more_tlvs!r} is not octets in hex", "write tag, length and value"
        try:
            self.written("1", "DELIVRD", "000", 0.0)
        except (KeyError, IndexError, ValueError, UnicodeError) as error:
            return f"text: {type(error).__name__}", "only id, sub, dlvrd, date, date12, date14, stat and err go in braces"
        return None

    def written(self, identity: str, state: str, code: str, wall_s: float) -> bytes:
        """The receipt's text."""
        now = time.gmtime(wall_s)
        delivered = "001" if state == "DELIVRD" else "000"
        dates = {"date": "%y%m%d%H%M", "date12": "%y%m%d%H%M%S", "date14": "%Y%m%d%H%M%S"}
        values = {name: time.strftime(form, now) for name, form in dates.items()}
        return self.text.format(id=identity, sub="001", dlvrd=delivered, stat=state, err=code, **values).encode(self.encoding)


def octets_of(text: str) -> bytes | None:
    """Octets in hex, blanks between them allowed; None for what is none."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


PLAIN: Final = ReceiptForm()


class Whole(bytes):
    """A receipt that is a PDU already, header included, since no session would write it so."""

    __slots__ = ()


class FormWriter:
    """Writes receipts in one form; the same call as ReceiptWriter's."""

    __slots__ = ("_form", "_sequences")

    def __init__(self, form: ReceiptForm) -> None:
        self._form = form
        self._sequences = count(_FIRST_SEQUENCE)

    def body(self, submit: SubmitSm, message_id: str, state: str, code: str, wall_s: float) -> bytes:
        """The deliver_sm body of the receipt for `submit`, or a Whole PDU. Raises LocalProtocolError for what does not fit."""
        form = self._form
        identity = IDS[form.ids](int(message_id))
        text = b"" if form.tlvs == "only" else form.written(identity, state, code, wall_s)
        in_payload = form.place == "message_payload" or form.pdu == "data_sm" or len(text) > SHORT_MESSAGE_BYTES_MAX
        tlvs: dict[str | int, int | str | bytes] = {}
        if form.tlvs != "none":
            tlvs |= {"receipted_message_id": identity, "message_state": STATES.get(state, 7)}
        if form.network_error != "none":
            digits = f"{int(code) if code.isdigit() else 0:03d}"[:3]
            tlvs["network_error_code"] = digits.encode() if form.network_error == "ascii" else bytes((3, 0, int(digits) & 255))
        if in_payload and text:
            tlvs["message_payload"] = text + b"\0" * form.nul
        if form.pdu == "data_sm":
            return Whole(encode(Pdu(c.Command.DATA_SM, self._addresses(submit), pairs(tlvs), next(self._sequences))))
        body = deliver_sm_body(
            submit.destination_addr,
            submit.source_addr,
            b"" if in_payload else text,
            source_ton=submit.dest_addr_ton,
            source_npi=submit.dest_addr_npi,
            dest_ton=submit.source_addr_ton,
            dest_npi=submit.source_addr_npi,
            esm_class=form.esm_class,
            data_coding=form.data_coding,
        )
        body += b"\0" * (form.nul and not in_payload) + write(pairs(tlvs)) + (octets_of(form.more_tlvs) or b"")
        return body if form.sequence < 0 else Whole(pdu(c.DELIVER_SM, 0, form.sequence, body))

    def _addresses(self, submit: SubmitSm) -> dict[str, int | str]:
        return {
            "source_addr_ton": submit.dest_addr_ton,
            "source_addr_npi": submit.dest_addr_npi,
            "source_addr": submit.destination_addr,
            "dest_addr_ton": submit.source_addr_ton,
            "dest_addr_npi": submit.source_addr_npi,
            "destination_addr": submit.source_addr,
            "esm_class": self._form.esm_class,
            "data_coding": self._form.data_coding,
        }
