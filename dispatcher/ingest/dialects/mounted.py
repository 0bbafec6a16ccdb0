"""All dialects, by name, and the frame around those that the configuration switches on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dispatcher.core.door_settings import Http
from dispatcher.ingest.dialects.chinqit import Chinqit
from dispatcher.ingest.dialects.chinqit_bulk import ChinqitBulk
from dispatcher.ingest.dialects.chinqit_document import bulk_document, rest_document
from dispatcher.ingest.dialects.described import joined
from dispatcher.ingest.dialects.desk import Desk
from dispatcher.ingest.dialects.frame import Dialect, Frame
from dispatcher.ingest.dialects.laravel import Laravel
from dispatcher.ingest.dialects.laravel_pages import document as laravel_document
from dispatcher.ingest.dialects.otpiq import Otpiq
from dispatcher.ingest.dialects.otpiq_document import otpiq_document
from dispatcher.ingest.dialects.smskit import SmsKit
from dispatcher.ingest.dialects.smskit_document import smskit_document

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


DOCUMENTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "chinqit": rest_document,
    "chinqit_bulk": bulk_document,
    "laravel": laravel_document,
    "smskit": smskit_document,
    "otpiq": otpiq_document,
}
"""Every dialect's OpenAPI document."""


def documents(http: Http) -> list[dict[str, Any]]:
    """The documents of those that are switched on, as parts of one: paths, schemas, schemes."""
    mounts = {str(name): prefix for name, prefix in http.mount.items()}
    return [joined(name, mounts.get(name, ""), made()) for name, made in DOCUMENTS.items() if name in http.dialects]
