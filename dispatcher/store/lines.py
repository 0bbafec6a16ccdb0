"""Lines: connections with a role each, and what makes their writes apply once.

A line carries one batch at a time (a lock). Three kinds of write go over it: plain reads, scripts that are safe to
repeat, and fenced transactions. The theory of the last (store.md 3): every write ends with WATCH and a look at the fence,
and the next MULTI is sent only if that look found the fence ours; so an EXEC can succeed only if the fence never moved.
A reply that is lost is settled by the marker, a number that the transaction itself leaves behind. Before that marker is
believed, our own fence is raised: what still travels on the dead connection can then no longer apply.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

from dispatcher.core.ports import Deposed, Owner, StoreUnavailable
from dispatcher.store import resp
from dispatcher.store.keys import Keys
from dispatcher.store.transport import ConnectionLost, Driver, Transport

INTAKE = "intake"
"""The line of whoever holds the intake's lease."""
PAUSE_FIRST_S = 0.02
PAUSE_MAX_S = 1.0


class Script:
    """A Lua script beside this module."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = resources.files(__package__).joinpath(f"{name}.lua").read_bytes()
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()

    def call(self, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
        """EVALSHA."""
        return resp.command(b"EVALSHA", self.digest, b"%d" % len(keys), *keys, *arguments)

    def call_text(self, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
        """EVAL, which no flushed script cache can refuse."""
        return resp.command(b"EVAL", self.text, b"%d" % len(keys), *keys, *arguments)


SCRIPTS = {
    name: Script(name)
    for name in (
        "reserve",
        "giveback",
        "hold",
        "stage",
        "publish",
        "pop",
        "commit",
        "guard",
        "due",
        "lease",
        "renew",
        "mine",
        "parts",
        "inbound",
        "credit",
        "take",
        "untake",
        "code",
        "used",
        "optout",
        "alias",
        "notice_queue",
        "notice_settle",
        "notice_again",
        "notice_replay",
        "rekey",
        "calls",
        "wish",
    )
}
LOAD = b"".join(resp.command(b"SCRIPT", b"LOAD", s.text) for s in SCRIPTS.values())


class Ownership:
    """One taking of a lease: its token, and the fence's number now, which reconnects raise."""

    def __init__(self, name: str, token: str, fence: int) -> None:
        self.name = name
        self.token = token
        self.fence = fence


class Line:
    """One role's connection."""

    def __init__(self, role: str, driver: Driver, timeout_s: float) -> None:
        self.role = role
        self.driver = driver
        self.timeout_s = timeout_s
        self.lock = driver.lock()
        self.transport: Transport | None = None
        self.armed: tuple[Any, ...] = ()
        self.numbers = itertools.count(1)
        self.doubtful = False
        """A write of ours may still travel on a connection that died."""

    async def connected(self) -> Transport:
        """The connection, made if need be. Raises ConnectionLost."""
        if self.transport is None:
            transport = await self.driver.connect()
            try:
                for reply in await transport.exchange(LOAD, len(SCRIPTS), self.timeout_s):
                    if resp.is_error(reply):  # above all LOADING: it reads its files, and is not there yet
                        raise ConnectionLost(f"the server is not ready: {str(reply).split(' ', 1)[0]}")
            except BaseException:
                await transport.close()
                raise
            self.transport = transport
        return self.transport

    async def exchange(self, wire: bytes, replies: int, wait_s: float = 0.0) -> list[Any]:
        """One write, so many replies. Raises ConnectionLost; then, as after a cancellation, the connection is dropped."""
        transport = await self.connected()
        try:
            return await transport.exchange(wire, replies, self.timeout_s + wait_s)
        except BaseException:
            self.doubtful = True
            self.transport = None
            self.armed = ()
            await transport.close()
            raise


class Lines:
    """All lines of one store, and the three kinds of write."""

    def __init__(self, driver: Driver, keys: Keys, *, timeout_s: float) -> None:
        self.driver = driver
        self.k = keys
        self.timeout_s = timeout_s
        self.process = secrets.token_hex(8)
        self.available = True
        self.on_available: Callable[[bool], None] | None = None
        self._lines: dict[str, Line] = {}
        self._owned: dict[Owner, Ownership] = {}

    def line(self, role: str) -> Line:
        """The line of a role."""
        found = self._lines.get(role)
        if found is None:
            found = self._lines[role] = Line(role, self.driver, self.timeout_s)
        return found

    async def close(self) -> None:
        """Drops all connections."""
        for line in self._lines.values():
            if line.transport is not None:
                await line.transport.close()
                line.transport = None
                line.armed = ()

    def note(self, available: bool) -> None:
        """Tells whoever watches that the server came or went."""
        if available != self.available:
            self.available = available
            if self.on_available is not None:
                self.on_available(available)

    # -- reads and repeatable scripts
    async def ask(self, role: str, wire: bytes, replies: int, *, wait_s: float = 0.0) -> list[Any]:
        """What may be done twice: tried once more on a new connection. Raises StoreUnavailable."""
        line = self.line(role)
        async with line.lock:
            return await self._asked(line, wire, replies, wait_s)

    async def _asked(self, line: Line, wire: bytes, replies: int, wait_s: float = 0.0) -> list[Any]:
        for again in (True, False):
            try:
                found = await line.exchange(wire, replies, wait_s)
            except ConnectionLost as error:
                if not again:
                    self.note(available=False)
                    raise StoreUnavailable(str(error)) from error
                continue
            if any(resp.is_noscript(r) for r in found):
                await self._reload(line)
                continue
            self.note(available=True)
            return [resp.checked(r) for r in found]
        raise StoreUnavailable("the server forgets scripts")

    async def _reload(self, line: Line) -> None:
        try:
            await line.exchange(LOAD, len(SCRIPTS))
        except ConnectionLost as error:
            raise StoreUnavailable(str(error)) from error

    async def run(self, role: str, name: str, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        """One script that is safe to repeat."""
        return (await self.ask(role, SCRIPTS[name].call(keys, arguments), 1))[0]

    async def once(self, role: str, name: str, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
        """One script that counts. KEYS[1] is the line's marker, ARGV[1] the call's number: a repeat after a lost reply
        gets the first answer, and what still travels on a dead connection is overtaken by the next call. Raises
        StoreUnavailable: it has applied once or not at all."""
        line = self.line(role)
        async with line.lock:
            marker = f"{self.process}-{role}".encode()
            number = b"%d" % next(line.numbers)
            wire = SCRIPTS[name].call([self.k.done_ + marker, *keys], [number, *arguments])
            (answer,) = await self._asked(line, wire, 1)
        if answer is None:
            raise StoreUnavailable("a later call has overtaken this one")
        return bytes(answer)

    async def persist(self, line: Line, wire: bytes, replies: int) -> list[Any]:
        """What must be done and may be repeated, on a line whose lock is held: until it is answered."""
        pause, lost = PAUSE_FIRST_S, False
        while True:
            try:
                found = await line.exchange(wire, replies)
                if lost and any(resp.is_refusal(r) for r in found):
                    raise ConnectionLost("refused, and what became of the first try is not known yet")
            except ConnectionLost:
                lost = True
                self.note(available=False)
                await self.driver.sleep(pause)
                pause = min(2 * pause, PAUSE_MAX_S)
                continue
            if any(resp.is_noscript(r) for r in found):
                await self._reload(line)
                continue
            self.note(available=True)
            return found

    # -- fences
    def own(self, owner: Owner, token: str) -> None:
        """Remembers a lease taken here; earlier takings under the same name are over."""
        for old in [o for o in self._owned if o.name == owner.name]:
            del self._owned[old]
        self._owned[owner] = Ownership(owner.name, token, owner.fence)

    def ownership(self, owner: Owner) -> Ownership:
        """What we know of an owner; one who took its lease elsewhere has nothing but its number."""
        return self._owned.get(owner) or Ownership(owner.name, "", owner.fence)

    def _mine(self, own: Ownership, *, up: bool) -> bytes:
        arguments = [own.name.encode(), own.token.encode(), b"%d" % own.fence, b"1" if up else b"0"]
        return SCRIPTS["mine"].call([self.k.fence_ + own.name.encode(), self.k.engines], arguments)

    async def check_fence(self, line: Line, own: Ownership, *, up: bool) -> None:
        """Asks whether the fence is still ours, raising it first if told. Raises Deposed, ConnectionLost."""
        found = resp.checked((await line.exchange(self._mine(own, up=up), 1))[0])
        if not found:
            raise Deposed(f"fence of {own.name} moved past {own.fence}")
        own.fence = found

    async def _arm(self, line: Line, own: Ownership, watched: bytes) -> None:
        """WATCH, then make sure that what is watched is ours."""
        if line.doubtful:
            await self.check_fence(line, own, up=True)
            line.doubtful = False
        if line.armed == (own.name, own.fence):
            return
        wire = resp.command(b"UNWATCH") + resp.command(b"WATCH", watched) + self._mine(own, up=False)
        fence = resp.checked((await line.exchange(wire, 3))[2])
        if not fence:
            raise Deposed(f"fence of {own.name} moved past {own.fence}")
        own.fence = fence
        line.armed = (own.name, fence)

    async def _ready(self, line: Line, own: Ownership, fence: bytes, done: bytes, marker: bytes) -> bool:
        """Arms the line. With the marker of a lost try: True when that try was applied. Raises Deposed, ConnectionLost."""
        look = resp.command(b"GET", done)
        try:
            try:
                await self._arm(line, own, fence)
            except Deposed:
                if marker and (await line.exchange(look, 1))[0] == marker:
                    return True
                raise
            return bool(marker) and resp.checked((await line.exchange(look, 1))[0]) == marker
        except StoreUnavailable as error:
            if marker:  # a refusal now says nothing of the try that was lost
                raise ConnectionLost(str(error)) from error
            raise

    async def fenced(self, role: str, owner: Owner, effects: Sequence[bytes], before: Sequence[bytes] = ()) -> None:
        """One transaction under the owner's fence, tried until it has applied, once. Raises Deposed; StoreUnavailable when
        the server refused it, which leaves nothing applied."""
        line = self.line(role)
        async with line.lock:
            own = self.ownership(owner)
            name = owner.name.encode()
            fence = self.k.fence_ + name
            done = b"%b%b:%b" % (self.k.done_, name, role.encode())
            marker = f"{self.process}.{next(line.numbers)}".encode()
            tail = [resp.command(b"SET", done, marker), resp.EXEC, resp.command(b"WATCH", fence), resp.command(b"GET", fence)]
            wire = b"".join((*before, resp.MULTI, *effects, *tail))
            count = len(before) + len(effects) + 5
            pause, sent = PAUSE_FIRST_S, False
            while True:
                try:
                    if await self._ready(line, own, fence, done, marker if sent else b""):
                        self.note(available=True)
                        return
                    line.armed, sent = (), True
                    replies = await line.exchange(wire, count)
                except ConnectionLost:
                    self.note(available=False)
                    await self.driver.sleep(pause)
                    pause = min(2 * pause, PAUSE_MAX_S)
                    continue
                sent = False
                self.note(available=True)
                if replies[-1] == b"%d" % own.fence:
                    line.armed = (own.name, own.fence)
                if applied(replies, len(before), count - 3):
                    return


def applied(replies: Sequence[Any], before: int, execution: int) -> bool:
    """Whether the EXEC at index `execution` has applied; False: what it watched had moved. Raises as `resp.checked`."""
    for reply in replies[:before]:
        resp.checked(reply)
    for reply in replies[before:execution]:
        resp.checked(reply)
    results = resp.checked(replies[execution])
    if results is None:
        return False
    for result in results:
        resp.checked(result)
    return True
