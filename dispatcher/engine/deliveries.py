"""deliver_sm as the receipts' task holds them, and the many that say DELIVRD of a message this engine remembers.

It refuses to know how a receipt that is anything else is matched and decided (receipts.py), and how a commit is made
atomic. What it does not recognise it leaves, untouched, to the slow path.

Theory. Nearly every receipt finds its message as this engine settled it a moment ago. For those, matching, decision and rows
are one pass, and the commit's guard stands for the read. The receipts of a long message's segments are applied together, as
many as came in one batch. A receipt that stands behind one of the same message that goes the slow way goes it too, so
that both are applied in the order in which they came.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple

import msgspec

from dispatcher.core import alike
from dispatcher.core.evidence import Evidence, Withdrawn
from dispatcher.core.happy import deliver
from dispatcher.core.matching import seen
from dispatcher.core.model import Correlation, Head, Message, State
from dispatcher.core.ports import Effects
from dispatcher.core.retry import Rules
from dispatcher.core.settings import Quirks
from dispatcher.engine.works import BATCH_MAX, Recent, Token, Works
from smpp.link import Link
from smpp.receipts import Receipt

YOUNG_S: Final = 0.05
"""How long a receipt waits for its answer's settling before the store is asked."""
AGAIN_S: Final = 0.005
"""From look to look, meanwhile."""
_SUBMITTED: Final = int(State.SUBMITTED)
NOWHERE = Correlation("", "", 0, 0, 0)
"""The correlation of a receipt that has none (yet)."""


class Read:
    """What the deliver_sm of one read of one link share. `at` ms, `arrived` monotonic seconds; parked ones have no link."""

    __slots__ = ("arrived", "at", "carrier", "link", "quirks")

    def __init__(self, carrier: str, quirks: Quirks, link: Link[Token] | None, at: int, arrived: float) -> None:
        self.carrier = carrier
        self.quirks = quirks
        self.link = link
        self.at = at
        self.arrived = arrived


class Item(msgspec.Struct, eq=False, gc=False):
    """One deliver_sm, or one parked receipt (`field` set, its read without link). `key`: by which it was found; `again_at`:
    when the store is asked for it again (monotonic)."""

    read: Read
    receipt: Receipt
    keys: tuple[str, ...]
    sequence: int
    field: str = ""
    key: str = ""
    correlation: Correlation = NOWHERE
    answered: bool = False
    again_at: float = 0.0
    tlvs: dict[str, str] | None = None


def evidence_of(item: Item, wished: Collection[str]) -> Evidence:
    """What an item with a correlation says; DELETED of a message that somebody wished to cancel is no failure."""
    _, message_id, segment, attempt, _ = item.correlation
    if item.receipt.state == "DELETED" and message_id in wished:
        return Withdrawn(segment, attempt)
    return seen(item.receipt, item.read.quirks, segment, attempt, item.read.at, item.tlvs)


def asked_for(read: Read, receipt: Receipt, key: str, row: Correlation) -> Item:
    """What a carrier answered to a question about a known segment: as a receipt, but to be answered to nobody."""
    item = Item(read, receipt, (key,), 0)
    item.correlation, item.key = row, key
    return item


def settled(works: Works, new: list[Item]) -> list[Item]:
    """Takes out of `new` those whose answers have been settled by now; the rest came together with their answers and would be
    looked at in vain, but waits for no longer than YOUNG_S."""
    since = inf if works.stopping else max(works.unsettled_since, works.clock.monotonic() - YOUNG_S)
    count = bisect_left(new, since, key=_arrived)
    taken = new[:count]
    del new[:count]
    return taken


def _arrived(item: Item) -> float:
    return item.read.arrived


class Found(NamedTuple):
    """What is made of a batch: what the recognised receipts change; which they are (no longer remembered); the rest, in its
    order; those of which nothing is known here; messages of recognised receipts that await more, with their new heads; and
    those that no commit has room for any more, not looked at."""

    effects: Effects
    done: list[Item]
    rest: list[Item]
    strangers: list[Item]
    partly: dict[str, Message]
    later: list[Item]


def delivered(works: Works, items: Sequence[Item]) -> Found:
    """Applies the receipts that are recognised."""
    recent, rules, now = works.recent, works.rules, works.clock.now_ms()
    messages, accounts = recent.messages, recent.correlations
    found = Found(Effects(), [], [], [], {}, [])
    effects, done, rest, strangers, _, later = found
    behind: set[str] = set()
    long: dict[str, dict[int, tuple[Item, Correlation]]] = {}
    nothing: dict[str, Correlation] = {}
    last, known, skip = None, nothing, 0
    for i, item in enumerate(items):
        if skip:
            skip -= 1
            continue
        if len(effects.heads) + len(long) >= BATCH_MAX:
            later += items[i:]
            break
        read, keys = item.read, item.keys
        if read is not last:
            last, known = read, accounts.get(read.carrier, nothing)
        row = known.get(keys[0]) if len(keys) == 1 else None
        if row is None:
            ids = [known[key].id for key in item.keys if key in known]
            behind.update(ids)
            if not ids and item.correlation is NOWHERE:
                strangers.append(item)
                continue
        else:
            _, state, code, _, _, _, _ = item.receipt
            _, message_id, segment, attempt, _ = row
            if state == "DELIVRD" and attempt == 1 and item.tlvs is None and message_id not in behind:
                others = long.get(message_id)
                if others is None:
                    message = messages.get(message_id)
                    if message is not None and (size := _size(message)) > 1:
                        row_of = _in_a_row(items[i : i + size], size, known, message_id)
                        if row_of and alike.deliver(effects, message, code, read.at, rules, now) is not None:
                            for each, its_row in row_of:
                                each.key = key = each.keys[0]
                                each.correlation = its_row
                                del known[key]
                                done.append(each)
                            del messages[message_id]
                            skip = size - 1
                            continue
                        others = long[message_id] = {}
                if others is not None:
                    if segment not in others:
                        others[segment] = (item, row)
                        continue
                elif message is not None and (
                    (message.stage is not None and alike.deliver(effects, message, code, read.at, rules, now) is not None)
                    or deliver(effects, message, ((segment, code, read.at),), rules, now) is not None
                ):
                    item.key = key = keys[0]
                    item.correlation = row
                    del known[key], messages[message_id]
                    done.append(item)
                    continue
            behind.add(message_id)
        if item.correlation is not NOWHERE:
            behind.add(item.correlation.id)
        rest.append(item)
    refused = [pair for message_id, parts in long.items() for pair in _parts(found, recent, message_id, parts, rules, now)]
    if refused:
        slow = {*rest, *(item for item, _ in refused)}
        rest[:] = [item for item in items if item in slow]
    return found


def _size(message: Message) -> int:
    """How many segments it has."""
    head = message.head if message.stage is None else message.stage.head
    return len(head.segments) if head is not None else 0


def _in_a_row(
    items: Sequence[Item], size: int, known: Mapping[str, Correlation], message_id: str
) -> list[tuple[Item, Correlation]]:
    """The receipts of all segments of a long message, if these items are that, one behind the other in one read, and say the
    same."""
    found: list[tuple[Item, Correlation]] = []
    read, code = items[0].read, items[0].receipt.code
    for number, item in enumerate(items, 1):
        receipt, keys = item.receipt, item.keys
        row = known.get(keys[0]) if len(keys) == 1 else None
        if row is None or row.id != message_id or row.segment != number or row.attempt != 1:
            return []
        if item.read is not read or item.tlvs is not None or receipt.state != "DELIVRD" or receipt.code != code:
            return []
        found.append((item, row))
    return found if len(found) == size else []


def _parts(
    found: Found, recent: Recent, message_id: str, parts: dict[int, tuple[Item, Correlation]], rules: Rules, now: int
) -> list[tuple[Item, Correlation]]:
    """Applies a batch's receipts DELIVRD of one long message, by segment; returns those not recognised: all of them or none."""
    message, pairs = recent.messages[message_id], list(parts.values())
    stage = message.stage
    head: Head | None = None
    if stage is not None and len(parts) == len(stage.head.segments):
        first = pairs[0][0]
        read, code = first.read, first.receipt.code
        for item, _ in pairs:
            if (item.read is not read and item.read.at != read.at) or item.receipt.code != code:
                break
        else:
            after = alike.deliver(found.effects, message, code, read.at, rules, now)
            head = after.head if after is not None else None
    if head is None:
        receipts = [(segment, item.receipt.code, item.read.at) for segment, (item, _) in parts.items()]
        head = deliver(found.effects, message, receipts, rules, now)
    if head is None:
        return pairs
    del recent.messages[message_id]
    if head.state == _SUBMITTED:
        message.head = head
        found.partly[message_id] = message
    done, correlations = found.done, recent.correlations
    for item, row in pairs:
        item.key = key = item.keys[0]
        item.correlation = row
        del correlations[item.read.carrier][key]
        done.append(item)
    return []


def by_age(works: Works, strangers: list[Item]) -> tuple[list[Item], list[Item]]:
    """Those that may wait a moment before the store is asked for them, and the others. While messages are under way here, a
    receipt that nobody knows has most likely overtaken the settling of its answer."""
    if not works.flights or works.stopping:
        return [], strangers
    now = works.clock.monotonic()
    young: list[Item] = []
    old: list[Item] = []
    for item in strangers:
        if item.keys and not item.field and item.read.arrived > now - YOUNG_S:
            item.again_at = now + AGAIN_S
            young.append(item)
        else:
            old.append(item)
    return young, old


def sample(works: Works, item: Item, head: Head | None) -> None:
    """One observation a batch: how long its first message took from submission to its receipt."""
    if head is None or head.state != State.DELIVERED:
        return
    attempts = head.segments[item.correlation.segment - 1].attempts
    if attempts:
        waited_ms = max(0, item.read.at - attempts[-1].at)
        works.counters.observe("dispatcher_delivery_seconds", (item.read.carrier,), waited_ms / 1000)
