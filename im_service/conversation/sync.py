"""What a device reads: what changed, what it missed, history; and the watermarks it raises.

Four views of one log (docs/MESSAGES.md). Online is the live stream. A pull is the union of two: *offline*,
messages kept for a device that was known when they came and has not acknowledged them; *roaming*, the
newest messages of a conversation for a device that is new. *History* is asked for explicitly. A seq that a
view hides comes as a placeholder, so a client never meets a gap.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from frame.constants import ROOM_PREFIX, SINGLE_PREFIX, USER_PREFIX, FrameType
from im_service.accounts.known_since import known_since
from im_service.calls import Args, Caller, NoArgs, Nothing, Number, method
from im_service.context import ServiceContext
from im_service.conversation.access import Access
from im_service.errors import Code, ImError
from im_service.models import WireMessage, notice_event, stored_bytes
from im_service.outbox.kinds.people import ReceiptRead
from im_service.pages import Cursor, fit, fit_changes, number
from im_service.storage.records import (
    FILTERED,
    HISTORY,
    PERSISTENT,
    RECEIVER_NO_SENSE,
    RELEASED,
    ROAM,
    InboxRow,
    Mark,
    Page,
    StoredMessage,
    View,
    WalkPlace,
)

EVENT = int(FrameType.EVENT)
OF_A_GROUP = (Code.GROUP_NOT_FOUND, Code.NOT_GROUP_MEMBER)
"""Of a group that there is not, or that the caller was never in."""
Seq = Annotated[int, Meta(ge=0, le=1 << 62)]
Conversation = Annotated[str, Meta(min_length=3, max_length=132)]
After = Annotated[str, Meta(max_length=200)]
"""Where a page ended, as its answer said it."""


class SyncArgs(Args):
    """`after`: as the page before said, with its cursor."""

    cursor: Number
    after: After = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class PullArgs(Args):
    conversation: Conversation
    from_seq: Seq = 0
    to_seq: Seq | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 100
    reverse: bool = False


class HistoryArgs(Args):
    conversation: Conversation
    from_seq: Seq = 0
    to_seq: Seq | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 100
    reverse: bool = True


class AckArgs(Args):
    acks: Annotated[dict[Conversation, Seq], Meta(min_length=1, max_length=500)]


class ReadArgs(Args):
    conversation: Conversation
    seq: Seq


class UnreadArgs(Args):
    conversations: Annotated[list[Conversation], Meta(max_length=500)] | None = None
    after: Annotated[str, Meta(max_length=132)] = ""


class ServerTime(Struct):
    server_time_ms: int


class SyncLine(Struct, array_like=True):
    conversation: str
    last_seq: int
    read_seq: int
    min_seq: int
    acked_seq: int
    active: bool


class SyncPage(Struct):
    """`after`: goes with the next call, when it is not empty; only the cursor is kept."""

    conversations: list[SyncLine]
    cursor: int
    more: bool
    after: str = ""


class MessagePage(Struct):
    messages: list[WireMessage]
    more: bool


class HistoryPage(MessagePage):
    """`next_seq`: where the next page begins."""

    next_seq: int | UnsetType = UNSET


class ReadMark(Struct):
    seq: int


class Unread(Struct):
    """`total`: of all behind `after` that this call looked at. `conversations`: the count of each, in order
    of their beginnings. `after`: goes with the next call."""

    total: int
    conversations: dict[str, int]
    after: str
    more: bool


class Sync:
    """Reading and watermarks."""

    def __init__(self, context: ServiceContext, access: Access) -> None:
        self._store = context.store
        self._teller = context.teller
        self._clock = context.clock
        self._sessions = context.sessions
        self._downlink = context.downlink
        self._keep = context.settings.retention
        self._reply_bytes = context.settings.reply_bytes
        self._access = access

    @method("time", result=ServerTime, alone=True)
    async def time(self, caller: Caller, args: NoArgs) -> ServerTime:
        """The server's clock in milliseconds."""
        return ServerTime(self._clock.now_ms())

    @method("sync", result=SyncPage)
    async def sync(self, caller: Caller, args: SyncArgs) -> SyncPage:
        """My conversations changed since the cursor (0 = all). A change is never missed, it may come
        twice."""
        walk = _read_place(args.after)
        page = await self._store.changed(caller.user, caller.device, args.cursor, args.limit, walk)
        if page.place is not None or walk is not None:
            lines, cut = fit(map(_line, page.rows), self._reply_bytes)
            if cut:
                page = await self._store.changed(caller.user, caller.device, args.cursor, len(lines), walk)
                lines = [_line(row) for row in page.rows]
            return SyncPage(lines, page.cursor, page.more, _tell_place(page.place))
        rows, end = fit_changes(
            page.rows,
            lambda row: (row.change, row.conversation),
            _line,
            self._reply_bytes,
            Cursor(args.cursor, args.after, True),
            Cursor(page.cursor, "", page.more),
        )
        return SyncPage([_line(row) for row in rows], end.cursor, end.more, end.after)

    @method("pull", Code.FORBIDDEN, Code.INVALID, *OF_A_GROUP, result=MessagePage)
    async def pull(self, caller: Caller, args: PullArgs) -> MessagePage:
        """What this device lacks of a conversation: its offline and roaming view, placeholders for the
        rest."""
        now = self._clock.now_ms()
        known_since = await self._known_since(caller)
        keep = self._keep
        offline_from = max(known_since, _since(now, keep.offline_ms))
        view = View(((PERSISTENT, offline_from), (ROAM, _since(now, keep.roam_ms))), now, True)
        rows = await self._store.inbox(caller.user, caller.device, [args.conversation])
        if not rows:
            await self._access.participant(caller, args.conversation)
            return MessagePage([], False)
        page = await self._store.pull(
            caller.user, args.conversation, args.from_seq, args.to_seq, args.limit, view, args.reverse
        )
        shown = [self._cut(row, rows[0], known_since, offline_from) for row in page.items]
        return MessagePage(*self._fitting(shown, page.more))

    def _cut(self, row: StoredMessage, inbox: InboxRow, known_since: int, offline_from: int) -> StoredMessage:
        """Offline: known at the time, kept, not acknowledged. Roaming: the last N, for what is not
        offline."""
        if row.flags & FILTERED:
            return row
        waiting = row.seq > inbox.acked_seq
        if (waiting or row.bits & RELEASED) and row.bits & PERSISTENT and row.time_ms >= offline_from:
            return row
        roams = row.bits & ROAM and row.seq > inbox.last_seq - self._keep.roam_count
        if roams and (row.time_ms < known_since or not waiting):
            return row
        return row._replace(flags=FILTERED, payload=b"")

    @method(
        "history",
        Code.FORBIDDEN,
        Code.INVALID,
        Code.NOT_FOUND,
        *OF_A_GROUP,
        Code.NOT_IN_ROOM,
        result=HistoryPage,
        alone=True,
    )
    async def history(self, caller: Caller, args: HistoryArgs) -> HistoryPage:
        """Cloud history of a conversation, newest first unless reverse is false. The server sees every
        message."""
        now = self._clock.now_ms()
        view = View(((HISTORY, _since(now, self._keep.history_ms)),), now)
        user = caller.user or None
        if args.conversation.startswith(ROOM_PREFIX):
            await self._access.participant(caller, args.conversation, rooms=True)
            user = None
        elif user is None:
            await self._access.participant(caller, args.conversation)
        page: Page[StoredMessage] = await self._store.pull(
            user, args.conversation, args.from_seq, args.to_seq, args.limit, view, args.reverse
        )
        if user and not page.items:
            await self._reads(caller, args.conversation)
        shown = [row for row in page.items if not row.flags & FILTERED]
        if caller.user and not user:  # a room's is read with the server's eye
            shown = [row for row in shown if not row.bits & RECEIVER_NO_SENSE or row.sender == caller.user]
        reply = HistoryPage(*self._fitting(shown, page.more))
        answered = page.items if len(reply.messages) == len(shown) else shown[: len(reply.messages)]
        if answered:
            last = answered[-1].seq
            reply.next_seq = last - 1 if args.reverse else last + 1
        return reply

    async def _reads(self, caller: Caller, conversation: str) -> None:
        """Refused as by Access.participant, unless it was one of the caller's conversations once."""
        if not await self._store.inbox(caller.user, caller.device, [conversation]):
            await self._access.participant(caller, conversation)

    def _fitting(self, rows: list[StoredMessage], more: bool) -> tuple[list[Raw], bool]:
        """Messages up to the reply limit, and whether there are more."""
        messages, cut = fit((Raw(stored_bytes(row)) for row in rows), self._reply_bytes)
        return messages, more or cut

    @method("ack")
    async def ack(self, caller: Caller, args: AckArgs) -> Nothing:
        """Delivery watermarks of this device: its offline copies up to these seqs are done."""
        marks = [Mark(conversation, seq) for conversation, seq in args.acks.items()]
        await self._store.ack(caller.user, caller.device, marks)
        return {}

    @method("read", Code.FORBIDDEN, Code.INVALID, Code.NOT_FOUND, *OF_A_GROUP, result=ReadMark)
    async def read(self, caller: Caller, args: ReadArgs) -> ReadMark:
        """Read watermark of this conversation, for all my devices; in a single chat the peer learns it."""
        told = ReceiptRead(user=caller.user, conversation=args.conversation, seq=args.seq)
        with self._teller.change(args.conversation, told):
            moved = await self._store.read(caller.user, [Mark(args.conversation, args.seq)])
        for mark in moved:
            data = {"conversation": mark.conversation, "user": caller.user, "seq": mark.seq}
            event = notice_event("read", data)
            self._downlink.publish(USER_PREFIX + caller.user, EVENT, event, 0, caller.session)
            if mark.conversation.startswith(SINGLE_PREFIX):
                await self._access.tell_read(caller.user, mark.conversation, mark.seq)
        if moved:
            return ReadMark(moved[0].seq)
        rows = await self._store.inbox(caller.user, caller.device, [args.conversation])
        if not rows:
            await self._access.participant(caller, args.conversation)
            raise ImError(Code.NOT_FOUND, "not a conversation of this user")
        return ReadMark(rows[0].read_seq)

    @method("unread", result=Unread)
    async def unread(self, caller: Caller, args: UnreadArgs) -> Unread:
        """Unread counts, conversations without any left out. Counted among the newest 1000 messages of each:
        1000 = or more."""
        now = self._clock.now_ms()
        page = await self._store.unread(caller.user, args.conversations, now, args.after)
        shown, cut = fit(page.counts.items(), self._reply_bytes)
        after = shown[-1][0] if cut else page.after
        return Unread(sum(page.counts.values()), dict(shown), after, cut or page.more)

    async def _known_since(self, caller: Caller) -> int:
        """From when on messages are offline messages of the calling device; the server reads as a first
        device."""
        if caller.session is None:
            return 0
        state = self._sessions.still(caller.session)
        if state.known_since_ms < 0:
            devices = await self._store.devices(caller.user)
            state.known_since_ms = known_since(caller.device, devices)
        return state.known_since_ms


def _line(row: InboxRow) -> SyncLine:
    return SyncLine(row.conversation, row.last_seq, row.read_seq, row.min_seq, row.acked_seq, row.active)


WALK = "@"
"""Begins an `after` of somebody who has very many conversations."""


def _tell_place(place: WalkPlace | None) -> str:
    return "" if place is None else f"{WALK}{place.conv}:{place.ceiling}"


def _read_place(after: str) -> WalkPlace | None:
    if not after.startswith(WALK):
        return None
    conv, _, ceiling = after.removeprefix(WALK).partition(":")
    return WalkPlace(number(conv), number(ceiling))


def _since(now: int, keep_ms: int) -> int:
    return now - keep_ms if keep_ms else 0
