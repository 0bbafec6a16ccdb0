"""The checks: what the records say, added up here on its own, against what the facts, the balance and the metrics say.

It refuses to use the lifecycle's or the ledger's arithmetic for the customer's money: it counts segments in heads. A
check that fails says with which numbers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from accounting.audit import Audit, audit
from accounting.ledger import Fact, Kind
from accounting.money import to_decimal
from dispatcher.core.customer import Account, Balance
from dispatcher.core.model import Head, Outcome, Refusal, State


class Check(NamedTuple):
    """One promise of the demo: kept or not, and the numbers."""

    name: str
    ok: bool
    words: str


class Evidence(NamedTuple):
    """All that the checks look at.

    expected         how many sends were not refused
    refused          how many were, by reason
    told, ends       the last state told of each id, and how often it was told to have ended
    price_of         the customer's price of a head by the file's number; None when the head is of no row of the file
    finals_counted   the sum of dispatcher_final_total
    credit           micro-units
    """

    accepted: Sequence[str]
    expected: int
    refused: Mapping[str, int]
    told: Mapping[str, str]
    ends: Mapping[str, int]
    heads: Mapping[str, Head | None]
    kept_bodies: int
    facts: Sequence[Fact]
    account: Account
    balance: Balance
    credit: int
    price_of: Callable[[Head], int | None]
    finals_counted: int


class Money(NamedTuple):
    """Micro-units."""

    charges: int
    refunds: int
    cost: int

    @property
    def margin(self) -> int:
        """What stays with us."""
        return self.charges - self.refunds - self.cost


def prove(evidence: Evidence) -> tuple[list[Check], Audit, Money]:
    """All checks, the audit behind one of them, and the money by the facts."""
    found = audited(evidence)
    checks = [refusals(evidence), finals(evidence), prices(evidence), charges(evidence), costs(evidence)]
    checks += [books(evidence, found), counted(evidence)]
    return checks, found, money(evidence.facts)


def refusals(evidence: Evidence) -> Check:
    """Every refused send was refused by admission, for a reason of the closed list: an error of ours is none."""
    strange = {reason: count for reason, count in evidence.refused.items() if reason not in set(Refusal)}
    words = f"{sum(evidence.refused.values()) - sum(strange.values())} sends, each for a reason of the closed list"
    words += "".join(f"; {count} for {reason!r}" for reason, count in strange.items())
    return Check("refusals", not strange, words)


def finals(evidence: Evidence) -> Check:
    """P2: every accepted send has a record, it is final, its events say the same and say it once, and its text is gone."""
    total = len(evidence.accepted)
    lost = [i for i in evidence.accepted if evidence.heads.get(i) is None]
    heads = {i: head for i in evidence.accepted if (head := evidence.heads.get(i)) is not None}
    open_ = Counter(State(head.state).wire for head in heads.values() if not State(head.state).final)
    twice = sum(evidence.ends.get(i, 0) != 1 for i in heads)
    differ = sum(State(head.state).wire != evidence.told.get(i) for i, head in heads.items())
    words = f"{total - len(lost) - open_.total():,} of {total:,} accepted sends, each told by one event"
    for count, what in (
        (len(lost), "without record"),
        (open_.total(), f"not final ({', '.join(open_)})"),
        (differ, "with another last event"),
        (twice, "that did not end exactly once"),
        (abs(total - evidence.expected), f"{'too many' if total > evidence.expected else 'missing'}"),
        (evidence.kept_bodies, "whose text is still kept"),
    ):
        words += f"; {count} {what}" if count else ""
    bad = bool(lost or open_ or differ or twice or total != evidence.expected or evidence.kept_bodies)
    return Check("finals", not bad, words)


def prices(evidence: Evidence) -> Check:
    """Each message's price is that of the tariff's longest prefix for the number in the file."""
    expected = [(head.unit_price, evidence.price_of(head)) for head in evidence.heads.values() if head is not None]
    wrong = sum(price != due for price, due in expected)
    return Check(
        "prices", not wrong, f"{len(expected) - wrong:,} of {len(expected):,} messages pay the tariff's price for their number"
    )


def _posted(head: Head, account: Account) -> int:
    """Segments that the customer pays: accepted at least once, or unknown where the account pays for those."""
    paid = 0
    for segment in head.segments:
        accepted = any(attempt.outcome == Outcome.ACCEPTED for attempt in segment.attempts)
        paid += accepted or (segment.state == State.UNKNOWN and account.unknown == "post")
    return paid


def charges(evidence: Evidence) -> Check:
    """Message by message and in total: posts == paid segments x price, refunds == those of refunded states."""
    account = evidence.account
    posts: dict[str, int] = defaultdict(int)
    refunds: dict[str, int] = defaultdict(int)
    for fact in evidence.facts:
        if fact.kind == Kind.POST:
            posts[fact.id] += fact.amount
        elif fact.kind == Kind.REFUND:
            refunds[fact.id] += fact.amount
    wrong = segments = net = 0
    for message_id, head in evidence.heads.items():
        if head is None:
            continue
        paid = _posted(head, account)
        due = paid * head.unit_price
        # A refinement of `unknown` moves no money: what was charged as unknown stays so, whatever the state became.
        refunded = State(head.state).wire in account.refund_on and not head.refined
        back = due if refunded else 0
        wrong += (posts.pop(message_id, 0), refunds.pop(message_id, 0)) != (due, back)
        segments, net = segments + paid, net + due - back
    wrong += len(posts.keys() | refunds.keys())
    facts = money(evidence.facts)
    same = net == facts.charges - facts.refunds == evidence.credit - evidence.balance.available
    words = f"{segments:,} paid segments less refunds: {to_decimal(net)}; facts {to_decimal(facts.charges - facts.refunds)}"
    words += f"; balance {to_decimal(evidence.credit - evidence.balance.available)}"
    words += f"; {wrong} messages differ" if wrong else ""
    return Check("charges", same and not wrong, words)


def costs(evidence: Evidence) -> Check:
    """Each accepted attempt has its cost fact, and no other attempt has one."""
    expected: Counter[tuple[str, int, int]] = Counter()
    for message_id, head in evidence.heads.items():
        for number, segment in enumerate(head.segments if head is not None else (), 1):
            for attempt in segment.attempts:
                if attempt.outcome == Outcome.ACCEPTED:
                    expected[message_id, number, attempt.number] = attempt.cost
    told: Counter[tuple[str, int, int]] = Counter()
    for fact in evidence.facts:
        if fact.kind == Kind.COST:
            told[fact.id, fact.segment, fact.attempt] += fact.amount
    wrong = sum(expected[key] != told[key] for key in expected | told)
    words = f"{len(expected):,} accepted attempts: {to_decimal(expected.total())}" + (f"; {wrong} differ" if wrong else "")
    return Check("costs", not wrong, words)


def audited(evidence: Evidence) -> Audit:
    """The ledger's own audit: every fact replayed, reserves and voids too."""
    balance = evidence.balance
    standing = {balance.account: (balance.available, balance.reserved)}
    return audit(evidence.facts, standing, {}, reservations=True, floors={balance.account: balance.floor})


def books(evidence: Evidence, found: Audit) -> Check:
    """The audit fits, and nothing stays reserved when everything is final."""
    reserved = evidence.balance.reserved
    words = f"{found.facts:,} facts, {found.misfit_count} misfits, {to_decimal(reserved)} still reserved"
    if (first := found.first) is not None:
        words += f"; first: {first.rule}, {first.why}"
    return Check("audit", found.ok and not reserved, words)


def counted(evidence: Evidence) -> Check:
    """The metrics count each final once."""
    expected = sum(head is not None and State(head.state).final for head in evidence.heads.values())
    words = f"dispatcher_final_total {evidence.finals_counted:,}, records {expected:,}"
    return Check("metrics", evidence.finals_counted == expected, words)


def money(facts: Sequence[Fact]) -> Money:
    """Totals by the facts."""
    sums: dict[str, int] = defaultdict(int)
    for fact in facts:
        sums[fact.kind] += fact.amount
    return Money(sums[Kind.POST], sums[Kind.REFUND], sums[Kind.COST])
