"""A handset's message as a row of `inbound`.

It refuses to know what a message means (STOP, a reply) and to join parts: a part is a row of its own, with its header.
"""

from __future__ import annotations

from dispatcher.core.model import InboundRow
from smpp import constants as c
from smpp.codec import DeliverSm
from smpp.text import Encoding, from_gsm7


def inbound_row(new_id: str, carrier: str, deliver: DeliverSm, at: int) -> InboundRow:
    """A handset's message as a row; text where its coding can be read, else its octets. Parts are rows of their own."""
    data = deliver.short_message
    text = None if deliver.esm_class & c.ESM_UDHI else read_text(data, deliver.data_coding)
    binary = data if text is None else None
    return InboundRow(new_id, deliver.source_addr, deliver.destination_addr, text, binary, carrier, 1, at)


def read_text(data: bytes, data_coding: int) -> str | None:
    """The text under a data coding; None where it is not text or does not decode."""
    try:
        if data_coding == Encoding.UCS2:
            return data.decode("utf-16-be")
        if data_coding in {1, Encoding.LATIN1}:
            return data.decode("latin-1")
        return from_gsm7(data) if data_coding == Encoding.GSM7 else None
    except ValueError:
        return None
