"""Handsets' messages on a whole installation: parts over two sessions with a death in between, both inboxes, STOP and START."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.contract.ground import Running, started
from tests.process.installation import wait_for

pytestmark = pytest.mark.process

_CONFIG = """
[[inbound]]
number = "4321"
account = "shop"
[[inbound]]
number = "4322"
account = "picky"
senders = ["Picky"]
[inbox]
parts_s = 3600
keep_s = 7200
messages_max = 1500
"""
HANDSET = "22236000001"
LONG = "Où est mon colis ? Je l'attends depuis ce matin, et personne ne répond. " * 9


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """With a number of an account."""
    with started(config=_CONFIG) as found:
        found.account("shop", "EUR", "100", "--sender", "Shop")
        found.account("picky", "EUR")
        found.account("other", "EUR")
        found.import_key("shop", "smskit", "key-of-shop", "--secret-file", found.file("token-of-shop"))
        yield found


@pytest.fixture(scope="module")
def keys(running: Running) -> dict[str, str]:
    """Native keys by account."""
    return {name: str(running.installation.cli("keys", "create", name)["key"]) for name in ("shop", "picky", "other")}


def write(running: Running, text: str, to: str = "4321", handset: str = HANDSET, **more: Any) -> None:
    """A handset writes."""
    told = {"system_id": "sim", "from": handset, "to": to, "text": text} | more
    running.installation.carriers["sim"].say(f"handset {json.dumps(told)}")


def inbox(running: Running, key: str, **query: int) -> dict[str, Any]:
    """A page of GET /v1/inbound."""
    answer = running.request("GET", f"/v1/inbound?{urlencode(query)}", headers={"Authorization": f"Bearer {key}"})
    assert answer.status == 200, answer
    page: dict[str, Any] = answer.json
    return page


def texts(running: Running, key: str) -> list[str]:
    """All texts of an inbox."""
    return [each.get("text", "") for each in inbox(running, key, limit=1000)["messages"]]


def send(running: Running, key: str, **fields: Any) -> Any:
    """POST /v1/messages."""
    return running.request(
        "POST", "/v1/messages", {"to": f"+{HANDSET}", "text": "Hello"} | fields, {"Authorization": f"Bearer {key}"}
    )


def bound(running: Running, sessions: int = 2) -> bool:
    """Has the carrier so many sessions?"""
    return bool(running.installation.carriers["sim"].stats()["sessions"] == sessions)


def test_a_long_message_in_parts_over_two_sessions_with_a_death_in_between(running: Running, keys: dict[str, str]) -> None:
    """Must show 9: exactly one row on the stream, readable at GET /v1/inbound and at SMSKit's getinbox."""
    installation, carrier = running.installation, running.installation.carriers["sim"]
    wait_for("two sessions", 10, lambda: bound(running))
    before = carrier.stats()["receipts_answered"]
    write(running, LONG, way="udh16", reference=4711, order=[4, 1], sessions=[0, 1])
    wait_for("two parts are durable", 10, lambda: carrier.stats()["receipts_answered"] == before + 2)
    installation.kill("engine-0")
    wait_for("they end", 10, lambda: not bound(running))
    wait_for("two sessions again", 20, lambda: bound(running))
    write(running, LONG, way="udh16", reference=4711, order=[3, 4, 2, 5, 1], sessions=[1, 0])
    (shown,) = wait_for("the message", 10, lambda: inbox(running, keys["shop"])["messages"])
    wait_for("all are answered", 10, lambda: carrier.stats()["receipts_answered"] >= before + 7)
    assert (shown["text"], shown["from"], shown["to"]) == (LONG, HANDSET, "4321")
    assert (shown["number"], shown["parts"], shown["total"]) == (1, 5, 5)
    (row,) = installation.rows("inbound")
    assert (row["id"], row["text"], row["account"], row["reference"]) == (shown["id"], LONG, "shop", 4711)
    login = {"apikey": "key-of-shop", "apitoken": "token-of-shop"}
    (kit,) = running.request("GET", f"/smsAPI?getinbox&{urlencode(login)}").json["inbox"]
    assert (kit["id"], kit["from"], kit["to"], kit["message"]) == ("1", HANDSET, "4321", LONG)
    assert running.request("GET", f"/smsAPI?getinbox&{urlencode(login)}").json["inbox"] == []
    assert inbox(running, keys["other"]) == {"messages": [], "last": 0, "more": False}
    told = json.dumps(installation.log())
    assert "mon colis" not in told
    assert HANDSET not in told


def test_stop_blocks_and_start_frees(running: Running, keys: dict[str, str]) -> None:
    """At the door, for every sender of the account; with `senders` only for these and the number itself."""
    assert send(running, keys["shop"]).status == 202
    write(running, "Arrêt !")
    write(running, "stop", to="4322")
    wait_for("both", 10, lambda: "Arrêt !" in texts(running, keys["shop"]) and texts(running, keys["picky"]))
    for account, fields, expected in (
        ("shop", {}, 422),
        ("shop", {"from": "4321"}, 422),
        ("picky", {"from": "Picky"}, 422),
        ("picky", {"from": "4322"}, 422),
        ("picky", {"from": "Other"}, 202),
        ("other", {"from": "Other"}, 202),
        ("shop", {"to": "+22236000002"}, 202),
    ):
        answer = send(running, keys[account], **fields)
        assert answer.status == expected, (account, fields, answer)
        if expected == 422:
            assert answer.json["type"].endswith("opted_out")
    (opted,) = running.installation.cli("optouts", "list", "shop", "--number", HANDSET)
    assert opted["sender"] == ""
    assert HANDSET not in opted["to"]
    write(running, "START")
    write(running, "Unstop", to="4322")
    wait_for("both", 10, lambda: "START" in texts(running, keys["shop"]) and "Unstop" in texts(running, keys["picky"]))
    assert send(running, keys["shop"]).status == 202
    assert send(running, keys["picky"], **{"from": "Picky"}).status == 202
    assert running.installation.cli("optouts", "list", "shop") == []


def test_an_operator_adds_and_removes_opt_outs(running: Running, keys: dict[str, str]) -> None:
    """With the same effect as a STOP."""
    cli, number = running.installation.cli, "+22236000009"
    assert cli("optouts", "add", "shop", number, "--sender", "Shop")["changed"] is True
    assert cli("optouts", "add", "shop", number, "--sender", "Shop")["changed"] is False
    assert send(running, keys["shop"], to=number).json["type"].endswith("opted_out")
    assert send(running, keys["shop"], to=number, **{"from": "Else"}).status == 202
    assert cli("optouts", "remove", "shop", number)["changed"] is True
    assert send(running, keys["shop"], to=number).status == 202
    assert "no account" in cli("optouts", "list", "nobody", code=1)["error"]
    assert "not a number" in cli("optouts", "add", "shop", "Shop", code=1)["error"]


def test_pages_and_their_limits(running: Running, keys: dict[str, str]) -> None:
    """Oldest first, gap-free by `last`; a key without the scope, without a key, with what is no number."""
    start = inbox(running, keys["other"])["last"]
    assert start == 0
    key = keys["shop"]
    pages = [inbox(running, key, limit=1)]
    while pages[-1]["more"]:
        pages.append(inbox(running, key, limit=1, after=pages[-1]["last"]))
    seen = [each for page in pages for each in page["messages"]]
    assert len(pages) == len(seen) == 3
    assert [each["number"] for each in seen] == list(range(1, len(seen) + 1))
    last = pages[-1]["last"]
    assert inbox(running, key, after=last) == {"messages": [], "last": last, "more": False}
    bearer = {"Authorization": f"Bearer {key}"}
    for query in ("limit=0", "limit=1001", "after=-1", "after=x", "limit=", f"after={1 << 54}"):
        assert running.request("GET", f"/v1/inbound?{query}", headers=bearer).status == 422, query
    assert running.request("GET", "/v1/inbound").status == 401


def test_parts_that_never_come_and_messages_that_are_kept_no_longer(running: Running, keys: dict[str, str]) -> None:
    """After parts_s the part is given out with what it lacks; after keep_s the inbox is empty, the numbers go on."""
    installation, carrier = running.installation, running.installation.carriers["sim"]
    before = carrier.stats()["receipts_answered"]
    write(running, LONG, order=[2])
    wait_for("the part is durable", 10, lambda: carrier.stats()["receipts_answered"] > before)
    running.advance(3500)
    assert not [row for row in installation.rows("inbound") if row["parts"] < row["total"]]
    running.advance(200)
    (row,) = wait_for("it is given out", 10, lambda: [r for r in installation.rows("inbound") if r["parts"] < r["total"]])
    assert (row["parts"], row["total"], row["text"]) == (1, 5, LONG[153:306])
    last = inbox(running, keys["shop"], limit=1000)["last"]
    assert inbox(running, keys["shop"], after=last - 1)["messages"][0]["parts"] == 1
    running.advance(7300)
    wait_for("they are gone", 10, lambda: not texts(running, keys["shop"]))
    write(running, "after all that")
    wait_for("the next", 10, lambda: texts(running, keys["shop"]) == ["after all that"])
    assert inbox(running, keys["shop"])["last"] == last + 1
