"""SMSKit: one path, whose action is the name of a query key (dialects 5).

This module refuses to know how a request is read (smskit_rules), what is said (smskit_words) and what admission decides.
Theory of the ids: SMSKit shows decimal numbers. Every sendsms draws one for its group and a block of them for its recipients;
the group's is the ticket's alias, the first recipient's stands in the ticket's note. The ticket's numbers are those of the
group's members and, behind them, the entries that were refused. Everything that is asked later follows from these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

from dispatcher.core.front import Ticket
from dispatcher.core.inbox import InboxMessage
from dispatcher.ingest.answers import Answer
from dispatcher.ingest.dialects import smskit_rules as rules
from dispatcher.ingest.dialects import smskit_words as words
from dispatcher.ingest.dialects.amounts import plain
from dispatcher.ingest.dialects.desk import Desk, Order
from dispatcher.ingest.dialects.frame import NotAnObject, Request, Route
from dispatcher.ingest.dialects.shown import IN_THREE_WORDS, ShownState
from dispatcher.ingest.door import Caller
from dispatcher.ingest.problems import Problem

NAME: Final = "smskit"
PATH: Final = "/smsAPI"
INBOX_MESSAGES_MAX: Final = 1000
SLICE: Final = 1000
"""Recipients read or written between two turns of the loop: about 1 ms."""
_GROUPS: Final = "smskit:groups"
_RECIPIENTS: Final = "smskit:recipients"

Parameters = Mapping[str, str]
Handler = Callable[[Request, Caller, Parameters], Awaitable[Answer]]


class Listed(NamedTuple):
    """The different entries of a list, in their order: digits of those with a number's shape, and the others as shown."""

    numbers: list[str]
    bad: list[str]


class SmsKit:
    """The dialect."""

    name = NAME

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._routes = frozenset(route.name for route in desk.door.settings.route)
        self._actions: Mapping[str, Handler] = dict.fromkeys(rules.CHANNEL_ACTIONS, self._no_channels) | {
            "sendsms": self._send,
            "groupstatus": self._group_status,
            "getinbox": self._inbox,
            "balance": self._balance,
            "listchannel": self._no_channel_listed,
        }
        self.routes: Sequence[Route] = (Route(("GET", "POST"), PATH, self.answer, sends=True),)

    def word(self, problem: Problem, request: Request) -> Answer:
        """Any problem in this dialect's shape."""
        return words.word(problem, _action(request))

    def finish(self, answer: Answer, request: Request) -> Answer:  # noqa: ARG002 - as Dialect wants it
        """This dialect has no headers of its own."""
        return answer

    async def answer(self, request: Request) -> Answer:
        """Any action. Raises Problem."""
        action = _action(request)
        if not action:
            return words.failure("", words.INVALID_REQUEST)
        parameters = request.parameters()
        pair = (parameters.get("apikey", "").strip(), parameters.get("apitoken", "").strip())
        caller = await self._desk.credential(NAME, pair)
        try:
            return await self._actions[action](request, caller, parameters)
        except rules.Misread as error:
            return words.failure(action, error.words)

    # -- sending

    async def _send(self, request: Request, caller: Caller, parameters: Parameters) -> Answer:
        asked = rules.asked(parameters, self._desk.door.clock.now_ms(), caller.account.zone)
        listed = await _listed(asked.to)
        if not listed.numbers:
            raise rules.Misread(rules.BAD_NUMBER)
        if asked.kind in rules.OTHER_TYPES:
            raise rules.Misread(f"Message type not supported: {asked.kind}")
        order = Order(
            "",
            asked.text,
            asked.sender,
            lane="bulk" if len(listed.numbers) >= rules.CAMPAIGN_RECIPIENTS_MIN else "transactional",
            encoding="ucs2" if asked.kind == "unicode" else "auto",
            flash=asked.kind == "flash",
            not_before=asked.not_before or None,
            route=asked.route if asked.route in self._routes else None,
        )
        group, at = await self._submit(request, caller, order, listed)
        return words.success("sendsms", "queued", group_id=group, date=rules.date(at, caller.account.zone))

    async def _submit(self, request: Request, caller: Caller, order: Order, listed: Listed) -> tuple[str, int]:
        """The group's number and when it was accepted. Raises Problem."""
        numbers, bad = listed
        if len(numbers) == 1 and not bad:
            ticket = await self._ticket(caller, numbers)
            sent = await self._desk.submit(caller, order._replace(to=numbers[0]), request, ticket=ticket)
            return sent.ticket.alias, sent.at
        judged = await self._desk.judge_group(caller, await _orders(order, numbers))
        refused = dict(judged.refused)
        for why in refused.values():
            if why.reason not in words.NUMBER_WORDS or not judged.admissions:
                raise Problem(why.reason)
        if refused:
            bad = [numbers[index] for index in refused] + bad
            numbers = [number for index, number in enumerate(numbers) if index not in refused]
        ticket = await self._ticket(caller, numbers + bad)
        group = await self._desk.submit_group(caller, judged, request, ticket=ticket)
        return group.ticket.alias, group.at

    async def _ticket(self, caller: Caller, shown: Sequence[str]) -> Ticket:
        """A ticket with numbers of its own. Raises Problem."""
        within, front = self._desk.door.within, self._desk.front
        group, first = await asyncio.gather(
            within(front.draw_numbers(_GROUPS, 1)), within(front.draw_numbers(_RECIPIENTS, len(shown)))
        )
        return Ticket(door=NAME, account=caller.account.name, to=tuple(shown), alias=str(group), note={"first": first})

    # -- what became of it

    async def _group_status(self, request: Request, caller: Caller, parameters: Parameters) -> Answer:  # noqa: ARG002
        number = rules.required(parameters, "groupid", "group_id").strip()
        found = await self._states(caller, number) if number.isascii() and number.isdigit() else None
        if found is None:
            return words.failure("groupstatus", words.NO_GROUP)
        ticket, at, states = found
        first, count = ticket.note["first"], len(ticket.to)
        statuses: set[str] = set()
        parts: list[bytes] = []
        for start in range(0, count, SLICE):
            await asyncio.sleep(0)
            rows = [
                words.Row(str(first + place), to, IN_THREE_WORDS[states[place]] if place < len(states) else "failed")
                for place, to in enumerate(ticket.to[start : start + SLICE], start)
            ]
            statuses |= {row.status for row in rows}
            parts.append(words.encode(rows)[1:-1])
        head = {
            "request": "groupstatus",
            "status": "success",
            "group_id": number,
            "group_status": rules.group_status(statuses),
        }
        whole = (
            words.encode(head)[:-1],
            b',"recipients":[',
            b",".join(parts),
            b'],"date":',
            words.encode(rules.date(at, caller.account.zone)),
            b"}",
        )
        return Answer(200, b"".join(whole))

    async def _states(self, caller: Caller, number: str) -> tuple[Ticket, int, Sequence[ShownState]] | None:
        """Ticket, acceptance and the members' states of a group, or of the one message that is one; None for no such."""
        group = await self._desk.group(caller, number)
        if group is not None and group.ticket.door == NAME:
            return group.ticket, group.at, [each.state for each in group.messages]
        one = await self._desk.message(caller, number) if group is None else None
        if one is not None and one.ticket is not None and one.ticket.door == NAME:
            return one.ticket, one.at, [one.state]
        return None

    async def _inbox(self, request: Request, caller: Caller, parameters: Parameters) -> Answer:  # noqa: ARG002
        store = self._desk.door.store
        within, account = self._desk.door.within, caller.account.name
        unread = parameters.get("list", "").strip() != "all"
        found = await within(store.inbox(account, 0, INBOX_MESSAGES_MAX, unread=unread))
        while not unread and len(found) >= INBOX_MESSAGES_MAX:  # of all, the newest thousand: the oldest were shown before
            more = await within(store.inbox(account, found[-1].number, INBOX_MESSAGES_MAX))
            found = (list(found) + list(more))[-INBOX_MESSAGES_MAX:]
            if not more:
                break
        if found:
            await within(store.mark_read(account, [message.number for message in found]))
        return words.success("getinbox", "success", inbox=[_shown(message, caller.account.zone) for message in found])

    async def _balance(self, request: Request, caller: Caller, parameters: Parameters) -> Answer:  # noqa: ARG002
        money = await self._desk.balance(caller)
        return Answer(200, words.encode({"balance": plain(money.available)}))

    # -- channels that need a provider we do not have

    async def _no_channels(self, request: Request, caller: Caller, parameters: Parameters) -> Answer:  # noqa: ARG002
        return words.failure(_action(request), words.NO_CHANNELS)

    async def _no_channel_listed(self, request: Request, caller: Caller, parameters: Parameters) -> Answer:  # noqa: ARG002
        return words.success("listchannel", "success", channels=[], channel_count="0")


def _action(request: Request) -> str:
    """The action, as far as the request can be read; the body is looked at only when the query has none."""
    found = rules.action_of(request.query, ())
    if found:
        return found
    try:
        return rules.action_of(b"", [name for name, _ in request.body_pairs()])
    except NotAnObject:
        return ""


async def _listed(to: str) -> Listed:
    """The list, each number and each other entry once. Raises Misread for too long a one."""
    numbers: dict[str, None] = {}
    bad: dict[str, None] = {}
    items = to.split(",")
    for start in range(0, len(items), SLICE):
        if start:
            await asyncio.sleep(0)
        for item in map(str.strip, items[start : start + SLICE]):
            number = rules.number(item)
            if number is not None:
                numbers[number] = None
            elif item:
                bad[rules.shown(item)] = None
        if len(numbers) + len(bad) > rules.RECIPIENTS_MAX:
            raise rules.Misread(f"Too many recipients: at most {rules.RECIPIENTS_MAX}")
    return Listed(list(numbers), list(bad))


async def _orders(order: Order, numbers: Sequence[str]) -> list[Order]:
    """The same to each of them."""
    rest = order[1:]
    found: list[Order] = []
    for start in range(0, len(numbers), SLICE):
        await asyncio.sleep(0)
        found += [Order(number, *rest) for number in numbers[start : start + SLICE]]
    return found


def _shown(message: InboxMessage, zone: str) -> dict[str, str]:
    """A message from a handset; octets that are no text as hex digits."""
    row = message.row
    text = row.text if row.text is not None else (row.binary or b"").hex()
    return {
        "id": str(message.number),
        "from": row.sender.removeprefix("+"),
        "to": row.to.removeprefix("+"),
        "message": text,
        "date": rules.date(row.at, zone),
    }
