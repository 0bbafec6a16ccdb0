"""The closed tree of SMPP errors, split by whose fault it is.

This module refuses to know what anyone does about an error: a session decides whether to answer, to close or to go on.

| Error | Whose fault | State it leaves behind |
|---|---|---|
| LocalProtocolError | ours: an argument or a call that SMPP forbids | nothing was encoded, nothing changed |
| BadPdu | theirs: one PDU cannot be read | framing is intact, the next PDU can be read |
| FramingLost | theirs: a command_length nobody can believe | no later byte can be trusted, the link must close |
"""

from __future__ import annotations

from collections.abc import Sequence


class SmppError(Exception):
    """Base of everything this package raises on purpose."""


class LocalProtocolError(SmppError):
    """We asked for something SMPP does not allow; nothing was encoded and no state changed."""


class RemoteProtocolError(SmppError):
    """The peer sent something SMPP does not allow."""


class BadPdu(RemoteProtocolError):
    """One PDU that cannot be read, with the field that broke it. The link may go on.

    `command_id` and `sequence` are those of the bad PDU (0 when not even the header is whole), `field` the
    specification's name of the field, `why` a short English reason without message content, `status` the ESME_
    status with which the PDU should be answered if it is a request.
    """

    def __init__(self, command_id: int, sequence: int, field: str, why: str, status: int) -> None:
        super().__init__(f"command_id 0x{command_id:08x} sequence {sequence}: {field}: {why}")
        self.command_id = command_id
        self.sequence = sequence
        self.field = field
        self.why = why
        self.status = status


class FramingLost(RemoteProtocolError):
    """A command_length below 16 or above the limit: where the next PDU begins is unknown, so the link must close.

    `why` says what was read. `pdus` are the whole PDUs that the same bytes held before the break: they are good
    and must still be handled, else answers that did arrive would count as lost.
    """

    def __init__(self, why: str, pdus: Sequence[bytes] = ()) -> None:
        super().__init__(why)
        self.why = why
        self.pdus = list(pdus)
