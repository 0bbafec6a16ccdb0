"""One-time passwords: six digits of the given chance, texts by language, what is kept and what is not."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import Counter

import msgspec
import pytest

from dispatcher.core.customer import Account
from dispatcher.core.door_settings import Otp, OtpTexts
from dispatcher.core.settings import Settings
from dispatcher.ingest.otp import SUBJECT, Passcodes
from smpp.segments import count
from smpp.text import Encoding, narrowest

AT = 1_700_000_000_000
SHOP = Account(name="shop", currency="MRU")


def keyed(*parts: str) -> bytes:
    """A keyed hash as the desk's."""
    return hmac.digest(b"k" * 32, "\0".join(parts).encode(), "sha256")


def codes(entropy: int = 123456, **otp: object) -> Passcodes:
    """Codes of which the next one is known."""
    settings = msgspec.convert(otp, Otp)
    return Passcodes(settings, keyed, lambda size: entropy.to_bytes(size, "big"))


def test_code_is_six_digits_with_leading_zeros() -> None:
    """Exactly 6 decimal digits, whatever chance says."""
    made = codes(42).make(SHOP, "k1", "hash", "sms", "en", AT)
    assert made.text == "Your verification code is: 000042. It expires in 10 minutes."
    assert codes(1_000_042).make(SHOP, "k1", "hash", "sms", "en", AT).text == made.text


def test_every_digit_comes_up() -> None:
    """Real chance reaches every first digit about equally often."""
    source = Passcodes(Otp(), keyed, os.urandom)
    first = Counter(source.make(SHOP, "k", "h", "sms", "en", AT).text[27] for _ in range(5000))
    assert set(first) == set("0123456789")
    assert max(first.values()) < 2 * min(first.values())


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("fr", "Votre code de vérification est : 123456. Il expire dans 10 minutes."),
        ("en", "Your verification code is: 123456. It expires in 10 minutes."),
        ("ar", "رمز التحقق الخاص بك هو: 123456. تنتهي صلاحيته خلال 10 دقائق."),
    ],
)
def test_default_texts_are_one_part_each(language: str, text: str) -> None:
    """The three texts of the design, word for word, and short enough."""
    assert codes().words(SHOP, language, "123456") == text
    encoding = narrowest(text, (Encoding.GSM7, Encoding.UCS2))
    assert encoding is not None
    assert count(text, encoding) == 1


def test_account_has_texts_of_its_own() -> None:
    """By language; the others, and one that forgot the code, fall back to the configuration's."""
    own = Account(name="shop", currency="MRU", texts={"en": "{code} is your Shop code", "fr": "no code in it"})
    assert codes().words(own, "en", "000001") == "000001 is your Shop code"
    assert codes().words(own, "fr", "000001").startswith("Votre code")
    assert "000001" in codes().words(own, "ar", "000001")


def test_configured_texts_must_hold_the_code() -> None:
    """A text without {code} is refused when the configuration is read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"otp": {"texts": {"en": "hello"}}}, Settings)
    assert msgspec.convert({"otp": {"texts": {"en": "{code}!"}}}, Settings).otp.texts == OtpTexts(en="{code}!")


def test_minutes_follow_the_validity() -> None:
    """Whoever shortens the validity need not write new texts."""
    made = codes(validity_s=300).make(SHOP, "k1", "hash", "sms", "en", AT)
    assert "expires in 5 minutes" in made.text
    assert made.code.expires_at == AT + 300_000


def test_what_is_kept_is_a_keyed_hash() -> None:
    """Neither code nor number nor key id stand in what is kept; the plain hashes of the code are not it."""
    made = codes().make(SHOP, "key-1", "0123456789abcdef", "sms", "en", AT)
    kept = repr((made.code, made.takes))
    assert "123456" not in kept.replace("0123456789abcdef", "")
    assert "key-1" not in kept
    assert made.code.digest not in {hashlib.sha256(b"123456").digest(), keyed("123456")}
    assert (made.code.tries, made.code.expires_at) == (3, AT + 600_000)


def test_subject_is_key_number_and_channel() -> None:
    """Another key, number or channel has another code; the limits do not tell channels apart."""
    one = codes().make(SHOP, "k1", "h1", "sms", "en", AT)
    others = [
        codes().make(SHOP, *names, "fr", AT) for names in (("k2", "h1", "sms"), ("k1", "h2", "sms"), ("k1", "h1", "whatsapp"))
    ]
    assert len({one.code.subject, *(other.code.subject for other in others)}) == 4
    assert len({one.code.digest, *(other.code.digest for other in others)}) == 4
    assert [other.takes[0].subject == one.takes[0].subject for other in others] == [False, False, True]


def test_limits_are_the_documented_ones() -> None:
    """3 a minute, 10 an hour, 20 a day; configurable; none at all when the operator says so."""
    take = codes().make(SHOP, "k1", "h1", "sms", "en", AT).takes[0]
    assert take.spans == ((60, 3), (3600, 10), (86_400, 20))
    assert take.subject.startswith(SUBJECT)
    assert (take.token, take.reason) == ("", "limit")
    assert codes(limits=[[60, 1]]).make(SHOP, "k1", "h1", "sms", "en", AT).takes[0].spans == ((60, 1),)
    assert codes(limits=[]).make(SHOP, "k1", "h1", "sms", "en", AT).takes == ()


def test_tail_stands_behind_the_text() -> None:
    """For Android's SMS Retriever."""
    assert codes().make(SHOP, "k1", "h1", "sms", "en", AT, "\nFA+9qCX9VSu").text.endswith("minutes.\nFA+9qCX9VSu")
