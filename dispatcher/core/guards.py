"""Fraud guards: who may send where, how often, for how much, and whether the codes an account sends are ever used.

SMS pumping is somebody asking for thousands of one-time passwords to numbers whose terminating network pays him a share.
What gives it away: numbers side by side (velocity per 7-digit prefix), countries where the account has no customers, and
codes that nobody enters (conversion).

Refuses to know clock and store. Admission asks `Guards.of` once per account and class and `taken` per send; what is
counted there is a Take that the store tries in the transaction that accepts the send. `Conversions` looks at the counts
that the store kept and says what to pause; the processes that do so, and those that only obey, keep `Guards.paused`.
Times are ms, money is micro-units.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

from dispatcher.core.customer import Account
from dispatcher.core.door_settings import Fraud
from dispatcher.core.front import Code, Conversion, Extras, Take, Ticket
from dispatcher.core.model import Lane, Refusal
from dispatcher.core.ports import Admission
from dispatcher.core.refusal import Objection

PREFIX_DIGITS: Final = 7
DAY_S: Final = 86_400
SAMPLES: Final = 20
"""In how many steps the grace of a code is measured."""
_SPANS_S: Final = (60, 3600, DAY_S)

Spans = tuple[tuple[int, int], ...]


class Guard(NamedTuple):
    """What the sends of one account and class take besides money. `codes`: they may be paused; `counted`: when asked for."""

    account: str
    codes: bool
    counted: bool
    range: str
    velocity: Spans
    over_account: Spans
    over_country: Spans
    cap: int


class Guards:
    """One Book's guards. `paused`: conversion -> until, put here by the process as it learns it."""

    __slots__ = ("_velocity", "paused")

    def __init__(self, fraud: Fraud) -> None:
        configured = (fraud.velocity_otp, fraud.velocity_transactional, fraud.velocity_bulk)
        self._velocity = {
            lane: tuple((s, n) for s, n in zip(_SPANS_S, limits, strict=True) if n)
            for lane, limits in zip((Lane.OTP, Lane.TRANSACTIONAL, Lane.BULK), configured, strict=True)
        }
        self.paused: Mapping[str, int] = {}

    def of(self, account: Account, lane: Lane) -> Guard | None:
        """What the account's sends of a class take; None: nothing."""
        codes = lane is Lane.OTP
        guard = Guard(
            account=account.name,
            codes=codes,
            counted=codes and account.feedback,
            range=f"velocity:{account.name}:{lane.wire}:",
            velocity=account.velocity or self._velocity[lane],
            over_account=account.velocity_account,
            over_country=account.velocity_country,
            cap=account.spend_cap,
        )
        return guard if codes or any(guard[4:]) else None

    def paused_until(self, guard: Guard, country: str, now: int) -> int:
        """Until when codes into a country are paused; 0: they are not."""
        if not guard.codes or not self.paused:
            return 0
        until = self.paused.get(conversion_of(guard.account, country), 0)
        return until if until > now else 0

    def check(self, guard: Guard, country: str, now: int) -> None:
        """Raises Objection (conversion_paused) while the account's codes into this country are paused."""
        until = self.paused_until(guard, country, now)
        if until:
            why = "too few of the account's codes to this country were used; an operator may resume it"
            raise Objection(Refusal.CONVERSION, "", why, until - now)


def taken(guard: Guard, to: str, country: str, price: int, message_id: str) -> Extras | None:
    """What goes with one send: the takes that admit it, in the order of their refusal, and the count of codes asked for."""
    takes: tuple[Take, ...] = ()
    if guard.velocity:
        takes = (Take(guard.range + to[:PREFIX_DIGITS], guard.velocity, message_id, Refusal.VELOCITY),)
    if guard.over_country:
        subject = f"country:{guard.account}:{country}"
        takes += (Take(subject, guard.over_country, message_id, Refusal.VELOCITY),)
    if guard.over_account:
        takes += (Take(f"account:{guard.account}", guard.over_account, message_id, Refusal.VELOCITY),)
    if guard.cap and price:
        takes += (Take(spending_of(guard.account), ((DAY_S, guard.cap),), message_id, Refusal.SPEND_CAP, price),)
    counted = conversion_of(guard.account, country) if guard.counted else ""
    return Extras(takes=takes, conversion=counted) if takes or counted else None


def with_door(admission: Admission, ticket: Ticket | None, code: Code | None = None, takes: tuple[Take, ...] = ()) -> Admission:
    """The admission with what a door keeps with it. The door's own limits are tried first: their answers are the documented
    ones. A code of ours counts as asked for."""
    own = admission.extras or Extras()
    body = admission.body
    counted = own.conversion or ("" if code is None else conversion_of(body.account, body.country))
    return admission._replace(extras=Extras(ticket, code, (*takes, *own.takes), counted))


def spending_of(account: str) -> str:
    """The subject under which what an account spends in a day is counted."""
    return f"spend:{account}"


def conversion_of(account: str, country: str) -> str:
    """The name under which an account's codes into a country are counted and paused."""
    return f"{account}:{country}"


class Judgement(NamedTuple):
    """What the counts say: too few used (`low`, an alert), and so few that it is to be paused now."""

    low: list[str]
    pause: list[str]


class Conversions:
    """Judges conversion: codes used, of those that were sent so long ago that they would have been used by now.

    Without that grace every rush of codes would look like fraud, as none of them has been entered yet. It is measured by
    this object's own memory of earlier counts, so a process judges nothing in its first `conversion_grace_s`.
    """

    def __init__(self, fraud: Fraud) -> None:
        self._fraud = fraud
        self._grace_ms = int(fraud.conversion_grace_s * 1000)
        self._samples: deque[tuple[int, dict[str, int]]] = deque()

    def judge(self, counts: Mapping[str, Conversion], paused: Mapping[str, int], now: int) -> Judgement:
        """The judgement on `counts` at `now`. What is paused is not judged, and begins anew afterwards."""
        for _, sample in self._samples:
            for name in paused:
                sample.pop(name, None)
        if not self._samples or now - self._samples[-1][0] >= self._grace_ms // SAMPLES:
            self._samples.append((now, {name: count.sent for name, count in counts.items() if name not in paused}))
        while len(self._samples) > 1 and self._samples[1][0] <= now - self._grace_ms:
            self._samples.popleft()
        at, ripe = self._samples[0]
        judgement = Judgement([], [])
        if at > now - self._grace_ms:
            return judgement
        for name, count in counts.items():
            sent = min(ripe.get(name, 0), count.sent)
            if name in paused or sent < self._fraud.conversion_sent_min:
                continue
            if count.used < sent * self._fraud.conversion_alert:
                judgement.low.append(name)
            if count.used < sent * self._fraud.conversion_pause:
                judgement.pause.append(name)
        return judgement
