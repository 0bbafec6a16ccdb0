"""The in-memory store's accounts, admission and groups. Knows the rules of S1, S2 and S10, and no engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from dispatcher.core.customer import Account, ApiKey, Balance
from dispatcher.core.front import Take
from dispatcher.core.model import Message
from dispatcher.core.ports import Admission, Cursor, GroupPlan, GroupView, Owner, Queue, RejectRow, Verdict
from dispatcher.store import records
from dispatcher.store.keys import IDEM_PERIODS, check_name
from dispatcher.store.memory_front import MemoryFront
from dispatcher.store.memory_state import Group, step
from dispatcher.store.verdicts import limited, takes_of, to_give_back, twins

BLOB_MESSAGES = 500


class MemoryAdmission(MemoryFront):
    """Accounts, S1, S2, S10 and reading."""

    @step
    async def put_account(self, account: Account) -> None:
        check_name(account.name)
        self.account_rows[account.name] = records.pack(account)
        row = self.money.setdefault(account.name, [0, 0, 0, account.currency])
        row[2] = account.floor

    @step
    async def account(self, name: str) -> Account | None:
        raw = self.account_rows.get(name)
        return records.decode_account(raw, name) if raw is not None else None

    @step
    async def accounts(self) -> Sequence[Account]:
        return [records.decode_account(self.account_rows[n], n) for n in sorted(self.account_rows)]

    @step
    async def balance(self, account: str) -> Balance | None:
        row = self.money.get(account)
        return Balance(account, *row) if row is not None else None

    @step
    async def credit(self, account: str, credit_id: str, amount: int, at: int) -> Balance | None:
        row = self.money.get(account)
        if row is None:
            return None
        if credit_id not in self.credit_ids:
            self.credit_ids.add(credit_id)
            self.now = max(self.now, at)
            row[0] += amount
            self.write_rows("charges", [records.credit_fact(account, credit_id, amount, row[3], at)])
        return Balance(account, *row)

    @step
    async def put_key(self, key: ApiKey) -> None:
        self.api_keys[key.id] = records.pack(key)
        self.key_versions[key.account] = self.key_versions.get(key.account, 0) + 1

    @step
    async def key(self, key_id: str) -> ApiKey | None:
        raw = self.api_keys.get(key_id)
        return records.decode_api_key(raw, key_id) if raw is not None else None

    @step
    async def keys(self, account: str = "") -> Sequence[ApiKey]:
        rows = [records.decode_api_key(self.api_keys[k], k) for k in sorted(self.api_keys)]
        return [k for k in rows if not account or k.account == account]

    @step
    async def account_keys(self, account: str) -> tuple[int, Sequence[ApiKey]]:
        rows = [records.decode_api_key(self.api_keys[k], k) for k in sorted(self.api_keys)]
        return self.key_versions.get(account, 0), [k for k in rows if k.account == account]

    @step
    async def change_keys(self, account: str, version: int, keys: Sequence[ApiKey], gone: Sequence[str] = ()) -> bool:
        if self.key_versions.get(account, 0) != version:
            return False
        for key_id in gone:
            self.api_keys.pop(key_id, None)
        self.key_versions[account] = version + 1
        self.api_keys.update((key.id, records.pack(key)) for key in keys)
        return True

    # -- S1
    def _known(self, account: str, key: str, digest: bytes, at: int) -> Verdict | None:
        known = self.idem.get((account, key)) if key else None
        if known is None or known[2] // self.keys_ms < at // self.keys_ms - 1:
            return None
        return Verdict("duplicate" if known[1] == digest else "conflict", known[0])

    def _take(self, account: str, price: int) -> Literal["poor", "unknown"] | None:
        row = self.money.get(account)
        if row is None:
            return "unknown"
        if row[0] - price < row[2]:
            return "poor"
        row[0] -= price
        row[1] += price
        return None

    @step
    async def admit(
        self,
        batch: Sequence[Admission],
        at: int,
        cursor: tuple[Owner, Cursor] | None = None,
        refused: Callable[[Mapping[int, Verdict]], Sequence[RejectRow]] | None = None,
    ) -> list[Verdict]:
        if cursor is not None:
            self.check(cursor[0])
            self.intake = cursor[1]
        self.now = max(self.now, at)
        verdicts: list[Verdict] = []
        accepted: list[Admission] = []
        poor: set[str] = set()
        pairs = twins(batch)
        takes = takes_of(batch, [i for i in range(len(batch)) if i not in pairs])
        over = self._limited(takes, at)
        takes = {i: some for i, some in takes.items() if i not in over}
        for i, item in enumerate(batch):
            account = item.body.account
            verdict = self._known(account, item.body.key, item.digest, at) or over.get(i)
            if verdict is None and i in pairs:
                verdict = verdicts[pairs[i]]
            if verdict is None:
                stop = self.refuses(account, item.body.sender, item.body.to_hash)
                no = "opted_out" if stop else "poor" if account in poor else self._take(account, item.price)
                if no is not None:
                    poor.update({account} if no == "poor" else ())
                    verdict = Verdict(no, "")
                else:
                    verdict = Verdict("accepted", item.id)
                    accepted.append(item)
                    self.record(item, at)
                    if item.extras is not None:
                        self.keep_extras(item, item.extras, at)
                    if item.body.key:
                        self.idem[account, item.body.key] = (item.id, item.digest, at)
            verdicts.append(verdict)
        not_in = {i: v for i, v in enumerate(verdicts) if v.verdict != "accepted"}
        for take in to_give_back(batch, takes, not_in):
            self.windows.give_back(take, at)
        if self.reservations:
            self.write_rows("charges", [records.reserve_fact(a, at) for a in accepted])
        self.write_rows("events", [records.queued_event(a.id, a.body, at) for a in accepted])
        if cursor is not None and refused is not None:
            self.refused += refused(not_in)
        return [v._replace(available=self._left(item.body.account)) for v, item in zip(verdicts, batch, strict=True)]

    def _limited(self, takes: Mapping[int, tuple[Take, ...]], at: int) -> dict[int, Verdict]:
        """Tries what each send takes, all of it or nothing."""
        found: dict[int, Verdict] = {}
        for i, some in takes.items():
            refused, taken = self.windows.take_all(some, at)
            if not taken.granted:
                found[i] = limited(some[refused], taken)
        return found

    def _left(self, account: str) -> int:
        row = self.money.get(account)
        return int(row[0]) if row is not None else 0

    # -- S2
    @step
    async def accept_group(self, plan: GroupPlan, messages: Sequence[Admission]) -> Verdict:
        old = self.groups.get(plan.id)
        if old is not None:
            if old.state == "void":
                self.fail_group(old)
            return Verdict("accepted", plan.id, self._left(plan.account))
        known = self._known(plan.account, plan.key, plan.digest, plan.at)
        if known is not None:
            return known._replace(available=self._left(plan.account))
        no = self._take(plan.account, plan.price)
        if no is not None:
            return Verdict(no, "", self._left(plan.account))
        self.now = max(self.now, plan.at)
        if plan.ticket is not None:
            self.keep_ticket(plan.id, plan.ticket)
        if plan.key:
            self.idem[plan.account, plan.key] = (plan.id, plan.digest, plan.at)
        group = self.groups[plan.id] = Group(plan)
        for start in range(0, len(messages), BLOB_MESSAGES):
            group.blobs.append(records.encode_blob(plan.id, messages[start : start + BLOB_MESSAGES]))
        group.state = "live"
        for route in dict.fromkeys(m.body.route for m in messages):
            queue = Queue(route, plan.lane)
            self.enqueue(queue, plan.account, f"@{plan.id}", plan.at)
        if self.reservations:
            self.write_rows("charges", [records.group_fact(plan)])
        return Verdict("accepted", plan.id, self._left(plan.account))

    def expand_blob(self, group: Group) -> int:
        """S2 (d): one blob becomes records and members; returns how many."""
        messages = records.decode_blob(group.blobs.popleft(), group.plan.id)
        for message_id, body, due_at in messages:
            self.bodies[message_id] = records.pack(body)
            if due_at:
                self.due[body.route, group.plan.lane, body.account, message_id] = due_at
            else:
                group.members.setdefault(Queue(body.route, group.plan.lane), deque()).append(message_id)
        group.expanded += len(messages)
        self.write_rows("events", [records.queued_event(i, body, group.plan.at) for i, body, _ in messages])
        return len(messages)

    @step
    async def expand_groups(self, owner: Owner, limit: int = 500) -> int:
        self.check(owner)
        count = 0
        for group in self.groups.values():
            while group.state == "live" and group.blobs and count < limit:
                count += self.expand_blob(group)
        return count

    # -- reading
    @step
    async def messages(self, ids: Sequence[str]) -> list[Message | None]:
        return [self.message(i) for i in ids]

    @step
    async def heads(self, ids: Sequence[str]) -> list[Message | None]:
        found = [self.message(i) if i in self.heads_kept else None for i in ids]
        for message in found:
            if message is not None:
                message.body = None
        return found

    @step
    async def find_key(self, account: str, key: str, at: int) -> str | None:
        known = self.idem.get((account, key))
        return known[0] if known is not None and known[2] // self.keys_ms > at // self.keys_ms - IDEM_PERIODS else None

    @step
    async def group(self, group_id: str) -> GroupView | None:
        group = self.groups.get(group_id)
        if group is None:
            return None
        plan = group.plan
        state: Literal["staging", "live", "void"] = (
            "live" if group.state == "live" else "void" if group.state == "void" else "staging"
        )
        return GroupView(
            plan.id,
            plan.account,
            state,
            plan.members,
            group.expanded,
            plan.price,
            plan.currency,
            plan.at,
            dict(group.finals),
        )

    @step
    async def open_holds(self) -> Mapping[str, int]:
        """Money taken by admissions not yet enqueued, by account, micro-units. Here admission is one step: none."""
        return {}
