"""What every table of the configuration is made of: strictness, and the few kinds of values that come again and again."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="1-32 of a-z 0-9 _ -")]
Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]
SECONDS_MAX = 315_360_000
"""Ten years: no time is longer, so now and any of them, in ms, stay numbers that every clock and the store can hold."""
Seconds = Annotated[float, Meta(gt=0, le=SECONDS_MAX)]
WholeSeconds = Annotated[int, Meta(ge=1, le=SECONDS_MAX)]
Rate = Annotated[float, Meta(gt=0, le=100_000)]
Auto = Literal["auto"]


class Table(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """Base of every table: unknown keys are refused by name."""
