"""Chinqit's one-time passwords against a running dispatcher: codes, tries, lives and limits, the clock moved by the test."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.contract.chinqit_shop import NOT_LIVE, TOO_FAST, UUID4, VERIFIED, Shop, at_once, invalid, text_of, wrong
from tests.contract.ground import Running
from tests.process.installation import wait_for


@pytest.fixture(scope="module")
def shop(running: Running) -> Shop:
    """A customer."""
    return Shop(running, "shop")


def bad(code: str, which: int = 0) -> str:
    """A code that is not this one."""
    return [each for each in ("000000", "111111", "222222", "333333") if each != code][which]


@pytest.mark.parametrize(
    ("language", "before", "behind"),
    [
        (None, "Votre code de vérification est : ", ". Il expire dans 10 minutes."),
        ("fr", "Votre code de vérification est : ", ". Il expire dans 10 minutes."),
        ("en", "Your verification code is: ", ". It expires in 10 minutes."),
        ("ar", "رمز التحقق الخاص بك هو: ", ". تنتهي صلاحيته خلال 10 دقائق."),
    ],
)
def test_texts(shop: Shop, language: str | None, before: str, behind: str) -> None:
    """Each language, French by default; one part; exact keys; six digits."""
    number = {None: "24", "fr": "25", "en": "26", "ar": "27"}[language]
    answer = shop.otp("+12345670" + number, **({"language": language} if language else {}))
    assert (answer.status, answer.json["success"], answer.json["expiresIn"]) == (200, True, 600)
    assert set(answer.json) == {"success", "messageId", "expiresIn"}
    assert type(answer.json["expiresIn"]) is int
    assert UUID4.fullmatch(answer.json["messageId"])
    text = text_of(shop.running, "12345670" + number).replace("\x05", "é")  # the carrier's octets are GSM 7-bit
    assert text == before + shop.code("12345670" + number) + behind
    assert len(shop.running.sent_to("12345670" + number)) == 1
    assert shop.status(answer.json["messageId"])["cost"] == 0.02


def test_hash(shop: Shop) -> None:
    """Appended behind a line feed."""
    assert shop.otp("+1234567028", language="en", hash="ABC123XYZ45").status == 200
    assert text_of(shop.running, "1234567028").endswith("minutes.\nABC123XYZ45")


def test_account_texts(running: Running) -> None:
    """An account's own words."""
    own = Shop(running, "own", "10", "--text", "en={code} opens the shop")
    assert own.otp("+1234567029", language="en").status == 200
    assert text_of(running, "1234567029") == own.code("1234567029") + " opens the shop"


def test_right_code_is_used_up(shop: Shop) -> None:
    """Once."""
    assert shop.otp("+1234567030").status == 200
    code = shop.code("1234567030")
    assert shop.verify("+1234567030", code).json == VERIFIED
    answer = shop.verify("+1234567030", code)
    assert (answer.status, answer.json) == (404, NOT_LIVE)


def test_three_wrong_tries(shop: Shop) -> None:
    """2, 1, 0, then none is live, the right one neither."""
    assert shop.otp("+1234567031").status == 200
    code = shop.code("1234567031")
    for left in (2, 1, 0):
        answer = shop.verify("+1234567031", bad(code))
        assert (answer.status, answer.json) == (400, wrong(left))
    assert shop.verify("+1234567031", code).json == NOT_LIVE


def test_malformed_guesses_use_no_try(shop: Shop) -> None:
    """A validation error is none."""
    assert shop.otp("+1234567032").status == 200
    code = shop.code("1234567032")
    for _ in range(5):
        assert shop.verify("+1234567032", code[:5]).status == 400
    assert shop.verify("+1234567032", bad(code)).json == wrong(2)
    assert shop.verify("+1234567032", code).json == VERIFIED


def test_never_sent(shop: Shop) -> None:
    """404."""
    answer = shop.verify("+1234567033", "123456")
    assert (answer.status, answer.json) == (404, NOT_LIVE)


def test_other_key_other_number_other_channel(running: Running, shop: Shop) -> None:
    """A code belongs to all three; one number in two spellings is one."""
    stranger = Shop(running, "stranger")
    assert shop.otp("38089336").status == 200
    code = shop.code("22238089336")
    assert stranger.verify("38089336", code).json == NOT_LIVE
    assert shop.verify("38089337", code).json == NOT_LIVE
    assert shop.verify("38089336", code, channel="whatsapp").json == NOT_LIVE
    assert shop.verify("+22238089336", code, channel="sms").json == VERIFIED


def test_another_key_of_the_account_has_codes_and_limits_of_its_own(running: Running) -> None:
    """What one key sent the other does not know, and its three sends a minute are its own."""
    one = Shop(running, "keys")
    other = one.with_key("second-key-of-keys-0123456789")
    assert [one.otp("+1234567046").status for _ in range(4)] == [200, 200, 200, 429]
    code = one.code("1234567046", 3)
    assert other.verify("+1234567046", code).json == NOT_LIVE
    assert other.otp("+1234567046").status == 200
    mine = other.code("1234567046", 4)
    assert one.verify("+1234567046", code).json == VERIFIED
    assert other.verify("+1234567046", mine).json == VERIFIED


def test_one_number_has_one_limit_however_it_is_spelt(shop: Shop) -> None:
    """Three spellings, three sends."""
    assert [shop.otp(phone).status for phone in ("38089346", "22238089346", "+22238089346", "38089346")] == [200, 200, 200, 429]


def test_the_carrier_is_told_when_a_code_ends(running: Running, shop: Shop) -> None:
    """validity_period: what is left of ten minutes."""
    assert shop.otp("+1234567047").status == 200
    (got,) = running.sent_to("1234567047")
    found = re.fullmatch(r"00000000(\d\d)(\d\d)000R", got.validity)
    assert found is not None, got
    assert 570 <= 60 * int(found[1]) + int(found[2]) <= 600


def test_the_order_of_checks(running: Running) -> None:
    """Beyond the limit: a field is still told first, then the channel; the limit before the balance."""
    shop = Shop(running, "order", "0.06")
    assert [shop.otp("+1234567048").status for _ in range(4)] == [200, 200, 200, 429]
    assert shop.otp("+1234567048", language="de").status == 400
    assert shop.otp("+1234567048", channel="whatsapp").status == 502
    running.advance(61)
    assert shop.otp("+1234567048").json == {
        "success": False,
        "message": "Insufficient balance",
        "details": {"requiredAmount": 0.02, "validRecipients": 1, "invalidRecipients": 0},
        "code": "NO_CREDIT",
    }


def test_new_code_replaces_the_old_and_its_tries(shop: Shop) -> None:
    """One live code."""
    assert shop.otp("+1234567034").status == 200
    old = shop.code("1234567034")
    assert shop.verify("+1234567034", bad(old)).json == wrong(2)
    assert shop.otp("+1234567034").status == 200
    new = shop.code("1234567034", 2)
    if old != new:
        assert shop.verify("+1234567034", old).json == wrong(2)
    assert shop.verify("+1234567034", new).json == VERIFIED


def test_parallel_guesses(shop: Shop) -> None:
    """Fifty at once get three tries between them; the right one afterwards is too late."""
    assert shop.otp("+1234567035").status == 200
    code = shop.code("1234567035")
    answers = at_once(50, lambda: shop.verify("+1234567035", bad(code)))
    assert Counter(answer.status for answer in answers) == {400: 3, 404: 47}
    assert sorted(answer.json["retriesLeft"] for answer in answers if answer.status == 400) == [0, 1, 2]
    assert shop.verify("+1234567035", code).json == NOT_LIVE


def test_parallel_right_guesses(shop: Shop) -> None:
    """One of fifty is verified."""
    assert shop.otp("+1234567036").status == 200
    code = shop.code("1234567036")
    answers = at_once(50, lambda: shop.verify("+1234567036", code))
    assert Counter(answer.status for answer in answers) == {200: 1, 404: 49}


def test_whatsapp(shop: Shop) -> None:
    """502, nothing charged, no code, and not counted: three by SMS still go. The number is checked before the channel."""
    before = shop.running.available("shop")
    for _ in range(4):
        answer = shop.otp("+1234567037", channel="whatsapp")
        assert (answer.status, answer.json) == (
            502,
            {"success": False, "message": "WhatsApp OTP send failed", "error": "WhatsApp provider is not configured"},
        )
    assert shop.running.available("shop") == before
    assert shop.verify("+1234567037", "123456", channel="whatsapp").json == NOT_LIVE
    assert [shop.otp("+1234567037").status for _ in range(4)] == [200, 200, 200, 429]
    assert shop.otp("x", channel="whatsapp").json == invalid((["phoneNumber"], "Invalid phone number format"))


def test_three_a_minute(running: Running, shop: Shop) -> None:
    """The fourth is 429 with Retry-After and leaves the live code alive; another number and another key go on; a minute
    later it goes again."""
    for _ in range(3):
        assert shop.otp("+1234567038").status == 200
    code = shop.code("1234567038", 3)
    answer = shop.otp("+1234567038")
    assert (answer.status, answer.json) == (429, TOO_FAST)
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert shop.otp("+1234567039").status == 200
    assert Shop(running, "third").otp("+1234567038").status == 200
    assert shop.verify("+1234567038", code).json == VERIFIED
    running.advance(61)
    assert shop.otp("+1234567038").status == 200


def test_parallel_sends_stay_within_the_limit(shop: Shop) -> None:
    """Twenty at once are three."""
    assert Counter(answer.status for answer in at_once(20, lambda: shop.otp("+1234567040"))) == {200: 3, 429: 17}


def test_refused_sends_do_not_count(running: Running) -> None:
    """Neither for want of money nor of a field, and an old code outlives them."""
    poor = Shop(running, "poor", "0.02")
    assert poor.otp("+1234567041").status == 200
    code = poor.code("1234567041")
    for _ in range(5):
        assert poor.otp("+1234567041").status == 402
        assert poor.otp("+1234567041", language="de").status == 400
    running.installation.cli("accounts", "credit", "poor", "1", "--id", "second")
    assert poor.verify("+1234567041", code).json == VERIFIED
    assert [poor.otp("+1234567041").status for _ in range(3)] == [200, 200, 429]


def test_ten_an_hour_and_twenty_a_day(running: Running) -> None:
    """Sliding windows, each by itself."""
    shop = Shop(running, "windows")

    def sends(count: int) -> list[int]:
        found = []
        for _ in range(count):
            running.advance(30)
            found.append(shop.otp("+1234567042").status)
        return found

    assert sends(11) == [200] * 10 + [429]
    answer = shop.otp("+1234567042")
    assert 60 < int(answer.headers["retry-after"]) <= 3600
    running.advance(3600)
    assert sends(11) == [200] * 10 + [429]
    running.advance(3700)
    answer = shop.otp("+1234567042")
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) > 3600
    running.advance(86_400)
    assert shop.otp("+1234567042").status == 200


def test_ten_minutes(running: Running, shop: Shop) -> None:
    """A code lives 600 s from acceptance."""
    assert shop.otp("+1234567043").status == 200
    code = shop.code("1234567043")
    running.advance(590)
    assert shop.verify("+1234567043", bad(code)).json == wrong(2)
    running.advance(11)
    assert shop.verify("+1234567043", code).json == NOT_LIVE


def test_code_of_a_failed_message_stays(shop: Shop) -> None:
    """The carrier refused it; the customer may have told the code by other means."""
    sent = shop.otp("+1234570002").json["messageId"]
    code = shop.code("1234570002")
    wait_for("failed", 15, lambda: shop.status(sent)["status"] == "failed")
    assert shop.verify("+1234570002", code).json == VERIFIED


def test_idempotency_key(running: Running, shop: Shop) -> None:
    """A repeated request sends no second code and counts nothing."""
    body = {"phoneNumber": "+1234567044"}
    first = shop.request("POST", "/otp/send", body, Idempotency_Key="otp-1")
    code = shop.code("1234567044")
    for _ in range(5):
        assert shop.request("POST", "/otp/send", body, Idempotency_Key="otp-1").body == first.body
    assert shop.verify("+1234567044", code).json == VERIFIED
    assert len(running.sent_to("1234567044")) == 1


def test_no_code_is_shown_or_logged(running: Running, shop: Shop) -> None:
    """Not in an answer, not in the log."""
    answer = shop.otp("+1234567045")
    code = shop.code("1234567045")
    assert code.encode() not in answer.body
    assert code.encode() not in shop.request("GET", f"/messages/status/{answer.json['messageId']}").body
    assert not [line for line in running.installation.log() if code in str(line) and line.get("event") != "listening"]
