"""Senders as a carrier wants them: which it takes for which country, what is written instead, in which alphabet.

Refuses to know accounts and their lists (core/policies.py). A sender that one carrier of a route would not take is refused at
admission, so that the choice of a carrier later never decides whether a message can go at all.
"""

from __future__ import annotations

from typing import Final

from dispatcher.core.settings import Carrier
from smpp.text import gsm7

KNOWN_MAX: Final = 4_096


class SenderRules:
    """One carrier's rules. Its answers are remembered, because few senders send much."""

    __slots__ = ("_carrier", "_known", "gsm7", "plain")

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._known: dict[tuple[str, str], str | None] = {}
        self.gsm7 = carrier.quirks.sender_alphabet == "gsm7"
        self.plain = not (carrier.senders or self.gsm7)
        """Every sender is taken and written as it is."""

    def written(self, sender: str, country: str) -> str | None:
        """What stands for `sender` ("" the carrier's own) in messages to `country` (ISO 3166); None: it is not taken."""
        if self.plain:
            return sender or self._carrier.sender
        key = (sender, country)
        if key not in self._known:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[key] = self._decide(sender or self._carrier.sender, country)
        return self._known[key]

    def _decide(self, sender: str, country: str) -> str | None:
        found: str | None = sender
        for rule in self._carrier.senders:
            if not rule.country or country in rule.country:
                found = rule.replace.get(sender)
                if found is None:
                    found = sender if not rule.allow or sender in rule.allow else rule.otherwise or None
                break
        if found is not None and self.gsm7 and ("@" in found or gsm7(found) is None):
            return None  # @ is septet 0, which ends the field (quirk 39)
        return found


def octets_of(sender: str, alphabet_gsm7: bool) -> str:
    """A sender's characters as the field's octets, one a character; digits are the same in every alphabet."""
    septets = gsm7(sender) if alphabet_gsm7 else None
    return sender if septets is None else septets.decode("latin-1")
