"""Whether, when and where again: delays, economics, deadlines, and the accounts' wishes, as numbers.

It refuses to know states: lifecycle.py asks "may this segment go again after such a failure?" and gets an instant or a
reason why not. Times in ms since 1970, settings in seconds, money in micro-units. Chance is an argument.

Economics (promises.md): no retry once the carriers' cost of all attempts would exceed `retry_cost_max` x price. Costs
are those of *accepted* attempts (a refused one costs nothing) plus one more at the last attempt's cost. They are only
compared when the carrier is paid in the currency the customer pays in, and only when there is a price: without a common
measure there is no ratio, and then attempts alone are the limit.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dispatcher.core.customer import Account
from dispatcher.core.model import ATTEMPTS_MAX, Head, Lane, OnUnknown, Outcome, Segment
from dispatcher.core.settings import Settings

ELSEWHERE_VALIDITY_MS = 60_000
"""After a carrier gave up (EXPIRED), another one is only worth trying with this much validity left."""

NOT_SENT_MS = 100
"""How long what was not sent waits: its link is gone or may carry no more, another one may be up."""
_OTP = int(Lane.OTP)
SLOW_CAUSES = frozenset({"absent", "memory_full"})
"""Causes that need the handset's owner to act: the long delays. Network and carrier faults heal by themselves."""


class Again(enum.Enum):
    """Why a retry is wanted."""

    REFUSED = "temporary refusal"
    LATER = "receipt of a temporary cause"
    ONCE = "receipt of an unmapped code: once, elsewhere if possible"
    ELSEWHERE = "the carrier gave up: never there again"
    DOUBT = "the doubt policy is resend"


class Stop(enum.StrEnum):
    """Why there is no retry; kept in the head as the history's reason."""

    ATTEMPTS = "attempts"
    VALIDITY = "validity"
    COST = "cost"
    BULK = "bulk"
    ONCE = "once"
    NO_OTHER_CARRIER = "no_other_carrier"
    HOLD = "hold"
    SIBLING = "sibling"
    WINDOW = "window"


class Plan(NamedTuple):
    """The answer: `due_at` (ms) of the retry, or `stop`. `elsewhere`: the last carrier must be avoided."""

    due_at: int
    elsewhere: bool = False
    stop: Stop | None = None


class Rules:
    """Everything configurable that the lifecycle asks. Immutable but for `accounts`, which the shell refreshes in place.

    `cost_tariffs`: carrier -> (currency, tariff name) of what it costs us; absent: free. `chance`: uniform in [0, 1).
    """

    def __init__(
        self,
        settings: Settings,
        cost_tariffs: Mapping[str, tuple[str, str]],
        accounts: dict[str, Account],
        chance: Callable[[], float],
    ) -> None:
        retry, receipts = settings.retry, settings.receipts
        self.accounts = accounts
        self.cost_tariffs = dict(cost_tariffs)
        self.attempts_max = min(retry.attempts_max, ATTEMPTS_MAX)
        self.grace_ms = round(receipts.grace_s * 1000)
        self.multipart_ms = round(retry.multipart_retry_s * 1000)
        self._retry = retry
        self._chance = chance
        self._deadline_ms = round(receipts.deadline_s * 1000)
        self._deadline_otp_ms = round(receipts.deadline_otp_s * 1000)
        self.deadline_ms_max = max(self._deadline_ms, self._deadline_otp_ms)
        self._pause_ms = {c.name: round(c.throttle_pause_s * 1000) for c in settings.carrier}
        self._per_message = frozenset(c.name for c in settings.carrier if c.quirks.receipt_per == "message")
        self._routes = {
            route.name: frozenset(w.name for group in route.group for w in group.carriers) for route in settings.route
        }

    def account(self, name: str) -> Account | None:
        """The account's settings; None when the shell has not (yet, any more) got them: then defaults apply."""
        return self.accounts.get(name)

    def receipt_deadline_at(self, lane: int, submitted_at: int) -> int:
        """The instant (ms) after which silence about a submission is the evidence "no receipt"."""
        return submitted_at + (self._deadline_otp_ms if lane == _OTP else self._deadline_ms)

    def pause_ms(self, carrier: str, outcome: int) -> int:
        """How long a segment waits before it may be claimed again: throttled, or not sent, which spares no carrier anything."""
        return self._pause_ms.get(carrier, 1000) if outcome == Outcome.THROTTLED else NOT_SENT_MS

    def per_message(self, carrier: str) -> bool:
        """True when one receipt of this carrier speaks for all segments."""
        return carrier in self._per_message

    def others(self, route: str, avoid: list[str]) -> bool:
        """Has the route a carrier outside `avoid`?"""
        return not self._routes.get(route, frozenset()) <= set(avoid)

    def delay_ms(self, again: Again, lane: int, cause: str, attempts: int) -> int:
        """The pause before the next attempt after `attempts` of them."""
        retry = self._retry
        if lane == Lane.OTP:
            return round(1000 * retry.otp_s[min(attempts, len(retry.otp_s)) - 1])
        if again is Again.LATER and cause in SLOW_CAUSES:
            return round(1000 * retry.absent_s[min(attempts, len(retry.absent_s)) - 1])
        seconds: float = min(retry.temporary_s * 2.0 ** (attempts - 1), retry.temporary_max_s)
        return round(1000 * seconds * (1 + retry.jitter * (2 * self._chance() - 1)))

    def plan(self, again: Again, head: Head, segment: Segment, now: int) -> Plan:
        """May `segment`, whose last attempt just closed (or fell into doubt), go again, and when?"""
        attempts = segment.attempts
        last = attempts[-1]
        if len(attempts) >= self.attempts_max:
            return Plan(0, stop=Stop.ATTEMPTS)
        if again is Again.DOUBT and head.on_unknown != OnUnknown.RESEND:
            return Plan(0, stop=Stop.HOLD)
        if again in _RECEIPTS:
            account = self.accounts.get(head.account)
            if head.lane == Lane.BULK and not (account is not None and account.bulk_receipt_retries):
                return Plan(0, stop=Stop.BULK)
        if not self._affordable(head, segment):
            return Plan(0, stop=Stop.COST)
        elsewhere = False
        if again is Again.ONCE:
            if any(a is not last and a.receipt and is_unmapped(a.receipt, a.cause) for a in attempts):
                return Plan(0, stop=Stop.ONCE)
            elsewhere = self.others(head.route, [*head.avoid, last.carrier])
        delay = self.grace_ms if again is Again.DOUBT else self.delay_ms(again, head.lane, last.cause, len(attempts))
        due = now + delay
        if due >= head.deadline_at:
            return Plan(0, stop=Stop.VALIDITY)
        if again is Again.ELSEWHERE:
            if not self.others(head.route, [*head.avoid, last.carrier]):
                return Plan(0, stop=Stop.NO_OTHER_CARRIER)
            if head.deadline_at - due < ELSEWHERE_VALIDITY_MS:
                return Plan(0, stop=Stop.VALIDITY)
            elsewhere = True
        return Plan(due, elsewhere)

    def _affordable(self, head: Head, segment: Segment) -> bool:
        spent = 0
        accepted = False
        for a in segment.attempts:
            if a.outcome == Outcome.ACCEPTED:
                accepted = True
                if self.cost_tariffs.get(a.carrier, (head.currency,))[0] == head.currency:
                    spent += a.cost
        if not accepted or not head.unit_price:
            return True
        last = segment.attempts[-1]
        if self.cost_tariffs.get(last.carrier, (head.currency,))[0] == head.currency:
            spent += last.cost
        share = self._retry.retry_cost_max_otp if head.lane == Lane.OTP else self._retry.retry_cost_max
        return spent <= share * head.unit_price


_RECEIPTS = frozenset({Again.LATER, Again.ONCE, Again.ELSEWHERE})


def is_unmapped(receipt: str, cause: str) -> bool:
    """A failure receipt whose code nobody has given a cause."""
    return receipt in {"UNDELIV", "FAILED"} and not cause
