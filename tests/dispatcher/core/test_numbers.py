"""core/numbers.py: the verdict and the canonical form are always phonenumbers', only faster."""

from __future__ import annotations

import random

import phonenumbers
import pytest

from dispatcher.core.numbers import REGIONS_BY_CODE, Check, NumberBook, NumberProblem

BOOK = NumberBook()


def oracle(number: str, check: Check) -> str | None:
    """What the library alone says."""
    try:
        parsed = phonenumbers.parse("+" + number)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed) or (check == "valid" and not phonenumbers.is_valid_number(parsed)):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)[1:]


def samples(code: int, rng: random.Random) -> list[str]:
    """Numbers of a calling code: examples of every type, near misses, and anything."""
    found = []
    for region in REGIONS_BY_CODE[code]:
        for kind in range(11):
            example = (
                phonenumbers.example_number_for_non_geo_entity(code)
                if region == "001"
                else phonenumbers.example_number_for_type(region, kind)
            )
            if example is not None:
                national = phonenumbers.national_significant_number(example)
                keep = rng.randint(0, len(national))
                found += [national, national[:keep] + "".join(rng.choices("0123456789", k=len(national) - keep))]
                found += [rng.choice("0189") + national, national[:-1]]
    found += ["".join(rng.choices("0123456789", k=rng.randint(4, 12))) for _ in range(8)]
    return [number for n in found if 5 <= len(number := f"{code}{n}") <= 15]


@pytest.mark.parametrize("check", ["possible", "valid"])
def test_the_verdict_is_the_librarys(check: Check) -> None:
    """Over numbers of every calling code: accepted or not, and in which canonical form."""
    rng = random.Random(20261122)
    accepted = refused = 0
    for code in REGIONS_BY_CODE:
        for number in samples(code, rng):
            got = BOOK.normalise(number, check)
            assert oracle(number, check) == (got if isinstance(got, str) else None), number
            accepted += isinstance(got, str)
            refused += not isinstance(got, str)
    assert accepted > 1000
    assert refused > 1000


def test_the_region_is_the_librarys() -> None:
    """Over valid and invalid canonical numbers of every calling code, shared ones (+1, +7, +44) above all."""
    rng = random.Random(7)
    for code in [*REGIONS_BY_CODE, *[c for c, regions in REGIONS_BY_CODE.items() if len(regions) > 1] * 3]:
        for number in samples(code, rng):
            if oracle(number, "possible") == number:
                expected = phonenumbers.region_code_for_number(phonenumbers.parse("+" + number))
                assert (expected if expected not in {None, "001"} else "") == BOOK.country(number), number


def test_a_number_in_one_step_is_what_the_steps_say() -> None:
    """Over numbers of every calling code: `place` says what normalise and country say, or nothing; mostly it does."""
    rng = random.Random(11)
    placed = accepted = 0
    for code in [*REGIONS_BY_CODE, *[c for c, regions in REGIONS_BY_CODE.items() if len(regions) > 1] * 5]:
        for number in samples(code, rng):
            plan = BOOK._plan(number)
            assert plan is not None
            found = BOOK.place(number)
            accepted += plan.accepts(number[plan.code_chars :]) is not None
            if found is not None:
                placed += 1
                assert BOOK.place(f"+{number}") == found
                for check in ("possible", "valid", "shape"):
                    assert found == (BOOK.normalise(number, check), BOOK.country(number)), number  # type: ignore[arg-type]
    assert placed > accepted * 0.9


COSTLY = {
    phonenumbers.PhoneNumberType.PREMIUM_RATE,
    phonenumbers.PhoneNumberType.SHARED_COST,
    phonenumbers.PhoneNumberType.PERSONAL_NUMBER,
}
NETWORKS = (870, 878, 881, 882, 883, 888, 979)


def test_premium_is_what_the_library_says() -> None:
    """Over numbers of every calling code: its types, and every number of a network without a country. None is ordinary."""
    rng = random.Random(13)
    found = ordinary = 0
    for code in [*REGIONS_BY_CODE, *[c for c, regions in REGIONS_BY_CODE.items() if len(regions) > 1] * 5]:
        for number in samples(code, rng):
            if oracle(number, "possible") not in {number, None}:
                continue  # not canonical: admission has its canonical form
            parsed = phonenumbers.PhoneNumber(country_code=code, national_number=int(number[len(str(code)) :]))
            if phonenumbers.national_significant_number(parsed) != number[len(str(code)) :]:
                continue
            costly = code in NETWORKS or phonenumbers.number_type(parsed) in COSTLY
            assert BOOK.premium(number) == costly, number
            assert not costly or BOOK.place(number) is None, number
            found += costly
            ordinary += not costly
    assert found > 300
    assert ordinary > 1000


@pytest.mark.parametrize("text", ["", "+", "++447911123456", "447911123456\n", "44791112345\u0666", "+44 7911123456", "12345"])
def test_no_other_form_is_placed(text: str) -> None:
    """Signs, blanks, digits of other scripts and short numbers are left to normalise."""
    assert BOOK.normalise("447911123456") == "447911123456"
    assert BOOK.place(text) is None


def test_most_mobiles_never_reach_the_library() -> None:
    """Every country's example of a mobile number is accepted by the compiled pattern (else the speed is gone)."""
    slow = []
    for regions in REGIONS_BY_CODE.values():
        example = phonenumbers.example_number_for_type(regions[0], phonenumbers.PhoneNumberType.MOBILE)
        if example is not None:
            plan = BOOK._plan(str(example.country_code))
            assert plan is not None
            if not plan.accepts(phonenumbers.national_significant_number(example)):
                slow.append(regions[0])
    assert len(slow) <= 2, slow


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "empty"),
        ("+", "holds more than digits"),
        ("+222 38 00 00 00", "without blanks"),
        ("222-38000000", "without blanks"),
        ("(222)38000000", "without blanks"),
        ("++22238000000", "without blanks"),
        ("٢٢٢٣٨٠٠٠٠٠٠", "holds more than digits"),
        ("0022238000000", "write + instead"),
        ("038000000", "country code instead"),
        ("+038000000", "country code instead"),
        ("2223", "4 digits"),
        ("2" * 16, "16 digits"),
        ("+9990000000", "calling code"),
        ("+22238000000\n", "holds more than digits"),
    ],
)
def test_what_is_no_number_is_told_how_to_become_one(text: str, remedy: str) -> None:
    """Nothing is guessed; the detail holds the remedy and not the number."""
    problem = BOOK.normalise(text)
    assert isinstance(problem, NumberProblem)
    assert remedy in problem.detail
    assert len(text) < 4 or text not in problem.detail


def test_a_plus_makes_no_difference() -> None:
    """Digits with the country code are the same number."""
    assert BOOK.normalise("+22238000000") == BOOK.normalise("22238000000") == "22238000000"


def test_shape_asks_for_seven_to_fifteen_digits() -> None:
    """Limit - 1, limit, limit + 1 at both ends; no numbering plan is asked."""
    for digits, fine in [(6, False), (7, True), (8, True), (14, True), (15, True), (16, False)]:
        assert fine == isinstance(BOOK.normalise("9" * digits, "shape"), str)
    assert not isinstance(BOOK.normalise("0" * 10, "shape"), str)


def test_a_trunk_zero_is_taken_out_by_the_library() -> None:
    """The canonical form is the library's: +44 (0)7911 123456 without the brackets is the number without the 0."""
    assert BOOK.normalise("+4407911123456") == "447911123456"
