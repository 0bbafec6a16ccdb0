"""Messages alike are written as each alone would be: what core/alike leaves of drawn batches is what core/happy leaves."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import msgpack

from dispatcher.core import alike, happy
from dispatcher.core.evidence import Answer
from dispatcher.core.model import Body, Correlation, Message, Outcome
from dispatcher.core.ports import Effects, VersionedHead
from dispatcher.engine.committer import count_effects
from dispatcher.store import effects as written
from dispatcher.store import records, resp
from dispatcher.store.redis import RedisStore
from tests.dispatcher.core.lives import T0, rules

NOW = T0 + 5_000
texts = st.text(max_size=20)


def bodies(texts_drawn: Any) -> Any:
    """Bodies of one segment, few of whose fields differ, so that many are alike."""
    few = st.sampled_from
    return st.builds(
        Body,
        to=st.from_regex(r"4479[0-9]{8}", fullmatch=True),
        text=st.just("hello"),
        sender=few(["Acme", "", "Ünsal"]),
        account=few(["acme", "acme", "nobody"]),
        lane=few([0, 1, 1]),
        route=st.just("main"),
        encoding=st.just(0),
        segments=st.just(1),
        unit_price=few([35_000, 35_000, 0]),
        currency=st.just("EUR"),
        tariff=st.just("retail"),
        to_hash=few(["0123456789abcdef", "fedcba9876543210", "\x02" * 16, "ä" * 16, "short"]),
        accepted_at=few([T0, T0 + 1]),
        deadline_at=st.just(T0 + 86_400_000),
        on_unknown=few([0, 1]),
        key=few(["", "", "", "k"]),
        ref=few(["", "", "", "r"]),
        country=texts_drawn,
        mccmnc=few(["", "60901"]),
        group=few(["", "", "", "group"]),
    )


def spelled(effects: Effects) -> dict[str, Any]:
    """All that a commit would write and count, in the form of the ordinary way."""
    heads = [(h.id, h.version, msgpack.decode(records.head_bytes(h))) for h in effects.heads]
    counted = Counting()
    count_effects(counted, effects)  # type: ignore[arg-type]
    lines = {
        "facts": msgpack.decode(records.rows_of(effects.facts, effects.fact_lines)),
        "events": msgpack.decode(records.rows_of(effects.events, effects.event_lines)),
    }
    rows = {name: sorted(map(repr, found)) for name, found in lines.items()}
    others = {name: getattr(effects, name) for name in ("money", "erase", "due", "undue", "settled", "group_finals")}
    return {"heads": heads, "counted": counted.found, **rows, **others}


class Counting:
    """Works as far as `count_effects` looks at it."""

    def __init__(self) -> None:
        self.counters = self
        self.found: dict[Any, float] = {}

    def add(self, name: str, labels: tuple[str, ...], amount: float = 1) -> None:
        """A Counters'."""
        self.found[name, labels] = self.found.get((name, labels), 0) + amount


@settings(max_examples=150, deadline=None)
@given(
    st.lists(bodies(st.sampled_from(["GB", "GB", ""])), min_size=1, max_size=25),
    st.sampled_from([0, 10_000]),
    st.lists(
        st.tuples(
            st.sampled_from([int(Outcome.ACCEPTED)] * 9 + [int(Outcome.TEMPORARY)]),
            st.sampled_from([0, 0, 0, 8]),
            st.sampled_from(["1234567890", "9999999999", "1234567890", "", "abc", "\x7f" * 6, "äöü1234567"]),
            st.sampled_from([NOW, NOW, NOW + 1]),
        ),
        min_size=25,
        max_size=25,
    ),
    st.lists(st.tuples(st.sampled_from(["000", "000", "", "ü"]), st.sampled_from([NOW, NOW + 2])), min_size=25, max_size=25),
    st.sampled_from([(), ("failed",), ("delivered",)]),
)
def test_messages_alike_are_written_as_alone(
    drawn: list[Body],
    cost: int,
    answers: list[tuple[int, int, str, int]],
    receipts: list[tuple[str, int]],
    refund_on: tuple[str, ...],
) -> None:
    """Write-ahead, acceptance, delivery: heads, rows, money, counts; and the head that a message of a stage is asked for."""
    with_rules, stages = rules(refund_on=refund_on), dict[Any, Any]()
    ours, alone = [], []
    for i, body in enumerate(drawn):
        truth = happy.start(body, "beta", "b0", cost, NOW, "Fallback")
        one, two = Message(f"{i:026d}", 1, truth, body), Message(f"{i:026d}", 1, truth, body)
        stage = alike.start(stages, body, "beta", "b0", cost, NOW, "Fallback")
        if stage is not None:
            one.moved(stage)
            before, after = stage.lines
            assert f"{before}{body.to_hash}{after}".encode("latin-1") == msgpack.encode(truth)
            assert stage.head_of(one) == truth
        ours.append(one)
        alone.append(two)
    left, true = Effects(), Effects()
    for one, two, (outcome, code, carrier_id, at) in zip(ours, alone, answers, strict=False):
        answer = Answer(1, outcome, code, carrier_id, at, 0)
        head = happy.accept(true, two, answer, with_rules, NOW + 3)
        if one.stage is not None and alike.accept(left, one, answer, with_rules, NOW + 3) is not None:
            assert head is not None
        elif (own := happy.accept(left, one, answer, with_rules, NOW + 3)) is not None:
            one.version += 1
            one.head = own
        if head is not None:
            two.version += 1
            two.head = head
    alike.take_money(left)
    assert spelled(left) == spelled(true)
    assert [(m.version, msgspec.to_builtins(m.head)) for m in ours] == [(m.version, msgspec.to_builtins(m.head)) for m in alone]
    left, true = Effects(), Effects()
    for one, two, (code, at) in zip(ours, alone, receipts, strict=False):
        head = happy.deliver(true, two, code, at, with_rules, NOW + 9)
        if alike.deliver(left, one, code, at, with_rules, NOW + 9) is not None:
            assert head is not None
        else:
            happy.deliver(left, one, code, at, with_rules, NOW + 9)
    assert spelled(left) == spelled(true)


@settings(max_examples=100, deadline=None)
@given(st.lists(bodies(texts), min_size=1, max_size=20))
def test_queued_events_are_rows(drawn: list[Body]) -> None:
    """The first rows of a batch, written in one piece, are those of its messages."""
    ids = [f"{i:026d}" for i in range(len(drawn))]
    rows = [records.queued_event(i, body, NOW) for i, body in zip(ids, drawn, strict=True)]
    assert records.queued_events(ids, drawn, NOW) == records.pack(rows)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["1234567890", "ab", "ö7", "9" * 60]), st.sampled_from([1, 2]), st.sampled_from([1, 5]))
    ),
    st.booleans(),
)
def test_carriers_keys_are_written_as_one_by_one(drawn: list[tuple[str, int, int]], apart: bool) -> None:
    """Correlations, their removal and what a commit compares, against the same built from single commands."""
    store = RedisStore(None)  # type: ignore[arg-type]
    store._windows["sink"] = [7]
    store._expiries["sink", T0 // (6 * 3_600_000)] = 10**12
    rows = [
        (cid, Correlation("p0", "x" if n > 2 else f"{i:026d}", segment, n, T0)) for i, (cid, segment, n) in enumerate(drawn)
    ]
    pairs = [part for cid, row in rows for part in (cid.encode(), msgpack.encode(row))]
    key = store.k.correlations("sink", T0 // (6 * 3_600_000))
    assert store.correlation_commands("sink", rows, Effects()) == ([resp.command(b"HSET", key, *pairs)] if rows else [])
    ids = [cid for cid, _ in rows]
    with pytest.raises(StopIteration) as stop:
        store.drop_commands("sink", ids).send(None)
    true = [resp.command(b"HDEL", store.k.correlations("sink", 7), *[i.encode() for i in ids])]
    assert stop.value.value == (true if ids else [])
    heads = [VersionedHead(f"{'A' if apart and i % 3 else 'B'}{i:025d}", n, HEAD) for i, (_, _, n) in enumerate(drawn)]
    names, arguments = written.expected(store.k, heads)
    buckets = dict.fromkeys(h.id[:6] for h in heads)
    assert sorted(names) == sorted(store.k.head_ + b.encode() for b in buckets)
    true = []
    for name in names:
        some = [h for h in heads if store.k.head_ + h.id[:6].encode() == name]
        true += [b"%d" % len(some), b"".join((h.version - 1).to_bytes(2, "big") for h in some), *[h.id.encode() for h in some]]
    assert arguments == true
    packed = msgpack.encode(HEAD)
    texts_too = [h._replace(text=packed.decode("latin-1"), head=HEAD) if i % 2 else h for i, h in enumerate(heads)]
    commands = {
        store.k.head_ + b.encode(): [
            part for h in heads if h.id[:6] == b for part in (h.id.encode(), h.version.to_bytes(2, "big") + packed)
        ]
        for b in buckets
    }
    found = written.head_commands(store.k, texts_too)
    assert sorted(found) == sorted(resp.command(b"HSET", key, *parts) for key, parts in commands.items())


HEAD = happy.start(
    Body("447900000000", "x", "", "acme", 1, "main", 0, 1, 5, "EUR", "retail", "0" * 16, T0, T0, 0), "beta", "b0", 0, T0, "S"
)
