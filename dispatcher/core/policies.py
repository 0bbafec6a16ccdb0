"""Policies: what may be sent in whose name. Today the rules of senders; fraud guards and opt-outs will stand here too.

Refuses to know registers of allowed senders and countries' rules: a carrier's refusal tells those. The form is that of
SMPP's source_addr, which is written in Latin-1 (smpp/fields.py): therefore GSM's Greek capitals are no sender here.
"""

from __future__ import annotations

from functools import lru_cache

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
