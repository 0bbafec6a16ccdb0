"""Phone numbers: from what a caller wrote to E.164 digits, and to the country they belong to.

Refuses to guess: a number has its country code, with or without `+`, and nothing but digits. `00`, a national 0, blanks,
dashes and brackets are refused with the remedy, because every guess about them is wrong somewhere.

Why not simply ask phonenumbers? One number costs it 35 us, more than everything else at admission. So each calling code
gets two things compiled from phonenumbers' own metadata, when its first number is seen:

1. A pattern of the numbers that are certainly valid and already canonical: mobile and fixed lines of all its regions,
   unless the number begins with something that the library would strip. It may only ever say yes. Whatever it does not
   accept goes to the library, so the verdict, and the canonical form, are always the library's.
2. The library's own way to tell regions of a shared code (+1, +7, +44) apart, with its patterns tried in its order.
3. Both in one pattern, for the number that nearly every send has (`place`). It may only ever say yes, too.
4. A pattern per region of the numbers that cost their caller more (`premium`), as the library tells their types.

All are compared with the library on random numbers of every calling code in the tests.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata
from phonenumbers.data import _COUNTRY_CODE_TO_REGION_CODE as REGIONS_BY_CODE

Check = Literal["possible", "valid", "shape"]
DIGITS_MAX = 15
SHAPE_DIGITS_MIN = 7
_FORM = re.compile(r"\+?([1-9][0-9]{4,14})", re.ASCII)
_TYPES = (
    "mobile",
    "fixed_line",
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)
_COSTLY = ("premium_rate", "shared_cost", "personal_number")
"""Types of whose calls somebody is paid a share. Personal numbers too: +44 70 and its like are sold for that."""
_NETWORKS = frozenset({"870", "878", "881", "882", "883", "888", "979"})
"""Calling codes of satellites, of networks without a country, and of international premium rate: every number is costly."""
_NOWHERE = "001"
"""The library's region of calling codes that belong to no country (satellites, +800)."""


class NumberProblem(NamedTuple):
    """Why a text is not a number we take. `detail` holds the remedy and never the number itself (P7)."""

    detail: str


class _Plan:
    """What one calling code's numbers look like."""

    __slots__ = ("accepts", "certain", "code", "code_chars", "costly", "names", "only_region", "regions")

    def __init__(self, code: str) -> None:
        names = REGIONS_BY_CODE[int(code)]
        found = [_metadata(name, int(code)) for name in names]
        self.code = code
        self.code_chars = len(code)
        union = "|".join(_pattern(m, _TYPES[:2]) for m in found)
        strips = found[0].national_prefix_for_parsing
        # No number of today's metadata needs this guard (half a million tried); tomorrow's may. The look-behind keeps
        # prefixes that may match nothing (Argentina's) from shutting the whole pattern.
        guard = f"(?!(?:{strips})(?<=.))" if strips else ""
        self.accepts = re.compile(f"{guard}(?:{union})").fullmatch
        ordinary = "(?!)" if code in _NETWORKS else f"{guard}(?:{_in_order(found)})"
        self.certain = re.compile(ordinary, re.ASCII).fullmatch
        self.names = {f"r{i}": "" if name == _NOWHERE else name for i, name in enumerate(names)}
        self.only_region = ("" if names[0] == _NOWHERE else names[0]) if len(names) == 1 else None
        self.regions: list[tuple[str, re.Pattern[str], re.Pattern[str] | None]] = []
        if self.only_region is None:
            self.regions = [
                (name, re.compile(_pattern(m, _TYPES)), re.compile(m.leading_digits) if m.leading_digits else None)
                for name, m in zip(names, found, strict=True)
            ]
        self.costly = {
            "" if name == _NOWHERE else name: re.compile(pattern).fullmatch
            for name, m in zip(names, found, strict=True)
            if (pattern := "[0-9]+" if code in _NETWORKS else _pattern(m, _COSTLY)) != "(?!)"
        }

    def region(self, national: str) -> str:
        if self.only_region is not None:
            return self.only_region
        for name, numbers, leading in self.regions:
            if leading.match(national) if leading is not None else numbers.fullmatch(national):
                return name
        return ""


class NumberBook:
    """Normalises numbers and names their countries. Plans of calling codes are compiled on first sight, so that a
    command that looks at one number does not pay for two hundred. Not to be shared between threads."""

    __slots__ = ("_plans",)

    def __init__(self) -> None:
        self._plans: dict[str, _Plan | None] = {}

    def normalise(self, text: str, check: Check = "possible") -> str | NumberProblem:
        """E.164 digits without `+`, or why not. `possible` and `valid` are phonenumbers' verdicts (is_possible_number,
        is_valid_number) and its canonical form; `shape` takes any 7 to 15 digits that do not begin with 0."""
        form = _FORM.fullmatch(text)
        if form is None:
            return _explain(text)
        number = form[1]
        if check == "shape":
            return number if len(number) >= SHAPE_DIGITS_MIN else _explain(text)
        plan = self._plan(number)
        if plan is None:
            return NumberProblem("begins with no country's calling code; write the country code first, like +222...")
        if plan.accepts(number[plan.code_chars :]):
            return number
        return _ask(number, check)

    def place(self, text: str) -> tuple[str, str] | None:
        """What `normalise` (by any check) and `country` say of an ordinary mobile or fixed line that is not `premium`, in one
        step; None for anything else and for the first number of its kind, and then says nothing about it."""
        number = text[1:] if text[:1] == "+" else text
        plan = self._plans.get(number[:3])
        if plan is None or len(number) < SHAPE_DIGITS_MIN:
            return None
        found = plan.certain(number[plan.code_chars :])
        if found is None or (region := found.lastgroup) is None:
            return None
        return number, plan.names[region]

    def country(self, number: str) -> str:
        """ISO 3166 region of E.164 digits, as phonenumbers.region_code_for_number; "" where there is none."""
        plan = self._plan(number)
        return "" if plan is None else plan.region(number[plan.code_chars :])

    def premium(self, number: str) -> bool:
        """Is it (E.164 digits) of a premium, shared-cost or personal range, of a satellite or another worldwide network?"""
        plan = self._plan(number)
        if plan is None or not plan.costly:
            return False
        national = number[plan.code_chars :]
        costly = plan.costly.get(plan.region(national))
        return costly is not None and costly(national) is not None

    def _plan(self, number: str) -> _Plan | None:
        """The plan of the number's calling code; remembered by its first three digits, so at most 1,110 entries."""
        stem = number[:3]
        try:
            return self._plans[stem]
        except KeyError:
            code = next((stem[:n] for n in (1, 2, 3) if stem[:n].isdigit() and int(stem[:n]) in REGIONS_BY_CODE), None)
            shared = next((p for p in self._plans.values() if p is not None and code is not None and p.code == code), None)
            plan = self._plans[stem] = shared or (None if code is None else _Plan(code))
            return plan


def _metadata(region: str, code: int) -> PhoneMetadata:
    found = (
        PhoneMetadata.metadata_for_nongeo_region(code, None)
        if region == _NOWHERE
        else PhoneMetadata.metadata_for_region(region, None)
    )
    if found is None:
        raise LookupError(f"phonenumbers has no metadata for region {region}, calling code {code}")
    return found


def _in_order(regions: list[PhoneMetadata]) -> str:
    """One pattern that matches a mobile or fixed line in the group of its region, r0, r1, ...: the first region that the
    library would take. A number that an earlier region has as something else matches outside all groups."""
    parts = []
    for i, metadata in enumerate(regions):
        shares = [d.national_number_pattern for name in _COSTLY if (d := getattr(metadata, name)) and d.national_number_pattern]
        # No ordinary number of today's metadata needs this either; what is both would be the costly one to the library.
        plain = (f"(?!(?:{'|'.join(shares)})$)" if shares else "") + _pattern(metadata, _TYPES[:2])
        other = _pattern(metadata, _TYPES[2:])
        if metadata.leading_digits:
            plain, other = f"(?={metadata.leading_digits}){plain}", f"(?={metadata.leading_digits})[0-9]+"
        parts += [f"(?P<r{i}>{plain})", other]
    return "|".join(parts)


def _pattern(metadata: PhoneMetadata, types: tuple[str, ...]) -> str:
    """One pattern of the national numbers of these types: type's pattern, region's pattern, and the type's lengths."""
    general = metadata.general_desc
    if general is None:
        return "(?!)"
    found = []
    for name in types:
        desc = getattr(metadata, name)
        if desc is None or not desc.national_number_pattern:
            continue
        lengths = desc.possible_length or general.possible_length
        ends = "|".join(f".{{{n}}}$" for n in lengths if n > 0)
        found.append(f"(?={ends})(?:{desc.national_number_pattern})" if ends else f"(?:{desc.national_number_pattern})")
    if not found:
        return "(?!)"
    return f"(?=(?:{general.national_number_pattern})$)(?:{'|'.join(found)})"


def _ask(number: str, check: Check) -> str | NumberProblem:
    """The library's verdict and canonical form."""
    try:
        parsed = phonenumbers.parse("+" + number)
    except NumberParseException:
        return NumberProblem("is not a number of its country; check the country code and the digits after it")
    if check == "valid" and not phonenumbers.is_valid_number(parsed):
        return NumberProblem("is in no range that its country has assigned; check the digits")
    if not phonenumbers.is_possible_number(parsed):
        return NumberProblem("has too few or too many digits for its country; check the digits after the country code")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def _explain(text: str) -> NumberProblem:
    """The remedy for what is not even digits in the right form."""
    if not text:
        return NumberProblem("is empty; write the country code and the number, like +22238000000")
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return NumberProblem("holds more than digits; write +, country code and number without blanks, dashes or brackets")
    if digits.startswith("00"):
        return NumberProblem("begins with 00; write + instead, or the country code alone")
    if digits.startswith("0"):
        return NumberProblem("begins with a national 0; write the country code instead of it")
    return NumberProblem(f"has {len(digits)} digits; a full number has {SHAPE_DIGITS_MIN} to {DIGITS_MAX}")
