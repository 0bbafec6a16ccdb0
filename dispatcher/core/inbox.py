"""Messages from handsets: whose they are, which words they say, how parts become one; and the port that keeps them.

It refuses to know SMPP's octets (smpp/parts.py reads them), the clock, and how an opt-out is enforced (admission). Texts and
numbers pass through here and are never part of an error.

Theory of the parts. A carrier may deliver a long message's parts in any order, over several sessions, hours apart, and
again when our answer was lost. So each is kept durably before it is answered, under a name made of all that its siblings
share: carrier, both numbers, the way it is numbered, reference and total. Whoever sees the last one in takes all of them
out in one step with the row, and leaves their digests behind: a part that comes once more has a digest that is known and
changes nothing. A part with the same place and another content is told from a repeat by them too: after the end it begins
a new message (8-bit references come again soon), before it the first one wins.

What is never complete is given out as it is when its time is over, or when there are too many: oldest first, with the
number of parts that came and of those there should be. A message that came whole has nothing that identifies it: one that
a carrier delivers twice is two.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from dispatcher.core.door_settings import Inbound, Inbox
from dispatcher.core.model import InboundRow
from dispatcher.core.numbers import NumberBook
from dispatcher.core.settings import Settings
from smpp.parts import Content, text_of

Word = Literal["", "stop", "start", "help"]

DIGEST_BYTES: Final = 8
STEP_MAX: Final = 25
"""Parts, or messages, in one step of the store: more would hold the server longer than its limit."""
KEY_CHARS_MAX: Final = 160
"""Longer texts are no word; they need not be looked at."""

WORDS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "stop": {
        "en": ("STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "OPT OUT"),
        "fr": ("ARRET", "ARRÊT", "ARRETER", "ARRÊTER", "DESABONNER", "DÉSABONNER"),
        "ar": ("قف", "توقف", "إيقاف", "ايقاف", "إلغاء", "الغاء"),
        "es": ("ALTO", "BAJA", "PARAR"),
        "pt": ("PARE", "SAIR", "CANCELAR"),
        "de": ("STOPP", "ABMELDEN"),
        "sw": ("ACHA", "SITISHA"),
    },
    "start": {
        "en": ("START", "YES", "UNSTOP", "SUBSCRIBE", "OPTIN", "OPT IN"),
        "fr": ("OUI", "REPRENDRE", "ABONNER"),
        "ar": ("ابدأ", "ابدا", "نعم", "اشتراك"),
        "es": ("ALTA", "SI", "SÍ"),
        "pt": ("SIM", "INICIAR"),
        "de": ("JA", "ANMELDEN"),
        "sw": ("ANZA", "NDIYO"),
    },
    "help": {
        "en": ("HELP", "INFO"),
        "fr": ("AIDE",),
        "ar": ("مساعدة", "معلومات"),
        "es": ("AYUDA",),
        "pt": ("AJUDA",),
        "de": ("HILFE",),
        "sw": ("MSAADA",),
    },
}
"""What STOP, START and HELP are called, unless [inbox] says otherwise for a language."""


# -- parts


class Piece(msgspec.Struct, array_like=True, gc=False):
    """One part as it waits for the others. `at` is its arrival (ms); `sender` and `to` are already in their one form."""

    carrier: str
    sender: str
    to: str
    way: str
    reference: int
    total: int
    index: int
    alphabet: str
    data: bytes
    at: int

    @property
    def name(self) -> str:
        """What all parts of one message share, as 32 hex digits: no number stands in a key."""
        shared = (self.carrier, self.sender, self.to, self.way, self.reference, self.total)
        return hashlib.sha256(msgspec.msgpack.encode(shared)).hexdigest()[:32]

    @property
    def digest(self) -> bytes:
        """Tells a repeat of this part from another one."""
        whole = msgspec.msgpack.encode((self.index, self.alphabet, self.data))
        return hashlib.sha256(whole).digest()[:DIGEST_BYTES]


def piece_of(content: Content, carrier: str, sender: str, to: str, at: int) -> Piece:
    """A part for the store."""
    place = (content.way, content.reference, content.total, content.place)
    return Piece(carrier, sender, to, *place, content.alphabet, content.data, at)


class Kept(NamedTuple):
    """What became of a part: kept; a repeat of one that waits or was given out; a conflict with one that waits, which stays.
    `pieces`: all of them, when none is missing any more and nobody has taken them out."""

    verdict: Literal["kept", "repeat", "conflict"]
    pieces: Sequence[Piece] = ()


def joined(new_id: str, pieces: Sequence[Piece], at: int) -> InboundRow:
    """One row of a message's parts, in their order, however many came. Octets where it is not text: the parts' user data
    without their headers."""
    ordered = sorted(pieces, key=lambda piece: piece.index)
    first = ordered[0]
    text = text_of([(piece.alphabet, piece.data) for piece in ordered])
    binary = b"".join([piece.data for piece in ordered]) if text is None else None
    row = InboundRow(new_id, first.sender, first.to, text, binary, first.carrier, len(ordered), at)
    row.total, row.reference = first.total, first.reference
    return row


def single(new_id: str, content: Content, carrier: str, sender: str, to: str, at: int) -> InboundRow:
    """The row of a message that came whole. Octets where it is not text, with the header they came with."""
    text = text_of([(content.alphabet, content.data)])
    return InboundRow(new_id, sender, to, text, content.header + content.data if text is None else None, carrier, 1, at)


# -- whose it is and what it says


def handset_number(address: str, ton: int, country_code: str) -> str:
    """A handset's number as digits, without + and without an international 00; `country_code` goes before a national form
    (TON 2, or a leading 0). What is not a number stays as it is."""
    number = address.strip().removeprefix("+")
    if not (number.isascii() and number.isdigit()):
        return address.strip()
    if number.startswith("00"):
        return number[2:]
    if country_code and (ton == 2 or number.startswith("0")):
        return country_code + number.lstrip("0")
    return number


def forms_of(number: str, numbers: NumberBook) -> list[str]:
    """A number as sends to it may bear it: as it is, and in its canonical form."""
    canonical = numbers.normalise(number, "possible")
    return list(dict.fromkeys([number, canonical] if isinstance(canonical, str) else [number]))


class OptChange(NamedTuple):
    """A STOP (`out`) or a START of a number, by its hash, for one sender of an account ("" sender: any)."""

    account: str
    sender: str
    to_hash: str
    out: bool


class Received(NamedTuple):
    """A message to be written with all that follows from it, or not at all. `name`, `digests`: of the parts it was joined
    from, which must be exactly those that wait ("" name: it came whole)."""

    row: InboundRow
    changes: Sequence[OptChange] = ()
    name: str = ""
    digests: bytes = b""


class Desk:
    """Finds a message's account and reads its words. `hashes`: a number's keyed hashes, as sends to it may bear them."""

    def __init__(self, settings: Settings, hashes: Callable[[str], Sequence[str]]) -> None:
        self._numbers = settings.inbound
        self._words = {
            folded(word): kind
            for kind, ours in WORDS.items()
            for words in ({**ours, **_theirs(settings.inbox, kind)}).values()
            for word in words
        }
        self._hashes = hashes

    def entry(self, row: InboundRow) -> Inbound | None:
        """The [[inbound]] that the message belongs to."""
        return next(iter(self._entries(row, (first_word(row.text),))), None)

    def _entries(self, row: InboundRow, keywords: Sequence[str]) -> list[Inbound]:
        """Those that fit, best first."""
        to = row.to.casefold()
        fit = [
            entry
            for entry in self._numbers
            if _fits(entry.number.casefold(), to)
            and entry.carrier in {"", row.carrier}
            and (not entry.keyword or folded(entry.keyword) in keywords)
        ]
        return sorted(
            fit, key=lambda e: (not e.number.endswith("*"), len(e.number), bool(e.keyword), bool(e.carrier)), reverse=True
        )

    def receive(self, row: InboundRow, *, name: str = "", digests: bytes = b"") -> tuple[Received, Inbound | None]:
        """Fills in account, keyword and word of the row, and says what follows from it.

        A word is the whole message, or stands before a keyword of the number ("STOP SHOP"). STOP to a number that has only
        entries with keywords, and none said, counts for all of their accounts.
        """
        text = folded(row.text[: KEY_CHARS_MAX + 1]) if row.text is not None and row.parts == row.total else ""
        word, _, rest = text.partition(" ")
        entry = self.entry(row)
        kind = self._words.get(text, "") if len(text) <= KEY_CHARS_MAX else ""
        concerned = [entry] if entry is not None else []
        if kind and entry is None:
            shared = self._entries(row, tuple(folded(e.keyword) for e in self._numbers))
            concerned = shared if kind != "help" else []
        elif rest and word in self._words:
            named = [e for e in self._entries(row, (rest,)) if e.keyword]
            if named:
                kind, entry, concerned = self._words[word], named[0], named[:1]
        row.word = kind
        if entry is not None:
            row.account, row.keyword = entry.account, entry.keyword
        changes: list[OptChange] = []
        if kind in {"stop", "start"}:
            changes = [change for e in concerned for change in self._changes(e, row, out=kind == "stop")]
        return Received(row, changes, name, digests), entry

    def _changes(self, entry: Inbound, row: InboundRow, *, out: bool) -> list[OptChange]:
        senders = dict.fromkeys((row.to, *entry.senders)) if entry.senders else {"": None}
        return [OptChange(entry.account, sender, to_hash, out) for sender in senders for to_hash in self._hashes(row.sender)]


def _theirs(inbox: Inbox, kind: str) -> Mapping[str, tuple[str, ...]]:
    return {"stop": inbox.stop, "start": inbox.start, "help": inbox.help}[kind]


def _fits(pattern: str, to: str) -> bool:
    return to.startswith(pattern[:-1]) if pattern.endswith("*") else to == pattern


def folded(text: str) -> str:
    """A text as words are compared: one case, one form of each letter, no marks around words, single blanks."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join([ch if ch.isalnum() or unicodedata.category(ch) == "Mn" else " " for ch in plain])
    return " ".join(kept.split())


def first_word(text: str | None) -> str:
    """The first word, as `folded`; "" without one."""
    return folded(text[:KEY_CHARS_MAX]).partition(" ")[0] if text else ""


# -- the port


class InboxMessage(NamedTuple):
    """A message as its account reads it. `number`: counted per account from 1, in the order in which they were written."""

    number: int
    row: InboundRow


class OptOut(NamedTuple):
    """A number, by its hash, that wants nothing from a sender of an account ("" sender: any)."""

    to_hash: str
    sender: str


class Overdue(NamedTuple):
    """When parts wait no longer: `before` (ms), or beyond so many parts of a carrier, or of all."""

    before: int
    carrier_parts_max: int
    parts_max: int


class InboxStore(Protocol):
    """What is kept of handsets' messages. Writers return when they have taken effect, however long that takes; readers raise
    StoreUnavailable. Both may run in any number of processes at once."""

    async def keep_parts(self, pieces: Sequence[Piece], at: int) -> list[Kept]:
        """Keeps each part once (at most STEP_MAX)."""

    async def receive(self, messages: Sequence[Received], at: int, messages_max: int) -> list[bool]:
        """Writes each message (at most STEP_MAX) in one step: its row on `inbound`, the same in its account's inbox (the
        newest `messages_max` stay), opt-outs, and its parts become digests. False: its parts are not those that wait now
        (somebody was faster), and nothing of it was written."""

    async def ripe_parts(self, at: int, overdue: Overdue, limit: int) -> list[Sequence[Piece]]:
        """Parts of up to `limit` messages that must be given out: complete ones that nobody took out for some seconds,
        overdue ones, and the oldest beyond the limits."""

    async def parts_waiting(self) -> int:
        """How many parts wait for others."""

    async def sweep_inbox(self, at: int, keep_ms: int, digests_ms: int) -> int:
        """Forgets messages and digests that are older, in small steps; returns how many messages."""

    async def inbox(self, account: str, after: int, limit: int, *, unread: bool = False) -> list[InboxMessage]:
        """An account's messages with a number above `after`, oldest first; only those not yet marked, with `unread`."""

    async def mark_read(self, account: str, numbers: Sequence[int]) -> None:
        """They are unread no longer."""

    async def opt_outs(self, account: str, limit: int) -> list[OptOut]:
        """An account's opt-outs, in no order, at most about `limit`."""
