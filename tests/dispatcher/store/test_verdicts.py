"""What the sends of a batch get, as far as it follows from the batch and the store's answers."""

from __future__ import annotations

from dispatcher.core.front import Take, Taken
from dispatcher.core.ports import Admission, Verdict
from dispatcher.store.verdicts import drop_refused, known_verdict, limited, takes_of, to_give_back, twins, twins_verdicts
from tests.conformance.world import PRICE, admission

USE = Take("s", ((60, 1),), "t", "velocity")


def test_twins_get_what_their_firsts_get() -> None:
    """A duplicate of an accepted one, a conflict when they differ, and the refusal of a refused one."""
    batch = [
        admission(key=k, digest=d) for k, d in (("a", b"1"), ("", b""), ("a", b"1"), ("a", b"2"), ("b", b"1"), ("b", b"2"))
    ]
    pairs = twins(batch)
    assert pairs == {2: 0, 3: 0, 5: 4}
    stop = Verdict("opted_out", "")
    found = twins_verdicts(batch, {4: stop}, pairs)
    assert found == {2: Verdict("duplicate", batch[0].id), 3: Verdict("conflict", batch[0].id), 5: stop}


def test_only_what_did_not_get_through_is_given_back() -> None:
    """Not one that found itself under its own key, as a repeat after a crash does."""
    batch: list[Admission] = [admission() for _ in range(5)]
    no = {
        1: Verdict("duplicate", batch[1].id),
        2: Verdict("duplicate", batch[0].id),
        3: Verdict("poor", ""),
    }
    assert limited(USE, Taken(granted=False, retry_after_ms=5, span_s=60)) == Verdict("limited", "", 0, "velocity", 5)
    takes = {i: (USE._replace(token=str(i)),) for i in range(5)}
    assert [t.token for t in to_give_back(batch, takes, no)] == ["2", "3"]
    assert takes_of(batch, range(5)) == {}


def test_who_comes_first_when_several_things_are_wrong() -> None:
    """Known before opted out, opted out before unknown and poor; the stopped spend nothing of the others' money."""
    batch = [admission(key="k", digest=b"d"), admission("none"), admission("none"), admission(), admission(), admission()]
    verdicts: dict[int, Verdict] = {}
    earlier = batch[5].id.encode() + b"d"
    rest = drop_refused(batch, range(6), {"acme": (PRICE, 0), "none": None}, {b"acme:k": earlier}, {0, 1, 3}, verdicts)
    assert rest == [4]
    assert {i: v.verdict for i, v in verdicts.items()} == {
        0: "duplicate",
        1: "opted_out",
        2: "unknown",
        3: "opted_out",
        5: "poor",
    }
    assert known_verdict(b"p1", b"d") == Verdict("pending", "")
    assert known_verdict(earlier, b"x").verdict == "conflict"
