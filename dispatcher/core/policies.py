"""Policies: what may be sent in whose name and where to. Limits over many sends are guards (core/guards.py).

Refuses to know countries' rules and their registers of senders: a carrier's refusal tells those. The form of a sender is that
of SMPP's source_addr, which is written in Latin-1 (smpp/fields.py): therefore GSM's Greek capitals are no sender here.
"""

from __future__ import annotations

from functools import lru_cache

from dispatcher.core.customer import Account
from smpp.text import gsm7

SENDER_CHARS_MAX = 11
SENDER_DIGITS_MIN = 3
SENDER_DIGITS_MAX = 15


@lru_cache(maxsize=4096)
def sender_problem(sender: str) -> str:
    """ "" when a sender can be sent, else what is wrong and the remedy. A leading + before digits is allowed."""
    digits = sender.removeprefix("+")
    if digits.isascii() and digits.isdigit():
        if SENDER_DIGITS_MIN <= len(digits) <= SENDER_DIGITS_MAX:
            return ""
        return f"has {len(digits)} digits; a number as sender has {SENDER_DIGITS_MIN} to {SENDER_DIGITS_MAX}"
    if not sender or sender != sender.strip():
        return "is empty or begins or ends with a blank; write 1 to 11 characters"
    septets = gsm7(sender)
    if septets is None or not sender.isprintable() or any(ord(character) > 0xFF for character in sender):
        return "holds a character outside the GSM alphabet; write letters, digits and blanks"
    if len(septets) > SENDER_CHARS_MAX:
        return f"takes {len(septets)} GSM characters (^{{}}\\[~]| and € take two); at most {SENDER_CHARS_MAX}"
    return ""


def sender_allowed(account: Account, sender: str) -> bool:
    """May a send name this sender? Without a list any; with one those on it and the account's own."""
    return not account.senders or sender in account.senders or sender == account.sender


def country_allowed(account: Account, country: str) -> bool:
    """May the account send there? `country`: ISO 3166 as the number itself says, "" of no country: only without a list."""
    return not account.countries or country in account.countries
