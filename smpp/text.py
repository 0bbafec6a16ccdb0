"""Characters to user data and back: GSM 7-bit, Latin-1, UCS-2, and which of them a text needs.

This module refuses to know how long a segment is (segments.py) and which encodings a carrier takes (the caller says).

The GSM 7-bit default alphabet (3GPP TS 23.038, 6.2.1)
------------------------------------------------------
128 characters in an order of their own (rows are the low four bits, columns the high three), one of them ESC (0x1B),
which makes the next septet mean a character of the extension table instead. SMPP carries one septet per octet.

|   | 0x | 1x | 2x | 3x | 4x | 5x | 6x | 7x |   | extension after ESC |
|---|---|---|---|---|---|---|---|---|---|---|
| 0 | @ | Δ | SP | 0 | ¡ | P | ¿ | p | | 0A form feed |
| 1 | £ | _ | ! | 1 | A | Q | a | q | | 14 ^ |
| 2 | $ | Φ | " | 2 | B | R | b | r | | 28 { |
| 3 | ¥ | Γ | # | 3 | C | S | c | s | | 29 } |
| 4 | è | Λ | ¤ | 4 | D | T | d | t | | 2F \\ |
| 5 | é | Ω | % | 5 | E | U | e | u | | 3C [ |
| 6 | ù | Π | & | 6 | F | V | f | v | | 3D ~ |
| 7 | ì | Ψ | ' | 7 | G | W | g | w | | 3E ] |
| 8 | ò | Σ | ( | 8 | H | X | h | x | | 40 bar |
| 9 | Ç | Θ | ) | 9 | I | Y | i | y | | 65 € |
| A | LF | Ξ | * | : | J | Z | j | z | | |
| B | Ø | ESC | + | ; | K | Ä | k | ä | | |
| C | ø | Æ | , | < | L | Ö | l | ö | | |
| D | CR | æ | - | = | M | Ñ | m | ñ | | |
| E | Å | ß | . | > | N | Ü | n | ü | | |
| F | å | É | / | ? | O | § | o | à | | |

0x09 is the capital C-cedilla of the standard's table (Unicode's mapping file has the small one). The backtick is in no
table, so a text with one needs UCS-2 or `transliterate`; smpplib 2.2 has § and backtick swapped.

Nearly all of it lies in Latin-1, hence the fast way: encode to Latin-1 and translate bytes, both loops in C. Extension
characters translate to their code plus 0x80, so that `isascii()` tells at once whether any pair must be written out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from enum import IntEnum

from smpp.errors import LocalProtocolError

ESC = 0x1B

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = {0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|", 0x65: "€"}

_NOT_GSM = 0xFF
_WIDE = tuple((character, chr(0x80 + i)) for i, character in enumerate("€ΔΦΓΛΩΠΨΣΘΞ"))
"""The characters outside Latin-1, each with a C1 control that stands in for it on the way through Latin-1."""


def _tables() -> tuple[bytes, bytes]:
    septets = {character: code for code, character in enumerate(BASIC) if code != ESC}
    septets |= {character: code | 0x80 for code, character in EXTENSION.items()}
    narrow = bytearray(septets.get(chr(byte), _NOT_GSM) for byte in range(256))
    wide = bytearray(narrow)
    for character, stand_in in _WIDE:
        wide[ord(stand_in)] = septets[character]
    return bytes(narrow), bytes(wide)


_TO_SEPTETS, _TO_SEPTETS_WIDE = _tables()
_PAIRS = tuple((bytes((code | 0x80,)), bytes((ESC, code))) for code in EXTENSION)
_has_c1 = re.compile("[\x80-\x9f]").search


class Encoding(IntEnum):
    """How a text's characters become user data; the value is SMPP's data_coding. ASCII is GSM 7-bit that the carrier makes
    itself: one octet a character, only those that both alphabets have, counted as the septets they become."""

    GSM7 = 0
    ASCII = 1
    LATIN1 = 3
    BINARY = 4
    UCS2 = 8


def gsm7(text: str) -> bytes | None:
    """`text` as unpacked septets, one per octet, extension characters as ESC pairs; None when it holds a character
    outside both tables (a lone surrogate, NUL, ESC and the backtick are such)."""
    try:
        septets = text.encode("latin-1").translate(_TO_SEPTETS)
    except UnicodeEncodeError:
        wide = _wide_septets(text)
        if wide is None:
            return None
        septets = wide
    if septets.isascii():
        return septets
    if _NOT_GSM in septets:
        return None
    for marked, pair in _PAIRS:
        septets = septets.replace(marked, pair)
    return septets


def _wide_septets(text: str) -> bytes | None:
    if _has_c1(text):
        return None  # a real C1 control would pass for a stand-in
    for character, stand_in in _WIDE:
        text = text.replace(character, stand_in)
    try:
        return text.encode("latin-1").translate(_TO_SEPTETS_WIDE)
    except UnicodeEncodeError:
        return None


def from_gsm7(septets: bytes) -> str:
    """Unpacked septets as text, for any bytes: an unknown pair is the basic character (as 23.038 wants), ESC at the end or
    before ESC is a space, an octet above 0x7F is U+FFFD."""
    if ESC not in septets:
        return "".join([BASIC[code] if code < 0x80 else "\ufffd" for code in septets])
    characters: list[str] = []
    escaped = False
    for code in septets:
        if code == ESC and not escaped:
            escaped = True
            continue
        if code > 0x7F:
            characters.append("\ufffd")
        elif escaped:
            characters.append(" " if code == ESC else EXTENSION.get(code, BASIC[code]))
        else:
            characters.append(BASIC[code])
        escaped = False
    if escaped:
        characters.append(" ")
    return "".join(characters)


def ucs2(text: str) -> bytes:
    """`text` as UTF-16, big end first, without byte order mark: what handsets take for UCS-2, emoji included.

    Raises LocalProtocolError for a lone surrogate.
    """
    try:
        return text.encode("utf-16-be")
    except UnicodeEncodeError as bad:
        raise LocalProtocolError(f"text: lone surrogate at character {bad.start}") from None


def encode(text: str, encoding: Encoding) -> bytes:
    """`text` in `encoding`. Raises LocalProtocolError when it cannot be, and for BINARY, which has no characters."""
    if encoding == Encoding.GSM7:
        septets = gsm7(text)
        if septets is None:
            raise LocalProtocolError("text: a character outside GSM 7-bit")
        return septets
    if encoding == Encoding.UCS2:
        return ucs2(text)
    if encoding == Encoding.LATIN1:
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError as bad:
            raise LocalProtocolError(f"text: character {bad.start} is outside Latin-1") from None
    if encoding == Encoding.ASCII:
        return checked_ascii(text).encode("ascii")
    raise LocalProtocolError("text: binary has no characters, cut bytes instead")


def checked_ascii(text: str) -> str:
    """`text` itself. Raises LocalProtocolError for a character that ASCII and GSM 7-bit do not share (the backtick is one)."""
    if not text.isascii() or gsm7(text) is None:
        raise LocalProtocolError("text: a character that is not in both ASCII and GSM 7-bit")
    return text


def narrowest(text: str, allowed: Collection[Encoding]) -> Encoding | None:
    """The encoding of `allowed` that takes the fewest octets for `text` and is safe; None when none can hold it.

    GSM 7-bit first, then ASCII, UCS-2 last. Latin-1 counts only where neither of the first two is allowed: data_coding 3 is
    converted or shown wrongly by too many handsets to be chosen behind a sender's back.
    """
    if Encoding.GSM7 in allowed:
        if gsm7(text) is not None:
            return Encoding.GSM7
    elif Encoding.ASCII in allowed:
        if text.isascii() and gsm7(text) is not None:
            return Encoding.ASCII
    elif Encoding.LATIN1 in allowed and _is_latin1(text):
        return Encoding.LATIN1
    if Encoding.UCS2 in allowed:
        try:
            text.encode("utf-16-be")
        except UnicodeEncodeError:
            return None
        return Encoding.UCS2
    return None


def _is_latin1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


_SUBSTITUTES: dict[str, str] = {
    **dict.fromkeys("‘’‚‛′‵`´ʹʼʻˈ‹›", "'"),
    **dict.fromkeys("“”„‟″‶«»〝〞ˮ¨", '"'),
    **dict.fromkeys("‐‑‒–—―−﹘﹣⁃", "-"),
    **dict.fromkeys("\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "),
    **dict.fromkeys("\u2028\u2029\u0085\u000b", "\n"),
    **dict.fromkeys("\u00ad\u200b\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e", ""),
    "…": "...",
    "‥": "..",
    "•": "*",
    "‣": "*",
    "●": "*",
    "▪": "*",
    "·": ".",
    "∙": ".",
    "×": "x",
    "÷": "/",
    "⁄": "/",
    "∕": "/",
    "©": "(C)",
    "®": "(R)",
    "™": "TM",
    "µ": "u",
    "¦": "|",
    "¢": "c",
    "₤": "£",
    "‰": "o/oo",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "→": "->",
    "←": "<-",
    "⇒": "=>",
    "∼": "~",
    "˜": "~",
    "ˆ": "^",
    "‖": "||",
    "⁓": "~",
    "Œ": "OE",
    "œ": "oe",
    "Ł": "L",
    "ł": "l",
    "Đ": "D",
    "đ": "d",
    "Ð": "D",
    "ð": "d",
    "Þ": "Th",
    "þ": "th",
    "ı": "i",
    "ŋ": "n",
    "Ŋ": "N",
    "Ħ": "H",
    "ħ": "h",
    "ĸ": "k",
    "Ŧ": "T",
    "ŧ": "t",
    "ẞ": "SS",
    "ə": "e",
    "Ə": "E",
    "ƒ": "f",
}
"""What NFKD does not know. Zero-width joiners stay: they hold emoji and Persian words together."""


def transliterate(text: str) -> str:
    """`text` with look-alikes of the GSM alphabet in place of characters outside it: typographic quotes, dashes, spaces,
    ellipses, ligatures, and accents that GSM 7-bit lacks. What has no look-alike (emoji, other scripts) stays.

    A text that is GSM 7-bit already is returned as it is. The result can be longer (… is three characters).
    """
    if gsm7(text) is not None:
        return text
    return "".join([_look_alike(character) for character in unicodedata.normalize("NFC", text)])


def _look_alike(character: str) -> str:
    if gsm7(character) is not None:
        return character
    known = _SUBSTITUTES.get(character)
    if known is not None:
        return known
    pieces = [_SUBSTITUTES.get(piece, piece) for piece in unicodedata.normalize("NFKD", character)]
    plain = "".join([piece for piece in pieces if not unicodedata.combining(piece[:1] or " ")])
    return plain if plain and gsm7(plain) is not None else character
