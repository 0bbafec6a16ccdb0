"""What is private stays where it belongs: planted secrets, numbers, texts and codes are looked for in every byte that leaves.

Searched: the log of all processes, their command lines, metrics, the open pages, every file but the store's own, what another
account can read; and, once all is final, every key of the store for texts and codes, and for numbers but where a dialect's
status must show them (tickets), in rejects and in inbound.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import redis

from tests.contract.ground import Running
from tests.process.installation import wait_for

SECRETS = {
    "chinqit": "chq-PLANTED-5e1f0c8d7a",
    "laravel password": "lar-PLANTED-hunter2-91b",
    "laravel wrong": "lar-PLANTED-wrong-77c",
    "smskit key": "smk-PLANTED-key-3d2e",
    "smskit token": "smk-PLANTED-token-aa41",
    "otpiq": "sk_live_PLANTED0123456789abcdef",
    "lost": "nobody-PLANTED-knows-this-key",
    "callback": "whsec_UExBTlRFRHNlY3JldG9mYWNhbGxiYWNr",
}
NUMBERS = {
    name: f"44770055{n:04d}"
    for n, name in enumerate(("native", "stream", "otp", "chinqit", "code", "form", "smskit", "otpiq"), 11)
}
NATIVE_ONLY = ("native", "stream", "otp")
"""Numbers of an account whose answers show hashes: no key may hold them once all is final."""
TEXTS = {name: f"Planted text {name} {n * 7919:06x} zebra" for n, name in enumerate(NUMBERS, 100)}
OTPIQ_CODE = "834617502998"


def _use_everything(running: Running) -> dict[str, str]:
    """Sends over every door, rightly and wrongly; returns our own secrets too."""
    for name, currency in (("native", "EUR"), ("chinqit", "MRU"), ("laravel", "KES"), ("smskit", "USD"), ("otpiq", "IQD")):
        running.account(name, currency, "100000", "--sender", "Info")
    own = str(running.installation.cli("keys", "create", "native")["key"])
    running.import_key("chinqit", "chinqit", SECRETS["chinqit"])
    running.import_key("laravel", "laravel", SECRETS["laravel password"], "--user", "planted-user")
    token = running.file(SECRETS["smskit token"])
    running.import_key("smskit", "smskit", SECRETS["smskit key"], "--secret-file", token)
    running.import_key("otpiq", "otpiq", SECRETS["otpiq"])
    bearer = {"Authorization": f"Bearer {own}"}

    def native(name: str, **more: Any) -> None:
        body = {"to": f"+{NUMBERS[name]}", "text": TEXTS[name], **more}
        assert running.request("POST", "/v1/messages", body, bearer).status == 202

    native("native", key="planted-key", ref="r1")
    native("otp", **{"class": "otp"})
    running.installation.xadd({"account": "native", "to": NUMBERS["stream"], "text": TEXTS["stream"]})
    ask = running.request
    chinqit = {"X-API-Key": SECRETS["chinqit"]}
    assert (
        ask("POST", "/messages/send", {"message": TEXTS["chinqit"], "phoneNumber": f"+{NUMBERS['chinqit']}"}, chinqit).status
        == 200
    )
    assert ask("POST", "/otp/send", {"phoneNumber": f"+{NUMBERS['code']}", "language": "en"}, chinqit).status == 200
    form = {"username": "planted-user", "password": SECRETS["laravel password"], "numbers": f"+{NUMBERS['form']}"}
    assert ask("POST", "/v1/sms/send?" + urlencode(form | {"message_body": TEXTS["form"]})).status == 200
    asked = {"apikey": SECRETS["smskit key"], "apitoken": SECRETS["smskit token"], "from": "Info", "to": NUMBERS["smskit"]}
    answer = ask("GET", "/smsAPI?sendsms&" + urlencode(asked | {"text": TEXTS["smskit"]}))
    assert answer.json["status"] == "queued", answer.body
    otpiq = {"phoneNumber": NUMBERS["otpiq"], "smsType": "verification", "verificationCode": OTPIQ_CODE}
    assert ask("POST", "/api/sms", otpiq, {"Authorization": f"Bearer {SECRETS['otpiq']}"}).status == 200
    _misuse(running, bearer)
    return {"own key": own.partition(".")[2]}


def _misuse(running: Running, bearer: dict[str, str]) -> None:
    """What goes wrong must not be told with the words it went wrong with."""
    ask = running.request
    broken = json.dumps({"to": f"+{NUMBERS['native']}", "text": TEXTS["native"]})[:-2]
    assert ask("POST", "/v1/messages", broken, bearer).status == 422
    assert ask("POST", "/v1/messages", {"to": NUMBERS["native"], "text": TEXTS["native"], "colour": 1}, bearer).status == 422
    assert ask("GET", "/v1/balance", headers={"X-API-Key": f"0123456789abcdef.{SECRETS['lost']}"}).status == 401
    assert ask("GET", f"/nowhere/{quote(TEXTS['native'])}?key={SECRETS['lost']}").status == 404
    wrong = {"username": "planted-user", "password": SECRETS["laravel wrong"], "numbers": f"+{NUMBERS['form']}"}
    assert ask("POST", "/v1/sms/send?" + urlencode(wrong | {"message_body": TEXTS["form"]})).status == 401
    assert ask("POST", "/api/sms", b"\xff{" + SECRETS["lost"].encode()).status in {400, 401}
    assert ask("GET", f"/smsAPI?balance&apikey={SECRETS['lost']}&apitoken={SECRETS['lost']}").status == 200
    running.installation.xadd({"account": "nobody", "to": NUMBERS["stream"], "text": TEXTS["stream"]})


def _values(client: redis.Redis) -> Iterator[tuple[str, bytes]]:
    """Every key with its whole content."""
    for key in client.scan_iter(count=1000):
        kind: Any = client.type(key)
        name = key.decode()
        match kind.decode():
            case "string":
                yield name, bytes(client.get(key) or b"")  # type: ignore[arg-type]
            case "hash":
                content: Any = client.hgetall(key)
                yield name, b"\n".join(part for pair in content.items() for part in pair)
            case "list":
                yield name, b"\n".join(client.lrange(key, 0, -1))  # type: ignore[arg-type]
            case "set":
                yield name, b"\n".join(client.smembers(key))  # type: ignore[arg-type]
            case "zset":
                yield name, b"\n".join(client.zrange(key, 0, -1))  # type: ignore[arg-type]
            case "stream":
                entries: Any = client.xrange(key)
                yield name, b"\n".join(part for _, fields in entries for pair in fields.items() for part in pair)
            case other:
                raise AssertionError(f"{name} is a {other}: teach this test to read it")


def _leaving(running: Running) -> Iterator[tuple[str, bytes]]:
    """Every byte that leaves the system but over carriers' sockets, to the message's own account and into the store."""
    directory = running.installation.directory
    mine = {"dispatcher.toml", "sim.toml", "sim.records"}
    for path in directory.rglob("*"):
        inside = path.relative_to(directory)
        if path.is_file() and inside.parts[:2] != ("var", "server") and path.name not in mine and "secret-" not in path.name:
            yield str(inside), path.read_bytes()
    with urllib.request.urlopen(f"http://127.0.0.1:{running.installation.metrics_port}/metrics") as answer:
        yield "metrics", answer.read()
    for page in ("/openapi.json", "/docs", "/readyz", "/healthz", "/api/v2"):
        yield page, running.request("GET", page).body
    for role in ("supervisor", "engine-0", "http-0", "server-0"):
        yield f"command line of {role}", Path(f"/proc/{running.installation.pid(role)}/cmdline").read_bytes()
    for stream in ("events", "charges"):
        yield f"stream {stream}", json.dumps(running.installation.rows(stream), default=repr).encode()


def _found(content: bytes, planted: dict[str, str]) -> list[str]:
    return [name for name, value in planted.items() if value.encode() in content or quote(value).encode() in content]


def test_nothing_planted_leaves(running: Running) -> None:
    """No secret, number, text or code in any byte the system writes outside store, carriers and the account's own answers."""
    own = _use_everything(running)
    client = running.installation.redis
    wanted = set(NUMBERS.values())

    def arrived() -> bool:
        got = {each.number for each in running.installation.carriers["sim"].records()}
        final = {r["id"] for r in running.installation.rows("events") if r["state"] == "delivered"}
        return wanted <= got and len(final) == len(wanted)

    wait_for("all delivered", 20, arrived)
    wait_for("admitted entries are cut from the stream", 10, lambda: client.xlen("sms:sends") == 0)
    sent = next(each for each in running.sent_to(NUMBERS["code"]))
    code = re.findall(rb"\d{6}", bytes.fromhex(sent.text))[0].decode()
    codes = {"otp code": code, "otpiq code": OTPIQ_CODE}
    texts = {f"text {name}": text for name, text in TEXTS.items()}
    numbers = {f"number {name}": number for name, number in NUMBERS.items()}
    leaked = {
        where: found for where, content in _leaving(running) if (found := _found(content, SECRETS | own | texts | numbers))
    }
    # A code of six digits occurs by chance in times and ids: it is looked for as a word only.
    for where, content in _leaving(running):
        if re.search(rb"(?<![0-9A-Za-z.])%b(?![0-9A-Za-z.])" % code.encode(), content) or OTPIQ_CODE.encode() in content:
            leaked.setdefault(where, []).append("a code")
    assert leaked == {}

    other = str(running.installation.cli("keys", "create", "smskit")["key"])
    known = running.installation.rows("events")[0]["id"]
    foreign = running.request("GET", f"/v1/messages/{known}", headers={"Authorization": f"Bearer {other}"})
    assert (foreign.status, _found(foreign.body, numbers | texts)) == (404, [])

    kept: dict[str, list[str]] = {}
    hidden = {name: number for name, number in numbers.items() if name.removeprefix("number ") in NATIVE_ONLY}
    for key, content in _values(client):
        if key.endswith(("rejects", ":inbound")):
            continue
        private = texts | SECRETS_KEPT_NOWHERE | own | {"otpiq code": codes["otpiq code"]} | hidden
        if not key.startswith("sms:{p0}:ticket:"):
            private |= numbers
        if found := _found(content, private):
            kept[key] = found
    assert kept == {}


SECRETS_KEPT_NOWHERE = {name: value for name, value in SECRETS.items() if name != "callback"}
"""A callback's secret is needed to sign; every other one is kept as a hash."""
