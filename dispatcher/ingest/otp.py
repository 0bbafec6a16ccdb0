"""One-time passwords for any door that offers them: drawn from injected chance, kept as a keyed hash, limited, checked once.

This module refuses to know HTTP, dialects and the store's form. A code exists in clear in one place only: the text of
its message, which every view masks and the final state erases. What is kept for checking is an HMAC over subject and
code under the server's key, so that neither a copy of the store nor another number's code is of any use.

Theory. A *subject* is (key, number, channel): a new code replaces the subject's old one, with its tries. The limits
count by (key, number), whatever the channel. Code and limit go with their message in one transaction (core/front.py,
Extras): a send that is refused leaves the old code alive and counts nothing. A check is one atomic step of the store,
so that parallel guesses share the same tries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from dispatcher.core.customer import Account
from dispatcher.core.door_settings import Otp
from dispatcher.core.front import Code, CodeCheck, FrontStore, Take
from dispatcher.core.model import Refusal

DIGITS: Final = 6
SUBJECT: Final = "otp:"
"""What the subjects of the limits begin with."""
_CODES: Final = 10**DIGITS
_ENTROPY_BYTES: Final = 8
"""64 bits for 20: no code is likelier than another by more than one part in ten million million."""


class Passcode(NamedTuple):
    """A code on its way out: the text that holds it, what is kept of it, and the limits that its send uses."""

    text: str
    code: Code
    takes: tuple[Take, ...]


class Passcodes:
    """Makes and checks codes. `keyed` is HMAC-SHA256 under the server's key over a purpose and parts; `entropy` gives that
    many random bytes, from a cryptographic source in production."""

    def __init__(self, otp: Otp, keyed: Callable[..., bytes], entropy: Callable[[int], bytes]) -> None:
        self._otp = otp
        self._keyed = keyed
        self._entropy = entropy
        self._texts: Mapping[str, str] = {"fr": otp.texts.fr, "en": otp.texts.en, "ar": otp.texts.ar}

    @property
    def validity_s(self) -> int:
        """How long a code may be used, seconds from its acceptance."""
        return self._otp.validity_s

    def make(
        self, account: Account, key_id: str, to_hash: str, channel: str, language: str, at: int, tail: str = ""
    ) -> Passcode:
        """A fresh code at `at` (ms) and its text in `language`, `tail` behind it. Nothing is kept yet."""
        digits = f"{int.from_bytes(self._entropy(_ENTROPY_BYTES), 'big') % _CODES:0{DIGITS}d}"
        subject = _hashed(key_id, to_hash, channel)
        code = Code(subject, self._digest(subject, digits), self._otp.tries, at + self._otp.validity_s * 1000)
        spans = tuple(self._otp.limits)
        takes = (Take(SUBJECT + _hashed(key_id, to_hash), spans, "", str(Refusal.LIMIT)),) if spans else ()
        return Passcode(self.words(account, language, digits) + tail, code, takes)

    def words(self, account: Account, language: str, digits: str) -> str:
        """The text for a code: the account's own for the language if it holds the code, else the configuration's."""
        text = account.texts.get(language, "")
        if "{code}" not in text:
            text = self._texts[language]
        return text.replace("{minutes}", str(self._otp.validity_s // 60)).replace("{code}", digits)

    async def check(self, store: FrontStore, key_id: str, to_hash: str, channel: str, guess: str, at: int) -> CodeCheck:
        """One guess at `at` (ms), in one atomic step. Raises StoreUnavailable; a try may then have been used."""
        subject = _hashed(key_id, to_hash, channel)
        return await store.check_code(subject, self._digest(subject, guess), at)

    def _digest(self, subject: str, digits: str) -> bytes:
        return self._keyed("otp", subject, digits)


def _hashed(*names: str) -> str:
    """One short name for several; the number among them is a keyed hash already."""
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:32]
