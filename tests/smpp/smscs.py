"""A server's handler for tests: lets "shop" in, answers every submit with its sequence as id, or holds the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from smpp import constants as c
from smpp.codec import SubmitSm
from smpp.link import Ended
from smpp.server import Peer
from smpp.session import Login


class Echo:
    """See above. `held` are (peer, submit) without an answer."""

    def __init__(self) -> None:
        self.hold = False
        self.held: list[tuple[Peer, SubmitSm]] = []
        self.endings: list[Ended[object]] = []
        self.receipts: list[tuple[object, int, str]] = []
        self.most_owed = 0
        self.changed = trio.Event()

    def judge(self, peer: Peer, login: Login) -> int:
        return c.ESME_ROK if login.system_id == "shop" else c.ESME_RINVSYSID

    def bound(self, peer: Peer) -> None:
        self._change()

    def submits(self, peer: Peer, submits: Sequence[SubmitSm]) -> None:
        self.most_owed = max(self.most_owed, peer.link.session.owed)
        self.held += [(peer, each) for each in submits]
        if not self.hold:
            self.release()
        self._change()

    def release(self) -> None:
        held, self.held = self.held, []
        for peer, each in held:
            peer.answer([(each.sequence, 0, str(each.sequence))])

    async def release_after(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self.release()

    def delivered(self, peer: Peer, answers: Sequence[tuple[object, int, str]]) -> None:
        self.receipts += answers
        self._change()

    def ended(self, peer: Peer, ended: Ended[object]) -> None:
        self.endings.append(ended)
        self._change()

    def _change(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self.changed.wait()


async def eventually(holds: Callable[[], bool]) -> None:
    """Waits for something that real sockets bring about and nobody announces."""
    with trio.fail_after(5):
        while not holds():  # noqa: ASYNC110  # an Event would have to be set by the code under test
            await trio.sleep(0.001)
