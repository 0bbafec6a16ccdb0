"""The automaton of an SMPP session as a table: what a command of the peer makes us do, by role and state.

Everything about states is in this file, and nothing else: what each word of the table means in bytes is session.py's.

A session only ever goes forward:

    OPEN ── bind ──> BINDING ── accepted ──> BOUND ── wish to end ──> DRAINING ── window empty ──> UNBINDING ──> CLOSED
      └──────────────────┴──────── refused, timed out, framing lost, peer unbinds, dead, ... ───────────────────────┘

DRAINING takes no new requests of ours but waits for answers: each one that still comes is one message less in doubt.
In CLOSED answers are still taken (they may stand in the same read as the peer's unbind); anything else is not. A
command that is not in the table is answered with generic_nack.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Final

from smpp import constants as c
from smpp.events import Mode


class Role(Enum):
    """Which side of the mirror we are on."""

    ESME = "esme"
    SMSC = "smsc"


class State(Enum):
    """Where a session stands; only ever forward."""

    OPEN = 0
    BINDING = 1
    BOUND = 2
    DRAINING = 3
    UNBINDING = 4
    CLOSED = 5


class Do(Enum):
    """What a command of the peer makes us do."""

    ANSWERED = "settles a request of ours"
    TAKE = "a request for our owner"
    TOLD = "the answer to a question of ours"
    ASKED = "a question for our owner"
    BIND = "a login for our owner to judge"
    IS_BOUND = "the answer to our bind"
    ECHO = "answered at once"
    ALIVE = "the answer to our enquire_link"
    UNBIND = "answered, then closed"
    IS_UNBOUND = "the answer to our unbind, closed"
    NACK = "the peer did not understand something of ours"
    REFUSE = "a request at the wrong time, answered with an error status"
    STRAY = "an answer to nothing, counted"
    IGNORE = "nothing"
    UNKNOWN = "not in the table, answered with generic_nack"


MODES: Final[dict[int, Mode]] = {c.BIND_RECEIVER: "rx", c.BIND_TRANSMITTER: "tx", c.BIND_TRANSCEIVER: "trx"}
BINDS: Final = tuple(MODES)

# fmt: off
_ANY_ROLE: Final[dict[int, tuple[Do, ...]]] = {
    #                       OPEN          BINDING       BOUND         DRAINING      UNBINDING      CLOSED
    c.ENQUIRE_LINK:        (Do.ECHO,      Do.ECHO,      Do.ECHO,      Do.ECHO,      Do.ECHO,       Do.IGNORE),
    c.ENQUIRE_LINK_RESP:   (Do.STRAY,     Do.STRAY,     Do.ALIVE,     Do.ALIVE,     Do.ALIVE,      Do.IGNORE),
    c.UNBIND:              (Do.UNBIND,    Do.UNBIND,    Do.UNBIND,    Do.UNBIND,    Do.UNBIND,     Do.IGNORE),
    c.UNBIND_RESP:         (Do.STRAY,     Do.STRAY,     Do.STRAY,     Do.STRAY,     Do.IS_UNBOUND, Do.IGNORE),
    c.GENERIC_NACK:        (Do.STRAY,     Do.NACK,      Do.NACK,      Do.NACK,      Do.NACK,       Do.NACK),
}
_ANSWER: Final =           (Do.STRAY,     Do.STRAY,     Do.ANSWERED,  Do.ANSWERED,  Do.ANSWERED,   Do.ANSWERED)
_REQUEST: Final =          (Do.REFUSE,    Do.REFUSE,    Do.TAKE,      Do.TAKE,      Do.TAKE,       Do.IGNORE)
_TOLD: Final =             (Do.STRAY,     Do.STRAY,     Do.TOLD,      Do.TOLD,      Do.TOLD,       Do.IGNORE)
_ASKED: Final =            (Do.REFUSE,    Do.REFUSE,    Do.ASKED,     Do.ASKED,     Do.ASKED,      Do.IGNORE)
_BIND: Final =             (Do.BIND,      Do.REFUSE,    Do.REFUSE,    Do.REFUSE,    Do.REFUSE,     Do.IGNORE)
_BIND_ANSWER: Final =      (Do.STRAY,     Do.IS_BOUND,  Do.STRAY,     Do.STRAY,     Do.STRAY,      Do.IGNORE)
_NOTICE: Final =           (Do.IGNORE,) * 6

PEER_SENDS: Final[dict[Role, dict[int, tuple[Do, ...]]]] = {
    Role.ESME: {
        c.SUBMIT_SM_RESP: _ANSWER,
        c.DELIVER_SM: _REQUEST,
        c.DATA_SM: _REQUEST,
        c.Command.QUERY_SM_RESP.value: _TOLD,
        c.Command.CANCEL_SM_RESP.value: _TOLD,
        **{bind | c.RESPONSE: _BIND_ANSWER for bind in BINDS},
        c.OUTBIND: _NOTICE,
        c.Command.ALERT_NOTIFICATION.value: _NOTICE,
        **_ANY_ROLE,
    },
    Role.SMSC: {
        c.DELIVER_SM_RESP: _ANSWER,
        c.SUBMIT_SM: _REQUEST,
        c.Command.QUERY_SM.value: _ASKED,
        c.Command.CANCEL_SM.value: _ASKED,
        **dict.fromkeys(BINDS, _BIND),
        **_ANY_ROLE,
    },
}
# fmt: on

# A transmitter is not sent messages, a receiver sends none. By role: the modes in which we send, and in which the peer does.
SENDING_MODES: Final = {Role.ESME: ("trx", "tx"), Role.SMSC: ("trx", "rx")}
TAKING_MODES: Final = {Role.ESME: ("trx", "rx"), Role.SMSC: ("trx", "tx")}


@cache  # a few dozen columns, shared by all sessions: making one costs as much as the rest of a session's beginning
def actions(role: Role, state: State, mode: str) -> Mapping[int, Do]:
    """The table's column for a state; `mode` is "" before a bind."""
    column = {command: row[state.value] for command, row in PEER_SENDS[role].items()}
    if mode and mode not in TAKING_MODES[role]:
        return {command: Do.REFUSE if do in (Do.TAKE, Do.ASKED) else do for command, do in column.items()}
    return column
