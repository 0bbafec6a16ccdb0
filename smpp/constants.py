"""Numbers of SMPP 3.4: command ids, statuses, TLV tags, esm_class bits, data codings, TON and NPI.

This module refuses to know what any of them means for a message. What smpplib has right is taken from it; what it
lacks (the esm_class bits of receipts, generic_nack as a number, states and statuses of SMPP 5) is added here.
"""

from __future__ import annotations

from enum import IntEnum

from smpplib import command_codes, consts

RESPONSE = 0x80000000
"""Bit of command_id that marks a response."""


class Command(IntEnum):
    """command_id (SMPP 3.4, 5.1.2.1)."""

    GENERIC_NACK = 0x80000000
    BIND_RECEIVER = command_codes.commands["bind_receiver"]
    BIND_RECEIVER_RESP = command_codes.commands["bind_receiver_resp"]
    BIND_TRANSMITTER = command_codes.commands["bind_transmitter"]
    BIND_TRANSMITTER_RESP = command_codes.commands["bind_transmitter_resp"]
    QUERY_SM = command_codes.commands["query_sm"]
    QUERY_SM_RESP = command_codes.commands["query_sm_resp"]
    SUBMIT_SM = command_codes.commands["submit_sm"]
    SUBMIT_SM_RESP = command_codes.commands["submit_sm_resp"]
    DELIVER_SM = command_codes.commands["deliver_sm"]
    DELIVER_SM_RESP = command_codes.commands["deliver_sm_resp"]
    UNBIND = command_codes.commands["unbind"]
    UNBIND_RESP = command_codes.commands["unbind_resp"]
    REPLACE_SM = command_codes.commands["replace_sm"]
    REPLACE_SM_RESP = command_codes.commands["replace_sm_resp"]
    CANCEL_SM = command_codes.commands["cancel_sm"]
    CANCEL_SM_RESP = command_codes.commands["cancel_sm_resp"]
    BIND_TRANSCEIVER = command_codes.commands["bind_transceiver"]
    BIND_TRANSCEIVER_RESP = command_codes.commands["bind_transceiver_resp"]
    OUTBIND = command_codes.commands["outbind"]
    ENQUIRE_LINK = command_codes.commands["enquire_link"]
    ENQUIRE_LINK_RESP = command_codes.commands["enquire_link_resp"]
    SUBMIT_MULTI = command_codes.commands["submit_multi"]
    SUBMIT_MULTI_RESP = command_codes.commands["submit_multi_resp"]
    ALERT_NOTIFICATION = command_codes.commands["alert_notification"]
    DATA_SM = command_codes.commands["data_sm"]
    DATA_SM_RESP = command_codes.commands["data_sm_resp"]
    # SMPP 5 (4.7.5), of which smpplib has none
    BROADCAST_SM = 0x00000111
    BROADCAST_SM_RESP = 0x80000111
    QUERY_BROADCAST_SM = 0x00000112
    QUERY_BROADCAST_SM_RESP = 0x80000112
    CANCEL_BROADCAST_SM = 0x00000113
    CANCEL_BROADCAST_SM_RESP = 0x80000113


GENERIC_NACK = 0x80000000
BIND_RECEIVER, BIND_RECEIVER_RESP = 0x00000001, 0x80000001
BIND_TRANSMITTER, BIND_TRANSMITTER_RESP = 0x00000002, 0x80000002
SUBMIT_SM, SUBMIT_SM_RESP = 0x00000004, 0x80000004
DELIVER_SM, DELIVER_SM_RESP = 0x00000005, 0x80000005
UNBIND, UNBIND_RESP = 0x00000006, 0x80000006
BIND_TRANSCEIVER, BIND_TRANSCEIVER_RESP = 0x00000009, 0x80000009
OUTBIND = 0x0000000B
ENQUIRE_LINK, ENQUIRE_LINK_RESP = 0x00000015, 0x80000015
DATA_SM, DATA_SM_RESP = 0x00000103, 0x80000103
# Plain ints beside the enumeration: comparing with an IntEnum member costs three times as much per PDU.

ESME_ROK: int = consts.SMPP_ESME_ROK
ESME_RINVMSGLEN: int = consts.SMPP_ESME_RINVMSGLEN
ESME_RINVCMDLEN: int = consts.SMPP_ESME_RINVCMDLEN
ESME_RINVCMDID: int = consts.SMPP_ESME_RINVCMDID
ESME_RINVBNDSTS: int = consts.SMPP_ESME_RINVBNDSTS
ESME_RALYBND: int = consts.SMPP_ESME_RALYBND
ESME_RSYSERR: int = consts.SMPP_ESME_RSYSERR
ESME_RINVSRCADR: int = consts.SMPP_ESME_RINVSRCADR
ESME_RINVDSTADR: int = consts.SMPP_ESME_RINVDSTADR
ESME_RINVMSGID: int = consts.SMPP_ESME_RINVMSGID
ESME_RBINDFAIL: int = consts.SMPP_ESME_RBINDFAIL
ESME_RINVPASWD: int = consts.SMPP_ESME_RINVPASWD
ESME_RINVSYSID: int = consts.SMPP_ESME_RINVSYSID
ESME_RMSGQFUL: int = consts.SMPP_ESME_RMSGQFUL
ESME_RINVSERTYP: int = consts.SMPP_ESME_RINVSERTYP
ESME_RSUBMITFAIL: int = consts.SMPP_ESME_RSUBMITFAIL
ESME_RINVSYSTYP: int = consts.SMPP_ESME_RINVSYSTYP
ESME_RTHROTTLED: int = consts.SMPP_ESME_RTHROTTLED
ESME_RINVSCHED: int = consts.SMPP_ESME_RINVSCHED
ESME_RINVEXPIRY: int = consts.SMPP_ESME_RINVEXPIRY
ESME_RX_T_APPN: int = consts.SMPP_ESME_RX_T_APPN
ESME_RINVOPTPARSTREAM: int = consts.SMPP_ESME_RINVOPTPARSTREAM
ESME_RUNKNOWNERR: int = consts.SMPP_ESME_RUNKNOWNERR
# Every status with its class and reason: smpp/status.py.


class Tlv(IntEnum):
    """Tags of optional parameters (SMPP 3.4, 5.3.2)."""

    PAYLOAD_TYPE = consts.OPTIONAL_PARAMS["payload_type"]
    ADDITIONAL_STATUS_INFO_TEXT = consts.OPTIONAL_PARAMS["additional_status_info_text"]
    RECEIPTED_MESSAGE_ID = consts.OPTIONAL_PARAMS["receipted_message_id"]
    USER_MESSAGE_REFERENCE = consts.OPTIONAL_PARAMS["user_message_reference"]
    SOURCE_PORT = consts.OPTIONAL_PARAMS["source_port"]
    DESTINATION_PORT = consts.OPTIONAL_PARAMS["destination_port"]
    SAR_MSG_REF_NUM = consts.OPTIONAL_PARAMS["sar_msg_ref_num"]
    LANGUAGE_INDICATOR = consts.OPTIONAL_PARAMS["language_indicator"]
    SAR_TOTAL_SEGMENTS = consts.OPTIONAL_PARAMS["sar_total_segments"]
    SAR_SEGMENT_SEQNUM = consts.OPTIONAL_PARAMS["sar_segment_seqnum"]
    SC_INTERFACE_VERSION = consts.OPTIONAL_PARAMS["sc_interface_version"]
    NETWORK_ERROR_CODE = consts.OPTIONAL_PARAMS["network_error_code"]
    MESSAGE_PAYLOAD = consts.OPTIONAL_PARAMS["message_payload"]
    DELIVERY_FAILURE_REASON = consts.OPTIONAL_PARAMS["delivery_failure_reason"]
    MORE_MESSAGES_TO_SEND = consts.OPTIONAL_PARAMS["more_messages_to_send"]
    MESSAGE_STATE = consts.OPTIONAL_PARAMS["message_state"]


TLV_RECEIPTED_MESSAGE_ID = 0x001E
TLV_USER_MESSAGE_REFERENCE = 0x0204
TLV_SC_INTERFACE_VERSION = 0x0210
TLV_NETWORK_ERROR_CODE = 0x0423
TLV_MESSAGE_PAYLOAD = 0x0424
TLV_MESSAGE_STATE = 0x0427

# esm_class (5.2.12): bits 1-0 mode, bits 5-2 type, bits 7-6 GSM features.
ESM_TYPE_MASK = 0x3C
ESM_RECEIPT = 0x04
"""Type bits of a deliver_sm that is an SMSC delivery receipt."""
ESM_DELIVERY_ACK = 0x08
ESM_USER_ACK = 0x10
ESM_CONVERSATION_ABORT = 0x18
ESM_INTERMEDIATE = 0x20
"""Type bits of an intermediate delivery notification (smpplib has no constants for deliver_sm's types)."""
ESM_UDHI: int = consts.SMPP_GSMFEAT_UDHI
ESM_REPLY_PATH: int = consts.SMPP_GSMFEAT_REPLYPATH

# data_coding (5.2.19)
DATA_CODING_DEFAULT: int = consts.SMPP_ENCODING_DEFAULT
DATA_CODING_ASCII: int = consts.SMPP_ENCODING_IA5
DATA_CODING_LATIN1: int = consts.SMPP_ENCODING_ISO88591
DATA_CODING_BINARY: int = consts.SMPP_ENCODING_BINARY2
DATA_CODING_UCS2: int = consts.SMPP_ENCODING_ISO10646

# registered_delivery (5.2.17)
RECEIPT_NONE: int = consts.SMPP_SMSC_DELIVERY_RECEIPT_NONE
RECEIPT_FINAL: int = consts.SMPP_SMSC_DELIVERY_RECEIPT_BOTH
RECEIPT_FAILURE: int = consts.SMPP_SMSC_DELIVERY_RECEIPT_FAILURE
RECEIPT_INTERMEDIATE: int = consts.SMPP_INT_NOTIFICATION_REQUESTED

VERSION_33: int = consts.SMPP_VERSION_33
VERSION_34: int = consts.SMPP_VERSION_34
VERSION_50 = 0x50


class Ton(IntEnum):
    """Type of number (5.2.5)."""

    UNKNOWN = consts.SMPP_TON_UNK
    INTERNATIONAL = consts.SMPP_TON_INTL
    NATIONAL = consts.SMPP_TON_NATNL
    NETWORK_SPECIFIC = consts.SMPP_TON_NWSPEC
    SUBSCRIBER = consts.SMPP_TON_SBSCR
    ALPHANUMERIC = consts.SMPP_TON_ALNUM
    ABBREVIATED = consts.SMPP_TON_ABBREV


class Npi(IntEnum):
    """Numbering plan (5.2.6)."""

    UNKNOWN = consts.SMPP_NPI_UNK
    ISDN = consts.SMPP_NPI_ISDN
    DATA = consts.SMPP_NPI_DATA
    TELEX = consts.SMPP_NPI_TELEX
    LAND_MOBILE = consts.SMPP_NPI_LNDMBL
    NATIONAL = consts.SMPP_NPI_NATNL
    PRIVATE = consts.SMPP_NPI_PRVT
    ERMES = consts.SMPP_NPI_ERMES
    INTERNET = consts.SMPP_NPI_IP
    WAP = consts.SMPP_NPI_WAP


class MessageState(IntEnum):
    """Values of the message_state TLV (5.2.28; SCHEDULED and SKIPPED are SMPP 5's)."""

    SCHEDULED = 0
    ENROUTE = consts.SMPP_MESSAGE_STATE_ENROUTE
    DELIVERED = consts.SMPP_MESSAGE_STATE_DELIVERED
    EXPIRED = consts.SMPP_MESSAGE_STATE_EXPIRED
    DELETED = consts.SMPP_MESSAGE_STATE_DELETED
    UNDELIVERABLE = consts.SMPP_MESSAGE_STATE_UNDELIVERABLE
    ACCEPTED = consts.SMPP_MESSAGE_STATE_ACCEPTED
    UNKNOWN = consts.SMPP_MESSAGE_STATE_UNKNOWN
    REJECTED = consts.SMPP_MESSAGE_STATE_REJECTED
    SKIPPED = 9
