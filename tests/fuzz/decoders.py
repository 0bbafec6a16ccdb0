"""All decoders that are fuzzed, by name.

A row names its check and its seeds by module, because atheris instruments what is imported after it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple


class Decoder(NamedTuple):
    """`module` has a function `name`, the check, and another one, `name`_seeds. `longest`: octets of an input; `packages`:
    those whose branches guide the fuzz."""

    name: str
    module: str
    longest: int
    packages: tuple[str, ...] = ("smpp",)

    def load(self) -> tuple[Callable[[bytes], None], list[bytes]]:
        """The check and the seeds; imports the decoder."""
        module = import_module(f"tests.fuzz.{self.module}")
        seeds: list[bytes] = getattr(module, f"{self.name}_seeds")()
        return getattr(module, self.name), [seed[: self.longest] for seed in seeds]


_CORE = ("smpp", "dispatcher")
DECODERS = {
    each.name: each
    for each in (
        Decoder("framing", "wire", 200),
        Decoder("messages", "wire", 340),
        Decoder("data_sm", "wire", 300),
        Decoder("answers", "wire", 160),
        Decoder("binds", "wire", 160),
        Decoder("table", "wire", 400),
        Decoder("session", "wire", 240),
        Decoder("receipts", "words", 260),
        Decoder("alphabets", "words", 200),
        Decoder("national", "words", 200),
        Decoder("parts", "words", 400),
        Decoder("ids", "desk", 96, _CORE),
        Decoder("handsets", "desk", 200, _CORE),
    )
}
