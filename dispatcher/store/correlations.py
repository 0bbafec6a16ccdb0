"""Where carriers' message ids lead, and receipts that came before we knew: a carrier's own keys.

Knows no message. Ids live in windows of six hours by the time of their acceptance, so that whole windows expire; a lookup
asks the newest window first and older ones only for the misses.
"""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.core.model import MESSAGE_ID_CHARS, Correlation
from dispatcher.core.moulds import ID_GAP, moulded
from dispatcher.core.ports import Effects
from dispatcher.store import records, resp
from dispatcher.store.keys import CORRELATION_WINDOW_MS
from dispatcher.store.leases import Leases

CARRIERS = "carriers"
SCAN_STEPS_MAX = 20
_LENGTHS_MAX = 256
_LENGTHS = [f"\r\n${n}\r\n" for n in range(_LENGTHS_MAX)]
_VERY_LONG = "\0\r"
_SPARE_S = 86_400 + CORRELATION_WINDOW_MS // 1000


def _mould(id_chars: int, row: Correlation) -> tuple[str, str, str]:
    """What stands before a carrier's id of so many characters, between it and the message's, and behind; "" between them: such
    a row has no mould."""
    before, after = moulded(row, ID_GAP) or ("", "")
    size = f"\r\n${len(before) + len(ID_GAP) + len(after)}\r\n" if before else ""
    return f"\r\n${id_chars}\r\n", f"{size}{before}", after


class Correlations(Leases):
    """The carrier's side of a message."""

    _windows: dict[str, list[int]]
    _expiries: dict[tuple[str, int], int]
    _overdue_at: dict[tuple[str, str], tuple[int, bytes]]
    _early_at: dict[str, bytes]

    def correlation_commands(self, carrier: str, rows: Sequence[tuple[str, Correlation]], at: int) -> list[bytes]:
        """Plain commands, to be sent before the heads. The window is that of the flush, `at`."""
        if not rows:
            return []
        lines: list[str] = []
        moulds: dict[tuple[object, ...], tuple[str, str, str]] = {}  # the segments of long messages take turns
        deadline = 0
        for carrier_id, (partition, message_id, segment, attempt, until) in rows:
            alike = (until, len(carrier_id), segment, attempt, partition)
            mould = moulds.get(alike)
            if mould is None:
                deadline = max(deadline, until)
                mould = moulds[alike] = _mould(len(carrier_id), Correlation(partition, ID_GAP, segment, attempt, until))
            field_size, before, after = mould
            if before and len(message_id) == MESSAGE_ID_CHARS and carrier_id.isascii():
                lines.append(f"{field_size}{carrier_id}{before}{message_id}{after}")
                continue
            field, value = carrier_id.encode(), records.pack((partition, message_id, segment, attempt, until))
            lines.append(b"".join((resp.length(field), field, resp.length(value), value)).decode("latin-1"))
        window = at // CORRELATION_WINDOW_MS
        key = self.k.correlations(carrier, window)
        start = b"*%d\r\n$4\r\nHSET%b%b" % (2 * len(rows) + 2, resp.length(key), key)
        wire = [b"".join((start, "".join(lines).encode("latin-1"), b"\r\n"))]
        life = max(0, deadline - at) // 1000 + _SPARE_S
        if life > self._expiries.get((carrier, window), 0):
            self._expiries[carrier, window] = life + 3600
            wire.append(resp.of("ZADD", self.k.windows(carrier), window, window))
            wire += [resp.of("EXPIRE", key, life + 3600, how) for how in ("NX", "GT")]
        return wire

    async def _windows_of(self, carrier: str) -> list[int]:
        raw = (await self.ask(CARRIERS, resp.of("ZRANGE", self.k.windows(carrier), 0, -1, "REV"), 1))[0]
        self._windows[carrier] = [int(w) for w in raw]
        return self._windows[carrier]

    async def correlate(self, carrier: str, carrier_ids: Sequence[str]) -> list[Correlation | None]:
        found: dict[str, Correlation] = {}
        missing = list(dict.fromkeys(carrier_ids))
        known = self._windows.get(carrier) or await self._windows_of(carrier)
        asked: set[int] = set()
        for fresh in (False, True):
            # a window that another process began since is only looked for when the known ones do not have it
            for window in known if not fresh else await self._windows_of(carrier):
                if missing and window not in asked:
                    asked.add(window)
                    missing = await self._look(carrier, window, missing, found)
            if not missing:
                break
        return [found.get(i) for i in carrier_ids]

    async def _look(self, carrier: str, window: int, missing: Sequence[str], found: dict[str, Correlation]) -> list[str]:
        key = self.k.correlations(carrier, window)
        still: list[str] = []
        for start in range(0, len(missing), 1000):
            some = missing[start : start + 1000]
            wire = resp.command(b"HMGET", key, *[i.encode() for i in some])
            for carrier_id, raw in zip(some, (await self.ask(CARRIERS, wire, 1))[0], strict=True):
                if raw is None:
                    still.append(carrier_id)
                else:
                    found[carrier_id] = records.decode_correlation(raw, f"corr {carrier}")
        return still

    async def keep_correlations(self, carrier: str, rows: Sequence[tuple[str, Correlation]], at: int) -> None:
        if wire := self.correlation_commands(carrier, rows, at):
            await self.ask(CARRIERS, b"".join(wire), len(wire))

    async def drop_correlations(self, carrier: str, carrier_ids: Sequence[str]) -> None:
        wire = await self.drop_commands(carrier, carrier_ids)
        if wire:
            await self.ask(CARRIERS, b"".join(wire), len(wire))

    async def drop_commands(self, carrier: str, carrier_ids: Sequence[str]) -> list[bytes]:
        """HDEL in each window; plain commands, for any write."""
        if not carrier_ids:
            return []
        windows = self._windows.get(carrier) or await self._windows_of(carrier)
        text = "".join([f"{_LENGTHS[len(i)]}{i}" if len(i) < _LENGTHS_MAX else _VERY_LONG for i in carrier_ids])
        if text.isascii() and _VERY_LONG not in text:
            ids = text.encode()
        else:
            ids = b"".join([part for i in map(str.encode, carrier_ids) for part in (resp.length(i), i)])
        start = b"*%d\r\n$4\r\nHDEL" % (len(carrier_ids) + 2)
        keys = [self.k.correlations(carrier, w) for w in windows]
        return [b"".join((start, resp.length(key), key, ids, b"\r\n")) for key in keys]

    async def carriers_side(self, effects: Effects) -> list[bytes]:
        """What a commit writes into carriers' own keys: plain commands, before the rest."""
        wire: list[bytes] = []
        for carrier, rows in effects.correlations.items():
            wire += self.correlation_commands(carrier, rows, effects.heads[-1].head.at)
        for carrier, ids in effects.dropped.items():
            wire += await self.drop_commands(carrier, ids)
        return wire

    async def overdue_correlations(self, carrier: str, at: int, limit: int, reader: str = "") -> list[tuple[str, Correlation]]:
        windows = sorted(await self._windows_of(carrier))
        found: list[tuple[str, Correlation]] = []
        if not windows:
            return found
        window, cursor = self._overdue_at.get((carrier, reader), (windows[0], b"0"))
        for _ in range(SCAN_STEPS_MAX):
            if len(found) >= limit:
                break
            key = self.k.correlations(carrier, window)
            cursor, flat = (await self.ask(CARRIERS, resp.of("HSCAN", key, cursor, "COUNT", 200), 1))[0]
            for field, raw in zip(flat[::2], flat[1::2], strict=True):
                row = records.decode_correlation(raw, f"corr {carrier}")
                if row.deadline_at <= at:
                    found.append((field.decode(), row))
            if cursor == b"0":
                if not flat and window not in windows[-2:]:
                    await self.ask(CARRIERS, resp.of("ZREM", self.k.windows(carrier), window), 1)
                later = [w for w in windows if w > window]
                window = later[0] if later else windows[0]
                if not later:
                    break
        self._overdue_at[carrier, reader] = (window, cursor)
        return found

    async def park_early(self, carrier: str, receipts: Sequence[tuple[str, bytes]]) -> None:
        if receipts:
            pairs = [part for field, raw in receipts for part in (field.encode(), raw)]
            await self.ask(CARRIERS, resp.command(b"HSET", self.k.early(carrier), *pairs), 1)

    async def early(self, carrier: str, limit: int) -> list[tuple[str, bytes]]:
        key = self.k.early(carrier)
        found: dict[bytes, bytes] = {}
        cursor = self._early_at.get(carrier, b"0")
        for _ in range(SCAN_STEPS_MAX):
            cursor, flat = (await self.ask(CARRIERS, resp.of("HSCAN", key, cursor, "COUNT", limit), 1))[0]
            found.update(zip(flat[::2], flat[1::2], strict=True))
            if cursor == b"0" or len(found) >= limit:
                break
        self._early_at[carrier] = cursor
        return [(f.decode(), raw) for f, raw in list(found.items())[:limit]]

    async def early_count(self, carrier: str) -> int:
        return int((await self.ask(CARRIERS, resp.of("HLEN", self.k.early(carrier)), 1))[0])

    async def drop_early(self, carrier: str, fields: Sequence[str]) -> None:
        if fields:
            wire = resp.command(b"HDEL", self.k.early(carrier), *[f.encode() for f in fields])
            await self.ask(CARRIERS, wire, 1)
