"""I15 at the HTTP doors: what is answered is let go at once, however it was answered. A body may be 16 MB."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from dispatcher.core.ports import StoreUnavailable
from dispatcher.ingest.keys import issue_for
from dispatcher.store.memory import MemoryStore
from tests.cycles import none_of_ours
from tests.dispatcher.ingest.world import NUMBER, TEXT, world

GOOD = {"to": NUMBER, "text": TEXT}
BAD = {"to": "?", "text": TEXT}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/messages", GOOD, 202),
        ("/v1/messages", BAD, 422),
        ("/v1/messages", [1], 422),
        ("/v1/messages", {**GOOD, "account": "other"}, 403),
        ("/v1/messages/batch", [GOOD, BAD], 202),
        ("/v1/messages/batch", [BAD, BAD], 422),
        ("/v1/messages/preview", GOOD, 200),
        ("/v1/messages/preview", BAD, 422),
        ("/messages/send", {"phoneNumber": NUMBER, "message": TEXT}, 200),
        ("/messages/send", {"phoneNumber": "?", "message": TEXT}, 400),
        ("/messages/send", [1], 400),
        ("/messages/send", {"phoneNumber": NUMBER, "message": TEXT}, 401),
    ],
)
def test_no_answer_leaves_its_request_behind(path: str, body: Any, status: int) -> None:
    """Accepted, refused by shape, by admission, by a batch, in another API's words."""

    async def scenario() -> None:
        async with world() as w:
            text, _, record = issue_for(w.app.door.credentials.keyed, "shop", "chinqit", 0)
            await w.store.put_key(record)
            headers = {"x-api-key": text} if path == "/messages/send" and status != 401 else {}
            with none_of_ours():
                answer = await w.http.post(path, json=body, headers=headers)
            assert answer.status_code == status

    asyncio.run(scenario())


def test_nor_does_one_that_came_while_promises_are_not_kept() -> None:
    """503, at every door that sends."""

    def judge(_: Mapping[str, str]) -> Sequence[str]:
        return ["it does not sync"]

    async def scenario() -> None:
        async with world(judge=judge) as w:
            for path, body in (("/v1/messages", GOOD), ("/v1/messages/batch", [GOOD])):
                with none_of_ours():
                    answer = await w.http.post(path, json=body)
                assert answer.status_code == 503

    asyncio.run(scenario())


def test_nor_does_one_that_the_store_does_not_take() -> None:
    """503, several in one step of the store, which fails for all of them."""

    async def hook(when: str, name: str) -> None:
        if (when, name) == ("before", "admit"):
            raise StoreUnavailable("away")

    async def scenario() -> None:
        async with world(MemoryStore(hook=hook)) as w:
            with none_of_ours():
                answers = await asyncio.gather(*[w.http.post("/v1/messages", json=GOOD) for _ in range(5)])
            assert [answer.status_code for answer in answers] == [503] * 5

    asyncio.run(scenario())
