"""The durable copy as the application's server pulls it: pages of events, long poll, consumer groups."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from im_service.calls import Args, Caller, method
from im_service.context import ServiceContext
from im_service.errors import Code, ImError
from im_service.models import encode
from im_service.outbox.kinds.wanted import wanted_kinds
from im_service.outbox.ports import (
    ConsumerGroup,
    Cursor,
    CursorForeign,
    CursorGone,
    CursorInvalid,
    Event,
    EventFilter,
    EventLog,
    GroupTaken,
)
from im_service.pages import fit

MAX_WAIT_S = 8
"""Of one call: it is passed on within ten seconds or not at all."""
CursorText = Annotated[str, Meta(max_length=64)]
GroupName = Annotated[str, Meta(min_length=1, max_length=64)]
EMPTY_CURSOR = ""


class EventsArgs(Args):
    """`after`: a cursor, or `group`: from that of the group; neither: before all that is kept. `kinds`:
    whole kinds or families like `message.*`, several of them or separated by commas. `wait_s`: so long an
    empty page waits for the next event."""

    after: CursorText = EMPTY_CURSOR
    group: Annotated[str, Meta(max_length=64)] = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    kinds: Annotated[list[Annotated[str, Meta(max_length=1000)]], Meta(max_length=50)] = field(
        default_factory=list
    )
    envs: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=50)] = field(
        default_factory=list
    )
    wait_s: Annotated[int, Meta(ge=0, le=MAX_WAIT_S)] = 0


class PlaceArgs(Args):
    """`time_ms`: before the first event of this time or later; with `at` = `time` alone, and needed there."""

    at: Literal["first", "head", "time"] = "head"
    time_ms: Annotated[int, Meta(ge=0, lt=1 << 53)] | None = None


class GroupsArgs(Args):
    after: str = ""


class GroupArgs(Args):
    group: GroupName


class CommitArgs(Args):
    """`revision`: the one that was seen last, 0 = there was none; left out: whoever comes last wins."""

    group: GroupName
    cursor: Annotated[str, Meta(min_length=1, max_length=64)]
    revision: Annotated[int, Meta(ge=0, lt=1 << 53)] | None = None


class EventLine(Struct):
    """`cursor`: the place behind this event."""

    event_id: str
    kind: str
    time_ms: int
    subject: str
    env: str | None
    data: dict[str, Any]
    cursor: str


class EventLines(Struct):
    """`next`: where to go on, also behind what the filter left out. `more`: something lies there already."""

    events: list[EventLine]
    next: str
    more: bool


class CursorView(Struct):
    cursor: str


class ConsumerLine(Struct):
    """How far a group is, and behind: events (about) and the age of the oldest of them."""

    group: str
    cursor: str
    revision: int
    committed_ms: int
    lag_events: int
    lag_seconds: float


class ConsumerList(Struct):
    groups: list[ConsumerLine]
    more: bool


class Dropped(Struct):
    changed: bool


def _line(event: Event) -> EventLine:
    return EventLine(
        event.event_id, event.kind, event.time_ms, event.subject, event.env, dict(event.data), event.cursor
    )


def _gone(error: CursorGone) -> ImError:
    return ImError(Code.CONFLICT, error.reason, {"go_on": error.go_on})


class EventCalls:
    """Server methods."""

    def __init__(self, context: ServiceContext, log: EventLog) -> None:
        self._log = log
        self._reply_bytes = context.settings.reply_bytes

    @method("events", Code.CONFLICT, Code.INVALID, Code.NOT_FOUND, result=EventLines, server_only=True)
    async def events(self, caller: Caller, args: EventsArgs) -> EventLines:
        """Events of the durable copy after a cursor, oldest first (docs/EVENTS.md). 409 with `go_on` where
        events behind the cursor are gone: that cursor gives what is left."""
        if args.after and args.group:
            raise ImError(Code.INVALID, "after or group, not both: a group goes on from its own cursor")
        try:
            kinds = wanted_kinds(args.kinds)
        except ValueError as error:
            raise ImError(Code.INVALID, f"kinds: {error}") from None
        wanted = EventFilter(kinds, tuple(env or None for env in args.envs))
        after = args.after or await self._start(args.group)
        try:
            page = await self._log.read(after, args.limit, wanted)
            if not page.events and not page.more and args.wait_s:
                await self._log.wait(page.next, args.wait_s)
                page = await self._log.read(page.next, args.limit, wanted)
        except CursorGone as error:
            raise _gone(error) from None
        except CursorInvalid as error:
            raise ImError(Code.INVALID, str(error)) from None
        lines, cut = fit(map(_line, page.events), self._reply_bytes)
        return EventLines(lines, lines[-1].cursor if cut else page.next, cut or page.more)

    async def _start(self, group: str) -> Cursor:
        if not group:
            return await self._log.first()
        return (await self._group(group)).cursor

    async def _group(self, name: str) -> ConsumerGroup:
        found = await self._log.group(name)
        if found is None:
            raise ImError(Code.NOT_FOUND, "nothing was committed under this name")
        return found

    @method("events.cursor", Code.INVALID, result=CursorView, server_only=True)
    async def place(self, caller: Caller, args: PlaceArgs) -> CursorView:
        """A cursor behind the last event, before the first one that is kept, or before those of a time."""
        if (args.at == "time") != (args.time_ms is not None):
            raise ImError(Code.INVALID, "time_ms goes with at=time, and is needed there")
        if args.time_ms is not None:
            return CursorView(await self._log.at_time(args.time_ms))
        return CursorView(await (self._log.first() if args.at == "first" else self._log.head()))

    @method("events.groups", result=ConsumerList, server_only=True)
    async def groups(self, caller: Caller, args: GroupsArgs) -> ConsumerList:
        """Consumer groups in order of name, and how far each is behind."""
        found: list[ConsumerLine] = []
        room = self._reply_bytes
        for group in await self._log.groups():
            if group.name <= args.after:
                continue
            view = await self._view(group)
            room -= len(encode(view))
            if room < 0:
                return ConsumerList(found, True)
            found.append(view)
        return ConsumerList(found, False)

    @method("events.group", Code.NOT_FOUND, result=ConsumerLine, server_only=True)
    async def group(self, caller: Caller, args: GroupArgs) -> ConsumerLine:
        """How far a consumer group is."""
        return await self._view(await self._group(args.group))

    @method("events.commit", Code.CONFLICT, Code.INVALID, result=ConsumerLine, server_only=True)
    async def commit(self, caller: Caller, args: CommitArgs) -> ConsumerLine:
        """Keep a cursor under the name of a consumer group, which is made if need be; an earlier one is a
        replay. 409 where the revision is another one by now, or there are too many groups; with `go_on` where
        the store has not given this cursor, or not in its present life."""
        if not args.group.strip("."):
            raise ImError(Code.INVALID, "group: a name of dots alone is no part of a path")
        try:
            await self._known(args.cursor)
            return await self._view(await self._log.commit(args.group, args.cursor, args.revision))
        except CursorInvalid as error:
            raise ImError(Code.INVALID, str(error)) from None
        except GroupTaken as error:
            raise ImError(Code.CONFLICT, str(error)) from None

    async def _known(self, cursor: Cursor) -> None:
        """What has expired behind it is said to whoever reads on."""
        try:
            await self._log.read(cursor, 1)
        except CursorForeign as error:
            raise _gone(error) from None
        except CursorGone:
            return

    @method("events.drop", result=Dropped, server_only=True)
    async def drop(self, caller: Caller, args: GroupArgs) -> Dropped:
        """Forget a consumer group."""
        return Dropped(await self._log.drop(args.group))

    async def _view(self, group: ConsumerGroup) -> ConsumerLine:
        lag = await self._log.lag(group.cursor)
        return ConsumerLine(
            group.name, group.cursor, group.revision, group.committed_ms, lag.events, lag.seconds
        )
