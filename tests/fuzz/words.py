"""What must hold of everything that reads texts of carriers and handsets, for any bytes: receipts, alphabets, parts, ids.

Each function takes one input and raises AssertionError, or whatever its decoder should not have raised. It refuses to know
where inputs come from.
"""

from __future__ import annotations

from itertools import product

from smpp import codec
from smpp import constants as c
from smpp.codec import DeliverSm
from smpp.fields import whole_tlvs
from smpp.national import LOCKING, SINGLE, Language, from_septets, septets, shift_of, shifts, tables_of
from smpp.parts import PART_BYTES_MAX, alphabet_of, content_of, text_of
from smpp.receipts import MESSAGE_ID_CHARS_MAX, STATE_CHARS_MAX, STATES, Receipt, glance, parse
from smpp.segments import SEGMENTS_MAX, concat_header, count, cut, room
from smpp.septets import pack, unpack
from smpp.text import Encoding, encode, from_gsm7, gsm7, narrowest, transliterate
from tests.fuzz import seeds

SHORT_MESSAGE_BYTES_MAX = 254
_BODY = codec.deliver_sm_body("1", "2", b"")
_BEFORE, _AFTER = codec.pdu(c.DELIVER_SM, 0, 7, _BODY[:9]), _BODY[10:-1]
assert _BODY[9:10] == b"\0", "esm_class is not where the halves of this body part"

# --- receipts: esm_class, a count, so many octets of TLVs, text -----------------------------------------------------------


def receipts(data: bytes) -> None:
    """A receipt with a canonical state and bounded fields, or none; by sight, by PDU and field by field the same."""
    esm_class, own, text = _taken(data, 1)
    message = DeliverSm(esm_class=esm_class[0], short_message=text, tlvs=whole_tlvs(own, 0), sequence=7)
    found, by_text = parse(message), parse(message, by_text=True)
    for receipt in (found, by_text):
        _bounded(receipt)
    assert found is None or found == by_text
    if len(text) > SHORT_MESSAGE_BYTES_MAX or (c.TLV_MESSAGE_PAYLOAD in message.tlvs):
        return
    wire = b"".join((_BEFORE, esm_class, _AFTER, bytes((len(text),)), text, codec.encode_tlvs(message.tlvs)))
    assert parse(codec.decode_deliver_sm(wire)) == found
    seen = glance(wire, 7)
    assert seen is None or seen == found
    if not message.tlvs:  # with a TLV that says nothing the short way is not taken
        assert parse(message._replace(tlvs={0x1400: b""})) == found


def _bounded(receipt: Receipt | None) -> None:
    if receipt is not None:
        assert receipt.state in STATES
        assert len(receipt.id) <= MESSAGE_ID_CHARS_MAX
        assert max(len(receipt.code), len(receipt.raw_state)) <= STATE_CHARS_MAX
        assert receipt.sequence == 7


def _taken(data: bytes, first: int) -> tuple[bytes, bytes, bytes]:
    """`first` octets (zeros where there are none), as many as the next one counts, the rest."""
    head = data[:first].ljust(first, b"\0")
    counted = data[first] if len(data) > first else 0
    return head, data[first + 1 : first + 1 + counted], data[first + 1 + counted :]


def _tlvs(message: codec.ShortMessage) -> bytes:
    own = codec.encode_tlvs(message.tlvs)
    return bytes((len(own),)) + own if len(own) < 256 else b"\0"


def receipts_seeds() -> list[bytes]:
    """Every receipt that a golden file has."""
    return [bytes((each.esm_class,)) + _tlvs(each) + each.short_message for each in seeds.delivers()]


# --- GSM 7-bit and the other alphabets: octets ---------------------------------------------------------------------------


def alphabets(data: bytes) -> None:
    """Any octets are a text; a text that is in the alphabet comes back; segments hold all of it and no more than they may."""
    text = from_gsm7(data)
    assert len(data) // 2 <= len(text) <= len(data)
    if "\ufffd" not in text:
        again = gsm7(text)
        assert again is not None
        assert from_gsm7(again) == text
    fill = len(data) % 7
    septet = bytes(octet & 0x7F for octet in data)
    assert max(unpack(data, fill), default=0) < 0x80
    back = unpack(pack(septet, fill), fill)
    assert back == septet or (septet[-1] in b"\0\r" and back == septet[:-1])
    if len(data) & 7 == 6:  # of some only: it takes ten times as long
        _cut(data.decode("utf-16-be", "surrogatepass"))
    elif len(data) & 7 == 5:
        _cut(text)


def _cut(text: str) -> None:
    written = gsm7(text)
    assert written is None or from_gsm7(written) == text
    kind = narrowest(text, (Encoding.GSM7, Encoding.UCS2))
    if kind is None:
        assert any("\ud800" <= character <= "\udfff" for character in text)
        return
    parts = cut(text, kind)
    assert b"".join(parts) == encode(text, kind)
    assert len(parts) == count(text, kind) or kind is Encoding.UCS2
    assert all(len(part) <= room(kind, len(parts)) for part in parts)
    assert written is None or transliterate(text) == text


def alphabets_seeds() -> list[bytes]:
    """Texts, every septet, every pair, and UTF-16 with pairs of surrogates."""
    pairs = b"".join(bytes((0x1B, code)) for code in range(128))
    wide = [text.encode("utf-16-be") for text in ("Привет", "😀 na", "e\u0301" * 90, "…—“x”", "€" * 161, "👨‍👩‍👧" * 20)]
    return [*seeds.texts(), bytes(range(256)), pairs[:128], pairs[128:], *wide]


# --- national languages: locking, single, octets --------------------------------------------------------------------------


def national(data: bytes) -> None:
    """Any octets under any tables are a text; where the tables exist it is written and read alike, and cut without loss."""
    locking, single = data[:2].ljust(2, b"\0")
    text = from_septets(data[2:], locking, single)
    assert len(text) <= len(data[2:])
    assert text_of([(f"gsm7/{locking}/{single}", data[2:])]) == text
    if "\ufffd" in text or locking not in LOCKING or single not in SINGLE:
        return
    written = septets(text, locking, single)
    assert written is not None
    assert from_septets(written, locking, single) == text
    if (locking or single) and len(text) > 140:
        parts = cut(text, Encoding.GSM7, shift=shift_of(locking, single))
        assert "".join(from_septets(part, locking, single) for part in parts) == text
    if locking and len(text) < 20:
        for shift, octets in shifts(text, (Language(locking),)):
            assert from_septets(octets, *tables_of(shift)) == text


def national_seeds() -> list[bytes]:
    """All septets and pairs under each language's tables, each alone and both."""
    for locking, single in product(LOCKING, SINGLE):
        septets(" ", locking, single)  # each pair's codes are made once and kept
    every = bytes(range(128)) + b"".join(bytes((0x1B, code)) for code in range(0, 128, 3))
    tables = [(a, b) for each in Language for a, b in ((each, 0), (0, each), (each, each))]
    return [bytes(pair) + every[start : start + 60] for pair in tables for start in (0, 64, 128)]


# --- messages of handsets: packed, esm_class, data_coding, a count, so many octets of TLVs, user data -----------------------


def parts(data: bytes) -> None:
    """User data comes apart into header and rest, with a place in a whole; the rest is a text or binary. A text that was cut
    and numbered comes together in any order."""
    (packed, esm_class, coding), own, user = _taken(data, 3)
    message = DeliverSm(esm_class=esm_class, data_coding=coding, short_message=user, tlvs=whole_tlvs(own, 0))
    content = content_of(message, packed=packed > 127)
    if packed > 127 and content.alphabet.startswith("gsm7"):
        assert user.startswith(content.header)
    else:
        assert content.header + content.data == user
    assert 1 <= content.place <= content.total <= 255
    assert (content.total > 1) == bool(content.way)
    assert 0 <= content.reference <= 0xFFFF
    assert not content.way or len(content.data) <= PART_BYTES_MAX
    text = text_of([(content.alphabet, content.data)])
    assert text is not None or content.alphabet in {"", "utf-16-be", "iso8859-8"}  # the last has holes
    if text is not None and len(user) > 140 and alphabet_of(coding) in {"gsm7", "utf-16-be"}:
        _reassembled(text, coding, wide=bool(packed & 1), reference=len(user))


def _reassembled(text: str, coding: int, *, wide: bool, reference: int) -> None:
    kind = narrowest(text, (Encoding.GSM7, Encoding.UCS2))
    assert kind is not None or "\ufffd" in text or coding
    if kind is None:
        return
    cuts = cut(text, kind, wide)
    if not 1 < len(cuts) <= SEGMENTS_MAX:
        return
    heads = [concat_header(reference, len(cuts), place, wide) for place in range(1, len(cuts) + 1)]
    came = [
        content_of(DeliverSm(esm_class=c.ESM_UDHI, data_coding=kind, short_message=head + part))
        for head, part in reversed(list(zip(heads, cuts, strict=True)))
    ]
    assert {(each.way, each.reference, each.total) for each in came} == {
        ("udh16" if wide else "udh8", reference & (0xFFFF if wide else 0xFF), len(cuts))
    }
    assert text_of([(each.alphabet, each.data) for each in sorted(came, key=lambda each: each.place)]) == text


def parts_seeds() -> list[bytes]:
    """Every kind of header and numbering, every alphabet, packed and not, and a captured message of each golden file."""
    sar = codec.encode_tlvs({c.Tlv.SAR_MSG_REF_NUM: b"\0\7", c.Tlv.SAR_TOTAL_SEGMENTS: b"\2", c.Tlv.SAR_SEGMENT_SEQNUM: b"\1"})
    heads = [
        *(concat_header(7, 2, 1), concat_header(700, 2, 2, wide=True), bytes.fromhex("06050415b30000")),
        *(bytes.fromhex("03240101"), bytes.fromhex("06240101250101"), bytes.fromhex("0b000307020105040b8423f0")),
    ]
    made = [bytes((0, c.ESM_UDHI, coding, 0)) + head + b"hello" for head in heads for coding in (0, 4, 8, 0xF0)]
    made += [bytes((packed, 0, coding, 0)) + b"hello" for packed in (0, 200) for coding in (0, 1, 3, 6, 7, 8, 0x18, 0xE0)]
    made += [bytes((0, 0, 0, len(sar))) + sar + b"hello", bytes((1, 0, 8, 0)) + "Привет".encode("utf-16-be") * 20]
    taken = [bytes((0, each.esm_class, each.data_coding)) + _tlvs(each) + each.short_message for each in seeds.delivers()]
    return made + taken
