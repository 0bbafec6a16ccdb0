"""Messages alike are written as each alone would be: what core/alike leaves of drawn batches is what core/happy leaves."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import msgpack
from msgspec.structs import replace

from dispatcher.core import alike, happy
from dispatcher.core.evidence import Answer
from dispatcher.core.model import Body, Correlation, Message, Outcome
from dispatcher.core.ports import Effects, VersionedHead
from dispatcher.core.retry import Rules
from dispatcher.engine.committer import count_effects
from dispatcher.store import effects as written
from dispatcher.store import records, resp
from dispatcher.store.redis import RedisStore
from tests.dispatcher.core.lives import T0, Life, rules

NOW = T0 + 5_000
texts = st.text(max_size=20)


def bodies(texts_drawn: Any) -> Any:
    """Bodies, mostly of one segment, few of whose fields differ, so that many are alike."""
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
        segments=few([1, 1, 1, 2, 3, 3]),
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


Drawn = tuple[int, int, str, int]


def answers_of(body: Body, drawn: Drawn, odd: int) -> list[Answer]:
    """The answers to each segment of a message, alike or, where `odd`, one of them different from the others."""
    outcome, code, carrier_id, at = drawn
    found = [
        Answer(n, outcome, code, f"{carrier_id[:-1]}{n}" if carrier_id else "", at, 0) for n in range(1, body.segments + 1)
    ]
    last = found[-1]
    changed = [
        last,
        last._replace(at=at + 1),
        last._replace(carrier_id=f"{last.carrier_id}7"),
        last._replace(code=8),
        last._replace(carrier_id="äöü1234567"),
        last._replace(carrier_id=found[0].carrier_id),
    ]
    return [*found[:-1], changed[odd]]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(bodies(st.sampled_from(["GB", "GB", ""])), min_size=1, max_size=30),
    st.sampled_from([0, 10_000]),
    st.lists(
        st.tuples(
            st.sampled_from([int(Outcome.ACCEPTED)] * 9 + [int(Outcome.TEMPORARY)]),
            st.sampled_from([0, 0, 0, 8]),
            st.sampled_from(["1234567890", "9999999999", "1234567890", "", "abc", "\x7f" * 6, "äöü1234567"]),
            st.sampled_from([NOW, NOW, NOW + 1]),
        ),
        min_size=30,
        max_size=30,
    ),
    st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4, 5]), min_size=30, max_size=30),
    st.lists(st.tuples(st.sampled_from(["000", "000", "", "ü"]), st.sampled_from([NOW, NOW + 2])), min_size=30, max_size=30),
    st.lists(st.sampled_from([1, 77, 127, 128, 255, 256, 65_535]), min_size=30, max_size=30),
    st.sampled_from([(), ("failed",), ("delivered",)]),
)
def test_messages_alike_are_written_as_alone(
    drawn: list[Body],
    cost: int,
    answers: list[Drawn],
    odd: list[int],
    receipts: list[tuple[str, int]],
    references: list[int],
    refund_on: tuple[str, ...],
) -> None:
    """Write-ahead, acceptance, delivery: heads, rows, money, counts; and the head that a message of a stage is asked for."""
    with_rules, kinds = rules(refund_on=refund_on), dict[Any, Any]()
    batches = [alike.Batch(kinds, now) for now in (NOW, NOW + 1, NOW + 300, 5)]  # a kind's rows serve them all
    ours, alone = [], []
    for i, (body, drawn_reference) in enumerate(zip(drawn, references, strict=False)):
        reference = drawn_reference if body.segments > 1 else 0
        batch = batches[i // 3 % 4]
        truth = happy.start(body, "beta", "b0", cost, batch.now, "Fallback", reference)
        one, two = Message(f"{i:026d}", 1, truth, body), Message(f"{i:026d}", 1, truth, body)
        stage = batch.start(body, "beta", "b0", cost, "Fallback")
        if stage is not None:
            one.moved(stage, (reference, ()) if reference else "")
            assert stage.written(body.to_hash, reference).encode("latin-1") == msgpack.encode(truth)
            assert stage.head_of(one) == truth
        ours.append(one)
        alone.append(two)
    left, true = Effects(), Effects()
    for one, two, how, which in zip(ours, alone, answers, odd, strict=False):
        assert one.body is not None
        given_answers = answers_of(one.body, how, which)
        head = happy.accept(true, two, given_answers, with_rules, NOW + 3)
        if one.stage is not None and stage_accepts(left, one, given_answers, with_rules):
            assert head is not None
        elif (own := happy.accept(left, one, given_answers, with_rules, NOW + 3)) is not None:
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
        assert one.body is not None
        of_all = [(n, code, at) for n in range(1, one.body.segments + 1)]
        head = happy.deliver(true, two, of_all, with_rules, NOW + 9)
        if alike.deliver(left, one, code, at, with_rules, NOW + 9) is not None:
            assert head is not None
        else:
            happy.deliver(left, one, of_all, with_rules, NOW + 9)
    assert spelled(left) == spelled(true)


def stage_accepts(left: Effects, message: Message, answers: list[Answer], with_rules: Rules) -> bool:
    """As the committer asks a stage."""
    if len(answers) == 1:
        return alike.accept(left, message, answers[0], with_rules, NOW + 3) is not None
    return alike.accept_all(left, message, answers, with_rules, NOW + 3) is not None


@pytest.mark.parametrize("segments", [1, 2, 5])
def test_the_stages_are_reached(segments: int) -> None:
    """Messages alike leave as lines, not as objects: else the law above would prove nothing."""
    with_rules, batch, made, left = rules(), alike.Batch({}, NOW), [], Effects()
    for i in range(20):
        body = msgspec.structs.replace(Life(segments=segments).body, key="", ref="")
        message = Message(f"{i:026d}", 1, None, body)
        stage = batch.start(body, "beta", "b0", 5, "S")
        if stage is not None:
            message.moved(stage, (i + 1, ()) if segments > 1 else "")
            made.append(message)
    assert len(made) == 20 - alike.SEEN_BEFORE
    for i, message in enumerate(made):
        answers = [Answer(n, int(Outcome.ACCEPTED), 0, f"{i:05d}{n:05d}", NOW + i, 0) for n in range(1, segments + 1)]
        assert stage_accepts(left, message, answers, with_rules)
    assert len(left.fact_lines) == 2 * segments * len(made)
    for i, message in enumerate(made):
        assert alike.deliver(left, message, "000", NOW + i, with_rules, NOW + 9) is not None


def test_kinds_are_bounded() -> None:
    """I15: more kinds of messages than are kept do not make the table grow."""
    kinds: dict[Any, Any] = {}
    for i in range(alike.KINDS_MAX + 10):
        body = msgspec.structs.replace(Life().body, key="", ref="", sender=f"S{i}")
        assert alike.Batch(kinds, NOW).start(body, "beta", "b0", 5, "S") is None
    assert len(kinds) <= alike.KINDS_MAX


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
        st.tuples(st.sampled_from(["1234567890", "ab", "ö7", "9" * 60]), st.sampled_from([1, 2, 3]), st.sampled_from([1, 5]))
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
    assert store.correlation_commands("sink", rows, T0) == ([resp.command(b"HSET", key, *pairs)] if rows else [])
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
    texts_too = [replace(h, text=packed.decode("latin-1")) if i % 2 else h for i, h in enumerate(heads)]
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
