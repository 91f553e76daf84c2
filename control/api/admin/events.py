"""GET /v1/admin/events: what passes through the durable copy, without what is in it, and who is how far."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from control.api.admin.route import Ask, Given, Reply, Route
from control.api.errors import Problem
from control.keys.api_keys import VIEWER
from im_service.calls import Args
from im_service.event_calls import ConsumerList, CursorView, EventLines, EventsArgs, GroupsArgs, PlaceArgs


class TailQuery(Given):
    """`after`: a cursor; left out: behind the last event. `kinds`: whole kinds or families like `message.*`,
    separated by commas. `wait_s`: so long it is waited for the next event."""

    after: Annotated[str, Meta(max_length=64)] = ""
    kinds: Annotated[str, Meta(max_length=1000)] = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 100
    wait_s: Annotated[int, Meta(ge=0, le=8)] = 0


class EventHead(Struct):
    event_id: str
    kind: str
    time_ms: int
    subject: str
    env: str | None


class EventHeads(Struct):
    events: list[EventHead]
    next: str
    more: bool


class GroupsQuery(Given):
    """`after`: the last name of the page before."""

    after: Annotated[str, Meta(max_length=64)] = ""


async def _call(ask: Ask[TailQuery] | Ask[GroupsQuery], method: str, args: Args) -> object:
    if ask.services.im is None:
        raise Problem(503, "unavailable", "no im process is there")
    return await ask.services.im.call(method, args)


async def tail(ask: Ask[TailQuery]) -> Reply:
    given = ask.given
    after = given.after
    if not after:
        place = await _call(ask, "events.cursor", PlaceArgs())
        after = msgspec.convert(place, CursorView, from_attributes=True).cursor
    kinds = [given.kinds] if given.kinds else []
    wanted = EventsArgs(after=after, limit=given.limit, kinds=kinds, wait_s=given.wait_s)
    page = msgspec.convert(await _call(ask, "events", wanted), EventLines, from_attributes=True)
    heads = [
        EventHead(event.event_id, event.kind, event.time_ms, event.subject, event.env)
        for event in page.events
    ]
    return Reply(EventHeads(heads, page.next, page.more))


async def groups(ask: Ask[GroupsQuery]) -> Reply:
    found = await _call(ask, "events.groups", GroupsArgs(after=ask.given.after))
    return Reply(msgspec.convert(found, ConsumerList, from_attributes=True))


TAIL_DOC = (
    "Events of the durable copy after a cursor, without their data; `next` goes with the next call. 410 with"
    " `go_on` where events behind the cursor are gone"
)
GROUPS_DOC = "Consumer groups of the durable copy, and how far each is behind"
ROUTES = (
    Route("GET", "/events", "events.tail", VIEWER, "events", TAIL_DOC, TailQuery, EventHeads, tail),
    Route(
        "GET",
        "/events/groups",
        "events.groups",
        VIEWER,
        "events",
        GROUPS_DOC,
        GroupsQuery,
        ConsumerList,
        groups,
    ),
)
