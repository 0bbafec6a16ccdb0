"""The Laravel dialect's keys and its count of requests, against a dispatcher with two HTTP processes."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.contract.ground import Response, Running, started
from tests.contract.laravel_shop import BAD_NUMBER, EXPIRED, INVALID, POOR, REQUIRED, UNAUTHORIZED, User, sample, seen

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


def test_every_answer_has_the_count(running: Running) -> None:
    """Whatever is answered: what was done, what was refused, what cannot be read."""
    poor = User(running, "poor", "1")
    key = {"X-API-Key": poor.new_key()}
    send, json_type = {"numbers": "0701234567", "message_body": "x"}, {"Content-Type": "application/json"}
    refused = {"error": "The message_body field is required."}
    calls = (
        (200, None, running.request("POST", "/api/v2/sms/send", send, key)),
        (402, POOR, running.request("POST", "/api/v2/sms/send", send, key)),
        (400, BAD_NUMBER, running.request("POST", "/api/v2/sms/send", send | {"numbers": "1"}, key)),
        (400, refused, running.request("GET", "/api/v2/sms/send?numbers=0701234567", headers=key)),
        (400, None, running.request("POST", "/api/v2/sms/send", "{", key | json_type)),
        (200, None, running.request("HEAD", "/api/v2/account/balance", headers=key)),
        (409, EXISTS, poor.key("generate")),
        (422, None, poor.key("regenerate", expiry_days=0)),
        (200, REVOKED, poor.key("revoke")),
        (404, NONE, poor.key("revoke")),
    )
    for count, (status, body, answer) in enumerate(calls, 2):
        assert seen(answer) == (status, body or answer.json), answer
        assert left(answer) == 60 - count
    assert calls[5][2].body == b""


def test_what_is_not_counted(running: Running, user: User) -> None:
    """v1, the pages, and what is refused by method or size have no such headers and take nothing."""
    assert left(ask(running, COUNTED[0])) == 59
    answers = [user.v1(), running.request("GET", "/api/v2"), running.request("GET", "/api/oauth2-callback")]
    answers.append(running.request("DELETE", COUNTED[0]))
    answers.append(running.request("POST", COUNTED[0], "", {"Content-Length": "1048577"}))
    assert [answer.status for answer in answers] == [200, 200, 200, 405, 413]
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
        assert (seen(answer), left(answer)) == ((429, TOO_MANY), 0)
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
    assert seen(answer) == (401, INVALID)
    for nothing in (ask(running, path), ask(running, path, X_API_Key=""), ask(running, f"{path}?api_key=")):
        assert seen(nothing) == (401, REQUIRED)
    running.advance(86_370)
    assert user.balance(key).status == 200, "valid to the last"
    running.advance(31)
    answer = user.balance(key)
    assert seen(answer) == (401, EXPIRED)
    assert seen(user.key("revoke")) == (404, NONE)
    assert user.key("generate").status == 200, "an expired key is not active"
    running.installation.cli("accounts", "suspend", "user")
    running.advance(10)
    assert user.balance(key).json == INVALID
    assert seen(user.v1()) == (401, UNAUTHORIZED)
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
    assert seen(again) == (409, EXISTS)
    answer = life.key("regenerate")
    second = answer.json["api_key"]
    assert (answer.status, answer.json["message"]) == (200, "API key regenerated successfully")
    assert [life.balance(first).json for _ in range(8)] == [INVALID] * 8
    assert [life.balance(second).status for _ in range(8)] == [200] * 8
    answer = life.key("revoke")
    assert seen(answer) == (200, REVOKED)
    assert [life.balance(second).json for _ in range(8)] == [INVALID] * 8
    answer = life.key("revoke")
    assert seen(answer) == (404, NONE)
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
    for path in COUNTED[2:]:
        assert ask(running, f"{path}?{urlencode(user.login)}").status == (409 if "/generate" in path else 200), path
        assert user.key("regenerate").status == 200
    key = user.form("/api/regenerate-key", user.login).json["api_key"]
    assert running.request("POST", "/api/generate-key", headers={"X-API-Key": key}).json == UNAUTHORIZED
    key = ask(running, "/api/regenerate-key", X_API_Key=key).json["api_key"]
    assert running.request("POST", f"/api/revoke-key?api_key={key}").json == REVOKED
    for path in COUNTED[2:]:
        for headers in ({}, {"Authorization": "Basic nonsense"}, {"X-API-Key": key}, {"Authorization": basic[:-4]}):
            answer = running.request("POST", path, {}, headers)
            assert seen(answer) == (401, UNAUTHORIZED), (path, headers)


def test_days_until_a_key_expires(running: Running, user: User) -> None:
    """1 to 365, as number or text, of a first key and of a further one; what is refused is so in the framework's form."""
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
        words = f"The expiry days field must {rule}."
        for action in ("regenerate", "generate"):
            answer = user.key(action, expiry_days=bad)
            assert seen(answer) == (422, {"message": words, "errors": {"expiry_days": [words]}})
    assert user.balance(key).status == 200, "what was refused replaced nothing"
    assert user.key("revoke").status == 200
    assert user.key("generate", expiry_days=1).json["expires_at"].endswith("000Z")


def test_a_key_is_shown_once(running: Running, user: User) -> None:
    """Neither what an operator can list of it nor a refusal to make another one shows it again."""
    key = user.new_key()
    listed = json.dumps(running.installation.cli("keys", "list", "user"))
    assert user.balance(key).status == 200
    assert key not in listed
    assert key not in json.dumps(user.key("generate").json)


# -- the printed samples, with credentials in the query


def test_printed_samples_with_credentials(running: Running) -> None:
    """The documented days; a send and a balance by the key that the first sample made; a revocation."""
    own = User(running, "printed", "10")
    login = urlencode(own.login)

    def says(name: str, query: str) -> dict[str, Any]:
        ran = sample(running, f"{name}.sh", query)
        assert ran.returncode == 0, ran.stderr
        said: dict[str, Any] = json.loads(ran.stdout)
        return said

    def days(expires_at: str) -> float:
        now = datetime.strptime(_now(running), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        expires = datetime.strptime(expires_at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        return (expires - now) / timedelta(days=1)

    assert abs(days(says("api_generate-key", login)["expires_at"]) - 3) < 0.001
    made = says("api_regenerate-key", login)
    assert abs(days(made["expires_at"]) - 9) < 0.001
    key = f"api_key={made['api_key']}"
    sent = says("api_v2_sms_send", f"{key}&numbers=0709000111&message_body=printed")
    assert (sent["status"], sent["balance"]) == ("success", 9)
    assert bytes.fromhex(running.sent_to("254709000111")[0].text) == b"printed"
    assert says("api_v2_account_balance", key) == {"balance": 9, "currency": "KES"}
    assert says("api_revoke-key", key) == REVOKED
    assert says("api_v2_account_balance", key) == INVALID
