"""The Laravel dialect's keys and its count of requests, against a dispatcher with two HTTP processes."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.ground import Response, Running, started
from tests.contract.laravel_shop import EXPIRED, INVALID, REQUIRED, UNAUTHORIZED, User

EXISTS = {"error": "An active API key already exists", "help": "Use POST /api/regenerate-key to replace it"}
NONE = {"error": "No active API key found"}
REVOKED = {"message": "API key revoked successfully"}
TOO_MANY = {"message": "Too Many Attempts."}
COUNTED = ("/api/v2/sms/send", "/api/v2/account/balance", "/api/generate-key", "/api/revoke-key", "/api/regenerate-key")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """A dispatcher with two HTTP processes: every request may meet the other one."""
    with started("processes = 2") as installation:
        yield installation


@pytest.fixture(autouse=True)
def _fresh_windows(running: Running) -> None:
    """A minute later: no request of an earlier test counts."""
    running.advance(61)


@pytest.fixture(scope="module")
def user(running: Running) -> User:
    """A customer."""
    return User(running, "user")


def left(answer: Response) -> int:
    """How many requests are left, as the headers say."""
    assert answer.headers["x-ratelimit-limit"] == "60"
    return int(answer.headers["x-ratelimit-remaining"])


def ask(running: Running, path: str, **headers: str) -> Response:
    """Any counted path, by the method it has."""
    method = "GET" if path.startswith("/api/v2") else "POST"
    return running.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


# -- 4.3


def test_the_seeds_sequence(running: Running) -> None:
    """59 after the first call, 58 after the next, on the other endpoint, both unauthenticated."""
    assert [left(ask(running, path)) for path in COUNTED] == [59, 58, 57, 56, 55]


def test_what_is_not_counted(running: Running, user: User) -> None:
    """v1 and the pages have no such headers and take nothing."""
    assert left(ask(running, COUNTED[0])) == 59
    answers = [user.v1(), running.request("GET", "/api/v2"), running.request("GET", "/api/oauth2-callback")]
    assert [name for answer in answers for name in answer.headers if name.startswith("x-ratelimit")] == []
    assert left(ask(running, COUNTED[1])) == 58


def test_good_keys_count_for_their_account_bad_ones_for_the_address(running: Running, user: User) -> None:
    """Two counts that do not touch; password and key are one account."""
    key = user.new_key()
    assert [left(user.balance(key)), left(user.key("generate")), left(user.balance("wrong"))] == [58, 57, 59]
    assert left(ask(running, COUNTED[1])) == 58
    other = User(running, "other")
    assert left(other.balance(other.new_key())) == 58
    assert left(user.balance(key)) == 56


def test_the_sixty_first_call(running: Running, user: User) -> None:
    """429 with all its headers, nothing done; the window began with the first call and ends whole."""
    key = user.new_key()
    running.advance(61)
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(user.balance, key) for _ in range(58)]
        assert sorted(left(call.result()) for call in calls) == list(range(2, 60))
    running.advance(30)
    assert left(user.balance(key)) == 1
    post = {"numbers": "0701234567", "message_body": "x"}
    sixtieth = running.request("POST", "/api/v2/sms/send", post, {"X-API-Key": key})
    assert (sixtieth.status, left(sixtieth)) == (200, 0)
    before = running.available("user")
    for answer in (running.request("POST", "/api/v2/sms/send", post, {"X-API-Key": key}), user.key("revoke")):
        assert (answer.status, answer.json, left(answer)) == (429, TOO_MANY, 0)
        assert 1 <= int(answer.headers["retry-after"]) <= 30
        resets = (
            int(answer.headers["x-ratelimit-reset"])
            - datetime.strptime(_now(running), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
        )
        assert 0 <= resets <= 31
    assert running.available("user") == before
    running.advance(31)
    assert left(user.balance(key)) == 59


def _now(running: Running) -> str:
    """The installation's clock, by the only door that shows it to anyone: SMSKit's date of an acceptance."""
    if not hasattr(_now, "ready"):
        running.account("clock", "EUR", "1000")
        running.import_key("clock", "smskit", "clock-key", "--secret-file", running.file("clock-token"))
        _now.ready = True  # type: ignore[attr-defined]
    query = "sendsms&apikey=clock-key&apitoken=clock-token&from=Clock&to=4917100000000&text=x"
    return str(running.request("GET", f"/smsAPI?{query}").json["date"])


def test_the_limit_of_an_address(running: Running) -> None:
    """Whoever guesses keys is stopped after sixty of a minute."""
    statuses = Counter(ask(running, COUNTED[1], X_API_Key=f"guess-{n}").status for n in range(62))
    assert statuses == {401: 60, 429: 2}


# -- 4.4


def test_keys_on_v2(running: Running, user: User) -> None:
    """Header or parameter, the header wins; absent, unknown, revoked and expired each in its words."""
    key = user.new_key(expiry_days=1)
    path = "/api/v2/account/balance"
    assert ask(running, f"{path}?api_key={key}").status == 200
    assert ask(running, path, X_API_Key=f" {key} ").status == 200
    assert ask(running, f"{path}?api_key=wrong", X_API_Key=key).status == 200
    answer = ask(running, f"{path}?api_key={key}", X_API_Key="wrong")
    assert (answer.status, answer.json) == (401, INVALID)
    for nothing in (ask(running, path), ask(running, path, X_API_Key=""), ask(running, f"{path}?api_key=")):
        assert (nothing.status, nothing.json) == (401, REQUIRED)
    running.advance(86_400)
    answer = user.balance(key)
    assert (answer.status, answer.json) == (401, EXPIRED)
    assert user.key("generate").status == 200, "an expired key is not active"
    running.installation.cli("accounts", "suspend", "user")
    running.advance(10)
    assert user.balance(key).json == INVALID
    assert (user.v1().status, user.v1().json) == (401, UNAUTHORIZED)
    running.installation.cli("accounts", "suspend", "user", "--resume")
    running.advance(10)


# -- 4.6


def test_the_life_of_a_key(running: Running) -> None:
    """Generated once, replaced, revoked: each at once, in every process."""
    life = User(running, "life")
    answer = life.key("generate")
    assert answer.json.keys() == {"message", "api_key", "expires_at"}
    first = answer.json["api_key"]
    assert (answer.status, answer.json["message"], answer.json["expires_at"]) == (200, "API key generated successfully", None)
    assert re.fullmatch("[0-9a-f]{64}", first)
    again = life.key("generate")
    assert (again.status, again.json) == (409, EXISTS)
    answer = life.key("regenerate")
    second = answer.json["api_key"]
    assert (answer.status, answer.json["message"]) == (200, "API key regenerated successfully")
    assert [life.balance(first).json for _ in range(8)] == [INVALID] * 8
    assert [life.balance(second).status for _ in range(8)] == [200] * 8
    answer = life.key("revoke")
    assert (answer.status, answer.json) == (200, REVOKED)
    assert [life.balance(second).json for _ in range(8)] == [INVALID] * 8
    answer = life.key("revoke")
    assert (answer.status, answer.json) == (404, NONE)
    assert life.key("regenerate").status == 200, "works also when none is active"


def test_an_imported_key_is_the_active_one(running: Running) -> None:
    """A customer who brings a key keeps it, and replaces it as ever."""
    moved = User(running, "moved")
    running.import_key("moved", "laravel", "a" * 64)
    assert moved.balance("a" * 64).status == 200
    assert moved.key("generate").status == 409
    assert moved.key("regenerate").status == 200
    assert moved.balance("a" * 64).json == INVALID


def test_parallel_generates_make_one_key(running: Running) -> None:
    """Over both processes at once: one key, and that one works."""
    for name in ("race1", "race2", "race3"):
        racer = User(running, name)
        with ThreadPoolExecutor(8) as pool:
            answers = [call.result() for call in [pool.submit(racer.key, "generate") for _ in range(8)]]
        assert Counter(answer.status for answer in answers) == {200: 1, 409: 7}
        key = next(answer.json["api_key"] for answer in answers if answer.status == 200)
        assert racer.balance(key).status == 200


def test_parallel_replacements_leave_one_key(running: Running) -> None:
    """Each caller got a key; only one of them is active."""
    racer = User(running, "race4")
    with ThreadPoolExecutor(4) as pool:
        answers = [call.result() for call in [pool.submit(racer.key) for _ in range(4)]]
    made = [answer.json["api_key"] for answer in answers if answer.status == 200]
    assert len(made) >= 1
    assert Counter(racer.balance(key).status for key in made) == {200: 1, 401: len(made) - 1} | (
        {401: 0} if len(made) == 1 else {}
    )


def test_who_may_change_keys(running: Running, user: User) -> None:
    """User name and password by query, form, JSON or Basic; revoke and regenerate by the key, generate not."""
    key = user.new_key()
    basic = "Basic " + base64.b64encode(f"{user.login['username']}:{user.password}".encode()).decode()
    assert ask(running, "/api/regenerate-key", Authorization=basic).status == 200
    assert user.form("/api/regenerate-key", user.login).status == 200
    key = user.form("/api/regenerate-key", user.login).json["api_key"]
    assert running.request("POST", "/api/generate-key", headers={"X-API-Key": key}).json == UNAUTHORIZED
    key = ask(running, "/api/regenerate-key", X_API_Key=key).json["api_key"]
    assert running.request("POST", f"/api/revoke-key?api_key={key}").json == REVOKED
    for path in COUNTED[2:]:
        for headers in ({}, {"Authorization": "Basic nonsense"}, {"X-API-Key": key}, {"Authorization": basic[:-4]}):
            answer = running.request("POST", path, {}, headers)
            assert (answer.status, answer.json) == (401, UNAUTHORIZED), (path, headers)


def test_days_until_a_key_expires(running: Running, user: User) -> None:
    """1 to 365, as number or text; valid to the last second."""
    answer = user.key(expiry_days=3)
    expires = datetime.strptime(answer.json["expires_at"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    now = datetime.strptime(_now(running), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert abs(expires - now - timedelta(days=3)) < timedelta(seconds=5)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", answer.json["expires_at"])
    for fine in (1, 365, "365"):
        assert user.key(expiry_days=fine).status == 200
    assert user.form("/api/regenerate-key", user.login | {"expiry_days": "9"}).json["expires_at"]
    key = user.new_key()
    for bad, rule in ((0, "be at least 1"), (366, "not be greater than 365"), ("x", "be an integer"), (1.5, "be an integer")):
        answer = user.key(expiry_days=bad)
        words = f"The expiry days field must {rule}."
        assert (answer.status, answer.json) == (422, {"message": words, "errors": {"expiry_days": [words]}})
    assert user.balance(key).status == 200, "what was refused replaced nothing"
