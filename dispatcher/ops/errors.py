"""What operations raise: errors that a person reads. Each says what is wrong and what to do; none carries a secret."""

from __future__ import annotations


class OpsError(Exception):
    """An expected error of configuration or operation. `remedy` is one sentence that starts with a verb."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy
