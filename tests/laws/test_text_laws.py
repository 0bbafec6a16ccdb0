"""Laws of texts and segments: what is sent is what a handset of another make shows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smpp.segments import concat_header, count, cut
from smpp.text import Encoding, from_gsm7, gsm7, narrowest, transliterate, ucs2
from tests.smpp.foreign_decoder import EXTENSION_CHARACTERS, GSM_CHARACTERS, reassemble, septets_to_text

gsm_text = st.text(st.sampled_from(GSM_CHARACTERS + EXTENSION_CHARACTERS * 4), max_size=700)
any_text = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("🙂👩🏽ж€")), max_size=300)
hostile = st.text(st.characters(), max_size=50)


def sent(text: str, encoding: Encoding, wide: bool) -> list[bytes]:
    """User data of all segments, last first."""
    parts = cut(text, encoding, wide)
    if len(parts) == 1:
        return parts
    return [concat_header(4711, len(parts), i, wide) + part for i, part in enumerate(parts, 1)][::-1]


@given(gsm_text)
def test_gsm7_by_a_foreign_table(text: str) -> None:
    """Septets read back by the foreign table, and by ours, give the text."""
    septets = gsm7(text)
    assert septets is not None
    assert septets_to_text(septets) == text
    assert from_gsm7(septets) == text


@given(hostile)
def test_gsm7_or_none(text: str) -> None:
    """None exactly when some character is in neither table, lone surrogates included."""
    assert (gsm7(text) is None) == bool(set(text) - set(GSM_CHARACTERS + EXTENSION_CHARACTERS))


@given(gsm_text, st.booleans())
def test_gsm7_segments_reassemble(text: str, wide: bool) -> None:
    """No text of the alphabet is torn, lost or made longer than the air allows, and the count is right."""
    parts = sent(text, Encoding.GSM7, wide)
    assert reassemble(parts, 0) == text
    assert count(text, Encoding.GSM7, wide) == len(parts)


@given(any_text, st.booleans())
def test_ucs2_segments_reassemble(text: str, wide: bool) -> None:
    """The same for any text in UTF-16."""
    parts = sent(text, Encoding.UCS2, wide)
    assert reassemble(parts, 8) == text
    assert count(text, Encoding.UCS2, wide) == len(parts)


@given(any_text)
def test_segments_are_not_wasted(text: str) -> None:
    """There are as few as when every one is full but for a unit that would have been torn; none is too long."""
    parts = cut(text, Encoding.UCS2)
    data, fewest = ucs2(text), 1 if len(ucs2(text)) <= 140 else 0
    while not fewest or data:
        if len(ucs2(text)) <= 140:
            break
        end = min(134, len(data))
        end -= 2 * (end < len(data) and 0xD8 <= data[end - 2] <= 0xDB)
        data, fewest = data[end:], fewest + 1
    assert len(parts) == fewest
    assert all(len(part) <= (140 if len(parts) == 1 else 134) for part in parts)
    assert b"".join(parts) == ucs2(text)


@given(hostile)
def test_narrowest_can_be_cut(text: str) -> None:
    """The encoding that narrowest names holds the text; None means a lone surrogate."""
    encoding = narrowest(text, (Encoding.GSM7, Encoding.LATIN1, Encoding.UCS2))
    if encoding is None:
        assert any("\ud800" <= character <= "\udfff" for character in text)
    else:
        assert cut(text, encoding)


@given(hostile)
def test_transliterate_never_harms(text: str) -> None:
    """It never raises, settles at once, and leaves GSM texts alone."""
    once = transliterate(text)
    assert transliterate(once) == once
    if gsm7(text) is not None:
        assert once == text


@given(st.binary(max_size=200))
def test_from_gsm7_is_total(octets: bytes) -> None:
    """Any octets give some text."""
    from_gsm7(octets)
