"""SMPP 3.3 to 5.0 as values: PDUs, texts, segments, receipts, statuses.

A library without IO, clock or global state in these parts (`smpp.session` is the protocol's automaton over them, `smpp.link`
and `smpp.server` drive it with trio). It knows the standard library and smpplib, and refuses to know any dispatcher.

    from smpp import SUBMIT_SM, Encoding, SubmitTemplate, cut, pdu
    template = SubmitTemplate("Bank", source_ton=5, source_npi=0, dest_ton=1, dest_npi=1)
    for sequence, part in enumerate(cut("Hello", Encoding.GSM7), start=1):
        wire = pdu(SUBMIT_SM, 0, sequence, template.body("4915112345678", part))
"""

from __future__ import annotations

from smpp.codec import (
    DeliverSm,
    ShortMessage,
    SubmitSm,
    SubmitTemplate,
    decode_data_sm,
    decode_deliver_sm,
    decode_header,
    decode_submit_sm,
    decode_submit_sm_resp,
    deliver_sm_body,
    deliver_sm_resp,
    enquire_link,
    enquire_link_resp,
    pdu,
    submit_sm_resp,
)
from smpp.constants import DELIVER_SM, SUBMIT_SM, Command, Tlv
from smpp.control import BindMode, bind, bind_resp, decode_bind, decode_bind_resp, generic_nack, unbind, unbind_resp
from smpp.errors import BadPdu, FramingLost, LocalProtocolError, RemoteProtocolError, SmppError
from smpp.framing import Framer
from smpp.pdus import Pdu
from smpp.receipts import Receipt, parse
from smpp.segments import concat_header, count, count_bytes, cut, cut_bytes
from smpp.status import StatusClass, classify
from smpp.text import Encoding, from_gsm7, gsm7, narrowest, transliterate, ucs2

__all__ = [
    "DELIVER_SM",
    "SUBMIT_SM",
    "BadPdu",
    "BindMode",
    "Command",
    "DeliverSm",
    "Encoding",
    "Framer",
    "FramingLost",
    "LocalProtocolError",
    "Pdu",
    "Receipt",
    "RemoteProtocolError",
    "ShortMessage",
    "SmppError",
    "StatusClass",
    "SubmitSm",
    "SubmitTemplate",
    "Tlv",
    "bind",
    "bind_resp",
    "classify",
    "concat_header",
    "count",
    "count_bytes",
    "cut",
    "cut_bytes",
    "decode_bind",
    "decode_bind_resp",
    "decode_data_sm",
    "decode_deliver_sm",
    "decode_header",
    "decode_submit_sm",
    "decode_submit_sm_resp",
    "deliver_sm_body",
    "deliver_sm_resp",
    "enquire_link",
    "enquire_link_resp",
    "from_gsm7",
    "generic_nack",
    "gsm7",
    "narrowest",
    "parse",
    "pdu",
    "submit_sm_resp",
    "transliterate",
    "ucs2",
    "unbind",
    "unbind_resp",
]
