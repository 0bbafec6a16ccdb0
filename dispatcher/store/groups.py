"""S2 over a server: batches of up to 50,000, all or nothing. Knows how a group is staged, published and expanded.

Blobs share what their messages share and are appended one script at a time; nobody sees them before one small script
publishes a pointer. Expansion writes the bodies a blob at a time under the expander's fence; its guard is the staged
list itself, which is watched and loses the blob in the same transaction, so a repeat finds the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

from dispatcher.core.ids import BUCKET_CHARS
from dispatcher.core.ports import Admission, CorruptRecord, GroupPlan, GroupView, Owner, StoreUnavailable, Verdict
from dispatcher.store import records, resp
from dispatcher.store.accounts import DESK, by_bucket
from dispatcher.store.admission import STEP_MESSAGES_MAX, AdmissionStep
from dispatcher.store.front import alias_day
from dispatcher.store.keys import family_of
from dispatcher.store.lines import PAUSE_FIRST_S, PAUSE_MAX_S, SCRIPTS
from dispatcher.store.transport import ConnectionLost

GROUPS = "groups"
BLOBS_PER_WRITE = 8


class Groups(AdmissionStep):
    """Groups from hold to the last message."""

    async def accept_group(self, plan: GroupPlan, messages: Sequence[Admission]) -> Verdict:
        families = list(dict.fromkeys(family_of(m.body.route, plan.lane) for m in messages))
        field = f"{plan.account}:{plan.key}" if plan.key else ""
        blobs = range(0, len(messages), STEP_MESSAGES_MAX)
        avail, verdict = await self._hold(plan, field, len(blobs))
        if verdict is not None:
            return verdict
        group, stage = self.k.group_ + plan.id.encode(), self.k.stage_ + plan.id.encode()
        for first in range(0, len(blobs), BLOBS_PER_WRITE):
            wire = []
            for number, start in enumerate(blobs[first : first + BLOBS_PER_WRITE], first + 1):
                blob = records.encode_blob(plan.id, messages[start : start + STEP_MESSAGES_MAX])
                wire.append(SCRIPTS["stage"].call([group, stage], [b"%d" % number, blob]))
                await self.driver.sleep(0)  # others have their turn: a blob is most of a millisecond
            if -1 in await self.ask(GROUPS, b"".join(wire), len(wire)):
                break  # live already, or void: publishing tells which
        if plan.ticket is not None:
            plan = plan._replace(ticket=await self.numbers_apart(GROUPS, plan.id, plan.ticket))
        if not await self._publish(plan, field, families):
            raise StoreUnavailable(f"group {plan.id} was given up after its time; its money is back")
        return Verdict("accepted", plan.id, avail)

    async def _hold(self, plan: GroupPlan, field: str, blobs: int) -> tuple[int, Verdict | None]:
        """(a): the available balance, and the verdict if there is nothing more to do."""
        k = self.k
        group_id = plan.id.encode()
        period = str(k.idem_period(plan.at))
        hold = ["g", str(plan.at), "-", period, "1", plan.account, str(plan.price), *([field] if field else [])]
        described: dict[str, Any] = {
            "account": plan.account,
            "lane": int(plan.lane),
            "members": plan.members,
            "price": plan.price,
            "currency": plan.currency,
            "at": plan.at,
            "blobs": blobs,
            "field": field,
        }
        keys = [
            k.holds,
            k.group_ + group_id,
            k.acct_ + plan.account.encode(),
            k.idem(plan.at),
            k.idem(plan.at, 1),
            k.groups_ + group_id[:6],
        ]
        arguments = [group_id, "\n".join(hold).encode(), b"%d" % -plan.price, field.encode()]
        arguments += [str(part).encode() for pair in described.items() for part in pair]
        answer = await self.run(GROUPS, "hold", keys, arguments)
        word = answer[0]
        if word == b"held":
            return int(answer[1]), None
        money = await self.balance(plan.account)
        avail = money.available if money is not None else 0
        if word == b"state":
            if answer[1] == b"void":
                raise StoreUnavailable(f"group {plan.id} was given up after its time; its money is back")
            return avail, Verdict("accepted", plan.id, avail) if answer[1] == b"live" else None
        if word == b"key":
            known = answer[1]
            if known == b"p" + group_id or known[:26] == group_id:
                return avail, None
            if known.startswith(b"p"):
                return avail, Verdict("pending", "", avail)
            same = known[26:] == plan.digest
            return avail, Verdict("duplicate" if same else "conflict", str(known[:26], "ascii"), avail)
        return avail, Verdict("poor" if word == b"poor" else "unknown", "", avail)

    async def _publish(self, plan: GroupPlan, field: str, families: Sequence[str]) -> bool:
        k = self.k
        group_id = plan.id.encode()
        account = plan.account.encode()
        keys = [
            k.group_ + group_id,
            k.holds,
            k.acct_ + account,
            k.expanding,
            k.pointers,
            k.rings,
            k.idem(plan.at),
            k.charges,
            k.ticket_ + group_id[:BUCKET_CHARS],
            k.alias_ + b"%d" % alias_day(plan.id),
            k.aliases,
        ]
        fact = records.pack([records.group_fact(plan)]) if self.reservations else b""
        arguments = [
            group_id,
            k.base,
            account,
            b"%d" % plan.price,
            b"%d" % plan.at,
            field.encode(),
            group_id + plan.digest,
            records.COLUMNS["charges"].encode(),
            fact,
            records.pack(plan.ticket) if plan.ticket is not None else b"",
            plan.ticket.alias.encode() if plan.ticket is not None else b"",
            b"%d" % alias_day(plan.id),
            k.idem_s,
            *(f.encode() for f in families),
        ]
        return bool(await self.run(GROUPS, "publish", keys, arguments) == 1)

    async def group(self, group_id: str) -> GroupView | None:
        flat = (await self.ask(DESK, resp.of("HGETALL", self.k.group_ + group_id.encode()), 1))[0]
        row = {n.decode(): v.decode() for n, v in zip(flat[::2], flat[1::2], strict=True)}
        if not row:
            return None
        try:
            state = cast(Literal["staging", "live", "void"], row["state"])
            finals = {n[2:]: int(v) for n, v in row.items() if n.startswith("f:")}
            return GroupView(
                group_id,
                row["account"],
                state,
                int(row["members"]),
                int(row["written"]),
                int(row["price"]),
                row["currency"],
                int(row["at"]),
                finals,
            )
        except (KeyError, ValueError) as error:
            raise CorruptRecord(f"group {group_id}", type(error).__name__) from None

    # -- (d)
    async def expand_groups(self, owner: Owner, limit: int = STEP_MESSAGES_MAX) -> int:
        count = 0
        for raw in (await self.ask(GROUPS, resp.command(b"SMEMBERS", self.k.expanding), 1))[0]:
            while count < limit:
                some = await self.expand(owner, raw.decode())
                if not some:
                    break
                count += some
        return count

    async def expand(self, owner: Owner, group_id: str) -> int:
        """One blob of a live group becomes records and members; 0: none is left. Raises Deposed."""
        line = self.line(GROUPS)
        own = self.ownership(owner)
        fence, stage = self.k.fence_ + owner.name.encode(), self.k.stage_ + group_id.encode()
        look = (
            resp.command(b"UNWATCH")
            + resp.command(b"WATCH", fence, stage)
            + resp.command(b"LINDEX", stage, b"0")
            + resp.of("HMGET", self.k.group_ + group_id.encode(), "lane", "at", "state")
        )
        pause = PAUSE_FIRST_S
        async with line.lock:
            while True:
                try:
                    if line.doubtful:
                        await self.check_fence(line, own, up=True)
                        line.doubtful = False
                    blob, described = (await line.exchange(look, 4))[2:]
                    await self.check_fence(line, own, up=False)
                    if resp.checked(blob) is None:
                        await line.exchange(resp.command(b"SREM", self.k.expanding, group_id.encode()), 1)
                        return 0
                    if described[2] != b"live":
                        return 0
                    wire, messages = self._expansion(group_id, blob, int(described[0]), int(described[1]))
                    replies = await line.exchange(b"".join(wire), len(wire))
                    results = resp.checked(replies[-1])
                    if results is not None:
                        for result in results:
                            resp.checked(result)
                        self.note(available=True)
                        return messages
                except ConnectionLost:
                    self.note(available=False)
                    await self.driver.sleep(pause)
                    pause = min(2 * pause, PAUSE_MAX_S)

    def _expansion(self, group_id: str, blob: bytes, lane: int, at: int) -> tuple[list[bytes], int]:
        """The transaction that writes one blob's messages."""
        k = self.k
        messages = records.decode_blob(blob, f"stage {group_id}")
        group = k.group_ + group_id.encode()
        bodies = {i: records.pack(body) for i, body, _ in messages}
        wire = [resp.MULTI]
        for bucket, ids in by_bucket(list(bodies)).items():
            wire.append(resp.hset_ids(k.body_ + bucket.encode(), ids, [bodies[i] for i in ids]))
        members: dict[str, list[str]] = {}
        for message_id, body, due_at in messages:
            name = family_of(body.route, lane)
            if due_at:
                wire.append(resp.of("ZADD", k.due, due_at, f"{name}:{body.account}:{message_id}"))
            else:
                members.setdefault(name, []).append(message_id)
        for name, ids in members.items():
            wire.append(resp.with_ids(b"RPUSH", k.members_ + f"{group_id}:{name}".encode(), ids))
        wire += [
            resp.command(b"LPOP", k.stage_ + group_id.encode()),
            resp.command(b"HINCRBY", group, b"expanded", b"1"),
            resp.command(b"HINCRBY", group, b"written", b"%d" % len(messages)),
        ]
        events = [records.queued_event(i, body, at) for i, body, _ in messages]
        wire.append(resp.rows(k.events, records.COLUMNS["events"], records.pack(events)))
        wire.append(resp.EXEC)
        return wire, len(messages)
