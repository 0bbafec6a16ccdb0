"""The names of everything on the server (store.md 2).

Knows nothing about what the values mean. A key is prefix, tag, kind, rest: `sms:{p0}:q:route:lane:account`. The tag is
always written, so that everything of a partition shares one slot of a cluster; a carrier's keys carry the carrier's own.
Attributes that end in an underscore are beginnings, to which the caller adds the rest.
"""

from __future__ import annotations

from dispatcher.core.model import LANES
from dispatcher.core.ports import Queue

CORRELATION_WINDOW_MS = 6 * 3_600_000
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
KEYS_S = 86_400
IDEM_PERIODS = 3
"""Of the hashes that may hold a key: this period's, the one before, and one more for who asks by key."""

_LANE_NAMES = [lane.wire for lane in LANES]


def family(queue: Queue) -> str:
    """`route:lane`, as it stands in the keys of a queue family."""
    return f"{queue.route}:{_LANE_NAMES[queue.lane]}"


def family_of(route: str, lane: int) -> str:
    """The same, from a record's columns."""
    return f"{route}:{_LANE_NAMES[lane]}"


def check_name(name: str) -> str:
    """Returns `name`; raises ValueError for one that would break a key apart."""
    if not name or len(name) > 64 or any(c in ":{}*?[]\\" or not " " < c < "\x7f" for c in name):
        raise ValueError(f"name {name!r}: 1-64 printable characters without spaces, ':', braces or wildcards expected")
    return name


def check_sender(sender: str) -> str:
    """Returns `sender`; raises ValueError for one that could not be told apart in a list of lines."""
    if "\n" in sender:
        raise ValueError("sender with a line break")
    return sender


class Keys:
    """One partition's keys, as bytes."""

    def __init__(self, prefix: str = "sms:", partition: str = "p0", keys_s: int = KEYS_S) -> None:
        """`keys_s`: how long an idempotency key is known at least."""
        self.prefix = prefix
        self._keys_ms = keys_s * 1000
        self.idem_s = b"%d" % (IDEM_PERIODS * keys_s)
        """How long a period's hash lives after its last key, as the server is told."""
        self.partition = partition
        base = f"{prefix}{{{partition}}}:".encode()
        self.base = base
        self.body_ = base + b"body:"
        self.head_ = base + b"head:"
        self.queue_ = base + b"q:"
        self.ring_ = base + b"ring:"
        self.rings = base + b"rings"
        self.inflight = base + b"inflight"
        self.fence_ = base + b"fence:"
        self.lease_ = base + b"lease:"
        self.engines = base + b"engines"
        self.done_ = base + b"done:"
        self.rest, self.withdrawn = base + b"rest", base + b"withdrawn"
        self.due = base + b"due"
        self.acct_ = base + b"acct:"
        self.accounts = base + b"accounts"
        self.apikeys = base + b"apikeys"
        self.credits = base + b"credits"
        self.holds = base + b"holds"
        self.open_ = base + b"open:"
        self.idem_ = base + b"idem:"
        self.group_ = base + b"group:"
        self.groups_ = base + b"groups:"
        self.stage_ = base + b"stage:"
        self.members_ = base + b"members:"
        self.expanding = base + b"expanding"
        self.pointers = base + b"pointers"
        self.empties = base + b"empties"
        self.corrupt = base + b"corrupt"
        self.controls = base + b"controls"
        self.wishes, self.wishes_, self.wished = base + b"wishes", base + b"wishes:", base + b"wished"
        self.cursor = base + b"cursor:sends"
        self.refused = base + b"refused:sends"
        self._of_doors(base)
        self.charges = base + b"charges"
        self.events = base + b"events"
        self.inbound = base + b"inbound"
        self.optouts_ = base + b"optouts:"
        self.parts_ = base + b"parts:"
        self.waiting = base + b"waiting"
        self.complete = base + b"complete"
        self.part_counts = base + b"partcounts"
        self.joined = base + b"joined"
        self.joined_at = base + b"joinedat"
        self.inbox_ = base + b"inbox:"
        self.unread_ = base + b"unread:"
        self.inboxes = base + b"inboxes"
        self.notice_ = base + b"notice:"
        self.notices_due_ = base + b"notices:due:"
        self.notice_targets = base + b"notices:targets"
        self.notice_counts = base + b"notices:counts"
        self.notices_parked = base + b"notices:parked"
        self.notices_parked_at = base + b"notices:parked:at"
        self.notices_again = base + b"notices:again"
        self.notice_cursor = base + b"cursor:events"
        self.sends = f"{prefix}sends".encode()
        self.rejects = f"{prefix}rejects".encode()

    def _of_doors(self, base: bytes) -> None:
        """What doors keep besides messages."""
        self.ticket_ = base + b"ticket:"
        self.numbers_ = base + b"numbers:"
        self.alias_ = base + b"alias:"
        self.aliases = base + b"aliases"
        self.drawn = base + b"drawn"
        self.uses_ = base + b"uses:"
        self.sums_ = base + b"sums:"
        self.calls_ = base + b"calls:"
        self.code_ = base + b"code:"
        self.conversions_ = base + b"conversions:"
        self.pauses = base + b"pauses"
        self.optouts_ = base + b"optouts:"
        self.keyuses = base + b"keyuses"

    def stream(self, name: str) -> bytes:
        """A public stream's key. Raises KeyError for another name."""
        return {
            "events": self.events,
            "charges": self.charges,
            "inbound": self.inbound,
            "rejects": self.rejects,
            "sends": self.sends,
        }[name]

    def idem_period(self, at: int) -> int:
        """The number of the period (as long as keys are known) that `at` (ms) is in."""
        return at // self._keys_ms

    def idem(self, at: int, back: int = 0) -> bytes:
        """The idempotency hash of the period of `at` (ms), or of an earlier one. Two are looked at before a key is taken, so
        that it is known for one period at least."""
        return b"%b%d" % (self.idem_, self.idem_period(at) - back)

    def correlations(self, carrier: str, window: int) -> bytes:
        """Carrier message ids accepted in a six-hour window."""
        return f"{self.prefix}{{c:{carrier}}}:corr:{window}".encode()

    def windows(self, carrier: str) -> bytes:
        """The windows that may exist, by number."""
        return f"{self.prefix}{{c:{carrier}}}:windows".encode()

    def early(self, carrier: str) -> bytes:
        """Receipts whose message id nobody knew yet."""
        return f"{self.prefix}{{c:{carrier}}}:early".encode()
