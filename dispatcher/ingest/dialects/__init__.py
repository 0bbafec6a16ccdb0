"""The five public APIs: one module each, on one frame (frame) and one desk (desk); mounted.py knows them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dispatcher.ingest.dialects.desk import Desk
    from dispatcher.ingest.dialects.frame import Frame


def frame(desk: Desk) -> Frame:
    """See mounted.frame."""
    from dispatcher.ingest.dialects import mounted

    return mounted.frame(desk)
