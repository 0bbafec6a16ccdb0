"""S1 over a server: reserve, record and enqueue a whole batch in one write. Knows no engine but the intake's fence.

The write is `EVAL reserve, MULTI ... EXEC, WATCH open, GET open`. The script takes the money and leaves a hold, or
raises `open`, which this very connection watches, so that the EXEC behind it fails. Whoever wants to be sure that a
lost write of ours can no longer apply (we after a reconnect, the sweeper) raises `open` as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from dispatcher.core.front import Extras, Take
from dispatcher.core.ids import BUCKET_CHARS
from dispatcher.core.model import Body
from dispatcher.core.ports import Admission, Cursor, Owner, RejectRow, StoreUnavailable, Verdict
from dispatcher.store import records, resp
from dispatcher.store.admitted import Admitted
from dispatcher.store.front import extras_commands
from dispatcher.store.front_windows import Windows
from dispatcher.store.keys import family_of
from dispatcher.store.lines import INTAKE, PAUSE_FIRST_S, PAUSE_MAX_S, SCRIPTS, Line, Ownership, applied
from dispatcher.store.transport import ConnectionLost
from dispatcher.store.verdicts import drop_refused, key_field, to_give_back, twins, twins_verdicts

STEP_MESSAGES_MAX = 500
_MARKER_S = b"604800"
_TAKEN_IN = Verdict("accepted", "")
_new = tuple.__new__  # a Verdict without the detour through its named constructor, which takes twice as long


class _Try(NamedTuple):
    """One attempt's answer: what is left per account, or who was poor or known, and whose opt-outs are to be looked at."""

    taken: bool
    money: dict[str, tuple[int, int] | None]
    known: dict[bytes, bytes]
    stopping: frozenset[str] = frozenset()


Refuse = Callable[[Mapping[int, Verdict]], Sequence[RejectRow]]


class Mark(NamedTuple):
    """What intake has written in the same transaction: its cursor, and the sends that the store or admission refused."""

    owner: Owner
    cursor: Cursor
    refused: Sequence[RejectRow]


class AdmissionStep(Windows):
    """The store's door."""

    _families: set[str]
    admitted: Admitted

    async def admit(
        self,
        batch: Sequence[Admission],
        at: int,
        cursor: tuple[Owner, Cursor] | None = None,
        refused: Refuse | None = None,
    ) -> list[Verdict]:
        if len(batch) > STEP_MESSAGES_MAX:
            if cursor is not None:
                raise ValueError(f"{len(batch)} sends with one cursor: at most {STEP_MESSAGES_MAX} make one step")
            verdicts: list[Verdict] = []
            for start in range(0, len(batch), STEP_MESSAGES_MAX):
                verdicts += await self.admit(batch[start : start + STEP_MESSAGES_MAX], at)
            return verdicts
        line = self.line(INTAKE if cursor is not None else "admission")
        async with line.lock:
            return await self._admit(line, batch, at, cursor, refused)

    async def _admit(
        self, line: Line, batch: Sequence[Admission], at: int, cursor: tuple[Owner, Cursor] | None, refused: Refuse | None
    ) -> list[Verdict]:
        no: dict[int, Verdict] = {}
        columns = _columns(batch)
        ids, bodies, _, _, dues, extras, keyed = columns
        pairs = twins(batch) if keyed else {}
        todo: Sequence[int] = [i for i in range(len(batch)) if i not in pairs] if pairs else range(len(batch))
        takes: Mapping[int, tuple[Take, ...]] = {}
        checked: set[str] = set()
        if self._stopping or extras.count(None) < len(extras):
            todo, takes, checked = await self.passed(batch, todo, at, no)
        left: dict[str, int] = {}
        moved = cursor is None
        if cursor is not None:  # intake's: the same process pops it, and finds the bodies here
            self.admitted.keep(ids, bodies, dues, at)
        while todo or not moved:
            mark = None
            if cursor is not None:
                mark = Mark(*cursor, refused(no | twins_verdicts(batch, no, pairs)) if refused is not None else ())
            some = [batch[i] for i in todo] if len(todo) < len(batch) else batch
            theirs = _columns(some) if len(todo) < len(batch) else columns
            answer = await self._attempt(line, some, theirs, at, mark, checked)
            left.update((a, m[0]) for a, m in answer.money.items() if m is not None)
            if answer.taken:
                break
            stopped = await self.stopped(batch, todo, set(answer.stopping)) if answer.stopping else frozenset()
            checked |= answer.stopping
            todo = drop_refused(batch, todo, answer.money, answer.known, stopped, no)
        if not no and not pairs:
            if cursor is not None:
                return [_TAKEN_IN] * len(batch)
            return [_new(Verdict, ("accepted", i, left[body.account], "", 0)) for i, body in zip(ids, bodies, strict=True)]
        no |= twins_verdicts(batch, no, pairs)
        if takes and (spare := to_give_back(batch, takes, no)):
            await self.return_takes(spare, at)
        if missing := {item.body.account for item in batch} - left.keys():
            left |= await self._left(missing)
        return [
            (no.get(i) or Verdict("accepted", item.id))._replace(available=left.get(item.body.account, 0))
            for i, item in enumerate(batch)
        ]

    async def _left(self, accounts: Iterable[str]) -> dict[str, int]:
        """Balances for verdicts that never asked for money. The verdicts stand even when the server goes away now."""
        try:
            found = [await self.balance(account) for account in accounts]
        except StoreUnavailable:
            return {}
        return {money.account: money.available for money in found if money is not None}

    # -- one attempt
    async def _attempt(
        self,
        line: Line,
        items: Sequence[Admission],
        columns: _Columns,
        at: int,
        cursor: Mark | None,
        checked: Set[str] = frozenset(),
    ) -> _Try:
        """Until it is known what became of it; without a cursor at most twice. Raises StoreUnavailable, Deposed."""
        process = f"{self.process}-{line.role}"
        done = f"{process}".encode()
        own = self.ownership(cursor.owner) if cursor is not None else None
        sums = _sums(columns)
        pause, tries, sent, txn = PAUSE_FIRST_S, 0, False, ""
        while True:
            tries += 1
            try:
                opened = await self._arm_open(line, process, own)
                if sent and await self._settle_lost(line, done, txn):
                    return await self._money_now(line, sums)
                if not sent or cursor is not None or tries <= 2:
                    txn = f"{self.process}.{line.role}.{next(line.numbers)}"
                    wire, count, reserve = self._wire(items, columns, sums, at, cursor, (process, txn, opened), checked)
                    line.armed, sent = (), True
                    replies = await line.exchange(wire, count)
                    try:
                        answer = self._read(line, replies, reserve, sums, items, own, process)
                    except StoreUnavailable:
                        sent = False
                        raise
                    if answer is not None:
                        self.note(available=True)
                        return answer
                    sent = False
                    continue
                raise StoreUnavailable("the write was lost; nothing was accepted")
            except (ConnectionLost, StoreUnavailable) as error:
                if isinstance(error, StoreUnavailable) and not (sent and cursor is not None):
                    raise
                self.note(available=False)
                if cursor is None and tries >= 2:
                    raise StoreUnavailable(f"{error}; what was taken is given back by the sweeper") from error
                await self.driver.sleep(pause)
                pause = min(2 * pause, PAUSE_MAX_S)

    async def _arm_open(self, line: Line, process: str, own: Ownership | None) -> bytes:
        """Makes sure that `open` (and the intake's fence) are watched; returns the value of `open`."""
        key = self.k.open_ + process.encode()
        if line.doubtful:
            wire = resp.command(b"INCR", key) + resp.command(b"EXPIRE", key, _MARKER_S)
            await line.exchange(wire, 2)
            if own is not None:
                await self.check_fence(line, own, up=True)
            line.doubtful = False
        if line.armed and line.armed[1:] == (own.fence if own else 0,):
            return bytes(line.armed[0])
        watched = [key] if own is None else [key, self.k.fence_ + own.name.encode()]
        wire = resp.command(b"UNWATCH") + resp.command(b"WATCH", *watched) + resp.command(b"GET", key)
        value = resp.checked((await line.exchange(wire, 3))[2]) or b""
        if own is not None:
            await self.check_fence(line, own, up=False)
        line.armed = (value, own.fence if own else 0)
        return bytes(value)

    async def _settle_lost(self, line: Line, done: bytes, txn: str) -> bool:
        """A lost write, after `open` was raised: True when it was applied; what it took without enqueuing goes back."""
        wire = resp.command(b"GET", self.k.done_ + done) + resp.command(b"HGET", self.k.holds, txn.encode())
        marker, hold = await line.exchange(wire, 2)
        if marker == txn.encode():
            return True
        if hold is not None:
            await line.exchange(SCRIPTS["giveback"].call([self.k.holds], [txn.encode(), self.k.base]), 1)
            line.armed = ()
        return False

    async def _money_now(self, line: Line, sums: dict[str, int]) -> _Try:
        wire = [resp.command(b"HGET", self.k.acct_ + a.encode(), b"avail") for a in sums]
        rows = await line.exchange(b"".join(wire), len(wire)) if wire else []
        return _Try(taken=True, money={a: (int(r or 0), 0) for a, r in zip(sums, rows, strict=True)}, known={})

    # -- bytes
    def _wire(
        self,
        items: Sequence[Admission],
        columns: _Columns,
        sums: dict[str, int],
        at: int,
        cursor: Mark | None,
        names: tuple[str, str, bytes],
        checked: Set[str],
    ) -> tuple[bytes, int, bool]:
        """The whole write, the number of its replies, and whether a reserve is in it. `names`: process, transaction, the
        value of `open`; `checked`: accounts whose opt-outs the caller has looked at."""
        k = self.k
        process, txn, _ = names
        key = k.open_ + process.encode()
        keyed = [(key_field(i), i) for i in items if i.body.key] if columns.keyed else []
        wire: list[bytes] = []
        if items:
            wire.append(self._reserve(sums, [f for f, _ in keyed], at, names, checked))
        wire.append(resp.MULTI)
        if items:
            wire += self._record(items, columns, at)
            wire += [resp.command(b"HINCRBY", k.acct_ + a.encode(), b"reserved", b"%d" % s) for a, s in sums.items() if s]
            if keyed:
                pairs = [part for f, i in keyed for part in (f, i.id.encode() + i.digest)]
                wire += [resp.command(b"HSET", k.idem(at), *pairs), resp.command(b"EXPIRE", k.idem(at), k.idem_s)]
            wire.append(resp.command(b"HDEL", k.holds, txn.encode()))
        if cursor is not None:
            wire.append(resp.of("SET", k.cursor, f"{cursor.cursor.entry}:{cursor.cursor.done}"))
            if cursor.refused:
                wire.append(resp.command(b"RPUSH", k.refused, *map(records.pack, cursor.refused)))
        wire += [resp.command(b"SET", k.done_ + process.encode(), txn.encode(), b"EX", _MARKER_S), resp.EXEC]
        fence = [k.fence_ + cursor.owner.name.encode()] if cursor is not None else []
        wire.append(resp.command(b"WATCH", key, *fence))
        wire.append(resp.command(b"MGET", key, *fence))
        return b"".join(wire), len(wire), bool(items)

    def _reserve(
        self, sums: dict[str, int], fields: Sequence[bytes], at: int, names: tuple[str, str, bytes], checked: Set[str]
    ) -> bytes:
        k = self.k
        process, txn, opened = names
        looked = b"".join(b"1" if a in checked else b"0" for a in sums) if checked else b""
        money = [part for a, s in sums.items() for part in (a, str(s))]
        hold = "\n".join(["a", str(at), process, str(k.idem_period(at)), str(len(sums)), *money]).encode()
        hold = b"\n".join([hold, *fields])
        keys = [k.holds, k.open_ + process.encode(), k.idem(at), k.idem(at, 1), *(k.acct_ + a.encode() for a in sums)]
        debits = [b"%d" % -s for s in sums.values()]
        return SCRIPTS["reserve"].call_text(keys, [opened, txn.encode(), hold, b"%d" % len(sums), looked, *debits, *fields])

    def _record(self, items: Sequence[Admission], columns: _Columns, at: int) -> list[bytes]:
        """Bodies, queues, due times and rows of a batch."""
        k = self.k
        wire: list[bytes] = []
        ids, bodies, _, _, dues, extras, _ = columns
        for bucket, (some, theirs) in _by_bucket(ids, bodies).items():
            wire.append(resp.hset_ids(k.body_ + bucket.encode(), some, list(map(records.pack, theirs))))
        queued: dict[tuple[str, int, str], list[str]] = {}
        route, lane, account, queue = "", -1, "", []
        for message_id, body, due_at in zip(ids, bodies, dues, strict=True):
            if due_at:
                member = f"{family_of(body.route, body.lane)}:{body.account}:{message_id}".encode()
                wire.append(resp.command(b"ZADD", k.due, b"%d" % due_at, member))
                continue
            if body.account != account or body.lane != lane or body.route != route:
                route, lane, account = body.route, body.lane, body.account
                queue = queued.setdefault((route, lane, account), [])
            queue.append(message_id)
        kept = [item for item, extra in zip(items, extras, strict=True) if extra is not None]
        names = {family: family_of(family[0], family[1]) for family in queued}
        for family, queue in queued.items():
            name, account = names[family], family[2]
            wire.append(resp.with_ids(b"RPUSH", f"{k.queue_.decode()}{name}:{account}".encode(), queue))
            wire.append(resp.command(b"ZADD", k.ring_ + name.encode(), b"NX", b"%d" % at, account.encode()))
        if new := set(names.values()) - self._families:
            wire.append(resp.command(b"SADD", k.rings, *(n.encode() for n in new)))
            self._families |= new
        if kept:
            wire += extras_commands(k, kept, at)
        wire.append(resp.rows(k.events, records.COLUMNS["events"], records.queued_events(ids, bodies, at)))
        if self.reservations:
            facts = [records.reserve_fact(i, at) for i in items]
            wire.append(resp.rows(k.charges, records.COLUMNS["charges"], records.pack(facts)))
        return wire

    # -- answers
    def _read(
        self,
        line: Line,
        replies: Sequence[Any],
        reserve: bool,
        sums: dict[str, int],
        items: Sequence[Admission],
        own: Ownership | None,
        process: str,
    ) -> _Try | None:
        """The verdict of one write; None: what it watched had moved, nothing was done."""
        now = replies[-1]
        if own is None or now[1] == b"%d" % own.fence:
            line.armed = (now[0] or b"", own.fence if own else 0)
        answer: Any = resp.checked(replies[0]) if reserve else [1]
        if answer[0] == -1:
            return None
        if answer[0] == 0:
            money = {a: (int(m[0]), int(m[1])) if m[0] else None for a, m in zip(sums, answer[1], strict=True)}
            fields = [key_field(i) for i in items if i.body.key]
            known = {f: v for f, v in zip(fields, answer[2], strict=True) if v} if answer[2] else {}
            stopping = frozenset(a for a, m in zip(sums, answer[1], strict=True) if m[2])
            return _Try(taken=False, money=money, known=known, stopping=stopping)
        if applied(replies, int(reserve), len(replies) - 3):
            return _Try(taken=True, money={a: (v, 0) for a, v in zip(sums, answer[1:], strict=True)}, known={})
        # Taken, and then `open` or the fence moved before the EXEC: a sweeper or a new owner was faster. The hold goes
        # back as after a lost reply.
        line.doubtful = True
        raise ConnectionLost("deposed between reserve and enqueue")


class _Columns(NamedTuple):
    """A batch's columns: looking at them is much cheaper than at their items. `keyed`: has any of them an idempotency key?"""

    ids: Sequence[str]
    bodies: Sequence[Body]
    prices: Sequence[int]
    digests: Sequence[bytes]
    dues: Sequence[int]
    extras: Sequence[Extras | None]
    keyed: bool


def _columns(items: Sequence[Admission]) -> _Columns:
    if not items:
        return _Columns((), (), (), (), (), (), keyed=False)
    ids, bodies, prices, digests, dues, extras = zip(*items, strict=True)
    keys = [body.key for body in bodies]
    return _Columns(ids, bodies, prices, digests, dues, extras, keyed=keys.count("") < len(keys))


def _by_bucket(ids: Sequence[str], bodies: Sequence[Body]) -> dict[str, tuple[Sequence[str], Sequence[Body]]]:
    """Ids and bodies by the bucket whose hashes will hold them; an id that stands twice keeps its last body."""
    if ids and min(ids)[:BUCKET_CHARS] == (bucket := max(ids)[:BUCKET_CHARS]):
        return {bucket: (ids, bodies)}  # what lies between two strings of one beginning has it too
    out: dict[str, tuple[list[str], list[Body]]] = {}
    for message_id, body in zip(ids, bodies, strict=True):
        some, theirs = out.setdefault(message_id[:BUCKET_CHARS], ([], []))
        some.append(message_id)
        theirs.append(body)
    return dict(out)


def _sums(columns: _Columns) -> dict[str, int]:
    sums: dict[str, int] = {}
    account, total = "", 0
    for body, price in zip(columns.bodies, columns.prices, strict=True):
        if body.account != account:
            sums[account] = sums.get(account, 0) + total
            account, total = body.account, 0
        total += price
    sums[account] = sums.get(account, 0) + total
    sums.pop("", None)
    return sums
