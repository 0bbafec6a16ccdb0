"""All dialects, by name, and the frame around those that the configuration switches on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dispatcher.ingest.dialects.chinqit import Chinqit
from dispatcher.ingest.dialects.chinqit_bulk import ChinqitBulk
from dispatcher.ingest.dialects.desk import Desk
from dispatcher.ingest.dialects.frame import Dialect, Frame
from dispatcher.ingest.dialects.laravel import Laravel
from dispatcher.ingest.dialects.otpiq import Otpiq
from dispatcher.ingest.dialects.smskit import SmsKit

MAKERS: dict[str, Callable[[Desk], Dialect]] = {
    "chinqit": Chinqit,
    "chinqit_bulk": ChinqitBulk,
    "laravel": Laravel,
    "smskit": SmsKit,
    "otpiq": Otpiq,
}
"""Every dialect by its name in [http] dialects."""


def frame(desk: Desk) -> Frame:
    """The frame around the dialects that [http] dialects switches on. Raises ValueError when two want one path."""
    http = desk.door.settings.http
    wanted: Sequence[str] = http.dialects
    mounts = {str(name): prefix for name, prefix in http.mount.items()}
    dialects = [make(desk) for name, make in MAKERS.items() if name in wanted]
    return Frame(desk.door, desk.remember, dialects, mounts)
