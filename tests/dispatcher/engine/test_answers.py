"""Answers to deliver_sm in company: few leave at once, many wait for what their link writes next."""

from __future__ import annotations

from typing import Any

from dispatcher.engine.answers import MANY, Company


class Line:
    """A Link as far as answers know it: what was said to it, in its order."""

    def __init__(self) -> None:
        self.ended: object = None
        self.said: list[Any] = []

    def answer(self, sequences: list[int], status: int = 0, *, hurry: bool = True) -> None:
        self.said.append((list(sequences), status, hurry))

    def hasten(self) -> None:
        self.said.append("hasten")


def answer(company: Company, line: Line, count: int) -> list[int]:
    """So many answers at once."""
    sequences = list(range(1, count + 1))
    company.answer(line, sequences)  # type: ignore[arg-type]
    return sequences


def test_few_leave_at_once() -> None:
    """One less than MANY do not wait, and nothing waits then."""
    company, line = Company(), Line()
    sequences = answer(company, line, MANY - 1)
    assert line.said == [(sequences, 0, True)]
    assert not company
    company.over()
    assert len(line.said) == 1


def test_many_wait_until_it_is_over() -> None:
    """They are given to the link without hurry; each link that has some is hastened, once."""
    company, line, other = Company(), Line(), Line()
    sequences = answer(company, line, MANY)
    answer(company, line, MANY + 1)
    answer(company, other, MANY)
    few = answer(company, other, 1)
    assert company
    assert line.said == [(sequences, 0, False), ([*sequences, MANY + 1], 0, False)]
    assert other.said == [(sequences, 0, False), (few, 0, True)]
    company.over()
    assert not company
    assert (line.said[2:], other.said[2:]) == (["hasten"], ["hasten"])
    company.over()
    assert (len(line.said), len(other.said)) == (3, 3)


def test_a_link_that_has_ended_is_left_alone() -> None:
    """However many: they come again over another link."""
    company, line = Company(), Line()
    line.ended = object()
    for count in (1, MANY - 1, MANY, 3 * MANY):
        answer(company, line, count)
    assert line.said == []
    assert not company


def test_nothing_to_answer() -> None:
    """Says nothing."""
    company, line = Company(), Line()
    answer(company, line, 0)
    assert (line.said, bool(company)) == ([], False)
