"""Encodings: the whole GSM alphabet, what is outside it, which encoding a text needs, and look-alikes."""

from __future__ import annotations

import pytest

from smpp.errors import LocalProtocolError
from smpp.text import Encoding, from_gsm7, gsm7, narrowest, transliterate, ucs2
from tests.smpp.foreign_decoder import EXTENSION_CHARACTERS, GSM_CHARACTERS, septets_to_text

ALL = (Encoding.GSM7, Encoding.LATIN1, Encoding.UCS2)


def test_alphabet_is_the_standards() -> None:
    """Every character of both tables goes to the septets that a foreign table reads back as the same character."""
    assert len(GSM_CHARACTERS) == 127
    assert len(EXTENSION_CHARACTERS) == 10
    for character in GSM_CHARACTERS + EXTENSION_CHARACTERS:
        septets = gsm7(character)
        assert septets is not None
        assert (2 if character in EXTENSION_CHARACTERS else 1) == len(septets)
        assert character == septets_to_text(septets) == from_gsm7(septets)


def test_nothing_else_is_gsm() -> None:
    """No other character of the Basic Multilingual Plane is taken for one of the alphabet (NUL, ESC, C1 and lone surrogates
    included), alone or beside one that is outside Latin-1."""
    inside = set(GSM_CHARACTERS + EXTENSION_CHARACTERS)
    for code in range(0x10000):
        character = chr(code)
        if character not in inside:
            assert gsm7(character) is None
            assert gsm7("€" + character) is None


def test_paragraph_sign_and_backtick() -> None:
    """§ is GSM, the backtick is not (smpplib has them swapped)."""
    assert gsm7("§") == b"\x5f"
    assert gsm7("`") is None


def test_unknown_septets() -> None:
    """Any octets give some text: an unknown pair shows its basic character, a dangling escape a space."""
    assert from_gsm7(b"\x1ba" + b"b") == "ab"
    assert from_gsm7(b"x\x1b") == "x "
    assert from_gsm7(b"\x1b\x1be") == " e"
    assert from_gsm7(b"\xff") + from_gsm7(b"\x1b\xff") == "\ufffd\ufffd"


def test_ucs2() -> None:
    """UTF-16, big end first, no byte order mark; half a pair is refused."""
    assert ucs2("Ж🙂") == b"\x04\x16\xd8\x3d\xde\x42"
    with pytest.raises(LocalProtocolError, match="character 1"):
        ucs2("a\ud83d")


@pytest.mark.parametrize(
    ("text", "allowed", "expected"),
    [
        ("hello", ALL, Encoding.GSM7),
        ("", ALL, Encoding.GSM7),
        ("ça", ALL, Encoding.UCS2),  # not Latin-1 behind the sender's back
        ("ça", (Encoding.LATIN1, Encoding.UCS2), Encoding.LATIN1),
        ("ж", (Encoding.LATIN1, Encoding.UCS2), Encoding.UCS2),
        ("ж", (Encoding.GSM7,), None),
        ("ж", (Encoding.LATIN1,), None),
        ("hello", (Encoding.UCS2,), Encoding.UCS2),
        ("hello", (), None),
        ("hello", (Encoding.BINARY,), None),
        ("\ud83d", ALL, None),
    ],
)
def test_narrowest(text: str, allowed: tuple[Encoding, ...], expected: Encoding | None) -> None:
    """GSM 7-bit where it fits, Latin-1 only instead of it, UCS-2 last, None for what nothing can hold."""
    assert expected == narrowest(text, allowed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“quoted” ‘single’ «fr» „de‟", '"quoted" \'single\' "fr" "de"'),
        ("a – b — c ‑ d − e", "a - b - c - d - e"),
        ("wait… 5\u00a0€ a\u2009b\u3000c", "wait... 5 € a b c"),
        ("zero\u200bwidth\ufeff soft\u00adhyphen", "zerowidth softhyphen"),
        ("ça où ê î ô û á í ó ú ë ï", "ca où e i o u a i o u e i"),
        ("e\u0301te\u0301", "été"),  # composed first: é is GSM
        ("Łódź Český Őr Şiş ğ İı", "Lodz Cesky Or Sis g Ii"),
        ("œuvre Œ ﬁn № ½ ² ™ ®", "oeuvre OE fin No 1/2 2 TM (R)"),
        ("`code` x×y÷z •", "'code' xxy/z *"),
        ("a\tb", "a b"),
        ("plain [ok] €", "plain [ok] €"),
    ],
)
def test_transliterate(text: str, expected: str) -> None:
    """Typography and accents become GSM look-alikes, so that the text needs 7 bits."""
    assert expected == transliterate(text)
    assert gsm7(transliterate(text)) is not None


@pytest.mark.parametrize("text", ["Привет", "مرحبا", "🙂", "👩\u200d👧", "й", "中文"])
def test_other_scripts_stay(text: str) -> None:
    """What has no look-alike is not harmed: better UCS-2 than question marks."""
    assert text == transliterate(text)
