"""What must be seen to work on real processes: one installation, sends through every door, carriers with every temper, and
an independent eye (tap.py) on the wire. The tests run in this order; the last ones hurt the server."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from dispatcher.core.settings import Server
from tests.process import scene
from tests.process.installation import wait_for
from tests.process.scene import World

pytestmark = pytest.mark.process

PRICE, COST = 30_000, 4_000
LONG = "All your parcels of this week, with the hour at which each of them will be at your door. " * 3
ARABIC = "رمزك هو ٤٧١١ 📦"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Running, with money on the accounts."""
    with scene.scene() as running:
        yield running


def _send(world: World, ref: str, to: str, text: str = "Hello", account: str = "shop", **more: Any) -> dict[str, Any]:
    return {"account": account, "from": "Shop", "to": f"+{to}", "text": text, "ref": ref, **more}


def _finals(world: World, prefix: str, count: int, seconds: float = 15) -> dict[str, int]:
    """Waits until so many messages whose ref begins with `prefix` are final; counts by state."""
    finals = {"delivered", "unknown", "cancelled", "expired", "undelivered", "failed", "rejected"}

    def enough() -> bool:
        return sum(n for state, n in world.counts(prefix).items() if state in finals) >= count

    wait_for(f"{count} {prefix} are final", seconds, enough)
    return world.counts(prefix)


# -- 2: in, through, out


def test_a_stream_send_leaves_as_the_pdus_it_must_be(world: World) -> None:
    """Sends XADDed by a plain client arrive as correct submit_sm PDUs, and as rows in events and charges."""
    texts = {"see-short": "Your code is 4711", "see-long": LONG, "see-arabic": ARABIC}
    for number, (ref, text) in enumerate(texts.items(), 1):
        world.installation.xadd(_send(world, ref, f"49151123000{number}", text))
    assert _finals(world, "see-", 3) == {"delivered": 3}
    submits = [s for s in world.taps["main"].submits("alpha1", "alpha2", "beta") if s.dest.startswith("49151123000")]
    parts = Counter(s.dest for s in submits)
    assert parts == {"491511230001": 1, "491511230002": 2, "491511230003": 1}
    for submit in submits:
        assert (submit.source_ton, submit.source_npi, submit.source) == (5, 0, "Shop")
        assert (submit.dest_ton, submit.dest_npi, submit.registered_delivery & 1) == (1, 1, 1)
        assert submit.validity.endswith("000R")
        assert len(submit.validity) == 16
        assert submit.data_coding == (8 if submit.dest.endswith("3") else 0)
    long = sorted((s for s in submits if s.dest.endswith("2")), key=lambda s: s.header or (0, 0, 0))
    assert [s.header[1:] for s in long if s.header] == [(2, 1), (2, 2)]
    assert len({s.header[0] for s in long if s.header}) == 1
    assert [len(s.payload) for s in long] == [159, len(LONG) - 153 + 6]
    assert "".join(s.text for s in long) == LONG
    assert [s.text for s in submits if s.dest.endswith("1")] == ["Your code is 4711"]
    assert [s.text for s in submits if s.dest.endswith("3")] == [ARABIC]
    for ref, segments in (("see-short", 1), ("see-long", 2), ("see-arabic", 1)):
        events = world.events(ref)
        assert [event["state"] for event in events][0::2] == ["queued", "delivered"]
        assert {event["segments"] for event in events} == {segments}
        posts, costs = (world.facts(events[0]["id"], kind) for kind in ("post", "cost"))
        assert sorted((row["segment"], row["amount"]) for row in posts) == [(n, PRICE) for n in range(1, segments + 1)]
        assert sorted((row["segment"], row["amount"]) for row in costs) == [(n, COST) for n in range(1, segments + 1)]
        assert {row["currency"] for row in posts} == {"EUR"}


def test_an_http_send_shows_every_attempt_and_is_counted(world: World) -> None:
    """202, then GET shows delivered with its attempt; the next scrapes show it counted once."""
    installation, key = world.installation, world.keys["shop"]
    delivered = 'dispatcher_final_total{class="otp",state="delivered"}'
    before = installation.scrape().get(delivered, 0.0)
    send = {"to": "+491511230011", "text": "Hello", "from": "Shop", "class": "otp", "ref": "get-1"}
    answer = installation.http("POST", "/v1/messages", send, key)
    assert (answer.status, answer.body["state"], answer.body["segments"]) == (202, "queued", 1)
    assert (answer.body["price"], answer.body["currency"]) == ("0.03", "EUR")
    _finals(world, "get-", 1)
    shown = installation.http("GET", f"/v1/messages/{answer.body['id']}", key=key)
    assert (shown.status, shown.body["state"], len(shown.body["segments"])) == (200, "delivered", 1)
    attempt = shown.body["segments"][0]["attempts"][0]
    assert len(shown.body["segments"][0]["attempts"]) == 1
    assert (attempt["number"], attempt["outcome"], attempt["receipt"]) == (1, "accepted", "DELIVRD")
    assert attempt["carrier"] in {"alpha", "beta"}
    wait_for("counted", 5, lambda: installation.scrape().get(delivered, 0.0) == before + 1)
    assert installation.http("GET", f"/v1/messages/{answer.body['id']}", key=world.keys["other"]).status == 404


# -- 4: what carriers answer


@pytest.fixture(scope="module")
def fates(world: World) -> dict[str, dict[str, Any]]:
    """The records of one send to each fated number, as GET shows them when all are final."""
    ids = {}
    for number in (
        scene.HEALS,
        scene.NEVER_HEALS,
        scene.PERMANENT,
        scene.ABSENT,
        scene.ABSENT_DEAR,
        scene.REJECTED,
    ):
        account = "dear" if number == scene.ABSENT_DEAR else "shop"
        send = {"to": f"+{number}", "text": "Hello", "from": "Shop", "ref": f"fate-{number}"}
        ids[number] = world.installation.http("POST", "/v1/messages", send, world.keys[account]).body["id"], account
    _finals(world, "fate-", len(ids))
    return {
        number: world.installation.http("GET", f"/v1/messages/{one}", key=world.keys[account]).body
        for number, (one, account) in ids.items()
    }


def _seen(world: World, number: str) -> int:
    """Submissions of that number on the wire."""
    return sum(submit.dest == number for submit in world.taps["main"].submits("fates"))


def _money(world: World, message: dict[str, Any]) -> dict[str, int]:
    """Micro-units by kind of fact."""
    kinds = ("reserve", "post", "void", "refund", "cost")
    return {kind: total for kind in kinds if (total := sum(row["amount"] for row in world.facts(message["id"], kind)))}


def _attempts(message: dict[str, Any]) -> list[str]:
    return [attempt["outcome"] for attempt in message["segments"][0]["attempts"]]


def test_a_temporary_refusal_that_heals_on_the_third_retry(world: World, fates: dict[str, Any]) -> None:
    """Delivered at the fourth attempt, charged once; the refused attempts cost nothing."""
    message = fates[scene.HEALS]
    assert message["state"] == "delivered"
    assert _attempts(message) == ["temporary"] * 3 + ["accepted"]
    assert _seen(world, scene.HEALS) == 4
    assert _money(world, message) == {"reserve": PRICE, "post": PRICE, "cost": COST}


def test_a_temporary_refusal_that_never_heals(world: World, fates: dict[str, Any]) -> None:
    """Exactly five attempts, failed, and the reservation is voided."""
    message = fates[scene.NEVER_HEALS]
    assert message["state"] == "failed"
    assert _attempts(message) == ["temporary"] * 5
    assert _seen(world, scene.NEVER_HEALS) == 5
    assert _money(world, message) == {"reserve": PRICE, "void": PRICE}


def test_a_permanent_refusal(world: World, fates: dict[str, Any]) -> None:
    """One attempt, rejected, voided."""
    message = fates[scene.PERMANENT]
    assert message["state"] == "rejected"
    assert _attempts(message) == ["permanent"]
    assert _seen(world, scene.PERMANENT) == 1
    assert _money(world, message) == {"reserve": PRICE, "void": PRICE}


def test_an_absent_subscriber(world: World, fates: dict[str, Any]) -> None:
    """UNDELIV twice, then delivered: three attempts, one post, three costs (the price is more than three times the cost)."""
    message = fates[scene.ABSENT]
    assert message["state"] == "delivered"
    receipts = [attempt["receipt"] for attempt in message["segments"][0]["attempts"]]
    assert receipts == ["UNDELIV", "UNDELIV", "DELIVRD"]
    assert _seen(world, scene.ABSENT) == 3
    assert _money(world, message) == {"reserve": PRICE, "post": PRICE, "cost": 3 * COST}


def test_retries_end_where_they_would_cost_more_than_the_price(world: World, fates: dict[str, Any]) -> None:
    """The same at a price of 2.5 costs: a third attempt would make a loss, so there is none."""
    message = fates[scene.ABSENT_DEAR]
    assert message["state"] == "undelivered"
    assert _seen(world, scene.ABSENT_DEAR) == 2
    assert _money(world, message) == {"reserve": 10_000, "post": 10_000, "cost": 2 * COST}


def test_a_rejecting_receipt(world: World, fates: dict[str, Any]) -> None:
    """REJECTD: one attempt, rejected; it was posted at its acceptance and is refunded."""
    message = fates[scene.REJECTED]
    assert message["state"] == "rejected"
    assert _seen(world, scene.REJECTED) == 1
    assert _money(world, message) == {"reserve": PRICE, "post": PRICE, "refund": PRICE, "cost": COST}


def test_the_second_group_takes_over_from_a_dead_carrier(world: World) -> None:
    """The only carrier of the first group goes down with 2,000 in its queue: the second group delivers all of them."""
    rude = world.installation.carriers["rude"]
    for chunk in range(2):
        sends = [_send(world, f"backup-{n}", f"3361200{n:04}") for n in range(1000 * chunk, 1000 * chunk + 1000)]
        world.installation.xadd(sends)
    wait_for("the first carrier works", 10, lambda: world.counts("backup-").get("delivered", 0) > 10)
    rude.say("down")
    try:
        assert world.counts("backup-").get("queued", 0) > 1500
        most = 2000 - scene.GAMMA_WINDOW  # what the dead one had accepted waits for its receipts
        wait_for("the queued ones are delivered", 10, lambda: world.counts("backup-").get("delivered", 0) >= most)
    finally:
        rude.say("up")
    assert _finals(world, "backup-", 2000) == {"delivered": 2000}
    by_delta = {s.dest for s in world.taps["main"].submits("delta") if s.dest.startswith("3361200")}
    assert len(by_delta) >= 1500


# -- 5: shares and limits


def test_three_binds_of_two_carriers_share_by_weight(world: World) -> None:
    """Weights 3:1 over three binds with room in their windows (full ones would share by what they can carry): a quarter goes
    to the one carrier, and both binds of the other carry of its three."""
    world.installation.xadd([_send(world, f"share-{n}", f"4915112400{n:03}") for n in range(800)])
    assert _finals(world, "share-", 800) == {"delivered": 800}
    by = Counter(
        name
        for name in ("alpha1", "alpha2", "beta")
        for s in world.taps["main"].submits(name)
        if s.dest.startswith("4915112400")
    )
    assert sum(by.values()) == 800
    assert abs(by["beta"] - 200) <= 16
    assert min(by["alpha1"], by["alpha2"]) >= 100


def test_session_cap_window_and_rate_are_never_exceeded(world: World) -> None:
    """P6, seen on the wire: two sessions, ten unanswered each (reached while the carrier stalls), a hundred a second; the
    carrier, which refuses above 105 in any sliding second, refuses none."""
    carrier, tap = world.installation.carriers["capped"], world.taps["capped"]
    began = time.monotonic()
    world.installation.xadd([_send(world, f"cap-{n}", f"3461200{n:04}") for n in range(320)])
    time.sleep(1.0)
    carrier.say("stalled on")
    wait_for("both windows are full", 5, lambda: sorted(s.open for s in tap.of("capped")) == [10, 10])
    time.sleep(0.3)
    assert sorted(session.open for session in tap.of("capped")) == [scene.CAPPED_WINDOW] * 2
    carrier.say("stalled off")
    assert _finals(world, "cap-", 320) == {"delivered": 320}
    stats, spans = carrier.stats(), tap.of("capped")
    assert [session.open_peak for session in spans] == [scene.CAPPED_WINDOW] * 2
    assert (stats["sessions_peak"], stats["binds_refused"]) == ({"capped": 2}, 0)
    assert (stats["throttled"], stats["window_exceeded"], stats["refused"]) == (0, 0, {})
    assert tap.peak(1.0, "capped") <= scene.CAPPED_RATE + 5
    assert stats["submits"] == 320
    assert time.monotonic() - began >= 320 / scene.CAPPED_RATE


def test_a_bulk_batch_holds_back_neither_an_otp_nor_another_account(world: World) -> None:
    """While 5,000 bulk messages of account A drain: an OTP waits for at most one window of them, and 50 bulk messages of
    account B are submitted before the next 200 of A's."""
    tap, post = world.taps["slow"], world.installation.http
    batch = [{"to": f"+316120{n:05}", "text": "Sale", "from": "Shop", "class": "bulk", "ref": f"a-{n}"} for n in range(5000)]
    assert post("POST", "/v1/messages/batch", batch, world.keys["shop"]).body["accepted"] == 5000
    wait_for("it drains", 10, lambda: len(tap.submits("lanes")) > 200)
    otp = {"to": "+31621000001", "text": "Your code is 4711", "from": "Shop", "class": "otp", "ref": "lane-otp"}
    assert post("POST", "/v1/messages", otp, world.keys["shop"]).status == 202
    otp_accepted = time.monotonic()
    wait_for("the OTP left", 5, lambda: any(s.dest == "31621000001" for s in tap.submits("lanes")))
    fifty = [{"to": f"+316220000{n:02}", "text": "Sale", "from": "Shop", "class": "bulk", "ref": f"b-{n}"} for n in range(50)]
    assert post("POST", "/v1/messages/batch", fifty, world.keys["other"]).body["accepted"] == 50
    fifty_accepted = time.monotonic()
    assert _finals(world, "b-", 50) == {"delivered": 50}
    assert _finals(world, "a-", 5000, 25) == {"delivered": 5000}
    submits = tap.submits("lanes")
    otp_left = next(s.at for s in submits if s.dest == "31621000001")
    bulk_before = sum(otp_accepted < s.at < otp_left for s in submits if s.dest.startswith("316120"))
    assert bulk_before <= scene.LANES_WINDOW
    last_of_b = max(s.at for s in submits if s.dest.startswith("31622"))
    between = sum(fifty_accepted < s.at < last_of_b for s in submits if s.dest.startswith("316120"))
    assert between <= 200
    assert max(s.open_peak for s in tap.of("lanes")) <= scene.LANES_WINDOW


# -- bad input


def test_a_carrier_that_talks_nonsense_closes_or_falls_silent_harms_only_its_own_bind(world: World) -> None:
    """Garbage, a cut link, silence: the others' sessions live on, their traffic flows, and what was in doubt is resolved."""
    rude, tap = world.installation.carriers["rude"], world.taps["main"]
    steady = [id(session) for session in tap.sessions if not session.ended]
    for phase, (name, command) in enumerate((("garbage", ""), ("cut", "drop"), ("silent", "stalled on"))):
        numbers = [f"3931200{phase}{n:04}" for n in range(30)]
        if name == "garbage":
            numbers += [f"393120099{n}7777"[:12] for n in range(3)]
        world.installation.xadd([_send(world, f"rude-{name}-{n}", number) for n, number in enumerate(numbers)])
        if command:
            time.sleep(0.03)
            rude.say(command)
        world.installation.xadd([_send(world, f"calm-{name}-{n}", f"491511250{phase}{n:02}") for n in range(20)])
        assert _finals(world, f"calm-{name}-", 20, 3) == {"delivered": 20}
        if name == "silent":
            time.sleep(1.5)
            rude.say("stalled off")
        assert set(_finals(world, f"rude-{name}-", len(numbers), 15)) <= {"delivered", "unknown"}
    ended = {row["reason"] for row in world.installation.log() if row["event"] == "session_ended" and row["carrier"] == "rude"}
    assert {"response_timeout"} < ended
    assert [id(session) for session in tap.sessions if not session.ended] == steady


CASES: dict[str, tuple[dict[str, Any], str, int, str, str]] = {
    # name: (what differs from a good send, account, HTTP status, HTTP type, reason on the stream)
    "too long": ({"text": "x" * 2000}, "shop", 422, "text_too_long", "text_too_long"),
    "empty": ({"text": ""}, "shop", 422, "text_empty", "text_empty"),
    "lone surrogate": ({"text": "\ud83d oops"}, "shop", 422, "text_invalid", "text_invalid"),
    "unknown account": ({"account": "nobody"}, "shop", 403, "account_mismatch", "unknown_account"),
    "empty balance": ({}, "poor", 402, "insufficient_balance", "insufficient_balance"),
    "no price": ({"to": "+33612345678"}, "narrow", 422, "no_price", "no_price"),
    "no number": ({"to": "hello"}, "shop", 422, "number_invalid", "number_invalid"),
    "unknown field": ({"colour": "red"}, "shop", 422, "unknown_field", "unknown_field"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_refusal_has_its_own_error_and_reason(world: World, name: str) -> None:
    """Over HTTP a problem of its own type, over the stream a row in rejects with its own reason; nothing is charged."""
    change, account, status, kind, reason = CASES[name]
    ref = f"bad-{name}"
    send = {**_send(world, ref, "491511230099", account=account), **change}
    answer = world.installation.http("POST", "/v1/messages", send, world.keys[account])
    assert (answer.status, answer.body["type"].rpartition(":")[2]) == (status, kind)
    assert answer.body["title"]
    entry = world.installation.xadd(send)
    row = wait_for("rejected", 5, lambda: [r for r in world.installation.rows("rejects") if r["entry"] == entry])[0]
    assert (row["reason"], row["index"]) == (reason, 0)
    assert row["detail"]
    assert world.events(ref) == []


# -- 7: the server


def test_the_promise_is_watched(world: World) -> None:
    """appendfsync is set to no under a running dispatcher: red and 503 at the next look, green again after it was set back."""
    installation, key = world.installation, world.keys["shop"]
    assert Server().preflight_s <= 30
    send = {"to": "+491511230031", "text": "Hello", "from": "Shop", "ref": "promise-1"}
    installation.redis.config_set("appendfsync", "no")
    try:
        red = wait_for("red", 6, lambda: (a := installation.http("GET", "/readyz")).status == 503 and a)
        assert any("appendfsync" in reason for reason in red.body["reasons"])
        refused = installation.http("POST", "/v1/messages", send, key)
        assert (refused.status, refused.body["type"]) == (503, "urn:dispatcher:problem:promise_not_kept")
    finally:
        installation.redis.config_set("appendfsync", "always")
    wait_for("green", 6, installation.ready)
    assert installation.http("POST", "/v1/messages", send, key).status == 202
    assert _finals(world, "promise-", 1) == {"delivered": 1}


def test_a_killed_server_means_503_until_it_is_back(world: World) -> None:
    """SIGKILL of the server: 503 meanwhile and nothing else, its supervisor starts it again, everything accepted goes on."""
    installation, key = world.installation, world.keys["shop"]
    answers: list[tuple[int, str]] = []
    done = threading.Event()

    def call(caller: int) -> None:
        number = 0
        while not done.is_set():
            number += 1
            ref = f"kill-{caller}-{number}"
            send = {"to": f"+4915112600{caller}{number:02}"[:13], "text": "Hello", "from": "Shop", "ref": ref, "key": ref}
            answers.append((installation.http("POST", "/v1/messages", send, key).status, ref))
            time.sleep(0.01)

    callers = [threading.Thread(target=call, args=(caller,)) for caller in range(3)]
    for caller in callers:
        caller.start()
    time.sleep(0.3)
    old = installation.kill("server-0")
    wait_for("it is back", 10, lambda: installation.pid("server-0") not in (0, old))
    wait_for("the door is open again", 10, installation.ready)
    time.sleep(0.3)
    done.set()
    for caller in callers:
        caller.join()
    statuses = Counter(status for status, _ in answers)
    assert set(statuses) == {202, 503}
    assert answers[-1][0] == 202
    accepted = {ref for status, ref in answers if status == 202}
    wait_for("all delivered", 15, lambda: {r for r, s in world.states().items() if s == "delivered"} >= accepted)
    ids = Counter(row["ref"] for row in installation.rows("events") if row["state"] == "queued")
    assert {ref: ids[ref] for ref in accepted if ids[ref] != 1} == {}


def test_the_books_balance_and_nothing_is_left(world: World) -> None:
    """After all of the above the audit fits, and no queue, due set or in-flight record holds anything."""
    wait_for("nothing is left", 15, lambda: not world.installation.left_over())
    assert world.installation.cli("ledger", "audit")["ok"]
    assert {line["reserved"] for line in world.installation.cli("ledger", "balance")} == {"0.00"}
