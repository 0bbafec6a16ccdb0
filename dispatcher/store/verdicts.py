"""What the sends of one batch get, as far as it follows from the batch and from what a store answered. Knows no store."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from dispatcher.core.front import Take, Taken
from dispatcher.core.ports import Admission, Verdict


def twins(batch: Sequence[Admission]) -> dict[int, int]:
    """Items whose key an earlier item of the same batch carries: index -> that item's index."""
    first: dict[tuple[str, str], int] = {}
    found: dict[int, int] = {}
    for i, item in enumerate(batch):
        if item.body.key:
            at = first.setdefault((item.body.account, item.body.key), i)
            if at != i:
                found[i] = at
    return found


def twins_verdicts(batch: Sequence[Admission], no: Mapping[int, Verdict], pairs: Mapping[int, int]) -> dict[int, Verdict]:
    """What twins get when all that were not refused so far are accepted: what their firsts got, or a duplicate."""
    found: dict[int, Verdict] = {}
    for i, first in pairs.items():
        verdict = no.get(first) or Verdict("duplicate", batch[first].id)
        same = batch[first].digest == batch[i].digest or verdict.verdict not in {"duplicate", "conflict"}
        found[i] = verdict if same else Verdict("conflict", verdict.id)
    return found


def known_verdict(known: bytes, digest: bytes) -> Verdict:
    """What stands under an idempotency key: pending, or the earlier message."""
    if known.startswith(b"p"):
        return Verdict("pending", "")
    return Verdict("duplicate" if known[26:] == digest else "conflict", str(known[:26], "ascii"))


def key_field(item: Admission) -> bytes:
    """Under what its key stands in the idempotency hashes."""
    return f"{item.body.account}:{item.body.key}".encode()


def drop_refused(
    batch: Sequence[Admission],
    todo: Sequence[int],
    money: Mapping[str, tuple[int, int] | None],
    known: Mapping[bytes, bytes],
    stopped: Container[int],
    verdicts: dict[int, Verdict],
) -> list[int]:
    """Gives a verdict to the known, to the opted out and to those beyond an account's longest affordable prefix (`money`:
    balance and floor); returns the rest."""
    spent: dict[str, int] = {}
    poor: set[str] = set()
    rest: list[int] = []
    for i in todo:
        item = batch[i]
        account = item.body.account
        earlier = known.get(key_field(item)) if known and item.body.key else None
        left = money[account]
        if earlier is not None:
            verdicts[i] = known_verdict(earlier, item.digest)
        elif i in stopped:
            verdicts[i] = Verdict("opted_out", "")
        elif left is None:
            verdicts[i] = Verdict("unknown", "")
        elif account in poor or left[0] - spent.get(account, 0) - item.price < left[1]:
            poor.add(account)
            verdicts[i] = Verdict("poor", "")
        else:
            spent[account] = spent.get(account, 0) + item.price
            rest.append(i)
    return rest


def takes_of(batch: Sequence[Admission], todo: Sequence[int]) -> dict[int, tuple[Take, ...]]:
    """The takes of those that have any, by index."""
    return {i: extras.takes for i in todo if (extras := batch[i].extras) is not None and extras.takes}


def limited(take: Take, taken: Taken) -> Verdict:
    """For a send whose take was refused."""
    return Verdict("limited", "", reason=take.reason, retry_after_ms=taken.retry_after_ms)


def to_give_back(batch: Sequence[Admission], takes: Mapping[int, tuple[Take, ...]], no: Mapping[int, Verdict]) -> list[Take]:
    """What was taken (`takes`, by index) for sends that ended otherwise. One that found itself under its key got through."""
    return [take for i, some in takes.items() if i in no and no[i].id != batch[i].id for take in some]
