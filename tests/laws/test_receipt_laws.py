"""Laws of receipts: total on anything, and the TLVs' word over the text's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smpp import codec
from smpp.codec import DeliverSm
from smpp.constants import DELIVER_SM
from smpp.receipts import STATES, Receipt, glance, parse

word = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=":=,;"), max_size=12)
fragment = st.one_of(
    st.sampled_from(
        ["id:", "sub:", "dlvrd:", "submit date:", "done date:", "stat:", "err:", "text:", " ", "\0", "STAT:", "id :", "DELIVRD"]
    ),
    word,
    st.text(st.characters(max_codepoint=255), max_size=5),
)
receipt_like = st.lists(fragment, max_size=20).map(lambda pieces: "".join(pieces).encode("latin-1", "replace"))
tlvs = st.dictionaries(
    st.one_of(st.sampled_from([0x1E, 0x204, 0x423, 0x424, 0x427]), st.integers(0, 0xFFFF)), st.binary(max_size=80), max_size=4
)


@given(st.one_of(st.binary(max_size=300), receipt_like), st.integers(0, 255), st.integers(0, 255), tlvs)
def test_parse_is_total(data: bytes, esm_class: int, data_coding: int, tlvs: dict[int, bytes]) -> None:
    """Any deliver_sm is a receipt with a canonical state and bounded fields, or none; nothing is raised."""
    receipt = parse(DeliverSm(esm_class=esm_class, data_coding=data_coding, short_message=data, tlvs=tlvs))
    if receipt is not None:
        assert receipt.state in STATES
        assert len(receipt.id) <= 64
        assert len(receipt.raw_state) <= 32
        assert len(receipt.code) <= 32


@given(st.one_of(st.binary(max_size=300), receipt_like), st.sampled_from([0x00, 0x01, 0x03, 0x08, 0x10, 0x40, 0x80]))
def test_text_alone_never_makes_a_receipt(data: bytes, esm_class: int) -> None:
    """Without type bits and TLVs whatever a handset writes stays a handset's message."""
    assert parse(DeliverSm(esm_class=esm_class, short_message=data)) is None


@given(receipt_like, st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64))
def test_tlvs_win(data: bytes, receipt_id: str) -> None:
    """Whatever the text says, id and state are the TLVs'."""
    receipt = parse(DeliverSm(esm_class=4, short_message=data, tlvs={0x1E: receipt_id.encode() + b"\0", 0x427: b"\5"}))
    assert receipt is not None
    assert (receipt.id, receipt.state) == (receipt_id, "UNDELIV")


FIELDS = ["id:75a", "sub:001", "dlvrd:001", "submit date:2211221200", "done date:2211221201", "stat:EXPIRED", "err:21b"]


@given(st.permutations(FIELDS), st.booleans(), st.sampled_from([" ", "  ", "\r\n", ", "]))
def test_order_case_and_spacing_do_not_matter(fields: list[str], capitals: bool, between: str) -> None:
    """The same fields in any order, in small or capital names, are the same receipt."""
    text = between.join(field.split(":")[0].upper() + ":" + field.split(":")[1] if capitals else field for field in fields)
    receipt = parse(DeliverSm(esm_class=4, short_message=text.encode() + b" text:id:9 stat:DELIVRD"))
    assert receipt is not None
    assert receipt[:3] == ("75a", "EXPIRED", "21b")


standard = st.builds(
    "id:{} sub:001 dlvrd:{} submit date:{} done date:2211221201 stat:{} err:{}{}".format,
    st.one_of(word, st.sampled_from(["75a", "x" * 64, "x" * 65, "\xa0", "\x85", "7:5"])),
    st.sampled_from(["000", "1", "\xb2", ""]),
    st.sampled_from(["2211221200", "20221122120000", "2211 221200"]),
    st.sampled_from([*sorted(STATES), "ACKED", "DELIVERED", "SKIPPED", "NONSENS", "DELIVR", "delivrd", "UNKNOWN"]),
    st.one_of(word, st.sampled_from(["000", "0" * 32, "0" * 33])),
    st.sampled_from(["", " ", "\n", "\0", "\0 \0", " text:", " text:id:9 stat:REJECTD", "text:", "\r\n"]),
)


@given(st.one_of(standard.map(lambda text: text.encode("latin-1")), receipt_like))
def test_the_form_most_carriers_use_has_no_rules_of_its_own(data: bytes) -> None:
    """What is read at one glance is what is read field by field: a TLV that says nothing forbids the glance."""
    quick = parse(DeliverSm(esm_class=4, short_message=data))
    assert parse(DeliverSm(esm_class=4, short_message=data, tlvs={0x1400: b""})) == quick


@given(
    st.one_of(standard.map(lambda text: text.encode("latin-1")), receipt_like).map(lambda data: data[:254]),
    st.sampled_from([4, 0, 0x20, 0x44, 0x24, 8]),
    tlvs | st.just({}),
    st.lists(st.tuples(st.integers(16, 400), st.integers(0, 255)), max_size=2),
)
def test_a_glance_at_the_pdu_sees_what_decoding_sees(
    data: bytes, esm_class: int, tlvs: dict[int, bytes], damage: list[tuple[int, int]]
) -> None:
    """What is recognised in a PDU without decoding it is a good PDU, and the receipt that parsing finds in it."""
    pdu = bytearray(codec.pdu(DELIVER_SM, 0, 77, codec.deliver_sm_body("4479", "Acme", data, esm_class=esm_class, tlvs=tlvs)))
    for position, octet in damage:
        if position < len(pdu):
            pdu[position] = octet
    receipt = glance(bytes(pdu), 77)
    if receipt is not None:
        assert parse(codec.decode_deliver_sm(bytes(pdu))) == receipt


def test_most_receipts_take_a_glance() -> None:
    """The form of SMPP 3.4, appendix B is recognised, else the speed is gone; the same with a TLV is left to parsing."""
    text = "id:75a sub:001 dlvrd:001 submit date:2211221200 done date:2211221201 stat:DELIVRD err:000 text:Hello"
    body = codec.deliver_sm_body("4479", "Acme", text.encode(), esm_class=4)
    assert glance(codec.pdu(DELIVER_SM, 0, 5, body), 5) == Receipt("75a", "DELIVRD", "000", None, "DELIVRD", None, 5)
    assert glance(codec.pdu(DELIVER_SM, 0, 5, body + b"\x04\x27\0\1\5"), 5) is None
