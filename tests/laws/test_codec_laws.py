"""Laws of the codec: equal to smpplib on every field where smpplib is right, round trips, and total on any bytes."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from smpplib import consts
from smpplib import smpp as smpplib_smpp

from smpp import codec, control
from smpp import constants as c
from smpp.errors import BadPdu

octet = st.integers(0, 255)
sequence = st.integers(0, 0xFFFFFFFF)
latin1 = st.characters(min_codepoint=1, max_codepoint=255)


def text(chars_max: int) -> st.SearchStrategy[str]:
    """A C-octet string's content."""
    return st.text(latin1, max_size=chars_max)


body_fields = st.fixed_dictionaries(
    {
        "service_type": text(5),
        "source_addr_ton": octet,
        "source_addr_npi": octet,
        "source_addr": text(20),
        "dest_addr_ton": octet,
        "dest_addr_npi": octet,
        "destination_addr": text(20),
        "esm_class": octet,
        "protocol_id": octet,
        "priority_flag": octet,
        "schedule_delivery_time": text(16),
        "validity_period": text(16),
        "registered_delivery": octet,
        "replace_if_present_flag": octet,
        "data_coding": octet,
        "sm_default_msg_id": octet,
        "short_message": st.binary(max_size=254),
    }
)
# TLVs that smpplib knows for both PDUs, in the order in which it writes them.
tlv_fields = st.fixed_dictionaries(
    {},
    optional={
        "user_message_reference": st.integers(0, 0xFFFF),
        "source_port": st.integers(0, 0xFFFF),
        "destination_port": st.integers(0, 0xFFFF),
        "sar_msg_ref_num": st.integers(0, 0xFFFF),
        "sar_total_segments": octet,
        "sar_segment_seqnum": octet,
    },
)
receipt_fields = st.fixed_dictionaries(
    {},
    optional={
        "network_error_code": st.binary(min_size=3, max_size=3),
        "message_state": octet,
        "receipted_message_id": st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1, max_size=64),
    },
)
TWO_BYTES = {"user_message_reference", "source_port", "destination_port", "sar_msg_ref_num"}
ORDER = [
    "user_message_reference",
    "source_port",
    "destination_port",
    "sar_msg_ref_num",
    "sar_total_segments",
    "sar_segment_seqnum",
    "network_error_code",
    "message_state",
    "receipted_message_id",
]


def raw_tlvs(fields: dict[str, Any]) -> dict[int, bytes]:
    """smpplib's named optional parameters as tag and raw value."""

    def raw(name: str, value: Any) -> bytes:
        if isinstance(value, str):
            return value.encode("ascii") + b"\0"
        if isinstance(value, int):
            return value.to_bytes(2 if name in TWO_BYTES else 1, "big")
        return bytes(value)

    return {consts.OPTIONAL_PARAMS[name]: raw(name, fields[name]) for name in ORDER if name in fields}


def smpplib_pdu(name: str, sequence: int, fields: dict[str, Any]) -> bytes:
    """The PDU as smpplib writes it (its sequence has to be set afterwards)."""
    made = smpplib_smpp.make_pdu(name, sequence=sequence, **fields)
    made.sequence = sequence
    return bytes(made.generate())


def template_of(fields: dict[str, Any], tlvs: dict[int, bytes]) -> codec.SubmitTemplate:
    """Our template for smpplib's field names."""
    return codec.SubmitTemplate(
        fields["source_addr"],
        source_ton=fields["source_addr_ton"],
        source_npi=fields["source_addr_npi"],
        dest_ton=fields["dest_addr_ton"],
        dest_npi=fields["dest_addr_npi"],
        service_type=fields["service_type"],
        esm_class=fields["esm_class"],
        data_coding=fields["data_coding"],
        schedule=fields["schedule_delivery_time"],
        validity=fields["validity_period"],
        registered_delivery=fields["registered_delivery"],
        replace_if_present=fields["replace_if_present_flag"],
        priority=fields["priority_flag"],
        protocol_id=fields["protocol_id"],
        default_message_id=fields["sm_default_msg_id"],
        tlvs=tlvs,
    )


@given(sequence, body_fields, tlv_fields)
def test_submit_sm_is_what_smpplib_writes(sequence: int, fields: dict[str, Any], tlvs: dict[str, Any]) -> None:
    """Every byte of a submit_sm with any fields equals smpplib's, and decodes to the fields it was made of."""
    wire = codec.pdu(
        c.SUBMIT_SM, 0, sequence, template_of(fields, raw_tlvs(tlvs)).body(fields["destination_addr"], fields["short_message"])
    )
    assert wire == smpplib_pdu("submit_sm", sequence, fields | tlvs)
    decoded = codec.decode_submit_sm(wire)
    assert {name: getattr(decoded, name) for name in fields} == fields
    assert (decoded.tlvs, decoded.sequence, decoded.status) == (raw_tlvs(tlvs), sequence, 0)


@given(sequence, body_fields, tlv_fields, receipt_fields)
def test_deliver_sm_reads_what_smpplib_writes(
    sequence: int, fields: dict[str, Any], tlvs: dict[str, Any], receipt: dict[str, Any]
) -> None:
    """A deliver_sm written by smpplib decodes to the same fields, and smpplib reads the same from ours."""
    wire = smpplib_pdu("deliver_sm", sequence, fields | tlvs | receipt)
    decoded = codec.decode_deliver_sm(wire)
    assert {name: getattr(decoded, name) for name in fields} == fields
    assert (decoded.tlvs, decoded.sequence) == (raw_tlvs(tlvs | receipt), sequence)
    ours = codec.pdu(
        c.DELIVER_SM,
        0,
        sequence,
        template_of(fields, raw_tlvs(tlvs | receipt)).body(fields["destination_addr"], fields["short_message"]),
    )
    assert ours == wire
    theirs = smpplib_smpp.parse_pdu(ours, sequence=sequence)
    for name, value in fields.items():
        read = getattr(theirs, name)
        assert (read or b"" if not isinstance(value, int) else read) == (
            value.encode("latin-1") if isinstance(value, str) else value
        )


@given(sequence, st.integers(0, 0xFFFFFFFF), text(64))
def test_submit_sm_resp(sequence: int, status: int, message_id: str) -> None:
    """Any answer comes back; a successful one is smpplib's byte for byte."""
    wire = codec.submit_sm_resp(sequence, status, message_id)
    assert codec.decode_submit_sm_resp(wire) == (status, sequence, message_id)
    if status == 0:
        assert wire == smpplib_pdu("submit_sm_resp", sequence, {"message_id": message_id})


@given(sequence)
def test_small_pdus_are_smpplibs(sequence: int) -> None:
    """enquire_link and both empty answers equal smpplib's."""
    assert codec.enquire_link(sequence) == smpplib_pdu("enquire_link", sequence, {})
    assert codec.enquire_link_resp(sequence) == smpplib_pdu("enquire_link_resp", sequence, {})
    assert codec.deliver_sm_resp(sequence) == smpplib_pdu("deliver_sm_resp", sequence, {"message_id": ""})


@given(st.sampled_from(list(control.BindMode)), text(15), text(32), text(12), octet, sequence, octet, octet, text(40))
def test_binds_round_trip(
    mode: control.BindMode,
    system_id: str,
    password: str,
    system_type: str,
    version: int,
    sequence: int,
    ton: int,
    npi: int,
    address_range: str,
) -> None:
    """Any bind comes back field by field."""
    wire = control.bind(
        mode,
        system_id,
        password,
        system_type=system_type,
        version=version,
        sequence=sequence,
        addr_ton=ton,
        addr_npi=npi,
        address_range=address_range,
    )
    expected = control.Bind(mode, sequence, system_id, password, system_type, version, ton, npi, address_range)
    assert control.decode_bind(wire) == expected


def refusal(decode: Any, data: bytes) -> BadPdu | None:
    """The BadPdu that `data` gives, None for a value; any other exception fails the test."""
    try:
        decode(data)
    except BadPdu as bad:
        return bad
    return None


DECODERS = [
    codec.decode_header,
    codec.decode_submit_sm,
    codec.decode_deliver_sm,
    codec.decode_data_sm,
    codec.decode_submit_sm_resp,
    codec.decode_submit_sm_resp_tlvs,
    control.decode_bind,
    control.decode_bind_resp,
]


@given(st.sampled_from(DECODERS), st.binary(max_size=200))
@example(codec.decode_deliver_sm, bytes(16))
def test_decoders_are_total(decode: Any, data: bytes) -> None:
    """Any bytes give a value or a BadPdu; the slow twin finds a field whenever the fast pattern does not match."""
    bad = refusal(decode, data)
    assert bad is None or (bad.field not in {"", "body"} and bad.status != 0)


@given(body_fields, st.data())
def test_damaged_pdus_are_total(fields: dict[str, Any], data: st.DataObject) -> None:
    """A real deliver_sm cut short or with one byte changed gives a value or a BadPdu that names a field."""
    wire = bytearray(codec.pdu(c.DELIVER_SM, 0, 1, template_of(fields, {0x1E: b"7\0"}).body("49", fields["short_message"])))
    wire[data.draw(st.integers(16, len(wire) - 1))] = data.draw(octet)
    cut = data.draw(st.integers(0, len(wire)))
    bad = refusal(codec.decode_deliver_sm, bytes(wire[:cut]))
    assert bad is None or bad.field not in {"", "body"}
