"""The body that submit_sm and deliver_sm share, as a value.

This module refuses to know how it looks on the wire (codec.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

NO_TLVS: Final[Mapping[int, bytes]] = MappingProxyType({})
_NOT_SHOWN: Final = frozenset({"short_message", "tlvs"})


class ShortMessage(NamedTuple):
    """The body that submit_sm and deliver_sm share, under the specification's names; text fields are latin-1.

    `short_message` also holds what came in message_payload (the TLV is then gone from `tlvs`, unless both were
    filled, which SMPP forbids: then both are kept as they came). `tlvs` maps tag to raw value; a repeated tag keeps
    its last value. A tuple, since nothing else with twenty fields is made as fast; texts are not in its repr.
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
    short_message: bytes = b""
    tlvs: Mapping[int, bytes] = NO_TLVS
    sequence: int = 0
    status: int = 0

    def __repr__(self) -> str:
        shown = ", ".join([f"{n}={v!r}" for n, v in zip(self._fields, self, strict=True) if n not in _NOT_SHOWN])
        return f"{type(self).__name__}({shown})"


class SubmitSm(ShortMessage):
    """submit_sm (SMPP 3.4, 4.4.1): a message on its way to the handset."""

    __slots__ = ()


class DeliverSm(ShortMessage):
    """deliver_sm (4.6.1) or data_sm (4.7.1) towards us: a handset's message or a receipt (receipts.py tells which)."""

    __slots__ = ()
