"""Which fate a submit meets: rules by number, a weighted mix, and counts of how often it came before.

Pure: chance is given, no clock. It refuses to know how a fate is carried out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from smpp import constants as c
from smpp.codec import SubmitSm
from smpp.simulator.scenario import Fate, Outcome, Scenario

ATTEMPTS_MAX: Final = 1_000_000
STRAY: Final = "STRAY"
"""In the place of a state: the receipt is for an id that nobody was told."""


class Verdict(NamedTuple):
    """What is to happen: `status` of the answer (-1: none), whether it has an id, and the receipts as (state, code)."""

    status: int = c.ESME_ROK
    with_id: bool = True
    receipts: Sequence[tuple[str, str]] = (("DELIVRD", "000"),)
    receipt_first: bool = False
    truth: str = ""  # without receipts: what query_sm finds
    link: str = ""  # "drop" or "garbage": what happens to the link instead


DELIVERED: Final = Verdict()
_ONCE: Final = DELIVERED.receipts


class Temper:
    """Chooses fates and turns them into verdicts. Remembers attempts per number and text, at most ATTEMPTS_MAX."""

    def __init__(self, scenario: Scenario) -> None:
        self._chance = random.Random(scenario.seed)
        self._numbers = {rule.number: rule.fate for rule in scenario.rules if rule.number}
        self._others = [rule for rule in scenario.rules if not rule.number]
        self._fates = [each.fate for each in scenario.mix]
        self._weights = list(accumulate(each.weight for each in scenario.mix))
        self._only = self._fates[0] if len(self._fates) == 1 else None
        self._attempts: dict[tuple[str, bytes], int] = {}
        self._drops = 0
        self.plain = not scenario.rules and self._only == Fate()  # every verdict is DELIVERED

    def judge(self, submit: SubmitSm) -> Verdict:
        """The verdict on one submit; counts it as an attempt where the fate counts."""
        if self.plain:
            return DELIVERED
        return self._verdict(self._fate(submit.destination_addr.lstrip("+")), submit)

    def _fate(self, number: str) -> Fate:
        fate = self._numbers.get(number)
        if fate is not None:
            return fate
        for rule in self._others:
            if (rule.suffix and number.endswith(rule.suffix)) or (rule.prefix and number.startswith(rule.prefix)):
                return rule.fate
        return self._only or self._chance.choices(self._fates, cum_weights=self._weights)[0]

    def _verdict(self, fate: Fate, submit: SubmitSm) -> Verdict:
        match fate.outcome:
            case Outcome.DELIVERED:
                return DELIVERED
            case Outcome.UNDELIVERED:
                return Verdict(receipts=((fate.state, fate.code),)) if self._still(fate, submit) else DELIVERED
            case Outcome.TEMPORARY | Outcome.THROTTLED:
                return Verdict(fate.refusal, False, ()) if self._still(fate, submit) else DELIVERED
            case Outcome.PERMANENT:
                return Verdict(fate.refusal, False, ())
            case Outcome.THROTTLED_WITH_ID:
                return Verdict(fate.refusal)
            case Outcome.NO_RECEIPT:
                return Verdict(receipts=(), truth=fate.truth)
            case Outcome.RECEIPT_FIRST:
                return Verdict(receipt_first=True)
            case Outcome.RECEIPT_TWICE:
                return Verdict(receipts=(*_ONCE, *_ONCE))
            case Outcome.INTERIM_FIRST:
                return Verdict(receipts=(("ENROUTE", "000"), *_ONCE))
            case Outcome.INTERIM_LAST:
                return Verdict(receipts=(*_ONCE, ("ENROUTE", "000"), ("ACCEPTD", "000")))
            case Outcome.STRAY_RECEIPT:
                return Verdict(receipts=(*_ONCE, (STRAY, "000")))
            case Outcome.NO_ANSWER:
                return Verdict(-1)
            case Outcome.NO_ID:
                return Verdict(with_id=False)
            case Outcome.GARBAGE:
                return Verdict(-1, False, (), link="garbage")
            case Outcome.DROP:
                self._drops += 1
                due = self._drops % max(fate.times, 1) == 0
                return Verdict(-1, False, (), link="drop") if due else DELIVERED

    def _still(self, fate: Fate, submit: SubmitSm) -> bool:
        """Is this one of the first `times` attempts of this number with this text (the UDH apart, its reference may change)?"""
        if fate.times == 0:
            return True
        text = submit.short_message
        if submit.esm_class & c.ESM_UDHI and text:
            text = text[1 + text[0] :] + text[text[0] : 1 + text[0]]  # the UDH's last byte is the segment's number
        key = (submit.destination_addr, text)
        attempt = self._attempts.pop(key, 0) + 1
        self._attempts[key] = attempt
        if len(self._attempts) > ATTEMPTS_MAX:
            del self._attempts[next(iter(self._attempts))]
        return attempt <= fate.times


def wanted_part(submit: SubmitSm, receipt_per: str) -> bool:
    """Does this part of a long message get a receipt? Read from its header (UDH) or its TLVs (SAR); a whole message does."""
    if receipt_per == "segment":
        return True
    total = place = 1
    text = submit.short_message
    sar = submit.tlvs.get(int(c.Tlv.SAR_TOTAL_SEGMENTS)), submit.tlvs.get(int(c.Tlv.SAR_SEGMENT_SEQNUM))
    if submit.esm_class & c.ESM_UDHI and len(text) > 5 and text[1] in (0, 8):
        total, place = text[text[0] - 1], text[text[0]]
    elif sar[0] and sar[1]:
        total, place = sar[0][0], sar[1][0]
    return place == (1 if receipt_per == "first" else total)
