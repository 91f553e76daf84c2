"""The conversation list: latest messages, settings such as do-not-disturb, clearing, single messages by
seq.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from frame.constants import SINGLE_PREFIX
from im_service import ids
from im_service.calls import Args, Caller, Positive, method
from im_service.context import ServiceContext
from im_service.conversation.access import Access
from im_service.conversation.sync import After, Conversation, Seq
from im_service.errors import Code, ImError
from im_service.models import WireMessage, encode, preferences, stored_bytes
from im_service.pages import fit, number
from im_service.ports import ERASES
from im_service.storage.records import (
    FILTERED,
    HISTORY,
    PERSISTENT,
    ROAM,
    ListedConversation,
    SessionRow,
    View,
)


class ListArgs(Args):
    """`before`: as the page before said."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    before: After | None = None


class SetArgs(Args):
    conversation: Conversation
    mute: bool | None = None
    pin: bool | None = None
    ext: Annotated[str, Meta(max_length=1024)] | None = None


class ClearArgs(Args):
    conversation: Conversation
    up_to_seq: Seq


class GetArgs(Args):
    conversation: Conversation
    seqs: Annotated[list[Positive], Meta(min_length=1, max_length=50)]


class MarksArgs(Args):
    conversations: Annotated[list[Conversation], Meta(min_length=1, max_length=100)]


class ConversationLine(Struct):
    """`active`: false = not in the group any more."""

    conversation: str
    last_seq: int
    read_seq: int
    min_seq: int
    unread: int
    active: bool
    last: WireMessage | None
    mute: bool
    pin: bool
    ext: str


class Overview(Struct):
    """`before`: where the next page begins."""

    conversations: list[ConversationLine]
    before: str | None
    more: bool


class Chosen(Struct):
    mute: bool
    pin: bool
    ext: str


class Cleared(Struct):
    min_seq: int


class Messages(Struct):
    """`rest`: seqs that this answer had no room for."""

    messages: list[WireMessage]
    rest: list[int]


class PeerMarks(Struct):
    """By conversation."""

    receipts: dict[str, int]


READ_AHEAD = 10
"""Lines read at a time: an answer may have room for few."""


class Standing(NamedTuple):
    """Place in the list: pinned first, then the latest message, then by id."""

    loose: int  # 0 = pinned
    age: int  # minus the server id of the latest message
    conversation: str


START = Standing(-1, 0, "")


def _standing(row: ListedConversation) -> Standing:
    return Standing(int(not preferences(row.settings).pin), -row.latest, row.conversation)


def _read_standing(before: str) -> tuple[int, Standing]:
    """Which part of the list, and the place in it."""
    below, loose, age, conversation, *_ = [*before.split(":", 3), "", "", ""]
    try:
        return number(below), Standing(int(loose), int(age), conversation) if loose else START
    except ValueError:
        raise ImError(Code.INVALID, "before is what the page before said") from None


def _describe(row: SessionRow) -> ConversationLine:
    inbox, chosen = row.inbox, preferences(row.inbox.settings)
    return ConversationLine(
        conversation=inbox.conversation,
        last_seq=inbox.last_seq,
        read_seq=inbox.read_seq,
        min_seq=inbox.min_seq,
        unread=row.unread,
        active=inbox.active,
        last=None if row.last is None else Raw(stored_bytes(row.last)),
        mute=chosen.mute,
        pin=chosen.pin,
        ext=chosen.ext,
    )


class Conversations:
    """What a user holds of their conversations."""

    def __init__(self, context: ServiceContext, access: Access) -> None:
        self._store = context.store
        self._clock = context.clock
        self._announcer = context.announcer
        self._keep = context.settings.retention
        self._reply_bytes = context.settings.reply_bytes
        self._access = access

    def _view(self) -> View:
        now, keep = self._clock.now_ms(), self._keep
        classes = (
            (HISTORY, now - keep.history_ms if keep.history_ms else 0),
            (ROAM, now - keep.roam_ms if keep.roam_ms else 0),
            (PERSISTENT, now - keep.offline_ms if keep.offline_ms else 0),
        )
        return View(classes, now)

    @method("conversations", result=Overview)
    async def overview(self, caller: Caller, args: ListArgs) -> Overview:
        """My conversations, pinned ones first, then by their latest message, each with last message and
        unread count."""
        below, start = (0, START) if args.before is None else _read_standing(args.before)
        part = await self._store.listed(caller.user, below)
        places = sorted(place for place in map(_standing, part.rows) if place > start)
        view, done = self._view(), 0
        lines: list[ConversationLine] = []
        while done < min(len(places), args.limit):
            names = [place.conversation for place in places[done : min(done + READ_AHEAD, args.limit)]]
            found = await self._store.sessions(caller.user, names, view)
            lines, cut = fit([*lines, *map(_describe, found)], self._reply_bytes)
            if cut:
                done = next(at for at, place in enumerate(places) if place[2] == lines[-1].conversation) + 1
                break
            done += len(names)
        if done < len(places):
            before: str | None = ":".join(map(str, (below, *places[done - 1])))
        else:
            before = f"{part.below}" if part.below else None
        return Overview(lines, before, before is not None)

    @method("conversation.set", Code.NOT_FOUND, result=Chosen)
    async def prefer(self, caller: Caller, args: SetArgs) -> Chosen:
        """Do-not-disturb, pin and extension of one conversation, for all my devices."""
        asked = {k: v for k in ("mute", "pin", "ext") if (v := getattr(args, k)) is not None}

        def change(settings: bytes) -> bytes:
            return encode(msgspec.structs.replace(preferences(settings), **asked))

        row = await self._store.set_inbox(caller.user, args.conversation, change)
        chosen = preferences(row.settings)
        answer = Chosen(chosen.mute, chosen.pin, chosen.ext)
        data = {"conversation": args.conversation, **msgspec.structs.asdict(answer)}
        self._announcer.mine(caller.user, "conversation", data, caller.session)
        return answer

    @method("conversation.clear", Code.NOT_FOUND, result=Cleared)
    async def clear(self, caller: Caller, args: ClearArgs) -> Cleared:
        """Forget everything up to this seq, for me, on all my devices."""
        row = await self._store.clear(caller.user, args.conversation, args.up_to_seq)
        cleared = {"conversation": args.conversation, "min_seq": row.min_seq}
        self._announcer.mine(caller.user, "cleared", cleared, caller.session, ERASES)
        if args.conversation.startswith(SINGLE_PREFIX):  # what is cleared counts as read
            await self._access.tell_read(caller.user, args.conversation, row.read_seq)
        return Cleared(row.min_seq)

    @method("get", Code.FORBIDDEN, result=Messages, alone=True)
    async def get(self, caller: Caller, args: GetArgs) -> Messages:
        """These messages as any of my views shows them; those that none shows are left out."""
        user = caller.user or None
        # Those who left keep what they had, and may have to learn how it was edited before they went.
        if user is None or not await self._store.inbox(user, caller.device, [args.conversation]):
            await self._access.participant(caller, args.conversation)
        view = self._view()
        seqs = list(dict.fromkeys(args.seqs))
        messages: list[Raw] = []
        room = self._reply_bytes
        for at, seq in enumerate(seqs):
            page = await self._store.pull(user, args.conversation, seq, seq, 1, view)
            for row in page.items:
                if row.flags & FILTERED:
                    continue
                message = Raw(stored_bytes(row))
                room -= len(message)
                if messages and room < 0:
                    return Messages(messages, seqs[at:])
                messages.append(message)
        return Messages(messages, [])

    @method("receipts", Code.FORBIDDEN, result=PeerMarks)
    async def marks(self, caller: Caller, args: MarksArgs) -> PeerMarks:
        """How far the peer has read in these single conversations; without those between whom and me stands a
        blacklist."""
        peers: dict[str, str] = {}
        for conversation in dict.fromkeys(args.conversations):
            if await self._access.participant(caller, conversation) == ids.SINGLE:
                peers[conversation] = ids.peer_of(conversation, caller.user)
        parted = await self._access.parted(caller.user, peers.values())
        found: dict[str, int] = {}
        for conversation, peer in peers.items():
            marks = {} if peer in parted else await self._store.read_marks(conversation, [peer])
            if peer in marks:
                found[conversation] = marks[peer]
        return PeerMarks(found)
