"""The body that submit_sm and deliver_sm share, as a value.

This module refuses to know how it looks on the wire (codec.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ShortMessage:
    """The body that submit_sm and deliver_sm share, under the specification's names; text fields are latin-1.

    `short_message` also holds what came in message_payload (the TLV is then gone from `tlvs`, unless both were
    filled, which SMPP forbids: then both are kept as they came). `tlvs` maps tag to raw value; a repeated tag keeps
    its last value.
    """

    service_type: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = field(default=b"", repr=False)
    tlvs: dict[int, bytes] = field(default_factory=dict, repr=False)
    sequence: int = 0
    status: int = 0


class SubmitSm(ShortMessage):
    """submit_sm (SMPP 3.4, 4.4.1): a message on its way to the handset."""

    __slots__ = ()


class DeliverSm(ShortMessage):
    """deliver_sm (4.6.1) or data_sm (4.7.1) towards us: a handset's message or a receipt (receipts.py tells which)."""

    __slots__ = ()
