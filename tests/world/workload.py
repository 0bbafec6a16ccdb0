"""Producers and clients: they write the plan's sends to the stream, hand them in at the HTTP door's steps, cancel some, and
remember what they were told.

It refuses to know engines. The HTTP door is what ingest does with the store: admission's verdict, then one durable step, which
it gives up after an error and repeats only where there is a key.
"""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from dispatcher.core import lifecycle
from dispatcher.core.admission import admit
from dispatcher.core.customer import Account
from dispatcher.core.evidence import Cancel
from dispatcher.core.ids import RandomIds, group_members
from dispatcher.core.model import LANE_BY_NAME, Lane, Send
from dispatcher.core.ports import Admission, CorruptRecord, Effects, GroupPlan, StoreUnavailable
from dispatcher.core.refusal import Refused
from tests.world.clock import BASE_MS, Time, chance
from tests.world.lives import book_of, rules_of
from tests.world.plan import ACCOUNTS, MONEY, Order, Plan, Wanted
from tests.world.port import Port
from tests.world.trace import Trace

TRIES = 3
THIN_MONEY = 400_000


class Workload:
    """`entries`: stream entry -> numbers of its sends. `verdicts`: number -> what the HTTP door was told: accepted, a refusal,
    or "?" when it could not be known. `cancelled`: numbers whose cancel was granted. `not_before`: ref -> the instants
    (ms) that its sends named."""

    def __init__(self, plan: Plan, time: Time, port: Port, trace: Trace) -> None:
        self.plan, self.time, self.port, self.trace = plan, time, port, trace
        self.entries: dict[str, tuple[int, ...]] = {}
        self.verdicts: dict[int, str] = {}
        self.cancelled: set[int] = set()
        self.not_before: dict[str, set[int]] = {}
        self.ids: dict[int, str] = {}
        self._rng = chance(plan.seed, "workload")
        self._ids = RandomIds(chance(plan.seed, "door ids").randbytes)
        self._book = book_of(plan.settings)
        self._rules = rules_of(plan.settings, self._rng)
        self._accounts = {name: Account(name=name, currency="EUR", tariff="retail", **more) for name, more in ACCOUNTS.items()}
        self._rules.accounts.update(self._accounts)

    async def open_accounts(self) -> None:
        """Before anything begins."""
        store = self.port._store
        for account in self._accounts.values():
            await store.put_account(account)
            money = THIN_MONEY if account.name == "thin" else MONEY
            await store.credit(account.name, f"first-{account.name}", money, BASE_MS)

    async def run(self) -> None:
        """All orders at their time."""
        async with trio.open_nursery() as nursery:
            for order in self.plan.orders:
                await trio.sleep_until(order.at)
                some = [self.plan.wanted[n] for n in order.numbers]
                if order.door == "stream":
                    self._write(some)
                elif order.door == "http":
                    nursery.start_soon(self._post, some)
                else:
                    nursery.start_soon(self._post_group, order, some)
                for one in some:
                    if one.cancel_at:
                        nursery.start_soon(self._cancel, one)

    def _note(self, one: Wanted, what: str) -> None:
        self.trace.note(self.time.now, "door", what, one.number)

    def _fields(self, one: Wanted) -> dict[str, Any]:
        fields = dict(one.fields)
        later = fields.pop("not_before_in_s", None)
        if later is not None:
            fields["not_before"] = BASE_MS + int((self.time.now + later) * 1000)
            self.not_before.setdefault(one.fields["ref"], set()).add(fields["not_before"])
        return fields

    # -- the stream

    def _write(self, some: list[Wanted]) -> None:
        sends = [self._fields(one) for one in some]
        value: Any = sends[0] if len(sends) == 1 else {"sends": sends}
        packed = self._rng.random() < 0.5
        data = msgspec.msgpack.encode(value) if packed else msgspec.json.encode(value)
        entry = self.port._store.add_send("msgpack" if packed else "json", data)
        self.entries[entry] = tuple(one.number for one in some)
        for one in some:
            self._note(one, f"stream entry {entry}")

    # -- HTTP

    def _admissions(self, some: list[Wanted], ids: list[str], now: int) -> list[tuple[Wanted, Admission]]:
        found = []
        for one, message_id in zip(some, ids, strict=True):
            send = msgspec.convert(self._fields(one), Send)
            verdict = admit(send, self._accounts[one.account], self._book, now, message_id)
            if isinstance(verdict, Refused):
                self.verdicts[one.number] = str(verdict.reason)
            else:
                found.append((one, verdict))
        return found

    def now_ms(self) -> int:
        """The door's own clock, which is right."""
        return BASE_MS + int(self.time.now * 1000)

    async def _post(self, some: list[Wanted]) -> None:
        left = some
        for attempt in range(TRIES):
            now = self.now_ms()
            pairs = self._admissions(left, self._ids.make(now, len(left)), now)
            if not pairs:
                return
            try:
                verdicts = await self.port.admit([a for _, a in pairs], now)
            except StoreUnavailable:
                for one, _ in pairs:
                    self.verdicts[one.number] = "?"
                    self._note(one, "503")
                left = [one for one, _ in pairs if "key" in one.fields]
                if not left:
                    return
                await trio.sleep(0.5 + attempt)
                continue
            for (one, _), verdict in zip(pairs, verdicts, strict=True):
                self.verdicts[one.number] = verdict.verdict
                self.ids[one.number] = verdict.id
                self._note(one, f"HTTP {verdict.verdict} {verdict.id}")
            return

    async def _post_group(self, order: Order, some: list[Wanted]) -> None:
        now = self.now_ms()
        group_id = self._ids.make(now, 1)[0]
        group_id = group_members(group_id, 1, 0)[0]
        pairs = self._admissions(some, group_members(group_id, len(some)), now)
        messages = [a for _, a in pairs]
        # ids without gaps, as the door gives them
        messages = [a._replace(id=i) for a, i in zip(messages, group_members(group_id, len(messages)), strict=True)]
        for message in messages:
            message.body.group = group_id
        lane: Lane = LANE_BY_NAME[some[0].fields["class"]]
        price = sum(m.price for m in messages)
        plan = GroupPlan(group_id, some[0].account, lane, len(messages), price, "EUR", now)
        word = "?"
        for attempt in range(TRIES):
            try:
                word = (await self.port.accept_group(plan, messages)).verdict
            except StoreUnavailable:
                await trio.sleep(0.5 + attempt)
                continue
            break
        for one, _ in pairs:
            self.verdicts[one.number] = word
            self._note(one, f"group {group_id} {word}")

    async def _cancel(self, one: Wanted) -> None:
        await trio.sleep_until(one.cancel_at)
        for _ in range(5):
            message_id = self.ids.get(one.number) or await self._id_of(one)
            if not message_id:
                return
            try:
                (message,) = await self.port.messages([message_id])
                if message is None:
                    return
                decision = lifecycle.decide(message, Cancel(), self._rules, self.now_ms())
                if not decision.changed:
                    return
                effects = Effects()
                lifecycle.collect(effects, message, decision)
                if not await self.port.commit(effects):
                    self.cancelled.add(one.number)
                    self._note(one, "cancelled")
                    return
            except (StoreUnavailable, CorruptRecord):
                pass
            await trio.sleep(0.3)

    async def _id_of(self, one: Wanted) -> str:
        """As somebody finds it who wrote to the stream: by its events."""
        if "key" not in one.fields:
            return ""
        try:
            return await self.port.find_key(one.account, one.fields["key"], self.now_ms()) or ""
        except StoreUnavailable:
            return ""
