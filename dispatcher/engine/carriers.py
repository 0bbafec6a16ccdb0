"""The carriers' sessions: one task each connects, binds, runs its link, and starts again; whatever happens costs only itself.

It refuses to know what is sent over a link and what answers mean: answers go to the committer, deliver_sm to receipts.

A session is opened when its lease is ours and no operator holds it. A refused login waits for the longest pause at once:
carriers lock accounts that keep guessing. Rates belong to a carrier and to a bind, but sessions may be spread over engines, so
an engine uses the part of each rate that goes with its leased sessions (core/shares.py): less from the instant at which it
lets one go or may have lost it, more only when the last owner's second is over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Final

import trio

from dispatcher.core.model import Outcome
from dispatcher.core.ports import StoreUnavailable
from dispatcher.core.settings import Bind
from dispatcher.core.shares import SETTLE_S, quota
from dispatcher.engine.committer import Committer
from dispatcher.engine.days import Days, attempt
from dispatcher.engine.leases import SESSION_PREFIX, Leases
from dispatcher.engine.leash import leash
from dispatcher.engine.overdue import LOOK_S, recall_overdue
from dispatcher.engine.questions import Questions
from dispatcher.engine.rates import SUBMITS_CAPPED, Rates, permits
from dispatcher.engine.receipts import Receipts
from dispatcher.engine.works import Seat, Token, Works, same_message, seats_of
from smpp.events import Events, Login, SessionSettings
from smpp.link import Ended, Link
from smpp.receipts import glance
from smpp.session import Session
from smpp.status import name as status_name

Connect = Callable[[Bind], Awaitable[trio.abc.Stream]]

_VERSIONS: Final = {"3.3": 0x33, "3.4": 0x34, "5.0": 0x50}
_LOGIN_REFUSED: Final = frozenset({"ESME_RINVPASWD", "ESME_RINVSYSID", "ESME_RINVSYSTYP", "ESME_RBINDFAIL"})
_STATES: Final = ("down", "connecting", "bound", "paused")
QUESTION_S: Final = 10.0
"""An unanswered query_sm or cancel_sm is given up; a door waits shorter."""
_STEADY_S: Final = 10.0
"""A session that lived so long starts its pauses anew."""


class Carriers:
    """All sessions of the configuration, as far as they are ours."""

    def __init__(
        self, works: Works, leases: Leases, committer: Committer, receipts: Receipts, questions: Questions, connect: Connect
    ) -> None:
        self._works = works
        self._leases = leases
        self._committer = committer
        self._receipts = receipts
        self._questions = questions
        self._connect = connect
        self._links: dict[Link[Token], tuple[Seat, str]] = {}
        self.seats = seats_of(works.settings)
        works.seats = [seat for seat in self.seats if seat.bind_settings.mode != "rx"]
        for seat in works.seats:
            works.pool.add(seat)
        questions.over(works.seats)
        self._taking: set[Seat] = set()
        self._rates = Rates(works.seats, works.limits)
        self._days = Days(works, committer, self._rates.days)
        self._reshare_at = inf
        leases.changed = self._reshare
        self._reshare()

    async def run(self) -> None:
        """Every session's task, until cancelled."""
        async with trio.open_nursery() as nursery:
            for seat in self.seats:
                nursery.start_soon(self._keep, seat)
            nursery.start_soon(self._shares)
            nursery.start_soon(self._controls)
            if self._rates.counts_days:
                nursery.start_soon(self._days.run)
            nursery.start_soon(leash, self._works, self._leases, self._links)

    # -- one session

    async def _keep(self, seat: Seat) -> None:
        works, bind = self._works, seat.bind_settings
        pause = bind.reconnect_s
        while not works.stopping:
            if not await self._own(seat):
                self._state(seat, "down")
                await works.nap(min(0.25, works.settings.engine.lease_s / 8))
                continue
            if seat.held:
                self._state(seat, "paused")
                await works.nap(0.25)
                continue
            wait_s = await attempt(works, seat)
            if wait_s is None:
                await works.nap(1.0)
                continue
            if wait_s > 0:
                if seat.state != "paused":
                    works.log.error("binds_per_hour_reached", **labels(seat), wait_s=round(wait_s))
                self._state(seat, "paused")
                await works.nap(min(wait_s, 1.0))
                continue
            began = works.clock.monotonic()
            reason = await self._live(seat)
            if works.clock.monotonic() - began >= _STEADY_S or reason == SUBMITS_CAPPED:
                pause = bind.reconnect_s
            if reason in _LOGIN_REFUSED:
                pause = bind.reconnect_max_s
            if works.stopping or seat.held or reason == "not_ours":
                continue
            await works.nap(pause * (0.9 + 0.2 * works.chance.random()))
            pause = min(2 * pause, bind.reconnect_max_s)
        self._state(seat, "down")

    async def _own(self, seat: Seat) -> bool:
        """Holds the session's lease when the session is ours to hold; gives it back when it is not."""
        leases, name = self._leases, lease_name(seat)
        if not self._wants(seat):
            await leases.drop(name)
            return False
        if name in leases.held:
            return leases.holds(name)
        self._taking.add(seat)
        try:
            return await leases.take(name) is not None
        except StoreUnavailable as error:
            self._works.lost_store("lease", error)
            return False
        finally:
            self._taking.discard(seat)

    def _wants(self, seat: Seat) -> bool:
        """Whether the session is ours to hold, with the engines now known to live. Of more than our quota those that are
        not up go first."""
        leases = self._leases
        group = [each for each in self.seats if (each.carrier, each.bind) == (seat.carrier, seat.bind)]
        due = quota((each.number for each in group), leases.alive, self._works.name)
        ours = [each for each in group if each in self._taking or lease_name(each) in leases.held]
        if seat not in ours:
            return len(ours) < due
        return seat in sorted(ours, key=lambda each: (each.state != "bound", each.number))[:due]

    async def _live(self, seat: Seat) -> str:
        """One life of a session; returns why it ended. Nothing but Cancelled comes out of here."""
        works, bind = self._works, seat.bind_settings
        self._state(seat, "connecting")
        try:
            with trio.fail_after(bind.connect_timeout_s):
                streams = [await self._connect(bind)]
                if bind.mode == "tx+rx":
                    streams.append(await self._second(bind, streams[0]))
        except Exception as error:  # refused, too slow, a certificate, a bad address: this session's trouble only
            works.log.warning("connect_failed", **labels(seat), error=type(error).__name__)
            self._state(seat, "down")
            return "connect_failed"
        if not self._leases.holds(lease_name(seat)):  # it took so long that another engine may be there by now
            for stream in streams:
                await trio.aclose_forcefully(stream)
            return "not_ours"
        try:
            if len(streams) == 1:
                return await self._run_link(seat, streams[0], bind.mode)
            return await self._run_pair(seat, streams)
        except Exception as error:
            # A carrier can cost its own session only; the error is ours to mend, so it is logged with its trace.
            works.log.exception("session_failed", **labels(seat), error=type(error).__name__)
            return "failed"

    async def _second(self, bind: Bind, first: trio.abc.Stream) -> trio.abc.Stream:
        """A pair's other connection; without it the first is not kept either."""
        try:
            return await self._connect(bind)
        except BaseException:
            await trio.aclose_forcefully(first)
            raise

    async def _run_pair(self, seat: Seat, streams: Sequence[trio.abc.Stream]) -> str:
        """A transmitter and a receiver live and die together; the one that is left unbinds, so that its answers may come."""
        reasons: list[str] = []

        async def one(stream: trio.abc.Stream, mode: str) -> None:
            reasons.append(await self._run_link(seat, stream, mode))
            seat.up = False  # what is left of the pair takes no more
            for link in [each for each, (own, _) in self._links.items() if own is seat]:
                await link.close("pair_ended")

        async with trio.open_nursery() as nursery:
            for stream, mode in zip(streams, ("tx", "rx"), strict=True):
                nursery.start_soon(one, stream, mode)
        return reasons[0]

    async def _run_link(self, seat: Seat, stream: trio.abc.Stream, mode: str) -> str:
        works, refused = self._works, list[str]()
        session: Session[Token] = Session(
            session_settings(seat.bind_settings, keep=bool(seat.carrier_settings.keep_tlvs)),
            self._login(seat, mode),
            now=works.clock.monotonic(),
        )

        def on_events(events: Events[Token]) -> None:
            if events.answer_tlvs:
                self._committer.noted(seat, events.answer_tlvs)
            if events.answers:
                self._committer.answered(seat, events.answers)
            if events.told:
                self._questions.told(seat, events.told)
            if events.delivers or events.receipts:
                self._receipts.arrived(seat, link, events.delivers, events.receipts)
            if events:
                self._rare(seat, events, mode, refused)

        link: Link[Token] = Link(
            stream,
            session,
            on_events=on_events,
            pace=lambda wanted, now: self._pace(seat, wanted, now),
            on_written=_written,
            holds=works.limits,
            together=same_message,
            clock=works.clock.monotonic,
            tick_s=0.25,
        )
        self._links[link] = (seat, lease_name(seat))
        if mode != "rx":
            seat.link, seat.submitted = link, 0
        try:
            await link.run()
        finally:
            del self._links[link]
            if mode != "rx":
                seat.up = False
                seat.link = None
                if link.ended is not None:
                    self._leave(seat, link.ended)
                self._questions.lost(session.questions.lost())
                self._state(seat, "down")
        reason = refused[0] if refused else link.ended.reason if link.ended is not None else "cancelled"
        if not works.stopping:
            works.log.warning("session_ended", **labels(seat), reason=reason)
        return reason

    def _leave(self, seat: Seat, ended: Ended[Token]) -> None:
        self._committer.closed(seat, ended.unknown, Outcome.UNKNOWN)
        self._committer.closed(seat, ended.not_sent, Outcome.NOT_SENT)
        if ended.unknown:
            self._works.log.warning("submits_unknown", **labels(seat), count=len(ended.unknown))

    def _rare(self, seat: Seat, events: Events[Token], mode: str, refused: list[str]) -> None:
        works = self._works
        if events.bound:
            works.log.info("bound", **labels(seat), mode=mode)
            if mode != "rx":
                seat.up = True
            self._state(seat, "bound")
            works.room_bell.ring()
        if events.refused is not None:
            refused.append(status_name(events.refused))
            works.log.error("bind_refused", **labels(seat), status=refused[0])
        if events.timed_out:
            seat.up = False  # the session takes no more
            self._committer.closed(seat, events.timed_out, Outcome.UNKNOWN)
        if events.late:
            self._committer.late(seat, events.late)
        if events.close is not None:
            seat.up = False
        if events.bad:
            bad = events.bad[0]
            works.log.warning("bad_pdus", **labels(seat), count=len(events.bad), reason=f"{bad.field}: {bad.why}")

    def _pace(self, seat: Seat, wanted: int, now: float) -> tuple[int, float]:
        """Permits to write now. None while a lease may have run out, while paused, or beyond a rate."""
        if now >= self._reshare_at:
            self._reshare()
        if not (seat.leased and self._works.may_send(now)):
            return 0, now + 0.05
        if seat.paused_until > now:
            return 0, min(seat.paused_until, now + 1.0)
        return permits(seat, wanted, now)

    def _login(self, seat: Seat, mode: str) -> Login:
        bind = seat.bind_settings
        return Login(bind.system_id, bind.password, mode, bind.system_type, _VERSIONS[bind.version])  # type: ignore[arg-type]

    # -- all sessions

    def _reshare(self) -> None:
        """Which sessions are ours now, and with them which part of each rate; until when that is so."""
        now, held = self._works.clock.monotonic(), self._leases.held
        self._reshare_at = inf
        settled: set[Seat] = set()
        for seat in self.seats:
            lease = held.get(lease_name(seat))
            seat.leased = lease is not None and lease.valid(now)
            if lease is None or not seat.leased:
                continue
            usable_at = lease.taken_at + (0.0 if lease.first else SETTLE_S)
            if now >= usable_at:
                settled.add(seat)
            self._reshare_at = min(self._reshare_at, lease.until, usable_at if usable_at > now else inf)
        self._rates.reshare(settled, now)

    async def _shares(self) -> None:
        """What only time changes, also while nothing is written."""
        works = self._works
        while True:
            await trio.sleep(LOOK_S)
            recall_overdue(works, self._committer)
            if works.clock.monotonic() >= self._reshare_at:
                self._reshare()
                works.room_bell.ring()

    async def _controls(self) -> None:
        """Operators' wishes, once a second: "pause" closes a session politely, "resume" opens it again."""
        works = self._works
        while not works.stopping:
            try:
                wishes = await works.store.controls()
            except StoreUnavailable as error:
                works.lost_store("controls", error)
            else:
                async with trio.open_nursery() as nursery:
                    for seat in self.seats:
                        wish = wishes.get((seat.carrier, seat.bind)) or wishes.get((seat.carrier, "")) or "resume"
                        seat.held = wish == "pause"
                        ours = lease_name(seat) in self._leases.held and self._wants(seat)
                        if seat.link is not None and (seat.held or not ours):
                            nursery.start_soon(self._close, seat, "paused" if seat.held else "not_ours")
            self.gauges()
            await works.nap(1.0)

    async def _close(self, seat: Seat, reason: str) -> None:
        if seat.link is not None:
            seat.up = False
            await seat.link.close(reason)

    async def close(self) -> None:
        """Unbinds all sessions politely, at the same time; then what is left of days goes back."""
        async with trio.open_nursery() as nursery:
            for seat in self.seats:
                nursery.start_soon(self._close, seat, "stopped")
        await self._days.close()

    def gauges(self) -> None:
        """Window use and rates, for the metrics."""
        put = self._works.counters.put
        used: dict[tuple[str, str], int] = {}
        rates: dict[tuple[str, str], float] = {}
        for seat in self.seats:
            key = (seat.carrier, seat.bind)
            queued = seat.link.queued if seat.link is not None else 0
            used[key] = used.get(key, 0) + seat.used - queued
            rates[key] = min((t.limit for t in seat.throttles if t.limit), default=0.0)
        for key, count in used.items():
            put("dispatcher_bind_window_used", key, count)
            put("dispatcher_bind_rate_limit", key, rates[key])

    def _state(self, seat: Seat, state: str) -> None:
        if seat.state == state:
            return
        seat.state = state
        states = [s.state for s in self.seats if (s.carrier, s.bind) == (seat.carrier, seat.bind)]
        for each in _STATES:
            self._works.counters.put("dispatcher_bind_state", (seat.carrier, seat.bind, each), states.count(each))


def lease_name(seat: Seat) -> str:
    """The name under which a session is leased."""
    return f"{SESSION_PREFIX}{seat.carrier}.{seat.bind}.{seat.session}"


def labels(seat: Seat) -> dict[str, str | int]:
    """How logs name a session."""
    return {"carrier": seat.carrier, "bind": seat.bind, "session": seat.session}


def session_settings(bind: Bind, *, keep: bool = False) -> SessionSettings:
    """A bind's limits and timers as the session wants them."""
    return SessionSettings(
        window=bind.window,
        enquire_link_s=bind.enquire_link_s,
        response_timeout_s=bind.response_timeout_s,
        bind_timeout_s=bind.connect_timeout_s,
        drain_s=2.0,
        answer_tlvs=keep,
        question_timeout_s=min(bind.response_timeout_s, QUESTION_S),
        read_receipt=glance,
    )


def _written(tokens: list[Token], now: float) -> None:
    tokens[0][0].left_at = now  # one sample a write
