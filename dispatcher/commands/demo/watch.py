"""Follows the events until every accepted send is final; on the way one carrier is killed and comes back.

It refuses to know what the events mean beyond their state. The kill: the carrier first stops answering, so that submits
hang in the air, then every link is cut and its port refuses; some seconds later it is back.
"""

from __future__ import annotations

import http.client
import time
from collections import Counter
from collections.abc import Callable

import redis

from dispatcher.client import Reader, State
from dispatcher.commands.demo.doors import Sender
from dispatcher.commands.demo.world import Failed, World

VICTIM = "swift"
KILL_PART = 0.15
"""The kill comes when this part of the sends is final, or after KILL_LATEST_S."""
KILL_LATEST_S = 4.0
STALL_S = 0.4
OUTAGE_S = 4.0
WAIT_S = 75.0
_FINAL = frozenset(state.wire for state in State if state.final)

Progress = Callable[[int, int, str], None]
"""Told finals, how many are expected, and what is going on."""


class Watch:
    """What the demo sees of its sends while they are under way."""

    def __init__(self, world: World, sender: Sender, store_url: str, row_count: int) -> None:
        self.state: dict[str, str] = {}
        """Last state told, by id."""
        self.ends: Counter[str] = Counter()
        """How often each id was told to have ended; refinements are none."""
        self.rejects: Counter[str] = Counter()
        self.unanswered = 0
        """Submits that were in the air when the carrier was killed."""
        self.killed_s = self.revived_s = self.sent_s = 0.0
        """Seconds after the first send; 0: not yet."""
        self._world, self._sender, self._row_count = world, sender, row_count
        self._events = Reader(store_url, stream="events")
        self._rejects = Reader(store_url, stream="rejects")
        self._stalled_at = 0.0
        self._began = time.monotonic()

    def run(self, progress: Progress) -> None:
        """Returns when every accepted send is final and the carrier is back. Raises Failed, and what a door raised."""
        self._began = time.monotonic()
        try:
            while not self._round(progress):
                pass
        except (OSError, http.client.HTTPException, redis.RedisError) as error:
            self._world.check()
            raise self._failed(f"a door or a stream failed ({type(error).__name__}: {error})") from None

    def _round(self, progress: Progress) -> bool:
        """Looks, acts, tells; True when all is over."""
        now_s = time.monotonic() - self._began
        self._world.check()
        self._read()
        self._act(now_s)
        answered = self._sender.done
        if answered and not self.sent_s:
            self.sent_s = now_s
        finals = sum(state in _FINAL for state in self.state.values())
        refused = self.rejects.total() + self._sender.refused.total()
        progress(finals, self._row_count - refused, self._words(answered))
        if answered and self.revived_s and self._missing() == 0 and all(s in _FINAL for s in self.state.values()):
            return True
        if now_s > WAIT_S:
            raise self._too_late()
        return False

    def close(self) -> None:
        """Closes the readers."""
        self._events.close()
        self._rejects.close()

    # -- inside

    def _read(self) -> None:
        for row in self._events.read(2000, block_ms=100):
            message_id, state = row.map["id"], row.map["state"]
            self.state[message_id] = state
            self.ends[message_id] += state in _FINAL and not row.map["refined"]
        for row in self._rejects.read(1000):
            self.rejects[str(row.map["reason"])] += 1

    def _missing(self) -> int:
        """Accepted sends of which no event has told yet; below 0 when there are more than were sent."""
        return self._row_count - len(self.state) - self.rejects.total() - self._sender.refused.total()

    def _act(self, now_s: float) -> None:
        carrier = self._world.carriers[VICTIM]
        if not self._stalled_at:
            finals = sum(state in _FINAL for state in self.state.values())
            if finals >= KILL_PART * self._row_count or now_s > KILL_LATEST_S:
                carrier.command("stalled on")
                self._stalled_at = now_s
        elif not self.killed_s:
            if now_s - self._stalled_at >= STALL_S:
                self.unanswered = int(carrier.stats()["answers_waiting"])
                carrier.command("down")
                self.killed_s = now_s
        elif not self.revived_s and now_s - self.killed_s >= OUTAGE_S:
            carrier.command("stalled off")
            carrier.command("up")
            self.revived_s = now_s

    def _words(self, answered: bool) -> str:
        if self.killed_s and not self.revived_s:
            return f"carrier {VICTIM} is down"
        return "carriers at work" if answered and self._missing() == 0 else "sending"

    def _too_late(self) -> Failed:
        states = Counter(state for state in self.state.values() if state not in _FINAL)
        left = ", ".join(f"{count} {state}" for state, count in states.most_common()) or "none"
        what = f"not everything is final after {WAIT_S:g} s: {left}; {self._missing()} sends without any event"
        return self._failed(what)

    def _failed(self, what: str) -> Failed:
        service = self._world.service
        return service.failed(what) if service is not None else Failed(what, "try again")
