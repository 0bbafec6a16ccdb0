"""Which TLVs of a carrier's answers and receipts are kept on events and cost facts, and how they are written there.

It refuses to know PDUs. An operator names them (`keep_tlvs`), by number or by the standard's name, and finds them under the
same word: readable ASCII as text, everything else in hex. A carrier cannot fill the store with them: of each at most
KEPT_BYTES_MAX octets, and only those named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from smpp.tlvs import type_of

KEPT_BYTES_MAX: Final = 255


def tag_of(word: str) -> int | None:
    """The number of a TLV named so; None for a word that is neither a name of the standard nor a number of 16 bits."""
    row = type_of(word)
    if row is not None:
        return row.tag
    try:
        tag = int(word, 16) if word[:2] in {"0x", "0X"} else -1
    except ValueError:
        return None
    return tag if 0 < tag <= 0xFFFF else None


class KeptTlvs:
    """One carrier's. False when it keeps none."""

    __slots__ = ("_words",)

    def __init__(self, words: Iterable[str]) -> None:
        self._words = {tag: word for word in words if (tag := tag_of(word)) is not None}

    def __bool__(self) -> bool:
        return bool(self._words)

    def of(self, tlvs: Mapping[int, bytes]) -> dict[str, str] | None:
        """Those that are there, by the operator's word; None without any."""
        found = {word: _shown(tlvs[tag]) for tag, word in self._words.items() if tag in tlvs}
        return found or None


def _shown(value: bytes) -> str:
    value = value[:KEPT_BYTES_MAX]
    text = value.rstrip(b"\0")  # a C-octet string's end
    if text and all(0x20 <= octet < 0x7F for octet in text) and not text.startswith(b"0x"):
        return text.decode("ascii")
    return f"0x{value.hex()}"
